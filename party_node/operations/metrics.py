"""What /metrics tells, in the text format that Prometheus reads.

Nothing is kept here: a scrape makes everything anew from a snapshot of the node and from what lies on the
disk.  So it may run in any thread, and nobody who looks delays a session.  Labels take few values: words of
our own, the names of inputs in the config and of parties in the roster.  No value, answer, share or
session's id.
"""

from __future__ import annotations

import datetime as dt
import itertools
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path

from prometheus_client import ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from party_node import certificates
from party_node.config import NodeConfig
from party_node.operations import beside
from party_node.operations.health import BOUNDS, Snapshot, Tally
from party_node.roster import Roster
from protocol.dp.epsilon import NANO
from protocol.errors import SottoError
from protocol.states import OVER, State

PENDING = "pending"  # whether we take part is not decided yet


class _Scrape(Collector):
    def __init__(self, families: Iterable[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterable[Metric]:
        return self._families


def text(snapshot: Snapshot, config: NodeConfig, roster: Roster, journal: Path) -> bytes:
    """All of it.  `journal` is the node's file."""
    families = itertools.chain(
        _node(snapshot),
        _letters(snapshot.tally),
        _sessions(snapshot),
        _peers(snapshot, roster, config.name),
        _certificates(config),
        _disk(journal),
        _budgets(config, journal),
        ProcessCollector(registry=None).collect(),
    )
    return generate_latest(_Scrape(families))


def _node(snapshot: Snapshot) -> Iterator[Metric]:
    yield _gauges("sotto_build_info", "The version that runs.", "version", {version("sotto"): 1})
    up = snapshot.down is None
    yield GaugeMetricFamily("sotto_broker_connected", "1 while there is a link to the broker.", up)
    trusted = snapshot.ledger is None
    yield GaugeMetricFamily("sotto_ledger_trusted", "1 unless the budget ledger is flawed.", trusted)


def _letters(tally: Tally) -> Iterator[Metric]:
    for name, told, value in (
        ("sotto_broker_connections", "Links to the broker that were made.", tally.connections),
        ("sotto_letters_received", "Letters that came, in parts.", tally.received),
        ("sotto_letters_received_bytes", "Bytes of them.", tally.received_bytes),
        ("sotto_letters_sent", "Letters given to the broker, in parts.", tally.sent),
        ("sotto_letters_sent_bytes", "Bytes of them.", tally.sent_bytes),
        ("sotto_letters_retained", "Letters given to the broker to keep.", tally.retained),
        ("sotto_letters_unsent", "Letters for which there was no link; they are asked for.", tally.unsent),
    ):
        yield CounterMetricFamily(name, told, value)


def _sessions(snapshot: Snapshot) -> Iterator[Metric]:
    states = dict.fromkeys([PENDING, *(str(state) for state in State if state not in OVER)], 0)
    told = "Sessions that are not over."
    yield _gauges("sotto_sessions_open", told, "state", {**states, **snapshot.open})
    dropped = CounterMetricFamily("sotto_payloads_dropped", "Payloads not acted on.", labels=["reason"])
    for reason, count in snapshot.dropped.items():
        dropped.add_metric([reason], count)
    yield dropped
    labels = ["function", "state", "reason"]
    ended = CounterMetricFamily("sotto_sessions_ended", "Sessions that are over.", labels=labels)
    for key, count in snapshot.tally.ended.items():
        ended.add_metric(list(key), count)
    yield ended
    yield _durations(snapshot.tally)


def _durations(tally: Tally) -> Metric:
    bounds = [*map(str, BOUNDS), "+Inf"]
    buckets = list(zip(bounds, itertools.accumulate(tally.took), strict=True))
    told = "From the announcement to the answer."
    return HistogramMetricFamily("sotto_session_duration_seconds", told, buckets, tally.took_seconds)


def _peers(snapshot: Snapshot, roster: Roster, me: str) -> Iterator[Metric]:
    """Who was never heard is 0, so that an alarm for silence needs no second rule."""
    told = "When a letter that the party had signed last came, since this node's start; 0 if none has."
    seen = {name: snapshot.heard.get(name, 0) / 1000 for name in roster.parties if name != me}
    yield _gauges("sotto_peer_last_seen_timestamp_seconds", told, "party", seen)


def _certificates(config: NodeConfig) -> Iterator[Metric]:
    told = "When the certificate expires."
    ends = {}
    for kind, path in (("own", config.broker.certificate), ("authority", config.broker.ca)):
        with suppress(SottoError):  # a file that is being replaced
            ends[kind] = certificates.load(path, kind).not_valid_after_utc.astimezone(dt.UTC).timestamp()
    yield _gauges("sotto_certificate_expiry_timestamp_seconds", told, "certificate", ends)


def _disk(journal: Path) -> Iterator[Metric]:
    folder = journal.parent
    parts = {
        "database": [journal],
        "log": [journal.with_name(f"{journal.name}-wal")],
        "spool": (folder / "spool").rglob("*"),
        "answers": (folder / "answers").rglob("*"),
    }
    sizes = {part: sum(map(_size, paths)) for part, paths in parts.items()}
    yield _gauges("sotto_journal_bytes", "What the journal takes on the disk.", "part", sizes)
    free = shutil.disk_usage(folder).free
    yield GaugeMetricFamily("sotto_disk_free_bytes", "What is left on the disk of the journal.", free)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:  # deleted since it was listed
        return 0


def _budgets(config: NodeConfig, journal: Path) -> Iterator[Metric]:
    limits = {name: source.epsilon for name, source in config.inputs.items()}
    budget = {name: _epsilon(nano) for name, nano in limits.items() if nano is not None}
    yield _gauges("sotto_epsilon_budget", "The most that may be spent on an input.", "input", budget)
    with suppress(SottoError), beside.reading(journal) as database:
        ledger = beside.ledger(database)
        accounts = {name: ledger.account(name) for name in config.inputs}
        spent = {name: _epsilon(each.spent) for name, each in accounts.items()}
        yield _gauges("sotto_epsilon_spent", "What sessions have spent on an input.", "input", spent)
        reserved = {name: _epsilon(each.reserved) for name, each in accounts.items()}
        yield _gauges("sotto_epsilon_reserved", "What open sessions may yet spend.", "input", reserved)


def _epsilon(nano: int) -> float:
    return nano / NANO


def _gauges(name: str, told: str, label: str, values: Mapping[str, float]) -> Metric:
    family = GaugeMetricFamily(name, told, labels=[label])
    for key, value in values.items():
        family.add_metric([key], value)
    return family
