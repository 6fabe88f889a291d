"""HPKE is random: what was made with a library, once, is kept in `recorded.json`."""

from __future__ import annotations

import json
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import NamedTuple

from cryptography.exceptions import InvalidTag

from tests.vectors import reference

RECORDED = Path(__file__).parent / "recorded.json"
STALE = "recorded.json is of another session: run `python -m tests.vectors.generate record`"


class Opening(NamedTuple):
    """One channel of one session, and the seed of the sealing key that it is sealed to."""

    session: str
    sender: str
    to: str
    channel: bytes
    seed: bytes

    @property
    def _info(self) -> bytes:
        return reference.channel_info(self.session, self.sender, self.to)

    def make(self) -> bytes:
        """A fresh ciphertext: another one each time."""
        from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PublicKey
        from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PublicKey
        from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, MLKEM768X25519PublicKey, Suite

        public = reference.sealing_public(self.seed)
        mlkem, x25519 = public[:1184], public[1184:]
        key = MLKEM768X25519PublicKey(
            MLKEM768PublicKey.from_public_bytes(mlkem), X25519PublicKey.from_public_bytes(x25519)
        )
        suite = Suite(KEM.MLKEM768_X25519, KDF.HKDF_SHA256, AEAD.AES_256_GCM)
        return suite.encrypt(self.channel, key, self._info)

    def recorded(self) -> bytes:
        """The ciphertext in the file; ValueError unless it opens this channel."""
        sealed = _file().get(self.session, {}).get(f"{self.sender} to {self.to}")
        if sealed is None or not _opens(self, bytes.fromhex(sealed)):
            raise ValueError(STALE)
        return bytes.fromhex(sealed)


@cache
def _file() -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = json.loads(RECORDED.read_text())
    return found


@cache
def _opens(opening: Opening, sealed: bytes) -> bool:
    try:
        return reference.hpke_open(opening.seed, sealed, opening._info) == opening.channel
    except InvalidTag:
        return False


def record(openings: Iterable[Opening]) -> None:
    """Make all of them and write them down."""
    made: dict[str, dict[str, str]] = {}
    for each in openings:
        made.setdefault(each.session, {})[f"{each.sender} to {each.to}"] = each.make().hex()
    RECORDED.write_text(json.dumps(made, indent=1) + "\n")
    _file.cache_clear()
