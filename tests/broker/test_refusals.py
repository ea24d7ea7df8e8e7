"""Refusals: counted by sender and by receiver, with topic and reason, and bounded whatever anybody sends."""

from lanebus.broker.refusals import LATELY_S, NAMES_REMEMBERED, OTHER_TOPICS, ROWS_PER_NAME, Refusals
from lanebus.wire.outcomes import Reason


def test_both_sides_know_what_was_refused_and_why() -> None:
    refusals = Refusals()
    for now in (1.0, 2.0):
        refusals.note("player:1", "server:a", "t", Reason.NO_HANDLER, now)
    refusals.note("player:1", "", "tpyo", Reason.NO_SERVICE, 3.0)
    assert [each.as_dict(5.0) for each in refusals.of_sender("player:1")] == [
        {
            "topic": "tpyo",
            "reason": "no_service",
            "sender": "player:1",
            "receiver": "",
            "count": 1,
            "last_ago_s": 2.0,
        },
        {
            "topic": "t",
            "reason": "no_handler",
            "sender": "player:1",
            "receiver": "server:a",
            "count": 2,
            "last_ago_s": 3.0,
        },
    ]
    assert [(each.topic, each.sender) for each in refusals.by_receiver("server:a")] == [("t", "player:1")]
    assert refusals.of_sender("server:a") == refusals.by_receiver("player:1") == []


def test_what_was_refused_lately_is_found_the_latest_sender_first() -> None:
    refusals = Refusals()
    for number in range(4):
        refusals.note(f"player:{number}", "", "t", Reason.NO_SERVICE, float(number))
    refusals.note("player:1", "", "t", Reason.NO_SERVICE, 10.0)
    assert [each.sender for each in refusals.lately(2, 10.0)] == ["player:1", "player:3"]
    assert [each.sender for each in refusals.lately(9, 2.5 + LATELY_S)] == ["player:1", "player:3"]
    assert refusals.lately(9, 11.0 + LATELY_S) == []


def test_one_name_takes_so_many_rows_and_the_rest_is_one() -> None:
    refusals = Refusals()
    for number in range(ROWS_PER_NAME + 40):
        refusals.note("player:1", f"server:{number}", f"t{number}", Reason.NO_HANDLER, float(number))
    rows = refusals.of_sender("player:1")
    assert len(rows) == ROWS_PER_NAME + 1
    assert (rows[0].topic, rows[0].receiver, rows[0].count) == (OTHER_TOPICS, "", 40)
    assert sum(each.count for each in rows) == ROWS_PER_NAME + 40


def test_so_many_names_are_remembered_and_the_quietest_are_forgotten() -> None:
    refusals = Refusals()
    refusals.note("player:first", "server:a", "t", Reason.NO_HANDLER, 0.0)
    for number in range(NAMES_REMEMBERED):
        refusals.note(f"player:{number}", "server:a", "t", Reason.NO_HANDLER, 1.0)
    assert refusals.of_sender("player:first") == []
    assert refusals.of_sender("player:0")
    assert len(refusals.by_receiver("server:a")) == ROWS_PER_NAME + 1
