"""What an adapter costs while nothing happens, whatever state it is in: processor time of real processes."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest
from tests.system.test_broker_restart import broker

from lanebus.cli.ports import free_ports

MOST = 0.02
"""Share of a core."""

pytestmark = [pytest.mark.system, pytest.mark.timeout(180)]

CHILD = """
import logging, socket, sys, threading, time
import lanebus

logging.disable(logging.CRITICAL)
SECONDS = 2.0
kind, address = sys.argv[1:]


def work():
    before = time.thread_time()
    for _ in range(2000):
        pass
    return time.thread_time() - before


def woken():
    # On a machine that is hardly used the first steps after a sleep take many times as long: caches are cold, and the
    # processor slow. What is measured is what the same steps take on one that is in use.
    found = []
    for _ in range(7):
        time.sleep(0.1)
        found.append(work())
    return max(1.0, sorted(found)[3] / min(work() for _ in range(50)))


def share(before, began):
    taken = (time.process_time() - before) / (time.monotonic() - began)
    return taken if taken > 0.1 else taken / woken()


def measured(idle):
    began, before = time.monotonic(), time.process_time()
    end = began + SECONDS
    while time.monotonic() < end:
        idle(end)
    return share(before, began)


def connect_to(address):
    adapter = lanebus.ClientAdapter("c", broker=address)
    before, began = time.process_time(), time.monotonic()
    try:
        adapter.connect(SECONDS)
    except lanebus.NotConnected:
        pass
    return share(before, began)


def wait_for(address):
    adapter = lanebus.ClientAdapter("w", broker=address.split(","))
    adapter.start()
    return measured(lambda end: adapter.wait(until=end))


def close_with_events():
    adapter = lanebus.ClientAdapter("e", broker=address)
    for number in range(100):
        adapter.send("t", number, ttl_ms=None if number % 2 else 200)
    adapter.start()
    before, began = time.process_time(), time.monotonic()
    assert adapter.close(SECONDS) == 50
    return share(before, began)


def never_started():
    loop = lanebus.Loop()
    loop.add(lanebus.ServerAdapter("n", broker=address))
    return measured(lambda end: loop.turn(end - time.monotonic()))


if kind == "name":
    socket.getaddrinfo = lambda *_, **__: time.sleep(1000)
    print(wait_for(address))
elif kind in ("connect", "silent-connect"):
    print(connect_to(address))
elif kind in ("wait", "silent-wait"):
    print(wait_for(address))
elif kind == "close":
    print(close_with_events())
elif kind == "new":
    print(never_started())
else:
    adapters = [lanebus.ServerAdapter("server", service="game", broker=address)] if kind == "server" else (
        [lanebus.ClientAdapter(kind, broker=address)])
    if kind == "fenced":
        adapters.append(lanebus.ClientAdapter(kind, broker=address))
    if kind == "loop":
        adapters = [lanebus.GatewayAdapter("g", broker=address), lanebus.ServerAdapter("l", broker=address)]
        adapters[0].open("behind")
    for each in adapters:
        each.connect(30.0)
    first = adapters[0]
    if kind == "throttled":
        for number in range(300):
            first.send("unhandled", number)
    if kind == "server":
        # With no handler it stays unsettled, and a broker that drains waits for it.
        first.send("unhandled", to="server:server")
        first.send("unhandled", to="server:server", ttl_ms=1000)
    if kind in ("loop", "fenced"):
        loop = lanebus.Loop()
        for each in adapters:
            loop.add(each)
        idle = lambda end: loop.turn(min(0.05, end - time.monotonic()))
    elif kind == "ticks":
        idle = lambda end: first.wait(until=min(end, time.monotonic() + 0.0503))
    else:
        idle = lambda end: first.wait(until=end)
    print("ready", flush=True)
    for line in sys.stdin:
        reached = eval("lambda: " + line)
        deadline = time.monotonic() + 30
        while not reached():
            assert time.monotonic() < deadline, line
            idle(time.monotonic() + 0.05)
        print(measured(idle), flush=True)
"""


def start(kind: str, address: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", CHILD, kind, address],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def said(child: subprocess.Popen[str]) -> str:
    assert child.stdout is not None
    return child.stdout.readline().strip()


def ask(children: dict[str, subprocess.Popen[str]], reached: str) -> dict[str, float]:
    """What each takes once it has reached a state, at the same time."""
    for child in children.values():
        assert child.stdin is not None
        child.stdin.write(reached + "\n")
        child.stdin.flush()
    return {kind: float(said(child)) for kind, child in children.items()}


def test_no_state_takes_processor_time_while_there_is_no_broker() -> None:
    nobody = [f"tcp://127.0.0.1:{port}" for port in free_ports(["127.0.0.1"])]
    with ExitStack() as stack:
        mute = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=64))
        silent = f"tcp://127.0.0.1:{mute.getsockname()[1]}"
        kinds = {
            "connect": nobody[0],
            "wait": ",".join(nobody),
            "silent-connect": silent,
            "silent-wait": silent,
            "close": nobody[0],
            "new": nobody[0],
            "name": "tcp://hung.example:5570",
        }
        children = {
            kind: stack.enter_context(_Ended(start(kind, address))) for kind, address in kinds.items()
        }
        shares = {kind: float(said(child)) for kind, child in children.items()}
    assert {kind: share for kind, share in shares.items() if share > MOST} == {}


def test_no_state_takes_processor_time_while_a_broker_is_up_drains_stands_still_and_is_gone(
    tmp_path: Path,
) -> None:
    critical, normal, low, control = free_ports(["127.0.0.1"])
    config = tmp_path / "lanebus.toml"
    config.write_text(
        f"[broker]\ndrain_s = 25.0\n[lanes.critical]\nport = {critical}\n[lanes.normal]\nport = {normal}\n"
        f"[lanes.low]\nport = {low}\n[control]\nport = {control}\n"
        "[policy.client]\nevents_per_s = 1\nevents_burst = 1\n"
    )
    shares: dict[str, dict[str, float]] = {}
    with ExitStack() as stack:
        process = stack.enter_context(broker(config))
        stack.callback(process.kill)
        children = {
            kind: stack.enter_context(_Ended(start(kind, f"tcp://127.0.0.1:{critical}")))
            for kind in ("server", "client", "ticks", "loop", "fenced", "throttled")
        }
        assert {said(child) for child in children.values()} == {"ready"}
        shares["fenced"] = ask({"fenced": children["fenced"]}, "adapters[0].state == 'closed'")
        shares["up"] = ask(children, "True")
        process.send_signal(signal.SIGTERM)
        shares["draining"] = ask(children, "adapters[-1].core.draining")
        process.send_signal(signal.SIGSTOP)
        shares["stalled"] = ask(children, "True")
        process.kill()
        shares["gone"] = ask(children, "adapters[-1].state == 'down'")
    too_much = {
        (state, kind): share for state, row in shares.items() for kind, share in row.items() if share > MOST
    }
    assert too_much == {}


class _Ended:
    """A child that is gone when this ends."""

    def __init__(self, child: subprocess.Popen[str]) -> None:
        self.child = child

    def __enter__(self) -> subprocess.Popen[str]:
        return self.child

    def __exit__(self, *exception: object) -> None:
        self.child.kill()
        self.child.communicate()
