"""What a referendum costs in letters, rounds and public-key operations, counted by running it.

The parties are whole nodes in this process, without a broker: what one of them publishes in a round is
there for the others in the next, so that the rounds until nothing more is sent are the trips through the
broker that no machine can save.
"""

from __future__ import annotations

import os
import secrets
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import wraps
from typing import Any
from unittest.mock import patch

import numpy as np
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from benchmarks.measurement import BenchmarkError
from coordinator import announce
from coordinator.announce import Question
from party_node import admission, logs, seal
from party_node import node as nodes
from party_node.daemon import now_ms
from party_node.journal import MEMORY, Journal
from party_node.node import Node
from party_node.policy import Declared, Limits
from party_node.post import Post, Publication
from party_node.roster import Roster
from party_node.seal import SUITE, Seal
from protocol.correlation.group import SCALAR_BYTES, Scalar
from protocol.encoding import Exact
from protocol.functionalities.referendum import Referendum
from protocol.letters import ALL, COMPUTE
from protocol.secret import Seed
from protocol.states import State

COORDINATOR = "coordinator"
SIGN, CHECK = "Ed25519 signatures", "Ed25519 checks"
SEAL, UNSEAL = "HPKE seals", "HPKE unseals"
KEYS, USABLE = "HPKE key pairs", "HPKE keys checked"
BASE, TIMES = "scalar × base point", "scalar × point"
OPERATIONS = (SIGN, CHECK, KEYS, USABLE, SEAL, UNSEAL, BASE, TIMES)
_LEAST_S = 0.05  # for which one operation is repeated to time it


@dataclass(frozen=True)
class Costs:
    """One session, all parties and the coordinator together."""

    rounds: int  # trips through the broker, one after the other
    letters: int  # published
    deliveries: int
    operations: dict[str, int]

    def seconds(self, unit_s: Mapping[str, float]) -> float:
        """Public-key operations alone, one after the other."""
        return sum(count * unit_s[name] for name, count in self.operations.items())


def count(n: int) -> tuple[Costs, Costs]:
    """The first session of n parties and a later one."""
    logs.configure("error")
    table = _Table(n)
    try:
        return table.session(), table.session()
    finally:
        table.close()


class _Table:
    """n nodes and a coordinator, and the letters that are on their way."""

    def __init__(self, n: int) -> None:
        self._names = [f"party-{index}" for index in range(n)]
        keys = {name: Ed25519PrivateKey.generate() for name in (*self._names, COORDINATOR)}
        public = {name: key.public_key().public_bytes_raw() for name, key in keys.items()}
        self._roster = Roster(
            {name: public[name] for name in self._names}, {COORDINATOR: public[COORDINATOR]}
        )
        self._journals = {name: Journal(MEMORY) for name in keys}
        self._nodes = {name: self._node(name, key) for name, key in keys.items()}

    def _node(self, name: str, key: Ed25519PrivateKey) -> Node:
        return Node(
            *(name, key, self._roster, self._journals[name]),
            base_topic="sotto",
            limits=Limits({"ballot": Declared()}, 1),
            entropy=os.urandom,
            observe=lambda _part, _payload: None,
        )

    def close(self) -> None:
        """Drop the journals."""
        for journal in self._journals.values():
            journal.close()

    def session(self) -> Costs:
        """One session, to its end."""
        with _counting() as operations:
            return self._run(operations)

    def _run(self, operations: Counter[str]) -> Costs:
        now, coordinator = now_ms(), self._nodes[COORDINATOR]
        question = Question(Referendum(threshold="2/3"), "ballot", result_to=self._names)
        spec = announce.build(question, COORDINATOR, self._roster, now, secrets.token_bytes(16))
        session = coordinator.announce(spec, now)
        coordinator.watched.add(session)
        letters = rounds = deliveries = 0
        while sent := [each for node in self._nodes.values() for each in node.commit()]:
            rounds += 1
            letters += len(sent)
            deliveries += sum(self._deliver(publication, now) for publication in sent)
        for name in self._names:
            outcome = self._nodes[name].outcome(session)
            if outcome is None or outcome.state is not State.COMPLETED:
                raise BenchmarkError(f"{name} did not complete the session that was counted")
        return Costs(rounds, letters, deliveries, {name: operations[name] for name in OPERATIONS})

    def _deliver(self, publication: Publication, now: int) -> int:
        """To all whom it is for; returns how many they are."""
        sender, to = publication.topic.split("/")[-3:-1]
        audience = [name for name in self._nodes if name != sender and to in (name, ALL, COMPUTE)]
        for name in audience:
            node = self._nodes[name]
            node.handle(publication.topic, publication.payload, now)
            while node.wanted:
                session, _ = node.wanted.pop()
                ballot = Exact(np.array(1, np.int64), 0, source="benchmark", ballot=True)
                node.loaded(session, ballot, now)
        return len(audience)


# -- counting ----------------------------------------------------------------------------------------


@contextmanager
def _counting() -> Iterator[Counter[str]]:
    """Every public-key operation of this process."""
    found: Counter[str] = Counter()
    with ExitStack() as stack:
        for owner, attribute, operation in (
            (nodes, "check_signature", CHECK),
            (admission, "check_signature", CHECK),
            (Seal, "__init__", KEYS),
            (Seal, "usable", USABLE),
            (Scalar, "base", BASE),
            (Scalar, "times", TIMES),
        ):
            counted = _counted(getattr(owner, attribute), found, operation)
            stack.enter_context(patch.object(owner, attribute, counted))
        stack.enter_context(patch.object(Post, "write", _counting_parts(Post.write, found)))
        stack.enter_context(patch.object(seal, "SUITE", _CountedSuite(found)))
        yield found


def _counted(function: Callable[..., Any], found: Counter[str], operation: str) -> Callable[..., Any]:
    @wraps(function)
    def call(*arguments: Any, **named: Any) -> Any:
        found[operation] += 1
        return function(*arguments, **named)

    return call


def _counting_parts(write: Callable[..., Any], found: Counter[str]) -> Callable[..., Any]:
    """Each part of a letter has a signature of its own."""

    @wraps(write)
    def call(*arguments: Any, **named: Any) -> Any:
        parts = write(*arguments, **named)
        found[SIGN] += len(parts)
        return parts

    return call


class _CountedSuite:
    """HPKE; the library's own object cannot be patched."""

    def __init__(self, found: Counter[str]) -> None:
        self.encrypt = _counted(SUITE.encrypt, found, SEAL)
        self.decrypt = _counted(SUITE.decrypt, found, UNSEAL)


# -- timing ------------------------------------------------------------------------------------------


def unit_seconds() -> dict[str, float]:
    """What each operation takes on this machine, alone."""
    key, message = Ed25519PrivateKey.generate(), bytes(32)
    public, signature = key.public_key(), key.sign(message)
    sealing = Seal("session", "me", Seed(bytes(32)), os.urandom)
    recipient = seal._public_key(sealing.public_key)  # noqa: SLF001 - as the product makes it
    box = SUITE.encrypt(bytes(32), recipient, b"")
    scalar = Scalar(bytes(SCALAR_BYTES - 1) + b"\1")
    point = scalar.base()
    return {
        SIGN: _time(lambda: key.sign(message)),
        CHECK: _time(lambda: public.verify(signature, message)),
        KEYS: _time(lambda: Seal("session", "me", Seed(bytes(32)), os.urandom)),
        USABLE: _time(lambda: sealing.usable(sealing.public_key)),
        SEAL: _time(lambda: SUITE.encrypt(bytes(32), recipient, b"")),
        UNSEAL: _time(lambda: SUITE.decrypt(box, sealing._private, b"")),  # noqa: SLF001
        BASE: _time(scalar.base),
        TIMES: _time(lambda: scalar.times(point, "a point")),
    }


def _time(operation: Callable[[], object]) -> float:
    """The best of three rounds: whatever disturbs makes it longer."""
    return min(_round(operation) for _ in range(3))


def _round(operation: Callable[[], object]) -> float:
    started, repetitions = time.perf_counter(), 0
    while (elapsed := time.perf_counter() - started) < _LEAST_S:
        operation()
        repetitions += 1
    return elapsed / repetitions
