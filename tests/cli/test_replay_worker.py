"""A receiver's handler: what it checks, what it measures, what it sends on."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from tests.cli.trace_files import event, write_trace

from lanebus import Event, Lane
from lanebus.cli.replay_check import Faults
from lanebus.cli.replay_plan import Plan
from lanebus.cli.replay_sender import Sender
from lanebus.cli.replay_worker import Receiver
from lanebus.cli.traces import read_trace
from lanebus.wire.histogram import Histogram
from lanebus.wire.lanes import LANES


class Ear:
    """One peer's receiver, and what it was made of."""

    def __init__(self, plan: Plan, name: str) -> None:
        self.plan = plan
        self.latencies = [Histogram() for _ in LANES]
        self.peer = next(peer for peer in plan.peers if peer.name == name)
        self.sender = Sender(plan, self.peer, lambda *_, **__: 0, lambda: None)
        self.receiver = Receiver(plan, self.peer, self.latencies, self.sender)
        self.handle = self.receiver.handler()

    def arrive(self, index: int, *, sender: str | None = None, raw: bytes | None = None) -> None:
        plan = self.plan
        lane = Lane(plan.lanes[index])
        shown = Event(
            plan.numbers[index],
            plan.topics[index],
            plan.payloads[index] if raw is None else raw,
            sender or plan.peers[plan.senders[index]].name,
            self.peer.name,
            lane,
            0.0,
            False,
        )
        self.handle(shown)


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    events = [
        event(0, "player:1", "server", "cmd.a", data=1),
        event(0, "player:2", "server", "cmd.b", data=2),
        event(0, "server", "all", "tick", "normal", data=3),
        event(1, "server", "all", "tick", "normal", data=4),
    ]
    return Plan([read_trace(write_trace(tmp_path / "duel.jsonl.gz", events))], relay=True)


def test_arrivals_are_checked_and_measured(plan: Plan) -> None:
    ear = Ear(plan, "player:duel.1")
    for index in (2, 3):
        plan.sent_s[index] = time.monotonic() - 0.25
        ear.arrive(index)
    assert ear.receiver.delivered() == 2
    assert ear.receiver.delivered_on(Lane.NORMAL) == 2
    assert ear.receiver.delivered_on(Lane.CRITICAL) == 0
    assert ear.latencies[Lane.NORMAL].count == 2
    assert ear.latencies[Lane.NORMAL].mean_us() == pytest.approx(250_000, rel=0.1)
    assert not ear.receiver.complete(), "the relayed command of the other player is missing"
    assert ear.receiver.faults() == Faults(lost=1)


def test_what_is_wrong_is_counted_and_not_measured(plan: Plan) -> None:
    ear = Ear(plan, "player:duel.1")
    ear.arrive(2)
    ear.arrive(2)
    ear.arrive(3, raw=b"\x05")
    ear.arrive(3, sender="server:other")
    assert ear.latencies[Lane.NORMAL].count == 1
    assert ear.receiver.faults() == Faults(lost=1, duplicated=1, corrupted=2)


def test_a_server_sends_commands_on_once(plan: Plan) -> None:
    ear = Ear(plan, "server:duel")
    woken: list[bool] = []
    ear.sender.wake = lambda: woken.append(True)
    ear.arrive(0)
    ear.arrive(0)
    ear.arrive(1)
    assert woken == [True, True]
    assert ear.sender.next_due_s == 0.0
    assert ear.receiver.complete()


def test_a_player_sends_nothing_on(plan: Plan) -> None:
    ear = Ear(plan, "player:duel.2")
    woken: list[bool] = []
    ear.sender.wake = lambda: woken.append(True)
    order = plan.orders[0, Lane.CRITICAL]
    relayed = plan.relays[0]
    plan.numbers[relayed] = order.next_is(relayed)
    ear.arrive(relayed)
    assert ear.receiver.delivered() == 1
    assert not woken
