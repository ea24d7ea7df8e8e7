"""`lanebus trace`: of canned answers, and of a real broker under traffic."""

import io
import json
import re
import signal
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest
from tests.cli.busy import Busy, busy
from tests.cli.commands import LANEBUS, NOBODY, complaint, environment, lanebus, wait_until
from tests.cli.test_output import Terminal

from lanebus.cli.control_client import ControlClient
from lanebus.cli.exits import CliError, Exit
from lanebus.cli.main import run
from lanebus.cli.output import Out
from lanebus.cli.tracing import Tally, follow, payload_text, plain, show

BATCH = {
    "at_s": 1.25,
    "mark": ">",
    "what": "batch",
    "lane": "normal",
    "bytes": 2048,
    "number": 7,
    "events": 3,
    "age_ms": 41.26,
    "text": "3 x unit.state from server:a",
}
STATE = {"at_s": 0.0, "mark": "=", "what": "state", "text": "up"}


class Canned(ControlClient):
    """A control endpoint whose answers are known."""

    def __init__(self, *answers: dict[str, Any] | CliError) -> None:
        super().__init__(NOBODY)
        self._answers = list(answers)
        self.asked: list[tuple[str, dict[str, Any]]] = []

    def request(self, command: str, **arguments: Any) -> Any:
        self.asked.append((command, arguments))
        if command == "trace":
            return {"trace": 5}
        if command == "trace_end":
            return {"ended": True}
        answer = self._answers.pop(0)
        if isinstance(answer, CliError):
            raise answer
        return answer


class Clock:
    def __init__(self) -> None:
        self.now = 10.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def answer(*lines: dict[str, Any], lost: int = 0, left: int = 0) -> dict[str, Any]:
    return {"lines": list(lines), "lost": lost, "left": left}


# Following


def test_a_trace_is_read_to_its_end_and_ended() -> None:
    clock, client = Clock(), Canned(answer(STATE, left=1), answer(BATCH), answer(), answer(BATCH))
    lines = list(follow(client, "player:1", 0.15, payloads=True, clock=clock, sleep=clock.sleep))
    assert lines == [STATE, BATCH, BATCH]
    assert client.asked == [
        ("trace", {"peer": "player:1", "payloads": True}),
        *[("trace_read", {"trace": 5})] * 4,
        ("trace_end", {"trace": 5}),
    ]
    # It waits only where the broker had no more to tell, and not past the end.
    assert clock.now == pytest.approx(10.15)


def test_lost_lines_are_told_where_they_are_missing() -> None:
    clock, client = Clock(), Canned(answer(BATCH, lost=3))
    clock.now = 0.0
    lost, line = follow(client, "player:1", 0.0, clock=clock, sleep=clock.sleep)
    assert lost["text"] == "3 lines lost: more happened than could be read"
    assert line == BATCH


def test_a_broker_that_goes_away_ends_the_trace() -> None:
    clock, client = Clock(), Canned(answer(STATE), CliError("gone", Exit.TIMEOUT))
    with pytest.raises(CliError, match="gone"):
        list(follow(client, "player:1", 9.0, clock=clock, sleep=clock.sleep))
    assert client.asked[-1] == ("trace_end", {"trace": 5})


# Showing


def shown(line: dict[str, Any], stream: io.StringIO) -> str:
    show(Out("table", stream), line)
    return stream.getvalue()


def test_a_batch_in_columns() -> None:
    assert shown(BATCH, io.StringIO()) == (
        "   1.2500 > batch    normal        #7   3 ev     2048   41.3 ms  3 x unit.state from server:a\n"
    )


def test_a_state_has_no_figures() -> None:
    assert shown(STATE, io.StringIO()).split() == ["0.0000", "=", "state", "up"]
    assert shown({**STATE, "at_s": None}, io.StringIO()).split() == ["=", "state", "up"]


def test_people_get_units_and_colours_and_one_line_each() -> None:
    written = shown({**BATCH, "text": "x" * 500 + "\x1b[2J"}, Terminal())
    assert "2.00 KiB" in written
    assert "\x1b[2J" not in written
    assert written.count("\n") == 1


def test_payloads_stand_below_their_batch() -> None:
    line = {**BATCH, "payloads": [["unit.state", 5, b"\x81\xa1x\x07\xc0"[:4]], ["t", 3, b"\x81\xa1x"]]}
    first, second, third = shown({**line, "payloads": line["payloads"]}, io.StringIO()).splitlines()
    assert "batch" in first
    assert second.split(maxsplit=3) == ["unit.state", "5", "bytes", "81 a1 78 07"]
    assert third.split(maxsplit=3) == ["t", "3", "bytes", "81 a1 78"]


@pytest.mark.parametrize(
    ("size_bytes", "beginning", "text"),
    [
        (4, b"\x81\xa1x\x07", '{"x":7}'),
        (4, b"\x92\x01", "92 01"),
        (1, b"\xc1", "c1"),
        (2, b"\x07\x07", "07 07"),
        (2, b"\xc4\x00", '""'),
        (3, b"\xd4\x01\x02", "d4 01 02"),
        (200, b"\x00" * 128, "00 " * 64 + "..."),
        (65, b"\x00" * 65, "00 " * 64 + "..."),
        (0, b"", ""),
    ],
)
def test_payloads_as_text(size_bytes: int, beginning: bytes, text: str) -> None:
    assert payload_text(size_bytes, beginning) == text


def test_lines_for_programs_hold_what_json_can() -> None:
    assert plain(STATE) == STATE
    made = plain({**BATCH, "payloads": [["t", 1, b"\x07"]]})
    assert made["payloads"] == [{"topic": "t", "bytes": 1, "payload": "7"}]


def test_the_sum_at_the_end() -> None:
    tally = Tally()
    for line in (STATE, BATCH, BATCH, {**BATCH, "mark": "<", "bytes": 1}, {**STATE, "mark": "!", "lost": 2}):
        tally.count(line)
    text = tally.text(Out("table", io.StringIO()))
    assert text == "1 frame in (1 bytes), 2 frames out (4096 bytes), 2 lines lost"


# A real broker


@pytest.fixture(scope="module")
def talk() -> Iterator[Busy]:
    with busy() as found:
        yield found


@pytest.mark.system
def test_a_player_under_traffic(talk: Busy, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["trace", "1", "--for", "500ms", "-s", talk.control]) == Exit.OK
    written = capsys.readouterr()
    first, *lines = written.out.splitlines()
    assert "= trace" in first
    assert "player:1 is up" in first
    assert any("> batch    critical" in line and "tick from server:a" in line for line in lines)
    assert any("< settle" in line and "critical delivered" in line for line in lines)
    assert "frames in" in written.err


@pytest.mark.system
def test_programs_get_each_line_as_an_object_with_payloads_if_they_ask(
    talk: Busy, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["trace", "server:a", "--for", "300ms", "--payloads", "-o", "json", "-s", talk.control]
    assert run(arguments) == Exit.OK
    written = capsys.readouterr()
    lines = [json.loads(line) for line in written.out.splitlines()]
    batch = next(line for line in lines if line["what"] == "batch")
    assert batch["mark"] == "<"
    assert batch["payloads"][0]["payload"].startswith('{"number":')
    assert written.err == ""


@pytest.mark.system
def test_ctrl_c_ends_the_trace_in_the_broker_too(talk: Busy) -> None:
    with subprocess.Popen(
        [*LANEBUS, "trace", "1", "--for", "1h", "-s", talk.control],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
    ) as child:
        assert child.stdout is not None
        assert "player:1 is up" in child.stdout.readline()
        child.send_signal(signal.SIGINT)
        _, errors = child.communicate(timeout=20)
    assert child.returncode == Exit.INTERRUPTED
    assert re.search(r"\d+ frames? out", errors)
    wait_until(lambda: talk.broker.log_text().rstrip().endswith("= trace of player:1 ends"))


@pytest.mark.system
def test_what_the_broker_refuses_is_told(talk: Busy) -> None:
    refused = lanebus("trace", "nobody:1", "-s", talk.control)
    assert refused.returncode == Exit.FAILED
    assert "'nobody:1' can be nobody's name: give one such as player:42" in refused.stderr
    complaint(lanebus("trace", "1", "-s", NOBODY), Exit.UNAVAILABLE)
