"""What sessions have cost this party's inputs: `party-node ledger`, read beside the running node."""

from __future__ import annotations

from collections.abc import Collection
from typing import TypedDict

from party_node import anchor, views
from party_node.anchor import Anchor
from party_node.config import NodeConfig
from party_node.daemon import JOURNAL
from party_node.ledger import Entry, Event, missing
from party_node.times import utc
from protocol.dp.epsilon import text


class CostView(TypedDict):
    """What one session costs an input: reserved, then spent or released."""

    session: str
    epsilon: str
    state: str
    at: str  # when it came to this, UTC


class AccountView(TypedDict):
    """One input's account, in exact decimals; `budget` and `left` are null where there is no limit."""

    budget: str | None
    spent: str
    reserved: str
    left: str | None
    sessions: list[CostView]


class LedgerView(TypedDict):
    """The accounts by input: those that are configured, and those that sessions have used."""

    inputs: dict[str, AccountView]


def entries(config: NodeConfig) -> list[Entry] | None:
    """The whole ledger, None if there is none yet; LedgerError if it cannot be trusted."""
    path = config.data_dir / JOURNAL
    if not path.exists():
        if lost := missing(path, Anchor(config.data_dir / anchor.FILE)):
            raise lost
        return None
    ledger = views.open_journal(config).ledger
    if flaw := ledger.flaw():
        raise flaw
    return ledger.entries()


def show(config: NodeConfig) -> LedgerView:
    """Every input that is configured, and every one that a session has cost something."""
    costs: dict[str, dict[str, Entry]] = {name: {} for name in config.inputs}
    for entry in entries(config) or []:
        costs.setdefault(entry.input, {})[entry.session] = entry  # what has become of it by now
    budgets = {name: source.epsilon for name, source in config.inputs.items()}
    return {"inputs": {name: _account(each.values(), budgets.get(name)) for name, each in costs.items()}}


def _account(costs: Collection[Entry], budget: int | None) -> AccountView:
    spent, reserved = (
        sum(cost.nano for cost in costs if cost.event == event) for event in (Event.SPENT, Event.RESERVED)
    )
    return {
        "budget": None if budget is None else text(budget),
        "spent": text(spent),
        "reserved": text(reserved),
        "left": None if budget is None else text(budget - spent - reserved),
        "sessions": [_cost(cost) for cost in costs],
    }


def _cost(cost: Entry) -> CostView:
    return {
        "session": cost.session,
        "epsilon": text(cost.nano),
        "state": cost.event,
        "at": utc(cost.at),
    }


def lines(found: LedgerView) -> list[str]:
    """The accounts for people."""
    if not found["inputs"]:
        return ["no inputs yet"]
    shown = []
    for name, account in found["inputs"].items():
        shown.append(f"{name}: {_sums(account)}")
        shown += [
            f"  {cost['at']}  {cost['session'][:12]}  {cost['state']:8}  {cost['epsilon']}"
            for cost in account["sessions"]
        ]
    return shown


def _sums(account: AccountView) -> str:
    limit = "no limit" if account["budget"] is None else f"{account['left']} left of {account['budget']}"
    return f"{account['spent']} spent, {account['reserved']} reserved, {limit}"
