"""Dispatch: arrived events to handlers, critical first, within a budget of time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from msgspec.structs import replace

from lanebus.adapters.core import AttachmentCore
from lanebus.adapters.event import Event, Gap
from lanebus.adapters.handler_times import HandlerTimes
from lanebus.adapters.handlers import MAX_UNHANDLED_EVENTS
from lanebus.adapters.inbox import Arrival, Stream
from lanebus.adapters.session import SessionCore
from lanebus.wire.batches import EVENT_AFTER_GAP, EVENT_REDELIVERED, EVENT_REPLAYED, DownEvent
from lanebus.wire.lanes import LANES
from lanebus.wire.outcomes import Outcome, Reason

_NO_HANDLER: Final = (Outcome.REFUSED, Reason.NO_HANDLER)
_RAISED: Final = (Outcome.REFUSED, Reason.HANDLER_ERROR)


def dispatch(core: AttachmentCore, clock: Callable[[], float], until: float, times: HandlerTimes) -> int:
    """Run handlers until nothing waits or `until` has passed, and say for how many events.

    A handler may send, register handlers and close sessions. The budget is looked at between events: a handler that
    takes long takes long. How long is noted in `times`, but not of one that raises to the program.
    """
    handled = 0
    now = clock()
    for lane in LANES:
        arrivals = core.incoming.arrivals[lane]
        stats = core.outgoing.lanes[lane].stats
        recent = times.recent[lane]
        while arrivals:
            stream, event = arrivals.popleft()
            session = core.sessions.get(stream.inbox.session)
            if session is None:
                continue
            if not session.reading:
                session.unread.append((stream, event))
                continue
            began = now
            ran = _handle(core, session, stream, event, began)
            now = clock()
            if ran:
                handled += 1
                stats.handled += 1
                try:
                    recent[event.topic][int((now - began) * 1e6)] += 1
                except KeyError:
                    times.note(lane, event.topic, now - began, now)
            if now >= until:
                return handled
    return handled


def _handle(core: AttachmentCore, session: SessionCore, stream: Stream, event: DownEvent, now: float) -> bool:
    """Run an event's handlers; False if it has none, and waits for one."""
    if event.flags & EVENT_AFTER_GAP:
        session.tell_gap(Gap(stream.name, stream.lane, session.name))
        # Told once, in front of all that is later, also where this event itself waits for a handler.
        event = replace(event, flags=event.flags & ~EVENT_AFTER_GAP)
    if session.inbox.deadlines and session.inbox.expire(stream, event, now):
        return False
    handlers = session.handlers.match(event.topic)
    if not handlers:
        session.unhandled.append((stream, event))
        if len(session.unhandled) > MAX_UNHANDLED_EVENTS:
            oldest_stream, oldest = session.unhandled.popleft()
            session.inbox.settle(oldest_stream, oldest, _NO_HANDLER)
        return False
    shown = Event(
        event.number,
        event.topic,
        event.payload,
        stream.name,
        session.name,
        stream.lane,
        core.clock.age_s(event.stamp, now) * 1e3,
        bool(event.flags & (EVENT_REDELIVERED | EVENT_REPLAYED)),
    )
    result = _RAISED
    try:
        result = session.handlers.run(handlers, shown)
    finally:
        session.inbox.settle(stream, event, result)
        if event.flags & EVENT_REDELIVERED:
            core.settle_soon()
    return True


def requeue(core: AttachmentCore, waiting: list[Arrival]) -> None:
    """Put events back in front, in order: they are older than all that wait."""
    for stream, event in reversed(waiting):
        core.incoming.arrivals[stream.lane].appendleft((stream, event))
