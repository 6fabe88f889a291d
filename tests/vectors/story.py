"""One session of three parties, from the spec's bytes to the answer, as `reference.py` computes it.

alice, bob and carlos bring 1.50, −2 and 40.25 and compute; alice and bob learn the sum, 39.75.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from functools import cache
from typing import Any

from tests.vectors import recording, reference

PARTIES = ("alice", "bob", "carlos")
RESULTS = ("alice", "bob")
UNITS = {"alice": 150, "bob": -200, "carlos": 4025}
TOTAL = sum(UNITS.values())


def secret(name: str) -> bytes:
    """A fixed stand-in for 32 random bytes."""
    return hashlib.sha256(name.encode()).digest()


def b64(raw: bytes) -> str:
    """base64url with padding, as statements write bytes."""
    return base64.urlsafe_b64encode(raw).decode()


def identity(party: str) -> bytes:
    """An Ed25519 private key."""
    return secret(f"identity of {party}")


def session_seed(party: str) -> bytes:
    """The root of a party's randomness in this session."""
    return secret(f"session seed of {party}")


def spec(**changes: Any) -> dict[str, Any]:
    """The spec's fields in their order, some of them changed."""
    fields: dict[str, Any] = {
        "version": 1,
        "function": {"name": "sum", "lower": "-1000.00", "upper": "1000.00", "decimals": 2, "length": None},
        "noise": None,
        "input": "raise",
        "coordinator": "coordinator",
        "members": {party: b64(reference.public_identity(identity(party))) for party in PARTIES},
        "inputs": list(PARTIES),
        "compute": list(PARTIES),
        "results": list(RESULTS),
        "min_inputs": 2,
        "public": False,
        "created": 1_700_000_000_000,
        "join_by": 1_700_000_030_000,
        "share_by": 1_700_000_045_000,
        "close_by": 1_700_000_060_000,
        "nonce": b64(secret("nonce")[:16]),
    }
    return fields | changes


SPEC = reference.canonical(spec())
SESSION = reference.digest("spec", SPEC).hex()


@cache
def join(party: str) -> bytes:
    """A join's bytes."""
    key = reference.sealing_public(session_seed(party))
    return reference.canonical({"sealing_key": b64(key), "shape": [], "offer": None, "setups": {}})


@cache
def begin() -> bytes:
    """The leader's begin."""
    joins = {party: b64(reference.digest("join", party, join(party))) for party in PARTIES}
    return reference.canonical({"joins": joins, "shape": []})


@cache
def view() -> bytes:
    """The view that all is bound to."""
    return reference.view_digest(SESSION, begin())


def shares(party: str) -> dict[str, bytes | list[int]]:
    """The shares of a party's input; it keeps the explicit one."""
    seed = reference.derive(session_seed(party), "split", view())
    return reference.split([UNITS[party]], PARTIES, party, seed)


def output(party: str, inputs: Sequence[str] = PARTIES) -> list[int]:
    """A compute party's output share: the sum of what it holds."""
    held = [shares(owner)[party] for owner in inputs]
    elements = [reference.expand(each, 1)[0] if isinstance(each, bytes) else each[0] for each in held]
    return [sum(elements) % reference.MODULUS]


def opening(party: str, inputs: Sequence[str] = PARTIES) -> bytes:
    """What opens a commitment."""
    return reference.opening(session_seed(party), view(), inputs, output(party, inputs))


def commitment(party: str, inputs: Sequence[str] = PARTIES) -> bytes:
    """What binds a party to it."""
    return reference.commitment(view(), party, inputs, opening(party, inputs))


def transcript() -> bytes:
    """What is confirmed."""
    return reference.transcript(view(), PARTIES, [commitment(party) for party in PARTIES])


def reveal(party: str) -> bytes:
    """What a reveal holds."""
    return reference.revealed(transcript(), opening(party))


def received(party: str) -> bytes:
    """A compute party that holds all inputs says so and commits at once."""
    fields = {"view": b64(view()), "inputs": list(PARTIES), "commitment": b64(commitment(party))}
    return reference.canonical(fields)


def commit(party: str) -> bytes:
    """What it would say in the second round, had carlos been left out."""
    inputs = PARTIES[:2]
    committed = {"opened": None, "commitment": b64(commitment(party, inputs))}
    return reference.canonical({"view": b64(view()), "inputs": list(inputs)} | committed)


def header(step: str, sender: str, to: str, **changes: Any) -> dict[str, Any]:
    """A header's fields in their order."""
    fields: dict[str, Any] = {
        "version": 1,
        "session": SESSION,
        "step": step,
        "round": 0,
        "sender": sender,
        "to": to,
        "part": 0,
        "parts": 1,
        "slots": [],
    }
    return fields | changes


def topic(stage: str, sender: str, to: str, part: int = 0) -> str:
    """Where a letter is published."""
    return f"sotto/1/session/{SESSION}/{stage}/{sender}/{to}/{part}"


def payload(header_fields: dict[str, Any], body: bytes, signer: str) -> bytes:
    """A signed part."""
    return reference.sign_letter(identity(signer), reference.canonical(header_fields), body)


# -- the one thing that is random: HPKE, which `recording.py` keeps --------------------------------------


def channel() -> bytes:
    """The channel from alice to bob."""
    return reference.channel(session_seed("alice"), "bob")


def opening_of_channel() -> recording.Opening:
    """What opens it."""
    return recording.Opening(SESSION, "alice", "bob", channel(), session_seed("bob"))


def recorded() -> bytes:
    """The HPKE ciphertext that opens it."""
    return opening_of_channel().recorded()


# -- sealed letters ------------------------------------------------------------------------------------


def slot(stage: str, content: bytes, *, opens: bool, bound: bytes | None = None) -> dict[str, Any]:
    """alice's slot for bob, bound to the view or to something else."""
    box = reference.slot_box(channel(), stage, "bob", view() if bound is None else bound, content)
    return {"to": "bob", "open": b64(recorded()) if opens else None, "box": b64(box)}


def sealed(step: str, slots: list[dict[str, Any]], chunks: list[bytes], **changes: Any) -> dict[str, Any]:
    """The `given` of an unseal: bob opens a letter from alice."""
    fields: dict[str, Any] = {
        "session": SESSION,
        "view": view().hex(),
        "me": "bob",
        "seed": session_seed("bob").hex(),
        "sender": "alice",
        "step": step,
        "round": 0,
        "to": "bob",
        "slots": slots,
        "chunks": [chunk.hex() for chunk in chunks],
    }
    return fields | changes


def share_seed() -> bytes:
    """bob's share of alice's input."""
    share = shares("alice")["bob"]
    if not isinstance(share, bytes):
        raise TypeError("bob's share of alice's input is a seed")
    return share


def vectors() -> list[dict[str, Any]]:
    """The session, step by step."""
    announce = header("announce", "coordinator", "all")
    share = header("share", "alice", "bob", slots=[slot("share", share_seed(), opens=True)])
    body_key = secret("key of a body")
    return [
        {
            "name": "the session's id is the hash of the spec's bytes",
            "kind": "spec",
            "given": {"bytes": SPEC.decode()},
            "expect": {"session": SESSION},
        },
        *(_letter("announce", announce, SPEC, "coordinator"), _letter("share", share, b"", "alice")),
        _passed_on(announce),
        *(
            {
                "name": f"{party}'s sealing key and join",
                "kind": "join",
                "given": {"spec": SPEC.decode(), "party": party, "seed": session_seed(party).hex()},
                "expect": {
                    "bytes": join(party).decode(),
                    "digest": reference.digest("join", party, join(party)).hex(),
                },
            }
            for party in PARTIES
        ),
        {
            "name": "the view",
            "kind": "view",
            "given": {"session": SESSION, "begin": begin().decode()},
            "expect": {"view": view().hex()},
        },
        {
            "name": "alice's slot for bob, on a channel that is open",
            "kind": "seal",
            "given": {
                "session": SESSION,
                "view": view().hex(),
                "me": "alice",
                "seed": session_seed("alice").hex(),
                "to": "bob",
                "step": "reveal",
                "round": 0,
                "key": body_key.hex(),
                "body": reveal("alice").hex(),
            },
            "expect": {
                "box": reference.slot_box(channel(), "reveal", "bob", view(), body_key).hex(),
                "chunks": [chunk.hex() for chunk in reference.chunks(body_key, reveal("alice"))],
            },
        },
        {
            "name": "a body of three chunks (2·(2^20 − 16) + 1 bytes of zeros)",
            "kind": "seal",
            "given": {
                "session": SESSION,
                "view": view().hex(),
                "me": "alice",
                "seed": session_seed("alice").hex(),
                "to": "bob",
                "step": "share",
                "round": 0,
                "key": body_key.hex(),
                "zeros": 2 * reference.PIECE + 1,
            },
            "expect": {
                "box": reference.slot_box(channel(), "share", "bob", view(), body_key).hex(),
                "sha256": [
                    hashlib.sha256(chunk).hexdigest()
                    for chunk in reference.chunks(body_key, bytes(2 * reference.PIECE + 1))
                ],
            },
        },
        {
            "name": "bob opens alice's share: the slot is the seed, the body is empty",
            "kind": "unseal",
            "given": sealed("share", [slot("share", share_seed(), opens=True)], [b""]),
            "expect": {"seed": share_seed().hex(), "body": ""},
        },
        {
            "name": "bob opens alice's reveal: the slot is the body's key",
            "kind": "unseal",
            "given": sealed(
                "reveal",
                [slot("reveal", body_key, opens=True)],
                reference.chunks(body_key, reveal("alice")),
            ),
            "expect": {"seed": None, "body": reveal("alice").hex()},
        },
        *(
            {
                "name": f"{party}'s output share over {', '.join(inputs)}",
                "kind": "opening",
                "given": {
                    "seed": session_seed(party).hex(),
                    "view": view().hex(),
                    "party": party,
                    "inputs": list(inputs),
                    "output": [str(output(party, inputs)[0])],
                    "scalar": True,
                },
                "expect": {
                    "opening": opening(party, inputs).hex(),
                    "commitment": commitment(party, inputs).hex(),
                },
            }
            for party, inputs in ((*((name, PARTIES) for name in PARTIES), ("alice", PARTIES[:2])))
        ),
        _letter("received", header("received", "alice", "all"), received("alice"), "alice"),
        *(
            {
                "name": f"the body of alice's {step}",
                "kind": "statement",
                "given": {"statement": step, "bytes": body.decode()},
                "expect": {},
            }
            for step, body in (("received", received("alice")), ("commit", commit("alice")))
        ),
        {
            "name": "the transcript",
            "kind": "transcript",
            "given": {
                "view": view().hex(),
                "inputs": list(PARTIES),
                "commitments": [commitment(party).hex() for party in PARTIES],
            },
            "expect": {"transcript": transcript().hex()},
        },
        {
            "name": "the answer",
            "kind": "decode",
            "given": {
                "function": "sum",
                "ring": reference.ring_bytes([sum(output(party)[0] for party in PARTIES)]).hex(),
                "scalar": True,
                "inputs": 3,
                "decimals": 2,
            },
            "expect": {"text": ["39.75"]},
        },
    ]


def _passed_on(announce: dict[str, Any]) -> dict[str, Any]:
    """The coordinator's payload, unchanged, under bob's topic and to alice."""
    vector = _letter("announce", announce, SPEC, "coordinator")
    vector["name"] = "the announce letter of the coordinator, as bob passes it on to alice"
    vector["given"]["topic"] = topic("announce", "bob", "alice")
    return vector


def _letter(name: str, fields: dict[str, Any], body: bytes, signer: str) -> dict[str, Any]:
    return {
        "name": f"the {name} letter of {signer}",
        "kind": "letter",
        "given": {
            "payload": payload(fields, body, signer).hex(),
            "topic": topic(fields["step"], fields["sender"], fields["to"]),
            "identity": reference.public_identity(identity(signer)).hex(),
        },
        "expect": {
            "header": reference.canonical(fields).decode(),
            "body": body.hex(),
            "digest": reference.digest("letter", reference.canonical(fields), body).hex(),
        },
    }
