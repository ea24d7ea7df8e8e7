"""Requests: numbered changes of state that peers ask for, each carried out once in effect and answered."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from lanebus.broker.attachment import Attachment, Link
from lanebus.broker.directory import Directory
from lanebus.broker.name_rules import NameRules
from lanebus.broker.news import News
from lanebus.broker.outgoing import Outgoing
from lanebus.broker.services import CycleError, Facts
from lanebus.broker.sessions import Session
from lanebus.broker.violations import Violation, Violations
from lanebus.conf.model import LimitsConfig
from lanebus.wire.errors import ErrorNumber, ProtocolError
from lanebus.wire.kinds import Kind
from lanebus.wire.lanes import LANES
from lanebus.wire.messages import (
    Assign,
    Close,
    Done,
    HealthReport,
    Join,
    Leave,
    Open,
    Register,
    Watch,
)
from lanebus.wire.names import Role, valid_group, valid_pattern, valid_peer, valid_service
from lanebus.wire.services import BUS

OpenSession = Callable[[Attachment, Open, float], Session]
EndSession = Callable[[Session, float, str], None]

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
        rules: NameRules,
        directory: Directory,
        news: News,
        outgoing: Outgoing,
        open_session: OpenSession,
        end_session: EndSession,
        violations: Violations,
    ) -> None:
        self._limits = limits
        self._rules = rules
        self._directory = directory
        self._news = news
        self._outgoing = outgoing
        self._open_session = open_session
        self._end_session = end_session
        self._violations = violations
        gateways, servers, everybody = frozenset({Role.GATEWAY}), frozenset({Role.SERVER}), frozenset(Role)
        self._actions: dict[Kind, tuple[frozenset[Role], Callable[[Attachment, Any, float], None]]] = {
            Kind.OPEN: (gateways, self._open),
            Kind.CLOSE: (gateways, self._close),
            Kind.REGISTER: (servers, self._register),
            Kind.ASSIGN: (servers, self._assign),
            Kind.JOIN: (everybody, self._join),
            Kind.LEAVE: (everybody, self._leave),
            Kind.HEALTH: (servers, self._health),
            Kind.WATCH: (servers, self._watch),
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
        cools_s = self._violations.cools_s(message.name, now)
        if cools_s:
            raise Refused(
                ErrorNumber.COOLING_DOWN,
                f"{message.name} broke too many rules: not before {cools_s:.1f} s are over",
            )
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
            session.is_finished = True
            self._end_session(session, now, f"closed by {gateway.name}")

    def _register(self, attachment: Attachment, message: Register, now: float) -> None:
        if not valid_service(message.service):
            raise Refused(ErrorNumber.BAD_NAME, f"{message.service!r} cannot name a service")
        if message.service == BUS:
            raise Refused(ErrorNumber.NAME_IN_USE, f"the service {BUS} is the broker itself")
        for name in message.depends_on:
            if not valid_service(name):
                raise Refused(ErrorNumber.BAD_NAME, f"{name!r} cannot name a service")
        if len(message.topics) > self._limits.topics_per_service:
            raise Refused(
                ErrorNumber.TOO_MANY,
                f"{len(message.topics)} topics for {message.service}, at most {self._limits.topics_per_service}",
            )
        for pattern in message.topics:
            if not valid_pattern(pattern):
                raise Refused(ErrorNumber.BAD_TOPIC, f"{pattern!r} is no topic pattern")
        session = attachment.sessions[0]
        known = list(self._directory.catalog.instances_of(session))
        others = [instance for instance in known if instance.service != message.service]
        if len(others) >= self._limits.services_per_session:
            raise Refused(ErrorNumber.TOO_MANY, f"{session.name} has {len(others)} services, the limit")
        facts = Facts(
            message.version,
            message.priority,
            message.weight,
            tuple(message.tags),
            tuple(message.depends_on),
            message.health,
            message.reason,
        )
        try:
            self._directory.register(session, message.service, message.topics, facts)
        except CycleError as error:
            raise Refused(ErrorNumber.DEPENDENCY_CYCLE, f"services would need each other: {error}") from None

    def _health(self, attachment: Attachment, message: HealthReport, now: float) -> None:
        session = attachment.sessions[0]
        if not self._directory.catalog.report(session, message.service, message.health, message.reason):
            raise Refused(
                ErrorNumber.UNKNOWN_SERVICE, f"{session.name} is no instance of service {message.service}"
            )

    def _watch(self, attachment: Attachment, message: Watch, now: float) -> None:
        self._news.watch(attachment, message.what, on=message.on)

    def _assign(self, attachment: Attachment, message: Assign, now: float) -> None:
        service = self._directory.services.get(message.service)
        if message.instance is not None and (service is None or message.instance not in service.instances):
            raise Refused(
                ErrorNumber.UNKNOWN_SERVICE, f"{message.instance} is no instance of service {message.service}"
            )
        if not valid_peer(message.player, Role.CLIENT):
            raise Refused(ErrorNumber.BAD_NAME, f"{message.player!r} cannot name a player")
        attachment.farewells.pop(message.player, None)
        self._directory.assign(message.player, message.service, message.instance, attachment, now)

    def _check_membership(self, attachment: Attachment, message: Join | Leave, now: float) -> None:
        """Players may change their own memberships alone, and those that a rule names."""
        if attachment.role is Role.SERVER:
            return
        session = self._directory.peers.get(message.member)
        if session is None or session.attachment is not attachment:
            # A gateway may not know yet that its player has gone.
            if session is not None and not attachment.targeted:
                self._violations.by_attachment(attachment, Violation.NOT_ALLOWED, now)
            raise Refused(
                ErrorNumber.NOT_ALLOWED, f"{attachment.name} may not say where {message.member} belongs"
            )
        if not self._rules.allow(message.group):
            self._violations.by_session(session, Violation.NOT_ALLOWED, now)
            raise Refused(
                ErrorNumber.NOT_ALLOWED, f"players may not join or leave group {message.group} by themselves"
            )

    def _join(self, attachment: Attachment, message: Join, now: float) -> None:
        self._check_membership(attachment, message, now)
        session = self._directory.find(message.member)
        if session is None:
            raise Refused(ErrorNumber.UNKNOWN_PEER, f"no session of {message.member}")
        if not valid_group(message.group):
            raise Refused(ErrorNumber.BAD_NAME, f"{message.group!r} cannot name a group")
        if len(session.groups) >= self._limits.groups_per_session and message.group not in session.groups:
            raise Refused(
                ErrorNumber.TOO_MANY, f"{session.name} is in {len(session.groups)} groups, the limit"
            )
        attachment.farewells.pop(message.member, None)
        self._directory.join(message.group, session, attachment, message.request)

    def _leave(self, attachment: Attachment, message: Leave, now: float) -> None:
        self._check_membership(attachment, message, now)
        session = self._directory.peers.get(message.member)
        if session is not None:
            self._directory.leave(message.group, session)
