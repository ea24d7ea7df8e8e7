"""Which of many senders has its turn when, in one process that must also see to what arrives."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Sequence
from heapq import heappop, heappush
from typing import Final

from lanebus.cli.replay_sender import NEVER, Sender

PORTION_S: Final = 0.0005
"""How long senders are served before arrivals have their turn: a hundred whose tick is the same instant take ms."""
_PORTION_EVENTS: Final = 64
"""Events that one sender sends before the others' turn; only one that is late, or at full speed, gets there."""


class Schedule:
    """Serves senders when something of theirs is due."""

    def __init__(self, senders: Sequence[Sender]) -> None:
        """Serve `senders`, and let them say when they have more to do than was planned."""
        self._senders = senders
        self._heap: list[tuple[float, int]] = []
        # Of each sender: the match time in the heap that counts; others there are out of date.
        self._planned = [NEVER for _ in senders]
        self._ready: deque[int] = deque()
        self._full: list[int] = []
        self._is_queued = [False for _ in senders]
        for number, sender in enumerate(senders):
            self._plan(number, sender.next_due_s)
            sender.wake = _Wake(self, number)

    @property
    def is_ready(self) -> bool:
        """Whether somebody is due who has not been served."""
        return bool(self._ready)

    @property
    def is_blocked(self) -> bool:
        """Whether somebody's outbox is full."""
        return bool(self._full)

    @property
    def next_due_s(self) -> float:
        """Match time of the next that is planned; `NEVER` when nothing is."""
        return self._heap[0][0] if self._heap else NEVER

    def wake(self, number: int) -> None:
        """The sender `number` has something to send at once."""
        if not self._is_queued[number]:
            self._is_queued[number] = True
            self._ready.append(number)

    def serve(self, match_s: float) -> None:
        """Let those send who are due at `match_s`, until the portion of time is used up.

        Raises:
            CliError: as `Sender.send_due`.
        """
        heap = self._heap
        while heap and heap[0][0] <= match_s:
            due_s, number = heappop(heap)
            if due_s == self._planned[number]:
                self._planned[number] = NEVER
                self.wake(number)
        self._ready.extend(self._full)
        self._full.clear()
        until = time.monotonic() + PORTION_S
        ready = self._ready
        while ready:
            number = ready.popleft()
            sender = self._senders[number]
            if sender.send_due(match_s, _PORTION_EVENTS):
                self._is_queued[number] = False
                self._plan(number, sender.next_due_s, match_s)
            else:
                self._full.append(number)
            sender.flush()
            if time.monotonic() >= until:
                return

    def _plan(self, number: int, due_s: float, match_s: float = -NEVER) -> None:
        if due_s == NEVER or due_s == self._planned[number]:
            return
        if due_s <= match_s:
            self.wake(number)
        else:
            self._planned[number] = due_s
            heappush(self._heap, (due_s, number))


class _Wake:
    """Wakes one sender."""

    __slots__ = ("_number", "_schedule")

    def __init__(self, schedule: Schedule, number: int) -> None:
        self._schedule = schedule
        self._number = number

    def __call__(self) -> None:
        self._schedule.wake(self._number)
