"""Flapping peers: links that are lost again and again, and names that processes take from each other."""

import pytest
from tests.broker.bench import Bench, small_config
from tests.broker.heard import Heard
from tests.broker.peer import Peer

from lanebus.broker import flapping as module
from lanebus.broker.alerts import AlertKind, Alerts
from lanebus.broker.flapping import Flapping
from lanebus.conf.model import AlertsConfig, SessionsConfig
from lanebus.wire.kinds import Kind

CONFIG = AlertsConfig(flapping_returns=3, flapping_window_s=60.0, min_interval_s=0.0)


class Scene:
    """A watcher of its own."""

    def __init__(self) -> None:
        self.alerts = Alerts(0.0)
        self.heard = Heard(self.alerts)
        self.flapping = Flapping(CONFIG, self.alerts)

    def back(self, *times: float, name: str = "player:1", is_takeover: bool = False) -> None:
        for at in times:
            self.flapping.came_back(name, at, is_takeover=is_takeover)
            self.flapping.look(at)


@pytest.fixture
def scene() -> Scene:
    return Scene()


def test_three_returns_within_a_minute_are_too_many(scene: Scene) -> None:
    scene.back(0.0, 30.0, 61.0, 91.0)
    assert scene.heard.began == []
    scene.back(100.0, is_takeover=True)
    assert (scene.heard.began, scene.heard.kinds) == (["player:1"], ["flapping"])
    (alert,) = scene.alerts
    assert (alert.figures["reconnects"], alert.figures["takeovers"]) == (2, 1)


def test_it_ends_when_there_is_at_most_half_of_it(scene: Scene) -> None:
    scene.back(0.0, 10.0, 20.0)
    scene.flapping.look(65.0)
    assert scene.heard.ended == []
    # Two are left, then two again: it still lasts.
    scene.back(69.0)
    scene.flapping.look(75.0)
    assert (scene.heard.began, scene.heard.ended) == (["player:1"], [])
    scene.flapping.look(81.0)
    assert scene.heard.ended == ["player:1"]


def test_peers_are_told_apart_and_those_who_are_calm_are_forgotten(scene: Scene) -> None:
    scene.back(0.0, 1.0, name="player:1")
    scene.back(2.0, 3.0, name="player:2")
    assert scene.heard.began == []
    scene.back(50.0, name="player:2")
    assert scene.heard.began == ["player:2"]
    scene.flapping.look(62.0)
    assert list(scene.flapping._returns) == ["player:2"]
    scene.flapping.look(110.5)
    assert not scene.flapping._returns


def test_so_many_peers_are_remembered_and_no_more(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_PEERS", 3)
    for number in range(5):
        scene.back(float(number), name=f"player:{number}")
    assert list(scene.flapping._returns) == ["player:2", "player:3", "player:4"]
    scene.back(*[6.0] * 200, name="player:2")
    assert len(scene.flapping._returns["player:2"]) == module.MAX_RETURNS


# In a broker


@pytest.fixture
def bench() -> Bench:
    return Bench(small_config(alerts=CONFIG))


@pytest.fixture
def heard(bench: Bench) -> Heard:
    return Heard(bench.core.alerts)


def figures(bench: Bench, name: str) -> tuple[float, float]:
    alert = bench.core.alerts.lasting(AlertKind.FLAPPING, name)
    assert alert is not None
    return alert.figures["reconnects"], alert.figures["takeovers"]


def test_lost_links_are_reconnects(bench: Bench, heard: Heard) -> None:
    player = Peer(bench, "player:1").attach()
    for _ in range(3):
        assert heard.began == []
        player.attach()
        bench.advance(1.0)
    assert heard.began == ["player:1"]
    assert figures(bench, "player:1") == (3, 0)
    for _ in range(62):
        player.ping()
        bench.advance(1.0)
    assert heard.ended == ["player:1"]


def test_two_processes_of_one_name_are_takeovers(bench: Bench, heard: Heard) -> None:
    for _ in range(4):
        assert heard.began == []
        Peer(bench, "server:a").attach()
    assert heard.began == ["server:a"]
    assert figures(bench, "server:a") == (0, 3)


def test_a_gateway_that_flaps_is_named_and_its_players_are_not(bench: Bench, heard: Heard) -> None:
    for _ in range(4):
        gateway = Peer(bench, "gateway:g").attach()
        gateway.open(1, "player:1")
    bench.advance(1.5)
    assert (heard.began, heard.ended) == (["gateway:g"], [])


def test_gateways_that_take_a_player_from_each_other_are_named_by_the_player(
    bench: Bench, heard: Heard
) -> None:
    gateways = [Peer(bench, name).attach() for name in ("gateway:g", "gateway:h")]
    for turn in range(4):
        assert heard.began == []
        gateways[turn % 2].open(turn + 1, "player:1")
    assert heard.began == ["player:1"]
    # One with links of its own does the same.
    Peer(bench, "player:1").attach()
    gateways[0].open(9, "player:1")
    assert figures(bench, "player:1") == (0, 5)


def test_who_comes_anew_each_time_does_not_flap(bench: Bench, heard: Heard) -> None:
    for _ in range(5):
        Peer(bench, "player:1").attach().bye()
        bench.advance(1.0)
    assert heard.began == []


def test_who_is_expected_after_a_restart_takes_nothing_over() -> None:
    bench = Bench(small_config(alerts=CONFIG, sessions=SessionsConfig(recovery_s=30.0)))
    heard = Heard(bench.core.alerts)
    server = Peer(bench, "server:a").attach()
    for number in range(4):
        server.ask(Kind.JOIN, group="room", member=f"player:{number}")
    for number in range(4):
        Peer(bench, f"player:{number}").attach()
    returns = bench.core.watchdogs.flapping._returns
    assert (heard.began, returns) == ([], {})
