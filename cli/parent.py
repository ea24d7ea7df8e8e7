"""How a child process ends with its parent, however the parent ends."""

import ctypes
import os
import signal
from typing import Final

from lanebus.cli.exits import CliError, Exit

PARENT_OPTION: Final = "--die-with"
"""The hidden option with which a parent asks a command that it starts to end when the parent does."""

_PR_SET_PDEATHSIG: Final = 1


def die_with(parent_pid: int, number: signal.Signals = signal.SIGTERM) -> None:
    """Have the kernel send a signal to this process when its parent ends, also when the parent was killed.

    Raises:
        CliError: `FAILED` when the process `parent_pid` has ended already.
    """
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, int(number), 0, 0, 0)
    # The parent may have ended before the request was made; then nobody would ever send the signal.
    if os.getppid() != parent_pid:
        raise CliError("the process that started this one has ended", Exit.FAILED)
