"""What the letters of a session must be to one another: each check is one small generator of what is wrong.

They are the rules of SPEC.md §5.2 once more, over what was signed.  Where nothing is wrong, nothing is said.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from party_node.audit.case import Case
from party_node.audit.finding import Check, Finding, Mark, failed, fault, listed, missing, unseen
from protocol import membership, ring
from protocol.messages import Abort, Join, PublicResult, RefusalCode
from protocol.ring import Ring
from protocol.states import DISPROOFS


def roster(case: Case) -> Iterator[Finding]:
    """Every member's key is the one that the verifier has pinned; else all must have refused."""
    noticed = {end.reason for end in case.ends.values()} == {RefusalCode.SPEC}
    for name, identity in case.spec.members.items():
        if objection := case.roster.objection(name, identity):
            yield (fault if noticed else failed)(Check.ROSTER, f"{name} {objection}")


def noise(case: Case) -> Iterator[Finding]:
    """Δ is what the function says; everybody must have refused another one."""
    spec = case.spec
    if spec.noise is None:
        yield Finding(Check.NOISE, Mark.NOTHING)
        return
    stated, ours = spec.noise.sensitivity, spec.function.sensitivity(spec.noise.relation)
    if stated != ours:
        text = f"sensitivity {stated}, by the function and its bounds it is {ours}"
        yield fault(Check.NOISE, text, spec.coordinator)


def begin(case: Case) -> Iterator[Finding]:
    """The leader's membership keeps to the spec, and to the shapes that the joins name."""
    spec, found = case.spec, case.begin
    if found is None:
        yield _absent(case, Check.BEGIN, f"no begin of {spec.leader}")
        return
    if flaw := membership.flaw(spec, found, "", None):
        yield fault(Check.BEGIN, flaw, spec.leader)
    for name, join in case.of(Join, case.joined).items():
        # Another join than the begin's may be the doing of either.
        if join.shape != found.shape and membership.join_digest(name, join) == found.joins[name]:
            shapes = f"{membership.describe(found.shape)}, {name} brings {membership.describe(join.shape)}"
            yield fault(Check.BEGIN, f"begin for inputs of {shapes}", spec.leader)


def joins(case: Case) -> Iterator[Finding]:
    """Each join that is here is the one whose hash the begin names."""
    if case.begin is None:
        yield Finding(Check.JOINS, Mark.NOTHING)
        return
    found = case.of(Join, case.begin.joins)
    for name, join in found.items():
        if membership.join_digest(name, join) != case.begin.joins[name]:
            text = f"{case.spec.leader}'s begin has another join of {name} than {name} has signed"
            yield fault(Check.JOINS, text)
    absent = [name for name in case.begin.joins if name not in found]
    due = [name for name in absent if _had_to_see(case, name)]
    if due and case.completed:
        yield missing(Check.JOINS, f"no join of {listed(due)}")
    elif absent:
        yield unseen(Check.JOINS, f"joins of {listed(absent)}, which go to compute parties")


def _had_to_see(case: Case, sender: str) -> bool:
    """Whether one of these nodes could not have gone on without this join."""
    needed, compute = case.spec.needed, case.spec.compute
    return any(
        name == case.spec.leader or sender in (needed if name in compute else compute)
        for name in case.completed
    )


def one_view(case: Case) -> Iterator[Finding]:
    """Everybody computed under the same spec, joins and begin."""
    lists = [(name, each.view, "list of inputs") for name, each in case.received.items()]
    said = lists + [(name, each.view, "commit") for name, each in case.commits.items()]
    if case.view is None or not said:
        yield Finding(Check.VIEW, Mark.NOTHING)
        return
    for name, view, what in said:
        if view != case.view:
            text = f"{name}'s {what} names another view than spec, joins and begin have"
            yield fault(Check.VIEW, text)


def inputs(case: Case) -> Iterator[Finding]:
    """Which inputs count follows from the lists of all compute parties, and nothing else."""
    if case.begin is None:
        yield Finding(Check.INPUTS, Mark.NOTHING)
        return
    for name, each in case.received.items():
        # Under another view it may well fit another begin.
        if each.view == case.view and not membership.fits(case.spec, case.joined, each):
            text = f"{name}'s list of inputs does not fit the begin"
            yield fault(Check.INPUTS, text, name)
    if case.counted is None:
        absent = [name for name in case.spec.compute if name not in case.received]
        yield _absent(case, Check.INPUTS, f"no list of inputs of {listed(absent)}")
        return
    if len(case.counted) < case.spec.min_inputs:
        text = f"{len(case.counted)} inputs are complete everywhere, expected at least {case.spec.min_inputs}"
        yield fault(Check.INPUTS, text)
    for name, commit in case.commits.items():
        if commit.inputs != case.counted:
            text = f"{name} commits over {listed(commit.inputs)}, the lists have {listed(case.counted)}"
            yield fault(Check.INPUTS, text)


def commitments(case: Case) -> Iterator[Finding]:
    """Every compute party has committed, and after rounds all have seen the same openings."""
    if case.counted is None:
        yield Finding(Check.COMMITMENTS, Mark.NOTHING)
        return
    if len({each.opened for each in case.commits.values()}) > 1:
        text = "the compute parties were told different openings of the gates"
        yield fault(Check.COMMITMENTS, text)
    absent = [name for name in case.spec.compute if name not in case.commits]
    if absent and not case.early:
        yield _absent(case, Check.COMMITMENTS, f"no commitment of {listed(absent)}")


def transcript(case: Case) -> Iterator[Finding]:
    """What the result parties have confirmed is the hash over the view, the inputs and all commitments."""
    expected = case.transcript
    if expected is None:
        yield Finding(Check.TRANSCRIPT, Mark.NOTHING)  # what it lacks is missing above
        return
    for name, confirm in case.confirms.items():
        if confirm.transcript != expected:
            text = f"{name} confirms another transcript than the letters have"
            yield fault(Check.TRANSCRIPT, text)


def recipients(case: Case) -> Iterator[Finding]:
    """Those who learned the answer are those who were agreed on, and it is public only if that was agreed."""
    absent = [name for name in case.spec.results if name not in case.confirms]
    if absent:
        yield _absent(case, Check.RECIPIENTS, f"no confirm of {listed(absent)}")
    if not case.spec.public:
        for name in case.results:
            text = f"{name} has published an answer that is not public"
            yield fault(Check.RECIPIENTS, text, name)


def result(case: Case) -> Iterator[Finding]:
    """A public answer is the same from everybody, over the counted inputs, and of the agreed shape."""
    published = case.results
    if not published:
        wanted = case.spec.public and case.completed
        text = "the public answer"
        yield unseen(Check.RESULT, text) if wanted else Finding(Check.RESULT, Mark.NOTHING)
        return
    if len(set(published.values())) > 1:
        yield fault(Check.RESULT, f"{listed(tuple(published))} have published different answers")
    for name, each in published.items():
        if case.counted is not None and each.inputs != case.counted:
            yield fault(Check.RESULT, f"{name}'s answer is over other inputs than were counted")
        if case.begin is not None and opened(case, each) is None:
            yield fault(Check.RESULT, f"{name}'s answer is none of this function")


def opened(case: Case, said: PublicResult) -> Ring | None:
    """The elements of a published answer, if it can be one of this session."""
    spec, found = case.spec, case.begin
    if found is None or spec.shape not in (None, found.shape) or not said.inputs:
        return None
    try:
        elements = ring.from_bytes(said.elements, found.shape)
    except ValueError:
        return None
    return elements if int(elements.max(initial=0)) <= spec.function.largest else None


def disproofs(case: Case) -> Iterator[Finding]:
    """An answer stands only if nobody who is needed has proof that another one was seen."""
    if not case.completed:
        return
    for name, abort in case.of(Abort, case.spec.needed).items():
        if abort.reason in DISPROOFS:
            yield fault(Check.ENDING, f"{name} disputes the answer: {abort.reason}, {abort.detail}")


def _absent(case: Case, check: Check, text: str) -> Finding:
    """A completed session cannot have gone on without it; any other one may have ended before."""
    return missing(check, text) if case.completed else Finding(check, Mark.NOTHING, text)


CHECKS: dict[Check, Callable[[Case], Iterator[Finding]]] = {
    Check.ROSTER: roster,
    Check.NOISE: noise,
    Check.BEGIN: begin,
    Check.JOINS: joins,
    Check.VIEW: one_view,
    Check.INPUTS: inputs,
    Check.COMMITMENTS: commitments,
    Check.TRANSCRIPT: transcript,
    Check.RECIPIENTS: recipients,
    Check.RESULT: result,
    Check.ENDING: disproofs,
}
