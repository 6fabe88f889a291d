"""A party's Ed25519 identity: a private key in a file that only its owner can read."""

from __future__ import annotations

import os
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from protocol.errors import ConfigError

OTHERS = 0o077  # every permission of the group and of everybody else


def load_identity(path: Path) -> Ed25519PrivateKey:
    """The private key (PKCS#8 PEM, not encrypted) in `path`.  Raises ConfigError."""
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode & 0o777  # of what was opened, not of what is there now
            pem = file.read()
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such identity key", "`party-node init` creates one") from None
    except OSError as error:
        reason = (error.strerror or "unreadable").lower()
        raise ConfigError(f"{path}: {reason}", "the user who runs the node must be its owner") from None
    if mode & OTHERS:
        raise ConfigError(f"{path}: mode {mode:04o} lets others in, expected 0600", f"chmod 600 {path}")
    return _parse(path, pem)


def create_identity(path: Path) -> Ed25519PrivateKey:
    """A new private key, written to `path` with mode 0600.  Raises ConfigError if the file exists."""
    key = Ed25519PrivateKey.generate()
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    try:
        # O_EXCL: whoever comes second fails; a key that a roster pins is never overwritten.
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise ConfigError(
            f"{path}: already exists", "an identity is never overwritten; move it away first"
        ) from None
    except OSError as error:
        raise ConfigError(
            f"{path}: {(error.strerror or 'not writable').lower()}", "check the directory"
        ) from None
    with os.fdopen(descriptor, "wb") as file:
        file.write(pem)
        file.flush()
        os.fsync(file.fileno())
    return key


def _parse(path: Path, pem: bytes) -> Ed25519PrivateKey:
    hint = "`party-node init` creates an Ed25519 key as PKCS#8 PEM, not encrypted"
    try:
        key = load_pem_private_key(pem, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):  # TypeError: it has a password
        raise ConfigError(f"{path}: not a private key in unencrypted PEM", hint) from None
    if not isinstance(key, Ed25519PrivateKey):
        raise ConfigError(f"{path}: a private key, but not of Ed25519", hint)
    return key
