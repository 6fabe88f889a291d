"""What the project's code does with the vectors of ballots, transfers, triples, gates and whole sessions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from party_node import inputs
from party_node.config import InputSource
from party_node.post import check_signature
from party_node.seal import Seal
from protocol import circuits, ring, sharing
from protocol.beaver import Run, Triples, open_all
from protocol.bits import Bits
from protocol.correlation import ChoiceKeys, PairKeys, Preparation, base_ot, extension
from protocol.correlation.base_ot import Chosen
from protocol.correlation.robust_hash import RobustHash
from protocol.functionalities.referendum import Referendum
from protocol.gates import Circuit, Rounds
from protocol.holding import Holding
from protocol.letters import ALL, COMPUTE, Letter, Part, parse
from protocol.mailbox import Mailbox
from protocol.messages import Join, Step
from protocol.rounds import Evaluation, setup_id
from protocol.sealed import Outgoing, Unsealed
from protocol.secret import Seed
from protocol.session import Session
from protocol.sharing import BITS, Share
from protocol.spec import SessionSpec, session_id
from protocol.transcript import digest

Fields = dict[str, Any]
HERE = Path(__file__).parent


def no_entropy(size: int) -> bytes:
    """For operations that draw nothing."""
    raise AssertionError(f"{size} random bytes are not needed here")


def seed_of(given: Fields) -> Seed:
    """The seed of a vector."""
    return Seed(bytes.fromhex(given["seed"]))


def shown(share: Share) -> Fields:
    """A share, as vectors write it."""
    if isinstance(share.content, Seed):
        return {"seed": share.content.expose().hex()}
    return {"elements": [str(each) for each in share.content.reshape(-1).tolist()]}


def bits_of(raw: str, count: int) -> Bits:
    """So many bits."""
    return Bits.from_bytes(bytes.fromhex(raw), count)


# -- ballots ---------------------------------------------------------------------------------------------


def do_ballot(given: Fields) -> Fields:
    value = given["value"][0] if len(given["value"]) == 1 else tuple(given["value"])
    exact = inputs.load("example", InputSource(value=value), HERE)
    encoded = Referendum(threshold="1/2").encode(exact, 4, clamp=given.get("clamp", False))
    return {"ring": ring.to_bytes(encoded).hex()}


def do_split_bit(given: Fields) -> Fields:
    x = np.array(given["bit"], dtype=np.uint64)
    shares = sharing.split(x, given["holders"], given["explicit"], seed_of(given), BITS)
    total = sharing.reconstruct((share.elements(()) for share in shares.values()), (), BITS)
    assert total == x
    return {"shares": {holder: shown(share) for holder, share in shares.items()}}


def do_verify_bit(given: Fields) -> Fields:
    """As a result party of a referendum; no ciphers, so the letter is a stand-in."""
    view, opened, commitment = (bytes.fromhex(given[key]) for key in ("view", "opening", "commitment"))
    transcript = bytes(32)
    unsealed = Unsealed(None, transcript + opened)
    holding = Holding("reader", Referendum(threshold="1/2"), Seed(bytes(32)), None, lambda *_: unsealed)
    holding.begin(view, ())
    letter = Letter("0" * 64, Step.REVEAL, 0, given["party"], "reader", (), (b"",), b"")
    holding.take_opening(letter, transcript, commitment, tuple(given["inputs"]))
    return {}


def do_threshold(given: Fields) -> Fields:
    return {"least": Referendum(threshold=given["threshold"]).least(given["ballots"])}


# -- base transfers and extension --------------------------------------------------------------------------


def do_offer(given: Fields) -> Fields:
    return {"offered": Preparation("r", ("r", "s"), 1, seed_of(given)).offer.hex()}


def do_choose(given: Fields) -> Fields:
    context = bytes.fromhex(given["context"])
    points, chosen = base_ot.choose(bytes.fromhex(given["offered"]), seed_of(given), context)
    return {"points": points.hex(), "choices": chosen.choices.hex(), "joint": chosen.joint.hex()}


def do_accept(given: Fields) -> Fields:
    seed = seed_of(given).derive("base ot offer")
    context, points = (bytes.fromhex(given[key]) for key in ("context", "points"))
    corrections, pairs = base_ot.accept(seed, points, context)
    return {"corrections": corrections.hex(), "pairs": pairs.to_bytes().hex()}


def do_finish(given: Fields) -> Fields:
    choices, joint, corrections = (bytes.fromhex(given[key]) for key in ("choices", "joint", "corrections"))
    return {"keys": b"".join(Chosen(choices, joint).finish(corrections).keys()).hex()}


def do_robust_hash(given: Fields) -> Fields:
    rows = np.frombuffer(bytes.fromhex("".join(given["rows"])), np.uint8).reshape(-1, 16)
    hashes = RobustHash(bytes.fromhex(given["context"]))(rows)
    return {"hashes": [row.tobytes().hex() for row in hashes]}


def _choice_keys(given: Fields) -> ChoiceKeys:
    """The half of a setup that follows from all pairs and the choices."""
    choices, pairs = (bytes.fromhex(given[key]) for key in ("choices", "pairs"))
    chosen = Bits.from_bytes(choices, 128).to_bools().tolist()
    starts = [32 * i + 16 * int(bit) for i, bit in enumerate(chosen)]
    return ChoiceKeys(choices, b"".join(pairs[at : at + 16] for at in starts))


def do_extend(given: Fields) -> Fields:
    context, count = bytes.fromhex(given["context"]), given["count"]
    x, r = (bits_of(given[key], count) for key in ("x", "r"))
    receiver = _receiver(given)
    correction, share, made = extension.send(_choice_keys(given), receiver.message, x, context)
    received = receiver.finish(correction)
    assert (share ^ received).to_bytes() == (x & r).to_bytes()
    return {
        "columns": receiver.message.hex(),
        "correction": correction.hex(),
        "sender_share": share.to_bytes().hex(),
        "receiver_share": received.to_bytes().hex(),
        "made": _halves(receiver.made, made),
    }


def _receiver(given: Fields) -> extension.Receiver:
    pairs, context = PairKeys(bytes.fromhex(given["pairs"])), bytes.fromhex(given["context"])
    return extension.Receiver(
        pairs, bits_of(given["r"], given["count"]), bytes.fromhex(given["fresh"]), context
    )


def _halves(chosen: ChoiceKeys, pairs: PairKeys) -> Fields:
    return {
        "choices": chosen.choices.hex(),
        "keys": b"".join(chosen.keys()).hex(),
        "pairs": pairs.to_bytes().hex(),
    }


def do_send(given: Fields) -> Fields:
    x, columns = bits_of(given["x"], given["count"]), bytes.fromhex(given["columns"])
    correction, _, _ = extension.send(_choice_keys(given), columns, x, bytes.fromhex(given["context"]))
    return {"correction": correction.hex()}


def do_take(given: Fields) -> Fields:
    correction = bytes.fromhex(given["correction"])
    return {"receiver_share": _receiver(given).finish(correction).to_bytes().hex()}


# -- triples -----------------------------------------------------------------------------------------------


def do_roles(given: Fields) -> Fields:
    names = tuple(f"party-{number}" for number in range(given["parties"]))
    seed = Seed(bytes(32))
    return {
        "is_sender": [
            [Preparation(me, names, 1, seed)._is_sender(other) for other in names if other != me]
            for me in names
        ]
    }


def do_triples(given: Fields) -> Fields:
    names, count, context = tuple(given["compute"]), given["count"], bytes.fromhex(given["context"])
    parties = {
        name: Preparation(name, names, count, Seed(bytes.fromhex(given["seeds"][name]))) for name in names
    }
    waiting, letters = [], {}
    for name, other in (names, names[::-1]):
        setup = _kept(given["setup"], name)
        waiting += [(name, each) for each in parties[name].meet(other, parties[other].offer, context, setup)]
    while waiting:
        sender, message = waiting.pop(0)
        letters[f"correlate-{message.step}"] = message.body.hex()
        answers = parties[message.to].take(sender, message.step, message.body)
        waiting += [(message.to, each) for each in answers]
    made = {name: parties[name].triples().take(count) for name in names}
    return {
        "letters": letters,
        "triples": {name: [each.to_bytes().hex() for each in triple] for name, triple in made.items()},
        "made": _made({name: parties[name].made[other] for name, other in (names, names[::-1])}),
    }


def _made(setups: Mapping[str, PairKeys | ChoiceKeys]) -> Fields:
    """Both halves of the next setup, and who will be S with it."""
    ((sender, chosen),) = [each for each in setups.items() if isinstance(each[1], ChoiceKeys)]
    (pairs,) = [each for each in setups.values() if isinstance(each, PairKeys)]
    assert isinstance(chosen, ChoiceKeys)
    return {"sender": sender} | _halves(chosen, pairs)


def _kept(stored: Fields | None, name: str) -> PairKeys | ChoiceKeys | None:
    if stored is None:
        return None
    if stored["sender"] == name:
        return ChoiceKeys(bytes.fromhex(stored["choices"]), bytes.fromhex(stored["keys"]))
    return PairKeys(bytes.fromhex(stored["pairs"]))


# -- gates -------------------------------------------------------------------------------------------------


def do_bits(given: Fields) -> Fields:
    return {"bits": bits_of(given["bits"], given["length"]).to_bytes().hex()}


def do_round(given: Fields) -> Fields:
    count = given["count"]
    shares = [(bits_of(x, count), bits_of(y, count)) for x, y in zip(given["x"], given["y"], strict=True)]
    found = _run([_one_round(x, y) for x, y in shares], given["triples"], count)
    return {
        "masked": found["masked"][0],
        "opened": found["opened"][0],
        "products": [each.to_bytes().hex() for each in found["results"]],
    }


def _one_round(x: Bits, y: Bits) -> Circuit[Bits]:
    [product] = yield [(x, y)]
    return product


def do_reaches(given: Fields) -> Fields:
    count, threshold = given["count"], given["threshold"]
    ones = [Bits.from_bools(np.array([party == 0])) for party in range(len(given["ballots"]))]
    shares = [bits_of(raw, count) for raw in given["ballots"]]
    runs = [circuits.reaches(mine, threshold, one) for mine, one in zip(shares, ones, strict=True)]
    return run_circuits(runs, given["triples"], count) | do_cost(given)


def run_circuits(circuit: list[Circuit[Bits]], triples: list[list[str]], count: int) -> Fields:
    """All parties' runs, and what they open."""
    found = _run(circuit, triples, count)
    return found | {
        "outputs": [int(each.to_bools()[0]) for each in found["results"]],
        "digest": digest("rounds", *(bytes.fromhex(each) for each in found["opened"])).hex(),
    }


def _run(circuit: list[Circuit[Bits]], triples: list[list[str]], count: int) -> Fields:
    """Every party's run, side by side."""
    dealt = [Triples(*(bits_of(raw, count) for raw in triple)) for triple in triples]
    runs = [
        Run(each, triple, leader=party == 0)
        for party, (each, triple) in enumerate(zip(circuit, dealt, strict=True))
    ]
    masked, opened = [], []
    while not runs[0].done:
        sent = [run.masked for run in runs if run.masked is not None]
        masked.append([each.to_bytes().hex() for each in sent])
        opened.append(open_all(sent).to_bytes().hex())
        for run in runs:
            run.advance(open_all(sent))
    return {"masked": masked, "opened": opened, "results": [run.result for run in runs]}


def do_cost(given: Fields) -> Fields:
    rounds = Rounds(circuits.reaches(Bits.zeros(given["count"]), given["threshold"], Bits.zeros(1)))
    ands = []
    while not rounds.done:
        ands.append(sum(len(x) for x, _ in rounds.gates))
        rounds.answer([x & y for x, y in rounds.gates])
    return {"ands": ands}


# -- sessions ----------------------------------------------------------------------------------------------


def do_meet(given: Fields) -> Fields:
    spec, me, peer = SessionSpec.decode(given["spec"].encode()), given["me"], given["peer"]
    session = session_id(given["spec"].encode())
    assert isinstance(spec.function, Referendum)
    seal = Seal(session, me, seed_of(given), no_entropy)
    own = _kept(given["setup"], me)
    kept = {} if own is None else {peer: {bytes.fromhex(given["setup"]["id"]): own}}
    evaluation = Evaluation(spec, spec.function, session, me, seed_of(given), seal.unseal, kept)
    joins = {name: Join.decode(raw.encode()) for name, raw in given["joins"].items()}
    letters = evaluation.prepare({peer: joins[peer]}, joins[me], Mailbox(spec, session, me))
    context = evaluation._contexts[peer]
    return {
        "context": context.hex(),
        "setup": setup_id(context).hex(),
        "letters": {each.stage: each.body.hex() for each in letters},
    }


class Player:
    """One party of a recorded session: its real state machine and its real seal."""

    def __init__(self, spec: SessionSpec, name: str, given: Fields) -> None:
        self.session = session_id(spec.encode())
        self.keys: list[bytes] = []  # of sealed bodies, drawn fresh in a node
        self.seal = Seal(self.session, name, seed_of(given), lambda _size: self.keys.pop(0))
        shape = spec.shape or ()
        value = ring.from_bytes(bytes.fromhex(given["ring"]), shape) if name in spec.inputs else None
        self.machine = Session(
            spec, self.session, name, seed_of(given), value, self.seal.unseal, self.seal.usable
        )
        self.name, self.triples = name, list[str]()
        self.sent: dict[tuple[str, str], Outgoing] = {}
        self.noise: list[str] = []
        self.note(self.machine.join(self.seal.public_key, spec.created))
        if self.machine.drawing is not None:
            share = self.machine.drawing()
            self.noise = [str(each) for each in ring.to_signed(share.elements(shape)).reshape(-1).tolist()]
            self.note(self.machine.drawn(share, spec.created))

    def hear(self, part: Part, now: int) -> None:
        """One letter arrives."""
        self.note(self.machine.receive(part, now))

    def note(self, letters: list[Outgoing]) -> None:
        """What it sends."""
        self.sent |= {(letter.stage, letter.to): letter for letter in letters}
        evaluation = self.machine._evaluation
        if evaluation is not None and evaluation._run is not None and not self.triples:
            self.triples = [each.to_bytes().hex() for each in _whole_triples(evaluation._run)]

    def check(self, part: Part, key: str | None) -> None:
        """The recorded part is what it sends: only `open` is random, and is left out."""
        letter = self.sent[part.header.stage, part.header.to]
        if not letter.recipients:
            assert part.body == letter.body
            return
        self.keys = [bytes.fromhex(key)] if key else []
        (slot,), (chunk,) = self.seal.seal(letter, self.machine.sealing_key)
        (recorded,) = part.header.slots
        assert (slot.to, slot.box, chunk) == (recorded.to, recorded.box, part.body)
        assert (slot.open is None) == (recorded.open is None)


def _whole_triples(run: Run[Bits]) -> tuple[Bits, ...]:
    """Those of the first round and those that are left."""
    return tuple(
        Bits.from_bools(np.concatenate([used.to_bools(), left.to_bools()]))
        for used, left in zip(run._triple, run._triples._unused, strict=True)
    )


def do_session(given: Fields) -> Fields:
    announce = parse(bytes.fromhex(given["announce"]))
    spec = SessionSpec.decode(announce.body)
    players = {name: Player(spec, name, each) for name, each in given["parties"].items()}
    letters, seen = [], []
    for each in given["letters"]:
        part = parse(bytes.fromhex(each["payload"]))
        sender = part.header.sender
        check_signature(part, spec.members[sender])
        players[sender].check(part, each.get("key"))
        seen.append((sender, part.header.stage, part.header.to))
        letters.append(_plain(players[sender], part))
        for name, player in players.items():
            reads = part.header.to in (ALL, name) or (part.header.to == COMPUTE and name in spec.compute)
            if reads and name != sender:
                player.hear(part, spec.created)
    sent = {(name, *place) for name, player in players.items() for place in player.sent}
    assert set(seen) == sent, "every letter of the code is recorded, and no other"
    answers = {name: player.machine.outcome.answer for name, player in players.items()}
    return {
        "view": players[spec.leader].machine.view.hex(),
        "noise": {name: players[name].noise for name in spec.compute if players[name].noise},
        "triples": {name: players[name].triples for name in spec.compute if players[name].triples},
        "letters": letters,
        "answers": {name: _lines(answer.text()) for name, answer in answers.items() if answer is not None},
    }


def _lines(text: str | list[str]) -> list[str]:
    return [text] if isinstance(text, str) else text


def _plain(player: Player, part: Part) -> Fields:
    letter = player.sent[part.header.stage, part.header.to]
    content = {"seed": letter.seed.expose().hex()} if letter.seed else {"body": letter.body.hex()}
    return {"stage": letter.stage, "from": player.name, "to": letter.to} | content


def do_join(given: Fields) -> Fields:
    raw, party = given["spec"].encode(), given["party"]
    spec, session = SessionSpec.decode(raw), session_id(raw)
    seal = Seal(session, party, seed_of(given), no_entropy)
    value = np.zeros(spec.shape or (), dtype=np.uint64) if party in spec.inputs else None
    machine = Session(spec, session, party, seed_of(given), value, seal.unseal)
    (letter,) = machine.join(seal.public_key, spec.created)
    assert letter.step == Step.JOIN
    return {"bytes": letter.body.decode(), "digest": digest("join", party, letter.body).hex()}


def named(functions: dict[str, Any]) -> dict[str, Callable[[Fields], Fields]]:
    """The operations among them, by the kind of vector that they are for."""
    return {
        name.removeprefix("do_").replace("_", "-"): operation
        for name, operation in functions.items()
        if name.startswith("do_")
    }


OPERATIONS = named(globals())
