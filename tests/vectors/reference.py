"""The protocol a second time, written from protocol/SPEC.md alone: it shares no code with the project.

The test vectors are made with this file and checked against the project, so a mistake must be made
twice, in the same way, to go unnoticed.  Only primitives come from libraries; HPKE is spelled out.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Sequence
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, AESGCMSIV

PIECE = (1 << 20) - 16  # bytes of a body in one chunk
MODULUS = 1 << 64


# -- §4.1 hashing and derivation ------------------------------------------------------------------


def pack(label: str, *parts: bytes | str) -> bytes:
    """Each part behind its length."""
    raw = [part.encode() if isinstance(part, str) else part for part in ("sotto/1", label, *parts)]
    return b"".join(len(part).to_bytes(8, "big") + part for part in raw)


def digest(label: str, *parts: bytes | str) -> bytes:
    """SHA-256 of the packed parts."""
    return hashlib.sha256(pack(label, *parts)).digest()


def hkdf_expand(key: bytes, info: bytes, length: int) -> bytes:
    """RFC 5869, §2.3, with SHA-256."""
    block, out, counter = b"", b"", 1
    while len(out) < length:
        block = hmac.digest(key, block + info + bytes([counter]), "sha256")
        out, counter = out + block, counter + 1
    return out[:length]


def derive(seed: bytes, label: str, *context: bytes | str, length: int = 32) -> bytes:
    """A secret for one purpose."""
    return hkdf_expand(seed, pack(label, *context), length)


def expand(seed: bytes, count: int) -> list[int]:
    """The PRG: AES-256-CTR, 8 bytes an element, little endian."""
    stream = Cipher(algorithms.AES256(seed), modes.CTR(bytes(16))).encryptor().update(bytes(8 * count))
    return [int.from_bytes(stream[at : at + 8], "little") for at in range(0, 8 * count, 8)]


# -- §4.2 JSON and frames ---------------------------------------------------------------------------


def canonical(statement: dict[str, Any]) -> bytes:
    """The canonical JSON of ASCII statements: the fields' order is the caller's."""
    return json.dumps(statement, separators=(",", ":"), ensure_ascii=False).encode()


def sign_letter(identity: bytes, header: bytes, body: bytes) -> bytes:
    """The payload of one part."""
    signature = Ed25519PrivateKey.from_private_bytes(identity).sign(digest("letter", header, body))
    return signature + len(header).to_bytes(4, "big") + header + body


def public_identity(identity: bytes) -> bytes:
    """The public half of an Ed25519 key."""
    return Ed25519PrivateKey.from_private_bytes(identity).public_key().public_bytes_raw()


# -- §4.5 sealing -------------------------------------------------------------------------------------


def sealing_private(seed: bytes) -> bytes:
    """64 bytes of ML-KEM seed, 32 bytes of X25519 key."""
    return derive(seed, "sealing key", length=96)


def sealing_public(seed: bytes) -> bytes:
    """ML-KEM-768 public key, then X25519 public key."""
    raw = sealing_private(seed)
    mlkem = MLKEM768PrivateKey.from_seed_bytes(raw[:64]).public_key().public_bytes_raw()
    return mlkem + X25519PrivateKey.from_private_bytes(raw[64:]).public_key().public_bytes_raw()


def channel_info(session: str, sender: str, to: str) -> bytes:
    """What HPKE binds a channel to."""
    return pack("channel", session, sender, to)


def _decapsulate(seed: bytes, enc: bytes) -> bytes:
    """X-Wing: ML-KEM-768 and X25519 in one KEM."""
    raw, public = sealing_private(seed), sealing_public(seed)
    ss_m = MLKEM768PrivateKey.from_seed_bytes(raw[:64]).decapsulate(enc[:1088])
    x25519 = X25519PrivateKey.from_private_bytes(raw[64:])
    ss_x = x25519.exchange(X25519PublicKey.from_public_bytes(enc[1088:]))
    return hashlib.sha3_256(ss_m + ss_x + enc[1088:] + public[1184:] + b"\\.//^\\").digest()


def hpke_open(seed: bytes, sealed: bytes, info: bytes) -> bytes:
    """RFC 9180, §5.1 and §6.1, base mode: KEM 0x647a, KDF 0x0001, AEAD 0x0002."""
    suite = b"HPKE" + bytes.fromhex("647a00010002")

    def labeled_extract(salt: bytes, label: bytes, ikm: bytes) -> bytes:
        return hmac.digest(salt or bytes(32), b"HPKE-v1" + suite + label + ikm, "sha256")

    def labeled_expand(key: bytes, label: bytes, context: bytes, length: int) -> bytes:
        return hkdf_expand(key, length.to_bytes(2, "big") + b"HPKE-v1" + suite + label + context, length)

    secret = labeled_extract(_decapsulate(seed, sealed[:1120]), b"secret", b"")
    context = b"\0" + labeled_extract(b"", b"psk_id_hash", b"") + labeled_extract(b"", b"info_hash", info)
    key = labeled_expand(secret, b"key", context, 32)
    nonce = labeled_expand(secret, b"base_nonce", context, 12)
    return AESGCM(key).decrypt(nonce, sealed[1120:], b"")


def channel(seed: bytes, to: str) -> bytes:
    """The sender's side of a channel."""
    return derive(seed, "channel", to)


def slot_box(channel_key: bytes, stage: str, to: str, view: bytes, secret: bytes) -> bytes:
    """The 48 bytes of a slot; the view is empty where there is none yet."""
    return AESGCMSIV(derive(channel_key, "slot", stage, to, view)).encrypt(bytes(12), secret, None)


def chunks(key: bytes, body: bytes, piece: int = PIECE) -> list[bytes]:
    """A body under its key; the last chunk's nonce says that it is the last."""
    pieces = [body[at : at + piece] for at in range(0, len(body), piece)]
    return [
        AESGCM(key).encrypt(number.to_bytes(11, "big") + bytes([number == len(pieces) - 1]), each, None)
        for number, each in enumerate(pieces)
    ]


# -- §4.3, §4.6 views, shares, openings -----------------------------------------------------------------


def view_digest(session: str, begin: bytes) -> bytes:
    """What every sealed letter and every commitment is bound to."""
    return digest("view", session, begin)


def split(
    x: Sequence[int], holders: Sequence[str], explicit: str, seed: bytes
) -> dict[str, bytes | list[int]]:
    """A seed for each holder but one, and what is left for that one."""
    seeds = {holder: derive(seed, "share", holder) for holder in holders if holder != explicit}
    rest = [value % MODULUS for value in x]
    for each in seeds.values():
        rest = [(a - b) % MODULUS for a, b in zip(rest, expand(each, len(x)), strict=True)]
    return {holder: seeds.get(holder, rest) for holder in holders}


def split_bit(bit: int, holders: Sequence[str], explicit: str, seed: bytes) -> dict[str, bytes | int]:
    """The same for a ballot, by XOR: the lowest bit of a ring element is a share of it."""
    seeds = {holder: derive(seed, "share", holder) for holder in holders if holder != explicit}
    rest = bit
    for each in seeds.values():
        rest ^= expand(each, 1)[0]
    return {holder: seeds.get(holder, rest) for holder in holders}


def ring_bytes(elements: Sequence[int]) -> bytes:
    """8 bytes an element, little endian."""
    return b"".join((each % MODULUS).to_bytes(8, "little") for each in elements)


def opening(seed: bytes, view: bytes, inputs: Sequence[str], output: Sequence[int]) -> bytes:
    """The nonce and the output share."""
    return derive(seed, "nonce", view, *inputs) + ring_bytes(output)


def commitment(view: bytes, party: str, inputs: Sequence[str], opened: bytes) -> bytes:
    """What a compute party says before it reveals."""
    return digest("commitment", view, party, pack("inputs", *inputs), opened)


def revealed(transcript: bytes, opened: bytes) -> bytes:
    """What a reveal holds: over which commitments, and the opening."""
    return transcript + opened


def transcript(view: bytes, inputs: Sequence[str], commitments: Sequence[bytes]) -> bytes:
    """What the result parties confirm."""
    return digest("transcript", view, pack("inputs", *inputs), *commitments)
