"""A broker in a child process on free ports, for commands and tests that need one for a while."""

import contextlib
import json
import os
import selectors
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from lanebus.cli.exits import CliError, Exit
from lanebus.cli.parent import PARENT_OPTION
from lanebus.cli.ports import free_ports
from lanebus.wire.lanes import LANE_NAMES

START_TIMEOUT_S: Final = 15.0
"""Longest time from start to announcement; a loaded machine needs seconds to import everything."""
HOST: Final = "127.0.0.1"
STOP_GRACE_S: Final = 5.0
"""Time between SIGTERM and SIGKILL."""


class BrokerProcess:
    """A child that runs `lanebus broker --announce`. A context manager: entering starts, leaving ends it.

    The child also ends when this process does, however it ends. What it logs is kept in a temporary file.
    """

    def __init__(
        self,
        overrides: Mapping[str, Any] | None = None,
        *,
        keep_ports: bool = False,
        start_timeout_s: float = START_TIMEOUT_S,
        stop_grace_s: float = STOP_GRACE_S,
    ) -> None:
        """Prepare a broker with the default configuration, changed by `overrides`.

        `overrides` has the form of the configuration file: `{"log": {"level": "debug"}}`. With `keep_ports` the broker
        can be started again on the ports it had, after `kill`. It must announce itself within `start_timeout_s`; at
        the end it has `stop_grace_s` between SIGTERM and SIGKILL.
        """
        self._settings = dict(overrides or {})
        self._keep_ports = keep_ports
        self._start_timeout_s = start_timeout_s
        self._stop_grace_s = stop_grace_s
        self._child: subprocess.Popen[bytes] | None = None
        self._announced = b""
        self._deadline = 0.0
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self.addresses: dict[str, str] = {}
        """The endpoints by lane name, and `control`; empty before the start."""

    def __enter__(self) -> "BrokerProcess":
        self.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.stop()

    @property
    def pid(self) -> int:
        """The broker's process id; it must have been started."""
        assert self._child is not None, "the broker was not started"
        return self._child.pid

    @property
    def exit_status(self) -> int | None:
        """How the broker ended, negative for a signal; None while it runs or before its start."""
        return None if self._child is None else self._child.poll()

    def alive(self) -> bool:
        """Whether the broker runs."""
        return self._child is not None and self._child.poll() is None

    def log_text(self) -> str:
        """What the broker has logged so far; empty once it was stopped."""
        if self._folder is None:
            return ""
        with contextlib.suppress(OSError):
            return self._path("log").read_text(encoding="utf-8", errors="replace")
        return ""

    def start(self) -> None:
        """Start the broker and wait until it has bound its addresses.

        Raises:
            CliError: `UNAVAILABLE` when it ends or stays silent instead; the text holds its last words.
        """
        self.launch()
        while not self.is_ready(self._start_timeout_s):
            pass

    def launch(self) -> None:
        """Start the broker, also after `kill`, without waiting for it; `is_ready` tells when it serves.

        Raises:
            CliError: `PORT_BUSY` when there are no free ports to be found.
        """
        if self._folder is None:
            self._prepare()
        command = [sys.executable, "-m", "lanebus.cli.main", "broker", "--announce"]
        if not self._keep_ports:
            command.append("--free-ports")
        if self._settings:
            command += ["--config", str(self._path("config"))]
        self._announced = b""
        self._deadline = time.monotonic() + self._start_timeout_s
        try:
            with self._path("log").open("ab") as log:
                self._child = subprocess.Popen(
                    [*command, PARENT_OPTION, str(os.getpid())],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=log,
                    env=_environment(),
                    # Ctrl-C in a terminal reaches the whole group; the broker has to outlive its users to the end.
                    process_group=0,
                )
        except BaseException:
            self.stop()
            raise

    def is_ready(self, wait_s: float = 0.0) -> bool:
        """Whether the broker has bound its addresses since it was launched; waits `wait_s` for news of it.

        Raises:
            CliError: `UNAVAILABLE` when it has ended, or has been silent for too long; the text holds its last words.
        """
        try:
            return self._listen(wait_s)
        except BaseException:
            self.stop()
            raise

    def kill(self) -> None:
        """End the broker as nothing that it could prepare for; `launch` starts it again."""
        assert self._child is not None, "the broker was not started"
        self._child.kill()
        self._reap()

    def stop(self) -> int | None:
        """End the broker, in order if it still can, and return how it ended (None: it never ran)."""
        child = self._child
        if child is not None:
            if child.poll() is None:
                child.send_signal(signal.SIGTERM)
                try:
                    child.wait(self._stop_grace_s)
                except subprocess.TimeoutExpired:
                    child.kill()
            self._reap()
        if self._folder is not None:
            self._folder.cleanup()
            self._folder = None
        return self.exit_status

    def _prepare(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="lanebus-broker-")
        if self._keep_ports:
            # Chosen here and written down: a port that the system had chosen could be gone when it is wanted again.
            *lane_ports, control_port = free_ports([HOST])
            lanes = {name: {"port": port} for name, port in zip(LANE_NAMES, lane_ports, strict=True)}
            ports = {"broker": {"host": HOST}, "control": {"port": control_port}, "lanes": lanes}
            self._settings = merged(self._settings, ports)
        if self._settings:
            self._path("config").write_text(toml_text(self._settings), encoding="utf-8")

    def _listen(self, wait_s: float) -> bool:
        child = self._child
        assert child is not None and child.stdout is not None  # noqa: PT018 - both follow from Popen in `launch`
        left_s = self._deadline - time.monotonic()
        with selectors.DefaultSelector() as selector:
            selector.register(child.stdout, selectors.EVENT_READ)
            if not selector.select(max(min(wait_s, left_s), 0.0)):
                if left_s <= wait_s:
                    raise self._failed(f"did not start within {self._start_timeout_s:g} s")
                return False
        piece = os.read(child.stdout.fileno(), 65_536)
        if not piece:
            raise self._failed(f"ended with status {child.wait()} while it started")
        self._announced += piece
        if b"\n" not in self._announced:
            return False
        addresses = json.loads(self._announced)["addresses"]
        self.addresses = {str(name): str(address) for name, address in addresses.items()}
        return True

    def _reap(self) -> None:
        child = self._child
        assert child is not None
        child.wait()
        if child.stdout is not None:
            child.stdout.close()

    def _failed(self, problem: str) -> CliError:
        last_words = next((line for line in reversed(self.log_text().splitlines()) if line.strip()), "")
        return CliError(f"the broker {problem}{': ' if last_words else ''}{last_words}", Exit.UNAVAILABLE)

    def _path(self, name: str) -> Path:
        assert self._folder is not None
        return Path(self._folder.name) / name


def _environment() -> dict[str, str]:
    """This process' environment without what was meant for this process alone: a service manager's watch over it."""
    private = {"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "LANEBUS_CONFIG", "JOURNAL_STREAM"}
    return {name: value for name, value in os.environ.items() if name not in private}


def merged(settings: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Nested `settings` with `changes` laid over them."""
    result = dict(settings)
    for name, value in changes.items():
        old = result.get(name)
        if isinstance(old, Mapping) and isinstance(value, Mapping):
            value = merged(old, value)
        result[name] = value
    return result


def toml_text(settings: Mapping[str, Any]) -> str:
    """Nested settings as TOML: strings, numbers, booleans, lists of strings, and dicts as tables.

    Raises:
        TypeError: there is another kind of value in it.
    """
    return "\n".join(_toml_lines(settings, ())) + "\n"


def _toml_lines(settings: Mapping[str, Any], path: tuple[str, ...]) -> list[str]:
    lines = [f"[{'.'.join(path)}]"] if path else []
    tables: list[str] = []
    for name, value in settings.items():
        if isinstance(value, Mapping):
            tables += _toml_lines(value, (*path, name))
        elif isinstance(value, bool | int | float | str) or (
            isinstance(value, list) and all(isinstance(each, str) for each in value)
        ):
            # What JSON writes for these is TOML too.
            lines.append(f"{name} = {json.dumps(value, ensure_ascii=False)}")
        else:
            raise TypeError(f"{name!r}: cannot write {type(value).__name__} as TOML")
    return lines + tables
