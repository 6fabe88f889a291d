"""One referendum of four ballots, every letter of it, as the reference computes it.

alice, bob and carlos vote yes, no and yes, and compute; vera votes yes; alice and vera learn the answer.  At
least two thirds of four are three, so it is YES.
"""

from __future__ import annotations

from functools import cache
from itertools import combinations
from typing import Any, NamedTuple

from tests.vectors import recording, reference, reference_gates, story
from tests.vectors import reference_transfers as transfers
from tests.vectors.story import b64, secret

COMPUTE = ("alice", "bob", "carlos")
PARTIES = (*COMPUTE, "vera")
RESULTS = ("alice", "vera")
BALLOTS = {"alice": 1, "bob": 0, "carlos": 1, "vera": 1}
LEADER = COMPUTE[0]
TRIPLES = len(PARTIES) - 1


def spec(**changes: Any) -> dict[str, Any]:
    """The spec's fields in their order, some of them changed."""
    fields = story.spec() | {
        "function": {"name": "referendum", "threshold": "2/3"},
        "input": "merge",
        "members": {party: b64(reference.public_identity(story.identity(party))) for party in PARTIES},
        "inputs": list(PARTIES),
        "compute": list(COMPUTE),
        "results": list(RESULTS),
        "min_inputs": 3,
    }
    return fields | changes


SPEC = reference.canonical(spec())
SESSION = reference.digest("spec", SPEC).hex()


def seed(party: str) -> bytes:
    """The root of a party's randomness in this session."""
    return secret(f"referendum seed of {party}")


def randomness(party: str) -> transfers.Randomness:
    """What its triples are made from."""
    return transfers.Randomness(reference.derive(seed(party), "correlations"), TRIPLES)


@cache
def join(party: str) -> bytes:
    """A join's bytes; who computes offers a point."""
    offered = b64(transfers.offer(randomness(party).offer_scalar)) if party in COMPUTE else None
    key = reference.sealing_public(seed(party))
    return reference.canonical({"sealing_key": b64(key), "shape": [], "offer": offered, "setups": {}})


def join_digest(party: str) -> bytes:
    """What stands for it in the begin."""
    return reference.digest("join", party, join(party))


@cache
def begin() -> bytes:
    """The leader's begin."""
    joins = {party: b64(join_digest(party)) for party in PARTIES}
    return reference.canonical({"joins": joins, "shape": []})


@cache
def view() -> bytes:
    """The view that all but the correlations is bound to."""
    return reference.view_digest(SESSION, begin())


def run() -> bytes:
    """What every round of gates is bound to: the view, and whose ballots count."""
    return reference.digest("gates", view(), *PARTIES)


# -- triples -------------------------------------------------------------------------------------------


def pair_context(one: str, other: str) -> bytes:
    """Of two parties in the order of `spec.compute`."""
    return transfers.pair_context(SESSION, join_digest(one), join_digest(other))


def roles(one: str, other: str) -> tuple[str, str]:
    """S and R of two parties."""
    first = transfers.is_sender(COMPUTE.index(one), COMPUTE.index(other))
    return (one, other) if first else (other, one)


@cache
def correlated(one: str, other: str) -> transfers.Correlated:
    """What two parties, in the order of `spec.compute`, say to each other."""
    sender, receiver = roles(one, other)
    z = transfers.bound(pair_context(one, other), sender, receiver)
    return transfers.correlate(randomness(sender), randomness(receiver), z, sender)


def triples(party: str) -> tuple[list[int], list[int], list[int]]:
    """One party's a, b and c."""
    shares = {}
    for one, other in combinations(COMPUTE, 2):
        made = correlated(one, other)
        sender, receiver = roles(one, other)
        if party == sender:
            shares[receiver] = made.sender_share
        elif party == receiver:
            shares[sender] = made.receiver_share
    return transfers.triples(randomness(party), shares)


# -- ballots and gates ---------------------------------------------------------------------------------


@cache
def shares(party: str) -> dict[str, bytes | int]:
    """The shares of a party's ballot; vera's explicit one is that of number 3 mod 3."""
    explicit = party if party in COMPUTE else COMPUTE[PARTIES.index(party) % len(COMPUTE)]
    split = reference.derive(seed(party), "split", view())
    return reference.split_bit(BALLOTS[party], COMPUTE, explicit, split)


def ballot(party: str) -> list[int]:
    """One ballot's shares as bits, in the order of `spec.compute`."""
    held = (shares(party)[holder] for holder in COMPUTE)
    return [(reference.expand(each, 1)[0] if isinstance(each, bytes) else each) & 1 for each in held]


@cache
def evaluated() -> tuple[reference_gates.Evaluation, list[int]]:
    """Every round of the circuit, and the output shares."""
    evaluation = reference_gates.Evaluation([triples(party) for party in COMPUTE])
    threshold = reference_gates.least("2/3", len(PARTIES))
    return evaluation, evaluation.reaches([ballot(party) for party in PARTIES], threshold)


def output(party: str) -> int:
    """A compute party's share of the answer."""
    return evaluated()[1][COMPUTE.index(party)]


def opening(party: str) -> bytes:
    """What a reveal holds."""
    return reference.opening(seed(party), view(), PARTIES, [output(party)])


def commitment(party: str) -> bytes:
    """What binds a party to it."""
    return reference.commitment(view(), party, PARTIES, opening(party))


def commitments() -> list[bytes]:
    """All of them, in the order of `spec.compute`."""
    return [commitment(party) for party in COMPUTE]


# -- letters -------------------------------------------------------------------------------------------


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
    def topic(self) -> str:
        """Where it is published."""
        return f"sotto/1/session/{SESSION}/{self.stage}/{self.sender}/{self.to}/0"

    @property
    def key(self) -> bytes:
        """A sealed body's key, or the seed in its place."""
        return self.seed or secret(f"body key of {self.stage} from {self.sender} to {self.to}")

    def payload(self) -> bytes:
        """As it is published."""
        slots, body = [], self.body
        if self.sealed:
            bound = b"" if self.step == "correlate" else view()
            channel = channel_to(self.sender, self.to)
            box = reference.slot_box(channel.channel, self.stage, self.to, bound, self.key)
            opened = b64(channel.recorded()) if self.opens else None
            slots = [{"to": self.to, "open": opened, "box": b64(box)}]
            body = b"" if self.seed else reference.chunks(self.key, self.body)[0]
        changes = {"session": SESSION, "round": self.round, "slots": slots}
        return story.payload(story.header(self.step, self.sender, self.to, **changes), body, self.sender)


def channel_to(sender: str, to: str) -> recording.Opening:
    """The channel from one party to another."""
    return recording.Opening(SESSION, sender, to, reference.channel(seed(sender), to), seed(to))


def openings_of_channels() -> list[recording.Opening]:
    """Every channel that is opened in this session."""
    sealed = [each for each in letters() if each.sealed and each.opens]
    return list(dict.fromkeys(channel_to(each.sender, each.to) for each in sealed))


@cache
def letters() -> tuple[Letter, ...]:
    """All letters, in an order in which they can be sent."""
    joins = [
        Letter("join", party, "all" if party in COMPUTE else "compute", join(party)) for party in PARTIES
    ]
    frozen = [Letter("begin", LEADER, "all", begin())]
    return (*joins, *_correlations(), *frozen, *_shares(), *_rounds(), *_ending())


def _correlations() -> list[Letter]:
    made = []
    for one, other in combinations(COMPUTE, 2):
        ends = {1: roles(one, other), 2: roles(one, other)[::-1], 3: roles(one, other)}
        for step, body in correlated(one, other).letters.items():
            made.append(Letter("correlate", *ends[step], body, round=step, sealed=True))
    return made


def _shares() -> list[Letter]:
    sent = [
        Letter(
            "share",
            *(party, holder),
            b"" if isinstance(share, bytes) else reference.ring_bytes([share]),
            sealed=True,
            seed=share if isinstance(share, bytes) else None,
        )
        for party in PARTIES
        for holder, share in shares(party).items()
        if holder != party
    ]
    received = _viewed(inputs=list(PARTIES), commitment=None)
    return sent + [Letter("received", party, "all", received) for party in COMPUTE]


def _rounds() -> list[Letter]:
    sent = []
    for number, (masked, opened) in enumerate(evaluated()[0].rounds, start=1):
        for party, bits in zip(COMPUTE[1:], masked[1:], strict=True):
            sent.append(Letter("masked", party, LEADER, _gates(bits), round=number))
        sent.append(Letter("opened", LEADER, "compute", _gates(opened), round=number))
    return sent


def _ending() -> list[Letter]:
    opened = b64(evaluated()[0].transcript)
    committed = [
        Letter(
            "commit",
            *(party, "all"),
            _viewed(inputs=list(PARTIES), opened=opened, commitment=b64(commitment(party))),
        )
        for party in COMPUTE
    ]
    revealed = [
        # alice has bob's and carlos's channels from their shares; vera, who computes nothing, has none.
        Letter("reveal", party, to, opening(party), sealed=True, opens=to not in COMPUTE)
        for party in COMPUTE
        for to in RESULTS
        if to != party
    ]
    transcript = reference.transcript(view(), PARTIES, commitments())
    confirm = reference.canonical({"transcript": b64(transcript)})
    return [*committed, *revealed, *(Letter("confirm", party, "all", confirm) for party in RESULTS)]


def _viewed(**fields: Any) -> bytes:
    return reference.canonical({"view": b64(view())} | fields)


def _gates(bits: bytes) -> bytes:
    return reference.canonical({"run": b64(run()), "bits": b64(bits)})


# -- the next session of alice and bob -------------------------------------------------------------------


LATER_SPEC = reference.canonical(spec(nonce=b64(secret("another nonce")[:16])))
LATER = reference.digest("spec", LATER_SPEC).hex()


def later_seed(party: str) -> bytes:
    """The root of a party's randomness in that session."""
    return secret(f"later referendum seed of {party}")


def later_randomness(party: str) -> transfers.Randomness:
    """What its triples are made from."""
    return transfers.Randomness(reference.derive(later_seed(party), "correlations"), TRIPLES)


def later_join(party: str, peer: str) -> bytes:
    """A join that names the setup of the first session; alice's names one more, which bob never had."""
    known = b64(pair_context(*COMPUTE[:2])[:16])
    ids = [b64(secret("an id")[:16]), known] if party == "alice" else [known]
    return reference.canonical(
        {
            "sealing_key": b64(reference.sealing_public(later_seed(party))),
            "shape": [],
            "offer": b64(transfers.offer(later_randomness(party).offer_scalar)),
            "setups": {peer: ids},
        }
    )


# -- vectors -------------------------------------------------------------------------------------------


def vectors() -> list[dict[str, Any]]:
    """The session's steps, and then all of it at once."""
    return [
        {
            "name": "the session's id is the hash of the spec's bytes",
            "kind": "spec",
            "given": {"bytes": SPEC.decode()},
            "expect": {"session": SESSION},
        },
        *(_join(party) for party in PARTIES),
        *(_meet(*ends) for one, other in combinations(COMPUTE, 2) for ends in ((one, other), (other, one))),
        *(_meet_again(*ends) for ends in (COMPUTE[:2], COMPUTE[1::-1])),
        *(_statement_vector(step) for step in ("received", "masked", "opened", "commit")),
        *(_output(party) for party in COMPUTE),
        _whole(),
    ]


def _join(party: str) -> dict[str, Any]:
    return {
        "name": f"{party}'s join",
        "kind": "join",
        "given": {"spec": SPEC.decode(), "party": party, "seed": seed(party).hex()},
        "expect": {"bytes": join(party).decode(), "digest": join_digest(party).hex()},
    }


def meeting(me: str, peer: str) -> dict[str, Any]:
    """The `given` of a meeting."""
    return {
        "spec": SPEC.decode(),
        "me": me,
        "peer": peer,
        "seed": seed(me).hex(),
        "joins": {name: join(name).decode() for name in (me, peer)},
        "setup": None,
    }


def _meet(me: str, peer: str) -> dict[str, Any]:
    pair = (me, peer) if COMPUTE.index(me) < COMPUTE.index(peer) else (peer, me)
    context, sender = pair_context(*pair), roles(*pair)[0]
    points = correlated(*pair).letters[1].hex()
    return {
        "name": f"{me} meets {peer}: the context of the pair, its setup's id and the first letter",
        "kind": "meet",
        "given": meeting(me, peer),
        "expect": {
            "context": context.hex(),
            "setup": context[:16].hex(),
            "letters": {"correlate-1": points} if me == sender else {},
        },
    }


def _meet_again(me: str, peer: str) -> dict[str, Any]:
    """bob was S, so he holds pairs, is R now, and begins; there are no points."""
    alice, bob = COMPUTE[:2]
    joins = {alice: later_join(alice, bob), bob: later_join(bob, alice)}
    context = transfers.pair_context(
        LATER, *(reference.digest("join", name, raw) for name, raw in joins.items())
    )
    made = correlated(alice, bob).made
    run = transfers.correlate(
        later_randomness(alice),
        later_randomness(bob),
        transfers.bound(context, alice, bob),
        alice,
        made,
    )
    given = {
        "spec": LATER_SPEC.decode(),
        "me": me,
        "peer": peer,
        "seed": later_seed(me).hex(),
        "joins": {name: raw.decode() for name, raw in joins.items()},
        "setup": {"id": pair_context(alice, bob)[:16].hex(), "sender": alice} | transfers.halves(made),
    }
    return {
        "name": f"{me} meets {peer} in their next session, with the setup that both name",
        "kind": "meet",
        "given": given,
        "expect": {
            "context": context.hex(),
            "setup": context[:16].hex(),
            "letters": {"correlate-2": run.letters[2].hex()} if me == bob else {},
        },
    }


def _statement_vector(step: str) -> dict[str, Any]:
    body = next(each.body for each in letters() if each.step == step)
    return {
        "name": f"the body of a {step}",
        "kind": "statement",
        "given": {"statement": step, "bytes": body.decode()},
        "expect": {},
    }


def _output(party: str) -> dict[str, Any]:
    return {
        "name": f"{party}'s output share is {output(party)}",
        "kind": "opening",
        "given": {
            "seed": seed(party).hex(),
            "view": view().hex(),
            "party": party,
            "inputs": list(PARTIES),
            "output": str(output(party)),
        },
        "expect": {"opening": opening(party).hex(), "commitment": commitment(party).hex()},
    }


def _whole() -> dict[str, Any]:
    announce = story.payload(
        story.header("announce", "coordinator", "all", session=SESSION), SPEC, "coordinator"
    )
    return {
        "name": "every letter of the session",
        "kind": "session",
        "given": {
            "announce": announce.hex(),
            "parties": {party: {"seed": seed(party).hex(), "ballot": BALLOTS[party]} for party in PARTIES},
            "letters": [_given(each) for each in letters()],
        },
        "expect": {
            "view": view().hex(),
            "triples": {
                party: [transfers.packed(each).hex() for each in triples(party)] for party in COMPUTE
            },
            "letters": [_expected(each) for each in letters()],
            "answers": dict.fromkeys(RESULTS, "YES"),
        },
    }


def _given(letter: Letter) -> dict[str, Any]:
    """As published; a sealed body's key is drawn fresh, so it is given."""
    key = {"key": letter.key.hex()} if letter.sealed and letter.seed is None else {}
    return {"topic": letter.topic, "payload": letter.payload().hex()} | key


def _expected(letter: Letter) -> dict[str, Any]:
    """Before it is sealed."""
    content = {"seed": letter.seed.hex()} if letter.seed else {"body": letter.body.hex()}
    return {"stage": letter.stage, "from": letter.sender, "to": letter.to} | content
