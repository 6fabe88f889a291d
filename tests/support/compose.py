"""Reads docker-compose.yml as `docker compose` would, as far as ours goes.

A key that this file does not know is an error: what a test leaves out silently, it does not prove.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

# What an engine does with these shows only under an engine.
_ENGINE_ONLY = {"build", "image", "pull_policy", "init", "restart"}
_UNDERSTOOD = {
    "user", "read_only", "tmpfs", "cap_drop", "security_opt", "command", "environment", "depends_on",
    "healthcheck", "configs", "secrets", "volumes",
}  # fmt: skip


@dataclass(frozen=True, eq=False)
class Service:
    """One service: what runs, and all that it finds in its container."""

    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str]
    user: tuple[int, int]
    files: Mapping[str, Path]  # path in the container: file of the host
    volumes: Mapping[str, str]  # path in the container: name of the volume
    tmpfs: tuple[str, ...]
    waits_for: Mapping[str, str]  # service: condition
    healthcheck: tuple[str, ...] | None
    image: str
    build_target: str
    restart: str


@dataclass(frozen=True)
class Project:
    """The whole file; its relative paths start at the project's directory."""

    services: Mapping[str, Service]
    volumes: frozenset[str]
    sources: Mapping[str, Path]  # every config and secret, by name
    has_way_out: bool


def load(path: Path, directory: Path, environment: Mapping[str, str]) -> Project:
    """Read the file; `environment` is what ${NAME:-default} is looked up in."""
    data = YAML(typ="safe").load(_interpolated(path.read_text(), environment))
    sources = {
        kind: {name: directory / entry["file"] for name, entry in data[kind].items()}
        for kind in ("configs", "secrets")
    }
    services = {name: _service(name, entry, sources) for name, entry in data["services"].items()}
    return Project(
        services,
        frozenset(data["volumes"]),
        {**sources["configs"], **sources["secrets"]},
        has_way_out=not data["networks"]["default"]["internal"],
    )


def _interpolated(text: str, environment: Mapping[str, str]) -> str:
    def value(match: re.Match[str]) -> str:
        return environment.get(match[1]) or match[2]

    return re.sub(r"\$\{(\w+):-([^}]*)\}", value, text)


def _service(name: str, entry: dict[str, Any], sources: Mapping[str, Mapping[str, Path]]) -> Service:
    unknown = entry.keys() - _UNDERSTOOD - _ENGINE_ONLY
    assert not unknown, f"{name}: {unknown} in docker-compose.yml, which tests/support/compose.py ignores"
    # What every service is confined by, and namespaces.Container does.
    assert entry["read_only"] is True
    assert entry["cap_drop"] == ["ALL"]
    assert entry["security_opt"] == ["no-new-privileges:true"]
    user, group = entry["user"].split(":")
    files = {each["target"]: sources["configs"][each["source"]] for each in entry["configs"]}
    files |= {f"/run/secrets/{each}": sources["secrets"][each] for each in entry["secrets"]}
    volumes = dict(reversed(each.split(":")) for each in entry["volumes"])
    return Service(
        name=name,
        command=tuple(entry["command"]),
        environment=entry.get("environment", {}),
        user=(int(user), int(group)),
        files=files,
        volumes=volumes,
        tmpfs=tuple(entry["tmpfs"]),
        waits_for={other: each["condition"] for other, each in entry.get("depends_on", {}).items()},
        healthcheck=_exec_form(entry["healthcheck"]["test"]) if "healthcheck" in entry else None,
        image=entry["image"],
        build_target=entry["build"]["target"],
        restart=entry["restart"],
    )


def _exec_form(test: list[str]) -> tuple[str, ...]:
    kind, *command = test
    assert kind == "CMD", "a healthcheck is a command and its arguments, without a shell"
    return tuple(command)
