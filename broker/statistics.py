"""Statistics of one session, by lane: what it sent, what it got, what waits for it, and how its events ended."""

from __future__ import annotations

from typing import Any

from lanebus.broker.retries import retries
from lanebus.broker.sending import Sending
from lanebus.broker.sessions import Session
from lanebus.broker.slow_receivers import handlerless, held
from lanebus.broker.traffic import Traffic
from lanebus.wire.histogram import Histogram
from lanebus.wire.lanes import LANES, Lane


def statistics(session: Session, now: float) -> dict[str, dict[str, Any]]:
    """By lane: ``in`` and ``out``, seen from the broker, with plain values that MessagePack and JSON hold."""
    return {
        lane.label: {
            "in": _sent(session.traffic[lane], session.sending[lane]),
            "out": _received(session, lane, now),
        }
        for lane in LANES
    }


def queued_events(session: Session, lane: Lane) -> int:
    """Parts that wait to be sent to a session; behind a gateway without those in the queue of its link."""
    # Counts only: to look at every part takes milliseconds when many wait.
    attachment, receiving = session.attachment, session.receiving[lane]
    on_link = 0 if attachment.targeted else len(attachment.outbound[lane].queue)
    return on_link + len(receiving.waiting) + len(receiving.suspects)


def _sent(traffic: Traffic, sending: Sending) -> dict[str, Any]:
    return {
        "events": traffic.events_in,
        "bytes": traffic.bytes_in,
        "batches": traffic.batches_in,
        "resent": traffic.duplicates,
        "throttled": traffic.throttled,
        "ended": sending.book.as_dict(),
        "reasons": {
            f"{outcome.label}: {reason.value}": count for (outcome, reason), count in sending.reasons.items()
        },
    }


def _received(session: Session, lane: Lane, now: float) -> dict[str, Any]:
    traffic = session.traffic[lane]
    receiving = session.receiving[lane]
    return {
        "events": traffic.events_out,
        "bytes": traffic.bytes_out,
        "batches": traffic.batches_out,
        "resent": traffic.resent,
        "expired": receiving.expired,
        "superseded": receiving.superseded,
        "queued_events": queued_events(session, lane),
        "unsettled_events": sum(map(len, receiving.unsettled.values())),
        **held(receiving, now, without=handlerless(session)),
        "retry": retries(session, lane, now),
        "settled_ms": (traffic.settled_after or Histogram()).in_ms(),
        "handled_ms": (traffic.handled_after or Histogram()).in_ms(),
    }
