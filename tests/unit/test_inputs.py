"""An input is read exactly, or refused with its place; no value is ever in an error."""

import functools
import os
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import duckdb
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from party_node import columns
from party_node.config import InputSource
from party_node.inputs import load
from protocol.encoding import Exact, ballot
from protocol.errors import InputError
from protocol.ring import Ring

DECIMALS = st.builds(
    lambda digits, places: Decimal(digits).scaleb(-places),
    st.integers(-(10**9), 10**9),
    st.integers(0, 9),
)


def literal(value: bool | str | int | tuple[str | int, ...]) -> Exact:
    return load("raise", InputSource(value=value), Path("/"))


def query(sql: str, directory: Path) -> Exact:
    return load("raise", InputSource(query=sql), directory)


def csv(directory: Path, content: str | bytes, column: str = "pay") -> Exact:
    path = directory / "staff.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return load("raise", InputSource(csv=path, column=column), directory)


def decimals(exact: Exact) -> list[Decimal]:
    return [Decimal(int(units)).scaleb(-exact.scale) for units in exact.units.reshape(-1)]


def fewest_places(values: list[Decimal]) -> int:
    exponents = [value.normalize().as_tuple().exponent for value in values if value]
    return max([0, *(-exponent for exponent in exponents if isinstance(exponent, int))])


def complaint(read: Callable[[], Exact | Ring]) -> tuple[str, str]:
    with pytest.raises(InputError) as caught:
        read()
    return caught.value.message, caught.value.hint


# --- exact, whatever the way in ---


@given(DECIMALS)
def test_a_literal_is_exactly_its_decimal(value: Decimal) -> None:
    for text in (str(value), f"{value:f}", f" {value:E} "):
        exact = literal(text)
        assert exact.units.shape == ()
        assert exact.units.dtype == np.int64
        assert decimals(exact) == [value]
        assert exact.scale == fewest_places([value])


@given(st.lists(DECIMALS, min_size=1, max_size=20))
def test_a_list_is_a_vector_on_the_smallest_common_scale(values: list[Decimal]) -> None:
    exact = literal(tuple(str(value) for value in values))
    assert exact.units.shape == (len(values),)
    assert decimals(exact) == values
    assert exact.scale == fewest_places(values)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(values=st.lists(DECIMALS, min_size=2, max_size=20), form=st.sampled_from(["f", "E", "+f"]))
def test_a_csv_column_is_exactly_its_decimals(tmp_path: Path, values: list[Decimal], form: str) -> None:
    exact = csv(tmp_path, "id,pay\n" + "".join(f"x,{value:{form}}\n" for value in values))
    assert decimals(exact) == values
    assert exact.scale == fewest_places(values)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(values=st.lists(st.floats(-1e6, 1e6).map(lambda number: round(number, 9)), min_size=2, max_size=20))
def test_a_double_in_parquet_counts_as_its_shortest_decimal(tmp_path: Path, values: list[float]) -> None:
    rows = ", ".join(f"({value!r}::DOUBLE)" for value in values)
    file = tmp_path / "f.parquet"
    duckdb.execute(f"COPY (SELECT pay FROM (VALUES {rows}) AS t(pay)) TO '{file}'")
    assert decimals(query("SELECT pay FROM 'f.parquet'", tmp_path)) == [
        Decimal(repr(value)) for value in values
    ]


@pytest.mark.parametrize(
    "kind", ["TINYINT", "UBIGINT", "HUGEINT", "FLOAT", "DOUBLE", "DECIMAL(18,2)", "DECIMAL(38,20)"]
)
def test_every_numeric_type_of_parquet_is_read(tmp_path: Path, kind: str) -> None:
    file = tmp_path / "f.parquet"
    duckdb.execute(f"COPY (SELECT unnest([1, 100, 25])::{kind} AS pay) TO '{file}'")
    exact = query("SELECT pay FROM 'f.parquet'", tmp_path)
    assert (exact.units.tolist(), exact.scale) == ([1, 100, 25], 0)


def test_a_float_of_32_bits_counts_as_its_own_shortest_decimal(tmp_path: Path) -> None:
    exact = query("SELECT unnest([0.1, 1e-7])::FLOAT", tmp_path)
    assert decimals(exact) == [Decimal("0.1"), Decimal("0.0000001")]


@pytest.mark.parametrize(
    ("text", "units", "scale"),
    [
        ("9223372036854775807", 2**63 - 1, 0),
        ("-9223372036854775807", -(2**63) + 1, 0),
        ("9.223372036854775807", 2**63 - 1, 18),
        ("0.000000000000000001", 1, 18),
        ("0.1000000000000000000000000000", 1, 1),
        ("000000000000000000000000000001", 1, 0),
        ("1000e-20", 1, 17),
        ("1200E-2", 12, 0),
        ("5e18", 5 * 10**18, 0),
        ("0e999", 0, 0),
        ("-0.0", 0, 0),
        ("5.", 5, 0),
        (".5", 5, 1),
        ("+5", 5, 0),
        ("100000000000000000000e-20", 1, 0),
    ],
)
def test_the_edges_of_64_bits_and_18_decimals_are_exact(
    tmp_path: Path, text: str, units: int, scale: int
) -> None:
    for exact in (literal(text), csv(tmp_path, f"pay\n{text}\n")):
        assert (exact.units.tolist(), exact.scale) == (units, scale)


def test_a_whole_number_of_toml_is_a_literal() -> None:
    assert decimals(literal(3800)) == [Decimal(3800)]
    assert decimals(literal((1, "2.5"))) == [Decimal(1), Decimal("2.5")]


def test_a_million_rows_keep_their_order(tmp_path: Path) -> None:
    duckdb.execute(f"COPY (SELECT range / 8 AS pay FROM range(1000000)) TO '{tmp_path / 'f.csv'}' (HEADER)")
    expected = np.arange(1_000_000) * 125
    from_csv = load("raise", InputSource(csv=tmp_path / "f.csv", column="pay"), tmp_path)
    assert np.array_equal(from_csv.units, expected)
    backwards = query("SELECT pay FROM 'f.csv' ORDER BY pay DESC", tmp_path)
    assert np.array_equal(backwards.units, expected[::-1])
    assert from_csv.scale == backwards.scale == 3


# --- shapes and places ---


def test_one_row_is_a_scalar_and_two_are_a_vector(tmp_path: Path) -> None:
    assert csv(tmp_path, "pay\n3800\n").units.shape == ()
    assert csv(tmp_path, "pay\n3800\n2514\n").units.shape == (2,)
    assert query("SELECT 3800", tmp_path).units.shape == ()
    assert query("SELECT unnest([1, 2])", tmp_path).units.shape == (2,)


def test_later_errors_can_name_the_place(tmp_path: Path) -> None:
    vector = csv(tmp_path, "pay\n3800\n2514\n")
    assert vector.place(1) == f"{tmp_path / 'staff.csv'}, column pay, row 3"
    assert literal(("1", "2")).place(1) == "input raise, element 2"
    assert literal("1").place(0) == "input raise"
    assert query("SELECT unnest([1, 2])", tmp_path).place(1) == "input raise, query, row 2"


@pytest.mark.parametrize(
    "content",
    [
        "id;pay\n1;5\n2;6\n",
        "id\tpay\n1\t5\n2\t6\n",
        "id,pay\r\n1,5\r\n2,6\r\n",
        "id,pay\n1,5\n2,6",
        "id,pay\n1,5\n2,6\n\n\n",
        "pay\n5\n6\n",
        "pay\n5\n6\n\n\n",
        "pay\r\n5\r\n6\r\n\r\n",
        "\ufeffpay,id\n5,1\n6,2\n",
        'id,pay\n1,"5"\n"2\n\n",6\n',
        'id," pay",pay\n1,0,5\n1,0, 6 \n',
    ],
)
def test_the_usual_kinds_of_csv_are_read(tmp_path: Path, content: str) -> None:
    assert csv(tmp_path, content).units.tolist() == [5, 6]


def test_a_file_whose_name_looks_like_a_pattern_is_that_file(tmp_path: Path) -> None:
    (tmp_path / "a[1]*.csv").write_text("pay\n1\n")
    (tmp_path / "a1.csv").write_text("pay\n2\n")
    source = InputSource(csv=tmp_path / "a[1]*.csv", column="pay")
    assert load("raise", source, tmp_path).units.tolist() == 1


# --- bad values, each with its row and without the value ---

BAD = [
    ("", "blank"),
    ("  ", "blank"),
    ("NaN", "not a finite number"),
    ("-nan", "not a finite number"),
    ("inf", "not a finite number"),
    ("-Infinity", "not a finite number"),
    ("abc", "not a number"),
    ("3 800", "not a number"),
    ("3_800", "not a number"),
    ("0x3800", "not a number"),
    ("3800.0.0", "not a number"),
    ("--3800", "not a number"),
    ("1e", "not a number"),
    (".", "not a number"),
    ("€3800", "not a number"),
    ("٣٨٠٠", "not a number"),
    ("1e9999999999", "not a number"),
    ("0.000000000000000003800", "more than 18 decimals"),
    ("3800e-22", "more than 18 decimals"),
    ("9223372036854775808", "too many digits for 64 bits"),
    ("-9223372036854775809", "too many digits for 64 bits"),
    ("3800380038003800380038", "too many digits for 64 bits"),
    ("3800e20", "too large for 64 bits with 0 decimals"),
]


@pytest.mark.parametrize(("text", "problem"), BAD)
def test_a_bad_literal_is_refused_without_its_value(text: str, problem: str) -> None:
    message, hint = complaint(lambda: literal(text))
    assert message == f"input raise: {problem}"
    assert complaint(lambda: literal(("1", text)))[0] == f"input raise, element 2: {problem}"
    assert hint
    assert "3800" not in message


@pytest.mark.parametrize(("text", "problem"), BAD)
def test_a_bad_cell_is_refused_with_its_row_and_column(tmp_path: Path, text: str, problem: str) -> None:
    message, hint = complaint(lambda: csv(tmp_path, f"id,pay\n1,5\n2,{text}\n3,6\n"))
    assert message == f"{tmp_path / 'staff.csv'}, column pay, row 3: {problem}"
    assert "3800" not in message + hint.replace("3171.50", "")


def test_values_that_share_no_scale_are_refused(tmp_path: Path) -> None:
    message, hint = complaint(lambda: literal(("0.001", "9000000000000000000")))
    assert message == "input raise, element 2: too large for 64 bits with 3 decimals"
    assert "one scale" in hint


@pytest.mark.parametrize(
    ("sql", "problem"),
    [
        ("SELECT unnest([1, NULL])", "row 2: blank"),
        ("SELECT unnest([1, 'NaN'::DOUBLE])", "row 2: not a finite number"),
        ("SELECT unnest([1, '-inf'::DOUBLE])", "row 2: not a finite number"),
        ("SELECT unnest([1, 1e300])", "row 2: too large for 64 bits with 0 decimals"),
        ("SELECT unnest([1, 1e-300])", "row 2: more than 18 decimals"),
        ("SELECT unnest(['1', 'one'])", "row 2: not a number"),
        ("SELECT unnest([true, false])", "row 1: not a number"),
        ("SELECT unnest([DATE '2025-01-01', DATE '2025-01-02'])", "row 1: not a number"),
    ],
)
def test_a_bad_row_of_a_query_is_refused_with_its_number(tmp_path: Path, sql: str, problem: str) -> None:
    assert complaint(lambda: query(sql, tmp_path))[0] == f"input raise, query, {problem}"


# --- ballots ---

WORDS = [("yes", 1), ("Yes", 1), (" NO ", 0), ("TRUE", 1), ("tRue ", 1), ("no", 0), ("False", 0)]
NUMBERS = [("1", 1), ("0", 0), (" 1 ", 1), ("1.00", 1), ("0.0", 0), ("-0", 0), ("10e-1", 1)]


def ways_in(directory: Path, text: str) -> list[Exact]:
    """One cell as a literal, in a CSV file of one column and of two, and as VARCHAR from a query."""
    return [
        literal(text),
        csv(directory, f"pay\n{text}\n"),
        csv(directory, f"id,pay\n7,{text}\n"),
        query(f"SELECT '{text}'", directory),
    ]


@pytest.mark.parametrize(("text", "meant"), WORDS)
def test_a_word_is_a_ballot_whatever_the_way_in(tmp_path: Path, text: str, meant: int) -> None:
    for exact in ways_in(tmp_path, text):
        assert exact.ballot
        assert exact.units.shape == ()
        assert exact.units.dtype == np.int64
        assert exact.scale == 0
        assert int(ballot(exact)) == int(exact.units) == meant


@pytest.mark.parametrize(("text", "meant"), NUMBERS)
def test_one_and_zero_can_be_a_ballot_and_are_numbers(tmp_path: Path, text: str, meant: int) -> None:
    for exact in ways_in(tmp_path, text):
        assert not exact.ballot
        assert int(ballot(exact)) == meant


@pytest.mark.parametrize("answer", [True, False])
def test_a_boolean_of_toml_is_a_ballot(answer: bool) -> None:
    exact = literal(answer)
    assert exact.ballot
    assert int(ballot(exact)) == answer


@pytest.mark.parametrize(
    ("sql", "meant"),
    [
        ("SELECT true", 1),
        ("SELECT count(*) > 2 FROM range(2)", 0),
        ("SELECT for_it FROM (VALUES (7, true)) AS t(id, for_it)", 1),
        ("SELECT 'No'::ENUM('Yes', 'No')", 0),
    ],
)
def test_a_boolean_column_of_a_query_is_a_ballot(tmp_path: Path, sql: str, meant: int) -> None:
    exact = query(sql, tmp_path)
    assert exact.ballot
    assert int(ballot(exact)) == meant


def test_a_boolean_in_parquet_is_a_ballot(tmp_path: Path) -> None:
    duckdb.execute(f"COPY (SELECT true AS merge) TO '{tmp_path / 'f.parquet'}'")
    assert query("SELECT merge FROM 'f.parquet'", tmp_path).ballot


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("maybe", "not a number"),
        ("y", "not a number"),
        ("n", "not a number"),
        ("t", "not a number"),
        ("on", "not a number"),
        ("yes.", "not a number"),
        ("+yes", "not a number"),
        ("yes no", "not a number"),
        ("no e1", "not a number"),
        ("", "blank"),
        ("  ", "blank"),
    ],
)
def test_what_is_no_ballot_is_refused_with_its_place(tmp_path: Path, text: str, problem: str) -> None:
    file = tmp_path / "staff.csv"
    for read, place in (
        (lambda: literal(text), "input raise"),
        (lambda: csv(tmp_path, f"id,pay\n7,{text}\n"), f"{file}, column pay"),
        (lambda: query(f"SELECT '{text}'", tmp_path), "input raise, query"),
    ):
        message, hint = complaint(read)
        assert message == f"{place}: {problem}"
        assert problem == "blank" or hint.endswith("a ballot: yes, true, no, false")


@pytest.mark.parametrize("number", ["2", "-1", "0.5", "1.000000000000000001", "1e18", "9223372036854775807"])
def test_another_number_is_no_ballot(tmp_path: Path, number: str) -> None:
    for exact in ways_in(tmp_path, number):
        message, hint = complaint(functools.partial(ballot, exact))
        assert message == f"{exact.source}: a number other than 1 and 0, a vote takes a ballot"
        assert hint == "write yes or no, true or false, 1 or 0"


def test_a_null_is_no_ballot(tmp_path: Path) -> None:
    assert complaint(lambda: query("SELECT NULL::BOOLEAN", tmp_path))[0] == "input raise, query: blank"
    assert complaint(lambda: query("SELECT NULL", tmp_path))[0] == "input raise, query: blank"


@pytest.mark.parametrize("word", [word for word, _ in WORDS])
def test_a_word_in_a_vector_is_refused_with_its_row(tmp_path: Path, word: str) -> None:
    for read, place in (
        (lambda: literal(("1", word)), "input raise, element 2"),
        (lambda: literal((word,)), "input raise, element 1"),
        (lambda: csv(tmp_path, f"pay\n1\n{word}\n"), f"{tmp_path / 'staff.csv'}, column pay, row 3"),
        (lambda: csv(tmp_path, f"pay\n{word}\n{word}\n"), f"{tmp_path / 'staff.csv'}, column pay, row 2"),
        (lambda: query(f"SELECT unnest(['0', '{word}'])", tmp_path), "input raise, query, row 2"),
    ):
        message, hint = complaint(read)
        assert message == f"{place}: not a number"
        # The same for every word: neither tells which one it was.
        assert hint == "a yes or no stands alone: in a list or a longer column all are numbers"


def test_two_rows_are_no_ballot_and_are_counted(tmp_path: Path) -> None:
    message, _ = complaint(lambda: ballot(csv(tmp_path, "pay\n1\n0\n")))
    assert message == f"{tmp_path / 'staff.csv'}, column pay: 2 rows, a vote takes one ballot"


def test_a_ballot_shows_its_shape_alone() -> None:
    assert repr(literal("yes")) == repr(literal("no")) == "Exact(<redacted>, shape=())"


# --- bad files ---


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    source = InputSource(csv=tmp_path / "nothing.csv", column="pay")
    message, _ = complaint(lambda: load("raise", source, tmp_path))
    assert message == f"{tmp_path / 'nothing.csv'}: no such file"


def test_a_missing_column_lists_those_that_are_there(tmp_path: Path) -> None:
    message, hint = complaint(lambda: csv(tmp_path, "id,salary\n1,2\n"))
    assert message == f"{tmp_path / 'staff.csv'}: no column 'pay'"
    assert hint == "its columns are id, salary"


def test_a_column_name_that_stands_twice_is_refused(tmp_path: Path) -> None:
    assert complaint(lambda: csv(tmp_path, "pay,pay\n1,2\n"))[0].endswith(": more than one column 'pay'")


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("id,pay\n", ", column pay: no rows"),
        ("id,pay", ", column pay: no rows"),
        ("id,pay\n1,5\n\n2,6\n", ", row 3: blank"),
        ("pay\n1\n\n6\n", ", row 3: blank"),
        ("pay\r\n1\r\n\r\n6\r\n", ", row 3: blank"),
        ("\n\npay\n1\n", ": no column 'pay'"),
        ("", ": no column 'pay'"),
        ("id,pay\n1,5\n3800\n", ", line 3: not a regular CSV file of 2 columns"),
        ("id,pay\n1,5\n2,3800,1\n", ", line 3: not a regular CSV file of 2 columns"),
        ('pay\n"3800\n', ", line 2: not a regular CSV file of 1 columns"),
        (b"pay\n\xe93800\n1\n", ": not UTF-8 text"),
        (b"pay\n" + b"1\n" * 200_000 + b"\xe93800\n", ", line 200002: not a regular CSV file of 1 columns"),
        (b"p\xe9y\n3800\n", ": not UTF-8 text"),
        ("id,pay\n1,5\n\n" + '"' + "3800\n" * 40_000, ", line 4: not a regular CSV file of 2 columns"),
    ],
)
def test_a_csv_file_that_is_not_regular_is_refused(
    tmp_path: Path, content: str | bytes, problem: str
) -> None:
    message, hint = complaint(lambda: csv(tmp_path, content))
    assert message == f"{tmp_path / 'staff.csv'}{problem}"
    assert "3800" not in message + hint


# --- queries: over local files, exactly one column, and nothing else ---


def test_relative_paths_in_a_query_start_at_the_given_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (("elsewhere", 666), ("here", 7)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "f.csv").write_text(f"pay\n{value}\n")
    monkeypatch.chdir(tmp_path / "elsewhere")
    for path in ("f.csv", "./f.csv", "../here/f.csv", f"{tmp_path}/here/f.csv"):
        assert query(f"SELECT pay FROM '{path}'", tmp_path / "here").units.tolist() == 7
    assert Path.cwd() == tmp_path / "elsewhere"


@pytest.mark.parametrize(
    ("sql", "problem"),
    [
        ("SELECT 1, 2 AS b", "2 columns"),
        ("SELECT 1 WHERE false", "no rows"),
        ("SELECT pay FROM 'nothing.parquet'", "No files found that match"),
        ("SELECT pay FROM nothing", "Table with name nothing does not exist"),
        ("SELECT payy FROM (SELECT 1 AS pay)", 'Referenced column "payy" not found'),
        ("SELCT 1", 'syntax error at or near "SELCT"'),
        ("", "not one SELECT statement"),
        ("SELECT 1; SELECT 2", "not one SELECT statement"),
    ],
)
def test_a_query_without_an_answer_is_refused_in_one_line(tmp_path: Path, sql: str, problem: str) -> None:
    message, _ = complaint(lambda: query(sql, tmp_path))
    assert message.startswith("input raise, query: ")
    assert problem in message
    assert "\n" not in message


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT CAST('3800x' AS INTEGER)",
        "SELECT CAST(pay AS INTEGER) FROM (VALUES ('3800x')) AS t(pay)",
        "SELECT error('3800')",
        "SELECT 3800::TINYINT",
    ],
)
def test_a_query_that_fails_on_a_value_does_not_repeat_it(tmp_path: Path, sql: str) -> None:
    message, hint = complaint(lambda: query(sql, tmp_path))
    assert message.startswith("input raise, query: the query failed on the data (")
    assert "3800" not in message + hint


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT pay FROM 'https://example.org/f.parquet'",
        "SELECT pay FROM 's3://example/f.parquet'",
        "INSTALL httpfs",
        "LOAD httpfs",
        "ATTACH 'other.db'",
        "COPY (SELECT 1) TO 'stolen.csv'",
        "CREATE TABLE t AS SELECT 1",
        "SET enable_external_access = true",
        "SELECT 1; COPY (SELECT 1) TO 'stolen.csv'",
        "PRAGMA version",
        "SELECT pay FROM python_variable",
    ],
)
def test_a_query_reads_local_files_and_does_nothing_else(tmp_path: Path, sql: str) -> None:
    python_variable = {"pay": np.array([1])}
    assert python_variable
    complaint(lambda: query(sql, tmp_path))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("scheme", ["https", "s3"])
def test_a_query_over_the_network_is_stopped_before_it_leaves(tmp_path: Path, scheme: str) -> None:
    message, _ = complaint(lambda: query(f"SELECT pay FROM '{scheme}://example.org/f.parquet'", tmp_path))
    assert message.endswith("file system operations are disabled by configuration")


def test_the_database_neither_fetches_extensions_nor_writes_temporary_files() -> None:
    with columns._locked_down() as database:
        for setting, value in (
            ("allow_community_extensions", False),
            ("autoinstall_known_extensions", False),
            ("autoload_known_extensions", False),
            ("temp_directory", ""),
        ):
            assert database.execute("SELECT current_setting(?)", [setting]).fetchone() == (value,)


def test_the_settings_of_the_database_are_locked() -> None:
    with columns._locked_down() as database:
        for setting in ("enable_external_access = true", "autoload_known_extensions = true", "threads = 1"):
            with pytest.raises(duckdb.Error):
                database.execute(f"SET {setting}")
        with pytest.raises(duckdb.Error):
            database.execute("LOAD httpfs")


def test_a_file_that_we_may_not_read_is_refused(tmp_path: Path) -> None:
    source = InputSource(csv=tmp_path, column="pay")
    assert complaint(lambda: load("raise", source, tmp_path))[0] == f"{tmp_path}: is a directory"


def test_the_shape_shown_of_an_input_is_all_that_is_shown() -> None:
    assert repr(literal("3800")) == "Exact(<redacted>, shape=())"
    assert os.linesep not in repr(literal(("1", "2")))


@pytest.mark.parametrize(
    ("query", "units", "scale"),
    [
        ("SELECT 123456789012345678::BIGINT AS v", 123456789012345678, 0),
        ("SELECT (-128)::TINYINT AS v", -128, 0),
        ("SELECT 99999999999999.9999::DECIMAL(18,4) AS v", 999999999999999999, 4),
        ("SELECT -0.0001::DECIMAL(18,4) AS v", -1, 4),
        ("SELECT -0.123456789012345678::DECIMAL(18,18) AS v", -123456789012345678, 18),
        ("SELECT 1.50::DECIMAL(9,2) AS v", 15, 1),
    ],
)
def test_typed_columns_are_exact_without_passing_through_text(
    query: str, units: int, scale: int, tmp_path: Path
) -> None:
    value = load("x", InputSource(query=query), tmp_path)
    assert (int(value.units), value.scale) == (units, scale)


def test_a_null_among_integers_is_refused_with_its_row(tmp_path: Path) -> None:
    query = "SELECT v FROM (VALUES (1), (NULL), (3)) AS t(v)"
    with pytest.raises(InputError, match="row 2: blank"):
        load("x", InputSource(query=query), tmp_path)
