"""Beaver triples without a dealer: oblivious transfer between each two compute parties."""

from protocol.correlation.base_ot import ChoiceKeys, PairKeys
from protocol.correlation.preparation import Message, Preparation

__all__ = ["ChoiceKeys", "Message", "PairKeys", "Preparation"]
