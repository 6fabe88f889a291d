"""docker-compose.yml is what it says: checked against the specification, and run without an engine.

Each service's own command, environment, configs, secrets and volumes, on a host of its own: network
namespaces for machines, mount namespaces for containers, the services' names in a hosts file.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest

from coordinator import broker, init
from party_node.config import load_coordinator, load_node
from tests.support import compose, namespaces
from tests.support.namespaces import STOP_SECONDS, Container, Contents, Network

ROOT = Path(__file__).parents[2]
FILE = ROOT / "docker-compose.yml"
PARTIES = ["alice", "bob", "carlos", "david"]
READY_SECONDS = 60.0  # for a service to be healthy, and for the answer
ANSWER = "average = 3171.50"


@pytest.fixture(scope="module")
def project() -> Iterator[compose.Project]:
    """The project as it is after `make secrets`, in a directory of its own."""
    with tempfile.TemporaryDirectory(prefix="sotto-compose-") as scratch:
        directory = Path(scratch)
        (directory / "configs").symlink_to(ROOT / "configs")
        init.init(directory / "secrets", PARTIES, "broker:8883")
        yield compose.load(FILE, directory, environment={})


# -- the file ----------------------------------------------------------------------------------------


def _validate(file: Path) -> subprocess.CompletedProcess[str]:
    checker = Path(sys.executable).with_name("check-jsonschema")
    command = [str(checker), "--builtin-schema", "vendor.compose-spec", str(file)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_the_file_is_valid_by_the_compose_specification() -> None:
    done = _validate(FILE)
    assert done.returncode == 0, done.stdout


def test_the_check_would_notice_a_key_that_the_specification_does_not_know(tmp_path: Path) -> None:
    wrong = tmp_path / "docker-compose.yml"
    wrong.write_text(FILE.read_text().replace("depends_on:", "depend_on:"))
    done = _validate(wrong)
    assert done.returncode == 1
    assert "depend_on" in done.stdout


def test_every_config_and_secret_exists_and_is_used_and_private_keys_are_private(
    project: compose.Project,
) -> None:
    used = {source for service in project.services.values() for source in service.files.values()}
    assert used == set(project.sources.values())
    for name, source in project.sources.items():
        assert source.is_file()
        if name.endswith(".key"):
            assert source.stat().st_mode & 0o777 == 0o600, source


def test_each_config_names_paths_that_its_service_has(project: compose.Project) -> None:
    for name in [*PARTIES, "coordinator"]:
        service = project.services[name]
        load = load_coordinator if name == "coordinator" else load_node
        config = load(service.files[service.environment["SOTTO_CONFIG"]])
        reach = config.broker
        assert config.name == name
        assert reach.host in project.services
        for path in (config.roster, config.identity_key, reach.ca, reach.certificate, reach.key):
            assert str(path) in service.files
        assert str(config.data_dir) in service.volumes


def test_the_brokers_config_names_paths_that_its_service_has(project: compose.Project) -> None:
    service = project.services["broker"]
    settings = broker.read_settings(service.files["/mosquitto/config/mosquitto.conf"])
    for key in ("cafile", "certfile", "keyfile", "crlfile", "acl_file"):
        assert settings[key] in service.files
    assert settings["persistence_location"].rstrip("/") in service.volumes


def test_no_service_has_anothers_keys_or_volume(project: compose.Project) -> None:
    services = project.services.values()
    keys = [source for each in services for source in each.files.values() if source.suffix == ".key"]
    volumes = [volume for each in services for volume in each.volumes.values()]
    assert len(keys) == len(set(keys))
    assert len(volumes) == len(set(volumes))
    assert set(volumes) == project.volumes


def test_the_image_has_a_writable_directory_where_each_volume_is_mounted(project: compose.Project) -> None:
    stages = re.split(r"^FROM \S+ AS (\S+)$", (ROOT / "Dockerfile").read_text(), flags=re.MULTILINE)
    made = dict(zip(stages[1::2], stages[2::2], strict=True))
    for service in project.services.values():
        for target in service.volumes:
            assert f"install -d -m 1777 {target}\n" in made[service.build_target]


def test_only_the_coordinator_is_not_started_again(project: compose.Project) -> None:
    restarts = {name: service.restart for name, service in project.services.items()}
    assert restarts.pop("coordinator") == "no"
    assert set(restarts.values()) == {"unless-stopped"}


def test_every_image_is_pinned(project: compose.Project) -> None:
    bases = re.findall(r"^FROM (\S+)", (ROOT / "Dockerfile").read_text(), flags=re.MULTILINE)
    for image in [*bases, *(service.image for service in project.services.values())]:
        assert re.search(r":\d+\.\d+", image), image


# -- the services --------------------------------------------------------------------------------------


@pytest.fixture
def hosts(project: compose.Project) -> Iterator[tuple[Network, dict[str, Container]]]:
    """A host for each service, with its files and empty volumes, nothing started yet."""
    namespaces.require("mosquitto", "mosquitto_pub")
    with ExitStack() as stack:
        network = stack.enter_context(namespaces.network(list(project.services)))
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="sotto-hosts-")))
        containers = {}
        for name, service in project.services.items():
            containers[name] = Container(network, name, _contents(service, scratch), scratch / name)
            stack.callback(containers[name].kill)
        yield network, containers


def _contents(service: compose.Service, scratch: Path) -> Contents:
    """The service's files as bind mounts: with the owner and mode that they have on the host."""
    (scratch / service.name).mkdir()
    volumes = {target: scratch / name for target, name in service.volumes.items()}
    for directory in volumes.values():
        directory.mkdir()
        directory.chmod(0o1777)  # as in the image, whence a new volume has it
    for source in service.files.values():
        if source.suffix == ".key":
            os.chown(source, *service.user)
    return Contents(service.user, service.environment, service.files, volumes, service.tmpfs)


def _up(project: compose.Project, containers: dict[str, Container]) -> None:
    """Start every service once those it waits for are healthy."""
    started: list[str] = []
    while len(started) < len(containers):
        ready = [
            each
            for each in project.services.values()
            if each.name not in started and each.waits_for.keys() <= set(started)
        ]
        assert ready, "services wait for each other in a circle"
        awaited = {project.services[name] for each in ready for name in each.waits_for}
        with ThreadPoolExecutor() as threads:
            list(threads.map(lambda each: _until_healthy(each, containers[each.name]), awaited))
        for each in ready:
            containers[each.name].start(each.command)
            started.append(each.name)


def _until_healthy(service: compose.Service, container: Container) -> None:
    assert service.healthcheck is not None, f"{service.name} has no healthcheck to wait for"
    limit = time.monotonic() + READY_SECONDS
    while (check := container.run(service.healthcheck)).returncode != 0:
        assert container.wait(0.1) is None, f"{service.name} ended:\n{container.log()}"
        assert time.monotonic() < limit, f"{service.name}: {check.stderr}\n{container.log()}"


def _at_all(containers: list[Container], command: list[str]) -> list[str]:
    """What a command prints in each of the containers."""
    with ThreadPoolExecutor() as threads:
        done = list(threads.map(lambda each: each.run(command), containers))
    assert not any(each.returncode for each in done), [each.stderr for each in done]
    return [each.stdout for each in done]


def test_every_service_on_a_host_of_its_own_brings_the_answer_to_all(
    project: compose.Project, hosts: tuple[Network, dict[str, Container]]
) -> None:
    network, containers = hosts
    assert all(set(each.waits_for.values()) <= {"service_healthy"} for each in project.services.values())
    _up(project, containers)

    stacks = {each.stack for each in containers.values()} | {namespaces.network_stack(os.getpid())}
    assert len(stacks) == len(containers) + 1, "two services share a network stack"
    assert not project.has_way_out
    assert not any("default" in network.routes(name) for name in containers)

    asker = containers["coordinator"]
    assert asker.wait(READY_SECONDS) == 0, asker.log()
    assert asker.output() == f"{ANSWER}\n"
    session = asker.log().split()[1]  # "session 3f2a… · announced"
    nodes = [containers[name] for name in PARTIES]
    assert _at_all(nodes, ["party-node", "result", session]) == [f"{ANSWER}\n"] * len(nodes)

    for node in nodes:
        node.ask_to_stop()
    for node in nodes:
        assert node.wait(STOP_SECONDS) == 0, node.log()
        events = [json.loads(line)["event"] for line in node.log().splitlines()]
        assert events[0] == "node started"
        assert events.count("connected") == 1, f"the healthcheck took {node.name}'s place: {events}"
        assert events[-1] == "node stopped"
