"""Limits that are nearly used up: one episode from a share on, until well below it."""

import pytest
from tests.broker.heard import Heard

from lanebus.broker.alerts import AlertKind, Alerts
from lanebus.broker.near_limit import NearLimit

KINDS = [AlertKind.BANDWIDTH, AlertKind.ERROR_BUDGET]


@pytest.mark.parametrize("kind", KINDS)
def test_it_begins_at_the_share_and_ends_well_below_it(kind: AlertKind) -> None:
    alerts = Alerts(0.0)
    heard = Heard(alerts)
    near = NearLimit(kind, 0.8, alerts)
    shares = [0.0, 0.79, 0.8, 0.95, 0.79, 0.62, 0.81, 0.61, 0.59, 0.79, 0.2]
    lasting = []
    for second, share in enumerate(shares):
        near.look("player:1", share, float(second))
        lasting.append(alerts.lasting(kind, "player:1") is not None)
    assert lasting == [False, False, True, True, True, True, True, True, False, False, False]
    assert (heard.began, heard.ended, heard.kinds) == (["player:1"], ["player:1"], [kind.value])
    (alert,) = alerts
    assert (alert.began, alert.ended) == (2.0, 8.0)
    assert alert.figures == {"used_share": 0.59, "peak_used_share": 0.95}


def test_a_use_that_swings_about_the_share_is_told_once_a_minute() -> None:
    alerts = Alerts(60.0)
    heard = Heard(alerts)
    near = NearLimit(AlertKind.BANDWIDTH, 0.8, alerts)
    for second in range(130):
        near.look("player:1", 0.9 if second % 2 else 0.1, float(second))
    assert heard.began == ["player:1"] * 3
    assert [alert.held_back for alert in alerts if alert.told is not None] == [0, 29, 29]


def test_names_are_told_apart_and_other_figures_are_kept() -> None:
    alerts = Alerts(0.0)
    heard = Heard(alerts)
    near = NearLimit(AlertKind.BANDWIDTH, 0.8, alerts)
    near.look("player:1", 0.9, 1.0, {"limit_bytes_s": 51_200})
    near.look("player:2", 1.5, 1.0)
    assert heard.began == ["player:1", "player:2"]
    assert alerts.all_lasting(AlertKind.BANDWIDTH)[0].figures["limit_bytes_s"] == 51_200
