"""Draining: everybody is told, what can be settled is, nothing ends that was not, and the end comes in time."""

import pytest
from tests.broker.bench import Bench
from tests.broker.peer import Peer
from tests.broker.traffic import DELIVERED

from lanebus.broker.audit import audit
from lanebus.broker.draining import ACCEPTING_SHARE, LOOK_S, QUIET_LOOKS, summary
from lanebus.wire.errors import ErrorNumber
from lanebus.wire.kinds import Kind
from lanebus.wire.lanes import LANES, Lane

DEADLINE_S = 2.0
QUIET_S = LOOK_S * QUIET_LOOKS


class Scene:
    """A server, two players, and a broker that is to end."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.server = Peer(bench, "server:a").attach()
        self.player = Peer(bench, "player:1").attach()
        self.other = Peer(bench, "player:2").attach()

    def drain(self, deadline_s: float = DEADLINE_S) -> None:
        self.bench.core.draining.begin(self.bench.now, deadline_s)
        self.bench.turn()

    def is_over(self) -> bool:
        return self.bench.core.draining.over

    def left(self) -> dict[str, int]:
        report = self.bench.core.draining.report
        assert report is not None
        found: dict[str, int] = report["events_left"]
        return found


@pytest.fixture
def scene(bench: Bench) -> Scene:
    return Scene(bench)


# Telling


def test_everybody_is_told_how_long_it_takes_at_most_and_said_goodbye_in_the_end(scene: Scene) -> None:
    scene.server.send("t", "player:1")
    scene.drain()
    for peer in (scene.server, scene.player, scene.other):
        assert peer.last(Kind.DRAIN).deadline_ms == DEADLINE_S * 1e3
        assert Kind.BYE not in peer.kinds()
    scene.player.settle_all()
    scene.bench.advance(QUIET_S)
    for peer in (scene.server, scene.player, scene.other):
        assert peer.kinds()[-1] is Kind.BYE


def test_a_peer_that_is_away_is_not_told_and_hears_of_it_when_it_resumes(scene: Scene) -> None:
    scene.server.send("t", "player:1")
    scene.other.cut()
    scene.bench.advance(0.1)
    scene.drain()
    assert Kind.DRAIN not in scene.other.kinds()
    scene.bench.advance(0.5)
    scene.other.attach()
    assert scene.other.welcome is not None
    assert scene.other.welcome.resumed
    assert scene.other.last(Kind.DRAIN).deadline_ms == pytest.approx((DEADLINE_S - 0.5) * 1e3)


def test_nobody_new_is_admitted_and_a_name_is_not_taken_over(scene: Scene) -> None:
    scene.server.send("t", "player:1")
    scene.drain()
    stranger, successor = Peer(scene.bench, "player:3"), Peer(scene.bench, "player:1")
    for peer in (stranger, successor):
        peer.say_hello()
        scene.bench.turn()
        assert peer.errors == [ErrorNumber.DRAINING]
    assert scene.player.errors == []
    scene.player.settle_all()
    scene.bench.advance(0.3)
    assert scene.server.end_of(1) == DELIVERED


def test_no_request_is_carried_out_and_what_depends_on_it_is_not_accepted(bench: Bench) -> None:
    gateway, server = Peer(bench, "gateway:g").attach(), Peer(bench, "server:a").attach()
    server.send("t", "gateway:none")
    bench.core.draining.begin(bench.now, DEADLINE_S)
    gateway.open(1, "player:7")
    gateway.send("t", "server:a", session=1, after=gateway.request_number)
    bench.advance(0.01)
    assert gateway.dones == {}
    assert "player:7" not in bench.core.directory.peers
    assert gateway.unacked[Lane.CRITICAL]
    assert server.got == []


# Settling


def test_it_is_over_once_nothing_is_under_way(scene: Scene) -> None:
    for lane in LANES:
        scene.server.send("t", "player:1", lane)
    scene.drain()
    scene.bench.advance(DEADLINE_S / 4)
    assert not scene.is_over()
    scene.player.settle_all()
    scene.bench.advance(QUIET_S)
    assert scene.is_over()
    assert [scene.server.end_of(1, lane) for lane in LANES] == [DELIVERED] * 3
    assert scene.left() == {"critical": 0, "normal": 0, "low": 0}
    assert not audit(scene.bench.core).problems


def test_an_idle_broker_waits_only_for_what_was_on_its_way_to_it(scene: Scene) -> None:
    scene.drain()
    assert not scene.is_over()
    scene.server.send("t", "player:1")
    scene.bench.turn()
    scene.player.settle_all()
    scene.bench.advance(QUIET_S)
    assert scene.is_over()
    assert scene.server.end_of(1) == DELIVERED


def test_without_any_time_it_flushes_and_says_goodbye_at_once(scene: Scene) -> None:
    scene.server.send("t", "player:1", Lane.LOW)
    scene.server.send("t", "player:1", Lane.LOW)
    scene.drain(0.0)
    assert scene.is_over()
    assert scene.player.numbers(Lane.LOW) == [1, 2]
    assert scene.player.kinds()[-1] is Kind.BYE


def test_what_waited_for_company_leaves_at_once_most_urgent_first(scene: Scene) -> None:
    for lane in LANES:
        scene.server.send("first", "player:1", lane)
    scene.bench.turn()
    for lane in reversed(LANES):
        scene.server.send("second", "player:1", lane)
    scene.drain()
    assert [got.lane for got in scene.player.got if got.topic == "second"] == list(LANES)


def test_what_waited_for_credit_is_delivered_too(scene: Scene) -> None:
    numbers = scene.server.burst(10, "player:1")
    scene.drain()
    assert scene.player.numbers() != numbers
    for _ in range(10):
        scene.player.settle_all()
        scene.bench.turn()
    assert scene.player.numbers() == numbers
    scene.bench.advance(QUIET_S)
    assert scene.is_over()
    assert sum(scene.left().values()) == 0


def test_what_waits_for_a_peer_that_is_away_is_not_waited_for_and_not_ended(scene: Scene) -> None:
    scene.other.cut()
    scene.bench.advance(0.1)
    scene.server.send("t", "player:2")
    scene.drain()
    scene.bench.advance(QUIET_S)
    assert scene.is_over()
    assert scene.server.end_of(1) is None
    assert scene.left() == {"critical": 1, "normal": 0, "low": 0}


def test_a_peer_that_comes_back_in_time_gets_and_settles_what_it_missed(scene: Scene) -> None:
    scene.server.send("t", "player:1")
    scene.other.cut()
    scene.bench.advance(0.1)
    scene.server.send("t", "player:2", Lane.LOW)
    scene.drain()
    scene.other.attach()
    assert scene.other.numbers(Lane.LOW) == [1]
    scene.other.settle_all()
    scene.player.settle_all()
    scene.bench.advance(QUIET_S)
    assert sum(scene.left().values()) == 0
    assert scene.server.end_of(1, Lane.LOW) == DELIVERED


# The deadline


def test_at_the_deadline_it_ends_and_no_event_has_ended_that_was_not_settled(scene: Scene) -> None:
    scene.server.send("t", "player:1")
    scene.server.send("t", "player:2", Lane.LOW)
    scene.drain()
    scene.other.settle_all()
    scene.bench.advance(DEADLINE_S)
    assert scene.is_over()
    assert scene.left() == {"critical": 1, "normal": 0, "low": 0}
    assert scene.server.end_of(1) is None
    assert scene.server.end_of(1, Lane.LOW) == DELIVERED
    assert not audit(scene.bench.core).problems


def test_the_report_names_who_had_not_settled(scene: Scene) -> None:
    for number in range(3):
        scene.server.send(f"t.{number}", "player:1")
    scene.other.cut()
    scene.bench.advance(0.1)
    scene.server.send("t", "player:2")
    scene.drain()
    scene.bench.advance(DEADLINE_S)
    report = scene.bench.core.draining.report
    assert report is not None
    assert report["receivers"] == [
        {"peer": "player:1", "parts": 3, "away": False},
        {"peer": "player:2", "parts": 1, "away": True},
    ]
    assert summary(report) == (
        "drained for 2.00 s, 4 events are left with their senders: 4 critical; "
        "waited for: player:1 3, player:2 1 (away)"
    )


def test_a_second_request_can_only_shorten_the_time(scene: Scene) -> None:
    scene.server.send("t", "player:1")
    scene.drain()
    scene.drain(100.0)
    scene.bench.advance(0.5)
    scene.drain(0.5)
    scene.bench.advance(0.4)
    assert not scene.is_over()
    scene.bench.advance(0.1)
    assert scene.is_over()
    scene.drain()
    assert scene.server.kinds().count(Kind.BYE) == 1


def test_it_converges_although_a_peer_sends_on(scene: Scene) -> None:
    scene.server.send("t", "player:1")
    scene.drain()
    sent = 1
    while not scene.is_over():
        scene.server.send("t", "player:1")
        sent += 1
        scene.bench.advance(0.05)
        scene.player.settle_all()
        assert sent < 200
    assert scene.bench.now < DEADLINE_S * ACCEPTING_SHARE + 0.05 + QUIET_S
    assert sum(scene.left().values()) == 0
    delivered = len(scene.player.got)
    assert 0 < delivered < sent
    assert scene.player.numbers() == list(range(1, delivered + 1))
    # What was not accepted was not acknowledged, so that its sender still has it.
    assert [number for number in range(1, sent + 1) if scene.server.end_of(number)] == list(
        range(1, delivered + 1)
    )
    assert not audit(scene.bench.core).problems


def test_what_was_settled_is_reported_in_one_line() -> None:
    report = {"took_s": 0.071, "events_left": {"critical": 0, "normal": 0, "low": 0}, "receivers": []}
    assert summary(report) == "drained in 0.07 s, nothing is left"
