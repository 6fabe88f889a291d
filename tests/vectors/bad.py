"""Vectors that must be refused: each has one flaw, and `repair` is what takes it away."""

from __future__ import annotations

from tests.vectors import bad_noise, reference, story
from tests.vectors.flaws import Vector, flawed
from tests.vectors.story import b64
from tests.vectors.votes import EXACT

# -- §4.2, §4.3 -----------------------------------------------------------------------------------------


def statements() -> list[Vector]:
    """Flaws of the canonical JSON, of a statement's fields and of a header's."""
    digest = b64(bytes(32))
    view = f'"view":"{b64(story.secret("some view"))}"'
    received = f'{{{view},"inputs":["alice"],"commitment":"{digest}"}}'
    canon, extra = "canonical", "extra inputs"
    flaws = [
        ("an unknown field", received[:-1] + ',"more":1}', extra),
        ("white space", received.replace('":', '": '), canon),
        ("a line feed at the end", received + "\n", canon),
        ("leftover bytes", received + "{}", "trailing"),
        ("a repeated key", received[:-1] + f',"commitment":"{digest}"}}', canon),
        ("another order of fields", f'{{{view},"commitment":"{digest}","inputs":["alice"]}}', canon),
        ("an escape that is not needed", received.replace("alice", "\\u0061lice"), canon),
        ("a missing field", f'{{{view},"inputs":["alice"]}}', "commitment: field required"),
        ("no view", received.replace(f"{view},", ""), "view: field required"),
        ("base64 without padding", received.replace("=", ""), "canonical"),
        ("a digest of 31 bytes", received.replace(digest, b64(bytes(31))), "at least 32"),
        ("a name in upper case", received.replace("alice", "Alice"), "a name has"),
        ("a reserved name", received.replace("alice", "all"), "a name has"),
        ("a string where a list should be", received.replace('["alice"]', '"alice"'), "inputs"),
    ]
    good: Vector = {"statement": "received", "bytes": received}
    vectors = [
        flawed("statement", name, "malformed", says, good | {"bytes": raw}, good) for name, raw, says in flaws
    ]
    vectors.append(_standard_alphabet())
    return vectors + _headers() + _others()


def _standard_alphabet() -> Vector:
    good = f'{{"transcript":"{b64(bytes([255]) * 32)}"}}'
    given: Vector = {"statement": "confirm", "bytes": good}
    bad = given | {"bytes": good.replace("_", "/")}
    return flawed("statement", "base64 in the standard alphabet", "malformed", "canonical", bad, given)


def _headers() -> list[Vector]:
    plain, share = story.header("join", "alice", "all"), story.header("share", "alice", "bob")
    masked = story.header("masked", "bob", "alice", round=1)
    slots = [{"to": "bob", "open": None, "box": b64(bytes(48))}]
    where = "slots stand in the first part"
    flaws: list[tuple[str, Vector, Vector, str]] = [
        ("an unknown version", plain, {"version": 2}, "version"),
        ("a version that is a string", plain, {"version": "1"}, "version"),
        ("a version with a decimal point", plain, {"version": 1.0}, "canonical"),
        ("an unknown step", plain, {"step": "shares"}, "step"),
        ("a session id in upper case", plain, {"session": story.SESSION.upper()}, "session"),
        ("a session id that is too short", plain, {"session": story.SESSION[:-1]}, "session"),
        ("an unknown audience", plain, {"to": "ALL"}, "neither a party name nor an audience"),
        ("part = parts", plain, {"part": 1}, "part 1 of 1"),
        ("more parts than allowed", plain, {"parts": 4097}, "parts"),
        ("a negative part", plain, {"part": -1}, "part"),
        ("round 0 on masked", masked, {"round": 0}, "round 0 of masked"),
        (
            "round 0 on correlate",
            share | {"step": "correlate", "round": 1, "slots": slots},
            {"round": 0},
            "round 0",
        ),
        ("round 1 on share", share | {"slots": slots}, {"round": 1}, "round 1 of share"),
        ("round 256", masked | {"round": 255}, {"round": 256}, "round"),
        ("a negative round", masked, {"round": -1}, "round"),
        ("slots on masked", masked, {"slots": slots}, where),
        ("slots on a plain letter", plain, {"slots": slots}, where),
        ("a sealed letter without slots", share | {"slots": slots}, {"slots": []}, where),
        ("slots in the second part", share | {"part": 1, "parts": 2}, {"slots": slots}, where),
        (
            "a box of 47 bytes",
            share | {"slots": slots},
            {"slots": [slots[0] | {"box": b64(bytes(47))}]},
            "48",
        ),
    ]
    return [
        flawed(
            "statement",
            f"header: {name}",
            "malformed",
            says,
            {"statement": "header", "bytes": reference.canonical(fields | change).decode()},
            {"bytes": reference.canonical(fields).decode()},
        )
        for name, fields, change, says in flaws
    ]


def _others() -> list[Vector]:
    flaws: list[tuple[str, str, Vector, Vector, str]] = [
        *_joins(),
        ("an unknown reason", "abort", _abort(), {"reason": "bored"}, "reason"),
        (
            "a detail of 501 characters",
            "abort",
            _abort() | {"detail": "u" * 500},
            {"detail": "u" * 501},
            "detail",
        ),
        ("a detail of two lines", "abort", _abort(), {"detail": "time is up\u2028or not"}, "detail"),
        (
            "a detail with a right-to-left override",
            "abort",
            _abort(),
            {"detail": "up is \u202etime"},
            "detail",
        ),
        ("a commit without a view", "commit", _commit(), {"view": None}, "view"),
        ("an opened of 31 bytes", "commit", _commit(), {"opened": b64(bytes(31))}, "opened"),
        ("an unknown code", "refuse", {"code": "policy", "words": ""}, {"code": "too-high"}, "code"),
        ("words on two lines", "refuse", {"code": "declined", "words": "no"}, {"words": "no\nno"}, "words"),
        ("no words at all", "refuse", {"code": "declined", "words": "no"}, {"words": None}, "words"),
        ("no steps at all", "request", {"steps": ["join"]}, {"steps": []}, "steps"),
        ("33 steps", "request", {"steps": ["masked-1"] * 32}, {"steps": ["masked-1"] * 33}, "steps"),
        ("a step of round 0", "request", {"steps": ["masked-1"]}, {"steps": ["masked-0"]}, "steps"),
        ("a leading zero", "request", {"steps": ["masked-1"]}, {"steps": ["masked-01"]}, "steps"),
        ("a step of round 256", "request", {"steps": ["masked-255"]}, {"steps": ["masked-256"]}, "steps"),
        ("a step without its round", "request", {"steps": ["masked-1"]}, {"steps": ["masked"]}, "steps"),
        ("a round of a step without", "request", {"steps": ["share"]}, {"steps": ["share-1"]}, "steps"),
        ("an unknown step", "request", {"steps": ["share"]}, {"steps": ["shares"]}, "steps"),
        ("a run of 31 bytes", "masked", _masked(), {"run": b64(bytes(31))}, "run"),
        ("a run of 33 bytes", "opened", _masked(), {"run": b64(bytes(33))}, "run"),
        ("no bits", "masked", _masked(), {"bits": None}, "bits"),
        ("no bits", "opened", _masked(), {"bits": None}, "bits"),
    ]
    return [
        flawed(
            "statement",
            f"{kind}: {name}",
            "malformed",
            says,
            {"statement": kind, "bytes": reference.canonical(fields | change).decode()},
            {"bytes": reference.canonical(fields).decode()},
        )
        for name, kind, fields, change, says in flaws
    ]


def _abort() -> Vector:
    return {"reason": "timeout", "detail": "time is up", "silent": ["bob"], "culprit": None}


def _joins() -> list[tuple[str, str, Vector, Vector, str]]:
    """Flaws of a join."""
    key = b64(reference.sealing_public(story.session_seed("alice")))
    good: Vector = {"sealing_key": key, "shape": [], "offer": None, "setups": {}}
    offer, name, ids = b64(story.secret("an offer")), b64(bytes(16)), "setups.bob"
    kept = good | {"offer": offer, "setups": {"bob": [name]}}
    return [
        ("a sealing key of 1215 bytes", "join", good, {"sealing_key": b64(bytes(1215))}, "1216"),
        ("a shape of no elements", "join", good | {"shape": [3]}, {"shape": [0]}, "shape"),
        (
            "a shape of more than 2^26 elements",
            "join",
            good | {"shape": [2**26]},
            {"shape": [2**26 + 1]},
            "67108864",
        ),
        ("a shape of two dimensions", "join", good | {"shape": [3]}, {"shape": [3, 3]}, "shape"),
        ("an offer of 31 bytes", "join", kept, {"offer": b64(bytes(31))}, "offer"),
        ("an offer of 33 bytes", "join", kept, {"offer": b64(bytes(33))}, "offer"),
        ("setups with an id of 15 bytes", "join", kept, {"setups": {"bob": [b64(bytes(15))]}}, ids),
        ("setups with an id of 17 bytes", "join", kept, {"setups": {"bob": [b64(bytes(17))]}}, ids),
        ("setups with an empty list", "join", kept, {"setups": {"bob": []}}, ids),
        (
            "setups with five ids",
            "join",
            kept | {"setups": {"bob": [name] * 4}},
            {"setups": {"bob": [name] * 5}},
            ids,
        ),
        ("setups with everybody", "join", kept, {"setups": {"all": [name]}}, "a name has"),
        ("no setups", "join", kept, {"setups": None}, "setups"),
    ]


def _masked() -> Vector:
    return {"run": b64(EXACT.run()), "bits": b64(b"\1")}


def _commit() -> Vector:
    view, commitment = story.view(), story.commitment("alice")
    named = {"view": b64(view), "inputs": list(story.PARTIES)}
    return named | {"opened": None, "commitment": b64(commitment)}


def specs() -> list[Vector]:
    """Specs that no node may take for one."""
    function: Vector = story.spec()["function"]
    created = story.spec()["created"]
    flaws: list[tuple[str, Vector, str]] = [
        ("another version", {"version": 2}, "version"),
        ("an unknown function", {"function": function | {"name": "median"}}, "function"),
        ("a bound that is NaN", {"function": function | {"upper": "NaN"}}, "finite"),
        ("a bound that is infinite", {"function": function | {"upper": "Infinity"}}, "finite"),
        (
            "a bound with more decimals than the session",
            {"function": function | {"upper": "1.001"}},
            "decimals",
        ),
        ("bounds in the wrong order", {"function": function | {"lower": "1001.00"}}, "above"),
        ("19 decimals", {"function": function | {"decimals": 19}}, "decimals"),
        (
            "a sum that could leave the ring",
            {"function": function | {"upper": "30744573456182586.03"}},
            "2^63",
        ),
        ("an input name with a slash", {"input": "raise/2025"}, "input"),
        ("a party twice in one role", {"compute": ["alice", "alice", "bob", "carlos"]}, "twice"),
        (
            "a member without a role",
            {"inputs": ["alice", "bob"], "compute": ["alice", "bob"]},
            "members are exactly",
        ),
        ("a role without a member", {"results": ["alice", "bob", "eve"]}, "members are exactly"),
        ("one compute party", {"compute": ["alice"]}, "compute"),
        ("no result party", {"results": []}, "results"),
        ("more inputs needed than there are", {"min_inputs": 4}, "min_inputs"),
        ("no input needed", {"min_inputs": 0}, "min_inputs"),
        ("a time to join that is over at once", {"join_by": created}, "times"),
        ("shares due before the joins", {"share_by": created + 1}, "times"),
        ("a nonce of 15 bytes", {"nonce": b64(bytes(15))}, "nonce"),
        ("a key of 31 bytes", {"members": story.spec()["members"] | {"bob": b64(bytes(31))}}, "members"),
        ("an unknown field", {"epsilon": "1"}, "extra inputs"),
    ]
    vectors = [
        flawed(
            "spec",
            name,
            "malformed",
            says,
            {"bytes": reference.canonical(story.spec(**change)).decode()},
            {"bytes": story.SPEC.decode()},
        )
        for name, change, says in flaws
    ]
    largest = reference.canonical(story.spec(function=function | {"upper": "30744573456182586.02"}))
    for vector in vectors:
        if "ring" in vector["name"]:  # one unit less fits exactly: 3 · 3074457345618258602 = 2^63 − 2
            vector["repair"] = {"bytes": largest.decode()}
    return vectors + _referenda() + bad_noise.specs()


def _referenda() -> list[Vector]:
    """Thresholds that no referendum of four ballots can have."""
    function: Vector = EXACT.fields["function"]
    flaws: list[tuple[str, Vector, str]] = [
        ("a threshold of 0", {"threshold": "0"}, "at least one ballot"),
        ("a threshold of no part of all", {"threshold": "0/3"}, "at least one ballot"),
        ("a threshold of more than all", {"threshold": "5/3"}, "more than all"),
        ("a threshold of one out of none", {"threshold": "1/0"}, "more than all"),
        ("a threshold above the number of input parties", {"threshold": "5"}, "more than the 4"),
        ("a threshold that is a number", {"threshold": 3}, "threshold"),
        ("a threshold with a point", {"threshold": "0.5"}, "threshold"),
        ("a negative threshold", {"threshold": "-1"}, "threshold"),
        ("a threshold with a line feed", {"threshold": "2/3\n"}, "threshold"),
        ("a threshold of two fractions", {"threshold": "1/2/3"}, "threshold"),
        ("a threshold of ten digits", {"threshold": "1/1000000000"}, "threshold"),
        ("no threshold", {"threshold": None}, "threshold"),
        ("a referendum with decimals", {"decimals": 2}, "extra inputs"),
    ]
    return [
        flawed(
            "spec",
            name,
            "malformed",
            says,
            {"bytes": reference.canonical(EXACT.fields | {"function": function | change}).decode()},
            {"bytes": EXACT.spec.decode()},
        )
        for name, change, says in flaws
    ]


# -- §4.4 -----------------------------------------------------------------------------------------------


def letters() -> list[Vector]:
    """Flaws of a payload, its signature and its topic."""
    fields = story.header("refuse", "alice", "all")
    header, body = reference.canonical(fields), b'{"code":"policy"}'
    payload = story.payload(fields, body, "alice")
    good: Vector = {
        "payload": payload.hex(),
        "topic": story.topic("refuse", "alice", "all"),
        "identity": reference.public_identity(story.identity("alice")).hex(),
    }
    signature, length = payload[:64], payload[64:68]
    other = (story.SESSION.encode(), b"0" * 64)
    flaws: list[tuple[str, str, str, Vector]] = [
        ("nothing at all", "malformed", "expected at least", {"payload": ""}),
        ("a payload cut in the signature", "malformed", "expected at least", {"payload": payload[:67].hex()}),
        (
            "a header longer than the payload",
            "malformed",
            "longer than the payload",
            {"payload": (signature + (len(header) + len(body) + 1).to_bytes(4, "big") + header + body).hex()},
        ),
        (
            "a header's length that is little endian",
            "malformed",
            "longer than the payload",
            {"payload": (signature + length[::-1] + header + body).hex()},
        ),
        (
            "a header that takes in a byte of the body",
            "malformed",
            "header",
            {"payload": (signature + (len(header) + 1).to_bytes(4, "big") + header + body).hex()},
        ),
        ("a body that lacks its last byte", "signature", "signature", {"payload": payload[:-1].hex()}),
        ("a byte after the body", "signature", "signature", {"payload": (payload + b"\0").hex()}),
        ("an altered body", "signature", "signature", {"payload": _flip(payload, -1).hex()}),
        ("an altered signature", "signature", "signature", {"payload": _flip(payload, 0).hex()}),
        (
            "an altered header",
            "signature",
            "signature",
            {
                "payload": (signature + length + header.replace(*other) + body).hex(),
                "topic": good["topic"].replace(*map(bytes.decode, other)),
            },
        ),
        (
            "the signature of somebody else",
            "signature",
            "signature",
            {"payload": story.payload(fields, body, "bob").hex()},
        ),
        (
            "a signature over header and body without framing",
            "signature",
            "signature",
            {"payload": (_unframed(header, body) + payload[64:]).hex()},
        ),
        ("the topic of another sender", "malformed", "topic", {"topic": story.topic("refuse", "bob", "all")}),
        ("the topic of another step", "malformed", "topic", {"topic": story.topic("begin", "alice", "all")}),
        (
            "the topic of another part",
            "malformed",
            "topic",
            {"topic": story.topic("refuse", "alice", "all", 1)},
        ),
        (
            "a part number with a leading zero",
            "malformed",
            "topic",
            {"topic": story.topic("refuse", "alice", "all") + "0"},
        ),
    ]
    vectors = [
        flawed("letter", name, error, says, good | change, good) for name, error, says, change in flaws
    ]
    announce = story.header("announce", "coordinator", "all")
    passed_on: Vector = {
        "payload": story.payload(announce, story.SPEC, "coordinator").hex(),
        "topic": story.topic("announce", "bob", "alice"),
        "identity": reference.public_identity(story.identity("coordinator")).hex(),
    }
    for name, (old, new) in {
        "an announcement under the topic of another session": (story.SESSION, "0" * 64),
        "an announcement under the topic of another step": ("/announce/", "/join/"),
    }.items():
        bad = passed_on | {"topic": passed_on["topic"].replace(old, new)}
        vectors.append(flawed("letter", name, "malformed", "topic", bad, passed_on))
    too_long = reference.canonical(story.header("result", "alice", "all"))
    vectors.append(
        flawed(
            "frame",
            "a body of more than 2^20 bytes",
            "malformed",
            "at most 1048576",
            {"header": too_long.decode(), "zeros": 2**20 + 1},
            {"zeros": 2**20},
        )
    )
    return vectors


def _flip(raw: bytes, index: int) -> bytes:
    altered = bytearray(raw)
    altered[index] ^= 1
    return bytes(altered)


def _unframed(header: bytes, body: bytes) -> bytes:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    return Ed25519PrivateKey.from_private_bytes(story.identity("alice")).sign(header + body)


# -- §4.5 -----------------------------------------------------------------------------------------------


def sealed() -> list[Vector]:
    """Flaws of slots, channels and chunks."""
    key, body = story.secret("key of a body"), bytes(range(40))
    first, second, third = reference.chunks(key, body, piece=16)
    slot = story.slot("share", key, opens=True)
    good = story.sealed("share", [slot], [first, second, third])
    box = reference.slot_box(story.channel(), "share", "bob", story.view(), key)
    opened = story.recorded()
    flaws: list[tuple[str, Vector]] = [
        ("an altered box", {"slots": [slot | {"box": b64(_flip(box, 0))}]}),
        ("a box for another step", {"slots": [story.slot("reveal", key, opens=True)]}),
        ("a box for another audience", {"to": "all"}),
        ("an altered opening", {"slots": [slot | {"open": b64(_flip(opened, 0))}]}),
        ("an opening that is cut short", {"slots": [slot | {"open": b64(opened[:-1])}]}),
        ("an empty opening", {"slots": [slot | {"open": ""}]}),
        ("no channel, and none opened", {"slots": [slot | {"open": None}]}),
        ("a slot for somebody else", {"slots": [slot | {"to": "carlos"}]}),
        ("another view", {"view": bytes(32).hex()}),
        ("no view", {"view": ""}),
        ("a box that is bound to no view", {"slots": [story.slot("share", key, opens=True, bound=b"")]}),
        ("another session", {"session": "0" * 64}),
        ("another sender", {"sender": "carlos"}),
        ("another recipient's key", {"seed": story.session_seed("carlos").hex()}),
        ("an altered chunk", {"chunks": [each.hex() for each in (_flip(first, 3), second, third)]}),
        ("two chunks in each other's place", {"chunks": [each.hex() for each in (second, first, third)]}),
        ("a chunk dropped from the middle", {"chunks": [each.hex() for each in (first, third)]}),
        ("the last chunk dropped", {"chunks": [each.hex() for each in (first, second)]}),
        ("a chunk twice", {"chunks": [each.hex() for each in (first, second, second, third)]}),
        ("a chunk shorter than a tag", {"chunks": [each.hex() for each in (first, second, third[:15])]}),
    ]
    return [
        flawed(
            "unseal",
            name,
            "sealed",
            "no slot" if "somebody" in name else "does not open",
            good | change,
            good,
        )
        for name, change in flaws
    ] + _sealing_keys()


def _sealing_keys() -> list[Vector]:
    """Of the right length, and yet nobody can encapsulate to them."""
    key = reference.sealing_public(story.session_seed("bob"))
    good: Vector = {
        "session": story.SESSION,
        "me": "alice",
        "seed": story.session_seed("alice").hex(),
        "to": "bob",
        "key": key.hex(),
    }
    flaws = [
        ("an ML-KEM key whose coefficients are not below q", b"\xff" * 1184 + key[1184:]),
        ("an X25519 key of small order", key[:1184] + bytes(32)),
    ]
    return [
        flawed("channel", name, "key", "sealing key", good | {"key": raw.hex()}, good) for name, raw in flaws
    ]


# -- §4.6 -----------------------------------------------------------------------------------------------


def openings() -> list[Vector]:
    """Reveals that do not open the commitment, and seeds that are none."""
    good: Vector = {
        "view": story.view().hex(),
        "party": "alice",
        "inputs": list(story.PARTIES),
        "opening": story.opening("alice").hex(),
        "commitment": story.commitment("alice").hex(),
        "scalar": True,
        "count": 1,
    }
    longer = story.opening("alice") + bytes(8)
    wrong = reference.commitment(story.view(), "alice", story.PARTIES, longer).hex()
    cut = story.opening("alice")[:-1]
    odd = reference.commitment(story.view(), "alice", story.PARTIES, cut).hex()
    not_it, shape = "not the one it committed to", "another shape"
    flaws: list[tuple[str, str, Vector]] = [
        ("another share", not_it, {"opening": _flip(story.opening("alice"), -1).hex()}),
        ("another nonce", not_it, {"opening": _flip(story.opening("alice"), 0).hex()}),
        ("the commitment of another party", not_it, {"commitment": story.commitment("bob").hex()}),
        ("another party", not_it, {"party": "bob"}),
        ("other inputs", not_it, {"inputs": ["alice", "bob"]}),
        ("inputs in another order", not_it, {"inputs": ["bob", "alice", "carlos"]}),
        ("another view", not_it, {"view": bytes(32).hex()}),
        ("two elements where one is due", shape, {"opening": longer.hex(), "commitment": wrong}),
        ("seven bytes where eight are due", shape, {"opening": cut.hex(), "commitment": odd}),
    ]
    vectors = [flawed("verify", name, "opening", says, good | change, good) for name, says, change in flaws]
    for size in (31, 33):
        given: Vector = {"seed": bytes(size).hex(), "label": "example", "context": [], "length": 32}
        fixed: Vector = {"seed": bytes(32).hex()}
        vectors.append(
            flawed("derive", f"a seed of {size} bytes", "value", "a seed has 32 bytes", given, fixed)
        )
    return vectors + _bits()


def _bits() -> list[Vector]:
    """Output shares of a referendum that are committed to, and yet no bits."""
    return [
        flawed(
            "verify-bit", f"an output share of {share}", "opening", "more than", _opened(share), _opened(1)
        )
        for share in (2, 2**63, 2**64 - 1)
    ]


def _opened(share: int) -> Vector:
    view, inputs = EXACT.view(), EXACT.parties
    opening = reference.opening(EXACT.seed("bob"), view, inputs, [share])
    commitment = reference.commitment(view, "bob", inputs, opening)
    return {
        "view": view.hex(),
        "party": "bob",
        "inputs": list(inputs),
        "opening": opening.hex(),
        "commitment": commitment.hex(),
    }


# -- §7 -------------------------------------------------------------------------------------------------


def inputs() -> list[Vector]:
    """Values that a node must refuse to send."""
    good: Vector = {"value": ["1"], "decimals": 2, "inputs": 4, "lower": "-10.00", "upper": "10.00"}
    free: Vector = {"lower": None, "upper": None}
    flaws: list[tuple[str, str, Vector, Vector]] = [
        ("NaN", "not a finite number", {"value": ["NaN"]}, {}),
        ("infinity", "not a finite number", {"value": ["-inf"]}, {}),
        ("a blank", "blank", {"value": [""]}, {}),
        ("a thousands separator", "not a number", {"value": ["1,000"]}, {}),
        (
            "more decimals than the session's",
            "more than the 2 decimals",
            {"value": ["1.001"]},
            {"decimals": 3},
        ),
        ("above the upper bound", "outside the bounds", {"value": ["10.01"]}, {"value": ["10.00"]}),
        ("below the lower bound", "outside the bounds", {"value": ["-10.01"]}, {"value": ["-10.00"]}),
        (
            "a sum that could leave the ring: 4 · 2^61 = 2^63",
            "outside the bounds",
            {"value": ["2305843009213693952"], "decimals": 0} | free,
            {"value": ["2305843009213693951"]},
        ),
        (
            "a number past 64 bits",
            "64 bits",
            {"value": ["9223372036854775808"], "decimals": 0} | free,
            {"value": ["1"]},
        ),
        ("yes in the place of a number", "a yes/no answer", {"value": ["yes"]}, {}),
        ("one flaw in a vector", "element 3", {"value": ["1", "2", "11"]}, {"value": ["1", "2", "3"]}),
    ]
    return (
        [
            flawed("encode", name, "input", says, good | change, repair or {"value": ["1"]})
            for name, says, change, repair in flaws
        ]
        + _ballots()
        + bad_noise.inputs()
    )


def _ballots() -> list[Vector]:
    """What is no ballot."""
    good: Vector = {"value": ["yes"]}
    flaws: list[tuple[str, str, list[str]]] = [
        ("a ballot of two", "other than 1 and 0", ["2"]),
        ("a ballot of minus one", "other than 1 and 0", ["-1"]),
        ("half a ballot", "other than 1 and 0", ["0.5"]),
        ("two ballots", "takes one ballot", ["1", "0"]),
        ("maybe", "not a number", ["maybe"]),
    ]
    return [flawed("ballot", name, "input", says, {"value": value}, good) for name, says, value in flaws]
