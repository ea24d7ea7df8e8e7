"""`lanebus stats`, of a real broker with a server and a player."""

import io
import json
import signal
import subprocess
from collections.abc import Iterator

import pytest
from rich.text import Text
from tests.cli.busy import busy
from tests.cli.commands import LANEBUS, complaint, environment, lanebus, wait_until
from tests.cli.test_output import Terminal
from tests.cli.test_rates import peer

from lanebus import ClientAdapter, Loop, ServerAdapter
from lanebus.cli.broker_process import BrokerProcess
from lanebus.cli.exits import Exit
from lanebus.cli.main import run
from lanebus.cli.output import Out
from lanebus.cli.stats import Looks, Rates

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
            return len(handled) == 3 and not server.in_flight and not player.in_flight

        wait_until(are_up)
        for number in range(3):
            server.send("tick", number, to="player:1", lane="critical")
        server.send("tick", 0, to="player:nobody", lane="low")
        player.send("whisper", 0, to="player:2")
        wait_until(are_done)
        yield broker.addresses["control"]
        loop.close_all(5.0)


def test_the_figures_of_all_peers_are_json_for_programs(control: str) -> None:
    found = json.loads(lanebus("stats", "-s", control, "-o", "json").stdout)
    lanes = {each["name"]: each["lanes"] for each in found}
    assert lanes["server:a"]["critical"]["in"]["events"] == 3
    assert lanes["server:a"]["low"]["in"]["reasons"] == {"refused: unknown_destination": 1}
    assert lanes["player:1"]["critical"]["out"]["events"] == 3
    violations = {each["name"]: each["violations"] for each in found}
    assert violations == {"server:a": {}, "player:1": {"not_allowed": 1}}


def test_people_see_a_row_for_each_lane_that_was_used(
    control: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["stats", "-s", control]) == Exit.OK
    shown = capsys.readouterr().out
    assert shown.count("server:a") == 2
    assert shown.count("player:1") == 2
    assert "2 peers" in shown


def test_one_peer_is_shown_on_all_lanes_with_what_was_not_delivered(
    control: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["stats", "server:a", "-s", control]) == Exit.OK
    shown = capsys.readouterr().out
    assert shown.count("\nserver:a") == 3
    assert "refused: 1 event of tick from server:a to player:nobody: unknown_destination" in shown
    assert "low: 1 refused: unknown_destination" in shown
    shown = lanebus("stats", "1", "-s", control).stdout
    assert shown.count("\nplayer:1") == 3
    assert "normal: 1 refused: not_allowed" in shown
    assert "violations: 1 not_allowed" in shown


def test_a_peer_without_a_session_is_named(control: str) -> None:
    assert "player:9 has no session" in complaint(lanebus("stats", "9", "-s", control), Exit.UNKNOWN)


# Rates


def two_looks(out: Out, *, by_lane: bool = False) -> Rates:
    """The rates of three players between two looks that are 2 s apart."""
    answers = iter([[peer("player:1", 0)], [peer("player:1", 4), peer("player:2", 40), peer("player:3", 8)]])
    times = iter([10.0, 12.0])
    look = Looks(out, lambda: next(answers), by_lane=by_lane, clock=lambda: next(times))
    assert look() is None
    found = look()
    assert found is not None
    return found


def drawn(stream: io.StringIO, *, lines: int | None = None, by_lane: bool = False) -> list[list[str]]:
    out = Out("table", stream)
    out.table(two_looks(out, by_lane=by_lane).table(lines))
    shown = Text.from_ansi(stream.getvalue()).plain
    return [line.split() for line in shown.splitlines() if line.strip()]


def test_the_busiest_come_first_and_all_are_summed() -> None:
    rows = drawn(io.StringIO())
    assert [row[0] for row in rows[1:4]] == ["player:2", "player:3", "player:1"]
    assert rows[1] == ["player:2", "client", "20", "20", "20", "20", "20", "20"]
    assert rows[3] == ["player:1", "client", "2.0", "2", "2.0", "2.0", "2", "2.0"]
    assert rows[4] == ["total", "-", "26", "26", "26", "26", "26", "26"]
    assert " ".join(rows[5]) == "per second, over 2.0 s; in: from the peer, out: to it"


def test_who_finds_no_place_on_the_terminal_is_counted() -> None:
    rows = drawn(Terminal(), lines=7)
    assert [row[0] for row in rows if row[0].startswith("player:")] == ["player:2", "player:3"]
    assert [row[:3] for row in rows if row[0].startswith("total")] == [["total,", "1", "more"]]


def test_one_peer_has_a_row_for_each_lane() -> None:
    rows = drawn(io.StringIO(), by_lane=True)
    assert [row[:3] for row in rows[1:4]] == [
        ["player:2", "critical", "20"],
        ["player:2", "normal", "0.0"],
        ["player:2", "low", "0.0"],
    ]


def test_rates_for_programs() -> None:
    values = two_looks(Out("json", io.StringIO())).values()
    assert values["interval_s"] == 2.0
    assert [each["name"] for each in values["peers"]] == ["player:2", "player:3", "player:1"]
    assert values["total"]["out"] == {"events_per_s": 26.0, "bytes_per_s": 26.0, "batches_per_s": 26.0}
    assert values["time"] > 1e9


def test_rates_of_a_busy_broker_line_by_line_until_ctrl_c() -> None:
    with (
        busy() as talk,
        subprocess.Popen(
            [*LANEBUS, "stats", "--watch", "200ms", "-o", "json", "-s", talk.control],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment(),
        ) as child,
    ):
        assert child.stdout is not None
        looks = [json.loads(child.stdout.readline()) for _ in range(3)]
        child.send_signal(signal.SIGINT)
        assert child.communicate(timeout=20)[1].strip() == ""
        assert child.returncode == Exit.INTERRUPTED
    for look in looks:
        by_name = {each["name"]: each for each in look["peers"]}
        assert by_name["server:a"]["lanes"]["critical"]["in"]["events_per_s"] > 0
        assert 0.1 < look["interval_s"] < 5.0
    assert any(each["out"]["bytes_per_s"] > 0 for each in looks[-1]["peers"] if each["name"] == "player:1")


def test_a_peer_that_is_not_there_is_not_watched(control: str) -> None:
    assert "player:9 has no session" in complaint(
        lanebus("stats", "9", "--watch", "1", "-s", control), Exit.UNKNOWN
    )
    assert lanebus("stats", "--watch", "soon", "-s", control).returncode == Exit.USAGE
