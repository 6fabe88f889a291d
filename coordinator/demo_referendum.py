"""Two referenda among the same four people, one unanimous, one that just passes: who can tell which?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.table import Table
from rich.text import Text

from coordinator import terminal
from party_node import replay as replays
from protocol.functionalities.referendum import Referendum

if TYPE_CHECKING:
    from coordinator.demo import Four

THRESHOLD = "2/3"
INPUTS = {
    "merge": {"alice": "yes", "bob": "yes", "carlos": "yes", "david": "yes"},
    "move": {"alice": "yes", "bob": "no", "carlos": "yes", "david": "yes"},
}


def tell(four: Four) -> None:
    """Both referenda, and side by side what each of the four saw of them."""
    terminal.say(
        f"The four vote twice, and {THRESHOLD} must say yes. One vote is unanimous, the other just passes.\n"
    )
    sessions = {name: four.launch(Referendum(threshold=THRESHOLD), name) for name in INPUTS}
    for party, node in four.nodes.items():
        found = {name: replays.replay(node, session) for name, session in sessions.items()}
        terminal.say("")
        terminal.output.print(_table(party, found))
    terminal.say("")
    for name, session in sessions.items():
        terminal.say(f"{name}: {four.answer(session)[0]}")
    terminal.say(
        "\nAll that anybody saw is coin flips, others in each run, and the same YES. (So are the letters\n"
        "of the oblivious transfers, some kB that are left out here.) Nobody, the nodes included, ever held\n"
        "the count: in the unanimous vote it would have told how everybody voted.\n"
        "Not protected: where three ballots leave the outcome open, those who cast them learn the fourth."
    )


def _table(party: str, found: dict[str, dict[str, Any]]) -> Table:
    """What one party held, saw opened and learned, a column for each referendum."""
    title = Text(f"What {party} saw, besides its own ballot")
    table = Table(title=title, title_justify="left", title_style="bold")
    table.add_column("")
    for name in found:
        table.add_column(name, justify="right")
    columns = [_seen(party, each) for each in found.values()]
    for label in columns[0]:
        if label == "answer":
            table.add_section()
        table.add_row(label, *(column[label] for column in columns))
    return table


def _seen(party: str, found: dict[str, Any]) -> dict[str, str]:
    """Label → bits."""
    seen = {f"share of {owner}'s ballot": found["held"][owner] for owner in sorted(found["held"])}
    seen |= {f"opened by the gates, round {number}": bits for number, bits in found["opened"].items()}
    output = {party: found["output"], **found["learned"]}
    seen |= {f"{owner}'s share of the answer": output[owner] for owner in sorted(output)}
    return seen | {"answer": found["result"]}
