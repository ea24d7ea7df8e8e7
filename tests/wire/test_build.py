"""Which build this is."""

from importlib.machinery import ExtensionFileLoader, ModuleSpec, SourceFileLoader

import pytest

from lanebus.wire import runs
from lanebus.wire.build import is_compiled, with_build


@pytest.mark.parametrize("loader", [ExtensionFileLoader, SourceFileLoader])
def test_it_is_told_by_how_a_module_was_loaded(
    monkeypatch: pytest.MonkeyPatch,
    loader: type[ExtensionFileLoader | SourceFileLoader],
) -> None:
    monkeypatch.setattr(
        runs, "__spec__", ModuleSpec("lanebus.wire.runs", loader("lanebus.wire.runs", "runs"))
    )
    assert is_compiled() is (loader is ExtensionFileLoader)


def test_it_stands_behind_the_version() -> None:
    assert with_build("1.2.3", compiled=True) == "1.2.3 (compiled)"
    assert with_build("1.2.3", compiled=False) == "1.2.3"


def test_the_file_of_a_compiled_module_is_no_source() -> None:
    assert runs.__file__ is not None
    assert is_compiled() is not runs.__file__.endswith(".py")
