"""The command `lanebus status`: what a broker does, and how well it and its services are."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import click
from rich.text import Text

from lanebus.cli.control_client import ControlClient, control_options
from lanebus.cli.inspect import lane_cell, ratio, show_books
from lanebus.cli.output import Format, Out, add_rows, new_table, output_option, styled
from lanebus.cli.refusals import show_refusals
from lanebus.cli.styles import HEALTH_STYLES, STATE_STYLES
from lanebus.wire.build import with_build
from lanebus.wire.lanes import LANE_NAMES
from lanebus.wire.services import BUS

_LANE_FIGURES: Final = (
    *(
        "EVENTS IN",
        "BATCHES|BATCHES IN",
        "BYTES|BYTES IN",
        "EVENTS OUT",
        "BATCHES|BATCHES OUT",
        "BYTES|BYTES OUT",
    ),
    *("QUEUED", "BYTES|QUEUED BYTES", "UNSETTLED", "HELD P50 MS", "P99|HELD P99 MS", "MAX|HELD MAX MS"),
)

MOST_NAMED: Final = 8
"""Refused names that are shown; JSON has them all."""


@click.command()
@control_options
@output_option
def status(server: str, timeout_s: float, output_format: Format) -> None:
    """Show what a broker does, on one screen."""
    with ControlClient(server, timeout_s=timeout_s) as client:
        result = client.request("status")
    out = Out(output_format)
    if out.is_json:
        out.json(result)
        return
    _show_heading(out, result)
    _show_lanes(out, result["lanes"])
    show_books(out, result["books"])
    if result["errors"]:
        table = new_table(["ERROR", "COUNT"])
        add_rows(table, [[label, out.count(count)] for label, count in sorted(result["errors"].items())])
        out.table(table)
    show_refusals(out, result["refused"], result["unhandled"])
    for name, cools_s in sorted(result["cooling_down_s"].items())[:MOST_NAMED]:
        out.line(
            Text.assemble(
                styled("refused: ", "bold red"),
                styled(f"{name} broke too many rules, for another {out.time(cools_s, unit=True)}", ""),
            )
        )


def _show_heading(out: Out, result: Mapping[str, Any]) -> None:
    state = str(result["state"])
    version = with_build(result["version"], compiled=result["compiled"])
    out.line(
        Text.assemble(
            styled(str(result["name"]), "bold"),
            styled(
                f"  {version}, up {out.time(result['uptime_s'], unit=True)}, pid {result['pid']}, "
                f"epoch {result['epoch']}, ",
                "",
            ),
            styled(state, STATE_STYLES.get(state, "")),
            styled(", ", ""),
            styled(str(result["health"]), HEALTH_STYLES.get(result["health"], "")),
        )
    )
    for reason in result["reasons"]:
        out.line(styled(f"  {reason}", HEALTH_STYLES.get(result["health"], "")))
    sessions = result["sessions"]
    services = result["services"]
    named = ", ".join(f"{name} ({len(instances)})" for name, instances in sorted(services.items())[:8])
    more = f" and {len(services) - 8} more" if len(services) > 8 else ""
    facts = [
        ("addresses", ", ".join(f"{name} {address}" for name, address in result["addresses"].items())),
        ("sessions", ", ".join(f"{out.count(count)} {role}" for role, count in sessions.items())),
        ("attachments", f"{out.count(result['attachments'])}, groups {out.count(result['groups'])}"),
        ("services", f"{named}{more}" or "none"),
        *(
            ("", f"{name} is {health['health']}: {'; '.join(health['reasons'])}")
            for name, health in result["service_health"].items()
            if health["reasons"] and name != BUS
        ),
        (
            "processor",
            f"{out.time(result['cpu_s'], unit=True)} ({out.share(ratio(result['cpu_s'], result['uptime_s']))})",
        ),
        ("loop", _loop(out, result["loop"])),
        (
            "memory",
            f"{out.size(result['rss_bytes'], unit=True)}, at most {out.size(result['rss_peak_bytes'], unit=True)}",
        ),
        ("open files", _open_files(out, result)),
        (
            "events held",
            f"{out.size(result['held_bytes'], unit=True)} of {out.size(result['budget_bytes'], unit=True)}",
        ),
        ("mean ping", f"{out.ms(result['ping_mean_ms'])} ms"),
    ]
    for name, value in facts:
        out.fact(name, value)


def _open_files(out: Out, result: Mapping[str, Any]) -> str:
    if result["open_files"] is None:
        return "-"
    limit = result["open_files_limit"]
    most = "no limit" if limit is None else f"of {out.count(limit)}"
    return f"{out.count(result['open_files'])} {most}, {out.count(result['strangers'])} connections without a hello"


def _loop(out: Out, loop: Mapping[str, Any]) -> str:
    busy, late, lately = loop["busy_ms"], loop["late_ms"], loop["late_lately_ms"]
    return (
        f"{out.count(loop['turns'])} turns of {out.ms(busy['p50'])} ms (p99 {out.ms(busy['p99'])}), "
        f"late by {out.ms(lately['p99'])} ms (p99 of the last minute; since the start {out.ms(late['p99'])}, "
        f"max {out.ms(late['max'])})"
    )


def _show_lanes(out: Out, lanes: Mapping[str, Mapping[str, Any]]) -> None:
    table = new_table(
        ["LANE", *_LANE_FIGURES],
        footer=True,
        spare=("MAX", "BATCHES", "HELD P50 MS"),
    )
    sums = [0] * 9
    for name in LANE_NAMES:
        lane = lanes[name]
        figures = [lane[way][what] for way in ("in", "out") for what in ("events", "batches", "bytes")]
        figures += [lane["queued_events"], lane["queued_bytes"], lane["unsettled_events"]]
        sums = [total + figure for total, figure in zip(sums, figures, strict=True)]
        held = lane["held_ms"]
        add_rows(
            table,
            [
                [
                    lane_cell(name),
                    *_lane_cells(out, figures),
                    *(out.ms(held[key]) for key in ("p50", "p99", "max")),
                ]
            ],
        )
    for column, cell in zip(table.columns, ["total", *_lane_cells(out, sums)], strict=False):
        column.footer = cell
    out.table(table)


def _lane_cells(out: Out, figures: Sequence[int]) -> list[str]:
    """The cells of events, batches, bytes (twice), then queued events, bytes, and unsettled events."""
    return [
        out.size(figure) if position in (2, 5, 7) else out.count(figure)
        for position, figure in enumerate(figures)
    ]
