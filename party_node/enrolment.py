"""A party's own keys: made on its machine, and they never leave it.

What leaves is the certificate request (for whoever runs the broker to sign) and the roster entry.
"""

from __future__ import annotations

import base64
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from party_node.identity import create_identity
from party_node.roster import fingerprint
from protocol.errors import ConfigError
from protocol.names import PATTERN, is_name

CONFIG = """\
name = "{name}"
data_dir = "data"
roster = "roster.toml"               # everybody's identities; ask the coordinator for it
identity_key = "identity.key"

[broker]
host = "{host}"
port = {port}
ca = "ca.crt"                        # from whoever runs the broker
certificate = "tls.crt"              # likewise, in exchange for tls.csr
key = "tls.key"

# One table for each input that sessions may ask for; see configs/alice.toml for all kinds.
# [inputs.raise]
# value = "3800"
"""


def create(name: str, directory: Path, broker: str) -> str:
    """Write identity.key, tls.key, tls.csr and config.toml; returns what to tell the operator."""
    if not is_name(name):
        raise ConfigError(f"{name}: not a party name", f"a name matches {PATTERN}")
    host, _, port = broker.rpartition(":")
    if not host or not port.isdecimal():
        raise ConfigError(f"--broker {broker}: expected HOST:PORT", "for example broker.example.org:8883")
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    config = directory / "config.toml"
    if config.exists():
        raise ConfigError(f"{config}: already exists", "nothing was changed; use another --dir")
    identity = create_identity(directory / "identity.key")
    request = certificate_request(create_identity(directory / "tls.key"), name)
    (directory / "tls.csr").write_bytes(request)
    config.write_text(CONFIG.format(name=name, host=host, port=port))
    public = identity.public_key().public_bytes_raw()
    return (
        f"wrote {config}, identity.key, tls.key and tls.csr\n\n"
        f"for everybody's roster.toml:\n\n[parties.{name}]\n"
        f'identity = "{base64.b64encode(public).decode()}"\n\n'
        f"fingerprint, to compare by telephone: {fingerprint(public)}\n"
        f"send {directory / 'tls.csr'} to whoever runs the broker; the keys stay here\n"
    )


def certificate_request(key: Ed25519PrivateKey, name: str) -> bytes:
    """A certificate request (PKCS#10, PEM): all that a party sends to whoever signs for it."""
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    builder = x509.CertificateSigningRequestBuilder().subject_name(subject)
    return builder.sign(key, None).public_bytes(Encoding.PEM)
