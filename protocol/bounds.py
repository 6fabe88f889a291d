"""How large the letters of a session can be: a part of anything larger is dropped, and nothing of it is kept.

A bound follows from the spec and from the shape of the inputs, so replaying the same arrivals drops the
same.  It may be a little more than an honest letter can have, never less.
"""

from __future__ import annotations

import math

from protocol.correlation import pair
from protocol.correlation.base_ot import CORRECTION_BYTES, KAPPA, MESSAGE_BYTES
from protocol.letters import ALL, PART_BYTES, Header
from protocol.messages import SEALED, Step
from protocol.ring import BYTES
from protocol.secret import SEED_BYTES
from protocol.spec import SessionSpec

Shape = tuple[int, ...]

NAME = 32 + 3  # bytes of a name in a list, with quotes and comma
JOIN_DIGEST = NAME + 48  # of what a begin says of a member
SETUPS = NAME + 4 * 27 + 4  # of what a join says of a compute party: up to four ids
ROOM = 4096  # for all that does not grow with the session; so little is never too much
TAG = 16  # what sealing adds to each part
OPENING = 1120 + 48  # of a slot's `open`: the encapsulated key, and 32 bytes with their tag


def fits(spec: SessionSpec, header: Header, size: int, shape: Shape | None) -> bool:
    """Whether a part with a body of this size can belong to the session.

    `shape` is that of the inputs; while nothing says what it is, a letter has one part.
    """
    if not _slots_fit(spec, header):
        return False
    most = most_bytes(spec, header.step, header.round, shape)
    if most is None:
        return header.parts == 1
    piece = PART_BYTES - TAG if header.step in SEALED else PART_BYTES
    return header.parts <= -(-(most + ROOM) // piece) and size <= most + ROOM


def most_bytes(spec: SessionSpec, step: Step, round_: int, shape: Shape | None) -> int | None:
    """The longest body of such a letter, but for what does not grow with the session.

    None if that hangs on a shape that is not known yet.
    """
    match step:
        case Step.CORRELATE:
            return _correlation(spec, round_)
        case Step.JOIN:
            return SETUPS * len(spec.compute)
        case Step.BEGIN:
            return JOIN_DIGEST * len(spec.members)
        case Step.MASKED | Step.OPENED:
            return _base64(_packed(2 * spec.triples))  # a gate opens two bits
        case Step.SHARE | Step.REVEAL | Step.RESULT if shape is None:
            return None
        case Step.SHARE | Step.REVEAL:
            return 2 * SEED_BYTES + BYTES * math.prod(shape or ())  # a reveal: transcript, nonce and share
        case Step.RESULT:
            return NAME * len(spec.inputs) + _base64(BYTES * math.prod(shape or ()))
    return NAME * len(spec.members)


def _correlation(spec: SessionSpec, round_: int) -> int:
    products = 2 * spec.triples
    sizes = {
        pair.POINTS: MESSAGE_BYTES,
        pair.COLUMNS: CORRECTION_BYTES + KAPPA * _packed(products + KAPPA),
        pair.CORRECTION: _packed(products),
    }
    return sizes.get(round_, 0)


def _slots_fit(spec: SessionSpec, header: Header) -> bool:
    """One slot is for us; others may stand beside it where all read the same letter."""
    most = len(spec.results) if header.to == ALL else 1
    return len(header.slots) <= most and all(len(slot.open or b"") <= OPENING for slot in header.slots)


def _packed(bits: int) -> int:
    return -(-bits // 8)


def _base64(size: int) -> int:
    return -(-size // 3) * 4
