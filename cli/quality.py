"""The command `lanebus quality`: one peer's connection over the last minutes."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import click
from rich.text import Text

from lanebus.cli.control_client import ControlClient, control_options
from lanebus.cli.output import Format, Out, add_rows, new_table, output_option, styled
from lanebus.cli.styles import QUALITY_STYLES
from lanebus.wire.ring import deviation, mean

BUCKETS: Final = 12
"""Rows of the table of samples."""
_BARS: Final = "▁▂▃▄▅▆▇█"

Sample = Mapping[str, Any]


@click.command(
    epilog="Figures: the network round trip is the kernel's, the application's includes the turns of both programs; "
    "jitter is the standard deviation. A percentile is shown only of enough samples."
)
@click.argument("peer", metavar="NAME")
@control_options
@output_option
def quality(peer: str, server: str, timeout_s: float, output_format: Format) -> None:
    """Show how the connection of one peer was, and why it is called what it is.

    NAME is a full name such as player:42; a name without a role is a player's.
    """
    with ControlClient(server, timeout_s=timeout_s) as client:
        result = client.request("quality", peer=peer if ":" in peer else f"player:{peer}")
    out = Out(output_format)
    if out.is_json:
        out.json(result)
        return
    _show_heading(out, result)
    samples = result["samples"]
    if samples:
        _show_samples(out, samples)
    _show_changes(out, result["changes"])


def _show_heading(out: Out, result: Mapping[str, Any]) -> None:
    degree = str(result["quality"])
    via = f", via {result['via']}" if result["via"] else ""
    score = "" if result["score"] is None else f", score {result['score']:.0f} of 100"
    out.line(
        Text.assemble(
            styled(str(result["name"]), "bold"),
            styled(f"  connected for {out.time(result['connected_s'], unit=True)}{via}, ", ""),
            styled(degree, QUALITY_STYLES.get(degree, "")),
            styled(f": {result['reason']}{score}", ""),
        )
    )
    longest = out.time(result["longest_outage_s"], unit=True)
    reconnects = out.things(result["resumes"], "reconnect")
    outside = result["outside_rtt_ms"]
    reported = result["reported"]
    beyond = []
    if outside is not None:
        beyond.append(("behind gateway", f"{out.ms(outside)} ms, in the figures above, not in the table"))
    facts = [
        ("network", _round_trip(out, result, "network_rtt_ms")),
        ("application", _round_trip(out, result, "app_rtt_ms")),
        *beyond,
        ("jitter", f"{out.ms(result['jitter_ms'])} ms"),
        ("loss", _percent(result["loss_share"])),
        ("queue", f"{out.ms(result['queue_ms'])} ms"),
        ("outages", f"{out.count(result['outages'])}, the longest {longest}; {reconnects}"),
    ]
    if reported is not None:
        who = "its gateway" if result["via"] else "the peer itself"
        ago = out.time(reported["age_s"], unit=True)
        facts.append(("reported", f"{reported['quality']}: {reported['reason']}, by {who} {ago} ago"))
    for name, value in facts:
        out.fact(name, value, width=15)


def _round_trip(out: Out, result: Mapping[str, Any], name: str) -> str:
    percentiles = result["percentiles"][name]
    known = [f"{key} {out.ms(value)}" for key, value in percentiles.items() if value is not None]
    return f"{out.ms(result[name])} ms" + (f" ({', '.join(known)})" if known else "")


def _show_samples(out: Out, samples: Sequence[Sample]) -> None:
    """Equal spans of time, the oldest first, each with the figures of its samples."""
    columns = (
        "AGO",
        "SAMPLES",
        "NETWORK MS",
        "MAX|NETWORK MAX MS",
        "APP MS",
        "MAX|APP MAX MS",
        "JITTER",
        "SENT",
        "LOST",
        "LOSS",
    )
    table = new_table(columns, text_columns=0)
    for ago, bucket in buckets(samples):
        network, app = _known(bucket, "network_rtt_ms"), _known(bucket, "app_rtt_ms")
        sent, lost = sum(_known(bucket, "sent")), sum(_known(bucket, "lost"))
        row: list[str | Text] = [
            ago,
            out.count(len(bucket)),
            out.ms(mean(network)),
            out.ms(max(network, default=None)),
            out.ms(mean(app)),
            out.ms(max(app, default=None)),
            out.ms(deviation(network or app)),
            out.count(sent),
            styled(out.count(lost), "red" if lost else ""),
            _percent(lost / sent if sent else None),
        ]
        add_rows(table, [row])
    out.table(table)
    drawn = [
        each["app_rtt_ms"] if each["network_rtt_ms"] is None else each["network_rtt_ms"] for each in samples
    ]
    if out.human:
        out.line()
        bars = sparkline(drawn[-max(1, out.width - 20) :])
        out.line(Text.assemble(styled("  round trips  ", "cyan"), styled(bars, "green")))


def buckets(samples: Sequence[Sample]) -> list[tuple[str, list[Sample]]]:
    """The samples in at most `BUCKETS` equal spans of time, oldest first, each with its ages in seconds."""
    oldest = max(sample["age_s"] for sample in samples)
    width_s = max(1.0, oldest / BUCKETS)
    found: dict[int, list[Sample]] = {}
    for sample in samples:
        found.setdefault(min(BUCKETS - 1, int(sample["age_s"] / width_s)), []).append(sample)
    return [
        (f"{(place + 1) * width_s:.0f} - {place * width_s:.0f} s", found[place])
        for place in sorted(found, reverse=True)
    ]


def sparkline(values: Sequence[float | None]) -> str:
    """One bar a value, from nothing to the greatest; a blank for what is not known."""
    top = max((value for value in values if value is not None), default=0.0)
    return "".join(
        " " if value is None else _BARS[min(len(_BARS) - 1, int(value / top * len(_BARS))) if top else 0]
        for value in values
    )


def _show_changes(out: Out, changes: Sequence[Mapping[str, Any]]) -> None:
    if not changes:
        out.line("the quality has not changed")
        return
    table = new_table(["AGO", "FROM", "TO", "REASON"], text_columns=4)
    for change in reversed(changes):
        before, after = str(change["before"]), str(change["after"])
        row: list[str | Text] = [
            out.time(change["age_s"]),
            styled(before, QUALITY_STYLES.get(before, "")),
            styled(after, QUALITY_STYLES.get(after, "")),
            str(change["reason"]),
        ]
        add_rows(table, [row])
    out.table(table)


def _known(samples: Sequence[Sample], name: str) -> list[float]:
    return [sample[name] for sample in samples if sample[name] is not None]


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{share * 100:.1f} %"
