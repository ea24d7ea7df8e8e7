"""Floods: buckets of one process for control messages, their bytes, and raw bytes."""

from lanebus.broker.floods import ANSWER_BYTES, MAX_ANSWERS, floods_of
from lanebus.conf.policy import PLAYERS, Policy


def test_nothing_is_counted_without_a_limit() -> None:
    assert floods_of(Policy(), 0.0) is None


def test_messages_fit_by_rate_and_burst() -> None:
    floods = floods_of(Policy(control_messages_per_s=10.0, control_burst_s=2.0), 0.0)
    assert floods is not None
    assert [floods.takes_control(1000, 0.0) for _ in range(21)].count(True) == 20
    assert [floods.takes_control(1000, 1.0) for _ in range(11)].count(True) == 10
    assert floods.takes_raw(1 << 30, 1.0)


def test_their_bytes_count_too() -> None:
    floods = floods_of(Policy(control_bytes_per_s=100.0, control_burst_s=1.0), 0.0)
    assert floods is not None
    assert floods.takes_control(90, 0.0)
    # The one that does not fit is taken, and its debt waited for.
    assert floods.takes_control(90, 0.0)
    assert not floods.takes_control(1, 0.0)
    assert not floods.takes_control(1, 0.5)
    assert floods.takes_control(1, 1.0)


def test_a_message_is_too_much_if_either_is() -> None:
    policy = Policy(control_messages_per_s=1.0, control_bytes_per_s=1000.0, control_burst_s=1.0)
    floods = floods_of(policy, 0.0)
    assert floods is not None
    assert floods.takes_control(1, 0.0)
    assert not floods.takes_control(1, 0.0)


def test_an_answer_to_each_batch_is_free() -> None:
    floods = floods_of(Policy(control_messages_per_s=1.0, control_bytes_per_s=10.0, control_burst_s=1.0), 0.0)
    assert floods is not None
    for _ in range(3):
        floods.answerable(10)
    assert all(floods.takes_answer(10 * ANSWER_BYTES, 0.0) for _ in range(3))
    # One more is as any other message.
    assert floods.takes_answer(1, 0.0)
    assert not floods.takes_answer(1, 0.0)
    assert not floods.takes_control(1, 0.0)


def test_answers_that_are_larger_than_any_have_to_be_are_counted() -> None:
    floods = floods_of(Policy(control_bytes_per_s=10.0, control_burst_s=1.0), 0.0)
    assert floods is not None
    floods.answerable(1)
    floods.answerable(1)
    assert floods.takes_answer(4 * ANSWER_BYTES + 10, 0.0)
    assert not floods.takes_answer(1, 0.0)


def test_answers_are_not_saved_up_without_end() -> None:
    floods = floods_of(Policy(control_messages_per_s=1.0, control_burst_s=1.0), 0.0)
    assert floods is not None
    for _ in range(3 * MAX_ANSWERS):
        floods.answerable(4096)
    assert [floods.takes_answer(1, 0.0) for _ in range(3 * MAX_ANSWERS)].count(True) == MAX_ANSWERS + 1


def test_raw_bytes_are_limited_only_where_bytes_are() -> None:
    floods = floods_of(Policy(up_bytes_per_s=1.0, raw_bytes_per_s=100.0, raw_burst_s=2.0), 0.0)
    assert floods is not None
    assert [floods.takes_raw(50, 0.0) for _ in range(5)] == [True, True, True, True, False]
    assert floods.takes_raw(50, 0.5)
    assert floods_of(Policy(raw_bytes_per_s=100.0), 0.0) is None


def test_a_player_has_room_for_what_an_adapter_says() -> None:
    floods = floods_of(PLAYERS, 0.0)
    assert floods is not None
    # A ping every two seconds, a settlement every 200 ms, and half as many again at once.
    for tenth in range(600):
        assert floods.takes_control(200, tenth / 10)
        assert floods.takes_raw(5_120, tenth / 10)
    # An outbox, sent again after a reconnect.
    assert all(floods.takes_raw(32_768, 60.0) for _ in range(256))
