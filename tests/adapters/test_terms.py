"""Terms: what may be asked for in `send`, and how an event travels the first time and again."""

from math import inf

import pytest
from tests.adapters.parts import accept_on, sessions

from lanebus.adapters.outevent import OutEvent
from lanebus.adapters.terms import Terms, terms_of
from lanebus.wire.batches import (
    EVENT_AGAIN,
    EVENT_LATEST,
    EVENT_PRESENT,
    EVENT_QUESTION,
    EVENT_VOLATILE,
    MAX_KEY_CHARACTERS,
)
from lanebus.wire.lanes import Lane
from lanebus.wire.modes import DROPPED_LATE, EXPIRED, MAX_TTL_MS

NOW = 10.0


def terms(mode: str = "reliable", key: str | int | None = None, ttl_ms: float | None = None) -> Terms | None:
    return terms_of(mode, key, ttl_ms, NOW, Lane.NORMAL, "t", "server:a", [])


def event(mode: str, key: str | None = None, ttl_ms: float | None = None) -> OutEvent:
    return accept_on(sessions()[0], mode, key=key, ttl_ms=ttl_ms, now=NOW)


def row(sent: OutEvent, now: float = NOW) -> tuple[object, ...]:
    assert sent.terms is not None
    return sent.terms.row(sent, 77, now)[2:]


def test_a_plainly_reliable_event_has_no_terms() -> None:
    assert terms() is None


@pytest.mark.parametrize(
    ("mode", "ttl_ms", "deadline", "late"),
    [
        ("reliable", 250, NOW + 0.25, EXPIRED),
        ("volatile", 250, NOW + 0.25, EXPIRED),
        ("volatile", None, NOW + 1.0, DROPPED_LATE),
        ("latest", None, inf, EXPIRED),
    ],
)
def test_an_event_is_late_after_its_time_and_a_volatile_one_after_a_second(
    mode: str, ttl_ms: float | None, deadline: float, late: object
) -> None:
    found = terms(mode, "k" if mode == "latest" else None, ttl_ms)
    assert found is not None
    assert (found.deadline, found.late) == (deadline, late)


@pytest.mark.parametrize(
    ("mode", "key", "ttl_ms", "said"),
    [
        ("newest", None, None, "no mode 'newest': use one of reliable, latest, volatile"),
        ("latest", None, None, "needs key="),
        ("volatile", "k", None, "goes with mode='latest' alone"),
        ("reliable", 0, None, "goes with mode='latest' alone"),
        ("latest", "", None, "a key of 0 characters"),
        ("latest", "x" * (MAX_KEY_CHARACTERS + 1), None, "a key of 129 characters"),
        ("reliable", None, 0, "ttl_ms=0"),
        ("reliable", None, -1.0, "ttl_ms=-1.0"),
        ("reliable", None, MAX_TTL_MS + 1, "at most a day"),
        ("reliable", None, float("nan"), "ttl_ms is nan"),
    ],
)
def test_what_makes_no_sense_is_named(
    mode: str, key: str | int | None, ttl_ms: float | None, said: str
) -> None:
    with pytest.raises(ValueError, match=said):
        terms(mode, key, ttl_ms)


def test_a_key_is_a_text_or_a_number() -> None:
    numbered, named = terms("latest", 7), terms("latest", "7")
    assert numbered is not None
    assert named is not None
    assert numbered.value_key == named.value_key


def test_the_first_time_an_event_travels_with_its_terms() -> None:
    assert row(event("latest", "unit", 1.25)) == (
        77, "topic", "server:a", b"x", [], EVENT_LATEST, 13, "unit",
    )  # fmt: skip
    assert row(event("volatile")) == (77, "topic", "server:a", b"x", [], EVENT_VOLATILE, 0, "")
    assert row(event("reliable", ttl_ms=100)) == (77, "topic", "server:a", b"x", [], 0, 1000, "")


def test_what_has_left_before_travels_again_for_its_receiver_to_judge() -> None:
    again = event("latest", "unit")
    again.transmitted = True
    assert row(again)[5:] == (EVENT_LATEST | EVENT_AGAIN, 0, "unit")
    again = event("reliable", ttl_ms=100)
    again.transmitted = True
    assert row(again, NOW + 0.09)[3:] == (b"x", [], EVENT_AGAIN, 1000, "")


def test_what_is_of_no_use_any_more_is_asked_for_without_its_payload() -> None:
    late, outdated, volatile = event("reliable", ttl_ms=100), event("latest", "k"), event("volatile")
    assert outdated.terms is not None
    outdated.terms.outdated = True
    for each, flag in ((late, 0), (outdated, EVENT_LATEST), (volatile, EVENT_VOLATILE)):
        each.transmitted = True
        assert row(each, NOW + 0.1)[3:] == (b"", [], EVENT_QUESTION | flag)


def test_an_event_for_the_present_process_is_asked_for_at_a_new_broker_alone() -> None:
    sent = event("volatile")
    sent.terms = terms_of("reliable", None, None, NOW, Lane.NORMAL, "t", "server:a", [], present_process=True)
    assert row(sent) == (77, "topic", "server:a", b"x", [], EVENT_PRESENT, 0, "")
    sent.transmitted = True
    assert row(sent) == (77, "topic", "server:a", b"x", [], EVENT_PRESENT | EVENT_AGAIN, 0, "")
    sent.replayed = True
    assert row(sent) == (77, "topic", "server:a", b"", [], EVENT_PRESENT | EVENT_QUESTION)
