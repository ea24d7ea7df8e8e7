"""One lane's way out of an adapter: the queue that becomes batches, and the window of those not acknowledged."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection
from math import inf
from typing import Any, Final

from lanebus.adapters.clock import BrokerClock
from lanebus.adapters.outevent import OutEvent
from lanebus.adapters.session import SessionCore
from lanebus.wire.batches import STAMP_MODULUS, TICKS_PER_S, EncodedBatch, encode_batch, ticks
from lanebus.wire.bodies import COMPRESSION_THRESHOLD_BYTES
from lanebus.wire.header import FLAG_REPLAY
from lanebus.wire.history import History
from lanebus.wire.lanes import DEFAULT_TIMINGS, TIMER_SLACK_S, Lane

_FIGURES: Final = (
    *("batches_in", "batches_out", "bytes_in", "bytes_out"),
    *("events_in", "events_out", "handled", "unbatched_bytes_out"),
)


class LaneStats:
    """What went over one lane; plain numbers that only grow."""

    __slots__ = _FIGURES

    def __init__(self) -> None:
        self.events_out = 0
        self.batches_out = 0
        self.bytes_out = 0
        """Of whole frames, as they travel."""
        self.unbatched_bytes_out = 0
        """What the same events would have taken in one uncompressed frame each."""
        self.events_in = 0
        self.batches_in = 0
        self.bytes_in = 0
        self.handled = 0

    def as_dict(self) -> dict[str, int]:
        """The figures by name."""
        return {name: getattr(self, name) for name in _FIGURES}


class Window:
    """What the broker said a link may hold, and how its batches are made."""

    __slots__ = ("batch_bytes", "batch_events", "batches", "bytes", "linked", "threshold_bytes")

    def __init__(self) -> None:
        self.batches = 64
        self.bytes = 4_194_304
        self.batch_bytes = 32_768
        self.batch_events = 4096
        self.threshold_bytes = COMPRESSION_THRESHOLD_BYTES
        self.linked = False


class OutLane:
    """Events of all sessions of an adapter on one lane, on their way to the broker."""

    def __init__(self, lane: Lane, window: Window) -> None:
        self.lane = lane
        self.timing = DEFAULT_TIMINGS[lane]
        self.queue: deque[OutEvent] = deque()
        self.queued_bytes = 0
        self.last_flush = float("-inf")
        self.next_number = 1
        self.stats = LaneStats()
        self.late: list[OutEvent] = []
        """Events that were found too late to leave; whoever asks for batches ends them."""
        self.deadline = inf
        """No event in the queue is late before this."""
        self.ratio = 1.0
        """Bytes that travel for a byte of an event, lately."""
        self.released: dict[int, float] = {}
        """By session that a limit held up: when it last let something go. Until then it did not wait for company."""
        self._window = window
        self._unacked: deque[tuple[int, int, list[OutEvent], float]] = deque()
        self._unacked_bytes = 0
        self._history: History | None = None
        """Of the batches that have left on the present link; None where they are not linked."""

    def put(self, event: OutEvent) -> None:
        """Queue an event."""
        self.queue.append(event)
        self.queued_bytes += event.size
        if event.terms is not None:
            event.terms.paused = False
            if not event.transmitted:
                self.deadline = min(self.deadline, event.terms.deadline)

    def expire(self, now: float) -> None:
        """Take what is late out of the queue."""
        kept = []
        self.deadline = inf
        for event in self.queue:
            if event.terms is not None and not event.transmitted:
                if event.terms.deadline <= now:
                    self.late.append(event)
                    self.queued_bytes -= event.size
                    continue
                self.deadline = min(self.deadline, event.terms.deadline)
            kept.append(event)
        self.queue = deque(kept)

    @property
    def due(self) -> float | None:
        """When the queue should leave: at once after a quiet interval, else with it, but never past the hold."""
        if not self.queue or self.window_full:
            return None
        if self.queued_bytes >= self._window.batch_bytes:
            return float("-inf")
        return min(self.last_flush + self.timing.interval_s, self.queue[0].sent_at + self.timing.hold_s)

    def should_leave(self, now: float, next_turn: float) -> bool:
        """Whether the queue leaves in this turn: it is due, or its oldest event would miss its hold by the next one."""
        due = self.due
        if due is None:
            return False
        return due <= now + TIMER_SLACK_S or self.queue[0].sent_at + self.timing.hold_s <= next_turn

    def is_held_too_long(self, now: float) -> bool:
        """Whether the oldest event has waited for as long as it may."""
        return bool(self.queue) and self.queue[0].sent_at + self.timing.hold_s <= now

    @property
    def window_full(self) -> bool:
        """Whether the broker must acknowledge before more may leave."""
        return len(self._unacked) >= self._window.batches or self._unacked_bytes >= self._window.bytes

    def next_batch(
        self,
        now: float,
        clock: BrokerClock,
        sessions: dict[int, SessionCore],
        *,
        incarnation: int,
        ack: int,
    ) -> EncodedBatch | None:
        """Make one batch of what is queued; None if nothing is, or the window is full.

        Args:
            clock: for the events' stamps.
            sessions: the attachment's sessions by index, for their lowest unsettled numbers.
        """
        if not self.queue or self.window_full:
            return None
        queue = self.queue
        events: list[OutEvent] = []
        size = 0
        first = queue[0]
        offset_s = clock.offset_s
        rows: list[tuple[Any, ...]] = []
        after = 0
        while queue and size < self._window.batch_bytes and len(events) < self._window.batch_events:
            event = queue[0]
            if (event.replayed or first.replayed) and not _replayed_alike(event, first):
                break
            queue.popleft()
            if event.terms is not None:
                if not event.transmitted and event.terms.deadline <= now:
                    self.late.append(event)
                    self.queued_bytes -= event.size
                    continue
                rows.append(event.terms.row(event, clock.stamp(event.terms.sent_at), now))
            else:
                # As `clock.stamp`, without two calls for each event.
                stamp = int((event.sent_at + offset_s) * TICKS_PER_S) % STAMP_MODULUS
                row = (event.session, event.number, stamp, event.topic, event.to, event.payload)
                rows.append((*row, event.exclude) if event.exclude else row)
            size += event.size
            events.append(event)
            if event.after > after:
                after = event.after
        if not events:
            return None
        speakers = {event.session for event in events}
        since = events[0].sent_at
        if self.released:
            since = max(since, self.released.get(events[0].session, since))
        preamble = (
            ticks(now - since),
            after,
            [(index, sessions[index].outbox.base(self.lane)) for index in speakers],
        )
        try:
            batch = encode_batch(
                self.lane,
                preamble,
                rows,
                incarnation=incarnation,
                number=self.next_number,
                ack=ack,
                threshold_bytes=self._window.threshold_bytes,
                flags=FLAG_REPLAY if first.replayed else 0,
                history=self._history,
            )
        except BaseException:
            # All that an event holds was encoded when it was sent. If one does not encode all the same, none has left.
            queue.extendleft(reversed(events))
            raise
        for event in events:
            event.transmitted = True
        self.queued_bytes -= size
        self._unacked.append((self.next_number, size, events, now))
        self._unacked_bytes += size
        self.next_number += 1
        self.last_flush = now
        self.ratio += (len(batch.frame) / size - self.ratio) / 8
        stats = self.stats
        stats.events_out += len(events)
        stats.batches_out += 1
        stats.bytes_out += len(batch.frame)
        stats.unbatched_bytes_out += batch.unbatched_bytes
        return batch

    def acknowledged(self, number: int) -> bool:
        """The broker has received every batch up to `number`; False if that many were never sent."""
        if number >= self.next_number:
            return False
        unacked = self._unacked
        while unacked and unacked[0][0] <= number:
            self._unacked_bytes -= unacked.popleft()[1]
        return True

    def unacknowledged_since(self) -> float | None:
        """When the oldest batch left that the broker has not acknowledged."""
        return self._unacked[0][3] if self._unacked else None

    def unsent(self) -> list[OutEvent]:
        """What is queued, or was sent and not acknowledged, in the order in which it left or is to leave."""
        return [*(event for _, _, events, _ in self._unacked for event in events), *self.queue]

    def to_resend(self, *, is_lost: bool) -> int:
        """Events that have left and have to leave again; where the link is lost, what was not acknowledged too."""
        unacked = sum(len(events) for _, _, events, _ in self._unacked) if is_lost else 0
        return unacked + sum(event.transmitted for event in self.queue)

    def withdraw(self, sessions: Collection[int]) -> dict[int, list[OutEvent]]:
        """Take the events of some sessions out of the queue; those of each are returned."""
        taken: dict[int, list[OutEvent]] = {}
        if sessions:
            kept: deque[OutEvent] = deque()
            for event in self.queue:
                if event.session in sessions:
                    taken.setdefault(event.session, []).append(event)
                    self.queued_bytes -= event.size
                else:
                    kept.append(event)
            self.queue = kept
        return taken

    def keep(self, is_wanted: Callable[[OutEvent], bool]) -> None:
        """Take out of the queue what is not wanted any more."""
        self.queue = deque(filter(is_wanted, self.queue))
        self.queued_bytes = sum(event.size for event in self.queue)

    def discard(self, session: int) -> None:
        """Forget the events of a closed session: none of them leaves any more, or leaves again."""
        self.withdraw((session,))
        self.released.pop(session, None)
        for _, _, events, _ in self._unacked:
            events[:] = [event for event in events if event.session != session]

    def relink(self, events: list[OutEvent]) -> None:
        """Start again on a fresh link with `events` to send."""
        self.queue = deque(events)
        self.queued_bytes = sum(event.size for event in events)
        self.deadline = min(
            (event.terms.deadline for event in events if event.terms is not None and not event.transmitted),
            default=inf,
        )
        self._unacked.clear()
        self._unacked_bytes = 0
        self.next_number = 1
        self.last_flush = float("-inf")
        self._history = History() if self._window.linked else None


def _replayed_alike(one: OutEvent, other: OutEvent) -> bool:
    """Whether both may travel in one batch: the broker goes by what a replayed event depended on, exactly."""
    return one.replayed == other.replayed and one.after == other.after
