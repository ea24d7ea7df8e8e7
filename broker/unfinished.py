"""Unfinished messages: frames that all say that more will follow, which libzmq gathers without a limit. Without I/O.

What has come by a connection since a message of it was read is at most one message, if all that is whole has been read.
A message is one frame; whoever has sent more than the largest one is not going to finish.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from lanebus.broker.connections import Connection

MARGIN_BYTES: Final = 65_536
"""What comes beside a frame: its header, the handshake, what libzmq reads in one go."""
DRIP_BYTES_PER_S: Final = 32.0
"""Heartbeats, which are no messages."""
NEAR_SHARE: Final = 0.25
"""Of what a connection may send; if so much has come since it was marked, it is looked at again soon."""
NOTED_BYTES: Final = 16_384
"""Of whom holds less, many hold little."""
MOST_FRAMES: Final = 64
"""As many of the largest frames all connections together may hold that they have not finished."""
STEP_BYTES: Final = 32 << 20
"""How much the process has to have grown by for all connections to be looked at without a pause."""


def unfinished_bytes(connection: Connection, heard: float, came_bytes: int, now: float) -> int:
    """How much has come by a connection since a message of it was read, but for its heartbeats.

    Args:
        heard: changes with every message that is read; where it has changed, the connection is marked anew.
        came_bytes: all that ever came by it.
    """
    if heard != connection.heard:
        connection.heard, connection.mark_bytes, connection.marked_at = heard, came_bytes, now
        return 0
    heartbeats = int(DRIP_BYTES_PER_S * (now - connection.marked_at))
    return max(0, came_bytes - connection.mark_bytes - heartbeats)


class Holders:
    """Connections by which much of a message has come and not its end: each may be honest, all of them may not.

    Args:
        most_bytes: what they may hold together.
    """

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self._held: dict[Connection, int] = {}

    def __iter__(self) -> Iterator[Connection]:
        """Those that have not ended."""
        return iter([each for each in self._held if not each.is_over])

    def note(self, connection: Connection, held_bytes: int) -> None:
        """One was looked at, and holds so much."""
        if held_bytes > NOTED_BYTES:
            self._held[connection] = held_bytes
        else:
            self._held.pop(connection, None)

    def too_many(self) -> list[Connection]:
        """Those that hold the most, of whom the others would hold little enough."""
        self._held = {each: held for each, held in self._held.items() if not each.is_over}
        left = sum(self._held.values())
        going: list[Connection] = []
        if left > self._most_bytes:
            for connection, held in sorted(self._held.items(), key=lambda item: -item[1]):
                going.append(connection)
                left -= held
                if left <= self._most_bytes:
                    break
        return going


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
