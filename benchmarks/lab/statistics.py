"""Medians, spreads and percentiles, without a library, and the same everywhere."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

SHOWN: Final = (("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p999", 0.999))
_CURVE: Final = 100
"""Points of a distribution that are kept for plots; above 99 % there are ten more."""


def quantile(ordered: Sequence[float], share: float) -> float:
    """The value below which `share` (0 to 1) of `ordered`, which rises, lies; between two values it is in proportion.

    Raises:
        ValueError: there are no values.
    """
    if not ordered:
        raise ValueError("there is no quantile of nothing")
    position = share * (len(ordered) - 1)
    low = int(position)
    if low + 1 >= len(ordered):
        return float(ordered[-1])
    return ordered[low] + (position - low) * (ordered[low + 1] - ordered[low])


def spread(values: Sequence[float]) -> dict[str, Any]:
    """Median, quartiles, least and greatest of `values`, and the values in the order in which they were measured.

    Raises:
        ValueError: there are no values.
    """
    ordered = sorted(values)
    return {
        "median": quantile(ordered, 0.5),
        "low": quantile(ordered, 0.25),
        "high": quantile(ordered, 0.75),
        "min": float(ordered[0]),
        "max": float(ordered[-1]),
        "values": [float(value) for value in values],
    }


def ratios(mine: Sequence[float], theirs: Sequence[float]) -> dict[str, Any]:
    """The spread of the ratio round by round: each round's two runs stood next to each other.

    Raises:
        ValueError: the rounds are not the same, or there are none.
    """
    if len(mine) != len(theirs):
        raise ValueError(f"{len(mine)} rounds of one and {len(theirs)} of the other")
    return spread([a / b for a, b in zip(mine, theirs, strict=True)])


def latency(values_s: Sequence[float]) -> dict[str, Any]:
    """Percentiles of latencies in milliseconds, and a curve of the whole distribution for plots."""
    if not values_s:
        return {"count": 0}
    ordered = sorted(values_s)
    shares = [point / _CURVE for point in range(_CURVE)] + [0.99 + point / 1000 for point in range(1, 11)]
    return {
        "count": len(ordered),
        "mean_ms": sum(ordered) / len(ordered) * 1e3,
        **{f"{name}_ms": quantile(ordered, share) * 1e3 for name, share in SHOWN},
        "max_ms": ordered[-1] * 1e3,
        "curve_ms": [round(quantile(ordered, share) * 1e3, 4) for share in shares],
    }


def curve_shares() -> list[float]:
    """The shares that the points of `latency`'s curve stand for."""
    return [point / _CURVE for point in range(_CURVE)] + [0.99 + point / 1000 for point in range(1, 11)]


def growth(values: Sequence[float], first: int) -> dict[str, float]:
    """How far `values` leave the one at position `first` after it, as a share of it: the highest, and at the end.

    The end is the median of the last tenth, so that one sample decides nothing.

    Raises:
        ValueError: nothing comes after `first`.
    """
    later = values[first + 1 :]
    if not later:
        raise ValueError("nothing comes after the first value")
    base = values[first]
    tail = sorted(later[-max(1, len(later) // 10) :])
    return {
        "base": float(base),
        "highest": max(later) / base - 1,
        "at_end": quantile(tail, 0.5) / base - 1,
    }
