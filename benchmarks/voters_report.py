"""The tables of referenda with many voters and three compute parties."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise

from benchmarks.launching import COORDINATOR
from benchmarks.report import Failure, Table, failed, seconds, size
from benchmarks.voters import COMPUTE, COMPUTING, VOTING, Turnout
from coordinator.cluster import BROKER
from protocol.messages import Step

HEADINGS = (
    "voters",
    "launch→answer",
    "a voter",
    "until all have joined",
    "until all ballots are in",
    "gates",
    "opening",
    "CPU of the broker",
    "CPU of a compute party",
    "CPU of a voter",
    "CPU of the coordinator",
    "every voter gets",
    "sent again",
    "peak MiB, broker / compute party",
    "MiB a voter",
    "set-up",
)
NOTES = """\
- Each voter is a whole node with its own identity key, certificate, journal on disk and TLS connection to \
the broker; only processes are shared, since a machine does not carry as many. A voter does not compute. All \
voters, the compute parties, the broker and the coordinator share this machine's cores: with a machine for \
each voter, *CPU of a voter* would be spent at the same time by all.
- **launch→answer**: from the coordinator's launch until all compute parties have confirmed the answer, one \
session of nodes that are connected. **a voter**: the same, divided by the number of voters.
- **until all have joined**, **until all ballots are in**, **gates**, **opening**: its parts, as the \
coordinator sees them: until the leader's begin; until the last list of received ballots; until the last \
commitment; until the last confirmation.
- **CPU**: from launch to answer, as the kernel counts it.
- **every voter gets**: the announcement and the letters to everybody, each once: what the broker must send \
to each voter.
- **sent again**: letters that the coordinator saw once more, because somebody had asked for them.
- **set-up**: making keys, certificates and connections, before the launch and no part of it.
"""


def turnouts(found: Mapping[int, Turnout | Failure]) -> Table:
    """One row for each size that was tried."""
    rows = [cells(count, each) for count, each in found.items()]
    carried = [count for count, each in found.items() if isinstance(each, Turnout)]
    last = f"- The last size that this machine carried: **{max(carried):,} voters**.\n" if carried else ""
    return Table(f"Referendum of many voters, {len(COMPUTE)} compute parties", HEADINGS, rows, last + NOTES)


def cells(count: int, found: Turnout | Failure) -> tuple[str, ...]:
    """The texts of one line, in the order of HEADINGS."""
    if isinstance(found, Failure):
        return (f"{count:,}", failed(found), *["-"] * (len(HEADINGS) - 2))
    launch, cpu_s = found.launch, found.launch.cpu_s
    steps = (None, Step.BEGIN, Step.RECEIVED, Step.COMMIT, None)
    phases = (launch.between(since, until) for since, until in pairwise(steps))
    return (
        f"{count:,}",
        seconds(launch.elapsed),
        seconds(launch.elapsed / count),
        *map(seconds, phases),
        seconds(cpu_s[BROKER]),
        seconds(cpu_s[COMPUTING] / len(COMPUTE)),
        seconds(cpu_s[VOTING] / count),
        seconds(cpu_s[COORDINATOR]),
        size(launch.public_bytes),
        f"{launch.repeats:,}",
        f"{found.broker_mb:.0f} / {found.compute_mb:.0f}",
        f"{found.voters_mb / count:.2f}",
        seconds(found.setup_s),
    )
