"""When links count as lost, and when an attachment's time is over; the time is a number."""

import pytest

from lanebus.broker.attachment import Attachment, Link, Sent
from lanebus.broker.leases import state_of, why_lost, why_over
from lanebus.conf.model import SessionsConfig
from lanebus.wire.header import NUMBERS_USED_UP
from lanebus.wire.lanes import LANES, Lane
from lanebus.wire.names import Role

SESSIONS = SessionsConfig(lease_s=10.0, grace_s=30.0, hello_timeout_s=2.0)


@pytest.fixture
def attachment() -> Attachment:
    """One with all its links, last seen at 100."""
    attachment = Attachment("player:1", Role.CLIENT, b"p" * 16, b"t" * 16, 100.0)
    attachment.links = [Link(lane, b"r", 100.0) for lane in LANES]
    return attachment


def test_links_are_lost_when_nothing_was_heard_for_a_lease(attachment: Attachment) -> None:
    assert why_lost(attachment, SESSIONS, 110.0) is None
    assert why_lost(attachment, SESSIONS, 110.5) == "has been silent for 10.5 s"


def test_links_are_lost_when_one_lane_acknowledges_nothing_for_a_lease(attachment: Attachment) -> None:
    attachment.last_seen = 120.0
    attachment.outbound[Lane.LOW].unacked.append(Sent(1, 10, [], 105.0))
    assert why_lost(attachment, SESSIONS, 115.0) is None
    assert why_lost(attachment, SESSIONS, 115.1) == "acknowledges nothing on one of its lanes"


def test_links_are_given_up_when_one_lane_has_no_numbers_left_for_its_batches(attachment: Attachment) -> None:
    attachment.outbound[Lane.NORMAL].next_number = NUMBERS_USED_UP
    assert why_lost(attachment, SESSIONS, 100.0) is None
    attachment.outbound[Lane.NORMAL].next_number += 1
    assert why_lost(attachment, SESSIONS, 100.0) == "needs fresh links: the numbers of batches are used up"


def test_links_are_lost_when_one_of_them_never_came(attachment: Attachment) -> None:
    attachment.links[Lane.NORMAL] = None
    assert why_lost(attachment, SESSIONS, 102.0) is None
    assert why_lost(attachment, SESSIONS, 102.1) == "did not complete its links"


def test_who_has_no_links_cannot_lose_them_and_is_over_after_the_grace_period(attachment: Attachment) -> None:
    assert why_over(attachment, SESSIONS, 900.0) is None
    attachment.links = [None for _ in LANES]
    attachment.away_since = 100.0
    assert why_lost(attachment, SESSIONS, 900.0) is None
    assert why_over(attachment, SESSIONS, 130.0) is None
    assert why_over(attachment, SESSIONS, 130.1) == "did not come back within 30 s"


def test_who_is_stalled_is_over_much_later(attachment: Attachment) -> None:
    attachment.stalled, attachment.links = attachment.links[0], [None for _ in LANES]
    attachment.away_since = 110.0
    assert why_over(attachment, SESSIONS, 410.0) is None
    assert why_over(attachment, SESSIONS, 410.1) == "was stalled for 300 s"


def test_who_was_stalled_has_the_grace_period_from_the_end_of_its_connection_on(
    attachment: Attachment,
) -> None:
    attachment.links = [None for _ in LANES]
    attachment.away_since, attachment.alive_at = 110.0, 200.0
    assert why_over(attachment, SESSIONS, 230.0) is None
    assert why_over(attachment, SESSIONS, 230.1) == "did not come back within 30 s"


def test_to_be_stalled_never_shortens_the_time(attachment: Attachment) -> None:
    sessions = SessionsConfig(lease_s=10.0, grace_s=30.0, stalled_s=1.0)
    attachment.stalled, attachment.links = attachment.links[0], [None for _ in LANES]
    attachment.away_since = 110.0
    assert why_over(attachment, sessions, 140.0) is None
    assert why_over(attachment, sessions, 140.1) == "was stalled for 30 s"


def test_who_is_only_expected_is_not_over_by_the_grace_period() -> None:
    expected = Attachment("player:1", Role.CLIENT, b"", b"", 100.0)
    expected.away_since = 100.0
    assert why_over(expected, SESSIONS, 900.0) is None


def test_the_state_of_an_attachment_is_how_many_links_it_has(attachment: Attachment) -> None:
    states = [state_of(attachment)]
    for lane in LANES:
        attachment.stalled = attachment.links[lane]
        attachment.links[lane] = None
        states.append(state_of(attachment))
    assert states == ["up", "joining", "joining", "stalled"]
    attachment.stalled = None
    assert state_of(attachment) == "away"
