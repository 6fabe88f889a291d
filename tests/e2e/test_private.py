"""Differentially private answers as people ask for them: real processes on a real broker."""

from __future__ import annotations

import re
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from coordinator import broker, cluster
from party_node.config import NodeConfig, load_coordinator, load_node
from party_node.daemon import JOURNAL
from party_node.replay import replay
from party_node.views import open_journal
from protocol.dp.noise import Noise, Relation
from tests.support.programs import Ran, run

PARTIES = ("alice", "bob", "carlos", "david")
# The same ballots under several names: no node answers two thresholds over one input without a budget.
INPUTS = """party,raise,diagnosis,merge,merge2,merge3
alice,3800,1,yes,yes,yes
bob,2514,3,yes,yes,yes
carlos,2982,3,no,no,no
david,3390,5,yes,yes,yes
"""
LIFETIME = 600.0  # seconds; should the test run die, the processes end by themselves
AVERAGE = "average --input raise --lower 0 --upper 10000 --epsilon 0.5"
KEPT = 600  # seconds for which a session can be replayed


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A running cluster of four, whose hours are a list."""
    scratch = tmp_path_factory.mktemp("cluster")
    (scratch / "inputs.csv").write_text(INPUTS)
    cluster.create(scratch / "D", PARTIES, scratch / "inputs.csv", kind=broker.available_kind())
    for number, name in enumerate(PARTIES):
        path = scratch / "D" / "parties" / name / "config.toml"
        hours = f'[inputs.hours]\nvalue = ["{number}", "7.5", "8"]\n'
        path.write_text(f"keep_sessions = {KEPT}\n{path.read_text()}\n{hours}")
    try:
        cluster.up(scratch / "D", lifetime=LIFETIME)
        yield scratch / "D"
    finally:
        cluster.down(scratch / "D")


def launch(directory: Path, arguments: str) -> Ran:
    return run("coordinator", "launch", *arguments.split(), "--dir", directory, "--within", "30")


def completed(directory: Path, arguments: str) -> dict[str, Any]:
    ran = launch(directory, f"{arguments} --json")
    assert (ran.code, ran.err) == (0, "")
    found: dict[str, Any] = ran.data
    assert found["state"] == "completed"
    return found


def node(directory: Path, name: str) -> NodeConfig:
    return load_node(directory / "parties" / name / "config.toml")


def replayed(directory: Path, session: str, names: tuple[str, ...] = PARTIES) -> dict[str, dict[str, Any]]:
    return {name: replay(node(directory, name), session) for name in names}


def signed(total: int) -> int:
    return (total + 2**63) % 2**64 - 2**63


# -- answers ---------------------------------------------------------------------------------------------


def test_an_average_with_epsilon_says_what_its_noise_is(directory: Path) -> None:
    found = completed(directory, AVERAGE)
    privacy = found["privacy"]
    assert (
        privacy.items()
        >= {
            "mechanism": "discrete-laplace",
            "relation": "replace-one",
            "sensitivity": "10000",
            "epsilon": "0.5",
            "colluders": 3,
            "compute": 4,
            "deviation": "14142",
        }.items()
    )
    assert 27_000 < int(privacy["interval"]) < 30_000
    # In one run out of 2^64 it would be further away than that.
    noise = Noise(epsilon=5 * 10**8, sensitivity=10**6, relation=Relation.REPLACE_ONE, colluders=3)
    assert abs(Decimal(found["result"]) - Decimal("3171.50")) <= Decimal(noise.tail(4)) / 400
    shown = run("coordinator", "result", found["session"], "--dir", directory).out.splitlines()
    promise = "discrete Laplace, Δ 10000, ε 0.5 (replace-one), against 3 of 4 colluding"
    spread = f"sd 14142, 95 % of the time within ±{privacy['interval']}"
    assert shown == [f"average = {found['result']}", f"noise: {promise}; {spread}"]


def test_two_answers_to_one_question_differ_and_all_who_learn_one_learn_the_same(directory: Path) -> None:
    runs = [completed(directory, AVERAGE) for _ in range(2)]
    assert runs[0]["result"] != runs[1]["result"]
    for found in runs:
        seen = {replayed(directory, found["session"])[name]["result"] for name in PARTIES}
        assert seen == {found["result"]}


def test_the_answer_is_what_was_shared_and_everybodys_noise_and_nobody_reveals_the_one_without_the_other(
    directory: Path,
) -> None:
    found = completed(directory, AVERAGE)
    shown = replayed(directory, found["session"])
    exact = noise = opened = 0
    for each in shown.values():
        held = int(each["kept"]) + sum(int(share) for share in each["held"].values())
        assert int(each["output"]) == (held + int(each["noise"])) % 2**64
        for name, share in each["learned"].items():
            assert share == shown[name]["output"]
        exact, noise, opened = exact + held, noise + int(each["noise"]), opened + int(each["output"])
    assert signed(exact) == 1_268_600
    assert signed(opened) == 1_268_600 + noise
    assert abs(Decimal(found["result"]) * 400 - signed(opened)) <= 2  # rounded to cents
    assert any(int(each["noise"]) for each in shown.values())


def test_the_only_one_who_learns_the_answer_has_its_own_noise_in_it_too(directory: Path) -> None:
    found = completed(directory, f"{AVERAGE} --compute alice,bob --result-to alice")
    assert found["result"] is None
    assert found["privacy"]["colluders"] == 1
    shown = replayed(directory, found["session"], ("alice",))["alice"]
    held = int(shown["kept"]) + sum(int(share) for share in shown["held"].values())
    assert int(shown["output"]) == (held + int(shown["noise"])) % 2**64
    opened = signed(int(shown["output"]) + sum(int(share) for share in shown["learned"].values()))
    assert abs(Decimal(shown["result"]) * 400 - opened) <= 2


def test_a_list_has_noise_in_each_number_for_the_sensitivity_of_them_all(directory: Path) -> None:
    question = "sum --input hours --lower 0 --upper 10 --epsilon 50 --length 3 --colluders 1"
    found = completed(directory, question)
    assert len(found["result"]) == 3
    assert (found["privacy"]["sensitivity"], found["privacy"]["colluders"]) == ("30", 1)
    for number, exact in zip(found["result"], ("6.00", "30.00", "32.00"), strict=True):
        assert abs(Decimal(number) - Decimal(exact)) < 60  # Δ/ε is 0.6: e^−100 of all runs
    assert found["result"] != ["6.00", "30.00", "32.00"]  # else with a chance below 10^−5
    shown = replayed(directory, found["session"], ("bob",))["bob"]
    assert [int(each) == 0 for each in shown["noise"]] != [True] * 3


def test_a_list_without_its_length_gets_no_answer(directory: Path) -> None:
    ran = launch(directory, "sum --input hours --lower 0 --upper 10 --epsilon 50 --json")
    assert (ran.code, ran.data["abort"]["reason"], ran.data["result"]) == (3, "refused", None)


def test_a_histogram_counts_exactly_or_with_noise(directory: Path) -> None:
    exact = completed(directory, "histogram --input diagnosis --bins 5")
    assert exact["result"] == ["1", "0", "2", "0", "1"]
    assert "privacy" not in exact
    noised = completed(directory, "histogram --input diagnosis --bins 5 --epsilon 0.5 --relation add-remove")
    assert (noised["privacy"]["sensitivity"], noised["privacy"]["relation"]) == ("1", "add-remove")
    assert all(re.fullmatch(r"-?[0-9]+", count) for count in noised["result"])
    assert replayed(directory, noised["session"], ("carlos",))["carlos"]["input"] == "3"


def test_a_referendum_with_hardly_any_noise_is_right(directory: Path) -> None:
    # With ε = 50 the count is moved with a chance of 10^−20.
    for name, threshold, answer in (("merge", "3", "YES"), ("merge2", "4", "NO")):
        found = completed(
            directory, f"referendum --input {name} --threshold {threshold} --epsilon 50 --colluders 3"
        )
        assert (found["result"], found["n"], found["T"]) == (answer, 4, int(threshold))
        assert found["privacy"]["interval"] == "0"


def test_a_referendum_with_much_noise_ends_in_one_bit(directory: Path) -> None:
    found = completed(directory, "referendum --input merge3 --threshold 1/2 --epsilon 0.1")
    assert found["result"] in ("YES", "NO")
    assert (found["privacy"]["sensitivity"], found["privacy"]["deviation"]) == ("1", "28.3")
    shown = replayed(directory, found["session"])
    bits = [int(each["output"]) for each in shown.values()]
    assert (sum(bits) % 2 == 1) == (found["result"] == "YES")
    opened = {tuple(each["opened"].items()) for each in shown.values() if len(each["opened"]) > 3}
    assert opened, "the rounds of the gates that add the noise are shown"
    assert all(re.fullmatch(r"-?[0-9]+", each["noise"]) for each in shown.values())
    people = run("coordinator", "result", found["session"], "--dir", directory).out
    assert people.startswith(
        f"referendum = {found['result']} (at least 2 of 4 ballots, with noise)\nnoise on"
    )


def test_a_poll_is_estimated_from_answers_that_each_respondent_randomised(directory: Path) -> None:
    found = completed(directory, "poll --input merge")
    assert found["result"] in ("-0.5000", "0.0000", "0.5000", "1.0000", "1.5000")
    assert Decimal(found["result"]) == Decimal(found["yes"]) / 2 - Decimal("0.5")
    assert (found["n"], found["standard_error"]) == (4, "0.4330")
    assert (found["privacy"]["mechanism"], found["privacy"]["epsilon"]) == ("randomised-response", "ln 3")
    said = [each["input"] for each in replayed(directory, found["session"]).values()]
    assert set(said) <= {"yes, after the coins", "no, after the coins"}
    assert sum(each.startswith("yes") for each in said) == found["yes"]
    config = directory / "parties" / "bob" / "config.toml"
    listed = run("party-node", "sessions", "--config", config, "--json").data
    assert not any({"yes", "standard_error"} & set(each) or each["result"] for each in listed)


# -- before anything is asked ----------------------------------------------------------------------------


def announced(directory: Path) -> list[str]:
    settings = load_coordinator(directory / "coordinator" / "config.toml")
    if not (settings.data_dir / JOURNAL).exists():
        return []  # it has not announced anything yet
    journal = open_journal(settings)
    try:
        return [each.id for each in journal.sessions()]
    finally:
        journal.close()


def test_a_dry_run_shows_the_noise_and_asks_nobody(directory: Path) -> None:
    before = announced(directory)
    ran = launch(directory, f"{AVERAGE} --colluders 2 --dry-run")
    assert "discrete Laplace: Δ 10000, ε 0.5 (replace-one: whatever one party puts in)" in ran.out
    assert "any 2 of the 4 compute parties may pool their noise shares; 2 times the variance" in ran.out
    assert "sd 10000, 95 % of the time within ±" in ran.out
    data = launch(directory, f"{AVERAGE} --dry-run --json").data
    assert data["noise"]["sensitivity"] == 1_000_000
    assert (data["function"]["name"], data["privacy"]["sensitivity"]) == ("average", "10000")
    assert "privacy" not in launch(directory, "average --input raise --dry-run --json").data
    assert announced(directory) == before


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("average --input raise --epsilon 0.5", "--epsilon needs --lower and --upper"),
        ("average --input raise --upper 10000 --epsilon 0.5", "--epsilon needs --lower and --upper"),
        (AVERAGE.replace("0.5", "0"), "--epsilon 0: should be a positive number"),
        (AVERAGE.replace("0.5", "half"), "--epsilon half: not a number"),
        (AVERAGE.replace("0.5", "0.1234567891"), "--epsilon 0.1234567891: should have at most nine decimals"),
        (f"{AVERAGE} --colluders 4", "--colluders 4: at least one of 4 compute parties must be honest"),
        ("average --input raise --colluders 1", "--colluders without --epsilon"),
        ("sum --input raise --relation add-remove", "--relation without --epsilon"),
    ],
)
def test_noise_that_cannot_be_is_told_and_nothing_is_announced(
    directory: Path, arguments: str, message: str
) -> None:
    before = announced(directory)
    ran = launch(directory, arguments)
    assert (ran.code, ran.out) == (1, "")
    assert ran.err.startswith(f"coordinator: error: {message}"), ran.err
    assert "coordinator: hint: " in ran.err
    assert announced(directory) == before


@pytest.mark.parametrize(
    "arguments",
    ["poll --input merge --epsilon 1", f"{AVERAGE} --relation swap", f"{AVERAGE} --colluders half"],
)
def test_options_that_do_not_exist_are_a_matter_of_usage(directory: Path, arguments: str) -> None:
    ran = launch(directory, arguments)
    assert (ran.code, ran.out) == (2, "")


# -- the demonstration -------------------------------------------------------------------------------


def test_the_demonstration_ends_when_a_nodes_budget_does() -> None:
    ran = run("coordinator", "demo", "--function", "private")
    assert ran.code == 0, ran.err
    answers = re.findall(r"^average = (-?[0-9]+\.[0-9]{2})$", ran.out, re.MULTILINE)
    assert len(answers) == len(set(answers)) == 3
    assert ran.out.count("All joined.") == 3
    assert ran.out.count("node refused:") == 1
    assert "bob's node refused:\n1 on top of 3 spent on raise is 4, the budget is 3" in ran.out
    assert "raise: 3 spent, 0 reserved, 0 left of 3\n" in ran.out
