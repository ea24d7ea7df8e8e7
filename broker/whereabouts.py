"""Whereabouts: telling senders where their events go, so that they can tell the next broker.

Which instances of services have them, and which servers keep the groups that they are for. It is state: said whole,
once a turn, and again when links were lost with which it may have been.
"""

from __future__ import annotations

from typing import Final

from lanebus.broker.attachment import Attachment
from lanebus.broker.outgoing import Outgoing
from lanebus.broker.sessions import Session
from lanebus.wire import messages
from lanebus.wire.kinds import Kind
from lanebus.wire.lanes import Lane

ENTRIES: Final = 256
"""Entries in one message."""


class Whereabouts:
    """What peers are to be told at the end of the turn."""

    def __init__(self, outgoing: Outgoing) -> None:
        self._outgoing = outgoing
        self._served: dict[tuple[Session, str], None] = {}
        self._kept: dict[tuple[Session, str], None] = {}

    def served(self, session: Session, service: str) -> None:
        """What a session sends to a service goes to another instance than before."""
        self._served[session, service] = None

    def kept(self, session: Session, group: str) -> None:
        """Other servers than before put members into a group that a server sends to."""
        self._kept[session, group] = None

    def resumed(self, attachment: Attachment) -> None:
        """An attachment has fresh links: say again what it may not have heard."""
        for session in attachment.sessions.values():
            self._served.update(dict.fromkeys((session, service) for service in session.served))
            self._kept.update(dict.fromkeys((session, group) for group in session.kept_by))

    def end_turn(self) -> None:
        """Tell what has changed; who has no link is told when it resumes."""
        served: dict[Attachment, list[tuple[int, str, list[tuple[str, list[int], bool]]]]] = {}
        for session, service in self._served:
            history = [(each.instance, each.since, each.moved) for each in session.served[service]]
            entry = (session.index, service, history)
            served.setdefault(session.attachment, []).append(entry)
        kept: dict[Attachment, list[tuple[str, list[str]]]] = {}
        for session, group in self._kept:
            kept.setdefault(session.attachment, []).append((group, session.kept_by[group]))
        self._served.clear()
        self._kept.clear()
        for attachment, entries in served.items():
            link = attachment.links[Lane.CRITICAL]
            if link is not None:
                for first in range(0, len(entries), ENTRIES):
                    message = messages.Served(entries=entries[first : first + ENTRIES])
                    self._outgoing.control(link, Kind.SERVED, message)
        for attachment, groups in kept.items():
            link = attachment.links[Lane.CRITICAL]
            if link is not None:
                for first in range(0, len(groups), ENTRIES):
                    self._outgoing.control(
                        link, Kind.KEPT, messages.Kept(entries=groups[first : first + ENTRIES])
                    )
