"""Shares add up to the input, and any k − 1 of the k are uniform: they tell nothing."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial, reduce
from itertools import combinations
from operator import xor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chi2

from protocol import sharing
from protocol.ring import Ring
from protocol.secret import Seed
from protocol.sharing import BITS, INTEGERS, Group, Share, split
from tests.support.sessions import elements, repeatable, seed_of

LENGTH = 8192  # 65,536 bytes a share: 256 expected of each value
# One of 10^9 good generators would fail here; these seeds are fixed, and do not.
CRITICAL = float(chi2.ppf(1 - 1e-9, df=255))

Split = Callable[[Ring, Sequence[str], str, Seed], dict[str, Share]]
whole = st.integers(min_value=-(2**63), max_value=2**63 - 1)
values = st.one_of(whole, st.lists(whole, min_size=1, max_size=30))


def names(count: int) -> list[str]:
    return [f"party-{number}" for number in range(count)]


@repeatable
@given(values, st.integers(2, 20), st.data(), st.binary(min_size=32, max_size=32))
def test_shares_add_up_to_the_input(
    value: int | list[int], count: int, data: st.DataObject, raw: bytes
) -> None:
    x, holders = elements(value), names(count)
    explicit = data.draw(st.sampled_from(holders))
    shares = split(x, holders, explicit, Seed(raw))
    assert list(shares) == holders
    expanded = [share.elements(x.shape) for share in shares.values()]
    assert np.array_equal(sharing.reconstruct(expanded, x.shape), x)
    assert np.array_equal(x, elements(value)), "the input itself is left as it was"


@pytest.mark.parametrize("explicit", names(3))
def test_a_numpy_scalar_is_split_like_an_array_without_length(explicit: str) -> None:
    """NumPy turns arrays without length into scalars, which cannot be changed in place: a split that
    subtracts in place would hand out the input itself."""
    scalar, array = np.uint64(380000), np.array(380000, dtype=np.uint64)
    shares = split(scalar, names(3), explicit, seed_of("s"))  # type: ignore[arg-type]  # NumPy's own doing
    same = split(array, names(3), explicit, seed_of("s"))
    for holder in names(3):
        assert int(shares[holder].elements(())) == int(same[holder].elements(())) != 380000
    assert int(sharing.reconstruct([share.elements(()) for share in shares.values()], ())) == 380000


@repeatable
@given(values, st.integers(2, 20), st.data(), st.binary(min_size=32, max_size=32))
def test_shares_of_bits_xor_to_the_input(
    value: int | list[int], count: int, data: st.DataObject, raw: bytes
) -> None:
    x, holders = elements(value), names(count)
    shares = split(x, holders, data.draw(st.sampled_from(holders)), Seed(raw), BITS)
    expanded = [share.elements(x.shape) for share in shares.values()]
    assert np.array_equal(sharing.reconstruct(expanded, x.shape, BITS), x)
    assert np.array_equal(sharing.add(shares.values(), x.shape, BITS), x)
    assert np.array_equal(reduce(np.bitwise_xor, expanded), x)


@pytest.mark.parametrize("ballot", [0, 1])
def test_a_ballot_is_the_xor_of_the_lowest_bits_whatever_the_others_are(ballot: int) -> None:
    """A seed expands to a whole word; the words above the ballot cancel out with the rest."""
    for number in range(20):
        shares = split(elements(ballot), names(5), "party-3", seed_of(f"ballot {number}"), BITS)
        words = [int(share.elements(())) for share in shares.values()]
        assert reduce(xor, words) == ballot
        assert reduce(xor, [word & 1 for word in words]) == ballot


@repeatable
@given(st.integers(2, 20), st.data())
def test_only_the_explicit_share_is_long(count: int, data: st.DataObject) -> None:
    holders = names(count)
    explicit = data.draw(st.sampled_from(holders))
    shares = split(elements([1, 2, 3]), holders, explicit, seed_of("split"))
    assert [name for name, share in shares.items() if not isinstance(share.content, Seed)] == [explicit]


@repeatable
@given(st.lists(st.lists(whole, min_size=3, max_size=3), min_size=1, max_size=6))
def test_adding_shares_adds_the_inputs(vectors: list[list[int]]) -> None:
    holders = names(3)
    splits = [
        split(elements(each), holders, holders[0], seed_of(f"input {number}"))
        for number, each in enumerate(vectors)
    ]
    outputs = [sharing.add((shares[holder] for shares in splits), (3,)) for holder in holders]
    total = sharing.reconstruct(outputs, (3,))
    assert total.tolist() == [sum(column) % 2**64 for column in zip(*vectors, strict=True)]


def test_the_same_seed_gives_the_same_shares() -> None:
    once, again = (split(elements([7, 8]), names(3), "party-1", seed_of("s")) for _ in range(2))
    for holder in names(3):
        assert np.array_equal(once[holder].elements((2,)), again[holder].elements((2,)))


@pytest.mark.parametrize("content", [seed_of("secret"), elements([123456789])])
def test_a_share_has_no_repr(content: Seed | Ring) -> None:
    assert repr(Share(content)) == str(Share(content)) == "Share(<redacted>)"


# -- uniformity ------------------------------------------------------------------------------------


def is_uniform(vector: Ring) -> bool:
    """Pearson's chi-square over the values of the bytes, for each of the eight places in an element and
    for all together: a flaw in the lowest bits must not hide among the others."""
    raw = vector.astype("<u8").view(np.uint8).reshape(-1, 8)
    return all(_chi_square(each) < CRITICAL for each in (raw, *raw.T))


def _chi_square(raw: np.typing.NDArray[np.uint8]) -> float:
    counts = np.bincount(raw.reshape(-1), minlength=256)
    expected = raw.size / 256
    return float(((counts - expected) ** 2 / expected).sum())


def partial_sums(how: Split, x: Ring, count: int, group: Group) -> Iterator[Ring]:
    """Every share, and every sum of 2 to k − 1 of them."""
    holders = names(count)
    shares = [share.elements(x.shape) for share in how(x, holders, holders[-1], seed_of("split")).values()]
    for size in range(1, count):
        for chosen in combinations(shares, size):
            yield sharing.reconstruct(chosen, x.shape, group)


def tells_nothing(how: Split, x: Ring, count: int, group: Group = INTEGERS) -> bool:
    return all(is_uniform(each) for each in partial_sums(how, x, count, group))


FIXED = [np.zeros(LENGTH, np.uint64), np.full(LENGTH, 2**64 - 1, np.uint64)]


@pytest.mark.parametrize("x", FIXED, ids=["zeros", "ones"])
@pytest.mark.parametrize("count", [2, 3, 5])
def test_any_but_one_of_the_shares_are_uniform(x: Ring, count: int) -> None:
    assert tells_nothing(split, x, count)


@pytest.mark.parametrize("x", FIXED, ids=["zeros", "ones"])
@pytest.mark.parametrize("count", [2, 3, 5])
def test_any_but_one_of_the_shares_of_bits_are_uniform(x: Ring, count: int) -> None:
    assert tells_nothing(partial(split, group=BITS), x, count, BITS)


def one_seed_for_two(x: Ring, holders: Sequence[str], explicit: str, seed: Seed) -> dict[str, Share]:
    """A split that gives two holders the same seed."""
    shares = split(x, holders, explicit, seed)
    first, second = holders[:2]
    twin = shares[first].elements(x.shape)
    rest = shares[explicit].elements(x.shape) + shares[second].elements(x.shape) - twin
    return shares | {second: shares[first], explicit: Share(rest)}


def one_not_subtracted(x: Ring, holders: Sequence[str], explicit: str, seed: Seed) -> dict[str, Share]:
    """A split whose explicit share lacks one of the seeds."""
    shares = split(x, holders, explicit, seed)
    return shares | {
        explicit: Share(shares[explicit].elements(x.shape) + shares[holders[0]].elements(x.shape))
    }


def half_a_seed(x: Ring, holders: Sequence[str], explicit: str, seed: Seed) -> dict[str, Share]:
    """A split whose masks are only 32 bits wide."""
    masks = {name: seed.derive(name).expand(x.shape) & np.uint64(2**32 - 1) for name in holders}
    rest = x - sum(masks.values()) + masks[explicit]
    return {name: Share(rest if name == explicit else mask) for name, mask in masks.items()}


@pytest.mark.parametrize("x", FIXED, ids=["zeros", "ones"])
@pytest.mark.parametrize("mutation", [one_seed_for_two, one_not_subtracted, half_a_seed])
def test_the_same_test_rejects_a_wrong_split(mutation: Split, x: Ring) -> None:
    assert not tells_nothing(mutation, x, 3)


@pytest.mark.parametrize("holder", names(3))
def test_another_view_gives_independent_shares(holder: str) -> None:
    x, seed = FIXED[0], seed_of("session")
    one, other, same = (
        split(x, names(3), "party-2", seed.derive("split", view))[holder].elements(x.shape)
        for view in (b"one view", b"other view", b"one view")
    )
    assert is_uniform(one - other)
    assert is_uniform(one + other)
    assert not is_uniform(one - same), "the same seed under the same view would be noticed"
