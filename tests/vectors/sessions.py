"""What any whole session has: spec, joins, begin, view, and how its letters are written."""

from __future__ import annotations

from functools import cache
from typing import Any, NamedTuple

from tests.vectors import recording, reference, reference_noise, story
from tests.vectors.story import b64, secret

Fields = dict[str, Any]


class Letter(NamedTuple):
    """One letter before it is sealed: plain, or to one recipient with a seed or a body."""

    step: str
    sender: str
    to: str
    body: bytes = b""
    round: int = 0
    sealed: bool = False
    seed: bytes | None = None
    opens: bool = True

    @property
    def stage(self) -> str:
        """Step and round, as in the topic."""
        return f"{self.step}-{self.round}" if self.round else self.step

    @property
    def key(self) -> bytes:
        """A sealed body's key, or the seed in its place."""
        return self.seed or secret(f"body key of {self.stage} from {self.sender} to {self.to}")


class Recorded:
    """One session; `label` makes its seeds.  The first party leads."""

    parties: tuple[str, ...]  # all of them bring an input
    compute: tuple[str, ...]
    results: tuple[str, ...]

    def __init__(self, label: str, nonce: str, **fields: Any) -> None:
        self._label = label
        keys = {party: b64(reference.public_identity(story.identity(party))) for party in self.parties}
        self.fields = story.spec() | {
            "members": keys,
            "inputs": list(self.parties),
            "compute": list(self.compute),
            "results": list(self.results),
            "min_inputs": 3,
            "nonce": b64(secret(nonce)[:16]),
        }
        self.fields |= fields
        self.spec = reference.canonical(self.fields)
        self.session = reference.digest("spec", self.spec).hex()
        self.noise: Fields | None = self.fields["noise"]

    def encoded(self, party: str) -> list[int]:
        """A party's input as it is shared."""
        raise NotImplementedError

    def join(self, party: str) -> bytes:
        """A join's bytes."""
        raise NotImplementedError

    def _contents(self) -> list[Letter]:
        """All letters after the begin."""
        raise NotImplementedError

    def correlations(self) -> list[Letter]:
        """What comes before the begin and is no join."""
        return []

    def seed(self, party: str) -> bytes:
        """The root of a party's randomness."""
        return secret(f"{self._label} seed of {party}")

    @property
    def shape(self) -> list[int]:
        """Of each input."""
        return []

    # -- noise -------------------------------------------------------------------------------------

    def noise_share(self, party: str) -> list[int]:
        """A compute party's noise."""
        if self.noise is None:
            raise ValueError("the answer is exact")
        parts = len(self.compute) - self.noise["colluders"]
        rate = reference_noise.rate(self.noise["epsilon"], self.noise["sensitivity"])
        seed = reference.derive(self.seed(party), "noise")
        return reference_noise.noise_share(parts, rate, self.shape[0] if self.shape else 1, seed)

    # -- membership --------------------------------------------------------------------------------

    def join_digest(self, party: str) -> bytes:
        """What stands for it in the begin."""
        return reference.digest("join", party, self.join(party))

    def begin(self) -> bytes:
        """The leader's begin."""
        joins = {party: b64(self.join_digest(party)) for party in self.parties}
        return reference.canonical({"joins": joins, "shape": self.shape})

    @cache  # noqa: B019 - the few sessions live as long as the program
    def view(self) -> bytes:
        """The view that all but the correlations is bound to."""
        return reference.view_digest(self.session, self.begin())

    # -- what is opened ----------------------------------------------------------------------------

    def output(self, party: str) -> list[int]:
        """A compute party's output share."""
        raise NotImplementedError

    def opening(self, party: str) -> bytes:
        """What opens a commitment."""
        return reference.opening(self.seed(party), self.view(), self.parties, self.output(party))

    def commitment(self, party: str) -> bytes:
        """What binds a party to it."""
        return reference.commitment(self.view(), party, self.parties, self.opening(party))

    def transcript(self) -> bytes:
        """What is confirmed."""
        commitments = [self.commitment(party) for party in self.compute]
        return reference.transcript(self.view(), self.parties, commitments)

    # -- letters -----------------------------------------------------------------------------------

    @cache  # noqa: B019
    def letters(self) -> tuple[Letter, ...]:
        """All letters, in an order in which they can be sent."""
        audience = {party: "all" if party in self.compute else "compute" for party in self.parties}
        joins = [Letter("join", party, audience[party], self.join(party)) for party in self.parties]
        begin = Letter("begin", self.compute[0], "all", self.begin())
        return (*joins, *self.correlations(), begin, *self._contents())

    def shares_and_received(self, commitments: dict[str, bytes]) -> list[Letter]:
        """Who computes commits at once if that is said here."""
        sent = [
            Letter(
                "share",
                party,
                holder,
                b"" if seed else reference.ring_bytes(explicit),
                sealed=True,
                seed=seed,
            )
            for party in self.parties
            for holder, seed, explicit in self.shared(party)
        ]
        return sent + [
            Letter(
                "received",
                party,
                "all",
                self.viewed(inputs=list(self.parties), commitment=made and b64(made)),
            )
            for party in self.compute
            for made in [commitments.get(party)]
        ]

    def shared(self, party: str) -> list[tuple[str, bytes | None, list[int]]]:
        """For whom, and which share: a seed or ring elements."""
        raise NotImplementedError

    def reveals_and_confirms(self) -> list[Letter]:
        """Who computes has the others' channels from their shares; who does not has none."""
        bodies = {party: reference.revealed(self.transcript(), self.opening(party)) for party in self.compute}
        revealed = [
            Letter("reveal", party, to, body, sealed=True, opens=to not in self.compute)
            for party, body in bodies.items()
            for to in self.results
            if to != party
        ]
        confirm = reference.canonical({"transcript": b64(self.transcript())})
        return [*revealed, *(Letter("confirm", party, "all", confirm) for party in self.results)]

    def viewed(self, **fields: Any) -> bytes:
        """A statement that names the view."""
        return reference.canonical({"view": b64(self.view())} | fields)

    def topic(self, letter: Letter) -> str:
        """Where it is published."""
        return f"sotto/1/session/{self.session}/{letter.stage}/{letter.sender}/{letter.to}/0"

    def payload(self, letter: Letter) -> bytes:
        """As it is published."""
        slots, body = [], letter.body
        if letter.sealed:
            bound = b"" if letter.step == "correlate" else self.view()
            channel = self.channel(letter.sender, letter.to)
            box = reference.slot_box(channel.channel, letter.stage, letter.to, bound, letter.key)
            opened = b64(channel.recorded()) if letter.opens else None
            slots = [{"to": letter.to, "open": opened, "box": b64(box)}]
            body = b"" if letter.seed else reference.chunks(letter.key, letter.body)[0]
        changes = {"session": self.session, "round": letter.round, "slots": slots}
        header = story.header(letter.step, letter.sender, letter.to, **changes)
        return story.payload(header, body, letter.sender)

    def announce(self) -> bytes:
        """The coordinator's payload."""
        header = story.header("announce", "coordinator", "all", session=self.session)
        return story.payload(header, self.spec, "coordinator")

    def channel(self, sender: str, to: str) -> recording.Opening:
        """The channel from one party to another."""
        shared = reference.channel(self.seed(sender), to)
        return recording.Opening(self.session, sender, to, shared, self.seed(to))

    def channels(self) -> list[recording.Opening]:
        """Every channel that is opened in this session."""
        sealed = [each for each in self.letters() if each.sealed and each.opens]
        return list(dict.fromkeys(self.channel(each.sender, each.to) for each in sealed))

    # -- vectors -----------------------------------------------------------------------------------

    def spec_vector(self) -> Fields:
        """The session's id."""
        return {
            "name": "the session's id is the hash of the spec's bytes",
            "kind": "spec",
            "given": {"bytes": self.spec.decode()},
            "expect": {"session": self.session},
        }

    def join_vector(self, party: str) -> Fields:
        """One join."""
        return {
            "name": f"{party}'s join",
            "kind": "join",
            "given": {"spec": self.spec.decode(), "party": party, "seed": self.seed(party).hex()},
            "expect": {"bytes": self.join(party).decode(), "digest": self.join_digest(party).hex()},
        }

    def output_vector(self, party: str) -> Fields:
        """One output share's opening."""
        output = self.output(party)
        return {
            "name": f"{party}'s output share is {', '.join(map(str, output))}",
            "kind": "opening",
            "given": {
                "seed": self.seed(party).hex(),
                "view": self.view().hex(),
                "party": party,
                "inputs": list(self.parties),
                "output": [str(each) for each in output],
                "scalar": not self.shape,
            },
            "expect": {"opening": self.opening(party).hex(), "commitment": self.commitment(party).hex()},
        }

    def whole(self, answer: list[str], triples: dict[str, list[str]]) -> Fields:
        """All letters at once."""
        noise = {
            party: [str(reference_noise.signed(each)) for each in self.noise_share(party)]
            for party in self.compute
            if self.noise
        }
        return {
            "name": "every letter of the session",
            "kind": "session",
            "given": {
                "announce": self.announce().hex(),
                "parties": {party: self._party(party) for party in self.parties},
                "letters": [self._published(each) for each in self.letters()],
            },
            "expect": {
                "view": self.view().hex(),
                "noise": noise,
                "triples": triples,
                "letters": [_unsealed(each) for each in self.letters()],
                "answers": dict.fromkeys(self.results, answer),
            },
        }

    def _party(self, party: str) -> Fields:
        return {"seed": self.seed(party).hex(), "ring": reference.ring_bytes(self.encoded(party)).hex()}

    def _published(self, letter: Letter) -> Fields:
        """A sealed body's key is drawn fresh, so it is given."""
        key = {"key": letter.key.hex()} if letter.sealed and letter.seed is None else {}
        return {"topic": self.topic(letter), "payload": self.payload(letter).hex()} | key


def _unsealed(letter: Letter) -> Fields:
    content = {"seed": letter.seed.hex()} if letter.seed else {"body": letter.body.hex()}
    return {"stage": letter.stage, "from": letter.sender, "to": letter.to} | content
