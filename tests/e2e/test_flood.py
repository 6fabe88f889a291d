"""Ten thousand payloads a second at one node: dropped, counted, bounded, and the others have their answer."""

from __future__ import annotations

import logging
import random
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial

import pytest
from prometheus_client.parser import text_string_to_metric_families

from coordinator.cluster import BROKER
from coordinator.processes import Services, free_port
from party_node.post import Post, Publication
from protocol.functionalities.sum import Sum
from protocol.letters import ALL, MOST_PARTS, SIGNATURE_BYTES, Slot
from protocol.messages import Request, Step
from protocol.spec import SessionSpec
from protocol.states import State
from tests.support.flood import Flood
from tests.support.programs import Cluster, made_cluster, until

TRIO = ("alice", "bob", "carlos")
INPUTS = "party,raise,bonus\nalice,3800,1\nbob,2514,2\ncarlos,2983,4\ndave,1,8\n"
RATE = 10_000  # payloads a second
COUNT = 15_000  # payloads of each kind
MIB = 1 << 20
MOST_GROWTH = 8 * MIB  # of the node's memory
SLOT = Slot(to="alice", open=None, box=bytes(48))
log = logging.getLogger(__name__)
RANDOM = random.Random(5)
RECEIVED = "sotto_letters_received_total"
REASONS = {
    *("unknown session", "stranger", "not for us", "too large", "throttled", "no room"),
    *("malformed", "announcement", "repeated", "asked too often"),
}


@dataclass(frozen=True)
class Scene:
    """Alice, bob and carlos compute; dave is a member of a session that waits for him, mallory is nobody."""

    network: Cluster
    port: int  # of alice's metrics
    old: str
    waiting: str

    def metrics(self) -> dict[str, float]:
        """What alice tells about herself: a counter by its name, those of drops by their reason."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/metrics", timeout=10) as answer:
            text = answer.read().decode()
        samples = (each for family in text_string_to_metric_families(text) for each in family.samples)
        return {
            each.labels.get("reason") or each.name: each.value for each in samples if "le" not in each.labels
        }

    def memory(self) -> int:
        process = Services(self.network.directory).process("alice")
        assert process is not None, self.network.log("alice")
        return int(process.memory_info().rss)

    def journal(self) -> int:
        """Bytes on alice's disk."""
        folder = self.network.directory / "parties" / "alice" / "data"
        return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())

    def spec(self, **fields: object) -> SessionSpec:
        return self.network.spec(Sum(), "raise", 60, parties=TRIO, result_to=TRIO, **fields)

    def sum(self) -> float:
        """A session of the others, from its announcement to the last answer; how many seconds it took."""
        begun = time.monotonic()
        session = self.network.announce(self.spec())
        outcomes = self.network.outcomes(session, *TRIO)
        took = time.monotonic() - begun
        assert {name: each.answer and each.answer.text() for name, each in outcomes.items()} == dict.fromkeys(
            TRIO, "9297.00"
        )
        return took


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    folder = tmp_path_factory.mktemp("flood")
    with made_cluster("mosquitto", folder, (*TRIO, "dave"), INPUTS) as network:
        port = free_port()
        with network.config("alice").open("a") as config:
            config.write(f'\n[metrics]\nlisten = "127.0.0.1:{port}"\n')
        network.start(BROKER, *TRIO)
        old = network.announce(Scene(network, port, "", "").spec())
        network.outcomes(old, *TRIO)
        waiting = network.announce(network.spec(Sum(), "bonus", 240, compute=TRIO, result_to=TRIO))
        for name in TRIO:
            until(partial(_knows, network, name, waiting), f"{name} joins")
        yield Scene(network, port, old, waiting)


def _knows(network: Cluster, name: str, session: str) -> bool:
    return session in [row.id for row in network.sessions(name)]


def topic(sender: str, session: str, step: str, to: str = "alice", part: int = 0) -> str:
    return f"sotto/1/session/{session}/{step}/{sender}/{to}/{part}"


def garbage(scene: Scene, _post: Post, sender: str) -> Iterator[Publication]:
    for _ in range(1000):
        step = RANDOM.choice([*Step])
        yield Publication(topic(sender, scene.waiting, step), RANDOM.randbytes(RANDOM.randint(1, 300)))


def truncated(scene: Scene, _post: Post, sender: str) -> Iterator[Publication]:
    real = [sent for name in TRIO for sent in scene.network.sent(name, scene.waiting)]
    for _ in range(1000):
        sent = RANDOM.choice(real)
        cut = RANDOM.randrange(SIGNATURE_BYTES, len(sent.payload))
        yield Publication(topic(sender, scene.waiting, sent.topic.split("/")[4]), sent.payload[:cut])


def many_parts(scene: Scene, post: Post, sender: str) -> Iterator[Publication]:
    """Signed parts of a share of one number, a gibibyte of them, as far as anybody listens."""
    chunks = [bytes([number % 256]) * (MIB if number < 4 else 64) for number in range(MOST_PARTS)]
    for sent in post.write(scene.waiting, Step.SHARE, "alice", (SLOT,), chunks):
        yield Publication(topic(sender, scene.waiting, Step.SHARE, part=sent.part), sent.payload)


def wrong_length(scene: Scene, post: Post, sender: str) -> Iterator[Publication]:
    for number in range(1000):
        (sent,) = post.write(scene.waiting, Step.SHARE, "alice", (SLOT,), [number.to_bytes(5000, "big")])
        yield Publication(topic(sender, scene.waiting, Step.SHARE), sent.payload)


def replayed(scene: Scene, _post: Post, sender: str) -> Iterator[Publication]:
    """The letters of a session that is over, under their own topics and under those of this one."""
    for name in TRIO:
        for sent in scene.network.sent(name, scene.old):
            levels = sent.topic.split("/")
            for session in (scene.old, scene.waiting):
                yield Publication(topic(sender, session, levels[4], part=int(levels[7])), sent.payload)
    with scene.network.journal("bob") as journal:
        row = journal.session(scene.old)
        assert row is not None
        yield Publication(topic(sender, scene.old, Step.ANNOUNCE), row.announce)


def foreign(_scene: Scene, post: Post, sender: str) -> Iterator[Publication]:
    for number in range(500):
        session = f"{number:064x}"
        (sent,) = post.plain(session, Step.REFUSE, ALL, b"{}")
        yield Publication(topic(sender, session, Step.REFUSE), sent.payload)
        body = Request(steps=(Step.JOIN,)).encode()
        (sent,) = post.plain(session, Step.REQUEST, "alice", body)
        yield Publication(topic(sender, session, Step.REQUEST), sent.payload)


Kind = Callable[[Scene, Post, str], Iterator[Publication]]
KINDS: list[Kind] = [garbage, truncated, many_parts, wrong_length, replayed, foreign]


@pytest.mark.parametrize("kind", KINDS)
def test_under_ten_thousand_payloads_a_second_the_others_have_their_answer(scene: Scene, kind: Kind) -> None:
    post = scene.network.post("dave")
    quiet = scene.sum()
    before, memory, journal = scene.metrics(), scene.memory(), scene.journal()

    def received() -> float:
        time.sleep(0.1)  # who looks all the time keeps the node from its work
        return scene.metrics()[RECEIVED] - before[RECEIVED]

    with ExitStack() as stack:
        begun = time.monotonic()
        floods = [
            stack.enter_context(
                Flood(
                    scene.network.client(name),
                    name,
                    list(kind(scene, post, name)),
                    rate=RATE // 2,
                    count=COUNT // 2,
                )
            )
            for name in ("dave", "mallory")
        ]
        until(lambda: all(each.sent > COUNT / 20 for each in floods), "the flood is there")
        took = scene.sum()
    until(lambda: received() >= COUNT, "all of it has come")
    after, lasted = scene.metrics(), time.monotonic() - begun
    grown, written = scene.memory() - memory, scene.journal() - journal
    dropped = {reason: count - before.get(reason, 0) for reason, count in after.items() if reason in REASONS}
    sent = COUNT / max(each.took for each in floods)
    speed = f"{took:.2f} s, {quiet:.2f} s without; {sent:.0f}/s sent, {COUNT / lasted:.0f}/s read"
    size = f"{grown / 1000:+.0f} kB memory, {written / 1000:+.0f} kB disk"
    log.info("%s: %s; %s; %s", kind.__name__, speed, size, dropped)
    assert sum(dropped.values()) >= 0.95 * COUNT, "some requests are answered, and all else is dropped"
    looked_at = dropped.get("malformed", 0) + dropped.get("announcement", 0)
    assert looked_at < 3_000, "most are dropped by their topic"
    assert grown < MOST_GROWTH
    assert written < MIB


def test_the_session_in_whose_name_it_was_done_goes_on_when_it_is_over(scene: Scene) -> None:
    """Dave's node starts only now: nothing of what was sent in his name has spoilt his session."""
    scene.network.start("dave")
    outcomes = scene.network.outcomes(scene.waiting, *TRIO)
    assert {each.state for each in outcomes.values()} == {State.COMPLETED}
    assert {each.answer and each.answer.text() for each in outcomes.values()} == {"15.00"}
