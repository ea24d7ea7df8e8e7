"""The exit codes: one table, told where people look, and what the system's failures are among them."""

import errno
import os
from pathlib import Path

import pytest

from lanebus.cli.exits import MEANINGS, Exit, of_the_system
from lanebus.cli.main import run

README = Path(__file__).parents[2] / "README.md"


def test_every_code_has_a_meaning() -> None:
    assert set(MEANINGS) == set(Exit)


def test_help_and_the_readme_tell_every_code(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--help"]) == Exit.OK
    shown = " ".join(capsys.readouterr().out.split())
    rows = README.read_text()
    for code, meaning in MEANINGS.items():
        assert f"{code.value} {meaning}" in shown
        assert f"| {code.value} | {meaning} |" in rows


@pytest.mark.parametrize(
    ("number", "code"),
    [
        (errno.ENOSPC, Exit.CANNOT_WRITE),
        (errno.EROFS, Exit.CANNOT_WRITE),
        (errno.EMFILE, Exit.PORT_BUSY),
        (errno.EACCES, Exit.NO_INPUT),
        (errno.EISDIR, Exit.NO_INPUT),
    ],
)
def test_failures_of_the_system_are_foreseen(number: int, code: Exit) -> None:
    found = of_the_system(OSError(number, os.strerror(number), "/some/file"))
    assert found == (f"/some/file: {os.strerror(number).lower()}", code)


def test_memory_that_is_used_up_is_foreseen() -> None:
    assert of_the_system(MemoryError()) == ("there is not enough memory", Exit.PORT_BUSY)


def test_other_failures_are_not() -> None:
    assert of_the_system(ValueError("x")) is None
    assert of_the_system(OSError(errno.EPROTO, "x")) is None
