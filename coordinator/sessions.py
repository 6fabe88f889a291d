"""The session commands: load the config, run a campaign, print what came of it."""

from __future__ import annotations

import secrets
from decimal import Decimal
from pathlib import Path
from typing import Any

import typer
import uvloop
from pydantic import ValidationError

from coordinator import announce, terminal
from coordinator.campaign import Campaign
from party_node import certificates, console, logs, privacy, views
from party_node import config as configs
from party_node.config import CoordinatorConfig
from party_node.daemon import checked_roster, now_ms, open_journal
from party_node.journal import SessionRow
from protocol.functionalities import Functionality
from protocol.spec import SessionSpec
from protocol.states import OVER, State

REFRESH_SECONDS = 2.0  # for which `list` asks about sessions that are not known to be over


def load(directory: Path | None, config: Path | None) -> CoordinatorConfig:
    """The coordinator's config: of a local cluster, or the one named."""
    path = directory / "coordinator" / "config.toml" if directory else configs.config_path(config)
    settings = configs.load_coordinator(path)
    # What goes wrong is said once, in our own words.
    logs.configure("debug" if settings.log_level == "debug" else "error")
    return settings


def launch(
    function: type[Functionality], parameters: dict[str, Decimal | int | str], given: dict[str, Any]
) -> None:
    """`coordinator launch FUNCTION`."""
    settings = load(given["directory"], given["config"])
    try:
        chosen: Any = function.model_validate(parameters)
    except ValidationError as error:
        raise announce.flaw(error) from None
    question = announce.Question(
        function=chosen,
        input=given["input_"],
        parties=announce.names(given["parties"]),
        compute=announce.names(given["compute"]),
        result_to=announce.names(given["result_to"]),
        min_inputs=given["min_inputs"],
        public=given["public"],
        within=given["within"],
        epsilon=announce.nano(given.get("epsilon")),
        relation=given.get("relation"),
        colluders=given.get("colluders"),
    )
    roster = checked_roster(settings)
    spec = announce.build(question, settings.name, roster, now_ms(), secrets.token_bytes(16))
    if given["dry_run"]:
        _show_plan(spec, as_json=given["as_json"])
        return
    for found in certificates.usable(settings):
        terminal.note(f"{found.message}: {found.hint}")
    with terminal.Progress(quiet=given["as_json"]) as progress:
        campaign = Campaign(settings, spec, progress)
        uvloop.run(campaign.launch())
    _show_end(settings, campaign.id, as_json=given["as_json"])


def watch(prefix: str, directory: Path | None, config: Path | None, *, as_json: bool) -> None:
    """`coordinator watch ID`."""
    settings = load(directory, config)
    row = _find(settings, prefix)
    if row.ended is None:
        with terminal.Progress(quiet=as_json) as progress:
            uvloop.run(Campaign(settings, row.spec, progress).watch())
    _show_end(settings, row.id, as_json=as_json)


def result(prefix: str, directory: Path | None, config: Path | None, *, as_json: bool) -> None:
    """`coordinator result ID`."""
    settings = load(directory, config)
    row = _refreshed(settings, _find(settings, prefix))
    _show_end(settings, row.id, as_json=as_json)


def cancel(prefix: str, directory: Path | None, config: Path | None, *, as_json: bool) -> None:
    """`coordinator cancel ID`."""
    settings = load(directory, config)
    row = _find(settings, prefix)
    if row.ended is None:
        with terminal.Progress(quiet=as_json) as progress:
            uvloop.run(Campaign(settings, row.spec, progress).cancel())
    found = views.session_view(_find(settings, row.id))
    _print_end(settings, found, row.spec, as_json=as_json)
    if found["state"] == State.COMPLETED:
        raise typer.Exit(console.FAILED)


def show_all(directory: Path | None, config: Path | None, *, as_json: bool) -> None:
    """`coordinator list`."""
    settings = load(directory, config)
    journal = open_journal(settings.data_dir)
    rows = [_refreshed(settings, row) for row in journal.sessions()]
    found = [views.session_view(row) for row in rows]
    if as_json:
        terminal.as_json({"sessions": found})
    elif found:
        terminal.output.print(terminal.session_table(found))
    else:
        terminal.say("no sessions yet")


def _find(settings: CoordinatorConfig, prefix: str) -> SessionRow:
    return views.find(views.open_journal(settings).sessions(), prefix)


def _refreshed(settings: CoordinatorConfig, row: SessionRow) -> SessionRow:
    """Ask the members about a session whose end we have not seen."""
    if row.ended is not None:
        return row
    with terminal.Progress(quiet=True) as progress:
        uvloop.run(Campaign(settings, row.spec, progress).watch(REFRESH_SECONDS))
    return _find(settings, row.id)


def _show_plan(spec: SessionSpec, *, as_json: bool) -> None:
    if as_json:
        noise = privacy.view(spec, len(spec.inputs))
        terminal.as_json(spec.model_dump(mode="json") | ({} if noise is None else {"privacy": noise}))
        return
    for line in terminal.dry_run(spec):
        terminal.say(line)


def _show_end(settings: CoordinatorConfig, session: str, *, as_json: bool) -> None:
    row = _find(settings, session)
    found = views.session_view(row)
    _print_end(settings, found, row.spec, as_json=as_json)
    if found["state"] != State.COMPLETED:
        raise typer.Exit(console.NO_ANSWER)


def _print_end(
    settings: CoordinatorConfig, found: views.SessionView, spec: SessionSpec, *, as_json: bool
) -> None:
    if as_json:
        terminal.as_json(found)
        return
    over = found["state"] in OVER
    for line in terminal.ended(found, settings.name, spec):
        (terminal.say if over else terminal.note)(line)
