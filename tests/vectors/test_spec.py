"""SPEC.md says what the code does: its tables are compared with the code's, and drift fails."""

from __future__ import annotations

import re
from pathlib import Path

from pydantic import BaseModel

from party_node.config import Policy
from party_node.journal import SETUPS_KEPT
from party_node.node import SETUP_LIFE
from protocol.correlation import base_ot
from protocol.correlation.pair import COLUMNS, CORRECTION, POINTS
from protocol.functionalities import CATALOGUE
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
    kinds: dict[str, type[BaseModel]] = {"spec": SessionSpec}
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
    assert first_cells(section("7. Numbers")) == list(CATALOGUE)


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
    local = {"parts", "snapshot", "setup"}  # what no other node sees
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
