"""A whole network in one directory: authority, broker, nodes; made once, started and stopped at will.

`create` appears whole or not at all.  `up` starts what does not run, and returns when every node has
told the broker that it is online.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from coordinator import broker, pki, revoke
from coordinator.broker import PROTOCOL, BrokerKind
from coordinator.inputs_csv import Inputs, read_inputs
from coordinator.processes import Services, free_port
from party_node.config import CoordinatorConfig, load_coordinator
from party_node.enrolment import certificate_request
from party_node.roster import load_roster
from party_node.toml import read_toml
from party_node.transport import OFFLINE, ONLINE, Transport, status_topic
from protocol.errors import ConfigError, SottoError
from protocol.names import PATTERN, is_name

COORDINATOR = "coordinator"
BROKER = "broker"
LIFETIME = "lifetime"
START_LIMIT = 60.0  # seconds for the broker and all nodes to be ready
_LOOK_AGAIN = 0.05  # seconds between two looks at the processes
_LOOPBACK = {"localhost", "127.0.0.1"}

NodeCommand = Callable[[Path], list[str]]


def node_command(config: Path) -> list[str]:
    """The command that runs one party's node."""
    return [sys.executable, "-m", "party_node.cli", "run", "--config", str(config)]


def exists(directory: Path) -> bool:
    """Whether a cluster was made in this directory."""
    return (directory / COORDINATOR / "config.toml").is_file()


def parties_of(directory: Path) -> list[str]:
    """The names of a cluster's parties, without those who are revoked."""
    roster = load_roster(directory / "roster.toml")
    return [name for name in roster.parties if name not in roster.revoked]


# -- making one ----------------------------------------------------------------------------------


def create(
    directory: Path,
    parties: Sequence[str],
    inputs_csv: Path | None = None,
    *,
    host: str = "localhost",
    port: int | None = None,
    kind: BrokerKind | None = None,
) -> None:
    """Make authority, certificates, identities, roster and configs for a new cluster.

    `host` is the broker's name as the nodes know it; `port` is a free one unless given; `kind` is the
    best broker that this machine has unless given.
    """
    _check_names(parties)
    inputs = read_inputs(inputs_csv, parties) if inputs_csv is not None else {}
    if directory.exists() and any(directory.iterdir()):
        raise ConfigError(f"{directory} is not empty", "choose a new directory")
    with _appearing(directory) as draft:
        authority = pki.Authority.create(draft / "ca")
        _make_broker(draft / BROKER, authority, host)
        reach = _broker_table(host, port or free_port(), kind or broker.available_kind())
        identities = {}
        for name in parties:
            folder = draft / "parties" / name
            identities[name] = _make_member(folder, authority, name)
            text = _config_text(name, "../..", reach) + _inputs_text(inputs.get(name, {}))
            pki.write_new(folder / "config.toml", text.encode())
        own = _make_member(draft / COORDINATOR, authority, COORDINATOR)
        roster = pki.roster_text(identities, {COORDINATOR: own})
        pki.write_new(draft / "roster.toml", roster.encode(), mode=0o644)
        text = _config_text(COORDINATOR, "..", reach)
        pki.write_new(draft / COORDINATOR / "config.toml", text.encode())


def _check_names(parties: Sequence[str]) -> None:
    for name in parties:
        if not is_name(name) or name == COORDINATOR:
            hint = f"a name matches {PATTERN} and is none of all, compute, {COORDINATOR}"
            raise ConfigError(f"{name!r} cannot be a party's name", hint)
    if len(set(parties)) < len(parties):
        raise ConfigError("a party is named twice", "each name is for one party")
    if len(parties) == 1:
        raise ConfigError("one party alone", "name at least two, or none if they will enroll by themselves")


@contextmanager
def _appearing(directory: Path) -> Iterator[Path]:
    """A directory that is there whole at the end, or not at all."""
    directory.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=directory.parent, prefix=f".{directory.name}.") as scratch:
        draft = Path(scratch) / "cluster"
        draft.mkdir(mode=0o700)
        yield draft
        draft.rename(directory)


def _make_broker(folder: Path, authority: pki.Authority, host: str) -> None:
    folder.mkdir()
    key = pki.create_key(folder / "tls.key")
    names = list(dict.fromkeys([host, "localhost", "127.0.0.1"]))
    pki.write_new(folder / "tls.crt", authority.issue_server(key.public_key(), names), mode=0o644)
    revoke.create_list(authority, folder)


def _make_member(folder: Path, authority: pki.Authority, name: str) -> str:
    """Keys and certificate of one member; returns its identity for the roster."""
    (folder / "data").mkdir(parents=True)
    request = certificate_request(pki.create_key(folder / "tls.key"), name)
    pki.write_new(folder / "tls.crt", authority.issue_client(request, name), mode=0o644)
    return pki.identity(pki.create_key(folder / "identity.key"))


def _broker_table(host: str, port: int, kind: BrokerKind) -> dict[str, str | int]:
    return {"host": host, "port": port, "protocol": PROTOCOL[kind]}


def _config_text(name: str, root: str, reach: Mapping[str, str | int]) -> str:
    settings = {
        "name": name,
        "data_dir": "data",
        "roster": f"{root}/roster.toml",
        "identity_key": "identity.key",
    }
    table = {**reach, "ca": f"{root}/ca/ca.crt", "certificate": "tls.crt", "key": "tls.key"}
    return f"{_assignments(settings)}\n[broker]\n{_assignments({**table, 'base_topic': 'sotto'})}"


def _inputs_text(inputs: Mapping[str, str]) -> str:
    tables = (f"\n[inputs.{_quoted(name)}]\nvalue = {_quoted(value)}\n" for name, value in inputs.items())
    return "".join(tables)


def _assignments(settings: Mapping[str, str | int]) -> str:
    return "".join(
        f"{key} = {_quoted(value) if isinstance(value, str) else value}\n" for key, value in settings.items()
    )


def _quoted(text: str) -> str:
    return json.dumps(text).replace("\x7f", "\\u007f")  # otherwise JSON strings are TOML strings


# -- starting and stopping it --------------------------------------------------------------------


def up(
    directory: Path,
    parties: Sequence[str] | None = None,
    inputs_csv: Path | None = None,
    *,
    host: str = "localhost",
    port: int | None = None,
    kind: BrokerKind | None = None,
    lifetime: float | None = None,
    command: NodeCommand = node_command,
) -> None:
    """Make the cluster if it is not there, start what does not run, return when all are online.

    `lifetime` is after how many seconds the cluster goes down by itself.
    """
    directory = directory.absolute()
    if exists(directory):
        _check_same(directory, parties, inputs_csv)
    elif parties is None or len(parties) < 2:
        raise ConfigError("fewer than two parties", "name them, as in --parties alice,bob,carlos")
    else:
        create(directory, parties, inputs_csv, host=host, port=port, kind=kind)
    config = load_coordinator(directory / COORDINATOR / "config.toml")
    services = Services(directory)
    if lifetime is not None:
        _schedule_end(services, lifetime)
    _start_broker(services, config)
    asyncio.run(_start_nodes(services, config, command))


def down(directory: Path) -> None:
    """Stop the nodes, then the broker; keys, configs and journals stay."""
    services = Services(directory.absolute())
    running = services.running()
    nodes = [name for name in running if name not in (BROKER, LIFETIME)]
    services.stop(nodes)  # first, so that they can say goodbye
    services.stop([BROKER])
    timer = services.process(LIFETIME)
    if timer is not None and timer.pid != os.getpid():
        services.stop([LIFETIME])


def _check_same(directory: Path, parties: Sequence[str] | None, inputs_csv: Path | None) -> None:
    there = parties_of(directory)
    if parties is not None and set(parties) != set(there):
        raise ConfigError(
            f"{directory} is a cluster of {', '.join(there)}",
            "leave out --parties to start it, or choose a new directory",
        )
    if inputs_csv is not None and read_inputs(inputs_csv, there) != _inputs_of(directory, there):
        raise ConfigError(
            f"{inputs_csv} differs from the inputs in {directory}/parties",
            "edit config.toml of each party, or choose a new directory",
        )


def _inputs_of(directory: Path, parties: Sequence[str]) -> Inputs:
    found: Inputs = {}
    for name in parties:
        table = read_toml(directory / "parties" / name / "config.toml").get("inputs", {})
        found[name] = {key: source.get("value") for key, source in table.items()}
    return found


def _schedule_end(services: Services, seconds: float) -> None:
    services.stop([LIFETIME])
    command = [sys.executable, "-m", "coordinator.cli", "down", "--dir", str(services.directory)]
    services.start(LIFETIME, [*command, "--after", str(seconds)])


def _start_broker(services: Services, config: CoordinatorConfig) -> None:
    folder = services.directory / BROKER
    reach = config.broker
    kind: BrokerKind = "embedded" if reach.protocol == PROTOCOL["embedded"] else "mosquitto"
    if services.process(BROKER) is None:
        address = "127.0.0.1" if reach.host in _LOOPBACK else None
        broker.write_configuration(folder, reach.ca, reach.port, address)
        services.start(BROKER, broker.command(kind, folder))
    asyncio.run(_until_accepting(services, reach.port))


async def _until_accepting(services: Services, port: int) -> None:
    with _limit(services, BROKER, f"the broker does not accept connections on port {port}"):
        async with asyncio.timeout(START_LIMIT):
            while True:
                _require_alive(services, BROKER)
                with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                    return
                await asyncio.sleep(_LOOK_AGAIN)


async def _start_nodes(services: Services, config: CoordinatorConfig, command: NodeCommand) -> None:
    """Start the nodes that do not run and wait until all are online.

    The broker may still hold "online" from a node that was killed with it; so a node that is started
    now counts only when it says so after that.  What the broker holds has arrived once a word of our
    own, sent after subscribing, is back.
    """
    names = parties_of(services.directory)
    statuses: dict[str, bytes] = {}

    def on_status(topic: str, payload: bytes) -> None:
        statuses[topic.split("/")[-2]] = payload

    def on_connected() -> None:
        watch.send(status_topic(config.broker, config.name), OFFLINE)

    watch = Transport(
        config.broker,
        config.name,
        on_message=on_status,
        on_connected=on_connected,
        filters=[status_topic(config.broker, "+")],
        presence=False,
    )
    watching = asyncio.create_task(watch.run())
    try:
        await _until_heard(services, BROKER, statuses, (config.name, OFFLINE))
        for name in names:
            config_path = services.directory / "parties" / name / "config.toml"
            if services.start(name, command(config_path)):
                statuses.pop(name, None)
        for name in names:
            await _until_heard(services, name, statuses, (name, ONLINE))
    finally:
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)


async def _until_heard(
    services: Services, service: str, statuses: Mapping[str, bytes], wanted: tuple[str, bytes]
) -> None:
    with _limit(services, service, f"{service} did not come online"):
        async with asyncio.timeout(START_LIMIT):
            while wanted not in statuses.items():
                _require_alive(services, service)
                await asyncio.sleep(_LOOK_AGAIN)


def _require_alive(services: Services, service: str) -> None:
    if services.process(service) is None:
        raise SottoError(f"{service} ended as soon as it was started", _log_hint(services, service))


@contextmanager
def _limit(services: Services, service: str, message: str) -> Iterator[None]:
    try:
        yield
    except TimeoutError:
        raise SottoError(f"{message} within {START_LIMIT:g} s", _log_hint(services, service)) from None


def _log_hint(services: Services, service: str) -> str:
    tail = services.log_tail(service)
    return f"its log, {services.log_path(service)}, ends with:\n{tail}" if tail else "its log is empty"
