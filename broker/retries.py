"""Retries: what the broker tries again for a session on one lane, and what waits until it can be tried."""

from __future__ import annotations

from itertools import islice
from typing import Any

from lanebus.broker.sessions import Session, is_unsettled
from lanebus.wire.lanes import Lane


def retries(session: Session, lane: Lane, now: float) -> dict[str, Any]:
    """The retry queues of `session` on `lane`, in plain figures.

    As a receiver: parts that wait to be sent again on a fresh link, those that were and are not settled, and those
    that an earlier process of its name did not settle. As a sender: batches that wait for a request that they depend
    on, and events that wait for a service, or for the members of a group, to come back to a new broker.
    """
    receiving = session.receiving[lane]
    sending = session.sending[lane]
    attachment = session.attachment
    out = attachment.outbound[lane]
    resend = {
        event
        for event, sessions in islice(out.queue, out.resent)
        if session in sessions and is_unsettled(receiving, event)
    }
    resent = [event for event in receiving.retried if event not in resend and is_unsettled(receiving, event)]
    link = attachment.links[lane]
    arrivals = [
        parked.arrived
        for parked in (link.parked if link is not None else ())
        if any(index == session.index for index, _ in parked.batch.bases)
    ]
    events = (*resend, *resent, *receiving.deliveries, *(event for event, _ in sending.unresolved))
    oldest = min((*(event.arrived for event in events), *arrivals), default=now)
    return {
        "resend_events": len(resend),
        "resent_events": len(resent),
        "most_sendings": max((receiving.retried[event] for event in resent), default=0),
        "suspect_events": len(receiving.deliveries),
        "most_deliveries": max(receiving.deliveries.values(), default=0),
        "parked_batches": len(arrivals),
        "unresolved_events": len(sending.unresolved),
        "oldest_age_s": now - oldest,
    }
