"""The player that floods, in its own process: it sends telemetry in a loop, as a program with a mistake would."""

from __future__ import annotations

from typing import Final, Protocol

import lanebus
from lanebus.cli.demo_reports import FLOOD_TOPIC, FloodCounts
from lanebus.examples.arena.messages import Analytics

OUTBOX_BYTES: Final = 12_000
"""About 150 events of the flood: at 100 a second they have left a second and a half after its end."""
EVERY_S: Final = 0.1
TRIES: Final = 1000
"""So often it tries to send each time: a hundred times what it may, and what its outbox has no room for is refused.

It is once in a tenth of a second, because the player goes on playing, and what has become free meanwhile is enough
for that.
"""


FRAME: Final = Analytics(16.7, 24)


class Sender(Protocol):
    """What a flood takes of an adapter."""

    def send(self, topic: str, payload: object, *, lane: str) -> object:
        """Send an event."""

    @property
    def throttled(self) -> list[lanebus.ThrottledLane]:
        """What it holds back."""


class Flooder:
    """Floods with one adapter while it `is_on`, and counts what comes of it."""

    def __init__(self, adapter: Sender) -> None:
        self.is_on = False
        self._adapter = adapter
        self._due_s = 0.0
        self._tried = self._sent = 0

    def turn(self, now_s: float) -> None:
        """Send as much as the outbox takes, if it is time."""
        if not self.is_on or now_s < self._due_s:
            return
        self._due_s = now_s + EVERY_S
        for _ in range(TRIES):
            self._tried += 1
            try:
                self._adapter.send(FLOOD_TOPIC, FRAME, lane="normal")
            except lanebus.OutboxFull:
                continue
            self._sent += 1

    def counts(self) -> FloodCounts:
        """What it has sent so far, and what is held back now."""
        held = sum(lane.events for lane in self._adapter.throttled)
        return FloodCounts(tried=self._tried, sent=self._sent, held=held)
