"""Points, letters and rounds that must be refused: each has one flaw, and `repair` is what takes it away."""

from __future__ import annotations

import json

from tests.vectors import correlated, reference, referendum
from tests.vectors import reference_transfers as transfers
from tests.vectors.flaws import Vector, flawed
from tests.vectors.story import b64


def vectors() -> list[Vector]:
    """In the order of the letters."""
    return _offers() + _points() + _lengths() + _paddings()


def _offers() -> list[Vector]:
    """carlos joins with a point that alice, who is S, cannot use."""
    good = referendum.meeting("alice", "carlos")
    flaws = [(name, says, b64(raw)) for name, says, raw in correlated.bad_points()]
    repair = {"joins": good["joins"]}
    return [
        flawed("meet", f"a join that offers {name}", "offer", says, good | {"joins": joins}, repair)
        for name, says, offered in [*flaws, ("nothing", "without a point", None)]
        for joins in [good["joins"] | {"carlos": _with_offer(good["joins"]["carlos"], offered)}]
    ]


def _with_offer(join: str, offered: str | None) -> str:
    return reference.canonical(json.loads(join) | {"offer": offered}).decode()


def _points() -> list[Vector]:
    """Points from S that R cannot use."""
    good = _given("accept")
    points, repair = bytes.fromhex(good["points"]), {"points": good["points"]}
    flaws = correlated.bad_points()
    return [
        flawed(
            "accept",
            f"points of which number {place} is {name}",
            "malformed",
            f"point {place} of the base transfers",
            good | {"points": (points[: 32 * place] + raw + points[32 * place + 32 :]).hex()},
            repair,
        )
        for place, (name, _, raw) in [*enumerate(flaws), (63, flaws[0])]
    ]


def _lengths() -> list[Vector]:
    """Letters that are too short or too long."""
    flaws: list[tuple[str, Vector, str, str]] = [
        ("accept", _given("accept"), "points", "the points of the base transfers"),
        ("finish", _given("finish"), "corrections", "the corrections of the base transfers"),
        ("send", _sending(), "columns", "the columns"),
        ("take", _taking(), "correction", "the correction bits"),
    ]
    made = []
    for kind, good, key, says in flaws:
        for what, change in (("a byte short", good[key][:-2]), ("a byte long", good[key] + "00")):
            repair = {key: good[key]}
            made.append(flawed(kind, f"{key}, {what}", "malformed", says, good | {key: change}, repair))
    good, columns = _sending(), {"columns": _without_next_setup()}
    name = "columns of the products alone, without the rows of the next setup"
    repair = {"columns": good["columns"]}
    return [*made, flawed("send", name, "malformed", "the columns", good | columns, repair)]


def _without_next_setup() -> str:
    """The first two bytes of each column: nine products."""
    whole = bytes.fromhex(_sending()["columns"])
    width = len(whole) // transfers.KAPPA
    return b"".join(whole[at : at + 2] for at in range(0, len(whole), width)).hex()


def _paddings() -> list[Vector]:
    """Bits beyond those that were expected."""
    good = _taking()
    set_bit = _flip_last(good["correction"], 1 << good["count"] % 8)
    bits: Vector = {"bits": "1f01", "length": 9}
    beyond = "beyond the 9"
    repair = {"correction": good["correction"]}
    padded = good | {"correction": set_bit}
    flaws = [
        ("masked bits with the first bit of padding", beyond, "1f03"),
        ("masked bits with the last bit of padding", beyond, "1f81"),
        ("masked bits, a byte short", "9 bits are 2 bytes", "1f"),
        ("masked bits, a byte long", "9 bits are 2 bytes", "1f0100"),
    ]
    return [
        flawed("take", "a correction with a bit of padding", "malformed", beyond, padded, repair),
        *(flawed("bits", name, "value", says, bits | {"bits": raw}, bits) for name, says, raw in flaws),
    ]


def _given(kind: str) -> Vector:
    (vector,) = [each for each in correlated.base_transfers() if each["kind"] == kind]
    return dict(vector["given"])


def _extended() -> tuple[Vector, Vector]:
    (vector,) = [each for each in correlated.extension() if each["name"] == "9 products"]
    return vector["given"], vector["expect"]


def _sending() -> Vector:
    """S, with the columns that R has sent."""
    given, expect = _extended()
    return {key: given[key] for key in ("context", "count", "pairs", "choices", "x")} | {
        "columns": expect["columns"]
    }


def _taking() -> Vector:
    """R, with the correction that S has sent."""
    given, expect = _extended()
    return {key: given[key] for key in ("context", "count", "pairs", "r", "fresh")} | {
        "correction": expect["correction"]
    }


def _flip_last(raw: str, bit: int) -> str:
    altered = bytearray.fromhex(raw)
    altered[-1] ^= bit
    return altered.hex()
