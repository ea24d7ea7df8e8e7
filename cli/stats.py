"""The command `lanebus stats`: what peers send and receive, by lane, and how it ended."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import click
from rich.text import Text

from lanebus.cli.control_client import ControlClient, control_options
from lanebus.cli.exits import CliError, Exit
from lanebus.cli.output import Format, Out, add_rows, new_table, output_option, styled
from lanebus.cli.styles import LANE_STYLES

_COLUMNS = (
    *("PEER", "LANE", "EVENTS IN", "BYTES", "BATCHES", "AGAIN", "THROTTLED", "NOT DELIVERED"),
    *("PARTS OUT", "BYTES", "BATCHES", "AGAIN", "QUEUED", "RETRYING", "OLDEST", "SETTLED P50 MS", "P99 MS"),
)
_NARROW = (0, 1, 2, 7, 8, 12, 14, 16)
"""Places of the columns that are left on a terminal of fewer than `_WIDE` columns."""
_WIDE = 180


@click.command(
    epilog="In: accepted from the peer; again are events that it sent though they had been accepted; throttled ones "
    "were over a limit, and come later; not delivered are those that ended so, of all it accepted. Out: parts "
    "sent to it; again are those that an earlier connection may have delivered; queued ones wait to be sent; "
    "retrying ones were sent before, and are not settled; settled is the time from the broker's acceptance of "
    "an event until this receiver had handled it and said so."
)
@click.argument("peer", metavar="[NAME]", required=False)
@control_options
@output_option
def stats(peer: str | None, server: str, timeout_s: float, output_format: Format) -> None:
    """Show what peers send and receive, lane by lane; with NAME that one alone.

    NAME is a full name such as player:42; a name without a role is a player's.
    """
    with ControlClient(server, timeout_s=timeout_s) as client:
        result = client.request("stats")
    if peer is not None:
        full_name = peer if ":" in peer else f"player:{peer}"
        result = [each for each in result if each["name"] == full_name]
        if not result:
            raise CliError(f"{full_name} has no session at this broker: lanebus peers lists them", Exit.USAGE)
    out = Out(output_format)
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
        for line in _endings(result):
            out.line(line)


def _row(out: Out, name: str, lane: str, figures: Mapping[str, Any]) -> list[str | Text]:
    sent, got = figures["in"], figures["out"]
    missed = sum(sent["reasons"].values())
    settled, retry = got["settled_ms"], got["retry"]
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
        out.ms(settled["p50"]),
        out.ms(settled["p99"]),
    ]


def _endings(result: Sequence[Mapping[str, Any]]) -> list[str]:
    return [
        f"{lane}: {count} {reason}"
        for each in result
        for lane, figures in each["lanes"].items()
        for reason, count in figures["in"]["reasons"].items()
    ]
