"""Differential privacy: noise that nobody knows, exact to the last bit, and what it promises."""
