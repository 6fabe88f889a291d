"""`party-node`: one participant's daemon and what its operator asks of it."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from party_node import config as configs
from party_node import console, logs

PROGRAM = "party-node"
app = typer.Typer(
    help="Take part in secure computations: your inputs stay on this machine.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
Config = Annotated[
    Path | None,
    typer.Option("--config", help="this node's TOML file; SOTTO_CONFIG names it too", dir_okay=False),
]
AsJson = Annotated[bool, typer.Option("--json", help="one JSON object on stdout and nothing else")]


@app.command()
def init(
    name: Annotated[str, typer.Option(help="the party's name, as in the roster and the certificate")],
    directory: Annotated[Path, typer.Option("--dir", help="where to write the keys and config.toml")],
    broker: Annotated[str, typer.Option(help="HOST:PORT of the broker")] = "localhost:8883",
) -> None:
    """Make this party's keys here, and what others need to know of them."""
    from party_node import enrolment

    created = enrolment.create(name, directory, broker)
    sys.stdout.write(created)


@app.command()
def run(config: Config = None) -> None:
    """Serve until SIGTERM; unfinished sessions go on at the next start."""
    from party_node import daemon

    settings = configs.load_node(configs.config_path(config))
    logs.configure(settings.log_level)
    daemon.run(settings)


@app.command()
def check(config: Config = None) -> None:
    """Check config, keys, roster, inputs and the connection to the broker."""
    from party_node import checks

    for line in checks.run(configs.load_node(configs.config_path(config))):
        sys.stdout.write(f"ok  {line}\n")


@app.command()
def sessions(config: Config = None, as_json: AsJson = False) -> None:
    """List the sessions that this node knows of."""
    from party_node import views

    found = views.sessions(configs.load_node(configs.config_path(config)))
    _print(found, views.session_lines(found), as_json=as_json)


@app.command()
def result(
    session: Annotated[str, typer.Argument(help="the session's id, or enough of its beginning")],
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Show the answer of a session in which this node is a result party."""
    from party_node import views

    found = views.result(configs.load_node(configs.config_path(config)), session)
    _print(found, views.result_lines(found), as_json=as_json)
    if found["result"] is None:
        raise typer.Exit(console.NO_ANSWER)


@app.command()
def ledger(config: Config = None, as_json: AsJson = False) -> None:
    """Show what sessions with epsilon have cost each input, and what is left."""
    from party_node import accounts

    found = accounts.show(configs.load_node(configs.config_path(config)))
    _print(found, accounts.lines(found), as_json=as_json)


@app.command()
def replay(
    session: Annotated[str, typer.Argument(help="the session's id, or enough of its beginning")],
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Replay the journal: what this node sent, held and learned.  Shows this node's own secrets.

    Possible while the session runs, and after it for `keep_sessions` seconds.
    """
    from party_node import replay as replays

    found = replays.replay(configs.load_node(configs.config_path(config)), session)
    _print(found, replays.replay_lines(found), as_json=as_json)


def _print(found: Any, lines: list[str], *, as_json: bool) -> None:
    text = json.dumps(found) if as_json else "\n".join(lines)
    sys.stdout.write(f"{text}\n")


def main() -> None:
    """The console script."""
    console.run(app, PROGRAM)


if __name__ == "__main__":
    main()
