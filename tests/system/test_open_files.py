"""More connections than the broker may have open files: it goes on, says so, and takes no processor time for it."""

from __future__ import annotations

import resource
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any
from urllib.parse import urlsplit

import pytest
from tests.system.honest import HonestPair
from tests.system.zmtp import HANDSHAKE

from lanebus import ClientAdapter
from lanebus.cli.broker_process import BrokerProcess
from lanebus.cli.control_client import ControlClient

pytestmark = [pytest.mark.system, pytest.mark.timeout(180)]

DEADLINE_S = 60.0
ATTACHMENTS = 24
LIMIT = 200
"""What the broker raises its limit to for so many."""
STRANGERS = 600
WATCHED_S = 2.0
MAY_TAKE = 0.25
"""Share of a core; accepting in vain takes one, as far as there is one."""
SETTINGS: dict[str, Any] = {
    "sessions": {"recovery_s": 0.0, "hello_timeout_s": 300.0},
    "limits": {"attachments": ATTACHMENTS},
}


@contextmanager
def few_open_files() -> Iterator[None]:
    """What is started in here begins with a low limit, which it may raise."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (LIMIT // 2, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def strangers(address: str, number: int) -> list[socket.socket]:
    """Connections that make themselves known to libzmq, say no hello, and are kept."""
    parts = urlsplit(address)
    made = []
    for _ in range(number):
        stranger = socket.create_connection((parts.hostname, parts.port), timeout=DEADLINE_S)
        with suppress(OSError):
            stranger.sendall(HANDSHAKE)
        made.append(stranger)
    return made


def test_more_connections_than_open_files_disturb_nobody_and_cost_no_processor_time() -> None:
    with ExitStack() as stack:
        with few_open_files():
            broker = stack.enter_context(BrokerProcess(SETTINGS))
        address = broker.addresses["critical"]
        pair = stack.enter_context(HonestPair(address))

        def status() -> dict[str, Any]:
            with ControlClient(broker.addresses["control"], timeout_s=DEADLINE_S) as control:
                result: dict[str, Any] = control.request("status")
            return result

        def until(reached: Callable[[], bool], what: str) -> None:
            deadline = time.monotonic() + DEADLINE_S
            while not reached():
                assert time.monotonic() < deadline, f"not reached in {DEADLINE_S:g} s: {what}; {status()}"
                time.sleep(0.05)

        def attack() -> None:
            for _ in range(3):
                for stranger in strangers(address, STRANGERS // 3):
                    stack.enter_context(stranger)
            until(lambda: status()["hung_up"]["no_room"] >= STRANGERS - LIMIT, "strangers go")
            before, began = status()["cpu_s"], time.monotonic()
            time.sleep(WATCHED_S)
            took_s, watched_s = status()["cpu_s"] - before, time.monotonic() - began
            assert took_s < MAY_TAKE * watched_s
            # Whoever comes now is let in.
            with ClientAdapter("late", broker=address) as player:
                player.connect(DEADLINE_S)

        pair.goes_on_during(attack)
        now = status()
        assert now["open_files_limit"] == LIMIT
        assert now["open_files"] < LIMIT
        assert now["health"] == "degraded"
        assert "its open files are used up" in " ".join(now["reasons"])
        with ControlClient(broker.addresses["control"], timeout_s=DEADLINE_S) as control:
            alerts = control.request("alerts")
        assert [alert["kind"] for alert in alerts if alert["kind"] == "open_files"] == ["open_files"]
        assert broker.log_text().count("! open_files: the broker") == 1
