"""A session spec: everything that is agreed before anybody joins.  Its hash is the session's id."""

from __future__ import annotations

from functools import cached_property
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from protocol.dp.noise import Noise, Relation
from protocol.functionalities import Boolean, Function
from protocol.messages import Statement
from protocol.names import Name
from protocol.transcript import digest

MOST_SLOTS = 32  # of a letter; one that opens a channel takes about 1.6 kB of the header
Identity = Annotated[bytes, Field(min_length=32, max_length=32)]  # an Ed25519 public key [RFC 8032, §5.1.5]
Milliseconds = Annotated[int, Field(ge=0, lt=2**53)]  # Unix time


class SessionSpec(Statement):
    """The exact bytes of this statement are what the coordinator signs and every node decides about."""

    version: Literal[1] = 1
    function: Function
    noise: Noise | None  # added by the compute parties before anything is opened
    input: str = Field(pattern=r"^[A-Za-z0-9_.-]{1,64}$", description="the name of the input at each party")
    coordinator: Name
    members: dict[Name, Identity]  # everyone who has a role, with the key that signs for them
    inputs: tuple[Name, ...] = Field(min_length=1)  # input parties
    compute: tuple[Name, ...] = Field(min_length=2)  # compute parties; the first one freezes the membership
    results: tuple[Name, ...] = Field(min_length=1)  # result parties
    min_inputs: int = Field(ge=1)
    public: bool  # the answer is published for everyone to read
    created: Milliseconds
    join_by: Milliseconds
    share_by: Milliseconds
    close_by: Milliseconds
    nonce: bytes = Field(min_length=16, max_length=16)  # two like questions are two sessions

    @model_validator(mode="after")
    def _roles_fit(self) -> Self:
        roles = (self.inputs, self.compute, self.results)
        if any(len(set(role)) != len(role) for role in roles):
            raise ValueError("a party is named twice in one role")
        if {name for role in roles for name in role} != set(self.members):
            raise ValueError("members are exactly the parties that have a role")
        if self.min_inputs > len(self.inputs):
            raise ValueError(
                f"min_inputs {self.min_inputs} is more than the {len(self.inputs)} input parties"
            )
        if not self.created < self.join_by <= self.share_by <= self.close_by:
            raise ValueError("the times are not in order: created < join_by ≤ share_by ≤ close_by")
        self.function.domain(len(self.inputs))  # ValueError if the function cannot serve so many
        if self.noise is not None:
            self._noise_fits(self.noise)
        return self

    def _noise_fits(self, noise: Noise) -> None:
        """That Δ is what the function says is for each node to check, and to refuse; see `policy`."""
        self.function.sensitivity(noise.relation)  # ValueError if the function takes no noise
        if noise.colluders >= len(self.compute):
            raise ValueError(
                f"colluders {noise.colluders} of {len(self.compute)} compute parties: one must be honest"
            )
        largest = self.function.magnitude(len(self.inputs)) + noise.tail(len(self.compute))
        if largest >= 2**63:
            raise ValueError("the sum and its noise could pass 2^63: take a larger ε or narrower bounds")

    @property
    def leader(self) -> str:
        """The compute party that freezes the membership."""
        return self.compute[0]

    @cached_property
    def needed(self) -> tuple[str, ...]:
        """Compute and result parties: without any one of them there is no answer."""
        return tuple(dict.fromkeys(self.compute + self.results))

    @cached_property
    def shape(self) -> tuple[int, ...] | None:
        """Of every input; None where any will do.  Δ is over the whole tuple, so with noise it is fixed."""
        return () if self.function.shape is None and self.noise is not None else self.function.shape

    @cached_property
    def epsilon(self) -> int | None:
        """nano-ε that a session costs each input; None if the answer is exact.

        Costs add up only under one relation.  Ours is replace-one, since members are public: noise for a
        smaller Δ, that of another relation, costs as much more.
        """
        if self.noise is None:
            return self.function.local_epsilon
        replaced = self.function.sensitivity(Relation.REPLACE_ONE)
        return -(-self.noise.epsilon * replaced // self.function.sensitivity(self.noise.relation))

    @cached_property
    def noise_width(self) -> int:
        """Bits in which the count of an interactive function, its noise and the threshold add up; 0 without.

        No sum of them passes 2^(width − 1), but for one in 2^64.
        """
        if self.noise is None or not isinstance(self.function, Boolean):
            return 0
        most = self.function.magnitude(len(self.inputs)) + self.noise.tail(len(self.compute))
        return most.bit_length() + 1

    @cached_property
    def triples(self) -> int:
        """How many each pair of compute parties makes."""
        if not isinstance(self.function, Boolean):
            return 0
        return self.function.most_ands(len(self.inputs), len(self.compute), self.noise_width)

    @cached_property
    def input_set(self) -> frozenset[str]:
        """The input parties, to look names up in."""
        return frozenset(self.inputs)

    @cached_property
    def reveal_to_all(self) -> bool:
        """True where reveals go out once, to everybody: all members learn the answer, and are not so many
        that the slots would not fit in a header."""
        return set(self.results) == set(self.members) and len(self.members) <= MOST_SLOTS


def session_id(body: bytes) -> str:
    """The session's id: the hash of the spec's exact bytes, 64 hexadecimal digits."""
    return digest("spec", body).hex()
