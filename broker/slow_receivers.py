"""Watches for receivers whose parts pile up or grow old in the broker."""

from __future__ import annotations

from itertools import islice
from typing import Final

from lanebus.broker.alerts import AlertKind, Alerts
from lanebus.broker.sessions import Receiving, Session
from lanebus.conf.model import AlertsConfig, EgressConfig
from lanebus.wire.lanes import LANES, Lane

NO_TOPICS: Final[frozenset[str]] = frozenset()
_MOST_LOOKED_AT: Final = 512
"""Parts of one sender among which one is looked for that has a handler; an adapter keeps fewer without one."""


class SlowReceivers:
    """All sessions as receivers.

    An episode begins when what the broker holds for a session on a lane, sent and not settled included, passes a share
    of its limit or an age; it ends when both have fallen to half of that and nothing has been dropped since the last
    look. What waits for the session's allowance, or for a handler that its program does not have, is no sign of a slow
    one, and does not count.
    """

    def __init__(self, config: AlertsConfig, egress: EgressConfig, alerts: Alerts) -> None:
        self._alerts = alerts
        self._begin_bytes = config.slow_receiver_share * (egress.credit_bytes + egress.queue_bytes)
        self._begin_age_s = config.slow_receiver_age_s

    def look(self, session: Session, now: float) -> None:
        """Look at one session; called for each about once a second."""
        for lane in LANES:
            receiving = session.receiving[lane]
            alert = self._alerts.lasting(AlertKind.SLOW_RECEIVER, session.name, lane)
            if alert is None:
                # Most receivers have next to nothing: they are passed over for the price of a comparison.
                if receiving.committed_bytes or receiving.waiting_bytes:
                    self._look_for_beginning(session, lane, now)
                continue
            dropped_before = alert.figures["dropped"]
            figures = _behind(session, lane, now)
            alert.update(figures)
            if (
                figures["held_bytes"] <= self._begin_bytes / 2
                and figures["oldest_age_s"] <= self._begin_age_s / 2
                and figures["dropped"] == dropped_before
            ):
                self._alerts.end(alert, now)

    def _look_for_beginning(self, session: Session, lane: Lane, now: float) -> None:
        if session.attachment.away_since is not None:
            # Away is something else than slow; and what waits for it has its grace period.
            return
        figures = _behind(session, lane, now)
        if figures["held_bytes"] >= self._begin_bytes or figures["oldest_age_s"] >= self._begin_age_s:
            self._alerts.begin(AlertKind.SLOW_RECEIVER, session.name, now, figures, lane=lane)


def _behind(session: Session, lane: Lane, now: float) -> dict[str, float]:
    receiving = session.receiving[lane]
    return held(receiving, now, waiting=not receiving.shaped, without=handlerless(session))


def handlerless(session: Session) -> frozenset[str]:
    """Topics of which a session has events and no handler: those do not count as old."""
    return frozenset(each.topic for each in session.unhandled)


def held(
    receiving: Receiving, now: float, *, waiting: bool = True, without: frozenset[str] = NO_TOPICS
) -> dict[str, float]:
    """What the broker holds for a session on a lane: bytes, for how long it has had the oldest, and what was dropped.

    What it was not sent yet has no age here: others may have kept that waiting, for longer than it is there.

    Args:
        waiting: with the bytes of what waits to be sent; else only of what was sent.
        without: topics whose events do not count as old.
    """
    oldest = now
    for numbers in receiving.unsettled.values():
        # In the order of sending: each sender's first is its oldest, but for what came back after a restart.
        for event in islice(numbers.values(), _MOST_LOOKED_AT):
            if without and event.topic() in without:
                continue
            oldest = min(oldest, event.sent)
            break
    return {
        "held_bytes": receiving.committed_bytes + (receiving.waiting_bytes if waiting else 0),
        "oldest_age_s": now - oldest,
        "dropped": receiving.dropped,
        "paused_senders": len(receiving.paused),
    }
