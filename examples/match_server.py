"""One instance of the service `match`: `python -m lanebus.examples.match_server NAME`, with a broker running.

It is starting while it loads its map, and tells the broker how well it is from then on. Players come to it as the
matchmaker says (`lanebus.examples.matchmaker`); `lanebus services` shows both.
"""

from __future__ import annotations

import argparse
import time
from contextlib import suppress

import lanebus

SEATS = 100


class MatchServer:
    """Counts the players who play here, and greets them."""

    def __init__(self, adapter: lanebus.ServerAdapter) -> None:
        self.adapter = adapter
        self.players: set[str] = set()
        adapter.on("match.enter")(self.enter)
        adapter.on("match.quit")(self.quit)

    def enter(self, event: lanebus.Event) -> None:
        """A player has been sent here."""
        self.players.add(event.sender)
        self.adapter.send("match.welcome", {"players": len(self.players)}, to=event.sender)

    def quit(self, event: lanebus.Event) -> None:
        """A player goes."""
        self.players.discard(event.sender)

    def health(self) -> str:
        """For the adapter, which asks every few seconds; newcomers go elsewhere while there is anywhere else."""
        return "ok" if len(self.players) < SEATS else f"{len(self.players)} players on {SEATS} seats"


def main() -> None:
    """Serve until Ctrl-C."""
    parser = argparse.ArgumentParser(description="An instance of the service 'match'.")
    parser.add_argument("name", nargs="?", default="match-1")
    parser.add_argument("--broker", default="tcp://127.0.0.1:5570", help="address of its critical lane")
    parser.add_argument("--weight", type=int, default=1, help="its share of the players")
    parser.add_argument("--loading-s", type=float, default=1.0, help="how long the map takes")
    options = parser.parse_args()
    server = lanebus.ServerAdapter(options.name, broker=options.broker)
    match = MatchServer(server)
    server.register(
        "match", version="1.0", weight=options.weight, tags=["ranked"], health=match.health, starting=True
    )
    with suppress(KeyboardInterrupt), server:
        server.wait(until=time.monotonic() + options.loading_s)  # the map is loaded
        server.ready()
        while True:
            server.wait()


if __name__ == "__main__":
    main()
