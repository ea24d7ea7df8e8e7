"""The inbox: events that arrived and wait for a handler, each once, and what is to be said of those handled."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from math import inf
from typing import Final

from lanebus.wire.batches import (
    EVENT_AFTER_GAP,
    EVENT_LATEST,
    EVENT_QUESTION,
    EVENT_REPLAYED,
    DownEvent,
)
from lanebus.wire.lanes import LANES, Lane
from lanebus.wire.messages import Settlement
from lanebus.wire.modes import EXPIRED, unseen
from lanebus.wire.outcomes import Outcome, Reason
from lanebus.wire.runs import Lookup, add_number, count_numbers, first_part, forget_below, runs_of

Result = tuple[Outcome, Reason]

SENDERS_LOOKED_AT: Final = 64
"""How many are looked at for one."""
MAX_SENDERS: Final = 16_384
"""Senders' processes that a session remembers; past it one is forgotten of which nothing has come for long."""

EVENT_BYTES: Final = 32
"""About what an event takes of its receiver's credit beside its payload: its topic, its numbers, its flags."""

DELIVERED: Final[Result] = (Outcome.DELIVERED, Reason.NONE)
PASSED_OVER: Final[Result] = (Outcome.UNKNOWN, Reason.PASSED_OVER)
DROPPED: Final[Result] = (Outcome.DROPPED, Reason.SLOW_RECEIVER)


class Stream:
    """What this session has seen of one sender's process on one lane: an exact set, from the sender's base up."""

    __slots__ = (
        "base",
        "gaps",
        "highest",
        "inbox",
        "lane",
        "looked",
        "name",
        "origins",
        "process",
        "reports",
        "seen",
        "values",
    )

    def __init__(self, inbox: Inbox, name: str, process: bytes, lane: Lane) -> None:
        self.inbox = inbox
        self.name = name
        self.process = process
        self.looked = -1
        """What had come when this was last looked at, to find a sender that may be forgotten."""
        self.lane = lane
        self.origins: list[int] = []
        """The broker's numbers for the sender, in the broker's present epoch: one for each session that it has had."""
        self.base = 0
        self.highest = 0
        """Highest number that has arrived, of any but a latest value."""
        self.values: set[int] = set()
        """Numbers of latest values among those seen."""
        self.gaps: list[tuple[int, int]] = []
        """Numbers between which events were dropped for this receiver."""
        self.seen: dict[int, Result | None] = {}
        """Numbers from `base` up, and how they ended; None while they wait or are being handled."""
        self.reports: dict[Result, list[int]] = {}
        """Runs of numbers to be settled with the broker."""

    @property
    def is_quiet(self) -> bool:
        """Whether nothing waits for its handler."""
        return None not in self.seen.values()

    def rebase(self, base: int) -> None:
        """Forget the numbers below `base`: their sender has been told."""
        if base > self.base:
            forget_below(self.seen, self.base, base)
            self.base = base
            if self.values:
                self.values = {number for number in self.values if number >= base}
            if self.gaps:
                self.gaps = [gap for gap in self.gaps if gap[1] > base]

    def report(self, number: int, result: Result) -> None:
        """Settle `number` with the next control message."""
        runs = self.reports.get(result)
        if runs is None:
            runs = self.reports[result] = []
        add_number(runs, number)

    def end_before(self, number: int) -> Result:
        """How a part ended that comes again, after later ones, and that this process has never seen.

        It was dropped where a gap was told. Else it was settled by an earlier process of this name, or the receiver
        was none of those that the event was for when it was accepted first.
        """
        return DROPPED if any(first < number < last for first, last in self.gaps) else PASSED_OVER

    def revoke(self, runs: Sequence[int]) -> set[int]:
        """Parts went to another instance; those of them that wait for a handler are forgotten, and returned."""
        # Numbers begin with 1.
        waiting = {number: number for number, result in self.seen.items() if result is None}
        gone = set(Lookup().take(runs, waiting))
        for number in gone:
            del self.seen[number]
        if gone:
            # They may come back: what is lower than the rest is not late then.
            in_order = (number for number in self.seen if number not in self.values)
            self.highest = max(in_order, default=self.base - 1)
        return gone

    def report_all(self) -> None:
        """Settle everything remembered once more."""
        ends: dict[Result, list[int]] = {}
        for number, result in self.seen.items():
            if result is not None:
                ends.setdefault(result, []).append(number)
        self.reports = {result: runs_of(numbers) for result, numbers in ends.items()}


def weight(runs: Sequence[int]) -> int:
    """What a settlement takes of a message: its bounds and what is beside them, and a share for the numbers named."""
    return len(runs) + 4 + (count_numbers(runs) >> 6)


Streams = tuple[Stream, ...]
"""Of one sender's process, by lane."""
Arrival = tuple[Stream, DownEvent]
"""An event that waits for its handler, and the stream that it came on."""

Arrivals = tuple[deque[Arrival], ...]
"""By lane: what has arrived for all sessions of an attachment, in order."""


class Inbox:
    """One session's arrivals."""

    def __init__(self, session: int, arrivals: Arrivals, to_report: set[int]) -> None:
        """
        Args:
            session: index of the session in its attachment.
            arrivals: where events go that are to be handled; shared by all sessions of the attachment.
            to_report: set of the indexes of sessions with something to settle; likewise shared.
        """
        self.session = session
        self.arrivals = arrivals
        self._to_report = to_report
        self.duplicates = 0
        self.out_of_order = 0
        """Replayed parts that came after later ones, and ended without a handler."""
        self.handled_bytes = 0
        """Handled since the last control message, for the decision to send one early."""
        self._senders: dict[tuple[str, bytes], Streams] = {}
        self._origins: dict[int, Streams] = {}
        self.reporting: dict[Stream, None] = {}
        """Streams with something to settle."""
        self.deadlines: dict[tuple[Stream, int], float] = {}
        """Until when events may be handled that have a time to live, on the local clock."""

    @property
    def senders(self) -> int:
        """Senders' processes that it remembers."""
        return len(self._senders)

    def know(self, origin: int, name: str, process: bytes) -> Streams:
        """The broker calls a sender's process `origin` from now on."""
        streams = self._senders.get((name, process))
        if streams is None:
            if len(self._senders) >= MAX_SENDERS:
                self._forget_one()
            streams = self._senders[name, process] = tuple(
                Stream(self, name, process, lane) for lane in LANES
            )
        for stream in streams:
            stream.origins.append(origin)
        self._origins[origin] = streams
        return streams

    def finished(self, origin: int) -> None:
        """A sender's process has ended, and all that it sent is settled: it sends nothing, and replays nothing."""
        streams = self._origins.get(origin)
        if streams is not None and all(stream.is_quiet for stream in streams):
            self._forget(streams)

    def _forget(self, streams: Streams) -> None:
        for origin in streams[0].origins:
            self._origins.pop(origin, None)
        self._senders.pop((streams[0].name, streams[0].process), None)
        for stream in streams:
            self.reporting.pop(stream, None)

    def _forget_one(self) -> None:
        """Forget one sender of which nothing has come since it was looked at last, or else for which nothing waits.

        Not one of whose events the broker has not been told: it would wait for that.
        """
        forgotten: Streams | None = None
        for _ in range(min(len(self._senders), SENDERS_LOOKED_AT)):
            key = next(iter(self._senders))
            streams = self._senders[key]
            has_come = sum(stream.highest + stream.base for stream in streams)
            if all(stream.is_quiet and not stream.reports for stream in streams):
                forgotten = streams
                if streams[0].looked == has_come:
                    break
            streams[0].looked = has_come
            self._senders[key] = self._senders.pop(key)
        self._forget(forgotten or streams)

    def stream(self, origin: int, lane: Lane) -> Stream | None:
        """The stream of a sender that the broker has named; None if this session does not know it."""
        streams = self._origins.get(origin)
        return None if streams is None else streams[lane]

    def forget_origins(self) -> None:
        """A new broker epoch, or a new session: numbers of senders mean nothing any more; senders' processes do."""
        self._origins.clear()
        self.reporting.clear()
        for streams in self._senders.values():
            for stream in streams:
                stream.origins.clear()
                stream.reports = {}

    def arrive(self, stream: Stream, event: DownEvent) -> bool:
        """Take in an event; False if it was seen before. A duplicate is settled as what it was the first time."""
        number = event.number
        seen = stream.seen
        if number in seen or number < stream.base:
            self.duplicates += 1
            result = seen.get(number)
            if number < stream.base:
                # Below the base its sender is settled; this is an echo that nobody waits for.
                return False
            if result is not None:
                stream.report(number, result)
                self._note(stream)
            return False
        flags = event.flags
        if flags:
            if flags & EVENT_QUESTION:
                return self._end_unhandled(stream, number, unseen(flags))
            if flags & EVENT_REPLAYED and number < stream.highest and not flags & EVENT_LATEST:
                self.out_of_order += 1
                return self._end_unhandled(stream, number, stream.end_before(number))
            if flags & EVENT_AFTER_GAP:
                stream.gaps.append((stream.highest, number))
        # A latest value stands where an older one stood: its number says nothing of the order of others.
        if flags & EVENT_LATEST:
            stream.values.add(number)
        elif number > stream.highest:
            stream.highest = number
        seen[number] = None
        self.arrivals[stream.lane].append((stream, event))
        return True

    def arrive_all(self, streams: dict[int, Stream], events: Sequence[DownEvent]) -> list[Arrival]:
        """Take in events for this session, in order; those are returned that have a time to live and were not seen.

        Args:
            streams: by the broker's number for the sender.

        Raises:
            KeyError: an event is of none of them.
        """
        limited: list[Arrival] = []
        for event in events:
            stream = streams[event.origin]
            number = event.number
            if event.flags or event.ttl or number <= stream.highest or number < stream.base:
                if self.arrive(stream, event) and event.ttl:
                    limited.append((stream, event))
                continue
            # What most are: plain, and the next of their sender.
            stream.highest = number
            stream.seen[number] = None
            self.arrivals[stream.lane].append((stream, event))
        return limited

    def forget_deadlines(self, stream: Stream, numbers: Iterable[int]) -> None:
        """Events of a stream will not be handled here."""
        for number in numbers:
            self.deadlines.pop((stream, number), None)

    def _end_unhandled(self, stream: Stream, number: int, result: Result) -> bool:
        stream.seen[number] = result
        stream.report(number, result)
        self._note(stream)
        return False

    def settle(self, stream: Stream, event: DownEvent, result: Result) -> None:
        """The event's handler has run, or it was refused."""
        if event.number >= stream.base:
            stream.seen[event.number] = result
        if self.deadlines:
            self.deadlines.pop((stream, event.number), None)
        self.handled_bytes += len(event.payload) + EVENT_BYTES
        stream.report(event.number, result)
        if stream not in self.reporting:
            self._note(stream)

    def expire(self, stream: Stream, event: DownEvent, now: float) -> bool:
        """Settle an event that waits as expired if its time to live is over; whether it was."""
        if self.deadlines.get((stream, event.number), inf) > now:
            return False
        self.settle(stream, event, EXPIRED)
        return True

    def _note(self, stream: Stream) -> None:
        self.reporting[stream] = None
        self._to_report.add(self.session)

    def take_settlements(self, room: int) -> list[Settlement]:
        """What is to be settled with the broker, each once; what is left is taken the next time.

        Args:
            room: how much may be taken, as `weight` says.
        """
        taken: list[Settlement] = []
        left: dict[Stream, None] = {}
        for stream in self.reporting:
            reports: dict[Result, list[int]] = {}
            for result, runs in stream.reports.items():
                # A sender that the broker had forgotten has sent again under a new number what the broker may still
                # hold under the old one. Without any number the end is kept until its sender has sent it again.
                rest = runs
                while rest and stream.origins and room > 0:
                    part, rest = first_part(rest, room)
                    for origin in stream.origins:
                        taken.append(Settlement(self.session, origin, stream.lane, *result, part))
                        room -= weight(part)
                if rest and stream.origins:
                    reports[result] = rest
            stream.reports = reports
            if reports:
                left[stream] = None
        self.reporting = left
        if left:
            self._to_report.add(self.session)
        self.handled_bytes = 0
        return taken

    def report_again(self) -> None:
        """After a resume: settle again whatever may have been lost with the link."""
        for streams in self._origins.values():
            for stream in streams:
                stream.report_all()
                if stream.reports:
                    self._note(stream)
