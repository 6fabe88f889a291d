"""The vectors of one referendum, and of the next session of two of its parties."""

from __future__ import annotations

from itertools import combinations

from tests.vectors import reference
from tests.vectors import reference_transfers as transfers
from tests.vectors.sessions import Fields
from tests.vectors.story import b64, secret
from tests.vectors.votes import COMPUTE, EXACT, PARTIES, roles

# -- the next session of alice and bob -------------------------------------------------------------------


LATER_SPEC = reference.canonical(EXACT.fields | {"nonce": b64(secret("another nonce")[:16])})
LATER = reference.digest("spec", LATER_SPEC).hex()


def later_seed(party: str) -> bytes:
    """The root of a party's randomness in that session."""
    return secret(f"later referendum seed of {party}")


def later_randomness(party: str) -> transfers.Randomness:
    """What its triples are made from."""
    return transfers.Randomness(reference.derive(later_seed(party), "correlations"), EXACT.needed)


def later_join(party: str, peer: str) -> bytes:
    """A join that names the setup of the first session; alice's names one more, which bob never had."""
    known = b64(EXACT.pair_context(*COMPUTE[:2])[:16])
    ids = [b64(secret("an id")[:16]), known] if party == "alice" else [known]
    return reference.canonical(
        {
            "sealing_key": b64(reference.sealing_public(later_seed(party))),
            "shape": [],
            "offer": b64(transfers.offer(later_randomness(party).offer_scalar)),
            "setups": {peer: ids},
        }
    )


# -- vectors -------------------------------------------------------------------------------------------


def vectors() -> list[Fields]:
    """The session's steps, and then all of it at once."""
    pairs = [ends for one, other in combinations(COMPUTE, 2) for ends in ((one, other), (other, one))]
    return [
        EXACT.spec_vector(),
        *(EXACT.join_vector(party) for party in PARTIES),
        *(_meet(*ends) for ends in pairs),
        *(_meet_again(*ends) for ends in (COMPUTE[:2], COMPUTE[1::-1])),
        *(_statement_vector(step) for step in ("received", "masked", "opened", "commit")),
        *(EXACT.output_vector(party) for party in COMPUTE),
        EXACT.whole([EXACT.answer], EXACT.packed_triples()),
    ]


def meeting(me: str, peer: str) -> Fields:
    """The `given` of a meeting."""
    return {
        "spec": EXACT.spec.decode(),
        "me": me,
        "peer": peer,
        "seed": EXACT.seed(me).hex(),
        "joins": {name: EXACT.join(name).decode() for name in (me, peer)},
        "setup": None,
    }


def _meet(me: str, peer: str) -> Fields:
    pair = (me, peer) if COMPUTE.index(me) < COMPUTE.index(peer) else (peer, me)
    context, sender = EXACT.pair_context(*pair), roles(*pair)[0]
    points = EXACT.correlated(*pair).letters[1].hex()
    return {
        "name": f"{me} meets {peer}: the context of the pair, its setup's id and the first letter",
        "kind": "meet",
        "given": meeting(me, peer),
        "expect": {
            "context": context.hex(),
            "setup": context[:16].hex(),
            "letters": {"correlate-1": points} if me == sender else {},
        },
    }


def _meet_again(me: str, peer: str) -> Fields:
    """bob was S, so he holds pairs, is R now, and begins; there are no points."""
    alice, bob = COMPUTE[:2]
    joins = {alice: later_join(alice, bob), bob: later_join(bob, alice)}
    context = transfers.pair_context(
        LATER, *(reference.digest("join", name, raw) for name, raw in joins.items())
    )
    made = EXACT.correlated(alice, bob).made
    run = transfers.correlate(
        later_randomness(alice),
        later_randomness(bob),
        transfers.bound(context, alice, bob),
        alice,
        made,
    )
    given = {
        "spec": LATER_SPEC.decode(),
        "me": me,
        "peer": peer,
        "seed": later_seed(me).hex(),
        "joins": {name: raw.decode() for name, raw in joins.items()},
        "setup": {"id": EXACT.pair_context(alice, bob)[:16].hex(), "sender": alice} | transfers.halves(made),
    }
    return {
        "name": f"{me} meets {peer} in their next session, with the setup that both name",
        "kind": "meet",
        "given": given,
        "expect": {
            "context": context.hex(),
            "setup": context[:16].hex(),
            "letters": {"correlate-2": run.letters[2].hex()} if me == bob else {},
        },
    }


def _statement_vector(step: str) -> Fields:
    body = next(each.body for each in EXACT.letters() if each.step == step)
    return {
        "name": f"the body of a {step}",
        "kind": "statement",
        "given": {"statement": step, "bytes": body.decode()},
        "expect": {},
    }
