"""When what is sent leaves: with the next turn, or with a later send where there is none."""

import time

from tests.adapters.real import until

from lanebus.adapters.loop import Loop
from lanebus.adapters.server import ServerAdapter
from lanebus.wire.lanes import LANES, Lane


def pass_hold(adapter: ServerAdapter, lane: Lane) -> None:
    """Let time pass, as a program that is busy with something else does."""
    end = time.monotonic() + adapter.core.outgoing.lanes[lane].timing.hold_s + 0.01
    while (left_s := end - time.monotonic()) > 0:
        time.sleep(left_s)


def test_a_send_takes_along_what_has_waited_for_its_hold_though_nobody_polls(
    pair: tuple[ServerAdapter, ServerAdapter],
) -> None:
    one, other = pair
    got: list[str] = []
    other.on("t")(lambda event: got.append(event.lane.label))
    for lane in LANES:
        one.send("t", to="server:b", lane=lane)
        pass_hold(one, lane)
    assert one.core.outgoing.lanes[Lane.CRITICAL].stats.batches_out == 1, "it left with the next lane's"
    assert not one.core.outgoing.lanes[Lane.NORMAL].queue
    one.send("t", to="server:b", lane="critical")
    until(lambda: len(got) == 3, other, what="all that waited have come, and their sender was never polled")
    assert sorted(got) == ["critical", "low", "normal"]
    # What was sent last has not waited yet.
    assert len(one.core.outgoing.lanes[Lane.CRITICAL].queue) == 1


def test_what_is_sent_together_leaves_together(pair: tuple[ServerAdapter, ServerAdapter]) -> None:
    one, other = pair
    other.on("t")(lambda event: None)
    for tick in range(1, 4):
        pass_hold(one, Lane.CRITICAL)
        for number in range(50):
            one.send("t", number, to="server:b", lane="critical")
        one.flush()
        assert one.stats()["lanes"]["critical"]["batches_out"] == tick
    until(lambda: not one.in_flight, one, other, what="all is settled")


def test_nothing_leaves_in_the_middle_of_a_turn_or_where_a_loop_gives_turns(
    pair: tuple[ServerAdapter, ServerAdapter],
) -> None:
    one, other = pair
    left: list[int] = []
    out = one.core.outgoing.lanes[Lane.CRITICAL].stats

    def send_slowly() -> int:
        before = out.batches_out
        for _ in range(2):
            one.send("t", to="server:b", lane="critical")
            pass_hold(one, Lane.CRITICAL)
        one.send("t", to="server:b", lane="critical")
        return out.batches_out - before

    other.on("t")(lambda event: None)
    one.on("go")(lambda event: left.append(send_slowly()))
    other.send("go", to="server:a", flush=True)
    until(
        lambda: left == [0],
        one,
        other,
        what="the handler has run, and its events leave at the end of its turn",
    )
    loop = Loop()
    loop.add(one)
    assert send_slowly() == 0
    loop.remove(one)
    loop.close()
    until(lambda: not one.in_flight, one, other, what="all is settled")
