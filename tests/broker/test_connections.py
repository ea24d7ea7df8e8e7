"""What is known of a socket's connections, and whose links are in doubt when one of them ends."""

from lanebus.broker.connections import CLAIMS, DOUBTS, Connections, Doubts
from lanebus.wire.lanes import Lane


def test_the_end_of_a_connection_is_that_of_the_link_that_came_by_it() -> None:
    connections = Connections(Lane.LOW)
    connections.accepted(7, 0.0)
    connections.accepted(8, 0.0)
    assert len(connections) == 2
    assert connections.said_hello(7, b"a") == []
    assert connections.said_hello(7, b"a") == []
    assert connections.ended(8) == []
    assert connections.ended(7) == [b"a"]
    assert connections.ended(7) == []
    assert len(connections) == 0


def test_a_descriptor_that_is_used_again_is_another_connection() -> None:
    connections = Connections(Lane.LOW)
    connections.accepted(7, 0.0)
    connections.said_hello(7, b"a")
    assert connections.ended(7) == [b"a"]
    connections.accepted(7, 1.0)
    assert connections.said_hello(7, b"b") == []
    assert connections.ended(7) == [b"b"]


def test_a_hello_by_a_connection_that_has_ended_is_in_doubt() -> None:
    connections = Connections(Lane.LOW)
    assert connections.said_hello(7, b"a") == [b"a"]
    connections.accepted(7, 0.0)
    connections.ended(7)
    assert connections.said_hello(7, b"b") == [b"b"]


def test_two_hellos_by_one_connection_leave_both_in_doubt_whichever_was_read_first() -> None:
    connections = Connections(Lane.LOW)
    connections.accepted(7, 0.0)
    connections.said_hello(7, b"of the earlier one")
    assert connections.said_hello(7, b"b") == [b"of the earlier one", b"b"]
    assert connections.ended(7) == [b"of the earlier one", b"b"]


def test_of_those_who_claim_a_connection_a_few_are_kept() -> None:
    connections = Connections(Lane.LOW)
    connections.accepted(7, 0.0)
    for number in range(100):
        connections.said_hello(7, b"%d" % number)
    assert connections.ended(7) == [b"%d" % number for number in range(100 - CLAIMS, 100)]


def test_who_is_in_doubt_is_spoken_to_a_few_times_and_then_believed() -> None:
    doubts = Doubts()
    are_new = [doubts.has_new]
    doubts.note([b"a", b"b"])
    are_new.append(doubts.has_new)
    assert doubts.take() == [b"a", b"b"]
    assert [*are_new, doubts.has_new] == [False, True, False]
    doubts.settled(b"a")
    doubts.settled(b"unknown")
    assert [doubts.take() for _ in range(DOUBTS)] == [[b"b"]] * (DOUBTS - 1) + [[]]


def test_a_new_doubt_begins_anew() -> None:
    doubts = Doubts()
    doubts.note([b"a"])
    doubts.take()
    doubts.note([b"a"])
    assert [len(doubts.take()) for _ in range(DOUBTS + 1)] == [1] * DOUBTS + [0]


def test_strangers_are_those_by_whom_no_hello_has_come() -> None:
    connections = Connections(Lane.LOW)
    for descriptor in (7, 8, 9):
        connections.accepted(descriptor, float(descriptor))
    connections.said_hello(8, b"a")
    connections.ended(9)
    assert [each.descriptor for each in connections.strangers()] == [7]
    assert [(each.descriptor, each.accepted_at, each.lane) for each in connections] == [
        (7, 7.0, Lane.LOW),
        (8, 8.0, Lane.LOW),
    ]


def test_one_that_is_accepted_on_a_descriptor_ends_the_one_before() -> None:
    connections = Connections(Lane.LOW)
    connections.accepted(7, 0.0)
    connections.said_hello(7, b"a")
    (before,) = connections
    connections.accepted(7, 1.0)
    (after,) = connections
    assert (before.is_over, after.is_over, after.routes) == (True, False, [])
    assert connections.strangers() == [after]


def test_one_that_was_hung_up_on_counts_no_more_and_its_end_is_told_once() -> None:
    connections = Connections(Lane.LOW)
    for descriptor in (7, 8, 9):
        connections.accepted(descriptor, 0.0)
    connections.said_hello(8, b"a")
    stranger, peer, _ = connections
    for each in (stranger, stranger, peer):
        connections.hung_up(each)
    assert (len(connections), stranger.is_over, peer.is_over) == (1, True, True)
    assert [each.descriptor for each in connections.strangers()] == [9]
    assert [connections.ended(descriptor) for descriptor in (7, 8)] == [[], [b"a"]]
    assert len(connections) == 1
    connections.ended(9)
    assert len(connections) == 0


def test_requests_are_counted_by_connection() -> None:
    connections = Connections(None)
    connections.accepted(7, 0.0)
    for descriptor in (7, 7, 8):
        connections.spoke(descriptor)
    assert [each.messages for each in connections] == [2]
