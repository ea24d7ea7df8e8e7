"""The unit file by itself: systemd understands every line of it and finds it well confined."""

import shutil
import subprocess
from pathlib import Path

import pytest

from lanebus.broker.descriptors import PER_ATTACHMENT, RESERVE
from lanebus.cli.exits import Exit
from lanebus.conf.model import MAX_DRAIN_S, LimitsConfig

UNIT = Path(__file__).parents[2] / "systemd" / "lanebus.service"

EXPOSURE_TENTHS = 15
"""The worst exposure that is accepted, in tenths; a unit without any confinement has 96."""

ANALYZE = shutil.which("systemd-analyze")

pytestmark = [
    pytest.mark.system,
    pytest.mark.skipif(ANALYZE is None, reason="systemd-analyze is not installed"),
]


def analyze(*arguments: str) -> subprocess.CompletedProcess[str]:
    assert ANALYZE is not None
    return subprocess.run([ANALYZE, *arguments, str(UNIT)], capture_output=True, text=True, timeout=30)


def test_verify_has_nothing_to_say() -> None:
    result = analyze("verify")
    # Unknown keys and values are only printed: the status alone does not show them.
    assert (result.returncode, result.stderr) == (0, "")


def test_exposure_is_low() -> None:
    result = analyze("security", "--offline=yes", f"--threshold={EXPOSURE_TENTHS}")
    assert result.returncode == 0, result.stdout + result.stderr


def test_a_configuration_that_cannot_be_used_is_no_reason_to_start_again() -> None:
    assert f"RestartPreventExitStatus={Exit.CONFIG.value}" in UNIT.read_text().splitlines()


def test_there_is_time_for_the_longest_drain_and_room_for_every_attachment() -> None:
    settings = dict(
        line.split("=", 1) for line in UNIT.read_text().splitlines() if "=" in line and line[0] != "#"
    )
    assert int(settings["TimeoutStopSec"]) > MAX_DRAIN_S + 2
    assert int(settings["LimitNOFILE"]) >= PER_ATTACHMENT * LimitsConfig().attachments + RESERVE
