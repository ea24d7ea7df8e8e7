"""Connection quality: from figures to a degree with a reason, the same on both sides of a link.

Pure: figures, bounds and the time are arguments. The worst term decides. A degree falls as soon as a bound is clearly
exceeded, and rises when the better one has held for a whole window after the one in which it was first found.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from typing import Final, NamedTuple

CLEARLY: Final = 1.1
"""By how much a bound has to be exceeded before a degree falls: figures at a bound would make it flap."""
FALLING: Final = 0.8
"""Weight of a new score that is lower than the smoothed one."""
RISING: Final = 0.4
"""Weight of a new score that is higher."""
_STEP: Final = 20.0
"""Points that a term loses from each bound to the next."""


class Degree(StrEnum):
    """How good a connection is, the best first; then what is no judgement."""

    EXCELLENT = "excellent"
    GOOD = "good"
    FAIR = "fair"
    POOR = "poor"
    ESTIMATING = "estimating"
    """Too few figures to judge by."""
    LOST = "lost"
    """No links, or silence on them."""


JUDGED: Final = (Degree.EXCELLENT, Degree.GOOD, Degree.FAIR, Degree.POOR)
"""The degrees that figures can have, best first."""


class Bounds(NamedTuple):
    """Up to which figures a connection has a degree."""

    rtt_ms: float
    jitter_ms: float
    loss_share: float
    queue_ms: float


class Thresholds(NamedTuple):
    """The bounds of all degrees; past the last a connection is poor."""

    excellent: Bounds = Bounds(100.0, 20.0, 0.01, 500.0)
    good: Bounds = Bounds(200.0, 50.0, 0.025, 1000.0)
    fair: Bounds = Bounds(400.0, 100.0, 0.06, 2000.0)
    min_samples: int = 5
    """Fewest samples that are judged."""


class Figures(NamedTuple):
    """What is known of a connection; None for what is not."""

    samples: int
    """Round trips that the rest is made from."""
    rtt_ms: float | None = None
    """Mean round trip, milliseconds."""
    jitter_ms: float | None = None
    """Standard deviation of the round trip, milliseconds. Not the variance."""
    loss_share: float | None = None
    """Share of what was sent that had to be sent again or was not answered."""
    queue_ms: float | None = None
    """How long the oldest event waits to be sent, milliseconds."""


class Term(NamedTuple):
    """One figure against its bounds."""

    name: str
    value: float
    bounds: tuple[float, float, float]
    """Of excellent, good and fair."""

    def level(self, leniency: float = 1.0) -> int:
        """The degree's place in `JUDGED`, with bounds that much wider."""
        value = self.value / leniency
        excellent, good, fair = self.bounds
        return 0 if value <= excellent else 1 if value <= good else 2 if value <= fair else 3

    def score(self) -> float:
        """100 for nothing, 80, 60 and 40 at the bounds, 0 at three times the last."""
        points, low = 100.0, 0.0
        for bound in self.bounds:
            if self.value <= bound:
                return points - _STEP * (self.value - low) / (bound - low) if bound > low else points
            points, low = points - _STEP, bound
        return max(0.0, points * (1 - (self.value - low) / (2 * low))) if low else 0.0

    def __str__(self) -> str:
        if self.name == "loss":
            return f"loss {self.value * 100:.1f} %"
        return f"{self.name} {self.value:.{0 if self.value >= 100 else 1}f} ms"


def terms(figures: Figures, thresholds: Thresholds) -> Iterator[Term]:
    """The figures that are known, each with its bounds."""
    degrees = thresholds[:3]
    for place, (name, value) in enumerate(
        (
            ("round trip", figures.rtt_ms),
            ("jitter", figures.jitter_ms),
            ("loss", figures.loss_share),
            ("queue", figures.queue_ms),
        )
    ):
        if value is not None:
            yield Term(name, value, (degrees[0][place], degrees[1][place], degrees[2][place]))


def judge(figures: Figures, thresholds: Thresholds, leniency: float = 1.0) -> tuple[Degree, str]:
    """The degree of these figures, by the worst of them, and which one decided with its value.

    Args:
        leniency: a factor for all bounds.
    """
    if figures.samples < thresholds.min_samples or figures.rtt_ms is None:
        return Degree.ESTIMATING, f"{figures.samples} of {thresholds.min_samples} samples"
    level, _, worst = _worst([*terms(figures, thresholds)], leniency)
    return JUDGED[level], str(worst)


def _worst(known: list[Term], leniency: float = 1.0) -> tuple[int, float, Term]:
    """The term that decides, with its level and score; of two at one level that of the lower score."""
    return min(
        ((term.level(leniency), term.score(), term) for term in known), key=lambda each: (-each[0], each[1])
    )


class Judgement:
    """The degree of one connection over time.

    Args:
        hold_s: how long a better degree has to hold before it is given: the window that figures are made from.
    """

    __slots__ = ("_better", "_better_since", "_hold_s", "_thresholds", "degree", "reason", "score", "since")

    def __init__(self, thresholds: Thresholds, hold_s: float) -> None:
        self._thresholds = thresholds
        self._hold_s = hold_s
        self._better: Degree | None = None
        self._better_since = 0.0
        self.degree = Degree.ESTIMATING
        self.reason = judge(Figures(0), thresholds)[1]
        """The term that decided, with its figure as it was when the degree was last confirmed."""
        self.score: float | None = None
        """0 to 100, smoothed: it falls faster than it rises; None before the first judgement."""
        self.since: float | None = None
        """When it got its degree; None for the one that it began with."""

    def consider(self, figures: Figures, now: float) -> bool:
        """Take a window's figures.

        Returns:
            Whether the degree has changed.
        """
        if figures.samples < self._thresholds.min_samples or figures.rtt_ms is None:
            if self.degree in JUDGED:
                # Samples that fail to come are no reason to forget what the last ones said; silence is looked for.
                return False
            return self._become(*judge(figures, self._thresholds), now)
        known = [*terms(figures, self._thresholds)]
        level, score, worst = _worst(known)
        found, reason = JUDGED[level], str(worst)
        self._smooth(score)
        if self.degree not in JUDGED:
            return self._become(found, reason, now)
        if found is self.degree:
            self.reason = reason
            self._better = None
            return False
        present = JUDGED.index(self.degree)
        if level > present:
            self._better = None
            clear, _, worst = _worst(known, CLEARLY)
            return clear > present and self._become(JUDGED[clear], str(worst), now)
        if self._better is None:
            self._better, self._better_since = found, now
            return False
        # What is given in the end is the worst of what was found meanwhile.
        self._better = max(self._better, found, key=JUDGED.index)
        return now - self._better_since >= self._hold_s and self._become(self._better, reason, now)

    def lose(self, reason: str, now: float) -> bool:
        """There are no links, or there is silence on them.

        Returns:
            Whether that is new.
        """
        return self._become(Degree.LOST, reason, now)

    def regain(self, now: float) -> bool:
        """There are links again; what earlier ones were like says nothing of these."""
        return self.degree is Degree.LOST and self._become(
            Degree.ESTIMATING, judge(Figures(0), self._thresholds)[1], now
        )

    def _become(self, degree: Degree, reason: str, now: float) -> bool:
        changed = degree is not self.degree
        if changed:
            self.since = now
        if degree is Degree.LOST:
            self.score = 0.0
        self.degree, self.reason = degree, reason
        self._better = None
        return changed

    def _smooth(self, score: float) -> None:
        before = self.score
        if before is None or self.degree not in JUDGED:
            self.score = score
        else:
            self.score = before + (FALLING if score < before else RISING) * (score - before)
