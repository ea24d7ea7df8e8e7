"""`lanebus quality`: a peer's samples in spans of time, what they are called, and since when."""

import json
from typing import Any

import pytest
from click.testing import CliRunner, Result

from lanebus.cli.control_client import ControlClient
from lanebus.cli.quality import BUCKETS, buckets, quality, sparkline

NONE = {"p50": None, "p95": None, "p98": None}


def sample(age_s: float, **changes: Any) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "age_s": age_s,
        "before_reconnect": False,
        "app_rtt_ms": 40.0,
        "network_rtt_ms": 30.0,
        "deviation_ms": 1.0,
        "sent": 10.0,
        "lost": 0.0,
    }
    return fields | changes


ANSWER: dict[str, Any] = {
    "name": "player:1\x1b[31m",
    "via": None,
    "connected_s": 90.0,
    "rtt_ms": 30.0,
    "network_rtt_ms": 30.0,
    "app_rtt_ms": 40.0,
    "outside_rtt_ms": None,
    "jitter_ms": 2.0,
    "loss_share": 0.025,
    "queue_ms": 0.0,
    "quality": "fair",
    "reason": "loss 2.5 %",
    "score": 60.4,
    "resumes": 1,
    "outages": 2,
    "longest_outage_s": 3.5,
    "reported": {"quality": "poor", "reason": "jitter 61.0 ms\x1b[0m", "age_s": 1.25},
    "percentiles": {"network_rtt_ms": {"p50": 29.5, "p95": 44.25, "p98": None}, "app_rtt_ms": NONE},
    "samples": [sample(3.0, network_rtt_ms=None), sample(0.9, lost=1.0), sample(0.5, network_rtt_ms=40.0)],
    "changes": [
        {"age_s": 80.0, "before": "estimating", "after": "excellent", "reason": "round trip 30.0 ms"},
        {"age_s": 4.0, "before": "excellent", "after": "fair", "reason": "loss 2.5 %"},
    ],
}


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """What the broker was asked."""
    found: list[tuple[str, str]] = []

    def request(self: ControlClient, command: str, *, peer: str) -> dict[str, Any]:
        found.append((command, peer))
        return ANSWER

    monkeypatch.setattr(ControlClient, "request", request)
    return found


def run(*arguments: str) -> Result:
    result = CliRunner().invoke(quality, list(arguments), standalone_mode=False)
    assert result.exception is None, result.exception
    return result


def lines(*arguments: str) -> list[str]:
    output = run(*arguments).output
    assert "\x1b" not in output
    return [" ".join(line.split()) for line in output.splitlines()]


@pytest.mark.parametrize(
    ("given", "full"), [("1", "player:1"), ("player:1", "player:1"), ("server:a", "server:a")]
)
def test_a_name_without_a_role_is_a_players(asked: list[tuple[str, str]], given: str, full: str) -> None:
    run(given)
    assert asked == [("quality", full)]


def test_json_is_what_the_broker_said(asked: list[tuple[str, str]]) -> None:
    assert json.loads(run("1", "-o", "json").stdout) == ANSWER


def test_figures_stand_above_their_history(asked: list[tuple[str, str]]) -> None:
    assert lines("1") == [
        r"player:1\x1b[31m connected for 90.000 s, fair: loss 2.5 %, score 60 of 100",
        "network 30.00 ms (p50 29.50, p95 44.25)",
        "application 40.00 ms",
        "jitter 2.00 ms",
        "loss 2.5 %",
        "queue 0.00 ms",
        "outages 2, the longest 3.500 s; 1 reconnect",
        r"reported poor: jitter 61.0 ms\x1b[0m, by the peer itself 1.250 s ago",
        "AGO SAMPLES NETWORK MS NETWORK MAX MS APP MS APP MAX MS JITTER MS SENT LOST LOSS",
        "4 - 3 s 1 - - 40.00 40.00 - 10 0 0.0 %",
        "1 - 0 s 2 35.00 40.00 40.00 40.00 7.07 20 1 5.0 %",
        "AGO S FROM TO REASON",
        "4.000 excellent fair loss 2.5 %",
        "80.000 estimating excellent round trip 30.0 ms",
    ]


def test_a_peer_that_has_only_come_has_no_history(
    asked: list[tuple[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    changes: dict[str, Any] = {
        "samples": [],
        "changes": [],
        "score": None,
        "via": "gateway:g",
        "reported": {"quality": "good", "reason": "round trip 105 ms", "age_s": 0.0},
        "outside_rtt_ms": 12.0,
        "loss_share": None,
    }
    for name, value in changes.items():
        monkeypatch.setitem(ANSWER, name, value)
    shown = lines("1")
    assert shown[0].endswith("connected for 90.000 s, via gateway:g, fair: loss 2.5 %")
    assert "behind gateway 12.00 ms, in the figures above, not in the table" in shown
    assert "loss -" in shown
    assert "reported good: round trip 105 ms, by its gateway 0.000 s ago" in shown
    monkeypatch.setitem(ANSWER, "reported", None)
    assert not [line for line in lines("1") if line.startswith("reported")]
    assert shown[-1] == "the quality has not changed"


def test_spans_are_equal_and_few() -> None:
    found = buckets([sample(float(age)) for age in range(240, -1, -2)])
    assert len(found) == BUCKETS
    assert (found[0][0], found[-1][0]) == ("240 - 220 s", "20 - 0 s")
    assert sum(len(each) for _, each in found) == 121


@pytest.mark.parametrize(
    ("values", "line"), [([], ""), ([None, 0.0], " ▁"), ([0.0, 4.0, None, 8.0], "▁▅ █"), ([5.0], "█")]
)
def test_a_sparkline_has_a_bar_for_each_value(values: list[float | None], line: str) -> None:
    assert sparkline(values) == line
