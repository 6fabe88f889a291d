"""One real node, alice, and everything that a broker or a member could bring to her, at any time.

The letters are those of a recorded session, so she can follow it to its end; between and instead of them
come damaged, forged and foreign ones.  The keys are the recording's: a forger may own those of a member.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import cache

from party_node.journal import Journal
from party_node.node import Node
from party_node.post import Post, Publication
from protocol.functionalities.sum import Sum
from protocol.letters import frame, letter_digest, parse
from protocol.messages import MalformedError, Step
from protocol.names import RESERVED
from protocol.states import State
from tests.fuzz.oracles import BASE
from tests.fuzz.table_play import LEAPS, Move
from tests.support.network import START, Network

ME = "alice"
TRIO = ("alice", "bob", "carlos")
RIGHT = "123"
# What a node may say in other words each time that it says it.
SPOKEN = {Step.REQUEST, Step.ANNOUNCE}
SCRAPS = (b"", b"\x00", b"{}", b"\xff" * 68, bytes(68), b"\x00" * 64 + b"\xff\xff\xff\xff", b"\n" * 200)
LEVELS = ("", "..", "all", "compute", "alice", "bob", "join", "share", "\x1b[2J", "0", "ABC", "-1", "9" * 40)


class Recorded(Network):
    """A network whose alice draws the same randomness whenever she is made anew."""

    def make(self, name: str) -> Node:
        self.random, own = random.Random(f"entropy of {name}"), self.random
        try:
            return super().make(name)
        finally:
            self.random = own


@cache
def recording() -> tuple[Recorded, tuple[str, str], tuple[Publication, ...]]:
    """The network, the ids of two sessions, and what others published in them, in its order."""
    network = Recorded({name: {"raise": value} for name, value in zip(TRIO, ("100", "20", "3"), strict=True)})
    sessions = []
    for _ in range(2):
        sessions.append(network.announce(network.spec(Sum(decimals=0), within=10_000)))
        network.run(network.now + 2_000)
    return network, (sessions[0], sessions[1]), tuple(each for each in network.tap if _for_alice(each))


def _for_alice(sent: Publication) -> bool:
    sender, to = sent.topic.split("/")[5:7]
    return bool(sent.payload) and sender != ME and to in (*RESERVED, ME)


class NodePlay:
    """Alice, from her first letter on."""

    def __init__(self) -> None:
        self.network, self.sessions, self.letters = recording()
        self.journal = Journal(":memory:")
        self.network.journals[ME] = self.journal
        self.node = self._made()
        self.now = START
        self.next = 0  # of the recorded letters
        self.published: list[Publication] = []

    def _made(self) -> Node:
        self.network.nodes[ME] = self.network.make(ME)
        return self.network.nodes[ME]

    # -- moves -------------------------------------------------------------------------------------

    def play(self, plan: Iterable[Move]) -> NodePlay:
        """Make these moves."""
        for move in plan:
            MOVES[move.what % len(MOVES)](self, move.which, move.how)
            self._after()
        return self

    def come(self, which: int, _how: int) -> None:
        """The next letters arrive as they were sent."""
        for _ in range(1 + which % 4):
            if self.next < len(self.letters):
                self._take(self.letters[self.next])
                self.next += 1

    def any_of_them(self, which: int, _how: int) -> None:
        self._take(self._letter(which))

    def skip(self, which: int, _how: int) -> None:
        self.next += 1 + which % 2

    def damaged(self, which: int, how: int) -> None:
        """One byte is not what it was."""
        sent = self._letter(which)
        raw = bytearray(sent.payload)
        raw[how * 37 % len(raw)] ^= 1 << (how % 8)
        self._take(Publication(sent.topic, bytes(raw)))

    def cut_short(self, which: int, how: int) -> None:
        sent = self._letter(which)
        self._take(Publication(sent.topic, sent.payload[: len(sent.payload) * how // 256] or b"\0"))

    def scrap(self, which: int, how: int) -> None:
        self._take(Publication(self._letter(which).topic, SCRAPS[how % len(SCRAPS)]))

    def elsewhere(self, which: int, how: int) -> None:
        """Under a topic of which one level is another."""
        sent = self._letter(which)
        levels = sent.topic.split("/")
        levels[how % len(levels)] = LEVELS[(how // len(levels) + which) % len(LEVELS)]
        self._take(Publication("/".join(levels), sent.payload))

    def forged(self, which: int, how: int) -> None:
        """A member signs something else, under the topic that belongs to it."""
        part = parse(self._letter(which).payload)
        raw = bytearray(part.header.encode() + part.body)
        raw[how * 31 % len(raw)] ^= 1 << (how % 8)
        cut = len(raw) - len(part.body)
        self._signed(part.header.sender, bytes(raw[:cut]), bytes(raw[cut:]))

    def readdressed(self, which: int, how: int) -> None:
        """A member signs the body of another letter."""
        part, other = parse(self._letter(which).payload), parse(self._letter(how).payload)
        self._signed(other.header.sender, other.header.encode(), part.body)

    def _signed(self, sender: str, header: bytes, body: bytes) -> None:
        payload = frame(header, body, self.network.keys[sender].sign(letter_digest(header, body)))
        with suppress(MalformedError):
            made = parse(payload).header
            where = f"{BASE}/1/session/{made.session}/{made.stage}/{made.sender}/{made.to}/{made.part}"
            self._take(Publication(where, payload))

    def wait(self, _which: int, how: int) -> None:
        self.now += LEAPS[how % len(LEAPS)]
        self.node.tick(self.now)

    def reconnect(self, _which: int, _how: int) -> None:
        self.node.reconnected(self.now)

    def die(self, which: int, _how: int) -> None:
        """`kill -9`, before a commit or after it, and a new start."""
        if which % 2:
            self.node.commit()
        self.journal._db.rollback()
        self.node = self._made()
        self.node.resume(self.now)

    def _letter(self, which: int) -> Publication:
        return self.letters[which % len(self.letters)]

    def _take(self, sent: Publication) -> None:
        self.node.handle(sent.topic, sent.payload, self.now)
        self.network._load(ME)

    def _after(self) -> None:
        self.published += self.node.commit()

    # -- what must be true in the end --------------------------------------------------------------

    def judge(self) -> NodePlay:
        """Right or none, and never two letters under one address."""
        for session in self.sessions:
            outcome = self.node.outcome(session)
            if outcome is not None and outcome.state is State.COMPLETED:
                assert outcome.answer is not None
                assert outcome.answer.text() == RIGHT
        sent: dict[str, bytes] = {}
        post = Post(ME, self.network.keys[ME], BASE)
        for each in self.published:
            if not each.payload:
                continue
            part = post.read(each.topic, each.payload)
            if part.header.sender == ME and part.header.step not in SPOKEN:
                where = "/".join((*each.topic.split("/")[:6], part.header.to, each.topic.split("/")[7]))
                assert sent.setdefault(where, each.payload) == each.payload, f"two letters: {where}"
        return self

    def close(self) -> None:
        """Nothing of it is needed any more."""
        self.journal.close()


MOVES: tuple[Callable[[NodePlay, int, int], None], ...] = (
    *(NodePlay.come,) * 11,
    *(NodePlay.any_of_them, NodePlay.skip, NodePlay.damaged, NodePlay.cut_short, NodePlay.scrap),
    *(NodePlay.elsewhere, NodePlay.forged, NodePlay.readdressed, NodePlay.wait, NodePlay.reconnect),
    NodePlay.die,
)


def play(plan: Iterable[Move]) -> NodePlay:
    """A node under a plan, judged."""
    played = NodePlay()
    try:
        return played.play(plan).judge()
    finally:
        played.close()
