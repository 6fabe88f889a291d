"""edwards25519 in plain Python, from RFC 8032, §5.1: slow and not constant-time, for test vectors alone."""

from __future__ import annotations

from collections.abc import Iterator

P = 2**255 - 19
L = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, -1, P) % P
ROOT = pow(2, (P - 1) // 4, P)  # of −1
SIGN = 1 << 255

Point = tuple[int, int, int, int]  # X, Y, Z, T with x = X/Z, y = Y/Z, xy = T/Z
NEUTRAL: Point = (0, 1, 1, 0)


def add(one: Point, other: Point) -> Point:
    """RFC 8032, §5.1.4."""
    a = (one[1] - one[0]) * (other[1] - other[0]) % P
    b = (one[1] + one[0]) * (other[1] + other[0]) % P
    c = 2 * one[3] * other[3] * D % P
    d = 2 * one[2] * other[2] % P
    e, f, g, h = b - a, d - c, d + c, b + a
    return e * f % P, g * h % P, f * g % P, e * h % P


def negative(point: Point) -> Point:
    """−P."""
    return -point[0] % P, point[1], point[2], -point[3] % P


def multiply(scalar: int, point: Point) -> Point:
    """scalar·P, by doubling and adding."""
    found = NEUTRAL
    while scalar:
        if scalar & 1:
            found = add(found, point)
        point, scalar = add(point, point), scalar >> 1
    return found


def encode(point: Point) -> bytes:
    """RFC 8032, §5.1.2: y, and the lowest bit of x as the highest."""
    inverse = pow(point[2], -1, P)
    x, y = point[0] * inverse % P, point[1] * inverse % P
    return (y | (x & 1) << 255).to_bytes(32, "little")


def on_curve(y: int, sign: int) -> Point | None:
    """The point with this y and this lowest bit of x, where there is one (RFC 8032, §5.1.3)."""
    square = (y * y - 1) * pow(D * y * y + 1, -1, P) % P
    x = pow(square, (P + 3) // 8, P)
    if x * x % P != square:
        x = x * ROOT % P
    if x * x % P != square or (x == 0 and sign):
        return None
    x = x if x & 1 == sign else P - x
    return x, y, 1, x * y % P


def decode(raw: bytes) -> Point:
    """A point of the prime-order subgroup other than the neutral one; ValueError for everything else."""
    number = int.from_bytes(raw, "little")
    y, sign = number % SIGN, number // SIGN
    point = on_curve(y, sign) if y < P else None
    if point is None or encode(point) == encode(NEUTRAL) or encode(multiply(L, point)) != encode(NEUTRAL):
        raise ValueError("not a point of the group")
    return point


def _base() -> Point:
    point = on_curve(4 * pow(5, -1, P) % P, 0)
    if point is None:
        raise ValueError("the base point is on the curve")
    return point


BASE = _base()


def off_curve() -> Iterator[bytes]:
    """Encodings of a y that no point has."""
    return (y.to_bytes(32, "little") for y in range(2, 100) if on_curve(y, 0) is None)


def torsion() -> Point:
    """A point of order 8: L times a point outside the subgroup, if that has no smaller order."""
    for y in range(2, 200):
        point = on_curve(y, 0)
        small = NEUTRAL if point is None else multiply(L, point)
        if encode(multiply(4, small)) != encode(NEUTRAL):
            return small
    raise ValueError("an eighth of the curve's points are of this kind")
