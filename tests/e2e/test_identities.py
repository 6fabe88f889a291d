"""Who somebody is, over a network's life: revoked, back with a new key, and certificates that end.

Real processes on Mosquitto.  What each broker does with a certificate stands in tests/broker/test_access.py.
"""

from __future__ import annotations

import datetime as dt
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from coordinator import cluster, pki
from coordinator.cluster import BROKER, COORDINATOR
from coordinator.enroll import enroll
from coordinator.renew import renew
from party_node import checks, pins
from party_node.config import load_coordinator, load_node
from party_node.daemon import checked_roster
from party_node.enrolment import create
from party_node.pins import FILE
from party_node.roster import fingerprint, load_roster
from protocol.errors import ConfigError
from protocol.functionalities.average import Average
from tests.support.programs import Cluster, Ran, finish, made_cluster, run, until

PARTIES = ("alice", "bob", "carlos")
INPUTS = "party,raise\nalice,3800\nbob,2514\ncarlos,2983\n"
AVERAGE = "average --input raise --within 50"


@pytest.fixture
def network(tmp_path: Path) -> Iterator[Cluster]:
    """Three nodes and a coordinator; nothing runs yet."""
    with made_cluster("mosquitto", tmp_path, PARTIES, INPUTS) as made:
        yield made


def operator(network: Cluster, *command: str | Path) -> Ran:
    return run("coordinator", *command, "--dir", network.directory)


def restart(network: Cluster, *services: str) -> None:
    for service in services:
        network.terminate(service)
    network.start(*services)


def logged(network: Cluster, service: str, *words: str) -> dict[str, Any]:
    """Wait for one entry of a node's log that has all these words."""

    def look() -> dict[str, Any]:
        lines = network.log(service).splitlines()
        found = [line for line in lines if all(word in line for word in words)]
        entry: dict[str, Any] = json.loads(found[-1]) if found else {}
        return entry

    return until(look, f"{service} logs {', '.join(words)}")


def refused(ran: Ran, *words: str) -> None:
    """It ended with an error and a hint that together say all this."""
    assert ran.code == 1, ran.out
    assert ": error: " in ran.err
    assert ": hint: " in ran.err
    for word in words:
        assert word in ran.err


def key_of(network: Cluster, name: str) -> str:
    return fingerprint(load_roster(network.directory / "roster.toml").entry(name) or b"")


# -- revoked, and back again ---------------------------------------------------------------------------


def test_a_revoked_party_is_refused_everywhere_and_comes_back_with_a_key_that_everybody_trusts(
    network: Cluster, tmp_path: Path
) -> None:
    old = key_of(network, "carlos")
    earlier = network.spec(Average(), "raise", within=50)  # names all three
    node, asker = load_node(network.config("alice")), load_coordinator(network.config(COORDINATOR))
    for each in (node, asker):
        checked_roster(each, remember=True)  # as their first start does
    network.start(BROKER, "carlos")

    # The broker throws carlos out, and neither coordinator nor node will have to do with him.
    done = operator(network, "revoke", "carlos", "--why", "lost laptop")
    assert done.code == 0, done.err
    restart(network, BROKER)
    network.start("alice")
    logged(network, "carlos", "revoked", "hint")
    session = network.announce(earlier)  # by somebody who has the old roster
    assert "carlos is" in logged(network, "alice", "session refused", session[:8])["problem"]
    network.terminate("carlos")

    # New keys: the others know the old one, and believe neither until they are told.
    new = _enrolled_anew(network, "carlos", tmp_path / "carlos")
    restart(network, "alice")
    shout = logged(network, "alice", "key changed")
    assert (shout["level"], shout["party"]) == ("error", "carlos")
    assert (shout["known"], shout["offered"]) == (old, new)
    checked = checks.run(node)
    assert any("lets alice in" in line for line in checked)  # all else is in order
    with pytest.raises(ConfigError, match="carlos has another key") as caught:
        next(checked)
    assert f"party-node trust carlos {new}" in caught.value.hint
    refused(network.coordinator(f"launch {AVERAGE}"), old, new, f"coordinator trust carlos {new}")

    # A person has called carlos.
    told = run("party-node", "trust", "carlos", new, "--config", network.config("alice"))
    assert (told.code, new in told.out, old in told.out) == (0, True, True), told.err
    pins.trust(asker.data_dir, load_roster(asker.roster), "carlos", new)
    restart(network, "alice")
    network.start("bob", "carlos")
    assert finish(network.launch(AVERAGE)).data["result"] == "3099.00"


def _enrolled_anew(network: Cluster, name: str, directory: Path) -> str:
    """New keys for a party, in the place of its old ones; the fingerprint of its new identity."""
    identity = create(name, directory, "localhost:8883").split('identity = "')[1].split('"')[0]
    enroll(network.directory, name, directory / "tls.csr", identity)
    folder = network.config(name).parent
    for key in ("identity.key", "tls.key"):
        shutil.copy(directory / key, folder / key)
    (folder / "data" / FILE).unlink()  # another machine: it has known nobody yet
    return key_of(network, name)


# -- certificates that end -----------------------------------------------------------------------------


def _reissue(network: Cluster, name: str, lifetime: dt.timedelta, common: str | None = None) -> Path:
    """Another certificate for a member's key."""
    folder = network.config(name).parent
    key = pki.load_key(folder / "tls.key").public_key()
    pem = pki.Authority.load(network.directory / "ca").issue_client(key, common or name, lifetime)
    (folder / "tls.crt").write_bytes(pem)
    return folder / "tls.crt"


def test_an_expired_certificate_is_told_by_all_and_renewed_while_the_node_runs(network: Cluster) -> None:
    yesterday = dt.timedelta(days=-1)
    path, asker = (_reissue(network, name, yesterday) for name in ("alice", COORDINATOR))
    launched = network.coordinator(f"launch {AVERAGE}")
    refused(launched, f"{asker}: expired on", "coordinator renew")
    network.start(BROKER, "alice")
    for words in (("warning", f"our certificate {path} expired on"), ("error", f"{path}: expired on")):
        assert "coordinator enroll" in logged(network, "alice", *words)["hint"]
    renew(network.directory)
    logged(network, "alice", "connected")  # without a restart


def test_a_launch_with_somebody_elses_certificate_says_whose_it_is(tmp_path: Path) -> None:
    cluster.create(tmp_path / "D", PARTIES)
    network = Cluster(tmp_path / "D", "mosquitto")
    path = _reissue(network, COORDINATOR, dt.timedelta(days=1), "bob")
    launched = network.coordinator(f"launch {AVERAGE}")
    refused(launched, f"{path}: a certificate for bob, expected coordinator", "common name")
