"""Two referenda of four ballots, as the reference computes them.

alice, bob and carlos vote yes, no and yes, and compute; vera votes yes; alice and vera learn the answer.  At
least two thirds of four are three: exactly in `EXACT`, and with noise on the count in `NOISED`.
"""

from __future__ import annotations

from functools import cache
from itertools import combinations
from typing import Any

from tests.vectors import reference, reference_gates, reference_noise
from tests.vectors import reference_transfers as transfers
from tests.vectors.sessions import Fields, Letter, Recorded
from tests.vectors.story import b64

COMPUTE = ("alice", "bob", "carlos")
PARTIES = (*COMPUTE, "vera")
BALLOTS = {"alice": 1, "bob": 0, "carlos": 1, "vera": 1}
THRESHOLD = "2/3"


class Vote(Recorded):
    """One referendum."""

    parties = PARTIES
    compute = COMPUTE
    results = ("alice", "vera")

    def __init__(self, label: str, nonce: str, noise: Fields | None) -> None:
        function = {"name": "referendum", "threshold": THRESHOLD}
        super().__init__(label, nonce, function=function, noise=noise, input="merge")

    def encoded(self, party: str) -> list[int]:
        return [BALLOTS[party]]

    @property
    def width(self) -> int:
        """m, where there is noise."""
        if self.noise is None:
            return 0
        rate = reference_noise.rate(self.noise["epsilon"], self.noise["sensitivity"])
        bound = reference_noise.tail(rate, len(COMPUTE), self.noise["colluders"])
        return reference_noise.width(len(PARTIES), bound)

    @property
    def needed(self) -> int:
        """N."""
        if self.noise is None:
            return len(PARTIES) - 1
        return sum(reference_gates.widths_noised(len(PARTIES), len(COMPUTE), self.width))

    @cache  # noqa: B019 - the few sessions live as long as the program
    def join(self, party: str) -> bytes:
        """Who computes offers a point."""
        offered = b64(transfers.offer(self.randomness(party).offer_scalar)) if party in COMPUTE else None
        key = reference.sealing_public(self.seed(party))
        return reference.canonical({"sealing_key": b64(key), "shape": [], "offer": offered, "setups": {}})

    def run(self) -> bytes:
        """What every round of gates is bound to: the view, and whose ballots count."""
        return reference.digest("gates", self.view(), *PARTIES)

    # -- triples -----------------------------------------------------------------------------------

    def randomness(self, party: str) -> transfers.Randomness:
        """What its triples are made from."""
        return transfers.Randomness(reference.derive(self.seed(party), "correlations"), self.needed)

    def pair_context(self, one: str, other: str) -> bytes:
        """Of two parties in the order of `spec.compute`."""
        return transfers.pair_context(self.session, self.join_digest(one), self.join_digest(other))

    @cache  # noqa: B019
    def correlated(self, one: str, other: str) -> transfers.Correlated:
        """What two parties, in the order of `spec.compute`, say to each other."""
        sender, receiver = roles(one, other)
        z = transfers.bound(self.pair_context(one, other), sender, receiver)
        return transfers.correlate(self.randomness(sender), self.randomness(receiver), z, sender)

    @cache  # noqa: B019
    def triples(self, party: str) -> tuple[list[int], list[int], list[int]]:
        """One party's a, b and c."""
        shares = {}
        for one, other in combinations(COMPUTE, 2):
            made = self.correlated(one, other)
            sender, receiver = roles(one, other)
            if party == sender:
                shares[receiver] = made.sender_share
            elif party == receiver:
                shares[sender] = made.receiver_share
        return transfers.triples(self.randomness(party), shares)

    def packed_triples(self) -> dict[str, list[str]]:
        """Those of all, as vectors write them."""
        return {party: [transfers.packed(each).hex() for each in self.triples(party)] for party in COMPUTE}

    # -- ballots and gates -------------------------------------------------------------------------

    @cache  # noqa: B019
    def shares(self, party: str) -> dict[str, bytes | int]:
        """The shares of a party's ballot; vera's explicit one is that of number 3 mod 3."""
        explicit = party if party in COMPUTE else COMPUTE[PARTIES.index(party) % len(COMPUTE)]
        split = reference.derive(self.seed(party), "split", self.view())
        return reference.split_bit(BALLOTS[party], COMPUTE, explicit, split)

    def shared(self, party: str) -> list[tuple[str, bytes | None, list[int]]]:
        return [
            (holder, share, []) if isinstance(share, bytes) else (holder, None, [share])
            for holder, share in self.shares(party).items()
            if holder != party
        ]

    def ballot(self, party: str) -> list[int]:
        """One ballot's shares as bits, in the order of `spec.compute`."""
        held = (self.shares(party)[holder] for holder in COMPUTE)
        return [(reference.expand(each, 1)[0] if isinstance(each, bytes) else each) & 1 for each in held]

    @cache  # noqa: B019
    def evaluated(self) -> tuple[reference_gates.Evaluation, list[int]]:
        """Every round of the circuit, and the output shares."""
        evaluation = reference_gates.Evaluation([self.triples(party) for party in COMPUTE])
        threshold = reference_gates.least(THRESHOLD, len(PARTIES))
        ballots = [self.ballot(party) for party in PARTIES]
        if self.noise is None:
            return evaluation, evaluation.reaches(ballots, threshold)
        entered = [
            reference_gates.entered(self.noise_share(party)[0], threshold, number, self.width)
            for number, party in enumerate(COMPUTE)
        ]
        return evaluation, evaluation.reaches_noised(ballots, entered, self.width)

    def output(self, party: str) -> list[int]:
        return [self.evaluated()[1][COMPUTE.index(party)]]

    @property
    def answer(self) -> str:
        """What comes out."""
        return "YES" if sum(self.output(party)[0] for party in COMPUTE) % 2 else "NO"

    # -- letters -----------------------------------------------------------------------------------

    def correlations(self) -> list[Letter]:
        made = []
        for one, other in combinations(COMPUTE, 2):
            ends = {1: roles(one, other), 2: roles(one, other)[::-1], 3: roles(one, other)}
            for step, body in self.correlated(one, other).letters.items():
                made.append(Letter("correlate", *ends[step], body, round=step, sealed=True))
        return made

    def _contents(self) -> list[Letter]:
        opened = b64(self.evaluated()[0].transcript)
        named = {"inputs": list(PARTIES), "opened": opened}
        commits = [
            Letter("commit", party, "all", self.viewed(**named, commitment=b64(self.commitment(party))))
            for party in COMPUTE
        ]
        return [*self.shares_and_received({}), *self._rounds(), *commits, *self.reveals_and_confirms()]

    def _rounds(self) -> list[Letter]:
        leader, sent = COMPUTE[0], []
        for number, (masked, opened) in enumerate(self.evaluated()[0].rounds, start=1):
            for party, bits in zip(COMPUTE[1:], masked[1:], strict=True):
                sent.append(Letter("masked", party, leader, self._gates(bits), round=number))
            sent.append(Letter("opened", leader, "compute", self._gates(opened), round=number))
        return sent

    def _gates(self, bits: bytes) -> bytes:
        return reference.canonical({"run": b64(self.run()), "bits": b64(bits)})


def roles(one: str, other: str) -> tuple[str, str]:
    """S and R of two parties."""
    first = transfers.is_sender(COMPUTE.index(one), COMPUTE.index(other))
    return (one, other) if first else (other, one)


def noise(**changes: Any) -> Fields:
    """The noise of `NOISED`, some of it changed."""
    fields: Fields = {
        "mechanism": "discrete-laplace",
        "epsilon": 1_000_000_000,
        "sensitivity": 1,
        "relation": "replace-one",
        "colluders": 1,
    }
    return fields | changes


EXACT = Vote("referendum", "nonce", None)
NOISED = Vote("noised referendum", "nonce of the noised referendum", noise())
