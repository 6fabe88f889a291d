"""The two programs as a person runs them: processes, exit codes, stdout and stderr.

A `Cluster` is what `coordinator up` makes, in the hands of a test: each of its processes can be started,
killed and waited for by itself, and the journals can be read beside the running nodes.
"""

from __future__ import annotations

import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import psutil
from paho.mqtt import publish as mqtt
from paho.mqtt.enums import MQTTProtocolVersion

from coordinator import broker, cluster, pki
from coordinator.announce import Question, build
from coordinator.broker import BrokerKind
from coordinator.cluster import BROKER, COORDINATOR
from coordinator.processes import Services
from party_node.config import BrokerConfig, load_coordinator
from party_node.daemon import JOURNAL, now_ms
from party_node.journal import Journal, SessionRow
from party_node.post import Post, Publication
from party_node.roster import load_roster
from protocol.functionalities import Functionality
from protocol.letters import ALL
from protocol.messages import Step
from protocol.spec import SessionSpec, session_id
from protocol.states import Outcome
from tests.support.brokers import require

LIMIT = 60.0  # seconds for any one command
LIFETIME = 120.0  # seconds after which a cluster goes down by itself, should the test run die
_PATIENCE = 30.0  # seconds that any wait in a test may take
_DRAINED = 5.0  # seconds that a node may take to stop
_LOOK_AGAIN = 0.02  # seconds between two looks at another process's files

T = TypeVar("T")


@dataclass(frozen=True)
class Ran:
    """What a command printed and how it ended."""

    code: int
    out: str
    err: str

    @property
    def data(self) -> Any:
        """The one JSON object on stdout; anything beside it fails."""
        return json.loads(self.out)


def run(program: str, *arguments: str | Path, env: dict[str, str] | None = None) -> Ran:
    """Run `coordinator` or `party-node` to its end."""
    module = {"coordinator": "coordinator.cli", "party-node": "party_node.cli"}[program]
    done = subprocess.run(
        [sys.executable, "-m", module, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=LIMIT,
        check=False,
        env={**os.environ, **(env or {})},
    )
    return Ran(done.returncode, done.stdout, done.stderr)


def start(program: str, *arguments: str | Path) -> subprocess.Popen[str]:
    """Start a command that is to be talked to while it runs."""
    module = {"coordinator": "coordinator.cli", "party-node": "party_node.cli"}[program]
    return subprocess.Popen(
        [sys.executable, "-m", module, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process: subprocess.Popen[str]) -> Ran:
    """Wait until a started command ends."""
    out, err = process.communicate(timeout=LIMIT)
    return Ran(process.returncode, out, err)


def until(look: Callable[[], T], what: str) -> T:
    """Wait for an event in another process: look again until something is seen."""
    limit = time.monotonic() + _PATIENCE
    while not (seen := look()):
        assert time.monotonic() < limit, f"not within {_PATIENCE:g} s: {what}"
        time.sleep(_LOOK_AGAIN)
    return seen


# -- a cluster whose processes a test starts and kills ---------------------------------------------------


@dataclass(frozen=True)
class Cluster:
    """Broker, nodes and coordinator of one directory; a service is `broker` or a party's name."""

    directory: Path
    kind: BrokerKind
    upstream: int = 0  # where the broker listens, if something stands between it and the nodes
    _launched: list[subprocess.Popen[str]] = field(default_factory=list)

    # -- processes ---------------------------------------------------------------------------------

    def start(self, *services: str) -> None:
        """Start these; the broker accepts connections, and a node has its journal, when this returns."""
        before = {service: self._starts(service) for service in services}
        for service in services:
            node = service != BROKER
            command = cluster.node_command(self.config(service)) if node else self._broker_command()
            assert self._services.start(service, command), f"{service} runs already"
        for service, starts in before.items():
            if service == BROKER:
                until(self._accepts, "the broker accepts connections")
            else:
                self._until_started(service, starts)

    def _broker_command(self) -> list[str]:
        return broker.command(self.kind, self.directory / BROKER)

    def _starts(self, service: str) -> int:
        return self.log(service).count("node started")

    def _until_started(self, service: str, starts: int) -> None:
        until(lambda: self._starts(service) > starts, f"{service} starts")

    def kill(self, service: str) -> None:
        """End it as a power cut would."""
        process = self._process(service)
        process.kill()
        process.wait(_DRAINED)

    def signal(self, service: str, number: signal.Signals) -> None:
        """Send it a signal that does not end it."""
        self._process(service).send_signal(number)

    def terminate(self, service: str) -> int:
        """SIGTERM; the exit code, within five seconds."""
        process = self._process(service)
        process.terminate()
        return int(process.wait(_DRAINED))

    def launch(self, arguments: str) -> subprocess.Popen[str]:
        """Start `coordinator launch`; it is gone when the test is."""
        process = start("coordinator", "launch", *arguments.split(), "--dir", self.directory, "--json")
        self._launched.append(process)
        return process

    def coordinator(self, command: str) -> Ran:
        """Run a command of the coordinator to its end."""
        return run("coordinator", *command.split(), "--dir", self.directory, "--json")

    def down(self) -> None:
        """End everything."""
        for process in self._launched:
            process.kill()
            process.communicate()  # closes its pipes, also of one that a test has killed
        cluster.down(self.directory)

    # -- what can be seen of it --------------------------------------------------------------------

    def config(self, name: str) -> Path:
        """A member's configuration file."""
        return self._folder(name) / "config.toml"

    def log(self, service: str) -> str:
        """What a service has printed."""
        path = self._services.log_path(service)
        return path.read_text(errors="replace") if path.exists() else ""

    @contextmanager
    def journal(self, name: str) -> Iterator[Journal]:
        """A member's journal, beside the running member."""
        journal = Journal(self._folder(name) / "data" / JOURNAL)
        try:
            yield journal
        finally:
            journal.close()

    def sessions(self, name: str) -> list[SessionRow]:
        """A member's sessions, oldest first."""
        with self.journal(name) as journal:
            return journal.sessions()

    def outcomes(self, session: str, *names: str) -> dict[str, Outcome]:
        """How a session ended at each of these, once it has ended at all of them."""

        def ended() -> dict[str, Outcome]:
            rows = {name: {row.id: row for row in self.sessions(name)}.get(session) for name in names}
            found = {name: row.outcome for name, row in rows.items() if row is not None}
            over = {name: outcome for name, outcome in found.items() if outcome is not None}
            return over if len(over) == len(names) else {}

        return until(ended, f"the session ends at {', '.join(names)}")

    def sent(self, name: str, session: str) -> list[Publication]:
        """Everything that a member's journal says it has sent, as it was published."""
        post = self.post(name)
        with self.journal(name) as journal:
            return [post.publication(session, each) for each in journal.outbox(session)]

    # -- speaking in a member's name -----------------------------------------------------------------

    def post(self, name: str) -> Post:
        """What signs a member's letters: a test has everybody's keys."""
        return Post(name, pki.load_key(self._folder(name) / "identity.key"), "sotto")

    def publish(self, name: str, sent: Publication) -> None:
        """Publish as a member, over a connection that ends at once."""
        reach, folder = self._reach, self._folder(name)
        certificate, key = str(folder / "tls.crt"), str(folder / "tls.key")
        versions = {"5": MQTTProtocolVersion.MQTTv5, "3.1.1": MQTTProtocolVersion.MQTTv311}
        mqtt.single(
            sent.topic,
            sent.payload,
            retain=sent.retain,
            hostname=reach.host,
            port=reach.port,
            tls={"ca_certs": str(reach.ca), "certfile": certificate, "keyfile": key},
            protocol=versions[reach.protocol],
        )

    def spec(self, function: Functionality, name: str, within: float, **fields: object) -> SessionSpec:
        """What the coordinator would announce now; other fields are those of `Question`."""
        question = Question(function, name, within=within, **fields)  # type: ignore[arg-type] # as they are there
        roster = load_roster(self.directory / "roster.toml")
        return build(question, COORDINATOR, roster, now_ms(), secrets.token_bytes(16))

    def announce(self, spec: SessionSpec) -> str:
        """The coordinator announces a session and is gone; the session's id."""
        body, post = spec.encode(), self.post(COORDINATOR)
        session = session_id(body)
        (sent,) = post.plain(session, Step.ANNOUNCE, ALL, body)
        self.publish(COORDINATOR, post.publication(session, sent, retain=True))
        return session

    def client(self, name: str) -> BrokerConfig:
        """How somebody new, with a certificate of this cluster's authority, reaches the broker."""
        folder = self.directory / "clients" / f"{name}-{time.monotonic_ns()}"
        folder.mkdir(parents=True)
        key = pki.create_key(folder / "tls.key")
        certificate = pki.Authority.load(self.directory / "ca").issue_client(key.public_key(), name)
        pki.write_new(folder / "tls.crt", certificate)
        changes = {"certificate": folder / "tls.crt", "key": folder / "tls.key"}
        return self._reach.model_copy(update=changes)

    @property
    def _services(self) -> Services:
        return Services(self.directory)

    @property
    def _reach(self) -> BrokerConfig:
        return load_coordinator(self.config(COORDINATOR)).broker

    def _folder(self, name: str) -> Path:
        return self.directory / COORDINATOR if name == COORDINATOR else self.directory / "parties" / name

    def _process(self, service: str) -> psutil.Process:
        process = self._services.process(service)
        assert process is not None, f"{service} does not run: {self.log(service)}"
        return process

    def _accepts(self) -> bool:
        with suppress(OSError), socket.create_connection(("127.0.0.1", self.upstream or self._reach.port), 1):
            return True
        return False


@contextmanager
def made_cluster(
    kind: BrokerKind, directory: Path, parties: Sequence[str], inputs: str, *extra_rules: str
) -> Iterator[Cluster]:
    """A cluster of which nothing runs yet; `extra_rules` are added to the broker's access list."""
    require(kind)
    path = directory / "inputs.csv"
    path.write_text(inputs)
    made = Cluster(directory / "D", kind)
    cluster.create(made.directory, parties, path, kind=kind)
    reach = load_coordinator(made.config(COORDINATOR)).broker
    broker.write_configuration(made.directory / BROKER, reach.ca, reach.port, "127.0.0.1")
    with (made.directory / BROKER / "acl").open("a") as rules:
        rules.writelines(f"{rule}\n" for rule in extra_rules)
    end = [sys.executable, "-m", "coordinator.cli", "down", "--dir", str(made.directory)]
    Services(made.directory).start(cluster.LIFETIME, [*end, "--after", str(LIFETIME)])
    try:
        yield made
    finally:
        made.down()
