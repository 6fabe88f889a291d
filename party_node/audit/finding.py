"""What a check finds."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

MOST_NAMES = 6  # in one line


class Check(StrEnum):
    """What is checked, in this order."""

    FORMAT = "format"
    EXPORTER = "exporter"
    ANNOUNCEMENT = "announcement"
    ROSTER = "roster"
    LETTERS = "letters"
    ONE_WORD = "one word"  # nobody has signed two different letters under one address
    STATEMENTS = "statements"
    NOISE = "noise"
    BEGIN = "begin"
    JOINS = "joins"
    VIEW = "one view"
    INPUTS = "inputs"
    COMMITMENTS = "commitments"
    TRANSCRIPT = "transcript"
    RECIPIENTS = "recipients"
    RESULT = "result"
    ENDING = "ending"
    DECISION = "decision"
    LEDGER = "ledger"
    RELEASE = "release"


class Mark(StrEnum):
    """What a check has come to; the worst one of all is the verdict."""

    OK = "ok"
    NOTHING = "nothing to check"
    UNSEEN = "not seen"  # what these nodes cannot have: no flaw
    PROVEN = "proven"  # a breach of the rules for which the session was aborted
    MISSING = "missing"  # what must have been there
    FAILED = "failed"


@dataclass(frozen=True)
class Finding:
    """What one check has found.  A `fault` is somebody's breach of the protocol, as signed letters show."""

    check: Check
    mark: Mark
    text: str = ""
    culprit: str | None = None
    fault: bool = False


def failed(check: Check, text: str) -> Finding:
    """The bundle is not what it says."""
    return Finding(check, Mark.FAILED, text)


def missing(check: Check, text: str) -> Finding:
    """What the session cannot have gone on without."""
    return Finding(check, Mark.MISSING, text)


def unseen(check: Check, text: str) -> Finding:
    """What these nodes need not have seen."""
    return Finding(check, Mark.UNSEEN, text)


def fault(check: Check, text: str, culprit: str | None = None) -> Finding:
    """A breach of the protocol; no answer may rest on it."""
    return Finding(check, Mark.FAILED, text, culprit, fault=True)


def listed(names: Iterable[str]) -> str:
    """Names in words; not all of a thousand."""
    every = list(names)
    shown = (
        every
        if len(every) <= MOST_NAMES
        else [*every[: MOST_NAMES - 1], f"{len(every) - MOST_NAMES + 1} more"]
    )
    return " and ".join([", ".join(shown[:-1]), shown[-1]] if len(shown) > 1 else shown)
