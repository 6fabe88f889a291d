"""Whoever reads every byte that is published learns nothing; and the reader who says so is not blind."""

from __future__ import annotations

import base64
import gzip
import json
import random
import zlib
from collections.abc import Callable, Iterable
from itertools import cycle

import numpy as np
import pytest

from party_node import active
from party_node.seal import Seal
from protocol.functionalities.average import Average
from protocol.functionalities.referendum import Referendum
from protocol.functionalities.sum import Sum
from protocol.letters import PART_BYTES, Letter, Slot
from protocol.sealed import Outgoing, Unsealed
from protocol.secret import Seed
from tests.support.detector import Detector, Finding, Secret
from tests.support.network import START, Network
from tests.support.session_secrets import session_secrets

NUMERIC = ["input", "share", "partial sum", "output share", "result"]
KINDS = {*NUMERIC, "share seed", "opening nonce", "session seed"}
PARTIES = ("alice", "bob", "carlos", "david")


class OpenSeal(Seal):
    """Sealing switched off: what would be sealed lies open in the letter."""

    def seal(self, letter: Outgoing, key_of: Callable[[str], bytes]) -> tuple[tuple[Slot, ...], list[bytes]]:
        """The share's seed in the slot, the body in the chunks, as they are."""
        box = (letter.seed.expose() if letter.seed else bytes(32)) + bytes(16)
        slots = tuple(Slot(to=to, open=None, box=box) for to in letter.recipients)
        body = letter.body
        return slots, [body[at : at + PART_BYTES] for at in range(0, max(len(body), 1), PART_BYTES)]

    def unseal(self, letter: Letter, view: bytes) -> Unsealed:
        """Inverse of `seal`."""
        slot = next(slot for slot in letter.slots if slot.to == self._me)
        return Unsealed(None, letter.body) if letter.body else Unsealed(Seed(slot.box[:32]), b"")


def tapped(seed: int = 1, length: int | None = None, **fields: object) -> tuple[Network, str]:
    """A finished session whose inputs nobody guesses, with its journals kept."""
    rng = random.Random(seed)

    def one() -> str:
        units = rng.randrange(1 << 58, 1 << 60)  # four of them stay below 2^63
        return f"{rng.choice(['', '-'])}{units // 100}.{units % 100:02}"

    values = {
        name: {"raise": one() if length is None else [one() for _ in range(length)]} for name in PARTIES
    }
    network = Network(values, seed=seed, keep=3_600_000)
    function = Average() if seed % 2 else Sum()
    session = network.announce(network.spec(function, "raise", 60_000, **fields))
    network.run(until=START + 10_000)
    assert {str(each.state) for each in network.outcomes(session).values()} == {"completed"}
    return network, session


def payloads(network: Network) -> list[bytes]:
    """Everything that was published, topics included."""
    return [part for sent in network.tap for part in (sent.topic.encode(), sent.payload)]


def secrets_of(network: Network, session: str, seal: type[Seal] = Seal) -> list[Secret]:
    """What its members must not let out."""
    return session_secrets({name: network.journals[name] for name in PARTIES}, session, seal)


def kinds_of(secrets: Iterable[Secret]) -> set[str]:
    """What there is to be found."""
    return {each.kind for each in secrets}


def kinds(findings: Iterable[Finding]) -> set[str]:
    """What was found."""
    return {each.kind for each in findings}


ROLES = [
    {},
    {"length": 2},
    {"compute": ("alice", "bob"), "results": ("carlos",)},
    {
        "length": 3,
        "inputs": PARTIES[:3],
        "compute": ("david", "bob", "carlos"),
        "results": ("alice", "david"),
    },
]


@pytest.mark.parametrize("roles", ROLES, ids=["all", "vectors", "disjoint results", "overlapping roles"])
@pytest.mark.parametrize("seed", [1, 2])
def test_nothing_published_holds_a_secret_in_any_encoding(seed: int, roles: dict[str, object]) -> None:
    network, session = tapped(seed, **roles)  # type: ignore[arg-type] # fields of a spec
    secrets = secrets_of(network, session)
    assert kinds_of(secrets) == KINDS
    assert Detector(secrets).find(payloads(network)) == []


def test_a_session_with_a_node_that_is_late_publishes_no_secret_either() -> None:
    values = {
        name: {"raise": f"{10**15 + 7919**4 * number}.{number:02}"} for number, name in enumerate(PARTIES)
    }
    network = Network(values, seed=3, keep=3_600_000)
    network.stop("david")
    network.at(START + 5_000, lambda: network.start("david"))
    session = network.announce(network.spec(Average()))
    network.run(until=START + 20_000)
    assert any(sent.retain for sent in network.tap)
    assert Detector(secrets_of(network, session)).find(payloads(network)) == []


@pytest.mark.parametrize("roles", ROLES, ids=["all", "vectors", "disjoint results", "overlapping roles"])
def test_with_sealing_switched_off_shares_and_output_shares_are_found(
    roles: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(active, "Seal", OpenSeal)
    network, session = tapped(1, **roles)  # type: ignore[arg-type] # fields of a spec
    findings = Detector(secrets_of(network, session, OpenSeal)).find(payloads(network))
    assert kinds(findings) >= {"share seed", "output share", "opening nonce"}


def test_with_sealing_switched_off_explicit_shares_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(active, "Seal", OpenSeal)
    network, session = tapped(1, compute=("alice", "bob"))  # carlos and david keep no share themselves
    assert "share" in kinds(Detector(secrets_of(network, session, OpenSeal)).find(payloads(network)))


def test_a_public_answer_is_found_and_nothing_else_is() -> None:
    network, session = tapped(2, public=True)
    findings = Detector(secrets_of(network, session)).find(payloads(network))
    assert kinds(findings) == {"result"}


# -- referenda -----------------------------------------------------------------------------------------------

VOTED = {"session seed", "share seed", "share", "opening nonce", "base transfer key"}


def voted() -> tuple[Network, str]:
    """Two referenda, the second one with the base transfers of the first; some vote, some compute."""
    network = Network(
        {name: {"merge": ballot} for name, ballot in zip(PARTIES, "1101", strict=True)}, keep=3_600_000
    )
    for _ in range(2):
        spec = network.spec(Referendum(threshold="2/3"), "merge", compute=PARTIES[1:])
        session = network.announce(spec)
        network.run(until=network.now + 10_000)
        answers = [each.answer and each.answer.text() for each in network.outcomes(session).values()]
        assert answers == ["YES"] * 4
    return network, session


def test_nothing_published_of_a_referendum_holds_a_secret_in_any_encoding() -> None:
    network, session = voted()
    secrets = secrets_of(network, session)
    assert kinds_of(secrets) == VOTED
    assert Detector(secrets).find(payloads(network)) == []
    for secret in [each for each in secrets if each.kind == "base transfer key"]:
        assert isinstance(secret.content, bytes)
        assert kinds(Detector([secret]).find(hidden(network, secret.content, 20))) == {secret.kind}


def test_with_sealing_switched_off_shares_and_openings_of_a_referendum_are_found(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(active, "Seal", OpenSeal)
    network, session = voted()
    findings = Detector(secrets_of(network, session, OpenSeal)).find(payloads(network))
    assert kinds(findings) == VOTED - {"session seed", "base transfer key"}, "the rest is never sent at all"


# -- the detector is alive: each kind of secret, in each encoding, hidden in a real session's letters --------

ENCODINGS: dict[str, Callable[[bytes], bytes]] = {
    "raw": lambda raw: raw,
    "reversed": lambda raw: raw[::-1],
    "hexadecimal": lambda raw: raw.hex().encode(),
    "capitals": lambda raw: raw.hex().upper().encode(),
    "base64": base64.b64encode,
    "base64, shifted by one": lambda raw: base64.b64encode(b"?" + raw + b"?"),
    "base64, shifted by two": lambda raw: base64.b64encode(b"??" + raw + b"?"),
    "base64url": lambda raw: base64.urlsafe_b64encode(b"??" + raw),
    "list of bytes": lambda raw: json.dumps(list(raw)).encode(),
    "zlib": zlib.compress,
    "gzip": lambda raw: gzip.compress(raw, mtime=0),
    "base64 of zlib": lambda raw: base64.b64encode(zlib.compress(raw)),
    "zlib of hexadecimal": lambda raw: zlib.compress(raw.hex().encode()),
}
NUMBERS: dict[str, Callable[[int], bytes]] = {
    "ring element": lambda units: str(units % 2**64).encode(),
    "units": lambda units: str(units).encode(),
    "units with a sign": lambda units: f"{units:+}".encode(),
    "value": lambda units: f"{'-' * (units < 0)}{abs(units) // 100}.{abs(units) % 100:02}".encode(),
    "list of units": lambda units: json.dumps([1, units, 2]).encode(),
    "list of text": lambda units: json.dumps([str(units)]).encode(),
    "hexadecimal number": lambda units: hex(units).encode(),
    "base64 of text": lambda units: base64.b64encode(f'{{"x": {units}}}'.encode()),
    "gzip of text": lambda units: gzip.compress(str(units).encode()),
}


@pytest.fixture(scope="module")
def clean() -> tuple[Network, list[Secret]]:
    """A session without findings, and its secrets."""
    network, session = tapped(1)
    return network, secrets_of(network, session)


def hidden(network: Network, needle: bytes, place: int) -> list[bytes]:
    """The session's payloads, one of them with something in its middle."""
    found = payloads(network)
    victim = found[place % len(found)]
    return [*found, victim[: len(victim) // 2] + b"\x00" + needle + b"\x00" + victim[len(victim) // 2 :]]


@pytest.mark.parametrize(
    ("kind", "encoding"),
    [
        (kind, encoding)
        for kind in sorted(KINDS)
        for encoding in ENCODINGS
        if encoding != "reversed" or kind in NUMERIC  # a seed has no byte order
    ],
)
def test_each_kind_of_secret_is_found_as_bytes(
    clean: tuple[Network, list[Secret]], kind: str, encoding: str
) -> None:
    network, secrets = clean
    for place, secret in zip(
        cycle(range(7)), [each for each in secrets if each.kind == kind][:3], strict=False
    ):
        raw = secret.content if isinstance(secret.content, bytes) else secret.content.astype("<u8").tobytes()
        found = Detector([secret]).find(hidden(network, ENCODINGS[encoding](raw), place))
        assert kinds(found) == {kind}


@pytest.mark.parametrize("kind", NUMERIC)
@pytest.mark.parametrize("encoding", NUMBERS)
def test_each_kind_of_number_is_found_as_text(
    clean: tuple[Network, list[Secret]], kind: str, encoding: str
) -> None:
    network, secrets = clean
    for place, secret in enumerate([each for each in secrets if each.kind == kind][:3]):
        assert not isinstance(secret.content, bytes)
        units = int(np.asarray(secret.content).view(np.int64).reshape(-1)[0])
        found = Detector([secret]).find(hidden(network, NUMBERS[encoding](units), place))
        assert kinds(found) == {kind}


def test_a_finding_says_where_but_never_what() -> None:
    secret = Secret("input", "alice", np.array(123456789012345678, dtype=np.uint64))
    (finding,) = Detector([secret]).find([b"nothing", b'{"x": 123456789012345678}'])
    assert (finding.payload, finding.encoding) == (1, "decimal units")
    assert "123456789012345678" not in f"{secret}{finding}"


def test_a_secret_too_short_to_be_told_from_chance_is_refused() -> None:
    with pytest.raises(ValueError, match="too short"):
        Detector([Secret("share seed", "alice", b"")])
