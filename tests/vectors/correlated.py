"""Vectors of base transfers, extension, triples, gates and thresholds, each step by itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tests.vectors import reference, reference_curve, reference_gates
from tests.vectors import reference_transfers as transfers
from tests.vectors.reference_transfers import Setup, halves, packed, pairs_bytes
from tests.vectors.story import secret

Vector = dict[str, Any]
Bits = list[int]

CONTEXT = reference.digest("example", "a context")
PAIR = reference.digest("example", "a pair")
LATER = reference.digest("example", "the same pair, later")


def uniform(label: str, count: int) -> Bits:
    """Bits that only this label has."""
    return transfers.unpacked(reference.ring_bytes(reference.expand(secret(label), -(-count // 64))), count)


# -- base transfers ------------------------------------------------------------------------------------

SENDER = transfers.Randomness(secret("seed of S"), 5)
RECEIVER = transfers.Randomness(secret("seed of R"), 5)
LATER_SENDER = transfers.Randomness(secret("later seed of R"), 9)
LATER_RECEIVER = transfers.Randomness(secret("later seed of S"), 9)


def base_transfers() -> list[Vector]:
    """One run, message by message."""
    choices, scalars = SENDER.transfers(CONTEXT)
    offered = transfers.offer(RECEIVER.offer_scalar)
    points, joint = transfers.choose(offered, choices, scalars, CONTEXT)
    corrections, pairs = transfers.accept(RECEIVER.offer_scalar, points, CONTEXT)
    chosen = transfers.finish(choices, joint, corrections)
    own = {"context": CONTEXT.hex(), "seed": SENDER.seed.hex(), "offered": offered.hex()}
    theirs = {"context": CONTEXT.hex(), "seed": RECEIVER.seed.hex(), "points": points.hex()}
    return [
        {
            "name": "R: the offered point A",
            "kind": "offer",
            "given": {"seed": RECEIVER.seed.hex(), "a": _number(RECEIVER.offer_scalar)},
            "expect": {"offered": offered.hex()},
        },
        {
            "name": "S: the points R_i and the keys K_i(x_i·A)",
            "kind": "choose",
            "given": own | {"choices": packed(choices).hex(), "x": [_number(each) for each in scalars]},
            "expect": {
                "choices": packed(choices).hex(),
                "points": points.hex(),
                "joint": b"".join(joint).hex(),
            },
        },
        {
            "name": "R: the corrections and the 128 pairs",
            "kind": "accept",
            "given": theirs | {"a": _number(RECEIVER.offer_scalar)},
            "expect": {"corrections": corrections.hex(), "pairs": pairs_bytes(pairs).hex()},
        },
        {
            "name": "S: the 128 keys that it chose",
            "kind": "finish",
            "given": {
                "choices": packed(choices).hex(),
                "joint": b"".join(joint).hex(),
                "corrections": corrections.hex(),
            },
            "expect": {"keys": b"".join(chosen.keys).hex()},
        },
    ]


def _number(scalar: int) -> str:
    """32 bytes, little endian."""
    return scalar.to_bytes(32, "little").hex()


# -- extension -----------------------------------------------------------------------------------------


def setup() -> Setup:
    """Both halves of a setup, without base transfers: any keys will do."""
    raw = reference.ring_bytes(reference.expand(secret("keys of a setup"), 512))
    pairs = [(raw[at : at + 16], raw[at + 16 : at + 32]) for at in range(0, len(raw), 32)]
    choices = uniform("choices of a setup", transfers.KAPPA)
    return transfers.Chosen(choices, [pair[s] for pair, s in zip(pairs, choices, strict=True)]), pairs


def extension() -> list[Vector]:
    """The hash by itself, and whole runs of some lengths."""
    rows = [secret(f"row {j}")[:16] for j in range(3)]
    hashes = [transfers.robust_hash(CONTEXT, j, row).hex() for j, row in enumerate(rows)]
    robust: Vector = {
        "name": "H of rows 0, 1 and 2, all 16 bytes",
        "kind": "robust-hash",
        "given": {"context": CONTEXT.hex(), "rows": [row.hex() for row in rows]},
        "expect": {"hashes": hashes},
    }
    return [robust, *(_extended(count) for count in (1, 9, 130))]


def _extended(count: int) -> Vector:
    (chosen, pairs), x, r = setup(), uniform("x", count), uniform("r", count)
    fresh = uniform("choices of the next setup", transfers.KAPPA)
    message = transfers.columns(pairs, r, fresh, CONTEXT)
    y, share, pairs_made = transfers.correct(chosen, message, x, CONTEXT)
    received, chosen_made = transfers.received(pairs, r, fresh, y, CONTEXT)
    if [a ^ b for a, b in zip(share, received, strict=True)] != [a & b for a, b in zip(x, r, strict=True)]:
        raise ValueError("the shares are not of the products")
    return {
        "name": f"{count} products",
        "kind": "extend",
        "given": {
            "context": CONTEXT.hex(),
            "count": count,
            "pairs": pairs_bytes(pairs).hex(),
            "choices": packed(chosen.choices).hex(),
            "x": packed(x).hex(),
            "r": packed(r).hex(),
            "fresh": packed(fresh).hex(),
        },
        "expect": {
            "columns": message.hex(),
            "correction": y.hex(),
            "sender_share": packed(share).hex(),
            "receiver_share": packed(received).hex(),
            "made": halves((chosen_made, pairs_made)),
        },
    }


# -- triples -------------------------------------------------------------------------------------------


def triples() -> list[Vector]:
    """Who is S, and two sessions of two parties, the second with the setup that the first has left."""
    senders = [[transfers.is_sender(i, j) for j in range(5) if j != i] for i in range(5)]
    roles: Vector = {
        "name": "who of five compute parties is S towards each of the others, in order",
        "kind": "roles",
        "given": {"parties": 5},
        "expect": {"is_sender": senders},
    }
    # bob, who was S, holds pairs and so is R of the second session.
    first = transfers.correlate(SENDER, RECEIVER, transfers.bound(PAIR, "bob", "alice"), "bob")
    z = transfers.bound(LATER, "alice", "bob")
    second = transfers.correlate(LATER_SENDER, LATER_RECEIVER, z, "alice", first.made)
    return [
        roles,
        _pair("five triples of strangers: bob is S, alice is R", PAIR, (SENDER, RECEIVER), first, None),
        _pair(
            "their next session, with the setup that the first has left: alice is S, bob is R",
            LATER,
            (LATER_RECEIVER, LATER_SENDER),
            second,
            {"sender": "alice"} | halves(first.made),
        ),
    ]


def _pair(
    name: str,
    context: bytes,
    seeds: tuple[transfers.Randomness, transfers.Randomness],
    run: transfers.Correlated,
    setup: Vector | None,
) -> Vector:
    """`seeds` are bob's and alice's."""
    bob, alice = seeds
    of_sender, of_receiver = run.sender_share, run.receiver_share
    of_alice, of_bob = (of_sender, of_receiver) if setup else (of_receiver, of_sender)
    return {
        "name": name,
        "kind": "triples",
        "given": {
            "compute": ["alice", "bob"],
            "count": bob.count,
            "context": context.hex(),
            "seeds": {"alice": alice.seed.hex(), "bob": bob.seed.hex()},
            "setup": setup,
        },
        "expect": {
            "letters": {f"correlate-{step}": body.hex() for step, body in run.letters.items()},
            "triples": {
                "alice": [packed(each).hex() for each in transfers.triples(alice, {"bob": of_alice})],
                "bob": [packed(each).hex() for each in transfers.triples(bob, {"alice": of_bob})],
            },
            "made": {"sender": "bob" if setup else "alice"} | halves(run.made),
        },
    }


# -- gates ---------------------------------------------------------------------------------------------


def dealt(parties: int, count: int, label: str) -> list[tuple[Bits, Bits, Bits]]:
    """Triples as a dealer would make them, for vectors alone."""
    a, b, c = (
        [uniform(f"{which} of {j}, {label}", count) for j in range(parties)] for which in ("a", "b", "c")
    )
    for i in range(count):
        product = sum(share[i] for share in a) % 2 & sum(share[i] for share in b) % 2
        c[0][i] = (product + sum(share[i] for share in c[1:])) % 2
    return list(zip(a, b, c, strict=True))


def shared(bits: Sequence[int], parties: int, label: str) -> list[reference_gates.Shared]:
    """Each bit's shares, the leader's first."""
    others = [uniform(f"share of {j}, {label}", len(bits)) for j in range(1, parties)]
    made = []
    for i, bit in enumerate(bits):
        rest = [share[i] for share in others]
        made.append([(bit + sum(rest)) % 2, *rest])
    return made


def gates() -> list[Vector]:
    """One round by itself, circuits with all that is sent, and what others cost."""
    runs = [("1", 1), ("10", 1), ("111", 3), ("10110", 3), ("10110", 4), ("1101101", 5), ("111", 4)]
    sizes = [(2, 2), (3, 2), (4, 4), (20, 14), (100, 51), (1000, 667), (1024, 1), (10_000, 5000)]
    return [
        _round(),
        *(_reaches([int(bit) for bit in ballots], threshold) for ballots, threshold in runs),
        *(_cost(ballots, threshold) for ballots, threshold in sizes),
        *(_threshold(*each) for each in THRESHOLDS),
    ]


THRESHOLDS = [
    ("2/3", 4),
    ("2/3", 3),
    ("1/2", 5),
    ("1/2", 4),
    ("1/1", 7),
    ("1/1000", 7),
    ("5", 7),
    ("02/03", 4),
]


def _round() -> Vector:
    parties, x, y = 3, [0, 0, 1, 1], [0, 1, 0, 1]
    evaluation = reference_gates.Evaluation(dealt(parties, len(x), "a round"))
    x_shares, y_shares = shared(x, parties, "x"), shared(y, parties, "y")
    products = evaluation.ands(x_shares, y_shares)
    (masked, opened) = evaluation.rounds[0]
    return {
        "name": "one round of four gates among three parties, the first of whom leads",
        "kind": "round",
        "given": {
            "count": len(x),
            "x": by_party(x_shares, parties),
            "y": by_party(y_shares, parties),
            "triples": triples_of(evaluation),
        },
        "expect": {
            "masked": [each.hex() for each in masked],
            "opened": opened.hex(),
            "products": by_party(products, parties),
        },
    }


def _reaches(ballots: Bits, threshold: int) -> Vector:
    parties, label = 2, f"{ballots} {threshold}"
    evaluation = reference_gates.Evaluation(dealt(parties, len(ballots), label))
    shares = shared(ballots, parties, label)
    result = evaluation.reaches(shares, threshold)
    if reference_gates.value(result) != (sum(ballots) >= threshold):
        raise ValueError("the circuit is wrong")
    return {
        "name": f"at least {threshold} of {len(ballots)} ballots, {sum(ballots)} of which say yes",
        "kind": "reaches",
        "given": {
            "ballots": by_party(shares, parties),
            "count": len(ballots),
            "threshold": threshold,
            "triples": triples_of(evaluation),
        },
        "expect": evaluated(evaluation, result),
    }


def evaluated(evaluation: reference_gates.Evaluation, result: reference_gates.Shared) -> Vector:
    """Everything that a circuit's rounds open, and what comes out."""
    return {
        "ands": evaluation.widths,
        "masked": [[each.hex() for each in masked] for masked, _ in evaluation.rounds],
        "opened": [opened.hex() for _, opened in evaluation.rounds],
        "outputs": result,
        "digest": evaluation.transcript.hex(),
    }


def _cost(ballots: int, threshold: int) -> Vector:
    evaluation = reference_gates.Evaluation([([0] * ballots,) * 3])
    evaluation.reaches([[0]] * ballots, threshold)
    return {
        "name": f"ANDs of each round for {threshold} of {ballots}",
        "kind": "cost",
        "given": {"count": ballots, "threshold": threshold},
        "expect": {"ands": evaluation.widths},
    }


def _threshold(threshold: str, ballots: int) -> Vector:
    return {
        "name": f"{threshold} of {ballots} ballots",
        "kind": "threshold",
        "given": {"threshold": threshold, "ballots": ballots},
        "expect": {"least": reference_gates.least(threshold, ballots)},
    }


def by_party(bits: Sequence[reference_gates.Shared], parties: int) -> list[str]:
    """Each party's shares of these bits."""
    return [packed([bit[j] for bit in bits]).hex() for j in range(parties)]


def triples_of(evaluation: reference_gates.Evaluation) -> list[list[str]]:
    """[a, b, c] of each party."""
    return [[packed(each).hex() for each in triple] for triple in evaluation.triples]


# -- points that are none ------------------------------------------------------------------------------


def bad_points() -> list[tuple[str, str, bytes]]:
    """(what it is, a piece of our message, its encoding): one for each check."""
    curve, small = reference_curve, reference_curve.torsion()
    mixed = curve.add(curve.multiply(7, curve.BASE), small)
    sign = 1 << 255
    return [
        ("the neutral point", "small order", curve.encode(curve.NEUTRAL)),
        ("a point of order 2", "small order", curve.encode(curve.multiply(4, small))),
        ("a point of order 4", "small order", curve.encode(curve.multiply(2, small))),
        ("a point of order 8", "small order", curve.encode(small)),
        ("a point of the group plus one of order 8", "prime-order", curve.encode(mixed)),
        ("a y that no point has", "not on the curve", next(curve.off_curve())),
        ("y + p in the place of y", "canonical", (curve.P + 4).to_bytes(32, "little")),
        ("p in the place of 0", "canonical", curve.P.to_bytes(32, "little")),
        ("the neutral point with a sign", "canonical", (1 | sign).to_bytes(32, "little")),
    ]
