"""The pulse of a connection: when to ping, and after how long a silence the links count as lost."""

from __future__ import annotations

from collections.abc import Iterable

from lanebus.adapters.outlane import OutLane
from lanebus.adapters.retry import Patience
from lanebus.wire.header import NUMBERS_USED_UP
from lanebus.wire.lanes import TIMER_SLACK_S


class Pulse:
    """One attachment's."""

    def __init__(self) -> None:
        self.ping_interval_s = 2.0
        self.lease_s = 10.0
        self.dialled_at = 0.0
        self.heard_at = 0.0
        """When a frame of the broker came last."""
        self.next_ping: float | None = None
        self._next_look: float | None = None
        self.give_up_at: float | None = None
        """When a broker that was dialled has been silent for too long."""
        self._patience = Patience()

    def dialled(self, now: float) -> None:
        """A broker was dialled, and a hello sent."""
        self.dialled_at = now
        self.give_up_at = now + self._patience.s

    def welcomed(self, now: float) -> None:
        """One link is welcome."""
        self.give_up_at = now + self._patience.s

    def up(self, now: float) -> None:
        """All links are up."""
        self._patience.succeeded()
        self.give_up_at = None
        self.next_ping = self._next_look = now

    def gives_up(self, now: float) -> float:
        """For how long a broker that was dialled has been silent, in seconds, if that is too long; else 0."""
        if self.give_up_at is None or now + TIMER_SLACK_S < self.give_up_at:
            return 0.0
        silent_for_s = self._patience.s
        self._patience.was_in_vain()
        return silent_for_s

    def stop(self) -> None:
        """There are no links."""
        self.give_up_at = self.next_ping = self._next_look = None

    def look(self, now: float, lanes: Iterable[OutLane]) -> str:
        """Look at what is due.

        Returns:
            Why the links are lost; empty if they are not.
        """
        # Not only when a ping is due: who has few turns pings in each, and would never look.
        if self._next_look is not None and now + TIMER_SLACK_S >= self._next_look:
            self._next_look = now + self.ping_interval_s
            if now - self.heard_at > self.lease_s:
                return f"silent for {now - self.heard_at:.1f} s"
            for lane in lanes:
                since = lane.unacknowledged_since()
                if since is not None and now - since > self.lease_s:
                    # The others may be well: a lane on which nothing is acknowledged is lost all the same.
                    return f"nothing acknowledged on {lane.lane.label} for {now - since:.1f} s"
                if lane.next_number > NUMBERS_USED_UP:
                    return f"the numbers of batches on {lane.lane.label} are used up"
        return ""

    def is_ping_due(self, now: float) -> bool:
        """Whether a ping leaves now."""
        return self.next_ping is not None and now + TIMER_SLACK_S >= self.next_ping

    def pinged(self, now: float) -> float:
        """A ping leaves.

        Returns:
            How much later than it should have, in seconds: the program gave no turn.
        """
        due, self.next_ping = self.next_ping, now + self.ping_interval_s
        return 0.0 if due is None else max(0.0, now - due)
