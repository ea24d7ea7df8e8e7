"""The ends of real connections: who is gone is known at once, and nobody else is taken for it."""

import math
import time
from collections.abc import Iterator

import pytest
from tests.broker.bench import small_config
from tests.broker.peer import Peer
from tests.broker.test_driver import WAIT_S, Running, Sockets
from tests.broker.test_stalls import Sleeper

from lanebus.broker.connections import DOUBTS
from lanebus.broker.driver import Broker
from lanebus.broker.lookout import LOOK_S
from lanebus.broker.stalls import away_reason
from lanebus.conf.model import Config, SessionsConfig
from lanebus.wire.kinds import Kind
from lanebus.wire.lanes import Lane
from lanebus.wire.presence import What

pytestmark = pytest.mark.system

PATIENT: Config = small_config(
    sessions=SessionsConfig(
        ping_interval_s=300.0, lease_s=600.0, grace_s=600.0, stalled_s=1200.0, recovery_s=0.0
    )
)
"""Nobody is found to be silent, or is pinged."""


@pytest.fixture
def running() -> Iterator[Running]:
    running = Running(PATIENT)
    yield running
    running.stop()
    running.sockets.close()
    running.broker.close()


def looks(running: Running, count: int) -> None:
    """Wait until the broker has looked so often."""
    monitors = running.broker._monitors
    for _ in range(count):
        due = monitors.due
        running.sockets.until(lambda due=due: monitors.due != due, "the broker to look")  # type: ignore[misc]


def test_whoever_is_gone_is_away_though_nobody_sends_to_it(running: Running) -> None:
    net = running.sockets
    player = Peer(net, "player:1").attach()
    attachment = running.broker.core.registry.attachments["player:1"]
    player.cut()
    net.until(lambda: attachment.away_since is not None, "the player to be away")
    assert attachment.line.lost_reason == "its connection was gone"


def test_a_gateways_players_are_away_with_it(running: Running) -> None:
    net = running.sockets
    server, gateway = Peer(net, "server:a").attach(), Peer(net, "gateway:g").attach()
    server.ask(Kind.WATCH, what="players")
    for index in range(1, 4):
        gateway.open(index, f"player:{index}")
    gateway.cut()

    def away() -> set[str]:
        said = [
            entry for kind, message in server.messages if kind is Kind.PRESENCE for entry in message.entries
        ]
        return {entry.player for entry in said if entry.what is What.AWAY}

    net.until(lambda: away() == {"player:1", "player:2", "player:3"}, "all its players to be away")


def test_a_stalled_process_that_is_killed_is_stalled_no_more() -> None:
    impatient = SessionsConfig(
        ping_interval_s=0.1, lease_s=0.3, grace_s=600.0, stalled_s=1200.0, recovery_s=0.0
    )
    running = Running(small_config(sessions=impatient))
    try:
        # Nothing but the end of its connection says so.
        running.broker.core.stalls._next_probe = math.inf
        net = running.sockets
        player = Sleeper(net, "player:1")
        player.attach()
        player.asleep = True
        attachment = running.broker.core.registry.attachments["player:1"]
        net.until(lambda: attachment.stalled is not None, "the player to be stalled")
        looks(running, DOUBTS + 2)
        assert away_reason(attachment) == "silent"
        player.cut()
        net.until(lambda: attachment.stalled is None, "the end of its connection")
        assert away_reason(attachment) == "no link"
    finally:
        running.stop()
        running.sockets.close()
        running.broker.close()


def test_whoever_comes_back_at_once_is_not_taken_for_the_one_that_was_cut(running: Running) -> None:
    net = running.sockets
    player = Peer(net, "player:1").attach()
    core = running.broker.core
    for _ in range(30):
        player.cut()
        player.attach()
    looks(running, DOUBTS + 2)
    attachment = core.registry.attachments["player:1"]
    assert attachment.away_since is None
    assert None not in attachment.links
    assert not player.errors
    player.cut()
    net.until(lambda: attachment.away_since is not None, "the last connection's end")


def test_goodbyes_are_goodbyes_whatever_ends_first(
    running: Running, caplog: pytest.LogCaptureFixture
) -> None:
    net = running.sockets
    caplog.set_level("INFO", "lanebus.broker")
    for number in range(8):
        player = Peer(net, f"player:{number}").attach()
        if number == 0:
            player.cut_lane(Lane.LOW)
            player.cut_lane(Lane.NORMAL)
            looks(running, DOUBTS + 2)
        player.bye()
        player.cut()
    core = running.broker.core
    net.until(lambda: not core.registry.attachments, "all to have left")
    looks(running, DOUBTS + 2)
    assert caplog.text.count("said goodbye") == 8


@pytest.fixture
def still() -> Iterator[tuple[Broker, Sockets]]:
    """A broker that is bound, and does something only when a test makes it."""
    broker = Broker(PATIENT.on_free_ports())
    broker.bind()
    sockets = Sockets(broker)
    yield broker, sockets
    sockets.close()
    broker.close()


def test_nobody_is_taken_for_gone_before_all_is_read_that_it_said(still: tuple[Broker, Sockets]) -> None:
    broker, net = still
    monitors, core, critical = broker._monitors, broker.core, broker._sockets[Lane.CRITICAL]
    player = Peer(net, "player:1")
    net.turn = lambda: None  # type: ignore[method-assign]
    player.incarnation = 1
    player.say_hello()
    assert critical.poll(int(WAIT_S * 1000))
    broker._drain(Lane.CRITICAL, time.monotonic() + WAIT_S, 1)
    broker._send(time.monotonic())
    attachment = core.registry.attachments["player:1"]
    player.bye()
    # What it says is there before its end is.
    assert critical.poll(int(WAIT_S * 1000))
    player.cut()
    deadline = time.monotonic() + WAIT_S
    while not monitors._doubts.has_new:
        assert time.monotonic() < deadline
        monitors.look(time.monotonic(), [True] * 4)
        time.sleep(LOOK_S / 10)
    for _ in range(DOUBTS):
        monitors.look(time.monotonic(), [True] * 4)
        broker._send(time.monotonic())
    assert attachment.away_since is None
    broker._drain(Lane.CRITICAL, time.monotonic() + WAIT_S, 10)
    monitors.look(time.monotonic(), [False, True, True, True])
    broker._send(time.monotonic())
    assert core.registry.attachments == {}
