"""The command `lanebus peers`: who is attached, how well, and who is held to a limit or does not keep up."""

from collections.abc import Mapping
from typing import Any, Final

import click
from rich.text import Text

from lanebus.cli.control_client import ControlClient, control_options
from lanebus.cli.inspect import show_backlog
from lanebus.cli.output import Format, Out, add_rows, new_table, output_option, styled
from lanebus.cli.refusals import show_refusals
from lanebus.cli.styles import QUALITY_STYLES, STATE_STYLES
from lanebus.wire.lanes import LANE_NAMES

_EXPLAINED: Final = ("fair", "poor", "lost")
"""The qualities whose reason is shown."""

_HANDLED: Final = "HANDLED P99 MS"
"""From send to handler on critical, normal and low; it is there on terminals of `_MEDIUM` columns and more."""
_PEER_FIGURES: Final = (
    *("RTT MS", "APP|APP MS", "JITTER|JITTER MS", "LOSS|LOSS SHARE", "QUEUE|QUEUE MS", "RECONNECTS"),
    _HANDLED,
    "EVENTS IN",
    "OUT|EVENTS OUT",
    "BYTES IN",
    "OUT|BYTES OUT",
    "IN FLIGHT",
    "HELD|HELD BYTES",
    "OLDEST|OLDEST S",
    "DROPPED",
    "IDLE|IDLE S",
    "UP FOR|UP FOR S",
)
_NARROW_PEER: Final = ("PEER", "STATE", "QUALITY", "RTT MS", "HELD|HELD BYTES", "OLDEST|OLDEST S", "DROPPED")
"""What is left of the peers' table on a terminal of fewer columns than `_WIDE`."""
_MEDIUM: Final = 110
_WIDE: Final = 180


@click.command()
@control_options
@output_option
def peers(server: str, timeout_s: float, output_format: Format) -> None:
    """Show who is attached, how well, and who does not keep up with what it is sent."""
    with ControlClient(server, timeout_s=timeout_s) as client:
        result = client.request("peers")
    out = Out(output_format)
    if out.is_json:
        out.json(result)
        return
    columns = ["PEER", "VIA", "STATE", "QUALITY", *_PEER_FIGURES]
    rows = [_peer_row(out, peer) for peer in sorted(result, key=lambda peer: str(peer["name"]))]
    if out.width < _WIDE:
        kept = [
            position
            for position, column in enumerate(columns)
            if column in _NARROW_PEER or (column == _HANDLED and out.width >= _MEDIUM)
        ]
        columns = [columns[position] for position in kept]
        rows = [[row[position] for position in kept] for row in rows]
    table = new_table(
        columns, text_columns=columns.index("RTT MS"), spare=("UP FOR", "IDLE", "OUT", "OLDEST")
    )
    add_rows(table, rows)
    out.table(table)
    out.line(out.things(len(result), "peer"))
    for peer in result:
        for episode in peer["slow"]:
            out.line(
                Text.assemble(
                    styled("slow receiver: ", "bold red"), styled(_slow_text(out, peer["name"], episode), "")
                )
            )
        for held in peer["throttled"]:
            out.line(
                Text.assemble(
                    styled("throttled: ", "bold yellow"),
                    styled(
                        f"{peer['name']} on {held['lane']}: over {held['limit']}, what is over it waits at its sender",
                        "",
                    ),
                )
            )
        if peer["at_sender_events"]:
            show_backlog(out, peer["name"], peer)
        show_refusals(out, peer["refused"], peer["unhandled"])
        if peer["violations"]:
            out.line(
                Text.assemble(
                    styled("violations: ", "bold red" if peer["violations_lately"] else "yellow"),
                    styled(_violations_text(out, peer), ""),
                )
            )


def _peer_row(out: Out, peer: Mapping[str, Any]) -> list[str | Text]:
    quality = str(peer["quality"])
    reason = f": {peer['reason']}" if peer["reason"] and quality in _EXPLAINED else ""
    return [
        str(peer["name"]),
        str(peer["via"] or "-"),
        _peer_state(peer),
        styled(quality + reason, QUALITY_STYLES.get(quality, "")),
        out.ms(peer["rtt_ms"]),
        out.ms(peer["app_rtt_ms"]),
        out.ms(peer["jitter_ms"]),
        out.share(peer["loss_share"]),
        out.ms(peer["queue_ms"]),
        out.count(peer["resumes"]),
        "/".join(out.ms(peer["handled_p99_ms"][lane]) for lane in LANE_NAMES),
        out.count(peer["events_in"]),
        out.count(peer["events_out"]),
        out.size(peer["bytes_in"]),
        out.size(peer["bytes_out"]),
        out.count(peer["in_flight"]),
        out.size(peer["held_bytes"]),
        out.time(peer["oldest_age_s"]),
        styled(out.count(peer["dropped"]), "red" if peer["dropped"] else ""),
        out.time(peer["idle_s"]),
        out.time(peer["connected_s"]),
    ]


def _peer_state(peer: Mapping[str, Any]) -> Text:
    state = str(peer["state"])
    if peer["slow"]:
        return styled(f"{state}, slow", "bold red")
    if peer["throttled"]:
        return styled("THROTTLED", "bold yellow")
    if peer["shaped"]:
        return styled(f"{state}, shaped", "yellow")
    return styled(state, STATE_STYLES.get(state, ""))


def _slow_text(out: Out, name: str, episode: Mapping[str, Any]) -> str:
    return (
        f"{name} on {episode['lane']} for {out.time(episode['for_s'], unit=True)}: "
        f"{out.size(episode['held_bytes'], unit=True)} held, the oldest for "
        f"{out.time(episode['oldest_age_s'], unit=True)}, {out.count(episode['dropped'])} dropped, "
        f"{out.things(episode['paused_senders'], 'sender')} paused"
    )


def _violations_text(out: Out, peer: Mapping[str, Any]) -> str:
    kinds = ", ".join(f"{out.count(count)} {kind}" for kind, count in peer["violations"].items())
    lately = out.count(peer["violations_lately"])
    return (
        f"{peer['name']}: {kinds}; {lately} lately, "
        f"{out.share(peer['error_budget_used'])} of its error budget used"
    )
