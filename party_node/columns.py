"""One column of the party's own CSV file or SQL query, as exact decimals: integers and powers of ten.

Rule 1: DuckDB reads every cell as text and the arithmetic is on integers, so that no binary float ever
stands between a file and its value; a DOUBLE column counts as its shortest decimal text.
Rule 2: DuckDB sees local files only: no network, no extensions, no settings, nothing but one SELECT.
Rule 3: no value of a cell appears in an error; a place does.
"""

from __future__ import annotations

import contextlib
import csv
import glob
import mmap
import re
import threading
from collections.abc import Iterator
from enum import IntEnum
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from protocol.encoding import MOST_DECIMALS
from protocol.errors import InputError

if TYPE_CHECKING:
    import duckdb

# DuckDB looks for a relative path in the working directory before any other (file_search_path too).
_WORKING_DIRECTORY = threading.Lock()

NUMBER = r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)(e[+-]?[0-9]{1,9})?"  # in lower case
WORDS = {"yes": 1, "true": 1, "no": 0, "false": 0}  # a ballot; likewise


class Flaw(IntEnum):
    """Why a cell is not a number that we can take.

    A WORD may be a ballot; which one is not told here, because a flaw is named in errors.
    """

    NONE = 0
    BLANK = 1
    NOT_FINITE = 2
    NOT_A_NUMBER = 3
    TOO_LONG = 4
    WORD = 5


_CELL = "lower(trim(CAST({} AS VARCHAR))) AS cell"

# Most files hold nothing but ordinary numbers: one cast, which is exact here, instead of ten steps.
_ORDINARY = """
SELECT CASE WHEN regexp_full_match(cell, '[+-]?[0-9]{1,12}([.][0-9]{0,6})?')
    THEN CAST(TRY_CAST(cell AS DECIMAL(25, 6)) * 1000000 AS BIGINT) END AS millionths
FROM chosen
"""

# The numbers below `flaw` are those of class Flaw.
_PARSE = """
WITH split AS (
    SELECT cell,
        regexp_full_match(cell, $number) AS is_number,
        split_part(ltrim(cell, '+-'), 'e', 1) AS mantissa,
        CASE WHEN contains(cell, 'e') THEN coalesce(TRY_CAST(split_part(cell, 'e', 2) AS INTEGER), 0)
            ELSE 0 END AS exponent
    FROM chosen),
joined AS (
    SELECT *, replace(mantissa, '.', '') AS padded, length(split_part(mantissa, '.', 2)) AS places
    FROM split),
figures AS (SELECT *, rtrim(padded, '0') AS digits FROM joined),
numbers AS (
    SELECT *, length(padded) - length(digits) AS zeros,
        TRY_CAST(concat(if(cell[1] = '-', '-', ''), digits) AS BIGINT) AS integer
    FROM figures)
SELECT
    CASE WHEN NOT is_number THEN list_contains($yes, cell)::BIGINT
        WHEN digits <> '' THEN coalesce(integer, 0)
        ELSE 0 END AS digits,
    if(digits = '' OR NOT is_number, 0, exponent - places + zeros) AS tens,
    CAST(CASE
        WHEN cell IS NULL OR cell = '' THEN 1
        WHEN ltrim(cell, '+-') IN ('nan', 'inf', 'infinity') THEN 2
        WHEN NOT is_number THEN if(list_contains($words, cell), 5, 3)
        WHEN integer IS NULL AND digits <> '' THEN 4
        ELSE 0 END AS TINYINT) AS flaw
FROM numbers
"""
_PARAMETERS = {"number": NUMBER, "words": list(WORDS), "yes": [word for word in WORDS if WORDS[word]]}


class Column(NamedTuple):
    """Row i holds digits[i]·10^tens[i], unless flaw[i] is a Flaw; of a WORD, digits[i] is what it means."""

    digits: NDArray[np.int64]
    tens: NDArray[np.int64]
    flaw: NDArray[np.int8]


def from_csv(path: Path, column: str) -> Column:
    """The named column of a CSV file (RFC 4180, or with semicolons or tabs; UTF-8; first row: names)."""
    names, delimiter = _header(path)
    if names.count(column) != 1:
        fault = "no" if column not in names else "more than one"
        raise InputError(f"{path}: {fault} column {column!r}", f"its columns are {', '.join(names)}")
    blank_at_end = _blank_lines(path, delimiter)
    import duckdb  # noqa: PLC0415 - a node without files starts 0.1 s sooner

    try:
        with _locked_down() as database:
            database.read_csv(
                glob.escape(str(path)),
                header=True,
                auto_detect=False,
                sep=delimiter,
                quotechar='"',
                escapechar='"',
                columns={f"c{index}": "VARCHAR" for index in range(len(names))},
            ).project(_CELL.format(f"c{names.index(column)}")).create("chosen")
            cells = _parsed(database)
    except duckdb.Error as error:
        line = re.search(r"Line: (\d+)", str(error))
        where = f"{path}, line {line[1]}" if line else str(path)
        raise InputError(f"{where}: not a regular CSV file of {len(names)} columns", _CSV_HINT) from None
    # Only in a file of one column does DuckDB take a blank line for a row.
    keep = len(cells.flaw) - (blank_at_end if len(names) == 1 else 0)
    return Column(cells.digits[:keep], cells.tens[:keep], cells.flaw[:keep])


_CSV_HINT = "it needs UTF-8 text, the same number of cells in each row, and every quote closed"


def from_query(source: str, query: str, directory: Path) -> Column:
    """The one column that `query` gives; relative paths in it start at `directory`."""
    import duckdb  # noqa: PLC0415 - as above

    try:
        statements = duckdb.extract_statements(query)
        if len(statements) != 1 or statements[0].type != duckdb.StatementType.SELECT:
            raise InputError(f"{source}: not one SELECT statement", "a query may only read")
        with _WORKING_DIRECTORY, contextlib.chdir(directory), _locked_down() as database:
            answer = database.sql(query)
            if len(answer.columns) != 1:
                names = ", ".join(answer.columns)
                raise InputError(
                    f"{source}: {len(answer.columns)} columns ({names}), expected 1", "select one"
                )
            if (typed := _typed(answer)) is not None:
                return typed
            answer.project(_CELL.format("#1")).create("chosen")
            return _parsed(database)
    except duckdb.Error as error:
        raise InputError(f"{source}: {_without_data(error)}", f"paths in it start at {directory}") from None


_INTEGERS = frozenset({"TINYINT", "SMALLINT", "INTEGER", "BIGINT", "UTINYINT", "USMALLINT", "UINTEGER"})


def _typed(answer: duckdb.DuckDBPyRelation) -> Column | None:
    """Integers and decimals of up to 64 bits need no text; None for other types, and where one is NULL."""
    kind = str(answer.types[0])
    decimal = re.fullmatch(r"DECIMAL\((\d+),(\d+)\)", kind)
    if kind not in _INTEGERS and (decimal is None or int(decimal[1]) > MOST_DECIMALS):
        return None
    scale = int(decimal[2]) if decimal else 0
    # A decimal's text has exactly `scale` places; a product could leave its type.
    cell = "replace(CAST(#1 AS VARCHAR), '.', '')" if decimal else "#1"
    digits = answer.project(f"CAST({cell} AS BIGINT) AS digits").fetchnumpy()["digits"]
    return None if np.ma.is_masked(digits) else _with_fewest_decimals(np.asarray(digits), scale)


def _without_data(error: duckdb.Error) -> str:
    """DuckDB's first line where that speaks of names and files; elsewhere it may quote a cell."""
    import duckdb  # noqa: PLC0415 - as above

    of_the_query = (
        duckdb.ParserException,
        duckdb.BinderException,
        duckdb.CatalogException,
        duckdb.IOException,
        duckdb.PermissionException,
    )
    if isinstance(error, of_the_query):
        return str(error).partition("\n")[0]
    return f"the query failed on the data ({type(error).__name__})"


@contextlib.contextmanager
def _locked_down() -> Iterator[duckdb.DuckDBPyConnection]:
    import duckdb  # noqa: PLC0415 - as above

    settings: dict[str, str | bool | int | float | list[str]] = {
        "allow_community_extensions": False,
        "autoinstall_known_extensions": False,
        "autoload_known_extensions": False,
        "temp_directory": "",  # else what does not fit in memory is written to the working directory
    }
    with duckdb.connect(":memory:", config=settings) as database:
        # In this order: without external access, only what was allowed before can be reached; not even
        # this program's own variables, which a query could otherwise name as tables.
        database.execute("SET allowed_directories = ['/']")
        database.execute("SET enable_external_access = false")
        database.execute("SET lock_configuration = true")
        yield database


def _parsed(database: duckdb.DuckDBPyConnection) -> Column:
    millionths = database.execute(_ORDINARY).fetchnumpy()["millionths"]
    if not np.ma.is_masked(millionths):  # masked: NULL, because the cell is not an ordinary number
        return _with_fewest_decimals(np.asarray(millionths), 6)
    found = database.execute(_PARSE, _PARAMETERS).fetchnumpy()
    return Column(found["digits"], found["tens"].astype(np.int64), found["flaw"])


def _with_fewest_decimals(digits: NDArray[np.int64], decimals: int) -> Column:
    while decimals and not (digits % 10).any():
        digits, decimals = digits // 10, decimals - 1
    return Column(digits, np.full(len(digits), -decimals), np.zeros(len(digits), np.int8))


def _header(path: Path) -> tuple[list[str], str]:
    """The column names and the delimiter."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            first = file.readline()
            file.seek(0)
            delimiter = max(",;\t", key=first.count)
            return next(csv.reader(file, delimiter=delimiter), []), delimiter
    except FileNotFoundError:
        raise InputError(f"{path}: no such file", "check `csv` in the configuration") from None
    except OSError as error:
        reason = (error.strerror or "unreadable").lower()
        raise InputError(f"{path}: {reason}", "the user who runs the node reads it") from None
    except UnicodeDecodeError:
        raise InputError(f"{path}: not UTF-8 text", _CSV_HINT) from None
    except csv.Error:
        raise InputError(f"{path}, row 1: not column names", _CSV_HINT) from None


def _blank_lines(path: Path, delimiter: str) -> int:
    """How many blank lines end the file; InputError where one stands between rows.

    DuckDB skips blank lines, so that later errors would name the wrong row.
    """
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        end = len(content)
        while end and content[end - 1] in b"\r\n":
            end -= 1
        line_ends = re.findall(rb"\r\n|\n|\r", content[end:])
        suspicious = any(0 <= content.find(pair) < end for pair in (b"\n\n", b"\n\r\n", b"\r\r"))
    if suspicious:  # or it is a line break within quotes
        _refuse_blank_rows(path, delimiter)
    return max(0, len(line_ends) - 1)


def _refuse_blank_rows(path: Path, delimiter: str) -> None:
    blank = None
    with path.open(encoding="utf-8", errors="replace", newline="") as file, contextlib.suppress(csv.Error):
        # What is no CSV is not judged here: DuckDB names the line.
        for number, row in enumerate(csv.reader(file, delimiter=delimiter), 1):
            if row and blank:
                raise InputError(f"{path}, row {blank}: blank", "delete the line or fill it in")
            blank = blank or (None if row else number)
