"""Watches for sessions that use nearly all of the bandwidth that their policy gives, in either direction."""

from __future__ import annotations

from lanebus.broker.alerts import AlertKind, Alerts
from lanebus.broker.near_limit import NearLimit
from lanebus.broker.sessions import Session


class Bandwidth:
    """All sessions with limits of bytes.

    Args:
        begin_share: share of the rate from which on an episode begins, 0 to 1.
    """

    def __init__(self, begin_share: float, alerts: Alerts) -> None:
        self._near = NearLimit(AlertKind.BANDWIDTH, begin_share, alerts)

    def look(self, session: Session, now: float) -> None:
        """Look at one session; called for each about once a second."""
        limits = session.limits
        if limits is None:
            return
        used_share = 0.0
        figures: dict[str, float] = {}
        for name, allowance in (("up_bytes_per_s", limits.up_bytes), ("down_bytes_per_s", limits.down)):
            if allowance is not None:
                use = allowance.use(now)
                used_share = max(used_share, use)
                figures[name] = use * allowance.rate_per_s
        self._near.look(session.name, used_share, now, figures)
