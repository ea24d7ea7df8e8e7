"""The quality of one session's connection: its degree over time, and how stable its links were."""

from __future__ import annotations

from functools import lru_cache
from typing import Final, NamedTuple

from lanebus.broker.line import Line
from lanebus.conf.model import QualityConfig
from lanebus.wire.quality import Bounds, Degree, Figures, Judgement, Thresholds

CHANGES: Final = 32
"""Changes of degree remembered per session."""


class Change(NamedTuple):
    """A change of degree."""

    at: float
    before: Degree
    after: Degree
    reason: str


class Quality:
    """How good the connection of one session is; behind a gateway that is the gateway's line, and what lies beyond."""

    __slots__ = (
        "_away_since",
        "_window_s",
        "changes",
        "judgement",
        "longest_outage_s",
        "outages",
        "outside_ms",
        "resumes",
    )

    def __init__(self, config: QualityConfig) -> None:
        self._window_s = config.window_s
        self.judgement = Judgement(thresholds_of(config), config.window_s)
        self.changes: list[Change] = []
        """The latest changes of degree, oldest first."""
        self.outside_ms: float | None = None
        """Round trip between a gateway and its player, as the gateway said."""
        self.resumes = 0
        """How often it came back on fresh links."""
        self.outages = 0
        """How often it was without links."""
        self.longest_outage_s = 0.0
        self._away_since: float | None = None

    def figures(self, line: Line, queue_ms: float | None, now: float) -> Figures:
        """The figures of the present window, with what lies beyond a gateway."""
        found = line.figures(self._window_s, now)
        outside = self.outside_ms
        rtt = found.rtt_ms if outside is None else outside + (found.rtt_ms or 0.0)
        return found._replace(rtt_ms=rtt, queue_ms=queue_ms)

    def mean_of(self, line: Line, column: int, now: float) -> float | None:
        """The mean of one column of the line in the present window, with what lies beyond a gateway."""
        found = line.mean_of(column, self._window_s, now)
        return found if found is None or self.outside_ms is None else found + self.outside_ms

    def consider(self, line: Line, queue_ms: float, now: float) -> Change | None:
        """Judge anew; the change, if there is one."""
        before = self.judgement.degree
        changed = self.judgement.consider(self.figures(line, queue_ms, now), now)
        return self._note(before, now) if changed else None

    def silent(self, silence_s: float, now: float) -> Change | None:
        """Nothing has come for so long; the change, if that is news."""
        before = self.judgement.degree
        return self._note(before, now) if self.judgement.lose(f"silent for {silence_s:.1f} s", now) else None

    def away(self, reason: str, now: float) -> None:
        """The links are gone, for a reason."""
        self.outages += 1
        self._away_since = now
        before = self.judgement.degree
        if self.judgement.lose(reason, now):
            self._note(before, now)

    def back(self, now: float) -> None:
        """There are fresh links."""
        self.resumes += 1
        self.longest_outage_s = self.longest_s(now)
        self._away_since = None
        before = self.judgement.degree
        if self.judgement.regain(now):
            self._note(before, now)

    def longest_s(self, now: float) -> float:
        """The longest time without links, the present one included."""
        away_since = self._away_since
        return max(self.longest_outage_s, 0.0 if away_since is None else now - away_since)

    def _note(self, before: Degree, now: float) -> Change:
        change = Change(now, before, self.judgement.degree, self.judgement.reason)
        self.changes.append(change)
        del self.changes[:-CHANGES]
        return change


@lru_cache(maxsize=8)
def thresholds_of(config: QualityConfig) -> Thresholds:
    """The bounds that the configuration sets."""
    excellent, good, fair = (
        Bounds(
            getattr(config, f"{degree}_rtt_ms"),
            getattr(config, f"{degree}_jitter_ms"),
            getattr(config, f"{degree}_loss_percent") / 100,
            getattr(config, f"{degree}_queue_ms"),
        )
        for degree in ("excellent", "good", "fair")
    )
    return Thresholds(excellent, good, fair, config.min_samples)
