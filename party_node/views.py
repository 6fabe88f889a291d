"""What a node's operator sees of its sessions, read from the journal beside the running node."""

from __future__ import annotations

from typing import Any, TypedDict

from party_node.config import CoordinatorConfig, NodeConfig
from party_node.daemon import JOURNAL
from party_node.journal import Journal, SessionRow
from party_node.seal import Seal
from protocol import ring, sharing
from protocol.errors import SottoError
from protocol.functionalities import Answer
from protocol.letters import Letter, parse
from protocol.ring import Ring
from protocol.sealed import Unsealed
from protocol.secret import SEED_BYTES
from protocol.session import Session
from protocol.spec import SessionSpec
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


def spec_of(row: SessionRow) -> SessionSpec:
    """The spec that was announced."""
    return SessionSpec.decode(parse(row.announce).body)


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


def session_view(row: SessionRow) -> SessionView:
    """A session of the journal as data."""
    spec, outcome = spec_of(row), row.outcome
    answer = None if outcome is None or outcome.state is not State.COMPLETED else outcome.answer
    return {
        "session": row.id,
        "function": spec.function.name,
        "state": str(row.state),
        "result": None if answer is None else answer.text(),
        "inputs": [] if outcome is None else list(outcome.inputs),
        "parties": list(spec.members),
        "elapsed_s": None if row.ended is None else (row.ended - row.joined) / 1000,
        "abort": ending_view(outcome),
    }


def sessions(config: NodeConfig) -> list[SessionView]:
    """Every session, oldest first, without the answers."""
    return [{**session_view(row), "result": None} for row in open_journal(config).sessions()]


def session_lines(found: list[SessionView]) -> list[str]:
    """Sessions for people."""
    if not found:
        return ["no sessions yet"]
    return [f"{each['session'][:12]}  {each['function']:8}  {_state_line(each)}" for each in found]


def result(config: NodeConfig, prefix: str) -> SessionView:
    """One session with its answer."""
    return session_view(find(open_journal(config).sessions(), prefix))


def result_lines(found: SessionView) -> list[str]:
    """An answer for people; `average = 3171.50`."""
    answer = found["result"]
    if answer is None:
        return [_state_line(found)]
    if isinstance(answer, str):
        return [f"{found['function']} = {answer}"]
    return [f"{found['function']} = [{len(answer)} elements]", *answer]


def _state_line(found: SessionView) -> str:
    ending = found["abort"]
    return found["state"] if ending is None else f"{found['state']}: {ending['reason']}, {ending['detail']}"


# -- replay: what a node sent, held and learned --------------------------------------------------------


def replay(config: NodeConfig, prefix: str) -> dict[str, Any]:
    """Run a session again from its journal, and note the share that each letter carried."""
    journal = open_journal(config)
    row = find(journal.sessions(), prefix)
    if row.seed is None:
        raise SottoError(
            f"the secrets of session {row.id[:12]} are deleted",
            "only with `keep_sessions` in the config does a journal keep them after the end",
        )
    spec = spec_of(row)
    seal = Seal(row.id, config.name, row.seed, bytes)
    opened: dict[tuple[str, str], Unsealed] = {}

    def unseal(letter: Letter, view: bytes) -> Unsealed:
        opened[letter.step, letter.sender] = seal.unseal(letter, view)
        return opened[letter.step, letter.sender]

    value = journal.value(row.id)
    machine = Session(spec, row.id, config.name, row.seed, value, unseal, seal.usable)
    letters = machine.join(seal.public_key, row.joined)
    for at, payload in journal.arrivals(row.id):
        letters += machine.receive(parse(payload), at) if payload else machine.tick(at)
    shape = machine.shape
    sent = {
        letter.to: letter.seed.expand(shape) if letter.seed else ring.from_bytes(letter.body, shape)
        for letter in letters
        if letter.step == "share"
    }
    own = None if value is None else value - sum(sent.values(), start=value * 0)
    held = {
        sender: each.seed.expand(shape) if each.seed else ring.from_bytes(each.body, shape)
        for (step, sender), each in opened.items()
        if step == "share"
    }
    learned = {
        sender: ring.from_bytes(each.body[SEED_BYTES:], shape)
        for (step, sender), each in opened.items()
        if step == "reveal"
    }
    outcome = machine.outcome
    return {
        "session": row.id,
        "party": config.name,
        "input": None if value is None else Answer(ring.to_signed(value), spec.function.decimals).text(),
        "sent": _shown(sent),
        "kept": None if own is None else _numbers(own),
        "held": _shown(held),
        "output": _numbers(_output(held, own, outcome, config.name)) if held else None,
        "learned": _shown(learned),
        "result": None if outcome.answer is None else outcome.answer.text(),
    }


def _output(held: dict[str, Ring], own: Ring | None, outcome: Outcome, me: str) -> Ring:
    """A compute party's own output share: what it holds of the inputs that count."""
    every = held if own is None else {**held, me: own}
    return sharing.reconstruct((every[name] for name in outcome.inputs), next(iter(held.values())).shape)


def _numbers(elements: Ring) -> str | list[str]:
    return str(int(elements)) if elements.ndim == 0 else [str(each) for each in elements.tolist()]


def _shown(shares: dict[str, Ring]) -> dict[str, str | list[str]]:
    return {name: _numbers(elements) for name, elements in shares.items()}


def replay_lines(found: dict[str, Any]) -> list[str]:
    """A replay for people."""
    lines = [f"{found['party']} in session {found['session'][:12]}"]
    for key in ("input", "kept", "sent", "held", "output", "learned", "result"):
        value = found[key]
        if isinstance(value, dict):
            lines += [f"{key:8} {name}: {each}" for name, each in value.items()]
        elif value is not None:
            lines.append(f"{key:8} {value}")
    return lines
