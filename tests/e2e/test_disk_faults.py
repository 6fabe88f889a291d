"""A disk that is full, damaged, lost or read-only, a clock that is off: a clear error, nothing sent or lost.

Real processes on a real broker with a tap on it; carlos has the bad luck.
"""

from __future__ import annotations

import asyncio
import resource
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from pathlib import Path

import psutil
import pytest

from coordinator import broker
from coordinator.cluster import BROKER
from protocol.messages import Step
from tests.support.clients import Client, running
from tests.support.programs import Cluster, Ran, finish, made_cluster, run, until

PARTIES = ("alice", "bob", "carlos")
INPUTS = "party,raise\nalice,3800\nbob,2514\ncarlos,2983\n"
SUM = "sum --input raise --within 50"
ANSWER = "9297.00"
HOUR = 3600  # seconds
MARK = "sotto/1/party/tap/mark"


@pytest.fixture
def network(tmp_path: Path) -> Iterator[Cluster]:
    """Three nodes, a coordinator and a broker that may be tapped; nothing runs yet."""
    with made_cluster(broker.available_kind(), tmp_path, PARTIES, INPUTS, "pattern read #") as made:
        yield made


def data_dir(network: Cluster) -> Path:
    return network.directory / "parties" / "carlos" / "data"


@asynccontextmanager
async def silent(network: Cluster, *names: str, but: tuple[Step, ...] = ()) -> AsyncIterator[None]:
    """Nothing of a session leaves these parties meanwhile, except for some steps."""
    filters = [f"sotto/1/session/+/+/{name}/#" for name in names]
    tap = Client(network.client("tap"), "tap", [*filters, MARK], presence=False)
    async with running(tap):
        tap.transport.send(MARK, b"now")
        await tap.receives(MARK, b"now")  # after all that the broker has kept
        before = len(tap.received)
        yield
        fresh = [topic for topic, payload in tap.received[before:] if payload]
    assert not [topic for topic in fresh if topic.split("/")[4] not in but], fresh


def failed_start(network: Cluster, name: str = "carlos") -> Ran:
    """A start that ends by itself with an error and a hint, and no traceback."""
    ran = run("party-node", "run", "--config", network.config(name))
    assert ran.code == 1, ran.err
    assert ran.out == ""
    assert "Traceback" not in ran.err
    error, hint = ran.err.strip().splitlines()[-2:]
    assert error.startswith("party-node: error: ")
    assert hint.startswith("party-node: hint: ")
    return ran


def shares(network: Cluster, session: str) -> list[str]:
    return [each.topic for each in network.sent("carlos", session) if f"/{Step.SHARE}/" in each.topic]


def halted(network: Cluster) -> tuple[subprocess.Popen[str], str]:
    """A session that carlos has joined, and that waits for alice; carlos is stopped."""
    network.start(BROKER, "bob", "carlos")
    launch = network.launch(SUM)
    until(partial(network.sessions, "carlos"), "carlos joins")
    assert network.terminate("carlos") == 0
    return launch, network.sessions("carlos")[0].id


def completed(network: Cluster, launch: subprocess.Popen[str], *starting: str) -> None:
    network.start(*starting)
    ran = finish(launch)
    assert (ran.code, ran.data["result"]) == (0, ANSWER), ran.out + ran.err


# -- a full disk -------------------------------------------------------------------------------------


async def test_a_file_that_may_not_grow_ends_the_node_before_anything_has_left(network: Cluster) -> None:
    """As with a quota: the limit holds for this one process, and no mount is needed."""
    network.start(BROKER, *PARTIES)
    size = (
        len(network.log("carlos")) + 3_000
    )  # its log may grow a little, and no page of the journal be added
    assert size < 8_192
    async with silent(network, "carlos"):
        network._process("carlos").rlimit(psutil.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
        launch = network.launch(SUM)
        await asyncio.to_thread(until, partial(_gone, network), "carlos' node ends")
    told = network.log("carlos")
    assert f"party-node: error: {data_dir(network)}/journal.sqlite" in told
    assert "party-node: hint: nothing has left that is not stored; make room" in told
    assert "Traceback" not in told
    completed(network, launch, "carlos")


def _gone(network: Cluster) -> bool:
    return network._services.process("carlos") is None


# -- a damaged journal, a directory that cannot be written -----------------------------------------------


def first_page(raw: bytearray) -> None:
    raw[0:16] = b"not a database!!"


def announcement(raw: bytearray) -> None:
    at = raw.index(b'"function"')
    raw[at : at + 10] = b'"f\x00nction"'


def cut(raw: bytearray) -> None:
    del raw[len(raw) // 2 :]


def emptied_pages(raw: bytearray) -> None:
    raw[4096:] = b"\xaa" * (len(raw) - 4096)


@contextmanager
def read_only(path: Path) -> Iterator[None]:
    """By its mode, or for root, whom no mode stops, by a mount."""
    path.chmod(0o500)
    bound = not _root("mount", "--bind", str(path), str(path))
    if bound:
        assert not _root("mount", "-o", "remount,ro,bind", str(path))
    try:
        yield
    finally:
        if bound:
            assert not _root("umount", "--lazy", str(path))
        path.chmod(0o700)


def _root(*command: str) -> int:
    return subprocess.run(command, capture_output=True, check=False).returncode


async def test_what_is_damaged_or_read_only_is_named_and_once_repaired_the_session_completes(
    network: Cluster,
) -> None:
    launch, session = await asyncio.to_thread(halted, network)
    path = data_dir(network) / "journal.sqlite"
    good = path.read_bytes()
    told = {}
    async with silent(network, "carlos"):
        for damage in (first_page, announcement, cut, emptied_pages):
            raw = bytearray(good)
            damage(raw)
            path.write_bytes(raw)
            told[damage.__name__] = await asyncio.to_thread(failed_start, network)
            for left in path.parent.glob("journal.sqlite-*"):
                left.unlink()
        path.write_bytes(good)
        with read_only(path.parent):
            told["read-only"] = await asyncio.to_thread(failed_start, network)
    for damaged, ran in told.items():
        assert str(path.parent) in ran.err or f"journal: session {session[:12]}: " in ran.err, damaged
    assert "read-only" in told["read-only"].err or "permission denied" in told["read-only"].err
    completed(network, launch, "alice", "carlos")
    assert shares(network, session)


def test_a_damaged_anchor_is_named_and_what_needs_no_ledger_goes_on(network: Cluster) -> None:
    launch, _ = halted(network)
    anchor = data_dir(network) / "ledger.anchor"
    anchor.write_text("12 notahash\n")
    ran = run("party-node", "ledger", "--config", network.config("carlos"))
    assert ran.code == 1
    error, hint = ran.err.splitlines()
    assert error.startswith(f"party-node: error: {anchor}: not an anchor")
    assert "put back the journal and the anchor that belong together" in hint
    completed(network, launch, "alice", "carlos")
    assert f"{anchor}: not an anchor" in network.log("carlos")


def test_a_lost_journal_is_a_named_abort_and_the_next_session_completes(network: Cluster) -> None:
    """Carlos joins anew, with another key: the others notice, before he has shared anything twice."""
    launch, session = halted(network)
    shutil.rmtree(data_dir(network))
    network.start("alice", "carlos")
    ran = finish(launch)
    assert ran.code == 3, ran.out + ran.err
    found = ran.data["abort"]
    assert (found["reason"], found["culprit"]) in {("contradiction", "carlos"), ("split-view", None)}, found
    assert not shares(network, session)
    completed(network, network.launch(SUM))


# -- a clock that is off -----------------------------------------------------------------------------


def start_off(network: Cluster, name: str, seconds: int) -> None:
    """A node on a clock that is so many seconds ahead."""
    started = network._starts(name)
    config = str(network.config(name))
    command = [sys.executable, "-m", "tests.support.wrong_clock", str(seconds), "run", "--config", config]
    network._services.start(name, command)
    network._until_started(name, started)


async def test_nodes_whose_clocks_are_off_by_an_hour_say_so_and_take_no_part(network: Cluster) -> None:
    """Bob's is ahead, carlos' behind; they ask again for what they could not believe, and that is all."""
    network.start(BROKER, "alice")
    start_off(network, "bob", HOUR)
    start_off(network, "carlos", -HOUR)
    async with silent(network, "bob", "carlos", but=(Step.REQUEST,)):
        launch = network.launch("sum --input raise --within 6")
        for name, problem in (("bob", "the time to join is over"), ("carlos", "s in the future")):
            await asyncio.to_thread(until, lambda: problem in network.log(name), f"{name} says why")  # noqa: B023 - waited for
            assert "clocks" in network.log(name)
        ran = await asyncio.to_thread(finish, launch)
    assert ran.code == 3, ran.out + ran.err
    found = ran.data["abort"]
    assert (found["reason"], found["silent"], found["culprit"]) == ("never-joined", ["bob", "carlos"], None)
    for name in ("bob", "carlos"):
        assert network.sessions(name) == []
        assert network.terminate(name) == 0
    network.start("bob", "carlos")
    completed(network, network.launch(SUM))


def test_a_clock_that_falls_behind_costs_nothing_and_one_that_leaps_ahead_ends_the_session_by_name(
    network: Cluster,
) -> None:
    launch, _ = halted(network)
    start_off(network, "carlos", -HOUR)
    completed(network, launch, "alice")
    assert network.terminate("alice") == 0
    network.launch(SUM)
    assert network.terminate("carlos") == 0
    network.start("carlos")
    until(lambda: len(network.sessions("carlos")) == 2, "carlos joins")
    assert network.terminate("carlos") == 0
    start_off(network, "carlos", HOUR)
    until(lambda: network.sessions("carlos")[1].ended, "it ends")
    row = network.sessions("carlos")[1]
    assert row.outcome is not None
    assert row.outcome.ending is not None
    assert (str(row.outcome.ending.reason), row.outcome.ending.culprit) == ("timeout", None)
    assert not shares(network, row.id)
