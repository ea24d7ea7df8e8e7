"""The demo's flood on a clock that is a number: when it begins and ends, what is asked, and what is said of it."""

import pytest

from lanebus.cli.demo_fault import QUIET_S, RECOVERY_TIMEOUT_S, FloodSeen, Seen, State
from lanebus.cli.demo_flood import (
    ASK_AT,
    FLOOD_AT,
    FLOOD_LEAST_S,
    FLOOD_MOST_S,
    Account,
    Flood,
)
from lanebus.cli.demo_reports import FloodCounts

LENGTH_S = 40.0
STARTED_S = 1000.0
STEP_S = 0.125
"""A power of two, so that sums are exact."""


class Scene:
    """A match in which one player floods, and says what it is asked to."""

    def __init__(self, length_s: float = LENGTH_S, events_per_s: float = 100.0) -> None:
        self.done: list[tuple[str, float]] = []
        self.elapsed_s = 0.0
        self.late_s = 0.0
        self.counts = FloodCounts()
        self.limit = self.limit_at_the_end = ""
        self.calm_p99_ms: float | None = 9.6
        self.p99_ms: float | None = None
        self.accepted = 40
        self.events_per_s = events_per_s
        self.flood = Flood(self, "player:koda", length_s)

    @property
    def now_s(self) -> float:
        return STARTED_S + self.elapsed_s

    def begin_flood(self) -> Account:
        return self._account("begin")

    def end_flood(self) -> Account:
        return self._account("end")

    def ask_why(self) -> None:
        self.done.append(("why", self.elapsed_s))

    def _account(self, deed: str) -> Account:
        self.done.append((deed, self.elapsed_s))
        return Account(
            accepted=self.accepted,
            events_per_s=self.events_per_s,
            events_burst=200,
            limit=self.limit_at_the_end if deed == "end" else "",
        )

    def seen(self) -> Seen:
        return Seen(
            players=24,
            connected=24,
            server_connected=True,
            in_flight=90,
            resent=0,
            waiting=0,
            late_s=self.late_s,
            flood=FloodSeen(
                counts=self.counts, limit=self.limit, calm_p99_ms=self.calm_p99_ms, p99_ms=self.p99_ms
            ),
        )

    def until(self, elapsed_s: float) -> None:
        """Turn by turn until then, with nothing new to be seen."""
        while self.elapsed_s < elapsed_s:
            self.elapsed_s = min(self.elapsed_s + STEP_S, elapsed_s)
            self.flood.turn(self.now_s, self.elapsed_s, self.seen())

    def state(self) -> State:
        return self.flood.state

    def text(self) -> str:
        return self.flood.figures().text

    def do_flood(self) -> None:
        """All of it, and what is seen while it lasts: throttled, with 140 events held back."""
        self.until(LENGTH_S * FLOOD_AT)
        self.counts = FloodCounts(tried=21_100, sent=500, held=140, handled=350)
        self.limit, self.p99_ms, self.accepted = "events_per_s", 9.8, 541
        self.until(LENGTH_S * FLOOD_AT + FLOOD_MOST_S)

    def handle_the_rest(self, after_s: float) -> None:
        """Let the server handle what was held back, so long after the end."""
        self.until(LENGTH_S * FLOOD_AT + FLOOD_MOST_S + after_s)
        self.counts = FloodCounts(
            tried=40_000, sent=651, handled=651, last_s=self.now_s, longest_wait_ms=1520.0
        )
        self.limit = ""


@pytest.fixture
def scene() -> Scene:
    return Scene()


def test_nothing_is_done_before_its_time(scene: Scene) -> None:
    scene.until(LENGTH_S * FLOOD_AT - STEP_S)
    assert scene.done == []
    assert scene.state() is State.COMING
    assert scene.text() == "koda will flood in 0 s"
    assert scene.flood.figures().deed == ""
    assert scene.flood.as_dict() is None


def test_it_floods_for_a_while(scene: Scene) -> None:
    scene.until(LENGTH_S * FLOOD_AT)
    assert scene.text() == "koda floods, 0 of 0 handled; others' critical p99 - ms (was 9.6)"
    assert scene.flood.figures().deed == "koda floods: it tries to send 10,000 events a second"
    scene.counts, scene.p99_ms = FloodCounts(tried=21_100, sent=500, held=140, handled=350), 9.8
    scene.until(LENGTH_S * FLOOD_AT + STEP_S)
    assert scene.text() == "koda floods, 350 of 21,100 handled; others' critical p99 9.8 ms (was 9.6)"
    scene.until(LENGTH_S * FLOOD_AT + FLOOD_MOST_S)
    assert scene.state() is State.RECOVERING
    assert scene.done == [("begin", LENGTH_S * FLOOD_AT), ("end", LENGTH_S * FLOOD_AT + FLOOD_MOST_S)]
    assert scene.text() == "koda flooded 4.0 s, 140 held back; others' critical p99 9.8 ms (was 9.6)"
    assert scene.flood.figures().deed == "koda stops flooding, 140 events held back"


def test_without_others_nothing_is_said_of_them(scene: Scene) -> None:
    scene.calm_p99_ms = None
    scene.until(LENGTH_S * FLOOD_AT)
    assert scene.text() == "koda floods, 0 of 0 handled"


def test_the_broker_is_asked_why_once_while_the_player_is_throttled(scene: Scene) -> None:
    began_s = LENGTH_S * FLOOD_AT
    scene.until(began_s + FLOOD_MOST_S * ASK_AT + 2 * STEP_S)
    assert ("why", scene.elapsed_s) not in scene.done, "it is not throttled yet"
    scene.limit = "events_per_s"
    scene.until(began_s + FLOOD_MOST_S)
    assert [deed for deed, _ in scene.done] == ["begin", "why", "end"]
    assert scene.done[1][1] == began_s + FLOOD_MOST_S * ASK_AT + 3 * STEP_S


def test_it_is_asked_at_the_end_of_a_flood_if_it_was_not_before(scene: Scene) -> None:
    scene.limit_at_the_end = "events_per_s"
    scene.until(LENGTH_S * FLOOD_AT + STEP_S)
    scene.flood.stop(scene.now_s)
    assert [deed for deed, _ in scene.done] == ["begin", "end", "why"]
    done = scene.flood.as_dict()
    assert done is not None
    assert done["limit"] == "events_per_s"


def test_it_is_over_when_all_was_handled_and_nothing_comes_late_any_more(scene: Scene) -> None:
    scene.do_flood()
    scene.handle_the_rest(after_s=1.5)
    scene.late_s = scene.now_s + 0.25
    scene.until(scene.elapsed_s + QUIET_S + 0.125)
    assert scene.state() is State.RECOVERING, "something was late after the last of the flood"
    scene.until(scene.elapsed_s + 0.25)
    assert scene.state() is State.OVER
    assert scene.text() == "koda flooded 4.0 s, all 651 handled; others' critical p99 9.8 ms (was 9.6)"
    assert scene.flood.as_dict() == {
        "kind": "flood",
        "target": "player:koda",
        "lasted_s": 4.0,
        "recovery_s": 1.5,
        "limit": "events_per_s",
        "events_per_s": 100.0,
        "events_burst": 200,
        "tried_events": 40_000,
        "sent_events": 651,
        "handled_events": 651,
        "accepted_events": 501,
        "allowed_events": 600,
        "most_held_events": 140,
        "longest_wait_ms": 1520.0,
    }


def test_it_is_not_over_while_something_is_held_back(scene: Scene) -> None:
    scene.do_flood()
    scene.counts = FloodCounts(tried=21_100, sent=500, held=3, handled=500, last_s=scene.now_s)
    scene.until(scene.elapsed_s + 2 * QUIET_S)
    assert scene.state() is State.RECOVERING


def test_the_match_goes_on_if_not_all_is_handled(scene: Scene) -> None:
    scene.do_flood()
    scene.until(scene.elapsed_s + RECOVERY_TIMEOUT_S)
    assert scene.state() is State.OVER
    assert scene.text().startswith("koda flooded 4.0 s, 350 of 500 handled; ")


def test_what_is_seen_after_the_match_counts(scene: Scene) -> None:
    scene.do_flood()
    scene.counts = FloodCounts(tried=21_100, sent=500, handled=500)
    scene.flood.see(scene.seen())
    done = scene.flood.as_dict()
    assert done is not None
    assert (done["handled_events"], done["recovery_s"]) == (500, None)


def test_stopping_what_does_not_go_on_does_nothing(scene: Scene) -> None:
    scene.flood.stop(scene.now_s)
    scene.do_flood()
    scene.flood.stop(scene.now_s)
    assert [deed for deed, _ in scene.done] == ["begin", "why", "end"]


def test_without_a_limit_any_number_is_allowed() -> None:
    scene = Scene(events_per_s=0.0)
    scene.do_flood()
    done = scene.flood.as_dict()
    assert done is not None
    assert done["allowed_events"] is None


def test_a_flood_that_goes_on_has_no_end_yet(scene: Scene) -> None:
    scene.until(LENGTH_S * FLOOD_AT + STEP_S)
    done = scene.flood.as_dict()
    assert done is not None
    assert (done["lasted_s"], done["accepted_events"], done["limit"]) == (None, None, None)


def test_a_short_match_has_a_flood_that_can_be_seen() -> None:
    scene = Scene(length_s=1.0)
    scene.until(FLOOD_AT + FLOOD_LEAST_S + 2 * STEP_S)
    assert [deed for deed, _ in scene.done] == ["begin", "end"]
