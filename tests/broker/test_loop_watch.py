"""The broker's loop: late by its timers, by its turns, or because the process stood still."""

import pytest
from tests.broker.bench import Bench, small_config
from tests.broker.heard import Heard

from lanebus.broker.alerts import BROKER, AlertKind, Alerts
from lanebus.broker.budget import Budget
from lanebus.broker.bus import Bus
from lanebus.broker.loop_watch import CALM_LOOKS, LoopWatch
from lanebus.broker.outgoing import Counters
from lanebus.broker.services import Services
from lanebus.conf.model import AlertsConfig


class Scene:
    """A loop that looks once a second."""

    def __init__(self) -> None:
        self.alerts = Alerts(0.0)
        self.heard = Heard(self.alerts)
        self.counters = Counters()
        self.bus = Bus(
            Services("bus-1"),
            Budget(1000),
            self.counters.late,
            lambda: (0, 0),
            lambda: False,
            AlertsConfig(),
            self.alerts,
            0.0,
            1.0,
        )
        self.watch = LoopWatch(self.bus, self.counters, 0.5, self.alerts)
        self.now = 0.0

    def look(self, late_s: float = 0.0) -> bool:
        """Whether an episode lasts after the next look, which comes so late."""
        self.now += 1.0 + late_s
        self.bus.look(self.now)
        self.watch.look(self.now)
        return self.alerts.lasting(AlertKind.LOOP_LATE, BROKER) is not None


@pytest.fixture
def scene() -> Scene:
    return Scene()


def test_a_process_that_stood_still_is_late_until_it_was_calm_for_a_while(scene: Scene) -> None:
    assert not scene.look(0.4)
    assert scene.look(3.0)
    (alert,) = scene.alerts
    assert alert.figures["peak_late_s"] == pytest.approx(3.0)
    for _ in range(CALM_LOOKS - 1):
        assert scene.look()
    # Half of what it began at is not calm.
    assert scene.look(0.3)
    for _ in range(CALM_LOOKS - 1):
        assert scene.look(0.2)
    assert not scene.look()
    assert (scene.heard.began, scene.heard.ended) == ([BROKER], [BROKER])


@pytest.mark.parametrize("name", ["late", "busy"])
def test_turns_that_take_long_and_timers_that_come_late_are_seen_between_the_looks(
    scene: Scene, name: str
) -> None:
    histogram = getattr(scene.counters, name)
    histogram.record(400_000)
    assert not scene.look()
    histogram.record(900_000)
    histogram.record(10)
    assert scene.look()
    (alert,) = scene.alerts
    assert alert.figures["late_s"] == pytest.approx(0.9, rel=0.13)
    # What was seen once is no news.
    scene.look()
    assert alert.figures["late_s"] == 0.0


def test_a_broker_that_is_late_says_so() -> None:
    bench = Bench(small_config(alerts=AlertsConfig(loop_late_s=0.2)))
    heard = Heard(bench.core.alerts)
    bench.advance(3.0)
    bench.now += 1.6
    bench.turn()
    assert (heard.began, heard.kinds) == ([BROKER], ["loop_late"])
