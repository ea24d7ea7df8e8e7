"""Open files: how many connections are too many, and how long that is remembered."""

import pytest

from lanebus.broker.open_files import REMEMBERED_S, SPARE, OpenFiles


@pytest.mark.parametrize(
    ("connections", "missing"), [(0, 0), (140 - SPARE, 0), (141 - SPARE, SPARE + 1), (140, 2 * SPARE)]
)
def test_some_are_kept_free_and_once_they_are_not_twice_as_many(connections: int, missing: int) -> None:
    open_files = OpenFiles(200, 60)
    assert open_files.missing(connections, 5, 1.0) == missing
    assert (open_files.used, open_files.strangers) == (60 + connections, 5)
    assert open_files.are_short(1.0) is (missing > 0)


def test_it_is_remembered_for_a_while_that_there_were_too_few() -> None:
    open_files = OpenFiles(200, 60)
    open_files.missing(140, 0, 100.0)
    open_files.missing(70, 0, 101.0)
    assert open_files.are_short(100.0 + REMEMBERED_S - 0.1)
    assert not open_files.are_short(100.0 + REMEMBERED_S)


def test_without_a_limit_there_are_never_too_few() -> None:
    open_files = OpenFiles(None, 60)
    assert open_files.missing(1 << 30, 0, 1.0) == 0
    assert not open_files.are_short(1.0)
