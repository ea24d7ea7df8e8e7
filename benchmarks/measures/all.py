"""The measures in the order in which they are taken."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from benchmarks.lab.machine import PURE
from benchmarks.lab.setup import Setup
from benchmarks.measures import (
    batches,
    codec,
    fanout,
    game_server,
    isolation,
    latency,
    matches,
    micro,
    profile,
    scale,
    soak,
    throughput,
)

WHOLE_MATCHES: Final = "whole_matches"
"""Takes an hour: only when it is asked for."""
MEASURES: Final[dict[str, Callable[[Setup], dict[str, Any]]]] = {
    "codec": codec.run,
    "micro": micro.run,
    "throughput": throughput.run,
    "profile": profile.run,
    "batches": batches.run,
    "fanout": fanout.run,
    "latency": latency.run,
    "isolation": isolation.run,
    "game_server": game_server.run,
    "matches": matches.run,
    WHOLE_MATCHES: matches.run_whole,
    "scale": scale.run,
    "soak": soak.run,
}


OF_PURE_ALONE: Final = ("codec", "profile")
"""Measures that only the pure build has: codecs are the same in both, and compiled functions leave no Python frames to
a profile."""


def of_build(build: str) -> list[str]:
    """Names of the measures that a build has."""
    return [name for name in MEASURES if build == PURE or name not in OF_PURE_ALONE]
