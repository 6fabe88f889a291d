"""The secret part of one party's session: its input, the shares, the noise and the output shares.

It computes and knows no state: `session.py` says when.  Nothing here outlives the session.
"""

from __future__ import annotations

import numpy as np

from protocol import opening, ring, sharing
from protocol.bits import Bits
from protocol.errors import LocalProtocolError
from protocol.functionalities import Functionality
from protocol.letters import Letter
from protocol.messages import MalformedError, Step
from protocol.ring import Ring
from protocol.sealed import Outgoing, Unseal
from protocol.secret import Seed
from protocol.sharing import Share


class Holding:
    """What one party holds.  `begin` must come before everything but `input_shape`."""

    def __init__(
        self,
        me: str,
        function: Functionality,
        seed: Seed,
        value: Ring | None,
        unseal: Unseal,
        *,
        noisy: bool = False,
    ) -> None:
        """`noisy`: no output share is to leave without our part of the noise in it."""
        self._noisy = noisy
        self._me, self._group, self._seed, self._value = me, function.group, seed, value
        self._largest = np.uint64(function.largest)
        self._open = unseal
        self._view = b""
        self._shape: tuple[int, ...] = ()
        self._shares: dict[str, Share] = {}  # input party → its share for us
        self._noise: Share | None = None  # our part of the noise, where some is added
        self._inputs: tuple[str, ...] = ()  # those that the output share is over
        self._output: Ring | None = None  # our own output share
        self._opened: dict[str, Ring] = {}  # compute party → its output share

    def __repr__(self) -> str:
        return "Holding(<redacted>)"

    @property
    def input_shape(self) -> tuple[int, ...] | None:
        """The shape of our input; None if we bring none."""
        return None if self._value is None else self._value.shape

    def begin(self, view: bytes, shape: tuple[int, ...]) -> None:
        """From here on everything is bound to the view."""
        self._view, self._shape = view, shape

    # -- our input ---------------------------------------------------------------------------------

    def split(self, compute: tuple[str, ...], turn: int) -> list[Outgoing]:
        """Split our input and send each compute party its share; ours is the explicit one if we compute.

        `turn` spreads the explicit shares of those who do not compute over the compute parties.
        """
        if self._value is None:
            raise LocalProtocolError("an input party without an input has joined")
        explicit = self._me if self._me in compute else compute[turn % len(compute)]
        seed = self._seed.derive("split", self._view)
        shares = sharing.split(self._value, compute, explicit, seed, self._group)
        if self._me in shares:
            self._shares[self._me] = shares.pop(self._me)
        return [self._share_letter(holder, share) for holder, share in shares.items()]

    def _share_letter(self, holder: str, share: Share) -> Outgoing:
        if isinstance(share.content, Seed):
            return Outgoing(Step.SHARE, holder, recipients=(holder,), seed=share.content, view=self._view)
        body = ring.to_bytes(share.content)
        return Outgoing(Step.SHARE, holder, body, recipients=(holder,), view=self._view)

    # -- others' inputs ------------------------------------------------------------------------------

    def holds(self, party: str) -> bool:
        """True once we have our share of this party's input."""
        return party in self._shares

    def take_share(self, letter: Letter) -> None:
        """Unseal a share; MalformedError if it does not open or has another shape."""
        unsealed = self._open(letter, self._view)
        try:
            content = unsealed.seed or ring.from_bytes(unsealed.body, self._shape)
        except ValueError:
            raise MalformedError(f"the share from {letter.sender} has another shape") from None
        self._shares[letter.sender] = Share(content)

    # -- the output ----------------------------------------------------------------------------------

    @property
    def lacks_noise(self) -> bool:
        """True while our part of the noise is still to be drawn."""
        return self._noisy and self._noise is None

    def take_noise(self, noise: Share) -> None:
        """Our part of the noise, drawn ahead of its use."""
        self._noise = noise

    def noise(self) -> int:
        """Our part of the noise on a count: −2^63 to 2^63 − 1."""
        if self._noise is None:
            raise LocalProtocolError("noise is asked for before it is drawn")
        return int(ring.to_signed(self._noise.elements(())))

    def bits(self, inputs: tuple[str, ...]) -> Bits:
        """Our shares of these inputs, one bit of each; what else a share may hold does not count."""
        words = [self._shares[name].elements(()) for name in inputs]
        return Bits.from_bools((np.array(words, dtype=np.uint64) & np.uint64(1)).astype(np.bool_))

    def commit(self, inputs: tuple[str, ...], output: Ring | None = None) -> bytes:
        """Keep our output share over these inputs, by default that of their sum; returns the commitment.

        The noise is one more share, added before anybody is told anything: without it nothing is opened.
        """
        if self.lacks_noise:
            raise LocalProtocolError("an output share without the noise that was promised")
        if output is None:
            shares = [self._shares[name] for name in inputs]
            noise = [] if self._noise is None else [self._noise]
            output = sharing.add(shares + noise, self._shape, self._group)
        self._output, self._inputs = output, inputs
        return opening.commit(self._view, self._me, inputs, self._opening())

    def reveal(
        self, transcript: bytes, groups: dict[str, tuple[str, ...]], opened: frozenset[str], *, keep: bool
    ) -> list[Outgoing]:
        """Our output share, once for each of `groups` (audience → recipients); for ourselves if `keep`."""
        body = opening.revealed(transcript, self._opening())
        if keep and self._output is not None:
            self._opened[self._me] = self._output
        return [
            Outgoing(Step.REVEAL, to, body, recipients, opened=opened, view=self._view)
            for to, recipients in groups.items()
        ]

    def _opening(self) -> bytes:
        if self._output is None:
            raise LocalProtocolError("no output share to open")
        return opening.opening(self._seed, self._view, self._inputs, self._output)

    def opened(self, party: str) -> bool:
        """True once we have this compute party's output share."""
        return party in self._opened

    def take_opening(
        self, letter: Letter, transcript: bytes, commitment: bytes, inputs: tuple[str, ...]
    ) -> None:
        """Unseal an output share; MalformedError unless it is the one that its sender committed to.

        OtherTranscriptError, which is one, if it was revealed over other commitments than we know.
        """
        raw = opening.taken(transcript, self._open(letter, self._view).body)
        sender = letter.sender
        output = opening.verify(commitment, self._view, sender, inputs, raw, self._shape)
        if (output > self._largest).any():
            raise MalformedError(
                f"the output share of {sender} is more than the function's answer has bits for"
            )
        self._opened[sender] = output

    def total(self) -> Ring:
        """The output shares, put together."""
        return sharing.reconstruct(self._opened.values(), self._shape, self._group)

    def forget(self) -> None:
        """Nothing secret outlives the session; what must be sent again lies sealed in the outbox."""
        self._shares, self._opened, self._output, self._value, self._noise = {}, {}, None, None, None
