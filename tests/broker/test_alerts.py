"""Alerts: each episode is told once when it begins and once when it ends, and not too often."""

import logging

import pytest
from tests.broker.heard import Heard

from lanebus.broker import alerts as module
from lanebus.broker.alerts import ALERTS_REMEMBERED, BROKER, Alert, AlertKind, Alerts
from lanebus.wire.lanes import Lane

SLOW, FLAPPING, MEMORY = AlertKind.SLOW_RECEIVER, AlertKind.FLAPPING, AlertKind.MEMORY


def there(name: str) -> bool:
    return True


@pytest.fixture
def alerts() -> Alerts:
    return Alerts(60.0)


@pytest.fixture
def heard(alerts: Alerts) -> Heard:
    return Heard(alerts)


def test_an_episode_is_told_when_it_begins_and_when_it_ends(alerts: Alerts, heard: Heard) -> None:
    alert = alerts.begin(SLOW, "player:1", 10.0, {"held_bytes": 5.0}, lane=Lane.LOW)
    assert alerts.lasting(SLOW, "player:1", Lane.LOW) is alert
    assert alerts.lasting(SLOW, "player:1", Lane.NORMAL) is None
    assert alerts.lasting(SLOW, "player:1") is None
    assert (heard.began, heard.ended) == (["player:1 low"], [])
    assert alert.lasted_s(12.0) == 2.0
    alerts.end(alert, 14.0)
    assert alerts.lasting(SLOW, "player:1", Lane.LOW) is None
    assert (heard.began, heard.ended) == (["player:1 low"], ["player:1 low"])
    assert [(each.began, each.ended) for each in alerts] == [(10.0, 14.0)]
    assert alert.lasted_s(99.0) == 4.0


def test_kinds_peers_and_lanes_are_told_apart(alerts: Alerts, heard: Heard) -> None:
    for kind, peer, lane in (
        (SLOW, "player:1", Lane.LOW),
        (SLOW, "player:1", Lane.NORMAL),
        (SLOW, "player:2", Lane.LOW),
        (FLAPPING, "player:1", None),
        (MEMORY, BROKER, None),
    ):
        alerts.begin(kind, peer, 1.0, {}, lane=lane)
    assert heard.began == ["player:1 low", "player:1 normal", "player:2 low", "player:1", ""]
    assert len(alerts.all_lasting(SLOW)) == 3
    assert [alert.kind for alert in alerts.told_and_lasting()] == [SLOW, SLOW, SLOW, FLAPPING, MEMORY]


def test_figures_are_the_last_ones_and_the_worst() -> None:
    alert = Alert(SLOW, "player:1", Lane.LOW, 0.0)
    for value in (5.0, 9.0, 2.0):
        alert.update({"held_bytes": value})
    assert alert.figures == {"held_bytes": 2.0, "peak_held_bytes": 9.0}
    assert alert.as_dict(3.0) == {
        "kind": "slow_receiver",
        "peer": "player:1",
        "lane": "low",
        "is_over": False,
        "lasted_s": 3.0,
        "held_back": 0,
        "held_bytes": 2.0,
        "peak_held_bytes": 9.0,
    }


def test_of_those_that_are_over_the_oldest_are_forgotten(alerts: Alerts, heard: Heard) -> None:
    lasting = alerts.begin(SLOW, "player:last", 0.0, {})
    for number in range(ALERTS_REMEMBERED + 3):
        alerts.end(alerts.begin(SLOW, f"player:{number}", 0.0, {}), 1.0)
    names = [alert.peer for alert in alerts]
    assert len(names) == ALERTS_REMEMBERED + 1
    assert names[0] == "player:3"
    assert names[-1] == lasting.peer


# Not too often


def test_what_comes_too_soon_is_counted_and_the_next_one_says_so(alerts: Alerts, heard: Heard) -> None:
    for at in (0.0, 10.0, 20.0, 30.0):
        alerts.end(alerts.begin(FLAPPING, "player:1", at, {}), at + 5.0)
        alerts.sweep(there, at + 5.0)
    assert (heard.began, heard.ended) == (["player:1"], ["player:1"])
    assert len(list(alerts)) == 1
    assert alerts.begin(FLAPPING, "player:1", 60.0, {}).held_back == 3
    assert heard.began == ["player:1"] * 2
    # Counted once.
    alerts.end(alerts.all_lasting(FLAPPING)[0], 61.0)
    assert alerts.begin(FLAPPING, "player:1", 120.0, {}).held_back == 0


def test_what_came_too_soon_and_lasts_is_told_when_the_time_has_come(alerts: Alerts, heard: Heard) -> None:
    alerts.end(alerts.begin(FLAPPING, "player:1", 0.0, {}), 1.0)
    second = alerts.begin(FLAPPING, "player:1", 20.0, {})
    # It lasts all the same.
    assert alerts.lasting(FLAPPING, "player:1") is second
    assert alerts.told_and_lasting() == []
    alerts.sweep(there, 59.0)
    assert heard.began == ["player:1"]
    alerts.sweep(there, 60.5)
    alerts.sweep(there, 61.5)
    assert heard.began == ["player:1"] * 2
    assert (second.began, second.told, second.held_back) == (20.0, 60.5, 0)
    assert alerts.told_and_lasting() == [second]
    alerts.end(second, 70.0)
    assert heard.ended == ["player:1"] * 2
    # The interval runs from when it was told.
    alerts.begin(FLAPPING, "player:1", 119.0, {})
    assert heard.began == ["player:1"] * 2


def test_what_was_told_is_remembered_of_so_many(
    alerts: Alerts, heard: Heard, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "TOLD_REMEMBERED", 2)
    for number in (1, 2, 3):
        alerts.end(alerts.begin(FLAPPING, f"player:{number}", 0.0, {}), 0.5)
    held_back = alerts.begin(FLAPPING, "player:2", 1.0, {})
    assert len(heard.began) == 3
    # The first is forgotten: it waits for nothing, and takes the place of the second.
    alerts.begin(FLAPPING, "player:1", 1.0, {})
    assert heard.began[3:] == ["player:1"]
    alerts.end(held_back, 2.0)
    assert heard.ended == ["player:1", "player:2", "player:3"]
    alerts.begin(FLAPPING, "player:2", 3.0, {})
    assert heard.began[3:] == ["player:1", "player:2"]


def test_the_end_of_a_peer_ends_what_is_about_it_and_not_what_is_about_the_broker(
    alerts: Alerts, heard: Heard
) -> None:
    alerts.begin(FLAPPING, "player:1", 0.0, {})
    alerts.begin(FLAPPING, "player:2", 0.0, {})
    alerts.begin(MEMORY, BROKER, 0.0, {})
    alerts.sweep(lambda name: name == "player:2", 5.0)
    assert heard.ended == ["player:1"]


# In the log


def test_the_log_names_the_peer_its_lane_and_figures(
    alerts: Alerts, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "lanebus.broker")
    figures = {"held_bytes": 2_000_000, "oldest_age_s": 5.25}
    alert = alerts.begin(SLOW, "player:1", 10.0, figures, lane=Lane.CRITICAL)
    alert.update({"held_bytes": 100, "oldest_age_s": 9.0})
    alerts.end(alert, 31.5)
    worst = "peak_held_bytes 2000000, peak_oldest_age_s 9.0"
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        ("WARNING", "! slow_receiver: player:1 on critical: held_bytes 2000000, oldest_age_s 5.2"),
        ("INFO", f"= slow_receiver is over: player:1 on critical after 21.5 s: {worst}"),
    ]


def test_the_log_names_the_broker_and_says_what_it_did_not_tell(
    alerts: Alerts, caplog: pytest.LogCaptureFixture
) -> None:
    for at in (0.0, 10.0, 70.0):
        alerts.end(alerts.begin(MEMORY, BROKER, at, {"budget_share": 0.85}), at + 1.0)
    warnings = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert warnings == [
        "! memory: the broker: budget_share 0.85",
        "! memory: the broker: budget_share 0.85 (1 not told since the last)",
    ]
