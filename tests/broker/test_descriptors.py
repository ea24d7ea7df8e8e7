"""The limit of open files: raised as far as it may be, and told where it does not suffice."""

import subprocess
import sys

import pytest

from lanebus.broker.descriptors import PER_ATTACHMENT, RESERVE, room_for


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
        (5000, 100, 100, 1, 100),
    ],
)
def test_the_limit_is_raised_as_far_as_is_needed_and_allowed(
    attachments: int, soft: int, hard: int, room: int, limit: int
) -> None:
    assert found(attachments, soft, hard) == (room, limit)


def test_here_there_is_room_for_a_few() -> None:
    assert room_for(10) == 10
