"""Which of a name's processes gets an event: a later one is told that an earlier may have had it, or gets nothing.

The worlds of `test_random.py` look for the mark after every step.
"""

import pytest
from tests.link.link import Net, Reaches
from tests.link.process import Peer, payloads, settle

from lanebus.adapters.actions import State
from lanebus.conf.model import Config, SessionsConfig
from lanebus.wire.names import Role
from lanebus.wire.outcomes import Outcome, Reason

SESSIONS = SessionsConfig(grace_s=20.0, recovery_s=10.0, ping_interval_s=0.5, lease_s=2.0)
SENT = (Outcome.UNKNOWN, Reason.PROCESS_ENDED)
NOT_SENT = (Outcome.REFUSED, Reason.PROCESS_ENDED)
TO = pytest.mark.parametrize("to", ["player:1", ["player:1", "player:2"], "group:room"])


@pytest.fixture
def net() -> Net:
    return Net(Config(sessions=SESSIONS))


def started(net: Net) -> tuple[Peer, Peer]:
    """A server, and a player in a room of its with another."""
    server = Peer(net, "server").up()
    player = Peer(net, "1", Role.CLIENT).up()
    Peer(net, "2", Role.CLIENT).up()
    for member in ("player:1", "player:2"):
        server.join("room", member)
    net.run(0.5)
    return server, player


def ends(server: Peer) -> list[tuple[Outcome, Reason]]:
    return [(each.outcome, each.reason) for _, each in server.told]


@TO
def test_a_later_process_gets_nothing_that_was_for_the_present_one(net: Net, to: str | list[str]) -> None:
    server, player = started(net)
    player.events_per_turn = 0
    server.send(to, "now", present_process=True, flush=True)
    server.send(to, "whenever", flush=True)
    net.run(0.5)
    player.kill()
    net.run(3.0)
    successor = Peer(net, "1", Role.CLIENT).up()
    settle(server)
    assert list(payloads(successor)) == ["whenever"]
    assert [each.redelivered for each in successor.handled["player:1"]] == [True]
    assert ends(server) == [SENT]


def test_what_never_left_for_the_present_process_is_refused(net: Net) -> None:
    server, player = started(net)
    player.reaches = Reaches.REFUSAL
    player.cut()
    net.run(0.5)
    server.send("player:1", "first", flush=True)
    net.run(0.5)
    for payload in ("now", "whenever"):
        server.send("player:1", payload, present_process=payload == "now", flush=True)
    net.run(0.5)
    player.kill()
    successor = Peer(net, "1", Role.CLIENT).up()
    settle(server)
    assert list(payloads(successor)) == ["first", "whenever"]
    assert ends(server) in ([NOT_SENT], [SENT])


def test_the_present_process_gets_it_once_whatever_happens_to_its_links(net: Net) -> None:
    server, player = started(net)
    for number in range(10):
        server.send("player:1", number, present_process=True, flush=True)
        player.cut()
        net.run(0.7)
    settle(server)
    assert list(payloads(player)) == list(range(10))
    assert server.told == []


@pytest.mark.parametrize("has_seen", [True, False])
def test_another_broker_asks_who_has_had_it(net: Net, has_seen: bool) -> None:
    server, player = started(net)
    player.events_per_turn = None if has_seen else 0
    # What the player says of it is lost with the broker.
    server.send("player:1", "now", present_process=True, flush=True)
    net.run_until(lambda: bool(player.core.incoming.arrivals[1]) or has_seen, 1.0, "it is there")
    net.run(0.004)
    if not has_seen:
        player.kill()
    net.restart_broker()
    receiver = player if has_seen else Peer(net, "1", Role.CLIENT).up()
    net.run_until(lambda: server.core.state is State.UP, 10.0, "the server is back")
    settle(server)
    assert list(payloads(receiver)) == (["now"] if has_seen else [])
    assert ends(server) == ([] if has_seen else [SENT])


def test_what_a_broker_moves_to_another_instance_is_marked_there(net: Net) -> None:
    first, second = Peer(net, "first").up(), Peer(net, "second").up()
    player = Peer(net, "1", Role.CLIENT).up()
    first.register("match", ["t"])
    net.run(0.5)
    first.events_per_turn = 0
    player.send(None, "once", flush=True)
    net.run(0.5)
    second.register("match", ["t"])
    net.run(0.5)
    first.kill()
    net.restart_broker()
    settle(player)
    assert [(each.payload, each.redelivered) for each in second.handled["server:second"]] == [("once", True)]
