"""A flood costs its sender's budget and nobody else's, and a table of senders that has an end."""

import json
import random
from collections import Counter
from collections.abc import Callable, Iterator, Sequence

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from party_node import throttle
from party_node.post import Post, Publication
from party_node.throttle import BURST, MOST_NAMES, RATE, RESERVE, Buckets, Report, Throttle
from protocol.functionalities.sum import Sum
from protocol.letters import ALL, PAYLOAD_BYTES, SIGNATURE_BYTES
from protocol.messages import Request, Step
from protocol.states import State
from tests.support.network import START, Network
from tests.support.sessions import repeatable

INPUTS = {name: {"raise": amount} for name, amount in zip("abcd", ("1", "2", "4", "8"), strict=True)}
LARGE = 4_000  # payloads
PER_MILLISECOND = 10

# -- buckets -----------------------------------------------------------------------------------------


def test_a_bucket_is_full_at_first_and_fills_up_again_and_no_further() -> None:
    buckets = Buckets(burst=10, rate=2)
    buckets.take("eve", 7, START)
    assert [buckets.left("eve", START + wait) for wait in (0, 500, 2000, 3500, 3_600_000)] == [
        3,
        4,
        7,
        10,
        10,
    ]
    assert buckets.left("bob", START) == 10


def test_what_is_taken_beyond_the_bottom_is_owed() -> None:
    buckets = Buckets(burst=10, rate=2)
    buckets.take("eve", 30, START)
    assert (buckets.left("eve", START), buckets.left("eve", START + 10_000)) == (-20, 0)


def test_a_clock_that_is_set_back_stops_no_bucket_from_filling() -> None:
    buckets = Buckets(burst=10, rate=2)
    buckets.take("eve", 10, START)
    assert buckets.left("eve", START - 3_600_000) == 0
    assert buckets.left("eve", START - 3_600_000 + 1000) == 2


def test_names_beyond_the_last_bucket_share_one() -> None:
    buckets = Buckets(burst=10, rate=1)
    for number in range(2 * MOST_NAMES):
        buckets.take(f"name-{number}", 1, START)
    assert len(buckets) == MOST_NAMES + 1
    assert buckets.left("name-0", START) == 9
    assert buckets.left("nobody-yet", START) == 10 - MOST_NAMES


def test_buckets_that_are_full_again_make_room() -> None:
    buckets = Buckets(burst=10, rate=1)
    for number in range(MOST_NAMES):
        buckets.take(f"name-{number}", 1 if number else 9, START)
    buckets.take("eve", 10, START + 5_000)
    assert len(buckets) == 2
    assert (buckets.left("eve", START + 5_000), buckets.left("name-0", START + 5_000)) == (0, 6)


@repeatable
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(1, 20), st.integers(0, 5_000)), max_size=60))
def test_nobody_ever_takes_more_than_a_burst_and_what_the_time_has_filled_up(
    takes: list[tuple[int, int, int]],
) -> None:
    buckets, now, taken = Buckets(burst=50, rate=4), START, dict.fromkeys(range(4), 0)
    for name, tokens, wait in takes:
        now += wait
        if buckets.left(str(name), now) >= tokens:
            buckets.take(str(name), tokens, now)
            taken[name] += tokens
    assert max(taken.values()) <= 50 + 4 * (now - START) / 1000


# -- the throttle ------------------------------------------------------------------------------------


def charged(times: int, sender: str = "eve") -> Throttle:
    found = Throttle()
    for _ in range(times):
        found.charge(sender, START)
    return found


def test_who_has_spent_all_waits_and_nobody_else_does() -> None:
    found = charged(BURST)
    assert not found.admits("eve", START, member=True)
    assert found.admits("bob", START, member=True)
    assert found.admits("eve", START + 1000 // RATE, member=True)
    assert found.admits("eve", START + 60_000, member=False)


def test_the_last_of_a_budget_is_for_sessions_in_which_the_sender_is_a_member() -> None:
    found = charged(BURST - RESERVE)
    assert found.admits("eve", START, member=True)
    assert not found.admits("eve", START, member=False)


def test_a_log_tells_of_the_first_useless_payloads_and_not_of_all() -> None:
    found = Throttle()
    told = sum(found.charge("eve", START) for _ in range(LARGE))
    assert told == BURST // 2


def test_a_large_answer_is_given_and_owed() -> None:
    found = Throttle()
    found.answered("eve", 1 << 30, START)
    assert not found.answers("eve", START)
    assert found.answers("bob", START)
    assert not found.answers("eve", START + 50_000)
    assert found.answers("eve", START + 70_000)


def test_ten_thousand_small_requests_are_not_all_answered() -> None:
    found, answered = Throttle(), 0
    for number in range(10_000):
        now = START + number // 10
        if found.answers("eve", now):
            found.answered("eve", 0, now)
            answered += 1
    rate = throttle.ANSWER_RATE // throttle.REQUEST_COST
    assert answered == pytest.approx(throttle.ANSWER_BURST // throttle.REQUEST_COST + rate, rel=0.01)


def test_a_report_is_due_every_ten_seconds_whatever_the_clock_does() -> None:
    report = Report()
    assert [report.due(START + at) for at in (0, 1, 9_999, 10_000, 10_001, -5_000, 0)] == [
        *(True, False, False, True, False),
        *(True, False),
    ]


# -- a node under flood --------------------------------------------------------------------------------


Flood = Callable[["Party"], Iterator[Publication]]


class Party:
    """Who floods: with a certificate and a key of its own, and all that it has ever heard."""

    def __init__(self, network: Network, name: str, session: str, old: str) -> None:
        self.network, self.name, self.session, self.old = network, name, session, old
        self.random = random.Random(name)
        self.post = Post(name, network.keys.get(name, network.keys["d"]), "sotto")

    def topic(self, session: str, step: str, to: str = "a", part: str = "0") -> str:
        return f"sotto/1/session/{session}/{step}/{self.name}/{to}/{part}"

    def signed(self, step: Step, to: str, body: bytes, session: str = "") -> Publication:
        (sent,) = self.post.plain(session or self.session, step, to, body)
        return self.post.publication(session or self.session, sent)


def garbage(party: Party) -> Iterator[Publication]:
    while True:
        step = party.random.choice(list(Step))
        payload = party.random.randbytes(party.random.randint(1, 200))
        yield Publication(party.topic(party.session, step), payload)


def other_topics(party: Party) -> Iterator[Publication]:
    """Levels that are none, sessions and senders that do not exist, letters for somebody else."""
    payload = party.signed(Step.JOIN, ALL, b"{}").payload
    while True:
        session = party.random.randbytes(32).hex()
        yield Publication(party.topic(session, Step.JOIN), payload)
        yield Publication(party.topic(party.session, "\x1b[31m" * 9, "\n"), payload)
        yield Publication(party.topic(party.session, Step.JOIN, "b"), payload)
        yield Publication(party.topic(party.session, Step.JOIN).replace(f"/{party.name}/", "//"), payload)
        yield Publication(f"sotto/1/session/{session}/join/s-{session[:8]}/a/0", payload)
        yield Publication(f"sotto/1/session/{session}/announce/s-{session[:8]}/all/0", payload)


def truncated(party: Party) -> Iterator[Publication]:
    real = [sent for sent in party.network.tap if f"/{party.session}/" in sent.topic]
    while True:
        sent = party.random.choice(real)
        cut = party.random.randrange(SIGNATURE_BYTES, len(sent.payload))
        yield Publication(party.topic(party.session, sent.topic.split("/")[4]), sent.payload[:cut])


def too_large(party: Party) -> Iterator[Publication]:
    payload = bytes(PAYLOAD_BYTES + 1)
    while True:
        yield Publication(party.topic(party.session, Step.SHARE), payload)


def many_parts(party: Party) -> Iterator[Publication]:
    """Signed letters of more parts than there can be, each part another one."""
    for number in range(LARGE):
        part = party.post.write(party.session, Step.REFUSE, ALL, (), [b"%d" % number] * 2)[number % 2]
        yield party.post.publication(party.session, part)


def replayed(party: Party) -> Iterator[Publication]:
    """A finished session's letters, as they were and with this session's topics; announcements too."""
    real = [sent for sent in party.network.tap if f"/{party.old}/" in sent.topic]
    while True:
        sent = party.random.choice(real)
        levels = sent.topic.split("/")
        yield sent
        yield Publication(party.topic(party.session, levels[4], levels[6]), sent.payload)
        yield Publication(party.topic(party.old, levels[4], levels[6]), sent.payload)


def repeated(party: Party) -> Iterator[Publication]:
    """What was good the first time, and has been taken in."""
    real = [
        sent
        for sent in party.network.tap
        if f"/{party.session}/" in sent.topic
        and f"/{party.name}/" in sent.topic
        and "/request/" not in sent.topic
    ]
    yield from (real[number % len(real)] for number in range(LARGE) if real)


def requests(party: Party) -> Iterator[Publication]:
    """Signed requests, for sessions that are, were and never will be."""
    for number in range(LARGE):
        body = Request(steps=(Step.JOIN, Step.SHARE, Step.REVEAL)).encode()
        sessions = (party.session, party.old, f"{number:064x}")
        yield party.signed(Step.REQUEST, "a", body, sessions[number % 3])


FLOODS: list[Flood] = [garbage, other_topics, truncated, too_large, many_parts, replayed, repeated, requests]


def prepared(senders: Sequence[str] = ("d",)) -> tuple[Network, list[Party]]:
    """One session is over, and the next begun: c, who has not spoken, is all that is missing."""
    network = Network(INPUTS)
    old = network.announce(network.spec(Sum()))
    network.run(until=START + 5_000)
    assert network.outcomes(old)["a"].state is State.COMPLETED
    network.cut = frozenset({"c"})
    trio = tuple("abc")
    spec = network.spec(Sum(), inputs=tuple("abcd"), min_inputs=3, compute=trio, results=trio)
    session = network.announce(spec)
    network.run(until=START + 6_000)
    return network, [Party(network, name, session, old) for name in senders]


def flooded(network: Network, party: Party, flood: Flood, count: int = LARGE) -> Counter[str]:
    """`count` payloads, ten thousand a second, at one node; what it has dropped."""
    node, before, source = network.nodes["a"], Counter(network.nodes["a"].dropped), flood(party)
    for number in range(count):
        sent = next(source, None)
        if sent is not None:
            node.handle(sent.topic, sent.payload, network.now + number // PER_MILLISECOND)
            network.flush("a")
    network.now += count // PER_MILLISECOND
    return Counter(node.dropped) - before


def answer(network: Network, session: str) -> dict[str, str | list[str]]:
    network.reconnect("c")
    network.cut = frozenset()
    network.reconnect("c")
    network.run()
    return {name: each.answer.text() for name, each in network.outcomes(session).items() if each.answer}


@pytest.mark.parametrize(
    ("flood", "sender"),
    [
        (flood, sender)
        for flood in FLOODS
        for sender in ("d", "mallory")
        if (flood, sender) != (repeated, "mallory")
    ],
)
def test_ten_thousand_payloads_a_second_leave_the_others_their_answer(flood: Flood, sender: str) -> None:
    network, (party,) = prepared([sender])
    announced = len(network.tap)
    rows, size = len(network.journals["a"].sessions()), journal_size(network)
    found = flooded(network, party, flood)
    assert found.total() > LARGE - 2 * BURST, found
    assert found["malformed"] + found["announcement"] <= BURST + RATE, "no more was looked at"
    assert len(network.tap) - announced < 1_000, "and not answered"
    assert (len(network.journals["a"].sessions()), journal_size(network)) == (rows, size)
    assert answer(network, party.session) == dict.fromkeys("abc", "15.00")
    network.close()


def journal_size(network: Network) -> int:
    return sum(
        len(payload or b"")
        for row in network.journals["a"].sessions()
        for _, payload in network.journals["a"].arrivals(row.id)
    )


def test_a_broker_that_floods_in_an_honest_partys_name_delays_it_and_no_more() -> None:
    """All that c says while the flood lasts is lost at a; once it is over, a asks for it."""
    network, (party,) = prepared(["c"])
    for _ in range(5):
        assert flooded(network, party, garbage, 2_000)["throttled"] > 1_000
    assert network.outcomes(party.session)["a"].state is State.JOINED
    assert answer(network, party.session) == dict.fromkeys("abc", "15.00")
    network.close()


def test_strangers_and_senders_that_do_not_exist_leave_nothing_behind() -> None:
    network, (party,) = prepared()
    assert flooded(network, party, other_topics)["stranger"] >= LARGE // 3
    assert len(network.nodes["a"]._screen._throttle._useless) <= len(network.names) + 1
    network.close()


def test_the_log_of_a_flood_is_short_and_says_how_many() -> None:
    network, (party,) = prepared()
    with structlog.testing.capture_logs() as logs:
        for _ in range(12):
            flooded(network, party, garbage, 2_000)
            network.now += 800
    singles = [each for each in logs if each["event"] == "payload dropped"]
    totals = [each for each in logs if each["event"] == "payloads dropped so far"]
    assert 0 < len(singles) <= BURST // 2 + RATE
    assert len(totals) == 2
    assert totals[-1]["throttled"] > 15_000
    assert all(json.dumps(each) for each in logs)
    network.close()


def test_what_is_not_ours_is_dropped_without_a_word() -> None:
    network, (party,) = prepared()
    node = network.nodes["a"]
    before = node.dropped["unknown session"]
    with structlog.testing.capture_logs() as logs:
        node.handle(party.topic("5e" * 32, Step.SHARE), b"x", network.now)
    assert (node.dropped["unknown session"] - before, logs) == (1, [])
    network.close()


@pytest.mark.parametrize("steps", [(Step.JOIN,), (Step.ANNOUNCE,)])
def test_a_peer_that_asks_all_the_time_is_answered_now_and_then(steps: tuple[Step, ...]) -> None:
    network, (party,) = prepared()
    before = len(network.tap)

    def asking(party: Party) -> Iterator[Publication]:
        for number in range(LARGE):
            session = party.session if steps == (Step.ANNOUNCE,) else f"{number:064x}"
            yield party.signed(Step.REQUEST, "a", Request(steps=steps).encode(), session)

    flooded(network, party, asking)
    assert 0 < len(network.tap) - before < 1_000
    network.close()


def test_only_letters_that_are_asked_for_are_read_from_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    network, (party,) = prepared()
    read: list[str] = []
    journal = network.journals["a"]
    outbox = journal.outbox

    def watched(session: str, wanted: Callable[[str, str], bool]) -> list[object]:
        found = outbox(session, wanted)
        read.extend(each.step for each in found)
        return list(found)

    monkeypatch.setattr(journal, "outbox", watched)
    body = Request(steps=(Step.JOIN,)).encode()
    sent = party.signed(Step.REQUEST, "a", body, party.old)
    network.nodes["a"].handle(sent.topic, sent.payload, network.now)
    assert read == [Step.JOIN]
    network.close()
