"""What the figures were measured on: without it they mean nothing."""

from __future__ import annotations

import os
import platform
import shutil
import ssl
import subprocess
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import psutil

_PACKAGES = ("sotto", "mpyc", "numpy", "cryptography", "aiomqtt", "amqtt", "uvloop", "gmpy2")


def describe() -> dict[str, str]:
    """Machine, date and versions, each as one line of text."""
    memory_gb = psutil.virtual_memory().total / 2**30
    return {
        "machine": f"{_processor()}, {os.cpu_count()} cores, {memory_gb:.0f} GiB, "
        f"{platform.system()} {platform.release()}, loopback",
        "date": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "openssl": ssl.OPENSSL_VERSION,
        "mosquitto": _mosquitto(),
        "packages": ", ".join(f"{name} {_version(name)}" for name in _PACKAGES),
    }


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.machine()


def _mosquitto() -> str:
    """`mosquitto -h` opens with its version; it exits with 3, which is no error."""
    path = shutil.which("mosquitto") or shutil.which("/usr/sbin/mosquitto")
    if path is None:
        return "not installed"
    shown = subprocess.run([path, "-h"], capture_output=True, text=True, timeout=10, check=False)
    return (shown.stdout.splitlines() or ["installed, version unknown"])[0]


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "absent"
