"""The broker under a real systemd: it reports itself ready, feeds the watchdog, is restarted, and stops in order."""

from typing import Any

import pytest
from tests.system.sandbox import WATCHDOG_S, needs_systemd, run

SCENARIO = """\
if seen["started"].get("ActiveState") == "active":
    time.sleep(float(sys.argv[2]))
    note("watched", show())
    os.kill(int(seen["watched"]["MainPID"]), signal.SIGSTOP)
    note("restarted", until(lambda s: s["NRestarts"] == "1" and s["ActiveState"] == "active", 20))
    note("stop", systemctl("stop").returncode)
    note("stopped", show())
    # An edit that went wrong: the next start fails, and a thousand more would.
    Path(sys.argv[3]).write_text("[lanes.critical]\\nprot = 1\\n")
    note("misconfigured", {"status": systemctl("start").returncode})
    note("given_up", until(lambda s: s["ActiveState"] == "failed", 10))
    time.sleep(1)
    note("later", show())
"""

pytestmark = needs_systemd


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What one run of the unit showed at each of its stages."""
    config = "".join(
        f"[{section}]\nport = 0\n" for section in ("control", "lanes.critical", "lanes.normal", "lanes.low")
    )
    work = tmp_path_factory.mktemp("systemd")
    found, _ = run(work, config, SCENARIO, str(2.5 * WATCHDOG_S), str(work / "lanebus.toml"), timeout_s=120)
    return found


def test_it_is_ready_once_it_says_so(seen: dict[str, Any]) -> None:
    started = seen["started"]
    assert (started["Type"], started["ActiveState"], started["SubState"]) == ("notify", "active", "running")
    assert started["StatusText"]


def test_it_feeds_the_watchdog(seen: dict[str, Any]) -> None:
    watched = seen["watched"]
    assert (watched["ActiveState"], watched["NRestarts"]) == ("active", "0")
    assert watched["MainPID"] == seen["started"]["MainPID"]


def test_a_frozen_broker_is_restarted(seen: dict[str, Any]) -> None:
    restarted = seen["restarted"]
    assert (restarted["ActiveState"], restarted["NRestarts"]) == ("active", "1")
    assert restarted["MainPID"] != seen["watched"]["MainPID"]


def test_it_stops_in_order(seen: dict[str, Any]) -> None:
    assert seen["stop"] == 0
    stopped = seen["stopped"]
    assert (stopped["ActiveState"], stopped["Result"], stopped["ExecMainStatus"]) == (
        "inactive",
        "success",
        "0",
    )


def test_a_configuration_that_cannot_be_used_is_not_tried_again(seen: dict[str, Any]) -> None:
    assert seen["misconfigured"]["status"] != 0
    for state in (seen["given_up"], seen["later"]):
        assert (state["ActiveState"], state["NRestarts"], state["ExecMainStatus"]) == ("failed", "0", "78")
