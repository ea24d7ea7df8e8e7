"""`lanebus demo` as a person runs it: a short match with real processes, and the ways it can be cut short."""

import fcntl
import json
import os
import pty
import re
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lanebus.cli.demo_figures import Figures
from lanebus.cli.demo_match import Match

LINE = re.compile(r"(start| +\d+ s)  \d+ players")
NEWS = re.compile(r" +\d+ s  ! ")
DEMO = [sys.executable, "-m", "lanebus.cli.main", "demo", "--plain", "--bots", "6", "--seed", "7"]

pytestmark = pytest.mark.system


def children(pid: int) -> list[int]:
    """The process ids of a process' living children."""
    found = []
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            # After the name, which may hold anything but ends with the last bracket: the state and the parent.
            fields = status.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == pid and fields[0] != "Z":
            found.append(int(status.parent.name))
    return found


def command_of(pid: int) -> str:
    """A process' command line; empty once it is gone."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")
    except OSError:
        return ""


def gone(pids: list[int], timeout_s: float = 5.0) -> bool:
    """Whether all processes end within a while."""
    until_s = time.monotonic() + timeout_s
    while any(command_of(pid) for pid in pids):
        if time.monotonic() > until_s:
            return False
        time.sleep(0.05)
    return True


@pytest.fixture
def long_demo() -> Iterator[subprocess.Popen[str]]:
    """A demo in the middle of a long match."""
    process = subprocess.Popen(
        [*DEMO, "--seconds", "50"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        assert process.stderr is not None
        for text in process.stderr:
            if re.match(r" +[1-9]\d* s  6 players", text):
                break
        yield process
    finally:
        process.kill()
        process.communicate()


def test_a_short_match_balances_its_books() -> None:
    done = subprocess.run([*DEMO, "--seconds", "3", "-o", "json"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    report: dict[str, Any] = json.loads(done.stdout)
    assert report["balanced"] is True
    assert report["problems"] == []
    assert report["unsettled"] == {}
    assert report["seed"] == 7
    for lane in ("critical", "normal", "low"):
        book = report["books"]["senders"][lane]
        assert book["accepted"] == book["delivered"] > 0
        assert report["latency_ms"][lane]["events"] > 0
    assert report["deliveries"] > report["events"]
    assert report["messages"]["saved"] > 0.3
    assert len(report["ranking"]) == 6
    assert report["ledger"]["meant"] == report["ledger"]["handled"] == report["deliveries"]
    lines = done.stderr.splitlines()
    assert 3 <= len(lines) <= 20
    assert all(LINE.match(text) or NEWS.match(text) for text in lines)


def test_a_player_is_stopped_and_the_broker_killed_and_nothing_is_lost() -> None:
    done = subprocess.run([*DEMO, "--seconds", "6", "-o", "json"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    report: dict[str, Any] = json.loads(done.stdout)
    assert report["broker_starts"] == 2
    assert (report["ledger"]["lost"], report["ledger"]["duplicated"]) == (0, 0)
    flood, stop, kill = report["faults"]
    assert (flood["kind"], flood["target"]) == ("flood", "player:otto")
    assert flood["tried_events"] > flood["sent_events"] > 100
    assert flood["handled_events"] == flood["sent_events"]
    assert flood["most_held_events"] > 0
    assert flood["limit"] == "events_per_s"
    assert 0 < flood["accepted_events"] <= flood["allowed_events"] < flood["tried_events"]
    assert report["others_critical_ms"]["flood"]["events"] > 0
    assert report["why"]["name"] == "player:otto"
    assert "throttled" in [verdict["cause"] for verdict in report["why"]["verdicts"]]
    assert (stop["kind"], stop["target"]) == ("stop", "player:vera")
    assert stop["waiting_events"] > 0
    assert (kill["kind"], kill["target"]) == ("kill", "broker")
    assert kill["resent_events"] > 0
    assert report["longest_outage_s"] == kill["outage_s"] >= kill["lasted_s"] >= 1.0
    # Most was settled before the last broker began its books.
    last = sum(book["accepted"] for book in report["books"]["broker_events"].values())
    assert 0 < last < report["events"]
    news = [text.partition("! ")[2] for text in done.stderr.splitlines() if NEWS.match(text)]
    assert news[0] == "otto floods: it tries to send 10,000 events a second"
    assert news[1].startswith("otto stops flooding, ")
    assert re.match(r"otto flooded [\d.]+ s, all [\d,]+ handled; others' critical p99 ", news[2])
    assert news[3] == "vera is stopped (SIGSTOP)"
    assert "the broker is killed (SIGKILL)" in news
    assert re.match(r"broker killed, back after .* all play on after .* resent$", news[-1])


def test_without_faults_there_is_one_broker_and_its_books_are_the_match_s() -> None:
    command = [*DEMO, "--no-faults", "--seconds", "2", "-o", "json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    report: dict[str, Any] = json.loads(done.stdout)
    assert (report["faults"], report["broker_starts"], report["longest_outage_s"]) == ([], 1, None)
    assert report["resent_events"] == 0
    for lane, book in report["books"]["broker_events"].items():
        assert book["accepted"] == report["books"]["senders"][lane]["accepted"]
    assert not any(NEWS.match(text) for text in done.stderr.splitlines())


def test_a_player_alone_is_stopped_too() -> None:
    command = [*DEMO, "--bots", "1", "--seconds", "2", "-o", "json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    report: dict[str, Any] = json.loads(done.stdout)
    assert [fault["target"] for fault in report["faults"]] == ["player:ivy", "broker"]
    assert report["balanced"] is True


def test_the_report_for_people_ends_with_the_verdict() -> None:
    done = subprocess.run([*DEMO, "--seconds", "1"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    verdict, _, *why = done.stdout.partition("\nthe books balance: ")[2].splitlines()
    assert re.fullmatch(r"[\d,]+ accepted = [\d,]+ delivered, 0 in flight", verdict)
    assert why[0] == "lanebus why otto, while it flooded:"
    assert "held to events_per_s on normal" in "".join(why[1:])


@pytest.mark.parametrize(
    ("mark", "code", "text"),
    [
        ("lanebus.cli.main broker", 69, "the broker (pid {pid}) is gone: killed by SIGKILL"),
        ("demo_child server", 70, "the arena's server (pid {pid}) is gone: killed by SIGKILL"),
        ("demo_child bots", 70, "the process of the bots (pid {pid}) is gone: killed by SIGKILL"),
        ("demo_child bot ", 70, "the process of vera (pid {pid}) is gone: killed by SIGKILL"),
        ("demo_child flooder ", 70, "the process of otto (pid {pid}) is gone: killed by SIGKILL"),
    ],
    ids=["broker", "server", "bots", "bot", "flooder"],
)
def test_a_process_that_is_killed_midway_is_named_in_one_line(
    long_demo: subprocess.Popen[str], mark: str, code: int, text: str
) -> None:
    family = children(long_demo.pid)
    (victim,) = (pid for pid in family if mark in command_of(pid))
    os.kill(victim, signal.SIGKILL)
    output, errors = long_demo.communicate(timeout=20)
    assert long_demo.returncode == code
    told = [each for each in errors.splitlines() if not LINE.match(each)]
    assert told == ["lanebus: " + text.format(pid=victim)]
    assert output == ""
    assert gone(family)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_ends_it_with_the_report_so_far(
    long_demo: subprocess.Popen[str], number: signal.Signals
) -> None:
    family = children(long_demo.pid)
    long_demo.send_signal(number)
    output, errors = long_demo.communicate(timeout=20)
    assert long_demo.returncode == 130
    assert "(ended early)" in output
    assert "the books balance" in output
    assert "Traceback" not in errors
    assert gone(family)


def test_children_die_with_a_demo_that_is_killed(long_demo: subprocess.Popen[str]) -> None:
    family = children(long_demo.pid)
    assert len(family) == 5
    # The demo may be killed while it has one of them stopped.
    (stopped,) = (pid for pid in family if "demo_child bot " in command_of(pid))
    os.kill(stopped, signal.SIGSTOP)
    long_demo.kill()
    assert gone(family)


@pytest.mark.parametrize(
    ("deed", "text"),
    [
        ("otto floods", "otto flooded "),
        ("is stopped", "vera stopped (SIGSTOP)"),
        ("is killed", "broker killed (SIGKILL)"),
    ],
    ids=["flooding", "stopped", "killed"],
)
def test_an_interrupt_in_the_middle_of_a_fault_heals_it_first(deed: str, text: str) -> None:
    process = subprocess.Popen(
        [*DEMO, "--seconds", "8"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        assert process.stderr is not None
        for each in process.stderr:
            if deed in each:
                break
        family = children(process.pid)
        process.send_signal(signal.SIGINT)
        output, errors = process.communicate(timeout=30)
    finally:
        process.kill()
        process.communicate()
    assert process.returncode == 130, errors
    assert "(ended early)" in output
    assert text in output
    assert "the books balance" in output
    assert gone(family)


def test_a_terminal_gets_the_picture_and_then_the_report(tmp_path: Path) -> None:
    terminal, end = pty.openpty()
    fcntl.ioctl(end, termios.TIOCSWINSZ, struct.pack("HHHH", 35, 100, 0, 0))
    environment = {**os.environ, "TERM": "xterm-256color"}
    environment.pop("COLUMNS", None)
    environment.pop("LINES", None)
    command = [each for each in DEMO if each != "--plain"]
    drawing = tmp_path / "demo.svg"
    process = subprocess.Popen(
        [*command, "--seconds", "2", "--svg", str(drawing)], stdout=end, stderr=end, env=environment
    )
    os.close(end)
    shown = b""
    try:
        while True:
            try:
                shown += os.read(terminal, 65536)
            except OSError:  # how Linux says that nobody writes to a terminal any more
                break
        assert process.wait(timeout=20) == 0
    finally:
        process.kill()
        process.wait()
        os.close(terminal)
    picture, _, report = shown.decode().rpartition("\x1b[?1049l")
    assert "\x1b[?1049h" in picture
    assert "messages saved" in picture
    assert "ivy" in picture
    assert "the books balance" in report
    assert "winner" in report
    svg = drawing.read_text()
    assert "critical" in svg
    assert "url(" not in re.sub(r"url\(#", "", svg), "the drawing fetches something from elsewhere"


def test_a_second_interrupt_does_not_wait() -> None:
    match = Match(bots=1, seconds=1.0, seed=1, show=lambda figures: None)
    match.interrupt()
    assert match.interrupted
    with pytest.raises(KeyboardInterrupt):
        match.interrupt()


def test_a_match_interrupted_while_it_starts_has_no_result() -> None:
    def interrupt_once(figures: Figures) -> None:
        if not match.interrupted:
            match.interrupt()

    match = Match(bots=1, seconds=60.0, seed=1, show=interrupt_once)
    assert match.run() is None
