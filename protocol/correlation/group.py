"""The prime-order subgroup of edwards25519: every point that a peer sends is checked before it is used.

The arithmetic is libsodium's, through PyNaCl.  B is the base point, L its order [RFC 8032, §5.1].
"""

from __future__ import annotations

from typing import NoReturn

from nacl import bindings
from nacl.exceptions import RuntimeError as SodiumError

from protocol.messages import MalformedError

POINT_BYTES = 32
SCALAR_BYTES = 64  # of uniform bytes before they are reduced mod L: the bias is below 2^−250
IDENTITY = (1).to_bytes(POINT_BYTES, "little")
_P = 2**255 - 19
_SIGN = 1 << 255

add = bindings.crypto_core_ed25519_add
subtract = bindings.crypto_core_ed25519_sub


class Scalar:
    """A secret number mod L: it can be multiplied with a point, and nothing else."""

    __slots__ = ("_raw",)

    def __init__(self, uniform: bytes) -> None:
        self._raw = bindings.crypto_core_ed25519_scalar_reduce(uniform)

    def __repr__(self) -> str:
        return "Scalar(<redacted>)"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a scalar is not serialised; it is derived from its seed again")

    def base(self) -> bytes:
        """xB."""
        return bindings.crypto_scalarmult_ed25519_base_noclamp(self._raw)

    def times(self, point: bytes, what: str) -> bytes:
        """xP for a peer's point P; MalformedError says which point (`what`) is not in the group, and why."""
        try:
            # libsodium refuses every P that is not canonical, in the subgroup and of large order.
            return bindings.crypto_scalarmult_ed25519_noclamp(self._raw, point)
        except SodiumError:
            raise MalformedError(f"{what} {_flaw(point)}") from None


def multiples(point: bytes, count: int) -> list[bytes]:
    """0, P, 2P, … (count − 1)P."""
    found = [IDENTITY]
    while len(found) < count:
        found.append(add(found[-1], point))
    return found


def _flaw(point: bytes) -> str:
    """What is wrong with a point that libsodium refused."""
    y = int.from_bytes(point, "little") & ~_SIGN
    # x = 0 exactly where y = ±1, and has no negative [RFC 8032, §5.1.3].
    if y >= _P or (y in {1, _P - 1} and point[-1] & 0x80):
        return "is not in canonical form"
    try:
        double = add(point, point)
    except SodiumError:
        return "is not on the curve"
    quadruple = add(double, double)
    if add(quadruple, quadruple) == IDENTITY:
        return "has a small order"
    return "is outside the prime-order subgroup"
