"""What a receiver that stands still for 20 s costs the others, and whether it gets everything afterwards.

    python benchmarks/stopped_receiver.py TRACE... [--runs 3] [--control] [-o json]

Recorded matches are replayed at their own speed through a broker, by several processes. One of them holds a single
player of the match that sends a player the most; it gets SIGSTOP when that match's busiest 20 s begin, and SIGCONT
when they are over. Every delivery is checked, as `lanebus replay` does.

Before, during and after (from SIGCONT on, catching up included) are equally long. The goals: the others' critical
99th percentile moves by less than a quarter, nothing is lost or dropped, and the broker's memory comes back to
within 10 % of what it was. With `--control` each run is followed by one in which nobody is stopped: the busiest 20 s of
a match are busy for everybody.
"""

from __future__ import annotations

import argparse
import gc
import os
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from phases import Phase, PhasedWorker, merged, slots_for

from lanebus.adapters.base import DEFAULT_OUTBOX_BYTES
from lanebus.cli.broker_process import BrokerProcess
from lanebus.cli.control_client import ControlClient
from lanebus.cli.exits import CliError
from lanebus.cli.output import Out, add_rows, new_table
from lanebus.cli.replay_crew import ForkedCrew, share_out
from lanebus.cli.replay_plan import Plan
from lanebus.cli.replay_result import Progress, Result
from lanebus.cli.replay_worker import WorkerOptions
from lanebus.cli.traces import ALL, Trace, read_trace
from lanebus.wire.histogram import Histogram

STOPPED_S: Final = 20.0
PHASES: Final = ("before", "during", "after")
P99_GOAL: Final = 0.25
MEMORY_GOAL: Final = 0.10
SAMPLE_S: Final = 2.0
"""How often the broker is asked for its figures, which costs it milliseconds."""
STALL_S: Final = 20.0
REST_TIMEOUT_S: Final = 10.0


@dataclass
class Watch:
    """Stops and continues the receiver at its times, and reads the broker's figures meanwhile."""

    client: ControlClient
    phase: Phase
    pid: int | None
    """Whom to stop; None stops nobody."""
    receiver: str
    started_s: float
    rss_bytes: list[list[int]] = field(default_factory=lambda: [[] for _ in PHASES])
    waiting_bytes: int = 0
    """The most that waited for the receiver in the broker at one time."""
    waiting_events: int = 0
    oldest_s: float = 0.0
    caught_up_s: float | None = None
    """From SIGCONT until nothing waited for the receiver any more."""
    _sampled_s: float = 0.0
    _continued_s: float = 0.0
    _seen: tuple[int, int] = (0, 0)
    _moved_s: float = field(default_factory=time.monotonic)

    def __call__(self, progress: Progress) -> bool:
        """Whether the run is over."""
        now_s = time.monotonic()
        phase = self.phase()
        if phase == 0 and now_s >= self.started_s + STOPPED_S:
            self._send(signal.SIGSTOP)
            self.phase.next_begins(now_s)
        elif phase == 1 and now_s >= self.started_s + 2 * STOPPED_S:
            self._send(signal.SIGCONT)
            self.phase.next_begins(now_s)
            self._continued_s = now_s
        if now_s >= self._sampled_s + SAMPLE_S:
            self._sampled_s = now_s
            self._sample(now_s)
        seen = (progress.sent, progress.delivered)
        if seen != self._seen or progress.waiting:
            self._seen, self._moved_s = seen, now_s
        is_over = now_s >= self.started_s + 3 * STOPPED_S
        return is_over and (progress.done or now_s - self._moved_s > STALL_S)

    def _send(self, number: signal.Signals) -> None:
        if self.pid is not None:
            os.kill(self.pid, number)

    def _sample(self, now_s: float) -> None:
        if now_s < self.started_s + len(PHASES) * STOPPED_S:
            self.rss_bytes[self.phase()].append(self.client.request("status")["rss_bytes"])
        (peer,) = (each for each in self.client.request("peers") if each["name"] == self.receiver)
        self.waiting_events = max(self.waiting_events, peer["queued_events"] + peer["unsettled_events"])
        self.waiting_bytes = max(self.waiting_bytes, peer["held_bytes"])
        self.oldest_s = max(self.oldest_s, peer["oldest_age_s"])
        if self._continued_s and self.caught_up_s is None and not peer["queued_events"]:
            self.caught_up_s = now_s - self._continued_s


def busiest(trace: Trace) -> tuple[int, float, str]:
    """The most that one player of a match gets within `STOPPED_S`: bytes, when that begins, and who."""
    best = (0, 0.0, "")
    for player in trace.players:
        last, held = 0, 0
        mine = [
            (time_s, len(payload) + len(topic))
            for time_s, to, payload, topic in zip(
                trace.times_s, trace.receivers, trace.payloads, trace.topics, strict=True
            )
            if to in (ALL, player)
        ]
        for time_s, size in mine:
            held += size
            while mine[last][0] < time_s - STOPPED_S:
                held -= mine[last][1]
                last += 1
            # The first second of some matches is the whole map at once; and something must come before.
            begins_s = mine[last][0]
            if held > best[0] and begins_s >= STOPPED_S:
                best = (held, begins_s, player)
    return best


def measure(
    paths: Sequence[Path], match: str, player: str, begins_s: float, processes: int, *, stops: bool
) -> dict[str, Any]:
    """One run, from a new broker to its audit; `stops` says whether the receiver is stopped."""
    from_s, until_s = begins_s - STOPPED_S, begins_s + 2 * STOPPED_S
    plan = Plan([read_trace(path, from_s=from_s, until_s=until_s) for path in paths])
    gc.collect()
    gc.freeze()
    receiver = f"player:{match}.{player.partition(':')[2]}"
    stopped = [peer for peer in plan.peers if peer.name == receiver]
    others = share_out(plan, processes, keep_together=False)
    shares = [stopped, *([peer for peer in share if peer.name != receiver] for share in others)]
    phase = Phase(len(PHASES))
    found = [slots_for(len(PHASES)) for _ in shares]
    by_peers = {id(share): slots for share, slots in zip(shares, found, strict=True)}
    with BrokerProcess({"log": {"level": "warning"}}) as broker:
        options = WorkerOptions(
            broker=broker.addresses["critical"],
            speed=1.0,
            from_s=from_s,
            gateway=False,
            # What the receiver has not handled stays in its sender's outbox, and a full one would hold up everybody.
            outbox_bytes=DEFAULT_OUTBOX_BYTES,
        )
        crew = ForkedCrew(
            plan,
            options,
            shares,
            lambda plan, peers, options: PhasedWorker(plan, peers, options, phase, by_peers[id(peers)]),
        )
        try:
            crew.connect()
            crew.prepare()
            with ControlClient(broker.addresses["control"], timeout_s=10.0) as client:
                pid = crew.pids[0] if stops else None
                watch = Watch(client, phase, pid, receiver, time.monotonic() + 0.1)
                crew.play(watch.started_s, watch)
                result = crew.finish()
                audit = client.request("audit")
                deadline_s = time.monotonic() + REST_TIMEOUT_S
                while not audit["at_rest"] and time.monotonic() < deadline_s:
                    time.sleep(0.1)
                    audit = client.request("audit")
        finally:
            crew.close()
    return _figures(plan, result, watch, audit, [merged(slots) for slots in zip(*found[1:], strict=True)])


def _figures(
    plan: Plan, result: Result, watch: Watch, audit: dict[str, Any], critical: list[Histogram]
) -> dict[str, Any]:
    p99_ms = {
        name: (histogram.quantile_us(0.99) or 0.0) / 1e3
        for name, histogram in zip(PHASES, critical, strict=True)
    }
    before, during, after = watch.rss_bytes
    parts = audit["books"]["parts"].values()
    figures: dict[str, Any] = {
        "receiver": watch.receiver,
        "stopped": watch.pid is not None,
        "others_critical_p99_ms": p99_ms,
        "others_critical_deliveries": [histogram.count for histogram in critical],
        "p99_change": {name: round(p99_ms[name] / p99_ms["before"] - 1, 3) for name in ("during", "after")},
        "waiting_bytes": watch.waiting_bytes,
        "waiting_events": watch.waiting_events,
        "oldest_s": round(watch.oldest_s, 1),
        "caught_up_s": watch.caught_up_s and round(watch.caught_up_s, 2),
        "expected": plan.deliveries,
        "delivered": sum(result.delivered),
        "dropped": sum(book["dropped"] for book in parts),
        "lost": result.faults.lost,
        "duplicated": result.faults.duplicated,
        "misordered": result.faults.misordered,
        "corrupted": result.faults.corrupted,
        "rss_before_bytes": before[-1],
        "rss_peak_bytes": max(before + during + after),
        "rss_after_bytes": after[-1],
        "rss_change": round(after[-1] / before[-1] - 1, 3),
        "ledger_balanced": bool(audit["balanced"] and audit["at_rest"]),
    }
    missed = []
    if max(figures["p99_change"].values()) >= P99_GOAL:
        missed.append("p99")
    if figures["delivered"] != figures["expected"] or result.faults or figures["dropped"]:
        missed.append("deliveries")
    if figures["rss_change"] > MEMORY_GOAL:
        missed.append("memory")
    if not figures["ledger_balanced"]:
        missed.append("ledger")
    return figures | {"missed": missed}


def show(out: Out, runs: Sequence[dict[str, Any]]) -> None:
    """The runs as tables for people."""
    out.line(f"{runs[0]['receiver']} stands still for {STOPPED_S:.0f} s of {len(PHASES) * STOPPED_S:.0f} s")
    table = new_table(
        ["RUN", *(f"P99 {name} MS".upper() for name in PHASES), "WAITED", "BYTES", "OLDEST", "CAUGHT UP IN"],
        title="the others' critical lane, and what waited for the receiver",
    )
    ends = new_table(
        [
            "RUN",
            "EXPECTED",
            "DELIVERED",
            "DROPPED",
            "LOST",
            "MEMORY BEFORE",
            "PEAK",
            "AFTER",
            "LEDGER",
            "GOALS",
        ],
        title="deliveries, the broker's memory, the books",
    )
    for number, run in enumerate(runs, start=1):
        p99_ms = [out.ms(run["others_critical_p99_ms"][name]) for name in PHASES]
        waited = [out.count(run["waiting_events"]), out.size(run["waiting_bytes"])]
        times = [out.time(run["oldest_s"]), out.time(run["caught_up_s"]) if run["caught_up_s"] else "-"]
        name = str(number) if run["stopped"] else f"{number} control"
        add_rows(table, [[name, *p99_ms, *waited, *times]])
        counts = [out.count(run[name]) for name in ("expected", "delivered", "dropped", "lost")]
        memory = [out.size(run[f"rss_{when}_bytes"]) for when in ("before", "peak", "after")]
        ledger = "balanced" if run["ledger_balanced"] else "NOT BALANCED"
        missed = ", ".join(run["missed"])
        add_rows(ends, [[name, *counts, *memory, ledger, f"missed: {missed}" if missed else "met"]])
    out.table(table)
    out.table(ends)


def main() -> int:
    """Run the benchmark; 1 if a goal was missed in any run."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("traces", nargs="+", type=Path, metavar="TRACE")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--processes", type=int, default=2, help="for everybody but the stopped receiver")
    parser.add_argument("--control", action="store_true", help="also run without stopping anybody")
    parser.add_argument("-o", "--output", choices=("table", "json"), default="table")
    options = parser.parse_args()
    try:
        found = [(*busiest(trace), trace.name) for trace in map(read_trace, options.traces)]
        size_bytes, begins_s, player, match = max(found)
        if not size_bytes:
            parser.error("in none of these matches does the server send a player anything")
        kinds = [True, False] if options.control else [True]
        runs = [
            measure(options.traces, match, player, begins_s, options.processes, stops=stops)
            for _ in range(options.runs)
            for stops in kinds
        ]
    except CliError as error:
        print(error.message, file=sys.stderr)
        return int(error.code)
    out = Out(options.output)
    if out.is_json:
        out.json({"busiest_bytes": size_bytes, "stopped_s": STOPPED_S, "runs": runs})
    else:
        show(out, runs)
    return int(any(run["missed"] for run in runs if run["stopped"]))


if __name__ == "__main__":
    sys.exit(main())
