"""The child processes of a torture: starting, telling, killing, stopping, and hearing what they say."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

from lanebus.cli.exits import CliError, Exit
from lanebus.cli.parent import PARENT_OPTION

START_TIMEOUT_S: Final = 15.0
END_TIMEOUT_S: Final = 8.0
_PRIVATE: Final = ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "LANEBUS_CONFIG", "JOURNAL_STREAM")


class Child:
    """One child process that says lines of JSON, and may be told some."""

    def __init__(self, title: str, module: str, arguments: list[str], errors: Path) -> None:
        """Start `python -m MODULE ARGUMENTS`; `errors` takes what it writes to standard error."""
        self.title = title
        self._errors = errors
        self._received = b""
        with errors.open("ab") as file:
            self._process = subprocess.Popen(
                [sys.executable, "-m", module, *arguments, PARENT_OPTION, str(os.getpid())],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=file,
                env={name: value for name, value in os.environ.items() if name not in _PRIVATE},
                # Ctrl-C in a terminal reaches the whole group; the torture decides when its children end.
                process_group=0,
            )
        assert self._process.stdout is not None
        os.set_blocking(self._process.stdout.fileno(), False)

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def alive(self) -> bool:
        """Whether it runs, or is stopped."""
        return self._process.poll() is None

    def heard(self) -> list[bytes]:
        """The lines that have come since the last look."""
        assert self._process.stdout is not None
        while not self._process.stdout.closed:
            try:
                data = os.read(self._process.stdout.fileno(), 65_536)
            except BlockingIOError:
                break
            if not data:
                break
            self._received += data
        *lines, self._received = self._received.split(b"\n")
        return lines

    def first_line(self) -> bytes:
        """The next line, waited for.

        Raises:
            CliError: `UNAVAILABLE` when it ends or stays silent instead.
        """
        deadline_s = time.monotonic() + START_TIMEOUT_S
        while not (lines := self.heard()):
            if not self.alive() or time.monotonic() > deadline_s:
                raise CliError(f"{self.title} did not start: {self.last_words()}", Exit.UNAVAILABLE)
            time.sleep(0.005)
        return lines[0]

    def tell(self, message: object) -> None:
        """Write one line to it; if it has gone, nobody hears."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(msgspec.json.encode(message) + b"\n")
            self._process.stdin.flush()
        except (BrokenPipeError, ValueError):
            return

    def signal(self, number: signal.Signals) -> None:
        """Send a signal."""
        if self.alive():
            self._process.send_signal(number)

    def kill(self) -> None:
        """End it as nothing that it could prepare for."""
        self._process.kill()
        self._process.wait()
        self._close()

    def end(self) -> int | None:
        """Wait for its end after it was told, or its signal; kill it if it does not come. Returns how it ended."""
        self._close_input()
        try:
            self._process.wait(END_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            self._close()
            return None
        self._close()
        return self._process.returncode

    def last_words(self) -> str:
        """How it ended, if it has, and the last line that it wrote to standard error."""
        code = self._process.poll()
        how = "" if code is None else f"status {code}: "
        lines = self._errors.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        return how + (lines[-1] if lines else "it said nothing")

    def _close_input(self) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.close()
        except BrokenPipeError:
            pass

    def _close(self) -> None:
        self._close_input()
        assert self._process.stdout is not None
        self._process.stdout.close()


class Proxy(Child):
    """The fault proxy's process."""

    def __init__(self, routes: list[Mapping[str, Any]], errors: Path) -> None:
        """Start it, and wait until it listens.

        Raises:
            CliError: `UNAVAILABLE` when it cannot.
        """
        super().__init__(
            "the proxy", "lanebus.cli.fault_proxy", [msgspec.json.encode(routes).decode()], errors
        )
        self.first_line()

    def order(self, do: str, **selectors: Any) -> dict[str, Any]:
        """Have it carry out a command of `lanebus.cli.fault_proxy.Command`, and return its answer.

        Raises:
            CliError: `INTERNAL` when it refuses.
        """
        self.tell({"do": do, **{name: value for name, value in selectors.items() if value is not None}})
        answer: dict[str, Any] = msgspec.json.decode(self.first_line())
        if not answer["ok"]:
            raise CliError(f"the proxy refuses {do}: {answer['error']}", Exit.INTERNAL)
        return answer
