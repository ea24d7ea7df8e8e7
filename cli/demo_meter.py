"""What one of the demo's processes counts of its own: latencies, deliveries that were meant, and those that came."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from typing import Any, Final

import lanebus
from lanebus.cli.demo_reports import FLOOD_TOPIC, FloodCounts, Silence
from lanebus.wire.histogram import Histogram
from lanebus.wire.lanes import LANES, Lane, lane_of
from lanebus.wire.outcomes import Book

SILENCE_S: Final = 0.4
"""A receiver that has heard nothing for longer than this tells of it; in a match somebody always moves."""
LATE_MS: Final = 400.0
"""An event older than this was held up: no lane's interval explains it."""

FIRST_NUMBERS: Final = 64
"""How many numbers each receiver remembers of those that it handled first on a lane."""

ByLane = list[int]


class Meter:
    """The arrivals at this process' receivers. Latencies and silences are those since the last report.

    A flood counts as anything else does, but its latencies stand apart: they say how its sender fares, not the lane.
    """

    def __init__(self) -> None:
        self.handled: dict[str, ByLane] = {}
        """Deliveries by receiver and lane, each counted once."""
        self.firsts: dict[str, list[list[int]]] = {}
        """By receiver and lane: the numbers that it handled first."""
        self.repeated = 0
        """Arrivals whose number is not past the last one of that sender and lane: again, or out of order."""
        self.late_s = 0.0
        """When an event that had been held up came last, on the monotonic clock."""
        self._flood_handled = 0
        self._flood_last_s = 0.0
        self._flood_longest_wait_ms = 0.0
        self._latencies = [Histogram() for _ in LANES]
        self._silences: list[Silence] = []
        self._heard_s: dict[str, float] = {}
        self._last: dict[tuple[str, str, Lane], int] = {}

    def note(self, event: lanebus.Event) -> None:
        """Count one event that is about to be handled."""
        now_s = time.monotonic()
        receiver, lane = event.receiver, event.lane
        heard_s = self._heard_s.get(receiver, now_s)
        self._heard_s[receiver] = now_s
        if now_s - heard_s > SILENCE_S:
            self._silences.append(Silence(receiver, heard_s, now_s))
        if event.age_ms > LATE_MS:
            self.late_s = now_s
        if event.topic != FLOOD_TOPIC:
            self._latencies[lane].record(int(event.age_ms * 1000))
        stream = (receiver, event.sender, lane)
        if event.id <= self._last.get(stream, 0):
            self.repeated += 1
            return
        self._last[stream] = event.id
        handled = self.handled.setdefault(receiver, [0 for _ in LANES])
        if handled[lane] < FIRST_NUMBERS:
            self.firsts.setdefault(receiver, [[] for _ in LANES])[lane].append(event.id)
        handled[lane] += 1
        if event.topic == FLOOD_TOPIC:
            self._flood_handled += 1
            self._flood_last_s = now_s
            self._flood_longest_wait_ms = max(self._flood_longest_wait_ms, event.age_ms)

    def take_latencies(self) -> tuple[list[int], list[int], list[int]]:
        """The time from `send` to handler of every arrival since the last call: a `Histogram` a lane, as a list."""
        critical, normal, low = (histogram.as_list() for histogram in self._latencies)
        self._latencies = [Histogram() for _ in LANES]
        return critical, normal, low

    def flood(self) -> FloodCounts:
        """What was handled of the flood."""
        return FloodCounts(
            handled=self._flood_handled,
            last_s=self._flood_last_s,
            longest_wait_ms=self._flood_longest_wait_ms,
        )

    def take_silences(self) -> list[Silence]:
        """The silences that have ended since the last call."""
        silences, self._silences = self._silences, []
        return silences


class CountingServer(lanebus.ServerAdapter):
    """A server that counts, without a look at the bus' books, how many deliveries each receiver should get."""

    def __init__(self, name: str, **options: Any) -> None:
        super().__init__(name, **options)
        self.meant: dict[str, ByLane] = {}
        """Deliveries by receiver and lane."""
        self.first_meant: dict[str, ByLane] = {}
        """By receiver and lane: the number of the first event that was meant for it; 0 while there is none."""
        self.ended_otherwise = 0
        """Deliveries that those events were meant for which ended otherwise than delivered."""
        self._members: dict[str, set[str]] = {}
        self.on_unsettled(self._note_end)

    def join(self, group: str, member: str | None = None) -> None:
        """Put a peer into a group; what is sent to the group from now on is meant for it too."""
        super().join(group, member)
        self._members.setdefault(f"group:{group}", set()).add(member or self.name)

    def leave(self, group: str, member: str | None = None) -> None:
        """Take a peer out of a group."""
        super().leave(group, member)
        self._members.get(f"group:{group}", set()).discard(member or self.name)

    def send(self, topic: str, payload: Any = None, **options: Any) -> Any:
        """Send as any server does, to one group or peer, and count whom it is meant for."""
        sent = super().send(topic, payload, **options)
        assert isinstance(sent, int), "the arena asks for no receipts"
        lane = options.get("lane", Lane.NORMAL)
        lane = lane if isinstance(lane, Lane) else lane_of(lane)
        to = options["to"]
        for receiver in self._receivers(to):
            self.meant.setdefault(receiver, [0 for _ in LANES])[lane] += 1
            first = self.first_meant.setdefault(receiver, [0 for _ in LANES])
            first[lane] = first[lane] or sent
        return sent

    def _receivers(self, to: str) -> Iterable[str]:
        return self._members.get(to, ()) if to.startswith("group:") else (to,)

    def _note_end(self, end: lanebus.Unsettled) -> None:
        assert isinstance(end.to, str)
        self.ended_otherwise += len(list(self._receivers(end.to)))


def books_of(
    adapters: Iterable[lanebus.ServerAdapter | lanebus.ClientAdapter],
) -> tuple[list[int], list[int], list[int]]:
    """The books of all `adapters` together, lane by lane."""
    sums = [Book() for _ in LANES]
    for adapter in adapters:
        for lane in LANES:
            sums[lane].add(adapter.book(lane))
    critical, normal, low = (book.as_list() for book in sums)
    return critical, normal, low


def resent_by(adapters: Sequence[lanebus.ServerAdapter | lanebus.ClientAdapter]) -> int:
    """How often all `adapters` have sent an event again: what left, less the accepted events that have left at all."""
    resent = 0
    for adapter in adapters:
        outboxes = [session.outbox for session in adapter.core.sessions.values()]
        for lane in LANES:
            waiting = sum(not event.transmitted for outbox in outboxes for event in outbox.events(lane))
            left = adapter.core.outgoing.lanes[lane].stats.events_out
            resent += left + waiting - adapter.book(lane).accepted
    return resent
