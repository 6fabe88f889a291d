"""Reading the letters of a case.

Rule 1: nothing is looked at whose signature has not been checked.  What is not authentic is a finding, and is
left out.
Rule 2: the letters of all bundles lie in one heap, so what a party has told one node and not another shows as
two different letters under one address.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

from party_node.audit.case import Case
from party_node.audit.finding import Check, Finding, failed, fault, unseen
from party_node.journal import EVIDENCE
from party_node.post import check_signature
from protocol import bounds
from protocol.letters import Address, Assembler, Part, parse
from protocol.mailbox import STATEMENTS, audience, senders
from protocol.messages import Abort, MalformedError, Step


def read(case: Case) -> Iterator[Finding]:
    """Put what was said into the case; the findings are about letters that do not belong there."""
    heap = _Heap(case)
    for bundle in case.bundles:
        for number, payload in enumerate(bundle.letters, 1):
            try:
                part = _authentic(case, payload)
            except _StrangeError as error:
                yield failed(error.check, f"letter {number} of {bundle.exporter}'s bundle: {error}")
            else:
                yield from heap.take(part, bundle.exporter)
    for (step, sender), letter in case.letters.items():
        try:
            case.said[step, sender] = STATEMENTS[step].decode(letter.body)
        except MalformedError as error:
            yield _no_statement(case, sender, step, error.message)


class _Heap:
    """The authentic parts of all bundles, put together to letters."""

    def __init__(self, case: Case) -> None:
        self._case = case
        self._assembler = Assembler()
        self._told: dict[Address, str] = {}  # the first node that shows a letter under it

    def take(self, part: Part, exporter: str) -> Iterator[Finding]:
        """A part that this node shows."""
        header, case = part.header, self._case
        # How large a public answer may be hangs on the begin.
        if header.step is not Step.RESULT and not bounds.fits(case.spec, header, len(part.body), None):
            size = f"{len(part.body)} bytes in part {header.part} of {header.parts}"
            yield _no_statement(case, header.sender, header.step, size)
            return
        if header.step is Step.ABORT:
            with suppress(MalformedError):
                case.aborts.setdefault(header.sender, []).append(Abort.decode(part.body))
        address = (header.stage, header.sender, header.to)
        if self._assembler.conflicts(part):
            if header.sender in case.spec.members:  # a coordinator may cancel a session twice
                yield _two_words(header.stage, header.sender, self._told[address], exporter)
            return
        self._told.setdefault(address, exporter)
        if letter := self._assembler.add(part):
            case.letters[letter.step, letter.sender] = letter


class _StrangeError(Exception):
    """A letter that has no place in this bundle."""

    def __init__(self, problem: str, check: Check = Check.LETTERS) -> None:
        super().__init__(problem)
        self.check = check


def _authentic(case: Case, payload: bytes) -> Part:
    """The part, if the sender whom it names has signed it, and could send it to this audience."""
    spec = case.spec
    try:
        part = parse(payload)
    except MalformedError as error:
        raise _StrangeError(error.message) from None
    header = part.header
    if header.session != case.session:
        raise _StrangeError(f"is of session {header.session[:12]}")
    if header.step not in EVIDENCE:
        raise _StrangeError(f"a {header.step} has no place in a bundle")
    # A coordinator's key is the roster's, also if it is a member; everybody else's is the spec's.
    coordinates = header.sender == spec.coordinator
    identity = case.roster.identity(header.sender) if coordinates else spec.members.get(header.sender)
    if identity is None:
        raise _StrangeError(f"a {header.step} of {header.sender}, who is no member")
    try:
        check_signature(part, identity)
    except MalformedError as error:
        raise _StrangeError(error.message) from None
    if header.sender not in senders(spec, header.step):
        about = Check.RECIPIENTS if header.step in (Step.CONFIRM, Step.RESULT) else Check.LETTERS
        raise _StrangeError(f"a {header.step} of {header.sender}, who may send none", about)
    if header.to != (expected := audience(spec, header.step, header.sender, header.to)):
        raise _StrangeError(f"a {header.step} of {header.sender} to {header.to}, expected to {expected}")
    return part


def _two_words(stage: str, sender: str, first: str, second: str) -> Finding:
    where = f"both at {first}" if first == second else f"one at {first} and one at {second}"
    text = f"{sender} has signed two different {stage} letters, {where}"
    return fault(Check.ONE_WORD, text, sender)


def _no_statement(case: Case, sender: str, step: Step, problem: str) -> Finding:
    """Nonsense of a needed party ends a session; that of others counts as silence."""
    text = f"{sender} has signed a {step} that is none ({problem})"
    if sender in case.spec.needed:
        return fault(Check.STATEMENTS, text, sender)
    return unseen(Check.STATEMENTS, f"{text}: taken for silence")
