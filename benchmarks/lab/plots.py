"""Plots of the figures, as PNG. Without matplotlib there are none.

Where there are figures of both builds, ours is there twice. Isolation and the steps are full already: they show the
first build alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import count
from pathlib import Path
from typing import Any, Final

from benchmarks.lab.statistics import curve_shares
from benchmarks.lab.tables import Builds, named

_WIDTH, _HEIGHT, _DPI = 7.0, 3.6, 110
_OURS: Final = "#1f77b4"
_COMPILED: Final = "#0b3c5d"
_THEIRS: Final = "#9a9a9a"
_STYLES: Final = ("o-", "s--")
"""Of lines of ours, by build in the order in which they are shown."""


def write(figures: Mapping[str, Builds], folder: Path) -> str:
    """Write a plot of every measure that has one into `folder`; why there are none, where there are none.

    `figures` are by measure and build.
    """
    try:
        import matplotlib as mpl
    except ImportError:
        return "matplotlib is not installed: pip install -e '.[bench]'"
    mpl.use("Agg")
    import matplotlib.pyplot as plt

    folder.mkdir(parents=True, exist_ok=True)
    for name, draw in _PLOTS.items():
        if name not in figures:
            continue
        figure, axes = plt.subplots(figsize=(_WIDTH, _HEIGHT), dpi=_DPI)
        draw(axes, figures[name])
        axes.spines[["top", "right"]].set_visible(False)
        figure.tight_layout()
        # Without a date or version in it the file changes only with the figures.
        figure.savefig(folder / f"{name}.png", metadata={"Software": None})
        plt.close(figure)
    return ""


def _throughput(axes: Any, builds: Builds) -> None:
    by_title: dict[str, Mapping[str, Any]] = {}
    for build, found in builds.items():
        for each in found["rivals"].values():
            by_title.setdefault(named(each["title"], build), each)
    ordered = sorted(by_title.items(), key=lambda each: each[1]["per_s"]["median"])
    titles = [title for title, _ in ordered]
    rivals = [each for _, each in ordered]
    medians = [each["per_s"]["median"] for each in rivals]
    errors = [
        [each["per_s"]["median"] - each["per_s"]["min"] for each in rivals],
        [each["per_s"]["max"] - each["per_s"]["median"] for each in rivals],
    ]
    colours = [_OURS if each["title"] == "lanebus" else _THEIRS for each in rivals]
    axes.barh(titles, medians, xerr=errors, color=colours, capsize=3)
    axes.set_xscale("log")
    axes.set_xlabel("events/s, one sender to one receiver (median, least, most)")


def _batches(axes: Any, builds: Builds) -> None:
    for (build, found), style in zip(builds.items(), _STYLES, strict=False):
        sizes = [float(size) for size in found["sizes"]]
        costs = [each["broker_us"]["median"] for each in found["sizes"].values()]
        axes.plot(sizes, costs, style, color=_OURS, label=named("lanebus", build))
    _legend_of_builds(axes, builds)
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    axes.set_xlabel("events in a batch")
    axes.set_ylabel("broker us an event")


def _fanout(axes: Any, builds: Builds) -> None:
    buses: dict[str, Mapping[str, Any]] = {}
    for build, found in builds.items():
        for title, by_clients in found["buses"].items():
            buses.setdefault(named(title, build), by_clients)
    others = count(1)
    for title, by_clients in buses.items():
        clients = [int(each) for each in by_clients]
        cost = [each["broker_us"]["median"] for each in by_clients.values()]
        if title.startswith("lanebus"):
            style = "o:" if "gateways" in title else "o-"
            axes.plot(clients, cost, style, color=_COMPILED if "compiled" in title else _OURS, label=title)
        else:
            axes.plot(clients, cost, "s--", color=f"C{next(others)}", markersize=4, linewidth=1, label=title)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlabel("clients, 30 ticks a second")
    axes.set_ylabel("broker us a delivery")
    _legend_beside(axes)


def _latency(axes: Any, builds: Builds) -> None:
    curves: dict[str, Mapping[str, Any]] = {}
    for build, found in builds.items():
        for row in found["rows"]:
            if row["lane"] == "critical" and row["level"] in ("idle", "50 %"):
                curves.setdefault(f"{named(row['bus'], build)}, {row['level']}", row["latency"])
    for label, each in curves.items():
        _curve(axes, each, label)
    axes.set_ylabel("share of critical events")
    axes.set_xlabel("ms from the scheduled time to the handler")
    _legend_beside(axes)


def _isolation(axes: Any, builds: Builds) -> None:
    found = next(iter(builds.values()))
    for row in found["rows"]:
        _curve(axes, row["latency"], f"{row['bus']}, {row['beside']}")
    axes.set_ylabel("share of critical events")
    axes.set_xlabel("ms from the scheduled time to the handler")
    _legend_beside(axes)


def _curve(axes: Any, latency: Mapping[str, Any], label: str) -> None:
    axes.plot(latency["curve_ms"], curve_shares(), label=label)
    axes.set_xscale("log")


def _micro(axes: Any, builds: Builds) -> None:
    found = next(iter(builds.values()))
    sizes = list(found["sizes"])
    bottom = [0.0 for _ in sizes]
    for step in found["sizes"][sizes[0]]:
        heights = [found["sizes"][size][step]["us"]["median"] for size in sizes]
        axes.bar(sizes, heights, bottom=bottom, label=step)
        bottom = [low + height for low, height in zip(bottom, heights, strict=True)]
    axes.set_xlabel("events in a batch")
    axes.set_ylabel("us an event")
    axes.legend(fontsize=7)


def _scale(axes: Any, builds: Builds) -> None:
    for (build, found), style in zip(builds.items(), _STYLES, strict=False):
        for way in {row["way"]: None for row in found["rows"]}:
            rows = [row for row in found["rows"] if row["way"] == way]
            shares = [row["broker_share"]["median"] * 100 for row in rows]
            label = f"{named('lanebus', build)}, {way}" if len(builds) > 1 else way
            axes.plot([row["players"] for row in rows], shares, style, label=label)
    axes.set_xlabel("players")
    axes.set_ylabel("broker, % of a core")
    axes.legend(fontsize=7)


def _soak(axes: Any, builds: Builds) -> None:
    for (build, found), style in zip(builds.items(), _STYLES, strict=False):
        sizes = [size / 1e6 for size in found["rss_bytes"]]
        axes.plot(sizes, style.strip("os"), color=_OURS, label=named("lanebus", build))
    _legend_of_builds(axes, builds)
    axes.set_ylim(bottom=0)
    axes.set_xlabel("s")
    axes.set_ylabel("broker's memory, MB")


def _legend_beside(axes: Any) -> None:
    """A legend of many lines, where it hides none of them."""
    axes.legend(fontsize=7, loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False)


def _legend_of_builds(axes: Any, builds: Builds) -> None:
    if len(builds) > 1:
        axes.legend(fontsize=7)


_PLOTS: Final[dict[str, Callable[[Any, Builds], None]]] = {
    "throughput": _throughput,
    "batches": _batches,
    "fanout": _fanout,
    "latency": _latency,
    "isolation": _isolation,
    "micro": _micro,
    "scale": _scale,
    "soak": _soak,
}
"""By measure."""
