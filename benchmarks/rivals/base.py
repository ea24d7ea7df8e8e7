"""What a bus has to offer to be measured: a server, and how one process sends and another receives."""

from __future__ import annotations

import contextlib
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Final

import msgspec

from benchmarks.lab.load import Inbox, Load
from benchmarks.lab.processes import Failed
from lanebus.cli.ports import free_ports

HOST: Final = "127.0.0.1"
TOPIC: Final = "unit.state"
START_S: Final = 10.0

encode = msgspec.msgpack.Encoder().encode
decode = msgspec.msgpack.Decoder().decode


@dataclass(slots=True)
class Address:
    """A server that runs."""

    url: str
    pids: list[int]
    """The processes whose time is the broker's."""
    extra: dict[str, Any] = field(default_factory=dict)


class Rival:
    """One bus. `send` and `receive` run in processes of their own, with no sockets inherited."""

    name: ClassVar[str]
    title: ClassVar[str]
    promise: ClassVar[str]
    """What a sender may rely on once it has its confirmation."""
    settings: ClassVar[str]
    """How it is set, for the report."""
    confirms: ClassVar[bool] = False
    """Whether the sender learns of every event that it has arrived somewhere."""

    def missing(self) -> str | None:
        """Why it cannot be measured here; None if it can."""
        return None

    def server(self) -> contextlib.AbstractContextManager[Address]:
        """A server of it, on ports of its own; it ends with the context.

        Raises:
            Failed: it does not start.
        """
        raise NotImplementedError

    def receive(self, address: Address, inbox: Inbox) -> None:
        """Receive until `inbox.over()`."""
        raise NotImplementedError

    def send(self, address: Address, load: Load) -> None:
        """Send all of `load`, and wait until everything is confirmed that is confirmed at all."""
        raise NotImplementedError


class ServedRival(Rival):
    """One whose server is a program of its own that listens on a port, and whose clients are Python packages."""

    command: ClassVar[str]
    install: ClassVar[str]
    """How one gets that program."""
    packages: ClassVar[tuple[str, ...]]
    scheme: ClassVar[str] = ""

    def options(self, port: int, folder: Path) -> list[str]:
        """The program's; `folder` is empty, and its own."""
        raise NotImplementedError

    def missing(self) -> str | None:
        if program(self.command) is None:
            return f"there is no {self.command}: {self.install}"
        return module_missing(*self.packages)

    @contextlib.contextmanager
    def server(self) -> Iterator[Address]:
        found = program(self.command)
        if found is None:
            raise Failed(f"there is no {self.command}")
        port = a_port()
        with tempfile.TemporaryDirectory(prefix=f"bench-{self.name}-") as name:
            folder = Path(name)
            with running([found, *self.options(port, folder)], port, folder) as pid:
                yield Address(f"{self.scheme}{HOST}:{port}", [pid])


@contextlib.contextmanager
def running(command: Sequence[str], port: int, folder: Path) -> Iterator[int]:
    """A server program that listens on `port`; its log goes to `folder`. Yields its process id.

    Raises:
        Failed: it ended, or does not listen in time.
    """
    with (folder / "log").open("wb") as log:
        child = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + START_S
        while True:
            with contextlib.suppress(OSError), socket.create_connection((HOST, port), 0.2):
                break
            if child.poll() is not None or time.monotonic() > deadline:
                words = (folder / "log").read_text("utf-8", "replace").strip().splitlines()
                raise Failed(f"{command[0]} does not start: {words[-1] if words else 'no word of it'}")
            time.sleep(0.05)
        yield child.pid
    finally:
        child.terminate()
        try:
            child.wait(5)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


def a_port() -> int:
    """A port that is free now."""
    return free_ports([HOST])[0]


def program(*names: str) -> str | None:
    """The path of the first of these programs that there is."""
    import sys

    places = [str(Path(sys.executable).parent), "/usr/sbin", "/usr/local/sbin"]
    for name in names:
        found = shutil.which(name) or shutil.which(name, path=":".join(places))
        if found:
            return found
    return None


def module_missing(*names: str) -> str | None:
    """Why these packages cannot be imported; None if they can."""
    import importlib.util

    gone = [name for name in names if importlib.util.find_spec(name) is None]
    return f"the package {', '.join(gone)} is not installed: pip install -e '.[bench]'" if gone else None
