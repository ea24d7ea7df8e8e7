"""Dispatch: arrived events to handlers, critical first, within a budget of time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from msgspec.structs import replace

from lanebus.adapters.core import AttachmentCore
from lanebus.adapters.event import Event, Gap
from lanebus.adapters.handler_times import HandlerTimes
from lanebus.adapters.inbox import Arrival, Stream
from lanebus.adapters.session import SessionCore
from lanebus.wire.batches import (
    EVENT_AFTER_GAP,
    EVENT_REDELIVERED,
    EVENT_REPLAYED,
    STAMP_MODULUS,
    TICKS_PER_S,
    DownEvent,
)
from lanebus.wire.lanes import LANES
from lanebus.wire.outcomes import Outcome, Reason

_TICK_MS: Final = 1e3 / TICKS_PER_S
_RAISED: Final = (Outcome.REFUSED, Reason.HANDLER_ERROR)


def dispatch(core: AttachmentCore, clock: Callable[[], float], until: float, times: HandlerTimes) -> int:
    """Run handlers until nothing waits or `until` has passed, and say for how many events.

    A handler may send, register handlers and close sessions. The budget is looked at between events: a handler that
    takes long takes long. How long is noted in `times`, but not of one that raises to the program.
    """
    handled = 0
    now = clock()
    offset_s = core.clock.offset_s
    incoming = core.incoming
    for lane in LANES:
        arrivals = incoming.arrivals[lane]
        stats = core.outgoing.lanes[lane].stats
        recent = times.recent[lane]
        last: Stream | None = None
        while arrivals:
            stream, event = arrivals.popleft()
            if stream is not last:
                # Closing a session takes its arrivals away: as long as some come, it is there.
                found = core.sessions.get(stream.inbox.session)
                if found is None:
                    continue
                session, last = found, stream
                inbox = session.inbox
                ages = session.latency.recent[lane]
            if not session.reading:
                session.unread.append((stream, event))
                continue
            redelivered = False
            if event.flags:
                event = _after_gap(session, stream, event)
                redelivered = bool(event.flags & (EVENT_REDELIVERED | EVENT_REPLAYED))
            if inbox.deadlines and inbox.expire(stream, event, now):
                continue
            topic = event.topic
            handlers = session.handlers.match(topic)
            if not handlers:
                incoming.wait_for_handler(session, stream, event, now)
                if redelivered:
                    core.settle_soon()
                continue
            # As `clock.age_s`, without two calls for each event.
            age = (int((now + offset_s) * TICKS_PER_S) - event.stamp) % STAMP_MODULUS
            shown = Event(
                event.number,
                topic,
                event.payload,
                stream.name,
                session.name,
                lane,
                age * _TICK_MS if age < STAMP_MODULUS // 2 else 0.0,
                redelivered,
            )
            if not redelivered:
                try:
                    ages[age] += 1
                except KeyError:
                    session.latency.note(lane, age)
            result = _RAISED
            began = now
            try:
                result = session.handlers.run(handlers, shown)
            finally:
                inbox.settle(stream, event, result)
                if redelivered and event.flags & EVENT_REDELIVERED:
                    core.settle_soon()
            now = clock()
            handled += 1
            stats.handled += 1
            try:
                recent[topic][int((now - began) * 1e6)] += 1
            except KeyError:
                times.note(lane, topic, now - began, now)
            if now >= until:
                return handled
    return handled


def _after_gap(session: SessionCore, stream: Stream, event: DownEvent) -> DownEvent:
    """Tell the program of a gap in front of an event, where there is one."""
    if not event.flags & EVENT_AFTER_GAP:
        return event
    session.tell_gap(Gap(stream.name, stream.lane, session.name))
    # Told once, in front of all that is later, also where this event itself waits for a handler.
    return replace(event, flags=event.flags & ~EVENT_AFTER_GAP)


def requeue(core: AttachmentCore, waiting: list[Arrival]) -> None:
    """Put events back in front, in order: they are older than all that wait."""
    for stream, event in reversed(waiting):
        core.incoming.arrivals[stream.lane].appendleft((stream, event))
