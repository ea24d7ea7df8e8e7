"""Stalled processes: those that fall silent while their connection lives, as a game does that loads a map.

Their links are given up as any silent ones are: what is for them waits, and services fail over. But they are not gone.
libzmq's thread keeps the connection alive while the program does nothing, so a frame that can still be sent to it tells
a process that is busy from one that has died.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from lanebus.broker.attachment import Attachment, Link
from lanebus.broker.outgoing import Outgoing
from lanebus.wire.errors import ErrorNumber
from lanebus.wire.kinds import Kind
from lanebus.wire.messages import ErrorMessage

PROBE_S: Final = 5.0
"""Time between two looks whether the connections of stalled processes are still there."""


def away_reason(attachment: Attachment) -> str:
    """Why an attachment without links is away."""
    return "no link" if attachment.stalled is None else "silent"


class Stalls:
    """All that are stalled.

    Args:
        attachments: those that there are, by key.
    """

    def __init__(self, outgoing: Outgoing, attachments: Mapping[str, Attachment]) -> None:
        self._outgoing = outgoing
        self._attachments = attachments
        self._by_route: dict[bytes, Attachment] = {}
        """By the route of the connection that may still be there."""
        self._next_probe = 0.0

    def begin(self, attachment: Attachment, critical: Link) -> None:
        """An attachment has fallen silent, and is about to lose its links."""
        attachment.stalled = critical
        self._by_route[critical.route] = attachment
        self._probe(critical)

    def look(self, now: float) -> None:
        """Probe the connections of all, and forget who is back or over; to be called now and then."""
        if now < self._next_probe or not self._by_route:
            return
        self._next_probe = now + PROBE_S
        for route, attachment in list(self._by_route.items()):
            link = attachment.stalled
            if link is None or link.route != route or self._attachments.get(attachment.key) is not attachment:
                del self._by_route[route]
            else:
                self._probe(link)

    def has(self, route: bytes) -> bool:
        """Whether there is one whose connection may still be there."""
        attachment = self._by_route.get(route)
        return attachment is not None and attachment.stalled is not None and attachment.stalled.route == route

    def probe(self, route: bytes) -> bool:
        """Look at one whose connection may be gone; whether there is such a one."""
        if not self.has(route):
            return False
        stalled = self._by_route[route].stalled
        if stalled is not None:
            self._probe(stalled)
        return True

    def lost(self, route: bytes, now: float) -> None:
        """A connection is gone; if it was that of a stalled process, this is an outage like any other from now on."""
        attachment = self._by_route.pop(route, None)
        if attachment is not None and attachment.stalled is not None and attachment.stalled.route == route:
            attachment.stalled = None
            attachment.alive_at = now

    def _probe(self, link: Link) -> None:
        # It says what is true, for the time when the process goes on.
        self._outgoing.answer(
            link.lane,
            link.route,
            Kind.ERROR,
            ErrorMessage(number=ErrorNumber.NO_SESSION, text="silent for too long: say hello again"),
            incarnation=link.incarnation,
        )
