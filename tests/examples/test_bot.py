"""The arena's bots on a stand-in for an adapter: when they join, what they send on which lane, what they learn."""

import random
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import pytest

import lanebus
from lanebus.examples.arena import messages
from lanebus.examples.arena.bot import JOIN_S, NAMES, REPORT_S, THINK_S, Bot, bot_name
from lanebus.examples.arena.brain import TEMPERAMENTS, Brain
from lanebus.examples.arena.messages import Chat, Died, Hit, Move, Shoot, Spawned, UnitState

ME = "player:ivy"
FOE = "player:rook"


class StandIn:
    """Takes the calls of a `ClientAdapter` down instead of carrying them out."""

    name = ME

    def __init__(self) -> None:
        self.sent: list[tuple[str, Any, str]] = []
        self.handlers: dict[str, Callable[[Any], None]] = {}
        self.unsettled: Callable[[Any], None] = lambda end: None
        self.is_full = False

    def on(self, pattern: str, schema: Any = None) -> Callable[[Any], None]:
        return lambda handler: self.handlers.update({pattern: handler})

    def on_unsettled(self, handler: Callable[[Any], None]) -> None:
        self.unsettled = handler

    def send(self, topic: str, payload: Any = None, *, lane: str = "normal", flush: bool = False) -> None:
        if self.is_full:
            raise lanebus.OutboxFull(ME, 100, 100)
        self.sent.append((topic, payload, lane))

    def taken(self) -> list[tuple[str, Any, str]]:
        """What was sent since the last look."""
        sent, self.sent = self.sent, []
        return sent

    def arrive(self, topic: str, payload: Any) -> None:
        """Let an event arrive."""
        self.handlers[topic](SimpleNamespace(topic=topic, sender="server:arena-1", payload=payload))


@pytest.fixture
def adapter() -> StandIn:
    return StandIn()


@pytest.fixture
def bot(adapter: StandIn) -> Bot:
    """A talkative bot that is in the game, next to somebody to shoot at."""
    bot = Bot(cast(lanebus.ClientAdapter, adapter), Brain(ME, TEMPERAMENTS[2], random.Random(5)))
    adapter.arrive("arena.welcome", messages.Welcome(ME, 1, 60.0, 30.0))
    adapter.arrive("unit.state", UnitState(ME, 3000, 1500, 0, 0, 100))
    adapter.arrive("unit.state", UnitState(FOE, 3500, 1500, 0, 0, 100))
    return bot


def test_it_asks_to_join_until_it_is_welcome(adapter: StandIn) -> None:
    bot = Bot(cast(lanebus.ClientAdapter, adapter), Brain(ME, TEMPERAMENTS[0], random.Random(1)))
    for now_s in (10.0, 10.5, 10.0 + JOIN_S):
        bot.act(now_s)
    assert adapter.taken() == [("player.join", None, "normal")] * 2
    adapter.arrive("arena.welcome", messages.Welcome(ME, 1, 60.0, 30.0))
    bot.act(20.0)
    assert "player.join" not in [topic for topic, _, _ in adapter.taken()]


def test_it_moves_shoots_and_reports_on_the_three_lanes(bot: Bot, adapter: StandIn) -> None:
    bot.act(10.0)
    sent = {topic: (type(payload), lane) for topic, payload, lane in adapter.taken()}
    assert sent == {
        "player.move": (Move, "normal"),
        "player.shoot": (Shoot, "critical"),
        "analytics.frame": (messages.Analytics, "low"),
    }


def test_what_its_outbox_has_no_room_for_it_says_later(bot: Bot, adapter: StandIn) -> None:
    adapter.is_full = True
    for _ in range(20):
        adapter.arrive("unit.died", Died(FOE, ME, 3.0))
    adapter.arrive("unit.spawned", Spawned(FOE, 3500, 1500))
    bot.act(10.0)
    bot.act(10.5)
    assert adapter.taken() == []
    adapter.is_full = False
    bot.act(11.0)
    assert {topic for topic, _, _ in adapter.taken()} == {
        "player.move",
        "player.shoot",
        "player.chat",
        "analytics.frame",
    }


def test_it_thinks_and_reports_at_intervals(bot: Bot, adapter: StandIn) -> None:
    bot.act(10.0)
    adapter.taken()
    bot.act(10.0 + THINK_S / 2)
    assert adapter.taken() == []
    bot.act(10.0 + REPORT_S)
    assert "analytics.frame" in [topic for topic, _, _ in adapter.taken()]


def test_it_does_not_shoot_faster_than_it_can_load(bot: Bot, adapter: StandIn) -> None:
    for turn in range(100):
        bot.act(10.0 + turn * 0.02)
    shots = [topic for topic, _, _ in adapter.taken() if topic == "player.shoot"]
    assert 3 <= len(shots) <= 4


def test_it_sends_a_new_direction_only_when_it_turns(bot: Bot, adapter: StandIn) -> None:
    adapter.arrive("unit.died", Died(FOE, "player:other", 3.0))
    for turn in range(10):
        bot.act(10.0 + turn * 0.2)
    moves = [topic for topic, _, _ in adapter.taken() if topic == "player.move"]
    assert len(moves) < 10


def test_it_learns_of_hits_deaths_and_returns(bot: Bot, adapter: StandIn) -> None:
    adapter.arrive("combat.hit", Hit(ME, FOE, 20, 80))
    assert bot.brain.units[FOE].health == 80
    adapter.arrive("unit.died", Died(FOE, ME, 3.0))
    assert bot.brain.units[FOE].health == 0
    adapter.arrive("unit.spawned", Spawned(FOE, 100, 200))
    foe = bot.brain.units[FOE]
    assert (foe.x_m, foe.y_m, foe.health) == (1.0, 2.0, 100)


def test_news_of_units_it_has_never_seen_do_no_harm(bot: Bot, adapter: StandIn) -> None:
    adapter.arrive("combat.hit", Hit(ME, "player:stranger", 20, 80))
    adapter.arrive("unit.died", Died("player:stranger", "player:other", 3.0))
    assert "player:stranger" not in bot.brain.units


@pytest.mark.parametrize("died", [Died(FOE, ME, 3.0), Died(ME, FOE, 3.0)], ids=["kill", "death"])
def test_it_talks_about_kills_and_deaths(bot: Bot, adapter: StandIn, died: Died) -> None:
    for _ in range(20):
        adapter.arrive("unit.died", died)
    for turn in range(40):
        bot.act(10.0 + turn * THINK_S)
    said = [(payload, lane) for topic, payload, lane in adapter.taken() if topic == "player.chat"]
    assert said
    assert all(isinstance(payload, Chat) and lane == "low" for payload, lane in said)


def test_after_its_goodbye_it_is_silent(bot: Bot, adapter: StandIn) -> None:
    bot.leave()
    bot.leave()
    bot.act(1e9)
    assert adapter.taken() == [("player.leave", None, "normal")]


def test_what_ends_otherwise_than_delivered_is_counted(bot: Bot, adapter: StandIn) -> None:
    adapter.unsettled(
        lanebus.Unsettled(
            7, lanebus.Lane.LOW, "player.chat", "", lanebus.Outcome.REFUSED, lanebus.Reason.NO_SERVICE
        )
    )
    assert bot.unsettled == {"low player.chat: refused no_service": 1}


def test_names_are_all_different() -> None:
    names = [bot_name(index) for index in range(100)]
    assert len(set(names)) == 100
    assert names[len(NAMES)] == f"{NAMES[0]}-2"
    assert bot_name(0, "red-") == f"red-{NAMES[0]}"
