"""One compute party's part in making Beaver triples with all the others, without a dealer.

Everyone draws shares a and b of its own; c = (⊕ a_j) ∧ (⊕ b_j) is the XOR of every a_j ∧ b_j and of all cross
terms a_i ∧ b_j, and each cross term is shared between its two parties by OT [Gilboa, CRYPTO 1999, over single
bits].  Of each two parties one is the extension's sender; one run of a ‖ b against b ‖ a gives both cross
terms.  `pair` has the letters.

Base transfers are made once for each two parties: every extension leaves the setup of the next one behind.
A setup serves one session and no other, so that no secret of one outlives it.  Security is passive.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from operator import xor
from typing import NamedTuple

from protocol.beaver import Triples
from protocol.bits import Bits, concat
from protocol.correlation import base_ot
from protocol.correlation.base_ot import ChoiceKeys, PairKeys
from protocol.correlation.pair import Receiver, Sender, Sent
from protocol.errors import LocalProtocolError
from protocol.messages import MalformedError
from protocol.secret import Seed
from protocol.transcript import DIGEST_BYTES, digest

Setup = PairKeys | ChoiceKeys


class Message(NamedTuple):
    """Bytes for one peer."""

    to: str
    step: int
    body: bytes


class Preparation:
    """`count` triples with everyone in `parties`: letters in, letters out.

    All randomness comes from `seed`, which must be fresh for each session.
    """

    def __init__(self, me: str, parties: tuple[str, ...], count: int, seed: Seed) -> None:
        self.made: dict[str, Setup] = {}  # the setups for a next session, by peer, until `forget`
        self._me = me
        self._parties = parties
        self._count = count
        a, b = (_uniform(seed.derive("triples", which), count) for which in ("a", "b"))
        self._kept: _Secrets | None = _Secrets(seed, a, b)
        self._pairs: dict[str, Sender | Receiver] = {}

    @property
    def offer(self) -> bytes:
        """Our point for the base transfers, one for all peers."""
        return base_ot.offer(self._secrets.offer_seed)

    @property
    def ready(self) -> bool:
        """Whether `triples` may be called: we met everyone, and nothing is missing."""
        met_all = self._count == 0 or len(self._pairs) == len(self._parties) - 1
        return self._kept is not None and met_all and not self.missing()

    def meet(self, peer: str, offer: bytes, context: bytes, setup: Setup | None = None) -> list[Message]:
        """Begins with one peer; MalformedError if its offer is needed and is not a point of the group.

        `context`, 32 bytes, binds the session and the joins of both, and is the same at both ends.  `setup`
        was made with this peer in an earlier session and has not been used: the peer must be using the other
        half of the same one, and the kind of ours says which part we play.
        """
        if peer in self._pairs or peer == self._me or peer not in self._parties:
            raise LocalProtocolError(f"{self._me} cannot meet {peer}, or has met it already")
        if len(context) != DIGEST_BYTES:
            raise LocalProtocolError(f"a context has {DIGEST_BYTES} bytes, not {len(context)}")
        if self._count == 0:
            return []
        if isinstance(setup, ChoiceKeys) or (setup is None and self._is_sender(peer)):
            self._pairs[peer], sent = self._as_sender(peer, offer, context, setup)
        else:
            self._pairs[peer], sent = self._as_receiver(peer, context, setup)
        return self._noted(peer, sent)

    def take(self, peer: str, step: int, body: bytes) -> list[Message]:
        """The answer to one letter; MalformedError says what is wrong with it, and changes nothing."""
        pair = self._pairs.get(peer)
        if pair is None or pair.awaits != step:
            raise MalformedError(f"step {step} of the preparation was not expected now")
        return self._noted(peer, pair.take(body))

    def _noted(self, peer: str, sent: Sent) -> list[Message]:
        made = self._pairs[peer].made
        if made is not None:
            self.made[peer] = made
        return [Message(peer, *each) for each in sent]

    def missing(self) -> list[tuple[str, int]]:
        """Of the peers we have met, those that owe us a letter, and its step."""
        return [(peer, pair.awaits) for peer, pair in self._pairs.items() if pair.awaits is not None]

    def triples(self) -> Triples:
        """Our shares of the triples, once; all but `made` is forgotten with them."""
        if not self.ready:
            raise LocalProtocolError("triples are handed out once, as soon as they are ready")
        a, b = self._secrets.a, self._secrets.b
        crossed = reduce(xor, (pair.share for pair in self._pairs.values()), Bits.zeros(2 * self._count))
        # [c] = [a] ∧ [b] ⊕ our shares of a_S ∧ b_R ⊕ our shares of b_S ∧ a_R
        c = (a & b) ^ crossed[: self._count] ^ crossed[self._count :]
        self._drop()
        return Triples(a, b, c)

    def forget(self) -> None:
        """Drops every secret, the setups that were made included."""
        self.made.clear()
        self._drop()

    def _as_sender(
        self, peer: str, offer: bytes, context: bytes, setup: ChoiceKeys | None
    ) -> tuple[Sender, Sent]:
        secrets, bound = self._secrets, _bound(context, sender=self._me, receiver=peer)
        x = concat([secrets.a, secrets.b])
        if setup is not None:
            return Sender(x, bound, setup), []
        return Sender.begin(x, bound, offer, secrets.seed)

    def _as_receiver(self, peer: str, context: bytes, setup: PairKeys | None) -> tuple[Receiver, Sent]:
        secrets, bound = self._secrets, _bound(context, sender=peer, receiver=self._me)
        choices, fresh = concat([secrets.b, secrets.a]), secrets.seed.derive_bytes(16, "next choices", peer)
        receiver = Receiver(choices, fresh, bound, secrets.offer_seed)
        return receiver, [] if setup is None else receiver.extend(setup)

    def _is_sender(self, peer: str) -> bool:
        """Of the positions i < j, i is the sender where i + j is even: the work is spread."""
        mine, other = self._parties.index(self._me), self._parties.index(peer)
        return (mine < other) == ((mine + other) % 2 == 0)

    @property
    def _secrets(self) -> _Secrets:
        if self._kept is None:
            raise LocalProtocolError("the preparation was handed out or forgotten")
        return self._kept

    def _drop(self) -> None:
        self._kept = None
        self._pairs.clear()


@dataclass(frozen=True)
class _Secrets:
    seed: Seed
    a: Bits
    b: Bits

    @property
    def offer_seed(self) -> Seed:
        return self.seed.derive("base ot offer")


def _bound(context: bytes, *, sender: str, receiver: str) -> bytes:
    """The context of one extension: of these two, in this direction."""
    return digest("correlation", context, sender, receiver)


def _uniform(seed: Seed, count: int) -> Bits:
    words = -(-count // 64)
    return Bits(seed.expand((words,)), 64 * words)[:count]
