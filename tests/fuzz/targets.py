"""The entrances that are fuzzed: each takes any bytes, and raises if a promise about them is not kept."""

from __future__ import annotations

from collections.abc import Callable

from tests.fuzz import node_play, oracles, table_play


def codec(raw: bytes) -> None:
    """A payload, before anybody has looked at a signature."""
    oracles.letter(raw)


def statements(raw: bytes) -> None:
    """The number of a kind of statement, and its bytes."""
    if raw:
        oracles.statement(oracles.KINDS[raw[0] % len(oracles.KINDS)], raw[1:])


def post(raw: bytes) -> None:
    """A topic, a line feed and a payload."""
    topic, _, payload = raw.partition(b"\n")
    oracles.posted(topic.decode(errors="replace"), payload)


def toml(raw: bytes) -> None:
    """A configuration file or a roster."""
    oracles.toml(raw)


def session(raw: bytes) -> None:
    """The number of a spec, and a plan of what becomes of its letters."""
    if raw:
        table_play.play(raw[0], table_play.moves(raw[1:]))


def node(raw: bytes) -> None:
    """A plan of what a broker and a member bring to a node."""
    node_play.play(table_play.moves(raw))


TARGETS: dict[str, Callable[[bytes], None]] = {
    each.__name__: each for each in (codec, statements, post, toml, session, node)
}
