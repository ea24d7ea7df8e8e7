"""What a core asks of its driver, and the states that programs see."""

from lanebus.adapters.actions import Dial, HangUp, Send, State
from lanebus.wire.lanes import Lane


def test_the_states_are_the_words_that_programs_compare() -> None:
    assert [state.value for state in State] == ["new", "connecting", "up", "down", "closed"]


def test_actions_are_told_apart_by_their_class_and_compared_by_their_content() -> None:
    assert Dial(Lane.LOW, "tcp://a:1") == Dial(Lane.LOW, "tcp://a:1")
    assert Send(Lane.LOW, b"x") != Send(Lane.CRITICAL, b"x")
    assert HangUp(0.5).linger_s == 0.5
