"""`up` and `down` with real processes; a stand-in for the node says online and nothing else."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from coordinator import cluster
from coordinator.broker import BrokerKind
from coordinator.processes import Services
from protocol.errors import SottoError
from tests.support.brokers import KINDS, require

PARTIES = ["alice", "bob"]


def stand_in(config: Path) -> list[str]:
    return [sys.executable, "-m", "tests.support.stand_in_node", str(config)]


def failing(config: Path) -> list[str]:
    return [sys.executable, "-c", "raise SystemExit('the disk is full')"]


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path / "net"
    cluster.down(tmp_path / "net")


@pytest.mark.parametrize("kind", KINDS)
def test_a_cluster_comes_up_stays_up_and_goes_down(home: Path, kind: BrokerKind) -> None:
    require(kind)
    cluster.up(home, PARTIES, kind=kind, command=stand_in)
    services = Services(home)
    assert services.running() == ["alice", "bob", "broker"]
    before = {name: _pid(services, name) for name in services.running()}

    cluster.up(home, command=stand_in)  # nothing to do
    assert {name: _pid(services, name) for name in services.running()} == before

    _kill(before["alice"])
    cluster.up(home, command=stand_in)
    after = {name: _pid(services, name) for name in services.running()}
    assert after.keys() == before.keys()
    assert [name for name in after if after[name] != before[name]] == ["alice"]

    cluster.down(home)
    assert services.running() == []
    assert not any(psutil.pid_exists(pid) and _lives(pid) for pid in after.values())
    cluster.down(home)  # nothing to do


def test_a_cluster_that_was_killed_comes_up_again(home: Path) -> None:
    cluster.up(home, PARTIES, command=stand_in)
    services = Services(home)
    for name in services.running():
        _kill(_pid(services, name))
    cluster.up(home, command=stand_in)
    assert services.running() == ["alice", "bob", "broker"]


def test_a_node_that_ends_at_once_is_named_with_its_log(home: Path) -> None:
    with pytest.raises(SottoError, match="alice ended as soon as it was started") as caught:
        cluster.up(home, PARTIES, kind="embedded", command=failing)
    assert "the disk is full" in caught.value.hint


def test_a_cluster_with_a_lifetime_has_a_process_that_ends_it(home: Path) -> None:
    cluster.up(home, PARTIES, kind="embedded", lifetime=600, command=stand_in)
    process = Services(home).process("lifetime")
    assert process is not None
    assert process.cmdline()[1:] == ["-m", "coordinator.cli", "down", "--dir", str(home), "--after", "600"]


def test_a_process_that_got_the_same_id_later_is_not_ours(home: Path) -> None:
    services = Services(home)
    (home / "run").mkdir(parents=True)
    myself = psutil.Process()
    record = {"pid": myself.pid, "created": myself.create_time() - 1}
    (home / "run" / "broker.json").write_text(json.dumps(record))
    assert services.process("broker") is None
    services.stop(["broker"])  # or this test would end here


def test_a_service_that_ignores_sigterm_is_killed(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("coordinator.processes.GRACE", 0.5)
    services = Services(home)
    code = "import signal, time; signal.signal(15, signal.SIG_IGN); print('deaf', flush=True); time.sleep(60)"
    services.start("broker", [sys.executable, "-c", code])
    while "deaf" not in services.log_tail("broker"):
        assert services.process("broker") is not None
    process = services.process("broker")
    assert process is not None
    services.stop(["broker"])
    assert not _lives(process.pid)


def _pid(services: Services, name: str) -> int:
    process = services.process(name)
    assert process is not None
    return process.pid


def _kill(pid: int) -> None:
    process = psutil.Process(pid)
    process.kill()
    process.wait()


def _lives(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
