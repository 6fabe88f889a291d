"""ε as an integer number of nano-ε: sums of it are exact, so 0.1 fits three times into 0.3."""

from __future__ import annotations

from decimal import Context, Decimal

NANO = 10**9
LARGEST = 2**53 - 1  # nano-ε; far beyond anything that protects


def parse(epsilon: Decimal) -> int:
    """ε in nano-ε; ValueError unless it is positive and has at most nine decimals."""
    if not epsilon.is_finite() or epsilon <= 0:
        raise ValueError("should be a positive number")
    if epsilon.adjusted() > 15 or epsilon * NANO > LARGEST:  # the product of the largest ones overflows
        raise ValueError("is so large that nothing would be protected")
    _, digits, exponent = epsilon.normalize(Context(prec=len(epsilon.as_tuple().digits))).as_tuple()
    if not isinstance(exponent, int) or exponent < -9:
        raise ValueError("should have at most nine decimals")
    return int("".join(map(str, digits)) + "0" * (exponent + 9))


def text(nano: int) -> str:
    """nano-ε as the shortest exact decimal: 500000000 is 0.5."""
    whole, rest = divmod(abs(nano), NANO)
    sign = "-" if nano < 0 else ""
    return f"{sign}{whole}.{rest:09}".rstrip("0").rstrip(".")
