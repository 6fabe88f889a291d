"""A committee of three and very many voters, most of whom do not stay until the end."""

from __future__ import annotations

import random
from collections import Counter

from party_node.post import Publication
from protocol.functionalities.referendum import Referendum
from protocol.messages import Step
from protocol.states import State
from tests.simulation.judge import check_letters
from tests.support.network import Faults, Network

COMMITTEE = ("carl", "cora", "cleo")


class Electorate:
    """One referendum that needs half of the ballots that were counted to say yes.

    Of ten voters one never shows up, one vanishes before its ballot is complete at the committee, and one
    goes offline as soon as it is.
    """

    def __init__(self, count: int, seed: int) -> None:
        rng = random.Random(seed)
        self.voters = tuple(f"v{number}" for number in range(count))
        self.ballots = {name: int(rng.random() < 0.5) for name in self.voters}
        some, tenth = rng.sample(self.voters, count), count // 10
        self.absent = frozenset(some[:tenth])
        self.shares = dict.fromkeys(some[tenth : 2 * tenth], 0)  # of those who vanish: how many leave
        self.shares = {name: rng.randrange(len(COMMITTEE)) for name in self.shares}
        self.offline = frozenset(some[2 * tenth : 3 * tenth])
        self._sent = Counter[str]()
        self.network = self._network(seed)

    @property
    def counted(self) -> tuple[str, ...]:
        """Whose ballots are complete."""
        return tuple(name for name in self.voters if name not in self.absent | set(self.shares))

    @property
    def answer(self) -> str:
        """What counting would say."""
        return "YES" if 2 * sum(self.ballots[name] for name in self.counted) >= len(self.counted) else "NO"

    def hold(self) -> None:
        """Hold it, and check that the committee has counted exactly the complete ballots."""
        network = self.network
        spec = network.spec(
            Referendum(threshold="1/2"),
            "merge",
            within=3_000,  # so that those who wait for the absent do not ask so often
            compute=COMMITTEE,
            results=COMMITTEE,
            min_inputs=len(self.voters) // 2,
        )
        session = network.announce(spec)
        network.run()
        check_letters(network.tap)
        outcomes = network.outcomes(session)
        assert not self.absent & set(outcomes)
        for name in COMMITTEE:
            outcome = outcomes[name]
            assert outcome.state is State.COMPLETED, outcome
            assert outcome.inputs == self.counted, f"{name} counted others"
            assert outcome.answer is not None
            assert outcome.answer.text() == self.answer
        for name in set(self.counted) - self.offline:
            assert (outcomes[name].state, outcomes[name].answer) == (State.COMPLETED, None), name

    def _network(self, seed: int) -> Network:
        ballots = {name: {"merge": str(ballot)} for name, ballot in self.ballots.items()}
        network = Network(ballots, others=COMMITTEE, faults=Faults(delay=0), seed=seed)
        network.only_voting = frozenset(self.voters)
        network.leaves = self._leaves
        for name in self.absent:
            network.stop(name)
        return network

    def _leaves(self, sender: str, sent: Publication) -> bool:
        """Every publication passes here: those who vanish do so among their shares."""
        network = self.network
        if sent.topic.split("/")[4] == Step.SHARE and sender not in network.down:
            if self._sent[sender] == self.shares.get(sender):
                network.stop(sender)
            self._sent[sender] += 1
            if sender in self.offline and self._sent[sender] == len(COMMITTEE):
                network.at(network.now, lambda: self._go(sender))
        return sender not in network.down

    def _go(self, name: str) -> None:
        if name not in self.network.down:
            self.network.nodes[name].leave()
            self.network.flush(name)
            self.network.stop(name)
