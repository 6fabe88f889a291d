"""The textbook's four engineers learn their average raise and nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.table import Table
from rich.text import Text

from coordinator import terminal
from party_node import replay as replays
from protocol.functionalities.average import Average
from protocol.functionalities.sum import Sum

if TYPE_CHECKING:
    from coordinator.demo import Four

RAISES = {"alice": "3800", "bob": "2514", "carlos": "2982", "david": "3390"}
INPUTS = {"raise": RAISES}


def tell(four: Four) -> None:
    """An average and a sum, and what each of the four saw of the average."""
    terminal.say("Four colleagues want to know their average raise. Nobody wants to tell theirs.\n")
    average = four.launch(Average(), "raise")
    for name, node in four.nodes.items():
        terminal.say("")
        terminal.output.print(_table(name, replays.replay(node, average)))
    terminal.say("")
    total = four.launch(Sum(), "raise")
    terminal.say("")
    for session in (average, total):
        for line in four.answer(session):
            terminal.say(line)
    terminal.say(
        "\nAll four learned the answer. Nobody, the broker and the coordinator included, saw a raise.\n"
        "Not protected: three of them who pool what they know can work out the fourth raise from any exact\n"
        "average; with four people, that is what an average tells."
    )


def _table(party: str, found: dict[str, Any]) -> Table:
    """The textbook's table as one party can fill it in."""
    table = Table(
        title=Text(f"What {party} sent, held and learned"), title_justify="left", title_style="bold"
    )
    table.add_column("raise of")
    for name in RAISES:
        table.add_column(f"share for {name}", justify="right")
    table.add_column("sum", justify="right")
    for owner in RAISES:
        if owner == party:
            shares = {**found["sent"], party: found["kept"]}
            table.add_row(owner, *(_short(shares[name]) for name in RAISES), found["input"])
        else:
            row = [_short(found["held"][owner]) if name == party else "?" for name in RAISES]
            table.add_row(owner, *row, "?")
    table.add_section()
    opened = {**found["learned"], party: found["output"]}
    table.add_row("opened", *(_short(opened[name]) for name in RAISES), f"→ {found['result']}")
    return table


def _short(number: str) -> str:
    """Twenty meaningless digits, in brief."""
    return number if len(number) <= 10 else f"{number[:4]}…{number[-4:]}"
