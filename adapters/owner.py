"""Whose an adapter is: one thread's of one process. Anybody else is told at once."""

from __future__ import annotations

import os
import threading
from typing import Final
from weakref import WeakSet

from lanebus.adapters.errors import WrongProcess, WrongThread

NOBODY: Final = 0
_FORKED: Final = -1
_OWNERS: WeakSet[Owner] = WeakSet()


class Owner:
    """The thread that has begun to use something; nobody until then.

    Args:
        what: what is owned, for texts.
    """

    __slots__ = ("__weakref__", "_name", "_what", "thread")

    def __init__(self, what: str) -> None:
        self.thread = NOBODY
        """The identifier of the thread, as `threading.get_ident` has it: what is hot compares it by itself."""
        self._what = what
        self._name = ""
        _OWNERS.add(self)

    def claim(self) -> None:
        """The calling thread is the owner from now on.

        Raises:
            WrongThread: another one is.
            WrongProcess: it was made before a fork.
        """
        self.check()
        if self.thread == NOBODY:
            self.thread = threading.get_ident()
            self._name = threading.current_thread().name

    def check(self) -> None:
        """Let the owner pass, and anybody while there is none; raises as `claim` does."""
        if self.thread in (threading.get_ident(), NOBODY):
            return
        if self.thread == _FORKED:
            raise WrongProcess(self._what)
        raise WrongThread(self._what, self._name, threading.current_thread().name)

    def forked(self) -> None:
        """This is a child of the process in which it was made."""
        self.thread = _FORKED


def _in_child() -> None:
    for owner in list(_OWNERS):
        owner.forked()


os.register_at_fork(after_in_child=_in_child)
