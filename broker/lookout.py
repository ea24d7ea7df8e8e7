"""The lookout: looks at connections as the kernel sees them, and hangs up on those that only cost."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import chain, islice
from typing import Final

from lanebus.broker.connections import Connection, Connections
from lanebus.broker.core import BrokerCore
from lanebus.broker.hangup import hang_up
from lanebus.broker.hangups import HangUp
from lanebus.broker.resident import resident_bytes
from lanebus.broker.tcpinfo import came, queued_bytes
from lanebus.broker.unfinished import (
    MARGIN_BYTES,
    MOST_FRAMES,
    NEAR_SHARE,
    NOTED_BYTES,
    Holders,
    Rounds,
    unfinished_bytes,
)
from lanebus.wire.errors import ErrorNumber, ProtocolError
from lanebus.wire.lanes import TIMER_SLACK_S, Lane

LOOK_S: Final = 0.1
"""Time between two looks."""
SOON_S: Final = 0.01
"""The same, while there is something to see."""
PORTION: Final = 64
"""Connections of each kind that are looked at in one go."""


class Lookout:
    """Looks at the connections of all sockets.

    Args:
        connections: of each socket.
        most_bytes: the largest frame of each socket, by lane; None is the control endpoint.
    """

    def __init__(
        self, core: BrokerCore, connections: Iterable[Connections], most_bytes: dict[Lane | None, int]
    ) -> None:
        self._core = core
        self._connections = {each.lane: each for each in connections}
        self._most_bytes = {lane: size + MARGIN_BYTES for lane, size in most_bytes.items()}
        self._holders = Holders(MOST_FRAMES * max(self._most_bytes.values()))
        self._hello_s = core.config.sessions.hello_timeout_s
        self._strangers = Rounds(PORTION)
        self._all = Rounds(PORTION)
        self._next_round = 0.0
        self._near: list[Connection] = []
        """Those by which much came lately: they may be past their limit soon."""
        self._suspects: list[tuple[Connection, float]] = []
        """Those past their limit, unless a message of them was there to be read."""

    def look(self, now: float, is_read: dict[Lane | None, bool]) -> float:
        """Look at a portion of them.

        Args:
            is_read: of which sockets all is read that had come by the last look.

        Returns:
            Seconds to the next look.
        """
        self._core.hang_ups.tell(now)
        self._convict(now, is_read)
        is_short = self._make_room(now)
        looked_at = dict.fromkeys(self._near)
        looked_at.update(dict.fromkeys(islice(self._holders, PORTION)))
        if now + TIMER_SLACK_S >= self._next_round:
            looked_at.update(dict.fromkeys(self._round()))
            hurries = self._strangers.hurries or self._all.hurries
            self._next_round = now if hurries else now + LOOK_S
        near = [each for each in looked_at if not each.is_over and self._look_at(each, now, is_read)]
        self._near = near[:PORTION]
        self._suspects += [(each, each.heard) for each in self._holders.too_many()]
        wait_s = self._next_round - now
        return min(wait_s, SOON_S) if is_short or self._suspects or self._near else wait_s

    def _round(self) -> Iterator[Connection]:
        """A portion of those without a hello, and of all."""
        process_bytes = resident_bytes()
        yield from self._strangers.take(self._of_all(Connections.strangers), process_bytes)
        yield from self._all.take(self._of_all(list), process_bytes)

    def _of_all(self, some: Callable[[Connections], list[Connection]]) -> Iterator[Connection]:
        return chain.from_iterable(map(some, self._connections.values()))

    def _make_room(self, now: float) -> bool:
        """Hang up on some if there are too few open files; whether there are."""
        open_files = self._core.bus.open_files
        if open_files is None:
            return False
        strangers = list(self._of_all(Connections.strangers))
        missing = open_files.missing(sum(map(len, self._connections.values())), len(strangers), now)
        if not missing:
            return False
        going = sorted(strangers, key=_least_wanted)[:missing]
        if len(going) < missing:
            without_link = [each for each in self._of_all(list) if each.routes and not self._has_link(each)]
            going += sorted(without_link, key=_least_wanted)[: missing - len(going)]
        for connection in going:
            self._hang_up(connection, HangUp.NO_ROOM, now)
        return True

    def _has_link(self, connection: Connection) -> bool:
        """Whether a link needs it, or a process that stands still."""
        lane, core = connection.lane, self._core
        return lane is not None and any(
            core.links.get(lane, route) is not None or core.stalls.has(route) for route in connection.routes
        )

    def _look_at(self, connection: Connection, now: float, is_read: dict[Lane | None, bool]) -> bool:
        """Look at one; whether it may be past its limit soon."""
        found = came(connection.descriptor)
        if found is None:
            return False
        if connection.far_end is None:
            connection.far_end = found.far_end
        elif connection.far_end != found.far_end:
            return False  # it has ended, and this is the next one
        heard, most_bytes = self._heard(connection), self._most_bytes[connection.lane]
        is_near = found.bytes - connection.mark_bytes > NEAR_SHARE * most_bytes
        held_bytes = unfinished_bytes(connection, heard, found.bytes, now)
        if held_bytes > NOTED_BYTES:
            # What the kernel has is not held by libzmq, and may be the end of the message.
            held_bytes -= queued_bytes(connection.descriptor)
        self._holders.note(connection, held_bytes)
        if held_bytes > most_bytes:
            self._suspects.append((connection, heard))
            return True
        is_late = now - connection.accepted_at > self._hello_s and not connection.routes
        if is_late and connection.lane is not None and is_read[connection.lane]:
            self._hang_up(connection, HangUp.NO_HELLO, now)
        return is_near

    def _convict(self, now: float, is_read: dict[Lane | None, bool]) -> None:
        """Hang up on suspects of whom no message was read, though all is read that had come."""
        suspects, self._suspects = self._suspects, []
        for connection, heard in suspects:
            if connection.is_over or heard != self._heard(connection):
                continue
            if is_read[connection.lane]:
                self._hang_up(connection, HangUp.UNFINISHED, now)
            else:
                self._suspects.append((connection, heard))

    def _hang_up(self, connection: Connection, why: HangUp, now: float) -> None:
        if connection.far_end is None:
            found = came(connection.descriptor)
            connection.far_end = found.far_end if found is not None else None
        if not hang_up(connection.descriptor, connection.far_end):
            return
        self._connections[connection.lane].hung_up(connection)
        self._core.hang_ups.note(why, connection.far_end, now)
        if why is HangUp.UNFINISHED and len(connection.routes) == 1 and connection.lane is not None:
            error = ProtocolError(ErrorNumber.FLOOD, "a message without an end")
            self._core.broke(connection.lane, connection.routes[-1], error, now)

    def _heard(self, connection: Connection) -> float:
        if connection.lane is None:
            return float(connection.messages)
        if not connection.routes:
            return 0.0
        return self._core.links.heard(connection.lane, connection.routes[-1])


def _least_wanted(connection: Connection) -> tuple[bool, float]:
    """Those who have had the longest time to say hello come first, and last those who look what is wrong."""
    return connection.lane is None, connection.accepted_at
