"""Standard output as commands need it: what cannot be written is one foreseeable failure, and nothing else is."""

from __future__ import annotations

import io
import os
import sys
from typing import Any

from lanebus.cli.exits import CliError, Exit


class _Writing(io.FileIO):
    """A descriptor whose failures to write say that they are of standard output."""

    def write(self, data: Any, /) -> int:
        try:
            return super().write(data)
        except BrokenPipeError:
            raise
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            raise CliError(f"standard output cannot be written: {reason}", Exit.CANNOT_WRITE) from None


def set_up() -> None:
    """Make the process' standard streams fit to be written to, whatever they are.

    A descriptor that was closed is taken, before a socket can get its number: nothing can be written to standard output
    then, and nobody hears what is written to standard error. A character that a stream's encoding does not have is
    escaped.
    """
    for number, flags in ((0, os.O_RDONLY), (1, os.O_RDONLY), (2, os.O_WRONLY)):
        _take(number, flags)
    is_terminal = os.isatty(1)
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    if sys.stdout is not None:
        sys.stdout.flush()
    writing = io.BufferedWriter(_Writing(1, "wb", closefd=False))
    sys.stdout = io.TextIOWrapper(
        writing, encoding=encoding, errors="backslashreplace", line_buffering=is_terminal
    )
    if sys.stderr is None:
        sys.stderr = open(2, "w", encoding="utf-8", errors="backslashreplace", buffering=1, closefd=False)  # noqa: SIM115 - it lives as long as the process


def give_up() -> None:
    """Let nothing more be written to standard output: the interpreter tries once more at its end, and complains."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.close(nowhere)


def _take(number: int, flags: int) -> None:
    try:
        os.fstat(number)
    except OSError:
        # The lowest free descriptor is the one that is missing: those below it are open, or have just been taken.
        os.open(os.devnull, flags)
        os.set_inheritable(number, True)
