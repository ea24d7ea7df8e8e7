"""The exit codes of the command, and the exception that carries one."""

import errno
from enum import IntEnum
from typing import Final


class Exit(IntEnum):
    """What a process' end means. The numbers follow sysexits where it has one."""

    OK = 0
    FAILED = 1
    USAGE = 2
    BAD_DATA = 65
    NO_INPUT = 66
    UNKNOWN = 67
    UNAVAILABLE = 69
    INTERNAL = 70
    PORT_BUSY = 71
    CANNOT_WRITE = 73
    TIMEOUT = 75
    CONFIG = 78
    INTERRUPTED = 130
    BROKEN_PIPE = 141


MEANINGS: Final = {
    Exit.OK: "done",
    Exit.FAILED: "done, and what was found is bad, or the broker refused",
    Exit.USAGE: "wrong command line",
    Exit.BAD_DATA: "bad input",
    Exit.NO_INPUT: "unreadable input",
    Exit.UNKNOWN: "no such peer or group",
    Exit.UNAVAILABLE: "no broker",
    Exit.INTERNAL: "a fault in lanebus",
    Exit.PORT_BUSY: "the system gives no port, file or memory",
    Exit.CANNOT_WRITE: "output cannot be written",
    Exit.TIMEOUT: "timeout",
    Exit.CONFIG: "bad configuration",
    Exit.INTERRUPTED: "Ctrl-C",
    Exit.BROKEN_PIPE: "the reader of the output went away",
}
"""What each code says to a person."""

_OF_THE_SYSTEM: Final = {
    **dict.fromkeys((errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG), Exit.CANNOT_WRITE),
    **dict.fromkeys((errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EAGAIN), Exit.PORT_BUSY),
    **dict.fromkeys((errno.ENOENT, errno.EACCES, errno.EISDIR, errno.ENOTDIR), Exit.NO_INPUT),
}
"""Failures of the system that may happen to any command, wherever it is."""


def table() -> str:
    """All codes with their meanings, in one line."""
    return ", ".join(f"{code.value} {meaning}" for code, meaning in MEANINGS.items())


def of_the_system(error: Exception) -> tuple[str, Exit] | None:
    """What to say of a failure that is the system's, and its exit code; None for any other."""
    if isinstance(error, MemoryError):
        return "there is not enough memory", Exit.PORT_BUSY
    if not isinstance(error, OSError) or error.errno not in _OF_THE_SYSTEM:
        return None
    reason = (error.strerror or str(error)).lower()
    return f"{error.filename}: {reason}" if error.filename else reason, _OF_THE_SYSTEM[error.errno]


class CliError(Exception):
    """A foreseeable failure of a command.

    Attributes:
        message: one line for a person: which thing failed, why, and what to do about it.
        code: the process' exit code.
    """

    def __init__(self, message: str, code: Exit = Exit.FAILED) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
