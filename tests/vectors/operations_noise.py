"""What the project's code does with the vectors of noise, clamping and polls."""

from __future__ import annotations

import hashlib
import json
from fractions import Fraction
from typing import Any

import numpy as np

from party_node import inputs
from party_node.config import InputSource
from party_node.policy import Declared, Limits, refuse
from party_node.roster import Roster
from protocol import ring
from protocol.bits import Bits
from protocol.counting import own_noise, reaches_noised
from protocol.dp.noise import Noise, Relation
from protocol.dp.polya import noise_share
from protocol.encoding import Exact
from protocol.functionalities import CATALOGUE
from protocol.functionalities.histogram import Histogram
from protocol.functionalities.poll import Poll
from protocol.functionalities.sum import Sum
from protocol.gates import layers
from protocol.spec import SessionSpec
from tests.vectors.operations import HERE, Fields, bits_of, named, run_circuits, seed_of


def exact(given: Fields) -> Exact:
    """A vector's value, as the node reads it from a configuration."""
    value = given["value"][0] if len(given["value"]) == 1 else tuple(given["value"])
    return inputs.load("example", InputSource(value=value), HERE)


def do_sensitivity(given: Fields) -> Fields:
    fields = json.loads(given["function"])
    function = CATALOGUE[fields["name"]].model_validate_json(given["function"])
    return {"sensitivity": function.sensitivity(Relation(given["relation"]))}


def do_tail(given: Fields) -> Fields:
    fields = {key: given[key] for key in ("epsilon", "sensitivity", "colluders")}
    noise = Noise(relation=Relation.REPLACE_ONE, **fields)
    return {"rate": str(noise.rate), "bound": noise.tail(given["compute"])}


def do_width(given: Fields) -> Fields:
    spec = SessionSpec.decode(given["bytes"].encode())
    return {"width": spec.noise_width, "triples": spec.triples}


def do_refusal(given: Fields) -> Fields:
    """Everybody in the spec is in the roster, and the node has the input and no rules of its own."""
    spec = SessionSpec.decode(given["bytes"].encode())
    limits = Limits({spec.input: Declared()}, min_inputs=1)
    refusal = refuse(spec, given["me"], Roster(spec.members, {spec.coordinator: bytes(32)}), limits)
    return {"code": None if refusal is None else str(refusal.code)}


def do_noise_share(given: Fields) -> Fields:
    share = noise_share(given["parts"], Fraction(given["rate"]), (given["count"],), seed_of(given))
    return {
        "elements": [str(each) for each in ring.to_signed(share).tolist()],
        "sha256": hashlib.sha256(ring.to_bytes(share)).hexdigest(),
    }


def do_randomise(given: Fields) -> Fields:
    return {"answer": int(Poll().randomise(np.array(given["truth"], np.uint64), seed_of(given)))}


def do_entered(given: Fields) -> Fields:
    """The party's own lane; it holds 0 of all others."""
    party = given["party"]
    rows = (int(given["noise"]), given["threshold"], party, given["parties"], given["width"])
    lanes = np.array([column.to_bools() for column in own_noise(*rows)])
    assert not np.delete(lanes, party, axis=1).any()
    return {"bits": Bits.from_bools(lanes[:, party]).to_bytes().hex()}


def do_reaches_noised(given: Fields) -> Fields:
    parties, width = len(given["noise"]), given["width"]
    ballots = [bits_of(raw, given["ballots_count"]) for raw in given["ballots"]]
    circuits = [
        reaches_noised(mine, own_noise(own, given["threshold"], me, parties, width))
        for me, (mine, own) in enumerate(zip(ballots, given["noise"], strict=True))
    ]
    ands = do_cost_noised({"ballots": given["ballots_count"], "parties": parties, "width": width})
    return run_circuits(circuits, given["triples"], given["count"]) | ands


def do_cost_noised(given: Fields) -> Fields:
    lanes = [Bits.zeros(given["parties"])] * given["width"]
    return {"ands": layers(reaches_noised(Bits.zeros(given["ballots"]), lanes))}


def do_clamp(given: Fields) -> Fields:
    fields = {key: given[key] for key in ("lower", "upper", "decimals")}
    function = Sum.model_validate_json(json.dumps(fields))
    return {"ring": ring.to_bytes(function.encode(exact(given), given["inputs"], clamp=True)).hex()}


def do_bin(given: Fields) -> Fields:
    encoded = Histogram(bins=given["bins"]).encode(exact(given), 4, clamp=given["clamp"])
    return {"ring": ring.to_bytes(encoded).hex()}


def do_decode(given: Fields) -> Fields:
    """The answer as it is shown, and what else belongs to it."""
    raw, count = bytes.fromhex(given["ring"]), given["inputs"]
    opened = ring.from_bytes(raw, () if given["scalar"] else (len(raw) // 8,))
    parameters: dict[str, Any] = {
        key: given[key] for key in ("decimals", "threshold", "bins") if key in given
    }
    function = CATALOGUE[given["function"]](**parameters)
    answer = function.decode(opened, count)
    text = function.text(answer, count)
    return {"text": [text] if isinstance(text, str) else text} | dict(function.facts(answer, count))


OPERATIONS = named(globals())
