"""All that a coalition receives in a session, laid out the same way every time.

First what it can make of it: each letter XORed with whatever its members know of the mask.  Then the letters
as they came.  What is not sealed counts as received, as though the coalition had the broker too.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from protocol.beaver import open_all
from protocol.bits import Bits, concat
from protocol.correlation import ChoiceKeys, extension, preparation
from protocol.correlation.base_ot import KAPPA
from protocol.correlation.pair import COLUMNS, CORRECTION
from protocol.messages import Step
from protocol.ring import BYTES
from tests.statistics.play import Letter, Play

Coalition = tuple[str, ...]


class Field(NamedTuple):
    """A stretch of a view.  The bits of its first bytes, as many as `close`, are looked at two by two."""

    name: str
    content: bytes
    close: int = 8  # enough of a seed, a hash or a nonce, whose bits have nothing to do with each other


def view(play: Play, coalition: Coalition) -> list[Field]:
    """What `coalition` has after this session."""
    received = [each for each in play.letters if _reads(coalition, each)]
    unmasked = {
        "opened": _opened(play, coalition).to_bytes(),
        "answer": _answer(play, coalition, received),
        **{f"{_name(each)}, unmasked": _correction(play, each) for each in received if _is(each, CORRECTION)},
        **{f"{_name(each)}, unmasked": _columns(play, each) for each in received if _is(each, COLUMNS)},
    }
    return [
        *(Field(name, content, len(content)) for name, content in unmasked.items()),
        *(Field(_name(each), each.body) for each in received),
    ]


def _reads(coalition: Coalition, letter: Letter) -> bool:
    open_to_all = not letter.readers or any(name in coalition for name in letter.readers)
    return letter.sender not in coalition and open_to_all


def _name(letter: Letter) -> str:
    return f"{letter.step} {letter.round} of {letter.sender}"


def _is(letter: Letter, step: int) -> bool:
    return (letter.step, letter.round) == (Step.CORRELATE, step)


def _opened(play: Play, coalition: Coalition) -> Bits:
    """Ballots and gates, without the coalition's own shares.

    Of a ballot this leaves x ⊕ [x]_h, where h is the one who is no member; of a gate x ⊕ [a]_h and y ⊕ [b]_h.
    """
    known = [each for name, each in play.known.items() if name in coalition]
    ballots = open_all(each.ballots for each in known)
    gates = [
        open_all([opened, *(each.masks[number] for each in known)])
        for number, opened in enumerate(play.opened)
    ]
    return concat([ballots, *gates])


def _answer(play: Play, coalition: Coalition, received: list[Letter]) -> bytes:
    """All output shares put together; nothing if the last one was not for them."""
    own = [each.output.tobytes() for name, each in play.known.items() if name in coalition]
    revealed = [each.body[-BYTES:] for each in received if each.step == Step.REVEAL]
    shares = [Bits.from_bytes(each, 8 * BYTES) for each in (*own, *revealed)]
    return open_all(shares).to_bytes() if revealed else b""


def _correction(play: Play, letter: Letter) -> bytes:
    """y_j ⊕ H(j, t_j) is the sender's bit ⊕ H(j, t_j ⊕ s): the bit alone, if the hash told nothing apart."""
    pad = play.known[letter.readers[0]].pads[letter.sender]
    return (Bits.from_bytes(letter.body, len(pad)) ^ pad).to_bytes()


def _columns(play: Play, letter: Letter) -> bytes:
    """u_i ⊕ G(k{s_i}_i) = G(k{1−s_i}_i) ⊕ r, of the rows that serve this session: r alone, if G did not hide
    it."""
    [me] = letter.readers
    setup = play.keys.setups[me][letter.sender]
    if not isinstance(setup, ChoiceKeys):
        raise AssertionError(f"{me} has columns from {letter.sender}, and the wrong half of their setup")
    context = play.keys.contexts[frozenset((me, letter.sender))]
    bound = preparation._bound(context, sender=me, receiver=letter.sender)
    u = np.frombuffer(letter.body, np.uint8).reshape(KAPPA, -1)
    served = -(-2 * play.ands // 8)  # bytes of rows
    return np.ascontiguousarray(
        (u ^ extension._expand(setup.keys(), u.shape[1], bound))[:, :served]
    ).tobytes()
