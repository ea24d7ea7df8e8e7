"""The client adapter: a player's process."""

from __future__ import annotations

from collections.abc import Sequence

from lanebus.adapters.base import DEFAULT_BROKER, DEFAULT_OUTBOX_BYTES, Adapter
from lanebus.adapters.given import text
from lanebus.adapters.handler_times import Budgets
from lanebus.adapters.memberships import Memberships
from lanebus.adapters.unhandled import HANDLER_WAIT_S
from lanebus.wire.names import Role, full_name


class ClientAdapter(Adapter):
    """A player. What it sends goes to the servers that handle the topic, unless `to` names a server or service.

    Args:
        name: ``42`` or ``player:42``.
        broker: address of the broker's critical lane, ``tcp://HOST:PORT``, or a list to go through.
        outbox_bytes: how much may be sent and not settled.
        strict: raise what handlers raise; for tests.
        handler_budget_ms: milliseconds that handlers of a lane may take before a warning, such as ``{"critical": 8}``;
            16, 50 and 200 unless given, None for no budget.
        handler_wait_s: how long an event waits where its topic has no handler, 0 to 86,400 seconds; then it, and what
            comes of that topic until it has one, ends as ``refused: no_handler``.
    """

    def __init__(
        self,
        name: str,
        *,
        broker: str | Sequence[str] = DEFAULT_BROKER,
        outbox_bytes: int = DEFAULT_OUTBOX_BYTES,
        strict: bool = False,
        handler_budget_ms: Budgets | None = None,
        handler_wait_s: float = HANDLER_WAIT_S,
    ) -> None:
        super().__init__(
            full_name(text(name, "name"), Role.CLIENT),
            Role.CLIENT,
            broker=broker,
            outbox_bytes=outbox_bytes,
            strict=strict,
            handler_budget_ms=handler_budget_ms,
            handler_wait_s=handler_wait_s,
        )
        self._memberships = Memberships(self.core, self.touch)

    def join(self, group: str) -> None:
        """Go into a group, where the broker's rules (`groups.client_may_join`) let players do so by themselves.

        Returns at once; a refusal is logged as an error.

        Raises:
            ValueError: `group` cannot name a group.
            Closed: the adapter is closed.
        """
        self.owner.check()
        self._memberships.join(group, self.name)

    def leave(self, group: str) -> None:
        """Leave a group that players may join by themselves, whoever put this one into it; raises as `join` does."""
        self.owner.check()
        self._memberships.leave(group, self.name)

    def check_undirected(self) -> None:
        """A client may leave the choice to the broker."""
