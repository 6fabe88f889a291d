"""What a person can do with the two programs, as processes on a real broker."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from coordinator.processes import Services
from tests.e2e.conftest import INPUTS, PARTIES
from tests.support.programs import Ran, run

KEYS = ["session", "function", "state", "result", "inputs", "parties", "elapsed_s", "abort"]


def launch(directory: Path, *arguments: str) -> Ran:
    return run("coordinator", "launch", *arguments, "--dir", directory, "--within", "30")


def config(directory: Path, name: str) -> Path:
    return directory / "parties" / name / "config.toml"


def completed(ran: Ran) -> dict[str, Any]:
    assert ran.code == 0, ran.err
    found: dict[str, Any] = ran.data
    assert list(found) == KEYS
    assert found["state"] == "completed"
    assert found["abort"] is None
    return found


# -- launch ------------------------------------------------------------------------


def test_the_average_of_the_four_engineers(directory: Path) -> None:
    ran = launch(directory, "average", "--input", "raise")
    assert ran.code == 0, ran.err
    assert ran.out == "average = 3171.50\n"
    assert "joined" in ran.err


def test_json_is_one_object_on_stdout_and_decimals_are_strings(directory: Path) -> None:
    ran = launch(directory, "sum", "--input", "raise", "--json")
    found = completed(ran)
    assert found["result"] == "12686.00"
    assert found["inputs"] == PARTIES
    assert found["parties"] == [*PARTIES, "coordinator"]
    assert 0 < found["elapsed_s"] < 30
    assert ran.out.count("\n") == 1
    assert ran.err == ""


def test_roles_can_be_disjoint(directory: Path) -> None:
    ran = launch(
        directory, *"sum --input raise --parties alice,bob,carlos --compute bob,david".split(), "--json"
    )
    assert completed(ran)["result"] == "9296.00"


def test_only_the_named_result_party_learns_the_answer(directory: Path) -> None:
    found = completed(launch(directory, *"sum --input bonus --result-to carlos --json".split()))
    assert found["result"] is None
    session = found["session"][:16]
    at_carlos = run("party-node", "result", session, "--config", config(directory, "carlos"))
    assert (at_carlos.code, at_carlos.out) == (0, "sum = 14.75\n")
    at_alice = run("party-node", "result", session, "--config", config(directory, "alice"), "--json")
    assert at_alice.code == 3
    assert at_alice.data["result"] is None


def test_a_public_answer_is_everybodys(directory: Path) -> None:
    ran = launch(directory, *"average --input bonus --decimals 4 --result-to bob --public --json".split())
    assert completed(ran)["result"] == "3.6875"


def test_a_negative_and_bounded_sum(directory: Path) -> None:
    ran = launch(
        directory, *"sum --input bonus --lower -5 --upper 20 --parties alice,bob,carlos --json".split()
    )
    assert completed(ran)["result"] == "7.75"


# -- refused, before or after the announcement ------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("sum --input raise --parties alice,mallory", "mallory is not in the roster"),
        ("sum --input raise --lower 5 --upper 1", "lower 5 is above upper 1"),
        ("sum --input raise --lower x", "--lower x: not a number"),
        ("sum --input raise --lower nan", "finite"),
        ("sum --input raise --compute alice", "compute"),
        ("sum --input raise --min-inputs 9", "min_inputs 9 is more than the 4"),
        ("sum --input raise --upper 1e17 --decimals 4", "could pass 2^63"),
        ("sum --input raise --decimals 19", "decimals"),
    ],
)
def test_what_cannot_be_is_told_and_nothing_is_announced(
    directory: Path, arguments: str, message: str
) -> None:
    before = run("coordinator", "list", "--dir", directory, "--json").data
    ran = launch(directory, *arguments.split())
    assert ran.code == 1
    assert ran.out == ""
    assert ran.err.startswith("coordinator: error: ")
    assert message in ran.err
    assert "coordinator: hint: " in ran.err
    assert run("coordinator", "list", "--dir", directory, "--json").data == before


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ("sum --input salary", "no input is named salary"),
        ("sum --input raise --upper 3000", "outside the bounds"),
        ("sum --input bonus --decimals 1", "more than the 1 decimals"),
        ("sum --input raise --min-inputs 2", "an answer over 2 inputs"),
    ],
)
def test_a_node_refuses_for_its_own_reason_and_says_only_a_code(
    directory: Path, arguments: str, why: str
) -> None:
    ran = launch(directory, *arguments.split(), "--json")
    assert ran.code == 3, ran.err
    found = ran.data
    assert found["state"] == "aborted"
    assert found["result"] is None
    assert found["abort"]["reason"] == "refused"
    assert "alice refused" in found["abort"]["detail"]
    assert why not in ran.out + ran.err
    log = (directory / "log" / "alice.log").read_text()
    assert why in log
    assert not re.search(r"(?<![0-9])3800(?![0-9])", log), "not by chance in a time"


# -- afterwards ------------------------------------------------------------------------


def test_sessions_can_be_listed_and_shown_again(directory: Path) -> None:
    first = completed(launch(directory, *"sum --input raise --json".split()))
    listed = run("coordinator", "list", "--dir", directory, "--json").data["sessions"]
    assert first in listed
    shown = run("coordinator", "result", first["session"][:12], "--dir", directory, "--json")
    assert shown.data == first
    watched = run("coordinator", "watch", first["session"], "--dir", directory)
    assert watched.out == "sum = 12686.00\n"
    at_bob = run("party-node", "sessions", "--config", config(directory, "bob"), "--json").data
    mine = next(each for each in at_bob if each["session"] == first["session"])
    assert (mine["state"], mine["result"]) == ("completed", None)


def test_an_unknown_session_is_an_error_with_a_hint(directory: Path) -> None:
    ran = run("coordinator", "result", "ffff", "--dir", directory)
    assert ran.code == 1
    assert ran.err == (
        "coordinator: error: no session whose id starts with ffff\n"
        "coordinator: hint: `sessions` or `list` shows the ids\n"
    )


def test_a_dry_run_tells_who_learns_what_and_announces_nothing(directory: Path) -> None:
    before = run("coordinator", "list", "--dir", directory, "--json").data
    ran = launch(directory, *"average --input raise --result-to carlos --compute alice,bob --dry-run".split())
    assert ran.code == 0
    assert "result parties  carlos" in ran.out
    assert "compute parties alice, bob" in ran.out
    spec = launch(directory, *"average --input raise --dry-run --json".split()).data
    assert spec["function"]["name"] == "average"
    assert run("coordinator", "list", "--dir", directory, "--json").data == before


# -- the node's own commands ------------------------------------------------------------------------


def test_check_passes_beside_the_running_node(directory: Path) -> None:
    ran = run("party-node", "check", "--config", config(directory, "alice"))
    assert ran.code == 0, ran.err
    assert "lets alice in" in ran.out
    assert "3800" not in ran.out


def test_an_environment_variable_names_the_config_and_overrides_it(directory: Path) -> None:
    env = {"SOTTO_CONFIG": str(config(directory, "alice")), "SOTTO_BROKER__PORT": "1"}
    ran = run("party-node", "check", env=env)
    assert ran.code == 1
    assert "party-node: error: " in ran.err
    assert ":1" in ran.err


def test_the_secrets_of_an_ended_session_cannot_be_replayed(directory: Path) -> None:
    session = completed(launch(directory, *"sum --input raise --json".split()))["session"]
    ran = run("party-node", "replay", session, "--config", config(directory, "bob"))
    assert ran.code == 1
    assert "are deleted" in ran.err


# -- making it all ------------------------------------------------------------------------


def test_a_party_enrolls_with_keys_that_never_leave_its_machine(tmp_path: Path) -> None:
    made = run("coordinator", "init", "--dir", tmp_path / "D", "--broker", "broker.example.org:8883")
    assert made.code == 0, made.err
    begun = run(
        *("party-node", "init", "--name", "erin", "--dir", tmp_path / "erin"),
        *("--broker", "broker.example.org:8883"),
    )
    assert begun.code == 0, begun.err
    identity = begun.out.split('identity = "')[1].split('"')[0]
    request = tmp_path / "erin" / "tls.csr"
    enrolled = run("coordinator", "enroll", "erin", request, identity, "--dir", tmp_path / "D")
    assert enrolled.code == 0, enrolled.err
    assert "BEGIN CERTIFICATE" in (tmp_path / "D" / "parties" / "erin" / "tls.crt").read_text()
    assert not list((tmp_path / "D" / "parties").rglob("*.key"))
    other = "A" * 43 + "="
    again = run("coordinator", "enroll", "erin", request, other, "--dir", tmp_path / "D")
    assert again.code == 1
    assert "ANOTHER identity" in again.err


def test_up_without_parties_or_a_cluster_is_an_error(tmp_path: Path) -> None:
    ran = run("coordinator", "up", "--dir", tmp_path / "D")
    assert ran.code == 1
    assert "--parties" in ran.err
    assert not (tmp_path / "D").exists()


def test_usage_errors_have_a_code_of_their_own(tmp_path: Path) -> None:
    ran = run("coordinator", "launch", "sum", "--dir", tmp_path)
    assert ran.code == 2
    assert "--input" in ran.err


def test_help_names_every_option_of_a_function() -> None:
    ran = run("coordinator", "launch", "average", "--help", env={"COLUMNS": "200", "NO_COLOR": "1"})
    for option in ("--input", "--lower", "--upper", "--decimals", "--min-inputs", "--within", "--dry-run"):
        assert option in ran.out


def test_a_bad_config_names_file_and_key(tmp_path: Path) -> None:
    path = tmp_path / "alice.toml"
    path.write_text('name = "alice"\nport = 1\n')
    ran = run("party-node", "run", "--config", path)
    assert ran.code == 1
    assert ran.err.startswith(f"party-node: error: {path}: ")


def test_json_has_no_other_form(directory: Path) -> None:
    ran = launch(directory, *"average --input raise --json".split())
    assert json.dumps(ran.data) + "\n" == ran.out


def test_up_starts_a_cluster_from_a_table_and_down_stops_it(tmp_path: Path) -> None:
    table = tmp_path / "inputs.csv"
    table.write_text(INPUTS)
    directory = tmp_path / "D"
    first = ("up", "--dir", directory, "--parties", ",".join(PARTIES), "--inputs", table)
    try:
        up = run("coordinator", *first, "--lifetime", "100")
        assert up.code == 0, up.err
        assert completed(launch(directory, *"average --input raise --json".split()))["result"] == "3171.50"
        assert Services(directory).process("alice") is not None
    finally:
        down = run("coordinator", "down", "--dir", directory)
    assert (down.code, down.err) == (0, "")
    assert Services(directory).running() == []
    assert "3800" in config(directory, "alice").read_text()
    assert "3800" not in config(directory, "bob").read_text()
