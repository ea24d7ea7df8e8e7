"""The gateway adapter: many players over one process' three links."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any, Final

from lanebus.adapters.base import DEFAULT_BROKER, DEFAULT_OUTBOX_BYTES, MOST_OUTBOX_BYTES, Adapter
from lanebus.adapters.dispatch import requeue
from lanebus.adapters.errors import Closed
from lanebus.adapters.given import number, text, whole
from lanebus.adapters.handler_times import Budgets
from lanebus.adapters.memberships import Memberships
from lanebus.adapters.requests import Request
from lanebus.adapters.session import SessionCore
from lanebus.adapters.speaker import Speaker
from lanebus.adapters.unhandled import HANDLER_WAIT_S
from lanebus.wire.kinds import Kind
from lanebus.wire.messages import PROCESS_BYTES, Open
from lanebus.wire.names import Role, full_name
from lanebus.wire.outcomes import Reason

MOST_RTT_MS: Final = 3_600_000.0
"""An hour; what takes longer is no round trip."""


class GatewaySession(Speaker):
    """One player behind a gateway: sends and handles as a client adapter does. Made by `GatewayAdapter.open`."""

    def __init__(self, gateway: GatewayAdapter, session: SessionCore, opening: Request) -> None:
        super().__init__(gateway, session)
        self._gateway = gateway
        self._opening = opening
        self._memberships = Memberships(gateway.core, gateway.touch)

    @property
    def reading(self) -> bool:
        """Whether events are handled. While False they stay unsettled, up to the broker's credit for the session."""
        return self._session.reading

    @reading.setter
    def reading(self, value: bool) -> None:
        self._gateway.owner.check()
        session = self._session
        if value and not session.reading:
            waiting = list(session.unread)
            session.unread.clear()
            requeue(self._gateway.core, waiting)
            self._gateway.touch()
        session.reading = value

    def join(self, group: str) -> None:
        """Put the player into a group, where the broker's rules let players join it by themselves; see `ClientAdapter`.

        Raises:
            ValueError: `group` cannot name a group.
            Closed: the session or its gateway is closed.
        """
        self._check_open()
        self._memberships.join(group, self.name)

    def leave(self, group: str) -> None:
        """Take the player out of such a group; raises as `join` does."""
        self._check_open()
        self._memberships.leave(group, self.name)

    def _check_open(self) -> None:
        self._gateway.owner.check()
        if self._session.closed:
            raise Closed(f"{self.name} is closed")

    def close(self) -> int:
        """End the player's session.

        Returns:
            Events that were not settled; they end as ``unknown: closed``.
        """
        self._gateway.owner.check()
        self._memberships.forget()
        return self._gateway._close_session(self._session, self._opening)


class GatewayAdapter(Adapter):
    """Holds players' connections of its own, and speaks for all of them over three sockets.

    Args:
        name: ``gw-1`` or ``gateway:gw-1``.
        broker: address of the broker's critical lane, ``tcp://HOST:PORT``, or a list to go through.
        session_outbox_bytes: how much each player may have sent and not settled.
        strict: raise what handlers raise; for tests.
        handler_budget_ms: milliseconds that handlers of a lane may take before a warning; see `ClientAdapter`.
        handler_wait_s: seconds that an event waits where its topic has no handler; see `ClientAdapter`.
    """

    def __init__(
        self,
        name: str,
        *,
        broker: str | Sequence[str] = DEFAULT_BROKER,
        session_outbox_bytes: int = DEFAULT_OUTBOX_BYTES,
        strict: bool = False,
        handler_budget_ms: Budgets | None = None,
        handler_wait_s: float = HANDLER_WAIT_S,
    ) -> None:
        super().__init__(
            full_name(text(name, "name"), Role.GATEWAY),
            Role.GATEWAY,
            broker=broker,
            outbox_bytes=0,
            strict=strict,
            handler_budget_ms=handler_budget_ms,
            handler_wait_s=handler_wait_s,
        )
        # The gateway itself is no sender or receiver: index 0 stays unused on its links.
        del self.core.sessions[0]
        self._session_outbox_bytes = whole(session_outbox_bytes, "session_outbox_bytes", 0, MOST_OUTBOX_BYTES)
        self._strict = bool(strict)
        self._next_index = 1

    def open(self, player: str, *, rtt_ms: float | None = None) -> GatewaySession:
        """Begin a player's session; what is sent on it waits until the broker has opened it.

        Args:
            player: ``42`` or ``player:42``.
            rtt_ms: round trip between gateway and player, where known; the player's quality includes it.

        Raises:
            ValueError: `player` cannot name a player, or `rtt_ms` is no time.
            TypeError: one of them is of another kind.
            Closed: the gateway is closed.
        """
        self.owner.check()
        name = full_name(text(player, "player"), Role.CLIENT)
        if rtt_ms is not None:
            rtt_ms = number(rtt_ms, "rtt_ms", 0.0, MOST_RTT_MS)
        process = os.urandom(PROCESS_BYTES)
        index = self._next_index
        opening = Request(
            Kind.OPEN,
            lambda number: Open(
                request=number,
                index=index,
                name=name,
                process=process,
                rtt_ms=rtt_ms,
                **_known(self.core.sessions.get(index)),
            ),
            f"opening {name}",
            key=("session", index),
        )
        self.core.request(opening)
        self._next_index += 1
        session = self.core.open_session(
            index, name, process, outbox_bytes=self._session_outbox_bytes, strict=self._strict
        )
        self.touch()
        return GatewaySession(self, session, opening)

    def _close_session(self, session: SessionCore, opening: Request) -> int:
        if session.closed:
            return 0
        session.closed = True
        left = session.outbox.abandon(Reason.CLOSED)
        self.core.told.extend((session, each) for each in left)
        self.core.requests.withdraw(opening)
        self.core.end_session(session)
        return len(left)

    def check_undirected(self) -> None:
        """A player may leave the choice to the broker."""


def _known(session: SessionCore | None) -> dict[str, Any]:
    """What a broker has to be told of a session that it does not know any more."""
    if session is None:
        return {}
    return {"served_by": session.instances(), "sent": session.outbox.highest_sent()}
