"""The budget: bytes of all events under way in the broker, and in which order it gives way when they become too many.

First volatile events are shed, then newcomers are refused. At the limit nothing more is accepted, so that events stay
with their senders, and parts of group events that wait for slow receivers are dropped. `latest` values need no step of
their own: each takes its predecessor's place at any time.
"""

from __future__ import annotations

from typing import Final

SHED_SHARE: Final = 0.8
"""Share of the budget from which on volatile events are dropped as they come."""
REFUSE_SHARE: Final = 0.9
"""Share from which on peers that are not known are refused."""
EASED_SHARE: Final = 0.95
"""Once it was used up: share below which events are accepted again."""


class Budget:
    """One account of the whole broker.

    Args:
        limit_bytes: what events may take, each counted once however many receivers it has.
    """

    def __init__(self, limit_bytes: int) -> None:
        self.limit_bytes = limit_bytes
        self.held_bytes = 0
        self._pushing_back = False

    @property
    def sheds(self) -> bool:
        """Whether volatile events are dropped."""
        return self.held_bytes >= self.limit_bytes * SHED_SHARE

    @property
    def refuses(self) -> bool:
        """Whether newcomers are refused."""
        return self.held_bytes >= self.limit_bytes * REFUSE_SHARE

    @property
    def excess_bytes(self) -> int:
        """What has to end before events are accepted again; 0 or less while they are."""
        return self.held_bytes - int(self.limit_bytes * EASED_SHARE)

    @property
    def pushes_back(self) -> bool:
        """Whether nothing is accepted: from the limit on, until some room is there again."""
        if self.held_bytes >= self.limit_bytes:
            self._pushing_back = True
        elif self._pushing_back and self.excess_bytes < 0:
            self._pushing_back = False
        return self._pushing_back
