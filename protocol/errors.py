"""Every error that a person may read says what is wrong, where, and what to do about it.

`SottoError` and its children are expected: a command line prints them as `error:` and `hint:` lines.
`LocalProtocolError` is our bug; `RemoteProtocolError` is somebody else's, and names them.
"""

from __future__ import annotations


class SottoError(Exception):
    """A problem that the reader of the message can act on.

    `message` names the place and says both sides (what was there, what was expected), in lower case
    and without a full stop; `hint` says what to do.  Neither ever holds a secret.
    """

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class ConfigError(SottoError):
    """A configuration file, a roster or a key file cannot be used as it is."""


class InputError(SottoError):
    """A party's own input cannot be encoded under the session's bounds, decimals or shape."""


class SpecError(SottoError):
    """A session spec is malformed, altered, expired or asks for something impossible."""


class BrokerError(SottoError):
    """The broker cannot be reached or refuses us."""


class LocalProtocolError(Exception):
    """This program broke its own rules: a bug here, never a peer's doing."""


class RemoteProtocolError(Exception):
    """A peer's bytes break the protocol; `culprit` is the party whose signature they carry."""

    def __init__(self, message: str, culprit: str) -> None:
        super().__init__(f"{culprit}: {message}")
        self.message = message
        self.culprit = culprit
