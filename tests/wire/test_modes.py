"""Delivery modes: what is answered of an event that was never seen."""

import pytest

from lanebus.wire.batches import (
    EVENT_AGAIN,
    EVENT_LATEST,
    EVENT_PRESENT,
    EVENT_QUESTION,
    EVENT_VOLATILE,
    UP_FLAGS,
)
from lanebus.wire.modes import DROPPED_LATE, EXPIRED, LOST, PROCESS_ENDED, SUPERSEDED, End, unseen
from lanebus.wire.outcomes import LEGAL_REASONS, RECEIVER_REASONS


@pytest.mark.parametrize(
    ("flags", "end"),
    [
        (EVENT_QUESTION, EXPIRED),
        (EVENT_QUESTION | EVENT_VOLATILE, LOST),
        (EVENT_QUESTION | EVENT_LATEST, SUPERSEDED),
        (EVENT_QUESTION | EVENT_PRESENT, PROCESS_ENDED),
    ],
)
def test_what_was_never_seen_ends_as_the_question_says_and_as_a_receiver_may_say(
    flags: int, end: End
) -> None:
    outcome, reason = unseen(flags)
    assert (outcome, reason) == end
    assert reason in LEGAL_REASONS[outcome] & RECEIVER_REASONS


@pytest.mark.parametrize("end", [SUPERSEDED, EXPIRED, DROPPED_LATE, LOST, PROCESS_ENDED])
def test_every_end_is_legal(end: End) -> None:
    assert end[1] in LEGAL_REASONS[end[0]]


def test_the_flags_are_bits_of_their_own() -> None:
    flags = (EVENT_PRESENT, EVENT_AGAIN, EVENT_VOLATILE, EVENT_LATEST, EVENT_QUESTION)
    assert sum(flags) == UP_FLAGS
    assert all(flag >= 0x08 and flag.bit_count() == 1 for flag in flags)
