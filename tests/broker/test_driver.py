"""The driver on real sockets: a broker in a thread, peers and strangers that dial it."""

import contextlib
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import zmq
from tests.broker.bench import Endpoint, small_config
from tests.broker.peer import Peer
from tests.broker.traffic import DELIVERED

from lanebus.broker import driver
from lanebus.broker.driver import BindError, Broker
from lanebus.broker.line import NETWORK
from lanebus.broker.notify import Notifier
from lanebus.broker.sockets import port_of
from lanebus.broker.strangers import MAX_FRAMES
from lanebus.conf.model import (
    Config,
    ControlConfig,
    LaneConfig,
    LanesConfig,
    SessionsConfig,
    WindowConfig,
)
from lanebus.wire.errors import ErrorNumber
from lanebus.wire.header import decode_header
from lanebus.wire.kinds import Kind
from lanebus.wire.lanes import LANES, Lane
from lanebus.wire.pings import Ping

WAIT_S = 10.0
FULL_S = 0.3
"""A connection that has taken nothing for this long is full."""


class Sockets:
    """A network of real DEALER sockets for peers."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._dialled: list[zmq.Socket[bytes]] = []
        self._dealers: dict[tuple[Lane, bytes], tuple[zmq.Socket[bytes], Endpoint]] = {}

    @property
    def now(self) -> float:
        return time.monotonic()

    def dial(self, name: str, kind: int = zmq.DEALER, **options: int) -> zmq.Socket[bytes]:
        dealer = self._context.socket(kind)
        dealer.setsockopt(zmq.LINGER, 0)
        for option, value in options.items():
            dealer.setsockopt(getattr(zmq, option), value)
        dealer.connect(self._broker.addresses[name])
        self._dialled.append(dealer)
        return dealer

    def connect(self, lane: Lane, endpoint: Endpoint) -> bytes:
        route = os.urandom(5)
        self._dealers[lane, route] = (self.dial(lane.label), endpoint)
        return route

    def cut(self, lane: Lane, route: bytes) -> None:
        dealer, _ = self._dealers.pop((lane, route))
        dealer.close()

    def receive(self, lane: Lane, route: bytes, frame: bytes, *, more: bool = False) -> None:
        dealer, _ = self._dealers[lane, route]
        dealer.send_multipart([frame, b"more", b"and more"] if more else [frame])

    def turn(self) -> None:
        """Take what arrives until nothing more does; wait for the first of it."""
        patience_ms = 2000
        while self._take(patience_ms):
            patience_ms = 30

    def _take(self, timeout_ms: int) -> bool:
        poller = zmq.Poller()
        by_socket = {dealer: (lane, endpoint) for (lane, _), (dealer, endpoint) in self._dealers.items()}
        for dealer in by_socket:
            poller.register(dealer, zmq.POLLIN)
        ready = poller.poll(timeout_ms)
        for dealer, _ in ready:
            lane, endpoint = by_socket[dealer]
            if not dealer.closed:
                endpoint.take_frame(lane, dealer.recv())
        return bool(ready)

    def until(self, condition: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + WAIT_S
        while not condition():
            assert time.monotonic() < deadline, f"waited {WAIT_S:g} s for {what}"
            self._take(20)

    def close(self) -> None:
        for dealer in self._dialled:
            dealer.close()
        self._context.term()


class Running:
    """A broker that serves in a thread of its own."""

    def __init__(self, config: Config, notifier: Notifier | None = None) -> None:
        self.broker = Broker(config.on_free_ports(), notifier)
        self.broker.bind()
        self.sockets = Sockets(self.broker)
        self.thread = threading.Thread(target=self.broker.run, name="broker")
        self.thread.start()

    def stop(self) -> None:
        self.broker.stop()
        self.thread.join(WAIT_S)
        assert not self.thread.is_alive()

    def ask(self, command: str) -> dict[str, Any]:
        control = self.sockets.dial("control")
        control.send(msgspec.msgpack.encode({"command": command}))
        assert control.poll(int(WAIT_S * 1000))
        reply: dict[str, Any] = msgspec.msgpack.decode(control.recv())
        control.close()
        return reply


@pytest.fixture
def running() -> Iterator[Running]:
    running = Running(small_config())
    yield running
    running.stop()
    running.sockets.close()
    running.broker.close()


# Serving


def test_events_travel_on_all_lanes_and_are_settled(running: Running) -> None:
    net = running.sockets
    server, player = Peer(net, "server:a").attach(), Peer(net, "player:1").attach()
    for lane in LANES:
        for _ in range(5):
            server.send("t", "player:1", lane, b"payload")
    net.until(lambda: len(player.got) == 15, "all events")
    assert [player.numbers(lane) for lane in LANES] == [[1, 2, 3, 4, 5]] * 3
    player.settle_all()
    net.until(lambda: not server.waits, "the settlements")
    assert {server.end_of(number, lane) for number in range(1, 6) for lane in LANES} == {DELIVERED}
    server.ping()
    net.until(lambda: Kind.PONG in server.kinds(), "the pong")
    reply = running.ask("audit")
    assert reply["result"]["balanced"]
    assert reply["result"]["books"]["parts"]["low"]["delivered"] == 5


def test_the_welcome_gives_the_ports_that_were_bound(running: Running) -> None:
    peer = Peer(running.sockets, "player:1").attach()
    assert peer.welcome is not None
    assert peer.welcome.ports == [port_of(running.broker.addresses[lane.label]) for lane in LANES]


@pytest.mark.parametrize(
    ("frames", "error"),
    [
        ([b"garbage that is longer than a header"], ErrorNumber.BAD_MAGIC),
        ([b""], ErrorNumber.SHORT_FRAME),
        ([b"", b"", b""], ErrorNumber.SEVERAL_FRAMES),
        ([b"x" * 20] * 50, ErrorNumber.SEVERAL_FRAMES),
        ([bytes(9000)], ErrorNumber.FRAME_TOO_LARGE),
    ],
)
@pytest.mark.parametrize("lane", LANES)
def test_garbage_of_strangers_is_answered_and_disturbs_nobody(
    running: Running, lane: Lane, frames: list[bytes], error: ErrorNumber
) -> None:
    net = running.sockets
    peer = Peer(net, "server:a").attach()
    dealer = net.dial(lane.label)
    dealer.send_multipart(frames)
    assert dealer.poll(int(WAIT_S * 1000))
    header = decode_header(dealer.recv(), max_raw_bytes=1000)
    assert header.kind is Kind.ERROR
    assert running.ask("status")["result"]["errors"] == {error.label: 1}
    peer.ping()
    net.until(lambda: Kind.PONG in peer.kinds(), "the pong")
    assert not peer.errors


def test_a_message_of_several_frames_ends_its_link(running: Running) -> None:
    net = running.sockets
    peer = Peer(net, "server:a").attach()
    peer.put(b"one", more=True)
    net.until(lambda: peer.errors == [ErrorNumber.SEVERAL_FRAMES], "the error")


def test_a_connection_that_is_gone_is_noticed_when_something_is_sent(running: Running) -> None:
    net = running.sockets
    server, player = Peer(net, "server:a").attach(), Peer(net, "player:1").attach()
    player.cut()
    core = running.broker.core
    deadline = time.monotonic() + WAIT_S
    while core.registry.attachments["player:1"].away_since is None:
        assert time.monotonic() < deadline
        server.send("t", "player:1")
        net._take(50)
    player.attach()
    net.until(lambda: player.numbers()[:1] == [1], "what was not received")


def test_the_control_endpoint_answers_errors_too_and_outlives_those_who_do_not_wait(running: Running) -> None:
    net = running.sockets
    for _ in range(20):
        hasty = net.dial("control")
        hasty.send(msgspec.msgpack.encode({"command": "status"}))
        hasty.close()
    assert running.ask("peers") == {"ok": True, "result": []}
    assert not running.ask("nonsense")["ok"]


# Stopping


def test_stop_from_another_thread_flushes_says_goodbye_and_ends_the_loop(running: Running) -> None:
    net = running.sockets
    server, player = Peer(net, "server:a").attach(), Peer(net, "player:1").attach()
    server.send("t", "player:1", Lane.LOW)
    net.until(lambda: len(player.got) == 1, "the first")
    server.send("t", "player:1", Lane.LOW)
    server.ping()
    net.until(lambda: Kind.PONG in server.kinds(), "the broker to have read both")
    running.broker.stop()
    net.until(lambda: len(player.got) == 2, "what was queued")
    assert Kind.DRAIN in player.kinds()
    assert Kind.BYE not in player.kinds()
    player.settle_all()
    net.until(lambda: Kind.BYE in player.kinds() and Kind.BYE in server.kinds(), "the goodbye")
    running.stop()
    assert server.end_of(2, Lane.LOW) == DELIVERED
    assert server.last(Kind.BYE).reason == "the broker is shutting down"


def test_stop_twice_and_after_the_end_is_no_error(running: Running) -> None:
    running.broker.stop()
    running.stop()
    running.broker.close()
    running.broker.stop()
    running.broker.close()


def test_run_needs_bind() -> None:
    broker = Broker(small_config())
    with pytest.raises(RuntimeError, match="bind"):
        broker.run()
    broker.close()


# Binding


def test_an_address_in_use_is_named_and_nothing_stays_bound(running: Running) -> None:
    taken = port_of(running.broker.addresses["low"])
    config = small_config().on_free_ports()
    lanes = config.lanes
    in_use = LaneConfig(port=taken, interval_ms=200.0, hold_ms=190.0)
    config = msgspec.structs.replace(
        config, lanes=LanesConfig(critical=lanes.critical, normal=lanes.normal, low=in_use)
    )
    second = Broker(config)
    with pytest.raises(BindError, match=rf"low socket to tcp://127\.0\.0\.1:{taken}: the port is in use"):
        second.bind()
    with socket.socket() as free:
        free.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        free.bind(("127.0.0.1", port_of(second.addresses["critical"])))


def test_a_control_port_in_use_is_named(running: Running) -> None:
    taken = port_of(running.broker.addresses["critical"])
    config = msgspec.structs.replace(small_config().on_free_ports(), control=ControlConfig(port=taken))
    with pytest.raises(BindError, match="control socket"):
        Broker(config).bind()


# The service manager


def test_the_service_manager_hears_of_every_stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(driver, "STATUS_S", 0.03)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(WAIT_S)
        notifier = Notifier(str(tmp_path / "notify"), watchdog_interval_s=0.02)
        running = Running(small_config(), notifier)
        heard: list[bytes] = []
        while heard.count(b"WATCHDOG=1") < 3 or b"STATUS=ok: 0 attachments, 0 sessions" not in heard:
            heard.append(manager.recv(4096))
        running.stop()
        while not heard[-1].startswith(b"STOPPING=1"):
            heard.append(manager.recv(4096))
        running.sockets.close()
        running.broker.close()
        notifier.close()
    assert heard[0] == b"READY=1\nSTATUS=ok: 0 attachments, 0 sessions"
    assert heard[-1] == b"STOPPING=1\nSTATUS=draining: 0 events under way, 0 sessions"


# Connections that are full


@pytest.fixture
def still() -> Iterator[tuple[Broker, Sockets]]:
    """A broker that is bound, and does something only when a test makes it."""
    broker = Broker(small_config(window=WindowConfig(batches=2, bytes=8192)).on_free_ports())
    broker.bind()
    sockets = Sockets(broker)
    yield broker, sockets
    sockets.close()
    broker.close()


def full_connection(broker: Broker, net: Sockets) -> tuple[zmq.Socket[bytes], bytes]:
    """A connection that takes no more; frames wait for it."""
    reader = net.dial("critical", RCVHWM=1, RCVBUF=4096)
    peer = Peer(net, "player:1")
    peer.incarnation = 1
    frames: list[bytes] = []
    peer.routes[Lane.CRITICAL] = b"r"
    peer.put = lambda frame, lane=Lane.CRITICAL, *, more=False: frames.append(frame)  # type: ignore[method-assign]
    peer.cut = lambda: None  # type: ignore[method-assign]
    peer.say_hello()
    reader.send(frames[0])
    assert broker._sockets[Lane.CRITICAL].poll(5000)
    broker._drain(Lane.CRITICAL, time.monotonic() + 1, 10)
    (route,) = (link.route for link in broker.core.links if link.lane is Lane.CRITICAL)
    broker._send(time.monotonic())
    deadline = time.monotonic() + WAIT_S
    # Full for good, not for the moment: the thread behind the socket fills the kernel's buffers first.
    full_since = time.monotonic()
    while not broker._stuck or time.monotonic() - full_since < FULL_S:
        assert time.monotonic() < deadline
        if not broker._stuck:
            full_since = time.monotonic()
            broker.core.outgoing.frames.append((Lane.CRITICAL, route, bytes(1 << 20)))
        broker._send(time.monotonic())
    return reader, route


def test_frames_for_a_full_connection_wait_in_order_and_leave_when_it_reads(
    still: tuple[Broker, Sockets],
) -> None:
    broker, net = still
    reader, route = full_connection(broker, net)
    for number in range(3):
        broker.core.outgoing.frames.append((Lane.CRITICAL, route, b"frame %d" % number))
        broker._send(time.monotonic())
    assert len(broker._stuck[Lane.CRITICAL, route]) == 4
    last: list[bytes] = []
    deadline = time.monotonic() + WAIT_S
    while last[-3:] != [b"frame 0", b"frame 1", b"frame 2"]:
        assert time.monotonic() < deadline
        if reader.poll(20):
            last.append(reader.recv()[:10])
        broker._send(time.monotonic())
    assert broker._stuck == {}
    assert broker.core.registry.attachments["player:1"].links[Lane.CRITICAL] is not None


def test_a_connection_that_stays_full_is_given_up_and_its_peer_may_resume(
    still: tuple[Broker, Sockets], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(driver, "STUCK_FRAMES", 5)
    broker, net = still
    _, route = full_connection(broker, net)
    for _ in range(6):
        broker.core.outgoing.frames.append((Lane.CRITICAL, route, b"frame"))
    broker._send(time.monotonic())
    assert broker.core.registry.attachments["player:1"].away_since is not None
    broker._send(time.monotonic())


def test_frames_that_wait_for_a_connection_go_with_it(still: tuple[Broker, Sockets]) -> None:
    broker, net = still
    reader, _ = full_connection(broker, net)
    reader.close()
    deadline = time.monotonic() + WAIT_S
    while broker._stuck:
        assert time.monotonic() < deadline
        # libzmq looks whether a connection has ended when its socket is polled, as the loop does.
        broker._sockets[Lane.CRITICAL].poll(10)
        broker._send(time.monotonic())
    assert broker.core.registry.attachments["player:1"].away_since is not None


# Fair shares


def test_bulk_is_read_in_portions_with_the_critical_lane_between_them(
    still: tuple[Broker, Sockets],
) -> None:
    broker, net = still
    bulk = net.dial("low", SNDHWM=0)
    for _ in range(2 * driver.PORTION_FRAMES):
        bulk.send(b"garbage")
    assert broker._sockets[Lane.LOW].poll(5000)
    # A portion that is used up by time or by count says that there may be more.
    assert broker._drain(Lane.LOW, time.monotonic(), 10)
    assert broker._drain(Lane.LOW, time.monotonic() + WAIT_S, 3)
    assert broker.core.counters.errors == {"short_frame": 4}


@pytest.mark.patches
def test_a_lane_that_is_never_empty_leaves_the_turn_to_the_others_when_its_share_is_over(
    still: tuple[Broker, Sockets], monkeypatch: pytest.MonkeyPatch
) -> None:
    broker, _ = still
    portions: list[Lane] = []

    def drain(lane: Lane, until: float, most: int) -> bool:
        portions.append(lane)
        return True

    monkeypatch.setattr(broker, "_drain", drain)
    broker._read_bulk(Lane.LOW, time.monotonic() + driver.SHARE_S)
    assert set(portions) == {Lane.LOW}
    before = len(portions)
    broker._read_bulk(Lane.LOW, time.monotonic())
    assert len(portions) == before


def test_a_stranger_that_floods_a_lane_is_hung_up_on(running: Running) -> None:
    net = running.sockets
    peer = Peer(net, "server:a").attach()
    bulk = net.dial("low", SNDHWM=0, RECONNECT_IVL=-1)
    for _ in range(3000):
        bulk.send(b"garbage")
    peer.say(Kind.PING, Ping(1, 0, []))
    net.until(lambda: Kind.PONG in peer.kinds(), "the pong")
    deadline = time.monotonic() + WAIT_S
    while running.ask("status")["result"]["errors"].get("short_frame") != MAX_FRAMES:
        assert time.monotonic() < deadline
    # It goes on, until that is enough. With reconnecting off, a socket without a connection cannot be written to.
    while bulk.poll(1, zmq.POLLOUT):
        assert time.monotonic() < deadline, "the connection is still there"
        with contextlib.suppress(zmq.Again):  # it may have ended just now
            bulk.send(b"garbage", zmq.NOBLOCK)
    assert peer.up


def test_a_ping_lets_the_driver_look_at_its_connection() -> None:
    running = Running(small_config(sessions=SessionsConfig(recovery_s=0.0, ping_interval_s=0.02)))
    try:
        player = Peer(running.sockets, "player:1").attach()
        line = running.broker.core.registry.attachments["player:1"].line

        def look() -> float | None:
            player.say(Kind.PING, Ping(0, 900_000, []))
            return line.mean_of(NETWORK, 60.0, time.monotonic())

        running.sockets.until(lambda: look() is not None, "the kernel's round trip")
        rtt_ms = look()
        assert rtt_ms is not None
        assert 0.0 < rtt_ms < 500.0
    finally:
        running.stop()
        running.sockets.close()
        running.broker.close()


def test_a_frame_from_nowhere_has_no_address() -> None:
    assert driver._address(zmq.Frame(b"made here")) == ""
