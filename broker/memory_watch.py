"""Watches how much memory the broker takes: its process, and the events that it holds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from lanebus.broker.alerts import BROKER, AlertKind, Alerts
from lanebus.broker.budget import Budget
from lanebus.broker.near_limit import EASED
from lanebus.conf.model import AlertsConfig

EASED_MEMORY: Final = 0.9
"""Part of its limit below which the process has to fall again: most of its memory is never given back."""


class MemoryWatch:
    """The memory of the whole broker.

    An episode begins when the process is past a size, or a share of the budget of events is used; it ends when both
    have fallen well below that. Without a size in the settings it is a share of what the process may take.

    Args:
        memory: what the process takes and may take, in bytes, where that is known.
    """

    def __init__(
        self,
        config: AlertsConfig,
        budget: Budget,
        memory: Callable[[], tuple[int, int | None] | None],
        alerts: Alerts,
    ) -> None:
        self._alerts = alerts
        self._budget = budget
        self._limit_bytes = config.memory_bytes
        self._begin_share = config.limit_share
        self._memory = memory

    def look(self, now: float) -> None:
        """To be called about once a second."""
        budget = self._budget
        share = budget.held_bytes / budget.limit_bytes
        alert = self._alerts.lasting(AlertKind.MEMORY, BROKER)
        resident_bytes, may_take_bytes = self._memory() or (0, None)
        limit_bytes = self._limit_bytes or self._begin_share * (may_take_bytes or 0)
        part = 1.0 if alert is None else EASED_MEMORY
        is_large = bool(limit_bytes) and resident_bytes >= part * limit_bytes
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
