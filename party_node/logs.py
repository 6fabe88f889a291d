"""Structured logs on stderr: lines for people on a terminal, JSON lines elsewhere.

Rule 1: a secret is not logged by mistake.  Only plain values pass (text, numbers, booleans, None, paths,
lists of those); bytes, arrays, inputs, shares, keys and any other object become `<redacted TypeName>`
before anything asks for their repr.
Rule 2: an exception is logged as its type and where it was raised.  Its message may quote anything, so
it is shown only where it was written to be read: in our own errors and the operating system's.
"""

from __future__ import annotations

import logging
import sys
import traceback
from collections.abc import Mapping
from enum import Enum
from pathlib import PurePath
from types import TracebackType

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from protocol.errors import SottoError

LONGEST = 500  # characters of one text


def configure(level: str) -> None:
    """Log from `level` ("debug", "info", "warning" or "error") on; libraries from "warning" on."""
    processors: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _describe_exception,
        redact,
        structlog.dev.ConsoleRenderer() if sys.stderr.isatty() else structlog.processors.JSONRenderer(),
    ]
    structlog.configure(
        processors=processors,
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    _route_libraries(processors, level)


def redact(logger: WrappedLogger, method: str, event: EventDict) -> EventDict:  # noqa: ARG001 - structlog's
    """A structlog processor: nothing but plain values goes on (rule 1)."""
    return {key: _plain(value) for key, value in event.items()}


def _plain(value: object) -> object:
    # Exact types: numpy.float64 is a subclass of float, and may be an element of a share.
    if value is None or type(value) in {bool, int, float}:
        return value
    if isinstance(value, Enum):
        return _plain(value.value)
    if type(value) is str or isinstance(value, PurePath):
        # Whoever can publish may have chosen it: nothing that a terminal would obey.
        text = "".join(each if each.isprintable() else "?" for each in str(value))
        return text if len(text) <= LONGEST else f"{text[:LONGEST]}... ({len(text)} characters)"
    if type(value) in {list, tuple} and isinstance(value, list | tuple):
        return [_plain(element) for element in value]
    return f"<redacted {type(value).__name__}>"


def _describe_exception(logger: WrappedLogger, method: str, event: EventDict) -> EventDict:  # noqa: ARG001
    """A structlog processor: `exc_info` becomes text that quotes no data (rule 2)."""
    info = event.pop("exc_info", None)
    error = sys.exception() if info is True else info[1] if isinstance(info, tuple) else info
    if isinstance(error, BaseException):
        message = f": {error}" if isinstance(error, SottoError | OSError) else ""
        event["error"] = f"{type(error).__name__}{message}"
        event["raised"] = [
            f"{frame.filename}:{frame.lineno} {frame.name}" for frame in _frames(error.__traceback__)
        ]
    return event


def _frames(trace: TracebackType | None) -> list[traceback.FrameSummary]:
    return list(traceback.extract_tb(trace))


class _PlainArguments(logging.Filter):
    """Libraries format messages themselves, so their arguments are made plain before that."""

    def filter(self, record: logging.LogRecord) -> bool:
        if isinstance(record.args, Mapping):
            record.args = {key: _plain(value) for key, value in record.args.items()}
        elif record.args:
            record.args = tuple(_plain(value) for value in record.args)
        # asyncio's second line is the repr of a task, and with it of the exception in it.
        record.msg = str(record.msg).partition("\n")[0]
        return True


def _route_libraries(processors: list[Processor], level: str) -> None:
    handler = logging.StreamHandler(sys.stderr)
    handler.addFilter(_PlainArguments())
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *processors]
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(max(logging.WARNING, logging.getLevelNamesMapping()[level.upper()]))
