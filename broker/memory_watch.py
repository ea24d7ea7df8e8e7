"""Watches how much memory the broker takes: its process, and the events that it holds."""

from __future__ import annotations

from typing import Final

from lanebus.broker.alerts import BROKER, AlertKind, Alerts
from lanebus.broker.budget import Budget
from lanebus.broker.bus import Bus
from lanebus.broker.near_limit import EASED

EASED_MEMORY: Final = 0.9
"""Part of its limit below which the process has to fall again: most of its memory is never given back."""


class MemoryWatch:
    """The memory of the whole broker.

    An episode begins when the process takes much, or a share of the budget of events is used; it ends when both have
    fallen well below that.

    Args:
        begin_share: share of the budget from which on an episode begins, 0 to 1.
        bus: knows what the process takes, and from how much on that is much.
    """

    def __init__(self, begin_share: float, budget: Budget, bus: Bus, alerts: Alerts) -> None:
        self._alerts = alerts
        self._budget = budget
        self._bus = bus
        self._begin_share = begin_share

    def look(self, now: float) -> None:
        """To be called about once a second."""
        budget = self._budget
        share = budget.held_bytes / budget.limit_bytes
        alert = self._alerts.lasting(AlertKind.MEMORY, BROKER)
        resident_bytes, _ = self._bus.memory or (0, None)
        large_bytes = self._bus.large_bytes
        part = 1.0 if alert is None else EASED_MEMORY
        is_large = large_bytes is not None and resident_bytes >= part * large_bytes
        is_full = share >= self._begin_share * (1.0 if alert is None else EASED)
        if alert is None and not is_large and not is_full:
            return
        figures = {
            "resident_bytes": resident_bytes,
            "held_bytes": budget.held_bytes,
            "budget_share": share,
        }
        if alert is None:
            self._alerts.begin(AlertKind.MEMORY, BROKER, now, figures)
            return
        alert.update(figures)
        if not is_large and not is_full:
            self._alerts.end(alert, now)
