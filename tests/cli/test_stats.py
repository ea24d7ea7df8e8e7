"""`lanebus stats`, of a real broker with a server and a player."""

import json
from collections.abc import Iterator

import pytest
from tests.cli.commands import complaint, lanebus, wait_until

from lanebus import ClientAdapter, Loop, ServerAdapter
from lanebus.cli.broker_process import BrokerProcess
from lanebus.cli.exits import Exit

pytestmark = pytest.mark.system


@pytest.fixture(scope="module")
def control() -> Iterator[str]:
    """The control endpoint of a broker through which three events were delivered and one was refused."""
    handled: list[object] = []
    ended: list[object] = []
    with BrokerProcess({"sessions": {"recovery_s": 0.0}}) as broker:
        loop = Loop()
        server = ServerAdapter("a", service="combat", broker=broker.addresses["critical"])
        player = ClientAdapter("1", broker=broker.addresses["critical"])
        player.on("tick")(lambda event: handled.append(event.payload))
        server.on_unsettled(lambda *args: ended.append(args))
        for adapter in (server, player):
            adapter.start()
            loop.add(adapter)

        def are_up() -> bool:
            loop.turn(0.01)
            return server.state == player.state == "up"

        def are_done() -> bool:
            loop.turn(0.01)
            return len(handled) == 3 and not server.in_flight

        wait_until(are_up)
        for number in range(3):
            server.send("tick", number, to="player:1", lane="critical")
        server.send("tick", 0, to="player:nobody", lane="low")
        wait_until(are_done)
        yield broker.addresses["control"]
        loop.close_all(5.0)


def test_the_figures_of_all_peers_are_json_for_programs(control: str) -> None:
    found = json.loads(lanebus("stats", "-s", control, "-o", "json").stdout)
    lanes = {each["name"]: each["lanes"] for each in found}
    assert lanes["server:a"]["critical"]["in"]["events"] == 3
    assert lanes["server:a"]["low"]["in"]["reasons"] == {"refused: unknown_destination": 1}
    assert lanes["player:1"]["critical"]["out"]["events"] == 3


def test_people_see_a_row_for_each_lane_that_was_used(control: str) -> None:
    shown = lanebus("stats", "-s", control).stdout
    assert shown.count("server:a") == 2
    assert shown.count("player:1") == 1
    assert "2 peers" in shown


def test_one_peer_is_shown_on_all_lanes_with_what_was_not_delivered(control: str) -> None:
    shown = lanebus("stats", "server:a", "-s", control).stdout
    assert shown.count("server:a") == 3
    assert "low: 1 refused: unknown_destination" in shown
    assert lanebus("stats", "1", "-s", control).stdout.count("player:1") == 3


def test_a_peer_without_a_session_is_named(control: str) -> None:
    assert "player:9 has no session" in complaint(lanebus("stats", "9", "-s", control), Exit.USAGE)
