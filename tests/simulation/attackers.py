"""Carries a plot out on real nodes: the adversary owns the wires, and some of the keys.

Honest nodes are as they are.  What reaches them passes through `_tamper`, which is the broker's power; a
corrupt member is a real node whose letters a `Forger` rewrites on their way.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from decimal import Decimal
from functools import partial
from typing import Any

import numpy as np

from party_node.active import ActiveSession
from party_node.journal import Journal
from party_node.node import Node
from party_node.post import Post, Publication
from protocol import opening
from protocol.encoding import Exact
from protocol.errors import InputError
from protocol.letters import ALL, COMPUTE, parse
from protocol.messages import Abort, AbortReason, MalformedError, Step
from protocol.ring import Ring
from protocol.sharing import Share
from protocol.spec import SessionSpec, session_id
from tests.simulation.attacks import (
    Accuse,
    Again,
    Attack,
    Cancel,
    Clear,
    Clock,
    Flood,
    Forge,
    Hold,
    Intrude,
    Meddle,
    Plot,
    Twin,
    TwoSpecs,
)
from tests.simulation.forger import Forger
from tests.simulation.run import Run
from tests.support.network import COORDINATOR, Network

SECOND = "~"  # after the name of a corrupt member: its second node
WIDE = Decimal(10**7)  # no input is beyond it
LATEST = 5_000  # milliseconds that the broker keeps a letter back, at most
Wire = Callable[[str, Publication], list[Publication]]  # (to, what is sent): what arrives


class OddNode(Node):
    """A real node whose clock is off, or which adds something to its output share before it commits."""

    network: Network
    clocks: tuple[tuple[int, int], ...] = ()  # (since, ahead) in milliseconds
    units = 0

    @property
    def ahead(self) -> int:
        """Milliseconds, now."""
        return sum(ahead for since, ahead in self.clocks if since <= self.network.now)

    def handle(self, topic: str, payload: bytes, now: int) -> None:
        """As does every method here: the time is this node's own."""
        kept = now != self.network.now  # and comes from ourselves, with our own time
        super().handle(topic, payload, now if kept else now + self.ahead)

    def tick(self, now: int) -> None:
        """See `handle`."""
        super().tick(now + self.ahead)

    def loaded(self, session: str, value: Exact | InputError, now: int) -> None:
        """See `handle`."""
        super().loaded(session, value, now + self.ahead)

    def drawn(self, session: str, noise: Share, now: int) -> None:
        """See `handle`."""
        super().drawn(session, noise, now + self.ahead)

    def resume(self, now: int, only: str | None = None) -> None:
        """See `handle`."""
        super().resume(now + self.ahead, only)

    def reconnected(self, now: int) -> None:
        """See `handle`."""
        super().reconnected(now + self.ahead)

    @property
    def deadline(self) -> int | None:
        """By the network's clock."""
        due = super().deadline
        return None if due is None else due - self.ahead

    def _activate(self, *given: Any) -> ActiveSession:
        active = super()._activate(*given)
        if self.units:
            holding = active.machine._holding
            honest = holding.commit

            def commit(inputs: tuple[str, ...], output: Ring | None = None) -> bytes:
                honest(inputs, output)
                share = holding._output
                assert share is not None
                odd = share ^ np.uint64(1) if output is not None else share + np.uint64(self.units % 2**64)
                holding._output = np.array(odd, dtype=np.uint64)
                return opening.commit(holding._view, holding._me, inputs, holding._opening())

            holding.commit = commit  # type: ignore[method-assign] # the one thing that is not as it should be
        return active


class Battle(Run):
    """One plot as it happened."""

    def __init__(self, plot: Plot) -> None:
        self.plot = plot
        self.random = random.Random(plot.schedule.seed + 1)
        self.specs: dict[str, SessionSpec] = {}  # every session that was announced, by its id
        self._first = ""  # the session that the plot is about
        self._second_specs: dict[str, Publication] = {}  # what they are shown instead
        super().__init__(plot.schedule)

    @property
    def liars(self) -> frozenset[str]:
        """Whose keys the adversary has."""
        coordinator = {COORDINATOR} if self.plot.coordinator_lies else set()
        return frozenset(coordinator | ({self.plot.corrupt} if self.plot.corrupt else set()))

    # -- setting up ----------------------------------------------------------------------------------------

    def _start(self) -> None:
        self._start_at = self.network.now
        self._arm()
        super()._start()
        self.specs[self.session] = self.spec
        self._beside = ""
        if any(isinstance(each, Again) and each.what in ("other", "crossed") for each in self.plot.attacks):
            self._beside = self._announce_again()
        for attack in self.plot.attacks:
            self._begin(attack)

    def _arm(self) -> None:
        """The adversary takes its place."""
        network, plot = self.network, self.plot
        network.tamper = self._tamper
        self._honest = network.make
        network.make = self._make  # type: ignore[method-assign] # also after a crash
        if plot.corrupt is not None:
            self.forger = Forger(network, plot.corrupt, plot.schedule.seed)
            if self._twin is not None:
                network.inputs[plot.corrupt + SECOND] = network.inputs[plot.corrupt]
                network.journals[plot.corrupt + SECOND] = Journal(":memory:")
                network.nodes[plot.corrupt + SECOND] = self._make(plot.corrupt + SECOND)
        for name, node in network.nodes.items():
            self._odd(node, name)

    @property
    def _twin(self) -> Twin | None:
        return next((each for each in self.plot.attacks if isinstance(each, Twin)), None)

    def _make(self, name: str) -> Node:
        """A second node has the first one's name and key, and a journal of its own."""
        journals, me = self.network.journals, name.removesuffix(SECOND)
        first, journals[me] = journals[me], journals[name]
        node = self._odd(self._honest(me), name)
        journals[me] = first
        return node

    def _odd(self, node: Node, name: str) -> Node:
        node.__class__ = OddNode
        assert isinstance(node, OddNode)
        clocks = [each for each in self.plot.attacks if isinstance(each, Clock) and each.party == name]
        node.network = self.network
        node.clocks = tuple((self._start_at + each.since if each.since else 0, each.ahead) for each in clocks)
        if node.me == self.plot.corrupt:
            second = name.endswith(SECOND)
            node.units = sum(each.units for each in self.plot.shifts if each.twin == second)
            if self._twin is not None and self._twin.same_coins:
                node._entropy = random.Random(self.schedule.seed).randbytes
        return node

    def _begin(self, attack: Attack) -> None:
        """Plan what happens at a time."""
        network, now = self.network, self.network.now
        match attack:
            case Again(what, at):
                network.at(now + at, partial(self._again, what))
            case Clear(at):
                network.at(now + at, network.retained.clear)
            case Flood(times, fresh):
                for _ in range(times):
                    network.at(now, self._ask_again if fresh else self._repeat_announcement)
            case Cancel(at, reason, culprit, to):
                network.at(now + at, partial(self._end, COORDINATOR, reason, culprit, to))
            case Accuse(at, reason, culprit, to):
                network.at(now + at, partial(self._end, self.plot.corrupt or "", reason, culprit, to))
            case Intrude(step, at):
                network.at(now + at, partial(self._intrude, Step(step)))

    def _announce_again(self) -> str:
        """The same question, another session."""
        if COORDINATOR in self.network.down:
            return ""
        spec = self.spec.model_copy(update={"nonce": self.random.randbytes(16)})
        session = self.network.announce(spec)
        self.specs[session] = spec
        return session

    # -- what happens at a time ----------------------------------------------------------------------------

    def _ask_again(self) -> None:
        self._announce_again()

    def _repeat_announcement(self) -> None:
        for sent in [each for each in self.network.tap if each.topic.split("/")[4] == Step.ANNOUNCE][:1]:
            for name in self.network.names:
                self.network.post(name, sent)

    def _again(self, what: str) -> None:
        network = self.network
        sent = {
            "this": lambda: self._letters(self.session),
            "retained": lambda: list(network.retained.values()),
            "other": lambda: self._letters(self._beside),
            "crossed": lambda: [
                Publication(each.topic.replace(self._beside, self.session), each.payload)
                for each in self._letters(self._beside)
            ],
        }[what]()
        for each in sent:
            for name in network._readers(each):
                network.post(name, each)

    def _letters(self, session: str) -> list[Publication]:
        return [each for each in self.network.tap if each.topic.split("/")[3] == session]

    def _end(self, sender: str, reason: str, culprit: str, to: tuple[str, ...]) -> None:
        post = Post(sender, self.network.keys[sender], "sotto")
        abort = Abort.of(AbortReason(reason), "so it is", (), culprit)
        for part in post.plain(self.session, Step.ABORT, ALL, abort.encode()):
            for name in to:
                self.network.post(name, post.publication(self.session, part))

    def _intrude(self, step: Step) -> None:
        for name in self.schedule.members:
            for to in (ALL, COMPUTE, name):
                self.network.post(name, self.forger.nonsense(self.session, step, to))

    # -- the wires -----------------------------------------------------------------------------------------

    def _leaves(self, sender: str, sent: Publication) -> bool:
        if not sender.endswith(SECOND):
            return super()._leaves(sender, sent)
        for name in self.network._readers(sent):
            if self._twin is not None and name in self._twin.to and sent.payload:
                for each in self._wired(name, sent, sender):
                    self.network.post(name, each)
        return False

    def _tamper(self, to: str, sent: Publication) -> list[Publication]:
        origin = sent.topic.split("/")[5]
        return self._wired(to, sent, origin) if sent.payload else [sent]

    def _wired(self, to: str, sent: Publication, origin: str) -> list[Publication]:
        """What arrives of a letter from the node `origin`."""
        arriving = [sent]
        for attack in self.plot.attacks:
            arriving = [each for one in arriving for each in self._through(attack, to, one, origin)]
        return arriving

    def _through(self, attack: Attack, to: str, sent: Publication, origin: str) -> list[Publication]:
        """What becomes of a letter on its way to `to`."""
        _, _, _, session, stage, sender, *_ = sent.topic.split("/")
        step = stage.partition("-")[0]
        ours = sender == self.plot.corrupt and to != sender
        match attack:
            case Meddle() if attack.step in (None, step) and attack.to in (None, to):
                return self._meddle(attack, to, sent)
            case TwoSpecs() if step == Step.ANNOUNCE and to in attack.to:
                other = self._instead(attack, session, sent)
                return [other] if attack.own_id else [other, sent, other]
            case Forge() if ours and step == attack.step and to in attack.to:
                forged = self.forger.forge(sent, attack.flaw, origin)
                return [sent, *forged] if attack.beside or not forged else forged
            case Hold() if ours and step == attack.step and to in attack.to:
                return [sent] if attack.last_word and self._all_have_spoken(session, stage) else []
            case Twin() if not origin.endswith(SECOND):
                if to == self.plot.corrupt and sender != attack.deaf_to:
                    self.network.post(to + SECOND, sent)
                return [] if ours and to in attack.to else [sent]
        return [sent]

    def _all_have_spoken(self, session: str, stage: str) -> bool:
        """Whether every other compute party has sent its own letter of this stage."""
        levels = [sent.topic.split("/") for sent in self.network.tap if sent.payload]
        spoken = {each[5] for each in levels if each[3:5] == [session, stage]}
        return spoken >= set(self.schedule.compute) - {self.plot.corrupt}

    def _instead(self, attack: TwoSpecs, session: str, sent: Publication) -> Publication:
        """Another announcement; always the same one for one change."""
        self._first = self._first or session
        if session != self._first:
            return sent
        if attack.change not in self._second_specs:
            spec = changed(SessionSpec.decode(parse(sent.payload).body), attack.change, self.network)
            shown = session_id(spec.encode()) if attack.own_id else session
            if attack.own_id:
                self.specs[shown] = spec
            post = Post(COORDINATOR, self.network.keys[COORDINATOR], "sotto")
            (part,) = post.plain(shown, Step.ANNOUNCE, ALL, spec.encode())
            self._second_specs[attack.change] = post.publication(shown, part)
        return self._second_specs[attack.change]

    # -- the broker ----------------------------------------------------------------------------------------

    def _meddle(self, attack: Meddle, to: str, sent: Publication) -> list[Publication]:
        if self.random.random() >= attack.chance:
            return [sent]
        match attack.what:
            case "drop":
                return []
            case "double":
                return [sent, sent]
            case "delay":
                at = self.network.now + self.random.randint(1, LATEST)
                self.network.at(at, partial(self.network.post, to, sent))
                return []
            case "misroute":
                self.network.post(self.random.choice(self.network.names), sent)
                return [] if attack.instead else [sent]
        damaged = {"truncate": self._truncated, "flip": self._flipped, "readdress": self._readdressed}
        return [damaged[attack.what](sent)] + ([] if attack.instead else [sent])

    def _truncated(self, sent: Publication) -> Publication:
        return Publication(sent.topic, sent.payload[: self.random.randrange(len(sent.payload))])

    def _flipped(self, sent: Publication) -> Publication:
        raw, place = bytearray(sent.payload), self.random.randrange(len(sent.payload))
        raw[place] ^= 1 << self.random.randrange(8)
        return Publication(sent.topic, bytes(raw))

    def _readdressed(self, sent: Publication) -> Publication:
        levels = sent.topic.split("/")
        names = self.network.names
        others = [[session_id(b"")], [*map(str, Step), "masked-1"], names, [*names, ALL, COMPUTE], ["0", "1"]]
        place = self.random.randrange(5)
        levels[3 + place] = self.random.choice(others[place])
        return Publication("/".join(levels), sent.payload)


def changed(spec: SessionSpec, change: str, network: Network) -> SessionSpec:
    """The other spec that the coordinator shows; one with another nonce where the change is not possible."""
    key = network.keys[COORDINATOR].public_key().public_bytes_raw()
    noise, function, first = spec.noise, spec.function, spec.members
    less: dict[str, dict[str, Any]] = {
        "results": {"results": spec.results[:1]},
        "fewer inputs": {"inputs": spec.inputs[:-1]} if len(spec.inputs) > 1 else {},
        "min_inputs": {"min_inputs": 1},
        "one input": {"inputs": spec.inputs[:1], "min_inputs": 1},
        "compute": {"compute": spec.compute[::-1]},
        "another key": {"members": {**first, spec.inputs[0]: key}},
        "times": {"join_by": spec.join_by + 1, "share_by": spec.close_by},
    }
    if noise is not None:
        less["sensitivity"] = {"noise": noise.model_copy(update={"sensitivity": noise.sensitivity + 1})}
        less["epsilon"] = {"noise": noise.model_copy(update={"epsilon": noise.epsilon + 1})}
    if hasattr(function, "upper"):
        less["bounds"] = {"function": function.model_copy(update={"lower": -WIDE, "upper": WIDE})}
    shown = spec.model_copy(update=less.get(change) or {"nonce": spec.nonce[::-1]})
    roles = {*shown.inputs, *shown.compute, *shown.results}
    members = {name: identity for name, identity in shown.members.items() if name in roles}
    other = shown.model_copy(
        update={"members": members, "min_inputs": min(shown.min_inputs, len(shown.inputs))}
    )
    try:
        return SessionSpec.decode(other.encode())
    except MalformedError:
        return other
