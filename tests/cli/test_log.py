"""`lanebus log`: a running broker writes more, or less, from one moment to the next."""

import json
from collections.abc import Iterator

import pytest
from tests.cli.commands import lanebus, wait_until

from lanebus import ClientAdapter
from lanebus.cli.broker_process import BrokerProcess
from lanebus.cli.exits import Exit
from lanebus.cli.main import run

pytestmark = pytest.mark.system


@pytest.fixture
def broker() -> Iterator[BrokerProcess]:
    with BrokerProcess({"log": {"level": "warning"}}) as running:
        yield running


def test_the_level_is_changed_while_the_broker_runs(
    broker: BrokerProcess, capsys: pytest.CaptureFixture[str]
) -> None:
    control = broker.addresses["control"]
    assert run(["log", "-s", control]) == Exit.OK
    assert run(["log", "debug", "-s", control]) == Exit.OK
    assert capsys.readouterr().out.splitlines() == [
        "the log level is warning",
        "the log level is debug, it was warning",
    ]
    with ClientAdapter("1", broker=broker.addresses["critical"]) as player:
        wait_until(lambda: player.wait(timeout_s=0.02) or player.state == "up")
        log = broker.log_text()
        assert "info broker: = log level debug, was warning" in log
        assert "debug broker: < a stranger hello: client player:1, anew" in log
        assert "debug broker: > player:1 welcome: anew, generation 1" in log
        assert "info broker: = player:1 joined" in log
        quiet = json.loads(lanebus("log", "error", "-s", control, "-o", "json").stdout)
        assert quiet == {"level": "error", "before": "debug"}
    after = broker.log_text().partition("= log level error, was debug")[2]
    assert after.strip() == ""


def test_another_word_is_no_level(broker: BrokerProcess) -> None:
    wrong = lanebus("log", "loud", "-s", broker.addresses["control"])
    assert wrong.returncode == Exit.USAGE
    assert "'debug', 'info', 'warning', 'error'" in wrong.stderr
