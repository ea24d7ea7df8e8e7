"""What a client that sends as fast as it can costs everybody else, and what it gets.

    python benchmarks/flooding_client.py TRACE... [--runs 3] [-o json]

Recorded matches are replayed at their own speed through a broker with the default policies, by several processes. Three
times 10 s without a flood and 10 s with one alternate: then one client more sends to a service of its own whenever
its outbox has room. Every delivery of the matches is checked, as `lanebus replay` does, and every event of the flooder.

The goals: the matches' critical 99th percentile is at most 1.25 times as long with the flood, the flooder's accepted
events are within 2 % of its limit (counted from the second second of each flood on: before that it may send a burst),
and every one of its events is handled once, in order.
"""

from __future__ import annotations

import argparse
import gc
import multiprocessing
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Final

from phases import Phase, PhasedWorker, merged, slots_for

from lanebus import ClientAdapter, Event, Loop, OutboxFull, ServerAdapter
from lanebus.cli.broker_process import BrokerProcess
from lanebus.cli.control_client import ControlClient
from lanebus.cli.exits import CliError, Exit
from lanebus.cli.output import Out, add_rows, new_table
from lanebus.cli.replay_crew import ForkedCrew, share_out
from lanebus.cli.replay_plan import Plan
from lanebus.cli.replay_result import Progress, Result
from lanebus.cli.replay_worker import WorkerOptions
from lanebus.cli.traces import read_trace
from lanebus.conf.policy import PolicyConfig
from lanebus.wire.histogram import Histogram

ROUNDS: Final = 3
LENGTHS_S: Final = (10.0, 10.0, 2.5)
"""Of one round: without a flood, with it, and until what the flooder still held has left."""
CALM, FLOOD, REST = range(3)
BURST_S: Final = 1.0
"""How long a flood has gone on when its rate begins to be measured."""
OUTBOX_BYTES: Final = 8_192
"""What the flooder may hold: a second or two of its limit, so that a flood ends with its phase."""
FLOODER: Final = "player:flooder"
P99_GOAL: Final = 1.25
RATE_GOAL: Final = 0.02
REST_TIMEOUT_S: Final = 10.0
STALL_S: Final = 20.0


def flood(broker: str, phase: Phase, ready: Connection) -> None:
    """Send whenever there is room, while it is time for that, and handle all of it."""
    loop = Loop()
    sink = ServerAdapter("sink", service="sink", broker=broker)
    client = ClientAdapter(FLOODER.partition(":")[2], broker=broker, outbox_bytes=OUTBOX_BYTES)
    handled: list[int] = []

    @sink.on("flood.noise")
    def take(event: Event) -> None:
        handled.append(event.payload)

    for adapter in (sink, client):
        loop.add(adapter)
        adapter.start()
    sent = refused = 0
    last = len(LENGTHS_S) * ROUNDS
    while (client.state, sink.state) != ("up", "up"):
        loop.turn(0.05)
    ready.send(None)
    while phase() < last:
        if phase() % len(LENGTHS_S) == FLOOD:
            try:
                while True:
                    client.send("flood.noise", sent, to="service:sink", lane="normal")
                    sent += 1
            except OutboxFull:
                refused += 1
        loop.turn(0.002)
    left = loop.close_all(timeout_s=REST_TIMEOUT_S / 2)
    loop.close()
    ready.send(
        {"sent": sent, "in_order": handled == list(range(sent)), "handled": len(handled), "left": left}
    )


def hear(flooder: Connection) -> Any:
    """The flooder's next word."""
    if not flooder.poll(REST_TIMEOUT_S):
        raise CliError("the flooder does not answer", Exit.INTERNAL)
    return flooder.recv()


@dataclass
class Watch:
    """Tells everybody when a phase begins, and reads what the broker has accepted of the flooder."""

    client: ControlClient
    phase: Phase
    started_s: float
    accepted: list[tuple[float, int]] = field(default_factory=list)
    """When a flood's rate begins and ends to be measured, and how many events had been accepted."""
    throttled: bool = False
    _seen: tuple[int, int] = (0, 0)
    _moved_s: float = field(default_factory=time.monotonic)

    def __call__(self, progress: Progress) -> bool:
        """Whether the run is over."""
        now_s = time.monotonic()
        number = self.phase()
        begins_s = self.started_s + sum(LENGTHS_S) * (number // 3) + sum(LENGTHS_S[: number % 3])
        in_phase_s = now_s - begins_s
        if number % 3 == FLOOD and len(self.accepted) == 2 * (number // 3) and in_phase_s >= BURST_S:
            self._note()
        if in_phase_s >= LENGTHS_S[number % 3] and number < ROUNDS * len(LENGTHS_S):
            if number % 3 == FLOOD:
                self._note()
            self.phase.next_begins(now_s)
        seen = (progress.sent, progress.delivered)
        if seen != self._seen or progress.waiting:
            self._seen, self._moved_s = seen, now_s
        is_over = number >= ROUNDS * len(LENGTHS_S)
        return is_over and (progress.done or now_s - self._moved_s > STALL_S)

    def _note(self) -> None:
        (stats,) = (each for each in self.client.request("stats") if each["name"] == FLOODER)
        self.accepted.append((time.monotonic(), stats["lanes"]["normal"]["in"]["events"]))
        (peer,) = (each for each in self.client.request("peers") if each["name"] == FLOODER)
        self.throttled = self.throttled or bool(peer["throttled"])


def measure(paths: Sequence[Path], from_s: float, processes: int) -> dict[str, Any]:
    """One run, from a new broker to its audit."""
    plan = Plan([read_trace(path, from_s=from_s, until_s=from_s + ROUNDS * sum(LENGTHS_S)) for path in paths])
    gc.collect()
    gc.freeze()
    phases = len(LENGTHS_S) * ROUNDS
    phase = Phase(phases + 1)
    shares = share_out(plan, processes, keep_together=False)
    found = [slots_for(phases + 1) for _ in shares]
    by_peers = {id(share): slots for share, slots in zip(shares, found, strict=True)}
    with BrokerProcess({"log": {"level": "warning"}}) as broker:
        address = broker.addresses["critical"]
        crew = ForkedCrew(
            plan,
            WorkerOptions(broker=address, speed=1.0, from_s=from_s, gateway=False),
            shares,
            lambda plan, peers, options: PhasedWorker(plan, peers, options, phase, by_peers[id(peers)]),
        )
        mine, theirs = multiprocessing.Pipe()
        flooder = multiprocessing.get_context("fork").Process(target=flood, args=(address, phase, theirs))
        try:
            crew.connect()
            crew.prepare()
            flooder.start()
            hear(mine)
            with ControlClient(broker.addresses["control"], timeout_s=10.0) as client:
                watch = Watch(client, phase, time.monotonic() + 0.1)
                crew.play(watch.started_s, watch)
                flooded = hear(mine)
                flooder.join(REST_TIMEOUT_S)
                result = crew.finish()
                audit = client.request("audit")
                deadline_s = time.monotonic() + REST_TIMEOUT_S
                while not audit["at_rest"] and time.monotonic() < deadline_s:
                    time.sleep(0.1)
                    audit = client.request("audit")
        finally:
            crew.close()
            if flooder.is_alive():
                flooder.kill()
    latencies = [merged(slots) for slots in zip(*found, strict=True)]
    return _figures(plan, result, watch, audit, flooded, latencies[:phases])


def _figures(
    plan: Plan,
    result: Result,
    watch: Watch,
    audit: dict[str, Any],
    flooded: dict[str, Any],
    latencies: Sequence[Histogram],
) -> dict[str, Any]:
    both = []
    for kind in (CALM, FLOOD):
        total = Histogram()
        for histogram in latencies[kind::3]:
            total.merge(histogram)
        both.append(total)
    p99_ms = [(histogram.quantile_us(0.99) or 0.0) / 1e3 for histogram in both]
    spans = list(zip(watch.accepted[::2], watch.accepted[1::2], strict=True))
    rate = sum(end[1] - begin[1] for begin, end in spans) / sum(end[0] - begin[0] for begin, end in spans)
    limit = PolicyConfig().client.events_per_s
    figures: dict[str, Any] = {
        "critical_p99_ms": {"calm": p99_ms[CALM], "flood": p99_ms[FLOOD]},
        "critical_deliveries": [histogram.count for histogram in both],
        "p99_ratio": round(p99_ms[FLOOD] / p99_ms[CALM], 3),
        "p99_by_phase_ms": [
            round((histogram.quantile_us(0.99) or 0.0) / 1e3, 2)
            for number, histogram in enumerate(latencies)
            if number % 3 != REST
        ],
        "accepted_per_s": round(rate, 2),
        "limit_per_s": limit,
        "throttled": watch.throttled,
        "flooder": flooded,
        "expected": plan.deliveries,
        "delivered": sum(result.delivered),
        "lost": result.faults.lost,
        "duplicated": result.faults.duplicated,
        "misordered": result.faults.misordered,
        "corrupted": result.faults.corrupted,
        "ledger_balanced": bool(audit["balanced"] and audit["at_rest"]),
        "problems": audit["problems"],
    }
    missed = []
    if figures["p99_ratio"] > P99_GOAL:
        missed.append("p99")
    if abs(rate / limit - 1) > RATE_GOAL:
        missed.append("rate")
    if not flooded["in_order"] or flooded["left"] or not watch.throttled:
        missed.append("flooder")
    if figures["delivered"] != figures["expected"] or result.faults:
        missed.append("deliveries")
    if not figures["ledger_balanced"]:
        missed.append("ledger")
    return figures | {"missed": missed}


def show(out: Out, runs: Sequence[dict[str, Any]]) -> None:
    """The runs as tables for people."""
    table = new_table(
        [
            "RUN",
            "P99 MS",
            "IN A FLOOD",
            "RATIO",
            "FLOODER A SECOND",
            "LIMIT",
            "SENT",
            "HANDLED",
            "LOST",
            "LEDGER",
        ]
    )
    for number, run in enumerate(runs, start=1):
        p99 = run["critical_p99_ms"]
        add_rows(
            table,
            [
                [
                    str(number),
                    out.ms(p99["calm"]),
                    out.ms(p99["flood"]),
                    f"{run['p99_ratio']:.2f}",
                    f"{run['accepted_per_s']:.1f}",
                    f"{run['limit_per_s']:.0f}",
                    out.count(run["flooder"]["sent"]),
                    out.count(run["flooder"]["handled"]),
                    out.count(run["lost"]),
                    "balanced" if run["ledger_balanced"] else "NOT BALANCED",
                ]
            ],
        )
    out.table(table)
    for number, run in enumerate(runs, start=1):
        if run["missed"]:
            out.line(f"run {number} missed: {', '.join(run['missed'])}")


def main() -> int:
    """Run the benchmark; 1 if a goal was missed in any run."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("traces", nargs="+", type=Path, metavar="TRACE")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument(
        "--from", type=float, default=20.0, dest="from_s", metavar="S", help="match time to begin at"
    )
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("-o", "--output", choices=("table", "json"), default="table")
    options = parser.parse_args()
    try:
        runs = [measure(options.traces, options.from_s, options.processes) for _ in range(options.runs)]
    except CliError as error:
        print(error.message, file=sys.stderr)
        return int(error.code)
    out = Out(options.output)
    if out.is_json:
        out.json({"runs": runs})
    else:
        show(out, runs)
    return int(any(run["missed"] for run in runs))


if __name__ == "__main__":
    sys.exit(main())
