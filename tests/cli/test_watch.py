"""What is drawn again and again: in place on a terminal, line by line elsewhere."""

import io
import json
from collections.abc import Mapping
from typing import Any

import pytest
from rich.table import Table
from tests.cli.test_output import Terminal

from lanebus.cli.output import Out, add_rows, new_table
from lanebus.cli.watch import Picture, watch


class Enough(Exception):
    """Ends a watch, as Ctrl-C does."""


class Numbered:
    def __init__(self, number: int) -> None:
        self._number = number

    def table(self, lines: int | None) -> Table:
        table = new_table(["NUMBER"])
        add_rows(table, [[f"{self._number} of {lines}"]])
        return table

    def values(self) -> Mapping[str, Any]:
        return {"number": self._number}


class Clock:
    """A clock that stands still but for sleep, and how long was slept each time."""

    def __init__(self) -> None:
        self.now = 100.0
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


def run(out: Out, looks: int, every_s: float = 2.0) -> list[float]:
    """Look so many times; how long was slept after each."""
    clock, seen = Clock(), 0

    def look() -> Picture | None:
        nonlocal seen
        seen += 1
        if seen > looks:
            raise Enough
        return Numbered(seen) if seen > 1 else None

    with pytest.raises(Enough):
        watch(out, every_s, look, clock=clock, sleep=clock.sleep)
    return clock.slept


def test_programs_get_an_object_a_line() -> None:
    stream = io.StringIO()
    slept = run(Out("json", stream), 3)
    assert [json.loads(line) for line in stream.getvalue().splitlines()] == [{"number": 2}, {"number": 3}]
    assert slept == [2.0, 2.0, 2.0]


def test_a_pipe_gets_whole_tables_one_after_the_other() -> None:
    stream = io.StringIO()
    run(Out("table", stream), 3)
    assert [line.strip() for line in stream.getvalue().splitlines()] == [
        *("NUMBER", "2 of None", ""),
        *("NUMBER", "3 of None", ""),
    ]


def test_a_terminal_is_drawn_anew_and_is_itself_again_at_the_end() -> None:
    stream = Terminal()
    out = Out("table", stream)
    run(out, 3)
    drawn = stream.getvalue()
    assert "the first rates come in 2 s" in drawn
    assert f"2 of {out.height}" in drawn
    assert drawn.index(f"3 of {out.height}") > drawn.index(f"2 of {out.height}")
    second_screen, back = "\x1b[?1049h", "\x1b[?1049l"
    assert drawn.startswith(second_screen)
    assert back in drawn


def test_a_look_that_takes_long_is_not_made_up_for() -> None:
    clock, takes = Clock(), iter([0.5, 7.0, 0.0])

    def look() -> Picture | None:
        span_s = next(takes, None)
        if span_s is None:
            raise Enough
        clock.now += span_s
        return None

    with pytest.raises(Enough):
        watch(Out("json", io.StringIO()), 2.0, look, clock=clock, sleep=clock.sleep)
    assert clock.slept == [1.5, 2.0]
