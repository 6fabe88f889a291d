"""What is logged can be read, by people and by machines, and no secret is in it."""

import asyncio
import json
import logging
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import structlog
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from party_node import logs
from protocol.encoding import Exact
from protocol.errors import InputError


class State(StrEnum):
    SHARING = "sharing"


@pytest.fixture(autouse=True)
def _logging_as_it_was() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    yield
    root.handlers, root.level = handlers, level
    structlog.reset_defaults()


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    captured = capsys.readouterr()
    assert captured.out == ""
    return [json.loads(line) for line in captured.err.splitlines()]


def test_a_log_line_is_one_json_object_on_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("info")
    structlog.get_logger().info("joined", party="alice", round=3, late=False, took=0.5, culprit=None)
    (line,) = lines(capsys)
    assert line.pop("timestamp").endswith("Z")
    assert line == {
        "event": "joined",
        "level": "info",
        "party": "alice",
        "round": 3,
        "late": False,
        "took": 0.5,
        "culprit": None,
    }


def test_a_terminal_gets_lines_for_people(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    logs.configure("info")
    structlog.get_logger().info("joined", party="alice", share=b"3800")
    shown = capsys.readouterr().err
    assert "joined" in shown
    assert "alice" in shown
    assert "3800" not in shown
    assert not shown.startswith("{")


def test_lines_below_the_level_are_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("warning")
    structlog.get_logger().info("quiet")
    structlog.get_logger().warning("loud")
    assert [line["event"] for line in lines(capsys)] == ["loud"]


@pytest.mark.parametrize(
    ("secret", "shown"),
    [
        (b"3800", "<redacted bytes>"),
        (bytearray(b"3800"), "<redacted bytearray>"),
        (np.array([3800]), "<redacted ndarray>"),
        (np.uint64(3800), "<redacted uint64>"),
        (np.float64(3800), "<redacted float64>"),
        (Exact(np.array(3800), 0, "input raise"), "<redacted Exact>"),
        (Ed25519PrivateKey.generate(), "<redacted Ed25519PrivateKey>"),
        ({"raise": 3800}, "<redacted dict>"),
        (ValueError("3800"), "<redacted ValueError>"),
        ((1, [b"3800"]), [1, ["<redacted bytes>"]]),
    ],
)
def test_a_value_that_is_not_plain_is_not_logged(
    capsys: pytest.CaptureFixture[str], secret: object, shown: object
) -> None:
    logs.configure("info")
    structlog.get_logger().info("share", value=secret)
    structlog.get_logger().info(secret)
    first, second = lines(capsys)
    assert first["value"] == shown
    assert second["event"] == shown


def test_paths_states_and_lists_of_names_are_plain(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("info")
    structlog.get_logger().info("read", path=Path("/etc/sotto"), state=State.SHARING, parties=("a", "b"))
    (line,) = lines(capsys)
    assert (line["path"], line["state"], line["parties"]) == ("/etc/sotto", "sharing", ["a", "b"])


def test_long_text_is_cut(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("info")
    structlog.get_logger().info("long", text="x" * 501, fits="y" * 500)
    (line,) = lines(capsys)
    assert line["text"] == "x" * 500 + "... (501 characters)"
    assert line["fits"] == "y" * 500


def test_a_traceback_says_where_and_not_what(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("info")
    try:
        int("3800 euros")
    except ValueError:
        structlog.get_logger().exception("failed")
    (line,) = lines(capsys)
    assert line["error"] == "ValueError"
    assert "test_logs.py" in line["raised"][0]
    assert "3800" not in json.dumps(line).replace("test_logs.py", "")


def test_our_own_errors_and_the_systems_keep_their_words(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("info")
    structlog.get_logger().error("refused", exc_info=InputError("a.csv, row 7: blank"))
    structlog.get_logger().error("offline", exc_info=ConnectionRefusedError(111, "Connection refused"))
    assert [line["error"] for line in lines(capsys)] == [
        "InputError: a.csv, row 7: blank",
        "ConnectionRefusedError: [Errno 111] Connection refused",
    ]


def test_libraries_speak_from_warning_on_in_the_same_form(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("debug")
    logging.getLogger("aiomqtt").info("connected")
    logging.getLogger("aiomqtt").warning("lost %s after %d s: %s", "broker", 7, ValueError("3800"))
    (line,) = lines(capsys)
    assert line["event"] == "lost broker after 7 s: <redacted ValueError>"
    assert line["level"] == "warning"


def test_the_payload_that_a_library_logs_is_redacted(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("info")
    logging.getLogger("aiomqtt").warning("%(topic)s: %(payload)s", {"topic": "t", "payload": b"3800"})
    (line,) = lines(capsys)
    assert line["event"] == "t: <redacted bytes>"


async def test_the_message_of_a_failed_task_is_not_logged_by_asyncio(
    capsys: pytest.CaptureFixture[str],
) -> None:
    logs.configure("info")
    asyncio.get_running_loop().call_exception_handler(
        {"message": "Task exception was never retrieved", "exception": ValueError("3800"), "future": 3800}
    )
    (line,) = lines(capsys)
    assert line["event"] == "Task exception was never retrieved"
    assert line["error"] == "ValueError"
    assert "3800" not in json.dumps(line)
