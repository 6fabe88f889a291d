"""Environment variables that override a configuration file: SOTTO_BROKER__HOST is [broker] host."""

from __future__ import annotations

import json
from typing import Any, cast

from pydantic import BaseModel, create_model
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, EnvSettingsSource, SettingsError

from protocol.errors import ConfigError


class _Environment(EnvSettingsSource):
    """Keeps the text of decimals: 0.1 in a variable is exactly 0.1, never a binary float."""

    def decode_complex_value(
        self,
        field_name: str,  # noqa: ARG002 - the overridden method's signature
        field: FieldInfo,  # noqa: ARG002
        value: Any,
    ) -> Any:
        return json.loads(value, parse_float=str, parse_constant=str)


def overrides(model: type[BaseModel], prefix: str) -> dict[str, Any]:
    """The keys of `model` that environment variables set, as nested tables of unchecked values."""
    settings = cast("type[BaseSettings]", create_model("Settings", __base__=(model, BaseSettings)))
    try:
        return _Environment(settings, env_prefix=prefix, env_nested_delimiter="__")()
    except SettingsError as error:
        reason = str(error).partition(" from source")[0]  # the rest names a class of ours
        hint = f"write one variable for each key, such as {prefix}BROKER__HOST"
        raise ConfigError(f"environment: {reason}", hint) from None
