"""The tables of referenda among n computing parties: how long, where it goes, how far from the aims."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from benchmarks import operations
from benchmarks.measurement import Measurement
from benchmarks.operations import Costs
from benchmarks.report import Failure, Row, Table, failed, launch, ratio, seconds, size, three_digits
from benchmarks.sotto import NODES
from coordinator.cluster import BROKER

HEADINGS = (
    "case",
    "Sotto first",
    "Sotto later",
    "MPyC first",
    "MPyC later",
    "MPyC / Sotto, later",
    "MPyC by hand",
    "Sotto cold",
    "MPyC cold",
    "bytes a party, Sotto first / later / MPyC",
    "peak MiB, Sotto / MPyC",
)
NOTES = """\
- Everybody votes and everybody computes; at least two thirds must say yes, and just so many do. One bit is \
opened.
- **Sotto**: any n − 1 colluding parties learn nothing beyond that bit; triples by oblivious transfer, no \
dealer; through the broker.
- **MPyC**: an honest majority is assumed; direct TLS connections. Its own `>=` on the sum of one secret bit \
each, in `SecInt` with as few bits as the sum and a sign need, the fastest of its own comparisons. PRSS up \
to 5 parties, where it is faster, and not above.
- **MPyC by hand**: the same bit (later runs) by a polynomial of degree n over the smallest field with room \
for the sum, which a caller would have to write; MPyC offers no such comparison, so the aims do not count it.
- **first**: the first session of these nodes, with the base oblivious transfers, or MPyC's first run; \
median over the rounds, each with a fresh cluster. **later**: median over all later ones.
- **cold**: from the first process spawned until every party has the answer. Certificates exist before.
- **launch→answer**, bytes and memory: as for the sums.
"""
WHERE_HEADINGS = (
    "session",
    "launch→answer",
    "rounds",
    "rounds × hop",
    "letters sent / read",
    "Ed25519 made / checked",
    "HPKE keys made / checked",
    "HPKE sealed / opened",
    "multiplications of the base / of a point",
    "all these operations",
    "CPU of the nodes",
    "CPU of the broker",
    "cores busy",
)
WHERE_NOTES = """\
- **rounds**: trips through the broker that follow one another, **letters** and **operations**: counted by \
running the same nodes in one process, all parties and the coordinator together; nothing is sent twice there.
- **hop**: the median time of a small message from a connection through the broker and back to it, when \
nothing else runs in the cluster.
- **all these operations**: their number × what each takes alone on one core of this machine.
- **CPU**: of all the processes from launch to answer, as the kernel counts it. **cores busy**: that time / \
launch→answer; what is missing to the machine's cores was spent waiting.
"""
# MP-SPDZ `semi-bin` (dishonest majority, C++), first runs: stated for a 2-core machine with direct TLS
# connections, the protocol alone.  Not measured here.
MP_SPDZ_FIRST_S = {5: 0.201, 10: 0.934, 20: 3.985}
FASTER_FROM, COLD_N, COLD_PART = 10, 50, 5


def referenda(rows: Sequence[Row]) -> Table:
    """Beside MPyC; the notes end with the aims."""
    notes = f"{NOTES}\nAims:\n\n" + "\n".join(f"- {line}" for line in aims(rows))
    title = "Referendum, n parties vote and compute: medians; each party a process, TLS on"
    return Table(title, HEADINGS, [*map(cells, rows)], notes)


def cells(row: Row) -> tuple[str, ...]:
    """The texts of one line, in the order of HEADINGS."""
    sotto, mpyc = row.sotto, row.mpyc
    return (
        row.case,
        _first(sotto),
        "-" if isinstance(sotto, Failure) else launch(sotto),
        _first(mpyc),
        "-" if isinstance(mpyc, Failure) else launch(mpyc),
        ratio(sotto, mpyc),
        "-" if isinstance(mpyc, Failure) or mpyc.by_hand_s is None else seconds(mpyc.by_hand_s),
        "-" if isinstance(sotto, Failure) else seconds(sotto.cold_s),
        "-" if isinstance(mpyc, Failure) else seconds(mpyc.cold_s),
        _bytes(sotto, mpyc),
        " / ".join("-" if isinstance(m, Failure) else f"{m.peak_memory_mb:.0f}" for m in (sotto, mpyc)),
    )


def _first(measured: Measurement | Failure) -> str:
    return failed(measured) if isinstance(measured, Failure) else seconds(measured.first_s)


def _bytes(sotto: Measurement | Failure, mpyc: Measurement | Failure) -> str:
    ours = "- / -"
    if not isinstance(sotto, Failure):
        ours = f"{size(sotto.first_bytes)} / {size(sotto.bytes_per_party)}"
    return f"{ours} / {'-' if isinstance(mpyc, Failure) else size(mpyc.bytes_per_party)}"


# -- the aims ----------------------------------------------------------------------------------------


def aims(rows: Sequence[Row]) -> list[str]:
    """Each aim with the figures that decide it: met or missed."""
    found = []
    for row in rows:
        if row.n >= FASTER_FROM and row.n != COLD_N:
            found.append(f"{row.case}, later sessions faster than MPyC's: {_faster(row)}.")
        if row.n in MP_SPDZ_FIRST_S:
            stated = MP_SPDZ_FIRST_S[row.n]
            found.append(
                f"{row.case}, first sessions faster than MP-SPDZ's stated ones: {_below(row, stated)}."
            )
        if row.n == COLD_N:
            found.append(f"{row.case}, from cold in under a fifth of MPyC's time: {_cold(row)}.")
    return found


def _faster(row: Row) -> str:
    if isinstance(row.sotto, Failure) or isinstance(row.mpyc, Failure):
        return "no figure"
    return _verdict(row.sotto.launch_s, row.mpyc.launch_s)


def _below(row: Row, stated: float) -> str:
    return "no figure" if isinstance(row.sotto, Failure) else _verdict(row.sotto.first_s, stated)


def _cold(row: Row) -> str:
    if isinstance(row.sotto, Failure) or isinstance(row.mpyc, Failure):
        return "no figure"
    whole = row.mpyc.cold_s
    return f"{_verdict(row.sotto.cold_s, whole / COLD_PART)}, a fifth of {seconds(whole)}"


def _verdict(ours: float, limit: float) -> str:
    word = "met" if ours < limit else "missed"
    return f"**{word}**, {seconds(ours)} against {seconds(limit)} ({three_digits(ours / limit)} times)"


# -- where the time goes -----------------------------------------------------------------------------


@dataclass(frozen=True)
class Session:
    """A first or a later session: what was measured and what was counted."""

    label: str
    elapsed_s: float
    cpu_s: Mapping[str, float]
    costs: Costs
    hop_s: float


def sessions_of(rows: Sequence[Row], counts: Mapping[int, tuple[Costs, Costs]]) -> list[Session]:
    """First and later sessions of those n that were measured and counted."""
    found = []
    for row in rows:
        sotto = row.sotto
        if isinstance(sotto, Failure) or sotto.hop_s is None or row.n not in counts:
            continue
        first, later = counts[row.n]
        found.append(Session(f"n = {row.n}, first", sotto.first_s, sotto.first_cpu_s, first, sotto.hop_s))
        found.append(Session(f"n = {row.n}, later", sotto.launch_s, sotto.cpu_s, later, sotto.hop_s))
    return found


def where_it_goes(
    rows: Sequence[Row], counts: Mapping[int, tuple[Costs, Costs]], unit_s: Mapping[str, float]
) -> Table:
    """Rounds, letters and public-key operations beside the time that was measured."""
    sessions = sessions_of(rows, counts)
    alone = ", ".join(f"{name} {seconds(value)}" for name, value in unit_s.items())
    lines = [
        f"One of each alone: {alone}.",
        *_base_transfers(counts),
        *(_shares(each, unit_s) for each in sessions),
    ]
    notes = WHERE_NOTES + "\n".join(f"- {line}" for line in lines)
    cells = [_where(each, unit_s) for each in sessions]
    return Table("Where the time of a referendum goes", WHERE_HEADINGS, cells, notes)


def _where(session: Session, unit_s: Mapping[str, float]) -> tuple[str, ...]:
    costs, cpu_s = session.costs, session.cpu_s
    pairs = (
        (operations.SIGN, operations.CHECK),
        (operations.KEYS, operations.USABLE),
        (operations.SEAL, operations.UNSEAL),
        (operations.BASE, operations.TIMES),
    )
    return (
        session.label,
        seconds(session.elapsed_s),
        str(costs.rounds),
        seconds(costs.rounds * session.hop_s),
        f"{costs.letters:,} / {costs.deliveries:,}",
        *(f"{costs.operations[one]:,} / {costs.operations[other]:,}" for one, other in pairs),
        seconds(costs.seconds(unit_s)),
        seconds(cpu_s[NODES]),
        seconds(cpu_s[BROKER]),
        three_digits(sum(cpu_s.values()) / session.elapsed_s),
    )


def _base_transfers(counts: Mapping[int, tuple[Costs, Costs]]) -> list[str]:
    """What a first session has that a later one has not, for each pair."""
    for n, (first, later) in counts.items():
        pairs = n * (n - 1) / 2
        base, other = (
            (first.operations[name] - later.operations[name]) / pairs
            for name in (operations.BASE, operations.TIMES)
        )
        what = f"{base:.0f} multiplications of the base point and {other:.0f} of other points"
        reuse = "a later session uses what the one before it left, and makes none"
        return [f"The base transfers of one pair take {what}, both together; {reuse}."]
    return []


def _shares(session: Session, unit_s: Mapping[str, float]) -> str:
    """One session in a sentence."""
    all_cpu = sum(session.cpu_s.values())
    public_key = 100 * session.costs.seconds(unit_s) / all_cpu
    broker = 100 * session.cpu_s[BROKER] / all_cpu
    hops = 100 * session.costs.rounds * session.hop_s / session.elapsed_s
    return (
        f"{session.label}: {seconds(all_cpu)} of CPU, {public_key:.0f} % of it public-key operations, "
        f"{broker:.0f} % the broker; the trips through an idle broker would be {hops:.1f} % of the time."
    )
