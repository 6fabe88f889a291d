"""The local cluster's broker: Mosquitto where it is installed, else the embedded one.

Both are configured by `configs/mosquitto.conf` and `configs/acl` themselves, with other paths: the
commented examples are what really runs.
"""

from __future__ import annotations

import getpass
import os
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from protocol.errors import ConfigError, LocalProtocolError

BrokerKind = Literal["mosquitto", "embedded"]
ProtocolName = Literal["5", "3.1.1"]

# The embedded broker speaks 3.1.1 only.
PROTOCOL: Mapping[BrokerKind, ProtocolName] = {"mosquitto": "5", "embedded": "3.1.1"}

_PACKAGED = Path(__file__).parent / "templates"  # where a wheel has them
_CHECKED_OUT = Path(__file__).parent.parent / "configs"
# Debian installs the daemon where an ordinary user's PATH does not look.
_SYSTEM_DIRECTORIES = ("/usr/sbin", "/usr/local/sbin", "/opt/homebrew/sbin")


def find_mosquitto() -> Path | None:
    """The Mosquitto daemon, if it is installed."""
    path = os.pathsep.join([os.environ.get("PATH", os.defpath), *_SYSTEM_DIRECTORIES])
    found = shutil.which("mosquitto", path=path)
    return Path(found) if found else None


def available_kind() -> BrokerKind:
    """The better of the brokers that this machine has."""
    return "mosquitto" if find_mosquitto() else "embedded"


def template(name: str) -> str:
    """The text of `mosquitto.conf` or `acl` as the project ships it."""
    folder = _PACKAGED if _PACKAGED.is_dir() else _CHECKED_OUT
    return (folder / name).read_text()


def render(text: str, values: Mapping[str, str]) -> str:
    """The same settings, some with other values; comments and order stay."""
    missing = dict(values)
    lines = []
    for line in text.splitlines():
        key = line.partition(" ")[0]
        lines.append(f"{key} {missing.pop(key)}" if key in missing else line)
    if missing:
        raise LocalProtocolError(f"mosquitto.conf has no line for {', '.join(sorted(missing))}")
    return "\n".join(lines) + "\n"


def write_configuration(directory: Path, ca: Path, port: int, address: str | None) -> None:
    """Write `mosquitto.conf` and `acl` into a broker's directory; certificate and crl.pem are there.

    `address` is the one to listen on, None for all.
    """
    folder = directory.absolute()
    (folder / "data").mkdir(parents=True, exist_ok=True)
    values = {
        "listener": f"{port} {address}" if address else str(port),
        "cafile": str(ca.absolute()),
        "certfile": str(folder / "tls.crt"),
        "keyfile": str(folder / "tls.key"),
        "crlfile": str(folder / "crl.pem"),
        "acl_file": str(folder / "acl"),
        "persistence_location": f"{folder / 'data'}/",
    }
    text = render(template("mosquitto.conf"), values)
    if os.geteuid() == 0:
        # Started by root, Mosquitto becomes the user `mosquitto`, who cannot read our keys.
        text += f"\nuser {getpass.getuser()}\n"
    _write_private(folder / "mosquitto.conf", text)
    _write_private(folder / "acl", template("acl"))


def command(kind: BrokerKind, directory: Path) -> list[str]:
    """The command that runs the broker configured in `directory`."""
    config = str(directory.absolute() / "mosquitto.conf")
    if kind == "embedded":
        return [sys.executable, "-m", "coordinator.embedded_broker", "--config", config]
    mosquitto = find_mosquitto()
    if mosquitto is None:
        raise ConfigError(
            "mosquitto is not installed, and this cluster was made for it",
            "install mosquitto, or make a new cluster in another directory",
        )
    return [str(mosquitto), "-c", config]


def read_settings(path: Path) -> dict[str, str]:
    """The settings of a mosquitto.conf with one listener, by key."""
    pairs = (line.partition(" ") for line in path.read_text().splitlines())
    return {key: value.strip() for key, _, value in pairs if key and not key.startswith("#")}


def _write_private(path: Path, text: str) -> None:
    path.touch(mode=0o600)  # Mosquitto warns of an access list that others can read
    path.write_text(text)
