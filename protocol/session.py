"""One party's side of one session as a pure function of spec, seed, own input and what arrived.

Letters and the time come in, letters go out; replaying the same arrivals gives the same letters.  What
has arrived lies in a mailbox, in no particular order; `_advance` looks only at what is there, so reordering
and repetition change nothing.  `states.py` holds the transitions, SPEC.md §5 the steps.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from functools import partial

from protocol import membership, opening, ring
from protocol.errors import RemoteProtocolError
from protocol.functionalities import Answer, Boolean
from protocol.holding import Holding
from protocol.letters import ALL, COMPUTE, Part
from protocol.mailbox import ContradictionError, Mailbox
from protocol.messages import (
    Abort,
    AbortReason,
    Begin,
    Commit,
    Confirm,
    Join,
    MalformedError,
    PublicResult,
    Received,
    RefusalCode,
    Refuse,
    Statement,
    Step,
)
from protocol.opening import OtherTranscriptError
from protocol.ring import Ring
from protocol.rounds import Evaluation, NewSetup, Setups, SplitViewError
from protocol.sealed import Outgoing, Unseal
from protocol.secret import Seed
from protocol.sharing import Share
from protocol.spec import SessionSpec
from protocol.states import DISPROOFS, OVER, Ending, Outcome, State, check

LINGER = 1_000  # milliseconds


class Session:
    """The state machine of one party.  Times are Unix milliseconds, given by the caller."""

    def __init__(
        self,
        spec: SessionSpec,
        session: str,
        me: str,
        seed: Seed,
        value: Ring | None,
        unseal: Unseal,
        usable: Callable[[bytes], bool] = bool,
        setups: Setups | None = None,
    ) -> None:
        """`unseal` opens what is sealed to us, `usable` says whether something can be sealed to a key.

        `setups` are kept from earlier sessions with the compute parties.
        """
        self.spec, self.id, self.me = spec, session, me
        self.state = State.ANNOUNCED
        self.view = b""  # binds every letter from SHARE on to spec, joins and begin
        self._usable = usable
        noisy = spec.noise is not None and me in spec.compute
        self._noise_seed = seed.derive("noise")
        self._holding = Holding(me, spec.function, seed, value, unseal, noisy=noisy)
        self._evaluation: Evaluation | None = None  # of a compute party, where the function needs them
        if isinstance(spec.function, Boolean) and me in spec.compute:
            self._evaluation = Evaluation(spec, spec.function, session, me, seed, unseal, setups or {})
        self._now = 0
        self._mail = Mailbox(spec, session, me)
        self._out: list[Outgoing] = []
        self.shape: tuple[int, ...] = ()  # of every input and of the answer, once the session has begun
        self.joined: tuple[str, ...] = ()  # input parties that are in the begin
        self._awaited: set[str] = set()  # those whose share letter has not come
        self._shares_seen = 0
        self._join_digests: dict[str, bytes] = {}
        self._sealable: dict[str, bool] = {}  # whose sealing key has been looked at, and is one
        self._included: tuple[str, ...] = ()
        self._checked: set[str] = set()  # compute parties whose list of inputs is in order
        self._commitments: dict[str, bytes] = {}
        self._transcript = b""  # the hash of everything that fixes the answer
        self._answer: Answer | None = None
        self._unconfirmed: tuple[str, ...] = ()
        self._ending: Ending | None = None

    # -- what the caller sees ------------------------------------------------------------------

    @property
    def over(self) -> bool:
        """True once nothing more will happen."""
        return self.state in OVER

    @property
    def outcome(self) -> Outcome:
        """How things stand now."""
        answer = None if self.state is State.ABORTED else self._answer  # a disproved one is none
        return Outcome(self.state, answer, self._included, self._unconfirmed, self._ending)

    def join(self, sealing_key: bytes, now: int) -> list[Outgoing]:
        """Take part: the first letter, with this session's fresh sealing key."""
        shape = self._holding.input_shape
        to = ALL if self.me in self.spec.compute else COMPUTE
        self._enter(State.JOINED)
        offer, setups = (None, {}) if self._evaluation is None else self._evaluation.offers
        self._say(Step.JOIN, Join(sealing_key=sealing_key, shape=shape, offer=offer, setups=setups), to)
        return self._advance(now)

    def refuse(self, code: RefusalCode, detail: str, words: str = "") -> list[Outgoing]:
        """Take no part.  The code is sent, and a person's `words`; `detail` stays here."""
        self._ending = Ending(code, detail)
        self._enter(State.REFUSED)
        self._say(Step.REFUSE, Refuse(code=code, words=words))
        return self._take()

    def receive(self, part: Part, now: int) -> list[Outgoing]:
        """A part whose signature has been checked.  MalformedError: it is not ours, and changed nothing."""
        if self.over:
            return []
        try:
            self._mail.add(part)
        except RemoteProtocolError as error:
            contradiction = isinstance(error, ContradictionError)
            reason = AbortReason.CONTRADICTION if contradiction else AbortReason.INVALID_MESSAGE
            self._abort(reason, error.message, culprit=error.culprit)
        return self._advance(now)

    def abandon(self, detail: str, now: int, reason: AbortReason = AbortReason.LOST_STATE) -> list[Outgoing]:
        """Give up, and say so: this party has lost what it needs to go on, or may no longer go on."""
        self._now = now
        self._abort(reason, detail, silent=(self.me,) if reason is AbortReason.LOST_STATE else ())
        self._forget()
        return self._take()

    @property
    def drawing(self) -> Callable[..., Share] | None:
        """How to draw our part of the noise, if that is still to be done; takes its time, in any thread.

        It takes `wanted`, as `Noise.share` does.  It is for the caller to do so at once, but not before the
        join has left: how long it takes may tell how large the noise is, and nobody waits for it yet.
        """
        noise, shape = self.spec.noise, self.spec.shape
        if noise is None or shape is None or self.over or not self._holding.lacks_noise:
            return None
        return partial(noise.share, len(self.spec.compute), shape, self._noise_seed)

    def drawn(self, noise: Share, now: int) -> list[Outgoing]:
        """What `drawing` has returned; as an event it has its place among the arrivals."""
        if self.over or not self._holding.lacks_noise:
            return []
        self._holding.take_noise(noise)
        return self._advance(now)

    def new_setups(self) -> list[NewSetup]:
        """What was made since the last call, for later sessions."""
        return [] if self._evaluation is None else self._evaluation.new_setups()

    def knows(self, part: Part) -> bool:
        """True for a part that is here already, byte by byte: its signature need not be checked again."""
        return self._mail.knows(part)

    def tick(self, now: int) -> list[Outgoing]:
        """Time has passed; harmless at any time, needed at `deadline`."""
        return [] if self.over else self._advance(now)

    @property
    def deadline(self) -> int | None:
        """When `tick` must be called, if nothing arrives before."""
        times = (self.spec.join_by, self.spec.share_by, self._closes)
        return None if self.over else next((time for time in times if time > self._now), self._now)

    @property
    def _closes(self) -> int:
        """Those without whom there is no answer close first, and the others hear from them why."""
        return self.spec.close_by + (0 if self.me in self.spec.needed else LINGER)

    def waiting_for(self) -> list[tuple[str, str]]:
        """The letters that we cannot go on without: (stage, sender)."""
        return [(stage, sender) for stage, sender in self._wanted() if self._mail.lacks(stage, sender)]

    def sealing_key(self, party: str) -> bytes:
        """The key that `party` gave when it joined."""
        return self._mail.statements(Join, [party])[party].sealing_key

    # -- sending ---------------------------------------------------------------------------------

    def _say(self, step: Step, statement: Statement, to: str = ALL) -> None:
        """Send a statement; our own lie in the mailbox beside the others'."""
        self._mail.put(step, statement)
        self._out.append(Outgoing(step, to, statement.encode()))

    def _take(self) -> list[Outgoing]:
        out, self._out = self._out, []
        return out

    # -- going on --------------------------------------------------------------------------------

    def _advance(self, now: int) -> list[Outgoing]:
        """Do whatever mail and time allow, as far as it goes."""
        self._now = now
        steps = {
            State.JOINED: self._joining,
            State.SHARING: self._sharing,
            State.COMPUTING: self._computing,
            State.OPENING: self._opening,
            State.CONFIRMING: self._confirming,
        }
        self._heed_aborts()
        self._prepare()
        before = None
        while self.state in steps and self.state is not before:
            before = self.state
            steps[self.state]()
        if not self.over and now >= self._closes:
            self._close()
        if self.over:
            self._forget()
        return self._take()

    def _enter(self, state: State) -> None:
        self.state = check(self.state, state)

    def _prepare(self) -> None:
        """Make triples with each compute party that has joined, whether or not the session has begun."""
        if self._evaluation is None or self._evaluation.prepared or self.over:
            return
        joins = self._mail.statements(Join, self.spec.compute)
        own = joins.pop(self.me)
        joins = {name: join for name, join in joins.items() if self._can_seal_to(name)}
        try:
            self._out += self._evaluation.prepare(joins, own, self._mail)
        except RemoteProtocolError as error:
            self._abort(AbortReason.INVALID_MESSAGE, error.message, culprit=error.culprit)

    def _joining(self) -> None:
        leader = self.spec.leader
        if self.me == leader and not self._mail.count(Step.BEGIN):
            self._freeze()
        begin = self._mail.statements(Begin, [leader]).get(leader)
        refusal = self._mail.statements(Refuse, [leader]).get(leader)
        if begin is not None:
            self._begin(begin)
        elif refusal is not None:
            self._abort(AbortReason.REFUSED, f"{leader} refused ({refusal})", tell=False)
        elif self.me != leader and self._now >= self.spec.share_by:
            self._abort(AbortReason.TIMEOUT, f"{leader} sent no begin", (leader,))

    def _freeze(self) -> None:
        """Say who takes part, once that can be said; until then an answer more changes nothing."""
        refused = self._mail.count(Step.REFUSE)
        outstanding = len(self.spec.members) - self._mail.count(Step.JOIN) - refused
        if outstanding and not refused and self._now < self.spec.join_by:
            return
        joins = self._mail.statements(Join, self.spec.members)
        refusals = self._mail.statements(Refuse, self.spec.members)
        match membership.freeze(self.spec, joins, refusals, self._now):
            case Abort() as abort:
                self._abort(abort.reason, abort.detail, abort.silent, abort.culprit)
            case Begin() as begin:
                self._say(Step.BEGIN, begin)

    def _begin(self, begin: Begin) -> None:
        """Check the frozen membership against what we saw; from here on all is bound to the view."""
        if self.me not in begin.joins:
            return self._abort(AbortReason.LEFT_OUT, "the session began without us", tell=False)
        if flaw := membership.flaw(self.spec, begin, self.me, self._holding.input_shape):
            return self._abort(AbortReason.INVALID_MESSAGE, flaw, culprit=self.spec.leader)
        for party, join in self._mail.statements(Join, self.spec.members).items():
            if party not in self._join_digests:
                self._join_digests[party] = membership.join_digest(party, join)
            if begin.joins.get(party, self._join_digests[party]) != self._join_digests[party]:
                detail = f"{self.spec.leader} and {party} disagree about how {party} joined"
                return self._abort(AbortReason.SPLIT_VIEW, detail)
        correspondents = [party for party in self._correspondents() if party != self.me]
        if any(self._mail.lacks(Step.JOIN, party) for party in correspondents):
            return None
        for party in correspondents:
            if not self._can_seal_to(party):
                detail = f"{party} joined with a sealing key that is none"
                return self._abort(AbortReason.INVALID_MESSAGE, detail, culprit=party)
        self.view = membership.view_digest(self.id, begin)
        self.shape = begin.shape
        self.joined = tuple(name for name in self.spec.inputs if name in begin.joins)
        self._awaited = {name for name in self.joined if name != self.me}
        self._holding.begin(self.view, self.shape)
        self._enter(State.SHARING)
        if self.me in self.joined:
            self._out += self._holding.split(self.spec.compute, self.spec.inputs.index(self.me))
        return None

    def _can_seal_to(self, party: str) -> bool:
        if party not in self._sealable:
            self._sealable[party] = self._usable(self.sealing_key(party))
        return self._sealable[party]

    def _correspondents(self) -> tuple[str, ...]:
        """Those to whom we may have to seal something, or whose join we must have checked."""
        return self.spec.needed if self.me in self.spec.compute else self.spec.compute

    def _sharing(self) -> None:
        if self.me not in self.spec.compute:
            return self._enter(State.COMPUTING)
        self._open_shares()
        if self._holding.lacks_noise or (self._awaited and self._now < self.spec.share_by):
            return None
        complete = tuple(name for name in self.joined if self._holding.holds(name))
        if len(complete) < self.spec.min_inputs:
            silent = tuple(name for name in self.joined if self._mail.lacks(Step.SHARE, name))
            useless = [name for name in self.joined if name not in (*complete, *silent)]
            detail = f"complete shares of {len(complete)} inputs, expected at least {self.spec.min_inputs}"
            if useless:
                detail += f"; what came from {', '.join(useless)} is no share"
            return self._abort(AbortReason.TOO_FEW_INPUTS, detail, silent)
        # A linear function needs no rounds, so the commitment can travel with the list of inputs; it is
        # opened only if every compute party's list turns out to be the same.
        at_once = complete == self.joined and self._evaluation is None
        commitment = self._holding.commit(complete) if at_once else None
        self._say(Step.RECEIVED, Received(view=self.view, inputs=complete, commitment=commitment))
        return self._enter(State.COMPUTING)

    def _open_shares(self) -> None:
        """Unseal what came; a share that does not open, or has another shape, does not count."""
        for letter in self._mail.since(Step.SHARE, self._shares_seen):
            self._shares_seen += 1
            if letter.sender in self._awaited:
                self._awaited.discard(letter.sender)
                with suppress(MalformedError):
                    self._holding.take_share(letter)

    def _computing(self) -> None:
        included = self._agreed()
        if included is None:
            return
        if self._evaluation is not None and not self._evaluate(self._evaluation, included):
            return
        commitments = self._committed(included)
        if commitments is None:
            return
        self._included, self._commitments = included, commitments
        in_order = [commitments[party] for party in self.spec.compute]
        self._transcript = opening.transcript(self.view, included, in_order)
        self._enter(State.OPENING)
        if self.me in self.spec.compute:
            self._reveal()

    def _agreed(self) -> tuple[str, ...] | None:
        """The inputs that are complete everywhere, once every compute party has said what it holds."""
        received = self._mail.statements(Received, self.spec.compute)
        for party, each in received.items():
            if party in self._checked:
                continue
            if each.view != self.view:
                self._split_view(party, "begins")
                return None
            if not membership.fits(self.spec, self.joined, each):
                detail = f"a list of received inputs that does not fit the session from {party}"
                self._abort(AbortReason.INVALID_MESSAGE, detail, culprit=party)
                return None
            self._checked.add(party)
        if len(received) < len(self.spec.compute):
            return None
        included = membership.counted(self.joined, received.values())
        if len(included) < self.spec.min_inputs:
            detail = (
                f"{len(included)} inputs are complete everywhere, expected at least {self.spec.min_inputs}"
            )
            missing = [name for name in self.joined if name not in included]
            self._abort(AbortReason.TOO_FEW_INPUTS, f"{detail}; not those of {', '.join(missing)}")
            return None
        return included

    def _evaluate(self, evaluation: Evaluation, included: tuple[str, ...]) -> bool:
        """Compute on shares of these inputs; True once our output share is known."""
        if not evaluation.started:
            if not evaluation.prepared:
                return False
            noise = 0 if self.spec.noise is None else self._holding.noise()
            evaluation.start(self.view, included, self._holding.bits(included), noise)
        try:
            self._out += evaluation.compute(self._mail)
        except SplitViewError as error:
            self._split_view(error.culprit or "", "lists of complete inputs")
        except RemoteProtocolError as error:
            self._abort(AbortReason.INVALID_MESSAGE, error.message, culprit=error.culprit)
        return evaluation.done

    def _committed(self, included: tuple[str, ...]) -> dict[str, bytes] | None:
        """Everybody's commitment: of the first lists, if they were all the same, else made anew."""
        received = self._mail.statements(Received, self.spec.compute)
        early = {party: each.commitment for party, each in received.items() if each.commitment}
        if len(early) == len(received):
            return early
        if self.me in self.spec.compute and not self._mail.statements(Commit, [self.me]):
            self._commit(included)
        commits = self._mail.statements(Commit, self.spec.compute)
        for party, each in commits.items():
            if each.view != self.view or each.inputs != included:
                self._split_view(party, "begins" if each.view != self.view else "lists of complete inputs")
                return None
        if len({each.opened for each in commits.values()}) > 1:
            detail = "the compute parties were told different openings of the gates"
            self._abort(AbortReason.SPLIT_VIEW, detail)
            return None
        made = {party: each.commitment for party, each in commits.items()}
        return made if len(made) == len(received) else None

    def _commit(self, included: tuple[str, ...]) -> None:
        opened, output = None, None
        if self._evaluation is not None:
            opened, output = self._evaluation.transcript(), self._evaluation.output()
        commitment = self._holding.commit(included, output)
        self._say(Step.COMMIT, Commit(view=self.view, inputs=included, opened=opened, commitment=commitment))

    def _split_view(self, party: str, what: str) -> None:
        """Somebody was told something else than we; who lied is not for us to say."""
        detail = f"{party} and {self.me} were told different {what}"
        self._abort(AbortReason.SPLIT_VIEW, detail)

    def _reveal(self) -> None:
        """Our output share, to the result parties and nobody else."""
        others = tuple(name for name in self.spec.results if name != self.me)
        # Whoever lists our input as complete has opened our share letter, and with it our channel.
        received = self._mail.statements(Received, others)
        opened = frozenset(name for name, each in received.items() if self.me in each.inputs)
        once = self.spec.reveal_to_all and bool(others)
        groups: dict[str, tuple[str, ...]] = {ALL: others} if once else {name: (name,) for name in others}
        self._out += self._holding.reveal(self._transcript, groups, opened, keep=self.me in self.spec.results)

    def _opening(self) -> None:
        if self._disagreed():
            return
        if self.me in self.spec.results:
            for party in self.spec.compute:
                if not self._holding.opened(party) and not self._open_reveal(party):
                    return
            total = self._holding.total()
            self._answer = self.spec.function.decode(total, len(self._included))
            if self.spec.public:
                raw = ring.to_bytes(total)
                self._say(Step.RESULT, PublicResult(inputs=self._included, elements=raw))
            self._say(Step.CONFIRM, Confirm(transcript=self._transcript))
        self._enter(State.CONFIRMING)

    def _disagreed(self) -> bool:
        """Whether somebody has committed to something else, for it was told other lists than we."""
        for party, each in self._mail.statements(Commit, self.spec.compute).items():
            if each.view == self.view and each.inputs != self._included:
                self._split_view(party, "lists of complete inputs")
                return True
        return False

    def _open_reveal(self, party: str) -> bool:
        letter = self._mail.sealed(Step.REVEAL, party)
        if letter is None:
            return False
        try:
            self._holding.take_opening(letter, self._transcript, self._commitments[party], self._included)
        except OtherTranscriptError:
            self._split_view(party, "commitments")
            return False
        except MalformedError as error:
            self._abort(AbortReason.BAD_OPENING, error.message, culprit=party)
            return False
        return True

    def _confirming(self) -> None:
        if self._disagreed():
            return None
        confirms = self._mail.statements(Confirm, self.spec.results)
        for party, each in confirms.items():
            if each.transcript != self._transcript:
                return self._abort(AbortReason.SPLIT_VIEW, f"{party} saw another transcript than {self.me}")
        if len(confirms) == len(self.spec.results):
            self._enter(State.COMPLETED)
        return None

    # -- endings ---------------------------------------------------------------------------------

    def _wanted(self) -> list[tuple[str, str]]:
        """Every letter that the present state needs, ours and those already here included."""
        letters = self._next_letters()
        if self._evaluation is None or self.state not in (State.JOINED, State.SHARING, State.COMPUTING):
            return letters
        wanted = self._evaluation.wanted()
        # Who waits for the same gates as we do cannot have committed: it is not silent.
        return wanted if wanted and letters[0][0] == Step.COMMIT else wanted + letters

    def _next_letters(self) -> list[tuple[str, str]]:
        spec = self.spec
        match self.state:
            case State.JOINED if self.me == spec.leader:
                answered = self._mail.statements(Refuse, spec.members)
                return [(Step.JOIN, name) for name in spec.members if name not in answered]
            case State.JOINED:
                return [(Step.BEGIN, spec.leader), *((Step.JOIN, name) for name in self._correspondents())]
            case State.SHARING if self._now < spec.share_by:  # later only our own noise can be missing
                return [(Step.SHARE, name) for name in self.joined]
            case State.COMPUTING if all(not self._mail.lacks(Step.RECEIVED, name) for name in spec.compute):
                return [(Step.COMMIT, name) for name in spec.compute]
            case State.COMPUTING:
                return [(Step.RECEIVED, name) for name in spec.compute]
            case State.OPENING:
                return [(Step.REVEAL, name) for name in spec.compute]
            case State.CONFIRMING:
                return [(Step.CONFIRM, name) for name in spec.results]
        return []

    def _heed_aborts(self) -> None:
        """Compute and result parties can end a session, and the coordinator can cancel it."""
        for party, abort in self._mail.statements(Abort, (*self.spec.needed, self.spec.coordinator)).items():
            # A coordinator that is no member has seen nothing that could disprove an answer.
            disproof = abort.reason in DISPROOFS and party in self.spec.needed
            ignored = self._answer is not None and not disproof
            if self.state in (State.ANNOUNCED, *OVER) or ignored:
                continue
            self._ending = Ending(abort.reason, abort.detail, abort.silent, abort.culprit, reported_by=party)
            self._enter(State.ABORTED)

    def _abort(
        self,
        reason: AbortReason,
        detail: str,
        silent: tuple[str, ...] = (),
        culprit: str | None = None,
        *,
        tell: bool = True,
    ) -> None:
        abort = Abort.of(reason, detail, silent, culprit)
        self._ending = Ending(reason, abort.detail, silent, culprit)
        self._enter(State.ABORTED)
        if tell:
            self._say(Step.ABORT, abort)

    def _close(self) -> None:
        """The session's time is up; an answer that is known stands, with those named who did not confirm."""
        silent = tuple(dict.fromkeys(sender for _, sender in self.waiting_for()))
        if self.state is State.CONFIRMING and self._answer is not None:
            self._unconfirmed = silent
            self._enter(State.COMPLETED)
            return
        letters = ", ".join(f"{step} from {sender}" for step, sender in self.waiting_for())
        waited = letters or f"the noise of {self.me}"
        self._abort(AbortReason.TIMEOUT, f"time is up in state {self.state}, without {waited}", silent)

    def _forget(self) -> None:
        self._holding.forget()
        if self._evaluation is not None:
            self._evaluation.forget()
        self._mail.forget()
