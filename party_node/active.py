"""One running session in a node: journal, seal and signature around the pure state machine.

Everything that the session takes in is written to the journal first; everything that it gives out is
sealed and signed once, kept in the outbox and resent byte by byte.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from party_node.journal import Journal, SessionRow, is_evidence
from party_node.post import Post, Publication, Sent
from party_node.seal import Seal
from protocol.errors import LocalProtocolError
from protocol.letters import Part, cut, parse
from protocol.messages import AbortReason, RefusalCode, Request, Step
from protocol.ring import BYTES, Ring
from protocol.rounds import Setups
from protocol.sealed import Outgoing
from protocol.secret import Seed
from protocol.session import Session
from protocol.sharing import Share
from protocol.spec import SessionSpec
from protocol.states import State

FIRST_REQUEST = 300  # milliseconds without progress after which we ask for what is missing,
A_MEMBER = 20  # and so many more for each member: the more there are, the longer a step takes everybody,
MOST_PATIENCE = 3_000  # but not more than this for all of them
SLOW_LINK = 10_000  # bytes a millisecond: how much longer a large letter may be on its way
MOST_HASHED = 1 << 16  # bytes of a payload: of larger ones there cannot come many a second
LAST_REQUEST = 15_000  # and the longest pause between two requests
RETAIN_AFTER = 2_000  # milliseconds more, and somebody must be away: the broker keeps our letters


NOISE = b""  # in the journal, an arrival of our own noise


def replay_one(machine: Session, at: int, payload: bytes | None) -> list[Outgoing]:
    """One arrival of the journal, taken in once more."""
    if payload is None:
        return machine.tick(at)
    if payload != NOISE:
        return machine.receive(parse(payload), at)
    if machine.drawing is None:
        raise LocalProtocolError("the journal has noise for a session that takes none")
    return machine.drawn(machine.drawing(), at)


class ActiveSession:
    """A session in progress.  What it wants published collects in `publications`."""

    def __init__(
        self,
        spec: SessionSpec,
        session: str,
        me: str,
        seed: Seed,
        value: Ring | None,
        *,
        journal: Journal,
        post: Post,
        entropy: Callable[[int], bytes],
        setups: Setups,
    ) -> None:
        self.spec, self.id = spec, session
        self.publications: list[Publication] = []
        self.noted: State | None = None  # the state that the journal shows
        self._seal = Seal(session, me, seed, entropy)
        self.machine = Session(spec, session, me, seed, value, self._seal.unseal, self._seal.usable, setups)
        self._journal, self._post = journal, post
        self._outbox: dict[tuple[str, str], list[Sent]] = {}
        self._taken: set[int] = set()  # hashes of topics and payloads
        self._number = 0  # of the next arrival
        self._now = 0  # of what is being taken in
        self._pause = FIRST_REQUEST
        self._next_request = 0
        self._retain_at = 0
        self._retained = False

    # -- life --------------------------------------------------------------------------------------

    def join(self, now: int) -> None:
        """Take part."""
        self._now = now
        self._progress(now)
        self._send(self.machine.join(self._seal.public_key, now))

    def refuse(self, code: RefusalCode, detail: str, words: str) -> None:
        """Take no part, and say so."""
        self._send(self.machine.refuse(code, detail, words))

    @property
    def shared(self) -> bool:
        """Whether letters that depend on our input are stored, and so may have left."""
        return any(stage == Step.SHARE for stage, _ in self._outbox)

    def resume(self, row: SessionRow, arrivals: Iterable[tuple[int, bytes | None]], now: int) -> None:
        """Replay the journal: the same arrivals give the same state, and the outbox has what was sent."""
        self._now = now
        self._rejoin(row)
        for at, payload in arrivals:
            self._number += 1
            self._send(replay_one(self.machine, at, payload))
        self._progress(now)

    def abandon(
        self, row: SessionRow, detail: str, now: int, reason: AbortReason = AbortReason.LOST_STATE
    ) -> None:
        """End a session that cannot be resumed: what it needs did not survive, or we no longer want it."""
        self._rejoin(row)
        self._send(self.machine.abandon(detail, now, reason))

    def _rejoin(self, row: SessionRow) -> None:
        """A letter whose file is damaged stays in the outbox without its bytes: it is never made anew."""
        for sent in self._journal.outbox(self.id):
            parts = self._outbox.setdefault((sent.step, sent.to), [])
            if self._post.intact(sent):
                parts.append(sent)
        self._retained = row.retained
        self._send(self.machine.join(self._seal.public_key, row.joined))

    def _progress(self, now: int) -> None:
        """Something has come: the waiting starts again."""
        self._pause = self._patience()
        self._next_request = now + self._pause
        self._retain_at = now + RETAIN_AFTER + self._pause

    def receive(self, part: Part, payload: bytes, now: int) -> None:
        """A part whose signature has been checked; MalformedError if it does not belong here."""
        self._now = now
        out = self.machine.receive(part, now)
        # A reveal in many parts is bound by a commitment that is in the journal: it is asked for again.
        header = part.header
        if header.step is not Step.REVEAL or header.parts == 1:
            self._arrived(payload, now, plain=header.parts == 1 and is_evidence(header.step))
        self._send(out)
        self._progress(now)

    def take(self, topic: str, payload: bytes) -> None:
        """Note a payload that has been taken in, so that a repetition is known before it is taken apart."""
        if len(payload) <= MOST_HASHED:
            self._taken.add(hash((topic, payload)))

    def has_taken(self, topic: str, payload: bytes) -> bool:
        """Whether these bytes have been taken in; Python's hash has a secret key, so nobody makes it lie."""
        return len(payload) <= MOST_HASHED and hash((topic, payload)) in self._taken

    def drawn(self, noise: Share, now: int) -> None:
        """Our part of the noise.  The journal keeps when it came, and not what follows from the seed."""
        if self.machine.drawing is None:
            return
        self._now = now
        out = self.machine.drawn(noise, now)
        self._arrived(NOISE, now)
        self._send(out)

    def _patience(self) -> int:
        """How long a letter may be on its way before we ask for it again."""
        elements = self.machine.shape[0] if self.machine.shape else 1
        members = len(self.spec.members)
        return (
            FIRST_REQUEST + min(A_MEMBER * members, MOST_PATIENCE) + elements * BYTES * members // SLOW_LINK
        )

    def _arrived(self, payload: bytes | None, now: int, *, plain: bool = False) -> None:
        self._journal.arrived(self.id, self._number, now, payload, plain=plain)
        self._number += 1

    # -- time ----------------------------------------------------------------------------------------

    @property
    def deadline(self) -> int | None:
        """When `tick` is due."""
        due = self.machine.deadline
        if due is None:
            return None
        return min(due, self._next_request, due if self._retained else self._retain_at)

    def tick(self, now: int) -> None:
        """Do what the clock asks for."""
        self._now = now
        due = self.machine.deadline
        if due is not None and due <= now:
            out = self.machine.tick(now)
            self._arrived(None, now)
            self._send(out)
        if self.machine.over:
            return
        if not self._retained and self._retain_at <= now:
            self.retain()
        if self._next_request <= now:
            self.request_missing(now)
            self._pause = min(2 * self._pause, LAST_REQUEST)

    def request_missing(self, now: int) -> None:
        """Ask each sender for the letters that we lack: this, not the broker, guarantees delivery."""
        wanted: dict[str, list[str]] = {}
        for stage, sender in self.machine.waiting_for():
            wanted.setdefault(sender, []).append(stage)
        for sender, stages in wanted.items():
            body = Request(steps=tuple(stages)).encode()
            parts = self._post.plain(self.id, Step.REQUEST, sender, body)
            self.publications.extend(self._post.publication(self.id, part) for part in parts)
        self._next_request = now + self._pause

    def retain(self) -> None:
        """Leave our letters with the broker, for those who are away."""
        self._retained = True
        self._journal.retain(self.id)
        self.resend()

    def resend(self) -> None:
        """Publish the whole outbox again."""
        self._publish(part for parts in self._outbox.values() for part in parts)

    # -- letters out -----------------------------------------------------------------------------------

    def _send(self, letters: Iterable[Outgoing]) -> None:
        for peer, name, setup in self.machine.new_setups():
            self._journal.setups.keep(self.id, self.spec.members[peer], name, setup, self.spec.created)
        for letter in letters:
            if (letter.stage, letter.to) in self._outbox:  # replayed: it has its bytes already
                continue
            if letter.recipients:
                slots, chunks = self._seal.seal(letter, self.machine.sealing_key)
            else:
                slots, chunks = (), list(cut(letter.body))
            parts = self._post.write(self.id, letter.step, letter.to, slots, chunks, letter.round)
            self._outbox[letter.stage, letter.to] = parts
            if letter.step is Step.SHARE and self.spec.epsilon is not None:
                self._journal.ledger.spend(self.id, self._now)
            for part in parts:
                self._journal.sent(self.id, part)
            self._publish(parts)

    def _publish(self, parts: Iterable[Sent]) -> None:
        self.publications.extend(
            self._post.publication(self.id, part, retain=self._retained) for part in parts
        )
