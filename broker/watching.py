"""Watching: telling servers of the instances of all services and of their states.

All of them when a server begins to watch and when it has fresh links; from then on, once a turn, what has changed. That
an instance is gone is told behind what it sent to the watcher.
"""

from __future__ import annotations

from math import inf

from lanebus.broker.attachment import Attachment
from lanebus.broker.in_order import LOOK_S, InOrder, News, batches_sent
from lanebus.broker.outgoing import Outgoing
from lanebus.broker.services import Services
from lanebus.broker.sessions import Session
from lanebus.broker.timers import Timers
from lanebus.wire import messages
from lanebus.wire.kinds import Kind
from lanebus.wire.lanes import Lane
from lanebus.wire.services import ENTRIES, Instance, ServiceState


class Watching:
    """Who watches, and what they are to be told at the end of the turn."""

    def __init__(self, outgoing: Outgoing, timers: Timers, services: Services) -> None:
        self._outgoing = outgoing
        self._timers = timers
        self._services = services
        self._watchers: dict[Session, bool] = {}
        """Whether each has been told of all instances."""
        self._in_order: dict[Session, InOrder[Instance]] = {}
        """Of those to whom something is not told yet."""
        self._looks_at = -inf
        """When a timer brings that back."""

    def watch(self, session: Session, *, on: bool) -> None:
        """Tell a session of services, or no longer."""
        if on:
            self._watchers[session] = False
        else:
            self._watchers.pop(session, None)
            self._in_order.pop(session, None)

    def resumed(self, attachment: Attachment) -> None:
        """An attachment has fresh links: tell it all again, since it may have missed any of it."""
        for session in attachment.sessions.values():
            if session in self._watchers:
                self._watchers[session] = False

    def end_turn(self, now: float) -> None:
        """Tell what has changed; who has no link is told when it resumes."""
        if self._services.changed:
            changed = self._services.take_changed(now)
        elif all(self._watchers.values()) and not self._in_order:
            return
        else:
            changed = []
        news = [_news(instance.entry(), now) for instance in changed] if self._watchers else []
        every: list[Instance] = []
        for session, is_told in list(self._watchers.items()):
            link = session.attachment.links[Lane.CRITICAL]
            if session.ended:
                del self._watchers[session]
                self._in_order.pop(session, None)
            elif link is not None and is_told:
                entries = self._to_tell(session, news)
                after = batches_sent(session.attachment)
                for first in range(0, len(entries), ENTRIES):
                    part = messages.Services(entries=entries[first : first + ENTRIES], after=after)
                    self._outgoing.control(link, Kind.SERVICES, part)
            elif link is not None:
                self._watchers[session] = True
                self._in_order.pop(session, None)
                every = every or [instance.entry() for instance in self._services.all()]
                for first in range(0, len(every), ENTRIES):
                    part = messages.Services(entries=every[first : first + ENTRIES], at=first, of=len(every))
                    self._outgoing.control(link, Kind.SERVICES, part)
        if self._in_order and self._looks_at <= now:
            self._looks_at = now + LOOK_S
            self._timers.wake(self._looks_at)

    def _to_tell(self, session: Session, news: list[News[Instance]]) -> list[Instance]:
        in_order = self._in_order.get(session) or InOrder()
        entries = in_order.take(session.attachment, news)
        if in_order:
            self._in_order[session] = in_order
        else:
            self._in_order.pop(session, None)
        return entries


def _news(entry: Instance, now: float) -> News[Instance]:
    return News(entry.name, entry, now if entry.state is ServiceState.GONE else None)
