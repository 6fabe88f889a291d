"""The case: one session, as all bundles about it tell it together, and what follows from their letters."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TypeVar

from party_node.audit.bundle import Content, Ended
from party_node.roster import Roster
from protocol import membership, opening
from protocol.letters import Letter
from protocol.mailbox import STEPS
from protocol.messages import (
    Abort,
    Begin,
    Commit,
    Confirm,
    PublicResult,
    Received,
    Statement,
    Step,
)
from protocol.spec import SessionSpec
from protocol.states import State

S = TypeVar("S", bound=Statement)


@dataclass
class Case:
    """A session, its bundles, and the authentic statements in them."""

    spec: SessionSpec
    session: str
    bundles: Sequence[Content]
    roster: Roster
    letters: dict[tuple[Step, str], Letter] = field(default_factory=dict)  # by step and sender, as `said`
    said: dict[tuple[Step, str], Statement] = field(default_factory=dict)
    aborts: dict[str, list[Abort]] = field(default_factory=dict)  # also second and different ones

    def of(self, kind: type[S], names: Iterable[str]) -> dict[str, S]:
        """The statements of one kind, by sender, in the order of `names`."""
        step = STEPS[kind]
        found = ((name, self.said.get((step, name))) for name in names)
        return {name: each for name, each in found if isinstance(each, kind)}

    def abort(self, name: str, end: Ended) -> Abort | None:
        """The word of `name` by which a session has ended so; it may have told others something else."""
        told = (end.reason, end.silent, end.culprit)
        every = self.aborts.get(name, [])
        return next((each for each in every if (each.reason, each.silent, each.culprit) == told), None)

    # -- what follows from the letters -------------------------------------------------------------

    @cached_property
    def ends(self) -> dict[str, Ended]:
        """How it ended, by the node that says so."""
        return {each.exporter: each.ended for each in self.bundles if each.ended is not None}

    @cached_property
    def completed(self) -> list[str]:
        """The nodes that call it completed."""
        return [name for name, end in self.ends.items() if end.state is State.COMPLETED]

    @cached_property
    def begin(self) -> Begin | None:
        """The frozen membership."""
        return self.of(Begin, [self.spec.leader]).get(self.spec.leader)

    @cached_property
    def joined(self) -> tuple[str, ...]:
        """The input parties of the begin."""
        here = () if self.begin is None else self.begin.joins
        return tuple(name for name in self.spec.inputs if name in here)

    @cached_property
    def view(self) -> bytes | None:
        """What everything after the begin is bound to."""
        return None if self.begin is None else membership.view_digest(self.session, self.begin)

    @cached_property
    def received(self) -> dict[str, Received]:
        """Who holds whose input, in the order of the compute parties."""
        return self.of(Received, self.spec.compute)

    @cached_property
    def counted(self) -> tuple[str, ...] | None:
        """The inputs that are complete everywhere; None as long as some list is not here."""
        if len(self.received) < len(self.spec.compute) or self.begin is None:
            return None
        return membership.counted(self.joined, self.received.values())

    @cached_property
    def early(self) -> bool:
        """Whether the lists of inputs were the same, and so brought the commitments along."""
        return len(self.received) == len(self.spec.compute) and all(
            each.commitment is not None for each in self.received.values()
        )

    @cached_property
    def commits(self) -> dict[str, Commit]:
        """The second round of commitments."""
        return self.of(Commit, self.spec.compute)

    @cached_property
    def transcript(self) -> bytes | None:
        """Everything that fixes the answer; None as long as some of it is not here."""
        if self.early:
            made = {name: each.commitment or b"" for name, each in self.received.items()}
        else:
            made = {name: each.commitment for name, each in self.commits.items()}
        if self.view is None or self.counted is None or len(made) < len(self.spec.compute):
            return None
        return opening.transcript(self.view, self.counted, [made[name] for name in self.spec.compute])

    @cached_property
    def confirms(self) -> dict[str, Confirm]:
        """Who says that it has the answer."""
        return self.of(Confirm, self.spec.results)

    @cached_property
    def results(self) -> dict[str, PublicResult]:
        """Who has published the answer."""
        return self.of(PublicResult, self.spec.results)
