"""Two whole sessions with noise: a histogram of three inputs, and the referendum of `votes.py`.

alice and bob compute the histogram; alice is in bin 1, bob and carlos are in bin 3; alice and carlos learn
the noised counts.
"""

from __future__ import annotations

from functools import cache

from tests.vectors import reference, reference_noise
from tests.vectors.sessions import Fields, Letter, Recorded
from tests.vectors.story import b64
from tests.vectors.votes import COMPUTE, NOISED, noise

BINS = {"alice": 1, "bob": 3, "carlos": 3}


class Histogram(Recorded):
    """One histogram."""

    parties = tuple(BINS)
    compute = ("alice", "bob")
    results = ("alice", "carlos")

    @property
    def shape(self) -> list[int]:
        return [int(self.fields["function"]["bins"])]

    def encoded(self, party: str) -> list[int]:
        return [int(number == BINS[party]) for number in range(1, self.shape[0] + 1)]

    @cache  # noqa: B019 - the few sessions live as long as the program
    def join(self, party: str) -> bytes:
        key = b64(reference.sealing_public(self.seed(party)))
        return reference.canonical({"sealing_key": key, "shape": self.shape, "offer": None, "setups": {}})

    @cache  # noqa: B019
    def shares(self, party: str) -> dict[str, bytes | list[int]]:
        """The shares of a party's input; carlos's explicit one is that of number 2 mod 2."""
        explicit = party if party in self.compute else self.compute[self.parties.index(party) % 2]
        seed = reference.derive(self.seed(party), "split", self.view())
        return reference.split(self.encoded(party), self.compute, explicit, seed)

    def shared(self, party: str) -> list[tuple[str, bytes | None, list[int]]]:
        return [
            (holder, share, []) if isinstance(share, bytes) else (holder, None, share)
            for holder, share in self.shares(party).items()
            if holder != party
        ]

    def output(self, party: str) -> list[int]:
        """The noise is one more share."""
        held = [self.shares(owner)[party] for owner in self.parties]
        bins = self.shape[0]
        summands = [reference.expand(each, bins) if isinstance(each, bytes) else each for each in held]
        columns = zip(*summands, self.noise_share(party), strict=True)
        return [sum(column) % reference.MODULUS for column in columns]

    @property
    def answer(self) -> list[str]:
        """The noised counts; a negative one is a negative number."""
        columns = zip(*(self.output(party) for party in self.compute), strict=True)
        sums = [sum(column) % reference.MODULUS for column in columns]
        return [str(reference_noise.signed(each)) for each in sums]

    def _contents(self) -> list[Letter]:
        commitments = {party: self.commitment(party) for party in self.compute}
        return [*self.shares_and_received(commitments), *self.reveals_and_confirms()]


HISTOGRAM = Histogram(
    "noised histogram",
    "nonce of the noised histogram",
    function={"name": "histogram", "bins": 3},
    noise=noise(epsilon=2_500_000_000, sensitivity=2),
    input="bin",
)


def vectors() -> list[Fields]:
    """The histogram first."""
    return [
        HISTOGRAM.spec_vector(),
        *(HISTOGRAM.output_vector(party) for party in HISTOGRAM.compute),
        HISTOGRAM.whole(HISTOGRAM.answer, {}),
        NOISED.spec_vector(),
        *(NOISED.join_vector(party) for party in COMPUTE[:1]),
        *(NOISED.output_vector(party) for party in COMPUTE),
        NOISED.whole([NOISED.answer], NOISED.packed_triples()),
    ]
