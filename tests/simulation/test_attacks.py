"""Adversaries on real nodes: honest parties get the right answer, or a name for what happened.

This is the short form; `python -m tests.simulation --attacks 5000` runs thousands.
"""

from __future__ import annotations

import random
from dataclasses import replace
from typing import get_args

import pytest

import party_node.node
from party_node.node import Node
from protocol import membership, opening, ring
from protocol.errors import SottoError
from protocol.letters import Assembler
from protocol.messages import AbortReason
from protocol.ring import Ring
from protocol.session import Session
from protocol.states import State
from tests.simulation.attack_judge import Played, play
from tests.simulation.attack_reproductions import REPRODUCTIONS
from tests.simulation.attacks import (
    ANY_FLAW,
    CHANGES,
    FLAWS,
    INTERACTIVE,
    Attack,
    Forge,
    Hold,
    Meddle,
    Plot,
    TwoSpecs,
    generate,
)
from tests.simulation.schedule import Noised, Schedule

SEEDS, BLOCK = range(180), 20
QUARTET = ("p0", "p1", "p2", "p3")
TRIO = QUARTET[:3]


@pytest.mark.parametrize("first", SEEDS[::BLOCK])
def test_no_plot_leads_to_a_wrong_answer_or_to_the_blame_of_anybody_honest(first: int) -> None:
    for seed in range(first, first + BLOCK):
        play(generate(seed))


@pytest.mark.parametrize("name", REPRODUCTIONS)
def test_what_once_worked_does_not_work_again(name: str) -> None:
    play(REPRODUCTIONS[name])


def test_the_same_seed_gives_the_same_plot_and_its_repr_is_python() -> None:
    assert generate(7) == generate(7)
    for seed in range(200):
        scope = {each.__name__: each for each in (Plot, Schedule, Noised, *get_args(Attack))}
        scope |= {type(each).__name__: type(each) for each in generate(seed).schedule.operations}
        assert eval(repr(generate(seed)), scope) == generate(seed)


def test_the_short_form_has_every_attack_on_every_function_with_noise_and_without() -> None:
    plots = [generate(seed) for seed in SEEDS]
    assert {type(each) for plot in plots for each in plot.attacks} == {*get_args(Attack)}
    assert {(plot.schedule.function, plot.schedule.noise is None) for plot in plots} == {
        (function, exact)
        for function in ("sum", "average", "histogram", "referendum")
        for exact in (True, False)
    }
    assert {each.what for plot in plots for each in plot.attacks if isinstance(each, Meddle)} == {
        *("drop", "double", "delay", "truncate", "flip", "readdress", "misroute")
    }
    assert {each.change for plot in plots for each in plot.attacks if isinstance(each, TwoSpecs)} == {
        *CHANGES
    }
    assert {each.step for plot in plots for each in plot.attacks if isinstance(each, Forge)} == {*FLAWS}
    roles = {
        (plot.corrupt == plot.schedule.compute[0], plot.corrupt in plot.schedule.results) for plot in plots
    }
    assert roles == {(leads, learns) for leads in (True, False) for learns in (True, False)}


# -- one flaw at a time -----------------------------------------------------------------------------------

SPLIT, BAD = AbortReason.SPLIT_VIEW, AbortReason.BAD_OPENING
INVALID, TIMEOUT = AbortReason.INVALID_MESSAGE, AbortReason.TIMEOUT
GUILTY, SILENT, NOBODY = "guilty", "silent", "nobody"
Verdict = tuple[AbortReason, str] | None  # why there is no answer, and who is named; None: there is one

# What honest parties find out for themselves, where a corrupt member's letters of one step are so flawed
# towards everybody.  Where the table is silent it is an `invalid-message`, and the sender is named.
VERDICTS: dict[tuple[str, str], Verdict] = {
    # It is left to itself what it joins with; but then it must be able to go on.
    **{
        ("join", flaw): (TIMEOUT, SILENT)
        for flaw in ("another key", "offer of small order", "invented setups", "copied")
    },
    **{("join", flaw): (AbortReason.SHAPES_DIFFER, NOBODY) for flaw in ("another shape", "no shape")},
    ("join", "a refusal besides"): (AbortReason.REFUSED, NOBODY),
    ("begin", "another join"): (SPLIT, NOBODY),
    # Others commit anew then, and it does not.
    **{("received", flaw): (TIMEOUT, SILENT) for flaw in ("one input less", "no commitment")},
    ("received", "another view"): (SPLIT, NOBODY),
    # Its reveal is over other commitments than everybody else's.
    **{
        (step, flaw): (SPLIT, NOBODY)
        for step in ("received", "commit")
        for flaw in ("another commitment", "another's commitment", "copied")
    },
    **{("commit", flaw): (SPLIT, NOBODY) for flaw in ("another view", "one input less", "another opened")},
    **{("commit", flaw): (SPLIT, NOBODY) for flaw in ("another order", "a stranger")},
    ("confirm", "another transcript"): (SPLIT, NOBODY),
    **{(step, "another run"): (SPLIT, NOBODY) for step in ("masked", "opened")},
    ("opened", "flipped bits"): (SPLIT, NOBODY),  # it counts with the right ones itself
    ("masked", "flipped bits"): None,
    # Who sends no share that can be used is left out.
    **{("share", flaw): None for flaw in FLAWS["share"] + ANY_FLAW},
    **{("reveal", flaw): (BAD, GUILTY) for flaw in (*FLAWS["reveal"], *ANY_FLAW)},
    # How large it may be, the leader says; so what is too large is dropped.
    **{("reveal", flaw): (TIMEOUT, SILENT) for flaw in ("many parts", "a late part")},
    ("reveal", "another body"): (SPLIT, NOBODY),  # over a transcript that nobody knows
    **{("reveal", flaw): None for flaw in ("no channel", "another channel", "short channel")},  # there is one
    # Only who watches hears of it.
    **{("result", flaw): None for flaw in (*FLAWS["result"], "many parts")},
}
# Where others have said the same, or nobody looks at it, nothing is wrong.
HARMLESS = {
    *(("join", flaw) for flaw in ("another offer", "no offer", "others' setups")),
    *(("begin", flaw) for flaw in ("fewer inputs", "copied")),
    *((step, "copied") for step in ("confirm", "result", "opened")),
}
COMMON = (
    "garbage",
    "many parts",
    "copied",
)  # what is wrong with any letter is looked at closely in these alone:
CLOSELY = ("share", "received", "reveal")
CASES = [
    (step, flaw)
    for step in FLAWS
    for flaw in FLAWS[step] + (ANY_FLAW if step in CLOSELY else COMMON)
    if flaw != "replayed" and (step, flaw) not in HARMLESS | {("masked", "copied")}
]


def flawed(step: str, flaw: str, to: tuple[str, ...] = QUARTET, *more: Attack) -> Played:
    """A session without bad luck in which the leader, or the second one, sends this."""
    votes = step in INTERACTIVE
    members = TRIO if votes else QUARTET
    corrupt = "p0" if step in ("begin", "opened") else "p1"
    schedule = Schedule(
        *(1, members, members, members, len(members) - 1),
        function="referendum" if votes else "sum",
        within=10_000,
        public=step == "result",
    )
    # It keeps what it finds itself to itself; and nobody commits a second time before somebody lacks a share.
    also = (Forge("share", "does not open", ("p2",)),) if step == "commit" else ()
    return play(Plot(schedule, corrupt, (*also, Forge(step, flaw, to), Hold("abort", members), *more)))


@pytest.mark.parametrize(("step", "flaw"), CASES)
def test_each_flaw_in_a_letter_ends_as_the_specification_says(step: str, flaw: str) -> None:
    played = flawed(step, flaw)
    verdict = VERDICTS.get((step, flaw), (INVALID, GUILTY))
    liar = played.battle.plot.corrupt
    assert len(played.ends) == len(played.battle.schedule.members) - 1
    for name, each in played.ends.items():
        if verdict is None:
            assert each.state is State.COMPLETED, f"{name}: {each}"
            continue
        assert each.ending is not None, f"{name}: {each}"
        reason, named = verdict
        assert each.ending.reason is reason, f"{name}: {each}"
        assert each.ending.culprit == (liar if named is GUILTY else None), f"{name}: {each}"
        assert each.ending.silent == ((liar,) if named is SILENT else ()), f"{name}: {each}"


@pytest.mark.parametrize(("step", "flaw"), sorted(HARMLESS))
def test_a_flaw_that_is_none_changes_nothing(step: str, flaw: str) -> None:
    assert flawed(step, flaw).word == "completed"


@pytest.mark.parametrize(
    ("step", "flaw"),
    [("join", "another key"), ("begin", "another join"), ("received", "another view"), ("commit", "garbage")],
)
def test_a_letter_that_is_signed_twice_in_two_versions_names_its_sender(step: str, flaw: str) -> None:
    schedule = Schedule(1, QUARTET, QUARTET, QUARTET, 3, function="sum", within=10_000, delay=0)
    corrupt = "p0" if step == "begin" else "p1"
    also = (Forge("share", "does not open", ("p2",)),) if step == "commit" else ()
    played = play(Plot(schedule, corrupt, (*also, Forge(step, flaw, QUARTET, beside=True))))
    for each in played.ends.values():
        assert each.ending is not None
        assert (each.ending.reason, each.ending.culprit) == (AbortReason.CONTRADICTION, corrupt)


# -- the judge is not blind: each check is taken out once, and the plots must show it ---------------------


def assert_noticed(complaint: str, *plots: Plot) -> None:
    """At least one of these plots succeeds now, in this."""
    with pytest.raises((AssertionError, SottoError), match=complaint):
        _play_all(plots)


def _play_all(plots: tuple[Plot, ...]) -> None:
    for plot in plots:
        play(plot)


def plain(corrupt: str | None, *attacks: Attack) -> Plot:
    """Four who add up, three of whom compute and learn the answer."""
    return Plot(Schedule(1, QUARTET, TRIO, TRIO, 1, function="sum", within=10_000), corrupt, attacks)


def test_an_opening_that_is_not_checked_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    def verify(
        _commitment: bytes, _view: bytes, _party: str, _inputs: object, raw: bytes, shape: tuple[int, ...]
    ) -> Ring:
        return ring.from_bytes(raw[32:], shape)

    monkeypatch.setattr(opening, "verify", verify)
    assert_noticed("has a wrong answer", plain("p1", Forge("reveal", "another output", QUARTET)))


def test_a_signature_that_is_not_checked_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(party_node.node, "check_signature", lambda _part, _identity: None)
    flips = [
        replace(plain(None, Meddle("flip", None, None, 0.3, instead=True)), schedule=each.schedule)
        for each in (Plot(Schedule(seed, QUARTET, TRIO, QUARTET, 3, within=10_000)) for seed in range(5))
    ]
    assert_noticed("who is honest", *flips)


def test_begins_that_are_not_compared_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(membership, "view_digest", lambda session, _begin: bytes.fromhex(session))
    assert_noticed(
        "who is honest",
        plain("p0", Forge("begin", "fewer inputs", ("p1",)), Hold("received", TRIO, last_word=True)),
    )


def test_a_reveal_without_all_commitments_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = Session._committed

    def committed(self: Session, included: tuple[str, ...]) -> dict[str, bytes] | None:
        honest(self, included)
        return dict.fromkeys(self.spec.compute, random.randbytes(32))

    monkeypatch.setattr(Session, "_committed", committed)
    assert_noticed("without all commitments", plain("p1", Forge("received", "no commitment", QUARTET)))


def test_a_contradiction_that_passes_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Assembler, "conflicts", lambda _self, _part: False)
    with pytest.raises(AssertionError):
        test_a_letter_that_is_signed_twice_in_two_versions_names_its_sender("received", "another view")


def test_whoever_blames_the_wrong_one_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    def blame(self: Session, party: str, what: str) -> None:
        self._abort(AbortReason.SPLIT_VIEW, what, culprit=party)

    monkeypatch.setattr(Session, "_split_view", blame)
    assert_noticed(
        "who is honest",
        plain("p0", Forge("begin", "fewer inputs", ("p1",)), Hold("received", TRIO, last_word=True)),
    )


def test_an_exception_in_a_node_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    def handle(self: Node, topic: str, payload: bytes, now: int) -> None:
        assert payload[-1:] != b"}", "this byte is too much"
        honest(self, topic, payload, now)

    honest = Node.handle
    monkeypatch.setattr(Node, "handle", handle)
    assert_noticed("too much", *(generate(seed) for seed in range(5)))
