"""Many nodes in one process on a network that the test owns: deterministic, seeded, faulty.

The nodes are the real ones, with real keys, seals and journals; only the wires are replaced.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path

import numpy as np
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from party_node.journal import Journal
from party_node.node import Node
from party_node.post import Publication
from party_node.roster import Roster
from protocol.encoding import Exact
from protocol.errors import InputError
from protocol.functionalities import FixedPoint
from protocol.letters import ALL, COMPUTE
from protocol.spec import SessionSpec
from protocol.states import Outcome

COORDINATOR = "coordinator"
START = 1_700_000_000_000  # Unix milliseconds


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
    crash: float = 0.0  # of the receiving node, before its commit or after


@dataclass(order=True)
class Delivery:
    """One payload on its way to one node."""

    at: int
    number: int
    to: str = field(compare=False)
    publication: Publication = field(compare=False)


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
    ) -> None:
        self.now = START
        self.faults = faults or Faults()
        self.random = random.Random(seed)
        self.inputs = {name: dict(values) for name, values in inputs.items()}
        self.names = (*self.inputs, *others)
        self.tap: list[Publication] = []  # everything that was published, in order
        self.crashes = 0
        self.keep = keep
        self.tamper: Callable[[str, Publication], list[Publication]] = lambda _to, sent: [sent]
        self._directory = directory
        self._journals: dict[str, Journal] = {}
        self._queue: list[Delivery] = []
        self._number = 0
        self._retained: dict[str, Publication] = {}
        self.keys = {name: self._key() for name in (*self.names, COORDINATOR)}
        public = {name: key.public_key().public_bytes_raw() for name, key in self.keys.items()}
        self.roster = Roster({name: public[name] for name in self.names}, {COORDINATOR: public[COORDINATOR]})
        self.nodes: dict[str, Node] = {}
        for name in (*self.names, COORDINATOR):
            self._journals[name] = Journal(self._path(name))
            self.nodes[name] = self.make(name)

    def _key(self) -> Ed25519PrivateKey:
        return Ed25519PrivateKey.from_private_bytes(self.random.randbytes(32))

    def _path(self, name: str) -> Path | str:
        return ":memory:" if self._directory is None else self._directory / f"{name}.sqlite"

    def make(self, name: str) -> Node:
        """A node on its journal, as after a start."""
        return Node(
            name,
            self.keys[name],
            self.roster,
            self._journals[name],
            base_topic="sotto",
            inputs=self.inputs.get(name, {}),
            entropy=self.random.randbytes,
            keep=self.keep,
        )

    # -- what a test does --------------------------------------------------------------------------

    def spec(self, function: FixedPoint, name: str = "raise", within: int = 60_000, **fields: object) -> SessionSpec:
        """A spec among all parties, with whatever fields are given."""
        parties = tuple(self.inputs)
        given: dict[str, object] = {
            "function": function,
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
        named = dict.fromkeys(name for role in roles for name in given[role])  # type: ignore[attr-defined]
        given.setdefault("members", {name: self.roster.identity(name) for name in named})
        given.setdefault("min_inputs", len(given["inputs"]))  # type: ignore[arg-type]
        return SessionSpec(**given)  # type: ignore[arg-type]

    def announce(self, spec: SessionSpec) -> str:
        """The coordinator announces."""
        session = self.nodes[COORDINATOR].announce(spec, self.now)
        self.flush(COORDINATOR)
        return session

    def run(self, until: int | None = None) -> None:
        """Deliver and tick until no session is open, or the time `until`."""
        while (due := self._next()) is not None and (until is None or due <= until):
            self.now = max(self.now, due)
            arrived = [each for each in self._queue if each.at <= self.now]
            self._queue = [each for each in self._queue if each.at > self.now]
            for delivery in sorted(arrived):
                self._deliver(delivery)
            for name, node in list(self.nodes.items()):
                if node.deadline is not None and node.deadline <= self.now:
                    node.tick(self.now)
                    self.flush(name)

    def outcomes(self, session: str, names: tuple[str, ...] | None = None) -> dict[str, Outcome]:
        """How the session stands at each party that knows it."""
        found = {name: self.nodes[name].outcome(session) for name in names or self.names}
        return {name: outcome for name, outcome in found.items() if outcome is not None}

    def restart(self, name: str) -> None:
        """`kill -9` and a new start: what was not committed is gone."""
        self.crashes += 1
        if self._directory is None:
            raise ValueError("crashes need journals in a directory")
        self._journals[name].close()
        self._journals[name] = Journal(self._path(name))
        self.nodes[name] = self.make(name)
        self.nodes[name].resume(self.now)
        self.nodes[name].reconnected(self.now)
        self.flush(name)
        for sent in self._retained.values():
            if self._readable(name, sent):
                self._post(name, sent)

    def close(self) -> None:
        """Close the journals."""
        for journal in self._journals.values():
            journal.close()

    # -- wires -------------------------------------------------------------------------------------

    def _next(self) -> int | None:
        dues = [node.deadline for node in self.nodes.values()]
        return min([each.at for each in self._queue] + [due for due in dues if due is not None], default=None)

    def flush(self, name: str) -> None:
        """Load wanted inputs, commit, and put what leaves on the wires."""
        node = self.nodes[name]
        while node.wanted:
            session, wanted = node.wanted.pop()
            try:
                value: Exact | InputError = exact(self.inputs[name][wanted])
            except InputError as error:
                value = error
            node.loaded(session, value, self.now)
        for publication in node.commit():
            self.publish(name, publication)

    def publish(self, sender: str, publication: Publication) -> None:
        """As the broker would: to everybody whose filter fits, and kept if retained."""
        self.tap.append(publication)
        if publication.retain:
            self._retained[publication.topic] = publication
            if not publication.payload:
                del self._retained[publication.topic]
        for name in (*self.names, COORDINATOR):
            if self._readable(name, publication) and name != sender:
                for each in self.tamper(name, publication):
                    self._post(name, each)

    @staticmethod
    def _readable(name: str, publication: Publication) -> bool:
        """What the broker's access list lets `name` read."""
        return publication.topic.split("/")[6] in (ALL, COMPUTE, name)

    def _post(self, to: str, publication: Publication) -> None:
        copies = 1 + (self.random.random() < self.faults.double)
        for _ in range(copies):
            if self.random.random() < self.faults.lose:
                continue
            self._number += 1
            at = self.now + self.random.randint(0, self.faults.delay)
            self._queue.append(Delivery(at, self._number, to, publication))

    def _deliver(self, delivery: Delivery) -> None:
        name, sent = delivery.to, delivery.publication
        crash = self.random.random() < self.faults.crash and name != COORDINATOR
        self.nodes[name].handle(sent.topic, sent.payload, self.now)
        if crash and self.random.random() < 0.5:  # before the commit: it never happened
            self.restart(name)
            return
        if crash:  # after the commit, before anything left
            self.nodes[name].commit()
            self.restart(name)
            return
        self.flush(name)
