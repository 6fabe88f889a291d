"""What is shown of a session's noise: what it promises, and how far it moves the answer."""

from __future__ import annotations

from decimal import ROUND_CEILING, ROUND_HALF_EVEN, Context, Decimal
from fractions import Fraction
from math import sqrt
from typing import NotRequired, TypedDict

from protocol.dp import accuracy, epsilon
from protocol.dp.noise import Noise, Relation
from protocol.encoding import from_units
from protocol.spec import SessionSpec

DIGITS = 3  # significant ones that are shown of a deviation, and all before the point
_EXACT = Context(prec=60)


class PrivacyView(TypedDict):
    """The noise of one session, the same object wherever `--json` shows one; numbers are decimal strings."""

    mechanism: str
    relation: str
    sensitivity: NotRequired[str]  # Δ, on the scale of what is summed
    epsilon: str  # under that relation,
    cost: str  # and what each input pays for it in the ledger, which counts under replace-one
    colluders: int  # compute parties that may pool all they have and still see no more than ε allows,
    compute: int  # and how many compute parties there are
    deviation: str  # standard deviation of the noise in the answer, of each number of it
    interval: NotRequired[str]  # 95 % of the time the noise moves a number by no more than this


def view(spec: SessionSpec, inputs: int) -> PrivacyView | None:
    """A session's noise in an answer over so many inputs; None if the answer is exact."""
    if spec.epsilon is None:
        return None
    cost, compute = epsilon.text(spec.epsilon), len(spec.compute)
    if spec.noise is None:
        return _randomised_response(cost, compute, inputs)
    decimals = spec.function.domain(len(spec.inputs)).decimals  # fewer might not be able to reach a threshold
    sensitivity = from_units(spec.noise.sensitivity, decimals)
    return _discrete_laplace(spec.noise, cost, sensitivity, compute, spec.function.unit(inputs))


def _discrete_laplace(
    noise: Noise, cost: str, sensitivity: Decimal, compute: int, unit: Fraction
) -> PrivacyView:
    """So many compute parties add it; `unit` is what 1 of it is in the answer."""
    dealt = compute, noise.parts(compute), noise.rate
    return {
        "mechanism": noise.mechanism,
        "relation": str(noise.relation),
        "sensitivity": _plain(sensitivity),
        "epsilon": epsilon.text(noise.epsilon),
        "cost": cost,
        "colluders": noise.colluders,
        "compute": compute,
        "deviation": _figure(Fraction(accuracy.deviation(*dealt)) * unit, ROUND_HALF_EVEN),
        "interval": _figure(accuracy.half_width(*dealt) * unit, ROUND_CEILING),
    }


def _randomised_response(cost: str, compute: int, inputs: int) -> PrivacyView:
    """Each respondent's own coins; the estimate's deviation is √(3/(4n)), whatever the truth."""
    return {
        "mechanism": "randomised-response",
        "relation": str(Relation.REPLACE_ONE),
        "epsilon": "ln 3",
        "cost": cost,
        "colluders": compute,
        "compute": compute,
        "deviation": _figure(Fraction(sqrt(3 / (4 * inputs))), ROUND_HALF_EVEN),
    }


def line(found: PrivacyView, function: str) -> str:
    """Discrete Laplace noise in one line."""
    dear = "" if found["cost"] == found["epsilon"] else f", for which each input pays {found['cost']}"
    promise = f"Δ {found['sensitivity']}, ε {found['epsilon']} ({found['relation']}){dear}"
    whom = f"against {found['colluders']} of {found['compute']} colluding"
    return f"noise{place(function)}: discrete Laplace, {promise}, {whom}; {spread(found, function)}"


def place(function: str) -> str:
    """What the noise is added to, where that is not the answer itself."""
    return " on the hidden count" if function == "referendum" else ""


def spread(found: PrivacyView, function: str) -> str:
    """How far discrete Laplace noise moves a number."""
    ballots = " ballots" if function == "referendum" else ""
    return f"sd {found['deviation']}{ballots}, 95 % of the time within ±{found['interval']}"


def _figure(value: Fraction, rounding: str) -> str:
    """At least three significant digits of what is not negative: none before the point is rounded."""
    exact = _EXACT.divide(Decimal(value.numerator), Decimal(value.denominator))
    places = max(DIGITS - 1 - exact.adjusted(), 0) if exact else 0
    return _plain(exact.quantize(Decimal(1).scaleb(-places), rounding, _EXACT))


def _plain(value: Decimal) -> str:
    """Without zeros at the end that say nothing: 10000.00 is 10000."""
    text = f"{value:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
