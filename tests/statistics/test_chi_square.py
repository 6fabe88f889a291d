"""The test of the test: it tells apart what differs, and takes chance for chance."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import chi2_contingency

from tests.statistics.chi_square import SIGNIFICANCE, Sample, Verdict, compare
from tests.statistics.views import Field
from tests.support.sessions import seed_of

Bits = NDArray[np.uint8]  # [runs, bits]


def random(label: str, runs: int, bits: int) -> Bits:
    """Uniform bits that only this label has."""
    words = seed_of(label).expand((runs, -(-bits // 64)))
    return np.unpackbits(words.view(np.uint8), axis=1, count=bits, bitorder="little")


def sample(bits: Bits, name: str = "noise") -> Sample:
    rows = np.packbits(bits, axis=1, bitorder="little")
    return Sample.of([[Field(name, row.tobytes(), row.size)] for row in rows])


def verdict(runs: int, bits: int, change: Callable[[Bits], None] = lambda _: None) -> Verdict:
    """Noise, and other noise with a change."""
    changed = random("changed", runs, bits)
    change(changed)
    return compare(sample(random("unchanged", runs, bits)), sample(changed))


# -- what differs ------------------------------------------------------------------------------------


def biased(bits: Bits) -> None:
    """One bit is 1 in 56 of 100 runs."""
    bits[: len(bits) * 12 // 100, 21] = 1


def correlated(bits: Bits) -> None:
    """Each bit is uniform; two are the same in 60 of 100 runs."""
    some = len(bits) * 20 // 100
    bits[:some, 70] = bits[:some, 3]


def odd(bits: Bits) -> None:
    """Of the eight bits of a byte any seven are uniform; all of them have an even sum."""
    bits[:, 15] = np.bitwise_xor.reduce(bits[:, 8:15], axis=1)


@pytest.mark.parametrize(
    ("change", "place"),
    [(biased, "noise [21]"), (correlated, "noise [3] with noise [70]"), (odd, "noise [8] with noise [15]")],
)
def test_a_bit_two_bits_or_a_word_that_are_distributed_differently_are_found(
    change: Callable[[Bits], None], place: str
) -> None:
    found = verdict(10_000, 128, change)
    assert not found.alike
    assert found.place == place
    assert verdict(10_000, 128).alike


def test_two_bits_are_looked_at_together_in_what_is_close_and_nowhere_else() -> None:
    """The second of them is in the ninth byte."""
    noise = random("noise", 10_000, 128)
    related = noise.copy()
    related[:, 70] = related[:, 3]
    for close, alike in ((9, False), (8, True)):
        samples = []
        for bits in (noise, related):
            rows = np.packbits(bits, axis=1, bitorder="little")
            samples.append(Sample.of([[Field("noise", row.tobytes(), close)] for row in rows]))
        assert compare(*samples).alike == alike


def test_what_always_differs_is_found_in_a_few_runs() -> None:
    ones, zeros = (sample(np.full((40, 8), bit, np.uint8)) for bit in (1, 0))
    assert not compare(ones, zeros).alike
    assert compare(ones, ones).alike


def test_other_letters_are_a_difference_whatever_they_hold() -> None:
    noise = random("noise", 50, 64)
    assert not compare(sample(noise), sample(noise, "other")).alike
    assert not compare(sample(noise), sample(noise[:, :56])).alike


def test_samples_of_two_sizes_and_runs_with_other_letters_are_an_error() -> None:
    noise = random("noise", 50, 64)
    with pytest.raises(ValueError, match="50 runs beside 49"):
        compare(sample(noise), sample(noise[1:]))
    with pytest.raises(ValueError, match="2 runs with the letters of 2"):
        Sample.of([[Field("one", b"1")], [Field("one", b"22")]])


def test_the_smallest_p_is_that_of_a_table_of_two_rows_times_the_number_of_tests() -> None:
    """The first three bits have eight values; as scipy has it, of two words among three kinds of test."""
    one, other = random("one", 300, 8), random("other", 300, 8)
    other[:150, 2] = other[:150, 0] ^ other[:150, 1]
    counts = [np.bincount(each[:, :3] @ [1, 2, 4], minlength=8) for each in (one, other)]
    expected = chi2_contingency(np.array(counts), correction=False).pvalue
    found = compare(sample(one), sample(other))
    assert found.place == "noise [0] with noise [2]"
    assert 10**found.log10_p == pytest.approx(expected * 2 * 3, rel=1e-4)
    assert found.tests == 8 + 8 * 8 + 2


# -- what is chance ----------------------------------------------------------------------------------


def test_two_samples_of_one_distribution_are_seldom_told_apart() -> None:
    """A corrected p below 0.05 comes up in 5 of 100 comparisons at most, and so on."""
    ps = np.array([p_of_noise(number) for number in range(400)])
    for level in (0.5, 0.2, 0.05):
        allowed = level + 3 * (level * (1 - level) / len(ps)) ** 0.5
        assert (ps < level).mean() < allowed, f"of {level}"
    assert (ps < 0.5).any(), "a p that is always 1 tells nothing"
    assert ps.min() > SIGNIFICANCE


def p_of_noise(number: int) -> float:
    """With what views have beside noise: bits that never change, and bits that are the same as others."""
    samples = []
    for side in ("one", "other"):
        bits = random(f"{side} {number}", 200, 48)
        bits[:, 40:44] = 0
        bits[:, 44:] = bits[:, :4]
        samples.append(sample(bits))
    return float(10 ** compare(*samples).log10_p)
