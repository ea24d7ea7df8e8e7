"""The exit codes of the command, and the exception that carries one."""

from enum import IntEnum


class Exit(IntEnum):
    """What a process' end means. The numbers follow sysexits where it has one."""

    OK = 0
    """Done."""
    FAILED = 1
    """The command did its work and what it found is bad: books that do not balance, events that were lost."""
    USAGE = 2
    """The command line itself is wrong."""
    BAD_DATA = 65
    """An input was read and is not what it should be."""
    NO_INPUT = 66
    """An input cannot be read."""
    UNAVAILABLE = 69
    """There is no broker, or it went away."""
    INTERNAL = 70
    """A fault in lanebus itself."""
    PORT_BUSY = 71
    """The system did not give an address to listen on."""
    CANNOT_WRITE = 73
    """An output cannot be written."""
    TIMEOUT = 75
    """A broker is there and did not answer in time."""
    CONFIG = 78
    """The configuration cannot be used."""
    INTERRUPTED = 130
    """Ended by Ctrl-C."""
    BROKEN_PIPE = 141
    """The reader of the output went away; 128 + SIGPIPE, as shells report it."""


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
