"""The two programs as a person runs them: processes, exit codes, stdout and stderr."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

LIMIT = 60.0  # seconds for any one command


@dataclass(frozen=True)
class Ran:
    """What a command printed and how it ended."""

    code: int
    out: str
    err: str

    @property
    def data(self) -> Any:
        """The one JSON object on stdout; anything beside it fails."""
        return json.loads(self.out)


def run(program: str, *arguments: str | Path, env: dict[str, str] | None = None) -> Ran:
    """Run `coordinator` or `party-node` to its end."""
    module = {"coordinator": "coordinator.cli", "party-node": "party_node.cli"}[program]
    done = subprocess.run(
        [sys.executable, "-m", module, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=LIMIT,
        check=False,
        env={**os.environ, **(env or {})},
    )
    return Ran(done.returncode, done.stdout, done.stderr)


def start(program: str, *arguments: str | Path) -> subprocess.Popen[str]:
    """Start a command that is to be talked to while it runs."""
    module = {"coordinator": "coordinator.cli", "party-node": "party_node.cli"}[program]
    return subprocess.Popen(
        [sys.executable, "-m", module, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
