"""What the command line's questions cost the critical lane of a broker with thousands of sessions.

    python benchmarks/commands_latency.py [--sessions 5000] [--seconds 5]

A broker, a gateway with its players, and who asks are processes of their own; here a server and a client bounce an
event on the critical lane to and fro while one question after the other is asked again and again. Printed are the round
trips without any question and beside each, and the longest turn of the broker's loop until then.
"""

from __future__ import annotations

import argparse
import multiprocessing
import time
from multiprocessing.connection import Connection

from broker_process import free_port, start_broker

from lanebus import ClientAdapter, Event, GatewayAdapter, Loop, ServerAdapter
from lanebus.cli.control_client import ControlClient

COMMANDS = ("status", "peers", "stats", "queues", "services", "groups", "metrics", "audit")
INTERVAL_S = 0.01
"""Between two questions of the client."""


def hold(broker: str, sessions: int, ready: Connection) -> None:
    """A gateway with so many players, until told to end."""
    gateway = GatewayAdapter("crowd", broker=broker)
    with gateway:
        for number in range(sessions):
            gateway.open(str(number))
            if number % 500 == 0:
                gateway.wait(timeout_s=0.05)
        while gateway.requests_pending:
            gateway.wait(timeout_s=0.05)
        ready.send(True)
        while not ready.poll():
            gateway.wait(timeout_s=0.2)


class Bounce:
    """A server and a client on the critical lane."""

    def __init__(self, broker: str) -> None:
        self._server = ServerAdapter("echo", service="echo", broker=broker)
        self._client = ClientAdapter("probe", broker=broker)
        self._server.on("ping")(self._answer)
        self._client.on("pong")(self._back)
        self._sent = 0.0
        self._loop = Loop()
        self.trips_ms: list[float] = []
        for adapter in (self._server, self._client):
            self._loop.add(adapter)
            adapter.connect()

    def _answer(self, event: Event) -> None:
        self._server.send("pong", to=event.sender, lane="critical", flush=True)

    def _back(self, event: Event) -> None:
        self.trips_ms.append((time.monotonic() - self._sent) * 1e3)
        self._sent = 0.0

    def turn(self, next_at: float) -> float:
        """Ask when it is time and the last answer is there; when to ask next."""
        now = time.monotonic()
        if now >= next_at and not self._sent:
            self._sent = now
            self._client.send("ping", lane="critical", flush=True)
            next_at = now + INTERVAL_S
        self._loop.turn(0.002)
        return next_at

    def close(self) -> None:
        self._loop.close_all(1.0)


def ask(control: str, wanted: Connection) -> None:
    """Ask each wanted question again and again until anything else comes, and tell how many answers there were."""
    with ControlClient(control, timeout_s=60.0) as client:
        while (command := wanted.recv()) is not None:
            answers = 0
            while not wanted.poll():
                client.request(command)
                answers += 1
            wanted.recv()
            wanted.send(answers)


def beside(bounce: Bounce, seconds: float) -> dict[str, float]:
    """Round trips for so long."""
    bounce.trips_ms.clear()
    until = time.monotonic() + seconds
    next_at = 0.0
    while time.monotonic() < until:
        next_at = bounce.turn(next_at)
    found = sorted(bounce.trips_ms)
    return {"p50_ms": found[len(found) // 2], "p99_ms": found[int(len(found) * 0.99)], "max_ms": found[-1]}


def measure(sessions: int, seconds: float) -> dict[str, dict[str, float]]:
    """Round trips beside every question, by its name; and the loop's longest turns."""
    port = free_port()
    broker = start_broker(port)
    address, control = f"tcp://127.0.0.1:{port}", f"tcp://127.0.0.1:{port + 3}"
    here, there = multiprocessing.Pipe()
    asks, asked = multiprocessing.Pipe()
    crowd = multiprocessing.Process(target=hold, args=(address, sessions, there))
    asker = multiprocessing.Process(target=ask, args=(control, asked))
    rows: dict[str, dict[str, float]] = {}
    try:
        for process in (crowd, asker):
            process.start()
        here.recv()
        bounce = Bounce(address)
        with ControlClient(control, timeout_s=20.0) as client:
            for command in ("", *COMMANDS):
                if command:
                    asks.send(command)
                row = rows[command or "(nothing)"] = beside(bounce, seconds)
                if command:
                    asks.send("enough")
                    row["answers_per_s"] = asks.recv() / seconds
                row["turn_ms"] = client.request("status")["loop"]["busy_ms"]["max"]
        bounce.close()
        asks.send(None)
        here.send(True)
        crowd.join(20.0)
    finally:
        for process in (crowd, asker):
            process.kill()
        broker.kill()
        broker.wait()
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sessions", type=int, default=5000)
    parser.add_argument("--seconds", type=float, default=5.0, help="beside each question")
    options = parser.parse_args()
    print(f"{options.sessions} sessions; round trips on the critical lane, ms")
    print(f"{'beside':<12}{'answers/s':>10}{'p50':>8}{'p99':>8}{'max':>8}{'longest turn':>14}")
    for name, row in measure(options.sessions, options.seconds).items():
        figures = "".join(f"{row[key]:>8.2f}" for key in ("p50_ms", "p99_ms", "max_ms"))
        print(f"{name:<12}{row.get('answers_per_s', 0.0):>10.1f}{figures}{row['turn_ms']:>14.2f}")


if __name__ == "__main__":
    main()
