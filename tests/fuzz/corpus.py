"""Where the fuzzers start: letters of simulated sessions, the test vectors, the example configurations."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from party_node.post import Publication
from protocol.dp.noise import Noise, Relation
from protocol.functionalities.average import Average
from protocol.functionalities.referendum import Referendum
from protocol.functionalities.sum import Sum
from protocol.letters import parse
from protocol.messages import MalformedError
from tests.fuzz.oracles import BODIES, KINDS
from tests.support.network import COORDINATOR, Network

ROOT = Path(__file__).parents[2]
VECTORS = ROOT / "tests" / "vectors"
PLANS = (bytes(180), bytes(range(180)), bytes(each * 37 % 256 for each in range(240)))


@cache
def letters() -> tuple[Publication, ...]:
    """Every kind of letter: of a sum, a noised average, a referendum, a session that is refused."""
    people = ("alice", "bob", "carlos")
    network = Network({name: {"raise": "100", "merge": "1"} for name in people})
    noise = Noise(epsilon=10**9, sensitivity=100, relation=Relation.REPLACE_ONE, colluders=1)
    bounded = Average.model_validate_json('{"lower":"0","upper":"100","decimals":0}')
    for spec in (
        network.spec(Sum(), public=True, min_inputs=1),
        network.spec(bounded, compute=people[:2], noise=noise),
        network.spec(Referendum(threshold="2/3"), "merge", inputs=people, compute=people[:2]),
        network.spec(Sum(), "bonus"),
    ):
        session = network.announce(spec)
        network.run(network.now + 2_000)
        network.nodes["bob"].reconnected(network.now)
        network.flush("bob")
        network.nodes[COORDINATOR].withdraw(session)
        network.flush(COORDINATOR)
    return tuple(each for each in network.tap if each.payload)


def vectors(kind: str) -> Iterator[dict[str, Any]]:
    """What is given in the test vectors of one kind, good and bad, and repaired."""
    for path in sorted(VECTORS.glob("*.json")):
        for vector in json.loads(path.read_text(encoding="utf-8")).get("vectors", []):
            if vector["kind"] == kind:
                yield vector["given"]
                yield vector["given"] | vector.get("repair", {})


def codec() -> Iterator[bytes]:
    """Payloads."""
    yield from (each.payload for each in letters())
    yield from (bytes.fromhex(given["payload"]) for given in vectors("letter"))


def statements() -> Iterator[bytes]:
    """The number of a kind of statement, and one of them."""
    for payload in codec():
        try:
            part = parse(payload)
        except MalformedError:
            continue
        yield bytes([0]) + part.header.encode()
        if part.header.step in BODIES:
            yield bytes([KINDS.index(BODIES[part.header.step])]) + part.body
    kinds = {each.__name__.lower(): number for number, each in enumerate(KINDS)}
    for given in vectors("statement"):
        yield bytes([kinds.get(given["statement"], 0)]) + given["bytes"].encode()
    for given in vectors("spec"):
        yield bytes([kinds["sessionspec"]]) + given["bytes"].encode()


def post() -> Iterator[bytes]:
    """A topic, a line feed and a payload."""
    yield from (each.topic.encode() + b"\n" + each.payload for each in letters())
    for given in vectors("letter"):
        yield given["topic"].encode() + b"\n" + bytes.fromhex(given["payload"])


def toml() -> Iterator[bytes]:
    """Configuration files and rosters."""
    for path in sorted((ROOT / "configs").rglob("*.toml")):
        yield path.read_bytes()
    yield (
        b'[parties.alice]\nidentity = "' + b"A" * 43 + b'="\n[coordinators.coordinator]\nidentity = "AAAA"\n'
    )


def session() -> Iterator[bytes]:
    """The number of a spec, and a plan."""
    yield from (bytes([number]) + plan for number in range(4) for plan in PLANS)


def node() -> Iterator[bytes]:
    """Plans."""
    yield from PLANS


def write(target: str, folder: Path) -> int:
    """One target's seeds as files; how many."""
    seeds = dict.fromkeys(globals()[target]())
    for number, seed in enumerate(seeds):
        (folder / f"{number:04}").write_bytes(seed)
    return len(seeds)
