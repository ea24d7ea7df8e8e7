"""The arena's server on a stand-in for an adapter: what it sends when, and whom it lets in and takes out."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import pytest

import lanebus
from lanebus.examples.arena import messages, server
from lanebus.examples.arena.server import ArenaServer


class StandIn:
    """Takes the calls of a `ServerAdapter` down instead of carrying them out."""

    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []
        self.handlers: dict[str, Callable[[Any], None]] = {}
        self.unsettled: Callable[[Any], None] = lambda end: None
        self.full = False

    def on(self, pattern: str, schema: Any = None) -> Callable[[Any], None]:
        return lambda handler: self.handlers.update({pattern: handler})

    def on_unsettled(self, handler: Callable[[Any], None]) -> None:
        self.unsettled = handler

    def send(self, topic: str, payload: Any = None, *, to: str, lane: str = "normal") -> None:
        if self.full:
            raise lanebus.OutboxFull("arena-1", 8, 8)
        self.calls.append((topic, payload, to, lane))

    def join(self, group: str, member: str) -> None:
        self.calls.append(("join", group, member))

    def leave(self, group: str, member: str) -> None:
        self.calls.append(("leave", group, member))

    def flush(self) -> None:
        self.calls.append(("flush",))

    def wait(self, until: float) -> None:
        self.calls.append(("wait", until))

    def taken(self) -> list[tuple[Any, ...]]:
        """The calls since the last look."""
        calls, self.calls = self.calls, []
        return calls

    def arrive(self, topic: str, sender: str, payload: Any = None) -> None:
        """Let an event arrive."""
        self.handlers[topic](SimpleNamespace(topic=topic, sender=sender, payload=payload))


@pytest.fixture
def adapter() -> StandIn:
    return StandIn()


@pytest.fixture
def arena(adapter: StandIn) -> ArenaServer:
    return ArenaServer(cast(lanebus.ServerAdapter, adapter), seed=1)


def test_a_player_is_let_in_before_it_is_welcomed(arena: ArenaServer, adapter: StandIn) -> None:
    adapter.arrive("player.join", "player:ivy")
    joined, welcome = adapter.taken()
    assert joined == ("join", "arena:1", "player:ivy")
    assert welcome[:1] + welcome[2:] == ("arena.welcome", "player:ivy", "critical")
    assert "player:ivy" in arena.rooms[0].world.units


def test_a_player_that_the_server_does_not_know_is_let_in_by_whatever_it_does(
    arena: ArenaServer, adapter: StandIn
) -> None:
    adapter.arrive("player.move", "player:ivy", messages.Move(1.0, 0.0))
    assert arena.rooms[0].world.units["player:ivy"].vx_m_s > 0
    assert adapter.taken() == [("join", "arena:1", "player:ivy")]


def test_a_step_sends_happenings_critical_and_states_normal_and_ends_with_a_flush(
    arena: ArenaServer, adapter: StandIn
) -> None:
    adapter.arrive("player.join", "player:ivy")
    adapter.arrive("player.shoot", "player:ivy", messages.Shoot(0.5))
    adapter.taken()
    for _ in range(3):
        arena.step()
    calls = adapter.taken()
    assert [(call[0], *call[2:]) for call in calls if call[0] != "flush"] == [
        ("unit.spawned", "group:arena:1", "critical"),
        ("combat.shot", "group:arena:1", "critical"),
        ("unit.state", "group:arena:1", "normal"),
    ]
    assert calls.count(("flush",)) == 3
    assert calls[-1] == ("flush",)


def test_scores_are_told_once_a_second_on_the_low_lane(arena: ArenaServer, adapter: StandIn) -> None:
    adapter.arrive("player.join", "player:ivy")
    for _ in range(60):
        arena.step()
    scores = [call for call in adapter.taken() if call[0] == "arena.score"]
    assert scores == [("arena.score", messages.Score({"player:ivy": 0}), "group:arena:1", "low")] * 2


def test_chat_goes_to_everybody_with_the_speakers_name(arena: ArenaServer, adapter: StandIn) -> None:
    adapter.arrive("player.chat", "player:ivy", messages.Chat("hello"))
    said = messages.Said("player:ivy", "hello")
    assert adapter.taken()[-1] == ("arena.chat", said, "group:arena:1", "low")


def test_analytics_are_counted(arena: ArenaServer, adapter: StandIn) -> None:
    adapter.arrive("analytics.*", "player:ivy", messages.Analytics(16.7, 3))
    assert arena.frames_reported == 1


def test_an_empty_arena_says_nothing(arena: ArenaServer, adapter: StandIn) -> None:
    for _ in range(60):
        arena.step()
    assert set(adapter.taken()) == {("flush",)}


def test_who_leaves_is_taken_out(arena: ArenaServer, adapter: StandIn) -> None:
    adapter.arrive("player.join", "player:ivy")
    adapter.taken()
    adapter.arrive("player.leave", "player:ivy")
    assert adapter.taken() == [("leave", "arena:1", "player:ivy")]
    assert not arena.rooms[0].world.units


def test_who_is_silent_for_long_is_taken_out(
    arena: ArenaServer, adapter: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    now_s = 100.0
    monkeypatch.setattr("time.monotonic", lambda: now_s)
    adapter.arrive("player.join", "player:ivy")
    adapter.arrive("player.join", "player:rook")
    now_s += server.SILENCE_S - 1
    adapter.arrive("player.chat", "player:rook", messages.Chat("hello"))
    now_s += 2
    for _ in range(server.SCORE_TICKS):
        arena.step()
    assert list(arena.rooms[0].world.units) == ["player:rook"]
    assert ("leave", "arena:1", "player:ivy") in adapter.taken()


def test_a_full_outbox_costs_messages_and_is_counted(arena: ArenaServer, adapter: StandIn) -> None:
    adapter.arrive("player.join", "player:ivy")
    adapter.full = True
    for _ in range(3):
        arena.step()
    assert arena.unsettled == {"critical unit.spawned: outbox full": 1, "normal unit.state: outbox full": 1}


def test_what_ends_otherwise_than_delivered_is_counted(arena: ArenaServer, adapter: StandIn) -> None:
    adapter.unsettled(
        lanebus.Unsettled(
            7, lanebus.Lane.LOW, "arena.chat", "group:arena:1", lanebus.Outcome.REFUSED, lanebus.Reason.NOBODY
        )
    )
    assert arena.unsettled == {"low arena.chat: refused nobody": 1}


def test_the_loop_waits_for_the_next_tick_and_gives_up_ticks_it_has_missed(
    arena: ArenaServer, adapter: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter([100.0, 100.0, 100.01, 105.0])
    monkeypatch.setattr("time.monotonic", lambda: next(clock))
    turns = iter([True, True, True, False])
    arena.run(lambda: next(turns))
    waits = [call[1] for call in adapter.taken() if call[0] == "wait"]
    assert waits == [pytest.approx(100 + 1 / 30), pytest.approx(100 + 2 / 30), 105.0 - server.LATE_S]


def test_everything_that_arrives_is_observed_first(adapter: StandIn) -> None:
    seen: list[str] = []
    ArenaServer(cast(lanebus.ServerAdapter, adapter), 1, lambda event: seen.append(event.topic))
    adapter.arrive("player.join", "player:ivy")
    adapter.arrive("player.leave", "player:ivy")
    assert seen == ["player.join", "player.leave"]


def test_a_full_room_is_followed_by_another_of_which_it_hears_nothing(
    arena: ArenaServer, adapter: StandIn
) -> None:
    for index in range(messages.ROOM_SIZE + 1):
        adapter.arrive("player.join", f"player:{index}")
    last = f"player:{messages.ROOM_SIZE}"
    assert [len(room.world.units) for room in arena.rooms] == [messages.ROOM_SIZE, 1]
    assert ("join", "arena:2", last) in adapter.taken()
    adapter.arrive("player.chat", last, messages.Chat("hello"))
    assert [call[2] for call in adapter.taken()] == ["group:arena:2"]
    adapter.arrive("player.leave", "player:0")
    adapter.arrive("player.join", "player:new")
    assert ("join", "arena:1", "player:new") in adapter.taken()
    assert arena.players == messages.ROOM_SIZE + 1


def test_the_leader_is_the_best_of_all_rooms(arena: ArenaServer, adapter: StandIn) -> None:
    assert arena.leader() == ("nobody", 0)
    for index in range(messages.ROOM_SIZE + 1):
        adapter.arrive("player.join", f"player:{index}")
    arena.rooms[1].world.units[f"player:{messages.ROOM_SIZE}"].score = 7
    assert arena.leader() == (f"player:{messages.ROOM_SIZE}", 7)
