"""Children of a benchmark: what runs in them, what they cost, and that they end."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
import traceback
from collections.abc import Callable, Iterable
from multiprocessing.connection import Connection
from pathlib import Path
from types import TracebackType
from typing import Any, Final

import zmq

from lanebus.adapters.sockets import context as lanebus_context
from lanebus.cli.parent import die_with

_FORK: Final = multiprocessing.get_context("fork")
_END_S: Final = 5.0
_LINGER_MS: Final = 2000


class Failed(Exception):
    """A measure could not be taken; the text says why."""


def cpu_s(pids: Iterable[int]) -> float:
    """Processor time of processes so far, all of their threads together, seconds. Those that have ended count as 0."""
    total = 0.0
    for pid in pids:
        try:
            # The clock that clock_getcpuclockid(3) names: nanoseconds, where /proc counts hundredths of a second.
            total += time.clock_gettime((~pid << 3) | 2)
        except OSError:
            continue
    return total


def rss_bytes(pids: Iterable[int]) -> int:
    """Resident memory of processes, all together. Those that have ended count as 0."""
    total = 0
    for pid in pids:
        try:
            pages = int(Path(f"/proc/{pid}/statm").read_text("ascii").split()[1])
        except (OSError, IndexError):
            continue
        total += pages * os.sysconf("SC_PAGE_SIZE")
    return total


class Child:
    """A forked process that runs one function, and says what it found. A context manager: leaving ends it.

    The function gets `say`, with which it tells something on the way; what it returns is its last word.
    """

    def __init__(self, name: str, function: Callable[..., Any], *arguments: Any) -> None:
        self.name = name
        self._mine, theirs = _FORK.Pipe()
        self._process = _FORK.Process(
            target=_run, args=(function, arguments, theirs, os.getpid()), name=name, daemon=True
        )
        self._process.start()
        theirs.close()

    @property
    def pid(self) -> int:
        """Its process id."""
        assert self._process.pid is not None
        return self._process.pid

    def hear(self, timeout_s: float) -> Any:
        """Its next word.

        Raises:
            Failed: it said nothing in time, or failed.
        """
        if not self._mine.poll(timeout_s):
            raise Failed(f"{self.name} said nothing for {timeout_s:g} s")
        try:
            kind, word = self._mine.recv()
        except (EOFError, ConnectionResetError):
            raise Failed(f"{self.name} ended without a word") from None
        if kind == "failed":
            raise Failed(f"{self.name}: {word}")
        return word

    def has_word(self, wait_s: float) -> bool:
        """Whether it has said something, after waiting `wait_s` for it."""
        return self._mine.poll(wait_s)

    def tell(self, word: Any) -> None:
        """Tell it something; it reads that with the connection that it got."""
        self._mine.send(word)

    def __enter__(self) -> Child:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self._process.join(_END_S)
        if self._process.is_alive():
            self._process.kill()
        self._process.join(_END_S)
        self._mine.close()


class Words:
    """A child's side of the conversation."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def say(self, word: Any) -> None:
        """Tell the parent."""
        self._connection.send(("word", word))

    def heard(self, wait_s: float = 0.0) -> Any:
        """What the parent has told, None if nothing within `wait_s`."""
        return self._connection.recv() if self._connection.poll(wait_s) else None


def _run(
    function: Callable[..., Any], arguments: tuple[Any, ...], connection: Connection, parent: int
) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    die_with(parent, signal.SIGKILL)
    try:
        connection.send(("word", function(Words(connection), *arguments)))
    except Exception as error:
        traceback.print_exc()
        connection.send(("failed", f"{type(error).__name__}: {error}"))
    # What was sent last is still on its way: contexts wait for it as long as their sockets say.
    for context in (zmq.Context.instance(), lanebus_context()):
        context.destroy(linger=_LINGER_MS)
    # What libraries registered in the parent is the parent's; a child leaves without it.
    os._exit(0)
