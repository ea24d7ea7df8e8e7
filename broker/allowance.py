"""An allowance: so much a second, and a burst, shared by three lanes so that none can take what another needs.

Half of it is the critical lane's, three eighths are the normal lane's, one eighth is the low lane's. What a lane does
not use goes on to the others, so that a single busy lane gets all. Without I/O; amounts are events or bytes.
"""

from __future__ import annotations

from math import inf
from typing import Final

from lanebus.wire.lanes import LANES, Lane

SHARES: Final[tuple[float, ...]] = (0.5, 0.375, 0.125)
"""By lane: the share of the rate and of the burst that no other lane can take."""
LENDERS: Final = ((Lane.NORMAL, Lane.LOW), (Lane.LOW,), (Lane.NORMAL,))
"""By lane: whose share it may draw on besides its own while that is more than half full. Critical's is not lent."""
USE_WINDOW_S: Final = 10.0
"""The time over which the use of an allowance is taken together: a burst after a quiet time is no lasting use."""
_NOTHING: Final = 1e-9
"""Less than this is a rounding error."""
EASE_S: Final = 0.2
"""Who has used up an allowance waits until there is this much of it: else one event would pass at a time."""


class Allowance:
    """Three token buckets that fill from one stream.

    Over any time `t` no more is taken than `burst + rate * t`, and the one event that a bucket may go into debt for,
    so that an event larger than the burst passes too.

    Args:
        rate_per_s: what it grows by in a second.
        burst: what it holds when nothing was taken for long.
    """

    __slots__ = (
        "_at",
        "_caps",
        "_levels",
        "_spare",
        "_use",
        "_use_since",
        "_used_before",
        "burst",
        "rate_per_s",
        "used",
    )

    def __init__(self, rate_per_s: float, burst: float, now: float) -> None:
        self.rate_per_s = rate_per_s
        self.burst = burst
        self.used = 0.0
        """What was taken in all."""
        self._use = self._used_before = 0.0
        self._use_since = now
        self._caps = [share * burst for share in SHARES]
        self._levels = list(self._caps)
        self._spare = 0.0
        """Beyond the burst, for any lane: what grew while the broker was late and could take nothing."""
        self._at = now

    def refill(self, now: float, late_s: float | None = None) -> None:
        """Let it grow until `now`; a clock that has gone back changes nothing.

        Args:
            late_s: for how long the broker was late: who kept to the rate meanwhile comes with more than a burst. 0
                takes back what an earlier lateness gave; None leaves it.
        """
        if now <= self._at:
            return
        amount = (now - self._at) * self.rate_per_s
        self._at = now
        levels, caps = self._levels, self._caps
        critical, normal, low = levels
        if not late_s and critical + normal + low + amount >= self.burst:
            # The usual case: all that was taken has grown again.
            levels[:] = caps
            if late_s is not None:
                self._spare = 0.0
            return
        left = self._fill(amount)
        if late_s is not None:
            self._spare = min(left + self._spare, late_s * self.rate_per_s)
        for lane in LANES:
            levels[lane] = min(levels[lane], caps[lane])

    def _fill(self, amount: float) -> float:
        """Share an amount out, and what is too much for one lane among the others; what nobody could take is left."""
        levels, caps = self._levels, self._caps
        open_lanes = [lane for lane in LANES if levels[lane] < caps[lane]]
        while open_lanes and amount > 0.0:
            whole = sum(SHARES[lane] for lane in open_lanes)
            parts = [(lane, amount * SHARES[lane] / whole) for lane in open_lanes]
            amount = 0.0
            open_lanes = []
            for lane, part in parts:
                levels[lane] += part
                if levels[lane] >= caps[lane]:
                    amount += levels[lane] - caps[lane]
                    levels[lane] = caps[lane]
                else:
                    open_lanes.append(lane)
        return amount

    def has(self, lane: Lane) -> bool:
        """Whether the lane may take something, as of the last `refill`."""
        if self._levels[lane] > 0.0 or self._spare > 0.0:
            return True
        return any(self._levels[lender] > self._caps[lender] / 2 for lender in LENDERS[lane])

    def is_low(self, lane: Lane) -> bool:
        """Whether less than half of the lane's own share is left."""
        return self._levels[lane] < self._caps[lane] / 2

    def spend(self, lane: Lane, amount: float, now: float) -> bool:
        """Let it grow, and take an amount for the lane if there is something; False, and nothing is taken, if not."""
        if now > self._at:
            self.refill(now)
        level = self._levels[lane]
        if level > 0.0:
            self._levels[lane] = level - amount
            self.used += amount
            return True
        if not self.has(lane):
            return False
        self.take(lane, amount)
        return True

    def spend_whole(self, lane: Lane, amount: float, now: float) -> bool:
        """Let it grow, and take an amount for the lane if its own share has all of it; else nothing is taken."""
        if now > self._at:
            self.refill(now)
        if self._levels[lane] < amount:
            return False
        self._levels[lane] -= amount
        self.used += amount
        return True

    def take(self, lane: Lane, amount: float) -> None:
        """Take an amount for the lane: its own, else what others lend. Without any it goes into debt, up to a burst."""
        levels, caps = self._levels, self._caps
        self.used += amount
        source = lane
        if levels[lane] <= 0.0:
            if self._spare > 0.0:
                self._spare -= amount
                return
            for lender in LENDERS[lane]:
                if levels[lender] > caps[lender] / 2:
                    source = lender
                    break
        levels[source] = max(levels[source] - amount, -max(self.burst, amount))

    def wait_s(self, lane: Lane, ease_s: float = EASE_S) -> float:
        """How long until the lane may take something, with a little room behind it, if nobody else takes anything."""
        caps, levels, rate_per_s = self._caps, list(self._levels), self.rate_per_s
        wanted = min(caps[lane] / 2, rate_per_s * ease_s)
        wait_s = 0.0
        while levels[lane] < wanted - _NOTHING:
            # As others fill up, they leave more to this one.
            others = [each for each in LANES if each is not lane and levels[each] < caps[each] - _NOTHING]
            unit_s = (SHARES[lane] + sum(SHARES[each] for each in others)) / rate_per_s
            step_s = unit_s * min(
                (wanted - levels[lane]) / SHARES[lane],
                *((caps[each] - levels[each]) / SHARES[each] for each in others),
                inf,
            )
            for each in (lane, *others):
                levels[each] += step_s * SHARES[each] / unit_s
            wait_s += step_s
        return wait_s

    def use(self, now: float) -> float:
        """How much of the rate was taken in the last full window; 1 is all of it, and more where there was a burst."""
        lasted_s = now - self._use_since
        if lasted_s >= USE_WINDOW_S:
            self._use = (self.used - self._used_before) / (lasted_s * self.rate_per_s)
            self._used_before, self._use_since = self.used, now
        return self._use

    @property
    def used_share(self) -> float:
        """How much of what it may take at once the lane that has least left has used up, from 0 to 1."""
        return 1.0 - max(0.0, min(level / cap for level, cap in zip(self._levels, self._caps, strict=True)))

    def __repr__(self) -> str:
        levels = "/".join(f"{level:.0f}" for level in self._levels)
        return f"<Allowance {self.rate_per_s:g}/s burst={self.burst:g} levels={levels}>"


class Bucket:
    """One token bucket; for what has no lanes."""

    __slots__ = ("_at", "_level", "burst", "rate_per_s")

    def __init__(self, rate_per_s: float, burst: float, now: float) -> None:
        self.rate_per_s = rate_per_s
        self.burst = burst
        self._level = burst
        self._at = now

    def take(self, amount: float, now: float) -> bool:
        """Take an amount if there is any; False, and nothing is taken, if there is none.

        A bucket may go into debt by one such amount.
        """
        if now > self._at:
            self._level = min(self.burst, self._level + (now - self._at) * self.rate_per_s)
            self._at = now
        if self._level <= 0.0:
            return False
        self._level -= amount
        return True
