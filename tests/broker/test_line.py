"""A line's figures, from what the peer and the kernel say."""

from statistics import stdev

import pytest

from lanebus.broker.line import LOST, MIN_SENT, NETWORK, RING_SAMPLES, SENT, Line
from lanebus.broker.tcpinfo import Look
from lanebus.wire.quality import Figures

PING_S = 2.0
WINDOW_S = 20.0


def look(
    rtt_ms: float = 30.0,
    deviation_ms: float = 4.0,
    least_rtt_ms: float = 20.0,
    segments: int = 0,
    again: int = 0,
    peer: object = "far",
) -> Look:
    return Look(peer, rtt_ms, deviation_ms, least_rtt_ms, segments, again)


def line_of(*rtts_ms: float | None) -> Line:
    """A line on which the peer has pinged at 0 s, 2 s, and so on."""
    line = Line(0.0)
    for number, rtt_ms in enumerate(rtts_ms):
        assert line.ping(rtt_ms, PING_S, 0.0, number * PING_S)
    return line


def figures(line: Line, now: float = 18.0) -> Figures:
    return line.figures(WINDOW_S, now)


def test_without_samples_there_are_no_figures() -> None:
    assert figures(Line(0.0)) == Figures(0)


def test_a_first_sample_has_a_round_trip_and_nothing_else() -> None:
    line = line_of(40.0)
    line.network(look(segments=900, again=300))
    assert figures(line) == Figures(1, 40.0)


def test_the_jitter_is_a_standard_deviation() -> None:
    rtts = [10.0, 60.0, 35.0, 20.0]
    assert figures(line_of(*rtts)).jitter_ms == pytest.approx(stdev(rtts))


def test_the_kernels_round_trip_is_the_networks() -> None:
    line = line_of(90.0)
    line.network(look())
    for number in range(1, 6):
        line.ping(90.0, PING_S, 0.0, number * PING_S)
        line.network(look(rtt_ms=30.0))
    assert figures(line).rtt_ms == pytest.approx(30.0)
    assert line.mean_of(NETWORK, WINDOW_S, 18.0) == pytest.approx(30.0)


@pytest.mark.parametrize(("app_ms", "network_ms"), [(90.0, 30.0), (24.0, 24.0), (0.1, 20.0), (None, 30.0)])
def test_delayed_acknowledgements_are_not_the_network_nor_is_what_a_peer_makes_up(
    app_ms: float | None, network_ms: float
) -> None:
    line = line_of(None)
    line.network(look())
    line.ping(app_ms, PING_S, 0.0, 2.0)
    line.network(look(rtt_ms=30.0, least_rtt_ms=20.0))
    assert line.mean_of(NETWORK, WINDOW_S, 2.0) == pytest.approx(network_ms)


def test_another_connection_of_the_same_descriptor_is_not_counted() -> None:
    line = line_of(30.0)
    line.network(look(segments=10))
    line.ping(30.0, PING_S, 0.0, 2.0)
    line.network(look(segments=5000, again=2000, peer="somebody else"))
    assert line.mean_of(NETWORK, WINDOW_S, 2.0) is None
    assert (line.ring.last(SENT), line.ring.last(LOST)) == (1.0, 0.0)


def test_the_loss_is_the_share_of_segments_sent_again() -> None:
    line = line_of(30.0)
    line.network(look(segments=1000, again=50))
    line.ping(30.0, PING_S, 0.0, 2.0)
    line.network(look(segments=1098, again=52))
    assert figures(line).loss_share == pytest.approx(2 / 100)


def test_the_kernels_counters_may_begin_again() -> None:
    line = line_of(30.0)
    line.network(look(segments=0xFFFF_FFF0, again=0xFFFF_FFFF))
    line.ping(30.0, PING_S, 0.0, 2.0)
    line.network(look(segments=0x52, again=0))
    assert figures(line).loss_share == pytest.approx(1 / 100)


def test_of_too_few_sent_nothing_is_said() -> None:
    line = line_of(*(30.0,) * (MIN_SENT // 2 - 1))
    line.resent(1)
    line.ping(30.0, PING_S, 0.0, 18.0)
    assert figures(line).loss_share is None
    # Never infinite, never above one.
    line.resent(MIN_SENT)
    line.ping(30.0, PING_S, 0.0, 20.0)
    share = line.figures(WINDOW_S, 20.0).loss_share
    assert share is not None
    assert 0.5 < share < 1.0


def test_pings_that_did_not_come_are_lost() -> None:
    line = line_of(*(30.0,) * 3)
    line.ping(30.0, PING_S, 0.0, 4.0 + 2.9)
    assert line.ring.last(LOST) == 0.0
    line.ping(30.0, PING_S, 0.0, 6.9 + 8.2)
    assert (line.ring.last(SENT), line.ring.last(LOST)) == (4.0, 3.0)


def test_a_flood_of_pings_is_one_sample() -> None:
    line = line_of(30.0)
    assert not any(line.ping(1.0, PING_S, 0.0, 0.001 * number) for number in range(900))
    assert figures(line) == Figures(1, 30.0)


def test_what_is_older_than_the_window_does_not_count() -> None:
    line = line_of(*(900.0,) * 10, *(20.0,) * 10)
    assert figures(line, 38.0) == Figures(10, 20.0, 0.0)


def test_fresh_links_are_judged_by_their_own_samples() -> None:
    line = line_of(*(900.0,) * 5)
    line.network(look(segments=100))
    line.relinked(9.0)
    line.resent(3)
    assert figures(line, 9.0) == Figures(0)
    # The time without links is an outage, and no pings that failed to come.
    line.ping(20.0, PING_S, 0.0, 9.0)
    assert (line.ring.last(SENT), line.ring.last(LOST)) == (4.0, 3.0)
    line.network(look(segments=7))
    assert figures(line, 10.0) == Figures(1, 20.0)


def test_the_ring_is_bounded() -> None:
    assert len(line_of(*(20.0,) * (2 * RING_SAMPLES)).ring) == RING_SAMPLES


def test_pings_that_were_never_sent_are_not_lost() -> None:
    line = line_of(*(30.0,) * 3)
    assert line.ping(30.0, PING_S, 5.0, 4.0 + 2.0 + 5.0)
    assert (line.ring.last(SENT), line.ring.last(LOST)) == (1.0, 0.0)
    # What is missing beside that is.
    assert line.ping(30.0, PING_S, 5.0, 11.0 + 8.2 + 5.0)
    assert (line.ring.last(SENT), line.ring.last(LOST)) == (4.0, 3.0)


def test_pings_that_come_all_at_once_after_all_are_not_lost() -> None:
    line = line_of(*(30.0,) * 3)
    assert line.ping(30.0, PING_S, 0.0, 12.1)
    assert line.ring.last(LOST) == 3.0
    for left in (2.0, 1.0, 0.0, 0.0):
        assert not line.ping(30.0, PING_S, 0.0, 12.1)
        assert line.ring.last(LOST) == left
