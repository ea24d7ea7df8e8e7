"""The broker's memory: its process past a size, its events near the budget."""

import pytest
from tests.broker.heard import Heard

from lanebus.broker.alerts import BROKER, AlertKind, Alerts
from lanebus.broker.budget import Budget
from lanebus.broker.bus import Bus
from lanebus.broker.memory_watch import MemoryWatch
from lanebus.broker.services import Services
from lanebus.conf.model import AlertsConfig
from lanebus.wire.histogram import Histogram


class Scene:
    """A watcher of a process of at most 1000 bytes with a budget of 500."""

    def __init__(self, memory_bytes: int = 1000) -> None:
        self.alerts = Alerts(0.0)
        self.heard = Heard(self.alerts)
        self.budget = Budget(500)
        config = AlertsConfig(memory_bytes=memory_bytes)
        self.bus = Bus(
            Services("bus-1"),
            self.budget,
            Histogram(),
            lambda: (0, 0),
            lambda: False,
            config,
            self.alerts,
            0.0,
            1.0,
        )
        self.watch = MemoryWatch(config.limit_share, self.budget, self.bus, self.alerts)

    def look(self, resident: int, held: int = 0, may_take: int | None = None) -> bool:
        """Whether an episode lasts then."""
        self.bus.memory = resident, may_take
        self.budget.held_bytes = held
        self.watch.look(1.0)
        return self.alerts.lasting(AlertKind.MEMORY, BROKER) is not None


@pytest.fixture
def scene() -> Scene:
    return Scene()


def test_a_process_past_its_size_is_told_until_it_is_well_below_it(scene: Scene) -> None:
    found = [scene.look(resident) for resident in (0, 999, 1000, 1500, 950, 900, 899, 999)]
    assert found == [False, False, True, True, True, True, False, False]
    assert (scene.heard.began, scene.heard.ended, scene.heard.kinds) == ([BROKER], [BROKER], ["memory"])
    (alert,) = scene.alerts
    assert alert.figures["peak_resident_bytes"] == 1500


def test_a_budget_near_its_end_is_told_until_there_is_room_again(scene: Scene) -> None:
    found = [scene.look(10, held) for held in (399, 400, 500, 399, 301, 299)]
    assert found == [False, True, True, True, True, False]
    (alert,) = scene.alerts
    assert alert.figures["peak_budget_share"] == 1.0


def test_it_lasts_while_either_does(scene: Scene) -> None:
    assert scene.look(1200, 450)
    assert scene.look(1200, 0)
    assert scene.look(950, 350)
    assert scene.look(100, 350)
    assert not scene.look(100, 0)
    assert len(scene.heard.began) == 1


def test_without_a_size_it_is_a_share_of_what_the_process_may_take() -> None:
    scene = Scene(memory_bytes=0)
    found = [scene.look(resident, may_take=1000) for resident in (799, 801, 730, 719)]
    assert found == [False, True, True, False]


def test_what_is_not_known_is_no_limit() -> None:
    scene = Scene(memory_bytes=0)
    scene.watch.look(1.0)
    assert not scene.look(1 << 50)
    assert scene.look(1 << 50, 450)
