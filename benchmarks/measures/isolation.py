"""What a critical event waits while others send as much as they can: a server that may, and a client that may not."""

from __future__ import annotations

import contextlib
from array import array
from collections.abc import Sequence
from typing import Any, Final

from benchmarks.lab.load import Flow
from benchmarks.lab.pair import Outcome, run_pair
from benchmarks.lab.processes import Child, Failed, Words
from benchmarks.lab.setup import Setup
from benchmarks.lab.statistics import latency, quantile, ratios, spread
from benchmarks.measures.capacity import capacity
from benchmarks.rivals.base import Address, Rival
from benchmarks.rivals.nats_core import NatsCore
from benchmarks.rivals.ours import Lanebus
from lanebus import ClientAdapter, Event, Loop, OutboxFull, ServerAdapter

PROBE_PER_S: Final = 50.0
"""Critical events of one server, 20 ms apart: more than the lane's interval."""
OFFERED: Final = (0.5, 0.9)
"""Of our own capacity, as load on the low lane or subject."""
FLOOD_OUTBOX_BYTES: Final = 8_192


def run(setup: Setup) -> dict[str, Any]:
    """Critical latencies by what goes on beside them."""
    ours, nats = Lanebus(), NatsCore()
    full = capacity(setup, "low")
    cases: list[tuple[str, Rival, Sequence[Flow], bool]] = [
        ("idle", ours, (), False),
        ("low saturated", ours, (Flow("low", None),), False),
        ("normal and low saturated", ours, (Flow("normal", None), Flow("low", None)), False),
        ("a client floods", ours, (), True),
    ]
    for share in OFFERED:
        name = f"low at {share:.0%} of capacity"
        beside = (Flow("low", None, full * share),)
        cases.append((name, ours, beside, False))
        if not nats.missing():
            cases.append((name, nats, beside, False))
    if not nats.missing():
        cases.insert(1, ("idle", nats, (), False))
    found: dict[tuple[str, str], list[tuple[array[float], float]]] = {}
    failed: list[str] = []
    for number in range(setup.rounds):
        for name, rival, flows, floods in cases:
            try:
                outcome = _once(rival, setup, flows, floods=floods)
            except Failed as why:
                failed.append(f"{rival.title}, {name}: {why}")
                continue
            late_s = outcome.latencies_s["critical"]
            per_s = float(outcome.notes.get("beside_per_s", 0.0))
            found.setdefault((rival.title, name), []).append((late_s, per_s))
            setup.say(
                f"round {number + 1}: {rival.title}, {name}: p99 {quantile(sorted(late_s), 0.99) * 1e3:.2f} ms, "
                f"{per_s:,.0f}/s beside"
            )
            setup.pause()
    rows: list[dict[str, Any]] = []
    for (title, name), rounds in found.items():
        merged = array("d")
        for late_s, _ in rounds:
            merged.extend(late_s)
        rows.append(
            {
                "bus": title,
                "beside": name,
                "beside_per_s": spread([per_s for _, per_s in rounds]),
                "latency": latency(merged),
                "p50_ms": spread([quantile(sorted(late_s), 0.5) * 1e3 for late_s, _ in rounds]),
                "p99_ms": spread([quantile(sorted(late_s), 0.99) * 1e3 for late_s, _ in rounds]),
            }
        )
    by_key = {(row["bus"], row["beside"]): row["p99_ms"]["values"] for row in rows}
    return {
        "capacity": full,
        "probe_per_s": PROBE_PER_S,
        "rows": rows,
        "saturated_to_idle": ratios(by_key[ours.title, "low saturated"], by_key[ours.title, "idle"]),
        "flood_to_idle": ratios(by_key[ours.title, "a client floods"], by_key[ours.title, "idle"]),
        "failed": failed,
        "nats_missing": nats.missing(),
    }


def _once(rival: Rival, setup: Setup, flows: Sequence[Flow], *, floods: bool) -> Outcome:
    probe = [Flow("critical", max(50, int(PROBE_PER_S * setup.run_s)), PROBE_PER_S)]
    with rival.server() as address, contextlib.ExitStack() as stack:
        flooder = stack.enter_context(Child("the flooder", _flood, address)) if floods else None
        if flooder is not None:
            flooder.hear(20.0)
        outcome = run_pair(rival, address, probe, setup.events.data, beside=flows, timeout_s=60.0)
        if flooder is not None:
            flooder.tell("end")
            outcome.notes["beside_per_s"] = flooder.hear(30.0)
    return outcome


def _flood(words: Words, address: Address) -> float:
    """A client sends whenever there is room; how often a second it called `send`."""
    import time

    loop = Loop()
    sink = ServerAdapter("sink", service="sink", broker=address.url)
    client = ClientAdapter("flooder", broker=address.url, outbox_bytes=FLOOD_OUTBOX_BYTES)

    @sink.on("flood.noise")
    def take(event: Event) -> None:
        return None

    for adapter in (sink, client):
        loop.add(adapter)
        adapter.start()
    while (client.state, sink.state) != ("up", "up") or sink.requests_pending:
        loop.turn(0.05)
    words.say("ready")
    calls = 0
    begun_s = time.monotonic()
    while words.heard() is None:
        try:
            while True:
                calls += 1
                client.send("flood.noise", calls, to="service:sink", lane="critical")
        except OutboxFull:
            loop.turn(0.002)
    rate = calls / (time.monotonic() - begun_s)
    loop.close_all(1.0)
    loop.close()
    return rate
