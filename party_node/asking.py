"""`party-node approve` and `refuse`: what a person is asked about, in plain words, and the answer."""

from __future__ import annotations

import time
from typing import TypedDict

from party_node import approvals, privacy, views, wording
from party_node import data_dir as data_directory
from party_node.config import NodeConfig
from party_node.daemon import JOURNAL, now_ms
from party_node.journal import Decider, Decision, Journal, Made, SessionRow
from party_node.privacy import PrivacyView
from party_node.times import utc
from protocol.dp.epsilon import text
from protocol.errors import SottoError
from protocol.spec import SessionSpec

PATIENCE = 10.0  # seconds for the node to take an answer in
LOOK_AGAIN = 0.05  # seconds


class PendingView(TypedDict):
    """A session that waits for a person; times are UTC, ε exact decimals."""

    session: str
    function: str
    input: str
    input_parties: list[str]
    min_inputs: int
    compute_parties: list[str]
    result_parties: list[str]
    public: bool
    privacy: PrivacyView | None
    epsilon_left: str | None  # of the input's budget, before this session; null where there is none
    answer_by: str
    closes: str


def waiting(config: NodeConfig) -> dict[str, tuple[PendingView, list[str]]]:
    """What waits for a person, by session, oldest first: as data and in words."""
    if not (config.data_dir / JOURNAL).exists():
        return {}
    journal = views.open_journal(config)
    found = {}
    for row in journal.pending():
        if (decision := journal.decision(row.id)) and decision.by is Decider.PERSON:
            continue  # approved, and its input is being read
        spec = row.spec
        found[row.id] = _view(config, journal, row, spec), _lines(config, journal, row, spec, now_ms())
    return found


def _lines(config: NodeConfig, journal: Journal, row: SessionRow, spec: SessionSpec, now: int) -> list[str]:
    """One pending session, for whoever is to say yes or no."""
    left = (spec.join_by - now) // 1000
    when = f"answer by {utc(spec.join_by)} (in {max(left, 0)} s), closes {utc(spec.close_by)}"
    return [
        f"{row.id[:12]}  PENDING: {spec.coordinator} asks for the",
        *(f"  {line}" for line in wording.question(spec)),
        f"  our part        {', '.join(_roles(config.name, spec))}",
        *(f"  {line}" for line in _left(config, journal, spec)),
        f"  time            {when}",
        f"  party-node approve {row.id[:12]}, or party-node refuse {row.id[:12]} --why '...'",
    ]


def _view(config: NodeConfig, journal: Journal, row: SessionRow, spec: SessionSpec) -> PendingView:
    """The same as data."""
    account = _account(config, journal, spec)
    return {
        "session": row.id,
        "function": spec.function.name,
        "input": spec.input,
        "input_parties": list(spec.inputs),
        "min_inputs": spec.min_inputs,
        "compute_parties": list(spec.compute),
        "result_parties": list(spec.results),
        "public": spec.public,
        "privacy": privacy.view(spec, len(spec.inputs)),
        "epsilon_left": None if account is None else text(account[0]),
        "answer_by": utc(spec.join_by),
        "closes": utc(spec.close_by),
    }


def answer(config: NodeConfig, prefix: str, *, approve: bool, words: str) -> str:
    """Tell the node; returns what came of it.  SottoError if nobody asks."""
    journal = views.open_journal(config)
    row = views.find(journal.sessions(), prefix)
    decision = journal.decision(row.id)
    if decision is None or decision.made is not Made.PENDING:
        state = row.state if decision is None else decision.made
        raise SottoError(
            f"session {row.id[:12]} does not wait for an answer: it is {state}",
            "`party-node sessions` shows those that do",
        )
    approvals.say(config.data_dir, row.id, approve=approve, words=words)
    if not data_directory.runs(config.data_dir):
        return "noted; the node does not run, and hears of it when it starts"
    return _shown(_decided(journal, row.id))


def _decided(journal: Journal, session: str) -> Decision | None:
    limit = time.monotonic() + PATIENCE
    while time.monotonic() < limit:
        decision = journal.decision(session)
        if decision is not None and decision.made is not Made.PENDING:
            return decision
        time.sleep(LOOK_AGAIN)
    return None


def _shown(decision: Decision | None) -> str:
    if decision is None:
        return f"noted; the node has not taken it in within {PATIENCE:g} s"
    if decision.made is Made.JOINED:
        return "joined"
    return f"refused ({decision.code}): {decision.detail}"


def _roles(me: str, spec: SessionSpec) -> list[str]:
    roles = {
        f"our {spec.input} goes in": me in spec.inputs,
        "we compute": me in spec.compute,
        "we learn the answer": me in spec.results,
    }
    return [role for role, ours in roles.items() if ours]


def _account(config: NodeConfig, journal: Journal, spec: SessionSpec) -> tuple[int, int] | None:
    """nano-ε that is left, of how much; None where nothing is limited."""
    source = config.inputs.get(spec.input)
    if spec.epsilon is None or config.name not in spec.inputs or source is None or source.epsilon is None:
        return None
    account = journal.ledger.account(spec.input)
    return source.epsilon - account.spent - account.reserved, source.epsilon


def _left(config: NodeConfig, journal: Journal, spec: SessionSpec) -> list[str]:
    if spec.epsilon is None:
        return []
    account = _account(config, journal, spec)
    if account is None:
        return ["budget          none: asked often enough, this is as good as exact"]
    left, budget = account
    after = text(left - spec.epsilon) if left >= spec.epsilon else "too little"
    return [f"budget          {text(left)} of {text(budget)} left, with this session {after}"]
