"""The average of the raises with noise that nobody knows, again and again, until somebody's node refuses."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

from coordinator import terminal
from party_node import accounts, privacy, views
from party_node.config import NodeConfig
from party_node.privacy import PrivacyView
from protocol.dp.epsilon import NANO, text
from protocol.errors import SottoError
from protocol.functionalities.average import Average
from protocol.states import State

if TYPE_CHECKING:
    from coordinator.demo import Four

INPUT = "raise"
BUDGETS = {"alice": "5", "bob": "3", "carlos": "4", "david": "5"}  # ε in all, each party's own choice
EPSILON = 1 * NANO  # of each answer
AVERAGE = Average(lower=Decimal(2000), upper=Decimal(4000))
CROWD = 1000


def tell(four: Four) -> None:
    """As many answers as the smallest budget pays for, what their noise is, and the refusal of one more."""
    budgets = ", ".join(f"{name} {budget}" for name, budget in BUDGETS.items())
    terminal.say(
        "Three of the four can work out the last raise from an exact average. So they ask with noise:\n"
        "each node adds its own part of it, and nothing but the average with all parts is ever opened.\n"
        "Many such answers would give the average away again. So each node spends only so much ε on its\n"
        f"raise, {budgets}, and one answer costs {text(EPSILON)}.\n"
    )
    answers, refused = _ask(four)
    terminal.say("")
    for session in answers:
        terminal.say(four.answer(session)[0])
    node = next(iter(four.nodes.values()))
    noise, crowd = (_noise(node, answers[0], inputs) for inputs in (len(four.nodes), CROWD))
    terminal.say(privacy.line(noise, AVERAGE.name))
    terminal.say("")
    for name, node in four.nodes.items():
        _show_refusal(name, node, refused)
    apart, within = noise["sensitivity"], noise["interval"]
    terminal.say(
        "\nThat is what it costs among four: whatever hides one raise hides the average too. The bounds are\n"
        f"{apart} apart, and the noise is within ±{within} in 95 % of all answers. Among {CROWD} people,\n"
        f"the same four computing, the same ε would keep it within ±{crowd['interval']}."
    )


def _ask(four: Four) -> tuple[list[str], str]:
    """The sessions that had an answer, and the one that was refused."""
    answers: list[str] = []
    for _ in range(1 + min(int(budget) for budget in BUDGETS.values())):
        session = four.launch(AVERAGE, INPUT, EPSILON)
        if four.refused(session):
            return answers, session
        answers.append(session)
    raise SottoError("a budget was overspent", "keep the directory and report this")


def _noise(node: NodeConfig, session: str, inputs: int) -> PrivacyView:
    """That session's noise, in an average of so many."""
    spec = views.find(views.open_journal(node).sessions(), session).spec
    found = privacy.view(spec, inputs)
    if found is None:
        raise SottoError("an answer without noise", "keep the directory and report this")
    return found


def _show_refusal(name: str, node: NodeConfig, session: str) -> None:
    """Why a node refused, in its own words, and its ledger; nothing of a node that did not."""
    found = views.result(node, session)
    if found["state"] != State.REFUSED or found["abort"] is None:
        return
    terminal.say(f"The next one {name}'s node refused:\n{found['abort']['detail']}\n\n{name}'s ledger:")
    account = accounts.show(node)["inputs"][INPUT]
    for line in accounts.lines({"inputs": {INPUT: account}}):
        terminal.say(line)
