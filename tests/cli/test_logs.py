"""Log lines: for people, for the journal, for shippers."""

import io
import json
import logging
from collections.abc import Iterator

import pytest

from lanebus.cli.logs import set_up_logging

LOGGER = logging.getLogger("lanebus.broker")


@pytest.fixture(autouse=True)
def _untouched_logging() -> Iterator[None]:
    logger = logging.getLogger("lanebus")
    before = (logger.handlers[:], logger.level, logger.propagate, logging.raiseExceptions)
    yield
    logger.handlers[:], logger.level, logger.propagate, logging.raiseExceptions = before


def test_lines_for_people_have_time_level_and_source() -> None:
    stream = io.StringIO()
    set_up_logging("info", "text", {}, stream)
    LOGGER.debug("not this")
    LOGGER.info("= %s joined", "player:1\x1b[31m")
    (line,) = stream.getvalue().splitlines()
    stamp, level, source, text = line.split(" ", 3)
    assert stamp.count(":") == 2
    assert (level, source) == ("info", "broker:")
    assert text == r"= player:1\x1b[31m joined"


def test_the_journal_gets_priorities_and_no_time() -> None:
    stream = io.StringIO()
    set_up_logging("debug", "text", {"JOURNAL_STREAM": "8:1"}, stream)
    for level in (logging.DEBUG, logging.INFO, logging.WARNING, logging.ERROR, logging.CRITICAL):
        LOGGER.log(level, "x")
    assert stream.getvalue().splitlines() == [f"<{priority}>broker: x" for priority in (7, 6, 4, 3, 2)]


def test_every_line_of_a_traceback_has_its_prefix() -> None:
    stream = io.StringIO()
    set_up_logging("info", "text", {"JOURNAL_STREAM": "8:1"}, stream)
    try:
        raise ValueError("no")
    except ValueError:
        LOGGER.exception("! failed")
    lines = stream.getvalue().splitlines()
    assert len(lines) > 2
    assert all(line.startswith("<3>") for line in lines)
    assert lines[-1] == "<3>ValueError: no"


def test_shippers_get_an_object_a_line() -> None:
    stream = io.StringIO()
    set_up_logging("warning", "json", {"JOURNAL_STREAM": "8:1"}, stream)
    LOGGER.info("not this")
    LOGGER.warning("line\nbreak")
    try:
        raise ValueError("no")
    except ValueError:
        LOGGER.exception("! failed")
    first, second = map(json.loads, stream.getvalue().splitlines())
    assert (first["level"], first["logger"], first["message"]) == ("warning", "lanebus.broker", "line\nbreak")
    assert isinstance(first["time"], float)
    assert "traceback" not in first
    assert second["traceback"].endswith("ValueError: no")
