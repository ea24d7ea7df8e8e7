"""Traffic: what one session sends and receives on one lane, in plain counters that only grow."""

from __future__ import annotations

from typing import Final

from lanebus.broker.lately import Lately
from lanebus.wire.histogram import Histogram
from lanebus.wire.reports import LaneTimes

_NEVER: Final = Lately()
"""Of all lanes on which nothing was settled."""


class Traffic:
    """Events, bytes and batches of one session on one lane, both directions."""

    COUNTERS: Final = (
        *("events_in", "bytes_in", "batches_in", "duplicates", "throttled"),
        *("events_out", "bytes_out", "batches_out", "resent"),
    )
    """The counters by name: what `add` adds."""

    __slots__ = (
        "_handled",
        "_handled_lately",
        "_lately",
        "_settled",
        "batches_in",
        "batches_out",
        "bytes_in",
        "bytes_out",
        "duplicates",
        "events_in",
        "events_out",
        "last_batch",
        "resent",
        "throttled",
    )

    def __init__(self) -> None:
        self.events_in = 0
        """Accepted from it, each number once."""
        self.bytes_in = 0
        """Of their payloads and topics."""
        self.batches_in = 0
        """Batches with events of it; resent ones too."""
        self.duplicates = 0
        """Events that it sent again though they had been accepted."""
        self.events_out = 0
        """Parts sent to it, each sending counted."""
        self.bytes_out = 0
        """Of those events as they are encoded, before compression."""
        self.batches_out = 0
        self.last_batch = 0
        """Number of the latest batch on its link that held a part for it."""
        self.resent = 0
        """Of the parts sent, those that an earlier link may have delivered."""
        self.throttled = 0
        """Of the events that came from it, those not accepted because it was over a limit; they come again."""
        self._settled: Histogram | None = None
        self._lately = _NEVER
        self._handled: Histogram | None = None
        self._handled_lately = _NEVER

    def add(self, other: Traffic) -> None:
        """Add another's counters to these; its times until settlement are left out."""
        for name in self.COUNTERS:
            setattr(self, name, getattr(self, name) + getattr(other, name))

    def sent(self, batch: int, size_bytes: int) -> None:
        """A part of `size_bytes` leaves for it, in a batch."""
        self.events_out += 1
        self.bytes_out += size_bytes
        if self.last_batch != batch:
            self.last_batch = batch
            self.batches_out += 1

    def settled(self, after_s: float) -> None:
        """It has settled a part, so long after that was sent to it."""
        if self._settled is None:
            # Most sessions receive nothing on most lanes.
            self._settled = Histogram()
            self._lately = Lately()
        self._settled.record(int(after_s * 1e6))

    @property
    def settled_after(self) -> Histogram | None:
        """How long after it was sent a part was settled: one value for each settlement message."""
        return self._settled

    @property
    def settled_lately(self) -> Histogram | None:
        """The same of the last minute; None if it never settled anything."""
        return None if self._settled is None else self._lately.of(self._settled)

    def handled(self, times: LaneTimes) -> None:
        """It says how long events took from their senders' programs to its handlers."""
        if self._handled is None:
            self._handled = Histogram()
            self._handled_lately = Lately()
        self._handled.add_counts(times.sum_us, times.max_us, times.counts)

    @property
    def handled_after(self) -> Histogram | None:
        """How long its events took from their senders' programs to its handlers, as it says."""
        return self._handled

    @property
    def handled_lately(self) -> Histogram | None:
        """The same of the last minute; None if it never said anything."""
        return None if self._handled is None else self._handled_lately.of(self._handled)

    def note(self) -> None:
        """To be called once in `lately.SPAN_S`."""
        if self._handled is not None:
            self._handled_lately.note(self._handled)
        if self._settled is not None:
            self._lately.note(self._settled)
