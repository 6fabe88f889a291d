"""Vectors of noise: Δ, rate and bound, noise shares, the noised circuit, coins, and what is clamped."""

from __future__ import annotations

import hashlib
from fractions import Fraction

from tests.vectors import correlated, reference, reference_gates, story
from tests.vectors import reference_noise as noise
from tests.vectors.flaws import Vector
from tests.vectors.reference_transfers import packed
from tests.vectors.story import secret
from tests.vectors.votes import NOISED

SALARY: Vector = {"name": "sum", "lower": "0", "upper": "10000.00", "decimals": 2, "length": None}


def vectors() -> list[Vector]:
    """From the parameters to a share, and what a poll adds."""
    return [
        *(_sensitivity(*each) for each in FUNCTIONS),
        *(_tail(*each) for each in PARAMETERS),
        *_widths(),
        *_refusals(),
        *(_share(*each) for each in SHARES),
        *(_answer(number, truth) for number in range(4) for truth in (0, 1)),
    ]


# -- what is agreed ------------------------------------------------------------------------------------

FUNCTIONS: list[tuple[Vector, str]] = [
    (SALARY, "replace-one"),
    (SALARY, "add-remove"),
    (SALARY | {"lower": "-10.5", "upper": "7", "decimals": 3}, "replace-one"),
    (SALARY | {"length": 4}, "replace-one"),
    (SALARY | {"name": "average", "decimals": 2}, "replace-one"),
    ({"name": "histogram", "bins": 10}, "replace-one"),
    ({"name": "histogram", "bins": 10}, "add-remove"),
    ({"name": "referendum", "threshold": "2/3"}, "replace-one"),
    ({"name": "referendum", "threshold": "2/3"}, "add-remove"),
]
PARAMETERS = [  # nano-ε, Δ, k, c
    (1_000_000_000, 1, 3, 2),
    (1_000_000_000, 1, 3, 1),
    (1_000_000_000, 1, 2, 0),
    (500_000_000, 1_000_000, 5, 4),
    (100_000_000, 2, 10, 9),
    (1, 1, 3, 2),
    (2**53 - 1, 1, 3, 2),
    (333_333_333, 7, 100, 50),
]


def _sensitivity(function: Vector, relation: str) -> Vector:
    object_ = reference.canonical(function).decode()
    return {
        "name": f"Δ of {object_} under {relation}",
        "kind": "sensitivity",
        "given": {"function": object_, "relation": relation},
        "expect": {"sensitivity": noise.sensitivity(function, relation)},
    }


def _tail(nano: int, sensitivity: int, compute: int, colluders: int) -> Vector:
    a = noise.rate(nano, sensitivity)
    return {
        "name": f"ε = {nano} nano, Δ = {sensitivity}, {colluders} of {compute} collude",
        "kind": "tail",
        "given": {"epsilon": nano, "sensitivity": sensitivity, "compute": compute, "colluders": colluders},
        "expect": {"rate": str(a), "bound": noise.tail(a, compute, colluders)},
    }


def _widths() -> list[Vector]:
    fields = NOISED.fields
    cheap = fields | {"noise": fields["noise"] | {"epsilon": 10_000_000}}
    whole = fields | {"noise": fields["noise"] | {"epsilon": 2**53 - 1, "colluders": 2}}
    exact = fields | {"noise": None}
    summed = story.spec(function=SALARY, noise=fields["noise"] | {"sensitivity": 1_000_000})
    return [
        _width("the noised referendum", fields),
        _width("with ε = 0.01", cheap),
        _width("with the largest ε and c = k − 1", whole),
        _width("without noise", exact),
        _width("of a sum, which has no gates", summed),
    ]


def _width(name: str, spec: Vector) -> Vector:
    ballots, parties, m, triples = len(spec["inputs"]), len(spec["compute"]), 0, 0
    if spec["function"]["name"] == "referendum":
        triples = ballots - 1
        if spec["noise"] is not None:
            a = noise.rate(spec["noise"]["epsilon"], spec["noise"]["sensitivity"])
            m = noise.width(ballots, noise.tail(a, parties, spec["noise"]["colluders"]))
            triples = sum(reference_gates.widths_noised(ballots, parties, m))
    return {
        "name": f"m and N: {name}",
        "kind": "width",
        "given": {"bytes": reference.canonical(spec).decode()},
        "expect": {"width": m, "triples": triples},
    }


def _refusals() -> list[Vector]:
    """Noise for another Δ than the function has is too little, or none that anybody asked for."""
    bins: Vector = {"name": "histogram", "bins": 3}
    cases: list[tuple[Vector, int, str, str | None]] = [
        (SALARY, 1_000_000, "replace-one", None),
        (SALARY, 999_999, "replace-one", "spec"),
        (SALARY, 1_000_001, "replace-one", "spec"),
        (SALARY | {"length": 3}, 1_000_000, "replace-one", "spec"),
        (bins, 2, "replace-one", None),
        (bins, 1, "replace-one", "spec"),
        (bins, 1, "add-remove", None),
        (NOISED.fields["function"], 2, "replace-one", "spec"),
    ]
    return [_refusal(*each) for each in cases]


def _refusal(function: Vector, sensitivity: int, relation: str, code: str | None) -> Vector:
    changed = NOISED.fields["noise"] | {"sensitivity": sensitivity, "relation": relation}
    spec = NOISED.fields | {"function": function, "noise": changed}
    return {
        "name": f"Δ = {sensitivity} under {relation} for {reference.canonical(function).decode()}",
        "kind": "refusal",
        "given": {"bytes": reference.canonical(spec).decode(), "me": "bob"},
        "expect": {"code": code},
    }


# -- noise shares --------------------------------------------------------------------------------------

SHARES = [  # k − c, a, elements
    (1, Fraction(1), 8),
    (1, Fraction(1, 2_000_000), 4),
    (2, Fraction(1, 2), 8),
    (2, Fraction(5), 16),
    (3, Fraction(1, 1_000_000), 5),
    (7, Fraction(3, 10_000), 6),
    (100, Fraction(1, 50), 40),
    (1, Fraction(70), 4),
    (2, Fraction(2**53 - 1, 10**9), 4),
    (2, Fraction(333_333_333, 7_000_000_000), 4097),
    (1, Fraction(1, 10), 4097),
    (1, Fraction(1, 2**63), 6),
    (4, Fraction(1, 2**57), 6),
]


def _share(parts: int, a: Fraction, number: int) -> Vector:
    seed = secret(f"noise of {parts}, {a}")
    elements = noise.noise_share(parts, a, number, seed)
    raw = reference.ring_bytes(elements)
    few = {"elements": [str(noise.signed(each)) for each in elements]}
    return {
        "name": f"{number} elements of noise: r = 1/{parts}, a = {a}",
        "kind": "noise-share",
        "given": {"parts": parts, "rate": str(a), "count": number, "seed": seed.hex()},
        "expect": {"sha256": hashlib.sha256(raw).hexdigest()} if number > 64 else few,
    }


# -- a poll --------------------------------------------------------------------------------------------


def _answer(number: int, truth: int) -> Vector:
    seed = _with_coins(number)
    return {
        "name": f"a respondent with the coins {number % 2} and {number // 2} whose truth is {truth}",
        "kind": "randomise",
        "given": {"seed": seed.hex(), "truth": truth},
        "expect": {"answer": noise.answer(truth, seed)},
    }


def _with_coins(number: int) -> bytes:
    """The first seed whose two coins are these."""
    seeds = (secret(f"respondent {each}") for each in range(1000))
    return next(s for s in seeds if reference.derive(s, "randomised response", length=1)[0] % 4 == number)


# -- the noised circuit --------------------------------------------------------------------------------


def circuits() -> list[Vector]:
    """What a party enters, whole circuits on shares, and what others cost."""
    runs = [
        ("1", 1, [0, 0], 3),
        ("1011", 3, [-3, 2, 1], 7),
        ("1011", 4, [0, -1, 1], 7),
        ("110100", 4, [25, -20, -3, -1], 8),
        ("11111", 1, [-30, 12, 13], 7),
    ]
    sizes = [
        (1, 2, 2),
        (4, 3, 7),
        (5, 5, 12),
        (20, 3, 10),
        (100, 3, 15),
        (33, 20, 14),
        (1000, 3, 12),
        (7, 2, 40),
    ]
    sizes += [(3, 10, 64)]
    entered = [(-3, 3, 0, 7), (-3, 3, 1, 7), (2, 1, 0, 3), (-(2**63), 5, 0, 64), (2**63 - 1, 5, 2, 12)]
    return [
        *(_entered(*each) for each in entered),
        *(_noised([int(bit) for bit in ballots], *rest) for ballots, *rest in runs),  # type: ignore[arg-type] # rows of one kind
        *(_cost(*each) for each in sizes),
    ]


def _entered(own: int, threshold: int, party: int, width: int) -> Vector:
    v = reference_gates.entered(own, threshold, party, width)
    return {
        "name": f"what party {party} enters for the noise {own}, T = {threshold}, m = {width}",
        "kind": "entered",
        "given": {"noise": str(own), "threshold": threshold, "party": party, "parties": 3, "width": width},
        "expect": {"bits": packed([v >> place & 1 for place in range(width)]).hex()},
    }


def _noised(ballots: list[int], threshold: int, own: list[int], width: int) -> Vector:
    parties, label = len(own), f"{ballots} {threshold} {own}"
    count = sum(reference_gates.widths_noised(len(ballots), parties, width))
    evaluation = reference_gates.Evaluation(correlated.dealt(parties, count, label))
    shares = correlated.shared(ballots, parties, label)
    entered = [reference_gates.entered(each, threshold, j, width) for j, each in enumerate(own)]
    result = evaluation.reaches_noised(shares, entered, width)
    if reference_gates.value(result) != (sum(ballots) + sum(own) >= threshold):
        raise ValueError("the circuit is wrong")
    return {
        "name": f"{sum(ballots)} of {len(ballots)} say yes, the noise is {sum(own)}: {threshold} or more?",
        "kind": "reaches-noised",
        "given": {
            "ballots": correlated.by_party(shares, parties),
            "ballots_count": len(ballots),
            "threshold": threshold,
            "noise": own,
            "width": width,
            "triples": correlated.triples_of(evaluation),
            "count": count,
        },
        "expect": correlated.evaluated(evaluation, result),
    }


def _cost(ballots: int, parties: int, width: int) -> Vector:
    return {
        "name": f"ANDs of each round for {ballots} ballots and the noise of {parties} in {width} bits",
        "kind": "cost-noised",
        "given": {"ballots": ballots, "parties": parties, "width": width},
        "expect": {"ands": reference_gates.widths_noised(ballots, parties, width)},
    }


# -- inputs and answers --------------------------------------------------------------------------------


def clamped() -> list[Vector]:
    """Values that are moved into a noised session's bounds, and bins."""
    cents: Vector = {"decimals": 2, "inputs": 4, "lower": "-10.00", "upper": "10.00"}
    whole: Vector = {"decimals": 0, "inputs": 4, "lower": "-3", "upper": "7"}
    # 10^18 is a unit: what does not fit 64 bits lies above, or below, all the same.
    fine: Vector = {"decimals": 18, "inputs": 1, "lower": "-9", "upper": "9"}
    values: list[tuple[str, list[str], Vector, list[int]]] = [
        ("a value within", ["3.10"], cents, [310]),
        ("a value above", ["10.01"], cents, [1000]),
        ("a value below", ["-99999"], cents, [-1000]),
        ("more decimals, rounded", ["1.234"], cents, [123]),
        ("half a unit is rounded up", ["1.235"], cents, [124]),
        ("minus half a unit, too", ["-1.235"], cents, [-123]),
        ("a little less than half", ["-1.2351"], cents, [-124]),
        ("half a unit above the bound", ["10.005"], cents, [1000]),
        ("minus zero", ["-0.0"], cents, [0]),
        ("minus a half", ["-0.5"], whole, [0]),
        ("a list", ["-0.6", "7.5", "6.5", "-4"], whole, [-1, 7, 7, -3]),
        ("19 digits", ["9223372036854775807"], whole, [7]),
        ("18 decimals", ["0.000000000000000001"], whole, [0]),
        ("beyond 64 bits in units, above", ["9999"], fine, [9 * 10**18]),
        ("beyond 64 bits in units, below", ["-9999"], fine, [-9 * 10**18]),
    ]
    ballots = [("yes", 1), ("0.5", 1), ("0.49", 0), ("-7", 0), ("7", 1)]
    return [
        *(_clamp(*each) for each in values),
        *(_bin(*each) for each in [("1", 1), ("3", 3), ("3.0", 3)]),
        *(_bin(*each, clamp=True) for each in [("0", 1), ("4", 3), ("2.5", 3), ("2.49", 2), ("-1e9", 1)]),
        *(_ballot(word, bit) for word, bit in ballots),
    ]


def _clamp(name: str, value: list[str], limits: Vector, units: list[int]) -> Vector:
    return {
        "name": f"clamp: {name}",
        "kind": "clamp",
        "given": {"value": value} | limits,
        "expect": {"ring": reference.ring_bytes(units).hex()},
    }


def _bin(value: str, bin_: int, *, clamp: bool = False) -> Vector:
    return {
        "name": f"bin {value} of three{', clamped' if clamp else ''}",
        "kind": "bin",
        "given": {"value": [value], "bins": 3, "clamp": clamp},
        "expect": {"ring": reference.ring_bytes([int(each == bin_) for each in (1, 2, 3)]).hex()},
    }


def _ballot(word: str, bit: int) -> Vector:
    return {
        "name": f"ballot: {word}, clamped",
        "kind": "ballot",
        "given": {"value": [word], "clamp": True},
        "expect": {"ring": reference.ring_bytes([bit]).hex()},
    }


def answers() -> list[Vector]:
    """Noised sums, histograms and polls."""
    opened: list[tuple[str, list[int], int, Vector, list[str]]] = [
        ("sum", [-317], 3, {"decimals": 2}, ["-3.17"]),
        ("sum", [-(2**63)], 3, {"decimals": 0}, ["-9223372036854775808"]),
        ("average", [-317], 3, {"decimals": 2}, ["-1.06"]),
        ("histogram", [3, -2, 0], 4, {"bins": 3}, ["3", "-2", "0"]),
        ("poll", [3], 4, {}, ["1.0000"]),
        ("poll", [0], 4, {}, ["-0.5000"]),
        ("poll", [5], 12, {}, ["0.3333"]),
        ("poll", [1], 32, {}, ["-0.4375"]),
        ("poll", [1], 16_000, {}, ["-0.4999"]),
    ]
    errors = {4: "0.4330", 12: "0.2500", 32: "0.1531", 16_000: "0.0068"}
    return [
        {
            "name": f"{function} of {inputs}: {elements}",
            "kind": "decode",
            "given": {
                "function": function,
                "ring": reference.ring_bytes(elements).hex(),
                "scalar": function != "histogram",
                "inputs": inputs,
            }
            | parameters,
            "expect": {"text": text}
            | ({"standard_error": errors[inputs], "yes": elements[0]} if function == "poll" else {}),
        }
        for function, elements, inputs, parameters, text in opened
    ]
