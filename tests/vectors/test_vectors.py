"""Every vector holds: good ones give the bytes that they promise, bad ones fail for their one flaw."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from party_node import inputs
from party_node.config import InputSource
from party_node.post import Post, check_signature
from party_node.seal import Seal
from protocol import membership, opening, ring, sharing
from protocol.errors import InputError, RemoteProtocolError, SottoError
from protocol.functionalities import CATALOGUE
from protocol.letters import Header, Letter, Slot, frame, parse
from protocol.mailbox import STATEMENTS
from protocol.messages import Begin, MalformedError, Request, Statement, Step
from protocol.ring import Ring
from protocol.sealed import Outgoing
from protocol.secret import Seed
from protocol.spec import SessionSpec, session_id
from protocol.transcript import digest, pack
from tests.vectors import generate, operations, operations_noise, recording
from tests.vectors.operations import named, no_entropy, shown

HERE = Path(__file__).parent
Fields = dict[str, Any]
KINDS: dict[str, type[Statement]] = {str(step): kind for step, kind in STATEMENTS.items()}
KINDS |= {"header": Header, "request": Request}

# What each kind of error in a vector is called here.
ERRORS: dict[str, type[Exception]] = {
    "malformed": MalformedError,
    "signature": MalformedError,
    "sealed": MalformedError,
    "key": RemoteProtocolError,
    "opening": MalformedError,
    "offer": RemoteProtocolError,
    "input": InputError,
    "value": ValueError,
}


def _parts(given: list[dict[str, str]]) -> list[bytes | str]:
    return [bytes.fromhex(part["hex"]) if "hex" in part else part["text"] for part in given]


def _ring(elements: list[str], scalar: bool) -> Ring:
    array = np.array([int(each) % 2**64 for each in elements], dtype=np.uint64)
    return array.reshape(()) if scalar else array


def do_pack(given: Fields) -> Fields:
    parts = _parts(given["parts"])
    return {"pack": pack(given["label"], *parts).hex(), "digest": digest(given["label"], *parts).hex()}


def do_derive(given: Fields) -> Fields:
    seed = Seed(bytes.fromhex(given["seed"]))
    return {"bytes": seed.derive_bytes(given["length"], given["label"], *_parts(given["context"])).hex()}


def do_expand(given: Fields) -> Fields:
    elements = Seed(bytes.fromhex(given["seed"])).expand((given["count"],))
    return {
        "elements": [str(each) for each in elements.tolist()],
        "sha256": hashlib.sha256(ring.to_bytes(elements)).hexdigest(),
    }


def do_split(given: Fields) -> Fields:
    x = _ring(given["elements"], given["scalar"])
    shares = sharing.split(x, given["holders"], given["explicit"], Seed(bytes.fromhex(given["seed"])))
    total = sharing.reconstruct((share.elements(x.shape) for share in shares.values()), x.shape)
    assert np.array_equal(total, x)
    return {"shares": {holder: shown(share) for holder, share in shares.items()}}


def do_encode(given: Fields) -> Fields:
    value = given["value"][0] if len(given["value"]) == 1 else tuple(given["value"])
    exact = inputs.load("example", InputSource(value=value), HERE)
    fields = {key: given[key] for key in ("lower", "upper", "decimals")}
    function = CATALOGUE["sum"].model_validate_json(json.dumps(fields))
    return {"ring": ring.to_bytes(function.encode(exact, given["inputs"])).hex()}


def do_spec(given: Fields) -> Fields:
    raw = given["bytes"].encode()
    assert SessionSpec.decode(raw).encode() == raw
    return {"session": session_id(raw)}


def do_statement(given: Fields) -> Fields:
    KINDS[given["statement"]].decode(given["bytes"].encode())
    return {}


def do_letter(given: Fields) -> Fields:
    part = Post("reader", None, "sotto").read(given["topic"], bytes.fromhex(given["payload"]))  # type: ignore[arg-type] # a reader signs nothing
    check_signature(part, bytes.fromhex(given["identity"]))
    return {
        "header": part.header.encode().decode(),
        "body": part.body.hex(),
        "digest": part.digest.hex(),
    }


def do_frame(given: Fields) -> Fields:
    parse(frame(given["header"].encode(), bytes(given["zeros"]), bytes(64)))
    return {}


def do_view(given: Fields) -> Fields:
    begin = Begin.decode(given["begin"].encode())
    return {"view": membership.view_digest(given["session"], begin).hex()}


def do_seal(given: Fields) -> Fields:
    key, to = bytes.fromhex(given["key"]), given["to"]
    seal = Seal(given["session"], given["me"], Seed(bytes.fromhex(given["seed"])), lambda _size: key)
    body = bytes(given["zeros"]) if "zeros" in given else bytes.fromhex(given["body"])
    letter = Outgoing(
        *(Step(given["step"]), to, body, (to,)),
        opened=frozenset({to}),
        round=given["round"],
        view=bytes.fromhex(given["view"]),
    )
    (slot,), chunks = seal.seal(letter, lambda _party: b"")
    return {
        "box": slot.box.hex(),
        "chunks": [chunk.hex() for chunk in chunks],
        "sha256": [hashlib.sha256(chunk).hexdigest() for chunk in chunks],
    }


def do_channel(given: Fields) -> Fields:
    seal = Seal(given["session"], given["me"], Seed(bytes.fromhex(given["seed"])), no_entropy)
    if not seal.usable(bytes.fromhex(given["key"])):  # as Session._begin does
        raise RemoteProtocolError("joined with a sealing key that is none", given["to"])
    return {}


def do_unseal(given: Fields) -> Fields:
    letter = Letter(
        given["session"],
        Step(given["step"]),
        given["round"],
        given["sender"],
        given["to"],
        tuple(Slot.model_validate_json(json.dumps(slot)) for slot in given["slots"]),
        tuple(bytes.fromhex(chunk) for chunk in given["chunks"]),
        b"",
    )
    seal = Seal(given["session"], given["me"], Seed(bytes.fromhex(given["seed"])), no_entropy)
    unsealed = seal.unseal(letter, bytes.fromhex(given["view"]))
    seed = None if unsealed.seed is None else unsealed.seed.expose().hex()
    return {"seed": seed, "body": unsealed.body.hex()}


def do_opening(given: Fields) -> Fields:
    view, names = bytes.fromhex(given["view"]), given["inputs"]
    output = _ring(given["output"], given["scalar"])
    opened = opening.opening(Seed(bytes.fromhex(given["seed"])), view, names, output)
    return {
        "opening": opened.hex(),
        "commitment": opening.commit(view, given["party"], names, opened).hex(),
    }


def do_verify(given: Fields) -> Fields:
    raw = (bytes.fromhex(given[key]) for key in ("commitment", "view", "opening"))
    commitment, view, opened = raw
    shape = () if given["scalar"] else (given["count"],)
    opening.verify(commitment, view, given["party"], given["inputs"], opened, shape)
    return {}


def do_transcript(given: Fields) -> Fields:
    commitments = [bytes.fromhex(each) for each in given["commitments"]]
    view = bytes.fromhex(given["view"])
    return {"transcript": opening.transcript(view, given["inputs"], commitments).hex()}


OPERATIONS = named(globals()) | operations.OPERATIONS | operations_noise.OPERATIONS


def _load(pattern: str) -> list[Any]:
    """Every vector of the files that fit, with its place as the test's name."""
    return [
        pytest.param(vector, id=f"{path.stem}: {vector['name']}")
        for path in sorted(HERE.glob(pattern))
        for vector in json.loads(path.read_text(encoding="utf-8")).get("vectors", [])
    ]


@pytest.mark.parametrize("vector", _load("[!b]*.json"))
def test_a_good_vector_gives_what_it_promises(vector: Fields) -> None:
    given = OPERATIONS[vector["kind"]](vector["given"])
    assert {key: given[key] for key in vector["expect"]} == vector["expect"]


@pytest.mark.parametrize("vector", _load("bad_*.json"))
def test_a_bad_vector_fails_for_its_one_flaw(vector: Fields) -> None:
    with pytest.raises(ERRORS[vector["error"]]) as caught:
        OPERATIONS[vector["kind"]](vector["given"])
    said = caught.value.message if isinstance(caught.value, SottoError) else str(caught.value)
    assert vector["says"].lower() in said.lower()


@pytest.mark.parametrize("vector", _load("bad_*.json"))
def test_a_bad_vector_without_its_flaw_is_good(vector: Fields) -> None:
    assert vector["repair"]
    OPERATIONS[vector["kind"]](vector["given"] | vector["repair"])


def test_the_files_are_what_the_generator_writes() -> None:
    for name, text in generate.files().items():
        assert (HERE / name).read_text(encoding="utf-8") == text


def test_every_file_is_loaded() -> None:
    on_disk = {path.name for path in HERE.glob("*.json")}
    assert on_disk == {*generate.files(), recording.RECORDED.name}
