"""What a sender may cost us: useless payloads and requests are paid for, and who has spent all must wait.

Pure: the time is an argument.  A sender is who the topic names, which the broker's access list binds to a
certificate.  A broker that floods in an honest party's name can so delay its letters; they are asked for
again.
"""

from __future__ import annotations

MOST_NAMES = 4096  # that have a bucket of their own
BURST = 500  # useless payloads at once: a broker that has kept old letters hands them all out together
RATE = 25  # and a second from then on; each costs us less than half a millisecond
RESERVE = RATE  # of these, for letters of sessions in which the sender is a member
ANSWER_BURST = 1 << 26  # bytes sent again at once, to one peer
ANSWER_RATE = 1 << 24  # and a second from then on: who waits for what is on its way asks for less
REQUEST_COST = 1 << 18  # bytes that a request counts as, besides the answer
REPORT_EVERY = 10_000  # milliseconds
_OTHERS = ""  # nobody's name


class Buckets:
    """Tokens for each name: a full bucket at first, filled up by time, emptied by `take`.

    The table is bounded: while it is full, all further names share one bucket.
    """

    def __init__(self, burst: int, rate: int) -> None:
        """`rate`: tokens a second."""
        self._burst, self._rate = burst, rate / 1000
        self._levels: dict[str, tuple[float, int]] = {}  # tokens, and when there were so many
        self._swept = 0

    def __len__(self) -> int:
        return len(self._levels)

    def left(self, name: str, now: int) -> float:
        """How many tokens there are; below 0 after a `take` of more than there were."""
        key = self._key(name)
        found = self._levels.get(key)
        if found is None:
            return self._burst
        level, then = found
        if now < then:  # the clock was set back
            self._levels[key] = level, now
            return level
        return min(level + (now - then) * self._rate, self._burst)

    def take(self, name: str, tokens: int, now: int) -> None:
        """Whatever is left then."""
        if len(self._levels) >= MOST_NAMES:
            self._sweep(now)
        level = self.left(name, now)
        self._levels[self._key(name)] = level - tokens, now

    def _key(self, name: str) -> str:
        return name if name in self._levels or len(self._levels) < MOST_NAMES else _OTHERS

    def _sweep(self, now: int) -> None:
        """Forget those whose buckets are full again."""
        if 0 <= now - self._swept < 1000:  # looking through all of them for each payload would be too dear
            return
        self._swept = now
        self._levels = {
            name: found for name, found in self._levels.items() if self.left(name, now) < self._burst
        }


class Throttle:
    """Says by the sender alone whether a payload is worth taking apart, and a request worth answering."""

    def __init__(self) -> None:
        self._useless = Buckets(BURST, RATE)
        self._answers = Buckets(ANSWER_BURST, ANSWER_RATE)

    def admits(self, sender: str, now: int, *, member: bool) -> bool:
        """Whether to look at a payload; `member`: of a running session, and the payload belongs to that."""
        return self._useless.left(sender, now) >= (1 if member else 1 + RESERVE)

    def charge(self, sender: str, now: int) -> bool:
        """A payload was looked at for nothing.  False if these are too many for the log to tell of each."""
        self._useless.take(sender, 1, now)
        return self._useless.left(sender, now) >= BURST // 2

    def answers(self, peer: str, now: int) -> bool:
        """Whether to answer a request."""
        return self._answers.left(peer, now) > 0

    def answered(self, peer: str, size: int, now: int) -> None:
        """A request has been answered with so many bytes.  A large answer is owed for, and not refused."""
        self._answers.take(peer, REQUEST_COST + size, now)


class Report:
    """Says when drops are worth a line in the log: not more often than every ten seconds."""

    def __init__(self) -> None:
        self._last: int | None = None

    def due(self, now: int) -> bool:
        """True if the last True was long enough ago."""
        if self._last is not None and 0 <= now - self._last < REPORT_EVERY:
            return False
        self._last = now
        return True
