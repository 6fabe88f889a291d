"""What is left of sessions that are over, and when it goes: letters, setups, traces of secrets."""

from __future__ import annotations

from dataclasses import dataclass

from party_node.journal import Journal
from party_node.post import Post, Publication
from protocol.errors import LocalProtocolError
from protocol.spec import SessionSpec

SCRUB_AFTER = 1_000  # milliseconds; not at once, because it costs two more waits for the disk
A_MINUTE = 60_000  # milliseconds
SETUP_LIFE = 7 * 24 * 3600 * 1000  # milliseconds for which a setup is kept for a next session


@dataclass(frozen=True)
class Keep:
    """How long what is left of an ended session is kept, in milliseconds."""

    secrets: int = 0  # all of it, for a replay
    evidence: int = 0  # the plain letters, for an audit
    results: int | None = None  # that there was one, and its answer; None: for good


class Remains:
    """Times are Unix milliseconds, given by the caller."""

    def __init__(self, journal: Journal, post: Post, keep: Keep) -> None:
        self._journal, self._post, self._keep = journal, post, keep
        self._sweeps: dict[str, int] = {}  # ended session → when its remains are deleted
        self._next_sweep: int | None = None
        self._cleared: set[str] = set()  # swept sessions whose letters were just taken off the broker
        self._drop_at = 0  # when setups that are too old are deleted
        self._scrub_at: int | None = None  # when deleted secrets leave the write-ahead log too

    @property
    def deadline(self) -> int | None:
        """When `tick` is due."""
        return min((due for due in (self._scrub_at, self._next_sweep) if due is not None), default=None)

    def over(self, session: str, spec: SessionSpec, ended: int) -> None:
        """A session has ended.  Until its time is up, peers may still ask for our letters."""
        self._sweep_at(session, max(spec.close_by, ended + self._keep.secrets))

    def forget_secrets(self, session: str, now: int) -> None:
        """Nothing secret is needed any more, unless it is kept for an audit."""
        if not self._keep.secrets:
            self._journal.forget_secrets(session)
            self.scrub(now + SCRUB_AFTER)

    def scrub(self, at: int) -> None:
        """Take what was deleted off the write-ahead log too, at that time."""
        self._scrub_at = at

    def cleared(self, session: str) -> bool:
        """Whether its letters have just been taken off the broker: they must not be left there again."""
        return session in self._cleared

    def tick(self, now: int) -> list[Publication] | None:
        """Delete what is due.  None if nothing was; else what is to be published once that is durable."""
        out: list[Publication] | None = None
        if self._next_sweep is not None and self._next_sweep <= now:
            out = []
            for session in [session for session, due in self._sweeps.items() if due <= now]:
                out += self._sweep(session, now)
            self._next_sweep = min(self._sweeps.values(), default=None)
            self._scrub_at = now
        if self._drop_at <= now:  # the daemon calls at least hourly
            self._drop_at = now + min(SETUP_LIFE // 100, max(self._keep.evidence // 10, A_MINUTE))
            self._journal.setups.drop(now - SETUP_LIFE)
            self._journal.drop_evidence(now - self._keep.evidence)
            if self._keep.results is not None:
                self._journal.drop_sessions(now - self._keep.results)
            out, self._scrub_at = out or [], now + SCRUB_AFTER
        if self._scrub_at is not None and self._scrub_at <= now:
            self._scrub_at = None if self._journal.scrub() else now + SCRUB_AFTER
        return out

    def _sweep_at(self, session: str, due: int) -> None:
        self._sweeps[session] = due
        self._next_sweep = due if self._next_sweep is None else min(due, self._next_sweep)

    def _sweep(self, session: str, now: int) -> list[Publication]:
        del self._sweeps[session]
        row = self._journal.session(session)
        if row is None:
            raise LocalProtocolError("sweeping a session that the journal does not know")
        if row.retained and session not in self._cleared:
            # Were the outbox deleted in this commit, a kill would leave the letters with the broker.
            self._cleared.add(session)
            self._sweep_at(session, now + SCRUB_AFTER)
            return [self._post.clearing(session, sent) for sent in self._journal.outbox(session)]
        self._cleared.discard(session)
        self._journal.forget_secrets(session)
        self._journal.forget_outbox(session)
        return []
