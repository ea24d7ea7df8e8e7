"""One match of the demo: a broker, an arena and its bots, from start to the books' closing."""

from __future__ import annotations

import contextlib
import signal
import time
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any, Final

from lanebus.cli.broker_process import BrokerProcess
from lanebus.cli.control_client import ControlClient
from lanebus.cli.demo_figures import Figures, Gatherer
from lanebus.cli.demo_processes import Child
from lanebus.cli.demo_report import Facts, Result
from lanebus.cli.demo_reports import Word
from lanebus.cli.exits import CliError, Exit

TURN_S: Final = 0.05
"""How often the match looks after its processes."""
SAMPLE_S: Final = 0.5
"""Time between two questions to the broker."""
START_TIMEOUT_S: Final = 20.0
"""From the start of the bots until all of them play."""
REST_TIMEOUT_S: Final = 10.0
"""From the end of the match until nothing is under way."""
AUDIT_TIMEOUT_S: Final = 5.0
"""From then until the broker's books say the same; peers report theirs with their next control message."""
CLOSE_TIMEOUT_S: Final = 8.0

Show = Callable[[Figures], None]
"""Called with the figures whenever there are new ones."""


class Match:
    """Runs one match. `interrupt` may be called from a signal handler."""

    def __init__(self, *, bots: int, seconds: float, seed: int, show: Show) -> None:
        self._bots_wanted = bots
        self._seconds = seconds
        self._seed = seed
        self._show = show
        self._gathered = Gatherer()
        self._interrupted = False
        self._began_s: float | None = None
        self._sampled_s = 0.0
        self._broker: BrokerProcess
        self._control: ControlClient
        self._children: list[Child] = []

    def interrupt(self) -> None:
        """End the match now, in order; a second call ends it anyhow.

        Raises:
            KeyboardInterrupt: it was called before.
        """
        if self._interrupted:
            raise KeyboardInterrupt
        self._interrupted = True

    @property
    def interrupted(self) -> bool:
        """Whether it was ended before its time."""
        return self._interrupted

    def run(self) -> Result | None:
        """Play and settle; the result is None if it was interrupted before it had begun.

        Raises:
            CliError: a process of the match is gone or did not start.
        """
        with contextlib.ExitStack() as stack:
            self._broker = stack.enter_context(BrokerProcess())
            self._control = stack.enter_context(ControlClient(self._broker.addresses["control"]))
            address = self._broker.addresses["critical"]
            arguments = [address, str(self._bots_wanted), str(self._seed)]
            server = self._start(stack, "the arena's server", ["server", *arguments])
            self._until(
                lambda: server.latest is not None and server.latest.connected > 0, "the arena's server"
            )
            bots = self._start(stack, "the process of the bots", ["bots", *arguments])
            self._until(
                lambda: bots.latest is not None and bots.latest.playing == self._bots_wanted, "the bots"
            )
            if self._interrupted:
                return None
            self._play()
            return self._settle()

    def _start(self, stack: contextlib.ExitStack, title: str, arguments: list[str]) -> Child:
        child = stack.enter_context(Child(title, arguments))
        self._children.append(child)
        return child

    def _until(self, done: Callable[[], bool], title: str) -> None:
        """Wait for something while the match is starting."""
        for _ in self._turns(START_TIMEOUT_S):
            if done() or self._interrupted:
                return
        raise CliError(f"{title} did not get into the game within {START_TIMEOUT_S:.0f} s", Exit.TIMEOUT)

    def _play(self) -> None:
        self._gathered.begin()
        self._began_s = time.monotonic()
        for _ in self._turns(self._seconds):
            if self._interrupted:
                return

    def _settle(self) -> Result:
        """Let everybody come to rest, look at the books, close."""
        assert self._began_s is not None
        seconds = time.monotonic() - self._began_s
        tick_rate = self._gathered.tick_rate()
        for child in self._children:
            child.tell(Word.REST)
        for _ in self._turns(REST_TIMEOUT_S):
            reports = [child.latest for child in self._children]
            if all(report and report.resting and not report.in_flight for report in reports):
                break
        audit = self._ask("audit")
        for _ in self._turns(AUDIT_TIMEOUT_S):
            if audit["at_rest"]:
                break
            audit = self._ask("audit")
        self._sample(time.monotonic())
        for child in self._children:
            child.tell(Word.CLOSE)
        for child in self._children:
            child.wait(CLOSE_TIMEOUT_S)
        self._collect(time.monotonic())
        finals = [child.latest for child in self._children]
        return Result.of(
            Facts(
                seconds=seconds,
                seed=self._seed,
                tick_rate=tick_rate,
                players=self._bots_wanted,
                interrupted=self._interrupted,
                audit=audit,
                unanswered=sum(report.unanswered for report in finals if report),
            ),
            self._gathered,
        )

    def _turns(self, limit_s: float) -> Iterator[None]:
        """Look after everything, again and again, for at most `limit_s`.

        Raises:
            CliError: a process of the match is gone.
        """
        until_s = time.monotonic() + limit_s
        while (now_s := time.monotonic()) < until_s:
            self._collect(now_s)
            if now_s - self._sampled_s >= SAMPLE_S:
                self._sampled_s = now_s
                self._sample(now_s)
                self._show(self._figures(now_s))
            yield
            time.sleep(TURN_S)
            self._check_processes()

    def _collect(self, now_s: float) -> None:
        add = (self._gathered.add_server, self._gathered.add_bots)
        for child, take in zip(self._children, add, strict=False):
            for report in child.reports():
                take(now_s, report)

    def _sample(self, now_s: float) -> None:
        self._gathered.add_status(now_s, self._ask("status"))
        self._gathered.add_peers(now_s, self._ask("peers"))

    def _figures(self, now_s: float) -> Figures:
        elapsed_s = None if self._began_s is None else now_s - self._began_s
        return self._gathered.figures(elapsed_s, self._seconds)

    def _ask(self, command: str) -> Any:
        try:
            return self._control.request(command)
        except CliError:
            # A broker that is gone is the reason why it did not answer, and the better thing to say.
            self._check_processes()
            raise

    def _check_processes(self) -> None:
        if not self._broker.alive():
            raise CliError(
                f"the broker (pid {self._broker.pid}) is gone: {_end(self._broker.exit_status)}",
                Exit.UNAVAILABLE,
            )
        for child in self._children:
            if not child.alive():
                raise CliError(f"{child.title} (pid {child.pid}) is gone: {child.obituary()}", Exit.INTERNAL)


def _end(status: int | None) -> str:
    if status is None:
        return "it does not answer"
    return f"killed by {signal.Signals(-status).name}" if status < 0 else f"it ended with status {status}"


@contextlib.contextmanager
def interrupting(match: Match) -> Iterator[None]:
    """While inside, Ctrl-C and SIGTERM interrupt the match instead of the code that happens to run."""

    def handle(signum: int, frame: FrameType | None) -> None:
        match.interrupt()

    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
