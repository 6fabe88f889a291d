"""`party-node ledger` and `check`: every account in exact decimals, or why none can be trusted."""

import json
from pathlib import Path

import pytest

from party_node import accounts, anchor
from party_node.checks import ledger_line
from party_node.cli import PROGRAM, app
from party_node.config import NodeConfig, load_node
from party_node.console import run
from party_node.journal import Journal
from party_node.ledger import LedgerError

FIRST, SECOND, THIRD, FOURTH = (letter * 64 for letter in "abcd")
CONFIG = """
name = "alice"
data_dir = "data"
roster = "roster.toml"
identity_key = "identity.key"

[broker]
host = "localhost"
port = 8883
ca = "ca.crt"
certificate = "tls.crt"
key = "tls.key"

[inputs.raise]
value = "3800"
epsilon = "3"

[inputs.bonus]
value = "1"
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "config.toml").write_text(CONFIG)
    (tmp_path / "data").mkdir()
    return tmp_path / "config.toml"


@pytest.fixture
def config(path: Path) -> NodeConfig:
    return load_node(path)


def filled(config: NodeConfig) -> None:
    """Four sessions, one of them on an input that is not configured any more."""
    journal = Journal(config.data_dir / "journal.sqlite")
    ledger = journal.ledger
    for session, name, nano, at in (
        (FIRST, "raise", 100_000_000, 1_700_000_000_000),
        (SECOND, "raise", 200_000_001, 1_700_000_001_000),
        (THIRD, "raise", 1_000_000_000, 1_700_000_002_000),
        (FOURTH, "gone", 1_098_612_289, 1_700_000_003_000),
    ):
        assert ledger.reserve(session, name, nano, None, at)
    ledger.spend(FIRST, 1_700_000_004_999)
    ledger.release(THIRD, 1_700_000_005_000)
    ledger.spend(FOURTH, 1_700_000_006_000)
    journal.commit()
    journal.close()


def cost(session: str, epsilon: str, state: str, at: str) -> dict[str, str]:
    return {"session": session, "epsilon": epsilon, "state": state, "at": f"2023-11-14T22:13:{at}Z"}


SHOWN = {
    "inputs": {
        "raise": {
            "budget": "3",
            "spent": "0.1",
            "reserved": "0.200000001",
            "left": "2.699999999",
            "sessions": [
                cost(FIRST, "0.1", "spent", "24"),
                cost(SECOND, "0.200000001", "reserved", "21"),
                cost(THIRD, "1", "released", "25"),
            ],
        },
        "bonus": {"budget": None, "spent": "0", "reserved": "0", "left": None, "sessions": []},
        "gone": {
            "budget": None,
            "spent": "1.098612289",
            "reserved": "0",
            "left": None,
            "sessions": [cost(FOURTH, "1.098612289", "spent", "26")],
        },
    }
}


def called(*arguments: str) -> object:
    """The command line's exit code."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.argv", [PROGRAM, *arguments])
        with pytest.raises(SystemExit) as caught:
            run(app, PROGRAM)
    return caught.value.code


def test_machines_get_one_object_with_every_input(
    path: Path, config: NodeConfig, capsys: pytest.CaptureFixture[str]
) -> None:
    filled(config)
    assert called("ledger", "--config", str(path), "--json") == 0
    printed = capsys.readouterr()
    assert (json.loads(printed.out), printed.err) == (SHOWN, "")


def test_people_get_the_sums_and_a_line_for_each_session(
    path: Path, config: NodeConfig, capsys: pytest.CaptureFixture[str]
) -> None:
    filled(config)
    assert called("ledger", "--config", str(path)) == 0
    assert capsys.readouterr().out.splitlines() == [
        "raise: 0.1 spent, 0.200000001 reserved, 2.699999999 left of 3",
        "  2023-11-14T22:13:24Z  aaaaaaaaaaaa  spent     0.1",
        "  2023-11-14T22:13:21Z  bbbbbbbbbbbb  reserved  0.200000001",
        "  2023-11-14T22:13:25Z  cccccccccccc  released  1",
        "bonus: 0 spent, 0 reserved, no limit",
        "gone: 1.098612289 spent, 0 reserved, no limit",
        "  2023-11-14T22:13:26Z  dddddddddddd  spent     1.098612289",
    ]


def test_it_reads_beside_the_running_node_and_writes_nothing(config: NodeConfig) -> None:
    filled(config)
    journal = Journal(config.data_dir / "journal.sqlite")
    journal.tidy()
    assert journal.ledger.reserve("e" * 64, "raise", 1, None, 1)
    before = (config.data_dir / anchor.FILE).read_bytes()
    assert accounts.show(config) == SHOWN, "what is not committed is not there"
    journal.commit()
    assert accounts.show(config)["inputs"]["raise"]["reserved"] == "0.200000002"
    assert (config.data_dir / anchor.FILE).read_bytes() != before
    journal.close()


def test_a_budget_that_was_lowered_below_what_is_spent_is_shown_as_overdrawn(path: Path) -> None:
    filled(load_node(path))
    path.write_text(CONFIG.replace('"3"', '"0.05"'))
    account = accounts.show(load_node(path))["inputs"]["raise"]
    assert (account["budget"], account["left"]) == ("0.05", "-0.250000001")


def test_a_node_that_was_never_started_has_spent_nothing(config: NodeConfig) -> None:
    assert accounts.lines(accounts.show(config)) == [
        "raise: 0 spent, 0 reserved, 3 left of 3",
        "bonus: 0 spent, 0 reserved, no limit",
    ]
    assert ledger_line(config) == "no ledger yet"
    assert not list(config.data_dir.iterdir()), "who looks makes nothing"


def test_a_node_without_inputs_says_so(path: Path) -> None:
    path.write_text(CONFIG[: CONFIG.index("[inputs.raise]")])
    assert accounts.lines(accounts.show(load_node(path))) == ["no inputs yet"]


def lost_anchor(folder: Path) -> str:
    (folder / anchor.FILE).unlink()
    return f"{folder / anchor.FILE}: missing, while the ledger has 7 entries"


def lost_journal(folder: Path) -> str:
    (folder / "journal.sqlite").unlink()
    return f"{folder / 'journal.sqlite'}: missing, {folder / anchor.FILE} has seen 7 entries"


def cut_anchor(folder: Path) -> str:
    (folder / anchor.FILE).write_text("7 ")
    return f"{folder / anchor.FILE}: not an anchor, expected the number of entries and a hash"


@pytest.mark.parametrize("damage", [lost_anchor, lost_journal, cut_anchor], ids=lambda each: each.__name__)
def test_a_ledger_that_cannot_be_trusted_is_an_error_with_a_hint(
    path: Path, config: NodeConfig, damage: object, capsys: pytest.CaptureFixture[str]
) -> None:
    filled(config)
    assert callable(damage)
    problem = damage(config.data_dir)
    for arguments in (["--json"], []):
        assert called("ledger", "--config", str(path), *arguments) == 1
        printed = capsys.readouterr()
        error, hint = printed.err.splitlines()
        assert (printed.out, error) == ("", f"party-node: error: {problem}")
        assert hint.startswith("party-node: hint: no epsilon is spent; stop the node, and put back")
    with pytest.raises(LedgerError):
        ledger_line(config)


def test_a_check_counts_the_entries(config: NodeConfig) -> None:
    filled(config)
    assert ledger_line(config) == "ledger of 7 entries, as anchored"
