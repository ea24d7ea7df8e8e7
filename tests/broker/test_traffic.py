"""The counters of one session on one lane."""

from inspect import isdatadescriptor

from lanebus.broker.traffic import Traffic
from lanebus.wire.lanes import Lane
from lanebus.wire.reports import LaneTimes


def test_parts_of_one_batch_are_one_batch() -> None:
    traffic = Traffic()
    for batch, size_bytes in ((7, 10), (7, 20), (9, 5)):
        traffic.sent(batch, size_bytes)
    assert (traffic.events_out, traffic.bytes_out, traffic.batches_out) == (3, 35, 2)


def test_who_has_settled_nothing_has_no_times() -> None:
    assert Traffic().settled_after is None


def test_the_time_until_a_part_is_settled_is_kept_in_a_histogram() -> None:
    traffic = Traffic()
    traffic.settled(0.25)
    histogram = traffic.settled_after
    assert histogram is not None
    assert (histogram.count, histogram.max_us) == (1, 250_000)
    lately = traffic.settled_lately
    assert lately is not None
    assert lately.count == 1


def test_what_was_settled_longer_ago_is_not_of_lately() -> None:
    idle, traffic = Traffic(), Traffic()
    for after_s in (2.0, 0.1):
        traffic.settled(after_s)
        for each in (idle, traffic):
            each.note()
    traffic.note()
    lately, all_of_it = traffic.settled_lately, traffic.settled_after
    assert lately is not None
    assert all_of_it is not None
    assert (lately.count, all_of_it.count) == (0, 2)
    assert idle.settled_lately is None
    traffic.settled(0.1)
    assert lately is not traffic.settled_lately


def test_counters_are_added_one_by_one() -> None:
    one, other = Traffic(), Traffic()
    for place, name in enumerate(Traffic.COUNTERS):
        setattr(one, name, 1)
        setattr(other, name, place)
    one.add(other)
    assert [getattr(one, name) for name in Traffic.COUNTERS] == list(range(1, 1 + len(Traffic.COUNTERS)))
    attributes = {name for name, value in vars(Traffic).items() if isdatadescriptor(value)}
    counted = (
        attributes
        - {"last_batch", "_settled", "_lately", "settled_after", "settled_lately"}
        - {
            "_handled",
            "_handled_lately",
            "handled_after",
            "handled_lately",
        }
    )
    assert counted == set(Traffic.COUNTERS), "a counter that is not added falls when its session ends"


def test_what_it_says_of_its_handlers_is_added_up_and_the_last_minute_kept_apart() -> None:
    traffic = Traffic()
    assert Traffic().handled_after is None
    assert Traffic().handled_lately is None
    traffic.note()
    traffic.handled(LaneTimes(Lane.LOW, 30, 20, [10, 1, 18, 2]))
    for _ in range(2):
        traffic.note()
    traffic.handled(LaneTimes(Lane.LOW, 5, 5, [5, 1]))
    whole, lately = traffic.handled_after, traffic.handled_lately
    assert whole is not None
    assert lately is not None
    assert (whole.count, whole.sum_us, whole.max_us, lately.count) == (4, 35, 20, 1)
