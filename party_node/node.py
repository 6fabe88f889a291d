"""One node without its wires: payloads and the time in, publications out.

Data flows one way: payload → part → (signature) → session → letters → (seal, sign) → journal → publication.
`commit` makes durable whatever happened since the last call, and only then gives the publications out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import structlog
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from party_node import policy
from party_node.active import ActiveSession
from party_node.admission import Admission, Admitted, Answer, Candidate, Refused
from party_node.answering import Answering
from party_node.budget import Budget
from party_node.database import LostError
from party_node.journal import Decision, Journal, Made, SessionRow
from party_node.policy import Limits
from party_node.post import Post, Publication, check_signature
from party_node.remains import SETUP_LIFE, Keep, Remains
from party_node.roster import Roster
from party_node.screen import Screen
from party_node.throttle import Throttle
from protocol.encoding import Exact
from protocol.errors import InputError, SpecError
from protocol.letters import ALL, Part
from protocol.messages import AbortReason, MalformedError, Step
from protocol.ring import Ring
from protocol.rounds import Setups
from protocol.secret import SEED_BYTES, Seed
from protocol.session import Session
from protocol.sharing import Share
from protocol.spec import SessionSpec, session_id
from protocol.states import Outcome, State

_NOTHING = Keep()

log = structlog.get_logger("node")
Observer = Callable[[Part, bytes], None]  # a part whose signature has been checked, and its payload
Ended = Callable[[str, SessionSpec, Outcome], None]  # a session that is over for us


class Node:
    """All sessions of one party.  Synchronous; the caller owns the loop, the clock and the entropy."""

    def __init__(
        self,
        me: str,
        key: Ed25519PrivateKey,
        roster: Roster,
        journal: Journal,
        *,
        base_topic: str,
        limits: Limits,
        entropy: Callable[[int], bytes],
        keep: Keep = _NOTHING,
        observe: Observer | None = None,
        on_end: Ended | None = None,
    ) -> None:
        self.me = me
        self.undrawn: list[tuple[str, Callable[..., Share]]] = []  # noise to draw, for the caller
        self.watched: set[str] = set()  # sessions that `observe` follows
        self.heard: dict[str, int] = {}  # when each last sent us something that it had signed
        self._roster, self._journal, self._entropy = roster, journal, entropy
        self._post = Post(me, key, base_topic)
        self._budget = Budget(me, journal, limits.inputs)
        self._admission = Admission(me, roster, journal, limits, self._budget, self._running)
        throttle = Throttle()
        self._screen = Screen(me, roster, throttle)
        self._remains = Remains(journal, self._post, keep)
        self._answering = Answering(journal, self._post, self._remains, throttle)
        self._observe, self._on_end = observe, on_end
        self._active: dict[str, ActiveSession] = {}
        self._out: list[Publication] = []
        self._unsaved = False  # since the last commit something was noted that must not wait for a letter

    # -- for the caller ------------------------------------------------------------------------------

    def resume(self, now: int, only: str | None = None) -> None:
        """Take up every session that the journal holds unfinished, or only the one named."""
        if only is None:
            self._journal.tidy()
            self._remains.scrub(now)
            self._budget.settle(now)
            if flaw := self._journal.ledger.flaw():
                log.error("ledger not trusted", problem=flaw.message, hint=flaw.hint)
        for row in self._journal.sessions():
            if row.ended is None and row.seed is not None and only in (None, row.id):
                self._resume(row, row.seed, now)
        if only is None:
            for answer in self._admission.resume(now):
                self._answer(answer, now)
        for row in self._journal.unswept():
            self._remains.over(row.id, row.spec, row.ended or now)

    def _resume(self, row: SessionRow, seed: Seed, now: int) -> None:
        spec = row.spec
        stranger = policy.refuse_strangers(spec, self._roster)
        if stranger is not None and row.state is not State.CONFIRMING:  # by then everything has been told
            active = self._activate(row.id, spec, seed, None, {})
            active.abandon(row, stranger.detail, now, AbortReason.REFUSED)
            return self._settle(active, now)
        try:
            self._budget.keep_from_sharing(row.id, spec)
            value, setups = self._journal.value(row.id), self._journal.setups.of(row.id, spec.members)
            arrivals = list(self._journal.arrivals(row.id))
        except LostError as error:
            active = self._activate(row.id, spec, seed, None, {})
            active.abandon(row, error.message, now)
        else:
            active = self._activate(row.id, spec, seed, value, setups)
            active.resume(row, arrivals, now)
            self._draw(active)
            log.info("session resumed", session=row.id[:8], state=str(active.machine.state))
        return self._settle(active, now)

    def handle(self, topic: str, payload: bytes, now: int) -> None:
        """Take in one payload from the broker.  Whatever it holds, it can only be used or dropped."""
        address = self._post.address(topic)
        if address is None or not payload:
            return
        session, step, sender = address
        if sender == self.me and session not in self.watched:
            return  # our own letter comes back to us
        found = self._active.get(session) or self._admission.candidate(session)
        if found is not None and step == Step.ANNOUNCE:  # a retained one comes again with every connection
            self._screen.drop("repeated", now)
            return
        spec = None if found is None else found.spec
        if session not in self.watched and self._screen.unwanted(topic, payload, spec, now):
            return
        if isinstance(found, ActiveSession) and found.has_taken(topic, payload):
            self._screen.drop("repeated", now)
        elif isinstance(found, Candidate) and step != Step.REQUEST:
            if not found.keep(topic, payload):
                self._screen.drop("no room", now)
        else:
            self._look(topic, payload, now)

    def _look(self, topic: str, payload: bytes, now: int) -> None:
        """Take a payload apart and use it.  What is of no use counts against whoever has published it."""
        session, step, sender = topic.rsplit("/", 5)[1:4]
        try:
            self._dispatch(self._post.read(topic, payload), payload, now)
        except (MalformedError, SpecError) as error:
            self._screen.useless(topic, error, now)
        else:
            if step == Step.ANNOUNCE:
                self._screen.repeated(sender, now)
            elif step != Step.REQUEST and (active := self._active.get(session)):
                active.take(topic, payload)

    def loaded(self, session: str, value: Exact | InputError, now: int) -> None:
        """The answer to an entry of `wanted`."""
        self._answer(self._admission.loaded(session, value, now), now)

    @property
    def wanted(self) -> list[tuple[str, str]]:
        """(session, input name): inputs to load, for the caller, who takes them off the list."""
        return self._admission.wanted

    @property
    def dropped(self) -> Counter[str]:
        """Payloads that were not for us to act on, by reason."""
        return self._screen.dropped

    @property
    def asks(self) -> int:
        """About how many sessions a person is asked."""
        return self._admission.asks

    def decide(self, session: str, *, approve: bool, words: str, now: int) -> None:
        """A person's answer to a session that waits for it; to any other it changes nothing."""
        self._answer(self._admission.decide(session, approve, words, now), now)
        self._unsaved = True

    def wants_noise(self, session: str) -> bool:
        """Whether it is worth to go on drawing; may be asked from any thread."""
        return session in self._active

    def drawn(self, session: str, noise: Share, now: int) -> None:
        """The answer to an entry of `undrawn`."""
        active = self._active.get(session)
        if active is not None:
            active.drawn(noise, now)
            self._settle(active, now)

    def announce(self, spec: SessionSpec, now: int) -> str:
        """Announce a session as its coordinator, and take part if we are a member.  Returns its id."""
        body = spec.encode()
        session = session_id(body)
        (sent,) = self._post.plain(session, Step.ANNOUNCE, ALL, body)
        self._out.append(self._post.publication(session, sent, retain=True))
        if self.me in spec.members:
            self._join(session, Candidate(spec, sent.payload), None, now)
        else:
            self._journal.announced(session, sent.payload, now)
        return session

    def conclude(self, session: str, outcome: Outcome, now: int) -> None:
        """Note how a session ended in which we have no part."""
        self._journal.end(session, outcome, now)
        self._unsaved = True

    def withdraw(self, session: str) -> None:
        """Take our announcement off the broker."""
        (sent,) = self._post.plain(session, Step.ANNOUNCE, ALL, b"")
        self._out.append(self._post.clearing(session, sent))

    def say(self, session: str, step: Step, to: str, body: bytes) -> None:
        """Send a plain letter that is no member's (a coordinator's cancel or request)."""
        parts = self._post.plain(session, step, to, body)
        self._out.extend(self._post.publication(session, part) for part in parts)

    def reconnected(self, now: int) -> None:
        """The link is new: what was on its way may be lost, in both directions."""
        for active in self._active.values():
            active.resend()
            active.request_missing(now)
            self._collect(active)

    def leave(self) -> None:
        """We stop for now: the broker keeps our letters of unfinished sessions."""
        for active in self._active.values():
            active.retain()
            self._collect(active)

    @property
    def deadline(self) -> int | None:
        """When `tick` is due, in Unix milliseconds."""
        dues = [active.deadline for active in self._active.values()]
        dues += [self._remains.deadline, self._admission.deadline]
        return min((due for due in dues if due is not None), default=None)

    @property
    def open(self) -> Counter[str]:
        """How many sessions are not over, by where they are."""
        states = Counter(str(active.machine.state) for active in self._active.values())
        return states + Counter(pending=self._admission.open)

    def tick(self, now: int) -> None:
        """Do what is due."""
        for active in list(self._active.values()):
            if active.deadline is not None and active.deadline <= now:
                active.tick(now)
                self._settle(active, now)
        for answer in self._admission.tick(now):
            self._answer(answer, now)
        if (left := self._remains.tick(now)) is not None:
            self._out += left
            self._unsaved = True

    def commit(self) -> list[Publication]:
        """Make durable what happened, and hand out what may now be published.

        What leads to no letter may wait for the next commit: were it lost, it would be asked for again.
        """
        if self._out or self._unsaved:
            self._journal.commit()
        out, self._out, self._unsaved = self._out, [], False
        return out

    def outcome(self, session: str) -> Outcome | None:
        """How a session stands or ended, if we know it."""
        if active := self._active.get(session):
            return active.machine.outcome
        row = self._journal.session(session)
        return None if row is None else row.outcome

    # -- letters in ------------------------------------------------------------------------------------

    def _dispatch(self, part: Part, payload: bytes, now: int) -> None:
        header = part.header
        active = self._active.get(header.session)
        if header.step is Step.ANNOUNCE:
            return self._announced(part, payload, now)
        if header.step is Step.REQUEST:
            return self._requested(part, now)
        if active is not None and active.machine.knows(part):
            return None
        identity = self._identity(header.session, header.sender)
        if identity is None:
            raise MalformedError(f"{header.sender} is no member of this session")
        check_signature(part, identity)
        self.heard[header.sender] = now
        if self._observe is not None and header.session in self.watched:
            self._observe(part, payload)
        if active is not None and (header.sender != self.me or header.step is Step.ABORT):
            active.receive(part, payload, now)
            self._settle(active, now)
        return None

    def _identity(self, session: str, sender: str) -> bytes | None:
        """The key that must have signed a letter from `sender`: the spec's, and for the rest the roster's."""
        active = self._active.get(session)
        if active is None or sender == active.spec.coordinator:
            return self._roster.identity(sender)
        return active.spec.members.get(sender)

    def _announced(self, part: Part, payload: bytes, now: int) -> None:
        session = part.header.session
        known = session in self._active or self._admission.candidate(session) is not None
        if known or self._journal.session(session) is not None:
            self._screen.drop("repeated", now)
            return
        asked = self._admission.asks
        self._answer(self._admission.announced(part, payload, now), now)
        self._unsaved |= self._admission.asks > asked

    def _requested(self, part: Part, now: int) -> None:
        """Send again what a member lacks; the coordinator may ask for what everybody may read."""
        session, peer = part.header.session, part.header.sender
        if part.header.to != self.me or self._answering.hurried(session, peer, now):
            self._screen.repeated(peer, now)
            self._screen.drop("asked too often", now)
            return
        identity = self._roster.identity(peer)
        if identity is None:
            raise MalformedError(f"{peer} is not in the roster")
        check_signature(part, identity)
        self.heard[peer] = now
        self._out += self._answering.answer(part, now)

    # -- sessions ----------------------------------------------------------------------------------------

    def _activate(
        self, session: str, spec: SessionSpec, seed: Seed, value: Ring | None, setups: Setups
    ) -> ActiveSession:
        active = ActiveSession(
            *(spec, session, self.me, seed, value),
            journal=self._journal,
            post=self._post,
            entropy=self._entropy,
            setups=setups,
        )
        self._active[session] = active
        return active

    def _running(self) -> list[SessionSpec]:
        return [active.spec for active in self._active.values()]

    def _answer(self, answer: Answer | None, now: int) -> None:
        """Tell the others whether we take part, if that is settled."""
        match answer:
            case Admitted(session, candidate, value):
                self._journal.decided(session, Decision(Made.JOINED, candidate.by, "", "", now))
                self._join(session, candidate, value, now)
                for topic, payload in candidate.waiting:
                    self.handle(topic, payload, now)
            case Refused():
                self._refuse(answer, now)

    def _join(self, session: str, candidate: Candidate, value: Ring | None, now: int) -> None:
        spec, announce = candidate.spec, candidate.announce
        seed = Seed(self._entropy(SEED_BYTES))
        if value is not None:
            value = spec.function.randomise(value, seed)
        self._journal.open(session, announce, now, seed, value)
        if self.me in spec.compute and spec.triples:
            peers = [spec.members[name] for name in spec.compute if name != self.me]
            self._journal.setups.drop(now - SETUP_LIFE)
            self._journal.setups.lend(session, peers)
        setups = self._journal.setups.of(session, spec.members)
        active = self._activate(session, spec, seed, value, setups)
        active.join(now)
        self._draw(active)
        log.info("session joined", session=session[:8], function=spec.function.name, input=spec.input)
        self._settle(active, now)

    def _draw(self, active: ActiveSession) -> None:
        if (drawing := active.machine.drawing) is not None:
            self.undrawn.append((active.id, drawing))

    def _refuse(self, answer: Refused, now: int) -> None:
        session, candidate, refusal = answer.session, answer.candidate, answer.refusal
        problem = {"problem": refusal.detail, "hint": refusal.hint}
        log.warning("session refused", session=session[:8], code=str(refusal.code), **problem)
        detail = f"{refusal.detail} ({refusal.hint})" if refusal.hint else refusal.detail
        self._journal.decided(session, Decision(Made.REFUSED, candidate.by, refusal.code, detail, now))
        seed = Seed(self._entropy(SEED_BYTES))
        self._journal.open(session, candidate.announce, now, seed, None)
        active = self._activate(session, candidate.spec, seed, None, {})
        active.refuse(refusal.code, detail, answer.words)
        self._settle(active, now)

    def _collect(self, active: ActiveSession) -> None:
        self._out.extend(active.publications)
        active.publications.clear()

    def _settle(self, active: ActiveSession, now: int) -> None:
        """After every step of a session: note where it is, and let go of it when it is over."""
        self._collect(active)
        machine = active.machine
        if not machine.over:
            if active.noted is not machine.state:
                active.noted = machine.state
                self._journal.state(active.id, machine.state)
            return
        self._journal.end(active.id, machine.outcome, now)
        if self._on_end is not None:
            self._on_end(active.id, active.spec, machine.outcome)
        self._budget.release(active.id, active.spec, now)
        self._journal.releases.ended(active.id, machine, shared=active.shared)
        self._journal.keep_evidence(active.id)
        self._unsaved = True
        ending = machine.outcome.ending
        if ending is not None and ending.culprit is not None and ending.reported_by is None:
            self._journal.setups.distrust(active.spec.members[ending.culprit])
        self._remains.forget_secrets(active.id, now)
        self._remains.over(active.id, active.spec, now)
        del self._active[active.id]
        _log_ending(machine)


def _log_ending(machine: Session) -> None:
    outcome = machine.outcome
    if ending := outcome.ending:
        log.warning(
            "session ended without an answer",
            state=str(outcome.state),
            session=machine.id[:8],
            reason=str(ending.reason),
            detail=ending.detail,
            silent=ending.silent,
            culprit=ending.culprit,
            reported_by=ending.reported_by,
        )
    else:
        log.info("session completed", session=machine.id[:8], unconfirmed=outcome.unconfirmed)
