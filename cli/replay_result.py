"""What the processes of a replay tell each other: how far they are, and what they found."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from lanebus.cli.replay_check import Faults
from lanebus.wire.histogram import Histogram
from lanebus.wire.lanes import LANES
from lanebus.wire.outcomes import Book


class Progress(NamedTuple):
    """How far a process, or all of them, have come."""

    match_s: float
    """Match time; infinite at unlimited speed."""
    sent: int
    delivered: int
    wrong: int
    """Duplicates, late and corrupted arrivals."""
    in_flight: int
    done: bool
    """Whether everything was sent, has arrived and is settled."""
    waiting: bool
    """Whether the next thing to do is an event whose time has not come."""
    away_s: float
    """How long some adapter has had no broker, seconds; 0 when all have one."""

    def plus(self, other: Progress) -> Progress:
        """Both together."""
        return Progress(
            min(self.match_s, other.match_s),
            self.sent + other.sent,
            self.delivered + other.delivered,
            self.wrong + other.wrong,
            self.in_flight + other.in_flight,
            self.done and other.done,
            self.waiting or other.waiting,
            max(self.away_s, other.away_s),
        )


@dataclass(slots=True)
class Traffic:
    """What adapters put on their sockets."""

    events: int = 0
    unbatched_bytes: int = 0
    batches: int = 0
    bytes: int = 0
    control_messages: int = 0
    control_bytes: int = 0

    def add(self, other: Traffic, sign: int = 1) -> None:
        """Add other figures to these, or take them away with `sign` -1."""
        for name in self.__slots__:
            setattr(self, name, getattr(self, name) + sign * getattr(other, name))


@dataclass(slots=True)
class Result:
    """What one process, or all of them, found."""

    sent: list[int] = field(default_factory=lambda: [0 for _ in LANES])
    delivered: list[int] = field(default_factory=lambda: [0 for _ in LANES])
    latencies: list[Histogram] = field(default_factory=lambda: [Histogram() for _ in LANES])
    """From `send` to handler, by lane."""
    faults: Faults = field(default_factory=Faults)
    book: Book = field(default_factory=Book)
    """All senders' books in one."""
    traffic: Traffic = field(default_factory=Traffic)
    longest_gap_s: float = 0.0
    """The longest time in which one receiver got nothing although something was due."""

    def add(self, other: Result) -> None:
        """Add another process' findings."""
        for lane in LANES:
            self.sent[lane] += other.sent[lane]
            self.delivered[lane] += other.delivered[lane]
            self.latencies[lane].merge(other.latencies[lane])
        self.faults.add(other.faults)
        self.book.add(other.book)
        self.traffic.add(other.traffic)
        self.longest_gap_s = max(self.longest_gap_s, other.longest_gap_s)
