"""What the broker spends on an event, by how many travel together: senders and receivers in pairs, a batch a tick."""

from __future__ import annotations

import itertools
import time
from typing import Any, Final

from benchmarks.lab.processes import Child, Words, cpu_s
from benchmarks.lab.setup import Setup
from benchmarks.lab.statistics import spread
from benchmarks.rivals.base import TOPIC, Address
from benchmarks.rivals.ours import Lanebus
from lanebus import Loop, ServerAdapter
from lanebus.cli.control_client import ControlClient

SIZES: Final = (1.0, 4.5, 16.0, 64.0)
"""Events in a batch; the recorded matches' servers have 4.5 in 16 ms."""
TICK_S: Final = 0.018
"""A little more than the critical lane's interval, so that each tick is a batch on both hops."""
EVENTS_PER_S: Final = 14_000
"""About what is sent in a second at any size: as many pairs as that takes."""
MOST_PAIRS: Final = 60


def run(setup: Setup) -> dict[str, Any]:
    """The broker's time by size of batch, I/O thread included."""
    bus = Lanebus()
    found: dict[float, list[dict[str, float]]] = {size: [] for size in SIZES}
    for number in range(setup.rounds):
        for size in SIZES:
            with bus.server() as address:
                found[size].append(once(address, setup, size))
            setup.say(
                f"round {number + 1}: batches of {size:g}: {found[size][-1]['broker_us']:.2f} us an event"
            )
            setup.pause()
    return {
        "events": setup.events.source,
        "sizes": {
            f"{size:g}": {
                "broker_us": spread([each["broker_us"] for each in runs]),
                "events_per_batch": spread([each["events_per_batch"] for each in runs]),
                "per_s": spread([each["per_s"] for each in runs]),
            }
            for size, runs in found.items()
        },
    }


def once(address: Address, setup: Setup, size: float) -> dict[str, float]:
    """One run with batches of `size`."""
    pairs = max(1, min(MOST_PAIRS, int(EVENTS_PER_S * TICK_S / size)))
    with Child("the pairs", _play, address, setup.events.data, pairs, size, setup.run_s) as child:
        child.hear(30.0)
        # What the questions themselves cost the broker stays outside.
        events, batches = _sent(address)
        cpu, begun_s = cpu_s(address.pids), time.monotonic()
        child.hear(setup.run_s + 30.0)
        cpu, took_s = cpu_s(address.pids) - cpu, time.monotonic() - begun_s
        more_events, more_batches = _sent(address)
        child.tell("end")
        child.hear(30.0)
    events, batches = more_events - events, more_batches - batches
    return {"broker_us": cpu / events * 1e6, "events_per_batch": events / batches, "per_s": events / took_s}


def _sent(address: Address) -> tuple[int, int]:
    with ControlClient(address.extra["control"], timeout_s=10.0) as client:
        out = client.request("status")["lanes"]["critical"]["out"]
    return out["events"], out["batches"]


def _play(words: Words, address: Address, data: list[Any], pairs: int, size: float, run_s: float) -> None:
    loop = Loop()
    senders = [ServerAdapter(f"sender-{number}", broker=address.url) for number in range(pairs)]
    receivers = [ServerAdapter(f"receiver-{number}", broker=address.url) for number in range(pairs)]
    for adapter in (*senders, *receivers):
        adapter.on("**")(lambda event: None)
        loop.add(adapter)
        adapter.start()
    while any(adapter.state != "up" for adapter in (*senders, *receivers)):
        loop.turn(0.05)
    sizes = itertools.cycle([int(size), int(size)] if size == int(size) else [int(size), int(size) + 1])
    payloads = itertools.cycle(data)
    begun_s = time.monotonic()
    # Each pair has its own phase, so that the broker gets batches and not salvos.
    dues = [begun_s + TICK_S * number / pairs for number in range(pairs)]
    warm_s = begun_s + 0.5
    is_warm = False
    while (now := time.monotonic()) < begun_s + 0.5 + run_s:
        if not is_warm and now >= warm_s:
            is_warm = True
            words.say("warm")
        for number, sender in enumerate(senders):
            if dues[number] > now:
                continue
            dues[number] = max(dues[number] + TICK_S, now)
            for _ in range(next(sizes)):
                sender.send(TOPIC, next(payloads), to=f"server:receiver-{number}", lane="critical")
            sender.flush()
        loop.turn(max(0.0, min(dues) - time.monotonic()))
    words.say("measured")
    while words.heard(0.0) is None:
        loop.turn(0.02)
    loop.close_all()
    loop.close()
