"""Plots of the figures, as PNG. Without matplotlib there are none."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from benchmarks.lab.statistics import curve_shares

_WIDTH, _HEIGHT, _DPI = 7.0, 3.6, 110
_OURS: Final = "#1f77b4"
_THEIRS: Final = "#9a9a9a"


def write(figures: Mapping[str, Mapping[str, Any]], folder: Path) -> str:
    """Write a plot of every measure that has one into `folder`; why there are none, where there are none."""
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


def _throughput(axes: Any, found: Mapping[str, Any]) -> None:
    rivals = sorted(found["rivals"].values(), key=lambda each: each["per_s"]["median"])
    medians = [each["per_s"]["median"] for each in rivals]
    errors = [
        [each["per_s"]["median"] - each["per_s"]["min"] for each in rivals],
        [each["per_s"]["max"] - each["per_s"]["median"] for each in rivals],
    ]
    colours = [_OURS if each["title"] == "lanebus" else _THEIRS for each in rivals]
    axes.barh([each["title"] for each in rivals], medians, xerr=errors, color=colours, capsize=3)
    axes.set_xscale("log")
    axes.set_xlabel("events/s, one sender to one receiver (median, least, most)")


def _batches(axes: Any, found: Mapping[str, Any]) -> None:
    sizes = [float(size) for size in found["sizes"]]
    axes.plot(sizes, [each["broker_us"]["median"] for each in found["sizes"].values()], "o-", color=_OURS)
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    axes.set_xlabel("events in a batch")
    axes.set_ylabel("broker us an event")


def _fanout(axes: Any, found: Mapping[str, Any]) -> None:
    for title, by_clients in found["buses"].items():
        clients = [int(count) for count in by_clients]
        cost = [each["broker_us"]["median"] for each in by_clients.values()]
        axes.plot(clients, cost, "o-" if title.startswith("lanebus") else "s--", label=title)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlabel("clients, 30 ticks a second")
    axes.set_ylabel("broker us a delivery")
    axes.legend(fontsize=7)


def _latency(axes: Any, found: Mapping[str, Any]) -> None:
    for row in found["rows"]:
        if row["lane"] != "critical" or row["level"] not in ("idle", "50 %"):
            continue
        _curve(axes, row["latency"], f"{row['bus']}, {row['level']}")
    axes.set_ylabel("share of critical events")
    axes.set_xlabel("ms from the scheduled time to the handler")
    axes.legend(fontsize=7)


def _isolation(axes: Any, found: Mapping[str, Any]) -> None:
    for row in found["rows"]:
        _curve(axes, row["latency"], f"{row['bus']}, {row['beside']}")
    axes.set_ylabel("share of critical events")
    axes.set_xlabel("ms from the scheduled time to the handler")
    axes.legend(fontsize=6)


def _curve(axes: Any, latency: Mapping[str, Any], label: str) -> None:
    axes.plot(latency["curve_ms"], curve_shares(), label=label)
    axes.set_xscale("log")


def _micro(axes: Any, found: Mapping[str, Any]) -> None:
    sizes = list(found["sizes"])
    bottom = [0.0 for _ in sizes]
    for step in found["sizes"][sizes[0]]:
        heights = [found["sizes"][size][step]["us"]["median"] for size in sizes]
        axes.bar(sizes, heights, bottom=bottom, label=step)
        bottom = [low + height for low, height in zip(bottom, heights, strict=True)]
    axes.set_xlabel("events in a batch")
    axes.set_ylabel("us an event")
    axes.legend(fontsize=7)


def _scale(axes: Any, found: Mapping[str, Any]) -> None:
    for way in {row["way"]: None for row in found["rows"]}:
        rows = [row for row in found["rows"] if row["way"] == way]
        shares = [row["broker_share"]["median"] * 100 for row in rows]
        axes.plot([row["players"] for row in rows], shares, "o-", label=way)
    axes.set_xlabel("players")
    axes.set_ylabel("broker, % of a core")
    axes.legend(fontsize=7)


def _soak(axes: Any, found: Mapping[str, Any]) -> None:
    axes.plot([size / 1e6 for size in found["rss_bytes"]], color=_OURS)
    axes.set_ylim(bottom=0)
    axes.set_xlabel("s")
    axes.set_ylabel("broker's memory, MB")


_PLOTS: Final[dict[str, Callable[[Any, Mapping[str, Any]], None]]] = {
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
