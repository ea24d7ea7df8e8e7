"""Two thousand players behind one gateway: real traffic over three sockets, exact, though one of them never reads."""

from __future__ import annotations

import gzip
import json
import os
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from lanebus import Event, GatewayAdapter, GatewaySession, Lane, Loop, OutboxFull, Raw, ServerAdapter
from lanebus.cli.broker_process import BrokerProcess
from lanebus.cli.control_client import ControlClient

pytestmark = [pytest.mark.system, pytest.mark.timeout(240)]

SESSIONS = 2000
EVENTS_EACH = 20
BROADCASTS = 5
CREDIT_BYTES = 65_536
FLOOD_EVENTS = 400
FLOOD_PAYLOAD = Raw(msgspec.msgpack.encode(b"x" * 1000))
DEADLINE_S = 150.0

TRACE = (
    Path(os.environ.get("LANEBUS_TRACES", Path(__file__).parents[3] / "shared" / "traces"))
    / "sc2-4v4-commands.jsonl.gz"
)


def recorded_events() -> Iterator[tuple[str, Lane, Raw]]:
    """Topic, lane and payload of the players' events of a recorded match."""
    with gzip.open(TRACE, "rt", encoding="ascii") as lines:
        next(lines)
        for line in lines:
            event = json.loads(line)
            yield event["topic"], Lane[event["lane"].upper()], Raw(msgspec.msgpack.encode(event["data"]))


class Match:
    """A server and a gateway with its players, all driven by one loop."""

    def __init__(self, broker: str) -> None:
        self.loop = Loop()
        self.server = ServerAdapter("match", service="match", broker=broker, outbox_bytes=256 << 20)
        self.gateway = GatewayAdapter("gw", broker=broker)
        self.players: list[GatewaySession] = []

    def __enter__(self) -> Match:
        for adapter in (self.server, self.gateway):
            adapter.start()
            self.loop.add(adapter)
        self.until(lambda: self.server.state == self.gateway.state == "up", "both attachments are up")
        self.players = [self.gateway.open(str(number)) for number in range(SESSIONS)]
        self.until(lambda: not self.gateway.requests_pending, "every session is open")
        return self

    def __exit__(self, *exc_info: object) -> None:
        for adapter in (self.gateway, self.server):
            adapter.close(0.0)
        self.loop.close()

    def until(self, reached: Callable[[], bool], what: str) -> None:
        """Turn the loop until a state is reached."""
        deadline = time.monotonic() + DEADLINE_S
        while not reached():
            assert time.monotonic() < deadline, f"not reached in {DEADLINE_S:g} s: {what}"
            self.loop.turn(0.02)


@pytest.mark.skipif(not TRACE.exists(), reason="the recorded matches are not here")
def test_two_thousand_players_behind_one_gateway_are_served_exactly_while_one_never_reads() -> None:
    overrides = {
        "limits": {"event_bytes": 32_768},
        "egress": {"credit_bytes": CREDIT_BYTES, "queue_bytes": 262_144},
    }
    with BrokerProcess(overrides) as broker, Match(broker.addresses["critical"]) as match:
        server, players = match.server, match.players
        sent_up: dict[tuple[str, Lane], list[tuple[str, bytes]]] = defaultdict(list)
        got_up: dict[tuple[str, Lane], list[tuple[str, bytes]]] = defaultdict(list)
        sent_down: dict[tuple[str, Lane], list[bytes]] = defaultdict(list)
        got_down: dict[tuple[str, Lane], list[bytes]] = defaultdict(list)
        stopped = players[7]
        readers = [player for player in players if player is not stopped]
        ended: list[str] = []

        @server.on("**")
        def relay(event: Event) -> None:
            got_up[event.sender, event.lane].append((event.topic, event.raw))
            server.send("echo", Raw(event.raw), to=event.sender, lane=event.lane)
            sent_down[event.sender, event.lane].append(event.raw)

        @server.on_unsettled
        def note(unsettled: object) -> None:
            ended.append(repr(unsettled))

        def take(event: Event) -> None:
            got_down[event.receiver, event.lane].append(event.raw)

        for player in players:
            player.on("**")(take)
            server.join("everybody", player.name)
        match.until(lambda: not server.requests_pending, "everybody is in the group")

        # One player stops reading, and is flooded until the server is told to pause.
        stopped.reading = False
        for _ in range(FLOOD_EVENTS):
            server.send("flood", FLOOD_PAYLOAD, to=stopped.name, lane="normal")
            sent_down[stopped.name, Lane.NORMAL].append(bytes(FLOOD_PAYLOAD))

        traffic = recorded_events()
        for number, player in enumerate(players):
            for _ in range(EVENTS_EACH):
                topic, lane, payload = next(traffic)
                player.send(topic, payload, lane=lane)
                sent_up[player.name, lane].append((topic, bytes(payload)))
            if number % (SESSIONS // BROADCASTS) == 0:
                for lane in Lane:
                    payload = Raw(msgspec.msgpack.encode({"round": number, "lane": lane.label}))
                    server.send("news", payload, to="group:everybody", exclude=[stopped.name], lane=lane)
                    for reader in readers:
                        sent_down[reader.name, lane].append(bytes(payload))
            match.loop.turn(0.0)

        def everybody_else_is_done() -> bool:
            return all(
                len(got_down[reader.name, lane]) == len(sent_down[reader.name, lane])
                for reader in readers
                for lane in Lane
            ) and not any(reader.in_flight for reader in readers)

        match.until(everybody_else_is_done, "every player that reads has what it is to get")
        assert got_down[stopped.name, Lane.NORMAL] == []
        assert got_up == sent_up

        with ControlClient(broker.addresses["control"]) as control:
            queues = {(row["peer"], row["lane"]): row for row in control.request("queues")}
        row = queues[stopped.name, "normal"]
        assert row["unsettled_bytes"] <= CREDIT_BYTES + 2048
        assert row["queued_bytes"] > 0
        assert all(row["queued_events"] == 0 for (peer, _), row in queues.items() if peer != stopped.name)

        stopped.reading = True
        match.until(lambda: server.in_flight == 0, "the player that reads again has everything")
        match.until(lambda: match.gateway.requests_pending == 0, "nothing is left to ask")
        assert ended == []
        for key, expected in sent_down.items():
            # The server's echo and its news are two streams of one sender on one lane: one order.
            assert got_down[key] == expected

        match.until(
            lambda: all(player.in_flight == 0 for player in players), "every player's events are settled"
        )


def test_outbox_full_is_the_only_way_in_which_a_flooded_destination_reaches_its_sender() -> None:
    overrides = {
        "limits": {"event_bytes": 32_768},
        "egress": {"credit_bytes": CREDIT_BYTES, "queue_bytes": 262_144},
    }
    with BrokerProcess(overrides) as broker:
        address = broker.addresses["critical"]
        loop = Loop()
        server = ServerAdapter("match", broker=address, outbox_bytes=1 << 20)
        gateway = GatewayAdapter("gw", broker=address)
        for adapter in (server, gateway):
            adapter.start()
            loop.add(adapter)
        deadline = time.monotonic() + 20
        silent, lively = gateway.open("silent"), gateway.open("lively")
        got: list[int] = []
        silent.on("**")(lambda event: None)
        lively.on("tick")(lambda event: got.append(event.payload))
        while gateway.state != "up" or server.state != "up" or gateway.requests_pending:
            assert time.monotonic() < deadline
            loop.turn(0.02)
        silent.reading = False
        accepted = 0
        try:
            while accepted < 5000:
                server.send("flood", FLOOD_PAYLOAD, to="player:silent")
                accepted += 1
                loop.turn(0.0)
        except OutboxFull:
            pass
        assert 0 < accepted < 5000
        silent.reading = True
        sent = 0
        while server.in_flight or len(got) < 100:
            assert time.monotonic() < deadline + 60
            if sent < 100:
                try:
                    server.send("tick", sent, to="player:lively", lane="critical")
                    sent += 1
                except OutboxFull:
                    pass
            loop.turn(0.01)
        assert got == list(range(100))
        assert server.book("normal").as_dict()["delivered"] == accepted
        for adapter in (gateway, server):
            adapter.close(0.0)
        loop.close()


def test_a_player_that_fell_behind_hears_of_the_gap_before_anything_later() -> None:
    overrides = {
        "limits": {"event_bytes": 32_768},
        "egress": {"credit_bytes": CREDIT_BYTES, "queue_bytes": 262_144},
    }
    with BrokerProcess(overrides) as broker:
        address = broker.addresses["critical"]
        loop = Loop()
        server = ServerAdapter("match", broker=address)
        gateway = GatewayAdapter("gw", broker=address)
        for adapter in (server, gateway):
            adapter.start()
            loop.add(adapter)
        deadline = time.monotonic() + 60
        slow = gateway.open("slow")
        heard: list[int | str] = []
        dropped: list[int] = []
        slow.on("state")(lambda event: heard.append(event.id))
        slow.on_gap(lambda gap: heard.append(f"{gap.sender} {gap.lane.label}"))
        server.on_unsettled(lambda end: dropped.append(end.number))
        while gateway.state != "up" or server.state != "up" or gateway.requests_pending:
            assert time.monotonic() < deadline
            loop.turn(0.02)
        server.join("room", slow.name)
        slow.reading = False
        for _ in range(600):
            server.send("state", FLOOD_PAYLOAD, to="group:room")
            loop.turn(0.0)
        while not dropped:
            assert time.monotonic() < deadline
            loop.turn(0.02)
        slow.reading = True
        while server.in_flight:
            assert time.monotonic() < deadline
            loop.turn(0.02)
        for adapter in (gateway, server):
            adapter.close(0.0)
        loop.close()
    numbers = [number for number in range(1, 601) if number not in set(dropped)]
    missing_before = next(number for number in numbers if number > dropped[0])
    assert [each for each in heard if isinstance(each, int)] == numbers
    assert heard[heard.index(missing_before) - 1] == "server:match normal"
