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
from party_node import privacy, views
from party_node.roster import fingerprint
from protocol.bits import Bits
from protocol.dp.noise import Relation
from protocol.functionalities import Boolean
from protocol.functionalities.histogram import Histogram
from protocol.functionalities.poll import Poll
from protocol.functionalities.referendum import Referendum
from protocol.gates import cost
from protocol.spec import SessionSpec
from protocol.states import Outcome, State

_AGAIN = "each further answer costs its own ε, until a party's ledger refuses"
_RELATIONS = {
    Relation.REPLACE_ONE: "replace-one: whatever one party puts in",
    Relation.ADD_REMOVE: "add-remove: whether one party puts something in",
}
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
    function, k = spec.function, len(spec.compute)
    others = sum(k - (name in spec.compute) for name in spec.inputs)
    everybody = ", and everybody: the answer is public" if spec.public else ""
    joining, closing = (spec.join_by - spec.created) / 1000, (spec.close_by - spec.created) / 1000
    return [
        f"{function.name} of the input {spec.input!r} ({terms(spec)})",
        f"input parties   {', '.join(spec.inputs)} (at least {spec.min_inputs})",
        f"compute parties {', '.join(spec.compute)}: only all {k} together could see an input",
        f"result parties  {', '.join(spec.results)}{everybody}",
        *_noise(spec),
        f"not protected   {_not_protected(spec)}",
        f"time            join within {joining:g} s, closed after {closing:g} s",
        f"letters         {others} sealed shares; {_cost(spec)}",
        *(f"identity        {name} {fingerprint(key)}" for name, key in spec.members.items()),
    ]


def terms(spec: SessionSpec) -> str:
    """What a function takes, in words."""
    function, n = spec.function, len(spec.inputs)
    if isinstance(function, Referendum):
        noised = ", with noise" if spec.noise else ""
        least = f"at least {function.threshold} say yes{noised}, {function.least(n)} if all {n} vote"
        return f"yes or no; YES if {least}"
    if isinstance(function, Poll):
        return "yes or no, which each respondent's own node first leaves to two coins"
    if isinstance(function, Histogram):
        return f"the number of a bin, from 1 to {function.bins}"
    lower, upper = ("any" if bound is None else bound for bound in (function.lower, function.upper))
    bounds = f"from {lower} to {upper}"
    if function.lower is None and function.upper is None:
        bounds = "any size that the ring can hold"
    numbers = "" if function.length is None else f"{function.length} numbers, each "
    return f"{numbers}{bounds}, {function.decimals} decimals"


def _not_protected(spec: SessionSpec) -> str:
    if isinstance(spec.function, Poll):
        return f"who says yes is three times likelier to mean it; {_AGAIN}"
    if spec.noise is not None:
        return f"who takes part, and when; {_AGAIN}"
    if isinstance(spec.function, Referendum):
        return "a YES or NO that the other ballots leave to the last one tells what it says"
    return f"all input parties but one, with the answer, can work out the last {spec.input}"


def _noise(spec: SessionSpec) -> list[str]:
    """What an answer that is not exact promises, to whom, and what that costs."""
    found = privacy.view(spec, len(spec.inputs))
    if found is None:
        return []
    k, c, function = found["compute"], found["colluders"], spec.function.name
    if spec.noise is None:
        return [
            f"noise           two coins of each respondent's own: ε {found['epsilon']}, whoever colludes",
            f"                sd {found['deviation']} in the estimate, if all {len(spec.inputs)} answer",
        ]
    promise = f"Δ {found['sensitivity']}, ε {found['epsilon']} ({_RELATIONS[spec.noise.relation]})"
    each = ", in each number" if spec.shape else ""
    dear = [] if found["cost"] == found["epsilon"] else [f"                each input pays ε {found['cost']}"]
    return [
        f"noise           discrete Laplace{privacy.place(function)}: {promise}",
        f"                {privacy.spread(found, function)}{each}, if all {len(spec.inputs)} take part",
        *dear,
        *_colluding(c, k),
    ]


def _colluding(c: int, k: int) -> list[str]:
    """What the collusion bound promises and costs, and what a lower one would buy."""
    cost = f"{_factor(c, k)} times the variance of one discrete Laplace"
    if c == 0:
        return [
            f"colluders       none: even one compute party that learns the answer sees more than ε; {cost}"
        ]
    lines = [f"colluders       any {c} of the {k} compute parties may pool their noise shares; {cost}"]
    if fewer := c // 2:
        instead = f"--colluders {fewer} would cost {_factor(fewer, k)} times"
        lines.append(f"                {instead}, but any {fewer + 1} who pool theirs see more than ε")
    return lines


def _factor(c: int, k: int) -> str:
    return f"{k / (k - c):.3g}"


def _cost(spec: SessionSpec) -> str:
    """Steps that wait for the network, and what the gates need."""
    function, n, k = spec.function, len(spec.inputs), len(spec.compute)
    if not isinstance(function, Boolean):
        return "5 rounds"
    noise = [Bits.zeros(k)] * spec.noise_width
    needed = cost(function.circuit(Bits.zeros(n), Bits.zeros(1), noise))
    return (
        f"6 rounds, and {needed.rounds} of gates for {needed.ands} ANDs, if all {n} vote; "
        f"{spec.triples} triples from oblivious transfer between {k * (k - 1) // 2} pairs"
    )


def session_table(found: list[views.SessionView]) -> Table:
    """Sessions for people."""
    table = Table("session", "function", "state", "result", "why", box=None, pad_edge=False)
    for each in found:
        ending = each["abort"]
        answer = each["result"]
        shown = "" if answer is None else answer if isinstance(answer, str) else f"{len(answer)} elements"
        why = "" if ending is None else f"{ending['reason']}, {ending['detail']}"
        table.add_row(each["session"][:12], each["function"], each["state"], shown, why)
    return table


def as_json(found: object) -> None:
    """One object on stdout and nothing else."""
    say(json.dumps(found))
