"""Waiting: a queue whose middle is packed gives every part as it came, in order, and takes little memory."""

import tracemalloc
from collections.abc import Iterator
from functools import partial
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lanebus.broker import waiting
from lanebus.broker.attachment import Attachment
from lanebus.broker.events import Event
from lanebus.broker.quality import Quality
from lanebus.broker.sessions import Session
from lanebus.broker.terms import Terms
from lanebus.broker.waiting import FEWEST_PARTS, PACK_AGE_S, PACK_PARTS, Pack, Waiting
from lanebus.conf.model import Config
from lanebus.wire.lanes import Lane
from lanebus.wire.names import Role
from lanebus.wire.outcomes import Outcome, Reason


def a_session(name: str) -> Session:
    attachment = Attachment(name, Role.SERVER, b"p" * 16, b"token", 0.0)
    return Session(attachment, 0, name, Role.SERVER, b"p" * 16, 1, Quality(Config().quality), 0.0)


SENDERS = (a_session("server:a"), a_session("server:b"))


def a_part(number: int, arrived: float = 0.0, **changes: Any) -> Event:
    wire = number.to_bytes(4, "big") * 30
    fields: dict[str, Any] = {
        "terms": None,
        "shared": True,
        "remaining": 1,
        "answered": True,
        "to": "group:room",
    }
    fields |= changes
    to = fields.pop("to")
    sender = SENDERS[number % 7 == 0]
    return Event(sender, Lane.NORMAL, number, wire, len(wire), to, arrived, arrived + 0.045, **fields)


def figures(event: Event) -> tuple[Any, ...]:
    return tuple(getattr(event, field) for field in event.__struct_fields__)


def fill(parts: int, *, first: int = 1, step_s: float = 0.1) -> Waiting:
    """A queue of parts that came one by one."""
    queue = Waiting()
    for number in range(first, first + parts):
        queue.append(a_part(number, number * step_s))
    return queue


@pytest.fixture
def small_packs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "PACK_PARTS", 4)
    monkeypatch.setattr(waiting, "FEWEST_PARTS", 2)


# What is packed


def test_what_was_packed_comes_out_as_it_went_in() -> None:
    parts = [a_part(number, number // 5) for number in range(1, 40)]
    parts += [a_part(40, 8.0, to=None, shared=False, answered=False)]
    parts += [a_part(41, 8.0, worst=Outcome.REFUSED, reason=Reason.NO_HANDLER)]
    assert [figures(event) for event in Pack(parts).events()] == [figures(event) for event in parts]


def test_names_of_destinations_are_one_object_again() -> None:
    one, other = Pack([a_part(1), a_part(2, 3.0)]).events()
    assert one.to is other.to


def test_most_of_many_are_packed_and_both_ends_are_not() -> None:
    queue = fill(20 * PACK_PARTS)
    assert len(queue) == 20 * PACK_PARTS
    assert queue.packed >= 17 * PACK_PARTS
    loose = [index for index, _ in queue.loose()]
    assert loose[0] == 0
    assert loose[-1] == len(queue) - 1
    assert len(loose) == len(queue) - queue.packed
    assert [event.number for event in queue] == list(range(1, len(queue) + 1))
    assert [queue.popleft().number for _ in range(len(queue))] == list(range(1, 20 * PACK_PARTS + 1))
    assert not queue


def test_few_are_not_packed() -> None:
    assert fill(3 * PACK_PARTS - 1).packed == 0
    assert fill(3 * PACK_PARTS).packed == PACK_PARTS


def test_nothing_younger_than_the_age_is_packed() -> None:
    queue = fill(30 * PACK_PARTS, step_s=PACK_AGE_S / (10 * PACK_PARTS))
    assert 0 < queue.packed <= 20 * PACK_PARTS
    assert fill(30 * PACK_PARTS, step_s=0.0).packed == 0


def test_a_burst_is_packed_bit_by_bit_once_it_is_old_enough() -> None:
    queue = fill(10 * PACK_PARTS, step_s=0.0)
    packed = []
    for number in range(10 * PACK_PARTS):
        queue.append(a_part(number + 10 * PACK_PARTS + 1, 2.0))
        packed.append(queue.packed)
    steps = [after - before for before, after in pairwise(packed)]
    assert packed[-1] >= 8 * PACK_PARTS
    assert max(steps) == PACK_PARTS
    assert all(PACK_PARTS not in steps[at + 1 : at + 8] for at, step in enumerate(steps) if step)


@pytest.mark.parametrize("change", [{"terms": Terms()}, {"remaining": 2}])
def test_what_others_hold_and_what_has_terms_is_not_packed_and_keeps_its_place(
    change: dict[str, Any],
) -> None:
    queue, parts = Waiting(), []
    for number in range(1, 10 * PACK_PARTS):
        # Between two of them there are enough for a pack of their own only in the second half.
        kept = number % (FEWEST_PARTS if number < 5 * PACK_PARTS else 2 * FEWEST_PARTS) == 0
        parts.append(a_part(number, number * 0.1, **(change if kept else {})))
        queue.append(parts[-1])
    assert 0 < queue.packed < 5 * PACK_PARTS
    loose = dict(queue.loose())
    for index, event in enumerate(parts):
        if index in loose:
            assert loose[index] is event
            assert queue[index] is event
        else:
            assert event.terms is None
            assert event.remaining == 1
            with pytest.raises(IndexError):
                queue[index]
    assert [event.number for event in queue] == [event.number for event in parts]


def test_one_whose_size_was_counted_otherwise_is_not_packed() -> None:
    queue = Waiting()
    for number in range(1, 6 * PACK_PARTS):
        event = a_part(number, number * 0.1)
        event.size += 1
        queue.append(event)
    assert queue.packed == 0


def test_where_the_system_maps_no_more_memory_nothing_is_packed_and_nothing_lost(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(*args: object, **kwargs: object) -> None:
        raise OSError(12, "Cannot allocate memory")

    monkeypatch.setattr(waiting, "mmap", refuse)
    queue = fill(10 * PACK_PARTS)
    assert queue.packed == 0
    assert [queue.popleft().number for _ in range(len(queue))] == list(range(1, 10 * PACK_PARTS + 1))


@pytest.fixture
def traced() -> Iterator[None]:
    tracemalloc.start()
    yield
    tracemalloc.stop()


@pytest.mark.usefixtures("traced")
def test_packed_parts_take_no_small_objects() -> None:
    held = [a_part(number, number * 0.1) for number in range(1, 20_001)]
    as_objects, _ = tracemalloc.get_traced_memory()
    queue = Waiting()
    for event in held:
        queue.append(event)
    del held
    as_packs, _ = tracemalloc.get_traced_memory()
    assert as_packs < as_objects / 8
    for _ in range(len(queue)):
        queue.popleft()
    left, _ = tracemalloc.get_traced_memory()
    assert left < as_objects / 100


# The queue


def test_a_part_is_replaced_where_it_stands() -> None:
    queue = fill(3)
    queue[1] = newer = a_part(9)
    assert [event.number for event in queue] == [1, 9, 3]
    assert queue[1] is newer


@pytest.mark.parametrize("index", [-1, 3, 100])
def test_there_is_nothing_before_the_first_and_behind_the_last(index: int) -> None:
    with pytest.raises(IndexError):
        fill(3)[index]


@pytest.mark.patches
def test_what_is_taken_out_of_the_middle_leaves_the_others_in_order(small_packs: None) -> None:
    queue = fill(40, step_s=2.0)
    packed = queue.packed
    assert packed
    assert queue.take(lambda event: event.number % 2 == 0, packed=False)
    assert queue.packed == packed
    # Those of even numbers that were not packed have gone from in front of them, and from behind.
    before = [event.number for event in queue]
    taken = queue.take(lambda event: event.number in (6, 7))
    assert [(index, event.number) for index, event in taken] == [
        (before.index(each), each) for each in (6, 7)
    ]
    assert 0 < queue.packed < packed
    numbers = [event.number for event in queue]
    assert numbers == sorted(set(numbers))
    assert [(index, event.number) for index, event in queue.take(lambda _: True)] == [*enumerate(numbers)]
    assert not queue
    assert list(queue) == []


@pytest.mark.patches
def test_what_is_cleared_is_empty_and_begins_again(small_packs: None) -> None:
    queue = fill(40, step_s=2.0)
    queue.clear()
    assert (len(queue), queue.packed, list(queue)) == (0, 0, [])
    for number in range(1, 41):
        queue.append(a_part(number, number * 2.0))
    assert len(queue) == 40
    assert queue.packed


def is_multiple(of: int, event: Event) -> bool:
    return event.number % of == 0


steps = st.lists(
    st.one_of(
        st.tuples(st.just("append"), st.sampled_from(["plain", "shared", "terms"])),
        st.tuples(st.just("several"), st.integers(4, 12)),
        st.tuples(st.just("take first"), st.integers(1, 9)),
        st.tuples(st.just("put back"), st.just(0)),
        st.tuples(st.just("take some"), st.integers(2, 5)),
        st.tuples(st.just("replace"), st.integers(0, 40)),
    ),
    max_size=50,
)


@pytest.mark.patches
@given(steps)
def test_it_is_a_queue_whatever_is_packed(program: list[tuple[str, Any]]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(waiting, "PACK_PARTS", 3)
        patch.setattr(waiting, "FEWEST_PARTS", 1)
        run(program)


def run(program: list[tuple[str, Any]]) -> None:
    queue, model, taken = Waiting(), list[Event](), list[Event]()
    number = 0

    def come(**changes: Any) -> None:
        nonlocal number
        number += 1
        model.append(a_part(number, float(number), **changes))
        queue.append(model[-1])

    for step, detail in program:
        if step == "append":
            come(terms=Terms() if detail == "terms" else None, remaining=2 if detail == "shared" else 1)
        elif step == "several":
            for _ in range(detail):
                come()
        elif step == "take first":
            taken = [queue.popleft() for _ in range(min(detail, len(model)))]
            assert [figures(event) for event in taken] == [figures(event) for event in model[:detail]]
            del model[:detail]
        elif step == "put back":
            queue.extendleft(reversed(taken))
            model[:0] = taken
            taken = []
        elif step == "take some":
            found = queue.take(partial(is_multiple, detail))
            assert [(index, event.number) for index, event in found] == [
                (index, event.number) for index, event in enumerate(model) if event.number % detail == 0
            ]
            model = [event for event in model if event.number % detail]
        elif detail in dict(queue.loose()):
            number += 1
            queue[detail] = model[detail] = a_part(number, float(number))
        assert len(queue) == len(model)
        assert bool(queue) is bool(model)
        assert [figures(event) for event in queue] == [figures(event) for event in model]
        assert all(figures(model[index]) == figures(event) for index, event in queue.loose())
        if model:
            assert figures(queue[0]) == figures(model[0])
