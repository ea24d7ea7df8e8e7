"""Made-up matches, and slices of matches."""

from pathlib import Path
from random import Random

import msgspec
import pytest
from benchmarks.lab import events

from lanebus.cli.exits import CliError
from lanebus.cli.traces import read_trace


@pytest.fixture(scope="module")
def made_up(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return events.make_up(tmp_path_factory.mktemp("matches"))


def test_made_up_matches_have_the_rates_and_sizes_of_recorded_ones(made_up: list[Path]) -> None:
    trace = read_trace(made_up[0])
    assert len(trace.players) == events.PLAYERS
    down = sum(sender == "server" for sender in trace.senders) / trace.duration_s
    up = (len(trace.senders) / trace.duration_s - down) / events.PLAYERS
    assert down == pytest.approx(events.DOWN_PER_S, rel=0.1)
    assert up == pytest.approx(events.UP_PER_S, rel=0.1)
    sizes = sorted(map(len, trace.payloads))
    assert 40 <= sizes[len(sizes) // 2] <= 60
    assert 180 <= sizes[len(sizes) * 9 // 10] <= 270
    assert set(trace.lanes) == {0, 1, 2}


def test_made_up_matches_are_the_same_every_time(made_up: list[Path], tmp_path: Path) -> None:
    again = events.make_up(tmp_path)
    assert read_trace(again[1]).payloads == read_trace(made_up[1]).payloads


def test_payloads_have_about_the_size_that_is_asked_for() -> None:
    random = Random(1)
    for size in (48, 100, 225, 330):
        found = [len(msgspec.msgpack.encode(events.payload(random, size))) for _ in range(200)]
        assert sum(found) / len(found) == pytest.approx(size, rel=0.25)


def test_small_events_leave_large_ones_out(tmp_path: Path) -> None:
    line = {"from": "server", "to": "all", "topic": "t", "lane": "low"}
    data = ["x" * 2000, "y"]
    lines = [line | {"t": float(number), "data": each} for number, each in enumerate(data)]
    path = tmp_path / "m.jsonl.gz"
    events.write_trace(path, lines, 5.0, ["player:1"])
    found = events.small_events([path], recorded=True)
    assert found.data == ["y"]
    assert found.source == "1 small events of 1 recorded matches"
    assert found.mean_bytes() == 2.0


def test_copies_are_slices_that_begin_at_different_moments(made_up: list[Path], tmp_path: Path) -> None:
    paths, players = events.copies(made_up[:2], 30, 20.0, tmp_path)
    assert players == 32
    traces = [read_trace(path) for path in paths]
    assert [trace.duration_s for trace in traces] == [20.0] * 4
    assert all(trace.times_s and trace.times_s[-1] < 20.0 for trace in traces)
    # The first and the third are of the same match, at another time.
    assert traces[0].payloads != traces[2].payloads


def test_matches_that_are_too_short_are_an_error(made_up: list[Path], tmp_path: Path) -> None:
    with pytest.raises(CliError, match="none of these matches is longer than 915 s"):
        events.copies(made_up, 10, 900.0, tmp_path)
