"""The adapters that programs use, on the link that is not: their sockets are connections of a `Net`."""

from __future__ import annotations

import time
from typing import Any

import pytest
from tests.link.link import Net
from tests.link.process import Peer

from lanebus.adapters.base import Adapter
from lanebus.adapters.dispatch import dispatch
from lanebus.adapters.turns import Turns


def on_the_clock_of(net: Net, monkeypatch: pytest.MonkeyPatch) -> None:
    """What adapters read as the time is the time of `net`, and what they take for chance is its own."""
    monkeypatch.setattr(time, "monotonic", lambda: net.now)
    monkeypatch.setattr("lanebus.adapters.server.monotonic", lambda: net.now)
    monkeypatch.setattr("os.urandom", net.random.randbytes)


class Adapted(Peer):
    """One process with an adapter: its driver on a `Net` in place of its sockets."""

    def __init__(self, net: Net, adapter: Adapter) -> None:
        super().__init__(net, adapter.name, adapter.core.role, core=adapter.core)
        self.adapter = adapter
        self.turns = Turns(adapter.name)
        adapter.links = _Links(self)  # type: ignore[assignment]  # what carries out the core's actions
        adapter.observe(self)  # type: ignore[arg-type]  # all that it asks of an observer is here

    def touched(self, adapter: Adapter) -> None:
        """The adapter has something to do."""
        self.wake()

    def turn(self, timeout_s: float = 0.0) -> Any:
        """One turn, as `Adapter` takes it."""
        core, adapter, now = self.core, self.adapter, self.net.now
        core.begin_turn(now)
        self._act()
        self._read()
        adapter.tell_news()
        if core.has_work(now):
            dispatch(core, lambda: now, now + 0.001, adapter.handler_times)
        adapter._tell()
        adapter._report_failed()
        adapter.tell_news()
        adapter.in_turn(now)
        core.end_turn(now, now)
        self._act()
        self.wakes_at = now + 0.001 if core.has_work(now) else core.next_timer()


class _Links:
    """What an adapter calls of its links."""

    def __init__(self, peer: Adapted) -> None:
        self._peer = peer

    def act(self) -> None:
        self._peer._act()
        self._peer.wake()

    def sleep(self, until: float) -> None:
        """Nobody waits in here."""
