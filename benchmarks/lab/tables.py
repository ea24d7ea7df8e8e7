"""The tables of docs/benchmarks.md, one function for each measure. Spreads are written as median (quartiles)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

from benchmarks.lab.goals import judge

Figures = Mapping[str, Any]


def markdown(header: Sequence[str], rows: Iterable[Sequence[str]], *, text_columns: int = 1) -> str:
    """A table; columns past `text_columns` are numbers."""
    marks = ["---" if column < text_columns else "---:" for column in range(len(header))]
    lines = [header, marks, *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def spread(found: Mapping[str, Any], form: str = "{:,.0f}", scale: float = 1.0) -> str:
    """Median, and the quartiles in brackets."""
    median, low, high = (form.format(found[key] * scale) for key in ("median", "low", "high"))
    return f"{median} ({low}-{high})"


def goals(all_figures: Mapping[str, Figures]) -> str:
    """Every goal with what was found."""
    words = {True: "reached", False: "**not reached**", None: "not measured"}
    rows = []
    for each in judge(all_figures):
        value = "" if each.value is None else each.goal.unit.format(each.value)
        rows.append([each.goal.what, each.goal.target(), value, words[each.reached]])
    return markdown(["goal", "target", "found", ""], rows)


def micro(found: Figures) -> str:
    """By step and size."""
    sizes = list(found["sizes"])
    steps = list(found["sizes"][sizes[0]])
    rows = []
    for step in steps:
        cells = [spread(found["sizes"][size][step]["us"], "{:.2f}") for size in sizes]
        rows.append([step, *cells])
    totals = [sum(found["sizes"][size][step]["us"]["median"] for step in steps) for size in sizes]
    rows.append(["all", *(f"{total:.2f}" for total in totals)])
    table = markdown(["us an event, by events in a batch", *sizes], rows)
    if found["instructions_missing"]:
        return f"{table}\n\nInstructions: {found['instructions_missing']}."
    counts = [
        [step, *(spread(found["sizes"][size][step]["instructions"]) for size in sizes)] for step in steps
    ]
    return f"{table}\n\n" + markdown(["instructions an event", *sizes], counts)


def throughput(found: Figures) -> str:
    """By rival; then what each promises and how it was set."""
    rows, said = [], []
    for each in found["rivals"].values():
        rows.append(
            [
                each["title"],
                spread(each["per_s"]),
                spread(each["ours_to_theirs"], "{:.2f}"),
                spread(each["broker_us"], "{:.2f}"),
                spread(each["sender_us"], "{:.2f}"),
                spread(each["receiver_us"], "{:.2f}"),
                f"{each['lost']:,}",
            ]
        )
        said.append([each["title"], each["promise"], each["settings"]])
    header = ["", "events/s", "lanebus to it", "broker us", "sender us", "receiver us", "lost"]
    ours = found["rivals"]["lanebus"]["notes"]
    text = (
        f"{found['events']}, {found['payload_bytes']:g} bytes each on average; at most {found['in_flight']:,} under "
        f"way; lanebus made batches of {ours['events_per_batch']:.0f}. Processor time is for each event that was "
        "handled.\n\n"
    )
    missing = "".join(f"\n\n{title} was not measured: {why}." for title, why in found["missing"].items())
    promises = markdown(["", "what a confirmation means", "settings"], said, text_columns=3)
    return f"{text}{markdown(header, rows)}{missing}\n\n{promises}"


def profile(found: Figures) -> str:
    """Functions by their own time, with the microseconds that makes of an event."""
    rows = [
        [f"`{name}`", f"{share:.1%}", f"{share * found['broker_us']:.2f}", f"{found['total'][name]:.0%}"]
        for name, share in found["own"].items()
    ]
    header = ["function", "own time", "us an event", "with what it calls"]
    return f"{found['samples']:,} samples.\n\n" + markdown(header, rows)


def batches(found: Figures) -> str:
    """By size."""
    rows = [
        [
            size,
            spread(each["events_per_batch"], "{:.1f}"),
            spread(each["per_s"]),
            spread(each["broker_us"], "{:.2f}"),
        ]
        for size, each in found["sizes"].items()
    ]
    return markdown(["sent together", "left together", "events/s", "broker us an event"], rows)


def fanout(found: Figures) -> str:
    """By bus and clients."""
    rows = []
    for title, by_clients in found["buses"].items():
        for clients, each in by_clients.items():
            late = each.get("latency", {})
            p99 = f"{late['p99_ms']:.1f}" if late.get("count") else ""
            rows.append(
                [
                    title,
                    f"{int(clients):,}",
                    f"{found['ticks_per_s'] * int(clients):,.0f}",
                    spread(each["per_s"]),
                    spread(each["broker_us"], "{:.2f}"),
                    p99,
                    spread(each["rss_bytes"], "{:.0f}", 1e-6),
                    f"{each['missing']:,}",
                ]
            )
    header = [
        "",
        "clients",
        "offered/s",
        "deliveries/s",
        "broker us each",
        "p99 ms",
        "broker MB",
        "not delivered",
    ]
    missing = "".join(f"\n\n{title} was not measured: {why}." for title, why in found["missing"].items())
    return markdown(header, rows) + missing


def latency(found: Figures) -> str:
    """By bus, lane and level."""
    rows = []
    for row in found["rows"]:
        all_rounds = row["latency"]
        rows.append(
            [
                f"{row['bus']}, {row['lane']}",
                row["level"],
                f"{row['rate']:,.0f}",
                spread(row["p50_ms"], "{:.2f}"),
                spread(row["p99_ms"], "{:.2f}"),
                f"{all_rounds['p999_ms']:.2f}",
                f"{all_rounds['max_ms']:.2f}",
            ]
        )
    header = ["", "load", "events/s", "p50 ms", "p99 ms", "p99.9 ms", "most ms"]
    capacity = ", ".join(f"{lane} {value:,.0f}" for lane, value in found["capacity"].items())
    missing = "".join(f"\n\n{line}." for line in found["failed"])
    return f"Capacity, events/s: {capacity}.\n\n{markdown(header, rows, text_columns=2)}{missing}"


def isolation(found: Figures) -> str:
    """By what goes on beside."""
    rows = [
        [
            row["bus"],
            row["beside"],
            spread(row["beside_per_s"]),
            spread(row["p50_ms"], "{:.2f}"),
            spread(row["p99_ms"], "{:.2f}"),
            f"{row['latency']['max_ms']:.1f}",
        ]
        for row in found["rows"]
    ]
    header = ["", "beside", "events/s beside", "critical p50 ms", "critical p99 ms", "most ms"]
    missing = "".join(f"\n\n{line}." for line in found["failed"])
    text = (
        f"{found['probe_per_s']:g} critical events a second; capacity of the low lane {found['capacity']:,.0f} "
        "events/s. Beside a client that floods, the figure is how often it called `send`.\n\n"
    )
    return text + markdown(header, rows, text_columns=2) + missing


def game_server(found: Figures) -> str:
    """One row."""
    row = [
        f"{found['players']}",
        f"{found['sends_per_s']:,.0f}",
        spread(found["received_per_s"]),
        spread(found["share"], "{:.2%}"),
        spread(found["receiving_share"], "{:.2%}"),
        spread(found["broker_share"], "{:.2%}"),
    ]
    return markdown(
        ["players", "sent/s", "received/s", "adapter, of a core", "receiving only", "broker"], [row]
    )


def matches(found: Figures) -> str:
    """By speed."""
    rows = []
    for name, each in found["cases"].items():
        late = each["latency_ms"]["critical"]
        rows.append(
            [
                name,
                f"{each['matches']} ({each['players']})",
                spread(each["per_s"]),
                spread(each["messages_saved"], "{:.1%}"),
                spread(each["bytes_saved"], "{:.1%}"),
                spread(each["broker_share"], "{:.1%}"),
                spread(each["broker_us"], "{:.1f}"),
                spread(each["rss_peak_bytes"], "{:.0f}", 1e-6),
                f"{late['p50']:.1f}, {late['p99']:.1f}",
                "yes" if each["exact"] else "**no**",
            ]
        )
    header = [
        "",
        "matches (players)",
        "deliveries/s",
        "messages saved",
        "bytes saved",
        "broker, of a core",
        "us a delivery",
        "broker MB",
        "critical p50, p99 ms",
        "every delivery exact",
    ]
    slices = [
        f"{name}: match time {each[0]:g} to {each[1]:g} s"
        for name, each in (("speed 1", found["slice_s"]), ("as fast as it goes", found["fast_slice_s"]))
        if each
    ]
    kind = "Recorded matches" if found["recorded"] else "Made-up matches"
    missing = "".join(f"\n\n{line}." for line in found["failed"])
    return f"{kind}; {'; '.join(slices) or 'whole matches'}.\n\n{markdown(header, rows)}{missing}"


def scale(found: Figures) -> str:
    """By players and way; then the exponents."""
    rows = [
        [
            f"{row['players']:,}, {row['way']}",
            spread(row["per_s"]),
            spread(row["broker_share"], "{:.0%}"),
            spread(row["broker_us"], "{:.1f}"),
            spread(row["rss_peak_bytes"], "{:.0f}", 1e-6),
            spread(row["critical_p50_ms"], "{:.1f}"),
            spread(row["critical_p99_ms"], "{:.1f}"),
            "yes" if row["exact"] else "**no**",
        ]
        for row in found["rows"]
    ]
    header = [
        "players",
        "deliveries/s",
        "broker, of a core",
        "us a delivery",
        "broker MB",
        "critical p50 ms",
        "critical p99 ms",
        "exact",
    ]
    growth = [
        f"{way}: processor time ^{each.get('broker_share', 0):g}, memory ^{each.get('rss_peak_bytes', 0):g}, "
        f"critical p99 ^{each.get('critical_p99_ms', 0):g}"
        for way, each in found["growth"].items()
        if each
    ]
    missing = "".join(f"\n\n{line}." for line in found["failed"])
    grown = f"\n\nGrowth with the number of players, as a power of it: {'; '.join(growth)}." if growth else ""
    return markdown(header, rows) + grown + missing


def soak(found: Figures) -> str:
    """One row."""
    each = found["growth"]
    row = [
        f"{found['length_s']:,.0f} s",
        f"{found['rate']:,.0f}",
        f"{found['handled']:,} of {found['sent']:,}",
        f"{found['broker_share']:.0%}",
        f"{each['base'] / 1e6:.1f} MB after {found['warm_up_s']:.0f} s",
        f"{each['highest']:+.2%}",
        f"{each['at_end']:+.2%}",
    ]
    return markdown(
        ["length", "events/s", "handled", "broker, of a core", "memory", "highest later", "at the end"], [row]
    )


TABLES: Final[dict[str, Callable[[Figures], str]]] = {
    "micro": micro,
    "throughput": throughput,
    "profile": profile,
    "batches": batches,
    "fanout": fanout,
    "latency": latency,
    "isolation": isolation,
    "game_server": game_server,
    "matches": matches,
    "scale": scale,
    "soak": soak,
}
