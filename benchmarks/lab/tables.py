"""The tables of docs/benchmarks.md, one function for each measure. Spreads are written as median (quartiles).

Each function gets the figures of the builds that were measured. With both, a table shows them beside each other; with
one, it looks as if there were no other.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

from benchmarks.lab.goals import judge
from benchmarks.lab.machine import COMPILED, PURE
from benchmarks.lab.setup import MatchTime

Figures = Mapping[str, Any]
Builds = Mapping[str, Figures]
"""Figures by build, in the order in which they are shown; never empty."""
TITLES: Final = {PURE: "pure Python", COMPILED: "compiled"}
_OURS: Final = "lanebus"


def markdown(header: Sequence[str], rows: Iterable[Sequence[str]], *, text_columns: int = 1) -> str:
    """A table; columns past `text_columns` are numbers."""
    marks = ["---" if column < text_columns else "---:" for column in range(len(header))]
    lines = [header, marks, *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def spread(found: Mapping[str, Any], form: str = "{:,.0f}", scale: float = 1.0) -> str:
    """Median, and the quartiles in brackets."""
    median, low, high = (form.format(found[key] * scale) for key in ("median", "low", "high"))
    return f"{median} ({low}-{high})"


def named(title: str, build: str) -> str:
    """The title of a bus in a run of `build`: only ours is another one in another build."""
    return f"{title}, {TITLES[build]}" if build != PURE and title.startswith(_OURS) else title


def beside(
    builds: Builds,
    header: Sequence[str],
    rows_of: Callable[[Figures], Iterable[Sequence[str]]],
    *,
    text_columns: int = 1,
) -> str:
    """One table. With both builds, rows that say the same in their text columns stand below each other."""
    if len(builds) == 1:
        (found,) = builds.values()
        return markdown(header, rows_of(found), text_columns=text_columns)
    rows: dict[tuple[str, ...], list[list[str]]] = {}
    for build, found in builds.items():
        for row in rows_of(found):
            text, numbers = row[:text_columns], row[text_columns:]
            rows.setdefault(tuple(text), []).append([*text, TITLES[build], *numbers])
    return markdown(
        [*header[:text_columns], "build", *header[text_columns:]],
        itertools.chain.from_iterable(rows.values()),
        text_columns=text_columns + 1,
    )


def notes(builds: Builds, lines_of: Callable[[Figures], Iterable[str]]) -> str:
    """A paragraph for each line; where there are both builds and only one says it, the line begins with its title."""
    said: dict[str, set[str]] = {}
    for build, found in builds.items():
        for line in lines_of(found):
            said.setdefault(line, set()).add(build)
    return "".join(
        "\n\n" + (line if len(by) == len(builds) else f"{heading(*by)}: {line}") for line, by in said.items()
    )


def heading(build: str) -> str:
    """The title of a build at the beginning of a line."""
    title = TITLES[build]
    return title[0].upper() + title[1:]


def not_measured(found: Figures) -> Iterable[str]:
    """A line for each bus that was not measured."""
    return (f"{title} was not measured: {why}." for title, why in found["missing"].items())


def failed(found: Figures) -> Iterable[str]:
    """A line for each run that failed."""
    return (f"{line}." for line in found["failed"])


def one_by_one(table: Callable[[Figures], str]) -> Callable[[Builds], str]:
    """A table that is too wide for a column more: it comes once for each build, with headings where there are both."""

    def tables(builds: Builds) -> str:
        if len(builds) == 1:
            return "".join(map(table, builds.values()))
        return "\n\n".join(f"**{heading(build)}**\n\n{table(found)}" for build, found in builds.items())

    return tables


def goals(all_figures: Mapping[str, Mapping[str, Figures]]) -> str:
    """Every goal with what was found, by build and measure, and which build reaches it."""
    rows = []
    for judged in zip(*map(judge, all_figures.values()), strict=True):
        goal = judged[0].goal
        values = ["not measured" if each.value is None else goal.unit.format(each.value) for each in judged]
        reached = dict(zip(all_figures, (each.reached for each in judged), strict=True))
        rows.append([goal.what, goal.target(), *values, verdict(reached)])
    return markdown(["goal", "target", *(TITLES[build] for build in all_figures), "verdict"], rows)


def verdict(reached: Mapping[str, bool | None]) -> str:
    """Which builds reach a goal, in a word or two; those that were not measured (None) have no say."""
    measured = {build: found for build, found in reached.items() if found is not None}
    those = [TITLES[build] for build, found in measured.items() if found]
    if not measured:
        return "not measured"
    if not those:
        return "**not reached**"
    return "reached" if len(those) == len(measured) else f"{those[0]} only"


def micro(builds: Builds) -> str:
    """By step and size."""
    first = next(iter(builds.values()))["sizes"]
    sizes = list(first)
    steps = list(first[sizes[0]])

    def times(found: Figures) -> Iterable[list[str]]:
        for step in steps:
            yield [step, *(spread(found["sizes"][size][step]["us"], "{:.2f}") for size in sizes)]
        totals = [sum(found["sizes"][size][step]["us"]["median"] for step in steps) for size in sizes]
        yield ["all", *(f"{total:.2f}" for total in totals)]

    def counts(found: Figures) -> Iterable[list[str]]:
        for step in steps:
            yield [step, *(spread(found["sizes"][size][step]["instructions"]) for size in sizes)]

    def uncounted(found: Figures) -> Iterable[str]:
        return [f"Instructions: {found['instructions_missing']}."] if found["instructions_missing"] else []

    table = beside(builds, ["us an event, by events in a batch", *sizes], times)
    counted = {build: found for build, found in builds.items() if not found["instructions_missing"]}
    if counted:
        table += "\n\n" + beside(counted, ["instructions an event", *sizes], counts)
    return table + notes(builds, uncounted)


def codec(found: Figures) -> str:
    """By library and size of batch; then what is saved by size of dictionary."""
    sizes = list(next(iter(found["codecs"].values())))
    header = [
        "us an event",
        *(f"{what}, {size} in a batch" for what in ("encode", "decode") for size in sizes),
    ]
    rows = [
        [
            name,
            *(spread(by_size[size][what], "{:.3f}") for what in ("encode_us", "decode_us") for size in sizes),
        ]
        for name, by_size in found["codecs"].items()
    ]
    links = [
        [
            f"{int(size) // 1024} KiB before it" if size != "0" else "nothing",
            f"{each['saved']:.1%}",
            spread(each["compress_us"], "{:.2f}"),
            spread(each["decompress_us"], "{:.2f}"),
        ]
        for size, each in found["links"].items()
    ]
    linked = ["a batch may refer to", "bytes saved", "compress us", "decompress us"]
    intro = (
        f"Batches of {found['link_size']} events, {found['body_bytes']:.0f} bytes each, compressed with lz4:"
    )
    return f"{markdown(header, rows)}\n\n{intro}\n\n{markdown(linked, links)}"


def throughput(builds: Builds) -> str:
    """By rival, with a ratio for each build; then what each promises and how it was set."""
    rows: dict[str, list[str]] = {}
    said: dict[str, list[str]] = {}
    for build, found in builds.items():
        for name, each in found["rivals"].items():
            title = named(each["title"], build)
            # Others are shown as they were beside the first build; the ratios are each build's own.
            if title in rows:
                continue
            owners = [build] if name == _OURS else list(builds)
            rows[title] = [
                title,
                spread(each["per_s"]),
                *(_ratio(builds[other], name) if other in owners else "" for other in builds),
                spread(each["broker_us"], "{:.2f}"),
                spread(each["sender_us"], "{:.2f}"),
                spread(each["receiver_us"], "{:.2f}"),
                f"{each['lost']:,}",
            ]
            said.setdefault(each["title"], [each["title"], each["promise"], each["settings"]])
    # Both of ours come first.
    ordered = sorted(rows.values(), key=lambda row: not row[0].startswith(_OURS))
    ratios = ["lanebus to it" if build == PURE else f"{TITLES[build]} to it" for build in builds]
    header = ["", "events/s", *ratios, "broker us", "sender us", "receiver us", "lost"]

    def what(found: Figures) -> Iterable[str]:
        yield (
            f"{found['events']}, {found['payload_bytes']:g} bytes each on average; at most {found['in_flight']:,} "
            "under way. Processor time is for each event that was handled."
        )

    sizes = {
        build: f"{found['rivals'][_OURS]['notes']['events_per_batch']:.0f}" for build, found in builds.items()
    }
    text = f"{notes(builds, what).lstrip()} lanebus made batches of "
    if len(builds) == 1:
        text += "".join(sizes.values()) + "."
    else:
        text += " and ".join(f"{size} ({TITLES[build]})" for build, size in sizes.items())
        text += (
            f".\n\nEach ratio is of alternating runs with its own build; what the others did is shown as it was beside "
            f"{TITLES[next(iter(builds))]}."
        )
    promises = markdown(["", "what a confirmation means", "settings"], said.values(), text_columns=3)
    return f"{text}\n\n{markdown(header, ordered)}{notes(builds, not_measured)}\n\n{promises}"


def _ratio(found: Figures, name: str) -> str:
    return spread(found["rivals"][name]["ours_to_theirs"], "{:.2f}") if name in found["rivals"] else ""


def profile(found: Figures) -> str:
    """Functions by their own time, with the microseconds that makes of an event."""
    rows = [
        [f"`{name}`", f"{share:.1%}", f"{share * found['broker_us']:.2f}", f"{found['total'][name]:.0%}"]
        for name, share in found["own"].items()
    ]
    header = ["function", "own time", "us an event", "with what it calls"]
    return f"{found['samples']:,} samples.\n\n" + markdown(header, rows)


def batches(builds: Builds) -> str:
    """By size."""

    def rows(found: Figures) -> Iterable[list[str]]:
        for size, each in found["sizes"].items():
            yield [
                size,
                spread(each["events_per_batch"], "{:.1f}"),
                spread(each["per_s"]),
                spread(each["broker_us"], "{:.2f}"),
            ]

    return beside(builds, ["sent together", "left together", "events/s", "broker us an event"], rows)


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
    settings = "".join(f"\n\n{title}: {text}." for title, text in found.get("settings", {}).items())
    missing = "".join(f"\n\n{line}" for line in not_measured(found))
    return markdown(header, rows) + settings + missing


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
    missing = "".join(f"\n\n{line}" for line in failed(found))
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
    missing = "".join(f"\n\n{line}" for line in failed(found))
    text = (
        f"{found['probe_per_s']:g} critical events a second; capacity of the low lane {found['capacity']:,.0f} "
        "events/s. Beside a client that floods, the figure is how often it called `send`.\n\n"
    )
    return text + markdown(header, rows, text_columns=2) + missing


def game_server(builds: Builds) -> str:
    """A row for each build."""

    def row(found: Figures) -> Iterable[list[str]]:
        yield [
            f"{found['players']}",
            f"{found['sends_per_s']:,.0f}",
            spread(found["received_per_s"]),
            spread(found["share"], "{:.2%}"),
            spread(found["receiving_share"], "{:.2%}"),
            spread(found["broker_share"], "{:.2%}"),
        ]

    header = ["players", "sent/s", "received/s", "adapter, of a core", "receiving only", "broker"]
    return beside(builds, header, row)


def matches(builds: Builds) -> str:
    """By speed."""

    def rows(found: Figures) -> Iterable[list[str]]:
        for name, each in found["cases"].items():
            late = each["latency_ms"]["critical"]
            yield [
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

    def what(found: Figures) -> Iterable[str]:
        slices = [f"{name}: {MatchTime(*each)}" for name, each in found["slices_s"].items() if each]
        kind = "Recorded matches" if found["recorded"] else "Made-up matches"
        yield f"{kind}; {'; '.join(slices) or 'whole matches, once'}."

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
    return f"{notes(builds, what).lstrip()}\n\n{beside(builds, header, rows)}{notes(builds, failed)}"


def scale(builds: Builds) -> str:
    """By players and way; then the exponents."""

    def rows(found: Figures) -> Iterable[list[str]]:
        for row in found["rows"]:
            yield [
                f"{row['players']:,}, {row['way']}",
                spread(row["per_s"]),
                spread(row["broker_share"], "{:.0%}"),
                spread(row["broker_us"], "{:.1f}"),
                spread(row["rss_peak_bytes"], "{:.0f}", 1e-6),
                spread(row["critical_p50_ms"], "{:.1f}"),
                spread(row["critical_p99_ms"], "{:.1f}"),
                "yes" if row["exact"] else "**no**",
            ]

    def growth(found: Figures) -> Iterable[str]:
        grown = [
            f"{way}: processor time ^{each.get('broker_share', 0):g}, memory ^{each.get('rss_peak_bytes', 0):g}, "
            f"critical p99 ^{each.get('critical_p99_ms', 0):g}"
            for way, each in found["growth"].items()
            if each
        ]
        if grown:
            yield f"Growth with the number of players, as a power of it: {'; '.join(grown)}."

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
    return beside(builds, header, rows) + notes(builds, growth) + notes(builds, failed)


def soak(builds: Builds) -> str:
    """A row for each build."""

    def row(found: Figures) -> Iterable[list[str]]:
        each = found["growth"]
        yield [
            f"{found['length_s']:,.0f} s",
            f"{found['rate']:,.0f}",
            f"{found['handled']:,} of {found['sent']:,}",
            f"{found['broker_share']:.0%}",
            f"{each['base'] / 1e6:.1f} MB after {found['warm_up_s']:.0f} s",
            f"{each['highest']:+.2%}",
            f"{each['at_end']:+.2%}",
        ]

    header = ["length", "events/s", "handled", "broker, of a core", "memory", "highest later", "at the end"]
    return beside(builds, header, row)


TABLES: Final[dict[str, Callable[[Builds], str]]] = {
    "codec": one_by_one(codec),
    "micro": micro,
    "throughput": throughput,
    "profile": one_by_one(profile),
    "batches": batches,
    "fanout": one_by_one(fanout),
    "latency": one_by_one(latency),
    "isolation": one_by_one(isolation),
    "game_server": game_server,
    "matches": matches,
    "whole_matches": matches,
    "scale": scale,
    "soak": soak,
}
