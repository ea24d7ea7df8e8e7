"""The processes that play a replay: this one alone, or some that it forks, behind one interface."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any, Final, Protocol

from lanebus.adapters.sockets import context
from lanebus.cli.exits import CliError, Exit
from lanebus.cli.parent import die_with
from lanebus.cli.replay_plan import Peer, Plan
from lanebus.cli.replay_result import Progress, Result
from lanebus.cli.replay_worker import Report, Worker, WorkerOptions

_END_TIMEOUT_S: Final = 10.0
"""How long a forked process may take to end once it was told to."""


MakeWorker = Callable[[Plan, Sequence[Peer], WorkerOptions], Worker]


class Crew(Protocol):
    """Plays a plan. The methods are called in their order here, each when the one before has returned."""

    def connect(self) -> None:
        """Bring every adapter up."""

    def prepare(self) -> None:
        """Bind players to their servers, and put them into their groups."""

    def play(self, start_at: float, report: Report) -> None:
        """Send every event at its time, counted from `start_at` on the monotonic clock, until `report` says stop."""

    def finish(self) -> Result:
        """Close the adapters and return what was found."""

    def close(self) -> None:
        """Give up whatever is left; may be called at any time."""


class LoneCrew:
    """One worker in this process."""

    def __init__(self, plan: Plan, options: WorkerOptions) -> None:
        """Play all of `plan`."""
        self._worker = Worker(plan, plan.peers, options)

    def connect(self) -> None:
        """Bring every adapter up."""
        self._worker.connect()

    def prepare(self) -> None:
        """Bind players to their servers, and put them into their groups."""
        self._worker.prepare()

    def play(self, start_at: float, report: Report) -> None:
        """Send every event at its time until `report` says stop."""
        self._worker.play(start_at, report)

    def finish(self) -> Result:
        """Close the adapters and return what was found."""
        return self._worker.finish()

    def close(self) -> None:
        """Nothing outlives this process."""


class ForkedCrew:
    """Workers in forked processes, which share the plan's memory with this one."""

    def __init__(
        self,
        plan: Plan,
        options: WorkerOptions,
        shares: Sequence[Sequence[Peer]],
        make_worker: MakeWorker = Worker,
    ) -> None:
        """Fork a worker for each of `shares`; `make_worker` is called in its process."""
        fork = multiprocessing.get_context("fork")
        self._connections: list[Connection[Any, Any]] = []
        self._processes: list[BaseProcess] = []
        for peers in shares:
            ours, theirs = fork.Pipe()
            self._connections.append(ours)
            process = fork.Process(
                target=_run_worker,
                args=(
                    lambda peers=peers: make_worker(plan, peers, options),
                    theirs,
                    list(self._connections),
                    os.getpid(),
                ),
                daemon=True,
            )
            process.start()
            theirs.close()
            self._processes.append(process)

    @property
    def pids(self) -> list[int | None]:
        """The process ids of the workers, in the order of their shares."""
        return [process.pid for process in self._processes]

    def connect(self) -> None:
        """Bring every adapter up."""
        self._everybody("connect")

    def prepare(self) -> None:
        """Bind players to their servers, and put them into their groups."""
        self._everybody("prepare")

    def play(self, start_at: float, report: Report) -> None:
        """Send every event at its time until `report` says stop."""
        latest: dict[int, Progress] = {}
        stopping = False

        def progressed(worker: int, progress: Progress) -> None:
            nonlocal stopping
            latest[worker] = progress
            if stopping or len(latest) < len(self._connections) or worker != len(self._connections) - 1:
                return
            total, *others = latest.values()
            for other in others:
                total = total.plus(other)
            if report(total):
                stopping = True
                for connection in self._connections:
                    self._send(connection, "stop")

        self._everybody("play", start_at, on_progress=progressed)

    def finish(self) -> Result:
        """Close the adapters and return what was found."""
        result = Result()
        for found in self._everybody("finish"):
            result.add(found)
        return result

    def close(self) -> None:
        """End the processes."""
        for connection in self._connections:
            connection.close()
        for process in self._processes:
            process.join(_END_TIMEOUT_S)
            if process.is_alive():
                process.kill()
                process.join()

    def _everybody(
        self, step: str, *arguments: Any, on_progress: Callable[[int, Progress], None] | None = None
    ) -> list[Any]:
        """Have all take a step, and return what each answers."""
        for connection in self._connections:
            self._send(connection, step, *arguments)
        answers: dict[int, Any] = {}
        waiting = dict(zip(self._connections, range(len(self._connections)), strict=True))
        while waiting:
            for ready in wait(list(waiting)):
                assert isinstance(ready, Connection)
                worker = waiting[ready]
                try:
                    kind, value = ready.recv()
                except (EOFError, ConnectionError):
                    raise self._gone(worker) from None
                if kind == "failed":
                    raise CliError(*value)
                if kind == "progress":
                    if on_progress is not None:
                        on_progress(worker, value)
                    continue
                answers[worker] = value
                del waiting[ready]
        return [answers[worker] for worker in sorted(answers)]

    def _send(self, connection: Connection[Any, Any], *message: Any) -> None:
        try:
            connection.send(message)
        except OSError:
            raise self._gone(self._connections.index(connection)) from None

    def _gone(self, worker: int) -> CliError:
        process = self._processes[worker]
        process.join(_END_TIMEOUT_S)
        return CliError(
            f"process {worker + 1} of the replay ended by itself (status {process.exitcode})", Exit.INTERNAL
        )


def share_out(plan: Plan, processes: int, *, keep_together: bool) -> list[list[Peer]]:
    """Divide the peers of `plan` among processes, by their work; with `keep_together` a match's clients stay in one."""
    units: dict[object, list[Peer]] = {}
    for peer in plan.peers:
        is_alone = peer.is_server or not keep_together
        units.setdefault(peer.index if is_alone else ("clients", peer.match), []).append(peer)
    weighed = sorted(
        (
            (sum(plan.weight(peer) for peer in peers), position, peers)
            for position, peers in enumerate(units.values())
        ),
        key=lambda entry: (-entry[0], entry[1]),
    )
    shares: list[list[Peer]] = [[] for _ in range(min(processes, len(weighed)))]
    loads = [0] * len(shares)
    for weight, _, peers in weighed:
        lightest = loads.index(min(loads))
        shares[lightest] += peers
        loads[lightest] += weight + 1
    return shares


def _run_worker(
    make_worker: Callable[[], Worker],
    connection: Connection[Any, Any],
    inherited: Sequence[Connection[Any, Any]],
    parent_pid: int,
) -> None:
    """What a forked process does: the steps that it is told, and idling in between."""
    for each in inherited:
        # While a copy of the parent's end is open, nobody learns that the parent has closed it.
        each.close()
    # Ctrl-C reaches the whole group; the parent decides what it means.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        die_with(parent_pid, signal.SIGKILL)
        worker = make_worker()

        def report(progress: Progress) -> bool:
            connection.send(("progress", progress))
            return connection.poll() and connection.recv() == ("stop",)

        while True:
            while not connection.poll():
                worker.idle()
            step, *arguments = connection.recv()
            answer = None
            if step == "play":
                worker.play(arguments[0], report)
            else:
                answer = getattr(worker, step)()
            if step == "finish":
                # What the adapters said last is still on its way; the end of a forked process does not wait for it.
                context().term()
            connection.send(("done", answer))
            if step == "finish":
                return
    except (EOFError, OSError):
        return
    except CliError as error:
        _tell(connection, error.message, error.code)
    except Exception as error:
        _tell(connection, f"internal fault: {type(error).__name__}: {error}", Exit.INTERNAL)


def _tell(connection: Connection[Any, Any], message: str, code: Exit) -> None:
    try:
        connection.send(("failed", (message, code)))
    except OSError:
        # The parent is gone: there is nobody to tell.
        return
