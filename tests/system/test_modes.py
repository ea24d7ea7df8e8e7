"""Modes and times to live through real processes: the broker is killed in the middle, and both books say the same."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from collections import defaultdict
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from tests.system.test_broker_restart import LANEBUS, broker

from lanebus import ClientAdapter, Loop, ServerAdapter
from lanebus.cli.ports import free_ports

DEADLINE_S = 60.0
TICKS = 90
KEYS = 10

pytestmark = [pytest.mark.system, pytest.mark.timeout(180)]


def audited(control: int) -> dict[str, Any]:
    """What `lanebus audit` finds, once everything rests."""
    deadline = time.monotonic() + DEADLINE_S
    while True:
        done = subprocess.run(
            [*LANEBUS, "audit", "--server", f"tcp://127.0.0.1:{control}", "-o", "json"],
            capture_output=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout
        found: dict[str, Any] = json.loads(done.stdout)
        if found["at_rest"]:
            return found
        assert time.monotonic() < deadline, f"the books are not at rest: {found}"


def run(loop: Loop, seconds: float) -> None:
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        loop.turn(left)


def test_values_stay_in_order_and_the_books_balance_when_the_broker_is_killed(tmp_path: Path) -> None:
    critical, normal, low, control = free_ports(["127.0.0.1"])
    config = tmp_path / "lanebus.toml"
    config.write_text(
        f"[lanes.critical]\nport = {critical}\n[lanes.normal]\nport = {normal}\n"
        f"[lanes.low]\nport = {low}\n[control]\nport = {control}\n[sessions]\nping_interval_s = 0.2\n"
    )
    address = f"tcp://127.0.0.1:{critical}"
    values: dict[int, list[int]] = defaultdict(list)
    once: list[int] = []
    reliable: list[int] = []
    with ExitStack() as stack:
        first = stack.enter_context(broker(config))
        server, client = ServerAdapter("arena", broker=address), ClientAdapter("1", broker=address)
        client.on("unit")(lambda event: values[event.payload[0]].append(event.payload[1]))
        client.on("effect")(lambda event: once.append(event.payload))
        client.on("chat")(lambda event: reliable.append(event.payload))
        loop = Loop()
        for adapter in (server, client):
            adapter.connect()
            stack.callback(adapter.close, 0.0)
            loop.add(adapter)
        for tick in range(TICKS):
            for key in range(KEYS):
                server.send("unit", (key, tick), to="player:1", mode="latest", key=key)
                server.send("unit", (key, tick), to="player:1", mode="latest", key=key)
            server.send("effect", tick, to="player:1", mode="volatile")
            server.send("chat", tick, to="player:1")
            server.send("hint", tick, to="player:1", ttl_ms=50)
            run(loop, 0.03)
            if tick == TICKS // 3:
                first.send_signal(signal.SIGKILL)
                first.wait()
            elif tick == TICKS // 2:
                stack.enter_context(broker(config))
        deadline = time.monotonic() + DEADLINE_S
        while server.in_flight:
            assert time.monotonic() < deadline, f"{server.book('normal')!r}"
            run(loop, 0.05)
        run(loop, 0.5)
        book = server.book("normal").as_dict()
        audit = audited(control)
    assert reliable == list(range(TICKS))
    assert once == sorted(set(once))
    for got in values.values():
        assert got == sorted(got)
        assert got[-1] == TICKS - 1
    assert book["superseded"] >= KEYS * TICKS
    assert book["expired"] == TICKS, "nobody handles what comes to no handler in its time"
    assert book["dropped"] == TICKS - len(once)
    assert book["refused"] == book["unknown"] == 0
    assert audit["balanced"]
    assert audit["books"]["events"]["normal"] == audit["books"]["reported"]["normal"]
