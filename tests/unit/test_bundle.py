"""A bundle is one exact sequence of bytes, tells no secret, and is written once."""

from __future__ import annotations

import base64
import json
import sys
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from hypothesis import example, given, settings
from hypothesis import strategies as st

from party_node.audit.bundle import Bundle
from party_node.audit.verdict import Standing, verify
from party_node.cli import PROGRAM, app
from party_node.console import run
from party_node.journal import Journal
from protocol.functionalities import Functionality
from protocol.functionalities.average import Average
from protocol.functionalities.histogram import Histogram
from protocol.functionalities.poll import Poll
from protocol.functionalities.referendum import Referendum
from protocol.functionalities.sum import Sum
from protocol.letters import parse
from protocol.messages import SEALED, Confirm, MalformedError, RefusalCode, Step
from tests.support.bundles import MADE, PARTIES, EvidentNetwork, Scene, added, noise

DISTINCTIVE = ("31415926.53", "27182818.28", "16180339.88")


@pytest.fixture(scope="module")
def scene() -> Iterator[Scene]:
    made = MADE["noised"]()
    yield made
    made.network.close()


@pytest.fixture(scope="module")
def raw(scene: Scene) -> bytes:
    return scene.network.bundle(scene.content("bob"))


# -- the bytes ---------------------------------------------------------------------------------------


def test_a_bundle_is_read_as_it_was_written(raw: bytes) -> None:
    assert Bundle.decode(raw).encode() == raw


@settings(max_examples=80)
@given(data=st.data())
def test_no_bundle_with_another_byte_is_valid(scene: Scene, raw: bytes, data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(raw) - 1))
    flipped = bytearray(raw)
    flipped[place] ^= data.draw(st.integers(1, 255))
    found = verify([bytes(flipped)], scene.roster)
    assert found.standing is Standing.INVALID


@given(st.binary(max_size=200))
@example(b"")
@example(b"{}")
@example(b"[" * 10_000)
def test_other_bytes_are_no_bundle(scene: Scene, noise: bytes) -> None:
    found = verify([noise], scene.roster)
    assert found.standing is Standing.INVALID
    assert found.reason.startswith("format: bundle: ")
    assert found.case is None


OTHERS: dict[str, Callable[[dict[str, object]], object]] = {
    "another format": lambda content: content.update(format="sotto-other"),
    "another version": lambda content: content.update(version=2),
    "a field more": lambda content: content.update(secret=1),
    "a field less": lambda content: content.pop("ledger"),
    "a control character": lambda content: content["decision"].update(detail="\x1b[2J"),  # type: ignore[attr-defined] # a table
    "a letter that is no base64": lambda content: content.update(letters=["!"]),
}


@pytest.mark.parametrize("name", OTHERS)
def test_nothing_else_is_decoded(raw: bytes, name: str) -> None:
    fields = json.loads(raw)
    OTHERS[name](fields["content"])
    with pytest.raises(MalformedError):
        Bundle.decode(json.dumps(fields, separators=(",", ":")).encode())


@pytest.mark.parametrize("other", [lambda raw: raw + b"\n", lambda raw: b" " + raw, lambda raw: raw[:-1]])
def test_the_same_in_another_spelling_is_no_bundle(raw: bytes, other: Callable[[bytes], bytes]) -> None:
    with pytest.raises(MalformedError):
        Bundle.decode(other(raw))


def test_whose_bundle_it_is_its_signature_says(scene: Scene) -> None:
    found = verify([scene.network.bundle(scene.content("bob"), key="alice")], scene.roster)
    assert found.reason == "exporter: the signature on the bundle is not bob's"


# -- no secret ---------------------------------------------------------------------------------------

SESSIONS: dict[str, tuple[Functionality, bool, tuple[str, ...]]] = {
    "sum": (Sum(), False, DISTINCTIVE),
    "average": (Average(), False, DISTINCTIVE),
    "noised average": (Average(lower=Decimal(0), upper=Decimal(10**8)), True, DISTINCTIVE),
    "histogram": (Histogram(bins=9), False, ("1", "2", "9")),
    "referendum": (Referendum(threshold="1/2"), False, ("1", "0", "1")),
    "noised referendum": (Referendum(threshold="1/2"), True, ("1", "0", "1")),
    "poll": (Poll(), False, ("1", "0", "1")),
}


@pytest.mark.parametrize("name", SESSIONS)
def test_what_is_secret_is_in_no_bundle(name: str) -> None:
    function, noised, values = SESSIONS[name]
    network = EvidentNetwork(
        {party: {"raise": value} for party, value in zip(PARTIES, values, strict=True)}, keep=10**9
    )
    session = network.announce(network.spec(function, noise=noise(function) if noised else None))
    network.run(network.now + 10_000)  # the secrets are still kept
    here = Scene(network, session)
    bundles = {party: here.content(party) for party in PARTIES}
    assert here.judge(*bundles.values()).standing is Standing.VALID
    told = b"".join(every_byte(network.bundle(content)) for content in bundles.values())
    secrets = {secret for party in PARTIES for secret in secrets_of(network.journals[party], session)}
    secrets |= {value.encode() for value in values if len(value) > 1}
    assert len(secrets) >= 4 * len(PARTIES)
    assert [secret for secret in secrets if secret in told] == []
    for planted in (Confirm(transcript=min(each for each in secrets if len(each) == 32)), min(secrets)):
        leak = added(bundles["bob"], here.letter(Step.CONFIRM, "bob", planted))
        assert [each for each in secrets if each in every_byte(network.bundle(leak))]
    network.close()


def secrets_of(journal: Journal, session: str) -> Iterator[bytes]:
    """The seed, the input as it is shared, the answer, and all that was sealed or masked."""
    row = journal.session(session)
    assert row is not None
    assert row.seed is not None
    assert row.outcome is not None
    yield row.seed.expose()
    value, answer = journal.value(session), row.outcome.answer
    for numbers in (value, None if answer is None else answer.units):
        if numbers is not None and numbers.max() > 10**6:  # else it is anywhere by chance
            yield numbers.tobytes()
            yield str(int(numbers)).encode()
    arrived = [payload for _, payload in journal.arrivals(session) if payload]
    for payload in [*arrived, *(sent.payload for sent in journal.outbox(session))]:
        part = parse(payload)
        if part.header.step in {*SEALED, Step.MASKED, Step.OPENED}:
            yield payload
            yield from (slot.box for slot in part.header.slots)
            if len(part.body) > 16:
                yield part.body


def every_byte(raw: bytes) -> bytes:
    """The bundle, and all that is encoded in it."""
    content = Bundle.decode(raw).content
    inner = b"".join(parse(each).body for each in content.letters if len(each) > 68)
    return b"|".join((raw, content.announce, *content.letters, inner, _unpacked(inner)))


def _unpacked(inner: bytes) -> bytes:
    found = [
        each for each in inner.decode(errors="replace").split('"') if len(each) >= 8 and len(each) % 4 == 0
    ]
    return b"|".join(base64.urlsafe_b64decode(each) for each in found if each.isascii() and "{" not in each)


def test_why_an_input_was_refused_is_not_told() -> None:
    """It is above the upper bound, which its owner alone may know."""
    network = EvidentNetwork({name: {"raise": "500" if name == "carlos" else "1"} for name in PARTIES})
    session = network.ran(network.spec(Sum(lower=Decimal(0), upper=Decimal(100), decimals=0)))
    here = Scene(network, session)
    content = here.content("carlos")
    assert content.decision is not None
    assert (content.decision.code, content.decision.detail) == (RefusalCode.INPUT, "")
    noted = network.journals["carlos"].decision(session)
    assert noted is not None
    assert "upper" in noted.detail
    assert b"upper bound" not in network.bundle(content)
    assert here.judge(content).standing is Standing.VALID
    network.close()


# -- the commands ------------------------------------------------------------------------------------

CONFIG = """
name = "bob"
data_dir = "bob"
roster = "roster.toml"
identity_key = "identity.key"
[broker]
host = "localhost"
port = 8883
ca = "ca.crt"
certificate = "tls.crt"
key = "tls.key"
"""


class Desk:
    """Bob's directory, in which his node has run, and the commands there."""

    def __init__(self, directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.directory, self._capsys = directory, capsys
        self.network = EvidentNetwork({name: {"raise": "1"} for name in PARTIES}, directory=directory)
        (directory / "config.toml").write_text(CONFIG)
        pem = self.network.keys["bob"].private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        (directory / "identity.key").write_bytes(pem)
        (directory / "identity.key").chmod(0o600)
        tables = {"parties": self.network.roster.parties, "coordinators": self.network.roster.coordinators}
        (directory / "roster.toml").write_text(
            "".join(
                f'[{table}.{name}]\nidentity = "{base64.b64encode(key).decode()}"\n'
                for table, keys in tables.items()
                for name, key in keys.items()
            )
        )

    def called(self, *arguments: object) -> tuple[object, str, str]:
        """Exit code, stdout and stderr of `party-node audit`."""
        sys.argv = [PROGRAM, "audit", *map(str, arguments)]
        with pytest.raises(SystemExit) as ended:
            run(app, PROGRAM)
        return (ended.value.code, *self._capsys.readouterr())

    def export(self, *arguments: object) -> tuple[object, str, str]:
        return self.called("export", *arguments, "--config", self.directory / "config.toml")

    def verify(self, *arguments: object) -> tuple[object, str, str]:
        return self.called("verify", *arguments, "--roster", self.directory / "roster.toml")


@pytest.fixture
def desk(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Desk]:
    monkeypatch.setattr(sys, "argv", [])
    monkeypatch.chdir(tmp_path)
    made = Desk(tmp_path, capsys)
    yield made
    made.network.close()


def test_a_bundle_is_written_once_and_checked_by_its_exit_code(desk: Desk) -> None:
    session = desk.network.ran(desk.network.spec(Sum(decimals=0)))
    capture = desk.export(session[:6])
    name = f"sotto-audit-{session[:12]}-bob.json"
    assert (capture[0], capture[1].splitlines()[-1], capture[2]) == (0, name, "")
    code, out, err = desk.export(session)
    assert (code, out) == (1, "")
    assert (
        err == f"party-node: error: {name}: exists already\nparty-node: hint: name another file with --out\n"
    )
    code, out, err = desk.verify(name)
    assert (code, out.splitlines()[0], err) == (0, "VALID", "")
    raw = (desk.directory / name).read_bytes()
    altered = desk.directory / "altered.json"
    altered.write_bytes(raw.replace(b'"exporter":"bob"', b'"exporter":"eve"'))
    code, out, err = desk.verify(altered)
    assert (code, err) == (1, "")
    assert out.startswith("INVALID: exporter: the bundle is eve's, who is not in the roster\n")
    code, out, _ = desk.verify(name, "--json")
    assert code == 0
    found = json.loads(out)
    assert (found["verdict"], found["session"], found["bundles"]) == ("VALID", session, ["bob"])
    assert {each["mark"] for each in found["checks"]} == {"ok", "nothing to check"}


def test_a_bundle_of_a_running_session_is_incomplete(desk: Desk) -> None:
    desk.network.down.add("carlos")
    session = desk.network.announce(desk.network.spec(Sum(decimals=0)))
    desk.network.run(desk.network.now + 1_000)
    assert desk.export(session, "--out", "running.json")[0] == 0
    code, out, _ = desk.verify("running.json")
    assert (code, out.splitlines()[0]) == (3, "INCOMPLETE: ending: still running at bob")


def test_evidence_that_is_deleted_cannot_be_exported(desk: Desk) -> None:
    session = desk.network.ran(desk.network.spec(Sum(decimals=0)))
    journal = desk.network.journals["bob"]
    journal.drop_evidence(desk.network.now + 1)
    journal.commit()
    code, _, err = desk.export(session)
    assert code == 1
    assert err.startswith(f"party-node: error: the evidence of session {session[:12]} is deleted")
    assert "party-node: hint: keep_evidence in the config says" in err


def test_what_is_not_there_is_an_error(desk: Desk) -> None:
    code, _, err = desk.export("ffff")
    assert (code, err.splitlines()[0]) == (1, "party-node: error: no session whose id starts with ffff")
    code, _, err = desk.verify("missing.json")
    assert (code, err.splitlines()[0]) == (1, "party-node: error: missing.json: no such file or directory")
    session = desk.network.ran(desk.network.spec(Sum(decimals=0)))
    code, _, err = desk.export(session, "--out", desk.directory / "missing" / "bundle.json")
    assert code == 1
    assert "bundle.json: no such file or directory" in err
