"""Memberships: the groups that peers were put into, asserted to a new broker until they are left."""

from __future__ import annotations

from collections.abc import Callable

from lanebus.adapters.core import AttachmentCore
from lanebus.adapters.requests import Request
from lanebus.wire.kinds import Kind
from lanebus.wire.messages import Join, Leave
from lanebus.wire.names import valid_group


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
            ValueError: `group` cannot name a group.
            TypeError: `who` is no text.
            LanebusError: the attachment is closed.
        """
        _check_group(group)
        if not isinstance(who, str):
            raise TypeError(f"a member is named by a text such as 'player:42', not by {who!r}")
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
        _check_group(group)
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


def _check_group(group: str) -> None:
    if not valid_group(group):
        raise ValueError(f"{group!r} cannot name a group: letters, digits, '_', '.', ':' and '-'")
