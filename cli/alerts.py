"""The command `lanebus alerts`: what the broker has warned of, and what still lasts."""

from collections.abc import Mapping
from functools import partial
from typing import Any

import click
from rich.text import Text

from lanebus.cli.control_client import ControlClient, control_options
from lanebus.cli.output import Format, Out, add_rows, new_table, output_option, styled
from lanebus.cli.styles import LANE_STYLES

_PEAK = "peak_"
_WIDE = 120
"""Columns of a terminal from which on the figures stand in the table: what a person looks for is not cut short."""


@click.command(
    epilog="Alerts: slow_receiver (it does not keep up with what it is sent), outbox_full (what it sends is not "
    "settled as fast), bandwidth (nearly as many bytes as its policy gives), flapping (it comes back again and again, "
    "or processes take its name from each other), loop_late, memory and open_files (the broker itself). The "
    "section [alerts] of the settings says when each begins, and where else it is told."
)
@control_options
@output_option
def alerts(server: str, timeout_s: float, output_format: Format) -> None:
    """Show the latest alerts: those that last, then those that are over, each with its figures at their worst.

    Alerts of the same kind about the same peer and lane begin at most once a minute (alerts.min_interval_s). NOT TOLD
    says how many others there were since the one before.
    """
    with ControlClient(server, timeout_s=timeout_s) as client:
        result = client.request("alerts")
    out = Out(output_format)
    if out.is_json:
        out.json(result)
        return
    if not result:
        out.line("no alert since the broker's start")
        return
    columns = ["ALERT", "PEER", "LANE", "NOW", "AGO", "LASTED", "NOT TOLD"]
    is_wide = out.width >= _WIDE
    table = new_table(columns, text_columns=4, spare=("NOT TOLD", "LASTED"))
    if is_wide:
        table.add_column("AT WORST", ratio=1, overflow="fold")
    # The latest first, where the eye begins.
    latest = sorted(result, key=lambda alert: (alert["is_over"], alert["age_s"]))
    add_rows(table, [row if is_wide else row[: len(columns)] for row in map(partial(_row, out), latest)])
    out.table(table)
    if not is_wide:
        for alert in latest:
            of = (str(alert[name]) for name in ("kind", "peer", "lane") if alert[name])
            out.line(_at_worst(out, alert), label=f"{' '.join(of)}: ")


def _row(out: Out, alert: Mapping[str, Any]) -> list[str | Text]:
    lane = alert["lane"]
    return [
        str(alert["kind"]),
        str(alert["peer"]) or styled("the broker", "bold"),
        "-" if lane is None else styled(str(lane), LANE_STYLES.get(str(lane), "")),
        styled("over", "green") if alert["is_over"] else styled("lasts", "bold red"),
        out.time(alert["age_s"]),
        out.time(alert["lasted_s"]),
        out.count(alert["held_back"]) if alert["held_back"] else "-",
        Text(_at_worst(out, alert)),
    ]


def _at_worst(out: Out, alert: Mapping[str, Any]) -> str:
    return ", ".join(
        _figure(out, name.removeprefix(_PEAK), value)
        for name, value in alert.items()
        if name.startswith(_PEAK) and value
    )


def _figure(out: Out, name: str, value: float) -> str:
    """One figure in words: its name says its unit."""
    if name.endswith("_bytes_per_s"):
        return f"{name.removesuffix('_bytes_per_s')} {out.size(value, unit=True)}/s"
    words, _, unit = name.rpartition("_")
    words = words.replace("_", " ")
    if unit == "bytes":
        return f"{words} {out.size(value, unit=True)}"
    if unit == "s":
        return f"{words} {out.time(value, unit=True)}"
    if unit == "share":
        return f"{words} {out.share(value)}"
    return f"{name.replace('_', ' ')} {out.count(value)}"
