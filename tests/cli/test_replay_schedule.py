"""Whose turn it is: due senders in time, late ones in portions, full ones again, woken ones at once."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.cli.trace_files import Recorded, event, write_trace

from lanebus import OutboxFull
from lanebus.cli.replay_plan import Plan
from lanebus.cli.replay_schedule import Schedule
from lanebus.cli.replay_sender import NEVER, Sender
from lanebus.cli.traces import read_trace


class Stage:
    """A match whose adapters write down what they are given."""

    def __init__(self, folder: Path, events: list[Recorded], *, relay: bool = False) -> None:
        self.plan = Plan([read_trace(write_trace(folder / "duel.jsonl.gz", events))], relay=relay)
        self.log: list[str] = []
        self.full: set[str] = set()
        self.senders = [self._sender(peer.index) for peer in self.plan.peers]
        self.schedule = Schedule(self.senders)

    def _sender(self, index: int) -> Sender:
        peer = self.plan.peers[index]
        numbers = [0, 0, 0]

        def send(topic: str, payload: object, *, to: object, lane: int, exclude: object) -> int:
            if peer.name in self.full:
                raise OutboxFull(peer.name, 1, 1)
            self.log.append(topic)
            numbers[lane] += 1
            return numbers[lane]

        return Sender(self.plan, peer, send, lambda: None)

    def serve(self, match_s: float) -> list[str]:
        """Serve until nobody is ready, and return what was sent."""
        self.log.clear()
        self.schedule.serve(match_s)
        while self.schedule.is_ready:
            self.schedule.serve(match_s)
        return list(self.log)


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lanebus.cli.replay_schedule.PORTION_S", 10.0)


def test_senders_are_served_when_due(tmp_path: Path) -> None:
    stage = Stage(
        tmp_path,
        [
            event(1, "player:1", "server", "a"),
            event(2, "server", "all", "b"),
            event(2, "player:2", "server", "c"),
            event(3, "player:1", "server", "d"),
        ],
    )
    schedule = stage.schedule
    assert schedule.next_due_s == 1
    assert stage.serve(0.9) == []
    assert stage.serve(1.0) == ["a"]
    assert schedule.next_due_s == 2
    assert sorted(stage.serve(2.5)) == ["b", "c"]
    assert stage.serve(9.0) == ["d"]
    assert schedule.next_due_s == NEVER
    assert not schedule.is_ready


def test_one_that_is_late_lets_others_have_their_turn(tmp_path: Path) -> None:
    stage = Stage(
        tmp_path,
        [
            *(event(0, "player:1", "server", f"a{number}") for number in range(200)),
            *(event(0, "player:2", "server", "b") for number in range(3)),
        ],
    )
    sent = stage.serve(1.0)
    assert len(sent) == 203
    assert sent.index("b") < 100
    assert [topic for topic in sent if topic != "b"] == [f"a{number}" for number in range(200)]


def test_arrivals_get_their_turn_between_portions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lanebus.cli.replay_schedule.PORTION_S", 0.0)
    stage = Stage(tmp_path, [event(0, f"player:{number}", "server") for number in (1, 2)])
    stage.schedule.serve(1.0)
    assert len(stage.log) == 1
    assert stage.schedule.is_ready
    stage.schedule.serve(1.0)
    assert len(stage.log) == 2
    assert not stage.schedule.is_ready


def test_at_full_speed_everything_is_due(tmp_path: Path) -> None:
    stage = Stage(tmp_path, [event(t, "server", "all", f"a{t}") for t in range(150)])
    assert stage.serve(NEVER) == [f"a{t}" for t in range(150)]
    assert stage.schedule.next_due_s == NEVER


def test_a_full_sender_is_tried_again_each_time(tmp_path: Path) -> None:
    stage = Stage(tmp_path, [event(0, "player:1", "server", "a"), event(0, "player:2", "server", "b")])
    stage.full.add("player:duel.1")
    assert stage.serve(1.0) == ["b"]
    assert stage.schedule.is_blocked
    assert stage.serve(1.0) == []
    stage.full.clear()
    assert stage.serve(1.0) == ["a"]
    assert not stage.schedule.is_blocked


def test_a_relay_wakes_its_server_and_changes_nothing_of_its_plan(tmp_path: Path) -> None:
    stage = Stage(
        tmp_path,
        [
            event(0, "player:1", "server", "cmd.x"),
            event(5, "server", "all", "own"),
        ],
        relay=True,
    )
    server = stage.senders[0]
    assert stage.serve(1.0) == ["cmd.x"]
    for _ in range(3):
        server.relay(stage.plan.relays[0])
    assert stage.schedule.is_ready
    assert stage.schedule.next_due_s == 5


def test_a_woken_sender_is_planned_once(tmp_path: Path) -> None:
    stage = Stage(
        tmp_path,
        [
            event(0, "player:1", "server", "cmd.x"),
            event(5, "server", "all", "own"),
            event(7, "server", "all", "own"),
        ],
        relay=True,
    )
    assert stage.serve(1.0) == ["cmd.x"]
    stage.senders[0].relay(stage.plan.relays[0])
    assert stage.serve(1.0) == ["cmd.x"]
    assert stage.serve(4.0) == []
    assert stage.serve(6.0) == ["own"]
    assert stage.serve(8.0) == ["own"]
    assert stage.schedule.next_due_s == NEVER
