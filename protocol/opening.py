"""Commit, then reveal: nobody can choose an output share after seeing the others'.

The commitment is a hash with a secret 32-byte nonce, hiding and binding in the random-oracle model
[Pass, CRYPTO 2003, §4].  It is bound to the session's view, the party and the exact set of inputs.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from hmac import compare_digest

from protocol import ring
from protocol.messages import MalformedError
from protocol.ring import Ring
from protocol.secret import SEED_BYTES, Seed
from protocol.transcript import DIGEST_BYTES, digest, pack


class OtherTranscriptError(MalformedError):
    """Its sender was told something else than we; who lied is not for us to say."""


def commit(view: bytes, party: str, inputs: Sequence[str], opening: bytes) -> bytes:
    """The commitment of `party` to `opening`, its output share over `inputs`."""
    return digest("commitment", view, party, _listed(tuple(inputs)), opening)


def opening(seed: Seed, view: bytes, inputs: Sequence[str], output: Ring) -> bytes:
    """Nonce and output share; the nonce is another one for each set of inputs."""
    return seed.derive_bytes(SEED_BYTES, "nonce", view, *inputs) + ring.to_bytes(output)


def revealed(transcript: bytes, opening: bytes) -> bytes:
    """What a reveal holds.  It says over which commitments: parties may have been told different ones."""
    return transcript + opening


def taken(transcript: bytes, raw: bytes) -> bytes:
    """The opening in a reveal; OtherTranscriptError if it is one over other commitments than ours."""
    if len(raw) < DIGEST_BYTES:
        raise MalformedError(f"a reveal of {len(raw)} bytes")
    if not compare_digest(raw[:DIGEST_BYTES], transcript):
        raise OtherTranscriptError("a reveal over other commitments")
    return raw[DIGEST_BYTES:]


def verify(
    commitment: bytes, view: bytes, party: str, inputs: Sequence[str], raw: bytes, shape: tuple[int, ...]
) -> Ring:
    """The output share that `raw` opens; MalformedError if it is not what `party` committed to."""
    if not compare_digest(commit(view, party, inputs, raw), commitment):
        raise MalformedError(f"the output share of {party} is not the one it committed to")
    try:
        return ring.from_bytes(raw[SEED_BYTES:], shape)
    except ValueError:
        raise MalformedError(f"the output share of {party} has another shape than the inputs") from None


def transcript(view: bytes, inputs: Sequence[str], commitments: Sequence[bytes]) -> bytes:
    """Everything that fixes the answer: commitments are binding, so equal transcripts have equal results."""
    return digest("transcript", view, _listed(tuple(inputs)), *commitments)


@lru_cache(maxsize=64)
def _listed(inputs: tuple[str, ...]) -> bytes:
    """The list of inputs as one part; the same for every party, so it is made once."""
    return pack("inputs", *inputs)
