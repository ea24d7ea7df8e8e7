"""Handler times: how long an adapter's handlers take, by lane and topic, and a warning where that is too long.

A handler runs in the program's own loop: while it runs nothing else is handled, and nothing is sent.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from math import inf
from typing import Any, Final

from lanebus.wire.histogram import Histogram
from lanebus.wire.lanes import DEFAULT_TIMINGS, LANES, Lane, lane_of
from lanebus.wire.reports import MAX_TOPIC_TIMES
from lanebus.wire.reports import TopicTimes as Report
from lanebus.wire.shown import shown

log = logging.getLogger("lanebus.adapters")

Budgets = Mapping[str, float | None]
"""Milliseconds by the name of a lane; None for no budget."""

MAX_TOPICS: Final = 1024
"""Topics, each on one lane, whose times are kept apart."""
OTHER_TOPICS: Final = "(other topics)"
"""Where the times of all further ones are; no topic is called so."""
DEFAULT_BUDGETS_MS: Final = tuple(timing.interval_s * 1e3 for timing in DEFAULT_TIMINGS)
"""By lane: a handler that takes longer than its lane's interval holds up what comes next."""
EPISODE_S: Final = 60.0
"""A topic that stays within its budget for so long, and then does not, is warned of again."""
WARNING_INTERVAL_S: Final = 1.0
"""Shortest time between two warnings, whatever they are about."""
REPORT_S: Final = 10.0
"""Between two reports to the broker of times that are within their budgets."""
LONGEST_BUDGET_MS: Final = 1e12
MAX_RECENT: Final = 64
"""Different times of one topic that are counted before they go into its histogram."""


class TopicTimes(Histogram):
    """The times of one topic on one lane."""

    __slots__ = ("last_over", "over_budget", "recent", "reported")

    def __init__(self) -> None:
        super().__init__()
        self.recent: dict[int, int] = {}
        """Times within the budget that are not in the histogram yet: whole microseconds, and how often."""
        self.reported = 0
        """Of how many the broker was told."""
        self.over_budget = 0
        """Events whose handlers took longer than the budget."""
        self.last_over = -inf
        """When the last of them was, in the episode that was warned of."""

    def fold(self) -> None:
        """Put what is recent into the histogram."""
        for took_us, count in self.recent.items():
            self.record(took_us, count)
        self.recent.clear()


class HandlerTimes:
    """The times of one adapter, with those of all sessions behind it.

    Args:
        name: of the adapter, for warnings.
        budgets_ms: milliseconds by lane; lanes left out have the default.

    Raises:
        ValueError: `budgets_ms` names no lane, or what it gives is no time.
    """

    def __init__(self, name: str, budgets_ms: Budgets | None = None) -> None:
        self._name = name
        self._budgets_us = [inf if each is None else each * 1e3 for each in _by_lane(budgets_ms)]
        self.recent: tuple[dict[str, dict[int, int]], ...] = tuple({} for _ in LANES)
        """By lane and topic: whole microseconds, and how often handlers took so long. Who finds the time that was taken
        counts it there; who does not find it calls `note`. This is done for every event, and has to be cheap."""
        self._times: tuple[dict[str, TopicTimes], ...] = tuple({} for _ in LANES)
        self._topics = 0
        self._quiet_until = -inf
        self._reported_over = 0
        self._next_report = -inf

    def note(self, lane: Lane, topic: str, took_s: float, now: float) -> None:
        """The handlers of one event have run, and took so long."""
        took_us = int(took_s * 1e6)
        times = self._times[lane].get(topic) or self._begin(lane, topic)
        if took_us > self._budgets_us[lane]:
            times.record(took_us)
            self._over(times, lane, topic, took_us, now)
            return
        if len(times.recent) >= MAX_RECENT:
            times.fold()
        times.recent[took_us] = times.recent.get(took_us, 0) + 1

    def _begin(self, lane: Lane, topic: str) -> TopicTimes:
        if self._topics < MAX_TOPICS:
            self._topics += 1
            times = self._times[lane][topic] = TopicTimes()
            self.recent[lane][topic] = times.recent
            return times
        return self._times[lane].setdefault(OTHER_TOPICS, TopicTimes())

    def _over(self, times: TopicTimes, lane: Lane, topic: str, took_us: int, now: float) -> None:
        times.over_budget += 1
        if now - times.last_over <= EPISODE_S:
            times.last_over = now
            return
        if now < self._quiet_until:
            return  # the topic's next one is warned of
        times.last_over = now
        self._quiet_until = now + WARNING_INTERVAL_S
        times.fold()
        log.warning(
            "! the handlers of %s on %s took %.1f ms in %s, their budget is %g ms: nothing else was handled "
            "meanwhile (%d of %d events so far)",
            topic,
            lane.label,
            took_us / 1e3,
            self._name,
            self._budgets_us[lane] / 1e3,
            times.over_budget,
            times.count,
        )

    def budget_ms(self, lane: Lane) -> float | None:
        """How long handlers of a lane may take, milliseconds; None for no budget."""
        budget_us = self._budgets_us[lane]
        return None if budget_us == inf else budget_us / 1e3

    def over_budget(self, lane: Lane) -> int:
        """Events of a lane whose handlers took longer than the budget."""
        return sum(times.over_budget for times in self._times[lane].values())

    def report(self, now: float) -> list[Report]:
        """What has changed, for a ping: at once where a budget was exceeded, else once in `REPORT_S`.

        Of too many those are left out on which the least time is spent.
        """
        over_budget = sum(map(self.over_budget, LANES))
        if over_budget == self._reported_over and now < self._next_report:
            return []
        self._reported_over = over_budget
        self._next_report = now + REPORT_S
        changed = []
        for lane in LANES:
            for topic, times in self._times[lane].items():
                times.fold()
                if times.count != times.reported:
                    changed.append((lane, topic, times))
        changed.sort(key=lambda each: (-each[2].over_budget, -each[2].sum_us))
        found: list[Report] = []
        for lane, topic, times in changed[:MAX_TOPIC_TIMES]:
            times.reported = times.count
            budget_us = self._budgets_us[lane]
            found.append(
                Report(
                    topic,
                    lane,
                    times.count,
                    times.over_budget,
                    0 if budget_us == inf else int(budget_us),
                    times.sum_us // times.count,
                    int(times.quantile_us(0.5) or 0),
                    int(times.quantile_us(0.99) or 0),
                    times.max_us,
                )
            )
        return found

    def rows(self) -> list[dict[str, Any]]:
        """One row for each topic and lane, those first on which most time was spent; times in milliseconds."""
        found = [(lane, topic, times) for lane in LANES for topic, times in self._times[lane].items()]
        for _, _, times in found:
            times.fold()
        found.sort(key=lambda each: -each[2].sum_us)
        return [
            {
                "topic": topic,
                "lane": lane.label,
                "count": times.count,
                "mean_ms": times.sum_us / times.count / 1e3,
                "p50_ms": _ms(times.quantile_us(0.5)),
                "p99_ms": _ms(times.quantile_us(0.99)),
                "max_ms": times.max_us / 1e3,
                "budget_ms": self.budget_ms(lane),
                "over_budget": times.over_budget,
            }
            for lane, topic, times in found
        ]


def _by_lane(budgets_ms: Budgets | None) -> list[float | None]:
    found: list[float | None] = list(DEFAULT_BUDGETS_MS)
    if budgets_ms is None:
        return found
    if not isinstance(budgets_ms, Mapping):
        raise ValueError(
            f"handler_budget_ms is {shown(budgets_ms)}: give milliseconds by lane, as in {{'critical': 8}}"
        )
    given: Mapping[str, object] = budgets_ms  # what a program gives need not be what it should be
    for name, budget_ms in given.items():
        lane = lane_of(name)
        found[lane] = _checked(lane, budget_ms)
    return found


def _checked(lane: Lane, budget_ms: object) -> float | None:
    if budget_ms is None:
        return None
    if (
        isinstance(budget_ms, int | float)
        and not isinstance(budget_ms, bool)
        and 0 < budget_ms <= LONGEST_BUDGET_MS
    ):
        return float(budget_ms)
    raise ValueError(
        f"handler_budget_ms of {lane.label} is {shown(budget_ms)}: give milliseconds above 0, or None for no budget"
    )


def _ms(value_us: float | None) -> float | None:
    return None if value_us is None else value_us / 1e3
