"""The limit of open files: raised as far as it may be, and told where it does not suffice."""

import socket
import subprocess
import sys
from pathlib import Path

import pytest

from lanebus.broker.descriptors import (
    OWN,
    PER_ATTACHMENT,
    RESERVE,
    count_open_files,
    limit_of_open_files,
    room_for,
)


def found(attachments: int, soft: int, hard: int) -> tuple[int, int]:
    """Room, and the limit afterwards, in a process that has these limits."""
    program = (
        "import resource, sys; from lanebus.broker.descriptors import room_for\n"
        f"resource.setrlimit(resource.RLIMIT_NOFILE, ({soft}, {hard}))\n"
        f"print(room_for({attachments}), resource.getrlimit(resource.RLIMIT_NOFILE)[0])"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True
    )
    room, limit = map(int, ended.stdout.split())
    return room, limit


@pytest.mark.parametrize(
    ("attachments", "soft", "hard", "room", "limit"),
    [
        (100, 1000, 2000, 100, 1000),
        (500, 1000, 2000, 500, 500 * PER_ATTACHMENT + RESERVE),
        (5000, 1000, 2000, (2000 - RESERVE) // PER_ATTACHMENT, 2000),
        (5000, RESERVE + PER_ATTACHMENT, RESERVE + PER_ATTACHMENT, 1, RESERVE + PER_ATTACHMENT),
    ],
)
def test_the_limit_is_raised_as_far_as_is_needed_and_allowed(
    attachments: int, soft: int, hard: int, room: int, limit: int
) -> None:
    assert found(attachments, soft, hard) == (room, limit)


def test_a_limit_that_has_room_for_none_is_named_with_what_is_needed() -> None:
    with pytest.raises(subprocess.CalledProcessError) as raised:
        found(5000, 16, 16)
    last = raised.value.stderr.splitlines()[-1]
    assert "OpenFilesError: the limit of open files is 16, and a broker needs 131 at least" in last
    assert "(ulimit -n, LimitNOFILE=)" in last


def test_open_files_are_counted_where_the_system_tells(tmp_path: Path) -> None:
    before = count_open_files()
    with socket.socket(), socket.socket():
        assert count_open_files() == before + 2
    assert count_open_files(tmp_path / "missing") == OWN
    assert (limit_of_open_files() or before + 1) > before


def test_here_there_is_room_for_a_few() -> None:
    assert room_for(10) == 10
