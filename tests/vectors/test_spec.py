"""SPEC.md says what the code does: its tables are compared with the code's, and drift fails."""

from __future__ import annotations

import re
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from party_node import anchor
from party_node.config import InputSource, Policy
from party_node.ledger import Entry, Event
from party_node.remains import SETUP_LIFE
from party_node.setups import SETUPS_KEPT
from protocol.correlation import base_ot
from protocol.correlation.pair import COLUMNS, CORRECTION, POINTS
from protocol.dp import polya
from protocol.dp.epsilon import LARGEST, NANO
from protocol.dp.noise import Noise, Relation
from protocol.dp.randomised_response import NANO_LN_3
from protocol.functionalities import CATALOGUE
from protocol.functionalities.histogram import Histogram
from protocol.functionalities.poll import Poll
from protocol.letters import MOST_PARTS, Header, Slot
from protocol.mailbox import STATEMENTS
from protocol.messages import (
    IN_ROUNDS,
    MOST_ROUNDS,
    MOST_SETUPS,
    MOST_STAGES,
    SEALED,
    AbortReason,
    RefusalCode,
    Request,
    Step,
    stage,
)
from protocol.ring import MOST_ELEMENTS
from protocol.spec import MOST_SLOTS, SessionSpec
from protocol.states import DISPROOFS, TRANSITIONS

ROOT = Path(__file__).parents[2]
SPEC = (ROOT / "protocol" / "SPEC.md").read_text(encoding="utf-8")


def transitions_table() -> str:
    """The table of section 5.1, as `states.py` has it."""
    order = list(TRANSITIONS)
    rows = ["| From | To |", "|---|---|"]
    for state, following in TRANSITIONS.items():
        names = ", ".join(f"`{each}`" for each in sorted(following, key=order.index))
        rows.append(f"| `{state}` | {names} |" if names else f"| `{state}` | |")
    return "\n".join(rows)


def section(title: str) -> str:
    """The text below one heading, up to the next."""
    _, _, rest = SPEC.partition(f"# {title}\n")
    assert rest, title
    return re.split(r"^#", rest, maxsplit=1, flags=re.MULTILINE)[0]


def code_names(text: str) -> list[str]:
    """What stands in backquotes."""
    return re.findall(r"`([a-z][a-z.]*)`", text)


def first_cells(text: str) -> list[str]:
    """The code names in the first column of the tables in `text`."""
    return re.findall(r"^\| `([^`]+)` \|", text, flags=re.MULTILINE)


def test_the_table_of_transitions_is_the_codes() -> None:
    begin, end = "<!-- transitions: begin -->\n", "\n<!-- transitions: end -->"
    assert SPEC.split(begin)[1].split(end)[0] == transitions_table()


def test_the_table_of_steps_names_every_step_in_the_order_of_a_session() -> None:
    named = first_cells(section("5.3 Who says what to whom"))
    order = [str(step) for step in Step]
    assert sorted(named) == sorted(order)
    assert [each for each in named if each in order[:10]] == order[:10]


def test_the_table_of_steps_says_which_are_sealed() -> None:
    rows = re.findall(r"^\| `([a-z]+)` \|.*\| sealed \|$", section("5.3 Who says what to whom"), re.MULTILINE)
    assert set(rows) == {str(step) for step in SEALED}
    (named,) = re.findall(r"^(.*) are sealed\. Their", section("4.5 Sealed letters"), re.MULTILINE)
    assert code_names(named) == rows


def test_the_steps_that_have_rounds_are_all_named() -> None:
    (row,) = re.findall(r"^\| `header\.round` .*$", section("4.4 Payloads"), re.MULTILINE)
    assert set(code_names(row)) - {"header.round"} == {str(step) for step in IN_ROUNDS}
    assert f"| 1 to {MOST_ROUNDS} in " in row
    stages = first_cells(section("4.8 Triples"))
    assert stages == [stage(Step.CORRELATE, each) for each in (POINTS, COLUMNS, CORRECTION)]


def test_both_diagrams_name_every_letter_of_a_session() -> None:
    drawn = " ".join(re.findall(r"->>[A-Z]: (.*)$", section("2. Overview"), re.MULTILINE))
    drawn += " and ".join(re.findall(r"Note over L,B: (.*)$", section("2. Overview"), re.MULTILINE))
    aside = {Step.REFUSE, Step.RESULT, Step.ABORT, Step.REQUEST}
    assert [step for step in Step if step not in aside and not re.search(rf"\b{step}\b", drawn)] == []


def test_the_table_of_aborts_names_every_reason() -> None:
    assert first_cells(section("5.5 Aborts")) == [str(reason) for reason in AbortReason]


def test_the_refusal_codes_are_all_named() -> None:
    (row,) = re.findall(r"^\| `refuse.code` .*$", SPEC, flags=re.MULTILINE)
    assert re.findall(r"`([a-z]+)`", row) == [str(code) for code in RefusalCode]


def test_every_statement_has_the_fields_of_the_code_in_their_order() -> None:
    kinds: dict[str, type[BaseModel]] = {"spec": SessionSpec, "noise": Noise}
    kinds |= {str(step): kind for step, kind in STATEMENTS.items()}
    kinds |= {"request": Request}
    documented = _documented("4.3 Statements")
    del documented["function"]
    assert documented == _declared(kinds)
    assert _documented("4.4 Payloads") == _declared({"header": Header, "slot": Slot})


def test_every_function_has_the_fields_of_the_code_in_their_order() -> None:
    documented = _documented("4.3 Statements")["function"]
    declared = {name: list(kind.model_fields) for name, kind in CATALOGUE.items()}
    assert set(documented) == {field for fields in declared.values() for field in fields}
    for name, fields in declared.items():
        assert [field for field in documented if field in fields] == fields, name
    rows = re.findall(r"^\| `function\.([a-z]+)` \|(.*)$", section("4.3 Statements"), re.MULTILINE)
    for field, row in rows:
        if field == "name":
            assert code_names(row) == list(CATALOGUE)
        else:
            owners = [name for name, fields in declared.items() if field in fields]
            assert [each for each in code_names(row) if each in CATALOGUE] == owners


def test_the_table_of_answers_names_every_function() -> None:
    tables = section("7. Numbers").split("|---|---|")
    assert first_cells(tables[1].split("\n\n")[0]) == list(CATALOGUE)


def test_the_table_of_sensitivities_is_the_codes() -> None:
    (rows,) = re.findall(r"\| Function \| Δ, replace-one .*\n((?:\|.*\n)+)", section("7. Numbers"))
    documented = {name: row for row in rows.splitlines() for name in code_names(row.split("|")[1])}
    taking = {name: _sensitivities(name) for name in CATALOGUE if name != "poll"}
    assert list(documented) == list(taking)
    for name, (replace_one, add_remove) in taking.items():
        cells = documented[name].split("|")[2:4]
        if name in ("sum", "average"):
            assert cells == [" (upper − lower)·10^d·length ", " the same "]
            assert replace_one == add_remove == 20 * 100 * 3
        else:
            assert [int(cell.split(":")[0]) for cell in cells] == [replace_one, add_remove]


_RANGE = {"lower": Decimal(-10), "upper": Decimal(10), "decimals": 2, "length": 3}
_PARAMETERS: dict[str, dict[str, Any]] = {
    "sum": _RANGE,
    "average": _RANGE,
    "histogram": {"bins": 5},
    "referendum": {"threshold": "1/2"},
}


def _sensitivities(name: str) -> tuple[int, int]:
    function = CATALOGUE[name](**_PARAMETERS[name])
    return function.sensitivity(Relation.REPLACE_ONE), function.sensitivity(Relation.ADD_REMOVE)


def test_a_poll_takes_no_noise_and_costs_what_is_written() -> None:
    with pytest.raises(ValueError, match="takes no"):
        Poll().sensitivity(Relation.REPLACE_ONE)
    grouped = f"{NANO_LN_3:,}".replace(",", " ")
    assert f"ε = ln 3,\ncounted as {grouped} nano-ε" in section("7. Numbers")
    assert f"a poll's {grouped}" in section("6. Delivery, crashes, forgetting")


def test_what_is_said_of_noise_is_the_codes() -> None:
    statements, noise = section("4.3 Statements"), section("4.10 Noise")
    assert f"ε in nano-ε: 1 to 2^{(LARGEST + 1).bit_length() - 1} − 1 |" in statements
    assert f"a = ε/Δ = epsilon / (10^{len(str(NANO)) - 1} · sensitivity), exactly" in noise
    (relations,) = re.findall(r"^\| `noise\.relation` .*$", statements, re.MULTILINE)
    assert re.findall(r"`([a-z-]+)`", relations) == [str(each) for each in Relation]
    (mechanism,) = re.findall(r"^\| `noise\.mechanism` \| string \| `(.*)` \|$", statements, re.MULTILINE)
    example = Noise(epsilon=NANO, sensitivity=1, relation=Relation.REPLACE_ONE, colluders=1)
    assert mechanism == example.mechanism
    assert "B = ⌈(52 + 5R/3) / a⌉" in noise
    assert [example.tail(compute) for compute in (2, 3, 4)] == [56, 55, 55]  # R = 2, 3/2, 4/3
    bins = Histogram.model_fields["bins"].metadata
    assert [each.ge for each in bins if hasattr(each, "ge")] == [2]
    assert [each.le for each in bins if hasattr(each, "le")] == [2**16]
    assert "2 to 2^16; an input is the number of its bin" in statements


def test_the_events_of_the_ledger_are_all_named() -> None:
    rows = re.findall(r"\| Event \| Written \|\n\|---\|---\|\n((?:\|.*\n)+)", SPEC)
    assert [first_cells(each) for each in rows] == [[str(event) for event in Event]]
    assert f"`{anchor.FILE}`" in section("6. Delivery, crashes, forgetting")
    assert anchor.START.head == bytes(32)
    named = "number, session, input, event, nano-ε, time"
    assert f'digest("ledger", head_i−1, {named})' in section("6. Delivery, crashes, forgetting")
    assert list(Entry._fields) == ["number", "session", "input", "event", "nano", "at", "head"]


def test_the_rules_of_a_node_have_the_defaults_of_the_code() -> None:
    rules = section("5.2 What each state does")
    assert f"`[policy] min_colluders` (by default {Policy().min_colluders})" in rules
    assert "`[policy] max_epsilon`, if that is set" in rules
    assert Policy().max_epsilon is None
    assert "no limit if it is not set" in rules
    assert InputSource(value="1").epsilon is None


def test_the_sampler_of_the_annex_is_the_codes() -> None:
    annex = section("Annex A. Our sampler")
    assert f"2^{polya._TOGETHER.bit_length() - 1} together" in annex
    assert "Q is the least i with a·2^i ≥ 64, but 63 at most" in annex
    assert [polya._Geometric(Fraction(1, 2**each))._places for each in (0, 50, 60)] == [6, 56, 63]


def test_the_limits_are_the_codes() -> None:
    assert f"1 ≤ length ≤ 2^{MOST_ELEMENTS.bit_length() - 1}." in section("4.3 Statements")
    assert MOST_ELEMENTS.bit_count() == 1
    assert f"| integer | 1 to {MOST_PARTS} |" in section("4.4 Payloads")
    assert f"| `request.steps` | list of stages | 1 to {MOST_STAGES}; " in section("4.3 Statements")
    assert f"with this compute party, 1 to {MOST_SETUPS}, " in section("4.3 Statements")
    assert f"at most {MOST_SLOTS} members" in section("4.6 Shares, openings, transcript")
    assert f"`[policy] min_inputs`, by default {Policy().min_inputs})" in section("5.2 What each state does")


def test_the_sizes_of_base_transfers_and_extension_are_the_codes() -> None:
    transfers, triples = section("4.7 Base transfers"), section("4.8 Triples")
    assert f"R_{base_ot.KAPPA // 2 - 1}, {base_ot.MESSAGE_BYTES} bytes" in transfers
    assert f"# {base_ot.CORRECTION_BYTES} bytes" in transfers
    assert f"S draws choices s_0 … s_{base_ot.KAPPA - 1} " in transfers
    assert f"pairs of keys of {base_ot.KEY_BYTES} bytes" in transfers
    assert f"| {base_ot.MESSAGE_BYTES} bytes of points; " in triples
    assert f"| {base_ot.CORRECTION_BYTES} bytes of corrections, " in triples
    assert f"rows: m for the products and {base_ot.KAPPA} for the next setup" in triples
    assert f"draws {base_ot.KAPPA} more choices r'" in triples
    days = SETUP_LIFE // (24 * 3600 * 1000)
    assert f"named for {days} days after the `created`" in " ".join(triples.split())
    assert SETUPS_KEPT == 2
    assert "Ours: two are kept with each peer" in triples


def test_every_label_of_a_hash_or_derivation_is_documented() -> None:
    """Each label separates one use of a hash from all others, so a second implementation needs them all."""
    code = "".join(
        path.read_text(encoding="utf-8")
        for folder in ("protocol", "party_node")
        for path in (ROOT / folder).rglob("*.py")
    )
    called = re.findall(
        r"\b(?:digest|pack|derive|derive_bytes)\((?:[A-Z_0-9]+(?: \+ 32)?, )?\"([a-z -]+)\"", code
    )
    local = {"arrival", "parts", "release", "release row", "snapshot", "setup"}  # what no other node sees
    assert {label for label in called if f'"{label}"' not in SPEC} == local
    assert len(set(called)) > 20


def test_the_disproofs_are_all_named() -> None:
    (named,) = re.findall(r"heeds only disproofs \(([^)]*)\)", section("5.5 Aborts"))
    assert set(re.findall(r"`([a-z-]+)`", named)) == {str(reason) for reason in DISPROOFS}


def _documented(title: str) -> dict[str, list[str]]:
    fields: dict[str, list[str]] = {}
    for cell in first_cells(section(title)):
        kind, _, field = cell.partition(".")
        fields.setdefault(kind, []).append(field)
    return fields


def _declared(kinds: dict[str, type[BaseModel]]) -> dict[str, list[str]]:
    return {name: list(kind.model_fields) for name, kind in kinds.items()}
