"""Fuzzing: what each entrance of the program promises of any bytes, and what tries to disprove it."""
