"""Several hosts on one machine: each with a network stack, a hosts file and a file system of its own.

Everything lives in one private network and mount namespace, the switch, whose bridge joins the hosts.
When this process ends, however it ends, so does the switch, and the kernel takes away with it every
interface, mount and name: the machine itself is never touched, and two runs never meet.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

import protocol

TOOLS = ("ip", "mount", "nsenter", "setpriv", "unshare")
STOP_SECONDS = 10  # what `docker compose stop` waits before it kills
_NETWORK = "10.83.0."
_PROJECT = Path(protocol.__file__).parents[1]
_SYSTEM = [
    Path("/", name)
    for name in (
        "usr",
        "bin",
        "sbin",
        "lib",
        "lib32",
        "lib64",
        "etc/ld.so.cache",
        "etc/ssl",
        "etc/alternatives",
    )
]
_DEVICES = [Path("/dev", name) for name in ("null", "zero", "random", "urandom")]
_SWITCH = """
mount -t tmpfs run /run  # where `ip netns` keeps its names
mkdir /run/netns
ip link add switch type bridge
ip link set switch up
echo ready
exec cat  # ends with the pipe, and that with the test
"""


def require(*commands: str) -> None:
    """Skip where this cannot run; on CI, a machine that lacks something fails instead."""
    if sys.platform != "linux" or os.geteuid() != 0:
        pytest.skip("needs root on Linux, to make network namespaces")
    missing = [name for name in (*TOOLS, *commands) if shutil.which(name, path=_PATH) is None]
    problem = f"not installed: {', '.join(missing)}" if missing else _forbidden()
    if problem and os.environ.get("CI"):
        pytest.fail(problem)
    if problem:
        pytest.skip(problem)


def _forbidden() -> str:
    trial = ["unshare", "--mount", "--net", "--propagation", "private", "mount", "-t", "tmpfs", "run", "/run"]
    done = subprocess.run(trial, capture_output=True, text=True, timeout=10, check=False)
    return f"this root may not make namespaces: {done.stderr.strip()}" if done.returncode else ""


_PATH = ":".join([str(Path(sys.prefix, "bin")), "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"])


@dataclass(frozen=True)
class Contents:
    """What one container runs with, as a compose file says it."""

    user: tuple[int, int]
    environment: Mapping[str, str]
    files: Mapping[str, Path]  # read-only; path in the container: file of the host
    volumes: Mapping[str, Path]  # writable directories, likewise
    tmpfs: Sequence[str]


class Container:
    """A host of the network, and the one service that runs on it."""

    def __init__(self, network: Network, name: str, contents: Contents, directory: Path) -> None:
        self.name = name
        self.stack: Path | None = None  # its network stack, once it runs
        self._network, self._contents, self._directory = network, contents, directory
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, command: Sequence[str]) -> None:
        """Start the service's command with nothing but its contents around it."""
        root = self._directory / "root"
        root.mkdir()
        (self._directory / "hosts").write_text(self._network.hosts())
        (self._directory / "nsswitch.conf").write_text("hosts: files\n")
        reader, writer = os.pipe()
        # On its stdin the shell tells that the walls stand: until then, `run` would enter the machine itself.
        enclose = f"echo >&0; exec chroot {root} {self._confined(command)} </dev/null"
        script = "\n".join(["set -eu", *self._assemble(root), enclose])
        enter = self._network.on(self.name, ["sh", "-c", script])
        with self._log("out").open("wb") as out, self._log("err").open("wb") as err:
            self._process = subprocess.Popen(enter, stdin=writer, stdout=out, stderr=err)
        os.close(writer)
        with os.fdopen(reader) as walls:
            assert walls.readline(), f"{self.name}: {self.log()}"
        self.stack = network_stack(self.pid)

    def run(self, command: Sequence[str], timeout: float = 20) -> subprocess.CompletedProcess[str]:
        """Run one more command in the container, as `docker compose exec` does."""
        enter = ["nsenter", f"--target={self.pid}", "--mount", "--net", "--root", "--wd", "sh", "-c"]
        return subprocess.run(
            [*enter, f"exec {self._confined(command)}"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

    @property
    def pid(self) -> int:
        """The service's process id."""
        assert self._process is not None
        return self._process.pid

    def wait(self, seconds: float) -> int | None:
        """The service's exit code once it ends; None if it still runs after some seconds."""
        assert self._process is not None
        try:
            return self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return None

    def ask_to_stop(self) -> None:
        """SIGTERM, as `docker compose stop` begins."""
        assert self._process is not None
        self._process.terminate()

    def kill(self) -> None:
        """End it now, if it was started and still runs."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def output(self) -> str:
        """What the service wrote to stdout."""
        return self._log("out").read_text(errors="replace")

    def log(self) -> str:
        """What the service wrote to stderr."""
        return self._log("err").read_text(errors="replace")

    def _log(self, stream: str) -> Path:
        return self._directory / f"{stream}.log"

    def _assemble(self, root: Path) -> Iterator[str]:
        """Shell lines that mount a root around the contents and make the rest read-only."""
        yield f"mount -t tmpfs -o mode=0755 root {root}"
        for target in self._contents.tmpfs:
            yield f"mkdir -p {root}{target}"
            yield f"mount -t tmpfs -o mode=1777 tmp {root}{target}"
        yield from _system(root)
        for file in ("hosts", "nsswitch.conf"):
            yield from _bind(self._directory / file, root, f"/etc/{file}", "ro")
        for target, source in self._contents.files.items():
            yield from _bind(source, root, target, "ro")
        for target, directory in self._contents.volumes.items():
            yield from _bind(directory, root, target, "rw")
        yield f"mount -o remount,ro {root}"

    def _confined(self, command: Sequence[str]) -> str:
        """The command as an engine confines it; it dies with this process."""
        user, group = self._contents.user
        environment = {"PATH": _PATH, "HOME": "/", **self._contents.environment}
        words = [
            "setpriv", f"--reuid={user}", f"--regid={group}", "--clear-groups", "--no-new-privs",
            "--inh-caps=-all", "--bounding-set=-all", "--pdeathsig=KILL",
            "env", "-i", *(f"{key}={value}" for key, value in environment.items()), *command,
        ]  # fmt: skip
        return shlex.join(words)


def _system(root: Path) -> Iterator[str]:
    """Shell lines that mount this machine's programs and libraries, in place of an image."""
    for path in _SYSTEM:
        if path.is_symlink():
            yield f"ln -s {path.readlink()} {root}{path}"
        elif path.exists():
            yield from _bind(path, root, str(path), "ro")
    packages = [_PROJECT / name for name in ("protocol", "party_node", "coordinator")]
    for code in dict.fromkeys([Path(sys.base_prefix), Path(sys.prefix), *packages]):
        if not code.is_relative_to("/usr"):
            yield from _bind(code, root, str(code), "ro")
    for device in _DEVICES:
        yield from _bind(device, root, str(device), "rw")
    yield from _bind(Path("/proc"), root, "/proc", "rw")


def _bind(source: Path, root: Path, target: str, mode: str) -> Iterator[str]:
    place = shlex.quote(f"{root}{target}")
    if source.is_dir():
        yield f"mkdir -p {place}"
    else:
        yield f"mkdir -p {shlex.quote(str(Path(f'{root}{target}').parent))}"
        yield f"touch {place}"
    yield f"mount -o bind,{mode} {shlex.quote(str(source))} {place}"


class Network:
    """The switch and the hosts on it."""

    def __init__(self, switch: subprocess.Popen[bytes], names: Sequence[str]) -> None:
        self._switch = switch
        self._addresses = {name: f"{_NETWORK}{number}" for number, name in enumerate(names, start=2)}

    def hosts(self) -> str:
        """The hosts file: every name's address."""
        lines = [f"{address} {name}\n" for name, address in self._addresses.items()]
        return "".join(["127.0.0.1 localhost\n", *lines])

    def join(self) -> None:
        """Give each name a namespace, an interface in it and an address."""
        for name, address in self._addresses.items():
            self._inside("ip", "netns", "add", name)
            self._inside(
                "ip", "link", "add", f"to-{name}", "type", "veth", "peer", "name", "eth0", "netns", name
            )
            self._inside("ip", "link", "set", f"to-{name}", "master", "switch", "up")
            self._inside("ip", "-n", name, "address", "add", f"{address}/24", "dev", "eth0")
            for interface in ("lo", "eth0"):
                self._inside("ip", "-n", name, "link", "set", interface, "up")

    def routes(self, name: str) -> str:
        """A host's routes."""
        return self._inside("ip", "-n", name, "route").stdout

    def on(self, name: str, command: Sequence[str]) -> list[str]:
        """The command line that runs a command on a host; it is one process from first to last."""
        return [*self._enter(), "ip", "netns", "exec", name, *command]

    def _enter(self) -> list[str]:
        return ["nsenter", f"--target={self._switch.pid}", "--mount", "--net"]

    def _inside(self, *command: str) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [*self._enter(), *command], capture_output=True, text=True, timeout=10, check=False
        )
        assert done.returncode == 0, f"{shlex.join(command)}: {done.stderr}"
        return done


def network_stack(pid: int) -> Path:
    """A name for the network stack that a process uses; each has one of its own."""
    return Path(f"/proc/{pid}/ns/net").readlink()


@contextmanager
def network(names: Sequence[str]) -> Iterator[Network]:
    """Hosts with these names, joined by a switch, for the length of a `with` block."""
    command = ["unshare", "--mount", "--net", "--propagation", "private", "sh", "-euc", _SWITCH]
    with ExitStack() as stack:
        switch = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        stack.callback(switch.communicate, timeout=10)  # closes its input, upon which it ends
        assert switch.stdout is not None
        assert switch.stdout.readline() == b"ready\n"
        found = Network(switch, names)
        found.join()
        yield found
