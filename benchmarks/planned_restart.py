"""How long a match stands still when its broker is restarted in the middle of it.

    python benchmarks/planned_restart.py TRACE [--rounds 5] [--kill]

Plays a recorded match through a broker with `lanebus replay`, ends the broker with SIGTERM (with `--kill` with SIGKILL)
and starts it again at once on the same ports. The figure is the replay's `longest_gap_s`: the longest time in which a
receiver got nothing although something was on its way to it. The exit status is 1 if a delivery was not exact, the
books do not balance, or the gap is longer than `--within-s`.
"""

from __future__ import annotations

import argparse
import json
import signal
import statistics
import subprocess
import sys
import time
from typing import Any

from broker_process import free_port, start_broker

from lanebus.cli.control_client import ControlClient

FAULTS = ("lost", "duplicated", "misordered", "corrupted", "refused", "dropped", "unknown")


def one_round(trace: str, number: signal.Signals) -> dict[str, Any]:
    """One replay with one restart, and its figures."""
    port = free_port()
    broker = start_broker(port)
    window = ("--relay", "--speed", "4", "--from", "100", "--until", "160")
    where = ("--broker", f"tcp://127.0.0.1:{port}", "-o", "json")
    replay = subprocess.Popen(
        [sys.executable, "-m", "lanebus.cli.main", "replay", trace, *window, *where],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        with ControlClient(f"tcp://127.0.0.1:{port + 3}", timeout_s=10.0) as control:
            while sum(lane["in"]["events"] for lane in control.request("status")["lanes"].values()) < 300:
                time.sleep(0.05)
        began = time.monotonic()
        broker.send_signal(number)
        broker.wait()
        ended = time.monotonic()
        broker = start_broker(port)
        bound = time.monotonic()
        output, _ = replay.communicate(timeout=120)
    finally:
        replay.kill()
        broker.terminate()
        broker.wait()
    report = json.loads(output)
    exact = report["delivered"] == report["deliveries_expected"] and not any(report[name] for name in FAULTS)
    return {
        "longest_gap_s": report["longest_gap_s"],
        "broker_ended_s": round(ended - began, 3),
        "broker_bound_s": round(bound - began, 3),
        "deliveries": report["delivered"],
        "exact": exact and report["ledger_balanced"],
    }


def main() -> None:
    """Run the rounds, print the figures of each as a line of JSON, and fail where one is bad."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("trace", metavar="TRACE")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--kill", action="store_true", help="SIGKILL: the broker has no time to drain")
    parser.add_argument("--within-s", type=float, default=3.0, help="longest gap that is good enough")
    options = parser.parse_args()
    rounds = []
    for _ in range(options.rounds):
        rounds.append(one_round(options.trace, signal.SIGKILL if options.kill else signal.SIGTERM))
        print(json.dumps(rounds[-1]), flush=True)
    gaps = [each["longest_gap_s"] for each in rounds]
    print(json.dumps({"median_gap_s": statistics.median(gaps), "max_gap_s": max(gaps)}))
    sys.exit(0 if all(each["exact"] for each in rounds) and max(gaps) <= options.within_s else 1)


if __name__ == "__main__":
    main()
