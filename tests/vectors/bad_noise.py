"""Specs whose noise is none, and inputs that not even clamping can place."""

from __future__ import annotations

from tests.vectors import reference, story
from tests.vectors.flaws import Vector, flawed
from tests.vectors.private import SALARY
from tests.vectors.votes import noise

NOISE = noise(epsilon=500_000_000, sensitivity=1_000_000, colluders=2)


def specs() -> list[Vector]:
    """Each has one flaw of its noise, or of the function that it is for."""
    good = story.spec(function=SALARY, noise=NOISE)
    poll, three = {"name": "poll"}, len(story.PARTIES)
    flaws: list[tuple[str, Vector, str]] = [
        ("noise of another mechanism", _noise(mechanism="gaussian"), "mechanism"),
        ("an ε of 0", _noise(epsilon=0), "epsilon"),
        ("a negative ε", _noise(epsilon=-1), "epsilon"),
        ("an ε of 2^53 nano-ε", _noise(epsilon=2**53), "epsilon"),
        ("an ε that is a string", _noise(epsilon="500000000"), "epsilon"),
        ("an ε with a point", _noise(epsilon=5e8), "epsilon"),
        ("a Δ of 0", _noise(sensitivity=0), "sensitivity"),
        ("a Δ of 2^63", _noise(sensitivity=2**63), "sensitivity"),
        ("an unknown relation", _noise(relation="swap-one"), "relation"),
        ("as many colluders as compute parties", _noise(colluders=three), "one must be honest"),
        ("minus one colluder", _noise(colluders=-1), "colluders"),
        ("noise with an unknown field", _noise(delta=0), "extra inputs"),
        ("noise without a lower bound", {"function": SALARY | {"lower": None}}, "--lower and --upper"),
        ("noise without an upper bound", {"function": SALARY | {"upper": None}}, "--lower and --upper"),
        (
            "noise on inputs that can only be one number",
            {"function": SALARY | {"lower": "10000.00"}},
            "the same",
        ),
        ("noise on a poll", {"function": poll}, "takes no"),
        ("noise that is a number", {"noise": 500_000_000}, "noise"),
        ("a length of 0", {"function": SALARY | {"length": 0}}, "length"),
        ("a length of more than 2^26", {"function": SALARY | {"length": 2**26 + 1}}, "length"),
    ]
    vectors = [_flawed(name, good, change, says) for name, change, says in flaws]
    return vectors + _orders(good) + _rings() + _histograms()


def _noise(**changes: object) -> Vector:
    return {"noise": NOISE | changes}


def _flawed(name: str, good: Vector, change: Vector, says: str, repair: Vector | None = None) -> Vector:
    given = {"bytes": reference.canonical(good | change).decode()}
    fixed = {"bytes": reference.canonical(good | (repair or {})).decode()}
    return flawed("spec", name, "malformed", says, given, fixed)


def _orders(good: Vector) -> list[Vector]:
    """Fields that lack or that stand elsewhere."""
    moved = {
        key: good["noise"][key] for key in ("epsilon", "mechanism", "sensitivity", "relation", "colluders")
    }
    short = {key: value for key, value in good["noise"].items() if key != "colluders"}
    last = {key: value for key, value in SALARY.items() if key != "name"} | {"name": "sum"}
    without = {key: value for key, value in good.items() if key != "noise"}
    behind = without | {"noise": good["noise"]}
    fixed: Vector = {"bytes": reference.canonical(good).decode()}
    return [
        _flawed("noise in another order", good, {"noise": moved}, "canonical"),
        _flawed("noise that does not say how many collude", good, {"noise": short}, "colluders"),
        _flawed("a function whose name comes last", good, {"function": last}, "canonical"),
        *(
            flawed("spec", name, "malformed", says, {"bytes": reference.canonical(spec).decode()}, fixed)
            for name, spec, says in (
                ("no word about noise", without, "noise"),
                ("noise at the end of the spec", behind, "canonical"),
            )
        ),
    ]


def _rings() -> list[Vector]:
    """3·upper + B, B = 57·upper, and 60·153722867280912930 is 8 less than 2^63."""
    made = []
    for upper in (153_722_867_280_912_930, 153_722_867_280_912_931):
        function = SALARY | {"upper": str(upper), "decimals": 0}
        made.append({"function": function, "noise": noise(sensitivity=upper, colluders=2)})
    fits, overflows = made
    return [_flawed("a sum that its noise could take out of the ring", story.spec(), overflows, "2^63", fits)]


def _histograms() -> list[Vector]:
    function: Vector = {"name": "histogram", "bins": 2}
    good = story.spec(function=function, noise=noise(sensitivity=2))
    flaws: list[tuple[str, Vector, str]] = [
        ("a histogram of one bin", {"function": function | {"bins": 1}}, "bins"),
        ("a histogram of 2^16 + 1 bins", {"function": function | {"bins": 2**16 + 1}}, "bins"),
        ("a histogram with decimals", {"function": function | {"decimals": 0}}, "extra inputs"),
        ("a poll with bounds", {"function": {"name": "poll", "upper": "1"}, "noise": None}, "extra inputs"),
    ]
    return [_flawed(name, good, change, says) for name, change, says in flaws]


def inputs() -> list[Vector]:
    """A value that cannot be read is refused in every session."""
    good: Vector = {"value": ["1"], "decimals": 2, "inputs": 4, "lower": "-10.00", "upper": "10.00"}
    flaws: list[tuple[str, str, list[str]]] = [
        ("NaN", "not a finite number", ["nan"]),
        ("infinity", "not a finite number", ["inf"]),
        ("1e308", "64 bits", ["1e308"]),
        ("20 digits", "64 bits", ["92233720368547758070000000000000000001"]),
        ("19 decimals", "18 decimals", ["0.0000000000000000001"]),
        ("a blank", "blank", [""]),
        ("a word", "not a number", ["many"]),
        ("a yes", "a yes/no answer", ["yes"]),
    ]
    bins: Vector = {"value": ["1"], "bins": 3, "clamp": True}
    ballot: Vector = {"value": ["yes"], "clamp": True}
    exact: Vector = {"value": ["1"], "bins": 3, "clamp": False}
    others: list[tuple[str, str, str, Vector, Vector]] = [
        ("bin", "two bins, clamped", "a list", bins, {"value": ["1", "2"]}),
        ("bin", "a bin that is a yes, clamped", "a yes/no answer", bins, {"value": ["yes"]}),
        ("bin", "bin 0 of an exact histogram", "outside the bounds", exact, {"value": ["0"]}),
        ("bin", "bin 4 of three in an exact histogram", "outside the bounds", exact, {"value": ["4"]}),
        ("bin", "half a bin in an exact histogram", "decimals", exact, {"value": ["1.5"]}),
        ("ballot", "two ballots, clamped", "takes one ballot", ballot, {"value": ["1", "0"]}),
        ("ballot", "maybe, clamped", "not a number", ballot, {"value": ["maybe"]}),
    ]
    return [
        *(
            flawed("clamp", f"clamp: {name}", "input", says, good | {"value": value}, good)
            for name, says, value in flaws
        ),
        *(
            flawed(kind, name, "input", says, usual | change, usual)
            for kind, name, says, usual, change in others
        ),
    ]
