"""TOML files checked by pydantic models, and validation errors in words that people can act on.

Rule 1: what stands below `inputs`, or under a key that we do not know, is never repeated in an error.
"""

from __future__ import annotations

import difflib
import tomllib
from pathlib import Path
from typing import Any, TypeVar, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from protocol.errors import ConfigError

Model = TypeVar("Model", bound=BaseModel)
Table = dict[str, Any]
Location = tuple[int | str, ...]

PREFIX = "SOTTO_"  # of the environment variables that override a configuration file


def read_toml(path: Path) -> Table:
    """The tables of a TOML file.  Raises ConfigError if it is missing, unreadable or not TOML."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such file", "check the path") from None
    except PermissionError:
        raise ConfigError(f"{path}: permission denied", "its owner can chmod or chown it") from None
    except OSError as error:
        raise ConfigError(
            f"{path}: {(error.strerror or 'unreadable').lower()}", "a TOML file is wanted"
        ) from None
    except UnicodeDecodeError:
        raise ConfigError(f"{path}: not UTF-8 text", "TOML files are UTF-8; save it as such") from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path}: {_lower(str(error))}", 'text goes in quotes: key = "value"') from None


def checked(
    model: type[Model],
    table: Table,
    path: Path,
    context: Table | None = None,
    environment: Table | None = None,
) -> Model:
    """`table` (from `path`) with `environment` laid over it, as a `model`.  Raises ConfigError."""
    environment = environment or {}
    try:
        return model.model_validate(_merged(table, environment), context=context)
    except ValidationError as error:
        # A misspelt key is also a missing one; the misspelling is what helps.
        details = min(error.errors(), key=lambda detail: detail["type"] != "extra_forbidden")
    raise _explained(details, model, path, environment)


def _merged(table: Table, over: Table) -> Table:
    merged = dict(table)
    for key, value in over.items():
        below = table.get(key)
        merged[key] = _merged(below, value) if isinstance(below, dict) and isinstance(value, dict) else value
    return merged


def _explained(details: ErrorDetails, model: type[BaseModel], path: Path, environment: Table) -> ConfigError:
    keys = details["loc"]
    place = _place(keys, path, environment)
    if details["type"] == "extra_forbidden":
        return _unknown_key(place, str(keys[-1]), list(_model_at(model, keys[:-1]).model_fields))
    description = _description(model, keys) or _description(model, keys[:-1])
    hint = f"wanted: {description}" if description else ""
    if details["type"] == "missing":
        return ConfigError(f"{place}: missing", hint)
    return ConfigError(f"{place}: {_complaint(details)}", hint)


_NOT_SHOWN = {"inputs", "identity"}  # the latter because a private key may be pasted by mistake
_EXPECTED = {"model_type": "a table", "dict_type": "a table", "path_type": "a path in quotes"}


def _unknown_key(place: str, key: str, known: list[str]) -> ConfigError:
    near = difflib.get_close_matches(key, known, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]}?" if near else f"known here: {', '.join(sorted(known))}"
    return ConfigError(f"{place}: unknown key", hint)


def _complaint(details: ErrorDetails) -> str:
    """Both sides: what it was (unless that may be an input) and what it may be."""
    message = details["msg"]
    for prefix in ("Value error, ", "Input ", "String "):
        message = message.removeprefix(prefix)
    if details["type"] in _EXPECTED:
        message = f"should be {_EXPECTED[details['type']]}"
    if not details["loc"] or _NOT_SHOWN.intersection(details["loc"]):
        return message
    between = " " if message.startswith(("should ", "is ")) else ": "
    return f"{_shown(details['input'])}{between}{message}"


def _shown(value: object) -> str:
    if isinstance(value, dict | list):
        return "a table" if isinstance(value, dict) else "a list"
    if isinstance(value, str) and "\n" in value:
        return "text of several lines"  # perhaps a private key, where its path belongs
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def _place(keys: Location, path: Path, environment: Table) -> str:
    """`file: table.key`, or the name of the environment variable that overrides it."""
    below: Any = environment
    for key in keys:
        below = below.get(key) if isinstance(below, dict) else None
    if keys and below is not None:
        return PREFIX + "__".join(str(key).upper() for key in keys)
    dotted = ".".join(str(key) for key in keys if key != "[key]")
    return f"{path}: {dotted}" if dotted else str(path)


def _model_at(model: type[BaseModel], keys: Location) -> type[BaseModel]:
    """The model that describes the table at `keys`."""
    kind: Any = model
    for key in keys:
        if get_origin(kind) is dict:
            kind = get_args(kind)[1]
        elif isinstance(kind, type) and issubclass(kind, BaseModel) and key in kind.model_fields:
            kind = kind.model_fields[str(key)].annotation
    return kind if isinstance(kind, type) and issubclass(kind, BaseModel) else model


def _description(model: type[BaseModel], keys: Location) -> str:
    field = _model_at(model, keys[:-1]).model_fields.get(str(keys[-1])) if keys else None
    return (field and field.description) or ""


def _lower(text: str) -> str:
    return text[:1].lower() + text[1:]
