"""What holds for every test."""

import signal

import pytest

from lanebus.wire.build import is_compiled

# A shell starts what it puts into the background with Ctrl-C ignored, and children inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what replaces parts of modules, where these are compiled: their constants and methods are fixed."""
    if is_compiled():
        for item in items:
            if item.get_closest_marker("patches"):
                item.add_marker(
                    pytest.mark.skip(reason="it replaces parts of a module, and this one is compiled")
                )
