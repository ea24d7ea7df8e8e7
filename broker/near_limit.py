"""Watches for those who use nearly all of a limit that they have."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from lanebus.broker.alerts import AlertKind, Alerts

EASED: Final = 0.75
"""An episode ends below this part of the share that it began at."""


class NearLimit:
    """One kind of limit.

    Args:
        begin_share: share of the limit from which on an episode begins, 0 to 1.
    """

    def __init__(self, kind: AlertKind, begin_share: float, alerts: Alerts) -> None:
        self._kind = kind
        self._begin_share = begin_share
        self._alerts = alerts

    def look(
        self, name: str, used_share: float, now: float, figures: Mapping[str, float] | None = None
    ) -> None:
        """Look at one session or peer.

        Args:
            name: its full name.
            used_share: how much of its limit it uses; 1 is all of it.
            figures: what else is to be told, by names that carry their units.
        """
        alert = self._alerts.lasting(self._kind, name)
        if alert is None and used_share < self._begin_share:
            return
        shown = {"used_share": used_share, **(figures or {})}
        if alert is None:
            self._alerts.begin(self._kind, name, now, shown)
            return
        alert.update(shown)
        if used_share < self._begin_share * EASED:
            self._alerts.end(alert, now)
