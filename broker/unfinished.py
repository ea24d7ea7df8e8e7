"""Unfinished messages: frames that all say that more will follow, which libzmq gathers without a limit. Without I/O.

What has come by a connection since a message of it was read is at most one message, if all that is whole has been read.
A message is one frame; whoever has sent more than the largest one is not going to finish.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from lanebus.broker.connections import Connection

MARGIN_BYTES: Final = 65_536
"""What comes beside a frame: its header, the handshake, what libzmq reads in one go."""
DRIP_BYTES_PER_S: Final = 32.0
"""Heartbeats, which are no messages."""
NEAR_SHARE: Final = 0.25
"""From this share of what it may send on, a connection is looked at again soon."""
STEP_BYTES: Final = 32 << 20
"""How much the process has to have grown by for all connections to be looked at without a pause."""


def has_too_much(
    connection: Connection, heard: float, came_bytes: int, most_bytes: float, now: float
) -> bool:
    """Whether more than `most_bytes` have come by a connection since a message of it was read.

    Args:
        heard: changes with every message that is read; where it has changed, the connection is marked anew.
        came_bytes: all that ever came by it.
    """
    if heard != connection.heard:
        connection.heard, connection.mark_bytes, connection.marked_at = heard, came_bytes, now
        return False
    allowed = most_bytes + DRIP_BYTES_PER_S * (now - connection.marked_at)
    return came_bytes - connection.mark_bytes > allowed


class Rounds:
    """Which connections are looked at when: in rounds, a portion at a time.

    Args:
        portion: how many at a time.
    """

    def __init__(self, portion: int) -> None:
        self._portion = portion
        self._round: list[Connection] = []
        self._base_bytes: int | None = None
        self.hurries = False
        """Whether a round is under way that is not to wait between its portions."""

    def take(self, connections: Iterable[Connection], process_bytes: int) -> list[Connection]:
        """The next portion.

        Args:
            connections: all that there are, for the next round.
            process_bytes: what the process takes. If that has grown by much since the last whole round, it may be by
                what a connection does not finish, and the next one does not wait.
        """
        if self._base_bytes is None:
            self._base_bytes = process_bytes
        if not self.hurries and process_bytes - self._base_bytes > STEP_BYTES:
            # From the beginning: it may be one that was looked at before.
            self.hurries, self._round = True, list(connections)
        elif not self._round:
            if self.hurries:
                self.hurries, self._base_bytes = False, process_bytes
            self._round = list(connections)
        self._base_bytes = min(self._base_bytes, process_bytes)
        portion = self._round[-self._portion :]
        del self._round[-self._portion :]
        return portion
