"""The screen: what is not worth taking apart is dropped for a few microseconds each, and counted.

Whoever sends ten thousand payloads a second is stopped here, by topic and size alone.  What gets past and
turns out to be of no use counts against whoever has published it.
"""

from __future__ import annotations

from collections import Counter

import structlog

from party_node.roster import Roster
from party_node.throttle import Report, Throttle
from protocol.errors import SottoError
from protocol.letters import ALL, COMPUTE, PAYLOAD_BYTES
from protocol.messages import MalformedError, Step
from protocol.spec import SessionSpec

QUIET = frozenset({"unknown session", "repeated"})  # nothing to warn of

log = structlog.get_logger("node")


class Screen:
    """One party's.  Times are Unix milliseconds, given by the caller."""

    def __init__(self, me: str, roster: Roster, throttle: Throttle) -> None:
        self._me, self._roster, self._throttle = me, roster, throttle
        self._report = Report()
        self.dropped: Counter[str] = Counter()  # payloads that were not for us to act on, by reason

    def unwanted(self, topic: str, payload: bytes, spec: SessionSpec | None, now: int) -> bool:
        """Whether to drop a payload unseen; `spec` is that of the session, if we are in it."""
        reason = self._reason(topic, payload, spec, now)
        if reason:
            self.drop(reason, now)
        return bool(reason)

    def _reason(self, topic: str, payload: bytes, spec: SessionSpec | None, now: int) -> str:
        _, step, sender, to, _ = topic.rsplit("/", 5)[1:]
        if spec is None and step not in (Step.ANNOUNCE, Step.REQUEST):
            return "unknown session"
        member = spec is not None and (sender in spec.members or sender == spec.coordinator)
        if not member and (spec is not None or self._roster.identity(sender) is None):
            return "stranger"
        if to not in (self._me, ALL, COMPUTE):
            return "not for us"
        if len(payload) > PAYLOAD_BYTES:
            return "too large"
        return "" if self._throttle.admits(sender, now, member=member) else "throttled"

    def useless(self, topic: str, error: SottoError, now: int) -> None:
        """It was taken apart for nothing."""
        session, _, sender = topic.rsplit("/", 5)[1:4]
        if self._throttle.charge(sender, now):
            # The topic is the broker's word: it may hold anything.
            about = session[:8] if session.isalnum() else None
            log.warning(
                "payload dropped", session=about, sender=sender, problem=error.message, hint=error.hint
            )
        self.drop("malformed" if isinstance(error, MalformedError) else "announcement", now)

    def repeated(self, sender: str, now: int) -> None:
        """It says nothing new, and cost as much as one that is wrong."""
        self._throttle.charge(sender, now)

    def drop(self, reason: str, now: int) -> None:
        """Count it, and now and then say so."""
        self.dropped[reason] += 1
        if reason not in QUIET and self._report.due(now):
            log.warning("payloads dropped so far", **self.dropped)
