"""The broker as a service: well while its loop, its budget, its parts and its memory are."""

import pytest
from tests.broker.bench import Bench, small_config
from tests.broker.peer import Peer

from lanebus.broker.alerts import BROKER, AlertKind, Alerts
from lanebus.broker.budget import Budget
from lanebus.broker.bus import MIN_TURNS, PARTS_LOOKS, PARTS_S, Bus
from lanebus.broker.health import MIN_FAILED, Condition
from lanebus.broker.lately import SPAN_S
from lanebus.broker.services import Services
from lanebus.conf.model import AlertsConfig
from lanebus.conf.policy import PolicyConfig, TopicPolicy
from lanebus.wire.histogram import Histogram
from lanebus.wire.kinds import Kind
from lanebus.wire.services import ServiceState

STARTED = 100.0


class Scene:
    """A bus, what it looks at, and the time."""

    def __init__(self, alerts: AlertsConfig | None = None) -> None:
        self.services = Services("bus-1")
        self.budget = Budget(1000)
        self.late = Histogram()
        self.parts = (0, 0)
        self.draining = False
        self.alerts = Alerts(60.0)
        self.now = STARTED
        self.bus = Bus(
            self.services,
            self.budget,
            self.late,
            lambda: self.parts,
            lambda: self.draining,
            alerts or AlertsConfig(),
            self.alerts,
            STARTED,
            1.0,
        )

    def look(self, seconds: float = 1.0) -> list[str]:
        """Look once a second for so long; what was wrong at the last look."""
        end = self.now + seconds
        while self.now + 1.0 <= end:
            self.now += 1.0
            self.bus.look(self.now)
        return [str(symptom) for symptom in self.bus.symptoms]

    @property
    def state(self) -> tuple[ServiceState, str]:
        return self.services.bus.state, self.services.bus.reason


@pytest.fixture
def scene() -> Scene:
    return Scene()


def test_a_loop_that_stood_still_is_degraded_until_it_is_on_time(scene: Scene) -> None:
    assert scene.look() == []
    assert scene.state == (ServiceState.READY, "")
    scene.now += 0.7
    assert scene.look(1.0) == ["its loop stood still: 0.7 s"]
    assert scene.state == (ServiceState.DEGRADED, "its loop stood still")
    assert scene.look() == []
    assert scene.state == (ServiceState.READY, "")


def test_a_loop_that_was_late_is_so_for_the_last_minute(scene: Scene) -> None:
    scene.look(40.0)
    for _ in range(MIN_TURNS - 1):
        scene.late.record(40_000)
    assert scene.look() == []
    scene.late.record(40_000)
    assert scene.look() == ["its loop is late: 38.9 ms (p99 of the last minute)"]
    assert scene.look(SPAN_S) != []
    assert scene.look(SPAN_S) == []
    assert scene.bus.late_lately().count == 0
    assert scene.late.count == MIN_TURNS


def test_a_used_up_budget_is_degraded_until_there_is_room(scene: Scene) -> None:
    scene.budget.held_bytes = 1000
    assert scene.look() == ["its budget is used up and nothing is accepted: 100% of 1,000 bytes"]
    assert scene.state == (ServiceState.DEGRADED, "its budget is used up and nothing is accepted")
    scene.budget.held_bytes = 0
    assert scene.look() == []
    assert scene.state == (ServiceState.READY, "")


def test_parts_that_failed_are_counted_for_a_minute(scene: Scene) -> None:
    scene.parts = (9_000, 5)
    assert scene.look(20.0) == []
    scene.parts = (10_000, 55)
    assert scene.look(PARTS_S) == ["parts are refused or dropped: 55 of 10,000 in the last minute, 0.55%"]
    assert scene.look(PARTS_S * (PARTS_LOOKS - 1)) == [
        "parts are refused or dropped: 50 of 1,000 in the last minute, 5.00%"
    ]
    assert scene.look(PARTS_S) == []


def test_what_ends_by_the_limit_of_its_topic_is_no_error() -> None:
    rule = TopicPolicy(match="t", events_per_s=1.0, burst=1, over="drop")
    bench = Bench(small_config(policy=PolicyConfig(topics=[rule])))
    player, server = Peer(bench, "player:1").attach(), Peer(bench, "server:a").attach()
    server.ask(Kind.REGISTER, service="s", topics=["t"])
    for _ in range(8):
        player.send_batch([player.event("t", None) for _ in range(4)])
        bench.turn()
        for peer in (player, server):
            peer.settle_all()
            peer.ping()
        bench.advance(2.0)
    assert bench.core.policies.ended > MIN_FAILED
    assert bench.core.bus.symptoms == []


def test_memory_is_what_the_driver_says(scene: Scene) -> None:
    scene.bus.memory = 99, 100
    assert scene.look() == ["its memory is nearly used up: 99% of 100 bytes"]
    scene.bus.memory = 80, 100
    assert scene.look() == ["its process takes much memory: 80 bytes, an alert from 80 on"]
    scene.bus.memory = 99, None
    assert scene.look() == []


def test_the_settings_of_alerts_say_how_much_is_too_much() -> None:
    scene = Scene(AlertsConfig(loop_late_s=2.0, memory_bytes=50))
    scene.bus.memory = 50, None
    scene.now += 1.9
    assert scene.look(1.0) == ["its process takes much memory: 50 bytes, an alert from 50 on"]
    scene.bus.memory = 49, 50
    scene.now += 2.1
    assert scene.look(1.0) == [
        "its loop stood still: 2.1 s",
        "its memory is nearly used up: 98% of 50 bytes",
    ]


def test_a_broker_that_drains_is_degraded(scene: Scene) -> None:
    scene.draining = True
    scene.budget.held_bytes = 900
    scene.look()
    assert scene.state == (
        ServiceState.DEGRADED,
        "its budget is nearly used up and newcomers are refused; it is draining",
    )


def test_watchers_are_told_of_symptoms_and_not_of_figures(scene: Scene) -> None:
    scene.budget.held_bytes = 900
    scene.look()
    assert scene.services.take_changed(scene.now) == [scene.services.bus]
    scene.budget.held_bytes = 910
    assert scene.look() == ["its budget is nearly used up and newcomers are refused: 91% of 1,000 bytes"]
    assert scene.services.take_changed(scene.now) == []


def test_it_says_its_version(scene: Scene) -> None:
    scene.bus.say_version("1.2")
    assert scene.services.bus.entry().version == "1.2"


def test_alerts_of_peers_that_last_are_a_symptom_and_the_brokers_own_are_told_once() -> None:
    scene = Scene()
    for number in range(5):
        scene.alerts.begin(AlertKind.SLOW_RECEIVER, f"player:{number}", float(number), {"held_bytes": 1})
    scene.alerts.begin(AlertKind.MEMORY, BROKER, 0.0, {})
    assert scene.look() == [
        "alerts last: slow_receiver of player:0, slow_receiver of player:1, slow_receiver of player:2 and 2 more"
    ]
    assert scene.bus.symptoms[0].condition is Condition.DEGRADED
    for alert in scene.alerts.all_lasting(AlertKind.SLOW_RECEIVER):
        scene.alerts.end(alert, scene.now)
    assert scene.look() == []
