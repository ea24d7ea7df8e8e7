"""The measure of codecs and of linked batches, on made-up events."""

import pytest
from benchmarks.lab.events import make_up, small_events
from benchmarks.lab.machine import PURE
from benchmarks.lab.setup import Setup
from benchmarks.lab.tables import TABLES
from benchmarks.measures import codec


@pytest.fixture(scope="module")
def setup(tmp_path_factory: pytest.TempPathFactory) -> Setup:
    traces = make_up(tmp_path_factory.mktemp("traces"))
    events = small_events(traces, recorded=False, most=200)
    return Setup(events=events, traces=traces, recorded=False, rounds=1, run_s=0.1, soak_s=0.1)


def test_what_may_refer_to_more_before_it_gets_smaller(setup: Setup) -> None:
    found = codec.run(setup)
    saved = [found["links"][str(size)]["saved"] for size in codec.DICTIONARIES_BYTES]
    assert saved == sorted(saved)
    assert saved[0] < saved[1] < 1.0
    table = TABLES["codec"]({PURE: found})
    assert all(name in table for name in codec._CODECS)
    assert "| 2 KiB before it |" in table


def test_all_codecs_write_the_same_and_read_what_was_written(setup: Setup) -> None:
    body = codec._batches(setup.events.data, 4)[0]
    written = {encode(body) for encode, _ in codec._CODECS.values()}
    assert len(written) == 1
    _, _, bases, events = codec._decode(written.pop())
    assert (bases, len(events)) == ([[0, 1]], 4)
