"""What `party-node doctor` finds: one line for each thing it has looked at, and what to do about it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from enum import StrEnum

from protocol.errors import SottoError


class Verdict(StrEnum):
    """How bad it is.  Only what is wrong makes the command fail."""

    OK = "ok"
    WARNING = "warning"  # works, and somebody should look
    WRONG = "wrong"
    UNKNOWN = "unknown"  # not measured


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at."""

    check: str
    verdict: Verdict
    found: str
    hint: str = ""

    def view(self) -> dict[str, str]:
        """As JSON shows it."""
        return {key: str(value) for key, value in asdict(self).items()}

    def lines(self) -> list[str]:
        """As people read it."""
        shown = [f"{self.verdict:8} {self.check}: {self.found}"]
        return [*shown, f"{'':8} {'':{len(self.check)}}  {self.hint}"] if self.hint else shown


def ok(check: str, found: str) -> Finding:
    """All is well."""
    return Finding(check, Verdict.OK, found)


def wrong(check: str, error: SottoError) -> Finding:
    """An error says itself what to do."""
    return Finding(check, Verdict.WRONG, error.message, error.hint)


def tried(check: str, look: Callable[[], str]) -> Finding:
    """Look, and turn an error into a finding."""
    try:
        return ok(check, look())
    except SottoError as error:
        return wrong(check, error)
