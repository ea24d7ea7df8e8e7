"""When a replay is over: all done, standing still, or without a broker; and what the ledger's verdict is."""

import time
from typing import Any

import pytest

from lanebus.cli import replay_run
from lanebus.cli.broker_process import BrokerProcess
from lanebus.cli.control_client import ControlClient
from lanebus.cli.exits import CliError, Exit
from lanebus.cli.replay_meter import BrokerMeter
from lanebus.cli.replay_progress import ProgressView
from lanebus.cli.replay_result import Progress
from lanebus.cli.replay_run import Watch


class Meter(BrokerMeter):
    """Asks nobody."""

    def __init__(self) -> None:
        super().__init__(ControlClient("tcp://127.0.0.1:9"))

    def ask(self) -> None:
        """Nothing is asked."""


class View(ProgressView):
    """Shows nothing."""

    def __init__(self) -> None:
        """Nothing is taken."""

    def show(self, progress: Progress, queued_events: int | None) -> None:
        """Nothing is shown."""


class DeadBroker(BrokerProcess):
    """Has ended."""

    @property
    def exit_status(self) -> int | None:
        return -9

    def log_text(self) -> str:
        return "one\ntwo\n"


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    clock = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    monkeypatch.setattr(time, "sleep", lambda seconds: clock.__setitem__(0, clock[0] + seconds))
    return clock


def progress(**changes: Any) -> Progress:
    fields: dict[str, Any] = {
        "match_s": 1.0,
        "sent": 1,
        "delivered": 1,
        "wrong": 0,
        "in_flight": 1,
        "done": False,
        "waiting": False,
        "away_s": 0.0,
    }
    return Progress(**(fields | changes))


def watch(own: BrokerProcess | None = None) -> Watch:
    return Watch(Meter(), View(), own, "tcp://bus:5573")


def test_all_done_is_the_end(now: list[float]) -> None:
    assert not watch()(progress())
    assert watch()(progress(done=True))


def test_standing_still_is_the_end_after_a_while(now: list[float]) -> None:
    watching = watch()
    assert not watching(progress())
    now[0] += 14
    assert not watching(progress())
    now[0] += 2
    assert watching(progress())
    assert watching.last_moved == 1000.0


@pytest.mark.parametrize("change", ["sent", "delivered", "wrong", "in_flight"])
def test_anything_that_moves_counts(now: list[float], change: str) -> None:
    watching = watch()
    for step in range(10):
        now[0] += 10
        assert not watching(progress(**{change: step + 2}))
    assert watching.last_moved == now[0]


@pytest.mark.parametrize("reason", [{"waiting": True}, {"away_s": 20.0}])
def test_waiting_is_not_standing_still(now: list[float], reason: dict[str, Any]) -> None:
    watching = watch()
    for _ in range(10):
        now[0] += 10
        assert not watching(progress(**reason))


def test_a_broker_that_stays_away(now: list[float]) -> None:
    with pytest.raises(
        CliError, match=r"tcp://bus:5573 went away and did not come back within 30 s"
    ) as caught:
        watch()(progress(away_s=30.5))
    assert caught.value.code == Exit.UNAVAILABLE


def test_a_broker_of_our_own_that_has_ended(now: list[float]) -> None:
    with pytest.raises(CliError, match=r"ended with status -9; its last words: two") as caught:
        watch(DeadBroker())(progress())
    assert caught.value.code == Exit.UNAVAILABLE


class Auditor(ControlClient):
    """Gives these answers, the last one for ever."""

    def __init__(self, *answers: dict[str, Any]) -> None:
        super().__init__("tcp://127.0.0.1:9")
        self.answers = list(answers)

    def request(self, command: str, **arguments: Any) -> Any:
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


REST = {"balanced": True, "at_rest": True, "problems": []}


def test_a_balanced_ledger(now: list[float]) -> None:
    unrest = REST | {"at_rest": False}
    assert replay_run._audit(Auditor(unrest, unrest, REST), must_rest=True) == []


def test_problems_are_named(now: list[float]) -> None:
    found = REST | {"balanced": False, "problems": ["a", "b"]}
    assert replay_run._audit(Auditor(found), must_rest=True) == ["a", "b"]
    found = REST | {"balanced": False}
    assert len(replay_run._audit(Auditor(found), must_rest=True)) == 1


def test_unrest_is_a_problem_where_nobody_else_is_attached(now: list[float]) -> None:
    auditor = Auditor(REST | {"at_rest": False})
    assert replay_run._audit(auditor, must_rest=False) == []
    (problem,) = replay_run._audit(auditor, must_rest=True)
    assert "not at rest" in problem
