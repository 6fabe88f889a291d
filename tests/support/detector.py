"""Looks for secrets in bytes that were published, in every encoding that a mistake could put them in.

Each secret is turned into needles: raw bytes of either order, decimal text, hexadecimal, base64 at its three
alignments, lists of bytes.  Each payload is turned into layers: itself, what is base64 or hexadecimal in
it, and what is compressed in any of these.  A needle in a layer is a finding.
"""

from __future__ import annotations

import base64
import re
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from protocol.encoding import from_units
from protocol.ring import Ring

SHORTEST = 8  # characters of a needle: anything shorter turns up by chance
MOST_ELEMENTS = 16  # of a vector that are looked for
DEPTH = 3  # layers within layers
LARGEST_LAYER = 64 << 20  # bytes that one compressed stream may give

_BASE64 = re.compile(rb"[A-Za-z0-9+/_-]{16,}={0,2}")
_HEX = re.compile(rb"(?:[0-9a-fA-F]{2}){8,}")
_COMPRESSED = re.compile(rb"\x1f\x8b\x08|\x78[\x01\x5e\x9c\xda]")  # gzip [RFC 1952], zlib [RFC 1950]


@dataclass(frozen=True)
class Secret:
    """Something that nobody may see: `kind` says what it is, `name` whose, and neither what it holds."""

    kind: str
    name: str
    content: bytes | Ring = field(repr=False)
    decimals: int = 2


@dataclass(frozen=True)
class Finding:
    """A secret that was found: which one, in which encoding, in which payload."""

    kind: str
    name: str
    encoding: str
    payload: int


class Detector:
    """Knows the secrets of a session and searches what was published for them."""

    def __init__(self, secrets: Iterable[Secret]) -> None:
        self._needles: dict[bytes, tuple[Secret, str]] = {}
        for secret in secrets:
            found = {needle: (secret, how) for how, needle in needles(secret)}
            if not found:
                raise ValueError(f"{secret} is too short to be told from chance")
            self._needles = found | self._needles

    def find(self, payloads: Iterable[bytes]) -> list[Finding]:
        """Every secret that is in a payload, once for each encoding."""
        findings: dict[Finding, None] = {}
        for number, payload in enumerate(payloads):
            for layer in layers(payload):
                for needle, (secret, encoding) in self._needles.items():
                    if needle in layer:
                        findings[Finding(secret.kind, secret.name, encoding, number)] = None
        return list(findings)


# -- needles: what a secret may look like ---------------------------------------------------------------


def needles(secret: Secret) -> Iterator[tuple[str, bytes]]:
    """(encoding, bytes to search for) of one secret."""
    if isinstance(secret.content, bytes):
        found = _of_bytes("raw", secret.content)
    else:
        found = _of_elements(secret.content, secret.decimals)
    yield from ((how, needle) for how, needle in found if len(needle) >= SHORTEST)


def _of_elements(elements: Ring, decimals: int) -> Iterator[tuple[str, bytes]]:
    for element in elements.reshape(-1)[:MOST_ELEMENTS].tolist():
        yield from _of_bytes("little endian", element.to_bytes(8, "little"))
        yield from _of_bytes("big endian", element.to_bytes(8, "big"))
        yield from _of_number(element, decimals)


def _of_bytes(order: str, raw: bytes) -> Iterator[tuple[str, bytes]]:
    yield f"{order} bytes", raw
    yield f"{order} hexadecimal", raw.hex().encode()
    yield f"{order} hexadecimal in capitals", raw.hex().upper().encode()
    for shift in range(3):
        yield f"{order} base64 shifted by {shift}", _base64_core(raw, shift)
        yield f"{order} base64url shifted by {shift}", _base64_core(raw, shift, b"-_")
    for comma in (",", ", "):
        yield f"{order} list of bytes", comma.join(map(str, raw)).encode()


def _base64_core(raw: bytes, shift: int, signs: bytes = b"+/") -> bytes:
    """The characters that `raw` alone decides when `shift` other bytes stand before it."""
    text = base64.b64encode(bytes(shift) + raw, signs)
    whole = (shift + len(raw)) * 8 // 6  # characters without a bit of padding in them
    return text[-(-shift * 8 // 6) : whole]


def _of_number(element: int, decimals: int) -> Iterator[tuple[str, bytes]]:
    """Decimal text; a minus sign, brackets, quotes and commas around it change nothing."""
    signed = element - (1 << 64) if element >= 1 << 63 else element
    yield "decimal ring element", str(element).encode()
    yield "decimal units", str(abs(signed)).encode()
    if decimals:
        yield "decimal value", str(abs(from_units(signed, decimals))).encode()
    yield "hexadecimal number", f"{element:x}".encode()
    yield "hexadecimal units", f"{abs(signed):x}".encode()


# -- layers: what a payload may hold --------------------------------------------------------------------


def layers(payload: bytes, depth: int = DEPTH) -> Iterator[bytes]:
    """The payload, and what can be decoded or decompressed in it."""
    yield payload
    if depth:
        for inner in (*_decoded(payload), *_decompressed(payload)):
            yield from layers(inner, depth - 1)


def _decoded(layer: bytes) -> Iterator[bytes]:
    for found in _BASE64.findall(layer):
        text = found.rstrip(b"=").translate(bytes.maketrans(b"-_", b"+/"))
        for start in range(4):  # where it begins in the run of letters is not known
            run = text[start:]
            run = run[: len(run) - (len(run) % 4 == 1)]
            yield base64.b64decode(run + b"=" * (-len(run) % 4))
    for found in _HEX.findall(layer):
        yield bytes.fromhex(found.decode())


def _decompressed(layer: bytes) -> Iterator[bytes]:
    for start in _COMPRESSED.finditer(layer):
        stream = zlib.decompressobj(wbits=47)  # zlib or gzip, told apart by its first bytes
        try:
            inner = stream.decompress(layer[start.start() :], LARGEST_LAYER)
        except zlib.error:
            continue  # bytes that only looked like the beginning of a stream
        if inner:
            yield inner
