"""`lanebus why`: of a canned broker in both formats, and of a real one with a player that stands still."""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from tests.cli.commands import complaint, environment, lanebus, wait_until

from lanebus import ClientAdapter, ServerAdapter
from lanebus.cli.broker_process import BrokerProcess
from lanebus.cli.control_client import ControlClient
from lanebus.cli.exits import Exit
from lanebus.cli.why import why

BOOK = {
    "accepted": 0,
    "delivered": 0,
    "superseded": 0,
    "expired": 0,
    "dropped": 0,
    "refused": 0,
    "unknown": 0,
    "in_flight": 0,
}


def closed(**changes: Any) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "name": "player:1",
        "ended_ago_s": 30.0,
        "lasted_s": 90.0,
        "role": "client",
        "via": None,
        "reason": "said goodbye: closed",
        "lost_reason": "",
        "away_s": 0.0,
        "quality": "excellent",
        "quality_reason": "round trip 20.0 ms",
        "score": 99.0,
        "rtt_ms": 20.0,
        "resumes": 0,
        "outages": 1,
        "longest_outage_s": 0.0,
        "books": {"critical": BOOK | {"delivered": 2}, "normal": BOOK | {"delivered": 1}, "low": BOOK},
        "reasons": {},
        "events_in": 3,
        "bytes_in": 60,
        "events_out": 4,
        "bytes_out": 80,
        "resent": 0,
        "dropped": 0,
        "held_bytes": 0,
        "oldest_age_s": 0.0,
    }
    return fields | changes


FINE = {"cause": "fine", "share": 0.0, "text": "connection excellent, nothing held back"}
NETWORK = {"cause": "network", "share": 4.0, "text": "poor: jitter 130 ms\x1b[31m"}
HANDLER = {"cause": "handler", "share": 0.6, "text": "oldest unsettled 1.2 s, 5,000 bytes held"}
SESSION = {"role": "client", "via": "gateway:g", "connected_s": 90.0}


class Desk:
    """A broker that answers one thing, and what it was asked."""

    def __init__(self) -> None:
        self.answer: dict[str, Any] = {
            "name": "player:1",
            "session": SESSION,
            "verdicts": [NETWORK, HANDLER],
            "evidence": {},
            "closed": [],
            "closed_remembered": 0,
        }
        self.asked: list[tuple[str, str]] = []

    def request(self, command: str, *, peer: str) -> Any:
        self.asked.append((command, peer))
        return self.answer


@pytest.fixture
def desk(monkeypatch: pytest.MonkeyPatch) -> Desk:
    desk = Desk()
    monkeypatch.setattr(ControlClient, "request", staticmethod(desk.request))
    return desk


def run(*arguments: str) -> Result:
    result = CliRunner().invoke(why, list(arguments), standalone_mode=False)
    assert result.exception is None, result.exception
    return result


def lines(*arguments: str) -> list[str]:
    output = run(*arguments).output
    assert "\x1b" not in output
    return [" ".join(line.split()) for line in output.splitlines()]


@pytest.mark.parametrize(
    ("given", "full"), [("1", "player:1"), ("player:1", "player:1"), ("server:a", "server:a")]
)
def test_a_name_without_a_role_is_a_players(desk: Desk, given: str, full: str) -> None:
    run(given)
    assert desk.asked == [("why", full)]


def test_json_is_what_the_broker_said(desk: Desk) -> None:
    assert json.loads(run("1", "-o", "json").stdout) == desk.answer


def test_the_verdict_is_the_first_line_and_all_causes_follow(desk: Desk) -> None:
    assert lines("1") == [
        r"the network of player:1 is the cause: poor: jitter 130 ms\x1b[31m",
        "client, its session began 90.000 s ago, via gateway:g",
        r"network 400% poor: jitter 130 ms\x1b[31m",
        "handler 60% oldest unsettled 1.2 s, 5,000 bytes held",
    ]


def test_a_cause_that_stands_alone_is_said_once(desk: Desk) -> None:
    desk.answer["verdicts"] = [NETWORK]
    assert len(lines("1")) == 2


@pytest.mark.parametrize(
    ("cause", "words"),
    [
        ("away", "player:1 is away: x"),
        ("throttled", "player:1 is throttled: x"),
        ("shaped", "player:1 is shaped: x"),
        ("handler", "the program of player:1 is the cause: x"),
        ("receiver", "player:1 waits for somebody else: x"),
        ("broker", "the broker is the cause, and not player:1: x"),
        ("violations", "player:1 breaks rules: x"),
        ("fine", "player:1 is fine: x"),
        ("of a newer broker", "player:1: of a newer broker: x"),
    ],
)
def test_every_cause_has_its_sentence(desk: Desk, cause: str, words: str) -> None:
    desk.answer["verdicts"] = [{"cause": cause, "share": 2.0, "text": "x"}]
    assert lines("1")[0] == words


def test_what_is_short_of_a_cause_stands_below_fine(desk: Desk) -> None:
    desk.answer["verdicts"] = [FINE]
    assert lines("1")[2:] == []
    desk.answer["verdicts"] = [FINE, HANDLER]
    assert lines("1")[2:] == ["handler 60% oldest unsettled 1.2 s, 5,000 bytes held"]


def test_earlier_sessions_of_one_that_is_here_are_listed(desk: Desk) -> None:
    desk.answer["closed"] = [
        closed(reason="did not come back within 30 s", lost_reason="it broke rule 401", away_s=30.0)
    ]
    assert lines("1")[-3:] == [
        "Earlier sessions of player:1:",
        "ENDED LASTED S VIA CONNECTION SENT GOT REASON",
        "30.000 ago 90.000 - excellent 3 4 did not come back within 30 s (it broke rule 401)",
    ]


def test_one_that_is_gone_has_its_end_and_what_is_known(desk: Desk) -> None:
    desk.answer |= {"session": None, "verdicts": [], "evidence": None, "closed": [closed()]}
    assert lines("1") == [
        "player:1 is gone: its session ended 30.000 s ago: said goodbye: closed",
        "lasted 90.000 s, as a client",
        "connection excellent (round trip 20.0 ms), last round trip 20.00 ms",
        "outages 1, the longest 0.000 s; 0 reconnects",
        "sent 3 events, 60 bytes: 3 delivered",
        "got 4 parts, 80 bytes",
    ]


def test_what_it_left_behind_is_said(desk: Desk) -> None:
    last = closed(
        via="gateway:g",
        lost_reason="it has been silent for 10.2 s",
        away_s=30.0,
        rtt_ms=None,
        quality="estimating",
        quality_reason="",
        reasons={"refused: no_handler": 5},
        books={"critical": BOOK | {"in_flight": 2}, "normal": BOOK, "low": BOOK},
        resent=6,
        dropped=7,
        held_bytes=900,
        oldest_age_s=2.5,
    )
    desk.answer |= {"session": None, "verdicts": [], "closed": [last, closed(ended_ago_s=400.0)]}
    shown = lines("1")
    assert shown[1:7] == [
        "lasted 90.000 s, as a client, via gateway:g",
        "links lost it has been silent for 10.2 s, 30.000 s before its end",
        "connection estimating",
        "outages 1, the longest 0.000 s; 0 reconnects",
        "sent 3 events, 60 bytes: 0 delivered, 5 refused: no_handler, 2 still under way",
        "got 4 parts, 80 bytes: 6 again, 7 dropped, 900 bytes not settled, the oldest for 2.500 s",
    ]
    assert shown[-2].startswith("30.000 ago 90.000 gateway:g estimating 3 4 said goodbye: closed")
    assert shown[-1].startswith("400.000 ago")


# A real broker

PROGRAM = """\
import sys
import lanebus

client = lanebus.ClientAdapter("frozen", broker=sys.argv[1])
client.on("tick")(lambda event: None)
client.start()
while True:
    client.wait(0.01)
"""


@pytest.fixture
def broker() -> Iterator[BrokerProcess]:
    with BrokerProcess({"sessions": {"recovery_s": 0.0, "ping_interval_s": 0.5}}) as process:
        yield process


@pytest.mark.system
def test_a_process_that_is_stopped_is_told_from_a_network_that_is_gone(
    broker: BrokerProcess, tmp_path: Path
) -> None:
    control = broker.addresses["control"]
    path = tmp_path / "client.py"
    path.write_text(PROGRAM)
    program = subprocess.Popen([sys.executable, path, broker.addresses["critical"]], env=environment())

    def found() -> dict[str, Any]:
        return dict(json.loads(lanebus("why", "frozen", "-s", control, "-o", "json").stdout or "{}"))

    def causes(answer: dict[str, Any]) -> dict[str, str]:
        # A machine that is busy has a broker that is late: that may be said too.
        return {verdict["cause"]: verdict["text"] for verdict in answer["verdicts"]}

    try:
        wait_until(lambda: found().get("evidence", {}).get("quality") not in (None, "estimating"))
        wait_until(lambda: causes(found()).keys() <= {"fine", "broker"})
        program.send_signal(signal.SIGSTOP)
        # What the broker's kernel sends is acknowledged by that of the other process, whatever this one does.
        wait_until(lambda: "handler" in causes(found()), 30.0)
        assert "though its machine answers: its process stands still" in causes(found())["handler"]
        assert "player:frozen" in lanebus("why", "frozen", "-s", control).stdout.splitlines()[0]
    finally:
        program.kill()
        program.wait(10.0)


@pytest.mark.system
def test_who_has_left_is_told_from_who_was_never_here(broker: BrokerProcess) -> None:
    control = broker.addresses["control"]
    with (
        ServerAdapter("arena", broker=broker.addresses["critical"]) as server,
        ClientAdapter("1", broker=broker.addresses["critical"]) as player,
    ):
        wait_until(lambda: (server.poll(), player.poll(), server.state == player.state == "up")[2])
    wait_until(lambda: "player:1 is gone" in lanebus("why", "1", "-s", control).stdout)
    shown = lanebus("why", "player:1", "-s", control)
    assert shown.returncode == Exit.OK
    assert "said goodbye: closed" in shown.stdout.splitlines()[0]
    said = complaint(lanebus("why", "arena", "-s", control), Exit.UNKNOWN)
    assert "but server:arena is known" in said
    said = complaint(lanebus("why", "2", "-s", control), Exit.UNKNOWN)
    assert "none of the 2 that ended last was of that name: lanebus peers lists who is here" in said
