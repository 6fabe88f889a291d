"""Sealing: what only the recipient may read is encrypted from party to party, inside the MQTT payload.

TLS ends at the broker, so TLS alone would let the broker add up all the shares.  A channel from one party
to another is 32 secret bytes, sent once by HPKE [RFC 9180, §6.1] with the hybrid KEM ML-KEM-768 + X25519;
it keys the slots of every later letter.  HPKE's base mode does not authenticate the sender: the letter's
signature does.
"""

from __future__ import annotations

from collections.abc import Callable

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey, MLKEM768PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, AESGCMSIV
from cryptography.hazmat.primitives.hpke import (
    AEAD,
    KDF,
    KEM,
    MLKEM768X25519PrivateKey,
    MLKEM768X25519PublicKey,
    Suite,
)

from protocol.letters import PART_BYTES, Letter, Slot
from protocol.messages import MalformedError
from protocol.sealed import Outgoing, Unsealed
from protocol.secret import SEED_BYTES, Seed
from protocol.transcript import pack

SUITE = Suite(KEM.MLKEM768_X25519, KDF.HKDF_SHA256, AEAD.AES_256_GCM)
TAG_BYTES = 16
_MLKEM_SEED, _MLKEM_PUBLIC = 64, 1184  # bytes [FIPS 203, §7.1 and table 3]
_ONE_NONCE = bytes(12)  # fixed because every slot has a key of its own


class Seal:
    """One party's side of the channels of one session."""

    def __init__(self, session: str, me: str, seed: Seed, entropy: Callable[[int], bytes]) -> None:
        self._session, self._me, self._seed, self._entropy = session, me, seed, entropy
        # The same keys after a restart: both halves come from the session's seed.
        raw = seed.derive_bytes(_MLKEM_SEED + 32, "sealing key")
        mlkem = MLKEM768PrivateKey.from_seed_bytes(raw[:_MLKEM_SEED])
        x25519 = X25519PrivateKey.from_private_bytes(raw[_MLKEM_SEED:])
        self._private, self._x25519 = MLKEM768X25519PrivateKey(mlkem, x25519), x25519
        # Our sealing key for this session: ML-KEM-768 public key, then X25519 public key.
        self.public_key = mlkem.public_key().public_bytes_raw() + x25519.public_key().public_bytes_raw()
        self._ours: dict[str, Seed] = {}  # recipient → our channel to it
        self._openings: dict[str, bytes] = {}  # recipient → what opens it
        self._channels: dict[str, Seed] = {}  # sender → the channel it opened to us

    def usable(self, key: bytes) -> bool:
        """Whether something can be sealed to this key: neither half is malformed or of small order."""
        try:
            MLKEM768PublicKey.from_public_bytes(key[:_MLKEM_PUBLIC])  # [FIPS 203, §7.2]
            self._x25519.exchange(X25519PublicKey.from_public_bytes(key[_MLKEM_PUBLIC:]))  # [RFC 7748, §6.1]
        except ValueError:
            return False
        return True

    def seal(self, letter: Outgoing, key_of: Callable[[str], bytes]) -> tuple[tuple[Slot, ...], list[bytes]]:
        """The slots and the chunks of a letter; its body goes under a fresh key that the slots carry."""
        secret = letter.seed or Seed(self._entropy(SEED_BYTES))
        slots = tuple(self._slot(letter, to, secret, key_of) for to in letter.recipients)
        chunks = [] if letter.seed else _encrypt_chunks(secret, letter.body)
        return slots, chunks or [b""]

    def _slot(self, letter: Outgoing, to: str, secret: Seed, key_of: Callable[[str], bytes]) -> Slot:
        if to not in self._ours:
            self._ours[to] = self._seed.derive("channel", to)
        opening = None if to in letter.opened else self._opening(to, key_of)
        cipher = _slot_cipher(self._ours[to], letter.stage, letter.to, letter.view)
        return Slot(to=to, open=opening, box=cipher.encrypt(_ONE_NONCE, secret.expose(), None))

    def _opening(self, to: str, key_of: Callable[[str], bytes]) -> bytes:
        """Opens our channel to this recipient; made once, and sent with each letter that may come first."""
        if to not in self._openings:
            info = self._channel_info(self._me, to)
            key = _public_key(key_of(to))
            self._openings[to] = SUITE.encrypt(self._ours[to].expose(), key, info)
        return self._openings[to]

    def unseal(self, letter: Letter, view: bytes) -> Unsealed:
        """What the letter holds for us; MalformedError if it does not open."""
        slot = next((slot for slot in letter.slots if slot.to == self._me), None)
        if slot is None:
            raise MalformedError(f"{letter.stage} from {letter.sender} has no slot for {self._me}")
        try:
            cipher = _slot_cipher(self._channel(letter.sender, slot), letter.stage, letter.to, view)
            secret = Seed(cipher.decrypt(_ONE_NONCE, slot.box, None))
            if letter.chunks == (b"",):
                return Unsealed(secret, b"")
            return Unsealed(None, _decrypt_chunks(secret, letter.chunks))
        except (InvalidTag, ValueError):
            raise MalformedError(f"{letter.stage} from {letter.sender} does not open") from None

    def _channel(self, sender: str, slot: Slot) -> Seed:
        if sender not in self._channels:
            if slot.open is None:
                raise ValueError("no channel")
            info = self._channel_info(sender, self._me)
            self._channels[sender] = Seed(SUITE.decrypt(slot.open, self._private, info))
        return self._channels[sender]

    def _channel_info(self, sender: str, to: str) -> bytes:
        return pack("channel", self._session, sender, to)


def _public_key(raw: bytes) -> MLKEM768X25519PublicKey:
    mlkem = MLKEM768PublicKey.from_public_bytes(raw[:_MLKEM_PUBLIC])
    return MLKEM768X25519PublicKey(mlkem, X25519PublicKey.from_public_bytes(raw[_MLKEM_PUBLIC:]))


def _slot_cipher(channel: Seed, stage: str, to: str, view: bytes) -> AESGCMSIV:
    """AES-256-GCM-SIV [RFC 8452]: after a rolled-back journal a repeated key still hides all but equality."""
    return AESGCMSIV(channel.derive("slot", stage, to, view).expose())


def _encrypt_chunks(key: Seed, body: bytes) -> list[bytes]:
    """AES-256-GCM under a key that is used for this one body; the nonce is the number of the chunk.

    The last chunk says that it is the last one, so that a shortened letter does not open (as in STREAM
    [Hoang, Reyhanitabar, Rogaway, Vizár, CRYPTO 2015, §7]).
    """
    cipher = AESGCM(key.expose())
    size = PART_BYTES - TAG_BYTES
    pieces = [body[start : start + size] for start in range(0, len(body), size)]
    return [
        cipher.encrypt(_chunk_nonce(index, len(pieces)), piece, None) for index, piece in enumerate(pieces)
    ]


def _decrypt_chunks(key: Seed, chunks: tuple[bytes, ...]) -> bytes:
    cipher = AESGCM(key.expose())
    return b"".join(
        cipher.decrypt(_chunk_nonce(index, len(chunks)), chunk, None) for index, chunk in enumerate(chunks)
    )


def _chunk_nonce(index: int, count: int) -> bytes:
    last = index == count - 1
    return index.to_bytes(11, "big") + bytes([last])
