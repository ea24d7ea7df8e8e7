"""One match of the demo: a broker, an arena and its bots, what is done to them, and the books' closing."""

from __future__ import annotations

import contextlib
import math
import os
import signal
import time
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any, Final

from lanebus.cli.broker_process import BrokerProcess
from lanebus.cli.control_client import ControlClient
from lanebus.cli.demo_fault import Seen
from lanebus.cli.demo_faults import Faults
from lanebus.cli.demo_figures import Figures, Gatherer, limit_of, waiting_events
from lanebus.cli.demo_flood import Account
from lanebus.cli.demo_processes import Child
from lanebus.cli.demo_report import Facts, Result
from lanebus.cli.demo_reports import Word
from lanebus.cli.exits import CliError, Exit
from lanebus.examples.arena.bot import bot_name

TURN_S: Final = 0.05
"""How often the match looks after its processes."""
SAMPLE_S: Final = 0.4
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

    def __init__(self, *, bots: int, seconds: float, seed: int, show: Show, faults: bool = True) -> None:
        self._bots_wanted = bots
        self._seconds = seconds
        self._seed = seed
        self._show = show
        self._gathered = Gatherer()
        self._interrupted = False
        self._began_s: float | None = None
        self._sampled_s = 0.0
        self._stopped = f"player:{bot_name(bots - 1)}"
        self._flooder = f"player:{bot_name(bots - 2)}" if bots > 1 else None
        """The player that floods; one who plays alone would hurt nobody."""
        self._faults = Faults(self, self._stopped, seconds, self._flooder) if faults else None
        self._why: Any = None
        self._broker: BrokerProcess
        self._control: ControlClient
        self._children: list[Child] = []
        """The arena's server, then the processes of the bots. The last one is stopped and the one before it floods."""

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
            self._broker = stack.enter_context(BrokerProcess(keep_ports=True))
            self._control = stack.enter_context(ControlClient(self._broker.addresses["control"]))
            server = self._start(stack, "the arena's server", "server", 0, 0)
            self._until(
                lambda: server.latest is not None and server.latest.connected > 0, "the arena's server"
            )
            # Who is stopped or floods has a process of its own: nobody else must stand still or be busy with it.
            alone = [] if self._faults is None else ["flooder", "bot"][-self._bots_wanted :]
            together = self._bots_wanted - len(alone)
            if together:
                self._start(stack, "the process of the bots", "bots", 0, together)
            for number, role in enumerate(alone, start=together):
                self._start(stack, f"the process of {bot_name(number)}", role, number, 1)
            if alone:
                stack.callback(self.continue_player)
            if len(alone) > 1:
                self._gathered.flooder = self._children[-2].title
            self._until(lambda: self._players_in() == self._bots_wanted, "the bots")
            if self._interrupted:
                return None
            self._play()
            return self._settle()

    # What the faults do

    def stop_player(self) -> None:
        """Send SIGSTOP to the process of one player."""
        self._children[-1].send(signal.SIGSTOP)

    def continue_player(self) -> None:
        """Send it SIGCONT."""
        self._children[-1].send(signal.SIGCONT)

    def begin_flood(self) -> Account:
        """Let a player flood."""
        # First the account: what comes of the flood at once counts too.
        account = self._account()
        self._children[-2].tell(Word.FLOOD)
        return account

    def end_flood(self) -> Account:
        """Let it stop."""
        account = self._account()
        self._children[-2].tell(Word.CALM)
        return account

    def ask_why(self) -> None:
        """Ask the broker why that player's events wait."""
        self._why = self._ask("why", peer=self._flooder)

    def kill_broker(self) -> None:
        """Send SIGKILL to the broker, having asked it for its last figures."""
        self._sample(time.monotonic())
        self._broker.kill()
        self._control.close()

    def launch_broker(self) -> None:
        """Begin to start it again."""
        self._broker.launch()

    def broker_is_ready(self) -> bool:
        """Whether it serves again."""
        return self._broker.is_ready()

    def _account(self) -> Account:
        self._sample(time.monotonic())
        policy = self._ask("limits", peer=self._flooder)["policy"]
        peer = self._gathered.peers[str(self._flooder)]
        return Account(
            accepted=peer["events_in"],
            limit=limit_of(peer),
            events_per_s=policy["events_per_s"],
            events_burst=policy["events_burst"],
        )

    # The course of the match

    def _start(self, stack: contextlib.ExitStack, title: str, role: str, first: int, count: int) -> Child:
        address = self._broker.addresses["critical"]
        arguments = [role, address, *map(str, (self._seed, first, count, os.getpid()))]
        child = stack.enter_context(Child(title, arguments))
        self._children.append(child)
        return child

    def _players_in(self) -> int:
        return sum(child.latest.playing for child in self._children[1:] if child.latest)

    def _until(self, done: Callable[[], bool], title: str) -> None:
        """Wait for something while the match is starting."""
        for _ in self._turns(START_TIMEOUT_S):
            if done() or self._interrupted:
                return
        raise CliError(f"{title} did not get into the game within {START_TIMEOUT_S:.0f} s", Exit.TIMEOUT)

    def _play(self) -> None:
        self._gathered.begin()
        self._began_s = began_s = time.monotonic()
        faults = self._faults
        for _ in self._turns(math.inf):
            now_s = time.monotonic()
            if self._interrupted or (now_s - began_s >= self._seconds and (not faults or faults.is_over)):
                break
            if faults is not None:
                faults.turn(now_s, now_s - began_s, self._seen())
                self._gathered.is_disturbed = faults.is_disturbing
                self._gathered.is_flooded = faults.floods
        # Also a match that was interrupted ends with a living broker, and with everybody awake.
        while faults is not None and not faults.heal(time.monotonic()):
            time.sleep(TURN_S)
        self._gathered.is_flooded = False

    def _seen(self) -> Seen:
        gathered = self._gathered
        player = gathered.peers.get(self._stopped)
        return Seen(
            players=self._bots_wanted,
            connected=gathered.connected,
            server_connected=bool(gathered.server and gathered.server.connected),
            in_flight=gathered.in_flight,
            resent=gathered.resent,
            waiting=waiting_events(player) if player else 0,
            late_s=gathered.late_s,
            silences=gathered.take_silences(),
            flood=gathered.flood(self._flooder or ""),
        )

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
        if self._faults is not None:
            self._faults.see(self._seen())
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
                faults=self._faults.as_list() if self._faults else [],
                outage_s=self._faults.outage_s if self._faults else None,
                why=self._why,
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
                if not self._is_broker_dead():
                    self._sample(now_s)
                self._show(self._figures(now_s))
            yield
            time.sleep(TURN_S)
            self._check_processes()

    def _collect(self, now_s: float) -> None:
        for child in self._children:
            for report in child.reports():
                if child is self._children[0]:
                    self._gathered.add_server(now_s, report)
                else:
                    self._gathered.add_bots(now_s, report, child.title)

    def _sample(self, now_s: float) -> None:
        self._gathered.add_status(now_s, self._ask("status"))
        self._gathered.add_peers(now_s, self._ask("peers"))

    def _figures(self, now_s: float) -> Figures:
        elapsed_s = None if self._began_s is None else now_s - self._began_s
        if self._faults is None:
            return self._gathered.figures(elapsed_s, self._seconds)
        return self._gathered.figures(
            elapsed_s, self._seconds, self._faults.figures(), self._faults.broker_down_s
        )

    def _is_broker_dead(self) -> bool:
        """Whether it is because it was meant to be."""
        return self._faults is not None and self._faults.kills_broker

    def _ask(self, command: str, **arguments: Any) -> Any:
        try:
            return self._control.request(command, **arguments)
        except CliError:
            # A broker that is gone is the reason why it did not answer, and the better thing to say.
            self._check_processes()
            raise

    def _check_processes(self) -> None:
        if not self._broker.alive() and not self._is_broker_dead():
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
