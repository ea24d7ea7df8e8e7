"""A loop that drives many adapters in one thread, and waits for all of them at once."""

from __future__ import annotations

import select
import time
from heapq import heapify, heappop, heappush
from itertools import count
from typing import Final

from lanebus.adapters.actions import State
from lanebus.adapters.base import Adapter
from lanebus.adapters.given import seconds
from lanebus.adapters.names import Lookup
from lanebus.adapters.owner import Owner
from lanebus.adapters.sockets import Socket
from lanebus.adapters.turns import Turns
from lanebus.wire.lanes import TIMER_SLACK_S

SHARE_S = 0.002
"""How long one adapter's handlers may run before the next adapter's turn."""

CLOSING_LOOK_S: Final = 0.05
"""How often adapters that a handler has closed are looked at."""
_STALE_TIMERS: Final = 256
"""Instants that are no longer true and may be kept, beyond two for each adapter."""
_AT_REST: Final = (State.NEW, State.CLOSED)
"""States in which waiting changes nothing."""


class Loop:
    """Drives adapters: bots, tests, a process with a server and its tools. Not needed for one adapter.

    It belongs to one thread, and so do its adapters: see `Adapter`.
    """

    def __init__(self) -> None:
        self.owner = Owner("a loop of adapters")
        """Its thread; none before the first turn."""
        self.turns = Turns("a loop of adapters was not given a turn")
        self._epoll = select.epoll()
        self._by_descriptor: dict[int, Adapter] = {}
        self._touched: dict[Adapter, None] = {}
        self._adapters: dict[Adapter, float | None] = {}
        """With the instant of each one's next timer, as of its last turn."""
        self._timers: list[tuple[float, int, Adapter]] = []
        """A heap of these instants, with such among them that are no longer true."""
        self._order = count()
        self.in_turn = False
        """Whether this is inside of a turn: in a handler of one of the adapters."""
        self._closing: dict[Adapter, float] = {}
        """Adapters that a handler of theirs has closed, and when at the latest."""

    def add(self, adapter: Adapter) -> None:
        """Drive `adapter` from now on."""
        self.owner.check()
        adapter.owner.check()
        self._adapters[adapter] = None
        adapter.observe(self)
        for each in adapter.links.waited_for():
            self.opened(adapter, each)
        self._touched[adapter] = None

    def remove(self, adapter: Adapter) -> None:
        """Drive `adapter` no longer; it stays connected while somebody polls it."""
        self.owner.check()
        for each in adapter.links.waited_for():
            self.closing(adapter, each)
        adapter.observe(None)
        self._adapters.pop(adapter, None)
        self._touched.pop(adapter, None)
        self._closing.pop(adapter, None)

    def turn(self, timeout_s: float) -> int:
        """Give every adapter that has something to do its turn; wait up to `timeout_s` if none has.

        Inside of a handler of one of them it returns at once.

        Returns:
            Events handled.

        Raises:
            WrongThread: it is not the thread of the first turn.
            WrongProcess: the loop was made before this process was forked.
        """
        self.owner.claim()
        timeout_s = seconds(timeout_s, "timeout_s")
        if self.in_turn:
            return 0
        self.in_turn = True
        try:
            return self._turn(min(timeout_s, CLOSING_LOOK_S) if self._closing else timeout_s)
        finally:
            self.in_turn = False
            if self._closing:
                self._close_what_may_be(time.monotonic())

    def _close_what_may_be(self, now: float) -> None:
        """Close the adapters that a handler has closed, as soon as all is settled or their time is over."""
        for adapter, deadline in list(self._closing.items()):
            if now >= deadline or not adapter.unfinished or adapter.core.state in _AT_REST:
                del self._closing[adapter]
                adapter.close(0.0)
            else:
                adapter.flush()

    def close_within(self, adapter: Adapter, timeout_s: float) -> None:
        """Close `adapter` once all is settled, or that time is over."""
        self._closing[adapter] = time.monotonic() + timeout_s

    def _turn(self, timeout_s: float) -> int:
        now = time.monotonic()
        if self.turns.begin(now):
            for each in self._adapters:
                each.core.line.stalled(now)
        wait_s = 0.0
        if not self._touched:
            due = self._next_timer()
            wait_s = timeout_s if due is None else min(timeout_s, due - now)
        # epoll counts whole milliseconds and rounds up; what is due within the next one is due now.
        whole_ms = int(max(0.0, wait_s) * 1000)
        ready = self._epoll.poll(whole_ms / 1000, 256)
        if not ready and not whole_ms and wait_s == timeout_s > 0:
            time.sleep(wait_s)
        now = time.monotonic()
        run, self._touched = self._touched, {}
        for descriptor, _ in ready:
            adapter = self._by_descriptor.get(descriptor)
            if adapter is not None:
                run[adapter] = None
        while (due := self._next_timer()) is not None and due <= now + TIMER_SLACK_S:
            adapter = heappop(self._timers)[2]
            self._adapters[adapter] = None
            run[adapter] = None
        handled = 0
        try:
            for adapter in run:
                if adapter not in self._adapters:
                    continue
                handled += adapter.turn(time.monotonic() + SHARE_S)
                if adapter.core.has_work(time.monotonic()):
                    self._touched[adapter] = None
                self._note_timer(adapter)
        except BaseException:
            # What a strict handler raises must not cost the others their turn.
            self._touched.update(run)
            raise
        finally:
            self.turns.end(time.monotonic())
        return handled

    def _next_timer(self) -> float | None:
        """The earliest instant at which an adapter has something to do."""
        timers = self._timers
        while timers and self._adapters.get(timers[0][2]) != timers[0][0]:
            heappop(timers)
        return timers[0][0] if timers else None

    def _note_timer(self, adapter: Adapter) -> None:
        """An adapter has had its turn: when it wants the next one."""
        at = adapter.core.next_timer()
        if at == self._adapters.get(adapter):
            return
        self._adapters[adapter] = at
        if at is not None:
            heappush(self._timers, (at, next(self._order), adapter))
        if len(self._timers) > _STALE_TIMERS + 2 * len(self._adapters):
            self._timers = [
                (each, next(self._order), whose) for whose, each in self._adapters.items() if each is not None
            ]
            heapify(self._timers)

    def close_all(self, timeout_s: float = 5.0) -> int:
        """Close all adapters together: none says goodbye while another may still need its settlements.

        Returns:
            Events that were not settled in time; they end as ``unknown: closed``.
        """
        self.owner.check()
        deadline = time.monotonic() + seconds(timeout_s, "timeout_s")
        adapters = list(self._adapters)
        try:
            while (now := time.monotonic()) < deadline and any(
                adapter.unfinished for adapter in adapters if adapter.core.state not in _AT_REST
            ):
                for adapter in adapters:
                    adapter.flush()
                self.turn(min(deadline - now, 0.05))
        finally:
            left = sum(adapter.close(0.0) for adapter in adapters)
            for adapter in adapters:
                self.remove(adapter)
        return left

    def close(self) -> None:
        """Let go of all adapters; they are not closed."""
        self.owner.check()
        for adapter in list(self._adapters):
            self.remove(adapter)
        self._epoll.close()

    def opened(self, adapter: Adapter, what: Socket | Lookup) -> None:
        """`adapter` waits for something new."""
        descriptor = what.fileno()
        self._by_descriptor[descriptor] = adapter
        self._epoll.register(descriptor, select.EPOLLIN)
        self._touched[adapter] = None

    def closing(self, adapter: Adapter, what: Socket | Lookup) -> None:
        """`adapter` is about to close something that it waited for."""
        descriptor = what.fileno()
        if self._by_descriptor.pop(descriptor, None) is not None:
            self._epoll.unregister(descriptor)

    def touched(self, adapter: Adapter) -> None:
        """`adapter` has something to do before anybody waits."""
        self._touched[adapter] = None
