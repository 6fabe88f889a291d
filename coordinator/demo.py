"""`coordinator demo`: four colleagues, with real processes, a real broker and real files.

What is shown of each party comes out of that party's own journal, by `party-node replay`'s own code.
"""

from __future__ import annotations

import csv
import secrets
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import uvloop

from coordinator import announce, broker, cluster, demo_average, demo_private, demo_referendum, terminal
from coordinator.campaign import Campaign
from party_node import config as configs
from party_node import logs, views
from party_node.config import CoordinatorConfig, NodeConfig
from party_node.daemon import now_ms
from party_node.roster import load_roster
from protocol.dp import epsilon as epsilons
from protocol.errors import SottoError
from protocol.functionalities import Function
from protocol.states import State

STORIES = {
    "average": demo_average.tell,
    "referendum": demo_referendum.tell,
    "private": demo_private.tell,
}
INPUTS = demo_average.INPUTS | demo_referendum.INPUTS  # name → party → value
KEEP_SECONDS = 600  # so that the journals can be shown; without it secrets go when the session ends
LIFETIME = 300.0  # should this process be killed, the cluster goes down by itself


class Four:
    """The running nodes of the four, and a coordinator for them."""

    def __init__(self, directory: Path) -> None:
        self._settings = configs.load_coordinator(directory / "coordinator" / "config.toml")
        names = next(iter(INPUTS.values()))
        self.nodes: dict[str, NodeConfig] = {
            name: configs.load_node(_config(directory, name)) for name in names
        }

    def launch(self, function: Function, name: str, epsilon: int | None = None) -> str:
        """Announce to the four, who alone learn the answer; returns the session.  ε is in nano-ε."""
        question = announce.Question(function, name, result_to=list(self.nodes), epsilon=epsilon)
        roster = load_roster(self._settings.roster)
        spec = announce.build(question, self._settings.name, roster, now_ms(), secrets.token_bytes(16))
        with terminal.Progress(quiet=False) as progress:
            campaign = Campaign(self._settings, spec, progress)
            uvloop.run(campaign.launch())
        noise = "" if epsilon is None else f" with ε {epsilons.text(epsilon)}"
        asked = f"{function.name} of {name!r}{noise}"
        ended = "One refused." if self.refused(campaign.id) else "All joined."
        terminal.say(f"The coordinator announced: {asked}, to be told to the four. {ended}")
        return campaign.id

    def refused(self, session: str) -> bool:
        """Whether somebody's node did not take part."""
        return views.result(self._settings, session)["state"] == State.ABORTED

    def answer(self, session: str) -> list[str]:
        """The answer as each of the four has it; they must agree."""
        lines = {tuple(views.result_lines(views.result(node, session))) for node in self.nodes.values()}
        if len(lines) != 1:
            raise SottoError("the four have different answers", "keep the directory and report this")
        return list(lines.pop())


def run(directory: Path | None, only: str | None) -> None:
    """Start, compute, show, clean up."""
    if only is not None and only not in STORIES:
        raise SottoError(f"--function {only}: no such story", f"there are {', '.join(STORIES)}")
    logs.configure("warning")
    with _cluster(directory) as cluster_directory:
        settings = configs.load_coordinator(cluster_directory / "coordinator" / "config.toml")
        terminal.say(f"{_broker(settings)} and four nodes are running, each a process of its own.")
        four = Four(cluster_directory)
        for name in STORIES if only is None else [only]:
            terminal.say("")
            STORIES[name](four)


@contextmanager
def _cluster(directory: Path | None) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="sotto-demo-") as scratch:
        chosen = directory or Path(scratch) / "cluster"
        _create(chosen, Path(scratch) / "inputs.csv")
        try:
            cluster.up(chosen, lifetime=LIFETIME)
            yield chosen
        finally:
            cluster.down(chosen)


def _broker(settings: CoordinatorConfig) -> str:
    embedded = settings.broker.protocol == broker.PROTOCOL["embedded"]
    kind = "An embedded broker (no mosquitto found)" if embedded else f"Mosquitto ({broker.find_mosquitto()})"
    return f"{kind} with TLS and client certificates"


def _config(directory: Path, name: str) -> Path:
    return directory / "parties" / name / "config.toml"


def _create(directory: Path, inputs: Path) -> None:
    """Keys, certificates and configs; each value goes into its party's own config and nowhere else."""
    names = list(next(iter(INPUTS.values())))
    with inputs.open("w", newline="") as file:
        rows = [(name, *(values[name] for values in INPUTS.values())) for name in names]
        csv.writer(file).writerows([("party", *INPUTS), *rows])
    cluster.create(directory, names, inputs)
    inputs.unlink()
    for name in names:
        config = _config(directory, name)
        table = f'[inputs."{demo_private.INPUT}"]\n'
        budgeted = f'{table}epsilon = "{demo_private.BUDGETS[name]}"\nexact = true\n'
        text = config.read_text().replace(table, budgeted)
        config.write_text(f"keep_sessions = {KEEP_SECONDS}\n{text}")
