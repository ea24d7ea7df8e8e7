"""A broker with a server and a player that talk all the time, for commands that look on."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from tests.cli.commands import wait_until

from lanebus import ClientAdapter, Loop, ServerAdapter
from lanebus.cli.broker_process import BrokerProcess

TURN_S = 0.01


class Busy:
    """The broker, and how much was handled so far."""

    def __init__(self, broker: BrokerProcess) -> None:
        self.broker = broker
        self.control = broker.addresses["control"]
        self.handled = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._talk, name="talk")

    def begin(self) -> None:
        """Let them talk until `end`."""
        self._thread.start()
        wait_until(lambda: self.handled > 3 or not self._thread.is_alive())
        assert self._thread.is_alive(), "they have stopped talking"

    def end(self) -> None:
        """Let them end."""
        self._stop.set()
        self._thread.join(20)
        assert not self._thread.is_alive()

    def _talk(self) -> None:
        address = self.broker.addresses["critical"]
        loop = Loop()
        server, player = (
            ServerAdapter("a", service="combat", broker=address),
            ClientAdapter("1", broker=address),
        )

        @player.on("tick")
        def tick(event: object) -> None:
            self.handled += 1

        for adapter in (server, player):
            adapter.start()
            loop.add(adapter)
        number = 0
        while not self._stop.wait(TURN_S):
            if server.state == player.state == "up" and server.in_flight < 100:
                number += 1
                server.send("tick", {"number": number}, to="player:1", lane="critical")
            loop.turn(0.0)
        loop.close_all(5.0)


@contextmanager
def busy() -> Iterator[Busy]:
    """A busy broker; it is idle at the end, and then gone."""
    with BrokerProcess({"sessions": {"recovery_s": 0.0}}) as broker:
        found = Busy(broker)
        found.begin()
        try:
            yield found
        finally:
            found.end()
