"""Alerts: what an operator has to know of, once when it begins and once when it ends. Without I/O.

`Alerts` keeps episodes and tells its listeners; what is watched for, and when it begins and ends, is each watcher's
own matter. `SlowReceivers` watches for receivers that do not keep up.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Container, Iterator, Mapping
from enum import StrEnum
from typing import Final

from lanebus.broker.sessions import Receiving, Session
from lanebus.conf.model import AlertsConfig, EgressConfig
from lanebus.wire.lanes import LANES, Lane

log = logging.getLogger("lanebus.broker")

ALERTS_REMEMBERED: Final = 256
"""Episodes that are over and remembered for `lanebus alerts`; at most one per session and lane lasts."""


class AlertKind(StrEnum):
    """What alerts are about."""

    SLOW_RECEIVER = "slow_receiver"


class Alert:
    """One episode: something about one peer on one lane, from its beginning to its end."""

    __slots__ = ("began", "ended", "figures", "kind", "lane", "peer")

    def __init__(self, kind: AlertKind, peer: str, lane: Lane, began: float) -> None:
        self.kind = kind
        self.peer = peer
        self.lane = lane
        self.began = began
        self.ended: float | None = None
        """None while it lasts."""
        self.figures: dict[str, float] = {}
        """The watcher's figures, by names that carry their units: the last ones, and the worst as `peak_...`."""

    def update(self, figures: Mapping[str, float]) -> None:
        """Take in how it is now."""
        for name, value in figures.items():
            self.figures[name] = value
            self.figures[f"peak_{name}"] = max(value, self.figures.get(f"peak_{name}", value))


Listener = Callable[[Alert], None]
"""Told of an alert when it has begun, and when it has ended."""


class Alerts:
    """The episodes that last, and the latest of those that are over."""

    def __init__(self) -> None:
        self.listeners: list[Listener] = [log_alert]
        self._lasting: dict[tuple[AlertKind, str, Lane], Alert] = {}
        self._over: deque[Alert] = deque(maxlen=ALERTS_REMEMBERED)

    def __iter__(self) -> Iterator[Alert]:
        """Those that are over, the earliest end first, then those that last."""
        yield from self._over
        yield from self._lasting.values()

    def lasting(self, kind: AlertKind, peer: str, lane: Lane) -> Alert | None:
        """The episode that lasts, if one does."""
        return self._lasting.get((kind, peer, lane))

    def begin(
        self, kind: AlertKind, peer: str, lane: Lane, now: float, figures: Mapping[str, float]
    ) -> Alert:
        """An episode begins; there must be none of this kind, peer and lane that lasts."""
        alert = self._lasting[kind, peer, lane] = Alert(kind, peer, lane, now)
        alert.update(figures)
        self._tell(alert)
        return alert

    def end(self, alert: Alert, now: float) -> None:
        """An episode is over."""
        del self._lasting[alert.kind, alert.peer, alert.lane]
        alert.ended = now
        self._over.append(alert)
        self._tell(alert)

    def end_missing(self, peers: Container[str], now: float) -> None:
        """End the episodes of those who are not among `peers` any more."""
        for alert in list(self._lasting.values()):
            if alert.peer not in peers:
                self.end(alert, now)

    def _tell(self, alert: Alert) -> None:
        for listener in self.listeners:
            listener(alert)


def log_alert(alert: Alert) -> None:
    """Write an alert to the log: a warning when it begins, a line of information when it is over."""
    where = f"{alert.peer} on {alert.lane.label}"
    if alert.ended is None:
        figures = [item for item in alert.figures.items() if not item[0].startswith("peak_")]
        log.warning("! %s: %s: %s", alert.kind, where, _written(figures))
    else:
        worst = [item for item in alert.figures.items() if item[0].startswith("peak_")]
        lasted_s = alert.ended - alert.began
        log.info("= %s is over: %s after %.1f s: %s", alert.kind, where, lasted_s, _written(worst))


def _written(figures: list[tuple[str, float]]) -> str:
    return ", ".join(f"{name} {value:.{int(isinstance(value, float))}f}" for name, value in figures)


class SlowReceivers:
    """Watches for receivers whose parts pile up or grow old in the broker.

    An episode begins when what the broker holds for a session on a lane, sent and not settled included, passes a share
    of its limit or an age, or when parts of it are dropped; it ends when both have fallen to half of that and nothing
    has been dropped since the last look.
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
            figures = held(receiving, now)
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
        figures = held(session.receiving[lane], now)
        if figures["held_bytes"] >= self._begin_bytes or figures["oldest_age_s"] >= self._begin_age_s:
            self._alerts.begin(AlertKind.SLOW_RECEIVER, session.name, lane, now, figures)


def held(receiving: Receiving, now: float) -> dict[str, float]:
    """What the broker holds for a session on a lane: bytes, the age of the oldest, and what was dropped so far."""
    oldest = receiving.waiting[0].arrived if receiving.waiting else now
    for numbers in receiving.unsettled.values():
        # In the order of sending: each sender's first is its oldest, but for what came back after a restart.
        for event in numbers.values():
            oldest = min(oldest, event.arrived)
            break
    for event in receiving.suspects:
        oldest = min(oldest, event.arrived)
        break
    return {
        "held_bytes": receiving.committed_bytes + receiving.waiting_bytes,
        "oldest_age_s": now - oldest,
        "dropped": receiving.dropped,
        "paused_senders": len(receiving.paused),
    }
