"""What comes in: batches to sessions' inboxes, and what the broker is to be told of them, merged over lanes."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from math import inf
from typing import Any, Final

from lanebus.adapters.clock import BrokerClock
from lanebus.adapters.inbox import Arrivals, Stream, weight
from lanebus.adapters.outlane import LaneStats
from lanebus.adapters.session import SessionCore
from lanebus.adapters.unhandled import HANDLER_WAIT_S
from lanebus.wire.batches import (
    EVENT_AFTER_GAP,
    TICKS_PER_S,
    DownBatch,
    DownEvent,
    Source,
    TargetedBatch,
    decode_down,
)
from lanebus.wire.errors import ErrorNumber, ProtocolError
from lanebus.wire.header import Header
from lanebus.wire.history import LZ4, LZ4_LINKED, History, open_batch
from lanebus.wire.kinds import Kind
from lanebus.wire.lanes import LANES, Lane
from lanebus.wire.messages import Ack, Revoked, Settle, Settlement, Welcome

COMPRESSIONS: Final = (LZ4, LZ4_LINKED)
"""What is undone here, as a hello names it."""
MOST_IN_A_REPORT: Final = 32_768
"""What a control message takes in, by the weight of its settlements; less where the broker takes smaller frames."""
EXPIRY_S: Final = 0.1
"""Shortest time between two looks for what has waited beyond its time."""
MAX_SOURCES: Final = 65_536
"""Senders whose names are remembered; past it the oldest are forgotten, and named again after a reconnect."""


class Incoming:
    """The receiving half of an attachment.

    Args:
        sessions: the attachment's sessions by index.
        stats: counters by lane.
        clock: for the times to live of what arrives.
    """

    def __init__(self, sessions: dict[int, SessionCore], stats: list[LaneStats], clock: BrokerClock) -> None:
        self._sessions = sessions
        self._clock = clock
        self._stats = stats
        self._sources: dict[int, tuple[str, bytes]] = {}
        self._acked = [0 for _ in LANES]
        self.links = 0
        """Counts the links that there were."""
        self.received = [0 for _ in LANES]
        """By lane: the highest batch number received on the present link."""
        self._heard: list[History | None] = [None for _ in LANES]
        """By lane: of the batches received on the present link; None where they are not linked."""
        self.arrivals: Arrivals = tuple(deque() for _ in LANES)
        """By lane: events that wait for a handler."""
        self.to_report: set[int] = set()
        """Indexes of sessions with something to settle."""
        self.handler_wait_s = HANDLER_WAIT_S
        """How long an event waits where its topic has no handler."""
        self._looked = -inf
        self._most_in_a_report = MOST_IN_A_REPORT
        self.expires_at = inf
        """When to look for what has waited for a handler, or for its session to read, beyond its time."""

    def relink(self) -> None:
        """The links are fresh."""
        self.links += 1
        self.received = [0 for _ in LANES]
        self._acked = [0 for _ in LANES]

    def adopt(self, welcome: Welcome) -> None:
        """Read what comes by these links as the broker has said; nothing has come by them yet."""
        self._most_in_a_report = min(MOST_IN_A_REPORT, welcome.limits.frame_bytes // 16)
        self._heard = [History() if welcome.linked is True else None for _ in LANES]

    def resume(self) -> None:
        """The broker knows the attachment: tell again what may have been lost with the links."""
        for session in self._sessions.values():
            session.inbox.report_again()
            session.books_reported = None

    def revoke(self, revoked: list[Revoked]) -> None:
        """Parts went to other instances while the links were gone."""
        runs_of: dict[Stream, list[int]] = {}
        for each in revoked:
            session = self._sessions.get(each.session)
            stream = session.inbox.stream(each.origin, each.lane) if session is not None else None
            if stream is not None:
                runs_of.setdefault(stream, []).extend(each.runs)
        gone = {stream: numbers for stream, runs in runs_of.items() if (numbers := stream.revoke(runs))}
        if not gone:
            return
        for stream in gone:
            stream.inbox.forget_deadlines(stream, gone[stream])
        for session in self._sessions.values():
            session.unhandled.keep(lambda stream, event: event.number not in gone.get(stream, ()))
        for waiting in (*(session.unread for session in self._sessions.values()), *self.arrivals):
            kept = [each for each in waiting if each[1].number not in gone.get(each[0], ())]
            waiting.clear()
            waiting.extend(kept)

    def finished(self, origins: Sequence[int]) -> None:
        """Senders' processes have ended, and all that they sent is settled: they send nothing, and replay nothing."""
        for session in self._sessions.values():
            for origin in origins:
                session.inbox.finished(origin)

    def restart(self) -> None:
        """The broker does not know the attachment: its numbers for senders mean nothing any more."""
        self._sources.clear()
        self.to_report.clear()
        for session in self._sessions.values():
            session.inbox.forget_origins()
            session.begin_books()

    def batch(self, lane: Lane, header: Header, frame: bytes, now: float) -> None:
        """Take one batch.

        Raises:
            ProtocolError: it is malformed, or not the next one.
        """
        if header.number != self.received[lane] + 1:
            raise ProtocolError(
                ErrorNumber.BATCH_GAP, f"batch {header.number}, expected {self.received[lane] + 1}"
            )
        batch = decode_down(header, open_batch(frame, header, self._heard[lane]))
        for source in batch.sources:
            if source.name:
                # Those named last are the last to be forgotten.
                self._sources.pop(source.origin, None)
                self._sources[source.origin] = (source.name, source.process)
                if len(self._sources) > MAX_SOURCES:
                    del self._sources[next(iter(self._sources))]
            elif source.origin not in self._sources:
                raise ProtocolError(ErrorNumber.BAD_BODY, f"sender {source.origin} was never named")
        stats = self._stats[lane]
        stats.batches_in += 1
        stats.bytes_in += len(frame)
        stats.events_in += (
            self._targeted(lane, batch, now)
            if isinstance(batch, TargetedBatch)
            else self._untargeted(lane, batch, now)
        )
        self.received[lane] = header.number

    def _untargeted(self, lane: Lane, batch: DownBatch, now: float) -> int:
        session = self._sessions.get(0)
        if session is None:
            raise ProtocolError(ErrorNumber.BAD_BODY, "a batch to a gateway that names no sessions")
        streams = {source.origin: self._stream(session, lane, source) for source in batch.sources}
        try:
            limited = session.inbox.arrive_all(streams, batch.events)
        except KeyError:
            raise _unnamed() from None
        for stream, event in limited:
            self._limit(session, stream, event, now)
        return len(batch.events)

    def _targeted(self, lane: Lane, batch: TargetedBatch, now: float) -> int:
        sources = {source.origin: source for source in batch.sources}
        count = 0
        for targets, event in batch.events:
            source = sources.get(event.origin)
            if source is None:
                raise _unnamed()
            for index in targets:
                session = self._sessions.get(index)
                if session is None:  # closed while this was on its way; the broker knows by now
                    continue
                stream = self._stream(session, lane, source)
                if session.inbox.arrive(stream, event) and event.ttl:
                    self._limit(session, stream, event, now)
                count += 1
        return count

    def _limit(self, session: SessionCore, stream: Stream, event: DownEvent, now: float) -> None:
        # In local time: the broker's clock may begin again while the event waits.
        deadline = now + event.ttl / TICKS_PER_S - self._clock.age_s(event.stamp, now)
        session.inbox.deadlines[stream, event.number] = deadline
        self._look_at(deadline)

    def _look_at(self, deadline: float) -> None:
        self.expires_at = min(self.expires_at, max(deadline, self._looked + EXPIRY_S))

    def wait_for_handler(self, session: SessionCore, stream: Stream, event: DownEvent, now: float) -> None:
        """There is no handler for an event: it waits for one, or is refused."""
        self._look_at(session.unhandled.put(stream, event, now, self.handler_wait_s))

    def expire(self, now: float) -> None:
        """End what waits for a handler, or for its session to read, beyond its time; the rest is judged in its turn."""
        if now < self.expires_at:
            return
        self._looked = now
        left = inf
        for session in self._sessions.values():
            inbox = session.inbox
            if inbox.deadlines:
                session.unhandled.expire(now)
                unread = session.unread
                # One that tells of a gap tells it in its turn.
                kept = [
                    (stream, event)
                    for stream, event in unread
                    if event.flags & EVENT_AFTER_GAP or not inbox.expire(stream, event, now)
                ]
                unread.clear()
                unread.extend(kept)
                left = min([left, *inbox.deadlines.values()])
            if session.unhandled:
                left = min(left, session.unhandled.end_overdue(now))
        self.expires_at = max(left, now + EXPIRY_S)

    def _stream(self, session: SessionCore, lane: Lane, source: Source) -> Stream:
        stream = session.inbox.stream(source.origin, lane)
        if stream is None:
            stream = session.inbox.know(source.origin, *self._sources[source.origin])[lane]
        stream.rebase(source.base)
        return stream

    def piggybacked(self, lane: Lane) -> int:
        """The batch number that a frame about to leave on `lane` acknowledges."""
        number = self._acked[lane] = self.received[lane]
        return number

    @property
    def owed_batches(self) -> int:
        """Batches received and not acknowledged, on the lane with the most."""
        return max(received - acked for received, acked in zip(self.received, self._acked, strict=True))

    @property
    def handled_bytes(self) -> int:
        """Bytes handled and not settled, of the session with the most."""
        sessions = self._sessions
        return max(
            (sessions[index].inbox.handled_bytes for index in self.to_report if index in sessions), default=0
        )

    def take_control(self) -> tuple[Kind, Any] | None:
        """A message of what the broker has not been told, until there is nothing: None."""
        settlements: list[Settlement] = []
        room = self._most_in_a_report
        while self.to_report and room > 0:
            session = self._sessions.get(self.to_report.pop())
            if session is not None:
                taken = session.inbox.take_settlements(room)
                settlements += taken
                room -= sum(weight(each.runs) for each in taken)
        owed = self.owed_batches
        self._acked = list(self.received)
        if settlements:
            return Kind.SETTLE, Settle(self.received, settlements)
        return (Kind.ACK, Ack(self.received)) if owed else None

    def discard(self, session: int) -> None:
        """A session was closed: its events are not handled any more."""
        for arrivals in self.arrivals:
            kept = [arrival for arrival in arrivals if arrival[0].inbox.session != session]
            arrivals.clear()
            arrivals.extend(kept)


def _unnamed() -> ProtocolError:
    return ProtocolError(ErrorNumber.BAD_BODY, "an event of a sender that the batch does not name")
