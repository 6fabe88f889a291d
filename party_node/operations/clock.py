"""Whether our clock is right, as far as that can be known: deadlines are agreed between machines.

MQTT and TLS carry no time.  What does is the announcements: each says when it was made, by its
coordinator's clock.  One that comes before it was made proves that our clock is behind; one that came soon
after proves that it is not ahead by more.  And the system may know whether its own clock is synchronised.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterable, Sequence

from party_node.operations.beside import Taken
from party_node.operations.findings import Finding, Verdict, ok
from party_node.policy import CLOCK_SKEW
from party_node.post import check_signature
from party_node.roster import Roster
from protocol.letters import parse
from protocol.messages import MalformedError, Step
from protocol.spec import SessionSpec

CHECK = "clock"
SLACK = 1_000  # milliseconds by which two good clocks may differ
RECENT = 20  # sessions
_SET = "set this machine's clock by NTP; is it the coordinator's that is wrong?"
_COMPARE = "compare `date -u` with another party's"


def judge(delays: Sequence[int], synchronised: bool | None) -> Finding:
    """`delays`: milliseconds from announcements, by the coordinators' clocks, to when we had them by ours."""
    least = min(delays, default=None)
    if least is not None and least < -SLACK:
        verdict = Verdict.WRONG if least < -CLOCK_SKEW else Verdict.WARNING
        return Finding(CHECK, verdict, f"at least {-least / 1000:.0f} s behind the coordinator's", _SET)
    ahead = "" if least is None else f", at most {max(least, 0) / 1000:.1f} s ahead of the coordinator's"
    if synchronised is not None:
        found = f"{'synchronised' if synchronised else 'not synchronised'} by NTP{ahead}"
        return ok(CHECK, found) if synchronised else Finding(CHECK, Verdict.WARNING, found, _SET)
    if least is not None and least < CLOCK_SKEW:
        return ok(CHECK, f"not seen to be behind{ahead}")
    found = "not measured: no recent session tells, and the system does not say whether NTP sets it"
    return Finding(CHECK, Verdict.UNKNOWN, found, _COMPARE)


def delays(announcements: Iterable[tuple[bytes, int]], joined: Sequence[Taken], roster: Roster) -> list[int]:
    """Of what the broker keeps, with the time when it came, and of the sessions that we have joined."""
    kept = [at - spec.created for payload, at in announcements if (spec := _believed(payload, roster))]
    return kept + [taken.joined - taken.spec.created for taken in joined[-RECENT:]]


def _believed(payload: bytes, roster: Roster) -> SessionSpec | None:
    """The spec in an announcement, if a coordinator of our roster has signed it."""
    try:
        part = parse(payload)
        identity = roster.identity(part.header.sender)
        if part.header.step is not Step.ANNOUNCE or identity is None:
            return None
        check_signature(part, identity)
        return SessionSpec.decode(part.body)
    except MalformedError:
        return None


def synchronised() -> bool | None:
    """Whether the system's clock is set by NTP; None if nobody here says."""
    asked = shutil.which("timedatectl")
    if asked is None:
        return None
    command = [asked, "show", "--property=NTPSynchronized", "--value"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=5, check=False)  # noqa: S603 - ours
    except (OSError, subprocess.TimeoutExpired):
        return None
    return {"yes": True, "no": False}.get(done.stdout.strip()) if done.returncode == 0 else None
