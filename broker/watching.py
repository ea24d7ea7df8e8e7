"""Watching: telling servers of the instances of all services and of their states.

All of them when a server begins to watch and when it has fresh links; from then on, once a turn, what has changed.
"""

from __future__ import annotations

from lanebus.broker.outgoing import Outgoing
from lanebus.broker.services import Services
from lanebus.broker.sessions import Attachment, Session
from lanebus.wire import messages
from lanebus.wire.kinds import Kind
from lanebus.wire.lanes import Lane
from lanebus.wire.services import ENTRIES, Instance


class Watching:
    """Who watches, and what they are to be told at the end of the turn."""

    def __init__(self, outgoing: Outgoing, services: Services) -> None:
        self._outgoing = outgoing
        self._services = services
        self._watchers: dict[Session, bool] = {}
        """Whether each has been told of all instances."""

    def watch(self, session: Session, *, on: bool) -> None:
        """Tell a session of services, or no longer."""
        if on:
            self._watchers[session] = False
        else:
            self._watchers.pop(session, None)

    def resumed(self, attachment: Attachment) -> None:
        """An attachment has fresh links: tell it all again, since it may have missed any of it."""
        for session in attachment.sessions.values():
            if session in self._watchers:
                self._watchers[session] = False

    def end_turn(self, now: float) -> None:
        """Tell what has changed; who has no link is told when it resumes."""
        if self._services.changed:
            changed = self._services.take_changed(now)
        elif all(self._watchers.values()):
            return
        else:
            changed = []
        news = [instance.entry() for instance in changed] if self._watchers else []
        every: list[Instance] = []
        for session, is_told in list(self._watchers.items()):
            link = session.attachment.links[Lane.CRITICAL]
            if session.ended:
                del self._watchers[session]
            elif link is not None and is_told:
                for first in range(0, len(news), ENTRIES):
                    self._outgoing.control(
                        link, Kind.SERVICES, messages.Services(entries=news[first : first + ENTRIES])
                    )
            elif link is not None:
                self._watchers[session] = True
                every = every or [instance.entry() for instance in self._services.all()]
                for first in range(0, len(every), ENTRIES):
                    part = messages.Services(entries=every[first : first + ENTRIES], at=first, of=len(every))
                    self._outgoing.control(link, Kind.SERVICES, part)
