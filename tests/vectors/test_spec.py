"""SPEC.md says what the code does: its tables are compared with the code's, and drift fails."""

from __future__ import annotations

import re
from pathlib import Path

from pydantic import BaseModel

from party_node.config import Policy
from protocol.functionalities import CATALOGUE
from protocol.letters import MOST_PARTS, Header, Slot
from protocol.mailbox import STATEMENTS
from protocol.messages import AbortReason, RefusalCode, Request, Step
from protocol.ring import MOST_ELEMENTS
from protocol.spec import MOST_SLOTS, SessionSpec
from protocol.states import DISPROOFS, TRANSITIONS

SPEC = (Path(__file__).parents[2] / "protocol" / "SPEC.md").read_text(encoding="utf-8")


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


def first_cells(text: str) -> list[str]:
    """The code names in the first column of the tables in `text`."""
    return re.findall(r"^\| `([^`]+)` \|", text, flags=re.MULTILINE)


def test_the_table_of_transitions_is_the_codes() -> None:
    begin, end = "<!-- transitions: begin -->\n", "\n<!-- transitions: end -->"
    assert SPEC.split(begin)[1].split(end)[0] == transitions_table()


def test_the_table_of_steps_names_every_step() -> None:
    assert set(first_cells(section("5.3 Who says what to whom"))) == {str(step) for step in Step}


def test_the_table_of_aborts_names_every_reason() -> None:
    assert first_cells(section("5.5 Aborts")) == [str(reason) for reason in AbortReason]


def test_the_refusal_codes_are_all_named() -> None:
    (row,) = re.findall(r"^\| `refuse.code` .*$", SPEC, flags=re.MULTILINE)
    assert re.findall(r"`([a-z]+)`", row) == [str(code) for code in RefusalCode]


def test_every_statement_has_the_fields_of_the_code_in_their_order() -> None:
    function = CATALOGUE["sum"]
    kinds: dict[str, type[BaseModel]] = {"spec": SessionSpec, "function": function}
    kinds |= {str(step): kind for step, kind in STATEMENTS.items()}
    kinds |= {"request": Request}
    assert _documented("4.3 Statements") == _declared(kinds)
    assert _documented("4.4 Payloads") == _declared({"header": Header, "slot": Slot})


def test_the_limits_are_the_codes() -> None:
    assert f"1 ≤ length ≤ 2^{MOST_ELEMENTS.bit_length() - 1}." in section("4.3 Statements")
    assert MOST_ELEMENTS.bit_count() == 1
    assert f"| integer | 1 to {MOST_PARTS} |" in section("4.4 Payloads")
    assert f"at most {MOST_SLOTS} members" in section("4.6 Shares, openings, transcript")
    assert f"`[policy] min_inputs`, by default {Policy().min_inputs})" in section("5.2 What each state does")


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
