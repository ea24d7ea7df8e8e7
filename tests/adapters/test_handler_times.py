"""Handler times: figures by topic and lane, budgets, and warnings that do not flood."""

import logging
import time
from typing import Any

import msgspec
import pytest
from tests.adapters.real import RunningBroker, until

from lanebus.adapters.handler_times import (
    EPISODE_S,
    MAX_RECENT,
    MAX_TOPICS,
    OTHER_TOPICS,
    REPORT_S,
    WARNING_INTERVAL_S,
    Budgets,
    HandlerTimes,
)
from lanebus.adapters.server import ServerAdapter
from lanebus.broker.handling import slow
from lanebus.broker.peer_reports import handled_p99_ms
from lanebus.wire.lanes import LANES, Lane
from lanebus.wire.reports import MAX_TOPIC_TIMES


def note(
    times: HandlerTimes, topic: str, *took_ms: float, lane: Lane = Lane.CRITICAL, now: float = 100.0
) -> None:
    for each in took_ms:
        times.note(lane, topic, each / 1e3, now)


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]


def test_figures_are_kept_by_topic_and_lane_and_most_time_comes_first() -> None:
    times = HandlerTimes("server:a")
    note(times, "player.move", *[0.1] * 90, *[2.0] * 10)
    note(times, "player.attack", 30.0, 40.0)
    note(times, "player.move", 5.0, lane=Lane.LOW)
    rows = times.rows()
    assert [(row["topic"], row["lane"], row["count"]) for row in rows] == [
        ("player.attack", "critical", 2),
        ("player.move", "critical", 100),
        ("player.move", "low", 1),
    ]
    attack, move, low = rows
    assert attack["mean_ms"] == pytest.approx(35.0, abs=0.01)
    assert attack["max_ms"] == pytest.approx(40.0, abs=0.01)
    assert (attack["budget_ms"], attack["over_budget"]) == (16.0, 2)
    assert move["p50_ms"] == pytest.approx(0.1, rel=0.07)
    assert move["p99_ms"] == pytest.approx(2.0, rel=0.07)
    assert (move["budget_ms"], move["over_budget"]) == (16.0, 0)
    assert (low["budget_ms"], low["over_budget"]) == (200.0, 0)
    assert msgspec.json.decode(msgspec.json.encode(rows)) == rows


def test_times_that_differ_much_and_times_that_repeat_are_all_counted() -> None:
    times = HandlerTimes("server:a")
    everything = [*range(200), *range(100), 7, 7]
    for took_us in everything:
        try:
            times.recent[Lane.LOW]["t"][took_us] += 1
        except KeyError:
            times.note(Lane.LOW, "t", took_us / 1e6 + 1e-8, 100.0)
        assert len(times.recent[Lane.LOW]["t"]) <= MAX_RECENT
    (row,) = times.rows()
    assert (row["count"], row["max_ms"]) == (len(everything), 0.199)
    assert row["mean_ms"] == pytest.approx(sum(everything) / len(everything) / 1e3)
    assert times.rows() == [row], "nothing is counted twice"


def test_without_events_there_is_nothing_to_show() -> None:
    times = HandlerTimes("server:a")
    assert times.rows() == []
    assert [times.over_budget(lane) for lane in LANES] == [0, 0, 0]


def test_further_topics_share_a_row_on_each_lane() -> None:
    times = HandlerTimes("server:a")
    for number in range(MAX_TOPICS + 10):
        note(times, f"topic.{number}", 0.1)
    note(times, "another", 0.1, 0.1, lane=Lane.LOW)
    note(times, "topic.0", 0.1)
    rows = {(row["topic"], row["lane"]): row["count"] for row in times.rows()}
    assert len(rows) == MAX_TOPICS + 2
    assert rows[OTHER_TOPICS, "critical"] == 10
    assert rows[OTHER_TOPICS, "low"] == 2
    assert rows["topic.0", "critical"] == 2


def test_past_the_budget_there_is_one_warning_per_topic_and_episode(caplog: pytest.LogCaptureFixture) -> None:
    times = HandlerTimes("server:a")
    note(times, "player.attack", 15.9, 16.0)
    assert warnings(caplog) == []
    note(times, "player.attack", 23.4, 30.0, now=101.0)
    assert "".join(warnings(caplog)) == (
        "! the handlers of player.attack on critical took 23.4 ms in server:a, their budget is 16 ms: nothing else was "
        "handled meanwhile (1 of 3 events so far)"
    )
    # An episode lasts as long as the next slow one comes within its time, however long that is in all.
    for number in range(5):
        note(times, "player.attack", 20.0, now=101.0 + number * EPISODE_S)
    assert len(warnings(caplog)) == 1
    note(times, "player.attack", 20.0, now=101.0 + 4 * EPISODE_S + EPISODE_S + 0.1)
    assert len(warnings(caplog)) == 2
    assert warnings(caplog)[1].endswith("(8 of 10 events so far)")
    assert times.over_budget(Lane.CRITICAL) == 8


def test_warnings_of_many_topics_come_one_by_one_and_none_is_forgotten(
    caplog: pytest.LogCaptureFixture,
) -> None:
    times = HandlerTimes("server:a")
    for number in range(50):
        note(times, f"topic.{number}", 20.0)
    assert len(warnings(caplog)) == 1
    note(times, "topic.7", 20.0, now=100.0 + WARNING_INTERVAL_S)
    assert ["topic.0 " in text or "topic.7 " in text for text in warnings(caplog)] == [True, True]
    assert times.over_budget(Lane.CRITICAL) == 51


def test_budgets_are_the_lanes_intervals_unless_given(caplog: pytest.LogCaptureFixture) -> None:
    assert [HandlerTimes("a").budget_ms(lane) for lane in LANES] == [16.0, 50.0, 200.0]
    times = HandlerTimes("a", {"critical": 4, "low": None})
    assert [times.budget_ms(lane) for lane in LANES] == [4.0, 50.0, None]
    note(times, "t", 60_000.0, lane=Lane.LOW)
    assert warnings(caplog) == []
    note(times, "t", 4.5)
    assert times.over_budget(Lane.CRITICAL) == 1
    assert "their budget is 4 ms" in warnings(caplog)[0]


@pytest.mark.parametrize(
    ("budgets_ms", "message"),
    [
        ({"urgent": 3}, "no lane 'urgent': use one of critical, normal, low"),
        ({"normal": 0}, "handler_budget_ms of normal is 0: give milliseconds above 0, or None for no budget"),
        ({"low": "5"}, "handler_budget_ms of low is '5'"),
        ({"low": float("nan")}, "handler_budget_ms of low is nan"),
        (8.0, r"handler_budget_ms is 8.0: give milliseconds by lane, as in \{'critical': 8\}"),
    ],
)
def test_what_is_no_budget_is_refused(budgets_ms: Any, message: str) -> None:
    given: Budgets = budgets_ms
    with pytest.raises(ValueError, match=message):
        HandlerTimes("a", given)


def test_the_broker_is_told_of_a_handler_over_its_budget_at_once_and_else_now_and_then() -> None:
    times = HandlerTimes("server:a")
    assert times.report(0.0) == []
    note(times, "t", 1.0, 2.0)
    assert times.report(REPORT_S - 0.1) == [], "nothing is urgent"
    (told,) = times.report(REPORT_S)
    assert (told.topic, told.lane, told.events, told.over_budget, told.budget_us) == (
        *("t", Lane.CRITICAL, 2, 0),
        16_000,
    )
    note(times, "t", 100.0)
    (told,) = times.report(REPORT_S + 2.0)
    assert (told.events, told.over_budget, told.max_us) == (3, 1, 100_000)
    assert times.report(REPORT_S + 4.0) == []
    assert times.report(2 * REPORT_S + 2.0) == [], "nothing has changed"


def test_of_too_many_topics_those_are_told_of_that_take_most() -> None:
    times = HandlerTimes("server:a")
    for number in range(MAX_TOPIC_TIMES + 5):
        note(times, f"t{number}", 1.0 + number / 10)
    first, second = times.report(0.0), times.report(REPORT_S)
    assert first[0].topic == f"t{MAX_TOPIC_TIMES + 4}"
    assert len(first) == MAX_TOPIC_TIMES
    assert {each.topic for each in second} == {f"t{number}" for number in range(5)}, (
        "the others have their turn"
    )


def test_a_real_broker_hears_of_a_slow_handler_and_of_the_way_to_it(
    pair: tuple[ServerAdapter, ServerAdapter], broker: RunningBroker
) -> None:
    sender, receiver = pair
    receiver.on("slow")(lambda event: busy(0.03))
    for _ in range(3):
        sender.send("slow", to="server:b", lane="critical")
    core = broker.broker.core

    def is_known() -> bool:
        session = core.directory.peers["server:b"]
        return bool(slow(session.attachment.topics, 0.0)) and handled_p99_ms(session)["critical"] is not None

    until(is_known, sender, receiver, what="the broker has been told")
    (told,) = slow(core.directory.peers["server:b"].attachment.topics, 0.0)
    assert (told.times.topic, told.times.budget_us) == ("slow", 16_000)
    assert told.times.max_us >= 30_000


def busy(seconds: float) -> None:
    """What a handler does that takes long."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        pass
