"""A scalar from a config file is split like a vector: numpy turns a 0-d array into a number on the way."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from party_node import inputs
from party_node.config import InputSource
from protocol import sharing
from protocol.functionalities import CATALOGUE
from protocol.secret import Seed


def test_the_explicit_share_of_a_scalar_is_not_the_scalar_itself() -> None:
    value = inputs.load("raise", InputSource.model_validate({"value": 3800}), Path())
    encoded = CATALOGUE["average"]().encode(value, inputs=3)
    shares = sharing.split(encoded, ["alice", "bob", "carlos"], "alice", Seed(bytes(32)))
    assert not np.array_equal(shares["alice"].elements(()), encoded)
    assert np.array_equal(sharing.add(shares.values(), ()), encoded)
