"""`coordinator demo`: the textbook's four engineers, with real processes, a real broker and real files.

What is shown of each party comes out of that party's own journal, by `party-node replay`'s own code.
"""

from __future__ import annotations

import csv
import secrets
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import uvloop
from rich.table import Table
from rich.text import Text

from coordinator import announce, broker, cluster, terminal
from coordinator.campaign import Campaign
from party_node import config as configs
from party_node import logs, views
from party_node.config import CoordinatorConfig, NodeConfig
from party_node.daemon import now_ms
from party_node.roster import load_roster
from protocol.errors import SottoError
from protocol.functionalities import CATALOGUE

RAISES = {"alice": "3800", "bob": "2514", "carlos": "2982", "david": "3390"}
KEEP_SECONDS = 600  # so that the journals can be shown; without it secrets go when the session ends
LIFETIME = 300.0  # should this process be killed, the cluster goes down by itself


def run(directory: Path | None) -> None:
    """Start, compute, show, clean up."""
    logs.configure("warning")
    with ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="sotto-demo-")))
        directory = directory or scratch / "cluster"
        terminal.say("Four colleagues want to know their average raise. Nobody wants to tell theirs.\n")
        _create(directory, scratch / "inputs.csv")
        stack.callback(cluster.down, directory)
        cluster.up(directory, lifetime=LIFETIME)
        settings = configs.load_coordinator(directory / "coordinator" / "config.toml")
        terminal.say(f"{_broker(settings)} and four nodes are running, each a process of its own.")
        _compute(directory, settings)


def _broker(settings: CoordinatorConfig) -> str:
    embedded = settings.broker.protocol == broker.PROTOCOL["embedded"]
    kind = "An embedded broker (no mosquitto found)" if embedded else f"Mosquitto ({broker.find_mosquitto()})"
    return f"{kind} with TLS and client certificates"


def _compute(directory: Path, settings: CoordinatorConfig) -> None:
    nodes = {name: configs.load_node(_config(directory, name)) for name in RAISES}
    average = _launch(settings, "average")
    for name, node in nodes.items():
        terminal.say("")
        terminal.output.print(_table(name, views.replay(node, average)))
    terminal.say("")
    total = _launch(settings, "sum")
    terminal.say("")
    for session in (average, total):
        for line in _answer(nodes, session):
            terminal.say(line)
    terminal.say(
        "\nAll four learned the answer. Nobody, the broker and the coordinator included, saw a raise.\n"
        "Not protected: three of them who pool what they know can work out the fourth raise from any exact\n"
        "average; with four people, that is what an average tells."
    )


def _config(directory: Path, name: str) -> Path:
    return directory / "parties" / name / "config.toml"


def _create(directory: Path, inputs: Path) -> None:
    """Keys, certificates and configs; each raise goes into its party's own config and nowhere else."""
    with inputs.open("w", newline="") as file:
        csv.writer(file).writerows([("party", "raise"), *RAISES.items()])
    cluster.create(directory, list(RAISES), inputs)
    inputs.unlink()
    for name in RAISES:
        config = _config(directory, name)
        config.write_text(f"keep_sessions = {KEEP_SECONDS}\n{config.read_text()}")


def _launch(settings: CoordinatorConfig, function: str) -> str:
    """Announce to the four, who alone learn the answer."""
    question = announce.Question(
        function=CATALOGUE[function](),  # type: ignore[arg-type]
        input="raise",
        result_to=list(RAISES),
    )
    roster = load_roster(settings.roster)
    spec = announce.build(question, settings.name, roster, now_ms(), secrets.token_bytes(16))
    with terminal.Progress(quiet=False) as progress:
        campaign = Campaign(settings, spec, progress)
        uvloop.run(campaign.launch())
    terminal.say(f"The coordinator announced: {function} of 'raise', to be told to the four. All joined.")
    return campaign.id


def _answer(nodes: dict[str, NodeConfig], session: str) -> list[str]:
    """The answer as each of the four has it; they must agree."""
    lines = {tuple(views.result_lines(views.result(node, session))) for node in nodes.values()}
    if len(lines) != 1:
        raise SottoError("the four have different answers", "keep the directory and report this")
    return list(lines.pop())


def _table(party: str, found: dict[str, Any]) -> Table:
    """The textbook's table as one party can fill it in."""
    table = Table(
        title=Text(f"What {party} sent, held and learned"), title_justify="left", title_style="bold"
    )
    table.add_column("raise of")
    for name in RAISES:
        table.add_column(f"share for {name}", justify="right")
    table.add_column("sum", justify="right")
    for owner in RAISES:
        if owner == party:
            shares = {**found["sent"], party: found["kept"]}
            table.add_row(owner, *(_short(shares[name]) for name in RAISES), found["input"])
        else:
            row = [_short(found["held"][owner]) if name == party else "?" for name in RAISES]
            table.add_row(owner, *row, "?")
    table.add_section()
    opened = {**found["learned"], party: found["output"]}
    table.add_row("opened", *(_short(opened[name]) for name in RAISES), f"→ {found['result']}")
    return table


def _short(number: str) -> str:
    """Twenty meaningless digits, in brief."""
    return number if len(number) <= 10 else f"{number[:4]}…{number[-4:]}"
