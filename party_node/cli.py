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
audit = typer.Typer(help="Evidence of a session: what was agreed, who said what.", no_args_is_help=True)
app.add_typer(audit, name="audit")
Config = Annotated[
    Path | None,
    typer.Option("--config", help="this node's TOML file; SOTTO_CONFIG names it too", dir_okay=False),
]
Session = Annotated[str, typer.Argument(help="the session's id, or enough of its beginning")]
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

    settings = configs.load_node(configs.config_path(config))
    logs.configure("error")
    for line in checks.run(settings):
        sys.stdout.write(f"ok  {line}\n")


@app.command()
def trust(
    name: Annotated[str, typer.Argument(help="the party or coordinator")],
    fingerprint: Annotated[str, typer.Argument(help="SHA256:… as its owner read it out by telephone")],
    config: Config = None,
) -> None:
    """Believe a key that has changed, if its fingerprint is the one that you were told."""
    from party_node import pins
    from party_node.roster import load_roster

    settings = configs.load_node(configs.config_path(config))
    told = pins.trust(settings.data_dir, load_roster(settings.roster), name, fingerprint)
    sys.stdout.write(f"{told}\n")


@app.command()
def doctor(config: Config = None, as_json: AsJson = False) -> None:
    """Try all that a session needs, also beside the running node: what is wrong, and what to do about it."""
    from party_node.operations import doctor as doctors
    from party_node.operations.findings import Verdict

    found = []
    for finding in doctors.run(configs.config_path(config)):
        found.append(finding)
        if not as_json:
            sys.stdout.write("".join(f"{line}\n" for line in finding.lines()))
    well = all(finding.verdict is not Verdict.WRONG for finding in found)
    if as_json:
        _print({"ok": well, "findings": [finding.view() for finding in found]}, [], as_json=True)
    if not well:
        raise typer.Exit(console.FAILED)


@app.command()
def sessions(config: Config = None, as_json: AsJson = False) -> None:
    """List the sessions that this node knows of, and in plain words those that wait for a person."""
    from party_node import asking, views

    settings = configs.load_node(configs.config_path(config))
    waiting = asking.waiting(settings)
    found = views.sessions(settings)
    for each in found:
        if each["session"] in waiting:
            each["pending"], _ = waiting[each["session"]]
    lines = views.session_lines([each for each in found if "pending" not in each]) if found else []
    lines += [line for _, words in waiting.values() for line in words]
    _print(found, lines or ["no sessions yet"], as_json=as_json)


@app.command()
def approve(session: Session, config: Config = None) -> None:
    """Say yes to a session that waits for a person."""
    from party_node import asking

    settings = configs.load_node(configs.config_path(config))
    sys.stdout.write(f"{asking.answer(settings, session, approve=True, words='')}\n")


@app.command()
def refuse(
    session: Session,
    why: Annotated[str, typer.Option(help="why, in words that everybody in the session may read")] = "",
    config: Config = None,
) -> None:
    """Say no to a session that waits for a person."""
    from party_node import asking

    settings = configs.load_node(configs.config_path(config))
    sys.stdout.write(f"{asking.answer(settings, session, approve=False, words=why)}\n")


@app.command()
def result(
    session: Session,
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
    session: Session,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Replay the journal: what this node sent, held and learned.  Shows this node's own secrets.

    Possible while the session runs, and after it for `keep_sessions` seconds.
    """
    from party_node import replay as replays

    found = replays.replay(configs.load_node(configs.config_path(config)), session)
    _print(found, replays.replay_lines(found), as_json=as_json)


@audit.command()
def export(
    session: Session,
    config: Config = None,
    out: Annotated[Path | None, typer.Option(help="where to write it; a file of this directory")] = None,
    as_json: AsJson = False,
) -> None:
    """Write down what this node can show of a session: no input, no share, no answer that is not public.

    For `keep_evidence` seconds after the session.
    """
    from party_node.audit import export as exports

    path = exports.export(configs.load_node(configs.config_path(config)), session, out)
    _print({"bundle": str(path)}, [str(path)], as_json=as_json)


@audit.command()
def verify(
    bundles: Annotated[list[Path], typer.Argument(help="what `audit export` has written, of one session")],
    roster: Annotated[Path, typer.Option(help="a roster.toml: who is who")],
    as_json: AsJson = False,
) -> None:
    """Check what nodes can show of a session, from these files alone; several must go together.

    0: valid; 1: something is wrong; 3: nothing is wrong, and something is missing.
    """
    from party_node.audit import command, screen

    found = command.judge(bundles, roster)
    _print(screen.data(found), screen.lines(found), as_json=as_json)
    raise typer.Exit(command.CODES[found.standing])


def _print(found: Any, lines: list[str], *, as_json: bool) -> None:
    text = json.dumps(found) if as_json else "\n".join(lines)
    sys.stdout.write(f"{text}\n")


def main() -> None:
    """The console script."""
    console.run(app, PROGRAM)


if __name__ == "__main__":
    main()
