"""Real nodes write down what they can show; who has only the roster checks it elsewhere."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from coordinator import broker, cluster
from party_node.audit.screen import lines
from party_node.audit.verdict import Standing, verify
from party_node.roster import load_roster
from tests.support.programs import Ran, run

PARTIES = ("alice", "bob", "carlos")
INPUTS = "party,raise\nalice,31415.93\nbob,27182.82\ncarlos,16180.34\n"
LIFETIME = 600.0  # seconds; should the test run die, the processes end by themselves


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A running cluster of three."""
    scratch = tmp_path_factory.mktemp("cluster")
    (scratch / "inputs.csv").write_text(INPUTS)
    cluster.create(scratch / "D", PARTIES, scratch / "inputs.csv", kind=broker.available_kind())
    try:
        cluster.up(scratch / "D", lifetime=LIFETIME)
        yield scratch / "D"
    finally:
        cluster.down(scratch / "D")


@pytest.fixture
def elsewhere(directory: Path, tmp_path: Path) -> Path:
    """A machine that knows only the roster."""
    shutil.copy(directory / "roster.toml", tmp_path)
    return tmp_path


def launched(directory: Path, question: str) -> str:
    ran = run("coordinator", "launch", *question.split(), "--dir", directory, "--within", "30", "--json")
    assert (ran.code, ran.data["state"]) == (0, "completed"), ran.err
    session: str = ran.data["session"]
    return session


def exported(directory: Path, elsewhere: Path, session: str, name: str) -> Path:
    path = elsewhere / f"{name}.json"
    config = directory / "parties" / name / "config.toml"
    ran = run("party-node", "audit", "export", session, "--config", config, "--out", path, "--json")
    assert (ran.code, ran.data) == (0, {"bundle": str(path)}), ran.err
    return path


def verified(elsewhere: Path, *bundles: Path) -> Ran:
    return run("party-node", "audit", "verify", *bundles, "--roster", elsewhere / "roster.toml")


def rows(shown: list[str]) -> dict[str, str]:
    return {line[:14].strip(): line[14:] for line in shown[1:] if line}


def test_a_sum_that_two_nodes_show_is_checked_where_only_the_roster_is_known(
    directory: Path, elsewhere: Path
) -> None:
    session = launched(directory, "sum --input raise --public --result-to alice,bob")
    bundles = [exported(directory, elsewhere, session, name) for name in ("alice", "carlos")]
    ran = verified(elsewhere, *bundles)
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.splitlines()[0] == "VALID"
    told = rows(ran.out.splitlines())
    assert told["session"] == session
    assert told["question"] == "sum of raise (decimals 2)"
    assert told["answer"] == "74779.09"
    assert told["learned by"] == "alice and bob, and everybody, as agreed; all have confirmed"
    assert [told[f"at {name}"][:16] for name in ("alice", "carlos")] == ["joined by policy"] * 2


def test_an_average_with_noise_is_shown_with_its_price_and_without_its_answer(
    directory: Path, elsewhere: Path
) -> None:
    question = "average --input raise --lower 0 --upper 50000 --epsilon 0.5"
    session = launched(directory, question)
    raw = exported(directory, elsewhere, session, "bob").read_bytes()
    found = verify([raw], load_roster(elsewhere / "roster.toml"))
    assert (found.standing, found.reason) == (Standing.VALID, "")
    told = rows(lines(found))
    assert told["noise"].startswith("discrete Laplace, Δ 50000, ε 0.5 (replace-one)")
    assert told["at bob"].startswith("joined by policy; ε 0.5 of raise spent; completed ")
    assert "answer" not in told
    assert not any(line.split(",")[1].encode() in raw for line in INPUTS.splitlines()[1:])
