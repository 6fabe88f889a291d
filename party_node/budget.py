"""What a session costs our input, and whether it is there: between a node and its ledger."""

from __future__ import annotations

from collections.abc import Mapping

from party_node.database import LostError
from party_node.journal import Journal
from party_node.policy import Declared, Refusal, refuse_cost
from protocol.messages import RefusalCode, Step
from protocol.spec import SessionSpec


class Budget:
    """One party's ε.  A session that costs none passes everywhere."""

    def __init__(self, me: str, journal: Journal, inputs: Mapping[str, Declared]) -> None:
        self._me, self._journal, self._ledger, self._inputs = me, journal, journal.ledger, inputs

    def refuse(self, spec: SessionSpec) -> Refusal | None:
        """Why we take no part, as things stand; this saves work, and `reserve` decides."""
        if spec.epsilon is None:
            return None
        if flaw := self._ledger.flaw():
            return Refusal(RefusalCode.POLICY, flaw.message, flaw.hint)
        if self._me not in spec.inputs:
            return None
        budget = self._inputs[spec.input].budget
        return refuse_cost(spec.input, spec.epsilon, self._ledger.account(spec.input), budget)

    def reserve(self, session: str, spec: SessionSpec, now: int) -> Refusal | None:
        """Set aside what the session costs; or why not, for others may have come first."""
        if spec.epsilon is None:
            return None
        budget = self._inputs[spec.input].budget
        done = self._ledger.reserve(session, spec.input, spec.epsilon, budget, now)
        return None if done else self.refuse(spec)

    def keep_from_sharing(self, session: str, spec: SessionSpec) -> None:
        """LostError where shares would cost ε that a damaged ledger cannot say is left."""
        if spec.epsilon is None or self._me not in spec.inputs or self._ledger.flaw() is None:
            return
        if not any(sent.step == Step.SHARE for sent in self._journal.outbox(session)):
            raise LostError(f"the ledger of {self._me} is damaged, and none of its shares has been sent")

    def settle(self, now: int) -> None:
        """As the node starts: take back what could not be released while the ledger was damaged."""
        for session in self._ledger.reserved():
            row = self._journal.session(session)
            if row is not None and row.ended is not None:
                self._ledger.release(session, now)

    def release(self, session: str, spec: SessionSpec, now: int) -> None:
        """The session is over: what was reserved and never spent is there again."""
        if spec.epsilon is not None:
            self._ledger.release(session, now)
