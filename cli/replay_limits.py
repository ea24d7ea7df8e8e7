"""Limits of a replay: players' policies at the speed of the match, and what they cost."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from lanebus.cli.output import Out
from lanebus.conf.policy import PolicyConfig
from lanebus.wire.lanes import LANE_NAMES

_RATES = (
    *("events_per_s", "up_bytes_per_s", "down_bytes_per_s"),
    *("control_messages_per_s", "control_bytes_per_s", "raw_bytes_per_s"),
)
_BURSTS = ("bytes_burst_s", "control_burst_s", "raw_burst_s")
_LEAST_BURST_S = 0.1
_MOST_BURST_S = 60.0
"""What a burst may be set to."""


def policy_at(speed: float) -> dict[str, Any]:
    """The default policy of players, as the section `[policy.client]`, for matches that run `speed` times as fast.

    A match second's allowance lasts a match second, and bursts stay as large as they are. At unlimited speed there are
    no limits.
    """
    client = PolicyConfig().client
    if math.isinf(speed):
        return dict.fromkeys(_RATES, 0.0)
    rates = {name: getattr(client, name) * speed for name in _RATES}
    bursts = {
        name: min(_MOST_BURST_S, max(_LEAST_BURST_S, getattr(client, name) / speed)) for name in _BURSTS
    }
    return rates | bursts


def limits_report(status: Mapping[str, Any]) -> dict[str, Any]:
    """What limits did, of a broker's answer to `status`: by lane, events throttled and parts shaped."""
    lanes = status["lanes"]
    return {
        "throttled": {name: lanes[name]["throttled_events"] for name in LANE_NAMES},
        "shaped": {
            name: {"parts": lanes[name]["shaped_parts"], "waited_ms": lanes[name]["shaped_ms"]}
            for name in LANE_NAMES
        },
    }


def limits_line(out: Out, report: Mapping[str, Any]) -> str:
    """The same in one line, for people."""
    throttled = sum(report["throttled"].values())
    shaped = [
        f"{name} {out.count(figures['parts'])} (p99 {out.ms(figures['waited_ms']['p99'])} ms)"
        for name, figures in report["shaped"].items()
        if figures["parts"]
    ]
    held = f"held for players' allowances: {', '.join(shaped)}" if shaped else "nothing held for an allowance"
    return f"limits     {out.count(throttled)} events throttled; {held}"
