"""What has arrived for one session at one party: checked for sender and audience, kept in no order."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from itertools import islice
from typing import TypeVar

from protocol import bounds
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
    Masked,
    Opened,
    PublicResult,
    Received,
    Refuse,
    Statement,
    Step,
    stage,
)
from protocol.spec import SessionSpec

S = TypeVar("S", bound=Statement)

STATEMENTS: dict[Step, type[Statement]] = {
    Step.JOIN: Join,
    Step.REFUSE: Refuse,
    Step.BEGIN: Begin,
    Step.RECEIVED: Received,
    Step.MASKED: Masked,
    Step.OPENED: Opened,
    Step.COMMIT: Commit,
    Step.CONFIRM: Confirm,
    Step.RESULT: PublicResult,
    Step.ABORT: Abort,
}
STEPS = {kind: step for step, kind in STATEMENTS.items()}


class ContradictionError(RemoteProtocolError):
    """A party has signed two different letters under one address."""


def senders(spec: SessionSpec, step: Step) -> Collection[str]:
    """Who may send this step."""
    if step is Step.ABORT:
        return {*spec.members, spec.coordinator}
    computing = spec.compute if spec.function.interactive else ()
    allowed: dict[Step, Collection[str]] = {
        Step.JOIN: spec.members,
        Step.REFUSE: spec.members,
        Step.CORRELATE: computing,
        Step.BEGIN: (spec.leader,),
        Step.SHARE: spec.input_set,
        Step.RECEIVED: spec.compute,
        Step.MASKED: computing[1:],
        Step.OPENED: computing[:1],
        Step.COMMIT: spec.compute,
        Step.REVEAL: spec.compute,
        Step.CONFIRM: spec.results,
        Step.RESULT: spec.results,
    }
    return allowed.get(step, ())


def audience(spec: SessionSpec, step: Step, sender: str, reader: str) -> str:
    """What `to` must say on a letter that `reader` gets.

    Joins of parties that do not compute go to the compute parties alone: a thousand voters need not
    read each other's.
    """
    match step:
        case Step.JOIN:
            return ALL if sender in spec.compute else COMPUTE
        case Step.SHARE | Step.CORRELATE:
            return reader
        case Step.MASKED:
            return spec.leader  # who adds them up; the others get the sum
        case Step.OPENED:
            return COMPUTE
        case Step.REVEAL:
            return ALL if spec.reveal_to_all else reader
    return ALL


class Mailbox:
    """The letters of one session.  Parts may come in any order and any number of times."""

    def __init__(self, spec: SessionSpec, session: str, me: str) -> None:
        self._spec, self._session, self._me = spec, session, me
        self._assembler = Assembler()
        self._statements: dict[str, dict[str, Statement]] = {}  # stage → sender → statement
        self._sealed: dict[str, dict[str, Letter]] = {}  # stage → sender → letter, as they came

    def add(self, part: Part) -> None:
        """Take in a part whose signature has been checked.

        MalformedError: it does not belong here, and nothing has changed.  RemoteProtocolError: its
        sender broke the protocol in a way that ends the session.
        """
        header = part.header
        step, sender = header.step, header.sender
        if header.session != self._session:
            raise MalformedError(f"{header.stage} of another session")
        expected = audience(self._spec, step, sender, self._me)
        ours = sender == self._me and step is not Step.ABORT  # a coordinator may cancel from elsewhere
        if ours or sender not in senders(self._spec, step) or header.to != expected:
            raise MalformedError(f"{header.stage} from {sender} to {header.to} is not expected here")
        self._check_size(part)
        if self._assembler.conflicts(part):
            if sender not in self._spec.members:  # a coordinator's first word stands
                raise MalformedError(f"a second, different {step} from {sender}")
            raise ContradictionError(f"two different {header.stage} letters from {sender}", sender)
        if letter := self._assembler.add(part):
            self._accept(letter)

    def knows(self, part: Part) -> bool:
        """True for a repetition, which needs no second look."""
        return self._assembler.knows(part)

    def _accept(self, letter: Letter) -> None:
        step, sender = letter.step, letter.sender
        if step in SEALED:
            self._sealed.setdefault(letter.stage, {})[sender] = letter
            return
        try:
            statement = STATEMENTS[step].decode(letter.body)
        except MalformedError as error:
            # An input party that sends nonsense is left out like a silent one; the others are needed.
            if sender in self._spec.needed:
                raise RemoteProtocolError(error.message, sender) from None
        else:
            self._statements.setdefault(letter.stage, {})[sender] = statement

    def _check_size(self, part: Part) -> None:
        """Nothing is kept of a letter that is too large.  Of a party that is needed it ends the session.

        But not if the bound hangs on the begin, which the leader may have told others differently, nor for a
        share, which then counts as none.
        """
        header, size = part.header, len(part.body)
        agreed = self._agreed_shape()
        if bounds.fits(self._spec, header, size, self._own_shape() if agreed is None else agreed):
            return
        parts = f"{size} bytes in part {header.part} of {header.parts}"
        problem = f"{header.stage} from {header.sender} is larger than it can be: {parts}"
        sized = (Step.SHARE, Step.REVEAL, Step.RESULT)  # by the inputs
        told = self._spec.shape is None and header.step in sized
        if told or header.step is Step.SHARE or header.sender not in self._spec.needed:
            raise MalformedError(problem)
        raise RemoteProtocolError(problem, header.sender)

    def _agreed_shape(self) -> tuple[int, ...] | None:
        """Of all inputs: what the spec fixes, else what the begin says."""
        begin = self._statements.get(Step.BEGIN, {}).get(self._spec.leader)
        return begin.shape if self._spec.shape is None and isinstance(begin, Begin) else self._spec.shape

    def _own_shape(self) -> tuple[int, ...] | None:
        """Another's input has it too, or there is no session.  What others say of theirs binds nobody."""
        join = self._statements.get(Step.JOIN, {}).get(self._me)
        return join.shape if isinstance(join, Join) else None

    def put(self, step: Step, statement: Statement, round_: int = 0) -> None:
        """Our own statement lies beside the others'."""
        self._statements.setdefault(stage(step, round_), {})[self._me] = statement

    def statements(self, kind: type[S], names: Iterable[str], round_: int = 0) -> dict[str, S]:
        """The statements of one kind that are here, by sender, in the order of `names`."""
        here = self._statements.get(stage(STEPS[kind], round_))
        if not here:
            return {}
        found = ((name, here.get(name)) for name in names)
        return {name: each for name, each in found if isinstance(each, kind)}

    def sealed(self, step: Step, sender: str, round_: int = 0) -> Letter | None:
        """A sealed letter, if it is here and complete."""
        return self._sealed.get(stage(step, round_), {}).get(sender)

    def since(self, step: Step, number: int) -> list[Letter]:
        """The sealed letters of a step, in the order in which they came, without the first `number`."""
        return list(islice(self._sealed.get(step, {}).values(), number, None))

    def count(self, *steps: Step) -> int:
        """How many statements of these steps are here."""
        return sum(len(self._statements.get(step, {})) for step in steps)

    def lacks(self, stage_: str, sender: str) -> bool:
        """True while this letter of somebody else's has not come."""
        here = self._statements.get(stage_, {})
        return sender != self._me and sender not in here and sender not in self._sealed.get(stage_, {})

    def forget(self) -> None:
        """Drop everything that was sealed to us."""
        self._sealed.clear()
