"""Real brokers for tests: configured as a cluster's, on a free port, gone when the test is."""

from __future__ import annotations

import contextlib
import ctypes
import datetime as dt
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from coordinator import pki
from coordinator.broker import PROTOCOL, BrokerKind, command, find_mosquitto, write_configuration
from coordinator.processes import free_port
from coordinator.revoke import create_list
from party_node.config import BrokerConfig

KINDS: tuple[BrokerKind, ...] = ("embedded", "mosquitto")
_START_LIMIT = 15.0  # seconds


def require(kind: BrokerKind) -> None:
    """Skip where Mosquitto is missing, fail on CI: a check that never runs protects nothing."""
    if kind == "mosquitto" and find_mosquitto() is None:
        message = "mosquitto is not installed (apt-get install mosquitto)"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)


class BrokerHandle:
    """One broker process and the authority whose certificates it accepts."""

    def __init__(self, kind: BrokerKind, directory: Path, *extra_rules: str) -> None:
        self.kind = kind
        self.directory = directory
        self.port = free_port()
        self.authority = pki.Authority.create(directory / "ca")
        self._folder = directory / "broker"
        self._folder.mkdir()
        self._process: subprocess.Popen[bytes] | None = None
        key = pki.create_key(self._folder / "tls.key")
        names = ["localhost", "127.0.0.1"]
        certificate = self.authority.issue_server(key.public_key(), names)
        pki.write_new(self._folder / "tls.crt", certificate)
        create_list(self.authority, self._folder)
        write_configuration(self._folder, directory / "ca" / "ca.crt", self.port, "127.0.0.1")
        with (self._folder / "acl").open("a") as rules:
            rules.writelines(f"{rule}\n" for rule in extra_rules)

    def config(
        self,
        name: str,
        *,
        authority: pki.Authority | None = None,
        host: str = "localhost",
        lifetime: dt.timedelta = pki.LEAF_LIFETIME,
    ) -> BrokerConfig:
        """How `name` reaches this broker, with a new certificate (by another authority if given)."""
        folder = self.directory / "clients" / f"{name}-{time.monotonic_ns()}"
        folder.mkdir(parents=True)
        key = pki.create_key(folder / "tls.key")
        certificate = (authority or self.authority).issue_client(key.public_key(), name, lifetime)
        pki.write_new(folder / "tls.crt", certificate)
        return BrokerConfig(
            host=host,
            port=self.port,
            protocol=PROTOCOL[self.kind],
            ca=self.directory / "ca" / "ca.crt",
            certificate=folder / "tls.crt",
            key=folder / "tls.key",
            base_topic="sotto",
        )

    @property
    def pid(self) -> int:
        """The process id of the running broker."""
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Start the broker and wait until it accepts connections."""
        with (self.directory / "broker.log").open("ab") as log:
            self._process = subprocess.Popen(
                command(self.kind, self._folder),
                stdout=log,
                stderr=log,
                preexec_fn=_die_with_parent if sys.platform == "linux" else None,  # noqa: PLW1509 - one system call
            )
        limit = time.monotonic() + _START_LIMIT
        while not self._accepts():
            assert self._process.poll() is None, self.log()
            assert time.monotonic() < limit, self.log()
            time.sleep(0.01)

    def stop(self) -> None:
        """End it in an orderly way."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End it as a power cut would."""
        self._end(signal.SIGKILL)

    def restart(self) -> None:
        """Stop it, and start it again on the same port with the same data."""
        self.stop()
        self.start()

    def log(self) -> str:
        """What the broker printed."""
        return (self.directory / "broker.log").read_text(errors="replace")

    def _end(self, how: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(how)
            try:
                self._process.wait(10)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._process = None

    def _accepts(self) -> bool:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
            return True
        return False


@contextlib.contextmanager
def running_broker(kind: BrokerKind, directory: Path, *extra_rules: str) -> Iterator[BrokerHandle]:
    """A broker for the length of a `with` block; `extra_rules` are added to its access list."""
    require(kind)
    handle = BrokerHandle(kind, directory, *extra_rules)
    handle.start()
    try:
        yield handle
    finally:
        handle.stop()


def _die_with_parent() -> None:
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
