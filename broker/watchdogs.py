"""Watchdogs: all that the broker watches for, each in a module of its own, and what makes them look."""

from __future__ import annotations

from collections.abc import Callable

from lanebus.broker.alerts import AlertKind, Alerts
from lanebus.broker.bandwidth import Bandwidth
from lanebus.broker.budget import Budget
from lanebus.broker.bus import Bus
from lanebus.broker.flapping import Flapping
from lanebus.broker.loop_watch import LoopWatch
from lanebus.broker.memory_watch import MemoryWatch
from lanebus.broker.near_limit import NearLimit
from lanebus.broker.open_files_watch import OpenFilesWatch
from lanebus.broker.outboxes import Outboxes
from lanebus.broker.outgoing import Counters
from lanebus.broker.sessions import Session
from lanebus.broker.slow_receivers import SlowReceivers
from lanebus.conf.model import Config


class Watchdogs:
    """Begin and end alerts.

    Args:
        is_there: whether there is a session or an attachment of a name; alerts about others end.
        budget_used: how much of its error budget a name has used up, now.
    """

    def __init__(
        self,
        config: Config,
        alerts: Alerts,
        bus: Bus,
        budget: Budget,
        counters: Counters,
        is_there: Callable[[str], bool],
        budget_used: Callable[[str, float], float],
    ) -> None:
        settings = config.alerts
        self._alerts = alerts
        self._is_there = is_there
        self._budget_used = budget_used
        self.slow_receivers = SlowReceivers(settings, config.egress, alerts)
        self.flapping = Flapping(settings, alerts)
        self.outboxes = Outboxes(settings.limit_share, alerts)
        self.loop = LoopWatch(bus, counters, settings.loop_late_s, alerts)
        self.memory = MemoryWatch(settings.limit_share, budget, bus, alerts)
        self.open_files = OpenFilesWatch(bus, alerts)
        self.bandwidth = Bandwidth(settings.limit_share, alerts)
        self.error_budget = NearLimit(AlertKind.ERROR_BUDGET, settings.limit_share, alerts)

    def session(self, session: Session, now: float) -> None:
        """Look at one session, about once a second."""
        self.slow_receivers.look(session, now)
        self.bandwidth.look(session, now)
        self.error_budget.look(session.name, self._budget_used(session.name, now), now)

    def look(self, now: float) -> None:
        """Look at the broker as a whole, about once a second, after the bus and every session were looked at."""
        self.loop.look(now)
        self.memory.look(now)
        self.open_files.look(now)
        self.flapping.look(now)
        self._alerts.sweep(self._is_there, now)
