"""Sends players to matches: `python -m lanebus.examples.matchmaker`, with a broker and some match_servers running.

It is ready as soon as there is a match to send players to, watches the instances of the service `match`, and binds each
player who asks to the one with the fewest players for its weight. From then on what that player sends without naming a
server goes there.
"""

from __future__ import annotations

import argparse
from collections import Counter
from contextlib import suppress

import lanebus


class Matchmaker:
    """Knows who plays where."""

    def __init__(self, adapter: lanebus.ServerAdapter) -> None:
        self.adapter = adapter
        self.where: dict[str, str] = {}
        """Players, and the servers that they were sent to."""
        adapter.on("match.find")(self.find)
        adapter.on_service(self.changed)
        adapter.watch_services()

    def choose(self) -> str | None:
        """The instance with most room for its weight: one that is ready, else one that is degraded."""
        players = Counter(self.where.values())
        for state in (lanebus.ServiceState.READY, lanebus.ServiceState.DEGRADED):
            found = [each for each in self.adapter.services.get("match", {}).values() if each.state is state]
            if found:
                return min(found, key=lambda each: (players[each.name] / each.weight, each.name)).name
        return None

    def find(self, event: lanebus.Event) -> None:
        """A player wants to play; one who asks again stays where it is."""
        server = self.where.get(event.sender) or self.choose()
        if server is None:
            self.adapter.send("match.none", to=event.sender)
            return
        self.where[event.sender] = server
        self.adapter.assign(event.sender, "match", server)
        # It waits in the broker until the player is bound.
        self.adapter.send("match.found", {"server": server}, to=event.sender)

    def changed(self, change: lanebus.ServiceChange) -> None:
        """An instance is another one than before; players of one that is gone may ask anew."""
        instance = change.instance
        if instance.service != "match":
            return
        why = f": {instance.reason}" if instance.reason else ""
        print(f"{instance.name} is {instance.state.value}{why}", flush=True)
        if instance.state is lanebus.ServiceState.GONE:
            self.where = {player: server for player, server in self.where.items() if server != instance.name}


def main() -> None:
    """Serve until Ctrl-C."""
    parser = argparse.ArgumentParser(description="Sends players to instances of the service 'match'.")
    parser.add_argument("--broker", default="tcp://127.0.0.1:5570", help="address of its critical lane")
    options = parser.parse_args()
    server = lanebus.ServerAdapter(
        "matchmaker-1", service="matchmaking", depends_on=["match"], priority=-10, broker=options.broker
    )
    Matchmaker(server)
    with suppress(KeyboardInterrupt), server:
        while True:
            server.wait()


if __name__ == "__main__":
    main()
