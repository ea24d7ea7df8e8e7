"""What a broker answers and the demo's children report, made up: steady traffic, the same on every lane."""

from typing import Any

from lanebus.cli.demo_figures import Gatherer
from lanebus.cli.demo_reports import Report, UnitFigures
from lanebus.wire.histogram import Histogram
from lanebus.wire.lanes import LANES
from lanebus.wire.outcomes import OUTCOME_NAMES, Book


def way(events: int, batches: int) -> dict[str, int]:
    """The counters of one lane in one direction."""
    return {"events": events, "batches": batches, "bytes": events * 30, "unbatched_bytes": events * 90}


def status(seconds: float, epoch: str = "e1") -> dict[str, Any]:
    """A broker's status after so many seconds of steady traffic."""
    count = int(seconds * 100)
    return {
        "epoch": epoch,
        "pid": 4711,
        "uptime_s": seconds + 1.0,
        "cpu_s": seconds * 0.25,
        "rss_bytes": 40 << 20,
        "rss_peak_bytes": 41 << 20,
        "errors": {},
        "lanes": {
            lane.label: {
                "in": way(count, count // 5),
                "out": way(10 * count, count),
                "queued_events": int(lane) * 7,
                "queued_bytes": int(lane) * 7000,
            }
            for lane in LANES
        },
        "control": {
            "in": {"messages": count, "bytes": count * 10},
            "out": {"messages": count, "bytes": count * 10},
        },
    }


def peers(seconds: float, names: list[str]) -> list[dict[str, Any]]:
    """The peers then: each has sent 10 events a second and received 100."""
    return [
        {
            "name": f"player:{name}",
            "rtt_ms": 0.42,
            "quality": "excellent",
            "events_in": int(seconds * 10),
            "events_out": int(seconds * 100),
            "queued_events": 3,
            "unsettled_events": 4,
            "throttled": [],
        }
        for name in names
    ]


def report(
    *,
    accepted: int = 0,
    delivered: int = 0,
    units: list[UnitFigures] | None = None,
    latencies_ms: list[float] | None = None,
    **others: Any,
) -> Report:
    """A child's report with the same figures on every lane."""
    histogram = Histogram()
    for latency_ms in latencies_ms or []:
        histogram.record(int(latency_ms * 1000))
    figures = histogram.as_list()
    book = Book(accepted, [delivered, *[0] * (len(OUTCOME_NAMES) - 1)]).as_list()
    values: dict[str, Any] = {
        "connected": 1,
        "playing": 1,
        "resting": False,
        "in_flight": 3 * (accepted - delivered),
        "latencies": (figures, figures, figures),
        "books": (book, book, book),
        "units": units or [],
        **others,
    }
    return Report(**values)


def unit(name: str, score: int, health: int = 100, room: int = 1) -> UnitFigures:
    """One unit of the arena."""
    return UnitFigures(f"player:{name}", 30.0, 15.0, health, score, score // 100, 1, room)


def audit(
    accepted: int, delivered: int, *, at_rest: bool = True, problems: tuple[str, ...] = ()
) -> dict[str, Any]:
    """A broker's audit with the same books on every lane."""
    book = Book(accepted, [delivered, *[0] * (len(OUTCOME_NAMES) - 1)]).as_dict()
    lanes = {lane.label: book for lane in LANES}
    return {
        "balanced": not problems,
        "at_rest": at_rest,
        "sessions": 2,
        "problems": list(problems),
        "books": {"events": lanes, "parts": lanes, "reported": lanes},
    }


def gathered(*seconds: float) -> Gatherer:
    """A gatherer that was fed at these times."""
    gatherer = Gatherer()
    for now_s in seconds:
        gatherer.add_status(now_s, status(now_s))
        gatherer.add_peers(now_s, peers(now_s, ["ivy", "rook"]))
        gatherer.add_server(now_s, report(units=[unit("ivy", 10), unit("rook", 90)], ticks=int(now_s * 30)))
        gatherer.add_bots(now_s, report(connected=2, news=[f"news at {now_s:.0f}"]))
    return gatherer
