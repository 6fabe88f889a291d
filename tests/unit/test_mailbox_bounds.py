"""A letter is at most as large as its step can be: more is dropped and nothing of it kept, whatever comes."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from itertools import product

import pytest

from party_node.post import Post, Publication
from protocol import bounds
from protocol.errors import RemoteProtocolError
from protocol.functionalities import Functionality
from protocol.functionalities.histogram import Histogram
from protocol.functionalities.referendum import Referendum
from protocol.functionalities.sum import Sum
from protocol.letters import (
    ALL,
    COMPUTE,
    HEADER_BYTES,
    MOST_PARTS,
    PART_BYTES,
    Header,
    Part,
    Slot,
    frame,
    parse,
)
from protocol.mailbox import Mailbox, audience, senders
from protocol.messages import (
    IN_ROUNDS,
    MOST_DETAIL,
    MOST_ROUNDS,
    MOST_SETUPS,
    SEALED,
    Abort,
    AbortReason,
    Begin,
    Commit,
    Confirm,
    Join,
    MalformedError,
    Masked,
    Opened,
    PublicResult,
    Received,
    RefusalCode,
    Refuse,
    Statement,
    Step,
)
from protocol.spec import SessionSpec
from protocol.states import State
from tests.support.network import START, Network
from tests.support.sessions import make_part, make_spec, said

SESSION = "5e" * 32
ROLES = {"inputs": ("ivy", "ian"), "compute": ("carl", "cora"), "results": ("rosa", "cora")}
SCALARS = make_spec(Sum(length=None), **ROLES)  # of any shape, until the begin says it
VECTORS = make_spec(Sum(length=300_000), **ROLES)
BINS = make_spec(Histogram(bins=1000), **ROLES)
VOTE = make_spec(Referendum(threshold="1/2"), **ROLES | {"compute": ("carl", "cora", "cleo")})
BEGIN = Begin(joins=dict.fromkeys(SCALARS.members, bytes(32)), shape=())
MIB = 1 << 20
ROUNDS = (1, 2, 3, 4, *range(5, MOST_ROUNDS, 50), MOST_ROUNDS)


def part(
    step: Step,
    sender: str,
    to: str,
    size: int = 0,
    at: int = 0,
    parts: int = 1,
    round_: int = 0,
    slots: int = 1,
) -> Part:
    slot = Slot(to="cora", open=None, box=bytes(48))
    sealed = (slot,) * slots if step in SEALED and at == 0 else ()
    return make_part(SESSION, step, sender, to, bytes(size), sealed, at, parts, round_)


def mailbox(spec: SessionSpec = SCALARS, me: str = "cora", *, begun: bool = False) -> Mailbox:
    box = Mailbox(spec, SESSION, me)
    if begun:
        box.add(said(SESSION, "carl", BEGIN))
    return box


# -- what is honest fits -----------------------------------------------------------------------------


def crowd(members: int, function: Functionality | None = None) -> SessionSpec:
    """Everybody has every role and the longest of names."""
    return make_spec(function, tuple(f"p{number:031}" for number in range(members)), public=True)


def longest(spec: SessionSpec, shape: tuple[int, ...]) -> Iterator[tuple[Step, Statement]]:
    """The longest statement of each step."""
    names, hash_ = tuple(spec.members), b"\xff" * 32
    setups = dict.fromkeys(names[1:], (bytes(16),) * MOST_SETUPS)
    gates = bytes(-(-2 * spec.triples // 8))
    words = '"' * MOST_DETAIL  # each is two bytes of JSON
    yield Step.JOIN, Join(sealing_key=bytes(1216), shape=(2**26,), offer=bytes(32), setups=setups)
    yield Step.REFUSE, Refuse(code=RefusalCode.POLICY, words=words)
    yield Step.BEGIN, Begin(joins=dict.fromkeys(names, hash_), shape=shape)
    yield Step.RECEIVED, Received(view=hash_, inputs=names, commitment=hash_)
    yield Step.MASKED, Masked(run=hash_, bits=gates)
    yield Step.OPENED, Opened(run=hash_, bits=gates)
    yield Step.COMMIT, Commit(view=hash_, inputs=names, opened=hash_, commitment=hash_)
    yield Step.CONFIRM, Confirm(transcript=hash_)
    yield Step.RESULT, PublicResult(inputs=names, elements=bytes(8 * (shape[0] if shape else 1)))
    yield Step.ABORT, Abort.of(AbortReason.INVALID_MESSAGE, words, names, names[0])


@pytest.mark.parametrize(
    ("members", "length"), [(2, None), (40, 1), (40, 98_304), (2, 131_072), (13_000, None), (13_000, 300_000)]
)
def test_the_longest_statement_of_every_step_fits(members: int, length: int | None) -> None:
    spec, shape = crowd(members, Sum(length=length)), () if length is None else (length,)
    for step, statement in longest(spec, shape):
        body = statement.encode()
        parts = -(-len(body) // PART_BYTES)
        round_ = 1 if step in IN_ROUNDS else 0
        name = next(iter(spec.members))
        header = Header(session=SESSION, step=step, round=round_, sender=name, to=ALL, part=0, parts=parts)
        assert bounds.fits(spec, header, min(len(body), PART_BYTES), shape), step


def test_the_longest_rounds_of_a_referendum_fit() -> None:
    spec = crowd(500, Referendum(threshold="1/2"))
    for step, statement in longest(spec, ()):
        number = int(step in IN_ROUNDS)
        header = Header(session=SESSION, step=step, round=number, sender="a", to=ALL)
        assert bounds.fits(spec, header, len(statement.encode()), ()), step


def dropped(network: Network) -> int:
    return sum(node.dropped["malformed"] for node in network.nodes.values())


@pytest.mark.parametrize(
    ("function", "values", "answer"),
    [
        (Sum(), ["1", "2", "3"], "6.00"),
        (Sum(), [["1"] * 131_071] * 3, ["3.00"] * 131_071),  # two parts, by one number
        (Referendum(threshold="2"), ["1", "0", "1"], "YES"),
    ],
)
def test_no_letter_of_an_honest_session_is_dropped(
    function: Functionality, values: list[str | list[str]], answer: str | list[str]
) -> None:
    inputs = {name: {"raise": value} for name, value in zip("abc", values, strict=True)}
    network = Network({**inputs, "d": {}, "e": {}})
    spec = network.spec(
        function, inputs=("a", "b", "c"), compute=("c", "d", "e"), results=("a", "e"), public=True
    )
    session = network.announce(spec)
    network.run()
    for name in spec.results:
        found = network.outcomes(session)[name]
        assert found.answer is not None, found
        assert found.answer.text() == answer
    assert dropped(network) == 0
    network.close()


# -- what is too large is dropped ----------------------------------------------------------------------


@pytest.mark.parametrize("begun", [False, True])
def test_nobody_may_claim_a_thousand_parts_for_a_share_of_one_number(begun: bool) -> None:
    box = mailbox(begun=begun)
    tracemalloc.start()
    try:
        for at in range(40):
            with pytest.raises(MalformedError, match="larger than it can be"):
                box.add(part(Step.SHARE, "ivy", "cora", MIB, at, MOST_PARTS))
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept < MIB
    assert box.lacks(Step.SHARE, "ivy"), "it can still come"
    box.add(part(Step.SHARE, "ivy", "cora", 24))
    assert not box.lacks(Step.SHARE, "ivy")


@pytest.mark.parametrize(
    ("spec", "size", "parts", "fits"),
    [
        (SCALARS, 24, 1, True),
        (SCALARS, 24, 2, False),
        (SCALARS, 8 * 1024, 1, False),
        (BINS, 8_000 + 16, 1, True),
        (BINS, 16_000, 1, False),
        (VECTORS, MIB, 3, True),
        (VECTORS, MIB, 4, False),
        (VOTE, MIB, 1, False),
    ],
)
def test_a_share_is_as_long_as_the_inputs(spec: SessionSpec, size: int, parts: int, fits: bool) -> None:
    box = mailbox(spec)
    box.put(Step.JOIN, Join(sealing_key=bytes(1216), shape=(), offer=None, setups={}))
    if fits:
        box.add(part(Step.SHARE, "ivy", "cora", size, 0, parts))
        return
    with pytest.raises(MalformedError, match="share from ivy is larger than it can be"):
        box.add(part(Step.SHARE, "ivy", "cora", size, 0, parts))


def test_while_nothing_says_how_long_inputs_are_a_letter_has_one_part() -> None:
    """Who brings no input hears it from the begin alone; what overtakes that is asked for again."""
    box = mailbox()
    with pytest.raises(MalformedError):
        box.add(part(Step.SHARE, "ivy", "cora", MIB, 0, 2))
    box.add(part(Step.SHARE, "ian", "cora", MIB))
    box.add(said(SESSION, "carl", Begin(joins=BEGIN.joins, shape=(140_000,))))
    for at in range(2):
        box.add(part(Step.SHARE, "ivy", "cora", 560_000, at, 2))
    assert not box.lacks(Step.SHARE, "ivy")


def test_what_another_says_of_its_own_input_allows_it_nothing() -> None:
    box = mailbox()
    huge = Join(sealing_key=bytes(1216), shape=(2**26,), offer=None, setups={})
    box.add(said(SESSION, "ivy", huge, COMPUTE))
    with pytest.raises(MalformedError):
        box.add(part(Step.SHARE, "ivy", "cora", MIB, 0, 512))


@pytest.mark.parametrize(
    ("step", "sender", "to", "size", "round_"),
    [
        (Step.JOIN, "carl", ALL, 10_000, 0),
        (Step.BEGIN, "carl", ALL, 10_000, 0),
        (Step.RECEIVED, "carl", ALL, 10_000, 0),
        (Step.COMMIT, "carl", ALL, 10_000, 0),
        (Step.REVEAL, "carl", "cora", 10_000, 0),
        (Step.CONFIRM, "rosa", ALL, 10_000, 0),
        (Step.RESULT, "rosa", ALL, 10_000, 0),
        (Step.ABORT, "rosa", ALL, 10_000, 0),
        (Step.OPENED, "carl", COMPUTE, 10_000, 3),
        (Step.CORRELATE, "carl", "cora", 10_000, 1),
        (Step.CORRELATE, "carl", "cora", 20_000, 2),
        (Step.CORRELATE, "carl", "cora", 10_000, 3),
    ],
)
def test_a_letter_of_a_needed_party_that_can_never_be_right_is_its_fault(
    step: Step, sender: str, to: str, size: int, round_: int
) -> None:
    for parts in (1, 2, MOST_PARTS):
        box = mailbox(VOTE)
        with pytest.raises(RemoteProtocolError, match="larger than it can be") as caught:
            box.add(part(step, sender, to, size, 0, parts, round_))
        assert caught.value.culprit == sender
        assert box.lacks(step, sender)


@pytest.mark.parametrize("begun", [False, True])
@pytest.mark.parametrize(
    ("step", "sender", "to"), [(Step.REVEAL, "carl", "cora"), (Step.RESULT, "rosa", ALL)]
)
def test_a_bound_that_hangs_on_the_begin_blames_nobody(begun: bool, step: Step, sender: str, to: str) -> None:
    """The leader may have told its sender of other inputs."""
    with pytest.raises(MalformedError, match="larger than it can be"):
        mailbox(begun=begun).add(part(step, sender, to, MIB, 0, 2))


@pytest.mark.parametrize("step", [Step.JOIN, Step.REFUSE, Step.ABORT, Step.SHARE])
def test_a_letter_of_an_input_party_that_is_too_large_is_only_dropped(step: Step) -> None:
    box = mailbox(VOTE)
    with pytest.raises(MalformedError, match="larger than it can be"):
        box.add(part(step, "ivy", audience(VOTE, step, "ivy", "cora"), 10_000))


def test_a_share_that_is_too_large_counts_as_none_even_of_a_party_that_is_needed() -> None:
    spec = make_spec(Sum(length=2), inputs=("carl", "cora", "ivy"))
    with pytest.raises(MalformedError, match="larger than it can be"):
        mailbox(spec).add(part(Step.SHARE, "carl", "cora", 10_000))


def test_only_a_letter_that_all_read_has_several_slots_and_none_is_large() -> None:
    everybody = make_spec(inputs=("carl", "cora", "rosa"))
    mailbox(everybody).add(part(Step.REVEAL, "carl", ALL, 40, slots=3))
    refused = [
        (everybody, part(Step.REVEAL, "carl", ALL, 40, slots=4)),
        (VECTORS, part(Step.REVEAL, "carl", "cora", 40, slots=2)),
        (VECTORS, part(Step.SHARE, "ivy", "cora", 24, slots=2)),
    ]
    slot = Slot(to="cora", open=bytes(1169), box=bytes(48))
    refused.append((VECTORS, make_part(SESSION, Step.SHARE, "ivy", "cora", b"", (slot,))))
    for spec, wrong in refused:
        with pytest.raises((MalformedError, RemoteProtocolError), match="larger than it can be"):
            mailbox(spec).add(wrong)


def test_a_header_over_the_limit_is_refused_before_it_is_read() -> None:
    for size in (HEADER_BYTES, HEADER_BYTES + 1):
        says = "bytes, at most 65468 are allowed" if size > HEADER_BYTES else "invalid json"
        with pytest.raises(MalformedError, match=says):
            parse(frame(b"{" * size, b"", bytes(64)))


# -- whatever comes ----------------------------------------------------------------------------------


@pytest.mark.parametrize("spec", [SCALARS, VOTE, BINS], ids=["sum", "referendum", "histogram"])
def test_all_addresses_there_are_hold_no_more_than_a_session_may(spec: SessionSpec) -> None:
    """Everybody sends a letter of every step and round, in every number of parts, as large as it gets."""
    box, sent, refused = mailbox(spec, me="carl"), 0, 0
    tracemalloc.start()
    try:
        for step, sender in product(Step, spec.members):
            to = audience(spec, step, sender, "carl")
            for round_ in ROUNDS if step in IN_ROUNDS else (0,):
                for at, parts, size in [(0, 1, 4_000), (0, 1, 20_000), (7, 9, 4_000), (0, 1024, 4_000)]:
                    sent += 1
                    try:
                        box.add(part(step, sender, to, size, at, parts, round_))
                    except (MalformedError, RemoteProtocolError):
                        refused += 1
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    heard = sum(sender in senders(spec, step) for step, sender in product(Step, spec.members))
    rounds = len(ROUNDS) if spec is VOTE else 1
    assert refused > sent / 2
    assert kept < 8 * 1024 * heard * rounds, f"{kept} bytes"


def oversize(network: Network, session: str, sender: str, to: str) -> list[Publication]:
    """The signed parts of a share that is a hundred times as long as it can be."""
    post = Post(sender, network.keys[sender], "sotto")
    slot = Slot(to=to, open=None, box=bytes(48))
    parts = post.write(session, Step.SHARE, to, (slot,), [bytes(5_000)] * 100)
    return [post.publication(session, each) for each in parts]


@pytest.mark.parametrize("restart", [False, True])
def test_a_member_that_sends_too_much_is_left_out_and_a_replay_leaves_it_out_again(restart: bool) -> None:
    inputs = {name: {"raise": value} for name, value in zip("abcd", ("1", "2", "4", "8"), strict=True)}
    network = Network(inputs)
    session = network.announce(network.spec(Sum(), compute=("a", "b"), results=("a", "b"), min_inputs=3))

    def leaves(sender: str, sent: Publication) -> bool:
        if sender == "d" and "/share/" in sent.topic:
            for each in oversize(network, session, "d", sent.topic.split("/")[6]):
                network.post(each.topic.split("/")[6], each)
            return False
        return True

    network.leaves = leaves
    network.run(until=START + 20_000)
    assert min(network.nodes[name].dropped["malformed"] for name in "ab") >= 100
    arrivals = list(network.journals["a"].arrivals(session))
    assert sum(len(payload or b"") for _, payload in arrivals) < 50_000
    if restart:
        network.restart("a")
        assert list(network.journals["a"].arrivals(session)) == arrivals
    network.run()
    for name in ("a", "b"):
        found = network.outcomes(session)[name]
        assert (found.state, found.inputs) == (State.COMPLETED, ("a", "b", "c"))
        assert found.answer is not None
        assert found.answer.text() == "7.00"
    network.close()


def test_a_long_share_that_overtakes_the_begin_is_asked_for_again() -> None:
    length = 140_000  # two parts
    inputs = {name: {"raise": [value] * length} for name, value in (("a", "1"), ("b", "2"))}
    network = Network({**inputs, "c": {}, "d": {}})
    spec = network.spec(Sum(), inputs=("a", "b"), compute=("c", "d"), results=("a",))
    session = network.announce(spec)
    late: list[Publication] = []

    def tamper(to: str, sent: Publication) -> list[Publication]:
        if to == "d" and "/begin/" in sent.topic and not late:
            late.append(sent)
            network.at(network.now + 200, lambda: network.post("d", sent))
            return []
        return [sent]

    network.tamper = tamper
    network.run()
    assert late
    assert network.nodes["d"].dropped["malformed"] > 0, "it did overtake"
    found = network.outcomes(session)["a"].answer
    assert found is not None
    assert found.text() == ["3.00"] * length
    network.close()
