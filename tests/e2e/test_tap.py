"""Whoever reads every byte on the broker learns nothing, with real nodes on real brokers.

Three facts together: the tap saw every letter that the journals say was sent, the detector finds nothing
in what it saw, and the same detector finds each secret once it is there to be found.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from coordinator.cluster import BROKER, COORDINATOR
from protocol.messages import Step
from tests.support.brokers import KINDS
from tests.support.clients import Client, Received, running
from tests.support.detector import Detector, Secret
from tests.support.programs import Cluster, finish, made_cluster
from tests.support.session_secrets import session_secrets

PARTIES = ("alice", "bob", "carlos", "david")
LENGTH = 3
SPARING = "[policy]\nmin_difference = 1"  # the same inputs serve several sessions, with some parties each
KEPT = 600  # seconds, so that the journals still hold the secrets that are looked for
UNKEPT = {Step.ANNOUNCE, Step.REQUEST}  # letters that leave no copy in an outbox
KINDS_OF_SECRET = {
    *("input", "share", "share seed", "partial sum"),
    *("output share", "opening nonce", "session seed", "result"),
}


@dataclass(frozen=True)
class Tapped:
    """One session: what the tap saw of it, what its members sent, and what they must not let out."""

    seen: list[Received]
    sent: set[Received]
    secrets: list[Secret]

    def texts(self) -> list[bytes]:
        """Everything that was seen, topics included."""
        return [text for topic, payload in self.seen for text in (topic.encode(), payload)]


@pytest.fixture(scope="module", params=KINDS)
def network(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Four nodes with inputs that nobody guesses, and a broker that lets a tap read everything."""
    rng = random.Random(1)
    rows = "".join(f"{name},{number(rng)}\n" for name in PARTIES)
    directory = tmp_path_factory.mktemp("tap")
    with made_cluster(request.param, directory, PARTIES, f"party,raise\n{rows}", "pattern read #") as made:
        for name in PARTIES:
            hours = ", ".join(f'"{number(rng)}"' for _ in range(LENGTH))
            add_settings(
                made.config(name), f"keep_sessions = {KEPT}", f"[inputs.hours]\nvalue = [{hours}]\n{SPARING}"
            )
        made.start(BROKER, *PARTIES)
        yield made


def number(rng: random.Random) -> str:
    """A value large enough to be told from chance; four of them stay below 2^63 units."""
    units = rng.randrange(1 << 58, 1 << 60)
    return f"{rng.choice(['', '-'])}{units // 100}.{units % 100:02}"


def add_settings(config: Path, setting: str, table: str) -> None:
    config.write_text(f"{setting}\n{config.read_text()}\n{table}\n")


async def tap(network: Cluster, arguments: str) -> Tapped:
    """Run a session to its end and read along."""
    reader = Client(network.client("tap"), "tap", ["#"], presence=False)
    async with running(reader):
        ran = await asyncio.to_thread(finish, network.launch(f"{arguments} --within 30"))
        assert ran.code == 0, ran.err
        found: dict[str, Any] = ran.data
        members = found["parties"]
        sent = {
            (each.topic, each.payload) for name in members for each in network.sent(name, found["session"])
        }
        await reader.until(lambda client: sent <= set(client.received))
    return Tapped(list(reader.received), sent, secrets_of(network, members, found["session"]))


def secrets_of(network: Cluster, members: list[str], session: str) -> list[Secret]:
    """From the journals of all members but the coordinator, which has no input and no share."""
    with ExitStack() as stack:
        parties = [name for name in members if name != COORDINATOR]
        journals = {name: stack.enter_context(network.journal(name)) for name in parties}
        return session_secrets(journals, session)


def kept(seen: list[Received], session: str) -> set[Received]:
    """The letters of one session of which somebody's outbox must have a copy."""
    letters = {(topic, payload) for topic, payload in seen if f"/session/{session}/" in topic and payload}
    return {each for each in letters if each[0].split("/")[4] not in UNKEPT}


SESSIONS = [
    "average --input raise",
    "sum --input hours",
    "sum --input raise --parties alice,bob,carlos --compute david,bob --result-to carlos",
]


@pytest.mark.parametrize("arguments", SESSIONS, ids=["average", "vector sum", "disjoint roles"])
async def test_the_tap_sees_every_letter_and_no_secret(network: Cluster, arguments: str) -> None:
    tapped = await tap(network, arguments)
    (session,) = {topic.split("/")[3] for topic, _ in tapped.sent}
    assert kept(tapped.seen, session) == tapped.sent
    assert {topic.split("/")[4] for topic, _ in tapped.sent} >= {
        "join",
        "begin",
        "share",
        "reveal",
        "confirm",
    }
    assert {each.kind for each in tapped.secrets} == KINDS_OF_SECRET
    assert Detector(tapped.secrets).find(tapped.texts()) == []


async def test_a_published_answer_is_found_and_nothing_else_is(network: Cluster) -> None:
    tapped = await tap(network, "sum --input hours --public")
    assert {each.kind for each in Detector(tapped.secrets).find(tapped.texts())} == {"result"}


async def test_each_secret_is_found_once_it_is_in_a_letter(network: Cluster) -> None:
    tapped = await tap(network, "sum --input raise --compute bob,carlos")
    texts = tapped.texts()
    longest = max(texts, key=len)
    for secret in tapped.secrets:
        raw = secret.content if isinstance(secret.content, bytes) else secret.content.astype("<u8").tobytes()
        found = Detector([secret]).find([*texts, longest[:400] + raw + longest[400:]])
        assert {(each.kind, each.name, each.payload) for each in found} == {
            (secret.kind, secret.name, len(texts))
        }
