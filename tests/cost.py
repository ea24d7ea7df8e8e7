"""What something costs, in lines that were run and bytes that were taken: the same on every machine, at any load."""

import os
import sys
import tracemalloc
from collections.abc import Callable
from types import FrameType
from typing import Any, Final, NamedTuple

import msgspec
from hypothesis import strategies as st

NUMBERS: Final = (0, 1, 2, (1 << 20) - 1, 1 << 20, 1 << 32, (1 << 53) - 1, 1 << 62, (1 << 63) - 1)
"""What a peer may claim, with and without being believed."""


def examples(few: int, many: int) -> int:
    """How many examples a test looks at: `many` if LANEBUS_LONG is set in the environment."""
    return many if os.environ.get("LANEBUS_LONG") else few


class Cost(NamedTuple):
    """What a call took."""

    lines: int
    """Lines of Python that it ran; loops and comprehensions count each time around. None of compiled modules."""
    bytes: int
    """Most memory that it had at any time beyond what there was before."""


def cost_of(function: Callable[[], object]) -> Cost:
    """Call `function`, and measure. What the measuring itself takes is not in it."""
    lines = 0

    def count(frame: FrameType, event: str, argument: Any) -> Any:
        nonlocal lines
        lines += 1
        return count

    started = not tracemalloc.is_tracing()
    if started:
        tracemalloc.start()
    tracemalloc.reset_peak()
    before, _ = tracemalloc.get_traced_memory()
    tracer = sys.gettrace()
    sys.settrace(count)
    try:
        function()
    finally:
        sys.settrace(tracer)
        _, peak = tracemalloc.get_traced_memory()
        if started:
            tracemalloc.stop()
    return Cost(lines, peak - before)


def may_cost(size_bytes: int, held: int) -> Cost:
    """What messages of a size may cost where so many events are held, whatever numbers they name."""
    return Cost(5_000 + 30 * (size_bytes + held), 100_000 + 500 * (size_bytes + held))


def with_numbers(draw: st.DrawFn, message: Any) -> Any:
    """A message with any numbers in the places of its own, and with its lists repeated."""

    def changed(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: changed(each) for key, each in value.items()}
        if isinstance(value, list):
            return [changed(each) for each in value] * draw(st.sampled_from((1, 1, 30)))
        if isinstance(value, int) and not isinstance(value, bool):
            return draw(st.sampled_from((value, value, *NUMBERS)))
        return value

    return changed(msgspec.msgpack.decode(msgspec.msgpack.encode(message)))
