"""Farewells: servers are told who is gone for good, so that they forget what they keep for it.

That is whom a server has put into groups or bound to instances, and the senders' processes that it has heard of. What
is told of peers is told again after a resume, since the message may be lost with its link; but not of those whom the
server has asked for again since.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from lanebus.broker.attachment import Attachment
from lanebus.broker.directory import Directory
from lanebus.broker.outgoing import Outgoing
from lanebus.broker.registry import Registry
from lanebus.broker.sessions import Session
from lanebus.wire.kinds import Kind
from lanebus.wire.lanes import Lane
from lanebus.wire.messages import MAX_GONE, Gone
from lanebus.wire.names import Role

UNCLAIMED_S: Final = 300.0
"""How long a binding of a player waits for a session of it."""
INTERVAL_S: Final = 1.0
"""Shortest time between two looks at who has heard of senders that are gone."""
MAX_TOLD: Final = 65_536
"""Names that one server has been told of and may be told of again."""


class Farewells:
    """Who is told what.

    Args:
        lease_s: silence after which a link counts as lost: what was told two of it ago has arrived.
    """

    def __init__(self, directory: Directory, registry: Registry, outgoing: Outgoing, lease_s: float) -> None:
        self._attachments = registry.attachments
        self._directory = directory
        self._outgoing = outgoing
        self._lease_s = lease_s
        self._servers: dict[str, Attachment] = {}
        self._names: dict[Attachment, list[str]] = {}
        """Those to be told of at the end of the turn."""
        self._origins: list[int] = []
        """Senders that are gone, and that no server has been told of."""
        self._next_look = 0.0
        directory.on_gone = self._gone
        registry.on_settled = self._settled

    def attached(self, attachment: Attachment) -> None:
        """A process has said hello."""
        if attachment.role is Role.SERVER:
            self._servers[attachment.name] = attachment
            if attachment.farewells:
                self._names[attachment] = list(attachment.farewells)

    def goodbye(self, attachment: Attachment, why: str) -> str:
        """A process says that it is over; what is said of that."""
        for session in attachment.sessions.values():
            session.is_finished = True
        return f"said goodbye: {why}" if why else "said goodbye"

    def end_turn(self, now: float) -> None:
        """Tell what there is to tell, and forget bindings of players that do not come."""
        unclaimed = self._directory.unclaimed
        while unclaimed and (name := next(iter(unclaimed))) and unclaimed[name] < now - UNCLAIMED_S:
            self._directory.forget(name)
        if self._origins and now >= self._next_look:
            self._next_look = now + INTERVAL_S
            self._tell_origins()
        if self._names:
            names, self._names = self._names, {}
            for attachment, gone in names.items():
                if self._is_here(attachment):
                    self._tell_names(attachment, gone, now)

    def _is_here(self, attachment: Attachment) -> bool:
        return self._attachments.get(attachment.name) is attachment

    def _settled(self, session: Session) -> None:
        if session.is_finished and self._servers:
            self._origins.append(session.origin)

    def _gone(self, name: str, concerned: Iterable[Attachment]) -> None:
        for attachment in concerned:
            if self._is_here(attachment):
                self._names.setdefault(attachment, []).append(name)

    def _tell_names(self, attachment: Attachment, names: list[str], now: float) -> None:
        told = attachment.farewells
        link = attachment.links[Lane.CRITICAL]
        for name in names:
            told.pop(name, None)
            told[name] = now
        if link is None:
            return
        for first in range(0, len(names), MAX_GONE):
            self._outgoing.control(link, Kind.GONE, Gone(names=names[first : first + MAX_GONE]))
        if len(told) > MAX_TOLD or next(iter(told.values())) < now - 2 * self._lease_s:
            kept = [(name, at) for name, at in told.items() if at >= now - 2 * self._lease_s]
            attachment.farewells = dict(kept[-MAX_TOLD:])

    def _tell_origins(self) -> None:
        gone, self._origins = self._origins, []
        self._servers = {name: each for name, each in self._servers.items() if self._is_here(each)}
        for attachment in self._servers.values():
            link = attachment.links[Lane.CRITICAL]
            heard_of = [
                origin for origin in gone if any(origin in out.announced for out in attachment.outbound)
            ]
            for out in attachment.outbound:
                out.announced.difference_update(heard_of)
            if link is not None:
                for first in range(0, len(heard_of), MAX_GONE):
                    self._outgoing.control(link, Kind.GONE, Gone(origins=heard_of[first : first + MAX_GONE]))
