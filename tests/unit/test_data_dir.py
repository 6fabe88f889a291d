"""One node on one data directory, however the one before ended."""

from __future__ import annotations

import stat
import subprocess
import sys
from pathlib import Path

import pytest

from party_node import daemon, data_dir
from party_node.config import BrokerConfig, NodeConfig
from protocol.errors import ConfigError

HOLDER = """
import sys
from pathlib import Path
from party_node import data_dir
with data_dir.held(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_directory_that_another_process_runs_on_is_refused_until_that_one_is_gone(tmp_path: Path) -> None:
    command = [sys.executable, "-c", HOLDER, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"held\n"
        with pytest.raises(ConfigError, match="another node runs on it") as caught, data_dir.held(tmp_path):
            pass
        assert str(tmp_path) in caught.value.message
        assert "data_dir of its own" in caught.value.hint
        other.kill()
    with data_dir.held(tmp_path):
        pass


async def test_a_second_node_ends_before_it_opens_the_journal(tmp_path: Path) -> None:
    config = NodeConfig(
        name="alice",
        data_dir=tmp_path,
        roster=tmp_path / "roster.toml",
        identity_key=tmp_path / "identity.key",
        broker=BrokerConfig(
            host="localhost", port=1, ca=tmp_path / "ca", certificate=tmp_path / "c", key=tmp_path / "k"
        ),
    )
    with data_dir.held(tmp_path):
        with pytest.raises(ConfigError, match="another node runs on it"):
            await daemon.serve(config)
        assert not (tmp_path / daemon.JOURNAL).exists()


def test_the_directory_is_created_for_its_owner_alone(tmp_path: Path) -> None:
    with data_dir.held(tmp_path / "new" / "data"):
        pass
    assert stat.S_IMODE((tmp_path / "new" / "data").stat().st_mode) == 0o700


def test_a_directory_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="file/data: "), data_dir.held(tmp_path / "file" / "data"):
        pass
