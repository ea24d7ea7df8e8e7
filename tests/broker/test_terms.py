"""Terms: what the broker may end itself, and what it must leave to the receiver."""

from math import inf

import pytest
from tests.broker.bench import Bench
from tests.broker.peer import Peer

from lanebus.broker.terms import Terms, check_terms, terms_of
from lanebus.wire.batches import (
    EVENT_AGAIN,
    EVENT_LATEST,
    EVENT_QUESTION,
    EVENT_VOLATILE,
    TICKS_PER_S,
    UpEvent,
    stamp_of,
)
from lanebus.wire.errors import ErrorNumber, ProtocolError
from lanebus.wire.modes import DROPPED_LATE, EXPIRED

STARTED = 500.0
NOW = 510.0
TRANSIT_S = 2.0


def up_event(
    flags: int = 0, *, ttl: int = 0, key: str = "", payload: bytes = b"x", to: str | list[str] = "all"
) -> UpEvent:
    stamp = stamp_of(NOW - TRANSIT_S - STARTED)
    return UpEvent(0, 1, stamp, "t", to, payload, [], flags, ttl, key)


def terms(event: UpEvent) -> Terms:
    found = terms_of(event, 9, NOW, STARTED)
    assert found is not None
    return found


def test_a_plainly_reliable_event_has_no_terms() -> None:
    assert terms_of(up_event(), 9, NOW, STARTED) is None


def test_a_time_to_live_counts_from_send() -> None:
    found = terms(up_event(ttl=3 * TICKS_PER_S))
    assert found.deadline == found.expires == pytest.approx(NOW + 1.0, abs=1e-3)
    assert found.late == EXPIRED


def test_a_volatile_event_is_late_after_a_second_on_the_way_and_never_expires() -> None:
    found = terms(up_event(EVENT_VOLATILE))
    assert found.deadline == pytest.approx(NOW - 1.0, abs=1e-3)
    assert (found.late, found.expires) == (DROPPED_LATE, inf)


@pytest.mark.parametrize("flags", [EVENT_AGAIN, EVENT_AGAIN | EVENT_LATEST])
def test_what_may_have_been_passed_on_before_is_its_receivers_to_judge(flags: int) -> None:
    found = terms(up_event(flags, ttl=TICKS_PER_S, key="k" if flags & EVENT_LATEST else ""))
    assert (found.deadline, found.key) == (inf, None)
    assert found.question(NOW) == EVENT_QUESTION


def test_a_question_stays_the_question_that_it_is() -> None:
    found = terms(up_event(EVENT_QUESTION | EVENT_VOLATILE, payload=b""))
    assert (found.volatile, found.deadline, found.question(NOW)) == (False, inf, None)


def test_values_replace_each_other_by_sender_topic_destination_and_key() -> None:
    one = up_event(EVENT_LATEST, key="k")
    keys = {
        terms(one).key,
        terms(up_event(EVENT_LATEST, key="l")).key,
        terms(up_event(EVENT_LATEST, key="k", to=["all"])).key,
        getattr(terms_of(one, 10, NOW, STARTED), "key", None),
    }
    assert len(keys) == 4
    assert terms(up_event(EVENT_LATEST, key="k", payload=b"newer")).key in keys


def test_only_a_volatile_part_and_one_past_its_time_are_asked_for() -> None:
    assert terms(up_event(EVENT_VOLATILE)).question(0.0) == EVENT_QUESTION | EVENT_VOLATILE
    timed = terms(up_event(ttl=3 * TICKS_PER_S))
    assert (timed.question(NOW), timed.question(NOW + 1.1)) == (None, EVENT_QUESTION)
    assert terms(up_event(EVENT_LATEST, key="k")).question(1e9) is None


BAD = [
    up_event(0x01),
    up_event(0x100),
    up_event(EVENT_LATEST),
    up_event(EVENT_LATEST | EVENT_VOLATILE, key="k"),
    up_event(EVENT_QUESTION),
    up_event(EVENT_QUESTION, payload=b"", ttl=5),
    up_event(EVENT_QUESTION | EVENT_LATEST, payload=b"", key="k"),
]


@pytest.mark.parametrize("event", BAD)
def test_flags_that_do_not_go_together_are_malformed(event: UpEvent) -> None:
    with pytest.raises(ProtocolError) as raised:
        check_terms(event)
    assert raised.value.number is ErrorNumber.BAD_BODY


@pytest.mark.parametrize("event", BAD)
def test_they_end_the_link_that_they_came_on(bench: Bench, event: UpEvent) -> None:
    peer = Peer(bench, "server:a").attach()
    peer.send_batch([event])
    bench.turn()
    assert peer.errors == [ErrorNumber.BAD_BODY]
