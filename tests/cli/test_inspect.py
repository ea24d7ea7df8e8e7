"""`queues`, `peers`, `audit`: of a canned broker in both formats, and of a real one, `status` too."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from click.testing import CliRunner, Result
from tests.cli.commands import lanebus

from lanebus import ClientAdapter, Loop, ServerAdapter
from lanebus.cli import inspect as commands
from lanebus.cli import peers as peers_module
from lanebus.cli.broker_process import BrokerProcess
from lanebus.cli.control_client import ControlClient
from lanebus.cli.exits import Exit

BOOK = {
    "accepted": 10,
    "delivered": 8,
    "superseded": 0,
    "expired": 0,
    "dropped": 1,
    "refused": 0,
    "unknown": 0,
    "in_flight": 1,
}
BOOKS = {"critical": BOOK, "normal": BOOK, "low": BOOK}


RETRY: dict[str, Any] = {
    "resend_events": 0,
    "resent_events": 0,
    "most_sendings": 0,
    "suspect_events": 0,
    "most_deliveries": 0,
    "parked_batches": 0,
    "unresolved_events": 0,
    "oldest_age_s": 0.0,
}


def queue(peer: str, **changes: Any) -> dict[str, Any]:
    fields = {
        "peer": peer,
        "lane": "critical",
        "queued_events": 0,
        "queued_bytes": 0,
        "limit_bytes": 1000,
        "oldest_age_s": 0.0,
        "unsettled_events": 0,
        "unsettled_bytes": 0,
        "credit_bytes": 2000,
        "dropped": 0,
        "expired": 0,
        "superseded": 0,
        "at_sender_events": 0,
        "at_sender_bytes": 0,
        "retry": RETRY,
    }
    return fields | changes


def peer(name: str, **changes: Any) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "name": name,
        "role": "client",
        "via": None,
        "state": "up",
        "connected_s": 60.0,
        "idle_s": 0.5,
        "rtt_ms": 1.25,
        "network_rtt_ms": 1.25,
        "app_rtt_ms": 2.5,
        "jitter_ms": None,
        "loss_share": 0.015,
        "queue_ms": 7.0,
        "resumes": 1,
        "quality": "poor",
        "reason": "round trip 900 ms",
        "events_in": 5,
        "events_out": 6,
        "bytes_in": 700,
        "bytes_out": 800,
        "in_flight": 2,
        "held_bytes": 0,
        "oldest_age_s": 0.0,
        "dropped": 0,
        "slow": [],
        "throttled": [],
        "shaped": [],
        "refused": [],
        "refuses": [],
        "handled_p99_ms": {"critical": 12.0, "normal": None, "low": None},
        "at_sender_events": 0,
        "at_sender_bytes": 0,
        "unhandled": [],
        "violations": {},
        "violations_lately": 0,
        "error_budget_used": 0.0,
        "links": 3,
    }
    return fields | changes


AUDIT: dict[str, Any] = {
    "balanced": True,
    "at_rest": True,
    "sessions": 2,
    "problems": [],
    "books": {"events": BOOKS, "parts": BOOKS, "reported": BOOKS},
}


@pytest.fixture
def canned(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the broker answers, by command."""
    answers: dict[str, Any] = {
        "queues": [queue("player:1"), queue("player:2", queued_events=9, queued_bytes=900, dropped=1)],
        "peers": [peer("player:b"), peer("player:a\x1b[31m", via="gateway:g", quality="good")],
        "audit": AUDIT,
    }
    monkeypatch.setattr(ControlClient, "request", lambda self, command: answers[command])
    return answers


def run(name: str, *options: str) -> Result:
    module = peers_module if name == "peers" else commands
    return CliRunner().invoke(getattr(module, name), list(options), standalone_mode=False)


def table(name: str, *options: str) -> list[str]:
    """The lines of a table, with runs of blanks made one."""
    result = run(name, *options)
    assert result.exception is None, result.exception
    assert "\x1b" not in result.output
    return [" ".join(line.split()) for line in result.output.splitlines()]


@pytest.mark.parametrize("name", ["queues", "peers", "audit"])
def test_json_is_what_the_broker_said(canned: dict[str, Any], name: str) -> None:
    assert json.loads(run(name, "-o", "json").stdout) == canned[name]


def test_queues_show_what_is_not_empty_with_totals(canned: dict[str, Any]) -> None:
    lines = table("queues")
    assert lines[1:] == [
        "player:2 critical 9 900 0.9000 0.000 0 0 0.0000 1 0 0",
        "total - 9 900 - - 0 0 - 1 0 0",
        "1 empty queue not listed; --all lists them",
    ]
    assert table("queues", "--all")[2].startswith("player:1 critical 0 0")


def test_queues_show_what_is_tried_again_the_oldest_first(canned: dict[str, Any]) -> None:
    canned["queues"] = [
        queue("player:1"),
        queue("player:2", retry=RETRY | {"resend_events": 4, "resent_events": 2, "most_sendings": 3}),
        queue("player:3", retry=RETRY | {"suspect_events": 7, "most_deliveries": 5, "oldest_age_s": 2.5}),
        queue("server:a", retry=RETRY | {"parked_batches": 1, "unresolved_events": 6, "oldest_age_s": 1.25}),
    ]
    lines = table("queues")
    assert lines[-4:] == [
        "RETRYING LANE RESEND RESENT TIMES SUSPECT DELIVERIES PARKED WAITING OLDEST S",
        "player:3 critical 0 0 0 7 5 0 0 2.500",
        "server:a critical 0 0 0 0 0 1 6 1.250",
        "player:2 critical 4 2 3 0 0 0 0 0.000",
    ]


def test_few_retry_queues_are_listed_unless_all_are_asked_for(canned: dict[str, Any]) -> None:
    canned["queues"] = [queue(f"player:{number}", retry=RETRY | {"resent_events": 1}) for number in range(30)]
    lines = table("queues")
    assert lines[-1] == "10 retry queues not listed; --all lists them"
    assert len(table("queues", "--all")) > len(lines)


def test_peers_are_sorted_and_explained(canned: dict[str, Any]) -> None:
    lines = table("peers")
    figures = "1.25 2.50 - 0.0150 7.00 1 12.00/-/- 5 6 700 800 2 0 0.000 0 0.500 60.000"
    assert lines[1] == rf"player:a\x1b[31m gateway:g up good {figures}"
    assert lines[2].startswith("player:b - up poor: round trip 900 ms")
    assert lines[3] == "2 peers"


def test_a_slow_peer_is_marked_and_named(canned: dict[str, Any]) -> None:
    episode = {
        "lane": "normal",
        "for_s": 12.25,
        "held_bytes": 900_000,
        "oldest_age_s": 17.5,
        "dropped": 3,
        "paused_senders": 1,
    }
    canned["peers"] = [
        peer("player:a", slow=[episode], held_bytes=900_000, oldest_age_s=17.5, dropped=3),
        peer("player:b"),
    ]
    lines = table("peers")
    assert lines[1].startswith("player:a - up, slow poor")
    assert " 900000 17.500 3 " in lines[1]
    assert lines[2].startswith("player:b - up poor")
    assert lines[4] == (
        "slow receiver: player:a on normal for 12.250 s: 900000 bytes held, the oldest for 17.500 s, "
        "3 dropped, 1 sender paused"
    )


def test_who_breaks_rules_is_named_with_the_kinds(canned: dict[str, Any]) -> None:
    broken = {"not_allowed": 41, "bad_topic": 1}
    canned["peers"] = [
        peer("player:a", violations=broken, violations_lately=3, error_budget_used=0.75),
        peer("player:b"),
    ]
    assert table("peers")[4:] == [
        "violations: player:a: 41 not_allowed, 1 bad_topic; 3 lately, 0.7500 of its error budget used"
    ]


def test_a_narrow_terminal_gets_the_columns_that_matter(
    canned: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(peers_module, "_WIDE", 1_000_000)
    lines = table("peers")
    assert lines[0] == "PEER STATE QUALITY RTT MS HANDLED P99 MS HELD BYTES OLDEST S DROPPED"
    assert lines[1] == r"player:a\x1b[31m up good 1.25 12.00/-/- 0 0.000 0"
    monkeypatch.setattr(peers_module, "_MEDIUM", 1_000_000)
    assert table("peers")[0] == "PEER STATE QUALITY RTT MS HELD BYTES OLDEST S DROPPED"


def test_audit_exits_by_its_verdict(canned: dict[str, Any]) -> None:
    result = run("audit")
    assert result.return_value == Exit.OK
    assert "The books are balanced (2 sessions, at rest)" in result.output
    canned["audit"] = AUDIT | {
        "balanced": False,
        "at_rest": False,
        "problems": ["critical: 3 parts by the book, 2 held"],
    }
    result = run("audit")
    assert result.return_value == Exit.FAILED
    assert "NOT BALANCED" in result.output
    assert "ask again at rest" in result.output
    assert "  critical: 3 parts by the book, 2 held\n" in result.output
    assert run("audit", "-o", "json").return_value == Exit.FAILED


@pytest.fixture(scope="module")
def broker() -> Iterator[BrokerProcess]:
    with BrokerProcess() as running:
        yield running


@pytest.mark.system
@pytest.mark.parametrize("command", ["status", "queues", "peers", "audit"])
def test_a_real_broker_is_shown_in_both_formats(broker: BrokerProcess, command: str) -> None:
    loop = Loop()
    server = ServerAdapter("arena", service="arena", broker=broker.addresses["critical"])
    player = ClientAdapter("1", broker=broker.addresses["critical"])
    got: list[object] = []
    server.on("**")(got.append)
    adapters = (server, player)
    for adapter in adapters:
        adapter.start()
        loop.add(adapter)
    while any(adapter.state != "up" or adapter.requests_pending for adapter in adapters):
        loop.turn(0.05)
    player.send("move", {"x": 1}, flush=True)
    while not got or player.in_flight:
        loop.turn(0.05)
    endpoint = broker.addresses["control"]
    shown = lanebus(command, "-s", endpoint)
    assert shown.returncode == Exit.OK, shown.stderr
    assert shown.stderr == ""
    assert len(shown.stdout.splitlines()) > 2
    found = lanebus(command, "-s", endpoint, "-o", "json")
    assert found.returncode == Exit.OK, found.stderr
    result = json.loads(found.stdout)
    if command == "peers":
        assert {each["name"] for each in result} == {"server:arena", "player:1"}
    elif command == "audit":
        assert result["balanced"]
    elif command == "status":
        assert result["services"] == {"arena": ["server:arena"]}
    for adapter in adapters:
        adapter.close()
    loop.close()


@pytest.mark.parametrize(("command", "where"), [("queues", " on critical"), ("peers", "")])
def test_what_waits_at_its_sender_is_told_below_the_table(
    canned: dict[str, Any], command: str, where: str
) -> None:
    canned[command][0] |= {"at_sender_events": 1_200, "at_sender_bytes": 56_000}
    name = canned[command][0].get("peer") or canned[command][0]["name"]
    told = [line for line in table(command) if line.startswith("waits at its sender: ")]
    assert told == [f"waits at its sender: {name}{where}: 1200 events, 56000 bytes"]
