"""One child process of the demo: starting it, reading its reports, ending it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from types import TracebackType
from typing import Final, Self

import msgspec

from lanebus.cli.demo_reports import Report, Word

END_TIMEOUT_S: Final = 2.0
"""How long a child may take to end by itself before it is killed."""


class Child:
    """A child process with reports coming and words going. A context manager; leaving it ends the child."""

    def __init__(self, title: str, arguments: list[str]) -> None:
        """Start `python -m lanebus.cli.demo_child` with `arguments`; `title` is what people call it."""
        self.title = title
        self.latest: Report | None = None
        self._decoder = msgspec.json.Decoder(Report)
        self._received = b""
        # A file, because nobody reads it while all is well, and a pipe that nobody reads stops its writer.
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed in __exit__
        self._process = subprocess.Popen(
            [sys.executable, "-m", "lanebus.cli.demo_child", *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            # Ctrl-C in a terminal goes to the whole group; the demo decides when its children end.
            start_new_session=True,
        )
        assert self._process.stdout is not None
        os.set_blocking(self._process.stdout.fileno(), False)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                try:
                    pipe.close()
                except BrokenPipeError:
                    pass
        try:
            self._process.wait(END_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._errors.close()

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def send(self, number: signal.Signals) -> None:
        """Send it a signal; it may be gone, which `alive` tells."""
        self._process.send_signal(number)

    def alive(self) -> bool:
        """Whether it runs."""
        return self._process.poll() is None

    def reports(self) -> list[Report]:
        """The reports that have come since the last look."""
        assert self._process.stdout is not None
        while True:
            try:
                data = os.read(self._process.stdout.fileno(), 65536)
            except BlockingIOError:
                break
            if not data:
                break
            self._received += data
        *lines, self._received = self._received.split(b"\n")
        reports = [self._decoder.decode(line) for line in lines]
        if reports:
            self.latest = reports[-1]
        return reports

    def tell(self, word: Word) -> None:
        """Say something to it; it may be gone, which `alive` tells."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(word.encode() + b"\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            pass

    def wait(self, timeout_s: float) -> bool:
        """Wait for its end; returns whether it has ended."""
        until_s = time.monotonic() + timeout_s
        while self.alive() and time.monotonic() < until_s:
            time.sleep(0.02)
        return not self.alive()

    def obituary(self) -> str:
        """How it ended, and its last words, in one line."""
        code = self._process.poll()
        if code is None:
            return "it is still running"
        how = f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
        self._errors.seek(0)
        lines = self._errors.read().decode(errors="replace").strip().splitlines()
        return f"{how}: {lines[-1].strip()}" if lines else how
