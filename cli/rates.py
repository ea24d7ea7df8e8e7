"""Rates per second, from two looks at the statistics of all peers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from lanebus.wire.lanes import LANE_NAMES

DIRECTIONS: Final = ("in", "out")
FIGURES: Final = ("events", "bytes", "batches")

Statistics = Mapping[str, Any]
"""One peer of the answer to `stats`."""
Flow = dict[str, dict[str, float]]
"""By direction, ``in`` and ``out``, seen from the broker: ``events_per_s``, ``bytes_per_s``, ``batches_per_s``."""


def rates(before: Sequence[Statistics], after: Sequence[Statistics], seconds: float) -> list[dict[str, Any]]:
    """Each peer that is there `after`: its name and role, its rates together, and by lane under ``lanes``.

    Who was not there before, or began anew in between, has what it has counted since.
    """
    known = {each["name"]: each["lanes"] for each in before}
    found = []
    for each in after:
        lanes = {
            lane: _flow(known.get(each["name"], {}).get(lane), each["lanes"][lane], seconds)
            for lane in LANE_NAMES
        }
        found.append({"name": each["name"], "role": each["role"], **total(lanes.values()), "lanes": lanes})
    return found


def total(flows: Iterable[Mapping[str, Any]]) -> Flow:
    """The sum of flows."""
    flows = list(flows)
    return {
        direction: {
            f"{name}_per_s": sum(flow[direction][f"{name}_per_s"] for flow in flows) for name in FIGURES
        }
        for direction in DIRECTIONS
    }


def _flow(before: Mapping[str, Any] | None, after: Mapping[str, Any], seconds: float) -> Flow:
    return {
        direction: {
            f"{name}_per_s": round(
                _grown(before and before[direction][name], after[direction][name]) / seconds, 3
            )
            for name in FIGURES
        }
        for direction in DIRECTIONS
    }


def _grown(before: Any, after: int) -> int:
    # A count that has fallen is that of another session.
    return after - before if before is not None and before <= after else after
