"""In which order the program is told of peers: that one came before its events, that it left after them."""

import pytest
from tests.adapters.down import batch, row
from tests.adapters.hand import SENDER, Hand

from lanebus.adapters.news import News
from lanebus.wire.lanes import Lane

NAME = SENDER[2]


@pytest.fixture
def hand() -> Hand:
    return Hand().up()


@pytest.fixture
def news(hand: Hand) -> News[str]:
    return News(hand.core.incoming)


def test_what_is_no_leaving_is_told_at_once_and_in_order(hand: Hand, news: News[str]) -> None:
    hand.arrive(1)
    news.add(NAME, "joined")
    news.add("player:1", "joined")
    news.add(NAME, "away")
    assert news.take() == ["joined", "joined", "away"]
    assert news.take() == []


def test_a_leaving_waits_for_the_handlers_of_what_came_before_it(hand: Hand, news: News[str]) -> None:
    hand.arrive(1)
    news.add(NAME, "left", left=[0, 1, 0])
    assert news.take() == []
    hand.handle_all()
    assert news.take() == ["left"]


def test_a_leaving_waits_for_batches_of_other_lanes_that_left_before_it(hand: Hand, news: News[str]) -> None:
    news.add(NAME, "left", left=[0, 1, 0])
    assert news.take() == []
    hand.arrive(1)
    hand.handle_all()
    assert news.take() == ["left"]


def test_what_is_told_of_others_does_not_wait_and_what_is_told_of_it_later_does(
    hand: Hand, news: News[str]
) -> None:
    hand.arrive(1)
    news.add(NAME, "left", left=[])
    news.add("player:1", "left too", left=[])
    news.add(NAME, "back")
    news.add("player:1", "back too")
    assert news.take() == ["left too", "back too"]
    hand.handle_all()
    assert news.take() == ["left", "back"]


def test_batches_of_links_that_are_lost_are_not_waited_for(hand: Hand, news: News[str]) -> None:
    news.add(NAME, "left", left=[0, 9, 0])
    assert news.take() == []
    hand.core.lost(hand.now)
    hand.again(resumed=True)
    assert news.take() == ["left"]


def test_events_of_every_lane_are_waited_for(hand: Hand, news: News[str]) -> None:
    for lane in Lane:
        news.add(NAME, lane.label, left=[])
        hand.receive(batch(1, [SENDER], [row(1, 1)], lane=lane, incarnation=hand.incarnation), lane=lane)
        assert news.take() == []
        hand.handle_all()
        assert news.take() == [lane.label]


def test_nobody_is_told_what_nobody_wants_to_know(news: News[str]) -> None:
    news.add(NAME, "left", left=[])
    news.clear()
    assert (len(news), news.take()) == (0, [])
