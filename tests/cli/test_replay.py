"""`lanebus replay` as a whole: every delivery exact, in every way of running it, through a real broker."""

import contextlib
import gc
import json
import logging
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.cli.commands import LANEBUS, environment, four_free_ports, is_gone, lanebus, wait_until
from tests.cli.trace_files import write_car_match, write_duel

from lanebus.cli.broker_process import BrokerProcess
from lanebus.cli.control_client import ControlClient
from lanebus.cli.exits import Exit
from lanebus.cli.main import run

pytestmark = pytest.mark.system

RECORDED = Path(os.environ.get("LANEBUS_TRACES") or Path(__file__).parents[3] / "shared" / "traces")
"""Where recorded matches are, if they are here."""

recorded_only = pytest.mark.skipif(
    not RECORDED.is_dir(), reason=f"no recorded matches in {RECORDED}: name their folder in LANEBUS_TRACES"
)


ReportOf = Callable[..., dict[str, Any]]


@pytest.fixture
def report_of(capsys: pytest.CaptureFixture[str]) -> Iterator[ReportOf]:
    """Replays in this process, and gives the report; it must be exact, with a ledger that balances."""

    def replayed(*arguments: str | Path) -> dict[str, Any]:
        capsys.readouterr()
        code = run(["replay", *map(str, arguments), "-o", "json"])
        captured = capsys.readouterr()
        assert code == Exit.OK, f"{captured.out}\n{captured.err}"
        report: dict[str, Any] = json.loads(captured.out)
        assert report["delivered"] == report["deliveries_expected"]
        for name in ("lost", "duplicated", "misordered", "corrupted", "refused", "dropped", "unknown"):
            assert report[name] == 0, name
        assert report["ledger_balanced"] is True
        return report

    logger = logging.getLogger("lanebus")
    before = (logger.handlers[:], logger.level, logger.propagate, logging.raiseExceptions)
    yield replayed
    logger.handlers[:], logger.level, logger.propagate, logging.raiseExceptions = before
    gc.unfreeze()


@pytest.fixture
def duel(tmp_path: Path) -> Path:
    """A match of two players, an observer and two bots: 208 events in two seconds."""
    return write_duel(tmp_path / "duel.jsonl.gz")


def test_a_replay_is_exact_and_its_report_adds_up(duel: Path, report_of: ReportOf) -> None:
    report = report_of(duel, "--speed", "2")
    assert (report["matches"], report["players"], report["events_sent"]) == (1, 2, 208)
    assert report["deliveries_expected"] == 80 + 80 * 2 + 40 + 4 + 4
    lanes = report["by_lane"].values()
    assert sum(lane["events"] for lane in lanes) == 208
    assert sum(lane["deliveries"] for lane in lanes) == report["delivered"]
    for lane in lanes:
        latency = lane["latency_ms"]
        assert 0 < latency["p50"] <= latency["p95"] <= latency["p99"] <= latency["max"] < 5000
        assert 0 < latency["mean"] <= latency["max"]
    # Each event once from its sender, and once to each receiver.
    assert report["messages"]["unbatched"] == 208 + report["delivered"]
    assert 0 < report["messages"]["sent"] < report["messages"]["unbatched"]
    assert 0.9 < report["duration_s"] < 10
    assert report["broker"]["rss_start"] > 1 << 20
    assert report["broker"]["cpu_s"] > 0


# The processes are forked from one in which ZeroMQ's threads may run, left by other tests; it is not used after that.
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
@pytest.mark.parametrize(
    "options",
    [
        ["--relay"],
        ["--gateway"],
        ["--processes", "3"],
        ["--relay", "--gateway", "--processes", "2"],
        ["--speed", "max", "--relay"],
        ["--speed", "max", "--processes", "2", "--gateway"],
    ],
    ids=" ".join,
)
def test_every_way_of_running_it_is_exact(duel: Path, options: list[str], report_of: ReportOf) -> None:
    other = write_duel(duel.parent / "rematch.jsonl.gz", count=60, step_s=0.02)
    speed = [] if "--speed" in options else ["--speed", "2"]
    report = report_of(duel, other, *speed, *options)
    relayed = 40 + 60 if "--relay" in options else 0
    assert report["matches"] == 2
    assert report["events_sent"] == 208 + 312 + relayed
    if "--gateway" in options:
        # One copy for both players of a match.
        assert report["messages"]["unbatched"] < report["events_sent"] + report["delivered"]


def test_a_slice(duel: Path, report_of: ReportOf) -> None:
    report = report_of(duel, "--speed", "4", "--from", "0.5", "--until", "1.5")
    assert report["events_sent"] == 20 * 5 + 2 * 2
    assert report["duration_s"] < 3


def test_a_slice_with_nothing_in_it(duel: Path, report_of: ReportOf) -> None:
    report = report_of(duel, "--from", "100", "--speed", "max")
    assert report["events_sent"] == report["deliveries_expected"] == 0
    assert report["messages"]["unbatched"] == 0
    assert report["messages"]["reduction"] is None


def test_a_dense_match_takes_half_the_messages_and_three_fifths_of_the_bytes(
    tmp_path: Path, report_of: ReportOf
) -> None:
    report = report_of(write_car_match(tmp_path / "cars.jsonl.gz"))
    assert report["by_lane"]["critical"]["deliveries"] > 2500
    for saved in (report["messages"], report["bytes"]):
        assert saved["reduction"] == pytest.approx(
            1.0 - (saved["sent"] + saved["control"]) / saved["unbatched"], abs=1e-4
        )
    assert report["messages"]["reduction"] > 0.5
    assert report["bytes"]["reduction"] > 0.4


def test_tables_and_progress_keep_apart(tmp_path: Path) -> None:
    path = write_duel(tmp_path / "long.jsonl.gz", count=120)
    finished = lanebus("replay", path)
    assert finished.returncode == Exit.OK, finished.stderr
    lines = finished.stdout.strip().splitlines()
    assert lines[0] == "1 match, 2 players: every delivery exact"
    assert any(line.startswith("critical") for line in lines)
    assert "match 0:0" in finished.stderr
    assert "match 0:0" not in finished.stdout


def test_a_broker_that_runs_already(duel: Path, report_of: ReportOf) -> None:
    with BrokerProcess() as broker, ControlClient(broker.addresses["control"], timeout_s=10) as client:
        for _ in range(2):
            report = report_of(
                duel,
                *("--speed", "4", "--broker", broker.addresses["critical"]),
                *("--control", broker.addresses["control"]),
            )
            assert report["messages"]["unbatched"] == 208 + report["delivered"], "only this replay is counted"
        assert client.request("audit")["balanced"]
        assert broker.alive()


def test_a_name_that_somebody_takes_over(duel: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with BrokerProcess() as broker:
        options = ("--broker", broker.addresses["critical"], "--control", broker.addresses["control"])
        with begin(duel, "--speed", "0.1", *options) as first:
            with ControlClient(broker.addresses["control"], timeout_s=10) as client:
                wait_until(lambda: any(peer["events_in"] for peer in client.request("peers")))
            assert run(["replay", str(duel), "--speed", "10", *options]) in (Exit.OK, Exit.FAILED)
            _, err = first.communicate(timeout=60)
    assert first.returncode == Exit.UNAVAILABLE, err
    assert "duel" in err.splitlines()[-1]
    assert "Traceback" not in err
    capsys.readouterr()


def begin(path: Path, *options: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*LANEBUS, "replay", str(path), *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
    )


def children_of(pid: int) -> list[int]:
    found = []
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError, ValueError):
            number = int(entry.name)
            if int((entry / "stat").read_text().rpartition(")")[2].split()[1]) == pid:
                found.append(number)
    return found


def broker_of(replay: subprocess.Popen[str]) -> int:
    """The process id of the broker that a replay has started, once it is there."""
    brokers: list[int] = []

    def found() -> bool:
        for pid in children_of(replay.pid):
            with contextlib.suppress(OSError):
                if b"\0broker\0" in Path(f"/proc/{pid}/cmdline").read_bytes():
                    brokers.append(pid)
        return bool(brokers)

    wait_until(found)
    return brokers[0]


@pytest.fixture
def long_match(tmp_path: Path) -> Path:
    """A match that goes on for a minute."""
    return write_duel(tmp_path / "long.jsonl.gz", count=1200)


@pytest.mark.parametrize("options", [[], ["--processes", "2"]], ids=" ".join)
def test_a_broker_that_dies_midway(long_match: Path, options: list[str]) -> None:
    with begin(long_match, *options) as replay:
        broker = broker_of(replay)
        time.sleep(2.0)
        os.kill(broker, signal.SIGKILL)
        out, err = replay.communicate(timeout=30)
    assert replay.returncode == Exit.UNAVAILABLE, err
    assert out == ""
    assert "Traceback" not in err
    assert "ended with status -9" in err.splitlines()[-1]


@contextlib.contextmanager
def broker_on(port: int) -> Iterator[subprocess.Popen[str]]:
    """A broker that listens on `port` and the three that follow; it is killed at the end, if it still runs."""
    command = [*LANEBUS, "broker", "--port", str(port), "--announce"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment()
    ) as broker:
        assert broker.stdout is not None
        assert broker.stdout.readline(), "the broker did not start"
        try:
            yield broker
        finally:
            broker.kill()


def test_a_broker_that_is_killed_and_comes_back(tmp_path: Path) -> None:
    path = write_duel(tmp_path / "duel.jsonl.gz", count=160)
    port = four_free_ports()
    with contextlib.ExitStack() as stack:
        first = stack.enter_context(broker_on(port))
        replay = stack.enter_context(begin(path, "--broker", f"tcp://127.0.0.1:{port}", "-o", "json"))
        with ControlClient(f"tcp://127.0.0.1:{port + 3}", timeout_s=10) as client:
            wait_until(lambda: sum(peer["events_in"] for peer in client.request("peers")) > 200)
        first.kill()
        first.wait()
        time.sleep(0.5)
        stack.enter_context(broker_on(port))
        out, err = replay.communicate(timeout=60)
    assert replay.returncode == Exit.OK, f"{out}\n{err}"
    report = json.loads(out)
    assert report["delivered"] == report["deliveries_expected"] == 160 * 2 + 160 * 4 + 160 + 16 * 2


@pytest.mark.parametrize("options", [[], ["--processes", "2"]], ids=" ".join)
def test_ctrl_c_leaves_nothing_behind(long_match: Path, options: list[str]) -> None:
    with begin(long_match, *options) as replay:
        broker_of(replay)
        time.sleep(2.0)
        children = children_of(replay.pid)
        replay.send_signal(signal.SIGINT)
        out, err = replay.communicate(timeout=30)
    assert replay.returncode == Exit.INTERRUPTED, err
    assert out == ""
    assert "Traceback" not in err
    wait_until(lambda: all(map(is_gone, children)))


@recorded_only
def test_a_real_match_is_exact(report_of: ReportOf) -> None:
    report = report_of(RECORDED / "sc2-4v4-tracker.jsonl.gz", "--speed", "10", "--until", "60", "--relay")
    assert report["players"] == 8
    assert report["by_lane"]["critical"]["deliveries"] > 5000
    assert report["messages"]["reduction"] > 0.5


@recorded_only
def test_real_matches_of_three_games_are_exact_together(report_of: ReportOf) -> None:
    names = ("aoe2-2v2", "rl-3v3-short", "sc2-coop")
    paths = [RECORDED / f"{name}.jsonl.gz" for name in names]
    report = report_of(*paths, "--speed", "4", "--from", "10", "--until", "30")
    assert report["matches"] == 3
    assert report["players"] == 4 + 7 + 2
