"""The broker as an instance of the service `bus`: how well it is, by its own loop and budget."""

from __future__ import annotations

from lanebus.broker.budget import Budget
from lanebus.broker.services import Services
from lanebus.wire.services import MAX_VERSION_CHARACTERS, Health

LATE_S = 0.5
"""A timer that comes so much later than planned says that the loop does not keep up, in seconds."""


class Bus:
    """Looks at the broker once in an interval.

    Args:
        started: the time of the start.
        interval_s: seconds between two looks.
    """

    def __init__(self, services: Services, budget: Budget, started: float, interval_s: float) -> None:
        self._services = services
        self._budget = budget
        self._interval_s = interval_s
        self._due = started + interval_s

    def say_version(self, version: str) -> None:
        """The version that the broker lists itself with."""
        bus = self._services.bus
        bus.facts = bus.facts._replace(version=version[:MAX_VERSION_CHARACTERS])

    def look(self, now: float) -> None:
        """To be called when an interval is over: the broker is well if that is so, and its budget is not used up."""
        late_s = now - self._due
        self._due = now + self._interval_s
        if late_s > LATE_S:
            self._services.say_bus(Health.DEGRADED, f"its loop was {late_s:.1f} s late")
        elif self._budget.pushes_back:
            self._services.say_bus(
                Health.DEGRADED, f"its budget of {self._budget.limit_bytes} bytes is used up"
            )
        else:
            self._services.say_bus(Health.OK)
