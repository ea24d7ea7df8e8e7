"""Places: values are found in a queue that moves."""

from collections import deque

from hypothesis import given
from hypothesis import strategies as st

from lanebus.broker.attachment import Attachment
from lanebus.broker.events import Event
from lanebus.broker.places import Places
from lanebus.broker.quality import Quality
from lanebus.broker.sessions import Session
from lanebus.conf.model import Config
from lanebus.wire.lanes import Lane
from lanebus.wire.names import Role

SENDER = Session(
    Attachment("server:a", Role.SERVER, b"p" * 16, b"token", 0.0),
    0,
    "server:a",
    Role.SERVER,
    b"p" * 16,
    1,
    Quality(Config().quality),
    0.0,
)

steps = st.lists(
    st.one_of(
        st.tuples(st.just("append"), st.integers(0, 5)),
        st.tuples(st.just("replace"), st.integers(0, 5)),
        st.tuples(st.just("take"), st.just(0)),
        st.tuples(st.just("put back"), st.just(0)),
    ),
    max_size=60,
)


def an_event() -> Event:
    return Event(SENDER, Lane.NORMAL, 1, b"", 0, "all", 0.0, 0.0)


@given(steps)
def test_every_value_is_found_where_it_stands(program: list[tuple[str, int]]) -> None:
    places = Places()
    queue: deque[tuple[int, Event]] = deque()
    model: dict[int, Event] = {}
    taken: list[tuple[int, Event]] = []
    for step, key in program:
        if step == "append" and key not in model:
            model[key] = an_event()
            queue.append((key, model[key]))
            places.note(key, len(queue) - 1, model[key])
        elif step == "replace" and (index := places.index(key)) is not None:
            model[key] = an_event()
            queue[index] = (key, model[key])
            places.note(key, index, model[key])
        elif step == "take" and queue:
            taken.append(queue.popleft())
            places.moved(1)
            places.forget(*taken[-1])
            model.pop(taken[-1][0], None)
        elif step == "put back" and taken:
            # What was sent and comes back for a resend has no place to give.
            queue.appendleft((-1, taken.pop()[1]))
            places.moved(-1)
        for each in range(6):
            found = places.index(each)
            assert (None if found is None else queue[found][1]) is model.get(each)
    assert len(places) == len(model)


def test_an_older_event_that_leaves_does_not_take_the_newer_ones_place_along() -> None:
    places = Places()
    older, newer = an_event(), an_event()
    places.note("k", 0, older)
    places.note("k", 3, newer)
    places.forget("k", older)
    assert places.index("k") == 3
    places.forget("k", newer)
    assert places.index("k") is None


def test_a_queue_made_anew_has_no_places_until_they_are_noted() -> None:
    places = Places()
    event = an_event()
    places.moved(5)
    places.note("k", 0, event)
    places.restart()
    assert (places.index("k"), len(places)) == (None, 0)
    places.note("k", 2, event)
    assert places.index("k") == 2
