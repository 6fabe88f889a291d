"""Exporting: what the journal keeps of a session that is no secret, in a file that proves itself."""

from __future__ import annotations

import time
from pathlib import Path

from party_node.audit.bundle import Booked, Bundle, Content, Decided, Ended, Noted
from party_node.config import NodeConfig
from party_node.identity import load_identity
from party_node.journal import EVIDENCE, Decision, Journal, SessionRow
from party_node.ledger import Entry
from party_node.views import find, open_journal
from protocol.errors import SottoError
from protocol.letters import parse
from protocol.messages import RefusalCode, printable

# Why an input could not be used, and that it is the same as last time, are for its owner alone.
UNTOLD = (RefusalCode.INPUT, RefusalCode.DIFFERENCING)


def export(config: NodeConfig, prefix: str, out: Path | None) -> Path:
    """Write the bundle of one session, beside the running node; an existing file is never overwritten."""
    key = load_identity(config.identity_key)
    journal = open_journal(config)
    try:
        row = find(journal.sessions(), prefix)
        found = content(config.name, journal, row, round(time.time() * 1000))
    finally:
        journal.close()
    path = Path(f"sotto-audit-{row.id[:12]}-{config.name}.json") if out is None else out
    _write(path, Bundle.sign(found, key).encode())
    return path


def content(me: str, journal: Journal, row: SessionRow, now: int) -> Content:
    """What the journal can show; SottoError once the evidence is deleted."""
    noted = journal.releases.of(row.id)
    return Content(
        exporter=me,
        exported=now,
        announce=row.announce,
        letters=_letters(journal, row),
        decision=_decided(journal.decision(row.id)),
        ended=_ended(row),
        ledger=tuple(_booked(entry, journal) for entry in journal.ledger.of(row.id)),
        release=None if noted is None else Noted(**{key: getattr(noted, key) for key in Noted.model_fields}),
    )


def _letters(journal: Journal, row: SessionRow) -> tuple[bytes, ...]:
    if row.ended is None:
        own = [sent.payload for sent in journal.outbox(row.id)]
        every = [*own, *(payload for _, payload in journal.arrivals(row.id))]
        return tuple(each for each in every if each and parse(each).header.step in EVIDENCE)
    if letters := journal.evidence(row.id):
        return tuple(letters)
    raise SottoError(
        f"the evidence of session {row.id[:12]} is deleted, or was never ours",
        "keep_evidence in the config says for how many seconds after the end a journal keeps it",
    )


def _decided(found: Decision | None) -> Decided | None:
    if found is None:
        return None
    code = RefusalCode(found.code) if found.code else None
    detail = "" if code in UNTOLD else printable(found.detail)
    return Decided(made=found.made.value, by=found.by.value, code=code, detail=detail, at=found.at)


def _ended(row: SessionRow) -> Ended | None:
    if row.outcome is None or row.ended is None:
        return None
    ending = row.outcome.ending
    return Ended(
        state=row.outcome.state,
        inputs=row.outcome.inputs,
        unconfirmed=row.outcome.unconfirmed,
        reason=None if ending is None else ending.reason,
        silent=() if ending is None else ending.silent,
        culprit=None if ending is None else ending.culprit,
        reported_by=None if ending is None else ending.reported_by,
        at=row.ended,
    )


def _booked(entry: Entry, journal: Journal) -> Booked:
    before = journal.ledger.before(entry.number)
    return Booked(
        before=before, **{key: getattr(entry, key) for key in Booked.model_fields if key != "before"}
    )


def _write(path: Path, raw: bytes) -> None:
    try:
        with path.open("xb") as file:
            file.write(raw)
    except FileExistsError:
        raise SottoError(f"{path}: exists already", "name another file with --out") from None
    except OSError as error:
        raise SottoError(
            f"{path}: {(error.strerror or 'not writable').lower()}", "name another with --out"
        ) from None
