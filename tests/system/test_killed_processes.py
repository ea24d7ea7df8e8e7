"""Processes that are killed while nobody speaks with them: the ends of their connections say so."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import pytest

from lanebus.cli.broker_process import BrokerProcess
from lanebus.cli.control_client import ControlClient

pytestmark = [pytest.mark.system, pytest.mark.timeout(120)]

DEADLINE_S = 20.0
SETTINGS: dict[str, Any] = {
    # Nobody is found to be silent within the deadline, nor by a ping of its own.
    "sessions": {"recovery_s": 0.0, "ping_interval_s": 30.0, "lease_s": 120.0, "grace_s": 120.0},
    "quality": {"window_s": 150.0},
}
PROGRAM = """
import sys
from lanebus import ClientAdapter, GatewayAdapter, ServerAdapter
broker = sys.argv[1]
adapters = [
    ClientAdapter("1", broker=broker),
    ServerAdapter("a", service="arena", broker=broker),
    gateway := GatewayAdapter("g", broker=broker),
]
for adapter in adapters:
    adapter.connect(30.0)
for name in ("2", "3"):
    gateway.open(name)
while True:
    for adapter in adapters:
        adapter.wait(0.05)
"""


def test_whoever_is_killed_while_nobody_speaks_with_it_is_away_long_before_it_could_be_silent() -> None:
    with ExitStack() as stack:
        broker = stack.enter_context(BrokerProcess(SETTINGS))
        control = stack.enter_context(ControlClient(broker.addresses["control"], timeout_s=5.0))

        def states() -> dict[str, str]:
            return {peer["name"]: peer["state"] for peer in control.request("peers")}

        def until(reached: Callable[[], bool], what: str) -> None:
            deadline = time.monotonic() + DEADLINE_S
            while not reached():
                assert time.monotonic() < deadline, f"not reached in {DEADLINE_S:g} s: {what}; {states()}"
                time.sleep(0.02)

        names = ("player:1", "player:2", "player:3", "server:a")
        program = subprocess.Popen([sys.executable, "-c", PROGRAM, broker.addresses["critical"]])
        stack.callback(program.kill)
        until(lambda: states() == dict.fromkeys(names, "up"), "all are up")
        program.kill()
        program.wait()
        until(lambda: states() == dict.fromkeys(names, "away"), "all are away")
        reasons = {peer["reason"] for peer in control.request("peers")}
        assert reasons == {"no link"}
