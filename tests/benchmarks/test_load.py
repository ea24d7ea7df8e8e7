"""What is due when, and when a receiver has everything."""

import time
from typing import Any

import pytest
from benchmarks.lab.load import IDLE_S, Flow, Inbox, Load, Tally

DATA = ["a", "b"]


class Clock:
    """Stands in for the monotonic clock of a module."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 100.0
        monkeypatch.setattr(time, "monotonic", lambda: self.now)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


def numbers(taken: list[tuple[Flow, list[Any]]] | None) -> list[int]:
    assert taken is not None
    return [payload[2] for _, payload in taken]


def test_without_a_rate_everything_is_due_in_portions(clock: Clock) -> None:
    load = Load([Flow("normal", 5)], DATA, in_flight=10)
    load.begin()
    assert numbers(load.take(3)) == [0, 1, 2]
    assert numbers(load.take(3)) == [3, 4]
    assert load.take(3) is None
    assert load.sent() == 5


def test_at_a_rate_events_are_due_at_their_times_and_say_so(clock: Clock) -> None:
    load = Load([Flow("critical", 4, rate=10.0)], DATA, in_flight=10)
    load.begin()
    assert load.take() == [(load.flows[0], [100.0, 0, 0, "a"])]
    assert load.take() == []
    assert load.next_due_s() == pytest.approx(100.1)
    assert load.rest() == pytest.approx(0.1)
    # The sender comes late: what it sends says when it was due, and not when it was sent.
    clock.now = 100.25
    late = load.take()
    assert late is not None
    assert [payload[0] for _, payload in late] == pytest.approx([100.1, 100.2])


def test_what_has_a_rate_goes_before_what_has_none(clock: Clock) -> None:
    load = Load([Flow("critical", 2, rate=10.0), Flow("low", 100)], DATA, in_flight=10)
    load.begin()
    taken = load.take(3)
    assert taken is not None
    assert [flow.lane for flow, _ in taken] == ["critical", "low", "low"]
    assert taken[1][1][0] == 0.0


def test_flows_without_a_count_end_when_they_are_told(clock: Clock) -> None:
    tally = Tally()
    load = Load([Flow("low", None)], DATA, in_flight=10, until=tally)
    load.begin()
    assert len(load.take(7) or []) == 7
    assert len(load.take(7) or []) == 7
    tally[Tally.STOP_FLOWS] = 1.0
    assert load.take(7) is None


def test_an_inbox_is_over_when_as_much_has_come_as_was_sent(clock: Clock) -> None:
    tally = Tally()
    inbox = Inbox(tally, lambda: None)
    inbox.handle([0.0, 1, 0, "a"])
    assert not inbox.over()
    tally[Tally.SENT] = 2
    assert not inbox.over()
    clock.now += 0.5
    inbox.handle([100.2, 0, 1, "b"])
    assert inbox.over()
    assert tally[Tally.HANDLED] == 2
    assert tally[Tally.LAST_S] == 100.5
    assert inbox.latencies[0].tolist() == pytest.approx([0.3])
    assert not inbox.latencies[1]


def test_what_was_lost_is_not_waited_for_for_ever(clock: Clock) -> None:
    tally = Tally()
    inbox = Inbox(tally, lambda: None)
    inbox.handle([0.0, 1, 0, "a"])
    tally[Tally.SENT] = 2
    assert not inbox.over()
    clock.now += IDLE_S + 0.1
    assert inbox.over()


def test_beside_other_load_an_inbox_waits_to_be_told(clock: Clock) -> None:
    tally = Tally()
    inbox = Inbox(tally, lambda: None, waits_for_stop=True)
    tally[Tally.SENT] = 1
    inbox.handle([0.0, 1, 0, "a"])
    assert not inbox.over()
    tally[Tally.STOP] = 1.0
    assert inbox.over()


def test_a_sender_says_that_it_is_connected_and_waits_to_be_told(monkeypatch: pytest.MonkeyPatch) -> None:
    tally = Tally()
    waited: list[float] = []

    def sleep(seconds: float) -> None:
        waited.append(seconds)
        assert tally[Tally.CONNECTED]
        tally[Tally.GO] = 1.0

    monkeypatch.setattr(time, "sleep", sleep)
    Load([], DATA, in_flight=1, gate=(tally, Tally.CONNECTED, Tally.GO)).begin()
    assert len(waited) == 1


def test_a_gate_is_not_waited_for_for_ever(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    def sleep(seconds: float) -> None:
        clock.now += 10.0

    monkeypatch.setattr(time, "sleep", sleep)
    assert not Tally().wait_for(Tally.GO, 30.0)
