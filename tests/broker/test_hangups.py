"""Whom the broker has hung up on: counted each, told in the log now and then."""

import pytest

from lanebus.broker.hangups import TOLD_EVERY_S, HangUp, HangUps


def test_each_is_counted_by_its_reason() -> None:
    hang_ups = HangUps()
    for why in (HangUp.UNFINISHED, HangUp.GARBAGE, HangUp.UNFINISHED):
        hang_ups.note(why, ("10.0.0.1", 5), 0.0)
    assert hang_ups.totals == {HangUp.UNFINISHED: 2, HangUp.GARBAGE: 1, HangUp.NO_HELLO: 0, HangUp.NO_ROOM: 0}


def test_the_first_is_told_at_once_and_the_others_together(caplog: pytest.LogCaptureFixture) -> None:
    hang_ups = HangUps()
    hang_ups.note(HangUp.UNFINISHED, ("10.0.0.1", 5), 100.0)
    for number in range(1000):
        hang_ups.note(HangUp.NO_HELLO, f"10.0.0.{number % 9}", 101.0)
    hang_ups.note(HangUp.UNFINISHED, ("10.0.0.9", 5), 102.0)
    hang_ups.tell(100.0 + TOLD_EVERY_S - 0.1)
    assert [record.getMessage() for record in caplog.records] == [
        "! hung up on connections: 1 unfinished; the latest is from 10.0.0.1"
    ]
    hang_ups.tell(100.0 + TOLD_EVERY_S)
    hang_ups.tell(100.0 + 2 * TOLD_EVERY_S)
    assert [record.getMessage() for record in caplog.records[1:]] == [
        "! hung up on connections: 1000 no_hello, 1 unfinished; the latest is from 10.0.0.9"
    ]
