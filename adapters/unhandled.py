"""Events of topics that have no handler: they wait for one, and are refused where none comes."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterator
from math import inf
from typing import Any, Final

from lanebus.adapters.inbox import EVENT_BYTES, Arrival, Stream
from lanebus.wire.batches import DownEvent
from lanebus.wire.outcomes import Outcome, Reason
from lanebus.wire.reports import MAX_UNHANDLED_TOPICS, UnhandledTopic
from lanebus.wire.shown import shown

log = logging.getLogger("lanebus.adapters")

HANDLER_WAIT_S: Final = 10.0
"""How long an event waits for a handler, unless the program says otherwise."""
MAX_HANDLER_WAIT_S: Final = 86_400.0
MAX_UNHANDLED_EVENTS: Final = 256
MAX_UNHANDLED_BYTES: Final = 1 << 16
"""What waits for a handler, per session; the oldest is refused when more comes. It is a quarter of the credit that the
broker gives a session on a lane: the rest is for events that have handlers."""
MAX_UNHANDLED_TOPICS_KNOWN: Final = 1024
"""Topics of a session that are counted; past it the events of further ones are refused at once, and count as one."""
OTHER_TOPICS: Final = "(other topics)"
"""Those further ones; no topic is called so."""
WARNING_INTERVAL_S: Final = 1.0
"""Shortest time between two warnings."""

_NO_HANDLER: Final = (Outcome.REFUSED, Reason.NO_HANDLER)


class _Topic:
    """What has come of one topic while it had no handler."""

    __slots__ = ("in_vain", "refused", "sender", "waiting")

    def __init__(self) -> None:
        self.sender = ""
        """Of the latest event."""
        self.waiting = 0
        self.refused = 0
        self.in_vain = False
        """Whether one of its events has waited for the whole time: further ones need not."""


class Unhandled:
    """What has come for one session and has no handler, in the order in which it came.

    Once an event has waited in vain, further ones of its topic are refused at once, until the topic has a handler: what
    nobody will handle is not to use up the credit of what somebody does.
    """

    def __init__(self, session: str) -> None:
        self._session = session
        self._waiting: deque[tuple[float, Arrival]] = deque()
        """With the time until which each waits."""
        self._bytes = 0
        self._topics: dict[str, _Topic] = {}
        self._quiet_until = -inf

    def __len__(self) -> int:
        return len(self._waiting)

    def __iter__(self) -> Iterator[Arrival]:
        return (arrival for _, arrival in self._waiting)

    def put(self, stream: Stream, event: DownEvent, now: float, wait_s: float) -> float:
        """Take in an event for whose topic there is no handler.

        Returns:
            Until when it waits for one; infinite if it does not wait.
        """
        topic = self._topic(event.topic)
        topic.sender = stream.name
        if topic.in_vain or wait_s <= 0:
            topic.in_vain = True
            topic.refused += 1
            stream.inbox.settle(stream, event, _NO_HANDLER)
            return inf
        topic.waiting += 1
        self._waiting.append((now + wait_s, (stream, event)))
        self._bytes += len(event.payload) + EVENT_BYTES
        while len(self._waiting) > MAX_UNHANDLED_EVENTS or self._bytes > MAX_UNHANDLED_BYTES:
            self._refuse_oldest()
        return now + wait_s

    def _topic(self, name: str) -> _Topic:
        topic = self._topics.get(name)
        if topic is None:
            is_known = len(self._topics) < MAX_UNHANDLED_TOPICS_KNOWN
            topic = self._topics.setdefault(name if is_known else OTHER_TOPICS, _Topic())
            topic.in_vain = not is_known
        return topic

    def _refuse_oldest(self) -> str:
        _, (stream, event) = self._waiting.popleft()
        topic = self._left(event)
        if topic is not None:
            topic.refused += 1
        stream.inbox.settle(stream, event, _NO_HANDLER)
        return event.topic

    def _left(self, event: DownEvent) -> _Topic | None:
        """An event waits no longer."""
        self._bytes -= len(event.payload) + EVENT_BYTES
        topic = self._topics.get(event.topic)
        if topic is not None:
            topic.waiting -= 1
        return topic

    def end_overdue(self, now: float) -> float:
        """Refuse what has waited for long enough.

        Returns:
            When the next one will have; infinite if nothing waits.
        """
        while self._waiting and self._waiting[0][0] <= now:
            name = self._refuse_oldest()
            topic = self._topics.get(name)
            if topic is not None and not topic.in_vain:
                topic.in_vain = True
                self._warn(name, topic.sender, now)
        return self._waiting[0][0] if self._waiting else inf

    def _warn(self, topic: str, sender: str, now: float) -> None:
        if now < self._quiet_until:
            return  # what is refused is counted, and `lanebus why` names it
        self._quiet_until = now + WARNING_INTERVAL_S
        log.warning(
            "! %s has no handler for %s, which %s sends: such events are refused (no_handler) until it has one",
            self._session,
            topic,
            sender,
        )

    def take(self, has_handler: Callable[[str], object]) -> list[Arrival]:
        """Handlers were added: what has one now is taken out and returned, in order; the rest waits on."""
        for name in [name for name in self._topics if has_handler(name)]:
            del self._topics[name]
        return self._take(lambda _, event: not has_handler(event.topic))

    def keep(self, waits_on: Callable[[Stream, DownEvent], object]) -> None:
        """Forget those for which `waits_on` says no: somebody else has ended them."""
        self._take(waits_on)

    def expire(self, now: float) -> None:
        """End those whose time to live is over."""
        self._take(lambda stream, event: not stream.inbox.expire(stream, event, now))

    def _take(self, waits_on: Callable[[Stream, DownEvent], object]) -> list[Arrival]:
        kept: list[tuple[float, Arrival]] = []
        taken: list[Arrival] = []
        for until, arrival in self._waiting:
            if waits_on(*arrival):
                kept.append((until, arrival))
            else:
                self._left(arrival[1])
                taken.append(arrival)
        self._waiting = deque(kept)
        return taken

    def refuse_all(self) -> None:
        """The session is over: nothing will have a handler any more."""
        while self._waiting:
            self._refuse_oldest()

    def report(self) -> list[UnhandledTopic]:
        """What waits now, by topic, for a ping."""
        if not self._waiting:
            return []
        found = [
            UnhandledTopic(name, topic.sender, topic.waiting)
            for name, topic in self._topics.items()
            if topic.waiting
        ]
        found.sort(key=lambda each: -each.events)
        return found[:MAX_UNHANDLED_TOPICS]

    def rows(self) -> list[dict[str, Any]]:
        """One row for each topic without a handler, as plain values; those first of which most was refused."""
        found = sorted(self._topics.items(), key=lambda item: (-item[1].refused, -item[1].waiting))
        return [
            {"topic": name, "sender": each.sender, "waiting": each.waiting, "refused": each.refused}
            for name, each in found
        ]


def checked_wait_s(handler_wait_s: object) -> float:
    """How long events wait for a handler, as a program gave it.

    Raises:
        ValueError: it is no number of seconds, or more than a day.
    """
    if (
        isinstance(handler_wait_s, int | float)
        and not isinstance(handler_wait_s, bool)
        and 0 <= handler_wait_s <= MAX_HANDLER_WAIT_S
    ):
        return float(handler_wait_s)
    raise ValueError(
        f"handler_wait_s is {shown(handler_wait_s)}: give seconds, from 0 to {MAX_HANDLER_WAIT_S:g}"
    )
