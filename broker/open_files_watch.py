"""Watches whether the broker has enough open files for all who connect."""

from __future__ import annotations

from lanebus.broker.alerts import BROKER, AlertKind, Alerts
from lanebus.broker.bus import Bus


class OpenFilesWatch:
    """The open files of the process.

    An episode begins when connections have to go so that others can come, and ends when none had to for a while.

    Args:
        bus: knows of them.
    """

    def __init__(self, bus: Bus, alerts: Alerts) -> None:
        self._alerts = alerts
        self._bus = bus

    def look(self, now: float) -> None:
        """To be called about once a second."""
        open_files = self._bus.open_files
        if open_files is None or open_files.limit is None:
            return
        alert = self._alerts.lasting(AlertKind.OPEN_FILES, BROKER)
        is_short = open_files.are_short(now)
        if alert is None and not is_short:
            return
        figures = {
            "open_files": open_files.used,
            "open_files_limit": open_files.limit,
            "strangers": open_files.strangers,
        }
        if alert is None:
            self._alerts.begin(AlertKind.OPEN_FILES, BROKER, now, figures)
            return
        alert.update(figures)
        if not is_short:
            self._alerts.end(alert, now)
