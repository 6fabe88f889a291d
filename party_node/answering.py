"""Answers to requests: whoever lacks a letter of ours gets the bytes that were sent before, and no others."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from party_node.journal import Journal, SessionRow
from party_node.post import Post, Publication
from party_node.remains import Remains
from party_node.throttle import Throttle
from protocol.letters import ALL, COMPUTE, Part
from protocol.messages import MalformedError, Request, Step

MOST_ANSWERED = 10_000  # entries of a table that only saves work
ANSWER_PAUSE = 100  # milliseconds between two answers to the same peer about the same session
# Whoever waits for a letter of ours must hear that it will not come.  It cannot ask for that, and we may have
# said it while there was no link.
ENDINGS = (Step.REFUSE, Step.ABORT)


class Answering:
    """One party's side of what SPEC.md §6 calls requests."""

    def __init__(self, journal: Journal, post: Post, remains: Remains, throttle: Throttle) -> None:
        self._journal, self._post, self._remains, self._throttle = journal, post, remains, throttle
        self._answered: dict[tuple[str, str], int] = {}

    def hurried(self, session: str, peer: str, now: int) -> bool:
        """Whether it asks so soon again, or for so much, that even its signature is not worth checking."""
        soon = 0 <= now - self._answered.get((session, peer), 0) < ANSWER_PAUSE  # clocks are set back
        return soon or not self._throttle.answers(peer, now)

    def answer(self, part: Part, now: int) -> list[Publication]:
        """What to send to a peer whose signature has been checked."""
        session, peer = part.header.session, part.header.sender
        if len(self._answered) > MOST_ANSWERED:
            self._answered.clear()
        self._answered[session, peer] = now
        found = list(self._found(session, peer, Request.decode(part.body).steps))
        self._throttle.answered(peer, sum(len(each.payload) for each in found), now)
        return found

    def _found(self, session: str, peer: str, steps: Sequence[str]) -> Iterator[Publication]:
        row = self._journal.session(session)
        if row is None:
            # They expect something of us in a session that we have not heard of: let them tell us.
            if Step.ANNOUNCE not in steps:
                ask = Request(steps=(Step.ANNOUNCE,)).encode()
                for part in self._post.plain(session, Step.REQUEST, peer, ask):
                    yield self._post.publication(session, part)
            return
        spec = row.spec
        if peer not in spec.members and peer != spec.coordinator:
            raise MalformedError(f"{peer} asks for letters of a session that is not theirs")
        if Step.ANNOUNCE in steps:
            yield self._post.passed_on(session, row.announce, peer)
        yield from self._letters(row, peer, {*steps, *ENDINGS})

    def _letters(self, row: SessionRow, peer: str, steps: set[str]) -> Iterator[Publication]:
        retain = row.retained and not self._remains.cleared(row.id)

        def wanted(step: str, to: str) -> bool:
            return step in steps and to in (peer, ALL, COMPUTE)

        for sent in self._journal.outbox(row.id, wanted):
            if not sent.payload:
                continue  # lost, and never made anew
            if sent.to == peer:
                yield self._post.publication(row.id, sent, retain=retain)
            else:
                yield self._post.repeated(row.id, sent, peer)
