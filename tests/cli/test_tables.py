"""The tables of all commands, of a broker with something in its queues: on 80 columns, and for programs."""

import fcntl
import os
import pty
import re
import struct
import subprocess
import termios
from collections.abc import Iterator

import pytest
from tests.cli.commands import LANEBUS, environment, lanebus, wait_until

from lanebus.adapters.client import ClientAdapter
from lanebus.adapters.server import ServerAdapter
from lanebus.cli.broker_process import BrokerProcess
from lanebus.cli.exits import Exit

pytestmark = pytest.mark.system

COLUMNS = 80
SLOW = "somebody-slow.whose-name-is-long.1"
OTHER = "somebody-slow.whose-name-is-long.2"
COMMANDS = [
    ["status"],
    ["queues"],
    ["queues", "--all"],
    ["peers"],
    ["stats"],
    ["stats", SLOW],
    ["services"],
    ["groups"],
    ["limits"],
    ["limits", SLOW],
    ["alerts"],
    ["dead"],
    ["audit"],
    ["quality", SLOW],
    ["why", SLOW],
]
every_command = pytest.mark.parametrize("command", COMMANDS, ids=" ".join)


@pytest.fixture(scope="module")
def broker() -> Iterator[BrokerProcess]:
    """A broker with a server, two players, one of whom handles nothing, and a lasting alert about that one."""
    overrides = {
        "sessions": {"recovery_s": 0.0},
        "egress": {"queue_bytes": 262_144, "age_s": 1.0},
        "alerts": {"slow_receiver_age_s": 0.5},
    }
    with BrokerProcess(overrides) as process:
        address, control = process.addresses["critical"], process.addresses["control"]
        with (
            ServerAdapter("arena-of-the-long-name-1", service="arena", broker=address) as server,
            ClientAdapter(OTHER, broker=address) as other,
            ClientAdapter(SLOW, broker=address) as slow,
        ):
            slow.on("t")(lambda event: None)
            other.on("t")(lambda event: None)
            server.on("hello")(lambda event: None)
            wait_until(
                lambda: (server.poll(), slow.poll(), other.poll(), slow.state == other.state == "up")[-1]
            )
            server.join("room", f"player:{SLOW}")

            def flood() -> bool:
                for _ in range(20):
                    server.send("t", b"x" * 3_000, to="all", lane="low")
                    server.send("t", b"x" * 100, to=f"player:{OTHER}")
                server.poll()
                other.poll()
                lines = lanebus("alerts", "-s", control).stdout.splitlines()
                return any("slow_receiver" in line and "dropped" in line for line in lines)

            wait_until(flood, 30.0)
            yield process


def on_a_terminal(command: list[str], control: str) -> list[str]:
    """The lines that a command shows on a terminal of 80 columns, without colours."""
    leader, follower = pty.openpty()
    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 60, COLUMNS, 0, 0))
    shown = b""
    env = environment(TERM="xterm-256color")
    env.pop("COLUMNS", None)
    with subprocess.Popen([*LANEBUS, *command, "-s", control], stdout=follower, env=env) as process:
        os.close(follower)
        try:
            while piece := os.read(leader, 65_536):
                shown += piece
        except OSError:  # so Linux says that nobody writes any more
            pass
    os.close(leader)
    assert process.returncode in (Exit.OK, Exit.FAILED)
    return [line.rstrip("\r") for line in re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown.decode()).splitlines()]


@every_command
def test_nothing_is_wider_than_the_terminal_and_no_word_is_cut_by_its_edge(
    command: list[str], broker: BrokerProcess
) -> None:
    lines = on_a_terminal(command, broker.addresses["control"])
    assert len(lines) > 0
    for line in lines:
        assert len(line) <= COLUMNS, line


@every_command
def test_no_figure_and_no_heading_is_shortened_on_a_terminal(
    command: list[str], broker: BrokerProcess
) -> None:
    for line in on_a_terminal(command, broker.addresses["control"]):
        for word in line.split():
            # Names of peers alone may be: their beginning and their end are there.
            assert "\u2026" not in word or re.fullmatch(r"(player|server):.*\u2026.*\w", word), line


@pytest.mark.parametrize("name", ["queues --all", "peers", "stats"])
def test_names_that_begin_alike_are_told_apart(name: str, broker: BrokerProcess) -> None:
    lines = on_a_terminal(name.split(), broker.addresses["control"])
    names = {line.split()[0] for line in lines if line.startswith("player:")}
    assert len(names) == 2


def test_every_address_is_shown_whole(broker: BrokerProcess) -> None:
    words = " ".join(on_a_terminal(["status"], broker.addresses["control"])).replace(",", " ").split()
    for address in broker.addresses.values():
        assert address in words


def test_what_was_dropped_is_not_left_out(broker: BrokerProcess) -> None:
    assert "DROPPED" in " ".join(on_a_terminal(["queues"], broker.addresses["control"]))
    assert "DROPPED" in " ".join(on_a_terminal(["peers"], broker.addresses["control"]))


def test_an_alert_is_shown_with_its_kind_its_lane_and_its_figures(broker: BrokerProcess) -> None:
    lines = on_a_terminal(["alerts"], broker.addresses["control"])
    rows = [line.split() for line in lines if line.startswith("slow_receiver") and "lasts" in line.split()]
    assert any("low" in row for row in rows)
    said = " ".join(" ".join(lines).split())
    assert re.search(rf"slow_receiver player:{re.escape(SLOW)} low: held .* oldest age .* dropped", said)


def tables(text: str) -> Iterator[list[str]]:
    """Each table for programs that a command has written: its heading, and the lines below."""
    lines = text.splitlines()
    for place, line in enumerate(lines):
        names = re.split(r"\s{2,}", line.strip())
        if len(names) < 3 or not all(re.fullmatch(r"[A-Z0-9/ ]+", name) for name in names):
            continue
        below = []
        for row in lines[place + 1 :]:
            if len(re.split(r"\s{2,}", row.strip())) < 3:
                break
            if all(re.fullmatch(r"[A-Z0-9/ ]+", name) for name in re.split(r"\s{2,}", row.strip())):
                break
            below.append(row)
        yield [line, *below]


PIPED = [each for each in COMMANDS if each[0] not in ("dead", "why") and each != ["limits", SLOW]]


@pytest.mark.parametrize("command", PIPED, ids=" ".join)
def test_for_programs_each_column_has_a_name_of_its_own_and_each_row_all_columns(
    command: list[str], broker: BrokerProcess
) -> None:
    shown = lanebus(*command, "-s", broker.addresses["control"]).stdout
    found = list(tables(shown))
    assert found
    for heading, *rows in found:
        names = re.split(r"\s{2,}", heading.strip())
        assert len(set(names)) == len(names), heading
        assert rows
        for row in rows:
            assert len(re.split(r"\s{2,}", row.strip())) == len(names), row
    assert "\u2026" not in shown
    assert "left out:" not in shown


UNITS = {
    "queues": ["QUEUED BYTES", "OLDEST S", "UNSETTLED BYTES", "OF LIMIT SHARE"],
    "peers": ["RTT MS", "APP MS", "JITTER MS", "LOSS SHARE", "HELD BYTES", "OLDEST S", "IDLE S", "UP FOR S"],
    "stats": ["BYTES IN", "BYTES OUT", "OLDEST S"],
    "alerts": ["AGO S", "LASTED S"],
    "services": ["SINCE S"],
    "status": ["BYTES IN", "BYTES OUT", "QUEUED BYTES", "HELD P50 MS", "HELD P99 MS", "HELD MAX MS"],
}


@pytest.mark.parametrize("name", UNITS)
def test_for_programs_headings_have_the_units_of_their_figures(name: str, broker: BrokerProcess) -> None:
    headings = [
        re.split(r"\s{2,}", table[0].strip())
        for table in tables(lanebus(name, "-s", broker.addresses["control"]).stdout)
    ]
    assert set(UNITS[name]) <= set(headings[0])


@pytest.mark.parametrize("name", ["queues", "peers", "stats"])
def test_a_table_without_rows_has_the_same_heading(name: str, broker: BrokerProcess) -> None:
    with BrokerProcess() as empty:
        bare = lanebus(name, "-s", empty.addresses["control"]).stdout.splitlines()[0]
    full = lanebus(name, "-s", broker.addresses["control"]).stdout.splitlines()[0]
    assert bare.split() == full.split()
