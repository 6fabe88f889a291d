"""One node without its wires: payloads and the time in, publications out.

Data flows one way: payload → part → (signature) → session → letters → (seal, sign) → journal → publication.
`commit` makes durable whatever happened since the last call, and only then gives the publications out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import structlog
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from party_node import policy
from party_node.active import ActiveSession
from party_node.budget import Budget
from party_node.journal import Journal, LostError, SessionRow
from party_node.policy import Declared
from party_node.post import Post, Publication, check_signature
from party_node.remains import SETUP_LIFE, Remains
from party_node.roster import Roster
from protocol.encoding import Exact
from protocol.errors import InputError, SpecError
from protocol.letters import ALL, COMPUTE, Part, parse
from protocol.membership import describe
from protocol.messages import MalformedError, RefusalCode, Request, Step
from protocol.ring import Ring
from protocol.rounds import Setups
from protocol.secret import SEED_BYTES, Seed
from protocol.session import Session
from protocol.sharing import Share
from protocol.spec import SessionSpec, session_id
from protocol.states import Outcome

MOST_WAITING = 256  # parts kept for a session whose input is still being read; more are asked for again
MOST_ANSWERED = 10_000  # entries of a table that only saves work
# Whoever waits for a letter of ours must hear that it will not come.  It cannot ask for that, and we may have
# said it while there was no link.
ENDINGS = (Step.REFUSE, Step.ABORT)
ANSWER_PAUSE = 100  # milliseconds between two answers to the same peer about the same session

log = structlog.get_logger("node")
Observer = Callable[[Part, bytes], None]  # a part whose signature has been checked, and its payload


@dataclass(frozen=True)
class Pending:
    """A session that we would join, if our input can be encoded."""

    spec: SessionSpec
    announce: bytes
    waiting: list[tuple[str, bytes]]


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
        inputs: Mapping[str, Declared],
        min_inputs: int,
        entropy: Callable[[int], bytes],
        keep: int = 0,
        observe: Observer | None = None,
    ) -> None:
        self.me = me
        self.dropped: Counter[str] = Counter()  # payloads that were not for us to act on, by reason
        self.wanted: list[tuple[str, str]] = []  # (session, input name): inputs to load, for the caller
        self.undrawn: list[tuple[str, Callable[..., Share]]] = []  # noise to draw, for the caller
        self.watched: set[str] = set()  # sessions that `observe` follows
        self._roster, self._journal, self._entropy = roster, journal, entropy
        self._post = Post(me, key, base_topic)
        self._limits = policy.Limits(inputs, min_inputs)
        self._budget = Budget(me, journal, inputs)
        self._remains = Remains(journal, self._post, keep)
        self._observe = observe
        self._active: dict[str, ActiveSession] = {}
        self._pending: dict[str, Pending] = {}
        self._answered: dict[tuple[str, str], int] = {}
        self._out: list[Publication] = []
        self._ended = False  # a session has ended, or been swept, since the last commit

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
        for row in self._journal.unswept():
            self._remains.over(row.id, self._spec(row), row.ended or now)

    def _resume(self, row: SessionRow, seed: Seed, now: int) -> None:
        spec = self._spec(row)
        try:
            self._budget.keep_from_sharing(row.id, spec)
            value, setups = self._journal.value(row.id), self._journal.setups_of(row.id, spec.members)
        except LostError as error:
            active = self._activate(row.id, spec, seed, None, {})
            active.abandon(row, error.message, now)
        else:
            active = self._activate(row.id, spec, seed, value, setups)
            active.resume(row, now)
            self._draw(active)
            log.info("session resumed", session=row.id[:8], state=str(active.machine.state))
        self._settle(active, now)

    def handle(self, topic: str, payload: bytes, now: int) -> None:
        """Take in one payload from the broker.  Whatever it holds, it can only be used or dropped."""
        address = self._post.address(topic)
        if address is None or not payload:
            return
        session, step, sender = address
        if sender == self.me and session not in self.watched:
            return  # our own letter comes back to us
        if session in self._pending:
            waiting = self._pending[session].waiting
            if len(waiting) < MOST_WAITING:
                waiting.append((topic, payload))
            return
        known = session in self._active or session in self.watched
        if not known and step not in (Step.ANNOUNCE, Step.REQUEST):
            self.dropped["unknown session"] += 1
            return
        try:
            self._dispatch(self._post.read(topic, payload), payload, now)
        except MalformedError as error:
            self.dropped["malformed"] += 1
            log.warning("letter dropped", session=session[:8], step=step, problem=error.message)
        except SpecError as error:
            self.dropped["announcement"] += 1
            log.warning("announcement ignored", session=session[:8], problem=error.message, hint=error.hint)

    def loaded(self, session: str, value: Exact | InputError, now: int) -> None:
        """The answer to an entry of `wanted`."""
        pending = self._pending.pop(session)
        try:
            encoded = _encoded(pending.spec, value)
        except InputError as error:
            refusal = policy.Refusal(RefusalCode.INPUT, error.message, error.hint)
            self._refuse(session, pending.spec, pending.announce, refusal, now)
            return
        if lacking := self._budget.reserve(session, pending.spec, now):
            self._refuse(session, pending.spec, pending.announce, lacking, now)
            return
        self._join(session, pending.spec, pending.announce, encoded, now)
        for topic, payload in pending.waiting:
            self.handle(topic, payload, now)

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
            self._join(session, spec, sent.payload, None, now)
        else:
            self._journal.announced(session, sent.payload, now)
        return session

    def conclude(self, session: str, outcome: Outcome, now: int) -> None:
        """Note how a session ended in which we have no part."""
        self._journal.end(session, outcome, now)
        self._ended = True

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
        dues.append(self._remains.deadline)
        return min((due for due in dues if due is not None), default=None)

    def tick(self, now: int) -> None:
        """Do what is due."""
        for active in list(self._active.values()):
            if active.deadline is not None and active.deadline <= now:
                active.tick(now)
                self._settle(active, now)
        if (left := self._remains.tick(now)) is not None:
            self._out += left
            self._ended = True

    def commit(self) -> list[Publication]:
        """Make durable what happened, and hand out what may now be published.

        What leads to no letter may wait for the next commit: were it lost, it would be asked for again.
        """
        if self._out or self._ended:
            self._journal.commit()
        out, self._out, self._ended = self._out, [], False
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
        known = session in self._active or session in self._pending
        if known or self._journal.session(session) is not None:
            return  # a retained announcement comes again with every connection
        identity = self._roster.identity(part.header.sender)
        if identity is None:
            raise SpecError(
                f"{part.header.sender} is not in the roster", "only known coordinators may announce"
            )
        check_signature(part, identity)
        spec = policy.believe(part, self._roster, now)
        if self.me not in spec.members:
            return
        refusal = policy.refuse(spec, self.me, self._roster, self._limits) or self._budget.refuse(spec)
        if refusal is not None:
            self._refuse(session, spec, payload, refusal, now)
        elif self.me in spec.inputs:
            self._pending[session] = Pending(spec, payload, [])
            self.wanted.append((session, spec.input))
        else:
            self._join(session, spec, payload, None, now)

    def _requested(self, part: Part, now: int) -> None:
        """Send again what a member lacks; the coordinator may ask for what everybody may read."""
        session, peer = part.header.session, part.header.sender
        if part.header.to != self.me or now < self._answered.get((session, peer), 0) + ANSWER_PAUSE:
            return
        row = self._journal.session(session)
        spec = None if row is None else self._spec(row)
        member = spec is None or peer in spec.members or peer == spec.coordinator
        identity = self._roster.identity(peer)
        if identity is None or not member:
            raise MalformedError(f"{peer} asks for letters of a session that is not theirs")
        check_signature(part, identity)
        if len(self._answered) > MOST_ANSWERED:
            self._answered.clear()
        self._answered[session, peer] = now
        steps = Request.decode(part.body).steps
        if row is None:
            # They expect something of us in a session that we have not heard of: let them tell us.
            if Step.ANNOUNCE not in steps:
                self.say(session, Step.REQUEST, peer, Request(steps=(Step.ANNOUNCE,)).encode())
            return
        if Step.ANNOUNCE in steps:
            self._out.append(self._post.passed_on(session, row.announce, peer))
        self._resend(row, peer, steps)

    def _resend(self, row: SessionRow, peer: str, steps: Sequence[str]) -> None:
        retain = row.retained and not self._remains.cleared(row.id)
        for sent in self._journal.outbox(row.id):
            if not sent.payload or sent.step not in (*steps, *ENDINGS):
                continue
            if sent.to == peer:
                self._out.append(self._post.publication(row.id, sent, retain=retain))
            elif sent.to in (ALL, COMPUTE):
                self._out.append(self._post.repeated(row.id, sent, peer))

    # -- sessions ----------------------------------------------------------------------------------------

    def _spec(self, row: SessionRow) -> SessionSpec:
        return SessionSpec.decode(parse(row.announce).body)

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

    def _join(self, session: str, spec: SessionSpec, announce: bytes, value: Ring | None, now: int) -> None:
        seed = Seed(self._entropy(SEED_BYTES))
        if value is not None:
            value = spec.function.randomise(value, seed)
        self._journal.open(session, announce, now, seed, value)
        if self.me in spec.compute and spec.triples:
            peers = [spec.members[name] for name in spec.compute if name != self.me]
            self._journal.drop_setups(now - SETUP_LIFE)
            self._journal.lend_setups(session, peers)
        setups = self._journal.setups_of(session, spec.members)
        active = self._activate(session, spec, seed, value, setups)
        active.join(now)
        self._draw(active)
        log.info("session joined", session=session[:8], function=spec.function.name, input=spec.input)
        self._settle(active, now)

    def _draw(self, active: ActiveSession) -> None:
        if (drawing := active.machine.drawing) is not None:
            self.undrawn.append((active.id, drawing))

    def _refuse(
        self, session: str, spec: SessionSpec, announce: bytes, refusal: policy.Refusal, now: int
    ) -> None:
        problem = {"problem": refusal.detail, "hint": refusal.hint}
        log.warning("session refused", session=session[:8], code=str(refusal.code), **problem)
        seed = Seed(self._entropy(SEED_BYTES))
        self._journal.open(session, announce, now, seed, None)
        active = self._activate(session, spec, seed, None, {})
        active.refuse(refusal.code, f"{refusal.detail} ({refusal.hint})" if refusal.hint else refusal.detail)
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
        self._budget.release(active.id, active.spec, now)
        self._ended = True
        ending = machine.outcome.ending
        if ending is not None and ending.culprit is not None and ending.reported_by is None:
            self._journal.distrust(active.spec.members[ending.culprit])
        self._remains.forget_secrets(active.id, now)
        self._remains.over(active.id, active.spec, now)
        del self._active[active.id]
        _log_ending(machine)


def _encoded(spec: SessionSpec, value: Exact | InputError) -> Ring:
    """Our input as it is shared; InputError, which never depends on the value where the session costs ε."""
    if isinstance(value, InputError):
        raise value
    encoded = spec.function.encode(value, len(spec.inputs), clamp=spec.epsilon is not None)
    if spec.shape not in (None, encoded.shape):
        raise InputError(
            f"{value.source}: {describe(encoded.shape)}, the session takes {describe(spec.shape)}",
            "the session's --length says how many; with noise and without --length it is one number",
        )
    return encoded


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
