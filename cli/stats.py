"""The command `lanebus stats`: what peers send and receive, by lane, and how it ended."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import click
from rich.table import Table
from rich.text import Text

from lanebus.cli.control_client import ControlClient, control_options
from lanebus.cli.exits import CliError, Exit
from lanebus.cli.output import Format, Out, add_rows, new_table, output_option, styled
from lanebus.cli.rates import rates, total
from lanebus.cli.refusals import MOST_SHOWN, refusal_text
from lanebus.cli.styles import LANE_STYLES
from lanebus.cli.watch import watch, watch_option

_COLUMNS = (
    *("PEER", "LANE", "EVENTS IN", "BYTES|BYTES IN", "BATCHES|BATCHES IN", "AGAIN|AGAIN IN", "THROTTLED"),
    *("NOT DELIVERED", "PARTS OUT", "BYTES|BYTES OUT", "BATCHES|BATCHES OUT", "AGAIN|AGAIN OUT", "QUEUED"),
    *("RETRYING", "OLDEST|OLDEST S", "HANDLED P50 MS", "HANDLED P99 MS"),
)
_NARROW = (0, 1, 2, 7, 8, 12, 14, 16)
"""Places of the columns that are left on a terminal of fewer than `_WIDE` columns."""
_WIDE = 180
_RATES: Final = {
    ("in", "events_per_s"): "EVENTS/S IN",
    ("in", "bytes_per_s"): "BYTES/S|BYTES/S IN",
    ("in", "batches_per_s"): "BATCHES/S|BATCHES/S IN",
    ("out", "events_per_s"): "PARTS/S OUT",
    ("out", "bytes_per_s"): "BYTES/S|BYTES/S OUT",
    ("out", "batches_per_s"): "BATCHES/S|BATCHES/S OUT",
}
_WIDE_RATES: Final = 100
"""Columns of a terminal from which on batches are shown as well."""


@click.command(
    epilog="In: accepted from the peer; again are events that it sent though they had been accepted; throttled ones "
    "were over a limit, and come later; not delivered are those that ended so, of all it accepted. Out: parts "
    "sent to it; again are those that an earlier connection may have delivered; queued ones wait to be sent; "
    "retrying ones were sent before, and are not settled; handled is the time from send to handler, by "
    "this receiver's own clock. NAME also lists how long the handlers of each topic of its process take, and refusals."
)
@click.argument("peer", metavar="[NAME]", required=False)
@watch_option
@control_options
@output_option
def stats(
    peer: str | None, every_s: float | None, server: str, timeout_s: float, output_format: Format
) -> None:
    """Show what peers send and receive, lane by lane; with NAME that one alone.

    NAME is a full name such as player:42; a name without a role is a player's.
    """
    full_name = None if peer is None else peer if ":" in peer else f"player:{peer}"
    out = Out(output_format)
    with ControlClient(server, timeout_s=timeout_s) as client:
        if every_s is not None:
            watch(out, every_s, Looks(out, lambda: _ask(client, full_name), by_lane=peer is not None))
        result = _ask(client, full_name)
    if out.is_json:
        out.json(result)
        return
    kept = range(len(_COLUMNS)) if out.width >= _WIDE else _NARROW
    table = new_table([_COLUMNS[place] for place in kept], text_columns=2)
    rows = [
        _row(out, each["name"], lane, figures)
        for each in sorted(result, key=lambda each: str(each["name"]))
        for lane, figures in each["lanes"].items()
        if peer is not None or figures["in"]["events"] or figures["out"]["events"]
    ]
    add_rows(table, [[row[place] for place in kept] for row in rows])
    out.table(table)
    if peer is None:
        out.line(f"{out.things(len(result), 'peer')}; lanes without traffic are left out")
    else:
        _show_handlers(out, result)
        for line in _endings(out, result):
            out.line(line)


def _show_handlers(out: Out, result: Sequence[Mapping[str, Any]]) -> None:
    """Print how long the handlers of the process take, where it says so."""
    handlers = [row for each in result for row in each["handlers"]]
    if not handlers:
        return
    table = new_table(
        ["TOPIC", "LANE", "EVENTS", "P50 MS", "P99 MS", "MAX MS", "BUDGET MS", "OVER"], text_columns=2
    )
    add_rows(
        table,
        [
            [
                row["topic"],
                styled(row["lane"], LANE_STYLES[row["lane"]]),
                out.count(row["events"]),
                *(out.ms(row[name]) for name in ("p50_ms", "p99_ms", "max_ms", "budget_ms")),
                styled(out.count(row["over_budget"]), "bold red" if row["over_budget"] else ""),
            ]
            for row in handlers
        ],
    )
    out.table(table)


def _ask(client: ControlClient, full_name: str | None) -> list[dict[str, Any]]:
    result: list[dict[str, Any]] = client.request("stats")
    if full_name is None:
        return result
    result = [each for each in result if each["name"] == full_name]
    if not result:
        raise CliError(f"{full_name} has no session at this broker: lanebus peers lists them", Exit.UNKNOWN)
    return result


class Looks:
    """One look after the other at the statistics, and the rates between two of them."""

    def __init__(
        self,
        out: Out,
        ask: Callable[[], list[dict[str, Any]]],
        *,
        by_lane: bool,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._out = out
        self._ask = ask
        self._by_lane = by_lane
        self._clock = clock
        self._before: tuple[float, list[dict[str, Any]]] | None = None

    def __call__(self) -> Rates | None:
        """Look; None the first time, when there is nothing to compare with."""
        result, now = self._ask(), self._clock()
        before, self._before = self._before, (now, result)
        if before is None:
            return None
        seconds = max(now - before[0], 1e-6)
        return Rates(self._out, rates(before[1], result, seconds), seconds, by_lane=self._by_lane)


class Rates:
    """The rates of all peers, in one picture: a row for each, or for each of its lanes; the busiest first."""

    def __init__(self, out: Out, peers: list[dict[str, Any]], seconds: float, *, by_lane: bool) -> None:
        self._out = out
        self._peers = sorted(peers, key=_bytes_per_s, reverse=True)
        self._seconds = seconds
        self._by_lane = by_lane

    def values(self) -> Mapping[str, Any]:
        """For programs; `time` is in seconds since 1970."""
        return {
            "time": round(time.time(), 3),
            "interval_s": round(self._seconds, 6),
            "total": total(self._peers),
            "peers": self._peers,
        }

    def table(self, lines: int | None) -> Table:
        """The table; who finds no place in so many lines is counted in the last one."""
        out = self._out
        shown = [figure for figure in _RATES if out.width >= _WIDE_RATES or "batches" not in figure[1]]
        columns = ["PEER", "LANE" if self._by_lane else "ROLE", *(_RATES[figure] for figure in shown)]
        table = new_table(columns, text_columns=2, footer=True)
        rows: list[list[str | Text]] = [
            [
                str(peer["name"]),
                styled(what, LANE_STYLES.get(what, "")),
                *_rate_cells(out, flow, shown),
            ]
            for peer in self._peers
            for what, flow in (peer["lanes"].items() if self._by_lane else [(str(peer["role"]), peer)])
        ]
        # The heading with its rule, the footer with its own, and the line below the table.
        room = len(rows) if lines is None else max(1, lines - 5)
        add_rows(table, rows[:room])
        left = len(rows) - room
        table.columns[0].footer = f"total, {left} more" if left > 0 else "total"
        for column, cell in zip(table.columns[2:], _rate_cells(out, total(self._peers), shown), strict=True):
            column.footer = cell
        table.caption = f"per second, over {self._seconds:.1f} s; in: from the peer, out: to it"
        table.caption_justify = "left"
        return table


def _bytes_per_s(flow: Mapping[str, Any]) -> float:
    return float(flow["in"]["bytes_per_s"] + flow["out"]["bytes_per_s"])


def _rate_cells(out: Out, flow: Mapping[str, Any], shown: Sequence[tuple[str, str]]) -> list[str]:
    return [
        out.size(flow[direction][name]) if name == "bytes_per_s" else out.rate(flow[direction][name])
        for direction, name in shown
    ]


def _row(out: Out, name: str, lane: str, figures: Mapping[str, Any]) -> list[str | Text]:
    sent, got = figures["in"], figures["out"]
    missed = sum(sent["reasons"].values())
    handled, retry = got["handled_ms"], got["retry"]
    retrying = sum(retry[f"{what}_events"] for what in ("resend", "resent", "suspect"))
    return [
        name,
        styled(lane, LANE_STYLES[lane]),
        out.count(sent["events"]),
        out.size(sent["bytes"]),
        out.count(sent["batches"]),
        out.count(sent["resent"]),
        styled(out.count(sent["throttled"]), "yellow" if sent["throttled"] else ""),
        styled(out.count(missed), "bold yellow" if missed else "dim"),
        out.count(got["events"]),
        out.size(got["bytes"]),
        out.count(got["batches"]),
        out.count(got["resent"]),
        out.count(got["queued_events"]),
        styled(out.count(retrying), "yellow" if retrying else ""),
        out.time(got["oldest_age_s"]),
        out.ms(handled["p50"]),
        out.ms(handled["p99"]),
    ]


def _endings(out: Out, result: Sequence[Mapping[str, Any]]) -> list[str]:
    endings = [
        f"{lane}: {count} {reason}"
        for each in result
        for lane, figures in each["lanes"].items()
        for reason, count in figures["in"]["reasons"].items()
    ]
    violations = [
        f"violations: {count} {kind}" for each in result for kind, count in each["violations"].items()
    ]
    handlerless = [
        f"no handler: {row['events']} events of {row['topic']} from {row['sender']} wait for one"
        for each in result
        for row in each["unhandled"]
    ]
    refusals = [
        f"{what}: {refusal_text(out, row)}"
        for each in result
        for what, rows in (("refused", each["refused"]), ("it refused", each["refuses"]))
        for row in rows[:MOST_SHOWN]
    ]
    return endings + violations + handlerless + refusals
