"""How long a thousand attachments take to be back after their broker was killed, with traffic under way.

    python benchmarks/reconnect_storm.py [--attachments 1000] [--processes 4] [--down-s 0] [--rounds 1]

A broker in a process of its own, and players and their servers in a few others, each driven by one loop. Every player
sends to its server, which answers. The broker is killed with SIGKILL and started again `--down-s` later on the same
ports. The figures count from the kill: until the new broker is bound, until all attachments have their three links,
until everything that was sent has been handled and settled. In the end every player and server has seen every event
once and in order, and the broker's books balance; the exit status is 1 if not, or if `--within-s` was exceeded.
"""

from __future__ import annotations

import argparse
import json
import logging
import multiprocessing
import resource
import signal
import sys
import time
from collections import defaultdict
from multiprocessing.connection import Connection
from typing import Any, NamedTuple

from broker_process import free_port, start_broker

from lanebus import ClientAdapter, Event, Loop, ServerAdapter
from lanebus.adapters.sockets import context
from lanebus.cli.control_client import ControlClient

DESCRIPTORS_EACH = 6
"""Of one adapter: three sockets with a descriptor for their own wake-ups and one for the connection."""
LOOK_S = 0.05
"""Time between two looks at who is up: looking at hundreds of adapters in every turn would slow them down."""
DEADLINE_S = 120.0


class Seen(NamedTuple):
    """What a process of players has to say."""

    up: int
    full_since: float
    """Since when all its attachments are up, on the monotonic clock; 0 while they are not."""
    in_flight: int
    quiet_since: float
    """Since when nothing of it is unsettled; 0 while something is."""
    sent: int
    handled: int
    wrong: int
    """Handled twice, or out of order."""
    outages_s: list[float]
    """How long each attachment had no broker, of those that are back."""
    cpu_s: float


class Swarm:
    """Players and their server in one process."""

    def __init__(self, number: int, attachments: int, broker: str, interval_s: float) -> None:
        self.loop = Loop()
        self.interval_s = interval_s
        self.sent = self.handled = self.wrong = 0
        self.sending = False
        self.outages_s: list[float] = []
        self._last: dict[tuple[str, str], int] = defaultdict(int)
        self._down: dict[str, float] = {}
        self._full_since = self._quiet_since = self._next_look = 0.0
        self.server = ServerAdapter(f"arena-{number}", service="arena", broker=broker)
        self.players = [ClientAdapter(f"{number}-{each}", broker=broker) for each in range(attachments - 1)]
        self.adapters = [self.server, *self.players]
        self.server.on("move")(self._answer)
        self._due: list[float] = []
        for player in self.players:
            player.on("moved")(self._check)
        for adapter in self.adapters:
            adapter.start()
            self.loop.add(adapter)

    def assign(self) -> None:
        """Every player plays with the server of its process."""
        for player in self.players:
            self.server.assign(player.name, "arena", self.server.name)

    def begin(self) -> None:
        """Send from now on, each player at its own time."""
        self.sending = True
        now = time.monotonic()
        self._due = [now + self.interval_s * at / len(self.players) for at in range(len(self.players))]

    def turn(self) -> None:
        """One turn: send what is due, handle what came, note who is away."""
        now = time.monotonic()
        if self.sending:
            for at, player in enumerate(self.players):
                if self._due[at] <= now:
                    self._due[at] += self.interval_s
                    player.send("move", self._next(player.name), lane="critical")
                    self.sent += 1
        self.loop.turn(0.005)
        now = time.monotonic()
        if now < self._next_look:
            return
        self._next_look = now + LOOK_S
        for adapter in self.adapters:
            if adapter.state != "up":
                self._down.setdefault(adapter.name, now)
            elif self._down and (since := self._down.pop(adapter.name, None)) is not None:
                self.outages_s.append(now - since)
        if self._down:
            self._full_since = 0.0
        elif not self._full_since:
            self._full_since = now
        if any(adapter.in_flight for adapter in self.adapters):
            self._quiet_since = 0.0
        elif not self._quiet_since:
            self._quiet_since = now

    def seen(self) -> Seen:
        """The figures of this moment."""
        return Seen(
            len(self.adapters) - len(self._down),
            self._full_since,
            sum(adapter.in_flight for adapter in self.adapters),
            self._quiet_since,
            self.sent,
            self.handled,
            self.wrong,
            self.outages_s,
            time.process_time(),
        )

    def _next(self, name: str) -> int:
        self._last[name, "sent"] += 1
        return self._last[name, "sent"]

    def _answer(self, event: Event) -> None:
        self._check(event)
        self.server.send("moved", self._next(event.sender + " back"), to=event.sender, lane="critical")
        self.sent += 1

    def _check(self, event: Event) -> None:
        key = event.sender, event.receiver
        self.wrong += event.payload != self._last[key] + 1
        self._last[key] = event.payload
        self.handled += 1


def swarm(number: int, attachments: int, broker: str, interval_s: float, link: Connection[Any, Any]) -> None:
    """A process of players: does what it is told, and reports five times a second."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    own = Swarm(number, attachments, broker, interval_s)
    next_report = 0.0
    while True:
        own.turn()
        if time.monotonic() >= next_report:
            next_report = time.monotonic() + 0.2
            link.send(own.seen())
        if link.poll():
            told = link.recv()
            if told == "assign":
                own.assign()
            elif told == "begin":
                own.begin()
            elif told == "stop":
                own.sending = False
            elif told == "outages":
                own.outages_s.clear()
            else:
                left = own.loop.close_all(10.0)
                context().term()
                link.send(left)
                return


class Crowd:
    """All processes of players."""

    def __init__(self, attachments: int, processes: int, broker: str, rate: float) -> None:
        self.attachments = attachments
        self._links: list[Connection[Any, Any]] = []
        self._processes: list[Any] = []
        self.latest: list[Seen] = []
        fork = multiprocessing.get_context("fork")
        for number in range(processes):
            share = attachments // processes + (number < attachments % processes)
            ours, theirs = fork.Pipe()
            process = fork.Process(target=swarm, args=(number, share, broker, 1 / rate, theirs), daemon=True)
            process.start()
            theirs.close()
            self._links.append(ours)
            self._processes.append(process)

    def tell(self, what: str) -> None:
        """Tell every process what to do."""
        for link in self._links:
            link.send(what)

    def look(self) -> list[Seen]:
        """The next report of every process."""
        self.latest = []
        for link in self._links:
            seen = link.recv()
            while link.poll():
                seen = link.recv()
            self.latest.append(seen)
        return self.latest

    def until(self, reached: Any, what: str) -> None:
        """Look until `reached` is true of all that was seen."""
        deadline = time.monotonic() + DEADLINE_S
        while not reached(self.look()):
            if time.monotonic() > deadline:
                raise SystemExit(f"not within {DEADLINE_S:g} s: {what}; {self.latest}")

    def up(self, what: str) -> None:
        """Wait until everybody is up."""
        self.until(lambda seen: sum(each.up for each in seen) == self.attachments, what)

    def close(self) -> int:
        """Close all adapters; how many events were not settled."""
        self.tell("close")
        left = 0
        for link in self._links:
            answer = link.recv()
            while not isinstance(answer, int):
                answer = link.recv()
            left += answer
        for process in self._processes:
            process.join()
        return left


def audit_at_rest(port: int) -> dict[str, Any]:
    """The broker's audit, once the last goodbyes have arrived."""
    deadline = time.monotonic() + 10.0
    with ControlClient(f"tcp://127.0.0.1:{port}", timeout_s=10.0) as control:
        while True:
            found: dict[str, Any] = control.request("audit")
            if found["at_rest"] or time.monotonic() > deadline:
                return found
            time.sleep(0.1)


def one_round(options: argparse.Namespace) -> dict[str, Any]:
    """One storm, and its figures."""
    port = free_port()
    broker = start_broker(port)
    crowd = Crowd(options.attachments, options.processes, f"tcp://127.0.0.1:{port}", options.rate)
    try:
        began = time.monotonic()
        crowd.up("everybody attached to the first broker")
        first_s = time.monotonic() - began
        crowd.tell("assign")
        time.sleep(1.0)
        crowd.tell("begin")
        time.sleep(options.before_s)
        crowd.tell("outages")
        crowd.look()
        killed = time.monotonic()
        broker.send_signal(signal.SIGTERM if options.planned else signal.SIGKILL)
        broker.wait()
        ended = time.monotonic()
        time.sleep(options.down_s)
        broker = start_broker(port)
        bound = time.monotonic()
        crowd.until(lambda seen: all(each.full_since > ended for each in seen), "everybody came back")
        up_at = max(each.full_since for each in crowd.latest)
        in_flight = sum(each.in_flight for each in crowd.latest)
        crowd.tell("stop")
        stopped = time.monotonic()
        crowd.until(
            lambda seen: (
                all(each.quiet_since > stopped for each in seen)
                and sum(each.sent for each in seen) == sum(each.handled for each in seen)
            ),
            "everything was handled and settled",
        )
        settled_at = max(each.quiet_since for each in crowd.latest)
        with ControlClient(f"tcp://127.0.0.1:{port + 3}", timeout_s=10.0) as control:
            status = control.request("status")
        seen = crowd.latest
        left = crowd.close()
        audit = audit_at_rest(port + 3)
    finally:
        broker.terminate()
        broker.wait()
    outages = sorted(outage for each in seen for outage in each.outages_s)
    return {
        "attachments": options.attachments,
        "links": 3 * options.attachments,
        "first_connect_s": round(first_s, 2),
        "broker_ended_s": round(ended - killed, 2),
        "broker_bound_s": round(bound - killed, 2),
        "all_up_s": round(up_at - killed, 2),
        "all_up_after_bound_s": round(up_at - bound, 2),
        "outage_p50_s": round(outages[len(outages) // 2], 2),
        "outage_max_s": round(outages[-1], 2),
        "in_flight_when_up": in_flight,
        "all_settled_s": round(settled_at - killed, 2),
        "sent": sum(each.sent for each in seen),
        "handled": sum(each.handled for each in seen),
        "wrong": sum(each.wrong for each in seen),
        "unsettled": left,
        "books_balance": audit["balanced"] and audit["at_rest"],
        "new_broker_cpu_s": round(status["cpu_s"], 2),
        "players_cpu_s": round(sum(each.cpu_s for each in seen), 2),
        "errors": status["errors"],
        "problems": audit["problems"][:3],
    }


def main() -> None:
    """Run the rounds, print the figures of each as a line of JSON, and fail where something was lost or too slow."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--attachments", type=int, default=1000)
    parser.add_argument("--processes", type=int, default=4)
    parser.add_argument("--rate", type=float, default=1.0, help="events a second of each player")
    parser.add_argument("--before-s", type=float, default=2.0, help="traffic before the kill")
    parser.add_argument("--down-s", type=float, default=0.0, help="time until the broker is started again")
    parser.add_argument(
        "--planned", action="store_true", help="SIGTERM instead of SIGKILL: the broker drains"
    )
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--within-s", type=float, default=15.0, help="most time until all are back")
    options = parser.parse_args()
    needed = DESCRIPTORS_EACH * (options.attachments // options.processes + 1) + 64
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    if needed > most:
        raise SystemExit(f"each process needs {needed} descriptors and may have {most}: raise --processes")
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    # A thousand adapters that say how they lost their broker are in the way of the measurement.
    logging.getLogger("lanebus").setLevel(logging.ERROR)
    good = True
    for _ in range(options.rounds):
        figures = one_round(options)
        print(json.dumps(figures), flush=True)
        good &= figures["sent"] == figures["handled"] and not figures["wrong"] and not figures["unsettled"]
        good &= figures["books_balance"] and figures["all_up_s"] - options.down_s <= options.within_s
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
