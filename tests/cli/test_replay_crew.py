"""What a forked process of a replay does with what it is told, and what its parent makes of its end."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from tests.cli.trace_files import write_duel

from lanebus.cli import replay_crew
from lanebus.cli.exits import CliError, Exit
from lanebus.cli.replay_crew import ForkedCrew, _run_worker, share_out
from lanebus.cli.replay_plan import Plan
from lanebus.cli.replay_result import Progress
from lanebus.cli.replay_worker import Report, WorkerOptions
from lanebus.cli.traces import read_trace

OPTIONS = WorkerOptions(broker="tcp://127.0.0.1:9", speed=1.0, from_s=0.0, gateway=False)
PROGRESS = Progress(1.0, 2, 3, 0, 4, False, False, 0.0)


class Actor:
    """Stands in for a worker."""

    def __init__(self, plan: Plan, peers: object, options: WorkerOptions) -> None:
        self.idled = 0

    def connect(self) -> None:
        """Nothing to connect."""

    def prepare(self) -> None:
        raise CliError("no room", Exit.UNAVAILABLE)

    def idle(self) -> None:
        self.idled += 1

    def play(self, start_at: float, report: Report) -> None:
        while not report(PROGRESS):
            pass

    def finish(self) -> str:
        return "found"

    def stumble(self) -> None:
        raise ZeroDivisionError("oh")

    def vanish(self) -> None:
        os._exit(3)


class Nothing:
    """A ZeroMQ context that is not needed."""

    def term(self) -> None:
        """Nothing to end."""


make_actor: Any = Actor


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    return Plan([read_trace(write_duel(tmp_path / "duel.jsonl.gz"))])


@pytest.fixture
def ours(monkeypatch: pytest.MonkeyPatch, plan: Plan) -> Iterator[Connection[Any, Any]]:
    """The parent's end of a worker that runs in a thread instead of a process."""
    monkeypatch.setattr(replay_crew, "Worker", Actor)
    monkeypatch.setattr(replay_crew, "context", Nothing)
    monkeypatch.setattr(replay_crew, "die_with", lambda *_: None)
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    parent, child = multiprocessing.Pipe()
    spare, _ = multiprocessing.Pipe()
    thread = Thread(
        target=_run_worker, args=(lambda: Actor(plan, plan.peers, OPTIONS), child, [spare], os.getpid())
    )
    thread.start()
    yield parent
    parent.close()
    thread.join(10)
    assert not thread.is_alive()
    assert spare.closed


def test_a_worker_takes_its_steps(ours: Connection[Any, Any]) -> None:
    ours.send(("connect",))
    assert ours.recv() == ("done", None)
    ours.send(("play", 0.0))
    assert [ours.recv() for _ in range(3)] == [("progress", PROGRESS)] * 3
    ours.send(("stop",))
    while (said := ours.recv()) == ("progress", PROGRESS):
        pass
    assert said == ("done", None)
    ours.send(("finish",))
    assert ours.recv() == ("done", "found")


def test_a_worker_tells_what_went_wrong(ours: Connection[Any, Any]) -> None:
    ours.send(("prepare",))
    assert ours.recv() == ("failed", ("no room", Exit.UNAVAILABLE))


def test_a_worker_tells_of_its_own_faults(ours: Connection[Any, Any]) -> None:
    ours.send(("stumble",))
    assert ours.recv() == ("failed", ("internal fault: ZeroDivisionError: oh", Exit.INTERNAL))


def test_a_worker_ends_when_its_parent_does(ours: Connection[Any, Any]) -> None:
    ours.close()


@pytest.fixture
def crew(plan: Plan) -> Iterator[ForkedCrew]:
    made = ForkedCrew(plan, OPTIONS, share_out(plan, 2, keep_together=False), make_actor)
    yield made
    made.close()


pytestmark = pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")


def test_the_parent_adds_progress_up_and_stops_all(crew: ForkedCrew) -> None:
    crew.connect()
    seen: list[Progress] = []

    def report(progress: Progress) -> bool:
        seen.append(progress)
        return len(seen) == 3

    crew.play(0.0, report)
    assert seen == [PROGRESS.plus(PROGRESS)] * 3


def test_the_parent_raises_what_a_process_says(crew: ForkedCrew) -> None:
    with pytest.raises(CliError, match="no room") as caught:
        crew.prepare()
    assert caught.value.code == Exit.UNAVAILABLE


def test_a_process_that_vanishes_is_named(crew: ForkedCrew) -> None:
    with pytest.raises(CliError, match=r"process \d of the replay ended by itself \(status 3\)") as caught:
        crew._everybody("vanish")
    assert caught.value.code == Exit.INTERNAL
    with pytest.raises(CliError, match="ended by itself"):
        crew.connect()
