"""Why a broker cannot be reached, told so that a person can mend it."""

from __future__ import annotations

import datetime as dt
import socket
import ssl
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cryptography import x509

from party_node import certificates
from protocol.errors import BrokerError

if TYPE_CHECKING:
    from party_node.config import BrokerConfig

# X.509 verification results (openssl/x509_vfy.h)
_NOT_YET_VALID, _EXPIRED = 9, 10
_WRONG_HOST, _WRONG_ADDRESS = 62, 64


@dataclass(frozen=True)
class Problem:
    """One kind of trouble with the broker; `kind` tells two troubles apart in the log."""

    kind: str
    message: str
    hint: str

    def error(self) -> BrokerError:
        """The same as an error."""
        return BrokerError(self.message, self.hint)


class _ClosingSocket(ssl.SSLSocket):
    def do_handshake(self, block: bool = False) -> None:
        try:
            super().do_handshake(block)
        except OSError:
            self.close()  # paho would leave it to the garbage collector
            raise


def tls_context(broker: BrokerConfig) -> ssl.SSLContext:
    """TLS 1.3 with our certificate; the broker's certificate and host name are verified.

    Raises BrokerError if a file is missing or unusable.
    """
    try:
        context = ssl.create_default_context(cafile=str(broker.ca))
    except (OSError, ssl.SSLError):
        message = f"{broker.ca}: no certificate authority can be read from it"
        raise BrokerError(message, "`ca` under [broker] names its PEM file") from None
    context.sslsocket_class = _ClosingSocket
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    try:
        context.load_cert_chain(broker.certificate, broker.key)
    except (OSError, ssl.SSLError):
        message = f"{broker.certificate} and {broker.key}: not a certificate and its private key"
        hint = "`certificate` and `key` under [broker] name two PEM files that belong together"
        raise BrokerError(message, hint) from None
    return context


def unreachable(broker: BrokerConfig, error: BaseException | None) -> Problem:
    """Explain the exception that ended an attempt to connect (None: closed without a word)."""
    where = f"{broker.host}:{broker.port}"
    match error:
        case socket.gaierror():
            return Problem(
                "name", f"no address is known for {broker.host}", "is `host` under [broker] right?"
            )
        case ConnectionRefusedError():
            return Problem("absent", f"nothing listens at {where}", "is the broker running, on that port?")
        case ssl.SSLCertVerificationError():
            return _untrusted(broker, where, error)
        case ssl.SSLError():
            return _alert(broker, where, error)
        case TimeoutError():
            return Problem("silent", f"no answer from {where}", "is it a broker, and does a firewall let us?")
        case None | ConnectionResetError() | BrokenPipeError():
            return _closed(broker, where)
    return Problem("network", f"cannot reach {where}: {error}", "is the network up?")


def refused(broker: BrokerConfig, reason: str) -> Problem:
    """The broker answered our CONNECT with a no."""
    if "version" in reason.lower():
        hint = 'set `protocol` under [broker] to "3.1.1" or "5"'
    else:
        hint = "is our certificate's common name our own name, and does the access list know it?"
    message = f"{broker.host}:{broker.port} refused the connection: {reason.lower()}"
    return Problem("refused", message, hint)


def lost(broker: BrokerConfig, reason: str) -> Problem:
    """A connection that worked has ended."""
    return Problem("lost", f"connection to {broker.host}:{broker.port} lost: {reason}", "trying again")


def unsubscribed(broker: BrokerConfig) -> Problem:
    """The broker does not let us read what we must."""
    return Problem(
        "unsubscribed",
        f"{broker.host}:{broker.port} refused our subscriptions",
        "does its access list let us read our letters, and is `base_topic` the same for all?",
    )


def _untrusted(broker: BrokerConfig, where: str, error: ssl.SSLCertVerificationError) -> Problem:
    match error.verify_code:
        case code if code == _EXPIRED:
            return _expired(broker, where)
        case code if code == _NOT_YET_VALID:
            return Problem("clock", f"the certificate of {where} is not valid yet", "is our clock right?")
        case code if code in (_WRONG_HOST, _WRONG_ADDRESS):
            return Problem("host", f"the certificate of {where} is for another host", "check `host`")
    return Problem(
        "authority",
        f"the certificate of {where} is not signed by {broker.ca}: {error.verify_message}",
        "`ca` under [broker] must be the authority of this broker",
    )


def _expired(broker: BrokerConfig, where: str) -> Problem:
    """The broker's certificate, or the authority's, which stands above it."""
    authority = x509.load_pem_x509_certificate(broker.ca.read_bytes())
    if (ended := authority.not_valid_after_utc) < dt.datetime.now(dt.UTC):
        message = f"the authority {broker.ca} expired on {ended.date()}"
        return Problem("expired", message, certificates.RENEW_ALL)
    hint = "its operator must renew it: `coordinator renew`"
    return Problem("expired", f"the certificate of {where} has expired", hint)


def _alert(broker: BrokerConfig, where: str, error: ssl.SSLError) -> Problem:
    own = _own_certificate(broker)
    if own is not None:
        return own
    reason = (error.reason or str(error)).lower().replace("_", " ")
    if "certificate revoked" in reason:
        return Problem(
            "revoked",
            f"{where} refused our certificate {broker.certificate}: it is revoked",
            "ask whoever runs the broker why; to come back, make new keys with `party-node init` and enroll",
        )
    if "alert" in reason and ("cert" in reason or "unknown ca" in reason or "decrypt" in reason):
        return Problem(
            "certificate",
            f"{where} refused our certificate {broker.certificate}: {reason}",
            "it must be signed by the broker's authority",
        )
    return Problem(
        "tls", f"no TLS 1.3 with {where}: {reason}", "is that port for MQTT over TLS, usually 8883?"
    )


def _closed(broker: BrokerConfig, where: str) -> Problem:
    return _own_certificate(broker) or Problem(
        "closed",
        f"{where} closed the connection before it answered",
        f"is {broker.certificate} signed by the broker's authority, and not revoked?  Its log may say more",
    )


def _own_certificate(broker: BrokerConfig) -> Problem | None:
    """Whether our own certificate is the trouble: brokers rarely say so clearly."""
    certificate = x509.load_pem_x509_certificate(broker.certificate.read_bytes())
    now = dt.datetime.now(dt.UTC)
    if certificate.not_valid_after_utc < now:
        day = certificate.not_valid_after_utc.date()
        return Problem(
            "own-expired",
            f"our certificate {broker.certificate} expired on {day}",
            certificates.RENEW,
        )
    if certificate.not_valid_before_utc > now:
        return Problem(
            "clock", f"our certificate {broker.certificate} is not valid yet", "is our clock right?"
        )
    return None
