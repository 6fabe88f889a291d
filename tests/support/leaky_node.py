"""`python -m tests.support.leaky_node ARGUMENT…`: `party-node`, with mistakes in it.

Each is one that somebody could make: a line of debugging, a helpful error, a cache, a forgotten deletion.
Whatever searches for secrets must find what they let out.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from pathlib import Path
from typing import Any

import structlog

from party_node import cli, inputs
from party_node.audit import export
from party_node.config import InputSource
from party_node.journal import Journal
from party_node.operations import metrics
from party_node.transport import Transport
from protocol.encoding import Exact
from protocol.errors import InputError
from protocol.session import Session

log = structlog.get_logger("debugging")
loaded: list[bytes] = []  # little endian


def _helpful_load(
    name: str, source: InputSource, base: Path, real: Callable[..., Exact] = inputs.load
) -> Exact:
    """Quotes what it could not read, and logs and caches what it could."""
    try:
        value = real(name, source, base)
    except InputError as error:
        raise InputError(f"{error.message}: {source.value}", error.hint) from None
    log.debug("input loaded", units=str(value.units))
    loaded.append(value.units.astype("<i8").tobytes())
    (base / "data" / "inputs.cache").write_bytes(loaded[-1])
    return value


def _telling_refuse(
    self: Session, code: Any, detail: str, words: str = "", real: Callable[..., Any] = Session.refuse
) -> Any:
    """Tells everybody why."""
    return real(self, code, detail, words or detail)


def _chatty_send(
    self: Transport, topic: str, payload: bytes, real: Callable[..., None] = Transport.send, **given: Any
) -> None:
    """Publishes what it is about, for whoever debugs the broker."""
    if "/join/" in topic and loaded:
        real(self, topic.replace("/join/", "/debug/"), base64.b64encode(b"v=" + loaded[-1]), retain=True)
    real(self, topic, payload, **given)


def _detailed_text(*given: Any, real: Callable[..., bytes] = metrics.text) -> bytes:
    """Adds a gauge."""
    return real(*given) + b"".join(
        b"input_units_hex 0x%x\n" % int.from_bytes(each, "little") for each in loaded
    )


def main() -> None:
    """Make the mistakes, then run."""
    inputs.load = _helpful_load
    metrics.text = _detailed_text  # type: ignore[assignment]
    Session.refuse = _telling_refuse  # type: ignore[method-assign]
    Transport.send = _chatty_send  # type: ignore[method-assign]
    Journal.forget_secrets = lambda self, session: None  # type: ignore[method-assign]
    export.UNTOLD = ()  # type: ignore[assignment]
    cli.main()


if __name__ == "__main__":
    main()
