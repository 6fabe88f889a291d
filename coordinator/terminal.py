"""All wording of the coordinator's command line: data on stdout, progress on stderr."""

from __future__ import annotations

import json
import sys
from types import TracebackType

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from coordinator.observe import SessionView
from party_node import views, wording
from party_node.roster import fingerprint
from protocol.spec import SessionSpec
from protocol.states import Outcome, State

errors = Console(stderr=True, highlight=False)
output = Console(highlight=False)


def say(line: str) -> None:
    """Data, on stdout."""
    sys.stdout.write(f"{line}\n")


def note(line: str) -> None:
    """What is happening, on stderr."""
    errors.print(Text(line), soft_wrap=True)


class Progress:
    """Who has joined, sent and confirmed; one line that changes on a terminal, a line a state elsewhere."""

    def __init__(self, *, quiet: bool) -> None:
        self._live = Live(console=errors, refresh_per_second=10, transient=True)
        self._on_terminal = errors.is_terminal and not quiet
        self._quiet = quiet
        self._last: State | None = None

    def __enter__(self) -> Progress:
        if self._on_terminal:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._on_terminal:
            self._live.stop()

    def __call__(self, view: SessionView, outcome: Outcome) -> None:
        line = progress_line(view, outcome)
        if self._on_terminal:
            self._live.update(Text(line))
        elif outcome.state is not self._last and not self._quiet:
            note(line)
        self._last = outcome.state


def progress_line(view: SessionView, outcome: Outcome) -> str:
    """Where a session stands, in one line."""
    spec = view.spec
    parts = [f"session {view.id[:12]}", str(outcome.state), f"joined {len(view.joined)}/{len(spec.members)}"]
    if view.refused:
        parts.append("refused " + ", ".join(f"{name} ({code})" for name, code in view.refused.items()))
    if view.received:
        parts.append(f"shares complete at {len(view.received)}/{len(spec.compute)}")
    if view.confirmed:
        parts.append(f"confirmed {len(view.confirmed)}/{len(spec.results)}")
    return " · ".join(parts)


def ended(found: views.SessionView, coordinator: str, spec: SessionSpec) -> list[str]:
    """How a session ended, for people."""
    answer = found["result"]
    if answer is not None:
        return views.result_lines(found)
    if found["state"] == State.COMPLETED:
        readers = ", ".join(name for name in spec.results if name != coordinator)
        return [
            f"completed; the result is at {readers}: party-node result {found['session'][:12]} --config …"
        ]
    ending = found["abort"]
    if ending is None:
        return [f"still {found['state']}; coordinator watch {found['session'][:12]} follows it"]
    lines = [f"{found['state']}: {ending['reason']}, {ending['detail']}"]
    if ending["silent"]:
        lines.append(f"silent: {', '.join(ending['silent'])}")
    if ending["culprit"]:
        lines.append(f"culprit: {ending['culprit']}")
    return lines


def dry_run(spec: SessionSpec) -> list[str]:
    """What would be announced, in plain words: who computes what, who learns what, what it costs."""
    joining, closing = (spec.join_by - spec.created) / 1000, (spec.close_by - spec.created) / 1000
    return [
        *wording.question(spec),
        f"time            join within {joining:g} s, closed after {closing:g} s",
        f"letters         {wording.letters(spec)}",
        *(f"identity        {name} {fingerprint(key)}" for name, key in spec.members.items()),
    ]


def session_table(found: list[views.SessionView]) -> Table:
    """Sessions for people."""
    table = Table("session", "function", "state", "result", "why", box=None, pad_edge=False)
    for each in found:
        ending = each["abort"]
        answer = each["result"]
        shown = "" if answer is None else answer if isinstance(answer, str) else f"{len(answer)} elements"
        why = "" if ending is None else f"{ending['reason']}, {ending['detail']}"
        cells = (each["session"][:12], each["function"], each["state"], shown, why)
        table.add_row(*(Text(cell) for cell in cells))  # others' words are no markup
    return table


def as_json(found: object) -> None:
    """One object on stdout and nothing else."""
    say(json.dumps(found))
