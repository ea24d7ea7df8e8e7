"""A broker that has nothing to do: it looks around now and then, and takes hardly any processor time for it."""

from __future__ import annotations

import time

import pytest

from lanebus import ClientAdapter
from lanebus.cli.broker_process import BrokerProcess
from lanebus.cli.control_client import ControlClient

pytestmark = [pytest.mark.system, pytest.mark.timeout(60)]

WATCHED_S = 3.0
MAY_TAKE = 0.05
"""Share of a core; it takes a tenth of that."""
TURNS_PER_S = 40
"""Ten are looks at connections, and two or three are sweeps and judgements."""


def test_an_idle_broker_makes_few_turns_and_takes_hardly_any_processor_time() -> None:
    with (
        BrokerProcess({}) as broker,
        ControlClient(broker.addresses["control"], timeout_s=10.0) as control,
        ClientAdapter("1", broker=broker.addresses["critical"]) as player,
    ):
        player.connect(20.0)
        before, began = control.request("status"), time.monotonic()
        player.wait(WATCHED_S)
        after, watched_s = control.request("status"), time.monotonic() - began
    assert after["cpu_s"] - before["cpu_s"] < MAY_TAKE * watched_s
    assert after["loop"]["turns"] - before["loop"]["turns"] < TURNS_PER_S * watched_s
