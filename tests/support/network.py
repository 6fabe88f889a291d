"""Many nodes in one process on a network that the test owns: deterministic, seeded, faulty.

The nodes are the real ones, with real keys, seals and journals; only the wires are replaced.
"""

from __future__ import annotations

import heapq
import random
import shutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from functools import partial
from pathlib import Path

import numpy as np
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from party_node.journal import Journal
from party_node.node import Node
from party_node.policy import Declared, Limits
from party_node.post import Publication
from party_node.remains import Keep
from party_node.roster import Roster
from protocol.encoding import Exact
from protocol.errors import InputError
from protocol.functionalities import Functionality
from protocol.letters import ALL, COMPUTE
from protocol.ring import Ring
from protocol.sharing import Share
from protocol.spec import SessionSpec
from protocol.states import Outcome

COORDINATOR = "coordinator"
EVIDENCE = 3_600_000  # milliseconds for which it is kept
START = 1_700_000_000_000  # Unix milliseconds
MOST_ACTIONS = 1_000_000  # of all nodes in one run: more is two nodes that answer each other for ever


def exact(text: str | list[str]) -> Exact:
    """An input as the loader would give it."""
    numbers = [Decimal(each) for each in ([text] if isinstance(text, str) else text)]
    scale = max(max(-int(number.as_tuple().exponent), 0) for number in numbers)
    units = [int(number.scaleb(scale)) for number in numbers]
    array = np.array(units if isinstance(text, list) else units[0], dtype=np.int64)
    return Exact(array, scale, source="test input")


@dataclass(frozen=True)
class Faults:
    """What the network does to a letter: chances per delivery, and the longest delay."""

    lose: float = 0.0
    double: float = 0.0
    delay: int = 1  # milliseconds, at most
    crash: float = 0.0  # of the acting node, before its commit or after


@dataclass(order=True)
class Event:
    """Something that happens at a time: a delivery, or what a test has planned."""

    at: int
    number: int
    happens: Callable[[], None] = field(compare=False)


class Network:
    """Runs nodes until nothing more happens.  The same seed gives the same run, byte for byte but HPKE."""

    def __init__(
        self,
        inputs: Mapping[str, Mapping[str, str | list[str]]],
        *,
        faults: Faults | None = None,
        seed: int = 0,
        directory: Path | None = None,
        others: tuple[str, ...] = (),
        keep: int = 0,
        min_inputs: int = 1,
    ) -> None:
        self.now = START
        self.faults = faults or Faults()
        self.random = random.Random(seed)
        self.inputs = {name: dict(values) for name, values in inputs.items()}
        self.names = (*self.inputs, *others)
        self.tap: list[Publication] = []  # everything that was published, in order
        self.retained: dict[str, Publication] = {}  # what the broker keeps, by topic
        self.down: set[str] = set()  # nodes that do not run
        self.cut: frozenset[str] = frozenset()  # nodes without a link to the rest
        self.noises: dict[tuple[str, str], Ring] = {}  # (session, party) → its part of the noise
        self.drawing = 0  # milliseconds that it takes a node to draw its noise, at most
        self.only_voting: frozenset[str] = frozenset()  # nodes that do not offer to compute
        self.crash_at: dict[int, bool] = {}  # number of an action → whether its commit succeeds
        self.actions = 0
        self.crashes: list[tuple[int, str]] = []  # when and who
        self.kept = Keep(secrets=keep, evidence=EVIDENCE)
        self.declared: dict[str, dict[str, Declared]] = {}  # by party and input, where not the default
        self.limits = Limits({}, min_inputs, min_difference=1)  # every node's own policy
        self.tamper: Callable[[str, Publication], list[Publication]] = lambda _to, sent: [sent]
        self.leaves: Callable[[str, Publication], bool] = lambda _sender, _sent: True
        self._directory = directory
        self._queue: list[Event] = []
        self._number = 0
        self.keys = {name: self._key() for name in (*self.names, COORDINATOR)}
        public = {name: key.public_key().public_bytes_raw() for name, key in self.keys.items()}
        self.roster = Roster({name: public[name] for name in self.names}, {COORDINATOR: public[COORDINATOR]})
        self.journals = {name: Journal(self._path(name)) for name in (*self.names, COORDINATOR)}
        self.nodes = {name: self.make(name) for name in (*self.names, COORDINATOR)}

    def _key(self) -> Ed25519PrivateKey:
        return Ed25519PrivateKey.from_private_bytes(self.random.randbytes(32))

    def _path(self, name: str) -> Path | str:
        if self._directory is None:
            return ":memory:"
        (self._directory / name).mkdir(exist_ok=True)
        return self._directory / name / "journal.sqlite"

    def make(self, name: str) -> Node:
        """A node on its journal, as after a start."""
        return Node(
            name,
            self.keys[name],
            self.roster,
            self.journals[name],
            base_topic="sotto",
            limits=replace(
                self.limits,
                inputs={
                    **dict.fromkeys(self.inputs.get(name, {}), Declared()),
                    **self.declared.get(name, {}),
                },
            ),
            entropy=self.random.randbytes,
            keep=self.kept,
        )

    # -- what a test does --------------------------------------------------------------------------

    def spec(
        self, function: Functionality, name: str = "raise", within: int = 60_000, **fields: object
    ) -> SessionSpec:
        """A spec among all parties, with whatever fields are given."""
        parties = tuple(self.inputs)
        given: dict[str, object] = {
            "function": function,
            "noise": None,
            "input": name,
            "coordinator": COORDINATOR,
            "inputs": parties,
            "compute": parties,
            "results": parties,
            "public": False,
            "created": self.now,
            "join_by": self.now + within // 2,
            "share_by": self.now + within * 3 // 4,
            "close_by": self.now + within,
            "nonce": self.random.randbytes(16),
        }
        given |= fields
        roles = ("inputs", "compute", "results")
        named = dict.fromkeys(name for role in roles for name in given[role])  # type: ignore[attr-defined] # tuples
        given.setdefault("members", {name: self.roster.identity(name) for name in named})
        given.setdefault("min_inputs", len(given["inputs"]))  # type: ignore[arg-type] # a tuple
        return SessionSpec(**given)  # type: ignore[arg-type] # pydantic checks them

    def announce(self, spec: SessionSpec) -> str:
        """The coordinator announces."""
        session = self.nodes[COORDINATOR].announce(spec, self.now)
        self.flush(COORDINATOR)
        return session

    def at(self, time: int, happens: Callable[[], None]) -> None:
        """Plan something; things of one time happen in the order of their planning."""
        self._number += 1
        heapq.heappush(self._queue, Event(time, self._number, happens))

    def run(self, until: int | None = None) -> None:
        """Deliver and tick until no session is open, or the time `until`."""
        while (due := self._next()) is not None and (until is None or due <= until):
            self.now = max(self.now, due)
            while self._queue and self._queue[0].at <= self.now:
                heapq.heappop(self._queue).happens()
            for name, node in list(self.nodes.items()):
                if name not in self.down and node.deadline is not None and node.deadline <= self.now:
                    self._act(name, partial(node.tick, self.now))

    def outcomes(self, session: str, names: tuple[str, ...] | None = None) -> dict[str, Outcome]:
        """How the session stands at each party that knows it."""
        found = {name: self.nodes[name].outcome(session) for name in names or self.names}
        return {name: outcome for name, outcome in found.items() if outcome is not None}

    def stop(self, name: str) -> None:
        """`kill -9`: what was not committed is gone, and what arrives until `start` too."""
        self.down.add(name)
        if self._directory is None:
            self.journals[name]._db.rollback()  # what SQLite does with a file that it opens after a crash
        else:
            self.journals[name].close()

    def start(self, name: str) -> None:
        """A new process on the same journal."""
        if self._directory is not None:
            self.journals[name] = Journal(self._path(name))
        self.down.discard(name)
        self.nodes[name] = self.make(name)
        linked, self.cut = self.cut, self.cut | {name}  # what it says before it has a link is lost
        self._act(name, lambda: self.nodes[name].resume(self.now))
        self.cut = linked
        self.reconnect(name)

    def lose_journal(self, name: str) -> None:
        """Its disk is gone: a new process with the same key and nothing that it kept."""
        self.journals[name].close()
        if self._directory is not None:
            shutil.rmtree(self._directory / name)
        self.journals[name] = Journal(self._path(name))
        self.nodes[name] = self.make(name)

    def restart(self, name: str) -> None:
        """`kill -9` and a new start."""
        self.crashes.append((self.now, name))
        self.stop(name)
        self.start(name)

    def reconnect(self, name: str) -> None:
        """A new link: the node sends what may be lost, the broker what it has kept."""
        self._act(name, lambda: self.nodes[name].reconnected(self.now))
        for sent in list(self.retained.values()):
            if name in self._readers(sent):
                self._fan_out(name, sent)

    def close(self) -> None:
        """Close the journals."""
        for journal in self.journals.values():
            journal.close()

    # -- wires -------------------------------------------------------------------------------------

    def _next(self) -> int | None:
        dues = [node.deadline for name, node in self.nodes.items() if name not in self.down]
        planned = [self._queue[0].at] if self._queue else []
        return min(planned + [due for due in dues if due is not None], default=None)

    def _act(self, name: str, action: Callable[[], None]) -> None:
        """One step of a node.  It may crash before its commit, or after it and before anything has left."""
        self.actions += 1
        assert self.actions < MOST_ACTIONS, "the nodes never come to rest"
        committed = self.crash_at.pop(self.actions, None)
        if committed is None and self.random.random() < self.faults.crash:
            committed = self.random.random() < 0.5
        action()
        if committed is None or name == COORDINATOR:
            self.flush(name)
            return
        self._load(name)
        if committed:
            self.nodes[name].commit()
        self.restart(name)

    def _load(self, name: str) -> None:
        node = self.nodes[name]
        while node.wanted:
            session, wanted = node.wanted.pop(0)
            try:
                value: Exact | InputError = exact(self.inputs[name][wanted])
            except InputError as error:
                value = error
            node.loaded(session, value, self.now)

    def flush(self, name: str) -> None:
        """Load wanted inputs, commit, put what leaves on the wires, and begin to draw noise."""
        self._load(name)
        node = self.nodes[name]
        for publication in node.commit():
            if name not in self.down and self.leaves(name, publication):
                self.publish(name, publication)
        while node.undrawn:
            session, drawing = node.undrawn.pop(0)
            at = self.now + (self.random.randint(0, self.drawing) if self.drawing else 0)
            self.at(at, partial(self._drawn, name, node, session, drawing()))

    def _drawn(self, name: str, node: Node, session: str, noise: Share) -> None:
        """Noise that is drawn again after a crash must be the same."""
        elements = noise.elements(())  # explicit: the shape is its own
        assert (self.noises.setdefault((session, name), elements) == elements).all()
        if name not in self.down and self.nodes[name] is node:  # else the process that drew it is gone
            self._act(name, lambda: node.drawn(session, noise, self.now))

    def publish(self, sender: str, publication: Publication) -> None:
        """As the broker would: to everybody whose filter fits, and kept if retained."""
        if sender in self.cut:
            return
        self.tap.append(publication)
        if publication.retain:
            self.retained[publication.topic] = publication
            if not publication.payload:
                del self.retained[publication.topic]
        for name in self._readers(publication):
            if name != sender:
                self._fan_out(name, publication)

    def _fan_out(self, to: str, publication: Publication) -> None:
        for each in self.tamper(to, publication):
            self.post(to, each)

    def _readers(self, publication: Publication) -> Iterable[str]:
        """Who has subscribed to what is addressed so."""
        audience = publication.topic.split("/")[6]
        if audience not in (ALL, COMPUTE):
            return (audience,)
        everybody = (*self.names, COORDINATOR)
        return everybody if audience == ALL else [name for name in everybody if name not in self.only_voting]

    def post(self, to: str, publication: Publication) -> None:
        """Send one payload on its way to one node: it may be lost, doubled and late."""
        for _ in range(1 + (self.random.random() < self.faults.double)):
            if self.random.random() >= self.faults.lose:
                at = self.now + self.random.randint(0, self.faults.delay)
                self.at(at, partial(self._deliver, to, publication))

    def _deliver(self, to: str, sent: Publication) -> None:
        if to not in self.down and to not in self.cut:
            self._act(to, lambda: self.nodes[to].handle(sent.topic, sent.payload, self.now))
