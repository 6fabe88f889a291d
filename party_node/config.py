"""Configuration files: TOML in, a checked and frozen `NodeConfig` or `CoordinatorConfig` out.

Relative paths are relative to the file that names them.  Environment variables override the file:
SOTTO_BROKER__HOST is `host` in `[broker]`.  Every error names the file (or variable), the key, what
it was and what it may be; an input's value is a secret and never appears.
"""

from __future__ import annotations

import os
import re
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PrivateAttr,
    StrictBool,
    StrictInt,
    StrictStr,
    ValidationInfo,
    model_validator,
)

from party_node.toml import PREFIX, checked, read_toml
from protocol.dp import epsilon as epsilons
from protocol.encoding import MOST_DECIMALS
from protocol.errors import ConfigError
from protocol.functionalities import CATALOGUE
from protocol.letters import ALL
from protocol.names import PATTERN, Name, is_name


def _absolute(path: Path, info: ValidationInfo) -> Path:
    if "\n" in str(path):
        raise ValueError("should be the path of a file, not what is in it")
    directory = (info.context or {}).get("directory", Path())
    # Not Path.resolve(): a key behind a symlink that is replaced later must be followed later.
    return Path(os.path.abspath(directory / path))  # noqa: PTH100 - the only way to fold ".." without that


def _base_topic(topic: str) -> str:
    if re.fullmatch(r"[^+#/$\0][^+#/\0]*(/[^+#/\0]+)*", topic) is None:
        raise ValueError('should be topic levels such as "acme/sotto": no + or #, no / at either end')
    return topic


def _literal(value: object) -> object:
    elements = value if isinstance(value, list | tuple) else [value]
    if any(isinstance(element, float) for element in elements):
        raise ValueError('should be quoted, as in "0.1": a TOML float is not exact')
    if any(not isinstance(element, str | int) for element in elements):
        raise ValueError("should be a number in quotes, a whole number, a list of those, or yes or no")
    if elements is value and any(isinstance(element, bool) for element in elements):
        raise ValueError("should be a list of numbers: a yes or no stands alone")
    return value


FilePath = Annotated[Path, AfterValidator(_absolute)]
Number = StrictStr | StrictInt


class _Table(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


def _bound(value: object) -> object:
    """A bound is exact: a whole number, or a decimal in quotes."""
    if value is None or isinstance(value, Decimal):
        return value
    if isinstance(value, bool | float) or not isinstance(value, int | str):
        raise ValueError('should be a whole number, or a decimal in quotes ("3171.50")')
    try:
        bound = Decimal(value)
    except InvalidOperation:
        raise ValueError("is not a decimal number") from None
    if not bound.is_finite():
        raise ValueError("should be finite")
    return bound


def _nano(value: object) -> object:
    """ε as it is counted, in nano-ε, from what is written of it."""
    bound = _bound(value)
    return epsilons.parse(bound) if isinstance(bound, Decimal) else bound


def _known(name: str) -> str:
    if name not in CATALOGUE:
        raise ValueError(f"is no function; there are {', '.join(CATALOGUE)}")
    return name


def _audience(name: str) -> str:
    if name != ALL and not is_name(name):
        raise ValueError(f'should be a name matching {PATTERN}, or "{ALL}"')
    return name


Known = Annotated[str, AfterValidator(_known)]
Epsilon = Annotated[int | None, BeforeValidator(_nano)]  # nano-ε


class BrokerConfig(_Table):
    """How to reach the MQTT broker, and who we are to it."""

    host: str = Field(min_length=1, description='a host name or an address, as in "localhost"')
    port: int = Field(ge=1, le=65535, description="a port, usually 8883 for MQTT over TLS")
    protocol: Literal["5", "3.1.1"] = Field("5", description='"5", or "3.1.1" for the embedded broker')
    ca: FilePath = Field(description="the certificate (PEM) that signed the broker's")
    certificate: FilePath = Field(description="our certificate (PEM): its common name is our name")
    key: FilePath = Field(description="the private key (PEM) of the certificate")
    base_topic: Annotated[str, AfterValidator(_base_topic)] = Field(
        "sotto", description="the same for all parties: what every topic starts with"
    )


class InputSource(_Table):
    """Where one named input comes from: exactly one of `value`, `csv` with `column`, `query`."""

    value: Annotated[StrictBool | Number | tuple[Number, ...] | None, BeforeValidator(_literal)] = Field(
        None,
        repr=False,
        description='an exact decimal in quotes ("3171.50"), a whole number, a list of those, or "yes"/"no"',
    )
    csv: FilePath | None = Field(None, description="a CSV file whose first row holds column names")
    column: str | None = Field(None, description="the name of one column of the CSV file")
    query: str | None = Field(
        None, description="an SQL query with one column, as in \"SELECT pay FROM 'staff.parquet'\""
    )

    lower: Annotated[Decimal | None, BeforeValidator(_bound)] = Field(
        None, description="the smallest value that this input may ever have, in quotes"
    )
    upper: Annotated[Decimal | None, BeforeValidator(_bound)] = Field(
        None, description="the largest value that this input may ever have, in quotes"
    )
    decimals: int | None = Field(
        None, ge=0, le=MOST_DECIMALS, description="the most decimals that this input may ever have"
    )
    epsilon: Epsilon = Field(
        None, description="the most epsilon that all sessions together may spend on this input, in quotes"
    )
    exact: StrictBool | None = Field(
        None, description="true or false: whether it may go into answers without noise, whatever epsilon says"
    )

    @model_validator(mode="after")
    def _exactly_one(self) -> InputSource:
        if sum(part is not None for part in (self.value, self.csv, self.query)) != 1:
            raise ValueError("should have exactly one of value, csv (with column) and query")
        if (self.csv is None) != (self.column is None):
            raise ValueError("csv and column go together")
        return self


Audience = Annotated[str, AfterValidator(_audience)]


class Policy(_Table):
    """What this node takes part in."""

    functions: tuple[Known, ...] | None = Field(
        None, description=f"a list of functions that it serves, of {', '.join(CATALOGUE)}"
    )
    inputs: tuple[StrictStr, ...] | None = Field(
        None, description="a list of names of inputs that it computes on for others"
    )
    recipients: tuple[Audience, ...] | None = Field(
        None, description='a list of those who may learn an answer; "all" stands for everybody'
    )
    recognised: tuple[Name, ...] | None = Field(
        None, description="a list of the compute parties of whom we believe that they do not all collude"
    )
    min_recognised: StrictInt = Field(
        2, ge=0, description="fewest of the recognised compute parties that a session must have"
    )
    longest: StrictInt = Field(
        30 * 24 * 3600, ge=1, description="the most seconds from a session's announcement to its end"
    )
    max_sessions: StrictInt = Field(100, ge=1, description="most sessions that may be open at a time")
    exact: StrictBool | None = Field(
        None, description="true or false: whether inputs may go into answers without noise"
    )
    min_difference: StrictInt | None = Field(
        None, ge=1, description="by how many parties the exact answers that one input goes into must differ"
    )
    approve: Literal["auto", "ask"] = Field(
        "auto", description='"auto", or "ask": a session waits for `party-node approve`'
    )
    min_inputs: int = Field(
        3, ge=1, description="fewest inputs of a session that one of our inputs goes into"
    )
    max_epsilon: Epsilon = Field(
        None, description="the most epsilon that one session may spend on an input of ours, in quotes"
    )
    min_colluders: StrictInt = Field(
        1, ge=0, description="fewest colluding compute parties that noise on our inputs must be made for"
    )


def _endpoint(listen: str) -> str:
    if (found := _ENDPOINT.fullmatch(listen)) is None or not 0 < int(found["port"]) <= 65535:
        raise ValueError('should be an address and a port, as in "127.0.0.1:9464" or "[::1]:9464"')
    return listen


_ENDPOINT = re.compile(r"(\[(?P<six>[0-9A-Fa-f:.]+)\]|(?P<host>[^\s:\[\]/]+)):(?P<port>[0-9]{1,5})")


class Metrics(_Table):
    """The port on which the node tells how it is."""

    listen: Annotated[str, AfterValidator(_endpoint)] | None = Field(
        None, description='an address and a port for /healthz and /metrics, as in "127.0.0.1:9464"'
    )
    patience: int = Field(
        60, ge=1, description="seconds without a link to the broker after which /healthz says failing"
    )

    @property
    def endpoint(self) -> tuple[str, int] | None:
        """Where to listen: a host and a port."""
        found = None if self.listen is None else _ENDPOINT.fullmatch(self.listen)
        return None if found is None else (found["six"] or found["host"], int(found["port"]))


class _Daemon(_Table):
    """What the node's and the coordinator's configuration have in common."""

    name: Name = Field(description=f"a name as in the roster, matching {PATTERN}")
    data_dir: FilePath = Field(description="a directory of our own for the journal; it is created")
    roster: FilePath = Field(description="the file with everybody's identities (roster.toml)")
    identity_key: FilePath = Field(description="our Ed25519 private key (PKCS#8 PEM, mode 0600)")
    broker: BrokerConfig = Field(description="a table: [broker] with host, port, ca, certificate, key")
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="debug, info, warning or error"
    )
    _directory: Path = PrivateAttr(default_factory=Path.cwd)

    def model_post_init(self, context: Any, /) -> None:
        if context:
            self._directory = context["directory"]

    @property
    def directory(self) -> Path:
        """The config file's directory: where the relative paths in a query start."""
        return self._directory


class NodeConfig(_Daemon):
    """One party's node."""

    policy: Policy = Field(default_factory=Policy, description="a table: [policy] with what it takes part in")
    compute: bool = Field(True, description="true or false: whether this node offers to compute")
    keep_sessions: int = Field(
        0, ge=0, description="seconds for which an ended session can still be shown by `party-node replay`"
    )
    keep_results: int = Field(
        0, ge=0, description="seconds after which an ended session and its answer are deleted; 0: never"
    )
    keep_evidence: int = Field(
        30 * 24 * 3600, ge=0, description="seconds for which `party-node audit` can tell of an ended session"
    )
    metrics: Metrics = Field(
        default_factory=Metrics, description="a table: [metrics] with listen and patience"
    )
    inputs: dict[str, InputSource] = Field(
        default_factory=dict,
        description="tables: [inputs.NAME] with value, csv and column, or query",
    )


class CoordinatorConfig(_Daemon):
    """The coordinator: it announces, and has no inputs."""


Config = TypeVar("Config", bound=_Daemon)


def load_node(path: Path) -> NodeConfig:
    """The node's configuration from `path` and the environment.  Raises ConfigError."""
    return _load(path, NodeConfig)


def load_coordinator(path: Path) -> CoordinatorConfig:
    """The coordinator's configuration from `path` and the environment.  Raises ConfigError."""
    return _load(path, CoordinatorConfig)


def config_path(given: Path | None) -> Path:
    """The config file to use: `given`, else the one that SOTTO_CONFIG names."""
    if given is not None:
        return given
    if path := os.environ.get("SOTTO_CONFIG"):
        return Path(path)
    raise ConfigError("no configuration file", "name one with --config or the variable SOTTO_CONFIG")


def _load(path: Path, model: type[Config]) -> Config:
    return checked(
        model, read_toml(path), path, {"directory": path.parent.resolve()}, _from_environment(model)
    )


def _from_environment(model: type[_Daemon]) -> dict[str, Any]:
    """The part of the configuration that SOTTO_… variables hold, as nested tables."""
    if not any(key.upper().startswith(PREFIX) and key.upper() != "SOTTO_CONFIG" for key in os.environ):
        return {}
    # Imported here because it doubles the time that a node without overrides takes to start.
    from party_node.environment import overrides  # noqa: PLC0415

    return overrides(model, PREFIX)
