"""An attachment's core against a hand that plays the broker: connecting, coming back, giving up."""

import pytest
from tests.adapters.down import batch, frame, header_of, row, welcome
from tests.adapters.hand import ADDRESS, SENDER, Hand, kinds, opened

from lanebus.adapters.actions import Dial, HangUp, Send, State
from lanebus.adapters.complaints import ERROR_MEMORY_S, MAX_SAME_ERRORS
from lanebus.adapters.errors import Closed, HelloRefused
from lanebus.adapters.requests import Request
from lanebus.adapters.retry import HELLO_TIMEOUT_S, MAX_HELLO_TIMEOUT_S, MIN_WAIT_S, RETURN_TIMEOUT_S
from lanebus.adapters.session import MAX_BOOKS
from lanebus.wire.errors import ErrorNumber
from lanebus.wire.kinds import Kind
from lanebus.wire.lanes import Lane
from lanebus.wire.messages import Ack, Bye, Done, Join, LaneWelcome, Limits, Settle, Settlement
from lanebus.wire.names import Role
from lanebus.wire.outcomes import Outcome, Reason
from lanebus.wire.pings import Pong


@pytest.fixture
def bench() -> Hand:
    return Hand()


# Connecting


def test_it_dials_the_critical_lane_and_says_hello_once(bench: Hand) -> None:
    bench.start()
    dial, hello = bench.take()
    assert dial == Dial(Lane.CRITICAL, ADDRESS)
    assert isinstance(hello, Send)
    lane, kind, message = opened(hello)
    assert (lane, kind) == (Lane.CRITICAL, Kind.HELLO)
    assert (message.name, message.role, message.process, message.token) == (
        "server:a",
        Role.SERVER,
        b"p" * 16,
        b"",
    )
    assert bench.state() is State.CONNECTING
    bench.core.start(bench.now)
    assert bench.take() == []


def test_the_welcome_leads_to_the_other_lanes_and_all_three_make_it_up(bench: Hand) -> None:
    bench.start().take()
    bench.say(Kind.WELCOME, welcome(ports=[5570, 6001, 6002]))
    actions = bench.take()
    assert [action for action in actions if isinstance(action, Dial)] == [
        Dial(Lane.NORMAL, "tcp://127.0.0.1:6001"),
        Dial(Lane.LOW, "tcp://127.0.0.1:6002"),
    ]
    hellos = [opened(action) for action in actions if isinstance(action, Send)]
    assert [(lane, kind, message.token) for lane, kind, message in hellos] == [
        (Lane.NORMAL, Kind.HELLO, b"token"),
        (Lane.LOW, Kind.HELLO, b"token"),
    ]
    bench.say(Kind.WELCOME, LaneWelcome(lane=1), lane=Lane.NORMAL)
    assert bench.state() is State.CONNECTING
    bench.say(Kind.WELCOME, LaneWelcome(lane=2), lane=Lane.LOW)
    assert (bench.core.state, bench.core.connects) == (State.UP, 1)


@pytest.mark.parametrize(
    ("dialled", "advertised", "expected"),
    [
        ("tcp://10.0.0.1:5570", "", "tcp://10.0.0.1:2"),
        ("tcp://10.0.0.1:5570", "game.example", "tcp://game.example:2"),
        ("tcp://[::1]:5570", "", "tcp://[::1]:2"),
        ("tcp://10.0.0.1:5570", "2001:db8::1", "tcp://[2001:db8::1]:2"),
    ],
)
def test_the_other_lanes_are_on_the_host_that_was_dialled_or_is_advertised(
    dialled: str, advertised: str, expected: str
) -> None:
    bench = Hand(brokers=(dialled,)).start()
    bench.take()
    bench.say(Kind.WELCOME, welcome(host=advertised))
    assert Dial(Lane.NORMAL, expected) in bench.take()


def test_what_the_broker_allows_is_adopted(bench: Hand) -> None:
    bench.up(
        limits=Limits(event_bytes=100),
        intervals_ms=[1.0, 2.0, 3.0],
        holds_ms=[0.5, 1.5, 2.5],
        window_batches=3,
        batch_bytes=500,
    )
    assert bench.core.limits.event_bytes == 100
    assert [lane.timing for lane in bench.core.outgoing.lanes] == [
        (0.001, 0.0005),
        (0.002, 0.0015),
        (0.003, 0.0025),
    ]
    assert (bench.core.outgoing.window.batches, bench.core.outgoing.window.batch_bytes) == (3, 500)


def test_without_a_welcome_in_time_it_goes_on_to_the_next_broker_with_a_fresh_link() -> None:
    bench = Hand(brokers=("tcp://a:1", "tcp://b:1")).start()
    first = bench.take()[1]
    bench.now += HELLO_TIMEOUT_S
    bench.end_turn()
    assert bench.take() == [HangUp(0.0)]
    bench.wait_for_retry()
    dial, hello = bench.take()
    assert dial == Dial(Lane.CRITICAL, "tcp://b:1")
    assert isinstance(first, Send)
    assert isinstance(hello, Send)
    assert header_of(hello.frame).incarnation == header_of(first.frame).incarnation + 1


def test_every_hello_says_the_generation_of_the_last_welcome(bench: Hand) -> None:
    said = []
    bench.start()
    for generation in (4, 6):
        bench.take()
        bench.welcome(generation=generation)
        bench.core.lost(bench.now)
        bench.take()
        bench.wait_for_retry()
        ((_, _, hello),) = bench.sent()
        said.append(hello.generation)
    assert said == [4, 6]


def test_retries_wait_as_the_backoff_says_and_begin_anew_after_a_success(bench: Hand) -> None:
    bench.start()
    for attempt in range(4):
        bench.core.lost(bench.now)
        retry_at = bench.core.next_timer()
        assert retry_at is not None
        assert 0.99 * MIN_WAIT_S <= retry_at - bench.now <= 2.01 * MIN_WAIT_S * 2**attempt
        bench.wait_for_retry()
    bench.welcome()
    bench.core.lost(bench.now)
    retry_at = bench.core.next_timer()
    assert retry_at is not None
    assert retry_at - bench.now <= 2.01 * MIN_WAIT_S


def test_a_broker_that_stays_silent_is_given_more_time_at_each_attempt(bench: Hand) -> None:
    bench.start()
    for patience_s in (HELLO_TIMEOUT_S, 2 * HELLO_TIMEOUT_S, 4 * HELLO_TIMEOUT_S):
        assert bench.core.next_timer() == pytest.approx(bench.now + patience_s)
        bench.now += patience_s
        bench.end_turn()
        bench.wait_for_retry()
    for _ in range(9):
        bench.now += MAX_HELLO_TIMEOUT_S
        bench.end_turn()
        bench.wait_for_retry()
    assert bench.core.next_timer() == pytest.approx(bench.now + MAX_HELLO_TIMEOUT_S)


def test_who_had_links_waits_longer_for_a_broker_to_which_everybody_comes_back(bench: Hand) -> None:
    bench.up()
    bench.core.lost(bench.now)
    bench.wait_for_retry()
    assert bench.core.next_timer() == pytest.approx(bench.now + RETURN_TIMEOUT_S)


def test_each_link_that_is_welcomed_gives_the_others_as_much_time_again(bench: Hand) -> None:
    bench.start()
    bench.now += HELLO_TIMEOUT_S - 0.1
    bench.say(Kind.WELCOME, welcome())
    bench.now += HELLO_TIMEOUT_S - 0.1
    bench.end_turn()
    assert bench.state() is State.CONNECTING
    bench.now += 0.1
    bench.end_turn()
    assert bench.core.next_timer() != bench.now
    assert HangUp(0.0) in bench.take()


def test_a_loss_is_noticed_once(bench: Hand) -> None:
    bench.up()
    bench.core.lost(bench.now)
    bench.core.lost(bench.now)
    assert bench.take() == [HangUp(0.0)]
    assert bench.state() is State.DOWN


@pytest.mark.parametrize("state", [State.NEW, State.CLOSED])
def test_without_links_none_can_be_lost(bench: Hand, state: State) -> None:
    bench.core.state = state
    bench.core.lost(bench.now)
    assert bench.take() == []


# Coming back


def test_it_presents_its_token_and_sends_again_what_a_broker_that_knows_it_has_not_acknowledged(
    bench: Hand,
) -> None:
    bench.up()
    for _ in range(2):
        bench.send()
        bench.core.flush(bench.now)
    bench.say(Kind.ACK, Ack([0, 1, 0]))
    bench.core.lost(bench.now)
    bench.take()
    bench.wait_for_retry()
    hello = bench.sent()[0][2]
    assert hello.token == b"token"
    bench.welcome(resumed=True)
    bench.end_turn()
    (again,) = [header for _, kind, header in bench.sent() if kind is Kind.BATCH]
    assert (again.number, again.event_count) == (1, 1)


def test_a_broker_that_does_not_know_it_gets_requests_first_and_then_the_whole_outbox(bench: Hand) -> None:
    bench.up()
    bench.core.request(Request(Kind.JOIN, lambda n: Join(request=n, group="g", member="server:a"), "joining"))
    bench.send()
    bench.core.flush(bench.now)
    bench.say(Kind.DONE, Done(request=1))
    bench.say(Kind.ACK, Ack([0, 1, 0]))
    bench.core.lost(bench.now)
    bench.take()
    bench.again(epoch=b"another")
    bench.end_turn()
    sent = bench.sent()
    assert [kind for kind in kinds(sent) if kind is not Kind.PING] == [
        Kind.HELLO,
        Kind.HELLO,
        Kind.JOIN,
        Kind.BATCH,
    ]
    assert bench.core.connects == 2


def test_frames_of_an_older_link_mean_nothing(bench: Hand) -> None:
    bench.up()
    bench.core.lost(bench.now)
    old = bench.incarnation
    bench.again(resumed=True)
    bench.take()
    bench.receive(frame(Kind.BYE, Bye(), incarnation=old))
    assert bench.state() is State.UP


def test_frames_behind_the_one_that_lost_the_links_mean_nothing(bench: Hand) -> None:
    bench.up()
    for _ in range(10):
        bench.error(ErrorNumber.BAD_BODY)
    assert bench.state() is State.DOWN
    bench.again()
    assert bench.state() is State.UP


def test_after_the_brokers_goodbye_the_next_is_dialled_very_soon(bench: Hand) -> None:
    bench.up()
    bench.say(Kind.BYE, Bye(reason="the broker is shutting down"))
    retry_at = bench.core.next_timer()
    assert retry_at is not None
    assert retry_at <= bench.now + MIN_WAIT_S


def test_a_broker_that_drains_refuses_nobody_for_good(bench: Hand) -> None:
    bench.start()
    for _ in range(3 * MAX_SAME_ERRORS):
        bench.error(ErrorNumber.DRAINING)
        bench.wait_for_retry()
    bench.welcome()
    assert bench.state() is State.UP


def test_the_brokers_goodbye_is_a_loss(bench: Hand) -> None:
    bench.up()
    bench.say(Kind.BYE, Bye(reason="the broker is shutting down"))
    assert bench.state() is State.DOWN
    bench.again()
    assert bench.state() is State.UP


# Giving up


def test_a_fenced_process_is_closed_for_good_and_its_remainder_is_unknown(bench: Hand) -> None:
    bench.up()
    bench.send()
    bench.error(ErrorNumber.FENCED)
    assert bench.state() is State.CLOSED
    assert isinstance(bench.core.failure, Closed)
    assert "was fenced: the reason" in str(bench.core.failure)
    assert [(each.outcome, each.reason) for _, each in bench.core.told] == [(Outcome.UNKNOWN, Reason.FENCED)]
    assert bench.take() == [HangUp(0.0)]
    bench.now += 1000.0
    bench.end_turn()
    assert bench.take() == []
    assert bench.core.next_timer() is None


@pytest.mark.parametrize("number", [ErrorNumber.BAD_NAME, ErrorNumber.NO_COMMON_VERSION])
def test_a_refusal_that_trying_again_cannot_mend_is_final(bench: Hand, number: ErrorNumber) -> None:
    bench.start().take()
    bench.error(number)
    assert bench.state() is State.CLOSED
    assert isinstance(bench.core.failure, HelloRefused)
    assert bench.core.failure.number == number


def test_the_same_error_again_and_again_is_final(bench: Hand) -> None:
    bench.start()
    for _ in range(MAX_SAME_ERRORS - 1):
        bench.error(ErrorNumber.FULL)
        assert bench.core.failure is None
        bench.wait_for_retry()
    bench.error(ErrorNumber.FULL)
    assert isinstance(bench.core.failure, HelloRefused)
    assert (bench.core.failure.number, bench.core.failure.detail) == (ErrorNumber.FULL, "the reason")


def test_the_same_error_once_in_a_while_is_not(bench: Hand) -> None:
    bench.up()
    for _ in range(3 * MAX_SAME_ERRORS):
        bench.now += ERROR_MEMORY_S + 1.0
        bench.error(ErrorNumber.BAD_BODY)
        bench.again()
    assert bench.state() is State.UP


def test_a_lost_session_is_never_final_and_keeps_its_token(bench: Hand) -> None:
    bench.up()
    for _ in range(3 * MAX_SAME_ERRORS):
        bench.error(ErrorNumber.NO_SESSION)
        bench.take()
        bench.wait_for_retry()
        assert bench.sent()[0][2].token == b"token"
        bench.welcome(resumed=True)
    assert bench.state() is State.UP


# Frames that break the protocol


@pytest.mark.parametrize(
    ("data", "number"),
    [
        (b"short", ErrorNumber.SHORT_FRAME),
        (frame(Kind.PONG, Ack([0, 0, 0])), ErrorNumber.BAD_BODY),
        (frame(Kind.WELCOME, welcome()), ErrorNumber.NOT_LEGAL_HERE),
        (frame(Kind.HELLO, welcome()), ErrorNumber.NOT_LEGAL_HERE),
        (frame(Kind.ACK, Ack([0, 0, 0]), lane=Lane.LOW), ErrorNumber.NOT_LEGAL_HERE),
        (frame(Kind.ACK, Ack([0, 5, 0])), ErrorNumber.BAD_ACK),
        (frame(Kind.ACK, Ack([0, 0, 0]), ack=3), ErrorNumber.BAD_ACK),
        (batch(2, [SENDER], [row(1, 1)], lane=Lane.CRITICAL), ErrorNumber.BATCH_GAP),
        (
            frame(
                Kind.SETTLE,
                Settle([0, 0, 0], [Settlement(0, 0, Lane.LOW, Outcome.DELIVERED, Reason.CLOSED, [1, 1])]),
            ),
            ErrorNumber.BAD_BODY,
        ),
    ],
)
def test_a_broker_that_breaks_the_protocol_is_told_and_left(
    bench: Hand, data: bytes, number: ErrorNumber
) -> None:
    bench.up()
    bench.receive(data)
    actions = bench.take()
    assert isinstance(actions[0], Send)
    _, kind, message = opened(actions[0])
    assert (kind, message.number) == (Kind.ERROR, number)
    assert actions[1:] == [HangUp(0.0)]
    assert bench.state() is State.DOWN


def test_a_message_of_several_frames_is_wrong(bench: Hand) -> None:
    bench.up()
    bench.receive(frame(Kind.BYE, Bye()), more=True)
    assert [message.number for _, _, message in bench.sent()] == [ErrorNumber.SEVERAL_FRAMES]


def test_nobody_is_told_before_there_is_a_link(bench: Hand) -> None:
    bench.start().take()
    bench.receive(b"short")
    assert bench.take() == [HangUp(0.0)]


# Time


def test_pings_carry_books_that_have_changed_and_their_answers_measure(bench: Hand) -> None:
    bench.start().take()
    bench.welcome(ping_interval_ms=1000.0)
    bench.end_turn()
    (ping,) = [message for _, kind, message in bench.sent() if kind is Kind.PING]
    assert ping.books == [(0, [[0] * 7] * 3)]
    bench.now += 0.02
    bench.say(Kind.PONG, Pong(ping.clock_us, 1000))
    assert bench.core.clock.rtt_s == pytest.approx(0.02, abs=1e-4)
    bench.now += 0.5
    bench.end_turn()
    assert bench.sent() == []
    bench.now += 0.5
    bench.end_turn()
    (ping,) = [message for _, kind, message in bench.sent() if kind is Kind.PING]
    assert ping.books == []
    assert ping.rtt_us == pytest.approx(20_000, abs=100)
    assert (ping.quality, ping.reason) == ("estimating", "1 of 5 samples")
    bench.now += 3.0
    bench.core.line.stalled(bench.now)
    bench.say(Kind.PONG, Pong(ping.clock_us, 40_000))
    assert bench.core.clock.rtt_s == pytest.approx(0.02, abs=1e-4), "it waited for the program"


def test_a_pong_from_the_future_measures_nothing(bench: Hand) -> None:
    bench.up()
    before = bench.core.clock.rtt_s
    bench.say(Kind.PONG, Pong(int((bench.now + 5) * 1e6), 0))
    assert bench.core.clock.rtt_s == before


def test_the_books_of_many_sessions_are_spread_over_pings() -> None:
    bench = Hand(role=Role.GATEWAY)
    for index in range(1, MAX_BOOKS + 10):
        bench.core.open_session(index, f"player:{index}", b"p" * 16, outbox_bytes=0, strict=False)
    bench.start().take()
    bench.welcome()
    counts: list[int] = []
    for _ in range(3):
        bench.end_turn()
        counts.extend(len(message.books) for _, kind, message in bench.sent() if kind is Kind.PING)
        bench.now += 2.0
        bench.say(Kind.PONG, Pong(0, 0))
    assert counts == [MAX_BOOKS, 10, 0]


def test_a_broker_that_is_silent_for_longer_than_its_lease_is_lost(bench: Hand) -> None:
    bench.up(ping_interval_ms=1000.0, lease_ms=3000.0)
    for _ in range(3):
        bench.now += 1.0
        bench.end_turn()
    assert bench.state() is State.UP
    bench.now += 1.0
    bench.end_turn()
    assert bench.state() is State.DOWN


def test_any_frame_proves_life(bench: Hand) -> None:
    bench.up(ping_interval_ms=1000.0, lease_ms=3000.0)
    for _ in range(10):
        bench.now += 1.0
        bench.say(Kind.ACK, Ack([0, 0, 0]))
        bench.end_turn()
    assert bench.state() is State.UP
