"""One torture from beginning to end: broker, proxy and peers are started, hurt by the plan, healed and drained."""

from __future__ import annotations

import signal
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import msgspec

from lanebus.cli.broker_process import toml_text
from lanebus.cli.control_client import ControlClient
from lanebus.cli.exits import CliError, Exit
from lanebus.cli.ports import free_ports
from lanebus.cli.torture_check import FACTS_FILE, PLAN_FILE, Facts, Injected
from lanebus.cli.torture_log import now_us
from lanebus.cli.torture_peer import Report, Spec, Word
from lanebus.cli.torture_plan import (
    BROKER,
    EVERYBODY,
    GRACE_S,
    LEASE_S,
    LIMITS,
    PING_INTERVAL_S,
    Fault,
    Peer,
    Plan,
)
from lanebus.cli.torture_processes import Child, Proxy
from lanebus.cli.torture_traffic import Sending, group_of
from lanebus.wire.lanes import LANE_NAMES

BROKER_HOST: Final = "127.0.0.1"
TICK_S: Final = 0.005
CONNECT_TIMEOUT_S: Final = 20.0
PATIENCE_S: Final = GRACE_S + 2 * LEASE_S
"""How long a drain may go on without any progress."""
REST_TIMEOUT_S: Final = 10.0
"""How long the broker's queues may take to be empty once all senders are."""
_FRESH_S: Final = 0.3

Say = Callable[[str], None]


@dataclass(slots=True)
class Outcome:
    """How the torture went, besides what is in the logs."""

    faults: Counter[str] = field(default_factory=Counter)
    """Those that were made, by kind."""
    drain_s: float = 0.0
    """From the healing until nothing was in flight."""
    is_drained: bool = False
    queues_empty: bool = False
    ledger_balanced: bool = False
    problems: list[str] = field(default_factory=list)
    """What the broker's audit says, and processes that ended by themselves."""


class _Process:
    """One peer's place: the child of the moment, and which life it is."""

    def __init__(self, peer: Peer) -> None:
        self.peer = peer
        self.life = 0
        self.child: Child | None = None
        self.report: Report | None = None


class Torture:
    """Runs a plan. All files go into `folder`: the plan, the facts, the logs, and what the processes say."""

    def __init__(
        self, plan: Plan, traffic: dict[str, list[Sending]], folder: Path, say: Say = lambda _: None
    ) -> None:
        """Prepare; `traffic` is by process, `say` gets a line for people now and then."""
        self._plan = plan
        self._traffic = traffic
        self._folder = folder
        self._say = say
        self._outcome = Outcome()
        self._processes = {peer.name: _Process(peer) for peer in plan.peers}
        self._broker: Child | None = None
        self._proxy: Proxy | None = None
        self._ports = free_ports([BROKER_HOST, *(peer.host for peer in plan.peers)])
        self._start_us = 0
        self._killed: list[tuple[str, int]] = []
        self._injected: list[Injected] = []
        self._is_mourned: set[tuple[str, int]] = set()
        self._until_broker_is_up: Callable[[], None] | None = None

    def run(self) -> Outcome:
        """Do all of it.

        Raises:
            CliError: a process could not be started, or the broker did not take the peers.
        """
        self._write_files()
        try:
            self._start()
            self._hurt()
            self._heal_and_drain()
            self._look_at_broker()
            self._end()
        finally:
            self._clean_up()
        facts = Facts(killed=self._killed, injected=self._injected)
        (self._folder / FACTS_FILE).write_bytes(msgspec.json.encode(facts))
        return self._outcome

    # Beginning

    def _write_files(self) -> None:
        (self._folder / PLAN_FILE).write_bytes(msgspec.json.encode(self._plan))
        for name, sendings in self._traffic.items():
            self._traffic_file(name).write_bytes(msgspec.msgpack.encode(sendings))
        lanes = {name: {"port": port} for name, port in zip(LANE_NAMES, self._ports, strict=False)}
        settings = {
            "broker": {"host": BROKER_HOST},
            "control": {"port": self._ports[-1]},
            "lanes": lanes,
            "sessions": {"grace_s": GRACE_S, "lease_s": LEASE_S, "ping_interval_s": PING_INTERVAL_S},
            "policy": {"client": LIMITS},
        }
        self._file("broker.toml").write_text(toml_text(settings), encoding="utf-8")

    def _start(self) -> None:
        self._broker = self._new_broker()
        self._broker.first_line()
        # The welcome names ports and no host: a peer that dials an address of its own finds its proxy there.
        self._proxy = Proxy(
            [
                {
                    "name": peer.name,
                    "lane": lane,
                    "host": peer.host,
                    "port": port,
                    "target_host": BROKER_HOST,
                    "target_port": port,
                }
                for peer in self._plan.peers
                for lane, port in zip(LANE_NAMES, self._ports, strict=False)
            ],
            self._file("proxy.err"),
        )
        # Servers come last: they put players into groups, who must be there for that.
        waves: Sequence[Sequence[str]] = (("client", "gateway"), ("server",))
        for roles in waves:
            wave = [each for each in self._processes.values() if each.peer.role in roles]
            for each in wave:
                self._start_peer(each)
            self._wait_until_up(wave)
        self._start_us = now_us() + 200_000
        for each in self._processes.values():
            self._tell_start(each)

    def _new_broker(self) -> Child:
        return Child(
            "the broker",
            "lanebus.cli.main",
            ["broker", "--announce", "--config", str(self._file("broker.toml"))],
            self._file("broker.err"),
        )

    def _start_peer(self, process: _Process) -> None:
        process.life += 1
        process.report = None
        peer = process.peer
        group = group_of(peer, self._plan) if peer.role == "server" else ""
        spec = Spec(
            peer=peer,
            life=process.life,
            broker=f"tcp://{peer.host}:{self._ports[0]}",
            folder=str(self._folder),
            traffic=str(self._traffic_file(peer.name)),
            destinations=self._plan.destinations,
            group=group,
            members=self._plan.groups.get(group, []),
        )
        process.child = Child(
            peer.name,
            "lanebus.cli.torture_peer",
            [msgspec.json.encode(spec).decode()],
            self._file(f"{peer.name.replace(':', '_')}.{process.life}.err"),
        )

    def _tell_start(self, process: _Process) -> None:
        assert process.child is not None
        process.child.tell(Word(do="start", at_us=self._start_us))

    def _wait_until_up(self, wave: list[_Process]) -> None:
        deadline_s = time.monotonic() + CONNECT_TIMEOUT_S
        while not all(each.report and each.report.state == "up" and not each.report.pending for each in wave):
            self._listen()
            if self._outcome.problems or time.monotonic() > deadline_s:
                why = self._outcome.problems or [f"not all peers are up after {CONNECT_TIMEOUT_S:g} s"]
                raise CliError(why[0], Exit.UNAVAILABLE)
            time.sleep(TICK_S)

    # Faults

    def _hurt(self) -> None:
        """Make the plan's faults at their times, each healed at its own."""
        steps: list[tuple[float, int, bool, Fault]] = []
        for index, fault in enumerate(self._plan.faults):
            steps.append((fault.at_s, index, True, fault))
            steps.append((fault.at_s + fault.lasts_s, index, False, fault))
        steps.sort(key=lambda step: step[:2])
        began_us: dict[int, int] = {}
        for at_s, index, is_beginning, fault in steps:
            self._listen_until(at_s)
            if is_beginning:
                if fault.kind == "kill_broker" and self._until_broker_is_up is not None:
                    # A slow machine has not started it again since the last time: there is nothing to be learnt.
                    self._say(f"{at_s:6.2f} s  the broker is not up yet, and is not killed again")
                    continue
                self._say(
                    f"{at_s:6.2f} s  {fault.kind} {fault.target} {fault.lane} for {fault.lasts_s:.2f} s"
                )
                began_us[index] = now_us()
                self._begin(fault)
                self._outcome.faults[fault.kind] += 1
            elif index in began_us:
                self._finish(fault, began_us[index])
        self._listen_until(self._plan.duration_s)

    def _begin(self, fault: Fault) -> None:
        if fault.kind == "kill_broker":
            assert self._broker is not None
            self._broker.kill()
        elif fault.kind == "stop_receiver":
            self._child(fault.target).signal(signal.SIGSTOP)
        elif fault.kind.startswith("kill_"):
            process = self._processes[fault.target]
            self._killed.append((fault.target, process.life))
            self._child(fault.target).kill()
        elif fault.toxics:
            self._order("set", fault, toxics=fault.toxics)
        else:
            self._order(fault.kind, fault)

    def _finish(self, fault: Fault, began_us: int) -> None:
        def note() -> None:
            self._injected.append(
                Injected(kind=fault.kind, target=fault.target, began_us=began_us, ended_us=now_us())
            )

        if fault.kind == "kill_broker":
            # Its start takes a while, in which the plan goes on; the fault ends when it serves.
            self._broker = self._new_broker()
            self._until_broker_is_up = note
            return
        if fault.kind == "stop_receiver":
            self._child(fault.target).signal(signal.SIGCONT)
        elif fault.kind.startswith("kill_"):
            process = self._processes[fault.target]
            self._start_peer(process)
            self._tell_start(process)
        elif fault.toxics:
            self._order("set", fault, toxics=_undone(fault.toxics))
        note()

    def _order(self, do: str, fault: Fault, **more: Any) -> None:
        assert self._proxy is not None
        self._proxy.order(
            do,
            name=None if fault.target == EVERYBODY else fault.target,
            lane=fault.lane or None,
            direction=fault.direction,
            **more,
        )

    # The end

    def _heal_and_drain(self) -> None:
        for each in self._processes.values():
            if each.child is not None:
                each.child.tell(Word(do="stop"))
        began_s = progress_s = time.monotonic()
        fresh_us = now_us() + int(_FRESH_S * 1e6)
        figures: object = None
        self._say("healed; draining")
        while time.monotonic() - progress_s < PATIENCE_S:
            self._listen()
            # What a peer that ended by itself leaves behind is for the judge.
            reports = [
                each.report for each in self._processes.values() if each.child is None or each.child.alive()
            ]
            known = [each for each in reports if each is not None and each.at_us >= fresh_us]
            if len(known) == len(reports) and all(
                each.state == "up" and not each.in_flight and not each.pending for each in known
            ):
                self._outcome.is_drained = True
                self._outcome.drain_s = max(0.0, time.monotonic() - began_s - _FRESH_S)
                return
            now_figures = [
                each and (each.state, each.in_flight, each.pending, each.handled) for each in reports
            ]
            if now_figures != figures:
                figures, progress_s = now_figures, time.monotonic()
            time.sleep(TICK_S)
        self._outcome.drain_s = time.monotonic() - began_s
        self._outcome.problems.append(
            f"not drained: {', '.join(self._behind()) or 'no reports'}; no progress for {PATIENCE_S:g} s"
        )

    def _behind(self) -> list[str]:
        return [
            f"{name} is {report.state} with {report.in_flight} in flight and {report.pending} requests"
            for name, process in self._processes.items()
            if (report := process.report) is not None
            and (report.in_flight or report.pending or report.state != "up")
        ]

    def _look_at_broker(self) -> None:
        outcome = self._outcome
        deadline_s = time.monotonic() + REST_TIMEOUT_S
        try:
            with ControlClient(f"tcp://{BROKER_HOST}:{self._ports[-1]}", timeout_s=5.0) as control:
                while True:
                    self._listen()
                    audit = control.request("audit")
                    books = [book for side in ("events", "parts") for book in audit["books"][side].values()]
                    waiting = [
                        f"{row['peer']} {row['lane']}"
                        for row in control.request("queues")
                        if row["queued_events"] or row["unsettled_events"]
                    ]
                    outcome.queues_empty = not waiting and not any(book["in_flight"] for book in books)
                    outcome.ledger_balanced = bool(audit["balanced"])
                    if outcome.queues_empty and outcome.ledger_balanced:
                        return
                    if time.monotonic() > deadline_s:
                        break
                    time.sleep(0.05)
        except CliError as error:
            outcome.problems.append(error.message)
            return
        outcome.problems += [f"audit: {problem}" for problem in audit["problems"]]
        outcome.problems += [f"not empty: {each}" for each in waiting]

    def _end(self) -> None:
        for each in self._processes.values():
            if each.child is not None:
                each.child.tell(Word(do="end"))
        for name, each in self._processes.items():
            if each.child is not None and (code := each.child.end()) != 0:
                self._mourn(name, each, f"status {code}")

    def _clean_up(self) -> None:
        for child in (*(each.child for each in self._processes.values()), self._proxy, self._broker):
            if child is not None:
                child.kill()

    # Everything meanwhile

    def _listen_until(self, at_s: float) -> None:
        until_us = self._start_us + int(at_s * 1e6)
        while now_us() < until_us:
            self._listen()
            time.sleep(min(TICK_S, max(0.0, (until_us - now_us()) / 1e6)))

    def _listen(self) -> None:
        for name, process in self._processes.items():
            child = process.child
            if child is None:
                continue
            lines = child.heard()
            if lines:
                process.report = msgspec.json.decode(lines[-1], type=Report)
            if not child.alive() and (name, process.life) not in self._killed:
                self._mourn(name, process, child.last_words())
        broker = self._broker
        if broker is not None and self._until_broker_is_up is not None and broker.heard():
            self._until_broker_is_up()
            self._until_broker_is_up = None
        if self._broker is not None and not self._broker.alive() and (BROKER, 0) not in self._is_mourned:
            words = self._broker.last_words()
            if "status -9" not in words:
                self._is_mourned.add((BROKER, 0))
                self._outcome.problems.append(f"the broker ended by itself: {words}")

    def _mourn(self, name: str, process: _Process, words: str) -> None:
        if (name, process.life) not in self._is_mourned:
            self._is_mourned.add((name, process.life))
            self._outcome.problems.append(f"{name} life {process.life} ended by itself: {words}")

    def _child(self, name: str) -> Child:
        child = self._processes[name].child
        assert child is not None
        return child

    def _file(self, name: str) -> Path:
        return self._folder / name

    def _traffic_file(self, name: str) -> Path:
        return self._folder / f"{name.replace(':', '_')}.traffic"


def _undone(toxics: dict[str, Any]) -> dict[str, Any]:
    """The same fields with the values that do nothing."""
    return {name: False if isinstance(value, bool) else 0 for name, value in toxics.items()}
