"""What a node's operator sees of its sessions, read from the journal beside the running node."""

from __future__ import annotations

from typing import NotRequired, TypedDict, cast

from party_node import privacy
from party_node.config import CoordinatorConfig, NodeConfig
from party_node.daemon import JOURNAL
from party_node.journal import Journal, SessionRow
from party_node.privacy import PrivacyView
from protocol.errors import SottoError
from protocol.states import Outcome, State


class EndingView(TypedDict):
    """Why a session ended without an answer."""

    reason: str
    detail: str
    silent: list[str]
    culprit: str | None
    reported_by: str | None


class SessionView(TypedDict):
    """One session, the same object wherever `--json` shows one."""

    session: str
    function: str
    state: str
    result: str | list[str] | None
    inputs: list[str]
    parties: list[str]
    elapsed_s: float | None
    abort: EndingView | None
    privacy: NotRequired[PrivacyView]  # where the answer is not exact
    n: NotRequired[int]  # of a referendum or poll with an answer: how many were counted;
    T: NotRequired[int]  # of a referendum, how many had to say yes;
    yes: NotRequired[int]  # of a poll, how many randomised answers do,
    standard_error: NotRequired[str]  # and the estimate's
    pending: NotRequired[object]  # where a person is asked; see asking.py


def open_journal(config: NodeConfig | CoordinatorConfig) -> Journal:
    """The node's journal, to read; SottoError if there is none yet."""
    path = config.data_dir / JOURNAL
    if not path.exists():
        raise SottoError(f"{path}: no journal yet", "has this node been started?")
    return Journal(path)


def find(rows: list[SessionRow], prefix: str) -> SessionRow:
    """The one session whose id starts with `prefix`."""
    found = [row for row in rows if row.id.startswith(prefix)]
    if len(found) != 1:
        problem = "no session" if not found else f"{len(found)} sessions"
        raise SottoError(f"{problem} whose id starts with {prefix}", "`sessions` or `list` shows the ids")
    return found[0]


def ending_view(outcome: Outcome | None) -> EndingView | None:
    """An ending as data."""
    ending = None if outcome is None else outcome.ending
    if ending is None:
        return None
    return {
        "reason": str(ending.reason),
        "detail": ending.detail,
        "silent": list(ending.silent),
        "culprit": ending.culprit,
        "reported_by": ending.reported_by,
    }


def session_view(row: SessionRow, *, answers: bool = True) -> SessionView:
    """A session of the journal as data; without `answers` nothing that its answer tells."""
    spec, outcome = row.spec, row.outcome
    answer = None if outcome is None or outcome.state is not State.COMPLETED else outcome.answer
    inputs = [] if outcome is None else list(outcome.inputs)
    view: SessionView = {
        "session": row.id,
        "function": spec.function.name,
        "state": str(row.state),
        "result": None,
        "inputs": inputs,
        "parties": list(spec.members),
        "elapsed_s": None if row.ended is None else (row.ended - row.joined) / 1000,
        "abort": ending_view(outcome),
    }
    # Before it is known whose inputs count, all of them might.
    if noise := privacy.view(spec, len(inputs) or len(spec.inputs)):
        view["privacy"] = noise
    if answer is None or not answers:
        return view
    view["result"] = spec.function.text(answer, len(inputs))
    return cast("SessionView", {**view, **spec.function.facts(answer, len(inputs))})


def sessions(config: NodeConfig) -> list[SessionView]:
    """Every session, oldest first, without the answers."""
    return [session_view(row, answers=False) for row in open_journal(config).sessions()]


def session_lines(found: list[SessionView]) -> list[str]:
    """Sessions for people."""
    if not found:
        return ["no sessions yet"]
    return [f"{each['session'][:12]}  {each['function']:10}  {_state_line(each)}" for each in found]


def result(config: NodeConfig | CoordinatorConfig, prefix: str) -> SessionView:
    """One session with its answer."""
    return session_view(find(open_journal(config).sessions(), prefix))


def result_lines(found: SessionView) -> list[str]:
    """An answer for people; `average = 3171.50`, and the noise in it, if there is any."""
    answer, function = found["result"], found["function"]
    if answer is None:
        return [_state_line(found)]
    noise = found.get("privacy")
    noised = [] if noise is None or "interval" not in noise else [privacy.line(noise, function)]
    if isinstance(answer, str):
        return [f"{function} = {answer}{_terms(found)}", *noised]
    return [f"{function} = [{len(answer)} elements]", *answer, *noised]


def _terms(found: SessionView) -> str:
    """What must be known to read the answer."""
    if "T" in found and "n" in found:
        noised = ", with noise" if "privacy" in found else ""
        return f" (at least {found['T']} of {found['n']} ballots{noised})"
    if "standard_error" in found and "privacy" in found:
        said = f"{found['yes']} of {found['n']} answers say yes"
        paid = f"each respondent paid ε = {found['privacy']['epsilon']}"
        return f" (standard error {found['standard_error']}; {said}; {paid})"
    return ""


def _state_line(found: SessionView) -> str:
    ending = found["abort"]
    return found["state"] if ending is None else f"{found['state']}: {ending['reason']}, {ending['detail']}"
