"""What a session remembers of the instances that its events went to."""

from lanebus.adapters.served import MAX_PER_SERVICE, ServedBy
from lanebus.wire.messages import MAX_SERVED_BY


def test_the_instances_of_a_service_are_told_oldest_first() -> None:
    served = ServedBy()
    served.note("combat", "server:a", [1, 1, 1])
    served.note("combat", "server:b", [1, 5, 1])
    served.note("chat", "server:a", [1, 2, 3])
    assert served.since([1, 1, 1]) == [
        ("combat", "server:a", [1, 1, 1]),
        ("combat", "server:b", [1, 5, 1]),
        ("chat", "server:a", [1, 2, 3]),
    ]


def test_an_instance_is_forgotten_when_nothing_is_unsettled_that_it_had() -> None:
    served = ServedBy()
    served.note("combat", "server:a", [1, 1, 1])
    served.note("combat", "server:b", [3, 5, 1])
    assert len(served.since([3, 4, 1])) == 2
    assert served.since([3, 5, 1]) == [("combat", "server:b", [3, 5, 1])]


def test_the_last_instance_is_never_forgotten() -> None:
    served = ServedBy()
    served.note("combat", "server:a", [1, 1, 1])
    assert served.since([900, 900, 900]) == [("combat", "server:a", [1, 1, 1])]


def test_what_is_remembered_is_bounded() -> None:
    served = ServedBy()
    for number in range(1, 3 * MAX_PER_SERVICE):
        served.note("combat", f"server:{number}", [number] * 3)
    assert len(served.since([1, 1, 1])) == MAX_PER_SERVICE
    for number in range(2 * MAX_SERVED_BY):
        served.note(f"service-{number}", "server:a", [1, 1, 1])
    assert len(served.since([1, 1, 1])) == MAX_SERVED_BY
