"""inputs.csv: a column `party` and one for each named input; each row becomes that party's own config.

Rule 1: a cell other than a party's name is a secret and never appears in an error.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from pathlib import Path

from protocol.errors import InputError
from protocol.names import is_name

PARTY = "party"
_INPUT_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}")  # as in a session's spec
Inputs = dict[str, dict[str, str]]  # party -> input's name -> value as it was written


def read_inputs(path: Path, parties: Sequence[str]) -> Inputs:
    """The inputs of exactly these parties.  Raises InputError naming file and row."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = csv.reader(file, strict=True)
            header = [cell.strip() for cell in next(rows, [])]
            _check_header(path, header)
            found: Inputs = {}
            for cells in rows:
                if cells:
                    _add(found, f"{path}: row {rows.line_num}", header, cells, parties)
    except OSError as error:
        raise InputError(f"{path}: {(error.strerror or 'unreadable').lower()}", "check the path") from None
    except (UnicodeDecodeError, csv.Error):
        raise InputError(f"{path}: not a CSV file in UTF-8", "save it as one") from None
    missing = [party for party in parties if party not in found]
    if missing:
        raise InputError(f"{path}: no row for {', '.join(missing)}", "each party needs exactly one row")
    return found


def _check_header(path: Path, header: list[str]) -> None:
    place = f"{path}: row 1"
    if PARTY not in header:
        raise InputError(f"{place}: no column `{PARTY}`", "the first row names the columns")
    for number, column in enumerate(header, start=1):
        if not column:
            raise InputError(f"{place}: column {number} has no name", "its name is the input's name")
        if _INPUT_NAME.fullmatch(column) is None:
            raise InputError(f"{place}: {column!r} cannot name an input", "letters, digits, _ . and - may")
        if header.count(column) > 1:
            raise InputError(f"{place}: the column {column} is there twice", "give each its own name")
    if len(header) < 2:
        raise InputError(f"{place}: no input beside `{PARTY}`", "add a column for each named input")


def _add(found: Inputs, place: str, header: list[str], cells: list[str], parties: Sequence[str]) -> None:
    if len(cells) != len(header):
        raise InputError(f"{place}: {len(cells)} cells, expected {len(header)}", "as many as in row 1")
    values = {column: cell.strip() for column, cell in zip(header, cells, strict=True)}
    party = values.pop(PARTY)
    if party not in parties:
        # Shown only if it looks like a name: a shifted row may have a value in its place.
        who = party if is_name(party) else "the party's cell"
        raise InputError(f"{place}: {who} is none of {', '.join(parties)}", "is --parties complete?")
    if party in found:
        raise InputError(f"{place}: a second row for {party}", "each party needs exactly one row")
    for column, value in values.items():
        if not value:
            raise InputError(f"{place}: column {column} is blank", "write 0 or no if that is what is meant")
    found[party] = values
