"""What the demo's processes count: each delivery once, what comes again apart, and whom a server means."""

import pytest

import lanebus
from lanebus.cli import demo_meter
from lanebus.cli.demo_meter import LATE_MS, SILENCE_S, CountingServer, Meter, resent_by
from lanebus.cli.demo_reports import FLOOD_TOPIC, FloodCounts
from lanebus.wire.histogram import Histogram
from lanebus.wire.lanes import Lane
from lanebus.wire.messages import Throttled


class Clock:
    """A number for the time."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def monotonic(self) -> float:
        return self.now_s


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(demo_meter, "time", clock)
    return clock


def event(
    number: int,
    lane: Lane = Lane.NORMAL,
    receiver: str = "player:a",
    age_ms: float = 2.0,
    topic: str = "t",
) -> lanebus.Event:
    return lanebus.Event(number, topic, b"\xc0", "server:s", receiver, lane, age_ms, redelivered=False)


def test_each_delivery_counts_once_by_receiver_and_lane(clock: Clock) -> None:
    meter = Meter()
    for each in (event(1), event(2), event(1, Lane.LOW), event(1, receiver="player:b")):
        meter.note(each)
    assert meter.handled == {"player:a": [0, 2, 1], "player:b": [0, 1, 0]}
    assert meter.firsts == {"player:a": [[], [1, 2], [1]], "player:b": [[], [1], []]}
    assert meter.repeated == 0


def test_what_comes_again_or_late_in_order_is_counted_apart(clock: Clock) -> None:
    meter = Meter()
    for number in (1, 3, 3, 2):
        meter.note(event(number))
    assert meter.handled == {"player:a": [0, 2, 0]}
    assert meter.repeated == 2


def test_latencies_are_those_since_the_last_report(clock: Clock) -> None:
    meter = Meter()
    meter.note(event(1, age_ms=2.0))
    _, normal, _ = meter.take_latencies()
    assert Histogram.from_list(normal).count == 1
    _, normal, _ = meter.take_latencies()
    assert Histogram.from_list(normal).count == 0


def test_a_flood_is_counted_as_all_else_and_its_latencies_are_not(clock: Clock) -> None:
    meter = Meter()
    assert meter.flood() == FloodCounts()
    meter.note(event(1, age_ms=2.0))
    for number, age_ms in ((2, 900.0), (3, 1500.0), (4, 1200.0), (4, 1300.0)):
        clock.now_s += 1.0
        meter.note(event(number, age_ms=age_ms, topic=FLOOD_TOPIC))
    assert meter.handled == {"player:a": [0, 4, 0]}
    assert meter.repeated == 1
    assert meter.flood() == FloodCounts(handled=3, last_s=103.0, longest_wait_ms=1500.0)
    _, normal, _ = meter.take_latencies()
    assert Histogram.from_list(normal).count == 1


def test_a_silence_is_told_when_it_has_ended(clock: Clock) -> None:
    meter = Meter()
    meter.note(event(1))
    clock.now_s += SILENCE_S / 2
    meter.note(event(2))
    assert meter.take_silences() == []
    clock.now_s += 3.0
    meter.note(event(3))
    (silence,) = meter.take_silences()
    assert (silence.receiver, silence.to_s - silence.from_s) == ("player:a", 3.0)
    assert meter.take_silences() == []


def test_an_event_that_was_held_up_is_remembered_by_its_time(clock: Clock) -> None:
    meter = Meter()
    meter.note(event(1, age_ms=LATE_MS + 1))
    clock.now_s += 1.0
    meter.note(event(2, age_ms=LATE_MS - 1))
    assert meter.late_s == 100.0


def test_a_server_counts_whom_it_means() -> None:
    server = CountingServer("s", broker="tcp://127.0.0.1:9")
    server.join("room", "player:a")
    server.send("t", to="group:room", lane="low")
    server.join("room", "player:b")
    server.send("t", to="group:room", lane=Lane.LOW)
    server.leave("room", "player:a")
    server.send("t", to="group:room")
    server.send("t", to="player:c", lane="critical")
    server.send("t", to="group:empty")
    assert server.meant == {"player:a": [0, 0, 2], "player:b": [0, 1, 1], "player:c": [1, 0, 0]}
    assert server.first_meant == {"player:a": [0, 0, 1], "player:b": [0, 1, 2], "player:c": [1, 0, 0]}
    assert resent_by([server]) == 0
    assert server.ended_otherwise == 0
    assert server.close(0.0) == 5
    # Three to a group that has one member by now, one to a peer, and one to nobody.
    assert server.ended_otherwise == 4


def test_what_a_limit_holds_back_has_not_been_sent_again() -> None:
    server = CountingServer("s", broker="tcp://127.0.0.1:9")
    for _ in range(3):
        server.send("t", to="player:c")
    held = Throttled(0, Lane.NORMAL, 1, "events_per_s", 100.0, 100.0, 0.0)
    server.core.outgoing.throttle([held], 1.0)
    assert [lane.events for lane in server.throttled] == [3]
    assert resent_by([server]) == 0
    server.close(0.0)


def test_a_send_that_is_refused_is_meant_for_nobody() -> None:
    server = CountingServer("s", broker="tcp://127.0.0.1:9", outbox_bytes=10)
    with pytest.raises(lanebus.OutboxFull):
        server.send("t", to="player:c")
    assert server.meant == {}
    server.close(0.0)
