"""`lanebus drain`, and SIGTERM: a broker ends in order, with real adapters attached to it."""

import json
import signal
import subprocess
import time
from collections.abc import Iterator

import pytest
from tests.cli.commands import LANEBUS, NOBODY, complaint, environment, lanebus, wait_until

from lanebus import ClientAdapter, Loop, ServerAdapter
from lanebus.cli.broker_process import BrokerProcess
from lanebus.cli.exits import Exit

pytestmark = pytest.mark.system

DEADLINE_S = 20.0


class Players:
    """A server that handles nothing until it is told to, and a client that has sent to it."""

    def __init__(self, broker: BrokerProcess) -> None:
        address = broker.addresses["critical"]
        self.loop = Loop()
        self.server = ServerAdapter("slow", service="slow", broker=address)
        self.client = ClientAdapter("1", broker=address)
        self.handled: list[int] = []
        for adapter in (self.server, self.client):
            adapter.start()
            self.loop.add(adapter)
        self.until(lambda: self.server.state == self.client.state == "up")
        self.client.send("t", 1, to="server:slow", lane="low", flush=True)
        # The server has no handler for it yet: it is there, and not settled.
        self.until(lambda: bool(self.server.core.sessions[0].unhandled))

    def handle(self) -> None:
        self.server.on("t")(lambda event: self.handled.append(event.payload))

    def until(self, reached: object) -> None:
        assert callable(reached)
        deadline = time.monotonic() + DEADLINE_S
        while not reached():
            assert time.monotonic() < deadline
            self.loop.turn(0.02)


@pytest.fixture
def broker() -> Iterator[BrokerProcess]:
    with BrokerProcess() as running:
        yield running


@pytest.fixture
def players(broker: BrokerProcess) -> Iterator[Players]:
    made = Players(broker)
    yield made
    made.loop.close_all(0.0)


def drain(broker: BrokerProcess, *arguments: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [*LANEBUS, "drain", "--server", broker.addresses["control"], *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
    )


def test_an_idle_broker_is_drained_and_ends_with_0(broker: BrokerProcess) -> None:
    done = lanebus("drain", "--server", broker.addresses["control"])
    assert done.returncode == Exit.OK, done.stderr
    assert done.stdout.endswith("nothing is left\n")
    wait_until(lambda: broker.exit_status is not None)
    assert broker.exit_status == 0


def test_it_waits_for_what_is_under_way_while_everybody_knows(
    broker: BrokerProcess, players: Players
) -> None:
    with drain(broker, "--deadline-s", "60", "-o", "json") as command:
        players.until(lambda: players.client.core.draining and players.server.core.draining)
        assert command.poll() is None
        status = lanebus("status", "--server", broker.addresses["control"], "-o", "json")
        assert json.loads(status.stdout)["state"] == "draining"
        players.client.send("t", 2, to="server:slow", flush=True)
        players.handle()
        players.until(lambda: players.client.state != "up")
        output, errors = command.communicate(timeout=DEADLINE_S)
    assert command.returncode == Exit.OK, errors
    report = json.loads(output)
    assert report["events_left"] == {"critical": 0, "normal": 0, "low": 0}
    # What was under way is settled; what was sent since is held for the next broker.
    assert players.handled == [1]
    assert players.client.book("low").as_dict()["delivered"] == 1
    assert players.client.in_flight == 1


def test_at_the_deadline_it_says_what_is_left_and_all_the_same_ends_in_order(
    broker: BrokerProcess, players: Players
) -> None:
    with drain(broker, "--deadline-s", "0.3") as command:
        players.until(lambda: players.client.state != "up")
        output, errors = command.communicate(timeout=DEADLINE_S)
    assert command.returncode == Exit.OK, errors
    assert "1 events are left with their senders: 1 low; waited for: server:slow 1" in output
    wait_until(lambda: broker.exit_status is not None)
    assert broker.exit_status == 0
    assert players.client.in_flight == 1


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_first_signal_drains_and_a_second_one_ends_it_now(number: signal.Signals) -> None:
    # A broker of its own, which may drain for longer than any test.
    with BrokerProcess({"broker": {"drain_s": 25.0}}) as broker:
        own = Players(broker)
        child = broker._child
        assert child is not None
        child.send_signal(number)
        own.until(lambda: own.client.core.draining)
        assert broker.alive()
        child.send_signal(number)
        own.until(lambda: broker.exit_status is not None)
        assert broker.exit_status == -number
        own.loop.close_all(0.0)


def test_a_signal_while_it_drains_shortens_the_time_to_the_configured_one(broker: BrokerProcess) -> None:
    own = Players(broker)
    with drain(broker, "--deadline-s", "600") as command:
        own.until(lambda: own.client.core.draining)
        assert broker._child is not None
        broker._child.send_signal(signal.SIGTERM)
        own.until(lambda: broker.exit_status is not None)
        output, _ = command.communicate(timeout=DEADLINE_S)
    assert broker.exit_status == 0
    assert "1 events are left" in output
    own.loop.close_all(0.0)


def test_who_asks_twice_is_answered_twice(broker: BrokerProcess, players: Players) -> None:
    with drain(broker, "--deadline-s", "60") as one:
        players.until(lambda: players.client.core.draining)
        with drain(broker, "--deadline-s", "0.2") as other:
            players.until(lambda: players.client.state != "up")
            for command in (one, other):
                output, errors = command.communicate(timeout=DEADLINE_S)
                assert "1 events are left" in output, errors


def test_where_nobody_listens_there_is_nothing_to_drain() -> None:
    assert "start one with 'lanebus broker'" in complaint(
        lanebus("drain", "--server", NOBODY), Exit.UNAVAILABLE
    )


def test_a_deadline_that_is_none_is_refused() -> None:
    assert lanebus("drain", "--deadline-s", "-1").returncode == Exit.USAGE
