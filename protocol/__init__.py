"""The protocol as pure functions: no I/O, no clock, no entropy.  SPEC.md describes the bytes."""
