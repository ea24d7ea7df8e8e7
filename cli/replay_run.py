"""One replay from its plan to its report: the broker, the crew that plays, and when it is over."""

from __future__ import annotations

import contextlib
import sys
import time
from dataclasses import dataclass
from typing import Any, Final

from lanebus.cli.broker_process import BrokerProcess
from lanebus.cli.control_client import ControlClient
from lanebus.cli.exits import CliError, Exit
from lanebus.cli.replay_crew import Crew, ForkedCrew, LoneCrew, share_out
from lanebus.cli.replay_limits import policy_at
from lanebus.cli.replay_meter import BrokerMeter
from lanebus.cli.replay_plan import Plan
from lanebus.cli.replay_progress import ProgressView
from lanebus.cli.replay_report import build
from lanebus.cli.replay_result import Progress
from lanebus.cli.replay_worker import AWAY_LIMIT_S, WorkerOptions

STALL_S: Final = 15.0
"""How long a replay may stand still before what is missing counts as lost."""

_METER_INTERVAL_S: Final = 2.0
"""How often the broker is asked for its figures, which costs it milliseconds."""
_REST_TIMEOUT_S: Final = 5.0
"""How long the broker's last settlements may take after the adapters have closed."""
_HEAD_START_S: Final = 0.1
"""Time for all processes to hear when the clock starts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayOptions:
    """How to replay."""

    speed: float
    """Match seconds in one second; infinite for as fast as it goes."""
    from_s: float
    until_s: float
    """Match time of the first and last events that are played."""
    gateway: bool
    processes: int
    broker: str | None
    """Address of a running broker's critical lane; None starts one."""
    control: str | None
    """Its control endpoint."""
    timeout_s: float
    """How long the control endpoint may take to answer."""


def run_replay(plan: Plan, options: ReplayOptions) -> tuple[dict[str, Any], list[str]]:
    """Play `plan` and return the report, and what is wrong with the broker's books, one line each.

    Raises:
        CliError: `UNAVAILABLE` when there is no broker, or it went away for longer than `AWAY_LIMIT_S`.
    """
    with contextlib.ExitStack() as stack:
        own: BrokerProcess | None = None
        if options.broker is None:
            settings = {"log": {"level": "warning"}, "policy": {"client": policy_at(options.speed)}}
            own = stack.enter_context(BrokerProcess(settings))
            address, control = own.addresses["critical"], own.addresses["control"]
        else:
            assert options.control is not None
            address, control = options.broker, options.control
        client = stack.enter_context(ControlClient(control, timeout_s=options.timeout_s))
        # Whether there is a broker is known before a hundred adapters try for a while; its threads end here, so that
        # what forks next inherits none.
        client.request("status")
        client.close()
        worker_options = WorkerOptions(
            broker=address, speed=options.speed, from_s=options.from_s, gateway=options.gateway
        )
        crew: Crew
        if options.processes > 1:
            shares = share_out(plan, options.processes, keep_together=options.gateway)
            crew = ForkedCrew(plan, worker_options, shares)
        else:
            crew = LoneCrew(plan, worker_options)
        stack.callback(crew.close)
        return _play(plan, options, crew, client, own)


def _play(
    plan: Plan, options: ReplayOptions, crew: Crew, client: ControlClient, own: BrokerProcess | None
) -> tuple[dict[str, Any], list[str]]:
    crew.connect()
    crew.prepare()
    meter = BrokerMeter(client)
    meter.start()
    with ProgressView(plan, options.until_s, sys.stderr) as view:
        watch = Watch(meter, view, own, client.endpoint)
        started = time.monotonic() + _HEAD_START_S
        crew.play(started, watch)
    duration_s = watch.last_moved - started
    figures = meter.end()
    result = crew.finish()
    problems = _audit(client, must_rest=own is not None)
    report = build(plan, result, figures, meter, duration_s=duration_s, ledger_balanced=not problems)
    return report, problems


class Watch:
    """Watches a replay while it plays, and says when it is over: all done, or nothing has moved for too long."""

    def __init__(
        self, meter: BrokerMeter, view: ProgressView, own: BrokerProcess | None, endpoint: str
    ) -> None:
        """Sample the broker with `meter`, tell `view`; `own` is the broker if this process started it."""
        self._meter = meter
        self._view = view
        self._own = own
        self._endpoint = endpoint
        self._seen = (0, 0, 0, 0)
        self._next_sample = 0.0
        self.last_moved = time.monotonic()
        """When something was last sent, delivered or settled, on the monotonic clock."""

    def __call__(self, progress: Progress) -> bool:
        """Whether the replay is over.

        Raises:
            CliError: `UNAVAILABLE` when the broker has ended, or is away for longer than `AWAY_LIMIT_S`.
        """
        now = time.monotonic()
        if self._own is not None and not self._own.alive():
            raise CliError(
                f"the broker of this replay ended with status {self._own.exit_status}; {last_line(self._own)}",
                Exit.UNAVAILABLE,
            )
        if progress.away_s > AWAY_LIMIT_S:
            raise CliError(
                f"the broker at {self._endpoint} went away and did not come back within {AWAY_LIMIT_S:g} s; "
                "start it again and repeat the replay",
                Exit.UNAVAILABLE,
            )
        self._meter.look()
        if now >= self._next_sample:
            self._next_sample = now + _METER_INTERVAL_S
            self._meter.ask()
        self._view.show(progress, self._meter.queued_events)
        seen = (progress.sent, progress.delivered, progress.wrong, progress.in_flight)
        if seen != self._seen or progress.waiting or progress.away_s:
            self._seen = seen
            self.last_moved = now
        return progress.done or now - self.last_moved > STALL_S


def last_line(broker: BrokerProcess) -> str:
    """The last that a broker has logged, for an error's text."""
    lines = broker.log_text().splitlines()
    return f"its last words: {lines[-1]}" if lines else "it logged nothing"


def _audit(client: ControlClient, *, must_rest: bool) -> list[str]:
    """What is wrong with the broker's books; with `must_rest`, also that something was left under way in the end."""
    deadline = time.monotonic() + _REST_TIMEOUT_S
    while True:
        found = client.request("audit")
        if found["at_rest"]:
            break
        if time.monotonic() >= deadline:
            unrest = f"the books were not at rest {_REST_TIMEOUT_S:g} s after the last adapter had closed"
            return [*found["problems"], *([unrest] if must_rest else [])]
        time.sleep(0.1)
    problems = [str(problem) for problem in found["problems"]]
    return problems if found["balanced"] or problems else ["the broker says that its books do not balance"]
