"""`python -m tests.support.wrong_clock SECONDS ARGUMENT…`: `party-node` on a clock that is off."""

from __future__ import annotations

import sys

from party_node import cli, daemon


def main() -> None:
    """Every time that the node asks for is so many seconds off; those of files and TLS are right."""
    off = 1000 * int(sys.argv.pop(1))
    right = daemon.now_ms
    daemon.now_ms = lambda: right() + off
    cli.main()


if __name__ == "__main__":
    main()
