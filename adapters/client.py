"""The client adapter: a player's process."""

from __future__ import annotations

from collections.abc import Sequence

from lanebus.adapters.base import DEFAULT_BROKER, DEFAULT_OUTBOX_BYTES, Adapter
from lanebus.wire.names import Role, full_name


class ClientAdapter(Adapter):
    """A player. What it sends goes to the servers that handle the topic, unless `to` names a server or service.

    Args:
        name: ``42`` or ``player:42``.
        broker: address of the broker's critical lane, or a list to go through.
        outbox_bytes: how much may be sent and not settled.
        strict: raise what handlers raise; for tests.
    """

    def __init__(
        self,
        name: str,
        *,
        broker: str | Sequence[str] = DEFAULT_BROKER,
        outbox_bytes: int = DEFAULT_OUTBOX_BYTES,
        strict: bool = False,
    ) -> None:
        super().__init__(
            full_name(name, Role.CLIENT), Role.CLIENT, broker=broker, outbox_bytes=outbox_bytes, strict=strict
        )

    def check_undirected(self) -> None:
        """A client may leave the choice to the broker."""
