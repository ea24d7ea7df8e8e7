"""Deliveries counted at both ends: nothing that is missing is made up for by what came twice."""

from typing import Any

from lanebus.cli.demo_ledger import Ledger
from lanebus.cli.demo_reports import ARENA, Report
from lanebus.wire.outcomes import OUTCOME_NAMES, Book


def report(accepted: int = 0, delivered: int = 0, dropped: int = 0, **others: Any) -> Report:
    """A process' report; each lane has the same book."""
    ended = [0] * len(OUTCOME_NAMES)
    ended[OUTCOME_NAMES.index("delivered")] = delivered
    ended[OUTCOME_NAMES.index("dropped")] = dropped
    book = Book(accepted, ended).as_list()
    return Report(
        connected=1,
        playing=1,
        resting=True,
        in_flight=0,
        latencies=([], [], []),
        books=(book, book, book),
        **others,
    )


def test_what_was_meant_was_handled() -> None:
    server = report(5, 5, meant={"player:a": [2, 3, 5], "player:b": [2, 3, 5]}, handled={ARENA: [4, 4, 4]})
    bots = [report(3, 3, handled={"player:a": [2, 3, 5]}), report(1, 1, handled={"player:b": [2, 3, 5]})]
    ledger = Ledger.of(server, bots)
    assert (ledger.meant, ledger.handled, ledger.lost, ledger.duplicated) == (32, 32, 0, 0)


def test_one_receiver_s_surplus_does_not_hide_another_s_loss() -> None:
    server = report(meant={"player:a": [5, 0, 0], "player:b": [5, 0, 0]})
    ledger = Ledger.of(server, [report(handled={"player:a": [4, 0, 0], "player:b": [6, 0, 0]})])
    assert (ledger.meant, ledger.handled, ledger.lost, ledger.duplicated) == (10, 10, 1, 1)


def test_nor_one_lane_s_another_s() -> None:
    server = report(meant={"player:a": [5, 5, 0]})
    ledger = Ledger.of(server, [report(handled={"player:a": [4, 6, 0]})])
    assert (ledger.lost, ledger.duplicated) == (1, 1)


def test_what_came_again_is_counted_though_it_was_not_handled_as_new() -> None:
    server = report(meant={"player:a": [5, 0, 0]}, repeated=1)
    assert Ledger.of(server, [report(handled={"player:a": [5, 0, 0]}, repeated=2)]).duplicated == 3


def test_what_its_sender_knows_to_be_undelivered_is_not_lost() -> None:
    server = report(meant={"player:a": [5, 0, 0]}, ended_otherwise=2)
    bots = [report(4, 3, dropped=1, handled={"player:a": [2, 0, 0], ARENA: [3, 3, 3]})]
    ledger = Ledger.of(server, bots)
    assert (ledger.ended_otherwise, ledger.lost) == (5, 1)


def test_what_a_newcomer_got_of_the_time_before_its_join_was_meant_for_nobody() -> None:
    server = report(meant={"player:a": [3, 0, 0]}, first_meant={"player:a": [7, 0, 0]})
    bot = report(handled={"player:a": [5, 1, 0]}, firsts={"player:a": [[5, 6, 7, 8, 9], [2], []]})
    ledger = Ledger.of(server, [bot])
    assert (ledger.meant, ledger.handled, ledger.lost, ledger.duplicated) == (3, 3, 0, 0)
    # It makes up for nothing that is missing later.
    bot = report(handled={"player:a": [4, 0, 0]}, firsts={"player:a": [[5, 6, 7, 9], [], []]})
    assert Ledger.of(server, [bot]).lost == 1


def test_before_any_report_there_is_nothing() -> None:
    assert Ledger.of(None, []).meant == 0
