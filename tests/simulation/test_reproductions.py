"""Named reproductions of faults that a reading of the code found; each was seen to fail before its fix."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest

from party_node.journal import Journal
from party_node.policy import Declared
from party_node.post import Post, Publication, Sent
from protocol.encoding import Exact
from protocol.errors import InputError
from protocol.functionalities.sum import Sum
from protocol.letters import PAYLOAD_BYTES, parse
from protocol.messages import Abort, AbortReason, Begin, Commit, Join, MalformedError, RefusalCode, Step
from protocol.ring import MOST_ELEMENTS
from protocol.secret import Seed
from protocol.spec import session_id
from protocol.states import State
from tests.support.network import COORDINATOR, Network, exact
from tests.support.sessions import Table, losing, make_part, make_spec, said

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
        body = Join(sealing_key=key, shape=(), offer=None, setups={}).encode()
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
    assert max(len(sent.payload) for sent in net.tap) <= PAYLOAD_BYTES


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


def test_a_field_name_with_control_characters_ends_the_session_and_nothing_else() -> None:
    table = Table().start()
    body = (
        Commit(view=bytes(32), inputs=(), opened=None, commitment=bytes(32)).encode()[:-1]
        + b',"\\u001b[2J":1}'
    )
    table.put("alice", make_part(table.id, Step.COMMIT, "bob", "all", body))
    ending = table.outcome("alice").ending
    assert ending is not None
    assert ending.culprit == "bob"


def test_the_end_of_a_session_of_many_who_refused_can_be_told() -> None:
    names = tuple(f"party-with-a-long-name-{n:03}" for n in range(60))
    spec = make_spec(inputs=names, compute=names[:2], results=names[:1])
    table = Table(spec, dict.fromkeys(names, 1), absent=names[2:])
    table.start().run()
    assert table.outcome(names[0]).ending is not None


def test_shapes_of_many_that_differ_can_be_told() -> None:
    names = tuple(f"p{n}" for n in range(60))
    spec = make_spec(inputs=names, compute=names[:2], results=names[:1])
    values = {name: [1] * (1 + n % 2) for n, name in enumerate(names)}
    table = Table(spec, values).start().run()
    ending = table.outcome(names[0]).ending
    assert ending is not None
    assert ending.reason is AbortReason.SHAPES_DIFFER


@pytest.mark.parametrize("decimals", [15, 16, 17, 18])
def test_without_bounds_the_ring_does_not_tell_about_a_declared_value(decimals: int) -> None:
    codes = set()
    for value in ("3800", "1"):
        net = Network(FOUR | {"alice": {"raise": value}})
        net.declared = {"alice": {"raise": Declared(Decimal(0), Decimal(10000), 2)}}
        net.nodes["alice"] = net.make("alice")
        session = net.announce(net.spec(Sum(decimals=decimals)))
        net.run()
        ending = net.outcomes(session)["alice"].ending
        joined = any("/join/alice/" in sent.topic for sent in net.tap)
        codes.add((joined, None if joined or ending is None else ending.reason))
    assert len(codes) == 1


def test_a_coordinator_that_cancels_twice_takes_no_answer_back() -> None:
    table = Table(wire=losing(Step.CONFIRM, "bob")).start().deliver()
    assert table.sessions["alice"].state is State.CONFIRMING
    table.put("alice", said(table.id, "coordinator", Abort(reason=AbortReason.CANCELLED, detail="one")))
    with pytest.raises(MalformedError, match="a second, different abort"):
        table.put("alice", said(table.id, "coordinator", Abort(reason=AbortReason.CANCELLED, detail="two")))
    assert table.sessions["alice"].state is State.CONFIRMING


def test_a_bad_key_of_a_result_party_is_named_before_anything_is_shared() -> None:
    net = Network({name: FOUR[name] for name in ("alice", "bob", "carlos")}, others=("vera",))
    post = Post("vera", net.keys["vera"], "sotto")

    def tamper(_to: str, sent: Publication) -> list[Publication]:
        levels = sent.topic.split("/")
        if levels[4:6] != ["join", "vera"]:
            return [sent]
        body = Join(sealing_key=b"\xff" * 1216, shape=None, offer=None, setups={}).encode()
        parts = post.plain(levels[3], Step.JOIN, "compute", body)
        return [post.publication(levels[3], part) for part in parts]

    net.tamper = tamper
    session = net.announce(net.spec(Sum(), compute=("alice", "bob"), results=("vera",)))
    net.run()
    ending = net.outcomes(session)["alice"].ending
    assert ending is not None
    assert ending.culprit == "vera"
    senders = {sent.topic.split("/")[5] for sent in net.tap if sent.topic.split("/")[4] == "share"}
    assert senders <= {"carlos"}  # who seals to the compute parties alone, and whose key vera has not


def test_an_input_longer_than_the_protocol_allows_is_refused() -> None:
    value = Exact(np.broadcast_to(np.int64(1), (MOST_ELEMENTS + 1,)), 0, source="huge.csv")
    with pytest.raises(InputError, match="at most"):
        Sum().encode(value, 3)


def test_letters_of_a_swept_session_are_deleted_at_the_next_start(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.sqlite")
    journal.open("s", b"", 0, Seed(bytes(32)), None)
    journal.sent("s", Sent("reveal", "all", 0, bytes(1 << 17)))
    journal.commit()
    journal.forget_secrets("s")
    journal.forget_outbox("s")
    journal._db.execute("COMMIT")  # killed between the commit and the deletion
    journal.close()
    journal = Journal(tmp_path / "journal.sqlite")
    journal.tidy()
    journal.close()
    assert not list((tmp_path / "spool").rglob("reveal*"))
