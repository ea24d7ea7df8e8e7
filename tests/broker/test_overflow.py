"""Overflow: which parts are dropped for a receiver that falls behind, and what is left of those that wait."""

import pytest

from lanebus.broker.attachment import Attachment
from lanebus.broker.budget import Budget
from lanebus.broker.events import Event
from lanebus.broker.latest import note_waiting
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

    def __init__(self) -> None:
        self.budget = Budget(1000)
        self.overflow = Overflow(self.budget, self.end)
        self.sender = a_session("server:a")
        self.receiving: Receiving = a_session("server:b").receiving[Lane.NORMAL]
        self.ended: list[tuple[int, Outcome, Reason]] = []

    def end(self, event: Event, outcome: Outcome, reason: Reason, now: float) -> None:
        self.budget.held_bytes -= event.size
        self.ended.append((event.number, outcome, reason))

    def waits(self, number: int, *, shared: bool, arrived: float = 0.0, key: str | None = None) -> None:
        terms = None
        if key is not None:
            terms = Terms()
            terms.key = (self.sender.origin, key)
        event = Event(
            self.sender, Lane.NORMAL, number, bytes(SIZE_BYTES), SIZE_BYTES, "all", arrived, 0.0, terms
        )
        event.shared = shared
        event.remaining = 1
        self.receiving.waiting.append(event)
        self.receiving.waiting_bytes += SIZE_BYTES
        self.budget.held_bytes += SIZE_BYTES
        note_waiting(self.receiving, len(self.receiving.waiting) - 1)

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
    scene.overflow.relieve([scene.sender], 1.0)
    assert scene.ended == []
    assert scene.left == list(range(1, 8))


def test_latest_values_are_found_where_they_stand_when_those_before_them_are_dropped(scene: Scene) -> None:
    scene.waits(1, shared=True)
    scene.waits(2, shared=False, key="k")
    for number in range(3, 8):
        scene.waits(number, shared=True)
    scene.overflow.trim(scene.receiving, LIMIT_BYTES, 1.0)
    index = scene.receiving.places.index((scene.sender.origin, "k"))
    assert index is not None
    assert scene.receiving.waiting[index].number == 2


def test_a_used_up_budget_takes_from_the_slowest_until_there_is_room() -> None:
    fast, slow = Scene(), Scene()
    sessions = []
    for scene, count in ((fast, 2), (slow, 5)):
        for number in range(1, count + 1):
            scene.waits(number, shared=True)
        session = a_session("server:b")
        session.receiving[Lane.NORMAL] = scene.receiving
        sessions.append(session)
    slow.budget.held_bytes = 970
    slow.overflow.relieve(sessions, 1.0)
    full = (Outcome.DROPPED, Reason.BROKER_FULL)
    assert slow.ended == [(1, *full), (2, *full), (3, *full)]
    assert slow.left == [4, 5]
    assert fast.left == [1, 2]
    assert slow.budget.excess_bytes < 0
