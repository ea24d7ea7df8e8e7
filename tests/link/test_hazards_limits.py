"""Traces that break careless limits. Each test is named after its hazard."""

from collections.abc import Callable
from functools import partial
from random import Random

import msgspec
import pytest
from tests.link.link import Net
from tests.link.process import Peer, payloads, settle

from lanebus.adapters.errors import OutboxFull
from lanebus.broker.audit import audit
from lanebus.broker.inspect import Inspector
from lanebus.broker.inspect_limits import change_limits
from lanebus.broker.peer_reports import at_sender
from lanebus.broker.portions import complete
from lanebus.broker.why import why
from lanebus.conf.model import Config, SessionsConfig
from lanebus.conf.policy import Policy, PolicyConfig
from lanebus.wire.kinds import Kind
from lanebus.wire.lanes import LANES, Lane
from lanebus.wire.names import Role

RATE, BURST = 100.0, 200


def net_with(policy: Policy | None = None, *, recovery_s: float = 0.0) -> Net:
    """A net whose players are limited, by default as they are by default."""
    config = PolicyConfig() if policy is None else PolicyConfig(client=policy)
    return Net(Config(policy=config, sessions=SessionsConfig(recovery_s=recovery_s)))


def world(net: Net, *, outbox_bytes: int = 40_000) -> tuple[Peer, Peer]:
    """A server that handles everything, and a player."""
    server = Peer(net, "server")
    server.start()
    server.register("s", ["**"])
    server.up()
    player = Peer(net, "1", Role.CLIENT, outbox_bytes=outbox_bytes).up()
    return server, player


def flood(peer: Peer, lane: Lane, first: int, size: int = 0) -> int:
    """Send until the outbox is full; the next number."""
    try:
        while True:
            peer.send(None, (first, "x" * size), lane=lane)
            first += 1
    except OutboxFull:
        return first


def wait_for(net: Net, count: Callable[[], int], wanted: int) -> float:
    """Wait until a count is there, and say for how long."""
    at = net.now
    net.run_until(lambda: count() >= wanted, 1.0, f"{wanted} are handled")
    return net.now - at


def combat(server: Peer) -> int:
    """How many critical events the server has handled."""
    return sum(each.lane is Lane.CRITICAL for each in server.handled.get(server.name, []))


def heard(server: Peer, sender: str) -> int:
    """How many events of one sender the server has handled."""
    return sum(each.sender == sender for each in server.handled.get(server.name, []))


@pytest.mark.parametrize("lane", LANES)
def test_who_sends_as_fast_as_it_can_gets_its_limit_and_loses_nothing(lane: Lane) -> None:
    net = net_with()
    server, player = world(net)
    began, sent = net.now, 0
    while net.now < began + 30.0:
        sent = flood(player, lane, sent)
        net.run(0.01)
    accepted = net.core.directory.peers["player:1"].sending[lane].book.accepted
    # What a lane may take at once, and then the whole rate: nobody else wants any of it.
    at_once = (0.5 + 0.375 / 2 + 0.125 / 2, 0.375 + 0.125 / 2, 0.125 + 0.375 / 2)[lane] * BURST
    assert accepted == pytest.approx(at_once + 30.0 * RATE, rel=0.02)
    settle(player)
    assert [number for number, _ in payloads(server)] == list(range(sent))
    assert player.told == []
    net.run(3.0)
    assert audit(net.core).at_rest


def test_a_flood_costs_few_throttles_and_few_events_that_leave_twice() -> None:
    net = net_with()
    _server, player = world(net)
    began, sent = net.now, 0
    while net.now < began + 20.0:
        sent = flood(player, Lane.NORMAL, sent)
        net.run(0.01)
    traffic = net.core.directory.peers["player:1"].traffic[Lane.NORMAL]
    assert 0 < player.heard[Kind.THROTTLE] < 40
    assert traffic.throttled < 0.5 * traffic.events_in


def test_a_throttle_that_comes_late_does_not_make_the_sender_go_round_for_ever() -> None:
    net = net_with()
    server, player = world(net)
    net.delay_s = 0.2  # much is under way when the sender hears that it is over its limit
    began, sent = net.now, 0
    while net.now < began + 10.0:
        sent = flood(player, Lane.NORMAL, sent)
        net.run(0.01)
    net.delay_s = 0.0005
    settle(player)
    session = net.core.directory.peers["player:1"]
    assert session.sending[Lane.NORMAL].book.accepted == sent
    assert session.traffic[Lane.NORMAL].throttled < 4 * sent
    assert [number for number, _ in payloads(server)] == list(range(sent))


def test_an_event_larger_than_the_burst_gets_through() -> None:
    net = net_with(Policy(up_bytes_per_s=2_000.0, bytes_burst_s=0.5, down_bytes_per_s=2_000.0))
    server, player = world(net, outbox_bytes=200_000)
    noise = Random(1).randbytes(20_000).hex()
    for number in range(4):
        player.send(None, (number, noise), lane=Lane.LOW)
    settle(player, within_s=200.0)
    assert [number for number, _ in payloads(server)] == [0, 1, 2, 3]
    server.send("player:1", (0, noise), lane=Lane.NORMAL)
    settle(server, within_s=200.0)
    assert len(list(payloads(player, "player:1"))) == 1


def test_telemetry_at_full_speed_takes_nothing_from_combat() -> None:
    net = net_with()
    server, player = world(net)
    sent, waits = 0, []
    for step in range(2_000):
        sent = flood(player, Lane.LOW, sent, 50)
        player.session().outbox.limit_bytes += 1_000
        if step % 3 == 0:
            player.send(None, (step, ""), lane=Lane.CRITICAL, flush=True)
            waits.append(wait_for(net, partial(combat, server), combat(server) + 1))
        player.session().outbox.limit_bytes -= 1_000
        net.run(0.01)
    # Thirty a second, less than critical's half: none of them ever waits for a limit.
    assert max(waits) < 0.05


def test_combat_at_full_speed_starves_neither_lane() -> None:
    net = net_with()
    _server, player = world(net, outbox_bytes=1 << 20)
    began = net.now
    while net.now < began + 20.0:
        for lane in LANES:
            for _ in range(3):
                player.send(None, (0, ""), lane=lane)
        net.run(0.01)
    books = [net.core.directory.peers["player:1"].sending[lane].book.accepted for lane in LANES]
    assert sum(books) == pytest.approx(BURST + 20.0 * RATE, rel=0.05)
    for lane, share in zip(LANES, (0.5, 0.375, 0.125), strict=True):
        assert books[lane] == pytest.approx(share * sum(books), rel=0.15)
    settle(player, within_s=900.0)


def test_what_a_player_is_replayed_to_a_new_broker_is_not_charged() -> None:
    net = net_with(Policy(events_per_s=10.0, events_burst=200), recovery_s=10.0)
    server, player = world(net)
    server.stall()
    for number in range(60):
        player.send(None, (number, ""))
    net.run(1.0)
    net.restart_broker(down_s=1.0)
    server.go_on()
    settle(player)
    session = net.core.directory.peers["player:1"]
    assert session.sending[Lane.NORMAL].book.accepted == 60
    assert session.traffic[Lane.NORMAL].throttled == 0
    assert [number for number, _ in payloads(server)] == list(range(60))


def test_a_throttle_lost_with_its_link_is_said_again() -> None:
    net = net_with()
    server, player = world(net)
    sent = flood(player, Lane.NORMAL, 0)
    net.run(0.05)
    for _ in range(10):
        player.cut(peer_after_s=0.01)
        sent = flood(player, Lane.NORMAL, sent)
        net.run(0.7)
    settle(player)
    assert [number for number, _ in payloads(server)] == list(range(sent))


def test_players_behind_one_gateway_pay_for_themselves_alone() -> None:
    net = net_with()
    server = Peer(net, "server")
    server.start()
    server.register("s", ["**"])
    server.up()
    gateway = Peer(net, "g", Role.GATEWAY, outbox_bytes=20_000).up()
    loud, calm = gateway.open("loud"), gateway.open("calm")
    net.run(0.5)
    sent = 0
    waits = []
    for step in range(300):
        try:
            for _ in range(50):
                gateway.send(None, (sent, ""), session=loud)
                sent += 1
        except OutboxFull:
            pass
        if step % 10 == 0:
            gateway.send(None, ("calm", ""), session=calm, flush=True)
            waits.append(wait_for(net, partial(heard, server, "player:calm"), step // 10 + 1))
        net.run(0.02)
    assert max(waits) < 0.1
    assert net.core.directory.peers["player:loud"].traffic[Lane.NORMAL].throttled > 0
    assert net.core.directory.peers["player:calm"].traffic[Lane.NORMAL].throttled == 0
    settle(gateway, within_s=200.0)


@pytest.mark.parametrize("lane", LANES)
@pytest.mark.parametrize("is_gateway", [False, True], ids=["own links", "gateway"])
def test_who_is_held_to_a_limit_goes_on_at_once_when_it_is_raised(lane: Lane, is_gateway: bool) -> None:
    net = net_with(Policy(events_per_s=5.0, events_burst=16))
    server = Peer(net, "server").start()
    server.register("s", ["**"])
    server.up()
    player = Peer(net, "g", Role.GATEWAY).up() if is_gateway else Peer(net, "1", Role.CLIENT).up()
    index = player.open("1") if is_gateway else 0
    for number in range(400):
        player.send(None, number, lane=lane, session=index)
    net.run(3.0)
    assert player.core.outgoing.throttled(net.now)
    assert len(server.handled["server:server"]) < 50
    complete(change_limits(net.core, "player:*", {"events_per_s": 0.0}, net.now), net.now)
    net.broker_turn()
    net.run(2.0)
    assert list(payloads(server)) == list(range(400))
    assert player.core.outgoing.throttled(net.now) == []


def test_who_is_held_to_a_limit_slows_down_when_it_is_lowered() -> None:
    net = net_with(Policy(events_per_s=100.0, events_burst=16))
    server, player = world(net)
    for number in range(400):
        player.send(None, number)
    net.run(1.0)
    complete(change_limits(net.core, "player:*", {"events_per_s": 2.0}, net.now), net.now)
    net.broker_turn()
    net.run(1.0)
    turned_away = net.core.counters.throttled[Lane.NORMAL]
    began = len(server.handled["server:server"])
    net.run(20.0)
    assert 20 <= len(server.handled["server:server"]) - began <= 60
    assert net.core.counters.throttled[Lane.NORMAL] - turned_away < 10


def test_a_flooders_backlog_is_shown_wherever_somebody_looks_for_it() -> None:
    net = net_with(Policy(events_per_s=20.0, events_burst=20))
    _, player = world(net)
    flood(player, Lane.LOW, 0)
    net.run(3.0)
    net.run_until(
        lambda: bool(at_sender(net.core.directory.peers[player.name])[0]), 5.0, "a ping has said so"
    )
    session = net.core.directory.peers[player.name]
    events, size_bytes = at_sender(session)
    # The broker has accepted what does not wait, but for the few that have left since.
    reported = session.reported
    assert reported is not None
    assert abs(events - (reported[Lane.LOW].accepted - session.sending[Lane.LOW].book.accepted)) <= 50
    assert events > 500
    assert size_bytes > 32 * events
    inspector = Inspector(net.core, {})
    for command, key in (("peers", "name"), ("queues", "peer")):
        reply = inspector.answer([msgspec.msgpack.encode({"command": command})], net.now)
        assert reply is not None
        rows = [row for row in msgspec.msgpack.decode(reply)["result"] if row[key] == player.name]
        assert sum(row["at_sender_events"] for row in rows) == events
        assert sum(row["at_sender_bytes"] for row in rows) == size_bytes
    found = why(net.core, player.name, lambda look: None, net.now)["verdicts"]
    assert [verdict["cause"] for verdict in found][:2] == ["throttled", "backlog"]
    assert found[1]["text"] == f"{events:,} events of it, {size_bytes:,} bytes, wait at their sender"
    net.run(120.0)
    assert at_sender(session) == (0, 0)
