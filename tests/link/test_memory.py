"""Memory under lasting traffic: what is settled leaves nothing behind in the broker or in adapters."""

import gc
import tracemalloc

from tests.link.link import Net
from tests.link.process import Peer, settle

from lanebus.broker.audit import audit
from lanebus.conf.model import Config, SessionsConfig
from lanebus.wire.lanes import LANES
from lanebus.wire.names import Role

PLAYERS = 12
TICKS_PER_S = 30
ROUND_S = 15
FLAT_BYTES = 64 * 1024
"""What rings that are not full yet may take in a round. Two bytes kept of each part would be more."""


def played(net: Net, server: Peer, players: list[Peer]) -> int:
    """A round of a match, to its end: how many events were handled. Nothing of it is kept here."""
    for tick in range(ROUND_S * TICKS_PER_S):
        for unit in range(4):
            server.send("group:room", (tick, unit), lane=LANES[unit % 3], mode="latest", key=unit)
            server.send("all", (tick, unit))
        for player in players:
            player.send(None, tick, lane=LANES[tick % 3])
        server.flush()
        net.run(1.0 / TICKS_PER_S)
    settle(server, *players)
    handled = 0
    for peer in (server, *players):
        for each in peer.handled.values():
            handled += len(each)
            each.clear()
        peer.told.clear()
    return handled


def taken_bytes() -> int:
    """What all objects of this process take that have been made since tracing began."""
    gc.collect()
    return tracemalloc.get_traced_memory()[0]


def test_what_is_settled_leaves_nothing_behind() -> None:
    net = Net(Config(sessions=SessionsConfig(recovery_s=0.0)))
    server = Peer(net, "arena")
    server.start()
    server.register("arena", ["**"])
    server.up()
    players = [Peer(net, str(number), Role.CLIENT).up() for number in range(PLAYERS)]
    for player in players:
        server.join("room", player.name)
    net.run(1.0)
    played(net, server, players)
    tracemalloc.start()
    try:
        played(net, server, players)
        before = taken_bytes()
        handled = played(net, server, players)
        grown = taken_bytes() - before
    finally:
        tracemalloc.stop()
    assert handled > 40_000
    assert grown < FLAT_BYTES
    net.run(3.0)
    assert audit(net.core).at_rest
