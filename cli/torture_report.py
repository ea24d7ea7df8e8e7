"""The outcome of a torture: its figures under stable names for programs, and as tables for people."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from lanebus.cli.output import Out, add_rows, new_table, styled
from lanebus.cli.torture_check import Findings
from lanebus.cli.torture_plan import Plan
from lanebus.cli.torture_run import Outcome
from lanebus.cli.torture_series import verdict

_COUNTED: Final = ("duplicated", "misordered", "unexpected", "corrupted", "unsettled", "misbooked")


def build(plan: Plan, outcome: Outcome, found: Findings, *, strict: bool) -> dict[str, Any]:
    """The report, in plain dicts and numbers; `breaches` names what broke the promise, and is empty if nothing did.

    With `strict`, parts of events to `all` count as lost also where the broker or the player had been killed before.
    """
    lost = {"total": found.lost.total(), **found.lost}
    breaches = [name for name in _COUNTED if getattr(found, name)]
    if lost["total"]:
        breaches.append("lost")
    if strict and found.unexpanded:
        breaches.append("unexpanded")
    if found.crashed:
        breaches.append("crashed")
    if not outcome.is_drained:
        breaches.append("not_drained")
    if not outcome.queues_empty:
        breaches.append("queues_not_empty")
    if not outcome.ledger_balanced:
        breaches.append("ledger_not_balanced")
    return {
        "seed": plan.seed,
        "duration_s": plan.duration_s,
        "peers": len(plan.peers),
        "breaches": breaches,
        "faults": {kind: outcome.faults[kind] for kind in plan.kinds},
        "accepted": found.accepted,
        "handled": found.handled,
        "lost": lost,
        **{name: getattr(found, name) for name in _COUNTED},
        "crashed": found.crashed,
        "unexpanded": found.unexpanded,
        "redelivered": found.redelivered,
        "orphaned": found.orphaned,
        "ends": dict(sorted(found.ends.items())),
        "drained": outcome.is_drained,
        "queues_empty": outcome.queues_empty,
        "ledger_balanced": outcome.ledger_balanced,
        "longest_outage_s": round(found.longest_outage_s, 3),
        "recovery_s": round(found.recovery_s, 3),
        "drain_s": round(outcome.drain_s, 3),
        "latency_ms": _quantiles(found.latencies_ms),
        "problems": outcome.problems,
        "examples": {kind: list(texts) for kind, texts in found.examples.items()},
    }


def show(out: Out, report: Mapping[str, Any]) -> None:
    """Write the report as tables."""
    out.line()
    faults = sum(report["faults"].values())
    title = (
        f"seed {report['seed']}, {out.time(report['duration_s'], unit=True)}, "
        f"{out.things(report['peers'], 'peer')}, {out.things(faults, 'fault')}: "
    )
    out.line(styled(title, "bold") + verdict(report["breaches"]))
    columns = ["ACCEPTED", "HANDLED", "LOST", *(name.upper() for name in _COUNTED)]
    table = new_table(columns, text_columns=0)
    bad = [report["lost"]["total"], *(report[name] for name in _COUNTED)]
    add_rows(
        table,
        [
            [
                out.count(report["accepted"]),
                out.count(report["handled"]),
                *(styled(out.count(number), "bold red" if number else "green") for number in bad),
            ]
        ],
    )
    out.table(table)
    _show_counts(out, "FAULT", report["faults"])
    _show_counts(out, "END OF EVENTS", report["ends"])
    out.line()
    lost = report["lost"]
    if lost["total"]:
        out.line(
            f"lost        {lost['head']} at the head of their streams, {lost['middle']} amid, "
            f"{lost['tail']} at the tail"
        )
    out.line(
        f"allowed     {out.count(report['redelivered'])} redelivered, {out.count(report['orphaned'])} of killed "
        f"senders, {out.count(report['unexpanded'])} of `all` for players who may not have been there"
    )
    latency = report["latency_ms"]
    out.line(
        f"latency     p50 {out.ms(latency['p50'])} ms, p99 {out.ms(latency['p99'])}, max {out.ms(latency['max'])}"
    )
    out.line(
        f"outage      {out.time(report['longest_outage_s'], unit=True)} at most; back within "
        f"{out.time(report['recovery_s'], unit=True)} of a fault's end; "
        f"drained in {out.time(report['drain_s'], unit=True)}"
    )
    for problem in report["problems"]:
        out.line(f"problem     {problem}")
    for kind, texts in report["examples"].items():
        for text in texts[:5]:
            out.line(f"{kind:<11} {text}")


def _show_counts(out: Out, title: str, counts: Mapping[str, int]) -> None:
    if counts:
        table = new_table([title, "COUNT"])
        add_rows(table, [[name, out.count(count)] for name, count in counts.items()])
        out.table(table)


def _quantiles(ordered: list[float]) -> dict[str, float | None]:
    if not ordered:
        return {"p50": None, "p99": None, "max": None}
    places = {"p50": 0.5, "p99": 0.99, "max": 1.0}
    last = len(ordered) - 1
    return {name: round(ordered[int(share * last)], 3) for name, share in places.items()}
