"""One compute party's part in a function that needs rounds: first the triples, then the gates.

Triples are made with each peer as soon as it has joined, while the session still waits for people.  Gates
are opened by way of the leader: in each round everybody sends it what masks its own shares, and it sends
back the sum, so that a round costs 2(k − 1) letters and not k(k − 1) [Damgård, Nielsen, CRYPTO 2007, §3].
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import NamedTuple

import numpy as np

from protocol.beaver import Run, open_all
from protocol.bits import Bits
from protocol.circuits import Number
from protocol.correlation.preparation import Message, Preparation, Setup
from protocol.errors import LocalProtocolError, RemoteProtocolError
from protocol.functionalities import Boolean
from protocol.letters import COMPUTE, Letter
from protocol.mailbox import Mailbox
from protocol.membership import join_digest
from protocol.messages import Join, MalformedError, Masked, Opened, Step, stage
from protocol.ring import Ring
from protocol.sealed import Outgoing, Unseal
from protocol.secret import Seed
from protocol.spec import SessionSpec
from protocol.transcript import digest


class SplitViewError(RemoteProtocolError):
    """Somebody was told something else than we; who lied is not for us to say."""


Setups = Mapping[str, Mapping[bytes, Setup]]  # peer → id → our half, the newest first


class NewSetup(NamedTuple):
    """Our half of what an extension with one peer has left for the next session."""

    peer: str
    id: bytes
    setup: Setup


def setup_id(context: bytes) -> bytes:
    """What both call the setup that was made in this context, which comes but once."""
    return context[:16]


class Evaluation:
    """What one compute party computes with the others.  RemoteProtocolError names who sent nonsense."""

    def __init__(
        self,
        spec: SessionSpec,
        function: Boolean,
        session: str,
        me: str,
        seed: Seed,
        unseal: Unseal,
        setups: Setups,
    ) -> None:
        self._spec, self._function, self._session, self._me = spec, function, session, me
        self._unseal, self._setups = unseal, setups
        self._preparation = Preparation(me, spec.compute, spec.triples, seed.derive("correlations"))
        self._contexts: dict[str, bytes] = {}  # of the peers that we have met
        self._handed: set[str] = set()  # peers whose new setup has been handed out
        self._run: Run[Bits] | None = None
        self._run_id = b""  # binds every round to the view and to the inputs that count
        self._sent = 0  # the last round of which our part has gone out
        self._opened: list[bytes] = []  # the sums, a round each

    @property
    def offers(self) -> tuple[bytes, dict[str, tuple[bytes, ...]]]:
        """For our join: our point for base oblivious transfers, and the ids of the setups that we have."""
        return self._preparation.offer, {peer: tuple(kept) for peer, kept in self._setups.items() if kept}

    def new_setups(self) -> list[NewSetup]:
        """The setups that were made since the last call."""
        fresh = [peer for peer in self._preparation.made if peer not in self._handed]
        self._handed.update(fresh)
        return [
            NewSetup(peer, setup_id(self._contexts[peer]), self._preparation.made[peer]) for peer in fresh
        ]

    # -- triples -----------------------------------------------------------------------------------

    def prepare(self, joins: Mapping[str, Join], join: Join, mail: Mailbox) -> list[Outgoing]:
        """Go on with every peer whose join (in `joins`) can be used; `join` is our own."""
        out: list[Outgoing] = []
        for peer, theirs in joins.items():
            if peer not in self._contexts:
                out += _blaming(peer, partial(self._meet, peer, theirs, join))
        for peer, round_ in self._preparation.missing():
            letter = mail.sealed(Step.CORRELATE, peer, round_)
            if letter is not None:
                out += _blaming(peer, partial(self._take, letter))
        return out

    def _meet(self, peer: str, theirs: Join, ours: Join) -> list[Message]:
        if theirs.offer is None:
            raise MalformedError(f"{peer} joined without a point for oblivious transfers")
        joins = {peer: theirs, self._me: ours}
        pair = [name for name in self._spec.compute if name in joins]
        digests = (join_digest(name, joins[name]) for name in pair)
        context = self._contexts[peer] = digest("pair", self._session, *digests)
        first, second = joins[pair[0]].setups.get(pair[1], ()), joins[pair[1]].setups.get(pair[0], ())
        common = next((each for each in first if each in second), None)
        setup = None if common is None else self._setups[peer][common]
        return self._preparation.meet(peer, theirs.offer, context, setup)

    def _take(self, letter: Letter) -> list[Message]:
        return self._preparation.take(letter.sender, letter.round, self._unseal(letter, b"").body)

    # -- gates -------------------------------------------------------------------------------------

    @property
    def started(self) -> bool:
        """True once `start` has been called."""
        return self._run is not None

    @property
    def prepared(self) -> bool:
        """True once there are triples enough, and ever after."""
        return self.started or self._preparation.ready

    def start(self, view: bytes, counted: tuple[str, ...], inputs: Bits, noise: int) -> None:
        """Begin to compute on our shares of the counted inputs; `noise` is our part of it, or 0."""
        self._run_id = digest("gates", view, *counted)
        leads = self._me == self._spec.leader
        # A public constant is shared as (c, 0, …, 0).
        one = Bits.from_bools(np.array([leads]))
        circuit = self._function.circuit(inputs, one, self._entered(noise, len(counted)))
        self._run = Run(circuit, self._preparation.triples(), leader=leads)

    def _entered(self, noise: int, counted: int) -> Number:
        compute, width = self._spec.compute, self._spec.noise_width
        if not width:
            return []
        return self._function.enter_noise(noise, counted, compute.index(self._me), len(compute), width)

    def compute(self, mail: Mailbox) -> list[Outgoing]:
        """Go as many rounds on as the letters in `mail` allow."""
        out: list[Outgoing] = []
        run = self._running()
        leads = self._me == self._spec.leader
        while run.masked is not None:
            if self._sent < run.round and not leads:
                statement = Masked(run=self._run_id, bits=run.masked.to_bytes())
                out.append(Outgoing(Step.MASKED, self._spec.leader, statement.encode(), round=run.round))
            self._sent = run.round
            opened = (self._gathered if leads else self._told)(run.masked, run.round, mail)
            if opened is None:
                break
            self._opened.append(opened.to_bytes())
            if leads:
                told = Opened(run=self._run_id, bits=opened.to_bytes())
                out.append(Outgoing(Step.OPENED, COMPUTE, told.encode(), round=run.round))
            run.advance(opened)
        return out

    def _running(self) -> Run[Bits]:
        if self._run is None:
            raise LocalProtocolError("gates before inputs")
        return self._run

    def _gathered(self, ours: Bits, round_: int, mail: Mailbox) -> Bits | None:
        """The sum of everybody's part, once all are here."""
        others = self._spec.compute[1:]
        masked = mail.statements(Masked, others, round_)
        if len(masked) < len(others):
            return None
        return open_all([ours, *(self._read(name, each, len(ours)) for name, each in masked.items())])

    def _told(self, ours: Bits, round_: int, mail: Mailbox) -> Bits | None:
        """The sum as the leader says."""
        leader = self._spec.leader
        opened = mail.statements(Opened, [leader], round_).get(leader)
        return None if opened is None else self._read(leader, opened, len(ours))

    def _read(self, sender: str, statement: Masked | Opened, length: int) -> Bits:
        if statement.run != self._run_id:
            raise SplitViewError(f"{sender} computes on other inputs than {self._me}", sender)
        try:
            return Bits.from_bytes(statement.bits, length)
        except ValueError as error:
            raise RemoteProtocolError(f"a round from {sender}: {error}", sender) from None

    # -- what comes out ----------------------------------------------------------------------------

    @property
    def done(self) -> bool:
        """True once the output share is known."""
        return self._run is not None and self._run.done

    def output(self) -> Ring:
        """Our share of the answer's bit, as a ring scalar."""
        return np.array(int(self._running().result.to_bools()[0]), dtype=np.uint64)

    def transcript(self) -> bytes:
        """The hash over all that was opened: the same for everybody, or the leader has lied to somebody."""
        return digest("rounds", *self._opened)

    def wanted(self) -> list[tuple[str, str]]:
        """The letters that we cannot go on without: (stage, sender)."""
        wanted = [(stage(Step.CORRELATE, round_), sender) for sender, round_ in self._preparation.missing()]
        if self._run is None or self._run.done:
            return wanted
        if self._me == self._spec.leader:
            return [(stage(Step.MASKED, self._run.round), name) for name in self._spec.compute[1:]]
        return [(stage(Step.OPENED, self._run.round), self._spec.leader)]

    def forget(self) -> None:
        """No triple outlives the session."""
        self._preparation.forget()
        self._run = None


def _blaming(peer: str, step: Callable[[], list[Message]]) -> list[Outgoing]:
    """The letters that `step` gives rise to; if what it works on is malformed, `peer` sent it."""
    try:
        messages = step()
    except MalformedError as error:
        raise RemoteProtocolError(error.message, peer) from None
    return [
        Outgoing(Step.CORRELATE, each.to, each.body, recipients=(each.to,), round=each.step)
        for each in messages
    ]
