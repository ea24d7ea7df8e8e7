"""The broker as an instance of the service `bus`: how well it is, by its own loop, budget, parts and memory."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Final

from lanebus.broker.alerts import BROKER, Alerts
from lanebus.broker.budget import Budget
from lanebus.broker.health import BrokerFigures, Symptom, broker_symptoms
from lanebus.broker.lately import SPAN_S, Lately
from lanebus.broker.open_files import OpenFiles
from lanebus.broker.services import Services
from lanebus.conf.model import AlertsConfig
from lanebus.wire.histogram import Histogram
from lanebus.wire.services import MAX_REASON_CHARACTERS, MAX_VERSION_CHARACTERS, Health

MIN_TURNS: Final = 100
"""Turns of the loop whose 99th percentile is not only the latest of them."""
PARTS_S: Final = 10.0
"""Between two looks at the books of all sessions, in seconds."""
PARTS_LOOKS: Final = 6
"""Looks at the books that make the last minute."""


class Bus:
    """Looks at the broker once in an interval.

    Args:
        late: how late the loop's turns began; the driver records it.
        parts: how many parts were accepted since the start, and how many were refused or dropped.
        is_draining: whether the broker is about to end.
        alerts: from how much on lateness and memory are too much.
        episodes: what is told to operators; those of peers count, since the broker's own are symptoms anyway.
        started: the time of the start.
        interval_s: seconds between two looks.
    """

    def __init__(
        self,
        services: Services,
        budget: Budget,
        late: Histogram,
        parts: Callable[[], tuple[int, int]],
        is_draining: Callable[[], bool],
        alerts: AlertsConfig,
        episodes: Alerts,
        started: float,
        interval_s: float,
    ) -> None:
        self._services = services
        self._budget = budget
        self._late = late
        self._lately = Lately()
        self._parts = parts
        self._is_draining = is_draining
        self._alerts = alerts
        self._episodes = episodes
        self._interval_s = interval_s
        self._due = started + interval_s
        self.still_s = 0.0
        """How much later than planned the last look came: the loop, or the whole process, stood still."""
        self._next_note = started + SPAN_S
        self._next_parts = started + PARTS_S
        self._past_parts: deque[tuple[int, int]] = deque([(0, 0)], maxlen=PARTS_LOOKS + 1)
        self.memory: tuple[int, int | None] | None = None
        """What the process takes and may take, in bytes; the driver sets it."""
        self.open_files: OpenFiles | None = None
        """Of the process; the driver sets it, and keeps it true."""
        self.symptoms: list[Symptom] = []
        """What was wrong with the broker at the last look, the gravest first."""

    def say_version(self, version: str) -> None:
        """The version that the broker lists itself with."""
        bus = self._services.bus
        bus.facts = bus.facts._replace(version=version[:MAX_VERSION_CHARACTERS])

    def late_lately(self) -> Histogram:
        """How late the loop's turns began in the last minute."""
        return self._lately.of(self._late)

    def lateness_ms(self) -> tuple[float | None, float | None]:
        """The 99th percentile and the greatest of that, milliseconds; None before there are enough to say."""
        lately = self.late_lately()
        figures = lately.in_ms()
        return figures["p99"] if lately.count >= MIN_TURNS else None, figures["max"]

    @property
    def large_bytes(self) -> int | None:
        """From how much on the process takes much memory; None where nobody knows what it may take."""
        if self._alerts.memory_bytes:
            return self._alerts.memory_bytes
        may_take_bytes = self.memory[1] if self.memory is not None else None
        return None if may_take_bytes is None else int(self._alerts.limit_share * may_take_bytes)

    def look(self, now: float) -> None:
        """To be called when an interval is over."""
        self.still_s = now - self._due
        self._due = now + self._interval_s
        if now >= self._next_note:
            self._next_note = now + SPAN_S
            self._lately.note(self._late)
        if now >= self._next_parts:
            self._next_parts = now + PARTS_S
            self._past_parts.append(self._parts())
        self.symptoms = broker_symptoms(self._figures(now))
        if self.symptoms:
            # Without figures: who watches services is told when something changes, and not once a second.
            names = "; ".join(symptom.name for symptom in self.symptoms)
            self._services.say_bus(Health.DEGRADED, names[:MAX_REASON_CHARACTERS])
        else:
            self._services.say_bus(Health.OK)

    def _figures(self, now: float) -> BrokerFigures:
        late_p99_ms, late_max_ms = self.lateness_ms()
        first, last = self._past_parts[0], self._past_parts[-1]
        resident_bytes, memory_bytes = self.memory or (None, None)
        return BrokerFigures(
            still_s=self.still_s,
            tolerable_still_s=self._alerts.loop_late_s,
            late_p99_ms=late_p99_ms,
            late_max_ms=late_max_ms,
            held_bytes=self._budget.held_bytes,
            budget_bytes=self._budget.limit_bytes,
            is_full=self._budget.pushes_back,
            parts=last[0] - first[0],
            failed_parts=last[1] - first[1],
            resident_bytes=resident_bytes,
            memory_bytes=memory_bytes,
            large_bytes=self.large_bytes,
            short_of_files=self.open_files is not None and self.open_files.are_short(now),
            open_files=self.open_files.used if self.open_files is not None else 0,
            open_files_limit=self.open_files.limit if self.open_files is not None else None,
            is_draining=self._is_draining(),
            alerts=tuple(
                f"{alert.kind.value} of {alert.peer}"
                for alert in self._episodes.told_and_lasting()
                if alert.peer != BROKER
            ),
        )
