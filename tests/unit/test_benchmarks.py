"""The benchmark's table shows every figure and every failure, and the peer really adds up."""

import time
from io import StringIO

import pytest
from rich.console import Console

from benchmarks import mpyc_peer
from benchmarks.deadline import deadline
from benchmarks.floor import tls_transfer_seconds
from benchmarks.measurement import BenchmarkError, Measurement, merge
from benchmarks.mpyc_party import party_input
from benchmarks.report import HEADINGS, Failure, Row, cells, markdown, rich_table
from benchmarks.side_by_side import Case, System, run_case

SOTTO = Measurement([0.03, 0.01, 0.02], cold_s=1.5, bytes_per_party=2048, peak_memory_mb=61.2)
MPYC = Measurement([0.002], cold_s=0.5, bytes_per_party=92, peak_memory_mb=46)
CASE = Case(n=3, length=None, rounds=2, repetitions=1, limit_s=10)


def system(measured: Measurement) -> System:
    return System(lambda _n, _times: measured, lambda _n, _length, _times: measured)


def test_a_row_shows_both_systems_under_their_headings() -> None:
    shown = dict(zip(HEADINGS, cells(Row("sum", SOTTO, MPYC, 0.0005)), strict=True))
    assert shown == {
        "case": "sum",
        "Sotto launch→result": "20.0 ms",
        "MPyC input→output": "2.00 ms",
        "MPyC / Sotto": "0.10",
        "bare TLS floor": "0.50 ms",
        "Sotto cold": "1.50 s",
        "MPyC cold": "500 ms",
        "bytes a party, Sotto / MPyC": "2.0 kB / 92 B",
        "peak MiB, Sotto / MPyC": "61 / 46",
    }


def test_a_failed_system_is_shown_with_its_reason() -> None:
    shown = cells(Row("sum", SOTTO, Failure("no result within 5 s"), 0.0005))
    assert "failed: no result within 5 s" in shown
    assert "20.0 ms" in shown


def test_a_reason_in_square_brackets_reaches_the_terminal_as_it_is() -> None:
    console = Console(width=200, record=True, file=StringIO())
    console.print(rich_table([Row("sum", Failure("wrong at [/0] [bold]"), MPYC, 0.0005)]))
    assert "failed: wrong at [/0] [bold]" in console.export_text()


def test_every_markdown_line_has_all_columns_whatever_a_reason_contains() -> None:
    row = Row("sum", Failure("a | b\nc"), MPYC, Failure("no bytes to send"))
    text = markdown([row], {"date": "today"}, "python -m benchmarks", "Once.")
    table = [line for line in text.splitlines() if line.startswith("|")]
    assert [line.replace("\\|", "").count("|") for line in table] == [len(HEADINGS) + 1] * 3
    assert "failed: a \\| b c" in table[2]
    assert "- date: today" in text


def test_rounds_merge_to_all_launches_the_median_start_and_the_worst_peak() -> None:
    merged = merge([SOTTO, MPYC, MPYC])
    assert merged.launch_all == [0.03, 0.01, 0.02, 0.002, 0.002]
    assert merged.launch_s == 0.01
    assert merged.cold_s == 0.5
    assert merged.peak_memory_mb == 61.2


def test_a_system_that_fails_once_has_a_reason_and_the_other_its_figures() -> None:
    def refuse(_n: int, _times: int) -> Measurement:
        raise BenchmarkError("a party ended with code 1")

    broken = System(refuse, system(MPYC).measure_vector)
    row = run_case(CASE, system(SOTTO), broken, time.monotonic() + 60)
    assert row.mpyc == Failure("a party ended with code 1")
    assert row.sotto == merge([SOTTO, SOTTO])
    assert isinstance(row.floor_s, float)
    assert row.floor_s > 0


def test_nothing_is_measured_once_the_time_for_the_whole_run_is_used_up() -> None:
    row = run_case(CASE, system(SOTTO), system(MPYC), time.monotonic())
    assert row.sotto == row.mpyc == Failure("the time for the whole run was used up")


def test_a_deadline_ends_work_that_knows_no_limit() -> None:
    started = time.monotonic()
    with pytest.raises(BenchmarkError, match="more than"), deadline(0.05):
        time.sleep(30)
    assert time.monotonic() - started < 10


def test_the_floor_confirms_all_bytes_even_if_they_do_not_divide_evenly() -> None:
    assert 0 < tls_transfer_seconds(100_003, 7) < 5


def test_three_mpyc_processes_over_tls_learn_the_sum() -> None:
    started, reports = mpyc_peer.run_parties(n=3, length=1, repetitions=2, limit_s=30)
    expected = sum(int(party_input(i, 1)[0]) for i in range(3))
    assert [report.first_value for report in reports] == [expected] * 3
    assert all(report.first_result_at > started and len(report.launches) == 2 for report in reports)


def test_a_wrong_sum_is_refused() -> None:
    _, reports = mpyc_peer.run_parties(n=3, length=2, repetitions=1, limit_s=30)
    with pytest.raises(BenchmarkError, match="wrong sum"):
        mpyc_peer.check_sums(reports[:2], length=2)


def test_parties_that_take_too_long_are_ended_and_named_so() -> None:
    with pytest.raises(BenchmarkError, match="no result within 0"):
        mpyc_peer.run_parties(n=3, length=1, repetitions=1, limit_s=0)
