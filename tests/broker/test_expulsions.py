"""Expulsions: who goes on breaking rules is ended with a reason, stays out for a while, and takes nobody along."""

import pytest
from tests.broker.bench import Bench, small_config
from tests.broker.peer import Peer

from lanebus.conf.policy import PolicyConfig
from lanebus.wire.errors import ErrorNumber
from lanebus.wire.kinds import Kind
from lanebus.wire.lanes import Lane
from lanebus.wire.outcomes import Outcome, Reason


@pytest.fixture
def server(bench: Bench) -> Peer:
    """Who handles everything."""
    server = Peer(bench, "server:a").attach()
    server.ask(Kind.REGISTER, service="s", topics=["**"])
    return server


def misbehave(bench: Bench, peer: Peer, session: int = 0) -> int:
    """Send what is not allowed, and ignore every throttle, until that has an end; how many batches that took."""
    name = peer.name if not session else peer.sessions[session][0]
    for count in range(1, 40):
        peer.send_batch([peer.event("t", "player:9", session=session) for _ in range(30)])
        bench.advance(0.11)
        if bench.core.violations.cools_s(name, bench.now):
            return count
    raise AssertionError("nothing becomes of it")


def test_a_player_that_ignores_throttles_is_told_why_it_is_ended(bench: Bench, server: Peer) -> None:
    player = Peer(bench, "player:1").attach()
    assert 6 <= misbehave(bench, player) <= 8
    assert player.errors == [ErrorNumber.TOO_MANY_VIOLATIONS]
    text = player.last(Kind.ERROR).text
    assert "not_allowed" in text
    assert "30 s" in text
    assert not player.up
    assert server.up
    assert bench.core.counters.errors == {"too_many_violations": 1}


def test_its_name_is_refused_until_it_has_cooled_down(bench: Bench, server: Peer) -> None:
    player = Peer(bench, "player:1").attach()
    misbehave(bench, player)
    for again in (player, Peer(bench, "player:1")):
        again.attach()
        assert again.errors[-1] == ErrorNumber.COOLING_DOWN
        assert "not before 2" in again.last(Kind.ERROR).text
    assert bench.core.hellos.refused == 2
    assert Peer(bench, "player:2").attach().up
    bench.advance(30.0)
    server.attach()
    later = Peer(bench, "player:1").attach()
    assert later.up
    later.send("t", None)
    bench.advance(0.2)
    server.settle_all()
    bench.advance(0.3)
    assert not later.waits


def test_who_comes_back_with_garbage_again_and_again_is_refused(bench: Bench, server: Peer) -> None:
    player = Peer(bench, "player:1")
    count = 0
    while player.attach().up:
        player.put(b"garbage")
        bench.advance(0.11)
        count += 1
        assert count < 20, "nothing becomes of it"
    assert 7 <= count <= 9
    assert player.errors == [*([ErrorNumber.SHORT_FRAME] * count), ErrorNumber.COOLING_DOWN]
    # It does not help to be another process.
    assert Peer(bench, "player:1").attach().errors == [ErrorNumber.COOLING_DOWN]
    assert server.up


def test_a_flood_of_control_is_ended() -> None:
    bench = Bench(small_config(policy=PolicyConfig()))
    server = Peer(bench, "server:a").attach()
    player = Peer(bench, "player:1").attach()
    for _ in range(600):
        player.ping()
    bench.turn()
    assert player.up
    for _ in range(10):
        for _ in range(200):
            player.ping()
        bench.advance(0.11)
    assert player.errors == [ErrorNumber.TOO_MANY_VIOLATIONS]
    for _ in range(3000):
        server.ping()
    bench.turn()
    assert server.up


def test_a_player_behind_a_gateway_loses_its_session_and_nobody_else_notices(
    bench: Bench, server: Peer
) -> None:
    gateway = Peer(bench, "gateway:g").attach()
    gateway.open(1, "player:1")
    gateway.open(2, "player:2")
    waits = gateway.send("t", None, Lane.NORMAL, session=1)
    bench.advance(0.3)
    misbehave(bench, gateway, session=1)
    assert "player:1" not in bench.core.directory.peers
    assert gateway.up
    bench.advance(0.5)
    # What it had sent is still delivered; what becomes of that nobody tells it.
    assert server.numbers(Lane.NORMAL) == [waits]
    gone = (Outcome.UNKNOWN, Reason.SENDER_GONE)
    assert gateway.end_of(waits, Lane.NORMAL, session=1) == gone
    # What was held back comes again, as the throttle said, and is told its end then.
    gateway.send_batch(list(gateway.sender(Lane.CRITICAL, 1).unsettled.values()))
    late = gateway.send("t", None, session=1)
    fine = gateway.send("t", None, session=2)
    bench.advance(0.5)
    assert gateway.end_of(late, session=1) == gone
    assert not gateway.sender(Lane.CRITICAL, 1).unsettled
    server.settle_all()
    bench.advance(0.5)
    assert gateway.end_of(fine, session=2) == (Outcome.DELIVERED, Reason.NONE)
    refused = gateway.dones[gateway.open(3, "player:1")]
    assert refused.error == ErrorNumber.COOLING_DOWN
    bench.advance(3.0)
    gateway.ping()
    bench.advance(27.0)
    gateway.attach()
    server.attach()
    assert gateway.dones[gateway.open(4, "player:1")].error == 0
    assert bench.problems() == []


def test_a_gateway_itself_is_ended_for_its_own_frames(bench: Bench, server: Peer) -> None:
    gateway = Peer(bench, "gateway:g")
    for _ in range(9):
        gateway.attach()
        gateway.put(b"garbage")
        bench.advance(0.11)
    assert gateway.errors[-1] == ErrorNumber.COOLING_DOWN
    assert server.up


def test_a_session_that_has_ended_in_the_same_turn_is_left_alone(bench: Bench, server: Peer) -> None:
    gateway = Peer(bench, "gateway:g").attach()
    gateway.open(1, "player:1")
    session = bench.session("player:1")
    bench.core.violations.spent[session] = None
    gateway.close(1)
    bench.turn()
    assert gateway.up
    assert bench.problems() == []
