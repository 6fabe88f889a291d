"""Writes every vector file beside this one from `reference.py`; the same bytes each time.

python -m tests.vectors.generate            # all but HPKE, which is random: `recorded.json` holds it
python -m tests.vectors.generate record     # records HPKE again, for when one of the sessions changes
"""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path
from typing import Any

from tests.vectors import (
    bad,
    bad_rounds,
    correlated,
    noised,
    private,
    recording,
    reference,
    referendum,
    story,
    votes,
)

HERE = Path(__file__).parent
Vector = dict[str, Any]


def hashing() -> list[Vector]:
    """pack, digest, derive, expand."""
    packed: list[tuple[str, list[bytes | str]]] = [
        ("empty", []),
        ("text", ["alice", "bob"]),
        ("moved boundary", ["aliceb", "ob"]),
        ("bytes", [b"\0\xff", ""]),
    ]
    seed = story.secret("seed of the hashing vectors")
    vectors: list[Vector] = [
        {
            "name": f"pack: {name}",
            "kind": "pack",
            "given": {"label": "example", "parts": [_part(part) for part in parts]},
            "expect": {
                "pack": reference.pack("example", *parts).hex(),
                "digest": reference.digest("example", *parts).hex(),
            },
        }
        for name, parts in packed
    ]
    derived: list[tuple[str, list[bytes | str], int]] = [
        ("no context", [], 32),
        ("context", [bytes(32), "bob"], 32),
        ("longer than a block", [], 96),
    ]
    vectors += [
        {
            "name": f"derive: {name}",
            "kind": "derive",
            "given": {
                "seed": seed.hex(),
                "label": "example",
                "context": [_part(each) for each in context],
                "length": size,
            },
            "expect": {"bytes": reference.derive(seed, "example", *context, length=size).hex()},
        }
        for name, context, size in derived
    ]
    vectors += [
        {
            "name": f"expand to {count} elements",
            "kind": "expand",
            "given": {"seed": seed.hex(), "count": count},
            "expect": {"elements": [str(each) for each in reference.expand(seed, count)]},
        }
        for count in (1, 5)
    ]
    long = reference.ring_bytes(reference.expand(seed, 200_000))
    vectors.append(
        {
            "name": "expand past one MiB",
            "kind": "expand",
            "given": {"seed": seed.hex(), "count": 200_000},
            "expect": {"sha256": hashlib.sha256(long).hexdigest()},
        }
    )
    return vectors


def _part(part: bytes | str) -> dict[str, str]:
    return {"text": part} if isinstance(part, str) else {"hex": part.hex()}


def sharing() -> list[Vector]:
    """split and reconstruct."""
    seed = story.secret("seed of the sharing vectors")
    cases = [
        ("a scalar", [380000], True, ["alice", "bob", "carlos"], "alice"),
        ("a negative scalar", [-1], True, ["alice", "bob"], "bob"),
        ("a vector with both ends of the ring", [2**63 - 1, -(2**63), 0], False, ["a", "b", "c", "d"], "c"),
    ]
    return [
        {
            "name": name,
            "kind": "split",
            "given": {
                "elements": [str(each) for each in x],
                "scalar": scalar,
                "holders": holders,
                "explicit": explicit,
                "seed": seed.hex(),
            },
            "expect": {
                "shares": {
                    holder: {"seed": share.hex()}
                    if isinstance(share, bytes)
                    else {"elements": [str(each) for each in share]}
                    for holder, share in reference.split(x, holders, explicit, seed).items()
                }
            },
        }
        for name, x, scalar, holders, explicit in cases
    ]


def encoding() -> list[Vector]:
    """Decimals to ring bytes, and opened ring bytes to the answer."""
    encoded = [
        ("cents", ["3171.50"], 2, [317150]),
        ("a negative number", ["-0.01"], 2, [-1]),
        ("fewer places than allowed", ["7"], 3, [7000]),
        ("trailing zeros beyond the decimals", ["1.5000"], 1, [15]),
        ("an exponent", ["1.5e3"], 0, [1500]),
        ("a vector", ["1", "-2.5", "0.00"], 1, [10, -25, 0]),
        ("18 decimals", ["2.000000000000000001"], 18, [2000000000000000001]),
    ]
    vectors: list[Vector] = [
        {
            "name": f"encode: {name}",
            "kind": "encode",
            "given": {"value": value, "decimals": decimals, "inputs": 4, "lower": None, "upper": None},
            "expect": {"ring": reference.ring_bytes(units).hex()},
        }
        for name, value, decimals, units in encoded
    ]
    opened = [
        ("sum", [1268600], 4, 2, ["12686.00"]),
        ("sum", [-5], 3, 0, ["-5"]),
        ("average", [1268600], 4, 2, ["3171.50"]),
        ("average", [5], 2, 0, ["2"]),
        ("average", [7], 2, 0, ["4"]),
        ("average", [-5], 2, 0, ["-2"]),
        ("average", [-7], 2, 0, ["-4"]),
        ("average", [-1], 3, 0, ["0"]),
        ("average", [10, -10, 1], 3, 1, ["0.3", "-0.3", "0.0"]),
    ]
    vectors += [
        {
            "name": f"{function} of {inputs}: {elements}",
            "kind": "decode",
            "given": {
                "function": function,
                "ring": reference.ring_bytes(elements).hex(),
                "scalar": len(elements) == 1,
                "inputs": inputs,
                "decimals": decimals,
            },
            "expect": {"text": text},
        }
        for function, elements, inputs, decimals, text in opened
    ]
    return vectors + private.answers()


def ballots() -> list[Vector]:
    """yes and no to ring bytes, shares by XOR, and the opened bit to a word."""
    words = [("yes", 1), ("no", 0), ("TRUE", 1), ("False", 0), ("1", 1), ("0", 0), ("1.0", 1)]
    vectors: list[Vector] = [
        {
            "name": f"ballot: {word}",
            "kind": "ballot",
            "given": {"value": [word]},
            "expect": {"ring": reference.ring_bytes([bit]).hex()},
        }
        for word, bit in words
    ]
    seed, holders = story.secret("seed of the ballots' shares"), ["alice", "bob", "carlos"]
    vectors += [
        {
            "name": f"a ballot that says {bit}",
            "kind": "split-bit",
            "given": {"bit": bit, "holders": holders, "explicit": "bob", "seed": seed.hex()},
            "expect": {"shares": _bit_shares(bit, holders, seed)},
        }
        for bit in (0, 1)
    ]
    return vectors + [
        {
            "name": f"referendum: {bit}",
            "kind": "decode",
            "given": {
                "function": "referendum",
                "ring": reference.ring_bytes([bit]).hex(),
                "scalar": True,
                "inputs": 4,
                "threshold": "2/3",
            },
            "expect": {"text": [word]},
        }
        for bit, word in ((0, "NO"), (1, "YES"))
    ]


def _bit_shares(bit: int, holders: list[str], seed: bytes) -> dict[str, dict[str, Any]]:
    return {
        holder: {"seed": share.hex()} if isinstance(share, bytes) else {"elements": [str(share)]}
        for holder, share in reference.split_bit(bit, holders, "bob", seed).items()
    }


FILES = {
    "hashing": ("pack, digest, derive and the PRG (SPEC.md §4.1)", hashing),
    "sharing": ("additive shares, all but one of them seeds (SPEC.md §4.6)", sharing),
    "encoding": ("fixed point and answers (SPEC.md §7)", encoding),
    "clamping": ("inputs of sessions that cost ε (SPEC.md §7)", private.clamped),
    "noise": ("Δ, rate, noise shares and a poll's coins (SPEC.md §4.10, §7, annex A)", private.vectors),
    "transfers": ("base oblivious transfers (SPEC.md §4.7)", correlated.base_transfers),
    "extension": ("the correlation-robust hash and OT extension (SPEC.md §4.8)", correlated.extension),
    "triples": ("triples of a pair of compute parties (SPEC.md §4.8)", correlated.triples),
    "gates": (
        "rounds of AND gates, the referendum's circuit and threshold (SPEC.md §4.9, §7)",
        correlated.gates,
    ),
    "noised_gates": ("the referendum's circuit with noise (SPEC.md §4.9)", private.circuits),
    "ballots": ("ballots, their shares and the answer (SPEC.md §4.6, §7)", ballots),
    "session": ("one whole session of three parties: alice 1.50, bob −2, carlos 40.25", story.vectors),
    "referendum": ("every letter of one referendum of four ballots, three of them yes", referendum.vectors),
    "noised": ("every letter of a histogram and of a referendum with noise", noised.vectors),
    "bad_statements": ("statements and headers with one flaw each (SPEC.md §4.2, §4.3)", bad.statements),
    "bad_specs": ("session specs with one flaw each (SPEC.md §4.3)", bad.specs),
    "bad_letters": ("payloads with one flaw each (SPEC.md §4.4)", bad.letters),
    "bad_sealed": ("sealed letters with one flaw each (SPEC.md §4.5)", bad.sealed),
    "bad_openings": ("output shares that are not what was committed to (SPEC.md §4.6)", bad.openings),
    "bad_inputs": ("inputs that cannot be encoded (SPEC.md §7)", bad.inputs),
    "bad_rounds": (
        "points, letters and rounds with one flaw each (SPEC.md §4.7 to §4.9)",
        bad_rounds.vectors,
    ),
}


def files() -> dict[str, str]:
    """Every file's name and content."""
    contents = {}
    for name, (about, make) in FILES.items():
        document = {"about": about, "vectors": make()}
        contents[f"{name}.json"] = json.dumps(document, indent=1, ensure_ascii=False) + "\n"
    return contents


def _openings() -> list[recording.Opening]:
    """Every channel that is opened in any of the sessions."""
    sessions = (votes.EXACT, noised.HISTOGRAM, votes.NOISED)
    return [story.opening_of_channel(), *(each for session in sessions for each in session.channels())]


def main() -> None:
    """Write the files."""
    if sys.argv[1:] == ["record"]:
        recording.record(_openings())
    for name, text in files().items():
        (HERE / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
