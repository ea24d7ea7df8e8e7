"""Traces in which somebody waits for ever, or something grows without bound. Each test is named after its hazard."""

from collections import Counter

import pytest
from tests.link.link import Net
from tests.link.process import Peer, payloads, settle

from lanebus.adapters import incoming
from lanebus.adapters.errors import OutboxFull
from lanebus.adapters.event import Event
from lanebus.adapters.requests import MAX_UNDER_WAY
from lanebus.adapters.session import SessionCore
from lanebus.adapters.unhandled import MAX_UNHANDLED_EVENTS
from lanebus.broker import egress
from lanebus.broker.audit import audit
from lanebus.broker.trial import MAX_FAILURES
from lanebus.conf.model import Config, EgressConfig, SessionsConfig, WindowConfig
from lanebus.wire.header import decode_header
from lanebus.wire.kinds import Kind
from lanebus.wire.lanes import LANES, Lane
from lanebus.wire.names import Role
from lanebus.wire.outcomes import Outcome, Reason
from lanebus.wire.reports import UnhandledTopic

TIGHT = Config(
    sessions=SessionsConfig(grace_s=10.0, recovery_s=0.0, ping_interval_s=0.5, lease_s=2.0),
    window=WindowConfig(batches=4, control_interval_ms=100.0),
    egress=EgressConfig(batch_bytes=1024, credit_bytes=2048, queue_bytes=4096, age_s=5.0),
)
LARGE = "x" * 200


def fill(peer: Peer, to: str) -> int:
    """Send until the outbox is full, and say how many events it took."""
    accepted = 0
    try:
        while True:
            peer.send(to, (accepted, LARGE))
            accepted += 1
            peer.net.run(0.01)
    except OutboxFull:
        return accepted


def test_one_stopped_player_holds_up_nobody_else_of_the_same_server() -> None:
    net = Net(TIGHT)
    server, gateway = Peer(net, "server", outbox_bytes=30_000).up(), Peer(net, "g", Role.GATEWAY).up()
    stopped = gateway.open("stopped")
    gateway.open("lively")
    other = Peer(net, "other", Role.CLIENT).up()
    gateway.read(stopped, False)
    accepted = fill(server, "player:stopped")
    net.run(2.0)
    # What fills the outbox is for the stopped player; there is room for others, once a little of it is free.
    server.session().outbox.limit_bytes += 1000
    began = net.now
    for name in ("lively", "other"):
        server.send(f"player:{name}", "hello")
    net.run_until(lambda: len(other.handled["player:other"]) == 1, 0.2, "the other player has it")
    net.run_until(
        lambda: len(gateway.handled["player:lively"]) == 1, 0.2, "the lively one, on the same links, too"
    )
    assert net.now - began < 0.2
    gateway.read(stopped, True)
    settle(server)
    assert [number for number, _ in payloads(gateway, "player:stopped")] == list(range(accepted))
    assert server.told == []


def test_one_stopped_member_costs_itself_its_parts_and_not_the_sender_its_outbox() -> None:
    net = Net(TIGHT)
    server = Peer(net, "server", outbox_bytes=200_000).up()
    stopped, lively = Peer(net, "stopped").up(), Peer(net, "lively").up()
    for name in ("stopped", "lively"):
        server.join("room", f"server:{name}")
    stopped.events_per_turn = 0
    for number in range(100):
        server.send("group:room", (number, LARGE))
        net.run(0.02)
    net.run(10.0)
    # All but what the stopped member has received is settled: delivered to one, dropped for the other.
    assert server.session().outbox.in_flight <= 12
    assert [number for number, _ in payloads(lively)] == list(range(100))
    ends = {(each.outcome, each.reason) for _, each in server.told}
    assert ends == {(Outcome.DROPPED, Reason.SLOW_RECEIVER)}
    assert len(server.told) >= 80
    stopped.events_per_turn = None
    settle(server)
    got = [number for number, _ in payloads(stopped)]
    assert got == sorted(got)
    assert len(got) + len(server.told) == 100
    net.run(1.0)
    report = audit(net.core)
    assert (report.problems, report.at_rest) == ([], True)


def test_two_peers_that_are_full_towards_each_other_do_not_wait_for_each_other() -> None:
    net = Net(TIGHT)
    left, right = Peer(net, "left", outbox_bytes=8_000).up(), Peer(net, "right", outbox_bytes=8_000).up()
    refused = [0]

    def answer(peer: Peer, to: str) -> None:
        def program(session: SessionCore, event: Event) -> None:
            if event.payload[1] == LARGE:
                try:
                    peer.send(to, (event.payload[0], "answer"))
                except OutboxFull:
                    refused[0] += 1

        peer.program = program

    answer(left, "server:right")
    answer(right, "server:left")
    # Neither handles anything until both have sent what their outboxes hold.
    left.events_per_turn = right.events_per_turn = 0
    accepted = fill(left, "server:right") + fill(right, "server:left")
    net.run(2.0)
    for peer in (left, right):
        session = net.core.directory.peers[peer.name]
        assert session.receiving[Lane.NORMAL].waiting, f"{peer.name} is full"
        peer.events_per_turn = 3
    settle(left, right)
    assert len(left.handled["server:left"]) + len(right.handled["server:right"]) >= accepted
    assert refused[0] > 0
    assert left.told == right.told == []


class Crash(BaseException):
    """The end of a process in the middle of a handler."""


def test_an_event_that_ends_its_receivers_is_poison_and_those_behind_it_are_handled() -> None:
    net = Net(TIGHT)
    sender = Peer(net, "sender").up()
    deadly = 3
    handled: list[int] = []

    def program(session: SessionCore, event: Event) -> None:
        if event.payload == deadly:
            raise Crash
        handled.append(event.payload)

    receiver = Peer(net, "receiver").up()
    receiver.events_per_turn = 0
    receiver.program = program
    for number in range(100):
        sender.send("server:receiver", number)
    net.run(1.0)
    assert len(receiver.core.incoming.arrivals[Lane.NORMAL]) > 50
    receiver.events_per_turn = None
    receiver.wake()
    crashes = 0
    while sender.session().outbox.in_flight:
        try:
            settle(sender)
        except Crash:
            crashes += 1
            assert crashes < 20
            receiver.kill()
            receiver = Peer(net, "receiver")
            receiver.program = program
            receiver.start()
    # The first ones had a hundred under way, then as many as a round, then an eighth of that; the last ones it alone.
    assert crashes == 3 + MAX_FAILURES
    assert [(each.number, each.outcome, each.reason) for _, each in sender.told] == [
        (deadly + 1, Outcome.REFUSED, Reason.POISON)
    ]
    # What ran before it in a process, and had not been settled, runs again; nothing else does.
    assert set(handled) == set(range(100)) - {deadly}
    again = [number for number, times in Counter(handled).items() if times > 1]
    assert again == list(range(deadly))
    (dead,) = net.core.departures.dead
    assert (dead.number, dead.deliveries) == (deadly + 1, crashes)


@pytest.mark.patches
@pytest.mark.parametrize("to", ["player:stopped", ["player:stopped", "server:lively"], "group:room"])
def test_a_receiver_that_stands_still_stops_its_sender_before_the_broker_would_refuse_a_batch(
    to: str | list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    spread = 200
    for module in ("adapters.outbox", "broker.intake"):
        monkeypatch.setattr(f"lanebus.{module}.MAX_SPREAD", spread)
    net = Net()
    sender, lively = Peer(net, "sender", outbox_bytes=1 << 24).up(), Peer(net, "lively").up()
    stopped = Peer(net, "stopped", Role.CLIENT).up()
    for member in (stopped.name, lively.name):
        sender.join("room", member)
    net.run(0.1)
    stopped.events_per_turn = 0
    sender.send(to, "pins")
    sent = 0
    refused = ""
    for _ in range(3 * spread):
        try:
            sender.send("server:lively", sent)
            sent += 1
        except OutboxFull as full:
            refused = str(full)
        net.run(0.01)
    assert sent == spread - 1
    assert "player:stopped" in refused or "group:room" in refused
    # It is that lane alone, and it goes on as soon as the receiver does.
    sender.send("server:lively", "other lane", lane=Lane.CRITICAL)
    stopped.events_per_turn = None
    stopped.wake()
    net.run(1.0)
    for _ in range(spread):
        sender.send("server:lively", sent)
        sent += 1
    settle(sender)
    assert sender.core.connects == 1
    assert net.core.violations.totals == {}
    assert net.core.counters.errors == {}


def test_settlements_of_thousands_of_sessions_travel_as_few_frames_of_a_legal_size() -> None:
    net = Net()
    servers = [Peer(net, f"s{number}").up() for number in range(3)]
    gateway = Peer(net, "g", Role.GATEWAY).up()
    most_under_way = 0
    for number in range(1500):
        gateway.open(str(number))
    while len(gateway.core.requests):
        net.run(0.001)
        answered = net.core.registry.attachments["gateway:g"].request
        sent = gateway.core.requests.last - len(gateway.core.requests)
        most_under_way = max(most_under_way, answered - sent)
    assert most_under_way <= MAX_UNDER_WAY
    frames: list[tuple[Kind, int]] = []

    def watch(peer: Peer, frame: bytes) -> None:
        if peer is gateway:
            frames.append((decode_header(frame, max_raw_bytes=1 << 30).kind, len(frame)))

    net.watch = watch
    for server in servers:
        for lane in LANES:
            server.send("all", "news", lane=lane)
    settle(*servers)
    settles = [size for kind, size in frames if kind is Kind.SETTLE]
    assert max(settles) <= net.config.limits.frame_bytes // 4
    assert len(settles) <= 10
    assert all(len(got) == 9 for got in gateway.handled.values())


def test_events_without_a_handler_wait_and_come_late_and_the_oldest_are_refused() -> None:
    net = Net()
    sender, receiver = Peer(net, "sender").up(), Peer(net, "receiver").up()
    extra = 10
    for number in range(MAX_UNHANDLED_EVENTS + extra):
        sender.send("server:receiver", number, topic="later")
    sender.send("server:receiver", "at once")
    net.run(2.0)
    assert list(payloads(receiver)) == ["at once"]
    assert [(each.number, each.outcome, each.reason) for _, each in sender.told] == [
        (number, Outcome.REFUSED, Reason.NO_HANDLER) for number in range(1, extra + 1)
    ]
    got: list[int] = []
    receiver.on("later", lambda event: got.append(event.payload))
    settle(sender)
    assert got == list(range(extra, MAX_UNHANDLED_EVENTS + extra))


@pytest.mark.parametrize(
    ("lane", "tick_s"),
    [
        (Lane.NORMAL, 0.0480),
        (Lane.NORMAL, 0.0499),
        (Lane.NORMAL, 0.0301),
        (Lane.LOW, 0.0499),
        (Lane.LOW, 0.195),
        (Lane.CRITICAL, 0.0105),
    ],
)
def test_a_loop_of_any_rhythm_flushes_what_would_miss_its_hold_before_the_next_turn(
    lane: Lane, tick_s: float
) -> None:
    net = Net()
    game, receiver = Peer(net, "game", tick_s=tick_s).up(), Peer(net, "receiver").up()
    net.run(0.5)
    for number in range(60):
        game.send("server:receiver", number, lane=lane)
        net.run(tick_s / 3)
    settle(game)
    hold_ms = (net.config.lanes.critical, net.config.lanes.normal, net.config.lanes.low)[lane].hold_ms
    # What was sent between two turns of the loop is held until the next one at the least.
    longest_ms = max(hold_ms, tick_s * 1e3) + 1.0
    assert net.core.counters.held[lane].max_us <= longest_ms * 1e3
    assert list(payloads(receiver)) == list(range(60))


def test_a_connection_that_swallows_what_one_lane_sends_is_given_up_in_the_end() -> None:
    net = Net()
    sender, receiver = Peer(net, "sender").up(), Peer(net, "receiver").up()
    normal = sender.connections[Lane.NORMAL]
    assert normal is not None
    net.cut(normal, peer_after_s=None, broker_after_s=None)
    sender.send("server:receiver", "x")
    settle(sender)
    assert list(payloads(receiver)) == ["x"]


def test_an_event_without_a_handler_ends_and_is_nobodys_fault_but_its_topics() -> None:
    """By its own time, at every session, and at once where it is known already; the broker blames no receiver."""
    net = Net()
    sender, server = Peer(net, "sender").up(), Peer(net, "server").up()
    gateway = Peer(net, "g", Role.GATEWAY).up()
    for name in ("one", "two"):
        gateway.open(name)
    net.run(1.0)
    receivers = ("server:server", "player:one", "player:two")
    for receiver in receivers:
        sender.send(receiver, 0, topic="wave")
    for _ in range(20):
        sender.send("server:server", "more")
        net.run(0.45)
        assert not list(net.core.alerts)
    assert sender.session().outbox.in_flight == len(receivers)
    assert list(net.core.directory.peers["server:server"].unhandled) == [
        UnhandledTopic("wave", "server:sender", 1)
    ]
    net.run(2.0)
    assert sender.session().outbox.in_flight == 0
    assert {(each.to, each.reason) for _, each in sender.told} == {
        (receiver, Reason.NO_HANDLER) for receiver in receivers
    }
    sender.send("server:server", 1, topic="wave")
    net.run(1.0)
    assert sender.session().outbox.in_flight == 0
    got: list[int] = []
    server.on("wave", lambda event: got.append(event.payload))
    sender.send("server:server", 2, topic="wave")
    settle(sender)
    assert got == [2]
    assert not list(net.core.alerts)
    (refusal,) = net.core.settling.refusals.by_receiver("server:server")
    assert (refusal.topic, refusal.sender, refusal.count) == ("wave", "server:sender", 2)


@pytest.mark.patches
def test_a_sender_that_is_seldom_heard_of_is_known_however_many_others_there_are_on_other_lanes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(egress, "ORIGINS_ANNOUNCED", 16)
    monkeypatch.setattr(incoming, "MAX_SOURCES", 32)
    net = Net()
    server, seldom, gateway = Peer(net, "s").up(), Peer(net, "seldom").up(), Peer(net, "g", Role.GATEWAY).up()
    said = 0
    for player in range(200):
        if player % 50 == 0:
            seldom.send(server.name, "seldom", lane=Lane.LOW)
            said += 1
        gateway.send(server.name, player, lane=LANES[player % 2], session=gateway.open(str(player)))
        net.run(0.3)
    settle(seldom, gateway)
    assert server.core.connects == 1, "its links were lost"
    assert [each.payload for each in server.handled[server.name]].count("seldom") == said
    assert len(server.handled[server.name]) == 200 + said


def test_who_closes_refuses_what_has_waited_for_a_handler() -> None:
    net = Net()
    sender, receiver = Peer(net, "sender").up(), Peer(net, "receiver").up()
    sender.send("server:receiver", 1, topic="wave")
    net.run(1.0)
    assert len(receiver.session().unhandled) == 1
    receiver.close()
    net.run(1.0)
    assert [(each.outcome, each.reason) for _, each in sender.told] == [(Outcome.REFUSED, Reason.NO_HANDLER)]
