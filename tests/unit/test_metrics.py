"""What a node's port tells: how it is, in numbers, and nothing that its sessions are about."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import replace
from http import HTTPStatus
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from coordinator import cluster
from coordinator.processes import free_port
from party_node.config import NodeConfig, load_node
from party_node.daemon import Daemon
from party_node.database import StorageError
from party_node.operations import health, web
from party_node.operations.health import Snapshot, Tally, examine
from party_node.operations.web import Page, serving
from protocol.dp.epsilon import NANO
from protocol.errors import ConfigError
from protocol.functionalities.average import Average
from protocol.messages import AbortReason, RefusalCode
from protocol.states import Ending, Outcome, State
from tests.support.sessions import make_spec

WELL = Snapshot(Tally(), dropped={}, open={}, heard={}, down=None, ledger=None, storage=None)
ROOMY = 1 << 40
SECRET = "3817"  # the input: it must be nowhere


@pytest.fixture(scope="module")
def alice(tmp_path_factory: pytest.TempPathFactory) -> Path:
    scratch = tmp_path_factory.mktemp("metrics")
    (scratch / "inputs.csv").write_text(f"party,raise\nalice,{SECRET}\nbob,2514\n")
    cluster.create(scratch / "D", ["alice", "bob"], scratch / "inputs.csv", kind="embedded")
    config = scratch / "D" / "parties" / "alice" / "config.toml"
    text = config.read_text().replace('[inputs."raise"]\n', '[inputs."raise"]\nepsilon = "2.5"\n')
    config.write_text(text)
    return config


@pytest.fixture
async def node(alice: Path, tmp_path: Path) -> AsyncIterator[tuple[NodeConfig, Daemon]]:
    config = load_node(alice).model_copy(update={"data_dir": tmp_path / "data"})
    daemon = Daemon(config)
    try:
        yield config, daemon
    finally:
        daemon.journal.close()


async def get(port: int, request: bytes) -> tuple[int, dict[str, str], bytes]:
    """One request as it is; status, headers and body of the answer, 0 if there was none."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    answer = b""
    try:
        with suppress(ConnectionError):  # hung up on
            async with asyncio.timeout(10):
                writer.write(request)
                answer = await reader.read()
    finally:
        writer.close()
    if not answer:
        return 0, {}, b""
    head, _, body = answer.partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    return int(first.split()[1]), dict(line.split(": ", 1) for line in lines), body


def asking(path: str, method: str = "GET") -> bytes:
    return f"{method} {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()


@asynccontextmanager
async def port_of(node: tuple[NodeConfig, Daemon]) -> AsyncIterator[int]:
    port = free_port()
    async with serving(("127.0.0.1", port), web.pages(*node)):
        yield port


async def scrape(node: tuple[NodeConfig, Daemon]) -> dict[tuple[str, ...], float]:
    """Every sample by its name and its labels' values, in the order of the labels' names."""
    async with port_of(node) as port:
        status, headers, body = await get(port, asking("/metrics"))
    assert (status, headers["Content-Type"].partition(";")[0]) == (200, "text/plain")
    families = text_string_to_metric_families(body.decode())
    return {
        (sample.name, *(value for _, value in sorted(sample.labels.items()))): sample.value
        for family in families
        for sample in family.samples
    }


# -- health ------------------------------------------------------------------------------------------


def test_a_node_with_a_link_a_ledger_and_room_is_well() -> None:
    found = examine(replace(WELL, open={"sharing": 2, "joined": 1}), 60, ROOMY)
    assert found.well
    assert found.view() == {
        "status": "ok",
        "problems": [],
        "broker_connected": True,
        "sessions_open": 3,
        "ledger_ok": True,
        "journal_writable": True,
        "version": "0.1.0",
    }


@pytest.mark.parametrize(
    ("change", "room", "key", "words"),
    [
        ({"down": 61.0}, ROOMY, "broker_connected", "no link to the broker for 61 s"),
        ({"ledger": "entry 3 was altered"}, ROOMY, "ledger_ok", "ledger not trusted: entry 3 was altered"),
        ({"storage": "disk full"}, ROOMY, "journal_writable", "journal not writable: disk full"),
        ({}, 3 << 20, "journal_writable", "journal not writable: 3 MiB left on the disk of data_dir"),
    ],
)
def test_what_is_wrong_is_named_and_only_that(
    change: Mapping[str, object], room: int, key: str, words: str
) -> None:
    found = examine(replace(WELL, **change), 60, room)  # type: ignore[arg-type] # the table's types differ
    assert not found.well
    assert found.problems == (words,)
    flags = {flag for flag, value in found.view().items() if value is False}
    assert flags == {key}


def test_a_broker_that_restarts_is_no_trouble_yet() -> None:
    found = examine(replace(WELL, down=59.0), 60, ROOMY)
    assert found.well
    assert not found.broker_connected


async def test_healthz_is_200_while_well_and_503_with_the_reason_when_not(
    node: tuple[NodeConfig, Daemon], monkeypatch: pytest.MonkeyPatch
) -> None:
    async with port_of(node) as port:
        status, headers, body = await get(port, asking("/healthz"))
        assert (status, headers["Content-Type"]) == (200, "application/json")
        assert json.loads(body)["status"] == "ok"
        monkeypatch.setattr(health, "LEAST_ROOM", 1 << 62)
        status, _, body = await get(port, asking("/healthz"))
        assert status == 503
        found = json.loads(body)
        assert (found["status"], found["journal_writable"]) == ("failing", False)
        assert "left on the disk" in found["problems"][0]


async def test_a_journal_that_takes_no_more_and_a_ledger_that_was_altered_are_told(
    node: tuple[NodeConfig, Daemon],
) -> None:
    _, daemon = node
    journal = daemon.journal
    journal.ledger.reserve("5f", "raise", NANO, None, 0)
    journal.commit()
    journal.ledger.flaw()
    assert examine(daemon.snapshot(), 60, ROOMY).well
    journal._db.execute("UPDATE ledger SET head = zeroblob(32)")
    journal._db.execute("PRAGMA max_page_count = 1")  # SQLite's own full disk
    with pytest.raises(StorageError, match="full"):
        journal.arrived("5f", 0, 0, bytes(1 << 20))
    found = examine(daemon.snapshot(), 60, ROOMY)
    assert (found.ledger_ok, found.journal_writable) == (False, False)


# -- numbers -----------------------------------------------------------------------------------------


async def test_a_fresh_node_tells_every_number_that_a_dashboard_needs(
    node: tuple[NodeConfig, Daemon],
) -> None:
    found = await scrape(node)
    assert found["sotto_build_info", "0.1.0"] == 1
    assert found["sotto_broker_connected",] == 0
    assert found["sotto_ledger_trusted",] == 1
    assert found["sotto_broker_connections_total",] == 0
    assert found["sotto_letters_received_bytes_total",] == 0
    for state in ("pending", "announced", "joined", "sharing", "computing", "opening", "confirming"):
        assert found["sotto_sessions_open", state] == 0
    assert found["sotto_session_duration_seconds_count",] == 0
    assert found["sotto_epsilon_budget", "raise"] == 2.5
    assert found["sotto_epsilon_spent", "raise"] == found["sotto_epsilon_reserved", "raise"] == 0
    assert found["sotto_journal_bytes", "database"] > 0
    assert found["sotto_disk_free_bytes",] > 0
    assert found["sotto_peer_last_seen_timestamp_seconds", "bob"] == 0
    assert ("sotto_peer_last_seen_timestamp_seconds", "alice") not in found
    year = 365 * 24 * 3600
    own, authority = (
        found["sotto_certificate_expiry_timestamp_seconds", kind] for kind in ("own", "authority")
    )
    assert authority - own == pytest.approx(9 * year, rel=0.01)
    assert found["process_open_fds",] > 3
    assert found["process_resident_memory_bytes",] > 1 << 20


async def test_what_happened_is_counted(node: tuple[NodeConfig, Daemon]) -> None:
    _, daemon = node
    spec = make_spec(Average())
    completed = Outcome(State.COMPLETED)
    silent = Outcome(State.ABORTED, ending=Ending(AbortReason.NEVER_JOINED, "bob never joined", ("bob",)))
    refused = Outcome(State.REFUSED, ending=Ending(RefusalCode.POLICY, "too few"))
    for outcome, seconds in ((completed, 0.25), (completed, 7), (completed, 1e6), (silent, 3), (refused, 0)):
        daemon.tally.end(spec, outcome, spec.created + int(1000 * seconds))
    daemon.node.dropped["malformed"] += 3
    daemon.node.heard["bob"] = 1_700_000_000_500
    daemon.node.heard["mallory"] = 1_700_000_000_500
    daemon.journal.ledger.reserve("5f", "raise", NANO // 2, None, 0)
    daemon.journal.ledger.reserve("60", "raise", NANO // 4, None, 0)
    daemon.journal.ledger.spend("5f", 0)
    daemon.journal.commit()
    found = await scrape(node)
    assert found["sotto_sessions_ended_total", "average", "", "completed"] == 3
    assert found["sotto_sessions_ended_total", "average", "never-joined", "aborted"] == 1
    assert found["sotto_sessions_ended_total", "average", "policy", "refused"] == 1
    counts = {
        bound: found["sotto_session_duration_seconds_bucket", bound] for bound in ("0.1", "0.25", "10.0")
    }
    assert counts == {"0.1": 0, "0.25": 1, "10.0": 2}
    assert found["sotto_session_duration_seconds_bucket", "+Inf"] == 3
    assert found["sotto_session_duration_seconds_sum",] == pytest.approx(1e6 + 7.25)
    assert found["sotto_payloads_dropped_total", "malformed"] == 3
    assert found["sotto_peer_last_seen_timestamp_seconds", "bob"] == 1_700_000_000.5
    assert ("sotto_peer_last_seen_timestamp_seconds", "mallory") not in found
    assert found["sotto_epsilon_spent", "raise"] == 0.5
    assert found["sotto_epsilon_reserved", "raise"] == 0.25


async def test_an_announcement_by_a_clock_ahead_of_ours_took_no_time(node: tuple[NodeConfig, Daemon]) -> None:
    spec = make_spec(Average())
    tally = Tally()
    tally.end(spec, Outcome(State.COMPLETED), spec.created - 5000)
    assert (tally.took_seconds, tally.took[0]) == (0, 1)


async def test_neither_page_names_an_input_or_a_session(node: tuple[NodeConfig, Daemon]) -> None:
    config, daemon = node
    assert daemon._load("raise").units == int(SECRET)  # type: ignore[union-attr] # it does load
    daemon.journal.ledger.reserve("5fabc", "raise", NANO, None, 0)
    daemon.journal.commit()
    async with port_of(node) as port:
        pages = [(await get(port, asking(path)))[2].decode() for path in ("/healthz", "/metrics")]
    for page in pages:
        assert SECRET not in page
        assert "5fabc" not in page
        assert str(config.data_dir) not in page


# -- the port ----------------------------------------------------------------------------------------


@asynccontextmanager
async def serving_one_page(**more: web.Pages) -> AsyncIterator[int]:
    async def hello() -> Page:
        return Page(HTTPStatus.OK, "text/plain", b"hello")

    port = free_port()
    async with serving(("127.0.0.1", port), {"/hello": hello, **more.get("pages", {})}):
        yield port


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (asking("/hello"), 200),
        (asking("/hello?match[]=x"), 200),
        (asking("/"), 404),
        (asking("/hello/../../etc/passwd"), 404),
        (asking("/hello", "POST"), 405),
        (asking("/hello", "DELETE"), 405),
        (b"GET /hello\r\n\r\n", 400),
        (b"\x16\x03\x01\x00\r\n\r\n", 400),
        (b"GET /\xff HTTP/1.1\r\n\r\n", 404),
        (b"GET /hello HTTP/1.1\r\nX: " + b"x" * 20_000 + b"\r\n\r\n", 431),
    ],
)
async def test_only_a_get_of_a_known_page_is_answered_with_it(request_: bytes, status: int) -> None:
    async with serving_one_page() as port:
        found, headers, body = await get(port, request_)
        assert found == status
        assert (body == b"hello") == (status == 200)
        assert int(headers["Content-Length"]) == len(body)


async def test_who_says_nothing_is_hung_up_on_and_keeps_nobody_waiting(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(web, "MOST_SECONDS", 0.2)
    async with serving_one_page() as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET /hel")
        assert (await get(port, asking("/hello")))[2] == b"hello"
        async with asyncio.timeout(10):
            assert await reader.read() == b""
        writer.close()


async def test_more_visitors_than_there_are_seats_are_turned_away() -> None:
    async with AsyncExitStack() as stack:
        port = await stack.enter_async_context(serving_one_page())
        for _ in range(web.MOST_AT_ONCE):
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            stack.callback(writer.close)
        status, _, body = await get(port, asking("/hello"))
        assert (status, body) == (0, b"")


async def test_a_page_that_takes_too_long_is_given_up_and_leaving_waits_for_no_visitor() -> None:
    begun = asyncio.Event()

    async def slow() -> Page:
        begun.set()
        await asyncio.Event().wait()
        raise AssertionError("it is never made")

    async with asyncio.timeout(3), serving_one_page(pages={"/slow": slow}) as port:
        visit = asyncio.create_task(get(port, asking("/slow")))
        await begun.wait()
    assert (await visit)[0] == 0
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", port)


async def test_a_data_directory_that_is_gone_is_an_error_of_the_page_and_not_of_the_node(
    node: tuple[NodeConfig, Daemon],
) -> None:
    config, daemon = node
    async with port_of((config.model_copy(update={"data_dir": config.data_dir / "gone"}), daemon)) as port:
        assert (await get(port, asking("/healthz")))[0] == 500
        assert (await get(port, asking("/metrics")))[0] == 200


async def test_a_port_in_use_is_an_error_that_names_it() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ConfigError, match=rf"metrics.listen: 127.0.0.1:{port}: address already in use"):
            async with serving(("127.0.0.1", port), {}):
                pass


@pytest.mark.parametrize(("host", "warned"), [("127.0.0.1", False), ("localhost", False), ("0.0.0.0", True)])
async def test_a_port_that_other_machines_can_reach_is_warned_of(
    host: str, warned: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    async with serving((host, free_port()), {}):
        pass
    shown = capsys.readouterr()
    assert ("can be reached from other machines" in shown.out + shown.err) == warned


@pytest.mark.parametrize(
    ("listen", "endpoint"),
    [
        ("127.0.0.1:9464", ("127.0.0.1", 9464)),
        ("[::1]:9464", ("::1", 9464)),
        ("localhost:1", ("localhost", 1)),
    ],
)
def test_an_address_and_a_port_say_where_to_listen(
    alice: Path, listen: str, endpoint: tuple[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert load_node(alice).metrics.endpoint is None
    monkeypatch.setenv("SOTTO_METRICS__LISTEN", listen)
    assert load_node(alice).metrics.endpoint == endpoint


@pytest.mark.parametrize(
    "listen", ["9464", ":9464", "localhost", "127.0.0.1:0", "127.0.0.1:70000", "::1:9464"]
)
def test_what_is_no_address_with_a_port_is_refused_with_an_example(
    alice: Path, listen: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOTTO_METRICS__LISTEN", listen)
    with pytest.raises(ConfigError, match="LISTEN") as caught:
        load_node(alice)
    assert "127.0.0.1:9464" in caught.value.message + caught.value.hint
