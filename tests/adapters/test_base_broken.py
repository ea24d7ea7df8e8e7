"""The driver of adapters against a hand that holds the broker's sockets, and breaks what a broker never breaks."""

import time
from collections.abc import Iterator

import pytest
import zmq
from tests.adapters.down import frame
from tests.adapters.listening import DEADLINE_S, Hand, turn_until

from lanebus.adapters.retry import MAX_WAIT_S
from lanebus.adapters.server import ServerAdapter
from lanebus.wire.kinds import Kind
from lanebus.wire.lanes import Lane
from lanebus.wire.messages import Bye
from lanebus.wire.pings import Pong


@pytest.fixture
def hand() -> Iterator[Hand]:
    made = Hand()
    yield made
    made.close()


@pytest.fixture
def adapter(hand: Hand) -> Iterator[ServerAdapter]:
    made = ServerAdapter("a", broker=hand.address)
    hand.welcome(made)
    yield made
    made.close(0.0)


def test_a_message_of_several_frames_is_read_to_its_end_and_ends_the_links(
    hand: Hand, adapter: ServerAdapter
) -> None:
    pong = frame(Kind.PONG, Pong(0, 0), incarnation=hand.incarnation)
    hand.say(Lane.CRITICAL, pong, pong, pong)
    turn_until(adapter, lambda: adapter.state == "down")
    assert hand.take(Lane.CRITICAL) is Kind.PING
    assert hand.take(Lane.CRITICAL) is Kind.ERROR


def test_frames_behind_a_goodbye_are_read_and_mean_nothing(hand: Hand, adapter: ServerAdapter) -> None:
    hand.say(Lane.CRITICAL, frame(Kind.BYE, Bye(reason="enough"), incarnation=hand.incarnation))
    for _ in range(10):
        hand.say(Lane.CRITICAL, b"nonsense")
        hand.say(Lane.LOW, b"nonsense")
    turn_until(adapter, lambda: adapter.state == "down")
    assert hand.take(Lane.CRITICAL) is Kind.PING
    # The next frame is the hello of the next attempt, and no complaint.
    deadline = time.monotonic() + DEADLINE_S
    while not hand.sockets[0].poll(10):
        assert time.monotonic() < deadline
        adapter.wait(0.01)
    assert hand.take(Lane.CRITICAL) is Kind.HELLO


def test_an_adapter_shows_what_it_tries_again(hand: Hand, adapter: ServerAdapter) -> None:
    assert list(adapter.retry) == [0, None, 0]
    for number in range(3):
        adapter.send("t", number, to="server:b", flush=True)
    hand.say(Lane.CRITICAL, b"nonsense")
    turn_until(adapter, lambda: adapter.state == "down")
    adapter.send("t", "not yet", to="server:b")
    attempts, next_in_s, events = adapter.retry
    assert (attempts, events) == (1, 3)
    assert next_in_s is not None
    assert 0.0 <= next_in_s <= MAX_WAIT_S
    # While an attempt is under way, there is no other to wait for.
    turn_until(adapter, lambda: adapter.retry.next_in_s is None)
    assert adapter.retry.attempts == 1
    adapter.close(0.0)
    assert adapter.retry.next_in_s is None


def test_a_socket_that_takes_no_more_is_a_lost_link_and_never_a_blocked_program(
    hand: Hand, adapter: ServerAdapter
) -> None:
    adapter.open_sockets()[Lane.NORMAL].setsockopt(zmq.SNDHWM, 4)
    began = time.monotonic()
    accepted = 0
    while adapter.state == "up":
        assert time.monotonic() - began < DEADLINE_S
        adapter.send("t", b"x" * 250_000, to="server:b", flush=True)
        accepted += 1
        if accepted % 30 == 0:
            adapter.core.sessions[0].outbox.limit_bytes += 30 * 300_000
    assert adapter.in_flight == accepted, "nothing is lost with the link"
