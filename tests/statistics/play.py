"""One referendum played by the parties' own machines: every letter that depends on a secret, byte for byte.

`Holding`, `Preparation` and `Run` are the product's; only the carrying is done here, without a broker, a seal
or the letters that no secret enters.  `test_sessions.py` holds it against real sessions.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import permutations
from typing import ClassVar, NamedTuple
from unittest.mock import patch

import numpy as np

from protocol import letters, opening, ring
from protocol.beaver import Run, Triples, open_all
from protocol.bits import Bits, concat
from protocol.circuits import Number
from protocol.correlation import Message, Preparation, extension
from protocol.correlation.pair import Receiver
from protocol.correlation.robust_hash import RobustHash
from protocol.gates import Circuit
from protocol.holding import Holding
from protocol.letters import ALL
from protocol.messages import Step
from protocol.ring import Ring
from protocol.sealed import Outgoing, Unsealed
from protocol.secret import SEED_BYTES, Seed
from protocol.sharing import Share
from tests.statistics.cases import Ballots, Case, Keys, Setups, fresh_keys
from tests.support.sessions import elements


class Product:
    """The protocol as it is.  A leaky variant overrides one of these."""

    robust_hash: ClassVar[type[RobustHash]] = RobustHash

    def keys(self, case: Case, label: str, number: int, left: Setups | None) -> Keys:
        """What session `number` of a story is bound to; `left` is what the one before has left of setups."""
        return fresh_keys(case, label, number, left)

    def ands(self, case: Case) -> int:
        """How many triples each two make."""
        return case.spec.triples

    def noise(self, case: Case, name: str, ballots: Ballots) -> int:
        """What a compute party enters as its noise."""
        return dict(zip(case.compute, ballots[len(case.inputs) :], strict=True))[name]

    def circuit(self, case: Case, inputs: Bits, one: Bits, noise: Number) -> Circuit[Bits]:
        """What a party runs on its shares."""
        return case.function.circuit(inputs, one, noise)

    def triples(self, made: Triples) -> Triples:
        """What it runs it with."""
        return made

    def output(self, result: Bits, inputs: Bits) -> Ring:
        """The output share that it commits to and reveals."""
        return np.array(int(result.to_bools()[0]), dtype=np.uint64)


class Letter(NamedTuple):
    """What is sent.  `readers` are those it is sealed to; none means everybody, the broker too."""

    step: Step
    round: int
    sender: str
    readers: tuple[str, ...]
    body: bytes  # of a statement, what its readers could not have written themselves


@dataclass
class Known:
    """What one compute party knows besides its letters."""

    ballots: Bits = field(default_factory=lambda: Bits.zeros(0))  # its share of each
    masks: list[Bits] = field(default_factory=list)  # its shares of a, then b: for each round
    pads: dict[str, Bits] = field(default_factory=dict)  # H(j, t_j), where it was the extension's receiver
    output: Ring = field(default_factory=lambda: np.zeros((), dtype=np.uint64))


class Play:
    """A session from its triples to its answer."""

    def __init__(self, case: Case, ballots: Ballots, keys: Keys, variant: Product) -> None:
        self.case, self.keys = case, keys
        self.letters: list[Letter] = []
        self.known = {name: Known() for name in case.compute}
        self.opened: list[Bits] = []  # the sums that the leader sent, a round each
        self.left: Setups = {}  # for the next session
        self._variant = variant
        self.ands = variant.ands(case)
        self._ballots = ballots
        values = dict(zip(case.inputs, elements([*ballots[: len(case.inputs)]]), strict=True))
        self._holdings = {
            name: Holding(
                *(name, case.function, keys.seeds[name], values.get(name), _unsealed),
                noisy=case.noise is not None and name in case.compute,
            )
            for name in case.members
        }
        with patch.object(extension, "RobustHash", variant.robust_hash):
            self._prepare()
        self._share()
        self._compute()
        self._open()

    @property
    def answer(self) -> str | list[str]:
        """As the first result party puts it together; MalformedError if a share is not what it must be."""
        reader = self.case.results[0]
        commitments, transcript = self._committed()
        for letter in self.letters:
            if letter.step == Step.REVEAL and reader in letter.readers:
                commitment = commitments[letter.sender]
                self._holdings[reader].take_opening(_sealed(letter), transcript, commitment, self.case.inputs)
        return self.case.function.decode(self._holdings[reader].total(), len(self.case.inputs)).text()

    def _committed(self) -> tuple[dict[str, bytes], bytes]:
        commitments = {each.sender: each.body for each in self.letters if each.step == Step.COMMIT}
        in_order = [commitments[name] for name in self.case.compute]
        return commitments, opening.transcript(self.keys.view, self.case.inputs, in_order)

    def _prepare(self) -> None:
        case, keys = self.case, self.keys
        count = self.ands
        preparations = {
            name: Preparation(name, case.compute, count, keys.seeds[name].derive("correlations"))
            for name in case.compute
        }
        waiting: list[Letter] = []
        for me, peer in permutations(case.compute if count else (), 2):
            setup = keys.setups.get(me, {}).get(peer)
            offer = b"" if setup else preparations[peer].offer
            context = keys.contexts[frozenset((me, peer))]
            waiting += _correlate(me, preparations[me].meet(peer, offer, context, setup))
        while waiting:
            letter = waiting.pop(0)
            self.letters.append(letter)
            [to] = letter.readers
            waiting += _correlate(to, preparations[to].take(letter.sender, letter.round, letter.body))
        for name, each in preparations.items():
            self.known[name].pads = _pads(each)
        self.left = {name: each.made for name, each in preparations.items()}
        self._triples = {name: self._variant.triples(each.triples()) for name, each in preparations.items()}

    def _share(self) -> None:
        case = self.case
        for holding in self._holdings.values():
            holding.begin(self.keys.view, ())
        for turn, name in enumerate(case.inputs):
            for letter in self._send(name, self._holdings[name].split(case.compute, turn)):
                [to] = letter.readers
                self._holdings[to].take_share(_sealed(letter))
        for name in case.compute:
            self.known[name].ballots = self._holdings[name].bits(case.inputs)
            if case.noise is not None:
                noise = self._variant.noise(case, name, self._ballots)
                self._holdings[name].take_noise(Share(elements(noise)))

    def _compute(self) -> None:
        leader, *others = self.case.compute
        runs = {name: self._run(name) for name in self.case.compute}
        while not runs[leader].done:
            masked = {name: run.masked for name, run in runs.items() if run.masked is not None}
            for name, run in runs.items():
                self.known[name].masks.append(concat(run._triple[:2]))
            number = runs[leader].round
            for name in others:
                self.letters.append(Letter(Step.MASKED, number, name, (), masked[name].to_bytes()))
            opened = open_all(masked.values())
            self.opened.append(opened)
            self.letters.append(Letter(Step.OPENED, number, leader, (), opened.to_bytes()))
            for run in runs.values():
                run.advance(opened)
        for name, run in runs.items():
            self.known[name].output = self._variant.output(run.result, self.known[name].ballots)

    def _run(self, name: str) -> Run[Bits]:
        leads = name == self.case.compute[0]
        one = Bits.from_bools(np.array([leads]))
        circuit = self._variant.circuit(self.case, self.known[name].ballots, one, self._entered(name))
        return Run(circuit, self._triples[name], leader=leads)

    def _entered(self, name: str) -> Number:
        case, compute = self.case, self.case.compute
        if case.noise is None:
            return []
        noise, me = self._holdings[name].noise(), compute.index(name)
        return case.function.enter_noise(noise, len(case.inputs), me, len(compute), case.spec.noise_width)

    def _open(self) -> None:
        case = self.case
        for name in case.compute:
            commitment = self._holdings[name].commit(case.inputs, self.known[name].output)
            self.letters.append(Letter(Step.COMMIT, 0, name, (), commitment))
        _, transcript = self._committed()
        for name in case.compute:
            others = tuple(each for each in case.results if each != name)
            # Sealed to all of them at once, wherever it is published.
            groups = {ALL: others} if others else {}
            keep = name in case.results
            self._send(name, self._holdings[name].reveal(transcript, groups, frozenset(), keep=keep))

    def _send(self, sender: str, sent: Iterable[Outgoing]) -> list[Letter]:
        made = [
            Letter(
                each.step, each.round, sender, each.recipients, each.seed.expose() if each.seed else each.body
            )
            for each in sent
        ]
        self.letters += made
        return made


def _correlate(sender: str, messages: list[Message]) -> list[Letter]:
    return [Letter(Step.CORRELATE, each.step, sender, (each.to,), each.body) for each in messages]


def _pads(preparation: Preparation) -> dict[str, Bits]:
    pairs = preparation._pairs.items()
    return {peer: pair._extension._masks for peer, pair in pairs if isinstance(pair, Receiver)}


def _sealed(letter: Letter) -> letters.Letter:
    """As it arrives, but for its cipher."""
    to = letter.readers[0]
    return letters.Letter("", letter.step, letter.round, letter.sender, to, (), (letter.body,), b"")


def _unsealed(letter: letters.Letter, view: bytes) -> Unsealed:
    if letter.step == Step.SHARE and len(letter.body) == SEED_BYTES:
        return Unsealed(Seed(letter.body), b"")
    if letter.step == Step.SHARE and len(letter.body) != ring.BYTES:
        raise AssertionError(f"a share of {len(letter.body)} bytes")
    return Unsealed(None, letter.body)
