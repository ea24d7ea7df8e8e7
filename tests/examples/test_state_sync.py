"""State synchronisation: the picture that a player has, whatever comes late, and the whole with a nap and a gap."""

import re
import time
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from tests.examples.test_programs import end, start

import lanebus
from lanebus.cli.broker_process import BrokerProcess
from lanebus.cli.control_client import ControlClient
from lanebus.examples.state_sync import SILENCE_S, TICKS_PER_S, UNITS, Snapshot, State, Viewer, World


class Told:
    """An event of the server."""

    age_ms = 1.0

    def __init__(self, payload: object) -> None:
        self.payload = payload


@pytest.fixture
def viewer() -> Iterator[Viewer]:
    """Of a player that is not connected."""
    adapter = lanebus.ClientAdapter("42")
    yield Viewer(adapter)
    adapter.close(0.0)


def tell(viewer: Viewer, *payloads: Any) -> None:
    for payload in payloads:
        kinds: dict[Any, Any] = {State: viewer.state, int: viewer.left, Snapshot: viewer.snapshot}
        kinds[type(payload)](Told(payload))


def test_units_walk_within_the_world_and_no_number_comes_twice() -> None:
    world = World(seed=3)
    seen = {state.unit for state in world.states()}
    gone: list[int] = []
    for _ in range(10 * TICKS_PER_S):
        gone += world.step()
        states = world.states()
        assert len(states) == UNITS
        assert all(0 <= state.x_m <= 40 for state in states)
        assert not {state.unit for state in states} & set(gone)
        seen |= {state.unit for state in states}
    assert gone == list(range(1, 11))
    assert seen == set(range(1, UNITS + 11))


def test_the_newest_value_counts_and_who_has_left_is_gone(viewer: Viewer) -> None:
    tell(viewer, State(1, 5, 1.0), State(1, 7, 2.0), State(2, 7, 3.0), State(1, 6, 9.0), 2)
    assert viewer.units == {1: State(1, 7, 2.0)}
    assert viewer.tick == 7


def test_a_snapshot_takes_away_what_left_unheard_and_nothing_that_is_newer(viewer: Viewer) -> None:
    tell(viewer, State(1, 5, 1.0), State(2, 5, 2.0), State(3, 12, 3.0), 4)
    tell(viewer, Snapshot(10, [State(2, 10, 2.5), State(3, 10, 9.0), State(4, 10, 4.0)]))
    assert viewer.units == {2: State(2, 10, 2.5), 3: State(3, 12, 3.0)}
    assert viewer.drawn().startswith("tick    12  |  oo ")


def test_who_hears_nothing_asks_to_be_let_in_and_not_all_the_time(viewer: Viewer) -> None:
    now_s = time.monotonic()
    for later_s in (0.0, 0.1, SILENCE_S + 0.2, SILENCE_S + 0.3):
        viewer.look(now_s + later_s)
    assert viewer.adapter.in_flight == 2
    tell(viewer, State(1, 1, 1.0))
    viewer.look(time.monotonic())
    assert viewer.adapter.in_flight == 2


@pytest.mark.system
def test_a_player_that_misses_something_gets_a_snapshot_and_is_right_again() -> None:
    settings = {
        "egress": {"credit_bytes": 16_384, "age_s": 1.0},
        "limits": {"event_bytes": 16_384},
        "broker": {"drain_s": 0.0},
    }
    with BrokerProcess(settings) as broker, ExitStack() as stack:
        address = broker.addresses["critical"]
        program = start(stack, "state_sync", "--broker", address, "--nap-s", "4")
        assert program.stdout is not None
        told: list[str] = []
        # Three lines behind the one that tells of the gap: it goes on.
        while not any("has a gap and gets a snapshot" in line for line in told[:-3]):
            line = program.stdout.readline()
            assert line, told
            told.append(line)
        told.append(end(program))
        text = "".join(told)
        assert "player:42: does not poll for 4 s\n" in text
        drawn = re.findall(r"^tick +(\d+)  \|[ o]{40}\|  (\d+) units, \d+\.\d ms old$", text, re.MULTILINE)
        assert int(drawn[-1][0]) > int(drawn[0][0]) + 3 * TICKS_PER_S
        assert {units for _, units in drawn[-2:]} == {str(UNITS)}
        found = re.search(r"closed: (\d+) values, (\d+) snapshots, (\d+) gaps\n\Z", text)
        assert found is not None
        values, snapshots, gaps = map(int, found.groups())
        assert gaps >= 1
        assert snapshots == gaps + 1
        # Fewer than were sent: the newest stood for those that waited.
        assert 0 < values < UNITS * int(drawn[-1][0])
        with ControlClient(broker.addresses["control"]) as control:
            audit = control.request("audit")
        assert (audit["balanced"], audit["at_rest"]) == (True, True)
        assert audit["books"]["events"]["normal"]["superseded"] > 0


@pytest.mark.system
def test_a_server_and_two_players_as_programs_of_their_own() -> None:
    with BrokerProcess() as broker, ExitStack() as stack:
        address = broker.addresses["critical"]
        players = [start(stack, "state_sync", "player", name, "--broker", address) for name in ("ada", "bob")]
        server = start(stack, "state_sync", "server", "--broker", address)
        for player in players:
            assert player.stdout is not None
            line = ""
            while f"{UNITS} units" not in line:
                line = player.stdout.readline()
                assert line, "the player has ended"
        for player in players:
            assert re.search(r"closed: \d+ values, \d+ snapshots, 0 gaps\n\Z", end(player))
        told = end(server)
        assert "server:sync-1: player:ada looks on\n" in told
        assert "server:sync-1: player:bob looks on\n" in told


@pytest.mark.system
def test_without_a_broker_there_is_no_world() -> None:
    with ExitStack() as stack:
        program = start(stack, "state_sync", "--broker", "tcp://127.0.0.1:9")
        _, errors = program.communicate(timeout=20)
        assert program.returncode == 69
        assert "\nno world: no broker took server:sync-1 in" in errors
