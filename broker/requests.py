"""Requests: numbered changes of state that peers ask for, each carried out once in effect and answered."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from lanebus.broker.directory import Directory
from lanebus.broker.outgoing import Outgoing
from lanebus.broker.sessions import Attachment, Link, Session
from lanebus.conf.model import LimitsConfig
from lanebus.wire.errors import ErrorNumber, ProtocolError
from lanebus.wire.kinds import Kind
from lanebus.wire.lanes import LANES
from lanebus.wire.messages import Assign, Close, Done, Join, Leave, Open, Register
from lanebus.wire.names import Role, valid_group, valid_pattern, valid_peer, valid_service

OpenSession = Callable[[Attachment, Open, float], Session]
EndSession = Callable[[Session, float], None]

REFUSALS_REMEMBERED: Final = 256
"""Refused requests per attachment whose answer is remembered; twice what an adapter has under way."""


class Refused(Exception):
    """A well-formed request that cannot be carried out; its text goes back to the peer."""

    def __init__(self, number: ErrorNumber, detail: str) -> None:
        super().__init__(detail)
        self.number = number
        self.detail = detail


class Requests:
    """Carries out requests, each once; one that is sent again after a reconnect is answered as it was then."""

    def __init__(
        self,
        limits: LimitsConfig,
        directory: Directory,
        outgoing: Outgoing,
        open_session: OpenSession,
        end_session: EndSession,
    ) -> None:
        self._limits = limits
        self._directory = directory
        self._outgoing = outgoing
        self._open_session = open_session
        self._end_session = end_session
        self._actions: dict[Kind, tuple[frozenset[Role], Callable[[Attachment, Any, float], None]]] = {
            Kind.OPEN: (frozenset({Role.GATEWAY}), self._open),
            Kind.CLOSE: (frozenset({Role.GATEWAY}), self._close),
            Kind.REGISTER: (frozenset({Role.SERVER}), self._register),
            Kind.ASSIGN: (frozenset({Role.SERVER}), self._assign),
            Kind.JOIN: (frozenset({Role.SERVER}), self._join),
            Kind.LEAVE: (frozenset({Role.SERVER}), self._leave),
        }

    def carry_out(self, link: Link, attachment: Attachment, kind: Kind, message: Any, now: float) -> None:
        """Carry out one request and answer it with `done`.

        Raises:
            ProtocolError: its number is not the next, or the role may not ask for it.
        """
        if message.request > attachment.request + 1:
            raise ProtocolError(
                ErrorNumber.BATCH_GAP, f"request {message.request}, expected {attachment.request + 1}"
            )
        roles, action = self._actions[kind]
        if attachment.role not in roles:
            raise ProtocolError(
                ErrorNumber.NOT_ALLOWED, f"{kind.label} from {attachment.name}, a {attachment.role.value}"
            )
        done = attachment.refused.get(message.request) or Done(request=message.request)
        if message.request > attachment.request:
            try:
                action(attachment, message, now)
            except Refused as refused:
                done = Done(request=message.request, error=refused.number, detail=refused.detail[:500])
                attachment.refused[message.request] = done
                if len(attachment.refused) > REFUSALS_REMEMBERED:
                    del attachment.refused[min(attachment.refused)]
            attachment.request = message.request
        self._outgoing.control(link, Kind.DONE, done)

    def _open(self, gateway: Attachment, message: Open, now: float) -> None:
        gateway.last_index = max(gateway.last_index, message.index)
        known = gateway.sessions.get(message.index)
        if known is not None:
            if known.process == message.process:
                return
            raise Refused(ErrorNumber.NAME_IN_USE, f"session {message.index} is open for {known.name}")
        if not valid_peer(message.name, Role.CLIENT):
            raise Refused(ErrorNumber.BAD_NAME, f"{message.name!r} cannot name a player")
        if len(gateway.sessions) >= self._limits.sessions_per_gateway:
            raise Refused(
                ErrorNumber.TOO_MANY, f"{gateway.name} has {len(gateway.sessions)} sessions, the limit"
            )
        self._open_session(gateway, message, now)

    def _close(self, gateway: Attachment, message: Close, now: float) -> None:
        session = gateway.sessions.get(message.index)
        if session is not None:
            if len(message.books) == len(LANES):
                session.report(message.books)
            self._end_session(session, now)

    def _register(self, attachment: Attachment, message: Register, now: float) -> None:
        if not valid_service(message.service):
            raise Refused(ErrorNumber.BAD_NAME, f"{message.service!r} cannot name a service")
        if len(message.topics) > self._limits.topics_per_service:
            raise Refused(
                ErrorNumber.TOO_MANY,
                f"{len(message.topics)} topics for {message.service}, at most {self._limits.topics_per_service}",
            )
        for pattern in message.topics:
            if not valid_pattern(pattern):
                raise Refused(ErrorNumber.BAD_TOPIC, f"{pattern!r} is no topic pattern")
        session = attachment.sessions[0]
        others = [
            service.name
            for service in self._directory.services.values()
            if session.name in service.instances and service.name != message.service
        ]
        if len(others) >= self._limits.services_per_session:
            raise Refused(ErrorNumber.TOO_MANY, f"{session.name} has {len(others)} services, the limit")
        self._directory.register(session, message.service, message.topics)

    def _assign(self, attachment: Attachment, message: Assign, now: float) -> None:
        service = self._directory.services.get(message.service)
        if message.instance is not None and (service is None or message.instance not in service.instances):
            raise Refused(
                ErrorNumber.UNKNOWN_SERVICE, f"{message.instance} is no instance of service {message.service}"
            )
        if not valid_peer(message.player, Role.CLIENT):
            raise Refused(ErrorNumber.BAD_NAME, f"{message.player!r} cannot name a player")
        self._directory.assign(message.player, message.service, message.instance)

    def _join(self, attachment: Attachment, message: Join, now: float) -> None:
        session = self._directory.find(message.member)
        if session is None:
            raise Refused(ErrorNumber.UNKNOWN_PEER, f"no session of {message.member}")
        if not valid_group(message.group):
            raise Refused(ErrorNumber.BAD_NAME, f"{message.group!r} cannot name a group")
        if len(session.groups) >= self._limits.groups_per_session and message.group not in session.groups:
            raise Refused(
                ErrorNumber.TOO_MANY, f"{session.name} is in {len(session.groups)} groups, the limit"
            )
        self._directory.join(message.group, session, attachment, message.request)

    def _leave(self, attachment: Attachment, message: Leave, now: float) -> None:
        session = self._directory.peers.get(message.member)
        if session is not None:
            self._directory.leave(message.group, session)
