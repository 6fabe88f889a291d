"""What a session with noise promises: parameters that are checked, and no answer without all of it."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from protocol import ring
from protocol.dp import epsilon
from protocol.dp.noise import Noise, Relation
from protocol.errors import LocalProtocolError
from protocol.functionalities import Functionality
from protocol.functionalities.average import Average
from protocol.functionalities.histogram import Histogram
from protocol.functionalities.poll import Poll
from protocol.functionalities.referendum import Referendum
from protocol.functionalities.sum import Sum
from protocol.holding import Holding
from protocol.messages import AbortReason, Step
from protocol.sharing import Share
from protocol.spec import SessionSpec
from protocol.states import State
from tests.support.sessions import PARTIES, RAISES, Table, losing, make_spec, repeatable, seed_of

BOUNDED = Sum(lower=Decimal(0), upper=Decimal(10_000))
DELTA = 1_000_000  # cents


def noise(function: Functionality, nano: int = epsilon.NANO, colluders: int = 3, **given: object) -> Noise:
    relation = Relation.REPLACE_ONE
    fields: dict[str, object] = {
        "epsilon": nano,
        "sensitivity": function.sensitivity(relation),
        "relation": relation,
        "colluders": colluders,
    }
    return Noise.model_validate(fields | given)


def noisy(function: Functionality, nano: int = epsilon.NANO, nonce: bytes = bytes(16)) -> SessionSpec:
    return make_spec(function, noise=noise(function, nano), nonce=nonce)


def whole(table: Table) -> int:
    """The noise that all of them have added to one number."""
    return int(sum(ring.to_signed(each.elements(())) for each in table.noises.values()))


# -- ε -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "nano"),
    [("0.5", 500_000_000), ("1", 10**9), ("0.000000001", 1), ("3.000", 3 * 10**9), ("1E1", 10**10)],
)
def test_epsilon_is_read_exactly(text: str, nano: int) -> None:
    assert epsilon.parse(Decimal(text)) == nano
    assert Decimal(epsilon.text(nano)) == Decimal(text)


@pytest.mark.parametrize(
    "text", ["0", "-1", "NaN", "Infinity", "0.0000000001", "1E30", "1E-999999", f"1.{0:040}1"]
)
def test_an_epsilon_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"should|is so large"):
        epsilon.parse(Decimal(text))


@pytest.mark.parametrize("text", ["1e999999", "1e999991", "9.99e999999"])
def test_an_epsilon_beyond_what_decimals_can_multiply_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is so large"):
        epsilon.parse(Decimal(text))


@repeatable
@given(st.integers(-(10**15), 10**15))
def test_nano_epsilon_is_shown_exactly_and_briefly(nano: int) -> None:
    shown = epsilon.text(nano)
    assert Decimal(shown) == Decimal(nano).scaleb(-9)
    assert not shown.endswith((".", "0")) or "." not in shown


# -- parameters ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("function", "replace_one", "add_remove"),
    [
        (BOUNDED, DELTA, DELTA),
        (Average(lower=Decimal(-5), upper=Decimal(5), decimals=1), 100, 100),
        (Sum(lower=Decimal(1), upper=Decimal(3), decimals=0, length=7), 14, 14),
        (Histogram(bins=5), 2, 1),
        (Referendum(threshold="1/2"), 1, 1),
    ],
)
def test_the_sensitivity_of_each_function(function: Functionality, replace_one: int, add_remove: int) -> None:
    assert function.sensitivity(Relation.REPLACE_ONE) == replace_one
    assert function.sensitivity(Relation.ADD_REMOVE) == add_remove


def test_what_is_paid_is_counted_under_replace_one_whatever_the_session_promises() -> None:
    bins = Histogram(bins=3)
    for function, relation, cost in [
        (BOUNDED, Relation.ADD_REMOVE, epsilon.NANO),
        (bins, Relation.REPLACE_ONE, epsilon.NANO),
        (bins, Relation.ADD_REMOVE, 2 * epsilon.NANO),
    ]:
        stated = noise(function, relation=relation, sensitivity=function.sensitivity(relation))
        assert make_spec(function, noise=stated).epsilon == cost
    assert make_spec(Poll()).epsilon == 1_098_612_289
    assert make_spec(BOUNDED).epsilon is None


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (Sum(), "--epsilon needs --lower and --upper"),
        (Sum(lower=Decimal(1)), "--epsilon needs --lower and --upper"),
        (Sum(lower=Decimal(1), upper=Decimal(1)), "the same"),
        (Poll(), "a poll takes no --epsilon"),
    ],
)
def test_where_no_noise_can_be_added_none_is_announced(function: Functionality, words: str) -> None:
    stated = Noise(epsilon=1, sensitivity=1, relation=Relation.REPLACE_ONE, colluders=1)
    with pytest.raises(ValidationError, match=words):
        make_spec(function, noise=stated)


def test_one_compute_party_at_least_must_be_taken_to_be_honest() -> None:
    make_spec(BOUNDED, noise=noise(BOUNDED, colluders=3))
    with pytest.raises(ValidationError, match="one must be honest"):
        make_spec(BOUNDED, noise=noise(BOUNDED, colluders=4))


def test_noise_that_could_pass_the_ring_is_refused() -> None:
    wide = Sum(lower=Decimal(0), upper=Decimal(2**40), decimals=0)
    make_spec(wide, noise=noise(wide, epsilon.NANO))
    with pytest.raises(ValidationError, match="could pass 2\\^63"):
        make_spec(wide, noise=noise(wide, epsilon.NANO // 10**6))


def test_with_noise_the_shape_is_fixed_beforehand() -> None:
    listed = Sum(lower=Decimal(0), upper=Decimal(1), length=3)
    assert noisy(BOUNDED).shape == ()
    assert noisy(listed).shape == (3,)
    assert make_spec(Sum()).shape is None
    table = Table(noisy(BOUNDED), {name: [1, 2] for name in PARTIES}).start().run()
    assert {each.outcome.state for each in table.sessions.values()} == {State.ABORTED}
    assert Step.SHARE not in {letter.step for _, letter in table.letters}


TAILS = {  # R = n/(n − c): B·ε/W for a tail of 2^−64, as others have computed it
    (1, 1): 44.4, (3, 2): 50.8, (3, 1): 54.8, (10, 1): 68, (100, 1): 147, (1000, 1): 429,
}  # fmt: skip


@pytest.mark.parametrize(("parties", "parts"), TAILS)
def test_the_tail_bound_holds_and_is_not_wasteful(parties: int, parts: int) -> None:
    stated = Noise(epsilon=1, sensitivity=1, relation=Relation.REPLACE_ONE, colluders=parties - parts)
    bound = stated.tail(parties) * stated.rate
    assert TAILS[parties, parts] <= bound <= 5 * TAILS[parties, parts]
    if parties <= 10:
        assert bound <= Fraction(5, 4) * Fraction(TAILS[parties, parts])


def test_a_noised_count_has_room_for_all_ballots_and_the_tail() -> None:
    spec = noisy(Referendum(threshold="1/2"))
    most = 4 + spec.noise.tail(4) if spec.noise else 0
    assert 2 ** (spec.noise_width - 2) <= most < 2 ** (spec.noise_width - 1)
    assert make_spec(Referendum(threshold="1/2")).noise_width == 0


# -- sessions ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [Sum, Average])
def test_what_is_opened_is_the_sum_and_everybodys_noise(kind: type[Sum | Average]) -> None:
    function = kind(lower=Decimal(0), upper=Decimal(10_000))
    table = Table(noisy(function)).start().deliver()
    assert len(table.noises) == 4
    expected = function.decode(np.array(sum(RAISES.values()) + whole(table)).astype(np.uint64), 4).text()
    assert table.texts() == dict.fromkeys(PARTIES, expected)
    assert whole(table) != 0


def test_each_number_of_a_list_has_noise_of_its_own() -> None:
    function = Sum(lower=Decimal(0), upper=Decimal(10_000), length=3)
    values = {name: [value, 0, 5] for name, value in RAISES.items()}
    table = Table(noisy(function), values).start().deliver()
    noises = np.sum([ring.to_signed(each.elements((3,))) for each in table.noises.values()], axis=0)
    expected = np.array([sum(RAISES.values()), 0, 20]) + noises
    [opened] = {tuple(text) for text in table.texts().values()}
    assert [Decimal(each) for each in opened] == [Decimal(int(each)).scaleb(-2) for each in expected]
    assert len(set(noises.tolist())) == 3


def test_a_negative_noised_sum_is_a_negative_number() -> None:
    spec = noisy(BOUNDED, epsilon.NANO // 10**3)
    specs = [spec.model_copy(update={"nonce": bytes([number]) * 16}) for number in range(8)]
    tables = [Table(each).start().deliver() for each in specs]
    sums = [Decimal(str(next(iter(table.texts().values())))) for table in tables]
    assert min(sums) < 0 < max(sums)
    assert [each * 100 - sum(RAISES.values()) for each in sums] == [whole(table) for table in tables]


@pytest.mark.parametrize("function", [BOUNDED, Referendum(threshold="1/2"), Histogram(bins=2)], ids=str)
def test_without_everybodys_noise_nothing_is_opened(function: Functionality) -> None:
    shape = make_spec(function, noise=noise(function)).shape
    ones = dict.fromkeys(PARTIES, 1 if shape == () else [1, 0])
    table = Table(noisy(function), ones, without_noise=["carlos"]).start().run()
    for name, session in table.sessions.items():
        ending = session.outcome.ending
        assert session.state is State.ABORTED
        assert ending is not None
        assert ending.reason is AbortReason.TIMEOUT
        assert ending.silent == (() if name == "carlos" else ("carlos",)) or ending.reported_by
    assert not {Step.COMMIT, Step.REVEAL} & {letter.step for _, letter in table.letters}
    assert "without the noise of carlos" in str(table.sessions["carlos"].outcome)
    assert Step.RECEIVED not in table.steps("carlos")


def test_who_lacks_its_own_noise_blames_nobody_whose_input_was_not_needed() -> None:
    trio = PARTIES[:3]
    stated = noise(BOUNDED, colluders=2)
    spec = make_spec(BOUNDED, compute=trio, results=trio, min_inputs=3, noise=stated)
    table = Table(spec, wire=losing(Step.SHARE, "david"), without_noise=["carlos"]).start().run()
    ending = table.outcome("carlos").ending
    assert ending is not None
    assert ending.silent == ()
    assert "without the noise of carlos" in ending.detail


def test_an_output_share_never_leaves_without_its_noise() -> None:
    holding = Holding("alice", BOUNDED, seed_of("alice"), None, lambda *_: pytest.fail("sealed"), noisy=True)
    with pytest.raises(LocalProtocolError, match="without the noise"):
        holding.commit(())
    holding.take_noise(Share(np.array(7, dtype=np.uint64)))
    holding.commit(())
    assert "7" not in repr(holding)


def test_noise_comes_once() -> None:
    table = Table(noisy(BOUNDED)).start()
    session = table.sessions["alice"]
    assert session.drawing is None
    assert session.drawn(Share(np.array(10**6, dtype=np.uint64)), table.now) == []
    table.deliver()
    assert {each.outcome.state for each in table.sessions.values()} == {State.COMPLETED}
    [shown] = set(table.texts().values())
    assert Decimal(str(shown)) * 100 == sum(RAISES.values()) + whole(table)


def test_only_compute_parties_add_noise() -> None:
    spec = make_spec(BOUNDED, compute=("alice", "bob"), noise=noise(BOUNDED, colluders=1))
    table = Table(spec).start().deliver()
    assert set(table.noises) == {"alice", "bob"}
    assert len(set(table.texts().values())) == 1


def test_a_referendum_with_next_to_no_noise_is_the_referendum() -> None:
    function = Referendum(threshold="3")
    for yes in range(5):
        ballots = {name: int(place < yes) for place, name in enumerate(PARTIES)}
        table = Table(noisy(function, 50 * epsilon.NANO), ballots).start().deliver()
        assert whole(table) == 0
        assert table.texts() == dict.fromkeys(PARTIES, "YES" if yes >= 3 else "NO")


def test_a_referendum_decides_over_the_count_and_the_noise() -> None:
    function, found = Referendum(threshold="3"), set()
    for number in range(12):
        spec = noisy(function, epsilon.NANO // 5, nonce=bytes([number]) * 16)
        table = Table(spec, dict.fromkeys(PARTIES, 1)).start().deliver()
        answer = "YES" if 4 + whole(table) >= 3 else "NO"
        assert table.texts() == dict.fromkeys(PARTIES, answer)
        found.add(answer)
    assert found == {"YES", "NO"}
