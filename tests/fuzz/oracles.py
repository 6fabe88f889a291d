"""What the codec promises of any bytes: they are refused as malformed, or they are the one spelling of what
was read.  Whatever else comes out, another exception above all, breaks the promise.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

from party_node.config import load_coordinator, load_node
from party_node.post import Post
from party_node.roster import load_roster
from protocol.errors import ConfigError
from protocol.letters import Header, Part, frame, parse
from protocol.mailbox import STATEMENTS
from protocol.messages import MalformedError, Request, Statement, Step
from protocol.names import RESERVED, is_name
from protocol.spec import SessionSpec

LONGEST_MESSAGE = 2_000  # characters of an error: it ends in a log, whoever caused it
BODIES: dict[Step, type[Statement]] = {**STATEMENTS, Step.ANNOUNCE: SessionSpec, Step.REQUEST: Request}
KINDS: tuple[type[Statement], ...] = (Header, *BODIES.values())
READER = "alice"
BASE = "sotto"


def statement(kind: type[Statement], raw: bytes) -> Statement | None:
    """`raw` as a statement of this kind, or None if it is refused."""
    try:
        found = kind.decode(raw)
    except MalformedError as error:
        readable(error)
        return None
    assert found.encode() == raw, f"{kind.__name__} was read from bytes that are not its own"
    assert type(found) is kind
    return found


def letter(payload: bytes) -> Part | None:
    """A payload as a part with a statement in it, or None if it is refused."""
    try:
        part = parse(payload)
    except MalformedError as error:
        readable(error)
        return None
    assert frame(part.header.encode(), part.body, part.signature) == payload
    kind = BODIES.get(part.header.step)
    if kind is not None:
        statement(kind, part.body)
    return part


def posted(topic: str, payload: bytes) -> Part | None:
    """A payload under a topic, as `alice` reads it, or None if it is refused."""
    post = Post(READER, None, BASE)  # type: ignore[arg-type] # a reader signs nothing
    address = post.address(topic)
    try:
        part = post.read(topic, payload)
    except MalformedError as error:
        readable(error)
        return None
    header = part.header
    if header.step is not Step.ANNOUNCE:  # which anybody may pass on
        assert address == (header.session, header.stage, header.sender)
        assert topic.split("/")[-2] in ({header.to, READER} if header.to in RESERVED else {header.to})
    assert is_name(header.sender)
    return part


def readable(error: MalformedError) -> None:
    """Whatever a stranger has sent, the complaint about it fits on a terminal and does nothing to it."""
    assert len(error.message) <= LONGEST_MESSAGE, f"an error of {len(error.message)} characters"
    assert error.message.isprintable(), f"an error that is not printable: {error.message!r}"


def toml(text: bytes) -> bool:
    """Whether a file is a node's config, a coordinator's or a roster."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "config.toml"
        path.write_bytes(text)
        return sum(_loads(load, path) for load in (load_node, load_coordinator, load_roster)) > 0


def _loads(load: Callable[[Path], object], path: Path) -> bool:
    try:
        load(path)
    except ConfigError as error:
        complaint = error.message
    else:
        return True
    assert complaint.startswith((str(path), "SOTTO_")), complaint
    return False
