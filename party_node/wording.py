"""A session in plain words: who computes what, who learns what, and what is not protected."""

from __future__ import annotations

from party_node import privacy
from protocol.bits import Bits
from protocol.dp.noise import Relation
from protocol.functionalities import Boolean
from protocol.functionalities.histogram import Histogram
from protocol.functionalities.poll import Poll
from protocol.functionalities.referendum import Referendum
from protocol.gates import cost
from protocol.spec import SessionSpec

_AGAIN = "each further answer costs its own ε, until a party's ledger refuses"
_RELATIONS = {
    Relation.REPLACE_ONE: "replace-one: whatever one party puts in",
    Relation.ADD_REMOVE: "add-remove: whether one party puts something in",
}


def question(spec: SessionSpec) -> list[str]:
    """What everybody should know before saying yes."""
    everybody = ", and everybody: the answer is public" if spec.public else ""
    together = f"only all {len(spec.compute)} together could see an input"
    return [
        f"{spec.function.name} of the input {spec.input!r} ({terms(spec)})",
        f"input parties   {', '.join(spec.inputs)} (at least {spec.min_inputs})",
        f"compute parties {', '.join(spec.compute)}: {together}",
        f"result parties  {', '.join(spec.results)}{everybody}",
        *_noise(spec),
        f"not protected   {_not_protected(spec)}",
    ]


def letters(spec: SessionSpec) -> str:
    """What a session costs the network."""
    k = len(spec.compute)
    others = sum(k - (name in spec.compute) for name in spec.inputs)
    return f"{others} sealed shares; {_cost(spec)}"


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
