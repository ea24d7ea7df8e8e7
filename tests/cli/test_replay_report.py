"""The report: its names and arithmetic, adding up processes and epochs of the broker, and what people see."""

import io
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.cli.trace_files import write_duel

from lanebus.cli.control_client import ControlClient
from lanebus.cli.exits import CliError, Exit
from lanebus.cli.output import Out
from lanebus.cli.replay_check import Faults
from lanebus.cli.replay_meter import BrokerFigures, BrokerMeter
from lanebus.cli.replay_plan import Plan
from lanebus.cli.replay_progress import ProgressView
from lanebus.cli.replay_report import build, is_clean, show
from lanebus.cli.replay_result import Progress, Result, Traffic
from lanebus.cli.traces import read_trace
from lanebus.wire.histogram import Histogram
from lanebus.wire.outcomes import Book, Outcome


def status(epoch: str = "a", *, scale: int = 1, rss: int = 1000, peak: int = 2000) -> dict[str, Any]:
    out = {"events": 10 * scale, "batches": 2 * scale, "bytes": 300 * scale, "unbatched_bytes": 900 * scale}
    return {
        "epoch": epoch,
        "lanes": {
            lane: {
                "out": dict(out),
                "queued_events": scale,
                "throttled_events": 4 if lane == "normal" else 0,
                "shaped_parts": 7 if lane == "low" else 0,
                "shaped_ms": {"p50": 300.0, "p95": 700.0, "p99": 800.0, "max": 801.0},
            }
            for lane in ("critical", "normal", "low")
        },
        "control": {"out": {"messages": 5 * scale, "bytes": 50 * scale}},
        "cpu_s": 0.5 * scale,
        "rss_bytes": rss,
        "rss_peak_bytes": peak,
    }


class FakeClient(ControlClient):
    """Answers with what it was given, one after the other; an exception is raised."""

    def __init__(self, *answers: Any) -> None:
        super().__init__("tcp://127.0.0.1:1")
        self.answers = list(answers)
        self.asked = False

    def request(self, command: str, **arguments: Any) -> Any:
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def ask(self, command: str, **arguments: Any) -> None:
        if isinstance(self.answers[0], Exception):
            raise self.answers.pop(0)
        self.asked = True

    def answer(self, wait_ms: int = 0) -> tuple[Any] | None:
        if not self.asked:
            return None
        self.asked = False
        return (self.answers.pop(0),)


def test_the_meter_takes_differences() -> None:
    meter = BrokerMeter(FakeClient(status(rss=1000), status(scale=3, rss=1500, peak=4000)))
    meter.start()
    figures = meter.end()
    assert figures == BrokerFigures(
        events=60,
        unbatched_bytes=5400,
        batches=12,
        bytes=1800,
        control_messages=10,
        control_bytes=100,
        cpu_s=1.0,
    )
    assert (meter.rss_start_bytes, meter.rss_peak_bytes, meter.rss_end_bytes) == (1000, 4000, 1500)
    assert meter.queued_events == 9


def test_the_meter_survives_a_restart_of_the_broker() -> None:
    away = CliError("gone", Exit.UNAVAILABLE)
    meter = BrokerMeter(FakeClient(status("a", scale=2), status("a", scale=5), away, status("b", scale=4)))
    meter.start()
    queued = []
    for _ in range(2):
        meter.ask()
        meter.look()
        queued.append(meter.queued_events)
    assert queued == [15, None]
    assert meter.end().events == 30 * 3 + 30 * 4


def some_result() -> Result:
    histogram = Histogram()
    for value_us in (1000, 2000, 3000, 10_000):
        histogram.record(value_us)
    return Result(
        sent=[100, 50, 10],
        delivered=[200, 60, 10],
        latencies=[histogram, Histogram(), Histogram()],
        faults=Faults(),
        book=Book(160, [158, 0, 0, 0, 2, 0]),
        traffic=Traffic(
            events=160,
            unbatched_bytes=16_000,
            batches=40,
            bytes=4000,
            control_messages=10,
            control_bytes=500,
        ),
    )


def report_of(plan: Plan, result: Result, *, balanced: bool = True) -> dict[str, Any]:
    meter = BrokerMeter(FakeClient(status(), status(scale=2)))
    meter.start()
    return build(plan, result, meter.end(), meter, duration_s=2.0, ledger_balanced=balanced)


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    return Plan([read_trace(write_duel(tmp_path / "duel.jsonl.gz"))])


def test_the_report_has_exactly_these_names(plan: Plan) -> None:
    report = report_of(plan, some_result())
    lane = {"events", "deliveries", "latency_ms"}
    latency = {"mean", "p50", "p95", "p99", "max"}
    savings = {"unbatched", "sent", "control", "reduction"}
    assert list(report) == [
        *("matches", "players", "events_sent", "deliveries_expected", "delivered"),
        *("lost", "duplicated", "misordered", "corrupted"),
        *(
            "refused",
            "expired",
            "superseded",
            "dropped",
            "unknown",
            "limits",
            "duration_s",
            "longest_gap_s",
        ),
        *("by_lane", "messages", "bytes", "broker", "ledger_balanced"),
    ]
    assert set(report["by_lane"]) == {"critical", "normal", "low"}
    for figures in report["by_lane"].values():
        assert set(figures) == lane
        assert set(figures["latency_ms"]) == latency
    assert set(report["messages"]) == set(report["bytes"]) == savings
    assert set(report["broker"]) == {"cpu_s", "cpu_share", "rss_start", "rss_peak", "rss_end"}
    msgspec.json.encode(report)


def test_the_arithmetic(plan: Plan) -> None:
    report = report_of(plan, some_result())
    assert (report["matches"], report["players"]) == (1, 2)
    assert (report["events_sent"], report["delivered"]) == (160, 270)
    assert report["deliveries_expected"] == plan.deliveries
    assert report["refused"] == 2
    assert report["limits"]["throttled"] == {"critical": 0, "normal": 4, "low": 0}
    # Adapters and broker together: 160 + 30 events, 40 + 6 batches, 10 + 5 control messages.
    assert report["messages"] == {"unbatched": 190, "sent": 46, "control": 15, "reduction": 0.6789}
    assert report["bytes"] == {"unbatched": 18_700, "sent": 4900, "control": 550, "reduction": 0.7086}
    assert report["broker"] == {
        "cpu_s": 0.5,
        "cpu_share": 0.25,
        "rss_start": 1000,
        "rss_peak": 2000,
        "rss_end": 1000,
    }
    critical = report["by_lane"]["critical"]
    assert (critical["events"], critical["deliveries"]) == (100, 200)
    assert critical["latency_ms"]["mean"] == 4.0
    assert critical["latency_ms"]["max"] == 10.0
    assert critical["latency_ms"]["p50"] == pytest.approx(2.0, rel=0.07)
    assert report["by_lane"]["low"]["latency_ms"] == dict.fromkeys(("mean", "p50", "p95", "p99", "max"))


def test_clean_means_exact_and_balanced(plan: Plan) -> None:
    assert is_clean(report_of(plan, some_result()))
    assert not is_clean(report_of(plan, some_result(), balanced=False))
    for name in ("lost", "duplicated", "misordered", "corrupted"):
        result = some_result()
        setattr(result.faults, name, 1)
        report = report_of(plan, result)
        assert report[name] == 1
        assert not is_clean(report)


def test_people_see_the_verdict_first(plan: Plan) -> None:
    stream = io.StringIO()
    show(Out("table", stream), report_of(plan, some_result()))
    assert stream.getvalue().strip().splitlines()[0] == "1 match, 2 players: every delivery exact"
    assert "balanced" in stream.getvalue()
    result = some_result()
    result.faults.lost = 2
    stream = io.StringIO()
    show(Out("table", stream), report_of(plan, result, balanced=False))
    assert "NOT EXACT" in stream.getvalue().splitlines()[1]
    assert "2 refused, NOT BALANCED" in stream.getvalue()
    limits = "4 events throttled; held for players' allowances: low 7 (p99 800.00 ms)"
    assert limits in " ".join(stream.getvalue().split())


def test_results_of_processes_add_up() -> None:
    total = some_result()
    total.add(some_result())
    assert total.sent == [200, 100, 20]
    assert total.delivered == [400, 120, 20]
    assert total.latencies[0].count == 8
    assert total.book.ended[Outcome.REFUSED] == 4
    assert total.traffic.batches == 80


def progress(**more: Any) -> Progress:
    fields: dict[str, Any] = {
        "match_s": 61.0,
        "sent": 10,
        "delivered": 20,
        "wrong": 0,
        "in_flight": 3,
        "done": False,
        "waiting": False,
        "away_s": 0.0,
    }
    return Progress(**(fields | more))


def test_progress_of_processes_adds_up() -> None:
    total = progress(done=True, waiting=True).plus(progress(match_s=59.0, away_s=2.0, done=False))
    assert total == progress(
        match_s=59.0, sent=20, delivered=40, in_flight=6, done=False, waiting=True, away_s=2.0
    )


def test_progress_is_a_line_now_and_then(plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr("lanebus.cli.replay_progress.time.monotonic", lambda: now[0])
    stream = io.StringIO()
    with ProgressView(plan, 600.0, stream) as view:
        for second in range(1, 12):
            now[0] = 100.0 + second
            view.show(progress(sent=10 * second, delivered=20 * second), 7)
        now[0] = 116.0
        view.show(progress(wrong=2, away_s=4.0, match_s=float("inf")), None)
    lines = stream.getvalue().splitlines()
    assert len(lines) == 3
    sends, deliveries = len(plan.topics), plan.deliveries
    assert lines[0] == (
        f"5 s: match 1:01, sent 50/{sends} (10/s), delivered 100/{deliveries} (20/s), in flight 3, queued 7"
    )
    assert lines[2].endswith("in flight 3, queued -, 2 WRONG, no broker for 4 s")
    assert "match" not in lines[2]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_progress_on_a_terminal_is_a_live_table(plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    now = [100.0]
    monkeypatch.setattr("lanebus.cli.replay_progress.time.monotonic", lambda: now[0])
    stream = Terminal()
    with ProgressView(plan, 600.0, stream) as view:
        now[0] = 101.0
        view.show(progress(wrong=2, away_s=4.0), 7)
        now[0] = 102.0
        view.show(progress(match_s=float("inf")), None)
    text = stream.getvalue()
    for word in ("playing", "1:01", "delivered", "wrong", "no broker", "at full speed", "7 queued"):
        assert word in text
