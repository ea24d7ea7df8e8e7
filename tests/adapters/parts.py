"""Sessions and events without an attachment around them."""

from collections import deque

from lanebus.adapters.clock import BrokerClock
from lanebus.adapters.incoming import Incoming
from lanebus.adapters.outevent import OutEvent
from lanebus.adapters.outlane import LaneStats
from lanebus.adapters.session import SessionCore
from lanebus.adapters.terms import terms_of
from lanebus.wire.lanes import LANES, Lane

SESSIONS = (0, 1)


def nothing_came() -> Incoming:
    """The receiving half of an attachment to which nothing has come."""
    return Incoming({}, [LaneStats() for _ in LANES], BrokerClock())


def sessions() -> dict[int, SessionCore]:
    """Two sessions of one attachment."""
    arrivals = tuple(deque[object]() for _ in LANES)
    to_report: set[int] = set()
    return {
        index: SessionCore(
            index,
            f"player:{index}",
            bytes([index]) * 16,
            arrivals=arrivals,  # type: ignore[arg-type] # nothing arrives here
            to_report=to_report,
            outbox_bytes=1 << 20,
            strict=False,
        )
        for index in SESSIONS
    }


def accept(
    session: SessionCore,
    *,
    lane: Lane = Lane.NORMAL,
    to: str | list[str] | None = "server:a",
    exclude: list[str] | None = None,
    payload: bytes = b"x",
    now: float = 1.0,
    after: int = 0,
) -> OutEvent:
    """An event that a session's outbox has accepted."""
    return session.outbox.accept(
        session.index, lane, "topic", to, exclude or [], payload, now, after, receipt=True
    )


def accept_on(
    session: SessionCore,
    mode: str,
    *,
    key: str | int | None = None,
    ttl_ms: float | None = None,
    to: str = "server:a",
    payload: bytes = b"x",
    now: float = 1.0,
) -> OutEvent:
    """The same, on terms."""
    terms = terms_of(mode, key, ttl_ms, now, Lane.NORMAL, "topic", to, [])
    return session.outbox.accept(
        session.index, Lane.NORMAL, "topic", to, [], payload, now, 0, receipt=True, terms=terms
    )
