"""Both command lines end as `party_node.console` documents, whatever was typed."""

from __future__ import annotations

import ast
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
IMPORTED_AS = {"pynacl": "nacl"}  # where a distribution goes by another name


@pytest.mark.parametrize(
    ("program", "arguments", "words"),
    [
        ("party_node", ["check", "--nope"], "--nope"),
        ("party_node", ["shout"], "shout"),
        ("party_node", ["result"], "session"),
        ("coordinator", ["launch", "average"], "--input"),
        ("coordinator", ["launch", "average", "--within", "soon"], "--within"),
    ],
)
def test_a_command_line_that_cannot_be_understood_is_an_error_a_hint_and_code_2(
    program: str, arguments: list[str], words: str
) -> None:
    command = [sys.executable, "-m", f"{program}.cli", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, cwd=ROOT, check=False)
    assert done.returncode == 2, done.stderr
    error, hint = done.stderr.splitlines()
    name = program.replace("_", "-")
    assert error.startswith(f"{name}: error: ")
    assert words in error.lower()
    assert hint.startswith(f"{name}: hint: ")
    assert done.stdout == ""


def test_every_library_that_is_imported_is_a_declared_dependency() -> None:
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    names = [each.split(">")[0].replace("-", "_") for each in declared]
    allowed = {IMPORTED_AS.get(name, name) for name in names} | set(sys.stdlib_module_names)
    allowed |= {"protocol", "party_node", "coordinator"}
    allowed |= {"paho", "pydantic_core"}  # part of what aiomqtt and pydantic offer
    for package in ("protocol", "party_node", "coordinator"):
        for path in (ROOT / package).rglob("*.py"):
            assert _imported(path) <= allowed, f"{path.name}: {_imported(path) - allowed}"


def _imported(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module.partition(".")[0])
    return found
