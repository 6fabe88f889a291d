"""Background services of a local cluster: started once, found again, stopped by their own id.

A service is known by `run/<service>.json` with its process id *and* start time, so that a process
that got the same id later is never taken for ours, let alone killed.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

GRACE = 5.0  # seconds from SIGTERM to SIGKILL
_TAIL = 15  # lines of a log that an error may quote


@dataclass(frozen=True)
class Services:
    """The services of one cluster directory."""

    directory: Path

    def start(self, service: str, command: Sequence[str]) -> bool:
        """Start a service in a session of its own unless it runs; True if it was started."""
        if self.process(service) is not None:
            return False
        log = self.log_path(service)
        for path in (log, self._record(service)):
            path.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as output:
            child = subprocess.Popen(  # noqa: S603 - the commands are ours
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,  # outlives this terminal and its Ctrl-C
            )
        self._remember(service, child.pid)
        child.returncode = 0  # a daemon: nobody will wait for it here
        return True

    def process(self, service: str) -> psutil.Process | None:
        """The running process of a service, None if it does not run."""
        try:
            record = json.loads(self._record(service).read_text())
            process = psutil.Process(record["pid"])
            same = process.create_time() == record["created"]
            alive = same and process.status() != psutil.STATUS_ZOMBIE
        except (FileNotFoundError, psutil.NoSuchProcess):
            return None
        return process if alive else None

    def running(self) -> list[str]:
        """The names of all services that run now."""
        records = sorted((self.directory / "run").glob("*.json"))
        return [record.stem for record in records if self.process(record.stem) is not None]

    def stop(self, services: Sequence[str]) -> None:
        """End these services together: SIGTERM, and SIGKILL for what is left after five seconds."""
        processes = [found for name in services if (found := self.process(name)) is not None]
        for process in processes:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.terminate()
        _, stubborn = psutil.wait_procs(processes, timeout=GRACE)
        for process in stubborn:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(stubborn, timeout=GRACE)
        for name in services:
            self._record(name).unlink(missing_ok=True)

    def log_path(self, service: str) -> Path:
        """Where a service's output goes."""
        return self.directory / "log" / f"{service}.log"

    def log_tail(self, service: str) -> str:
        """The last lines of a service's output, for an error message."""
        path = self.log_path(service)
        lines = path.read_text(errors="replace").splitlines() if path.exists() else []
        return "\n".join(lines[-_TAIL:])

    def _record(self, service: str) -> Path:
        return self.directory / "run" / f"{service}.json"

    def _remember(self, service: str, pid: int) -> None:
        with contextlib.suppress(psutil.NoSuchProcess):  # it may have failed already
            created = psutil.Process(pid).create_time()
            draft = self._record(service).with_suffix(f".{os.getpid()}")
            draft.write_text(json.dumps({"pid": pid, "created": created}))
            draft.replace(self._record(service))


def free_port() -> int:
    """A TCP port on the loopback interface that nobody listens on now."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port
