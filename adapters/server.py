"""The server adapter: a game server or a service process."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Any

from lanebus.adapters.actions import State
from lanebus.adapters.base import DEFAULT_BROKER, DEFAULT_OUTBOX_BYTES, Adapter
from lanebus.adapters.requests import Request
from lanebus.wire.kinds import Kind
from lanebus.wire.messages import Assign, Join, Leave, Register
from lanebus.wire.names import Role, full_name, valid_group, valid_service


class ServerAdapter(Adapter):
    """A server: sends to anybody, registers a service, and manages groups and bindings.

    Args:
        name: ``arena-1`` or ``server:arena-1``.
        service: the service that it is an instance of; the patterns of its handlers are the topics it handles.
        broker: address of the broker's critical lane, or a list to go through.
        outbox_bytes: how much may be sent and not settled.
        strict: raise what handlers raise; for tests.

    Changes of state (`join`, `leave`, `assign`) return at once; what is sent after one waits for it in the broker.
    One that the broker refuses is logged as an error.
    """

    def __init__(
        self,
        name: str,
        *,
        service: str | None = None,
        broker: str | Sequence[str] = DEFAULT_BROKER,
        outbox_bytes: int = DEFAULT_OUTBOX_BYTES,
        strict: bool = False,
    ) -> None:
        super().__init__(
            full_name(name, Role.SERVER), Role.SERVER, broker=broker, outbox_bytes=outbox_bytes, strict=strict
        )
        if service is not None and not valid_service(service):
            raise ValueError(f"{service!r} cannot name a service: letters, digits, '_', '.' and '-'")
        self.service = service
        self._registration: Request | None = None
        self._groups: dict[tuple[str, str], Request] = {}
        self._bindings: dict[tuple[str, str], Request] = {}

    def join(self, group: str, member: str | None = None) -> None:
        """Put a peer with a session into a group; itself by default.

        Raises:
            ValueError: `group` cannot name a group.
        """
        who = member or self.name
        _check_group(group)
        old = self._groups.pop((group, who), None)
        self._groups[group, who] = self._request(
            Kind.JOIN,
            lambda number: Join(request=number, group=group, member=who),
            f"putting {who} into group {group}",
            key=("member", group, who),
            replaces=old,
        )

    def leave(self, group: str, member: str | None = None) -> None:
        """Take a peer out of a group; itself by default."""
        who = member or self.name
        _check_group(group)
        self.core.requests.withdraw(self._groups.pop((group, who), None))
        self._request(
            Kind.LEAVE,
            lambda number: Leave(request=number, group=group, member=who),
            f"taking {who} out of group {group}",
            key=("member", group, who),
            keep=False,
        )

    def assign(self, player: str, service: str, instance: str | None = None) -> None:
        """Bind a player to an instance of a service, whatever the broker would have chosen; None takes it away.

        Raises:
            ValueError: `player` cannot name a player.
        """
        who = full_name(player, Role.CLIENT)
        old = self._bindings.pop((who, service), None)
        target = None if instance is None else full_name(instance, Role.SERVER)
        request = self._request(
            Kind.ASSIGN,
            lambda number: Assign(request=number, player=who, service=service, instance=target),
            f"binding {who} to {target} for {service}",
            key=("binding", who, service),
            replaces=old,
            keep=target is not None,
        )
        if target is not None:
            self._bindings[who, service] = request

    def _request(
        self,
        kind: Kind,
        make: Callable[[int], Any],
        what: str,
        *,
        key: Hashable,
        replaces: Request | None = None,
        keep: bool = True,
    ) -> Request:
        request = Request(kind, make, what, key)
        self.core.request(request, keep=keep, replaces=replaces)
        self.touch()
        return request

    def before_start(self) -> None:
        self._register()

    def handlers_changed(self) -> None:
        """Tell the broker of the topics that the service handles now."""
        if self.core.state is not State.NEW:
            self._register()

    def _register(self) -> None:
        if self.service is None:
            return
        service = self.service
        patterns = self._session.handlers.patterns
        # One assertion, made from the patterns of the moment, stands for all.
        self._registration = self._request(
            Kind.REGISTER,
            lambda number: Register(request=number, service=service, topics=patterns),
            f"registering as {service}",
            key=("service", service),
            replaces=self._registration,
        )


def _check_group(group: str) -> None:
    if not valid_group(group):
        raise ValueError(f"{group!r} cannot name a group: letters, digits, '_', '.', ':' and '-'")
