"""Half of what is possible, for a long time: whether the memory of all three stays what it is."""

from __future__ import annotations

import time
from typing import Any, Final

from benchmarks.lab.load import Flow, Tally
from benchmarks.lab.pair import run_pair
from benchmarks.lab.processes import rss_bytes
from benchmarks.lab.setup import Setup
from benchmarks.lab.statistics import growth, latency
from benchmarks.measures.capacity import capacity
from benchmarks.rivals.ours import Lanebus

SHARE: Final = 0.5
SAMPLE_S: Final = 1.0
WARM_UP_S: Final = 60.0


def run(setup: Setup) -> dict[str, Any]:
    """The broker's memory second by second, and how far it left what it was after a minute."""
    bus = Lanebus()
    full = capacity(setup, "normal")
    rate = full * SHARE
    flows = [
        Flow("critical", int(setup.soak_s * rate * 0.2), rate * 0.2),
        Flow("normal", int(setup.soak_s * rate * 0.6), rate * 0.6),
        Flow("low", int(setup.soak_s * rate * 0.2), rate * 0.2),
    ]
    samples: list[int] = []
    with bus.server() as address:
        begun_s = time.monotonic()

        def watch(tally: Tally) -> None:
            if time.monotonic() - begun_s >= len(samples) * SAMPLE_S:
                samples.append(rss_bytes(address.pids))
                if len(samples) % 30 == 0:
                    setup.say(f"{len(samples)} s: {samples[-1] / 1e6:.1f} MB")

        outcome = run_pair(bus, address, flows, setup.events.data, timeout_s=setup.soak_s + 60.0, watch=watch)
    first = min(int(WARM_UP_S / SAMPLE_S), len(samples) // 3)
    return {
        "length_s": setup.soak_s,
        "rate": rate,
        "capacity": full,
        "warm_up_s": first * SAMPLE_S,
        "rss_bytes": samples,
        "growth": growth(samples, first),
        "sent": outcome.sent,
        "handled": outcome.handled,
        "broker_us": outcome.broker_us,
        "broker_share": outcome.broker_cpu_s / outcome.took_s,
        "latency": {lane: latency(late_s) for lane, late_s in outcome.latencies_s.items()},
    }
