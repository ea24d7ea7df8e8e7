"""An honest server and an honest player, who go on while others do what they should not, and are to notice nothing."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from types import TracebackType

from lanebus import ClientAdapter, Loop, ServerAdapter

DEADLINE_S = 60.0
EVERY_S = 0.04


class Attack(threading.Thread):
    """What others do meanwhile, in a thread of its own; what becomes of it is raised where it is waited for."""

    def __init__(self, attack: Callable[[], object]) -> None:
        super().__init__(name="attack")
        self._attack = attack
        self._failure: BaseException | None = None

    def run(self) -> None:
        try:
            self._attack()
        except BaseException as error:
            self._failure = error

    def finish(self) -> None:
        """Wait for its end."""
        self.join()
        if self._failure is not None:
            raise self._failure


class HonestPair:
    """`server:honest` and `player:honest`, attached to a broker."""

    def __init__(self, address: str) -> None:
        self.server = ServerAdapter("honest", service="arena", broker=address)
        self.player = ClientAdapter("honest", broker=address)
        self.loop = Loop()
        self._moves: list[int] = []
        self._states: list[int] = []
        self._ended: list[object] = []
        self.server.on("player.move")(lambda event: self._moves.append(event.payload))
        self.player.on("unit.state")(lambda event: self._states.append(event.payload))
        for adapter in (self.server, self.player):
            adapter.on_unsettled(self._ended.append)
            adapter.start()
            self.loop.add(adapter)

    def __enter__(self) -> HonestPair:
        self.until(lambda: self.server.state == self.player.state == "up", "both are up")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self.loop.close_all(5.0)

    def until(self, done: Callable[[], bool], what: str) -> None:
        """Turn until a state is reached."""
        deadline = time.monotonic() + DEADLINE_S
        while not done():
            assert time.monotonic() < deadline, f"still waiting until {what}"
            self.loop.turn(0.02)

    def goes_on_during(self, attack: Callable[[], object]) -> None:
        """Send to each other until an attack is over, and notice nothing of it."""
        under_way = Attack(attack)
        under_way.start()
        number = 0
        next_at = time.monotonic()
        while under_way.is_alive():
            if time.monotonic() >= next_at:
                next_at += EVERY_S
                number += 1
                self.player.send("player.move", number, lane="critical")
                self.server.send("unit.state", number, to="player:honest")
            self.loop.turn(max(0.0, next_at - time.monotonic()))
        under_way.finish()
        self.until(lambda: not self.player.in_flight and not self.server.in_flight, "everything is settled")
        assert self._moves == self._states == list(range(1, number + 1))
        assert self._ended == []
        assert (self.player.core.connects, self.server.core.connects) == (1, 1)
