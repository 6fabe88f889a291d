"""Bad luck, each kind on its own: the session completes, or ends with a name, and no share leaves in vain."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from party_node.post import Post, Publication
from protocol.functionalities.average import Average
from protocol.letters import ALL, Header, frame, letter_digest, parse
from protocol.messages import AbortReason, RefusalCode, Step
from protocol.spec import SessionSpec, session_id
from protocol.states import State
from tests.simulation.judge import check_letters
from tests.support.network import COORDINATOR, START, Faults, Network

RAISES: dict[str, str | list[str]] = {"alice": "3800", "bob": "2514", "carlos": "2982", "david": "3390"}
AVERAGE = "3171.50"
STRANGER = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))


def colleagues(raises: dict[str, str | list[str]] = RAISES, **given: object) -> Network:
    """Colleagues who want to know their average raise."""
    inputs = {name: {"raise": value} for name, value in raises.items()}
    return Network(inputs, **given)  # type: ignore[arg-type] # the network's own arguments


def steps(network: Network) -> Counter[str]:
    """How many letters of each step were published."""
    return Counter(sent.topic.split("/")[4] for sent in network.tap)


def assert_completed(network: Network, session: str) -> None:
    """Everybody has the right average."""
    outcomes = network.outcomes(session)
    assert set(outcomes) == set(network.names)
    for outcome in outcomes.values():
        assert outcome.state is State.COMPLETED, outcome
        assert outcome.answer is not None
        assert outcome.answer.text() == AVERAGE


def inject(network: Network, step: Step, forged: Callable[[Publication], Publication]) -> list[Publication]:
    """Whenever a letter of this step is delivered, deliver a forged one before it."""
    injected: list[Publication] = []

    def tamper(_to: str, sent: Publication) -> list[Publication]:
        if sent.topic.split("/")[4] != step:
            return [sent]
        injected.append(forged(sent))
        return [injected[-1], sent]

    network.tamper = tamper
    return injected


def replace_level(topic: str, level: int, value: str) -> str:
    """A topic with one of its levels exchanged."""
    levels = topic.split("/")
    levels[level] = value
    return "/".join(levels)


# -- silence ---------------------------------------------------------------------------------------


def test_a_party_that_never_joins_is_named_and_no_share_is_sent() -> None:
    network = colleagues()
    network.stop("david")
    session = network.announce(network.spec(Average(), within=60_000))
    network.run()
    for name in ("alice", "bob", "carlos"):
        ending = network.nodes[name].outcome(session).ending  # type: ignore[union-attr] # it took part
        assert ending is not None
        assert (ending.reason, ending.silent, ending.culprit) == (AbortReason.NEVER_JOINED, ("david",), None)
        row = network.journals[name].session(session)
        assert row is not None
        assert row.ended == pytest.approx(START + 30_000, abs=10)  # when the time to join is over
    assert steps(network)[Step.SHARE] == 0


def test_an_input_party_that_never_joins_is_left_out_where_fewer_inputs_are_allowed() -> None:
    network = colleagues()
    network.stop("david")
    trio = ("alice", "bob", "carlos")
    session = network.announce(network.spec(Average(), compute=trio, results=trio, min_inputs=3))
    network.run()
    answers = {
        outcome.answer.text() for outcome in network.outcomes(session, trio).values() if outcome.answer
    }
    assert answers == {"3098.67"}


@pytest.mark.parametrize("step", [Step.SHARE, Step.RECEIVED, Step.REVEAL])
def test_a_compute_party_that_vanishes_before_a_step_is_named(step: Step) -> None:
    network = colleagues()

    def leaves(sender: str, sent: Publication) -> bool:
        if (sender, sent.topic.split("/")[4]) == ("david", step):
            network.stop("david")
        return sender not in network.down

    network.leaves = leaves
    session = network.announce(network.spec(Average()))
    network.run()
    for name in ("alice", "bob", "carlos"):
        outcome = network.outcomes(session)[name]
        assert outcome.state is State.ABORTED
        assert outcome.ending is not None
        assert (outcome.ending.silent, outcome.ending.culprit) == (("david",), None)


# -- letters that do not belong --------------------------------------------------------------------


def test_a_message_from_one_party_published_as_anothers_is_dropped() -> None:
    network = colleagues()
    injected = inject(
        network,
        Step.RECEIVED,
        lambda sent: Publication(replace_level(sent.topic, 5, "david"), sent.payload),
    )
    session = network.announce(network.spec(Average()))
    network.run()
    assert injected
    assert sum(node.dropped["malformed"] for node in network.nodes.values()) > 0
    assert_completed(network, session)


def test_a_letter_signed_by_another_party_than_it_names_is_dropped() -> None:
    network = colleagues()

    def forged(sent: Publication) -> Publication:
        part = parse(sent.payload)
        header = part.header.encode()
        signature = network.keys["alice"].sign(letter_digest(header, b"{}"))
        return Publication(sent.topic, frame(header, b"{}", signature))

    injected = inject(network, Step.RECEIVED, forged)
    session = network.announce(network.spec(Average()))
    network.run()
    assert injected
    culprits = {outcome.ending.culprit for outcome in network.outcomes(session).values() if outcome.ending}
    assert culprits <= {"alice"}  # alice did sign other bytes as alice, and nobody else is accused


def test_a_share_for_another_session_is_dropped() -> None:
    network = colleagues()
    network.announce(network.spec(Average()))
    network.run()
    other = {sent.topic.split("/", 4)[4]: sent.payload for sent in network.tap}
    injected = inject(
        network, Step.SHARE, lambda sent: Publication(sent.topic, other[sent.topic.split("/", 4)[4]])
    )
    session = network.announce(network.spec(Average()))
    network.run()
    assert len(injected) == 12
    assert sum(node.dropped["malformed"] for node in network.nodes.values()) == 12
    assert_completed(network, session)


def test_letters_of_a_finished_session_wake_nobody() -> None:
    network = colleagues()
    session = network.announce(network.spec(Average()))
    network.run()
    published = list(network.tap)
    for sent in published:
        for name in network.names:
            network.post(name, sent)
    network.run()
    assert network.tap == published
    assert_completed(network, session)


# -- duplicates ------------------------------------------------------------------------------------


def test_an_identical_duplicate_of_every_letter_is_harmless() -> None:
    network = colleagues(faults=Faults(double=1.0, delay=20))
    session = network.announce(network.spec(Average()))
    network.run()
    check_letters(network.tap)
    assert_completed(network, session)


def assert_bob_is_named(network: Network, session: str) -> None:
    """Everybody but him ends with his name, and nobody calls him silent."""
    for name in ("alice", "carlos", "david"):
        ending = network.outcomes(session)[name].ending
        assert ending is not None
        assert ending.reason is AbortReason.CONTRADICTION
        assert (ending.culprit, ending.silent) == ("bob", ())


@pytest.mark.parametrize("step", [Step.JOIN, Step.RECEIVED])
def test_a_differing_duplicate_aborts_and_names_its_sender(step: Step) -> None:
    network = colleagues(faults=Faults(delay=0))  # so that it comes at once, and not after the answer
    post = Post("bob", network.keys["bob"], "sotto")

    def different(sent: Publication) -> Publication:
        if sent.topic.split("/")[5] != "bob":
            return sent
        body = parse(sent.payload).body
        at = body.rindex(b'":"') + 3  # the first letter of a key or of a digest
        other = b"A" if body[at : at + 1] == b"B" else b"B"
        (part,) = post.plain(session, step, ALL, body[:at] + other + body[at + 1 :])
        return post.publication(session, part)

    inject(network, step, different)
    spec = network.spec(Average())
    session = session_id(spec.encode())
    network.announce(spec)
    network.run()
    assert_bob_is_named(network, session)


@pytest.mark.parametrize("step", [Step.SHARE, Step.REVEAL])
def test_a_differing_duplicate_of_a_sealed_letter_aborts_and_names_its_sender(step: Step) -> None:
    at_once = Faults(delay=0)  # and one seed: the same keys and session, sealed another time
    twin, network = colleagues(faults=at_once), colleagues(faults=at_once)
    spec = network.spec(Average())
    assert twin.announce(twin.spec(Average())) == session_id(spec.encode())
    twin.run()
    others = {sent.topic: sent for sent in twin.tap}
    inject(network, step, lambda sent: others[sent.topic] if sent.topic.split("/")[5] == "bob" else sent)
    session = network.announce(spec)
    network.run()
    assert_bob_is_named(network, session)


# -- announcements that are not believed -----------------------------------------------------------


def announcement(network: Network, spec_bytes: bytes, sender: str, key: Ed25519PrivateKey) -> Publication:
    """Any bytes as a signed announcement."""
    post = Post(sender, key, "sotto")
    session = session_id(spec_bytes)
    (sent,) = post.plain(session, Step.ANNOUNCE, ALL, spec_bytes)
    return post.publication(session, sent, retain=True)


def by_a_stranger(network: Network, spec: SessionSpec) -> Publication:
    return announcement(network, spec.encode(), COORDINATOR, STRANGER)


def by_a_party(network: Network, spec: SessionSpec) -> Publication:
    body = spec.model_copy(update={"coordinator": "alice"}).encode()
    return announcement(network, body, "alice", network.keys["alice"])


def altered(network: Network, spec: SessionSpec) -> Publication:
    sent = announcement(network, spec.encode(), COORDINATOR, network.keys[COORDINATOR])
    return Publication(sent.topic, sent.payload.replace(b'"min_inputs":4', b'"min_inputs":1'), retain=True)


def altered_with_its_own_id(network: Network, spec: SessionSpec) -> Publication:
    honest = parse(announcement(network, spec.encode(), COORDINATOR, network.keys[COORDINATOR]).payload)
    body = spec.encode().replace(b'"min_inputs":4', b'"min_inputs":1')
    session = session_id(body)
    header = Header(session=session, step=Step.ANNOUNCE, sender=COORDINATOR, to=ALL).encode()
    topic = f"sotto/1/session/{session}/announce/{COORDINATOR}/all/0"
    return Publication(topic, frame(header, body, honest.signature), retain=True)


def expired(network: Network, spec: SessionSpec) -> Publication:
    network.now = spec.join_by
    return announcement(network, spec.encode(), COORDINATOR, network.keys[COORDINATOR])


def from_the_future(network: Network, spec: SessionSpec) -> Publication:
    network.now = spec.created - 3_600_000
    return announcement(network, spec.encode(), COORDINATOR, network.keys[COORDINATOR])


def of_another_version(network: Network, spec: SessionSpec) -> Publication:
    body = spec.encode().replace(b'"version":1', b'"version":2', 1)
    return announcement(network, body, COORDINATOR, network.keys[COORDINATOR])


def with_an_unknown_field(network: Network, spec: SessionSpec) -> Publication:
    body = spec.encode()[:-1] + b',"verbose":true}'
    return announcement(network, body, COORDINATOR, network.keys[COORDINATOR])


@pytest.mark.parametrize(
    "flaw",
    [
        by_a_stranger,
        by_a_party,
        altered,
        altered_with_its_own_id,
        expired,
        from_the_future,
        of_another_version,
        with_an_unknown_field,
    ],
)
def test_an_announcement_with_a_flaw_is_answered_with_nothing(
    flaw: Callable[[Network, SessionSpec], Publication],
) -> None:
    network = colleagues()
    sent = flaw(network, network.spec(Average()))
    network.publish(COORDINATOR, sent)
    network.run()
    assert network.tap == [sent]
    for name in network.names:
        node = network.nodes[name]
        heard = name != "alice" or flaw is not by_a_party  # nobody hears themselves
        assert node.dropped["announcement"] + node.dropped["malformed"] == heard
        assert not network.journals[name].sessions()


def test_a_spec_with_a_party_that_is_not_in_the_roster_is_refused_by_everybody() -> None:
    network = colleagues()
    parties = (*RAISES, "mallory")
    members = {name: network.roster.identity(name) for name in RAISES}
    members["mallory"] = STRANGER.public_key().public_bytes_raw()
    session = network.announce(network.spec(Average(), inputs=parties, members=members))
    network.run()
    assert set(steps(network)) == {Step.ANNOUNCE, Step.REFUSE}
    for outcome in network.outcomes(session).values():
        assert outcome.state is State.REFUSED
        assert outcome.ending is not None
        assert outcome.ending.reason is RefusalCode.SPEC
        assert "mallory is not in the roster" in outcome.ending.detail


# -- inputs that do not fit ------------------------------------------------------------------------


def test_a_vector_of_another_length_aborts_with_the_lengths_and_no_share_is_sent() -> None:
    network = colleagues({"alice": ["1", "2"], "bob": ["1", "2"], "carlos": ["1", "2", "3"]})
    session = network.announce(network.spec(Average()))
    network.run()
    assert steps(network)[Step.SHARE] == 0
    for outcome in network.outcomes(session).values():
        assert outcome.ending is not None
        assert outcome.ending.reason is AbortReason.SHAPES_DIFFER
        assert outcome.ending.detail == "alice: 2 elements, bob: 2 elements, carlos: 3 elements"


def test_an_input_out_of_bounds_is_refused_without_a_number_and_no_share_is_sent() -> None:
    network = colleagues()
    session = network.announce(network.spec(Average(lower=Decimal(2600), upper=Decimal(4000))))
    network.run()
    assert steps(network)[Step.SHARE] == 0
    for name in ("alice", "carlos", "david"):
        ending = network.outcomes(session)[name].ending
        assert ending is not None
        assert (ending.reason, ending.detail) == (AbortReason.REFUSED, "bob refused (input)")
    assert not any(b"2514" in sent.payload for sent in network.tap)


# -- crashes ---------------------------------------------------------------------------------------


def one_crash(action: int, *, committed: bool, directory: Path | None = None) -> Network:
    """Three parties; one of them is killed at one action of the run."""
    network = colleagues({name: RAISES[name] for name in ("alice", "bob", "carlos")}, directory=directory)
    network.crash_at = {action: committed}
    session = network.announce(network.spec(Average()))
    network.run(until=START + 59_000)
    check_letters(network.tap)  # what was sent again is what was sent first, byte by byte
    for name, outcome in network.outcomes(session).items():
        assert outcome.state is State.COMPLETED, f"{name}: {outcome}"
        assert outcome.answer is not None
        assert outcome.answer.text() == "3098.67"
        assert not outcome.unconfirmed
    network.close()
    return network


LAST_ACTION = one_crash(0, committed=False).actions  # of a run without a crash


@pytest.mark.parametrize("committed", [False, True], ids=["before its commit", "after its commit"])
def test_a_crash_at_any_single_action_changes_nothing(committed: bool) -> None:
    networks = [one_crash(action, committed=committed) for action in range(1, LAST_ACTION + 1)]
    crashed = {name for network in networks for _, name in network.crashes}
    assert crashed == {"alice", "bob", "carlos"}
    # Letters did leave twice, so that comparing them byte by byte meant something.
    repeated = {topic.split("/")[4] for network in networks for topic in _sent_twice(network)}
    assert repeated >= {Step.JOIN, Step.BEGIN, Step.SHARE, Step.RECEIVED, Step.REVEAL, Step.CONFIRM}


@pytest.mark.parametrize("committed", [False, True], ids=["before its commit", "after its commit"])
def test_a_crash_with_the_journal_in_a_file_changes_nothing_either(committed: bool, tmp_path: Path) -> None:
    for action in range(1, LAST_ACTION + 1, 7):
        directory = tmp_path / str(action)
        directory.mkdir()
        one_crash(action, committed=committed, directory=directory)


def test_a_leader_that_crashes_after_its_begin_does_not_begin_anew() -> None:
    network = colleagues({name: RAISES[name] for name in ("alice", "bob", "carlos")})
    spec = network.spec(Average(), compute=("alice", "bob"), results=("alice", "bob"), min_inputs=2)
    begun = spec.join_by
    withheld = {  # from alice: what would let her freeze another membership, were it not in her journal
        (Step.JOIN, "carlos"): range(begun + 1_000),
        (Step.JOIN, "bob"): range(begun + 1, begun + 5_000),
        (Step.SHARE, "bob"): range(begun + 6_000),
    }

    def tamper(to: str, sent: Publication) -> list[Publication]:
        step, sender = sent.topic.split("/")[4:6]
        return [] if to == "alice" and network.now in withheld.get((Step(step), sender), ()) else [sent]

    network.tamper = tamper
    network.at(begun + 1_000, lambda: network.restart("alice"))
    session = network.announce(spec)
    network.run()
    check_letters(network.tap)
    outcomes = network.outcomes(session)
    assert outcomes["alice"].inputs == outcomes["bob"].inputs == ("alice", "bob")
    assert {outcomes["alice"].state, outcomes["bob"].state} == {State.COMPLETED}


def _sent_twice(network: Network) -> list[str]:
    return [topic for topic, count in Counter(sent.topic for sent in network.tap).items() if count > 1]
