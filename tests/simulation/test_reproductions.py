"""Named reproductions of faults that a reading of the code found; each was seen to fail before its fix."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest

from party_node.journal import Journal
from party_node.policy import Declared
from party_node.post import Post, Publication
from party_node.transport import MAX_PAYLOAD
from protocol.functionalities.sum import Sum
from protocol.letters import parse
from protocol.messages import Begin, Join, RefusalCode, Step
from protocol.secret import Seed
from protocol.spec import session_id
from protocol.states import State
from tests.support.network import COORDINATOR, Network, exact

FOUR = {
    "alice": {"raise": "3800"},
    "bob": {"raise": "2514"},
    "carlos": {"raise": "2982"},
    "david": {"raise": "3390"},
}


@pytest.mark.parametrize("key", [b"\xff" * 1216, bytes(1216)])
def test_a_sealing_key_that_is_none_aborts_and_names_its_sender(key: bytes) -> None:
    net = Network(FOUR)
    post = Post("david", net.keys["david"], "sotto")

    def tamper(_to: str, sent: Publication) -> list[Publication]:
        levels = sent.topic.split("/")
        if levels[4:6] != ["join", "david"]:
            return [sent]
        body = Join(sealing_key=key, shape=()).encode()
        return [post.publication(levels[3], part) for part in post.plain(levels[3], Step.JOIN, "all", body)]

    net.tamper = tamper
    session = net.announce(net.spec(Sum()))
    net.run()
    ending = net.outcomes(session)["alice"].ending
    assert ending is not None
    assert ending.culprit == "david"


def test_an_announcement_under_another_topic_is_loaded_once() -> None:
    net = Network(FOUR)
    body = net.spec(Sum()).encode()
    session = session_id(body)
    post = Post(COORDINATOR, net.keys[COORDINATOR], "sotto")
    (sent,) = post.plain(session, Step.ANNOUNCE, "all", body)
    alice = net.nodes["alice"]
    alice.handle(post.publication(session, sent).topic, sent.payload, net.now)
    alice.handle(f"sotto/1/session/{'0' * 64}/announce/bob/all/0", sent.payload, net.now)
    net.flush("alice")


def test_a_reveal_to_many_result_parties_fits_the_largest_payload() -> None:
    names = [f"p{number}" for number in range(60)]
    net = Network({name: {"raise": ["1"] * 140_000} for name in names[:3]}, others=tuple(names[3:]))
    net.announce(net.spec(Sum(), results=tuple(names)))
    net.run(until=net.now + 1500)
    assert max(len(sent.payload) for sent in net.tap) <= MAX_PAYLOAD


def test_no_file_holds_the_seed_of_an_ended_session(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seeds: list[bytes] = []
    original = Journal.open

    def spy(self: Journal, session: str, announce: bytes, now: int, seed: Seed, value: object) -> None:
        seeds.append(seed.expose())
        original(self, session, announce, now, seed, value)  # type: ignore[arg-type]

    monkeypatch.setattr(Journal, "open", spy)
    net = Network(FOUR, directory=tmp_path)
    net.announce(net.spec(Sum()))
    net.run()
    found = [
        path.name
        for path in tmp_path.rglob("*")
        if path.is_file() and any(seed in path.read_bytes() for seed in seeds)
    ]
    net.close()
    assert found == []


def test_two_begins_never_name_an_honest_party() -> None:
    net = Network(FOUR | {"eve": {"raise": "1"}})
    post = Post("alice", net.keys["alice"], "sotto")  # alice is the leader, and lies to bob

    def tamper(to: str, sent: Publication) -> list[Publication]:
        levels = sent.topic.split("/")
        if to != "bob" or levels[5] != "alice" or levels[4] not in ("begin", "received"):
            return [sent]
        if levels[4] == "received":
            return []
        begin = Begin.decode(parse(sent.payload).body)
        joins = {name: digest for name, digest in begin.joins.items() if name != "eve"}
        body = Begin(joins=joins, shape=begin.shape).encode()
        return [post.publication(levels[3], part) for part in post.plain(levels[3], Step.BEGIN, "all", body)]

    net.tamper = tamper
    parties = ("alice", "bob", "carlos")
    session = net.announce(net.spec(Sum(), compute=parties, results=parties, min_inputs=1))
    net.run()
    endings = [outcome.ending for outcome in net.outcomes(session).values() if outcome.ending]
    assert {ending.culprit for ending in endings} <= {None, "alice"}


def test_a_kill_as_the_session_ends_loses_no_answer(tmp_path: Path) -> None:
    values = {name: {"raise": ["1"] * 9000} for name in ("alice", "bob", "carlos")}
    net = Network(values, directory=tmp_path)
    held: list[Publication] = []

    def tamper(to: str, sent: Publication) -> list[Publication]:
        if to == "alice" and sent.topic.split("/")[4] == "confirm":
            held.append(sent)
            return []
        return [sent]

    net.tamper = tamper
    session = net.announce(net.spec(Sum()))
    net.run(until=net.now + 100)
    assert net.outcomes(session)["bob"].state is State.COMPLETED
    for sent in held:
        net.nodes["alice"].handle(sent.topic, sent.payload, net.now)
    net.restart("alice")  # the input's file is gone already, the transaction is not committed
    net.tamper = lambda _to, sent: [sent]
    net.run()
    assert net.outcomes(session)["alice"].state is State.COMPLETED
    net.close()


def test_a_kill_before_the_first_commit_leaves_no_input_behind(tmp_path: Path) -> None:
    net = Network({name: {"raise": ["1"] * 9000} for name in ("alice", "bob")}, directory=tmp_path)
    body = net.spec(Sum()).encode()
    session = session_id(body)
    post = Post(COORDINATOR, net.keys[COORDINATOR], "sotto")
    (sent,) = post.plain(session, Step.ANNOUNCE, "all", body)
    alice = net.nodes["alice"]
    alice.handle(post.publication(session, sent).topic, sent.payload, net.now)
    alice.wanted.clear()
    alice.loaded(session, exact(["1"] * 9000), net.now)
    net.restart("alice")
    left = [str(path.relative_to(tmp_path)) for path in tmp_path.rglob("input")]
    net.close()
    assert left == []


def test_a_session_with_one_input_party_is_refused() -> None:
    net = Network(FOUR, min_inputs=3)
    spec = net.spec(Sum(), inputs=("alice",), compute=("bob", "carlos"), results=("bob",))
    session = net.announce(spec)
    net.run()
    assert net.outcomes(session)["alice"].state is State.REFUSED


@pytest.mark.parametrize("value", ["3800", "3700"])
def test_with_declared_bounds_a_refusal_does_not_depend_on_the_value(value: str) -> None:
    net = Network(FOUR | {"alice": {"raise": value}})
    net.declared["alice"] = {"raise": Declared(lower=Decimal(0), upper=Decimal(10_000), decimals=2)}
    net.nodes["alice"] = net.make("alice")
    session = net.announce(net.spec(Sum(lower=Decimal(0), upper=Decimal(3750))))
    net.run(until=net.now + 1)
    ending = net.outcomes(session)["alice"].ending
    assert ending is not None
    assert ending.reason is RefusalCode.POLICY


def test_a_node_starts_without_the_file_of_an_old_answer(tmp_path: Path) -> None:
    net = Network({name: {"raise": ["1"] * 9000} for name in ("alice", "bob")}, directory=tmp_path)
    net.announce(net.spec(Sum()))
    net.run()
    for path in (tmp_path / "alice" / "answers").rglob("units"):
        path.unlink()  # by hand, or by a power cut: the file is forced to the disk, its directory is not
    net.restart("alice")
    net.close()
