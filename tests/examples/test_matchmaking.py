"""The matchmaker and its match servers: whom players are sent to, and how the programs work together."""

import json
import time
from collections import Counter
from contextlib import ExitStack
from typing import Any

import pytest
from tests.examples.test_programs import end, start

import lanebus
from lanebus.cli.broker_process import BrokerProcess
from lanebus.cli.control_client import ControlClient
from lanebus.examples.match_server import SEATS, MatchServer
from lanebus.examples.matchmaker import Matchmaker

READY, DEGRADED = lanebus.ServiceState.READY, lanebus.ServiceState.DEGRADED


class Desk:
    """An adapter that notes what a program does with it."""

    def __init__(self) -> None:
        self.services: dict[str, dict[str, lanebus.Instance]] = {}
        self.bound: dict[str, str] = {}
        self.sent: list[tuple[str, str]] = []

    def on(self, topic: str) -> Any:
        return lambda function: function

    def on_service(self, function: Any) -> None:
        """Nothing is to be noted."""

    def watch_services(self) -> None:
        """Nothing is to be noted."""

    def assign(self, player: str, service: str, instance: str) -> None:
        self.bound[player] = instance

    def send(self, topic: str, payload: object = None, *, to: str) -> None:
        self.sent.append((topic, to))

    def has(self, name: str, state: lanebus.ServiceState = READY, *, weight: int = 1) -> lanebus.Instance:
        instance = lanebus.Instance("match", f"server:{name}", state, "", weight=weight)
        self.services.setdefault("match", {})[instance.name] = instance
        return instance


class Asking:
    """An event of a player."""

    def __init__(self, sender: str) -> None:
        self.sender = sender


@pytest.fixture
def desk() -> Desk:
    return Desk()


@pytest.fixture
def matchmaker(desk: Desk) -> Matchmaker:
    return Matchmaker(desk)  # type: ignore[arg-type]


def ask(matchmaker: Matchmaker, *players: str) -> None:
    for player in players:
        matchmaker.find(Asking(player))  # type: ignore[arg-type]


def test_players_are_spread_by_weight(desk: Desk, matchmaker: Matchmaker) -> None:
    desk.has("a")
    desk.has("b", weight=3)
    desk.has("c", DEGRADED, weight=9)
    ask(matchmaker, *(f"player:{number}" for number in range(8)))
    assert Counter(desk.bound.values()) == {"server:a": 2, "server:b": 6}
    assert desk.sent[0] == ("match.found", "player:0")


def test_who_asks_again_stays_until_its_match_is_gone(
    desk: Desk, matchmaker: Matchmaker, capsys: pytest.CaptureFixture[str]
) -> None:
    first = desk.has("a")
    ask(matchmaker, "player:1")
    desk.has("b", weight=100)
    ask(matchmaker, "player:1")
    assert desk.bound == {"player:1": "server:a"}
    del desk.services["match"]["server:a"]
    gone = lanebus.Instance("match", first.name, lanebus.ServiceState.GONE, "it has left")
    matchmaker.changed(lanebus.ServiceChange(gone, READY))
    ask(matchmaker, "player:1")
    assert desk.bound == {"player:1": "server:b"}
    other = lanebus.Instance("chat", "server:z", READY, "")
    matchmaker.changed(lanebus.ServiceChange(other, None))
    assert capsys.readouterr().out == "server:a is gone: it has left\n"


def test_without_a_match_a_player_is_told_so(desk: Desk, matchmaker: Matchmaker) -> None:
    ask(matchmaker, "player:1")
    assert (desk.sent, desk.bound) == ([("match.none", "player:1")], {})


def test_a_full_match_says_that_it_is_full(desk: Desk) -> None:
    match = MatchServer(desk)  # type: ignore[arg-type]
    assert match.health() == "ok"
    for number in range(SEATS):
        match.enter(Asking(f"player:{number}"))  # type: ignore[arg-type]
    assert match.health() == "100 players on 100 seats"
    match.quit(Asking("player:0"))  # type: ignore[arg-type]
    assert match.health() == "ok"


@pytest.mark.system
def test_a_player_is_sent_to_a_match() -> None:
    with BrokerProcess() as broker, ExitStack() as stack:
        address = broker.addresses["critical"]
        maker = start(stack, "matchmaker", "--broker", address)
        matches = [
            start(stack, "match_server", name, "--broker", address, "--loading-s", "0.1")
            for name in ("match-1", "match-2")
        ]
        with ControlClient(broker.addresses["control"]) as control:
            deadline = time.monotonic() + 20
            states: dict[str, str] = {}
            while [
                states.get(name) for name in ("server:match-1", "server:match-2", "server:matchmaker-1")
            ] != ["ready"] * 3:
                assert time.monotonic() < deadline, json.dumps(states)
                time.sleep(0.05)
                states = {each["instance"]: each["state"] for each in control.request("services")}
        found: list[str] = []
        welcomed: list[str] = []
        with lanebus.ClientAdapter("42", broker=address) as client:

            @client.on("match.found")
            def enter(event: lanebus.Event) -> None:
                found.append(event.payload["server"])
                client.send("match.enter")

            client.on("match.welcome")(lambda event: welcomed.append(event.sender))
            client.send("match.find")
            while not welcomed:
                assert time.monotonic() < deadline
                client.wait(0.05)
        assert welcomed == found
        for match in matches:
            assert end(match) == ""
        assert "server:match-1 is ready\n" in end(maker)
