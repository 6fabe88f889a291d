"""A grep for the inputs finds them nowhere but in their party's own config, and wherever they are planted.

Searched: logs at their most talkative, arguments and environment of the processes, the broker's disk, every
letter, what the commands print, /metrics and /healthz, audit bundles, the coordinator's files, and what
lies in the data directories, first while a session is open and then when all are over.
"""

from __future__ import annotations

import asyncio
import http.client
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from coordinator.cluster import BROKER, COORDINATOR
from coordinator.processes import free_port
from tests.support.clients import Client, running
from tests.support.detector import Detector, Finding, Secret
from tests.support.programs import Cluster, Ran, finish, made_cluster, until

RAISES = {"alice": "73102984.57", "bob": "61803398.87", "carlos": "57721566.49"}
NUMBERS = {"alice": "7310298457", "bob": "6180339887", "carlos": "5772156649"}
ROOT = Path(__file__).parents[2]
LEAKY = "tests.support.leaky_node"
WORD = "quetzalcoatl-73102"  # where a number belongs
INPUTS = "party,raise,merge\n" + "".join(
    f"{name},{RAISES[name]},{vote}\n" for name, vote in zip(RAISES, ("yes", "no", "yes"), strict=True)
)
PRIVATE = "average --input raise --lower 0 --upper 100000000 --epsilon 0.5"
QUESTIONS = {
    "sum --input raise": 0,
    PRIVATE: 0,
    "referendum --input merge --threshold 2": 0,
    "sum --input words": 3,  # alice's cannot be read
    "average --input raise --upper 1000": 3,  # nobody's is within the bounds
}
Texts = dict[str, bytes]  # by where it was seen

SECRETS = [
    *(Secret("input", name, np.array(int(units), dtype=np.uint64)) for name, units in NUMBERS.items()),
    Secret("unreadable input", "alice", WORD.encode()),
]
DETECTOR = Detector(SECRETS)


def found(texts: Texts) -> list[tuple[str, Finding]]:
    """Every secret, and where it is."""
    return [(where, each) for where, text in texts.items() for each in DETECTOR.find([text])]


# -- the places --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Place:
    """A cluster as somebody searches it; what comes over the wire and out of commands is kept as it comes."""

    network: Cluster
    ports: dict[str, int]
    sessions: tuple[str, ...]  # of which bundles are exported
    program: str = "party_node.cli"
    asked: tuple[str, ...] = ("sessions --json",)

    def logs(self) -> Texts:
        return self._files(self.network.directory / "log")

    def arguments(self) -> Texts:
        return {f"arguments of {name}": b" ".join(_proc(pid, "cmdline")) for name, pid in self._pids()}

    def environment(self) -> Texts:
        return {f"environment of {name}": b"\n".join(_proc(pid, "environ")) for name, pid in self._pids()}

    def disk_of_the_broker(self) -> Texts:
        """As it would be after a power cut now: Mosquitto writes its memory down on SIGUSR1."""
        path = self.network.directory / BROKER / "data" / "mosquitto.db"
        before = path.stat().st_mtime_ns if path.exists() else 0
        os.kill(self.network._process(BROKER).pid, signal.SIGUSR1)
        until(lambda: path.exists() and path.stat().st_mtime_ns > before, "the broker writes its memory down")
        return self._files(self.network.directory / BROKER)

    def commands(self) -> Texts:
        said = {f"party-node {each}": _said(self._node(each.split(), "alice")) for each in self.asked}
        return said | {"coordinator list": _said(self.network.coordinator("list"))}

    def metrics(self) -> Texts:
        return {
            f"{path} of {name}": _get(port, path)
            for name, port in self.ports.items()
            for path in ("/metrics", "/healthz")
        }

    def bundles(self) -> Texts:
        seen: Texts = {}
        for session in self.sessions:
            out = self.network.directory / f"bundle-{session[:12]}.json"
            ran = self._node(["audit", "export", session, "--out", str(out)], "alice")
            assert ran.code == 0, ran.err
            seen |= {f"bundle of {session}": out.read_bytes(), f"export of {session}": _said(ran)}
        return seen

    def files_of_the_coordinator(self) -> Texts:
        return self._files(self.network.directory / COORDINATOR)

    def data_directories(self, *open_at: str) -> Texts:
        """What parties keep beside their configs; of these, without the journal of a session in progress."""
        kept = self._files(self.network.directory / "parties")
        own = [f"/parties/{name}/data/" for name in open_at]
        return {
            where: text
            for where, text in kept.items()
            if not where.endswith("config.toml") and not any(each in where for each in own)
        }

    def _files(self, folder: Path) -> Texts:
        return {str(path): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}

    def _pids(self) -> Iterator[tuple[str, int]]:
        for name in (BROKER, *RAISES):
            process = self.network._services.process(name)
            if process is not None:
                yield name, process.pid
                yield from ((f"a child of {name}", child.pid) for child in process.children(recursive=True))

    def _node(self, command: list[str], name: str) -> Ran:
        """A command of the program that the node runs, with its mistakes."""
        arguments = [*command, "--config", str(self.network.config(name))]
        done = subprocess.run(
            [sys.executable, "-m", self.program, *arguments],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            cwd=ROOT,
        )
        return Ran(done.returncode, done.stdout, done.stderr)


def _proc(pid: int, what: str) -> list[bytes]:
    return Path(f"/proc/{pid}/{what}").read_bytes().split(b"\0")


def _said(ran: Ran) -> bytes:
    return f"{ran.out}\n{ran.err}".encode()


def _get(port: int, path: str) -> bytes:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", path)
        return connection.getresponse().read()
    finally:
        connection.close()


PLACES: dict[str, Callable[[Place], Texts]] = {
    each.__name__.replace("_", " "): each
    for each in (
        *(
            Place.logs,
            Place.arguments,
            Place.environment,
            Place.disk_of_the_broker,
            Place.commands,
            Place.metrics,
        ),
        *(Place.bundles, Place.files_of_the_coordinator, Place.data_directories),
    )
}
TRAFFIC = "traffic"
EVERYWHERE = [*PLACES, TRAFFIC]


# -- what happens in them ----------------------------------------------------------------------------


@dataclass
class Searched:
    """What was seen, by place: in the middle of a session, in the end, and with a leaky node."""

    during: dict[str, Texts]
    honest: dict[str, Texts]
    leaky: dict[str, Texts]


def talkative(network: Cluster) -> dict[str, int]:
    """Every node logs all that it can and has a metrics port; alice has an input that is no number."""
    ports = {}
    for name in RAISES:
        ports[name] = free_port()
        path = network.config(name)
        words = f'[inputs.words]\nvalue = "{WORD if name == "alice" else "1"}"\n'
        metrics = f'[metrics]\nlisten = "127.0.0.1:{ports[name]}"\n'
        path.write_text(f'log_level = "debug"\n{path.read_text()}\n{metrics}{words}')
    return ports


def ended(network: Cluster, questions: Mapping[str, int]) -> list[str]:
    """Sessions, all at once, to their ends, with these exit codes; their ids."""
    launches = [network.launch(f"{question} --within 50") for question in questions]
    sessions = []
    for launch, code in zip(launches, questions.values(), strict=True):
        ran = finish(launch)
        assert ran.code == code, ran.out + ran.err
        sessions.append(ran.data["session"])
    return sessions


def everything(place: Place, *open_at: str) -> dict[str, Texts]:
    """All that can be searched at rest."""
    seen = {name: look(place) for name, look in PLACES.items() if not open_at or name != "bundles"}
    return seen | {"data directories": place.data_directories(*open_at)}


def in_progress(network: Cluster, name: str) -> str:
    """The session that is open at a node, or nothing."""
    return next((row.id for row in network.sessions(name) if row.ended is None), "")


def is_idle(network: Cluster, name: str) -> bool:
    return not in_progress(network, name)


def honest_sessions(network: Cluster, ports: dict[str, int]) -> tuple[dict[str, Texts], Place]:
    """Answers of every kind, two refusals, and a session in which a node is stopped, then cancelled."""
    network.start(*RAISES)
    summed, *_ = ended(network, QUESTIONS)
    assert network.terminate("carlos") == 0
    launch = network.launch("average --input raise --within 60")
    for name in ("alice", "bob"):
        until(partial(in_progress, network, name), f"{name} joins")
    assert network.terminate("bob") == 0
    network.start("bob")
    last = in_progress(network, "alice")
    running_ports = {name: ports[name] for name in ("alice", "bob")}
    during = everything(Place(network, running_ports, (last,)), "alice", "bob")
    assert network.coordinator(f"cancel {last[:12]}").code == 0
    finish(launch)
    for name in ("alice", "bob"):
        until(partial(is_idle, network, name), f"{name} hears of it")
    network.start("carlos")
    return during, Place(
        network, ports, (summed, last), asked=("sessions", "sessions --json", "ledger", "check")
    )


def leaky_sessions(network: Cluster, ports: dict[str, int]) -> Place:
    """Alice runs a program that makes mistakes, and was started by somebody who made two."""
    assert network.terminate("alice") == 0
    config = str(network.config("alice"))
    mistaken = [
        f"RAISE={RAISES['alice']}",
        f"PYTHONPATH={ROOT}",
        sys.executable,
        "-X",
        f"raise={RAISES['alice']}",
    ]
    started = network._starts("alice")
    network._services.start("alice", ["env", *mistaken, "-m", LEAKY, "run", "--config", config])
    network._until_started("alice", started)
    _, refused = ended(network, {"average --input raise": 0, "sum --input words": 3})
    return Place(network, ports, (refused,), LEAKY)


async def search(network: Cluster) -> Searched:
    """Everything, in its order."""
    ports = talkative(network)
    network.start(BROKER)
    tap = Client(network.client("tap"), "tap", ["#"], presence=False)
    async with running(tap):
        during, place = await asyncio.to_thread(honest_sessions, network, ports)
        # What is deleted leaves the write-ahead log a moment later.
        await asyncio.to_thread(until, lambda: not found(place.data_directories()), "the journals forget")
        honest = await asyncio.to_thread(everything, place)
        await tap.until(
            lambda client: any(f"/{place.sessions[-1]}/abort/" in each for each, _ in client.received)
        )
        before = len(tap.received)
        place = await asyncio.to_thread(leaky_sessions, network, ports)
        leaky = await asyncio.to_thread(everything, place)
        await tap.until(lambda client: any("/debug/" in each for each, _ in client.received))
    letters = [
        (f"letter {number}: {topic}", topic.encode() + b"\n" + payload)
        for number, (topic, payload) in enumerate(tap.received)
    ]
    return Searched(
        during, honest | {TRAFFIC: dict(letters[:before])}, leaky | {TRAFFIC: dict(letters[before:])}
    )


# -- what is found -----------------------------------------------------------------------------------


async def test_no_input_is_anywhere_and_the_same_grep_finds_what_a_mistake_lets_out(tmp_path: Path) -> None:
    """One test, since all of it is one story of many processes."""
    with made_cluster("mosquitto", tmp_path, list(RAISES), INPUTS, "pattern read #") as network:
        searched = await search(network)
    check_that_all_was_searched(searched)
    honest = {place: found(texts) for place, texts in searched.honest.items()}
    assert not any(honest.values()), honest
    during = {place: found(texts) for place, texts in searched.during.items()}
    assert not any(during.values()), during
    planted = {place: {each.name for _, each in found(texts)} for place, texts in searched.leaky.items()}
    assert planted == {place: {"alice"} for place in EVERYWHERE}


def check_that_all_was_searched(searched: Searched) -> None:
    """Every place; in them every log, letters of every step, journals with their write-ahead logs."""
    at_rest = set(EVERYWHERE)
    for seen, places in (
        (searched.honest, at_rest),
        (searched.leaky, at_rest),
        (searched.during, at_rest - {"bundles", TRAFFIC}),
    ):
        assert {place for place, texts in seen.items() if texts} == places
    logs = {Path(each).name for each in searched.honest["logs"]}
    assert logs >= {f"{name}.log" for name in (BROKER, *RAISES)}
    steps = {each.split("/")[4] for each in searched.honest[TRAFFIC] if "/session/" in each}
    assert steps >= set("announce join refuse begin share received masked-1 reveal confirm abort".split())
    kept = {Path(each).name for each in searched.honest["data directories"]}
    assert kept >= {"journal.sqlite", "journal.sqlite-wal", "ledger.anchor"}
    assert "mosquitto.db" in {Path(each).name for each in searched.honest["disk of the broker"]}
    assert {each.name for _, each in found({"config": f"raise = {RAISES['bob']}".encode()})} == {"bob"}
