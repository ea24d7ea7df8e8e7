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

START_TIMEOUT_S: Final = 15.0
"""Longest time from start to announcement; a loaded machine needs seconds to import everything."""
STOP_GRACE_S: Final = 5.0
"""Time between SIGTERM and SIGKILL."""


class BrokerProcess:
    """A child that runs `lanebus broker --free-ports --announce`. A context manager: entering starts, leaving ends it.

    The child also ends when this process does, however it ends. What it logs is kept in a temporary file.
    """

    def __init__(
        self,
        overrides: Mapping[str, Any] | None = None,
        *,
        start_timeout_s: float = START_TIMEOUT_S,
        stop_grace_s: float = STOP_GRACE_S,
    ) -> None:
        """Prepare a broker with the default configuration, changed by `overrides`.

        `overrides` has the form of the configuration file: `{"log": {"level": "debug"}}`. The broker must announce
        itself within `start_timeout_s`; at the end it has `stop_grace_s` between SIGTERM and SIGKILL.
        """
        self._overrides = dict(overrides or {})
        self._start_timeout_s = start_timeout_s
        self._stop_grace_s = stop_grace_s
        self._child: subprocess.Popen[bytes] | None = None
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
        self._folder = tempfile.TemporaryDirectory(prefix="lanebus-broker-")
        command = [sys.executable, "-m", "lanebus.cli.main", "broker", "--free-ports", "--announce"]
        if self._overrides:
            self._path("config").write_text(toml_text(self._overrides), encoding="utf-8")
            command += ["--config", str(self._path("config"))]
        try:
            with self._path("log").open("wb") as log:
                self._child = subprocess.Popen(
                    [*command, PARENT_OPTION, str(os.getpid())],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=log,
                    env=_environment(),
                    # Ctrl-C in a terminal reaches the whole group; the broker has to outlive its users to the end.
                    process_group=0,
                )
            self.addresses = self._announcement()
        except BaseException:
            self.stop()
            raise

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
            child.wait()
            if child.stdout is not None:
                child.stdout.close()
        if self._folder is not None:
            self._folder.cleanup()
            self._folder = None
        return self.exit_status

    def _announcement(self) -> dict[str, str]:
        child = self._child
        assert child is not None and child.stdout is not None  # noqa: PT018 - both follow from Popen above
        deadline = time.monotonic() + self._start_timeout_s
        received = b""
        with selectors.DefaultSelector() as selector:
            selector.register(child.stdout, selectors.EVENT_READ)
            while b"\n" not in received:
                if not selector.select(max(deadline - time.monotonic(), 0.0)):
                    raise self._failed(f"did not start within {self._start_timeout_s:g} s")
                piece = os.read(child.stdout.fileno(), 65_536)
                if not piece:
                    status = child.wait()
                    raise self._failed(f"ended with status {status} while it started")
                received += piece
        addresses = json.loads(received)["addresses"]
        return {str(name): str(address) for name, address in addresses.items()}

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


def toml_text(settings: Mapping[str, Any]) -> str:
    """Nested settings as TOML: strings, numbers, booleans, and dicts as tables.

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
        elif isinstance(value, bool | int | float | str):
            # What JSON writes for these is TOML too.
            lines.append(f"{name} = {json.dumps(value, ensure_ascii=False)}")
        else:
            raise TypeError(f"{name!r}: cannot write {type(value).__name__} as TOML")
    return lines + tables
