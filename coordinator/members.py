"""What the operator's directory keeps of its members: the roster, certificates, keys that are revoked.

D/roster.toml                     who is who, and who is revoked
D/parties/NAME/tls.crt            the newest certificate; D/coordinator/tls.crt is the coordinator's
D/parties/NAME/tls-SERIAL.crt     those before it: a revocation names them all
D/ca/revoked_keys                 fingerprints of keys that are never taken again
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

from cryptography import x509

from coordinator import pki
from party_node import durable
from party_node.roster import Roster, fingerprint, load_roster
from protocol.errors import ConfigError

ROSTER = "roster.toml"
_OWN = "coordinator"  # whose keys are in this directory too
CERTIFICATE = "tls.crt"
_PUBLIC = 0o644


@contextmanager
def alone(directory: Path) -> Iterator[None]:
    """One command at a time: what another one has written meanwhile would be lost."""
    try:
        with ExitStack() as stack:
            if directory.is_dir():  # else what is missing is told by name
                stack.enter_context(durable.alone(directory))
            yield
    except OSError as error:
        problem = (error.strerror or "cannot be used").lower()
        place = error.filename or directory
        raise ConfigError(f"{place}: {problem}", "is this the network's directory?") from None


def folder(directory: Path, name: str) -> Path:
    """Where the certificates of a member are."""
    return directory / name if name == _OWN else directory / "parties" / name


def certificates(member: Path) -> list[x509.Certificate]:
    """All that this authority has ever given to a member, as far as the directory knows."""
    return [x509.load_pem_x509_certificate(path.read_bytes()) for path in sorted(member.glob("tls*.crt"))]


def keep_certificate(path: Path, pem: bytes) -> None:
    """Make it the newest certificate; the one before stays beside it, under its serial number."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists():
        before = x509.load_pem_x509_certificate(path.read_bytes())
        older = path.with_name(f"{path.stem}-{before.serial_number:x}.crt")
        if not older.exists():
            older.hardlink_to(path)
    durable.replace(path, pem, _PUBLIC)


def write_roster(
    directory: Path, roster: Roster, identities: Mapping[str, bytes], revoked: Mapping[str, str]
) -> None:
    """The roster with these identities and revocations: the whole new one, or the old one.

    Raises ConfigError, and changes nothing, if nobody could load it.
    """
    store_roster(directory, checked_roster(directory, roster, identities, revoked))


def checked_roster(
    directory: Path, roster: Roster, identities: Mapping[str, bytes], revoked: Mapping[str, str]
) -> str:
    """The text of a roster that everybody can load, or ConfigError."""
    parties, coordinators = dict(roster.parties), dict(roster.coordinators)
    for name, identity in identities.items():
        (coordinators if name in coordinators else parties)[name] = identity
    text = pki.roster_text(_base64(parties), _base64(coordinators), revoked)
    draft = directory / f".{ROSTER}.draft"
    try:
        draft.write_text(text)
        load_roster(draft)
    finally:
        draft.unlink(missing_ok=True)
    return text


def store_roster(directory: Path, text: str) -> None:
    """In the place of the old one, as a whole."""
    durable.replace(directory / ROSTER, text.encode(), _PUBLIC)


def _base64(keys: Mapping[str, bytes]) -> dict[str, str]:
    return {name: base64.b64encode(key).decode() for name, key in keys.items()}


# -- keys that are never taken again -------------------------------------------------------------------


def revoked_keys(directory: Path) -> set[str]:
    """The fingerprints of identities and of certificates' keys that were revoked."""
    path = directory / "ca" / "revoked_keys"
    return set(path.read_text().split()) if path.exists() else set()


def add_revoked_keys(directory: Path, fingerprints: Iterable[str]) -> None:
    """Note them for good."""
    everything = sorted(revoked_keys(directory).union(fingerprints))
    content = "".join(f"{each}\n" for each in everything).encode()
    durable.replace(directory / "ca" / "revoked_keys", content, _PUBLIC)


def key_in(certificate: x509.Certificate) -> str:
    """The fingerprint of the key in a certificate."""
    return fingerprint(pki.ed25519(certificate).public_bytes_raw())
