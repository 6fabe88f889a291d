"""Whatever liars sign and leave out, there is a verdict on one screen, and nobody else is blamed."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from party_node.audit.bundle import Content, Ended
from party_node.audit.screen import COLUMNS, MOST_LINES, data, lines
from party_node.audit.verdict import Standing
from protocol.letters import ALL, COMPUTE, parse
from protocol.mailbox import STATEMENTS
from protocol.messages import (
    Abort,
    AbortReason,
    Begin,
    Commit,
    Confirm,
    Join,
    PublicResult,
    Received,
    RefusalCode,
    Refuse,
    Statement,
    Step,
)
from protocol.states import State
from tests.support.bundles import MADE, PARTIES, Scene, changed

SCENES = ("sum", "noised", "referendum", "dropped", "refused")
digests = st.sampled_from([bytes(32), b"\x01" * 32])
names = st.sampled_from([*PARTIES, "dora"])
some = st.lists(names, max_size=4, unique=True).map(tuple)
shapes = st.sampled_from([(), (1,), (2,), (2**26,)])
LIES: dict[Step, st.SearchStrategy[Statement]] = {
    Step.JOIN: st.builds(
        Join, sealing_key=st.just(bytes(1216)), shape=shapes, offer=st.none(), setups=st.just({})
    ),
    Step.REFUSE: st.builds(Refuse, code=st.sampled_from(RefusalCode), words=st.sampled_from(["", "no"])),
    Step.BEGIN: st.builds(Begin, joins=st.dictionaries(names, digests, max_size=4), shape=shapes),
    Step.RECEIVED: st.builds(Received, view=digests, inputs=some, commitment=st.none() | digests),
    Step.COMMIT: st.builds(Commit, view=digests, inputs=some, opened=st.none() | digests, commitment=digests),
    Step.CONFIRM: st.builds(Confirm, transcript=digests),
    Step.RESULT: st.builds(
        PublicResult, inputs=some, elements=st.sampled_from([b"", bytes(8), b"\xff" * 8, bytes(16)])
    ),
    Step.ABORT: st.builds(
        Abort,
        reason=st.sampled_from(AbortReason),
        detail=st.just("because"),
        silent=some,
        culprit=st.none() | names,
    ),
}
ends = st.none() | st.builds(
    Ended,
    state=st.sampled_from(State),
    inputs=some,
    unconfirmed=some,
    reason=st.none() | st.sampled_from([*AbortReason, *RefusalCode]),
    silent=some,
    culprit=st.none() | names,
    reported_by=st.none() | names,
    at=st.sampled_from([0, 2**53 - 1]),
)


@pytest.fixture(scope="module")
def scenes() -> Iterator[dict[str, Scene]]:
    made = {name: MADE[name]() for name in SCENES}
    yield made
    for scene in made.values():
        scene.network.close()


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_only_liars_are_blamed(scenes: dict[str, Scene], data: st.DataObject) -> None:
    scene = scenes[data.draw(st.sampled_from(SCENES))]
    liars = data.draw(st.lists(st.sampled_from(PARTIES), min_size=1, max_size=3, unique=True))
    exporters = data.draw(st.lists(st.sampled_from(liars), min_size=1, max_size=2, unique=True))
    judged(scene, [spoiled(scene, scene.content(name), liars, data) for name in exporters], liars)


def spoiled(scene: Scene, content: Content, liars: list[str], data: st.DataObject) -> Content:
    """A liar's bundle: letters left out, letters that liars have signed, and another end."""
    letters = list(content.letters)
    chosen = data.draw(st.none() | st.lists(st.sampled_from(letters), unique=True))
    kept = letters if chosen is None else chosen
    for _ in range(data.draw(st.integers(0, 4))):
        kept.append(lie(scene, content, liars, data))
    ended = data.draw(ends) if data.draw(st.booleans()) else content.ended
    return changed(content, letters=tuple(data.draw(st.permutations(kept))), ended=ended)


def lie(scene: Scene, content: Content, liars: list[str], data: st.DataObject) -> bytes:
    """A letter: made up, or a true one with another field, or no statement at all."""
    step = data.draw(st.sampled_from(list(LIES)))
    sender = data.draw(st.sampled_from(liars))
    to = data.draw(st.sampled_from([ALL, ALL, ALL, COMPUTE, "dora"]))
    statement = data.draw(LIES[step])
    true = [parse(each) for each in content.letters]
    bodies = [part.body for part in true if (part.header.step, part.header.sender) == (step, sender)]
    based: bool = data.draw(st.booleans())
    if bodies and based:
        field = data.draw(st.sampled_from(list(type(statement).model_fields)))
        true_one = STATEMENTS[step].decode(bodies[0])
        statement = true_one.model_copy(update={field: getattr(statement, field)})
    body = b"{}" if data.draw(st.integers(0, 9)) == 0 else statement.encode()
    return scene.letter(step, sender, body, to)


def judged(scene: Scene, contents: list[Content], liars: list[str]) -> None:
    found = scene.judge(*contents)
    shown = lines(found)
    assert len(shown) <= MOST_LINES
    assert max(map(len, shown)) <= COLUMNS
    assert shown[0].startswith(found.standing)
    assert json.loads(json.dumps(data(found)))["verdict"] == found.standing
    assert {each.culprit for each in found.findings} <= {None, *liars}


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_no_answer_of_honest_nodes_is_made_another_one(scenes: dict[str, Scene], data: st.DataObject) -> None:
    """A bundle that is VALID and calls the session completed has exactly the letters that were sent."""
    scene = scenes["noised"]
    content = spoiled(scene, scene.content("bob"), ["bob"], data)
    found = scene.judge(content)
    if found.standing is Standing.VALID and found.case is not None and found.case.completed:
        true = scene.judge(scene.content("alice")).case
        assert true is not None
        assert (found.case.transcript, found.case.counted) == (true.transcript, true.counted)
