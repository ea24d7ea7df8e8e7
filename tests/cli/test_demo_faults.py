"""The demo's faults on a clock that is a number: when each is done and undone, and what is said of it."""

import dataclasses

import pytest

from lanebus.cli.demo_fault import QUIET_S, RECOVERY_TIMEOUT_S, FloodSeen, Seen, State
from lanebus.cli.demo_faults import KILL_AT, RESTART_S, STOP_AT, STOP_MOST_S, Faults
from lanebus.cli.demo_flood import FLOOD_AT, FLOOD_MOST_S, Account
from lanebus.cli.demo_reports import FloodCounts, Silence

LENGTH_S = 50.0
STARTED_S = 1000.0
STEP_S = 0.125
"""Like all times here a sum of powers of two, so that sums are exact."""


class Scene:
    """A match that does what it is told, and says what it is asked to."""

    def __init__(self) -> None:
        self.done: list[tuple[str, float]] = []
        self.is_ready = False
        self.elapsed_s = 0.0
        self.seen = Seen(
            players=24,
            connected=24,
            server_connected=True,
            in_flight=90,
            resent=0,
            waiting=7,
            late_s=0.0,
        )
        self.faults = Faults(self, "player:ivy", LENGTH_S)

    @property
    def now_s(self) -> float:
        return STARTED_S + self.elapsed_s

    def begin_flood(self) -> Account:
        self._note("flood")
        return Account(accepted=100, events_per_s=100.0, events_burst=200)

    def end_flood(self) -> Account:
        self._note("calm")
        return Account(accepted=600, events_per_s=100.0, events_burst=200)

    def ask_why(self) -> None:
        self._note("why")

    def stop_player(self) -> None:
        self._note("stop")

    def continue_player(self) -> None:
        self._note("continue")

    def kill_broker(self) -> None:
        self._note("kill")

    def launch_broker(self) -> None:
        self._note("launch")

    def broker_is_ready(self) -> bool:
        return self.is_ready

    def _note(self, deed: str) -> None:
        self.done.append((deed, round(self.elapsed_s, 3)))

    def turn(self, **seen: object) -> None:
        """One turn, with something new to be seen."""
        values = {name: getattr(self.seen, name) for name in Seen.__dataclass_fields__} | seen
        self.seen = Seen(**values)
        self.faults.turn(self.now_s, self.elapsed_s, self.seen)
        self.seen = Seen(**{**values, "silences": ()})

    def until(self, elapsed_s: float) -> None:
        """Turn by turn until then, with nothing new to be seen."""
        while self.elapsed_s < elapsed_s:
            self.elapsed_s = min(self.elapsed_s + STEP_S, elapsed_s)
            self.turn()

    def text(self, fault: int) -> str:
        return self.faults.figures()[fault].text

    def floods(self) -> bool:
        return self.faults.floods

    def states(self) -> list[State]:
        return [fault.state for fault in self.faults.figures()]

    def get_over_the_stop(self) -> None:
        self.until(LENGTH_S * STOP_AT + STOP_MOST_S)
        heard = Silence("player:ivy", STARTED_S + LENGTH_S * STOP_AT, self.now_s + 0.01)
        self.turn(silences=(heard,), waiting=2311, late_s=self.now_s + 0.25)
        self.until(self.elapsed_s + 0.25 + QUIET_S + STEP_S)

    def kill_and_bring_back(self) -> None:
        self.get_over_the_stop()
        self.until(LENGTH_S * KILL_AT + RESTART_S + 2 * STEP_S)
        self.is_ready = True
        self.until(self.elapsed_s + 2 * STEP_S)


@pytest.fixture
def scene() -> Scene:
    return Scene()


def test_nothing_is_done_before_its_time(scene: Scene) -> None:
    scene.until(LENGTH_S * STOP_AT - STEP_S)
    assert scene.done == []
    assert scene.states() == [State.COMING, State.COMING]
    assert scene.text(0) == "ivy will be stopped (SIGSTOP) in 0 s"
    assert scene.text(1) == "the broker will be killed (SIGKILL) in 9 s"
    assert not scene.faults.is_disturbing
    assert scene.faults.as_list() == []


def test_the_player_is_stopped_for_a_while(scene: Scene) -> None:
    scene.until(LENGTH_S * STOP_AT + 2.0)
    scene.turn(waiting=1204)
    assert scene.faults.stops_player
    assert scene.text(0) == "ivy stopped (SIGSTOP) 2.0 s ago: 1,204 events wait for it"
    scene.until(LENGTH_S * STOP_AT + STOP_MOST_S + STEP_S)
    assert [deed for deed, _ in scene.done] == ["stop", "continue"]
    assert scene.done[1][1] - scene.done[0][1] == pytest.approx(STOP_MOST_S, abs=1.5 * STEP_S)


def test_a_fault_is_over_when_nothing_comes_late_any_more(scene: Scene) -> None:
    scene.until(LENGTH_S * STOP_AT + STOP_MOST_S)
    scene.until(scene.elapsed_s + QUIET_S + 1.0)
    assert scene.states()[0] is State.RECOVERING, "nobody has heard anything yet"
    scene.turn(silences=(Silence("player:ivy", scene.now_s - 5, scene.now_s),), late_s=scene.now_s + 0.25)
    scene.until(scene.elapsed_s + QUIET_S)
    assert scene.states()[0] is State.RECOVERING
    scene.until(scene.elapsed_s + 0.25 + STEP_S)
    assert scene.states()[0] is State.OVER
    assert scene.text(0) == "ivy was stopped for 4.0 s: 7 events waited, caught up in 2.0 s"


def test_the_broker_is_killed_left_dead_and_started_again(scene: Scene) -> None:
    scene.get_over_the_stop()
    scene.until(LENGTH_S * KILL_AT + 0.5)
    assert scene.faults.kills_broker
    assert scene.faults.broker_down_s == pytest.approx(0.5, abs=STEP_S)
    scene.turn(connected=0, in_flight=145)
    assert scene.text(1) == "broker killed (SIGKILL) 0.5 s ago: senders keep 145 events for it"
    scene.until(LENGTH_S * KILL_AT + RESTART_S + 3 * STEP_S)
    assert [deed for deed, _ in scene.done] == ["stop", "continue", "kill", "launch"]
    assert scene.faults.kills_broker, "it was launched and does not serve yet"
    scene.is_ready = True
    scene.until(scene.elapsed_s + STEP_S)
    assert scene.faults.broker_down_s is None
    assert scene.text(1) == "broker killed, back after 1.5 s: 0 of 24 players are back, 0 events resent"


def test_it_is_over_when_everybody_is_back_and_nothing_comes_late(scene: Scene) -> None:
    scene.kill_and_bring_back()
    killed_s = STARTED_S + LENGTH_S * KILL_AT
    scene.turn(connected=23, resent=300, silences=(Silence("player:ivy", killed_s, killed_s + 1.9),))
    scene.until(scene.elapsed_s + QUIET_S + 1.0)
    assert scene.states()[1] is State.RECOVERING
    assert scene.faults.is_disturbing
    scene.turn(connected=24, resent=312)
    scene.until(scene.elapsed_s + STEP_S)
    assert scene.states()[1] is State.OVER
    assert scene.faults.is_over
    assert scene.faults.outage_s == pytest.approx(1.9)
    assert scene.text(1) == "broker killed, back after 1.4 s: all play on after 1.9 s, 312 events resent"
    stop, kill = scene.faults.as_list()
    assert (stop["kind"], stop["target"], stop["waiting_events"]) == ("stop", "player:ivy", 7)
    assert stop["recovery_s"] == pytest.approx(0.25, abs=2 * STEP_S)
    assert (kill["kind"], kill["target"], kill["resent_events"]) == ("kill", "broker", 312)
    assert kill["outage_s"] == pytest.approx(1.9)


def test_only_what_is_resent_because_of_the_kill_counts(scene: Scene) -> None:
    scene.turn(resent=40)
    scene.kill_and_bring_back()
    scene.turn(resent=52)
    assert scene.faults.as_list()[1]["resent_events"] == 12


def test_a_match_that_does_not_get_over_a_fault_goes_on(scene: Scene) -> None:
    scene.kill_and_bring_back()
    scene.turn(connected=3)
    scene.until(scene.elapsed_s + RECOVERY_TIMEOUT_S)
    assert scene.faults.is_over
    assert scene.text(1).endswith("not everybody has come back")


def test_silences_before_a_fault_are_not_its_own(scene: Scene) -> None:
    scene.get_over_the_stop()
    scene.turn(silences=(Silence("player:moss", STARTED_S, scene.now_s),))
    scene.until(LENGTH_S * KILL_AT + RESTART_S + 2 * STEP_S)
    scene.is_ready = True
    scene.until(scene.elapsed_s + 2 * STEP_S)
    assert scene.faults.outage_s is not None
    assert scene.faults.outage_s < 3


def test_healing_wakes_the_player(scene: Scene) -> None:
    scene.until(LENGTH_S * STOP_AT + 1.0)
    assert scene.faults.heal(scene.now_s)
    assert [deed for deed, _ in scene.done] == ["stop", "continue"]
    assert scene.faults.heal(scene.now_s)
    assert len(scene.done) == 2


def test_healing_brings_the_broker_back(scene: Scene) -> None:
    scene.get_over_the_stop()
    scene.until(LENGTH_S * KILL_AT + 0.2)
    assert not scene.faults.heal(scene.now_s)
    assert not scene.faults.heal(scene.now_s)
    assert [deed for deed, _ in scene.done][2:] == ["kill", "launch"]
    scene.is_ready = True
    assert scene.faults.heal(scene.now_s)
    assert not scene.faults.kills_broker


def test_healing_where_nothing_was_done_does_nothing(scene: Scene) -> None:
    assert scene.faults.heal(STARTED_S)
    assert scene.done == []


def test_short_matches_are_hurt_too() -> None:
    scene = Scene()
    scene.faults = Faults(scene, "player:ivy", 1.0)
    scene.until(0.4)
    assert scene.faults.stops_player
    scene.until(1.0)
    assert scene.states()[0] is State.RECOVERING


def test_a_flood_comes_first_and_the_next_fault_waits_until_it_is_over() -> None:
    scene = Scene()
    scene.faults = Faults(scene, "player:ivy", LENGTH_S, flooder="player:rook")
    scene.until(LENGTH_S * FLOOD_AT - STEP_S)
    assert scene.states() == [State.COMING] * 3
    assert not scene.floods()
    scene.until(LENGTH_S * FLOOD_AT + STEP_S)
    assert scene.floods()
    assert scene.faults.is_disturbing
    scene.turn(flood=FloodSeen(counts=FloodCounts(tried=9000, sent=500, held=40, handled=460)))
    scene.until(LENGTH_S * STOP_AT + STEP_S)
    assert scene.states() == [State.RECOVERING, State.COMING, State.COMING]
    assert not scene.floods()
    assert [deed for deed, _ in scene.done] == ["flood", "calm"]
    scene.turn(flood=FloodSeen(counts=FloodCounts(tried=9000, sent=500, handled=500)))
    scene.until(scene.elapsed_s + 2 * STEP_S)
    assert scene.states() == [State.OVER, State.ACTIVE, State.COMING]
    assert [fault["kind"] for fault in scene.faults.as_list()] == ["flood", "stop"]


def test_healing_ends_a_flood() -> None:
    scene = Scene()
    scene.faults = Faults(scene, "player:ivy", LENGTH_S, flooder="player:rook")
    scene.until(LENGTH_S * FLOOD_AT + FLOOD_MOST_S / 2)
    assert scene.faults.heal(scene.now_s)
    assert scene.faults.heal(scene.now_s)
    assert [deed for deed, _ in scene.done] == ["flood", "calm"]
    scene.faults.see(dataclasses.replace(scene.seen, flood=FloodSeen(counts=FloodCounts(sent=7, handled=7))))
    assert scene.faults.as_list()[0]["handled_events"] == 7
