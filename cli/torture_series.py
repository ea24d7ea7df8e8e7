"""Tortures with many seeds, one after another: a line for each when it has ended, and what all of them come to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any, Final

from rich.text import Text

from lanebus.cli.output import Out, styled

Report = Mapping[str, Any]

MAX_SEEDS: Final = 10_000
_WIDTHS: Final = {
    "SEED": 6,
    "FAULTS": 7,
    "KILLS": 6,
    "ACCEPTED": 9,
    "HANDLED": 9,
    "LOST": 5,
    "DOUBLED": 8,
    "DISORDERED": 11,
    "REDELIVERED": 12,
    "OUTAGE S": 9,
    "BACK IN S": 10,
    "P50 MS": 9,
    "P99 MS": 10,
}
"""The columns of a run's line; the verdict comes last."""
_SUMMED: Final = (
    *("accepted", "handled", "duplicated", "misordered", "unexpected", "corrupted", "unsettled", "misbooked"),
    *("redelivered", "orphaned", "unexpanded"),
)


def parse_seeds(text: str) -> list[int]:
    """The seeds that numbers and ranges stand for: ``1-3,7`` or ``1 2 3 7``.

    Raises:
        ValueError: a word is neither; the text says which.
    """
    seeds: list[int] = []
    for word in text.replace(",", " ").split():
        first, dash, last = word.partition("-")
        if not (first.isdecimal() and (last.isdecimal() if dash else not last)):
            raise ValueError(f"{word!r} is no seed and no range of seeds: write 7 or 1-20")
        numbers = range(int(first), int(last or first) + 1)
        # Before they are made: a slip of the pen must not fill the memory.
        if numbers.stop - numbers.start > MAX_SEEDS - len(seeds):
            raise ValueError(f"{text!r} are more than {MAX_SEEDS} seeds")
        seeds.extend(numbers)
    if not seeds:
        raise ValueError(f"{text!r} names no seed: write 7 or 1-20")
    return list(dict.fromkeys(seeds))


def summary_of(reports: Sequence[Report], failed: Mapping[int, str]) -> dict[str, Any]:
    """What the reports come to, in plain dicts and numbers: sums of counts, and the worst of times.

    Args:
        failed: by seed, why a torture could not be run.
    """
    faults: Counter[str] = Counter()
    for report in reports:
        faults.update(report["faults"])
    latencies = [report["latency_ms"] for report in reports if report["latency_ms"]["p50"] is not None]
    return {
        "runs": len(reports),
        "traffic_s": sum(report["duration_s"] for report in reports),
        "broken": {
            **{str(report["seed"]): report["breaches"] for report in reports if report["breaches"]},
            **{str(seed): ["not_run"] for seed in failed},
        },
        "faults": dict(faults),
        "lost": sum(report["lost"]["total"] for report in reports),
        **{name: sum(report[name] for report in reports) for name in _SUMMED},
        "longest_outage_s": max((report["longest_outage_s"] for report in reports), default=0.0),
        "recovery_s": max((report["recovery_s"] for report in reports), default=0.0),
        "drain_s": max((report["drain_s"] for report in reports), default=0.0),
        "latency_ms": {
            "p50_median": round(median(each["p50"] for each in latencies), 3) if latencies else None,
            "p99_max": max((each["p99"] for each in latencies), default=None),
        },
    }


def show_heading(out: Out) -> None:
    """Write the titles of the columns."""
    out.line(styled("".join(f"{title:>{width}}" for title, width in _WIDTHS.items()), "bold cyan"))


def show_run(out: Out, report: Report) -> None:
    """Write the line of one torture."""
    faults = report["faults"]
    cells = (
        str(report["seed"]),
        str(sum(faults.values())),
        str(sum(count for kind, count in faults.items() if kind.startswith("kill_"))),
        out.count(report["accepted"]),
        out.count(report["handled"]),
        out.count(report["lost"]["total"]),
        out.count(report["duplicated"]),
        out.count(report["misordered"]),
        out.count(report["redelivered"]),
        f"{report['longest_outage_s']:.1f}",
        f"{report['recovery_s']:.1f}",
        out.ms(report["latency_ms"]["p50"]),
        out.ms(report["latency_ms"]["p99"]),
    )
    figures = "".join(f"{cell:>{width}}" for cell, width in zip(cells, _WIDTHS.values(), strict=True))
    out.line(Text.assemble(figures, "  ", verdict(report["breaches"])))


def show_failed(out: Out, seed: int, why: str) -> None:
    """Write the line of a torture that could not be run."""
    out.line(Text.assemble(f"{seed:>{_WIDTHS['SEED']}}  ", styled(f"NOT RUN: {why}", "bold red")))


def show_summary(out: Out, summary: Mapping[str, Any]) -> None:
    """Write what all of them come to."""
    broken = summary["broken"]
    faults = [f"{kind} {out.count(count)}" for kind, count in summary["faults"].items() if count]
    out.line()
    title = (
        f"{out.things(summary['runs'], 'torture')}, {out.time(summary['traffic_s'], unit=True)} of traffic: "
    )
    seeds = "; ".join(f"seed {seed}: {', '.join(names)}" for seed, names in broken.items())
    out.line(Text.assemble(styled(title, "bold"), verdict([seeds] if seeds else [])))
    out.line(f"faults      {', '.join(faults) or 'none'}")
    out.line(
        f"events      {out.count(summary['accepted'])} accepted; {out.count(summary['handled'])} parts handled, "
        f"{out.count(summary['lost'])} lost, {out.count(summary['duplicated'])} doubled, "
        f"{out.count(summary['misordered'])} out of order"
    )
    out.line(
        f"allowed     {out.count(summary['redelivered'])} redelivered, {out.count(summary['orphaned'])} of killed "
        f"senders, {out.count(summary['unexpanded'])} for members that the broker may not have known"
    )
    latency = summary["latency_ms"]
    out.line(
        f"latency     p50 {out.ms(latency['p50_median'])} ms (median), p99 {out.ms(latency['p99_max'])} (worst)"
    )
    out.line(
        f"worst       outage {summary['longest_outage_s']:.1f} s; back within {summary['recovery_s']:.1f} s of a "
        f"fault's end; drained in {summary['drain_s']:.1f} s"
    )


def verdict(breaches: Sequence[str]) -> Text:
    """What is said of a torture, or of several, with these breaches."""
    return (
        styled(f"BROKEN: {', '.join(breaches)}", "bold red") if breaches else styled("unbroken", "bold green")
    )
