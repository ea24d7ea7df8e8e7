"""An event on its way out, and the newer value that gets its place."""

from tests.adapters.parts import accept, sessions


def test_a_newer_value_keeps_the_place_and_the_time_of_the_older_one() -> None:
    session = sessions()[0]
    older = accept(session, payload=b"old", now=1.0)
    newer = accept(session, payload=b"newer", now=2.0, after=3)
    older.become(newer)
    assert (older.number, older.payload, older.after, older.size) == (2, b"newer", 3, newer.size)
    assert older.receipt is newer.receipt
    assert older.sent_at == 1.0


def test_two_events_are_never_equal_and_can_be_filed() -> None:
    session = sessions()[0]
    one, other = accept(session), accept(session)
    assert one != other
    assert len({one, other}) == 2
