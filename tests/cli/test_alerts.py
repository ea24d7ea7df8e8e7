"""`lanebus alerts`: of a canned broker in both formats, and of a real one that also posts them."""

import json
from typing import Any

import pytest
from click.testing import CliRunner, Result
from tests.broker.hook import Hook
from tests.cli.commands import lanebus, wait_until

from lanebus import ClientAdapter, ServerAdapter
from lanebus.cli import alerts as command
from lanebus.cli.broker_process import BrokerProcess
from lanebus.cli.control_client import ControlClient
from lanebus.cli.exits import Exit

SLOW: dict[str, Any] = {
    "kind": "slow_receiver",
    "peer": "player:1",
    "lane": "low",
    "is_over": True,
    "lasted_s": 20.0,
    "held_back": 0,
    "held_bytes": 0,
    "peak_held_bytes": 900_000,
    "oldest_age_s": 0.0,
    "peak_oldest_age_s": 18.5,
    "dropped": 3,
    "peak_dropped": 3,
    "paused_senders": 0,
    "peak_paused_senders": 0,
    "age_s": 90.0,
}


@pytest.fixture
def canned(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What the broker answers."""
    answer: list[dict[str, Any]] = []
    monkeypatch.setattr(ControlClient, "request", lambda self, command: answer)
    return answer


def run(*options: str) -> Result:
    return CliRunner().invoke(command.alerts, list(options), standalone_mode=False)


def table(*options: str) -> list[str]:
    """The lines of a table, with runs of blanks made one."""
    result = run(*options)
    assert result.exception is None, result.exception
    assert "\x1b" not in result.output
    return [" ".join(line.split()) for line in result.output.splitlines()]


def test_json_is_what_the_broker_said(canned: list[dict[str, Any]]) -> None:
    canned.append(SLOW)
    assert json.loads(run("-o", "json").stdout) == [SLOW]


def test_those_that_last_come_first_then_the_latest(canned: list[dict[str, Any]]) -> None:
    canned += [
        SLOW | {"peer": "player:old"},
        SLOW | {"peer": "player:new", "age_s": 50.0},
        SLOW | {"peer": "player:now\x1b[2J", "is_over": False, "age_s": 70.0, "lasted_s": 70.0},
    ]
    lines = table()
    assert lines[0] == "ALERT PEER LANE NOW AGO S LASTED S NOT TOLD AT WORST"
    assert [line.split()[1] for line in lines[1:]] == [r"player:now\x1b[2J", "player:new", "player:old"]
    worst = "held 900000 bytes, oldest age 18.500 s, dropped 3"
    assert lines[1] == rf"slow_receiver player:now\x1b[2J low lasts 70.000 70.000 - {worst}"
    assert lines[2] == f"slow_receiver player:new low over 50.000 20.000 - {worst}"


def test_every_kind_is_shown_with_its_figures(canned: list[dict[str, Any]]) -> None:
    common = {"lane": None, "is_over": False, "lasted_s": 1.0, "age_s": 1.0, "held_back": 0}
    canned += [
        {
            **common,
            "kind": "memory",
            "peer": "",
            "peak_resident_bytes": 5_000_000,
            "peak_held_bytes": 0,
            "peak_budget_share": 0.8125,
        },
        {
            **common,
            "kind": "flapping",
            "peer": "gateway:g",
            "held_back": 12,
            "peak_reconnects": 2,
            "peak_takeovers": 1,
        },
        {
            **common,
            "kind": "bandwidth",
            "peer": "player:1",
            "peak_used_share": 0.9,
            "peak_up_bytes_per_s": 46_080.0,
            "peak_down_bytes_per_s": 100.0,
        },
        {**common, "kind": "loop_late", "peer": "", "peak_late_s": 0.75},
        {
            **common,
            "kind": "outbox_full",
            "peer": "server:a",
            "peak_used_share": 1.0,
            "peak_limit_bytes": 800,
            "peak_turned_away": 7,
        },
    ]
    assert table()[1:] == [
        "memory the broker - lasts 1.000 1.000 - resident 5000000 bytes, budget 0.8125",
        "flapping gateway:g - lasts 1.000 1.000 12 reconnects 2, takeovers 1",
        "bandwidth player:1 - lasts 1.000 1.000 - used 0.9000, up 46080 bytes/s, down 100 bytes/s",
        "loop_late the broker - lasts 1.000 1.000 - late 0.750 s",
        "outbox_full server:a - lasts 1.000 1.000 - used 1.0000, limit 800 bytes, turned away 7",
    ]


def test_none_is_said_so(canned: list[dict[str, Any]]) -> None:
    assert table() == ["no alert since the broker's start"]


@pytest.mark.system
def test_a_receiver_that_is_not_polled_is_named_until_it_is() -> None:
    with (
        Hook() as hook,
        BrokerProcess({"alerts": {"slow_receiver_age_s": 0.5, "webhook_url": hook.url}}) as running,
        ControlClient(running.addresses["control"]) as control,
    ):
        assert lanebus("alerts", "-s", running.addresses["control"]).stdout.startswith("no alert")
        address = running.addresses["critical"]
        with ServerAdapter("arena", broker=address) as server, ClientAdapter("1", broker=address) as player:
            player.on("**")(lambda event: None)
            server.send("t", to="player:1", lane="critical", flush=True)

            def alerts() -> list[Any]:
                server.poll()
                return list(control.request("alerts"))

            wait_until(alerts)
            (alert,) = alerts()
            assert (alert["kind"], alert["peer"], alert["lane"]) == ("slow_receiver", "player:1", "critical")
            assert not alert["is_over"]
            shown = lanebus("peers", "-s", running.addresses["control"])
            assert "slow receiver: player:1 on critical" in shown.stdout
            shown = lanebus("alerts", "-s", running.addresses["control"])
            assert shown.returncode == Exit.OK, shown.stderr
            assert shown.stdout.splitlines()[1].split()[:4] == [
                "slow_receiver",
                "player:1",
                "critical",
                "lasts",
            ]

            def is_over() -> bool:
                player.poll()
                return bool(alerts()[0]["is_over"])

            wait_until(is_over)
        log = running.log_text()
        assert log.count("! slow_receiver: player:1 on critical: held_bytes ") == 1
        assert log.count("= slow_receiver is over: player:1 on critical after ") == 1
        wait_until(lambda: len(hook.got) == 2)
        assert [
            (got["broker"], got["kind"], got["peer"], got["lane"], got["is_over"]) for got in hook.got
        ] == [("lanebus", "slow_receiver", "player:1", "critical", is_over) for is_over in (False, True)]


@pytest.mark.system
def test_a_webhook_that_does_not_answer_holds_up_neither_the_broker_nor_its_end() -> None:
    with Hook() as hook:
        hook.silent.set()
        settings = {"alerts": {"memory_bytes": 1, "webhook_url": hook.url, "webhook_timeout_s": 60.0}}
        running = BrokerProcess(settings)
        with running, ControlClient(running.addresses["control"]) as control:
            wait_until(lambda: hook.got)
            with ServerAdapter("a", broker=running.addresses["critical"]) as server:
                server.on("**")(lambda event: None)
                server.send("t", to="server:a", flush=True)
                wait_until(lambda: server.poll() or not server.in_flight)
            (alert,) = control.request("alerts")
            assert (alert["kind"], alert["peer"], alert["lane"]) == ("memory", "", None)
        assert running.exit_status == 0
