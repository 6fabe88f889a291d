"""Known parties: the key under which this node first knew each name, as SSH keeps known hosts.

The roster is a file that comes by mail.  What it says of a new name is noted at first sight; if it says
another key of a name that is noted, that is shouted about, and the name is a stranger's until a person who
has heard the fingerprint over the telephone says `trust`.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

import structlog

from party_node import data_dir as data_directory
from party_node import durable
from party_node.roster import Roster, fingerprint
from protocol.errors import ConfigError
from protocol.names import is_name

FILE = "known_parties"
_LOCK = "known_parties.lock"
_HEADER = "# The key under which each party was first known here; `party-node trust` changes a line."
_LINE = re.compile(r"([a-z][a-z0-9-]*) (SHA256:[A-Za-z0-9+/]{43})")
_WIDTH = 72  # of the banner

log = structlog.get_logger("node")
Known = Mapping[str, str]  # name → fingerprint


# -- the file ----------------------------------------------------------------------------------------


def load(data_dir: Path) -> dict[str, str]:
    """The fingerprints that are noted, by name; none if there is no file.  Raises ConfigError."""
    path = data_dir / FILE
    try:
        lines = path.read_bytes().decode("ascii", errors="replace").split("\n")
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise ConfigError(
            f"{path}: {(error.strerror or 'unreadable').lower()}", "this node's user must own it"
        ) from None
    if lines[0] != _HEADER or lines[-1] != "":
        raise _damaged(path, 1 if lines[0] != _HEADER else len(lines), "cut or overwritten")
    known: dict[str, str] = {}
    for number, line in enumerate(lines[1:-1], start=2):
        found = _LINE.fullmatch(line)
        if found is None or not is_name(found[1]):
            raise _damaged(path, number, "expected a name and its fingerprint, SHA256:…")
        if found[1] in known:
            raise _damaged(path, number, f"{found[1]} a second time")
        known[found[1]] = found[2]
    return known


def _damaged(path: Path, number: int, problem: str) -> ConfigError:
    return ConfigError(
        f"{path}: line {number}: {problem}",
        "put a copy of it back; who deletes it believes whatever keys the roster has now, "
        "so compare them by telephone first",
    )


def _update(data_dir: Path, change: Callable[[dict[str, str]], None]) -> dict[str, str]:
    """Read, change and write as one step: several commands of a coordinator share its data directory."""
    data_directory.create(data_dir)
    with _locked(data_dir):
        known = load(data_dir)
        before = dict(known)
        change(known)
        if known != before:
            lines = [_HEADER, *(f"{name} {known[name]}" for name in sorted(known))]
            try:
                durable.replace(data_dir / FILE, "".join(f"{line}\n" for line in lines).encode())
            except OSError as error:
                raise _unwritable(data_dir / FILE, error) from None
    return known


@contextmanager
def _locked(data_dir: Path) -> Iterator[None]:
    """One writer at a time."""
    with ExitStack() as stack:
        try:
            stack.enter_context(durable.alone(data_dir / _LOCK))
        except OSError as error:
            raise _unwritable(data_dir / _LOCK, error) from None
        yield


def _unwritable(path: Path, error: OSError) -> ConfigError:
    reason = (error.strerror or "cannot be written").lower()
    return ConfigError(f"{path}: {reason}", "nobody new can be noted; make room, or mend its permissions")


# -- what it says of a roster ------------------------------------------------------------------------


def compared(roster: Roster, data_dir: Path, *, remember: bool) -> Roster:
    """The roster, in which everybody is a stranger whose key is not the one that we know.

    With `remember`, names that are new to us are noted.  A revoked key is never noted: nobody believed it.
    """
    entries = {**roster.parties, **roster.coordinators}
    seen = {name: fingerprint(key) for name, key in entries.items() if name not in roster.revoked}
    known = load(data_dir)
    if remember and seen.keys() - known.keys():
        known = _update(data_dir, lambda noted: noted.update(seen | noted))
    changed = {name: known[name] for name, offered in seen.items() if known.get(name, offered) != offered}
    return replace(roster, changed=changed)


def trust(data_dir: Path, roster: Roster, name: str, typed: str) -> str:
    """Believe the roster's key of `name` from now on, if its fingerprint is the one that a person heard.

    Returns what to tell the operator.  Raises ConfigError, and nothing is changed.
    """
    key = roster.entry(name)
    if key is None or name in roster.revoked:
        raise ConfigError(f"{name} {roster.objection(name)}", "nothing was changed")
    if fingerprint(key) != typed:
        raise ConfigError(
            f"{name} has {fingerprint(key)} in the roster, and not {typed}",
            "nothing was changed; if the party reads out the second, do not believe the roster",
        )
    before = load(data_dir).get(name)
    _update(data_dir, lambda noted: noted.update({name: typed}))
    if before in (None, typed):
        return f"{name} is known under {typed}"
    return f"{name} is known under {typed} from now on, and no longer under {before}; restart the node"


# -- shouting ----------------------------------------------------------------------------------------


def changed_key_warning(name: str, known: str, offered: str) -> str:
    """Several lines for a person: the key of `name` is not the one that we know."""
    headline = f"THE KEY OF {name} IS NOT THE ONE THAT WE KNOW"
    return "\n".join(
        [
            "@" * _WIDTH,
            f"@{headline:^{_WIDTH - 2}}@",
            "@" * _WIDTH,
            f"known     {known}",
            f"offered   {offered}",
            f"Either {name} has made new keys, or somebody wants to pass for {name}.",
            f"Until you decide, {name} is a stranger here: no session with {name} is joined.",
        ]
    )


def remedy(roster: Roster, name: str, program: str) -> str:
    """What to do about a changed key in the roster; `program` is whose `trust` believes it."""
    typed = fingerprint(roster.entry(name) or b"")
    return f"let {name} read out the fingerprint by telephone; if it is this: {program} trust {name} {typed}"


def shout(name: str, known: str, offered: str, hint: str) -> None:
    """Log a changed key as an error, with a banner where a person is watching."""
    if sys.stderr.isatty():
        sys.stderr.write(f"{changed_key_warning(name, known, offered)}\n")
    log.error("key changed", party=name, known=known, offered=offered, hint=hint)


def shout_all(roster: Roster, program: str) -> None:
    """Every key in the roster that is not the one that we know."""
    for name, known in roster.changed.items():
        shout(name, known, fingerprint(roster.entry(name) or b""), remedy(roster, name, program))


def shout_offered(roster: Roster, members: Mapping[str, bytes]) -> None:
    """Every key in an announcement that is not the one in the roster."""
    for name, offered in members.items():
        entry = roster.entry(name)
        if entry is not None and entry != offered:
            hint = (
                f"our roster and the coordinator's differ: let {name} read out the fingerprint by telephone"
            )
            shout(name, fingerprint(entry), fingerprint(offered), hint)
