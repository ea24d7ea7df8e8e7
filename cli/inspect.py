"""The commands that look into a running broker: `queues`, `dead`, `audit`."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import click
from rich.text import Text

from lanebus.cli.control_client import ControlClient, control_options
from lanebus.cli.exits import Exit
from lanebus.cli.output import Format, Out, add_rows, new_table, output_option, styled
from lanebus.cli.styles import LANE_STYLES
from lanebus.wire.lanes import LANE_NAMES
from lanebus.wire.outcomes import OUTCOME_NAMES

_ENDED = ("dropped", "expired", "superseded")
"""How parts end in a receiver's queue."""
_MAX_RETRIES: Final = 20
"""Retry queues that are shown without `--all`."""


@click.command()
@click.option(
    "--all", "show_all", is_flag=True, help="Also list queues with nothing in them, and all retry queues."
)
@control_options
@output_option
def queues(show_all: bool, server: str, timeout_s: float, output_format: Format) -> None:
    """Show what waits for whom: the broker's queue of each peer and lane, the fullest first; and what is tried again.

    What waits at its sender, because a limit, a pause or a full window holds it, is told below the table.

    A retry queue holds parts to be sent again after a reconnect (RESEND), those sent again and not settled (RESENT; how
    often, the one sent most), those that an earlier process of the peer did not settle (SUSPECT, tried in rounds,
    with the most deliveries), batches from the peer that wait for a request of its own (PARKED), and its events that
    wait for a service or a group's members to come back (WAITING).
    """
    result = _ask("queues", server, timeout_s)
    out = Out(output_format)
    if out.is_json:
        out.json(result)
        return
    shown = [queue for queue in result if show_all or _is_used(queue)]
    shown.sort(key=lambda queue: (-queue["queued_bytes"], -queue["unsettled_bytes"], queue["peer"]))
    table = new_table(
        [
            "PEER",
            "LANE",
            "QUEUED",
            "BYTES|QUEUED BYTES",
            "OF LIMIT|OF LIMIT SHARE",
            "OLDEST|OLDEST S",
            "UNSETTLED",
            "BYTES|UNSETTLED BYTES",
            "OF CREDIT|OF CREDIT SHARE",
            "DROPPED",
            "EXPIRED",
            "SUPERSEDED",
        ],
        text_columns=2,
        footer=True,
        spare=("OF CREDIT", "SUPERSEDED", "EXPIRED", "BYTES", "UNSETTLED"),
    )
    add_rows(table, [_queue_row(out, queue) for queue in shown])
    totals = {
        name: out.size(total) if name.endswith("bytes") else out.count(total)
        for name in ("queued_events", "queued_bytes", "unsettled_events", "unsettled_bytes", *_ENDED)
        for total in [sum(queue[name] for queue in result)]
    }
    footers = {0: "total", 2: "queued_events", 3: "queued_bytes", 6: "unsettled_events", 7: "unsettled_bytes"}
    for position, name in (footers | dict(enumerate(_ENDED, 9))).items():
        table.columns[position].footer = totals.get(name, name)
    out.table(table)
    if len(shown) < len(result):
        out.line(f"{out.things(len(result) - len(shown), 'empty queue')} not listed; --all lists them")
    for queue in result:
        if queue["at_sender_events"]:
            show_backlog(out, queue["peer"], queue, f" on {queue['lane']}")
    _show_retries(out, result, show_all=show_all)


@click.command()
@control_options
@output_option
def dead(server: str, timeout_s: float, output_format: Format) -> None:
    """Show events that were given up: five processes of their receiver ended without having settled them."""
    result = _ask("dead", server, timeout_s)
    out = Out(output_format)
    if out.is_json:
        out.json(result)
        return
    if not result:
        out.line("no event has ended as poison")
        return
    table = new_table(
        ["RECEIVER", "SENDER", "LANE", "TOPIC", "NUMBER", "BYTES", "DELIVERIES", "AGO"], text_columns=4
    )
    add_rows(
        table,
        [
            [
                part["receiver"],
                part["sender"],
                styled(part["lane"], LANE_STYLES[part["lane"]]),
                part["topic"],
                out.count(part["number"]),
                out.size(part["payload_bytes"]),
                out.count(part["deliveries"]),
                out.time(part["age_s"]),
            ]
            for part in result
        ],
    )
    out.table(table)


@click.command()
@control_options
@output_option
def audit(server: str, timeout_s: float, output_format: Format) -> int:
    """Check that every event is accounted for; exit with 1 if one is not."""
    result = _ask("audit", server, timeout_s)
    out = Out(output_format)
    if out.is_json:
        out.json(result)
    else:
        verdict = (
            styled("balanced", "bold green") if result["balanced"] else styled("NOT BALANCED", "bold red")
        )
        rest = (
            "at rest"
            if result["at_rest"]
            else "events are under way: ask again at rest for the full comparison"
        )
        out.line(
            Text.assemble(
                "The books are ", verdict, f" ({out.things(result['sessions'], 'session')}, {rest})"
            )
        )
        for problem in result["problems"]:
            out.line(f"  {problem}")
        show_books(out, result["books"])
    return Exit.OK if result["balanced"] else Exit.FAILED


def show_backlog(out: Out, peer: str, figures: Mapping[str, Any], where: str = "") -> None:
    """Print what of a peer's own events waits at itself, because a limit, a pause or a full window holds it."""
    events = out.things(figures["at_sender_events"], "event")
    text = f"{peer}{where}: {events}, {out.size(figures['at_sender_bytes'], unit=True)}"
    out.line(Text.assemble(styled("waits at its sender: ", "bold yellow"), styled(text, "")))


def _ask(command: str, server: str, timeout_s: float) -> Any:
    with ControlClient(server, timeout_s=timeout_s) as client:
        return client.request(command)


def show_books(out: Out, books: Mapping[str, Mapping[str, Mapping[str, int]]]) -> None:
    """The books that are named in `books` (`events`, `parts`), one row for each lane."""
    outcomes = ("accepted", *OUTCOME_NAMES, "in_flight")
    table = new_table(
        ["BOOK", "LANE", *(name.replace("_", " ").upper() for name in outcomes)], text_columns=2
    )
    for of, by_lane in books.items():
        for lane in LANE_NAMES:
            book = by_lane[lane]
            add_rows(
                table,
                [
                    [
                        of if lane == LANE_NAMES[0] else "",
                        lane_cell(lane),
                        *(out.count(book[name]) for name in outcomes),
                    ]
                ],
            )
    out.table(table)


def _is_used(queue: Mapping[str, Any]) -> bool:
    return any(queue[name] for name in ("queued_events", "unsettled_events", *_ENDED))


def _queue_row(out: Out, queue: Mapping[str, Any]) -> list[str | Text]:
    fill = ratio(queue["queued_bytes"], queue["limit_bytes"])
    return [
        str(queue["peer"]),
        lane_cell(queue["lane"]),
        out.count(queue["queued_events"]),
        out.size(queue["queued_bytes"]),
        styled(out.share(fill), "red" if fill is not None and fill >= 0.8 else ""),
        out.time(queue["oldest_age_s"]),
        out.count(queue["unsettled_events"]),
        out.size(queue["unsettled_bytes"]),
        out.share(ratio(queue["unsettled_bytes"], queue["credit_bytes"])),
        styled(out.count(queue["dropped"]), "red" if queue["dropped"] else ""),
        out.count(queue["expired"]),
        out.count(queue["superseded"]),
    ]


def _show_retries(out: Out, queues: Sequence[Mapping[str, Any]], *, show_all: bool) -> None:
    busy = [queue for queue in queues if any(queue["retry"].values())]
    if not busy:
        return
    busy.sort(key=lambda queue: (-queue["retry"]["oldest_age_s"], queue["peer"]))
    shown = busy if show_all else busy[:_MAX_RETRIES]
    table = new_table(
        [
            *("RETRYING", "LANE", "RESEND", "RESENT", "TIMES", "SUSPECT", "DELIVERIES", "PARKED", "WAITING"),
            "OLDEST",
        ],
        text_columns=2,
    )
    add_rows(table, [_retry_row(out, queue) for queue in shown])
    if not out.human:
        out.line()
    out.table(table)
    if len(shown) < len(busy):
        out.line(f"{out.things(len(busy) - len(shown), 'retry queue')} not listed; --all lists them")


def _retry_row(out: Out, queue: Mapping[str, Any]) -> list[str | Text]:
    retry = queue["retry"]
    return [
        str(queue["peer"]),
        lane_cell(queue["lane"]),
        out.count(retry["resend_events"]),
        out.count(retry["resent_events"]),
        out.count(retry["most_sendings"]),
        out.count(retry["suspect_events"]),
        styled(out.count(retry["most_deliveries"]), "red" if retry["most_deliveries"] > 1 else ""),
        out.count(retry["parked_batches"]),
        out.count(retry["unresolved_events"]),
        out.time(retry["oldest_age_s"]),
    ]


def lane_cell(name: str) -> Text:
    """The name of a lane as it is shown."""
    return styled(str(name), LANE_STYLES.get(name, ""))


def ratio(part: float, whole: float) -> float | None:
    """A part of a whole; None where there is no whole."""
    return part / whole if whole else None
