"""Memberships: the groups that peers were put into, asserted to a new broker until they are left."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from lanebus.adapters.core import AttachmentCore
from lanebus.adapters.given import text
from lanebus.adapters.requests import Request
from lanebus.wire.kinds import Kind
from lanebus.wire.messages import Join, Leave
from lanebus.wire.names import Role, valid_group, valid_peer
from lanebus.wire.shown import shown


class Memberships:
    """Joins that hold.

    Args:
        touch: there is something to do before anybody waits.
    """

    def __init__(self, core: AttachmentCore, touch: Callable[[], None]) -> None:
        self._core = core
        self._touch = touch
        self._joins: dict[str, dict[str, Request]] = {}
        """By member and group."""

    def __len__(self) -> int:
        return sum(map(len, self._joins.values()))

    def join(self, group: str, who: str) -> None:
        """Ask for a peer to be put into a group.

        Raises:
            ValueError: `group` cannot name a group, or `who` a peer.
            TypeError: one of them is no text.
            LanebusError: the attachment is closed.
        """
        group, who = _checked(group, who)
        request = Request(
            Kind.JOIN,
            lambda number: Join(request=number, group=group, member=who),
            f"putting {who} into group {group}",
            ("member", group, who),
            on_refused=lambda: forget_refused(self._joins, who, group, request),
        )
        joins = self._joins.get(who, {})
        self._core.request(request, replaces=joins.get(group))
        joins[group] = request
        self._joins[who] = joins
        self._touch()

    def leave(self, group: str, who: str) -> None:
        """Ask for a peer to be taken out of a group; raises as `join` does."""
        group, who = _checked(group, who)
        joins = self._joins.get(who)
        if joins is not None:
            self._core.requests.withdraw(joins.pop(group, None))
            if not joins:
                del self._joins[who]
        request = Request(
            Kind.LEAVE,
            lambda number: Leave(request=number, group=group, member=who),
            f"taking {who} out of group {group}",
            ("member", group, who),
        )
        self._core.request(request, keep=False)
        self._touch()

    def forget(self) -> None:
        """The members are gone: do not put them into groups of another broker."""
        for joins in self._joins.values():
            for request in joins.values():
                self._core.requests.withdraw(request)
        self._joins.clear()

    def gone(self, names: Sequence[str]) -> None:
        """The broker says that peers are gone for good: what it has carried out for them is over."""
        forget_answered(self._core, self._joins, names)


def forget_answered(
    core: AttachmentCore, by_name: dict[str, dict[str, Request]], names: Sequence[str]
) -> None:
    """Do not make requests for these peers again of another broker, but for those that are not answered yet.

    Answers come in the order of everything else: who was asked for after the broker had said this is there again.
    """
    known = [request for name in names for request in by_name.get(name, {}).values()]
    over = {id(request) for request in core.requests.answered(known)}
    for name in names:
        requests = by_name.get(name)
        if requests is None:
            continue
        for key, request in list(requests.items()):
            if id(request) in over:
                core.requests.withdraw(request)
                del requests[key]
        if not requests:
            del by_name[name]


def forget_refused(by_name: dict[str, dict[str, Request]], name: str, key: str, request: Request) -> None:
    """What the broker has refused for a peer does not hold, if nothing later took its place."""
    requests = by_name.get(name, {})
    if requests.get(key) is request:
        del requests[key]
        if not requests:
            del by_name[name]


def _checked(group: object, who: object) -> tuple[str, str]:
    """A group and one of its members by name, as they travel."""
    group, who = text(group, "group"), text(who, "member")
    if not valid_group(group):
        raise ValueError(f"{shown(group)} cannot name a group: letters, digits, '_', '.', ':' and '-'")
    if not any(valid_peer(who, role) for role in (Role.CLIENT, Role.SERVER)):
        raise ValueError(f"{shown(who)} cannot be a member of a group: give a name such as 'player:42'")
    return group, who
