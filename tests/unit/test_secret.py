"""A seed never shows its bytes, is never derived twice into the same, and expands as AES-256-CTR does."""

import copy
import json
import pickle

import numpy as np
import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from hypothesis import given
from hypothesis import strategies as st

from protocol.secret import SEED_BYTES, Seed
from protocol.sharing import Share
from tests.support.sessions import repeatable

RAW = bytes(range(100, 132))


@pytest.mark.parametrize("show", [repr, str, ascii, "{}".format, "{!r}".format, "%s".__mod__])
@pytest.mark.parametrize("holder", [Seed(RAW), Share(Seed(RAW)), [Seed(RAW)], {"seed": Seed(RAW)}])
def test_no_way_of_writing_a_seed_shows_its_bytes(show: object, holder: object) -> None:
    assert callable(show)
    shown = show(holder)
    assert "<redacted>" in shown
    assert not any(form in shown for form in (RAW.hex(), repr(RAW), str(list(RAW)), RAW[:4].decode()))


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_seed_cannot_be_pickled(protocol: int) -> None:
    with pytest.raises(TypeError, match="not serialised"):
        pickle.dumps(Seed(RAW), protocol)


def test_a_seed_is_neither_json_nor_copied_nor_bytes() -> None:
    with pytest.raises(TypeError):
        json.dumps(Seed(RAW))
    with pytest.raises(TypeError):
        copy.deepcopy(Seed(RAW))
    with pytest.raises(TypeError):
        bytes(Seed(RAW))  # type: ignore[call-overload]  # that it is no buffer is what is tested
    assert not hasattr(Seed(RAW), "__dict__")


@pytest.mark.parametrize("size", [0, 31, 33])
def test_a_seed_of_another_length_is_refused_without_showing_it(size: int) -> None:
    with pytest.raises(ValueError, match=f"^a seed has 32 bytes, not {size}$"):
        Seed(b"x" * size)


@repeatable
@given(
    st.lists(st.tuples(st.text("aß1/", max_size=3), st.lists(st.binary(max_size=3), max_size=3)), min_size=2)
)
def test_other_labels_and_contexts_give_other_seeds(purposes: list[tuple[str, list[bytes]]]) -> None:
    different = {(label, tuple(context)) for label, context in purposes}
    derived = {Seed(RAW).derive(label, *context).expose() for label, context in different}
    assert len(derived) == len(different)
    assert RAW not in derived


def test_derivation_is_not_fooled_by_where_one_part_ends() -> None:
    seed = Seed(RAW)
    ways = [("a", "bc"), ("ab", "c"), ("a", "b", "c"), ("abc",), ("a", "bc", "")]
    assert len({seed.derive(*way).expose() for way in ways}) == len(ways)


def test_other_seeds_derive_other_seeds() -> None:
    assert Seed(RAW).derive("a").expose() != Seed(bytes(32)).derive("a").expose()


@pytest.mark.parametrize("length", [1, 31, 32, 33, 96])
def test_derive_bytes_gives_as_many_as_asked_for(length: int) -> None:
    assert len(Seed(RAW).derive_bytes(length, "a")) == length
    assert Seed(RAW).derive_bytes(SEED_BYTES, "a") == Seed(RAW).derive("a").expose()


# One element more than a block of the expansion, so that both sides of its border are seen.
@pytest.mark.parametrize("length", [1, 2, 3, 1000, 2**17 - 1, 2**17, 2**17 + 1])
def test_expansion_is_the_aes_256_ctr_keystream(length: int) -> None:
    stream = Cipher(algorithms.AES256(RAW), modes.CTR(bytes(16))).encryptor().update(bytes(8 * length))
    expected = [int.from_bytes(stream[at : at + 8], "little") for at in range(0, min(8 * length, 8000), 8)]
    found = Seed(RAW).expand((length,))
    assert found.dtype == np.uint64
    assert found[: len(expected)].tolist() == expected
    assert found.astype("<u8").tobytes() == stream


@repeatable
@given(st.binary(min_size=32, max_size=32), st.integers(1, 300), st.integers(1, 300))
def test_a_shorter_expansion_is_the_start_of_a_longer_one(raw: bytes, one: int, other: int) -> None:
    short, long = sorted((one, other))
    assert np.array_equal(Seed(raw).expand((short,)), Seed(raw).expand((long,))[:short])


def test_a_scalar_expands_to_the_first_element() -> None:
    scalar = Seed(RAW).expand(())
    assert scalar.shape == ()
    assert int(scalar) == int(Seed(RAW).expand((1,))[0])
