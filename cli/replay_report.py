"""The outcome of a replay: its figures under stable names for programs, and as tables for people."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lanebus.cli.output import Out, add_rows, new_table, styled
from lanebus.cli.replay_limits import limits_line
from lanebus.cli.replay_meter import BrokerFigures, BrokerMeter
from lanebus.cli.replay_plan import Plan
from lanebus.cli.replay_result import Result
from lanebus.cli.styles import LANE_STYLES
from lanebus.wire.histogram import Histogram
from lanebus.wire.lanes import LANE_NAMES, LANES
from lanebus.wire.outcomes import Outcome

_FAULTS = ("lost", "duplicated", "misordered", "corrupted")
_ENDS = (Outcome.REFUSED, Outcome.EXPIRED, Outcome.SUPERSEDED, Outcome.DROPPED, Outcome.UNKNOWN)


def build(
    plan: Plan,
    result: Result,
    broker: BrokerFigures,
    meter: BrokerMeter,
    *,
    duration_s: float,
    ledger_balanced: bool,
) -> dict[str, Any]:
    """The report: times in milliseconds, sizes in bytes, as the names say; in plain dicts and numbers."""
    traffic = result.traffic
    messages = _savings(
        unbatched=traffic.events + broker.events,
        sent=traffic.batches + broker.batches,
        control=traffic.control_messages + broker.control_messages,
    )
    sizes = _savings(
        unbatched=traffic.unbatched_bytes + broker.unbatched_bytes,
        sent=traffic.bytes + broker.bytes,
        control=traffic.control_bytes + broker.control_bytes,
    )
    return {
        "matches": len(plan.matches),
        "players": plan.players,
        "events_sent": sum(result.sent),
        "deliveries_expected": plan.deliveries,
        "delivered": sum(result.delivered),
        **{name: getattr(result.faults, name) for name in _FAULTS},
        **{outcome.label: result.book.ended[outcome] for outcome in _ENDS},
        "limits": meter.limits,
        "duration_s": round(duration_s, 3),
        "longest_gap_s": round(result.longest_gap_s, 3),
        "by_lane": {
            lane.label: {
                "events": result.sent[lane],
                "deliveries": result.delivered[lane],
                "latency_ms": _latency_ms(result.latencies[lane]),
            }
            for lane in LANES
        },
        "messages": messages,
        "bytes": sizes,
        "broker": {
            "cpu_s": round(broker.cpu_s, 3),
            "cpu_share": round(broker.cpu_s / duration_s, 4) if duration_s else None,
            "rss_start": meter.rss_start_bytes,
            "rss_peak": meter.rss_peak_bytes,
            "rss_end": meter.rss_end_bytes,
        },
        "ledger_balanced": ledger_balanced,
    }


def is_clean(report: Mapping[str, Any]) -> bool:
    """Whether nothing was lost, duplicated, misordered or corrupted, and the ledger balances."""
    return bool(report["ledger_balanced"]) and not any(report[name] for name in _FAULTS)


def show(out: Out, report: Mapping[str, Any]) -> None:
    """Write the report as tables."""
    verdict = (
        styled("every delivery exact", "bold green") if is_clean(report) else styled("NOT EXACT", "bold red")
    )
    out.line()
    played = (
        f"{out.things(report['matches'], 'match', 'matches')}, {out.things(report['players'], 'player')}: "
    )
    out.line(styled(played, "bold") + verdict)
    table = new_table(
        ["EVENTS SENT", "EXPECTED", "DELIVERED", *(name.upper() for name in _FAULTS)], text_columns=0
    )
    add_rows(
        table,
        [
            [
                out.count(report["events_sent"]),
                out.count(report["deliveries_expected"]),
                out.count(report["delivered"]),
                *(
                    styled(out.count(report[name]), "bold red" if report[name] else "green")
                    for name in _FAULTS
                ),
            ]
        ],
    )
    out.table(table)
    _show_lanes(out, report)
    _show_savings(out, report)
    out.line()
    out.line(
        f"gap        {report['longest_gap_s']:.3f} s at most without a delivery to a receiver that one was due to"
    )
    out.line(limits_line(out, report["limits"]))
    broker = report["broker"]
    ledger = styled("balanced", "green") if report["ledger_balanced"] else styled("NOT BALANCED", "bold red")
    ends = [f"{out.count(report[end.label])} {end.label}" for end in _ENDS if report[end.label]]
    out.line(styled(f"ledger     {', '.join(ends)}{', ' if ends else ''}", "") + ledger)
    memory = [out.size(broker[f"rss_{when}"], unit=True) for when in ("start", "peak", "end")]
    out.line(
        f"broker     {out.share(broker['cpu_share'])} of a core: {out.time(broker['cpu_s'], unit=True)} in "
        f"{out.time(report['duration_s'], unit=True)}; memory {memory[0]} at the start, {memory[1]} at most, "
        f"{memory[2]} at the end"
    )


def _show_lanes(out: Out, report: Mapping[str, Any]) -> None:
    table = new_table(["LANE", "EVENTS", "DELIVERIES", "MEAN MS", "P50", "P95", "P99", "MAX"])
    for name in LANE_NAMES:
        lane = report["by_lane"][name]
        latency = lane["latency_ms"]
        figures = [out.ms(latency[key]) for key in ("mean", "p50", "p95", "p99", "max")]
        add_rows(
            table,
            [
                [
                    styled(name, LANE_STYLES[name]),
                    out.count(lane["events"]),
                    out.count(lane["deliveries"]),
                    *figures,
                ]
            ],
        )
    out.table(table)


def _show_savings(out: Out, report: Mapping[str, Any]) -> None:
    table = new_table(["ON THE WIRE", "UNBATCHED", "BATCHES", "CONTROL", "SAVED"])
    for name, write in (("messages", out.count), ("bytes", out.size)):
        figures = report[name]
        cells = [write(figures[key]) for key in ("unbatched", "sent", "control")]
        add_rows(table, [[name, *cells, out.share(figures["reduction"])]])
    out.table(table)


def _savings(*, unbatched: int, sent: int, control: int) -> dict[str, Any]:
    reduction = round(1 - (sent + control) / unbatched, 4) if unbatched else None
    return {"unbatched": unbatched, "sent": sent, "control": control, "reduction": reduction}


def _latency_ms(histogram: Histogram) -> dict[str, float | None]:
    figures = {"mean": histogram.mean_us()}
    figures |= {
        name: histogram.quantile_us(share) for name, share in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99))
    }
    figures["max"] = float(histogram.max_us) if histogram.count else None
    return {name: None if value is None else round(value / 1000, 3) for name, value in figures.items()}
