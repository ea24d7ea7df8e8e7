"""The line of an attachment: its round trips and losses, as peer and kernel measure them; what may come by it."""

from __future__ import annotations

from typing import Final, NamedTuple

from lanebus.broker.floods import Floods
from lanebus.broker.tcpinfo import Look
from lanebus.wire.quality import Degree, Figures
from lanebus.wire.ring import Ring, deviation, mean

RING_SAMPLES: Final = 128
"""Samples remembered per attachment: four minutes of pings."""
APP, NETWORK, DEVIATION, SENT, LOST = range(5)
"""Columns of the ring: two round trips and the kernel's deviation, in milliseconds; what was sent, and lost of it."""
MIN_SENT: Final = 20
"""Fewest sent of which a share is lost: of fewer, one would say too much."""
LATE: Final = 1.5
"""A ping that comes later than this many intervals after the one before stands for those that did not come."""
MOST_MISSED: Final = 64
NORMAL: Final = 1.25
"""From a mean deviation to a standard deviation, where both are of a normal distribution."""
_WRAP: Final = 0xFFFF_FFFF


class Reported(NamedTuple):
    """What the peer itself says of its line."""

    degree: Degree
    reason: str
    at: float


class Line:
    """What is known of one attachment's line. All times in seconds, all figures in milliseconds."""

    __slots__ = (
        "_last_ping",
        "_lost",
        "_missed",
        "_network",
        "_sent",
        "address",
        "floods",
        "lost_reason",
        "reported",
        "ring",
        "since",
    )

    def __init__(self, since: float) -> None:
        self.ring = Ring(5, RING_SAMPLES)
        self.since = since
        """When its present links began: what was measured before says nothing of them."""
        self.lost_reason = ""
        """Why links were lost the last time; empty while none ever were."""
        self.reported: Reported | None = None
        """The peer's own judgement of the present links; None while it has not said any."""
        self.address = ""
        """Of the host that the attachment came from first; empty where nobody knows."""
        self.floods: Floods | None = None
        """What may come by it, whatever it is; None without a limit."""
        self._last_ping: float | None = None
        self._missed = 0
        """Pings that count as lost since the one before the last, and may come yet."""
        self._network: Look | None = None
        self._sent = 0
        self._lost = 0
        """What happened since the last sample."""

    def ping(self, rtt_ms: float | None, interval_s: float, late_s: float, now: float) -> bool:
        """The peer has pinged, and says what its last round trip was.

        Args:
            interval_s: time between two pings.
            late_s: how much later than it should have it left, as it says: what is missing was never sent.

        Returns:
            Whether it is a sample; one that comes at once after the last is not.
        """
        last = self._last_ping
        if last is not None and now - last < interval_s / 2:
            if self._missed:
                # It comes after all: they have waited together, here or on the way, and none was lost.
                self._missed -= 1
                self.ring.put(LOST, (self.ring.last(LOST) or 0.0) - 1.0)
            return False
        missed = 0
        if last is not None and now - last - late_s > LATE * interval_s:
            missed = min(MOST_MISSED, int((now - last - late_s) / interval_s + 0.5) - 1)
        self._missed = missed
        self._last_ping = now
        self.ring.add(now)
        if rtt_ms is not None:
            self.ring.put(APP, rtt_ms)
        self._count(1 + missed, missed)
        return True

    def network(self, look: Look) -> None:
        """The kernel's figures; they belong to the last ping."""
        before, self._network = self._network, look
        if before is None or before.peer != look.peer or not len(self.ring):
            return
        app = self.ring.last(APP)
        # Both are at least the network's round trip: the one has the peer's loop in it, the other the delay with which
        # kernels acknowledge. What the peer says counts down to what the kernel has seen itself.
        least = look.rtt_ms if app is None else max(look.least_rtt_ms, min(look.rtt_ms, app))
        self.ring.put(NETWORK, least)
        self.ring.put(DEVIATION, look.deviation_ms)
        again = look.retransmitted - before.retransmitted & _WRAP
        self._count(max(again, look.segments - before.segments & _WRAP), again)

    @property
    def look(self) -> Look | None:
        """The last look at the present connection."""
        return self._network

    def resent(self, batches: int) -> None:
        """Batches had to be sent again, on fresh links."""
        self._sent += batches
        self._lost += batches

    def relinked(self, now: float) -> None:
        """There are fresh links."""
        self.since = now
        self.reported = None
        self._last_ping = None
        self._network = None

    def _count(self, sent: int, lost: int) -> None:
        self.ring.put(SENT, (self.ring.last(SENT) or 0.0) + sent + self._sent)
        self.ring.put(LOST, (self.ring.last(LOST) or 0.0) + lost + self._lost)
        self._sent = self._lost = 0

    def figures(self, window_s: float, now: float) -> Figures:
        """What the samples of the last `window_s` on the present links say."""
        ring = self.ring
        rows = ring.count_since(max(now - window_s, self.since - 1e-9))
        apps, networks = ring.latest(rows, APP), ring.latest(rows, NETWORK)
        by_app, by_kernel = deviation(apps), mean(ring.latest(rows, DEVIATION))
        spreads = [by_app] if by_app is not None else []
        if by_kernel is not None:
            spreads.append(NORMAL * by_kernel)
        jitter = min(spreads, default=None)
        of_means = deviation(networks)
        if jitter is not None and of_means is not None:
            jitter = max(jitter, of_means)
        sent = sum(ring.latest(rows, SENT))
        return Figures(
            max(len(apps), len(networks)),
            mean(networks or apps),
            jitter,
            sum(ring.latest(rows, LOST)) / sent if sent >= MIN_SENT else None,
        )

    def mean_of(self, column: int, window_s: float, now: float) -> float | None:
        """The mean of one column over the same time."""
        return mean(self.ring.since(max(now - window_s, self.since - 1e-9), column))
