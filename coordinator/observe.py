"""What the coordinator sees of a session: the public letters, folded into where it stands."""

from __future__ import annotations

import math

import numpy as np

from protocol import membership, ring
from protocol.errors import RemoteProtocolError
from protocol.functionalities import Answer
from protocol.letters import Part
from protocol.mailbox import ContradictionError, Mailbox
from protocol.messages import (
    IN_ROUNDS,
    SEALED,
    Abort,
    AbortReason,
    Begin,
    Commit,
    Confirm,
    Join,
    MalformedError,
    PublicResult,
    Received,
    Refuse,
    Step,
)
from protocol.spec import SessionSpec
from protocol.states import DISPROOFS, Ending, Outcome, State

PUBLIC_STEPS = tuple(
    step for step in Step if step not in SEALED | IN_ROUNDS and step not in (Step.ANNOUNCE, Step.REQUEST)
)


class SessionView:
    """One session from outside.  Whoever calls `add` has checked the signature."""

    def __init__(self, spec: SessionSpec, session: str) -> None:
        self.spec, self.id = spec, session
        self._mail = Mailbox(spec, session, me="")  # a reader who has sent nothing
        self._ending: Ending | None = None

    def add(self, part: Part) -> None:
        """Take in one part; what is sealed or does not belong here is passed over."""
        if part.header.session != self.id or part.header.step in SEALED:
            return
        try:
            self._mail.add(part)
        except MalformedError:
            return
        except RemoteProtocolError as error:
            contradiction = isinstance(error, ContradictionError)
            reason = AbortReason.CONTRADICTION if contradiction else AbortReason.INVALID_MESSAGE
            self._ending = Ending(reason, error.message, culprit=error.culprit)

    @property
    def joined(self) -> tuple[str, ...]:
        """Who has joined."""
        return tuple(self._mail.statements(Join, self.spec.members))

    @property
    def refused(self) -> dict[str, str]:
        """Who has refused, and why."""
        refusals = self._mail.statements(Refuse, self.spec.members)
        return {name: str(each) for name, each in refusals.items()}

    @property
    def received(self) -> tuple[str, ...]:
        """The compute parties that have their shares."""
        return tuple(self._mail.statements(Received, self.spec.compute))

    @property
    def confirmed(self) -> tuple[str, ...]:
        """The result parties that have the answer."""
        return tuple(self._mail.statements(Confirm, self.spec.results))

    @property
    def counted(self) -> tuple[str, ...]:
        """The inputs that are complete at every compute party that has said so."""
        received = self._mail.statements(Received, self.spec.compute)
        if len(received) < len(self.spec.compute):
            return ()
        return membership.counted(self.spec.inputs, received.values())

    def outcome(self) -> Outcome:
        """Where the session stands, as far as the public letters show."""
        ending = self._ending or self._aborted()
        if ending is not None:
            return Outcome(State.ABORTED, inputs=self.counted, ending=ending)
        return Outcome(self._state(), self._public_answer(), self.counted)

    def _aborted(self) -> Ending | None:
        if refusal := self._mail.statements(Refuse, [self.spec.leader]).get(self.spec.leader):
            # Nobody is left to say so.
            return Ending(AbortReason.REFUSED, f"{self.spec.leader} refused ({refusal})")
        confirms = self._mail.statements(Confirm, self.spec.results)
        if len({each.transcript for each in confirms.values()}) > 1:
            return Ending(AbortReason.SPLIT_VIEW, "the result parties saw different transcripts")
        finished = len(confirms) == len(self.spec.results)
        for name, abort in self._mail.statements(Abort, (*self.spec.needed, self.spec.coordinator)).items():
            disproof = abort.reason in DISPROOFS and name in self.spec.needed
            if disproof or not finished:
                return Ending(abort.reason, abort.detail, abort.silent, abort.culprit, reported_by=name)
        return None

    def _state(self) -> State:
        confirmed, received = self.confirmed, self.received
        if len(confirmed) == len(self.spec.results):
            return State.COMPLETED
        if confirmed:
            return State.CONFIRMING
        computed = (
            self._mail.statements(Commit, self.spec.compute) if self.spec.function.interactive else received
        )
        if len(computed) == len(self.spec.compute):
            return State.OPENING
        if received:
            return State.COMPUTING
        if self._mail.statements(Begin, [self.spec.leader]):
            return State.SHARING
        return State.JOINED if self.joined or self.refused else State.ANNOUNCED

    def _public_answer(self) -> Answer | None:
        """The published elements, once every result party has published the same."""
        results = list(self._mail.statements(PublicResult, self.spec.results).values())
        if not self.spec.public or len(results) < len(self.spec.results) or len(set(results)) != 1:
            return None
        begin = self._mail.statements(Begin, [self.spec.leader]).get(self.spec.leader)
        function = self.spec.function
        if begin is None or self.spec.shape not in (None, begin.shape):
            return None
        if not results[0].inputs or len(results[0].elements) != ring.BYTES * math.prod(begin.shape):
            return None
        opened = ring.from_bytes(results[0].elements, begin.shape)
        if (opened > np.uint64(function.largest)).any():
            return None
        return function.decode(opened, len(results[0].inputs))
