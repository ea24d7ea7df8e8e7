"""`lanebus metrics`, of a real broker: printed once, and served."""

import re
import signal
import subprocess
from collections.abc import Iterator

import pytest
from tests.cli.busy import Busy, busy
from tests.cli.commands import LANEBUS, NOBODY, complaint, environment, lanebus, wait_until
from tests.cli.test_metrics_server import get
from tests.cli.test_metrics_text import parsed, samples_of

from lanebus.cli.exits import Exit
from lanebus.cli.main import run

pytestmark = pytest.mark.system


@pytest.fixture(scope="module")
def talk() -> Iterator[Busy]:
    with busy() as found:
        yield found


def test_the_metrics_of_a_broker_are_printed(talk: Busy, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["metrics", "-s", talk.control]) == Exit.OK
    found = samples_of(parsed(capsys.readouterr().out).values())
    received = found["lanebus_events_received_total", frozenset({("role", "server"), ("lane", "critical")})]
    assert received > 3
    assert found["lanebus_resident_memory_bytes", frozenset()] > 1 << 20
    assert found["lanebus_turn_duration_seconds_count", frozenset()] > 0


def test_metrics_are_served_until_ctrl_c(talk: Busy) -> None:
    with subprocess.Popen(
        [*LANEBUS, "metrics", "--listen", "127.0.0.1:0", "-s", talk.control],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
    ) as child:
        assert child.stderr is not None
        announced = child.stderr.readline()
        url = re.search(r"http://[\d.:]+", announced)
        assert url is not None, announced
        before = parsed(get(f"{url[0]}/metrics")[2])["lanebus_batches"].samples[0].value
        wait_until(lambda: parsed(get(f"{url[0]}/metrics")[2])["lanebus_batches"].samples[0].value > before)
        assert get(f"{url[0]}/healthz")[::2] == (200, "ok\n")
        child.send_signal(signal.SIGINT)
        child.communicate(timeout=20)
    assert child.returncode == Exit.INTERRUPTED


def test_without_a_broker_nothing_is_printed() -> None:
    complaint(lanebus("metrics", "-s", NOBODY), Exit.UNAVAILABLE)


def test_an_address_that_is_none(talk: Busy) -> None:
    complaint(lanebus("metrics", "--listen", "nowhere", "-s", talk.control), Exit.USAGE)
