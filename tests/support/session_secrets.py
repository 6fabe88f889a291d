"""Everything secret in a session, from the journals of all its parties: what the detector must not find.

The journals must still hold the session (`keep`).  Each party is replayed as after a crash, and what it
sent, kept and unsealed is put beside what the others did.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import combinations

import numpy as np

from party_node.active import replay_one
from party_node.journal import Journal
from party_node.seal import Seal
from protocol import ring, sharing
from protocol.correlation.base_ot import KEY_BYTES
from protocol.functionalities import Answer
from protocol.letters import Letter
from protocol.messages import Step
from protocol.ring import Ring
from protocol.sealed import Unsealed
from protocol.secret import SEED_BYTES, Seed
from protocol.session import Session
from protocol.transcript import DIGEST_BYTES
from tests.support.detector import Secret

MOST_SUBSETS = 64  # of inputs, whose sums are looked for


class Replayed:
    """One party's session, run again from its journal."""

    def __init__(self, party: str, session: str, journal: Journal, seal: type[Seal]) -> None:
        row = journal.session(session)
        assert row is not None
        assert row.seed is not None, f"the journal of {party} keeps no secrets"
        self.party, self.seed, self.spec = party, row.seed, row.spec
        self.group = self.spec.function.group
        self.value = journal.value(session)
        self.opened: dict[tuple[Step, str], Unsealed] = {}  # (step, sender) → what it sealed to us
        self._seal = seal(session, party, row.seed, bytes)
        lent = journal.setups.of(session, self.spec.members)
        given = (self.spec, session, party, row.seed, self.value, self._unseal, self._seal.usable, lent)
        self.machine = Session(*given)
        self.setups = [setup for kept in lent.values() for setup in kept.values()]
        letters = self.machine.join(self._seal.public_key, row.joined)
        for at, payload in journal.arrivals(session):
            letters += replay_one(self.machine, at, payload)
            self.setups += [each.setup for each in self.machine.new_setups()]
        self.sent = [letter for letter in letters if letter.step is Step.SHARE]
        self.answer: Answer | None = self.machine.outcome.answer

    def _unseal(self, letter: Letter, view: bytes) -> Unsealed:
        self.opened[letter.step, letter.sender] = self._seal.unseal(letter, view)
        return self.opened[letter.step, letter.sender]

    def split(self) -> dict[str, Seed | Ring]:
        """The shares of our own input, by holder."""
        if self.value is None:
            return {}
        shape = self.value.shape
        shares: dict[str, Seed | Ring] = {
            letter.to: letter.seed or ring.from_bytes(letter.body, shape) for letter in self.sent
        }
        if self.party in self.spec.compute:
            others = sharing.reconstruct(map(self.elements, shares.values()), shape, self.group)
            shares[self.party] = np.array(self.group.minus(self.value, others))
        return shares

    def elements(self, share: Seed | Ring) -> Ring:
        """A share as ring elements."""
        return share.expand(self.machine.shape) if isinstance(share, Seed) else share

    def openings(self) -> dict[str, bytes]:
        """The revealed openings, by compute party."""
        revealed = {sender: each.body for (step, sender), each in self.opened.items() if step is Step.REVEAL}
        return {sender: body[DIGEST_BYTES:] for sender, body in revealed.items()}


def session_secrets(journals: Mapping[str, Journal], session: str, seal: type[Seal] = Seal) -> list[Secret]:
    """Inputs, shares in both forms, partial sums, output shares, nonces, session seeds and the result.

    Of a referendum, whose ballots and output shares are single bits, all that is longer; and the keys of
    the base transfers.
    """
    parties = {name: Replayed(name, session, journal, seal) for name, journal in journals.items()}
    some = next(iter(parties.values()))
    secrets = [Secret("session seed", name, each.seed.expose()) for name, each in parties.items()]
    if some.spec.function.interactive:
        return secrets + _shares_of_ballots(parties) + _keys(parties) + _nonces(parties)
    outputs: dict[str, list[Ring]] = {holder: [] for holder in some.spec.compute}
    for owner in some.spec.inputs:
        party = parties[owner]
        assert party.value is not None
        secrets.append(Secret("input", owner, party.value))
        for holder, share in party.split().items():
            name = f"of {owner} for {holder}"
            if isinstance(share, Seed):
                secrets.append(Secret("share seed", name, share.expose()))
            secrets.append(Secret("share", name, party.elements(share)))
            outputs[holder].append(party.elements(share))
    inputs = [value for name in some.spec.inputs if (value := parties[name].value) is not None]
    return secrets + _sums(inputs, outputs) + _results(parties, inputs)


def _sums(inputs: list[Ring], held: Mapping[str, list[Ring]]) -> list[Secret]:
    """Every sum on the way from shares to output shares, and from those to the result."""
    secrets = []
    whole = []
    for holder, shares in held.items():
        running = list(np.cumsum(np.stack(shares), axis=0, dtype=np.uint64))
        names = (f"of {count} shares at {holder}" for count in range(2, len(shares)))
        secrets += [
            Secret("partial sum", name, each) for name, each in zip(names, running[1:-1], strict=True)
        ]
        secrets.append(Secret("output share", holder, running[-1]))
        whole.append(running[-1])
    secrets += _subset_sums("output shares", whole) + _subset_sums("inputs", inputs)
    return secrets


def _subset_sums(what: str, values: list[Ring]) -> list[Secret]:
    subsets = [subset for size in range(2, len(values)) for subset in combinations(range(len(values)), size)]
    return [
        Secret(
            "partial sum", f"of {what} {subset}", _total((values[each] for each in subset), values[0].shape)
        )
        for subset in subsets[:MOST_SUBSETS]
    ]


def _shares_of_ballots(parties: Mapping[str, Replayed]) -> list[Secret]:
    secrets = []
    for owner, party in parties.items():
        for holder, share in party.split().items():
            raw = share.expose() if isinstance(share, Seed) else ring.to_bytes(share)
            kind = "share seed" if isinstance(share, Seed) else "share"
            secrets.append(Secret(kind, f"of {owner} for {holder}", raw))
    return secrets


def _keys(parties: Mapping[str, Replayed]) -> list[Secret]:
    """The first and the last keys of each setup, and the choices where we hold them."""
    secrets = []
    for name, party in parties.items():
        for number, setup in enumerate(party.setups):
            raw = setup.to_bytes()
            pieces = [raw[at : at + KEY_BYTES] for at in (0, KEY_BYTES, len(raw) - KEY_BYTES)]
            secrets += [Secret("base transfer key", f"{number} of {name}", each) for each in pieces]
    return secrets


def _results(parties: Mapping[str, Replayed], inputs: list[Ring]) -> list[Secret]:
    secrets = [Secret("result", "sum", _total(inputs, inputs[0].shape))]
    for name, party in parties.items():
        if party.answer is not None:
            units = np.asarray(party.answer.units).view(np.uint64)
            secrets.append(Secret("result", f"answer at {name}", units, party.answer.decimals))
    return secrets + _nonces(parties)


def _nonces(parties: Mapping[str, Replayed]) -> list[Secret]:
    return [
        Secret("opening nonce", f"of {sender} at {name}", body[:SEED_BYTES])
        for name, party in parties.items()
        for sender, body in party.openings().items()
    ]


def _total(values: Iterable[Ring], shape: tuple[int, ...]) -> Ring:
    total = np.zeros(shape, dtype=np.uint64)
    for each in values:
        total += each  # in place: numpy warns when a scalar wraps, and not when an array does
    return total
