"""A peer's own view of its connection, from its pings; judged as the broker judges."""

from __future__ import annotations

from math import inf
from typing import Final, NamedTuple

from lanebus.wire.quality import Degree, Figures, Judgement, Thresholds
from lanebus.wire.ring import Ring, deviation, mean

WINDOW_S: Final = 20.0
"""How far back pings count."""
MIN_PINGS: Final = 5
"""Fewest pings of which a share is unanswered."""
SILENT_PINGS: Final = 2.5
"""Intervals without an answer after which the connection counts as lost, though its links may still live."""
_ROWS: Final = 64
_RTT, _LOST = range(2)


class ConnectionQuality(NamedTuple):
    """How a connection to the broker is."""

    label: Degree
    """``excellent``, ``good``, ``fair`` or ``poor``; ``estimating`` at first, ``lost`` without links or answers."""
    reason: str
    """The term that decides, with its figure."""
    score: float | None
    """0 to 100, smoothed; None before the first judgement."""
    rtt_ms: float | None
    """Mean round trip, milliseconds, the turns of both programs included."""
    jitter_ms: float | None
    """Standard deviation of the round trip, milliseconds."""
    loss_share: float | None
    """Share of pings that were not answered before the next one."""


class OwnLine:
    """Pings of one attachment, and what their answers say."""

    def __init__(self, thresholds: Thresholds | None = None) -> None:
        self._judgement = Judgement(thresholds or Thresholds(), WINDOW_S)
        self._ring = Ring(2, _ROWS)
        self._since = 0.0
        self._asked: float | None = None
        """When the oldest ping was sent that is not answered."""
        self._pinged = 0.0
        self._stalled = -inf
        self._away = True

    def pinged(self, interval_s: float, now: float) -> None:
        """A ping leaves; one that leaves soon after another that is not answered counts with it.

        Args:
            interval_s: time between two pings.
        """
        if self._away:
            self._away = False
            self._since = now
            self._asked = None
            self._judgement.lose("no link", now)
            self._judgement.regain(now)
        elif self._asked is not None:
            if now - self._pinged < interval_s / 2:
                return
            if self._stalled > self._asked:
                # The answer may wait to be read since then: the program did something else.
                self._asked = None
            else:
                self._ring.put(_LOST, 1.0)
        self._pinged = now
        self._ring.add(now)
        self._ring.put(_LOST, 0.0)
        if self._asked is None:
            self._asked = now

    def answered(self, rtt_s: float, now: float) -> bool:
        """A ping was answered after so long.

        Returns:
            Whether that is a round trip: what came while the program did not poll has waited for the program.
        """
        is_measured = now - rtt_s > self._stalled
        if self._asked is not None:
            self._asked = None
            if is_measured:
                self._ring.put(_RTT, rtt_s * 1e3)
                self._judgement.consider(self.figures(now), now)
        return is_measured

    def stalled(self, now: float) -> None:
        """The program has not polled for a long time, until now."""
        self._stalled = now

    @property
    def view(self) -> tuple[Degree, str]:
        """The degree, and why, as the last answer made them."""
        return self._judgement.degree, self._judgement.reason

    def away(self) -> None:
        """The links are gone."""
        self._away = True

    def figures(self, now: float) -> Figures:
        """What the pings of the last `WINDOW_S` on the present links say."""
        after = max(now - WINDOW_S, self._since - 1e-9)
        rtts = self._ring.since(after, _RTT)
        lost = self._ring.since(after, _LOST)
        return Figures(
            len(rtts), mean(rtts), deviation(rtts), sum(lost) / len(lost) if len(lost) >= MIN_PINGS else None
        )

    def quality(self, now: float, *, is_up: bool, ping_interval_s: float) -> ConnectionQuality:
        """How the connection is now."""
        judgement = self._judgement
        silence_s = 0.0 if self._asked is None else now - self._asked
        if not is_up:
            judgement.lose("no link", now)
        elif silence_s > SILENT_PINGS * ping_interval_s:
            judgement.lose(f"no answer for {silence_s:.1f} s", now)
        figures = self.figures(now)
        return ConnectionQuality(
            judgement.degree,
            judgement.reason,
            judgement.score,
            figures.rtt_ms,
            figures.jitter_ms,
            figures.loss_share,
        )
