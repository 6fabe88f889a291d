"""`party-node doctor`: everything that a session needs is tried, and each time it says what it found.

Unlike `check` it does not stop at the first problem, and a running node does not notice: the journal is only
read, and the broker sees one more connection under a random id.  No input's value is shown.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

from party_node import anchor, certificates, inputs, ledger, pins
from party_node.anchor import Anchor
from party_node.config import InputSource, NodeConfig, load_node
from party_node.daemon import JOURNAL, checked_roster
from party_node.database import Database
from party_node.journal import SCHEMA_VERSION
from party_node.operations import beside, clock, reach
from party_node.operations.beside import Taken, UnreadableError
from party_node.operations.findings import Finding, Verdict, ok, tried, wrong
from party_node.operations.health import LEAST_ROOM
from party_node.operations.reach import Kept
from party_node.roster import Roster, fingerprint
from party_node.times import utc
from party_node.transport import ONLINE
from protocol.errors import ConfigError, SottoError
from protocol.membership import describe

PLENTY = 1 << 30  # bytes


def run(path: Path) -> Iterator[Finding]:
    """What there is to say, as it is found out; of a config that cannot be read, only that."""
    try:
        config = load_node(path)
    except SottoError as error:
        yield wrong("config", error)
        return
    yield ok("config", f"{path} of {config.name}")
    roster = Roster({}, {})
    try:
        roster = checked_roster(config)
        yield ok("identity", f"{fingerprint(roster.identity(config.name) or b'')}, as in {config.roster}")
    except SottoError as error:
        yield wrong("identity", error)
    yield from _strangers(roster)
    yield from _certificates(config)
    kept = Kept()
    yield from asyncio.run(reach.examine(config, kept))
    yield from _disk(config.data_dir)
    past = _Past()
    yield from _journal(config.data_dir / JOURNAL, past)
    yield clock.judge(clock.delays(kept.announcements, past.sessions, roster), clock.synchronised())
    for name, source in config.inputs.items():
        yield _input(config, name, source)
    yield from _parties(config.name, roster, kept, past.seen)


class _Past:
    """What the journal knows of others."""

    def __init__(self) -> None:
        self.sessions: list[Taken] = []
        self.seen: dict[str, int] = {}  # party → Unix milliseconds


def _strangers(roster: Roster) -> Iterator[Finding]:
    """Who stands in the roster and is not believed."""
    for name in roster.changed:
        hint = pins.remedy(roster, name, "party-node")
        yield Finding("roster", Verdict.WRONG, f"{name} {roster.objection(name)}", hint)
    for name in roster.revoked:
        yield ok("roster", f"{name} {roster.objection(name)}, refused everywhere")


def _certificates(config: NodeConfig) -> Iterator[Finding]:
    check = "certificate"
    now = dt.datetime.now(dt.UTC)
    try:
        ours = certificates.own(config)
        concerns = list(certificates.concerns(config, now))
    except SottoError as error:
        yield wrong(check, error)
        return
    for found in concerns:
        verdict = Verdict.WARNING if found.usable else Verdict.WRONG
        yield Finding(check, verdict, found.message, found.hint)
    if not concerns:
        yield ok(
            check, f"{config.broker.certificate} for {config.name}, until {ours.not_valid_after_utc:%Y-%m-%d}"
        )


def _disk(data_dir: Path) -> Iterator[Finding]:
    check = "disk"
    try:
        room = shutil.disk_usage(data_dir).free
    except FileNotFoundError:
        yield Finding(
            check, Verdict.WARNING, f"{data_dir}: not there yet", "the node makes it when it starts"
        )
        return
    except OSError as error:
        problem = f"{data_dir}: {(error.strerror or 'cannot be used').lower()}"
        yield wrong(check, ConfigError(problem, "the user who runs the node must be its owner"))
        return
    found = f"{room >> 20} MiB left for {data_dir}"
    verdict = Verdict.WRONG if room < LEAST_ROOM else Verdict.WARNING if room < PLENTY else Verdict.OK
    yield Finding(
        check, verdict, found, "" if verdict is Verdict.OK else "make room: a full disk ends the node"
    )


def _journal(path: Path, past: _Past) -> Iterator[Finding]:
    """The file's own structure, and the ledger in it; what it knows of others is put into `past`."""
    if not path.exists():
        yield ok("journal", "none yet")
        if lost := ledger.missing(path, Anchor(path.with_name(anchor.FILE))):
            yield wrong("ledger", lost)
        return
    try:
        with beside.reading(path) as database:
            yield _intact(database, path)
            yield tried("ledger", lambda: _ledger(database))
            past.sessions = beside.sessions(database)
            past.seen = beside.last_seen(database)
    except UnreadableError as error:
        yield wrong("journal", error)


def _intact(database: Database, path: Path) -> Finding:
    (version,) = database.execute("PRAGMA user_version").fetchone()
    if version != SCHEMA_VERSION:
        problem = f"version {version}, this program writes version {SCHEMA_VERSION}"
        raise UnreadableError(path, problem, "run the version of the program that wrote it")
    (problem,) = database.execute("PRAGMA quick_check(1)").fetchone()
    if problem != "ok":
        raise UnreadableError(path, problem.partition("\n")[0])
    (count,) = database.execute("SELECT count(*) FROM session").fetchone()
    return ok("journal", f"intact, {count} sessions, {path.stat().st_size >> 10} KiB")


def _ledger(database: Database) -> str:
    found = beside.ledger(database)
    if flaw := found.flaw():
        raise flaw
    return f"{found.tip().length} entries, as anchored"


def _input(config: NodeConfig, name: str, source: InputSource) -> Finding:
    def look() -> str:
        value = inputs.load(name, source, config.directory)
        return "one ballot" if value.ballot else describe(value.units.shape)

    return tried(f"input {name}", look)


def _parties(me: str, roster: Roster, kept: Kept, seen: Mapping[str, int]) -> Iterator[Finding]:
    """Who is there now, as the broker says, and who was, as our journal knows; nothing of it is wrong."""
    for name in roster.parties:
        check = "this node" if name == me else f"party {name}"
        last = "" if name == me else f", {_last(seen.get(name))}"
        if not kept.complete:
            yield Finding(check, Verdict.UNKNOWN, f"the broker could not be asked{last}")
        elif kept.statuses.get(name) == ONLINE:
            yield ok(check, f"online{last}")
        else:
            now = "offline" if name in kept.statuses else "the broker has never seen it"
            hint = "`party-node run` starts it" if name == me else "sessions wait for it; ask who runs it"
            yield Finding(check, Verdict.WARNING, f"{now}{last}", hint)


def _last(seen: int | None) -> str:
    if seen is None:
        return "no session in the journal knows of it"
    return f"last heard {utc(seen)}"
