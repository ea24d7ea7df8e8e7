"""Names of hosts: asked for in threads of their own, since a name server may take its time or never answer.

Neither the program's calls nor libzmq's one thread, which serves all sockets of the process, wait for an answer.
"""

from __future__ import annotations

import os
import socket
import threading
import time
from functools import lru_cache
from ipaddress import ip_address
from queue import Empty, SimpleQueue
from typing import Final

MAX_THREADS: Final = 4
"""Names that may be asked for at once; the others wait."""
MAX_NAMES: Final = 256
"""Names that are asked for, wait or are remembered."""
MAX_ADDRESSES: Final = 8
"""Addresses of one name that are tried."""
FRESH_S: Final = 5.0
"""How long an answer is good: an attempt that did not wait for it is followed by another within a second or two."""
_IDLE_S: Final = 10.0


def is_number(host: str) -> bool:
    """Whether a host is an address of IPv4 or IPv6, and no name."""
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


class Lookup:
    """A question for the addresses of one host; its descriptor is readable when there is an answer."""

    def __init__(self, host: str) -> None:
        self.host = host
        self.addresses: list[str] = []
        """Of both families, the system's favourite first; none before the answer, and after an error."""
        self.error = ""
        self.is_done = False
        self._lock = threading.Lock()
        self._descriptor = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)

    def fileno(self) -> int:
        """The descriptor to wait for."""
        return self._descriptor

    def answer(self, addresses: list[str], error: str) -> None:
        """There is an answer; called by any thread."""
        with self._lock:
            self.addresses, self.error, self.is_done = addresses, error, True
            if self._descriptor >= 0:
                os.eventfd_write(self._descriptor, 1)

    def close(self) -> None:
        """Nobody waits for it any more."""
        with self._lock:
            if self._descriptor >= 0:
                os.close(self._descriptor)
                self._descriptor = -1


class Resolver:
    """The threads of one process that ask for names; each ends when it had nothing to do for a while."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._asked: SimpleQueue[str] = SimpleQueue()
        self._waiting: dict[str, list[Lookup]] = {}
        """By name that is asked for: who waits for the answer."""
        self._answers: dict[str, tuple[float, list[str], str]] = {}
        """By name: when it was answered, and how."""
        self._threads = 0

    def look_up(self, host: str, now: float) -> Lookup:
        """Ask for a host; returns at once."""
        lookup = Lookup(host)
        with self._lock:
            answered = self._answers.get(host)
            if answered is not None and now - answered[0] < FRESH_S:
                lookup.answer(answered[1], answered[2])
            elif host in self._waiting:
                self._waiting[host].append(lookup)
            elif len(self._waiting) >= MAX_NAMES:
                lookup.answer([], f"{MAX_NAMES} other names are asked for and not answered")
            else:
                self._waiting[host] = [lookup]
                self._asked.put(host)
                if self._threads < min(len(self._waiting), MAX_THREADS):
                    self._threads += 1
                    threading.Thread(target=self._work, name="lanebus names", daemon=True).start()
        return lookup

    def forget(self, lookup: Lookup) -> None:
        """Nobody waits for this one any more; the answer is remembered all the same."""
        with self._lock:
            waiting = self._waiting.get(lookup.host, [])
            if lookup in waiting:
                waiting.remove(lookup)
        lookup.close()

    def _work(self) -> None:
        while True:
            try:
                host = self._asked.get(timeout=_IDLE_S)
            except Empty:
                with self._lock:
                    if self._asked.empty():
                        self._threads -= 1
                        return
            else:
                self._answer(host, *_ask(host))

    def _answer(self, host: str, addresses: list[str], error: str) -> None:
        with self._lock:
            self._answers.pop(host, None)
            if len(self._answers) >= MAX_NAMES:
                del self._answers[next(iter(self._answers))]
            self._answers[host] = (time.monotonic(), addresses, error)
            waiting = self._waiting.pop(host, [])
        for lookup in waiting:
            lookup.answer(addresses, error)


def _ask(host: str) -> tuple[list[str], str]:
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        return [], f"the name {host!r} leads nowhere: {reason}"
    return list(dict.fromkeys(str(each[4][0]) for each in found))[:MAX_ADDRESSES], ""


@lru_cache(maxsize=1)
def _resolver_of(process_id: int) -> Resolver:
    return Resolver()


def resolver() -> Resolver:
    """This process' resolver; a forked child gets one of its own, since threads do not survive a fork."""
    return _resolver_of(os.getpid())
