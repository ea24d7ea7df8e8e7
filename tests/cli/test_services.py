"""`services` and `groups`: of a canned broker in both formats, and of a real one."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from click.testing import CliRunner, Result
from tests.cli.commands import complaint, lanebus, wait_until

from lanebus import ServerAdapter
from lanebus.cli import services as commands
from lanebus.cli.broker_process import BrokerProcess
from lanebus.cli.control_client import ControlClient
from lanebus.cli.exits import Exit


def instance(service: str, name: str, **changes: Any) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "service": service,
        "instance": name,
        "state": "ready",
        "reason": "",
        "since_s": 60.0,
        "version": "",
        "priority": 0,
        "weight": 1,
        "tags": [],
        "depends_on": [],
        "clients": 0,
        "service_health": {"health": "ok", "reasons": []},
    }
    return fields | changes


ANSWERS: dict[str, Any] = {
    "services": [
        instance("bus", "lanebus", priority=1000),
        instance(
            "combat\x1b[2J",
            "server:arena-1",
            state="degraded",
            reason="needs world",
            version="1.4",
            tags=["eu", "ranked"],
            weight=2,
            clients=17,
            service_health={"health": "degraded", "reasons": ["1 of 1 instance not well"]},
        ),
    ],
    "groups": [
        {"group": "den", "members": 1200, "keepers": [f"server:{number}" for number in range(6)]},
        {"group": "room:7", "members": 1, "keepers": ["player:1"]},
    ],
    "members": [
        {"member": "player:1", "role": "client", "via": "gateway:g", "state": "up", "keeper": "player:1"},
        {"member": "player:2", "role": "client", "via": None, "state": "away", "keeper": "server:a"},
    ],
}


class Desk:
    """A broker that answers from a list, and what it was asked."""

    def __init__(self) -> None:
        self.answers = dict(ANSWERS)
        self.asked: list[tuple[str, dict[str, Any]]] = []

    def request(self, command: str, **arguments: Any) -> Any:
        self.asked.append((command, arguments))
        return self.answers[command]


@pytest.fixture
def desk(monkeypatch: pytest.MonkeyPatch) -> Desk:
    desk = Desk()
    monkeypatch.setattr(ControlClient, "request", staticmethod(desk.request))
    return desk


def run(command: str, *arguments: str) -> Result:
    result = CliRunner().invoke(getattr(commands, command), list(arguments))
    assert result.exit_code == 0, result.output
    return result


def rows(result: Result) -> list[list[str]]:
    """The cells of a table's lines."""
    return [
        [cell.strip() for cell in line.split("  ") if cell.strip()] for line in result.output.splitlines()
    ]


def test_services_are_one_row_an_instance(desk: Desk) -> None:
    head, bus, combat, health = rows(run("services"))
    assert head == [
        "SERVICE",
        "INSTANCE",
        "STATE",
        "VERSION",
        "TAGS",
        "PRIORITY",
        "WEIGHT",
        "CLIENTS",
        "SINCE S",
    ]
    assert bus == ["bus", "lanebus", "ready", "-", "-", "1000", "1", "0", "60.000"]
    assert combat[1:] == [
        *("server:arena-1", "degraded: needs world", "1.4", "eu, ranked", "0", "2", "17"),
        "60.000",
    ]
    assert "\x1b" not in combat[0]
    assert health == [r"combat\x1b[2J is degraded: 1 of 1 instance not well"]


def test_on_a_narrow_terminal_the_reasons_stand_below(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lanebus.cli.output.Out.width", 80)
    head, _, combat, reason, _ = rows(run("services"))
    assert head == ["SERVICE", "INSTANCE", "STATE", "WEIGHT", "CLIENTS", "SINCE S"]
    assert combat[1:] == ["server:arena-1", "degraded", "2", "17", "60.000"]
    assert reason == [r"server:arena-1 (combat\x1b[2J): needs world"]


def test_groups_are_one_row_a_group(desk: Desk) -> None:
    head, den, room, count = rows(run("groups"))
    assert head == ["GROUP", "KEEPERS", "MEMBERS"]
    assert den == ["den", "server:0, server:1, server:2, server:3 and 2 more", "1200"]
    assert room == ["room:7", "player:1", "1"]
    assert count == ["2 groups"]
    desk.answers["groups"] = []
    assert run("groups").output == "no group has a member\n"


@pytest.mark.parametrize("name", ["room:7", "group:room:7"])
def test_the_members_of_one_group_are_one_row_each(desk: Desk, name: str) -> None:
    head, one, two, count = rows(run("groups", name))
    assert desk.asked == [("members", {"group": "room:7"})]
    assert head == ["MEMBER", "ROLE", "VIA", "STATE", "KEEPER"]
    assert one == ["player:1", "client", "gateway:g", "up", "player:1"]
    assert two == ["player:2", "client", "-", "away", "server:a"]
    assert count == ["2 members"]


@pytest.mark.parametrize(
    ("arguments", "command"),
    [(["services"], "services"), (["groups"], "groups"), (["groups", "room:7"], "members")],
)
def test_json_is_what_the_broker_said(desk: Desk, arguments: list[str], command: str) -> None:
    assert json.loads(run(*arguments, "-o", "json").output) == ANSWERS[command]


# A real broker


@pytest.fixture(scope="module")
def broker() -> Iterator[BrokerProcess]:
    with BrokerProcess() as process:
        yield process


@pytest.mark.system
def test_a_real_broker_lists_itself_and_a_server(broker: BrokerProcess) -> None:
    endpoint = ("--server", broker.addresses["control"])
    with ServerAdapter("a", service="combat", broker=broker.addresses["critical"]) as server:
        server.join("room:7")
        wait_until(lambda: (server.poll(), not server.requests_pending)[1])
        shown = lanebus("services", "-o", "json", *endpoint)
        assert [each["instance"] for each in json.loads(shown.stdout)] == ["lanebus", "server:a"]
        shown = lanebus("groups", "room:7", *endpoint)
        assert shown.stdout.splitlines()[1].split()[:2] == ["server:a", "server"]
        said = complaint(lanebus("groups", "room:8", *endpoint), Exit.UNKNOWN)
        assert "no group 'room:8'" in said
