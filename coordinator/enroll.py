"""`coordinator enroll`: a request and an identity made on a party's own machine become a membership."""

from __future__ import annotations

import base64
from pathlib import Path

from coordinator import pki
from party_node.roster import fingerprint, load_roster
from protocol.errors import ConfigError
from protocol.names import PATTERN, is_name


def enroll(directory: Path, name: str, request: Path, identity: str) -> list[str]:
    """Sign the request, add the roster entry; returns what to tell the operator.

    A name that is in the roster with another identity is refused: a change of key is never silent.
    """
    if not is_name(name):
        raise ConfigError(f"{name}: not a party name", f"a name matches {PATTERN}")
    authority = pki.Authority.load(directory / "ca")
    path = directory / "roster.toml"
    roster = load_roster(path)
    known = roster.identity(name)
    if known is not None and base64.b64encode(known).decode() != identity:
        raise ConfigError(
            f"{name} is in {path} with ANOTHER identity, {fingerprint(known)}",
            "if the party really has a new key, ask it by telephone, then remove the old entry by hand",
        )
    try:
        pem = request.read_bytes()
    except OSError as error:
        raise ConfigError(f"{request}: {(error.strerror or 'unreadable').lower()}", "name tls.csr") from None
    certificate = directory / "parties" / name / "tls.crt"
    certificate.parent.mkdir(parents=True, exist_ok=True)
    pki.write_new(certificate, authority.issue_client(pem, name), mode=0o644)
    parties = {party: base64.b64encode(key).decode() for party, key in roster.parties.items()}
    coordinators = {party: base64.b64encode(key).decode() for party, key in roster.coordinators.items()}
    _replace(path, pki.roster_text({**parties, name: identity}, coordinators))
    public = load_roster(path).parties[name]
    return [
        f"enrolled {name}, {fingerprint(public)}: compare this with the party by telephone",
        f"send {certificate}, {directory / 'ca' / 'ca.crt'} and {path} to the party",
    ]


def _replace(path: Path, text: str) -> None:
    """The whole new roster or the old one, whatever happens; and only if it can be loaded."""
    draft = path.with_name(f".{path.name}.draft")
    draft.write_text(text)
    try:
        load_roster(draft)
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
