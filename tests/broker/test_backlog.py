"""The backlog: one queue of own and shared parts, whatever is taken from where."""

from functools import partial
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.broker.bench import values_are_right
from tests.broker.test_waiting import a_part, figures

from lanebus.broker import waiting
from lanebus.broker.backlog import Backlog
from lanebus.broker.events import Event
from lanebus.broker.terms import Terms


def is_multiple(of: int, event: Event) -> bool:
    return event.number % of == 0


def is_value(of: int, event: Event) -> bool:
    return event.terms is not None and is_multiple(of, event)


def keyed(key: int, deadline: float) -> Terms:
    terms = Terms()
    terms.key = key
    terms.deadline = deadline
    return terms


steps = st.lists(
    st.one_of(
        st.tuples(st.just("come"), st.booleans()),
        st.tuples(st.just("several"), st.booleans()),
        st.tuples(st.just("value"), st.integers(0, 5)),
        st.tuples(st.just("first"), st.integers(1, 9)),
        st.tuples(st.just("shared"), st.integers(1, 9)),
        st.tuples(st.just("older"), st.integers(0, 40)),
        st.tuples(st.just("some"), st.integers(2, 5)),
        st.tuples(st.just("loose"), st.integers(2, 5)),
    ),
    max_size=60,
)


@pytest.mark.patches
@given(steps)
def test_it_is_one_queue_whatever_is_packed_and_from_where_something_is_taken(
    program: list[tuple[str, Any]],
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(waiting, "PACK_PARTS", 3)
        patch.setattr(waiting, "FEWEST_PARTS", 1)
        run(program)


def run(program: list[tuple[str, Any]]) -> None:
    backlog, model = Backlog(), list[Event]()
    number = 0

    def part(**changes: Any) -> Event:
        nonlocal number
        number += 1
        return a_part(number, float(number), **changes)

    def same(found: list[Event], expected: list[Event]) -> None:
        assert [figures(event) for event in found] == [figures(event) for event in expected]

    for step, detail in program:
        gone: list[Event] = []
        if step in ("come", "several"):
            new = [part(shared=detail) for _ in range(1 if step == "come" else 7)]
            model += new
            backlog.extend(new)
        elif step == "value":
            # Of even keys the parts are shared, as those of one destination always are.
            newer = part(shared=detail % 2 == 0, terms=keyed(detail, 1000.0 - number))
            at = [index for index, event in enumerate(model) if event.terms and event.terms.key == detail]
            assert backlog.replace(detail, newer) is (model[at[0]] if at else None)
            if at:
                model[at[0]] = newer
            else:
                model.append(newer)
                backlog.append(newer)
        elif step == "first":
            gone = model[:detail]
            same([backlog.popleft() for _ in gone], gone)
        elif step == "shared":
            gone = [event for event in model if event.shared][:detail]
            same([backlog.pop_shared() for _ in gone], gone)
        elif step == "older":
            than = number - detail + 0.5
            plain_and_fresh = (
                index
                for index, event in enumerate(model)
                if event.shared and not event.terms and event.arrived > than
            )
            gone = [
                event
                for event in model[: next(plain_and_fresh, None)]
                if event.shared and event.arrived < than
            ]
            same(backlog.take_older(than), gone)
        elif step == "some":
            gone = [event for event in model if is_multiple(detail, event)]
            same(backlog.take(partial(is_multiple, detail)), gone)
        else:
            gone = [event for event in model if is_value(detail, event)]
            same(backlog.take(partial(is_value, detail), packed=False), gone)
        numbers = {event.number for event in gone}
        model = [event for event in model if event.number not in numbers]
        same(list(backlog), model)
        assert (len(backlog), bool(backlog)) == (len(model), bool(model))
        assert backlog.has_shared is any(event.shared for event in model)
        assert backlog.values == sum(event.terms is not None for event in model)
        assert all(backlog.expires <= event.terms.deadline for event in model if event.terms)
        assert values_are_right(backlog)
        if model:
            assert figures(backlog.oldest) == figures(model[0])
            assert all((one > 0) is not (other > 0) for one, other in pairwise(backlog._order or ()))


def test_there_is_nothing_in_an_empty_one() -> None:
    backlog = Backlog()
    for take in (backlog.popleft, backlog.pop_shared, lambda: backlog.oldest):
        with pytest.raises(IndexError):
            take()


def test_an_empty_one_keeps_nothing() -> None:
    backlog = Backlog()
    backlog.extend(a_part(number, shared=number % 2 == 0) for number in range(1, 100))
    while backlog:
        backlog.popleft()
    assert all(getattr(backlog, name) is None for name in ("_own", "_shared", "_order"))
    assert backlog.take(lambda _: True) == backlog.take_older(1.0) == []


def test_one_that_is_given_parts_of_old_looks_for_them_again() -> None:
    backlog = Backlog()
    backlog.append(a_part(1, 50.0, shared=True))
    assert backlog.take_older(40.0) == []
    backlog.append(a_part(2, 10.0, shared=True))
    backlog.append(a_part(3, 60.0, shared=True))
    assert backlog.popleft().number == 1
    assert [event.number for event in backlog.take_older(40.0)] == [2]
    assert [event.number for event in backlog] == [3]
