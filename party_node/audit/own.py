"""What a node says of itself in its bundle must go with what it has signed, and with what the others have."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise

from party_node.audit.bundle import Content, Ended
from party_node.audit.case import Case
from party_node.audit.finding import Check, Finding, Mark, failed, listed, missing
from protocol.functionalities.referendum import Referendum
from protocol.messages import AbortReason, Join, Refuse
from protocol.states import State

UNTOLD = (AbortReason.LEFT_OUT, AbortReason.REFUSED)  # ends of which a node need not tell the others


def ending(case: Case, bundle: Content) -> Iterator[Finding]:
    """It ended as the letters say that it did."""
    me, end = bundle.exporter, bundle.ended
    if end is None:
        yield missing(Check.ENDING, f"still running at {me}")
    elif end.state is State.COMPLETED:
        yield from _completed(case, me, end)
    elif end.state is State.REFUSED:
        refusal = case.of(Refuse, [me]).get(me)
        if refusal is None or refusal.code != end.reason:
            yield failed(Check.ENDING, f"{me} has refused ({end.reason}), and has not signed that")
    elif end.state is State.ABORTED and end.reason is not None:
        yield from _aborted(case, me, end)
    else:
        yield failed(Check.ENDING, f"{end.state} is no end")


def _completed(case: Case, me: str, end: Ended) -> Iterator[Finding]:
    if end.reason is not None or end.silent or end.culprit is not None or end.reported_by is not None:
        yield failed(Check.ENDING, f"{me} calls it completed, and says why it was not")
    if case.begin is not None and me not in case.begin.joins:
        yield failed(Check.ENDING, f"{me} calls it completed, and is not in the begin")
    if case.counted is not None and end.inputs != case.counted:
        counted = f"the letters say {listed(case.counted)}"
        yield failed(Check.ENDING, f"inputs of {listed(end.inputs)} at {me}, {counted}")
    for name in end.unconfirmed:
        if name not in case.spec.results:
            yield failed(Check.ENDING, f"{name} did not confirm at {me}, and is no result party")
        elif name == me:
            yield failed(Check.ENDING, f"{me} says that it did not confirm itself")


def _aborted(case: Case, me: str, end: Ended) -> Iterator[Finding]:
    """Who aborts has told the others; who was told has the other's word."""
    teller = end.reported_by or me
    if case.abort(teller, end) is not None:
        heeded = (*case.spec.needed, case.spec.coordinator)
        if end.reported_by is not None and teller not in heeded:
            yield failed(Check.ENDING, f"{teller} cannot end a session of others")
        return
    if told := case.aborts.get(teller):
        yield failed(Check.ENDING, f"aborted at {me} ({end.reason}), {teller} has signed {told[0].reason}")
    elif end.reported_by is not None or end.reason not in UNTOLD:
        yield failed(Check.ENDING, f"aborted at {me} ({end.reason}), and {teller} has not signed that")
    elif end.reason is AbortReason.LEFT_OUT and (case.begin is None or me in case.begin.joins):
        yield failed(Check.ENDING, f"{me} was not left out by the begin")
    elif end.reason is AbortReason.REFUSED and not case.of(Refuse, [case.spec.leader]):
        yield failed(Check.ENDING, f"refused at {me}, and {case.spec.leader} has not signed that")


def decision(case: Case, bundle: Content) -> Iterator[Finding]:
    """It did what it had decided, and nothing without a decision."""
    me, made = bundle.exporter, bundle.decision
    joined, refusal = case.of(Join, [me]), case.of(Refuse, [me]).get(me)
    if made is None:
        if (joined or refusal is not None) and me != case.spec.coordinator:
            yield missing(Check.DECISION, f"{me} has answered, and shows no decision")
        else:
            yield Finding(Check.DECISION, Mark.NOTHING)
    elif made.made != "refused" and (made.code is not None or made.detail):
        yield failed(Check.DECISION, f"{me} decided otherwise, and says why it refused")
    elif made.made == "joined" and (not joined or refusal is not None):
        yield failed(Check.DECISION, f"{me} decided to join, and has not signed that alone")
    elif made.made == "refused" and (refusal is None or joined or refusal.code != made.code):
        yield failed(Check.DECISION, f"{me} decided to refuse ({made.code}), and has not signed that alone")
    elif made.made == "pending" and (joined or refusal is not None):
        yield failed(Check.DECISION, f"{me} had not decided, and has answered")


def ledger(case: Case, bundle: Content) -> Iterator[Finding]:
    """What the session has cost this node is in its books: the right amount, once, and in the chain."""
    me, cost, booked = bundle.exporter, case.spec.epsilon, bundle.ledger
    events = [each.event for each in booked]
    owes = cost is not None and me in case.spec.inputs and bool(case.of(Join, [me]))
    if not booked and not owes:
        yield Finding(Check.LEDGER, Mark.NOTHING)
        return
    for each in booked:
        if not each.linked(case.session):
            yield failed(Check.LEDGER, f"entry {each.number} of {me}'s ledger is not in the chain")
        if (each.input, each.nano) != (case.spec.input, cost) or not owes:
            yield failed(Check.LEDGER, f"entry {each.number} of {me}'s ledger is not what the session costs")
    for one, other in pairwise(booked):
        if other.number <= one.number or (other.number == one.number + 1 and other.before != one.head):
            yield failed(Check.LEDGER, f"entry {other.number} of {me}'s ledger does not follow")
    if events[:1] != ["reserved"] or len(events) > 2 or "reserved" in events[1:]:
        yield failed(Check.LEDGER, f"{' and '.join(events) or 'nothing'} in {me}'s ledger")
    elif "spent" not in events and case.counted is not None and me in case.counted:
        yield failed(Check.LEDGER, f"{me}'s input was counted, and {me}'s ledger has not spent it")


def release(case: Case, bundle: Content) -> Iterator[Finding]:
    """The node has noted whose inputs its own was added to, in an exact answer."""
    me, noted = bundle.exporter, bundle.release
    exact = case.spec.epsilon is None and case.counted is not None and me in case.counted
    if noted is None:
        if exact and me in case.completed:
            yield failed(
                Check.RELEASE, f"{me}'s input was counted in an exact answer, and {me} has not noted it"
            )
        else:
            yield Finding(Check.RELEASE, Mark.NOTHING)
        return
    if me not in case.spec.inputs:
        yield failed(Check.RELEASE, f"{me} has noted an answer over its input, and brings none")
    spec = case.spec
    threshold = spec.function.threshold if isinstance(spec.function, Referendum) else None
    if (
        not set(noted.parties) <= spec.input_set
        or noted.least < spec.min_inputs
        or noted.threshold != threshold
    ):
        yield failed(Check.RELEASE, f"{me} has noted another exact answer than this session's")
    counted = case.counted
    if me not in case.completed or counted is None:
        return
    if not set(counted) <= set(noted.parties) or len(counted) < noted.least:
        yield failed(Check.RELEASE, f"{me} has noted an answer over {listed(noted.parties)}, not over these")


OWN: dict[Check, Callable[[Case, Content], Iterator[Finding]]] = {
    Check.ENDING: ending,
    Check.DECISION: decision,
    Check.LEDGER: ledger,
    Check.RELEASE: release,
}
