"""The systemd unit starts what there is, from where `party-node init` puts it, with few rights."""

from __future__ import annotations

import configparser
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from party_node import cli, console, enrolment
from party_node.config import load_node

ROOT = Path(__file__).parents[2]
UNIT = ROOT / "configs" / "party-node.service"
EXPOSED = 20  # tenths, of at most 100: what `systemd-analyze security` may find


class _Unit(configparser.RawConfigParser):
    """systemd's own dialect: keys keep their case, and = is the one that separates."""

    def __init__(self) -> None:
        super().__init__(strict=False, delimiters=("=",), comment_prefixes=("#", ";"), interpolation=None)
        self.read(UNIT)

    def optionxform(self, optionstr: str) -> str:
        return optionstr


def commands() -> list[list[str]]:
    """What systemd runs, without the path of the program."""
    service = _Unit()["Service"]
    return [shlex.split(service[key].removeprefix("-")) for key in ("ExecStartPre", "ExecStart")]


def test_the_programs_command_line_accepts_what_the_unit_and_its_comments_run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    told = [
        shlex.split(line)
        for line in re.findall(r"^#.* (party-node (?:init|doctor) .*)$", UNIT.read_text(), re.MULTILINE)
    ]
    assert [line[1] for line in told] == ["init", "doctor"]
    for program, *arguments in [
        *commands(),
        *reversed(told),
    ]:  # before there is a config, so nothing is tried
        assert Path(program).name == "party-node"
        given = [word.replace("/etc/sotto", str(tmp_path / "etc")) for word in arguments]
        monkeypatch.setattr(sys, "argv", ["party-node", *given])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        assert ended.value.code != console.USAGE, capsys.readouterr().err


def test_the_units_paths_are_those_of_init_and_of_the_readme(tmp_path: Path) -> None:
    service = _Unit()["Service"]
    configs = {line[line.index("--config") + 1] for line in commands()}
    assert configs == {"/etc/sotto/config.toml"}
    readme = (ROOT / "README.md").read_text()
    assert "party-node init --name alice --dir /etc/sotto " in readme
    assert "party-node run --config /etc/sotto/config.toml" in " ".join(readme.split())
    state = f"/var/lib/{service['StateDirectory']}"
    assert f'data_dir = "{state}"' in UNIT.read_text()
    assert f'data_dir = "{state}"' in (ROOT / "configs" / "alice.toml").read_text()
    enrolment.create("alice", tmp_path / "etc", "broker.example.org:8883")
    made = tmp_path / "etc" / "config.toml"
    made.write_text(made.read_text().replace('data_dir = "data"', f'data_dir = "{state}"'))
    assert str(load_node(made).data_dir) == state


def test_the_node_is_told_to_stop_by_the_signal_that_it_hears_and_has_the_time_it_needs() -> None:
    service = _Unit()["Service"]
    assert service["KillSignal"] == "SIGTERM"
    assert int(service["TimeoutStopSec"]) > 5
    assert service["Type"] == "notify"
    assert service["Restart"] == "on-failure"
    assert service["UMask"] == "0077"


def _analyze(tmp_path: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """systemd's own judgement of the unit, with a program that is there."""
    program = shutil.which("systemd-analyze")
    if program is None:
        pytest.skip("systemd is not installed")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "party-node").write_text("#!/bin/sh\n")
    (tmp_path / "bin" / "party-node").chmod(0o755)
    unit = tmp_path / UNIT.name
    unit.write_text(UNIT.read_text().replace("/opt/sotto/bin", str(tmp_path / "bin")))
    env = {**os.environ, "SYSTEMD_COLORS": "0"}
    command = [program, *arguments, str(unit)]
    return subprocess.run(command, capture_output=True, text=True, timeout=30, check=False, env=env)


def test_systemd_knows_every_key_of_the_unit(tmp_path: Path) -> None:
    done = _analyze(tmp_path, "verify")
    assert (done.returncode, done.stderr) == (0, "")


def test_systemd_finds_little_that_the_unit_leaves_open(tmp_path: Path) -> None:
    done = _analyze(tmp_path, "security", "--offline=true", f"--threshold={EXPOSED}")
    if "unrecognized option" in done.stderr:
        pytest.skip("this systemd judges only units that are installed")
    assert done.returncode == 0, done.stdout
