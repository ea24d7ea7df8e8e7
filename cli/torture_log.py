"""What peers of a torture write down: one file of what each process' life sent, and one of what it handled.

Lines of words with tabs between them; times are microseconds of the machine's monotonic clock. A line is written
with one call before the program goes on, so that killing the process loses none.

In `PROCESS.LIFE.sent`:
    a  TIME SPEAKER LANE N DESTINATION   `send` is about to be called; N counts each speaker's events on each lane
    w  TIME SPEAKER LANE N               it raised, and the event was given up
    e  TIME SPEAKER LANE N OUTCOME REASON   the bus has told how the event ended
    b  SPEAKER LANE ACCEPTED ENDED...    the adapter's book at the end, in the order of the outcomes
    z  TIME                              the life's orderly end
In `PROCESS.LIFE.got`:
    TIME RECEIVER SENDER LIFE LANE N FLAGS   handled; FLAGS has `r` for redelivered, `c` for corrupted, `-` for neither
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

SENT: Final = "sent"
GOT: Final = "got"


class Log:
    """Appends lines to one file, unbuffered."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)

    def write(self, *words: object) -> None:
        """Append one line."""
        os.write(self._file, ("\t".join(map(str, words)) + "\n").encode())

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)


class Life(NamedTuple):
    """One life of one process, by its files."""

    process: str
    number: int
    path: Path
    """Without the last ending."""


def log_path(folder: Path, process: str, life: int, kind: str) -> Path:
    """The file of one kind of one life."""
    return folder / f"{process.replace(':', '_')}.{life}.{kind}"


def lives(folder: Path, process: str) -> list[Life]:
    """The lives of a process that have left files, in their order."""
    stem = process.replace(":", "_")
    numbers = sorted(int(path.name.split(".")[-2]) for path in folder.glob(f"{stem}.*.{SENT}"))
    return [Life(process, number, folder / f"{stem}.{number}") for number in numbers]


def lines(path: Path) -> Iterator[list[str]]:
    """The complete lines of a file, in words; none if there is no file."""
    try:
        text = path.read_text(encoding="ascii")
    except FileNotFoundError:
        return
    for line in text.split("\n")[:-1]:
        yield line.split("\t")


def now_us() -> int:
    """The time as logs have it."""
    return time.monotonic_ns() // 1000
