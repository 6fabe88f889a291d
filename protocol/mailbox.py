"""What has arrived for one session at one party: checked for sender and audience, kept in no order."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

from protocol.errors import RemoteProtocolError
from protocol.letters import ALL, COMPUTE, Assembler, Letter, Part
from protocol.messages import (
    SEALED,
    Abort,
    Begin,
    Commit,
    Confirm,
    Join,
    MalformedError,
    PublicResult,
    Received,
    Refuse,
    Statement,
    Step,
)
from protocol.spec import SessionSpec

S = TypeVar("S", bound=Statement)

STATEMENTS: dict[Step, type[Statement]] = {
    Step.JOIN: Join,
    Step.REFUSE: Refuse,
    Step.BEGIN: Begin,
    Step.RECEIVED: Received,
    Step.COMMIT: Commit,
    Step.CONFIRM: Confirm,
    Step.RESULT: PublicResult,
    Step.ABORT: Abort,
}
STEPS = {kind: step for step, kind in STATEMENTS.items()}


class ContradictionError(RemoteProtocolError):
    """A party has signed two different letters under one address."""


def senders(spec: SessionSpec, step: Step) -> tuple[str, ...]:
    """Who may send this step."""
    members = tuple(spec.members)
    return {
        Step.JOIN: members,
        Step.REFUSE: members,
        Step.BEGIN: (spec.leader,),
        Step.SHARE: spec.inputs,
        Step.RECEIVED: spec.compute,
        Step.COMMIT: spec.compute,
        Step.REVEAL: spec.compute,
        Step.CONFIRM: spec.results,
        Step.RESULT: spec.results,
        Step.ABORT: (*members, spec.coordinator),
    }.get(step, ())


def audience(spec: SessionSpec, step: Step, sender: str, reader: str) -> str:
    """What `to` must say on a letter that `reader` gets.

    Joins of parties that do not compute go to the compute parties alone: a thousand voters need not
    read each other's.
    """
    match step:
        case Step.JOIN:
            return ALL if sender in spec.compute else COMPUTE
        case Step.SHARE:
            return reader
        case Step.REVEAL:
            return ALL if spec.reveal_to_all else reader
    return ALL


class Mailbox:
    """The letters of one session.  Parts may come in any order and any number of times."""

    def __init__(self, spec: SessionSpec, session: str, me: str) -> None:
        self._spec, self._session, self._me = spec, session, me
        self._assembler = Assembler()
        self._statements: dict[Step, dict[str, Statement]] = {}  # step → sender → statement
        self._sealed: dict[tuple[Step, str], Letter] = {}

    def add(self, part: Part) -> None:
        """Take in a part whose signature has been checked.

        MalformedError: it does not belong here, and nothing has changed.  RemoteProtocolError: its
        sender broke the protocol in a way that ends the session.
        """
        header = part.header
        step, sender = header.step, header.sender
        expected = audience(self._spec, step, sender, self._me)
        ours = sender == self._me and step is not Step.ABORT  # a coordinator may cancel from elsewhere
        if ours or sender not in senders(self._spec, step) or header.to != expected:
            raise MalformedError(f"{step} from {sender} to {header.to} is not expected here")
        if self._assembler.conflicts(part):
            if sender not in self._spec.members:  # a coordinator's first word stands
                raise MalformedError(f"a second, different {step} from {sender}")
            raise ContradictionError(f"two different {step} letters from {sender}", sender)
        if letter := self._assembler.add(part):
            self._accept(letter)

    def knows(self, part: Part) -> bool:
        """True for a repetition, which needs no second look."""
        return self._assembler.knows(part)

    def _accept(self, letter: Letter) -> None:
        step, sender = letter.step, letter.sender
        if step in SEALED:
            self._sealed[step, sender] = letter
            return
        try:
            statement = STATEMENTS[step].decode(letter.body)
        except MalformedError as error:
            # An input party that sends nonsense is left out like a silent one; the others are needed.
            if sender in self._spec.needed:
                raise RemoteProtocolError(error.message, sender) from None
        else:
            self._statements.setdefault(step, {})[sender] = statement

    def put(self, step: Step, statement: Statement) -> None:
        """Our own statement lies beside the others'."""
        self._statements.setdefault(step, {})[self._me] = statement

    def statements(self, kind: type[S], names: Iterable[str]) -> dict[str, S]:
        """The statements of one kind that are here, by sender, in the order of `names`."""
        here = self._statements.get(STEPS[kind])
        if not here:
            return {}
        found = ((name, here.get(name)) for name in names)
        return {name: each for name, each in found if isinstance(each, kind)}

    def sealed(self, step: Step, sender: str) -> Letter | None:
        """A sealed letter, if it is here and complete."""
        return self._sealed.get((step, sender))

    def lacks(self, step: Step, sender: str) -> bool:
        """True while this letter of somebody else's has not come."""
        here = self._statements.get(step, {})
        return sender != self._me and sender not in here and (step, sender) not in self._sealed

    def forget(self) -> None:
        """Drop everything that was sealed to us."""
        self._sealed.clear()
