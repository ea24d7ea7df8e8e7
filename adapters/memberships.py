"""Memberships: the groups that peers were put into, asserted to a new broker until they are left."""

from __future__ import annotations

from collections.abc import Callable

from lanebus.adapters.core import AttachmentCore
from lanebus.adapters.given import shown, text
from lanebus.adapters.requests import Request
from lanebus.wire.kinds import Kind
from lanebus.wire.messages import Join, Leave
from lanebus.wire.names import Role, valid_group, valid_peer


class Memberships:
    """Joins that hold.

    Args:
        touch: there is something to do before anybody waits.
    """

    def __init__(self, core: AttachmentCore, touch: Callable[[], None]) -> None:
        self._core = core
        self._touch = touch
        self._joins: dict[tuple[str, str], Request] = {}

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
        )
        self._core.request(request, replaces=self._joins.get((group, who)))
        self._joins[group, who] = request
        self._touch()

    def leave(self, group: str, who: str) -> None:
        """Ask for a peer to be taken out of a group; raises as `join` does."""
        group, who = _checked(group, who)
        self._core.requests.withdraw(self._joins.pop((group, who), None))
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
        for request in self._joins.values():
            self._core.requests.withdraw(request)
        self._joins.clear()


def _checked(group: object, who: object) -> tuple[str, str]:
    """A group and one of its members by name, as they travel."""
    group, who = text(group, "group"), text(who, "member")
    if not valid_group(group):
        raise ValueError(f"{shown(group)} cannot name a group: letters, digits, '_', '.', ':' and '-'")
    if not any(valid_peer(who, role) for role in (Role.CLIENT, Role.SERVER)):
        raise ValueError(f"{shown(who)} cannot be a member of a group: give a name such as 'player:42'")
    return group, who
