"""The benchmark's tables show every figure and every failure, and both systems really compute."""

import os
import resource
import subprocess
import sys
import time
from dataclasses import replace
from io import StringIO

import numpy as np
import psutil
import pytest
from rich.console import Console

from benchmarks import __main__ as command
from benchmarks import (
    launching,
    mpyc_peer,
    noise,
    operations,
    referendum_report,
    sotto,
    voters,
    voters_report,
)
from benchmarks.deadline import deadline
from benchmarks.floor import tls_transfer_seconds
from benchmarks.launching import Launch
from benchmarks.measurement import BenchmarkError, Measurement, merge
from benchmarks.mpyc_party import least_yes, party_input, step_polynomial
from benchmarks.operations import BASE, CHECK, OPERATIONS, SEAL, SIGN, TIMES, UNSEAL, Costs
from benchmarks.report import Failure, Row, markdown, rich_table, seconds
from benchmarks.side_by_side import Case, System, run_case
from benchmarks.sum_report import HEADINGS, cells, sums
from benchmarks.voters import Turnout
from protocol import ring
from protocol.functionalities.referendum import Referendum
from protocol.letters import Header
from protocol.messages import Step

SOTTO = Measurement(
    [0.03, 0.01, 0.02],
    cold_s=1.5,
    bytes_per_party=2048,
    peak_memory_mb=61.2,
    first_s=0.3,
    first_bytes=4096,
    cpu_s={"coordinator": 0.001, "nodes": 0.02, "broker": 0.003},
    first_cpu_s={"coordinator": 0.001, "nodes": 0.5, "broker": 0.003},
    hop_s=0.0002,
)
MPYC = Measurement(
    [0.002],
    cold_s=0.5,
    bytes_per_party=92,
    peak_memory_mb=46,
    first_s=0.003,
    first_bytes=92,
    by_hand_s=0.001,
)
CASE = Case(n=3, rounds=2, repetitions=1, limit_s=10)
COSTS = Costs(rounds=10, letters=30, deliveries=70, operations=dict.fromkeys(OPERATIONS, 2))
TURNOUT = Turnout(
    Launch(
        session="ab",
        begun=10.0,
        ended=14.0,
        seen={Step.BEGIN: 11.0, Step.RECEIVED: 13.0, Step.COMMIT: 13.5},
        cpu_s={"coordinator": 0.1, "broker": 0.2, "compute parties": 0.9, "voters": 2.0},
        public_bytes=1500,
        repeats=7,
    ),
    setup_s=9.0,
    broker_mb=12,
    compute_mb=76,
    voters_mb=200,
)


def system(measured: Measurement) -> System:
    return System(
        lambda _n, _times: measured, lambda _n, _length, _times: measured, lambda _n, _times: measured
    )


# -- tables ----------------------------------------------------------------------------------------


def test_a_row_shows_both_systems_under_their_headings() -> None:
    shown = dict(zip(HEADINGS, cells(Row("sum", 3, SOTTO, MPYC, 0.0005)), strict=True))
    assert shown == {
        "case": "sum",
        "Sotto launch→result": "20.0 ms",
        "MPyC input→output": "2.00 ms",
        "MPyC / Sotto": "0.10",
        "bare TLS floor": "500 µs",
        "Sotto cold": "1.50 s",
        "MPyC cold": "500 ms",
        "bytes a party, Sotto / MPyC": "2.0 kB / 92 B",
        "peak MiB, Sotto / MPyC": "61 / 46",
    }


def test_a_referendum_shows_first_and_later_sessions_of_both_systems() -> None:
    row = Row("referendum, n = 3", 3, SOTTO, MPYC)
    shown = dict(zip(referendum_report.HEADINGS, referendum_report.cells(row), strict=True))
    assert shown == {
        "case": "referendum, n = 3",
        "Sotto first": "300 ms",
        "Sotto later": "20.0 ms",
        "MPyC first": "3.00 ms",
        "MPyC later": "2.00 ms",
        "MPyC / Sotto, later": "0.10",
        "MPyC by hand": "1.00 ms",
        "Sotto cold": "1.50 s",
        "MPyC cold": "500 ms",
        "bytes a party, Sotto first / later / MPyC": "4.1 kB / 2.0 kB / 92 B",
        "peak MiB, Sotto / MPyC": "61 / 46",
    }


def test_a_failed_system_is_shown_with_its_reason() -> None:
    row = Row("sum", 3, SOTTO, Failure("no result within 5 s"), 0.0005)
    for shown in (cells(row), referendum_report.cells(row)):
        assert "failed: no result within 5 s" in shown
        assert "20.0 ms" in shown


def test_a_reason_in_square_brackets_reaches_the_terminal_as_it_is() -> None:
    console = Console(width=200, record=True, file=StringIO())
    console.print(rich_table(sums([Row("sum", 3, Failure("wrong at [/0] [bold]"), MPYC, 0.0005)])))
    assert "failed: wrong at [/0] [bold]" in console.export_text()


def test_every_markdown_line_has_all_columns_whatever_a_reason_contains() -> None:
    row = Row("sum", 3, Failure("a | b\nc"), MPYC, Failure("no bytes to send"))
    text = markdown([sums([row])], {"date": "today"}, "python -m benchmarks", "Once.")
    table = [line for line in text.splitlines() if line.startswith("|")]
    assert [line.replace("\\|", "").count("|") for line in table] == [len(HEADINGS) + 1] * 3
    assert "failed: a \\| b c" in table[2]
    assert "- date: today" in text


def test_an_aim_is_met_below_its_limit_and_missed_at_it() -> None:
    later = replace(SOTTO, launch_all=[0.0019], first_s=0.833)
    one, other = referendum_report.aims([Row("n = 10", 10, later, MPYC)])
    assert one == "n = 10, later sessions faster than MPyC's: **met**, 1.90 ms against 2.00 ms (0.95 times)."
    assert other.endswith("MP-SPDZ's stated ones: **met**, 833 ms against 934 ms (0.89 times).")
    missed = referendum_report.aims(
        [Row("n = 10", 10, replace(later, launch_all=[0.002], first_s=0.934), MPYC)]
    )
    assert ["**missed**" in line for line in missed] == [True, True]


def test_the_cold_start_is_held_against_a_fifth_of_the_peers() -> None:
    (line,) = referendum_report.aims([Row("n = 50", 50, replace(SOTTO, cold_s=13), replace(MPYC, cold_s=60))])
    assert "**missed**, 13.0 s against 12.0 s (1.08 times), a fifth of 60.0 s" in line


def test_an_aim_without_figures_is_neither_met_nor_missed() -> None:
    lines = referendum_report.aims(
        [Row("n = 10", 10, Failure("x"), MPYC), Row("n = 50", 50, SOTTO, Failure("x"))]
    )
    assert [line.rpartition(": ")[2] for line in lines] == ["no figure."] * 3


def test_operations_stand_beside_the_time_that_was_measured() -> None:
    unit_s = dict.fromkeys(OPERATIONS, 0.001)
    rows = [Row("n = 3", 3, SOTTO, MPYC), Row("n = 4", 4, SOTTO, MPYC), Row("n = 5", 5, Failure("x"), MPYC)]
    table = referendum_report.where_it_goes(rows, {3: (COSTS, COSTS), 5: (COSTS, COSTS)}, unit_s)
    assert [row[0] for row in table.rows] == ["n = 3, first", "n = 3, later"]
    shown = dict(zip(table.headings, table.rows[1], strict=True))
    assert shown["rounds × hop"] == "2.00 ms"
    assert shown["all these operations"] == "16.0 ms"
    assert shown["cores busy"] == "1.20"
    assert "n = 3, later: 24.0 ms of CPU, 67 % of it public-key operations, 12 % the broker" in table.notes


def test_a_turnout_is_shown_in_its_parts() -> None:
    shown = dict(zip(voters_report.HEADINGS, voters_report.cells(1000, TURNOUT), strict=True))
    assert shown == {
        "voters": "1,000",
        "launch→answer": "4.00 s",
        "a voter": "4.00 ms",
        "until all have joined": "1.00 s",
        "until all ballots are in": "2.00 s",
        "gates": "500 ms",
        "opening": "500 ms",
        "CPU of the broker": "200 ms",
        "CPU of a compute party": "300 ms",
        "CPU of a voter": "2.00 ms",
        "CPU of the coordinator": "100 ms",
        "every voter gets": "1.5 kB",
        "sent again": "7",
        "peak MiB, broker / compute party": "12 / 76",
        "MiB a voter": "0.20",
        "set-up": "9.00 s",
    }


def test_the_last_size_that_was_carried_is_named() -> None:
    table = voters_report.turnouts({100: TURNOUT, 300: TURNOUT, 1000: Failure("more than 240 s")})
    assert "**300 voters**" in table.notes
    assert table.rows[2][:2] == ("1,000", "failed: more than 240 s")
    assert {len(row) for row in table.rows} == {len(voters_report.HEADINGS)}


# -- running ---------------------------------------------------------------------------------------


def test_rounds_merge_to_all_launches_the_median_start_and_the_worst_peak() -> None:
    merged = merge(
        [SOTTO, replace(MPYC, cpu_s=SOTTO.cpu_s, first_cpu_s=SOTTO.first_cpu_s), replace(SOTTO, first_s=0.1)]
    )
    assert merged.launch_all == [0.03, 0.01, 0.02, 0.002, 0.03, 0.01, 0.02]
    assert merged.launch_s == 0.02
    assert (merged.cold_s, merged.first_s, merged.first_bytes) == (1.5, 0.1, 4096)
    assert merged.peak_memory_mb == 61.2
    assert (merged.hop_s, merged.by_hand_s) == (0.0002, 0.001)
    assert merged.cpu_s == SOTTO.cpu_s


def test_a_system_that_fails_once_has_a_reason_and_the_other_its_figures() -> None:
    def refuse(_n: int, _times: int) -> Measurement:
        raise BenchmarkError("a party ended with code 1")

    broken = replace(system(MPYC), measure_scalar=refuse)
    row = run_case(CASE, system(SOTTO), broken, time.monotonic() + 60)
    assert row.mpyc == Failure("a party ended with code 1")
    assert row.sotto == merge([SOTTO, SOTTO])
    assert isinstance(row.floor_s, float)
    assert row.floor_s > 0


def test_a_referendum_is_measured_as_one() -> None:
    only = replace(system(MPYC), measure_referendum=lambda _n, _times: SOTTO)
    row = run_case(replace(CASE, function="referendum"), only, only, time.monotonic() + 60)
    assert row == Row("referendum, n = 3", 3, merge([SOTTO] * 2), merge([SOTTO] * 2))


def test_nothing_is_measured_once_the_time_for_the_whole_run_is_used_up() -> None:
    row = run_case(CASE, system(SOTTO), system(MPYC), time.monotonic())
    assert row.sotto == row.mpyc == Failure("the time for the whole run was used up")


def test_after_a_size_that_failed_no_larger_one_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    def measure(count: int, _limit_s: float) -> Turnout:
        if count == 300:
            raise BenchmarkError("less than 2 GiB left")
        return TURNOUT

    monkeypatch.setattr(voters, "measure", measure)
    ends_at = time.monotonic() + 60
    found = command._voters((100, 300, 1000), ends_at, Console(file=StringIO()))
    assert found == {100: TURNOUT, 300: Failure("less than 2 GiB left"), 1000: Failure("not tried")}


def test_a_deadline_ends_work_that_knows_no_limit() -> None:
    started = time.monotonic()
    with pytest.raises(BenchmarkError, match="more than"), deadline(0.05):
        time.sleep(30)
    assert time.monotonic() - started < 10


def test_the_floor_confirms_all_bytes_even_if_they_do_not_divide_evenly() -> None:
    assert 0 < tls_transfer_seconds(100_003, 7) < 5


def test_short_times_are_shown_in_microseconds() -> None:
    assert [seconds(each) for each in (12.34, 0.0456, 0.000456)] == ["12.3 s", "45.6 ms", "456 µs"]


# -- this project ----------------------------------------------------------------------------------


def test_base_transfers_are_made_in_the_first_session_only_and_every_letter_is_checked() -> None:
    first, later = operations.count(3)
    assert later.operations[TIMES] == 0
    # 64 transfers a pair: one by each end for each, and one more for the pair.
    assert first.operations[TIMES] == 3 * (64 + 64 + 1)
    assert first.operations[BASE] - later.operations[BASE] == 3 * (64 + 1)
    for costs in (first, later):
        assert costs.operations[SIGN] == costs.letters
        assert costs.operations[CHECK] == costs.deliveries
        assert costs.operations[SEAL] == costs.operations[UNSEAL] == 3 * 2


def test_every_counted_operation_has_a_time() -> None:
    unit_s = operations.unit_seconds()
    assert set(unit_s) == set(OPERATIONS)
    assert all(0 < value < 1 for value in unit_s.values())


def test_a_referendum_of_five_voters_is_answered_and_nothing_is_left_running() -> None:
    before = {child.pid for child in psutil.Process().children(recursive=True)}
    found = voters.measure(5, limit_s=90)
    assert found.launch.answer is not None
    assert found.launch.answer.text() == "YES"
    assert 0 < found.launch.elapsed < 90
    assert {group for group, used in found.launch.cpu_s.items() if used > 0} == set(found.launch.cpu_s)
    after = psutil.Process().children(recursive=True)
    assert [child.pid for child in after if child.pid not in before] == []


def test_more_processes_are_started_where_one_may_not_open_as_many_files(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    monkeypatch.setattr(resource, "getrlimit", lambda _what: (2500, 2500))
    assert [voters._process_count(count) for count in (10, 666, 667, 1000)] == [2, 2, 3, 3]


def test_a_session_without_an_answer_is_refused_with_its_reason() -> None:
    sources = {"ann": 'value = "yes"', "ben": 'value = "no"', "cem": 'value = "7"'}  # the last is no ballot
    function = Referendum(threshold="2/3")
    with sotto._cluster(sources, "ballot") as directory, pytest.raises(BenchmarkError, match="cem refused"):
        sotto._measure(directory, function, "ballot", 1, lambda _answer: True)


def test_a_session_is_given_up_when_the_memory_runs_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launching, "LEAST_MEMORY", 1 << 60)
    monkeypatch.setattr(launching, "_LOOK_AGAIN", 0)
    with pytest.raises(BenchmarkError, match="GiB left when announced"):
        sotto.measure_referendum(3, 1)


def test_a_launch_is_cut_at_the_letters_that_were_seen() -> None:
    between = TURNOUT.launch.between
    phases = [between(None, Step.BEGIN), between(Step.BEGIN, Step.RECEIVED), between(Step.COMMIT, None)]
    assert phases == [1, 2, 0.5]


def test_a_letter_counts_when_it_comes_first_and_its_bytes_only_if_all_get_it() -> None:
    launch = Launch("ab" * 32, begun=1.0, public_bytes=100)
    begin = Header(session="ab" * 32, step=Step.BEGIN, sender="ann", to="all")
    join = Header(session="ab" * 32, step=Step.JOIN, sender="ben", to="compute")
    for header, at in ((begin, 2.0), (join, 3.0), (begin, 4.0)):
        launch.note(header, 10, at)
    assert launch.seen == {Step.BEGIN: 2.0, Step.JOIN: 3.0}
    assert (launch.public_bytes, launch.repeats) == (110, 1)


def test_the_cpu_time_of_another_process_is_what_the_system_says() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", "print(sum(range(10**7)), flush=True); input()"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as busy:
        assert busy.stdout is not None
        busy.stdout.readline()
        times = psutil.Process(busy.pid).cpu_times()
        assert launching._process_seconds(busy.pid) == pytest.approx(times.user + times.system, abs=0.05)
        busy.communicate(b"\n")


# -- the peer --------------------------------------------------------------------------------------


def test_three_mpyc_processes_over_tls_learn_the_sum() -> None:
    started, reports = mpyc_peer.run_parties(n=3, length=1, repetitions=2, limit_s=30)
    expected = sum(int(party_input(i, 1)[0]) for i in range(3))
    assert [report.first_value for report in reports] == [expected] * 3
    assert all(report.first_result_at > started and len(report.launches) == 2 for report in reports)


def test_three_mpyc_processes_over_tls_learn_whether_the_referendum_passed() -> None:
    measured = mpyc_peer.measure_referendum(n=3, repetitions=2, limit_s=30)
    assert len(measured.launch_all) == 2
    assert measured.by_hand_s is not None
    assert 0 < measured.first_s < measured.cold_s


@pytest.mark.parametrize(("n", "prime"), [(3, 5), (5, 7), (10, 11), (20, 23), (50, 53)])
def test_the_polynomial_by_hand_is_one_from_the_threshold_on(n: int, prime: int) -> None:
    threshold = least_yes(n)
    coefficients = step_polynomial(n, threshold, prime)
    values = [sum(each * x**power for power, each in enumerate(coefficients)) % prime for x in range(n + 1)]
    assert values == [0] * threshold + [1] * (n + 1 - threshold)


def test_a_wrong_sum_is_refused() -> None:
    _, reports = mpyc_peer.run_parties(n=3, length=2, repetitions=1, limit_s=30)
    with pytest.raises(BenchmarkError, match="wrong sum"):
        mpyc_peer.check_sums(reports[:2], length=2)


def test_parties_that_take_too_long_are_ended_and_named_so() -> None:
    with pytest.raises(BenchmarkError, match="no result within 0"):
        mpyc_peer.run_parties(n=3, length=1, repetitions=1, limit_s=0)


def test_noise_is_drawn_beside_opendp_with_the_same_deviation() -> None:
    table = noise.compare(length=100, rounds=1, calls=2)
    assert [row[0] for row in table.rows] == ["scalar calls", "a vector of 100"]
    assert all(float(cell.replace(",", "")) > 0 for row in table.rows for cell in row[1:])
    ours = ring.to_signed(noise._ours(100, 1, (20_000,))().elements((20_000,)))
    theirs = np.array(noise._theirs(100, (20_000,))(), dtype=np.int64)
    spread = [float(np.std(each)) for each in (ours, theirs)]
    assert 0.9 < spread[0] / spread[1] < 1.1
    assert 0.9 < spread[0] / (2**0.5 * 200) < 1.1
