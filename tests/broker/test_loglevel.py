"""The level of the log, while it is written."""

import logging
from collections.abc import Iterator

import pytest

from lanebus.broker.loglevel import LEVELS, level, set_level

LOGGER = logging.getLogger("lanebus.broker")


@pytest.fixture(autouse=True)
def at_info() -> Iterator[None]:
    root = logging.getLogger("lanebus")
    before = root.level
    root.setLevel("INFO")
    yield
    root.setLevel(before)


def test_a_level_holds_at_once_and_the_one_before_is_said() -> None:
    assert LEVELS == ("debug", "info", "warning", "error")
    assert level() == "info"
    assert not LOGGER.isEnabledFor(logging.DEBUG)
    assert set_level("debug") == "info"
    assert LOGGER.isEnabledFor(logging.DEBUG)
    assert set_level("error") == "debug"
    assert not LOGGER.isEnabledFor(logging.WARNING)
    assert level() == "error"


@pytest.mark.parametrize(("before", "after"), [("info", "debug"), ("debug", "warning"), ("error", "info")])
def test_the_change_is_logged_whichever_level_writes_more(
    before: str, after: str, caplog: pytest.LogCaptureFixture
) -> None:
    set_level(before)
    caplog.clear()
    set_level(after)
    assert [record.getMessage() for record in caplog.records] == [f"= log level {after}, was {before}"]


@pytest.mark.parametrize("wrong", ["loud", "DEBUG", 10, None, ["info"]])
def test_other_words_change_nothing(wrong: object) -> None:
    with pytest.raises(ValueError, match="use one of debug, info, warning, error"):
        set_level(wrong)
    assert level() == "info"
