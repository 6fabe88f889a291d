"""From an announcement to our answer: what is believed, what policy and person say, whether the input fits.

Nothing but a refusal leaves this node for a session before all of that is settled and noted in the ledgers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import structlog

from party_node import pins, policy
from party_node.budget import Budget
from party_node.journal import Decider, Decision, Journal, Made
from party_node.policy import Limits, Refusal
from party_node.post import check_signature
from party_node.roster import Roster
from protocol.encoding import Exact
from protocol.errors import InputError, SpecError
from protocol.letters import Part
from protocol.membership import describe
from protocol.messages import RefusalCode, printable
from protocol.ring import Ring
from protocol.spec import SessionSpec

MOST_WAITING = 256  # parts kept for a session whose answer is still open; more are asked for again,
MOST_BYTES = 1 << 20  # and so many bytes of them

log = structlog.get_logger("node")


@dataclass
class Candidate:
    """A session whose answer is still open, and the letters that have come for it meanwhile."""

    spec: SessionSpec
    announce: bytes
    by: Decider = Decider.POLICY
    waiting: list[tuple[str, bytes]] = field(default_factory=list)
    _bytes: int = 0

    def keep(self, topic: str, payload: bytes) -> bool:
        """Hold a letter back until we have joined; False if it is too much: it will be asked for again."""
        if len(self.waiting) >= MOST_WAITING or self._bytes + len(payload) > MOST_BYTES:
            return False
        self._bytes += len(payload)
        self.waiting.append((topic, payload))
        return True


@dataclass(frozen=True)
class Admitted:
    """We take part, with this input (None if we bring none)."""

    session: str
    candidate: Candidate
    value: Ring | None


@dataclass(frozen=True)
class Refused:
    """We take no part; `words` are a person's, for everybody to read."""

    session: str
    candidate: Candidate
    refusal: Refusal
    words: str = ""


Answer = Admitted | Refused


class Admission:
    """One party's door.  Times are Unix milliseconds, given by the caller."""

    def __init__(
        self,
        me: str,
        roster: Roster,
        journal: Journal,
        limits: Limits,
        budget: Budget,
        running: Callable[[], Sequence[SessionSpec]],
    ) -> None:
        """`running` tells the specs of the sessions that we have joined."""
        self._me, self._roster, self._journal, self._limits = me, roster, journal, limits
        self._budget, self._running = budget, running
        self.wanted: list[tuple[str, str]] = []  # (session, input name): inputs to load, for the caller
        self._loading: dict[str, Candidate] = {}
        self._asked: dict[str, Candidate] = {}  # a person is

    def resume(self, now: int) -> list[Answer]:
        """After a start: a person who was asked still is, and one who has said yes need not again."""
        for row in self._journal.pending():
            self._asked[row.id] = Candidate(row.spec, row.announce)
        approved = [session for session in self._asked if self._decider(session) is Decider.PERSON]
        answers = [self.decide(session, True, "", now) for session in approved]
        return [answer for answer in answers if answer is not None]

    def _decider(self, session: str) -> Decider | None:
        decision = self._journal.decision(session)
        return None if decision is None else decision.by

    def candidate(self, session: str) -> Candidate | None:
        """A session whose answer is still open."""
        return self._loading.get(session) or self._asked.get(session)

    @property
    def open(self) -> int:
        """How many sessions have no answer yet."""
        return len(self._loading) + len(self._asked)

    @property
    def asks(self) -> int:
        """About how many sessions a person is asked, or may change its mind."""
        approved = sum(each.by is Decider.PERSON for each in self._loading.values())
        return len(self._asked) + approved

    @property
    def deadline(self) -> int | None:
        """When `tick` is due."""
        return min((each.spec.join_by for each in self._asked.values()), default=None)

    # -- what happens --------------------------------------------------------------------------------

    def announced(self, part: Part, payload: bytes, now: int) -> Answer | None:
        """An announcement that we have not seen; SpecError: it cannot be believed, and is not answered."""
        session, sender = part.header.session, part.header.sender
        identity = self._roster.identity(sender)
        if identity is None:
            problem = f"{sender} {self._roster.objection(sender)}"
            raise SpecError(problem, "only known coordinators may announce")
        check_signature(part, identity)
        spec = policy.believe(part, self._me, self._roster, now)
        if spec is None:
            return None
        candidate = Candidate(spec, payload)
        pins.shout_offered(self._roster, spec.members)
        if refusal := self._refusal(spec):
            return Refused(session, candidate, refusal)
        if self._limits.ask:
            self._ask(session, candidate, now)
            return None
        return self._admit(session, candidate)

    def decide(self, session: str, approve: bool, words: str, now: int) -> Answer | None:
        """A person's answer; what has changed since the question was asked can still refuse."""
        candidate = self._asked.pop(session, None)
        if candidate is None and not approve:
            candidate = self._loading.pop(session, None)  # whoever changes its mind in time is heard
        if candidate is None:
            return None
        candidate.by = Decider.PERSON
        if not approve:
            said = printable(words)
            detail = f"declined by a person: {said}" if said else "declined by a person"
            return Refused(session, candidate, Refusal(RefusalCode.DECLINED, detail), said)
        if now >= candidate.spec.join_by:
            return _unanswered(session, candidate)
        self._journal.decided(session, Decision(Made.PENDING, Decider.PERSON, "", "", now))
        refusal = self._refusal(candidate.spec)
        return Refused(session, candidate, refusal) if refusal else self._admit(session, candidate)

    def tick(self, now: int) -> list[Answer]:
        """Whoever was asked and has not answered in time has said no."""
        late = [session for session, each in self._asked.items() if each.spec.join_by <= now]
        return [_unanswered(session, self._asked.pop(session)) for session in late]

    def loaded(self, session: str, value: Exact | InputError, now: int) -> Answer | None:
        """The answer to an entry of `wanted`; None if a person has said no meanwhile."""
        candidate = self._loading.pop(session, None)
        if candidate is None:
            return None
        spec = candidate.spec
        if isinstance(value, InputError):
            return Refused(session, candidate, Refusal(RefusalCode.INPUT, value.message, value.hint))
        try:
            encoded = _encoded(spec, value)
        except InputError as error:
            return Refused(session, candidate, Refusal(RefusalCode.INPUT, error.message, error.hint))
        refusal = self._budget.reserve(session, spec, now) or self._reserve_release(session, spec, value, now)
        return Refused(session, candidate, refusal) if refusal else Admitted(session, candidate, encoded)

    # -- how -----------------------------------------------------------------------------------------

    def _refusal(self, spec: SessionSpec) -> Refusal | None:
        open_ = (*self._loading.values(), *self._asked.values())
        running = [*self._running(), *(each.spec for each in open_)]
        return (
            policy.refuse(spec, self._me, self._roster, self._limits)
            or policy.refuse_twins(spec, running)
            or policy.refuse_more(len(running), self._limits)
            or self._budget.refuse(spec)
        )

    def _ask(self, session: str, candidate: Candidate, now: int) -> None:
        self._asked[session] = candidate
        self._journal.announced(session, candidate.announce, now)
        self._journal.decided(session, Decision(Made.PENDING, Decider.POLICY, "", "", now))
        log.warning(
            "session waits for a person",
            session=session[:8],
            function=candidate.spec.function.name,
            hint="`party-node sessions` shows it; `party-node approve` or `party-node refuse` answers",
        )

    def _admit(self, session: str, candidate: Candidate) -> Answer | None:
        if self._me not in candidate.spec.inputs:
            return Admitted(session, candidate, None)
        self._loading[session] = candidate
        self.wanted.append((session, candidate.spec.input))
        return None

    def _reserve_release(self, session: str, spec: SessionSpec, value: Exact, now: int) -> Refusal | None:
        """What no budget limits goes by the release ledger: exact answers, and ε of whatever size."""
        if spec.epsilon is not None and self._limits.inputs[spec.input].budget is not None:
            return None
        distance = self._limits.min_difference
        return self._journal.releases.reserve(session, spec, value, distance, now)


def _unanswered(session: str, candidate: Candidate) -> Refused:
    detail = "nobody has approved or refused it in time"
    return Refused(session, candidate, Refusal(RefusalCode.UNANSWERED, detail))


def _encoded(spec: SessionSpec, value: Exact) -> Ring:
    """Our input as it is shared; InputError, which never depends on the value where the session costs ε."""
    encoded = spec.function.encode(value, len(spec.inputs), clamp=spec.epsilon is not None)
    if spec.shape not in (None, encoded.shape):
        raise InputError(
            f"{value.source}: {describe(encoded.shape)}, the session takes {describe(spec.shape)}",
            "the session's --length says how many; with noise and without --length it is one number",
        )
    return encoded
