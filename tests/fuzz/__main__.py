"""The coverage-guided fuzzer: `python -m tests.fuzz --seconds 60 --target codec`.

Without `--target` each of them gets its seconds.  What breaks a promise is written to
`tests/fuzz/regressions/`, where an ordinary test replays it from then on.
"""

from __future__ import annotations

import argparse
import importlib.util
import platform
import re
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from tests.fuzz.targets import TARGETS

REGRESSIONS = Path(__file__).parent / "regressions"
LONGEST = 9_000  # bytes of one input: of a letter with every kind of slot
HANGS = 10  # seconds after which an input is a finding too
MEMORY = 1_024  # megabytes more than whoever starts it has, the same
_STATISTIC = re.compile(r"stat::number_of_executed_units:\s*(\d+)")
_COVERAGE = re.compile(r"cov: (\d+) ft: (\d+)")


@dataclass(frozen=True)
class Fuzzed:
    """What became of one target."""

    target: str
    runs: int
    seconds: float
    edges: int  # of instrumented code that were reached
    found: list[Path]
    log: str

    def __str__(self) -> str:
        rate = (
            f"{self.runs} runs in {self.seconds:.0f} s ({self.runs / self.seconds:.0f}/s), {self.edges} edges"
        )
        return f"{self.target:10} {rate}, {len(self.found)} found"


def installed() -> bool:
    """Whether atheris can be imported here: it exists for Linux on x86-64, up to Python 3.13."""
    return importlib.util.find_spec("atheris") is not None


def exists() -> bool:
    """Whether it could be, and so is a dependency of the tests."""
    return (sys.platform, platform.machine()) == ("linux", "x86_64") and sys.version_info < (3, 14)


def fuzz(target: str, seconds: int, keep: Path) -> Fuzzed:
    """One target in a process of its own, from a fresh corpus; findings are kept in `keep`/`target`."""
    folder = keep / target
    folder.mkdir(parents=True, exist_ok=True)
    before = set(folder.iterdir())
    options = {
        "max_total_time": seconds,
        "max_len": LONGEST,
        "timeout": HANGS,
        # The kernel counts what the process was before it became the fuzzer, too.
        "rss_limit_mb": MEMORY + resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        "print_final_stats": 1,
        "artifact_prefix": f"{folder}/",
    }
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as corpus:
        done = subprocess.run(
            [sys.executable, "-m", "tests.fuzz.inside", target, corpus]
            + [f"-{name}={value}" for name, value in options.items()],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=seconds + 120,
            check=False,
        )
    found = sorted(set(folder.iterdir()) - before)
    runs, edges = _STATISTIC.search(done.stderr), _COVERAGE.findall(done.stderr)
    if runs is None or (done.returncode and not found):
        raise RuntimeError(f"the fuzzer did not run ({done.returncode}): {done.stderr[-4000:]}")
    return Fuzzed(
        target,
        int(runs[1]),
        time.monotonic() - began,
        int(edges[-1][0]) if edges else 0,
        found,
        done.stderr,
    )


def main() -> int:
    """Fuzz; 1 if anything was found."""
    parser = argparse.ArgumentParser(prog="tests.fuzz", description=__doc__)
    parser.add_argument("--seconds", type=int, default=60, help="for each target")
    parser.add_argument("--target", choices=TARGETS, action="append", help="only this one; may be repeated")
    given = parser.parse_args()
    if not installed():
        print("atheris is not installed here: it exists for Linux on x86-64, up to Python 3.13")  # noqa: T201
        return 1
    found = 0
    for target in given.target or TARGETS:
        fuzzed = fuzz(target, given.seconds, REGRESSIONS)
        print(fuzzed, flush=True)  # noqa: T201 - a command
        for path in fuzzed.found:
            found += 1
            print(f"--- {path}", fuzzed.log[-3000:], sep="\n")  # noqa: T201
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
