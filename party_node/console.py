"""What both command lines have in common: data on stdout, the rest on stderr, and exit codes.

0  done
1  an error, told as `program: error: …` and `program: hint: …`
2  the command line could not be understood
3  the session ended without an answer (refused, aborted or still open when waiting ended), or a bundle of
     `audit verify` lacks something
"""

from __future__ import annotations

import sys
from typing import NoReturn

import typer

from protocol.errors import SottoError

DONE, FAILED, USAGE, NO_ANSWER = 0, 1, 2, 3


def complain(program: str, message: str, hint: str = "") -> None:
    """An error and its hint on stderr."""
    sys.stderr.write(f"{program}: error: {message}\n")
    if hint:
        sys.stderr.write(f"{program}: hint: {hint}\n")


def run(app: typer.Typer, program: str) -> NoReturn:
    """Run a command line to its exit code."""
    command = typer.main.get_command(app)
    try:
        code = command.main(prog_name=program, standalone_mode=False)
    except typer.TyperException as error:
        context = getattr(error, "ctx", None)
        where = context.command_path if context else program
        message = error.format_message().rstrip(".")
        complain(program, message[:1].lower() + message[1:], f"{where} --help")
        raise SystemExit(USAGE) from None
    except SottoError as error:
        complain(program, error.message, error.hint)
        raise SystemExit(FAILED) from None
    except (KeyboardInterrupt, typer.Abort):
        raise SystemExit(130) from None  # as the shell reports SIGINT
    raise SystemExit(code if isinstance(code, int) else DONE)
