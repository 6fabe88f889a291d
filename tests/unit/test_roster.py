"""A roster pins each name to one key, and a private key is for its owner's eyes only."""

import base64
import hashlib
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from party_node.identity import create_identity, load_identity
from party_node.roster import fingerprint, load_roster
from protocol.errors import ConfigError

ALICE, BOB, CAROL = (bytes([number]) * 32 for number in (1, 2, 3))


def text(key: bytes) -> str:
    return base64.b64encode(key).decode()


def roster(directory: Path, *entries: tuple[str, str]) -> Path:
    path = directory / "roster.toml"
    path.write_text("".join(f'[{name}]\nidentity = "{identity}"\n' for name, identity in entries))
    return path


def complaint(path: Path) -> str:
    with pytest.raises(ConfigError) as caught:
        load_roster(path)
    return caught.value.message.removeprefix(f"{path}: ")


def test_a_roster_knows_parties_and_coordinators_and_no_stranger(tmp_path: Path) -> None:
    known = load_roster(roster(tmp_path, ("parties.alice", text(ALICE)), ("coordinators.carol", text(CAROL))))
    assert (known.identity("alice"), known.identity("carol")) == (ALICE, CAROL)
    assert known.identity("mallory") is None
    assert known.is_coordinator("carol")
    assert not known.is_coordinator("alice")


def test_a_name_in_both_tables_is_refused(tmp_path: Path) -> None:
    path = roster(tmp_path, ("parties.alice", text(ALICE)), ("coordinators.alice", text(BOB)))
    assert complaint(path) == "coordinators.alice: already named as parties.alice"


@pytest.mark.parametrize("second", ["parties.bob", "coordinators.bob"])
def test_two_names_with_one_key_are_refused(tmp_path: Path, second: str) -> None:
    path = roster(tmp_path, ("parties.alice", text(ALICE)), (second, text(ALICE)))
    assert complaint(path) == f"{second}.identity: the same key as parties.alice"


@pytest.mark.parametrize(
    ("identity", "problem"),
    [
        ("?", "should be base64, as `party-node init` prints it"),
        (text(ALICE).rstrip("="), "should be base64, as `party-node init` prints it"),
        (text(ALICE[:31]), "is 31 bytes, should be the 32 bytes of an Ed25519 key"),
        ("", "is 0 bytes, should be the 32 bytes of an Ed25519 key"),
    ],
)
def test_an_identity_that_is_no_key_is_refused_with_its_entry(
    tmp_path: Path, identity: str, problem: str
) -> None:
    assert complaint(roster(tmp_path, ("parties.alice", identity))) == f"parties.alice.identity: {problem}"


def test_a_private_key_pasted_into_a_roster_is_not_repeated(tmp_path: Path) -> None:
    private = text(bytes(range(48)))
    assert private not in complaint(roster(tmp_path, ("parties.alice", private)))


def test_a_name_that_no_party_may_have_is_refused(tmp_path: Path) -> None:
    assert complaint(roster(tmp_path, ("parties.Alice", text(ALICE)))).startswith("parties.Alice: ")
    assert complaint(roster(tmp_path, ("parties.all", text(ALICE)))).startswith("parties.all: ")


def _revoked(directory: Path, reason: str) -> Path:
    path = directory / "roster.toml"
    path.write_text(
        f'[parties.alice]\nidentity = "{text(ALICE)}"\nrevoked = {reason}\n'
        f'[coordinators.carol]\nidentity = "{text(CAROL)}"\nrevoked = {reason}\n'
        f'[parties.bob]\nidentity = "{text(BOB)}"\n'
    )
    return path


def test_who_is_revoked_is_a_stranger_with_a_reason(tmp_path: Path) -> None:
    known = load_roster(_revoked(tmp_path, '"lost laptop, 2026-11-22"'))
    assert [known.identity(name) for name in ("alice", "carol", "bob")] == [None, None, BOB]
    assert not known.is_coordinator("carol")
    assert known.objection("alice") == "is revoked: lost laptop, 2026-11-22"
    assert known.objection("alice", ALICE) == "is revoked: lost laptop, 2026-11-22"
    assert known.objection("bob", BOB) is None
    assert known.entry("alice") == ALICE


@pytest.mark.parametrize(
    "reason", ['""', '"  "', "true", "20261122", '"a\\nb"', '"\\u001b[2J"', f'"{"x" * 201}"']
)
def test_a_revocation_is_a_line_that_says_why(tmp_path: Path, reason: str) -> None:
    assert complaint(_revoked(tmp_path, reason)).startswith("parties.alice.revoked: ")


def test_an_objection_tells_a_stranger_from_a_key_that_differs(tmp_path: Path) -> None:
    known = load_roster(roster(tmp_path, ("parties.alice", text(ALICE))))
    assert known.objection("mallory", BOB) == "is not in the roster"
    assert known.objection("alice", BOB) == (
        f"has another key in the roster: {fingerprint(ALICE)}, not {fingerprint(BOB)}"
    )


def test_an_unknown_key_in_an_entry_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "roster.toml"
    path.write_text(f'[parties.alice]\nidentiy = "{text(ALICE)}"\n')
    assert complaint(path) == "parties.alice.identiy: unknown key"


def test_a_missing_roster_is_named(tmp_path: Path) -> None:
    assert complaint(tmp_path / "roster.toml") == "no such file"


def test_a_fingerprint_is_written_as_ssh_writes_it() -> None:
    digest = base64.b64encode(hashlib.sha256(ALICE).digest()).decode()
    assert fingerprint(ALICE) == f"SHA256:{digest[:-1]}"
    assert digest.endswith("=")


# --- our own key ---


def test_a_created_identity_loads_and_only_its_owner_can_read_it(tmp_path: Path) -> None:
    path = tmp_path / "identity.key"
    created = create_identity(path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert load_identity(path).private_bytes_raw() == created.private_bytes_raw()


def test_an_identity_is_never_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "identity.key"
    create_identity(path)
    before = path.read_bytes()
    with pytest.raises(ConfigError, match="already exists"):
        create_identity(path)
    assert path.read_bytes() == before


def test_an_identity_cannot_be_created_in_a_directory_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such file or directory"):
        create_identity(tmp_path / "nowhere" / "identity.key")


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o601, 0o660])
def test_a_key_that_others_can_reach_is_refused(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "identity.key"
    create_identity(path)
    path.chmod(mode)
    with pytest.raises(ConfigError, match=f"mode {mode:04o}") as caught:
        load_identity(path)
    assert caught.value.hint == f"chmod 600 {path}"


def test_a_missing_key_is_named_with_the_command_that_creates_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such identity key") as caught:
        load_identity(tmp_path / "identity.key")
    assert "party-node init" in caught.value.hint


def pem(password: bytes | None = None) -> bytes:
    encryption = BestAvailableEncryption(password) if password else NoEncryption()
    return Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "not a private key in unencrypted PEM"),
        (b"not a key", "not a private key in unencrypted PEM"),
        (pem(password=b"secret"), "not a private key in unencrypted PEM"),
        (
            X25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
            "a private key, but not of Ed25519",
        ),
        (
            Ed25519PrivateKey.generate()
            .public_key()
            .public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
            "not a private key in unencrypted PEM",
        ),
    ],
    ids=["empty", "text", "encrypted", "x25519", "public"],
)
def test_a_file_that_is_no_identity_is_refused(tmp_path: Path, content: bytes, problem: str) -> None:
    path = tmp_path / "identity.key"
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(ConfigError, match=problem):
        load_identity(path)
