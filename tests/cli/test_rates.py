"""Rates between two looks at statistics."""

from typing import Any

from lanebus.cli.rates import rates, total

LANES = ("critical", "normal", "low")


def peer(name: str, figure: int) -> dict[str, Any]:
    """One peer of the answer to `stats`, with the same figure everywhere on the critical lane."""
    return {
        "name": name,
        "role": "client",
        "lanes": {
            lane: {
                way: dict.fromkeys(("events", "bytes", "batches"), figure if lane == "critical" else 0)
                for way in ("in", "out")
            }
            for lane in LANES
        },
    }


def rate_of(before: list[dict[str, Any]], after: list[dict[str, Any]], seconds: float = 2.0) -> float:
    (found,) = rates(before, after, seconds)
    assert found["in"] == found["out"] == found["lanes"]["critical"]["in"]
    assert found["lanes"]["low"]["out"]["bytes_per_s"] == 0.0
    assert found["in"]["events_per_s"] == found["in"]["bytes_per_s"] == found["in"]["batches_per_s"]
    return float(found["in"]["events_per_s"])


def test_a_rate_is_what_was_counted_in_between() -> None:
    assert rate_of([peer("player:1", 10)], [peer("player:1", 13)]) == 1.5
    assert rate_of([peer("player:1", 10)], [peer("player:1", 10)]) == 0.0
    assert rate_of([peer("player:1", 0)], [peer("player:1", 1)], 3.0) == 0.333


def test_who_has_come_or_begun_anew_has_what_it_has_counted_since() -> None:
    assert rate_of([], [peer("player:1", 4)]) == 2.0
    assert rate_of([peer("player:1", 10)], [peer("player:1", 4)]) == 2.0


def test_who_has_gone_is_not_there() -> None:
    assert rates([peer("player:1", 10)], [], 1.0) == []


def test_the_sum_of_all() -> None:
    both = rates([], [peer("player:1", 4), peer("player:2", 6)], 1.0)
    assert total(both)["in"] == {"events_per_s": 10.0, "bytes_per_s": 10.0, "batches_per_s": 10.0}
    assert total([])["out"]["bytes_per_s"] == 0
