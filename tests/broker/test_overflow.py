"""Overflow: which parts are dropped for a receiver that falls behind, and what is left of those that wait."""

import pytest
from tests.cost import cost_of

from lanebus.broker.attachment import Attachment
from lanebus.broker.budget import Budget
from lanebus.broker.events import Event
from lanebus.broker.overflow import Overflow
from lanebus.broker.quality import Quality
from lanebus.broker.sessions import Receiving, Session
from lanebus.broker.terms import Terms
from lanebus.conf.model import Config
from lanebus.wire.lanes import Lane
from lanebus.wire.names import Role
from lanebus.wire.outcomes import Outcome, Reason

SIZE_BYTES = 10
LIMIT_BYTES = 4 * SIZE_BYTES


def a_session(name: str) -> Session:
    attachment = Attachment(name, Role.SERVER, b"p" * 16, b"token", 0.0)
    return Session(attachment, 0, name, Role.SERVER, b"p" * 16, 1, Quality(Config().quality), 0.0)


class Scene:
    """One receiver, and what has ended of that which waited for it."""

    def __init__(self, beside: "Scene | None" = None) -> None:
        self.budget: Budget = Budget(1000) if beside is None else beside.budget
        self.overflow: Overflow = Overflow(self.budget, self.end) if beside is None else beside.overflow
        self.sender = a_session("server:a")
        self.receiving: Receiving = a_session("server:b").receiving[Lane.NORMAL]
        self.ended: list[tuple[int, Outcome, Reason]] = []

    def end(self, event: Event, outcome: Outcome, reason: Reason, now: float) -> None:
        self.budget.held_bytes -= event.size
        self.ended.append((event.number, outcome, reason))

    def part(self, number: int, *, shared: bool, arrived: float = 0.0, key: str | None = None) -> Event:
        terms = None
        if key is not None:
            terms = Terms()
            terms.key = (self.sender.origin, key)
        event = Event(
            self.sender, Lane.NORMAL, number, bytes(SIZE_BYTES), SIZE_BYTES, "all", arrived, 0.0, terms
        )
        event.shared = shared
        event.remaining = 1
        return event

    def waits(self, number: int, *, shared: bool, arrived: float = 0.0, key: str | None = None) -> None:
        self.receiving.waiting.append(self.part(number, shared=shared, arrived=arrived, key=key))
        self.receiving.waiting_bytes += SIZE_BYTES
        self.budget.held_bytes += SIZE_BYTES
        if shared:
            self.overflow.note(self.receiving)

    @property
    def left(self) -> list[int]:
        return [event.number for event in self.receiving.waiting]


@pytest.fixture
def scene() -> Scene:
    return Scene()


def test_the_oldest_shared_parts_are_dropped_until_the_rest_fits(scene: Scene) -> None:
    for number in range(1, 8):
        scene.waits(number, shared=number != 2)
    scene.overflow.trim(scene.receiving, LIMIT_BYTES, 1.0)
    slow = (Outcome.DROPPED, Reason.SLOW_RECEIVER)
    assert scene.ended == [(1, *slow), (3, *slow), (4, *slow)]
    assert scene.left == [2, 5, 6, 7]
    assert scene.receiving.waiting_bytes == 4 * SIZE_BYTES
    assert scene.receiving.dropped == 3
    assert scene.receiving.gaps == {scene.sender}


def test_a_queue_that_fits_loses_only_what_is_older_than_the_limit(scene: Scene) -> None:
    for number in (1, 2, 3):
        scene.waits(number, shared=True, arrived=float(number))
    scene.overflow.trim(scene.receiving, LIMIT_BYTES, 40.0)
    assert scene.ended == []
    scene.overflow.trim(scene.receiving, LIMIT_BYTES, 40.0, older_than=2.5)
    assert [number for number, *_ in scene.ended] == [1, 2]
    assert scene.left == [3]


def test_what_is_for_one_receiver_alone_is_never_dropped(scene: Scene) -> None:
    for number in range(1, 8):
        scene.waits(number, shared=False)
    scene.overflow.trim(scene.receiving, LIMIT_BYTES, 1.0)
    scene.budget.held_bytes = 1000
    scene.overflow.relieve(1.0)
    assert scene.ended == []
    assert scene.left == list(range(1, 8))


def test_latest_values_are_found_where_they_stand_when_those_before_them_are_dropped(scene: Scene) -> None:
    scene.waits(1, shared=True)
    scene.waits(2, shared=False, key="k")
    for number in range(3, 8):
        scene.waits(number, shared=True)
    scene.overflow.trim(scene.receiving, LIMIT_BYTES, 1.0)
    newer = scene.part(8, shared=False, key="k")
    older = scene.receiving.waiting.replace((scene.sender.origin, "k"), newer)
    assert older is not None
    assert older.number == 2
    assert scene.left == [8, 5, 6, 7]


def test_a_used_up_budget_takes_from_the_slowest_until_there_is_room() -> None:
    slow = Scene()
    fast = Scene(slow)
    for scene, count in ((fast, 2), (slow, 5)):
        for number in range(1, count + 1):
            scene.waits(number, shared=True)
    slow.budget.held_bytes = 970
    slow.overflow.relieve(1.0)
    full = (Outcome.DROPPED, Reason.BROKER_FULL)
    assert slow.ended == [(1, *full), (2, *full), (3, *full)]
    assert slow.left == [4, 5]
    assert fast.left == [1, 2]
    assert slow.budget.excess_bytes < 0


@pytest.mark.parametrize("own", [0, 1000, 2500, 100_000])
def test_the_limit_holds_exactly_and_cheaply_whatever_stands_in_front_that_is_not_dropped(
    scene: Scene, own: int
) -> None:
    for number in range(1, own + 1):
        scene.waits(number, shared=False)
    limit_bytes = own * SIZE_BYTES + LIMIT_BYTES

    def fall_behind() -> None:
        for number in range(own + 1, own + 2001):
            # Every third is its own, so that there is something in front of each that goes.
            scene.waits(number, shared=number % 3 > 0)
            scene.overflow.trim(scene.receiving, limit_bytes, 1.0)
            assert scene.receiving.waiting_bytes <= limit_bytes or not scene.receiving.waiting.has_shared

    cost = cost_of(fall_behind)
    assert cost.lines < 2000 * 200
    kept_own = [number for number in range(1, own + 2001) if number <= own or number % 3 == 0]
    assert [number for number in scene.left if number <= own or number % 3 == 0] == kept_own
    assert scene.left == sorted(scene.left)
    assert not scene.receiving.waiting.has_shared
    assert len(scene.ended) == scene.receiving.dropped == 2000 - (len(kept_own) - own)


def test_what_ages_is_found_behind_fresh_values_and_costs_a_look_only_when_something_is_old(
    scene: Scene,
) -> None:
    for number in range(1, 3001):
        scene.waits(number, shared=True, arrived=float(number), key=str(number))
    for number in range(3001, 3011):
        scene.waits(number, shared=True, arrived=float(number))
    for number in range(1, 3001):
        newer = scene.part(4000 + number, shared=True, arrived=5000.0, key=str(number))
        assert scene.receiving.waiting.replace((scene.sender.origin, str(number)), newer)
    scene.overflow.trim(scene.receiving, 1 << 30, 3005.0, older_than=3005.0)
    assert [number for number, *_ in scene.ended] == [3001, 3002, 3003, 3004]

    def look() -> None:
        for _ in range(100):
            scene.overflow.trim(scene.receiving, 1 << 30, 3005.0, older_than=3005.0)

    assert cost_of(look).lines < 100 * 50
    scene.overflow.trim(scene.receiving, 1 << 30, 3006.0, older_than=3005.5)
    assert [number for number, *_ in scene.ended][4:] == [3005]
    assert scene.left == [*range(4001, 7001), *range(3006, 3011)]


def test_who_has_caught_up_is_not_remembered() -> None:
    scenes = [Scene()]
    for _ in range(1000):
        scenes.append(Scene(scenes[0]))
        scenes[-1].waits(1, shared=True)
        scenes[-1].receiving.waiting.popleft()
    assert len(scenes[0].overflow._receivers) <= 200
