"""Samples of stacks, added up by function."""

import pytest
from benchmarks.lab.processes import Failed
from benchmarks.measures.profile import shares

LINES = [
    "run (lanebus/broker/driver.py:130);_drain (lanebus/broker/driver.py:280);receive (lanebus/broker/core.py:300) 6",
    "run (lanebus/broker/driver.py:130);_drain (lanebus/broker/driver.py:291) 3",
    "run (lanebus/broker/driver.py:150) 1",
]


def test_own_and_total_shares_by_function() -> None:
    own, total, count = shares(LINES)
    assert count == 10
    assert own == {"core.receive": 0.6, "driver._drain": 0.3, "driver.run": 0.1}
    assert total == {"driver.run": 1.0, "driver._drain": 0.9, "core.receive": 0.6}


def test_a_function_that_calls_itself_counts_once() -> None:
    _, total, _ = shares(["f (a.py:1);f (a.py:2);f (a.py:2) 4"])
    assert total == {"a.f": 1.0}


def test_no_samples_are_a_failure() -> None:
    with pytest.raises(Failed, match="saw nothing"):
        shares([])
