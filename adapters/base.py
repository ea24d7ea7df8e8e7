"""The driver under every adapter: clock and handlers around an `AttachmentCore`. No thread of its own."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Sequence
from types import TracebackType
from typing import Any, Final, TypeVar

from lanebus.adapters.actions import State
from lanebus.adapters.core import AttachmentCore
from lanebus.adapters.derivable import mypyc_attr
from lanebus.adapters.dispatch import dispatch
from lanebus.adapters.errors import Closed, NotConnected
from lanebus.adapters.given import seconds, tell, whole
from lanebus.adapters.handler_times import Budgets, HandlerTimes
from lanebus.adapters.links import Links, Observer
from lanebus.adapters.owner import Owner
from lanebus.adapters.quality import ConnectionQuality
from lanebus.adapters.retry import Retry
from lanebus.adapters.sockets import Socket
from lanebus.adapters.speaker import Speaker
from lanebus.adapters.stats import adapter_stats
from lanebus.adapters.throttle import ThrottledLane
from lanebus.adapters.turns import Turns
from lanebus.adapters.unhandled import HANDLER_WAIT_S, checked_wait_s
from lanebus.wire.messages import PROCESS_BYTES
from lanebus.wire.names import Role
from lanebus.wire.outcomes import Reason

log = logging.getLogger("lanebus.adapters")

DEFAULT_BROKER = "tcp://127.0.0.1:5570"
DEFAULT_OUTBOX_BYTES = 8 << 20
MOST_OUTBOX_BYTES: Final = 1 << 50
CONNECT_TIMEOUT_S: Final = 5.0
CLOSE_TIMEOUT_S: Final = 5.0
PORTION_S = 0.002
"""How long handlers may run before the critical lane is read again."""


@mypyc_attr(allow_interpreted_subclasses=True)
class Adapter(Speaker):
    """A process' attachment to the broker. Everything happens in the calls of one thread, the one that starts it.

    Whatever else is called by another thread raises `WrongThread`, and in a child of a fork `WrongProcess`; properties,
    `stats` and `book` may be read anywhere.
    """

    def __init__(
        self,
        name: str,
        role: Role,
        *,
        broker: str | Sequence[str] = DEFAULT_BROKER,
        outbox_bytes: int = DEFAULT_OUTBOX_BYTES,
        strict: bool = False,
        handler_budget_ms: Budgets | None = None,
        handler_wait_s: float = HANDLER_WAIT_S,
    ) -> None:
        process = os.urandom(PROCESS_BYTES)
        self.core = AttachmentCore(name, role, process, [broker] if isinstance(broker, str) else list(broker))
        """The part without I/O."""
        self.core.incoming.handler_wait_s = checked_wait_s(handler_wait_s)
        outbox_bytes = whole(outbox_bytes, "outbox_bytes", 0, MOST_OUTBOX_BYTES)
        session = self.core.open_session(0, name, process, outbox_bytes=outbox_bytes, strict=bool(strict))
        super().__init__(self, session)
        self.handler_times = HandlerTimes(name, handler_budget_ms)
        self.core.topic_times = self.handler_times.report
        self.turns = Turns(f"{name} was not polled")
        self.owner = Owner(name)
        """Its thread; none before `start`."""
        self.observer: Observer | None = None
        """Who drives it together with others."""
        self.links = Links(self)
        self._in_turn = False
        """Whether this is inside of a turn: in a handler, or another function of the program's that a turn calls."""
        self._close_within_s: float | None = None
        """How long a closing may take that such a function has asked for."""

    # What the program calls

    @property
    def state(self) -> str:
        """``new``, ``connecting``, ``up``, ``down`` (it comes back by itself) or ``closed``."""
        return self.core.state.value

    @property
    def state_reason(self) -> str:
        """Why it is not up: what a broker, or the system, said last, and what to do about it. Empty while all is well.

        While it is up: the last change of state (a registration, a join) that the broker refused.
        """
        return self.core.state_reason

    @property
    def rtt_ms(self) -> float | None:
        """The last round trip to the broker and back, milliseconds; None before the first."""
        rtt_s = self.core.clock.rtt_s
        return None if rtt_s is None else rtt_s * 1e3

    @property
    def quality(self) -> ConnectionQuality:
        """How the connection to the broker is, from this side: by pings alone, with the default bounds."""
        core = self.core
        is_up = core.state is State.UP
        return core.line.quality(time.monotonic(), is_up=is_up, ping_interval_s=core.pulse.ping_interval_s)

    @property
    def requests_pending(self) -> int:
        """Joins, assigns, opens and so on that the broker has not answered."""
        return len(self.core.requests)

    @property
    def retry(self) -> Retry:
        """What is being tried again: to connect, and events that left on links that are lost."""
        core = self.core
        due = core.backoff.due
        is_lost = core.state is not State.UP
        return Retry(
            core.backoff.attempts,
            None if due is None else max(0.0, due - time.monotonic()),
            sum(lane.to_resend(is_lost=is_lost) for lane in core.outgoing.lanes),
        )

    @property
    def throttled(self) -> list[ThrottledLane]:
        """The sessions and lanes that are held to a limit of the broker: their events wait here, none is lost."""
        return self.core.outgoing.throttled(time.monotonic())

    def stats(self) -> dict[str, Any]:
        """All that an overlay in a game would show, as plain values: numbers, texts, None, and dicts and lists of them.

        The keys are:

        - ``name``, ``role``, ``state``, ``state_reason``, ``ping_ms`` (as `rtt_ms`), ``quality``, ``retry`` and
          ``throttled`` (as the properties of these names), ``reconnects``, ``requests_pending``;
        - ``in_flight``: events sent and not settled; ``outbox``: their ``bytes``, ``limit_bytes``, and the ``share`` of
          the limit that is used (behind a gateway: that of the fullest session);
        - ``lanes``, by name: ``events_out``, ``batches_out``, ``bytes_out`` (of frames, as they travel),
          ``unbatched_bytes_out`` (had each event travelled alone and uncompressed), the first three with ``_in``,
          ``handled``; ``queued_events`` to be sent, ``in_flight``, ``waiting_events`` to be handled;
          ``handler_budget_ms`` and ``over_budget``, the events whose handlers took longer;
        - ``control``: messages and bytes of all that is not events;
        - ``turns``: how often the program did not poll for seconds (``stalls``), and ``longest_gap_s``;
        - ``handler_errors``: handlers that raised, and payloads that did not fit;
        - ``unhandled``: topics without a handler, with the ``sender`` of the latest event, how many are ``waiting`` for
          one, and how many were ``refused``;
        - ``handlers``: as `handler_stats`.

        Counts begin with the adapter. It is meant to be called once a second, and not for every frame.
        """
        driver = self if self.observer is None else self.observer
        return adapter_stats(
            self.core, self.quality, self.retry, self.throttled, self.handler_times, driver.turns
        )

    def handler_stats(self) -> list[dict[str, Any]]:
        """How long handlers take: a row for each topic and lane, those first on which most time was spent.

        Each has ``topic``, ``lane``, ``count``, ``mean_ms``, ``p50_ms``, ``p99_ms``, ``max_ms``, ``budget_ms`` and
        ``over_budget``, the events that took longer. Further topics than 1024 are one row, ``(other topics)``.
        """
        return self.handler_times.rows()

    def start(self) -> None:
        """Begin to connect without waiting; `poll`, `wait` or a `Loop` does the rest, in the thread that calls this.

        Raises:
            WrongThread: another thread has started it.
            WrongProcess: it was made before this process was forked.
        """
        self.owner.claim()
        if self.core.state is State.NEW:
            self.before_start()
            self.core.start(time.monotonic())
            self.links.act()
            if self.observer is None:
                self.turns.end(time.monotonic())

    def connect(self, timeout_s: float = CONNECT_TIMEOUT_S) -> None:
        """Connect, and wait until all links are up.

        It gives turns as `wait` does: handlers run for what comes meanwhile, before this returns. Register them before.

        Raises:
            NotConnected: no broker answered in time, and why; the adapter is closed. Or this was called by a handler,
                for which nothing can be waited.
            HelloRefused: the broker does not want this peer.
            Closed: the adapter was closed or fenced before.
        """
        timeout_s = seconds(timeout_s, "timeout_s")
        self.start()
        if self._in_turn:
            if self.core.state is State.UP:
                return
            self._raise_failure()
            raise NotConnected(
                f"{self.name} is {self.state}, and a handler cannot wait: connect outside of handlers"
            )
        self.turns.stop()
        deadline = time.monotonic() + timeout_s
        while self.core.state is not State.UP:
            self._raise_failure()
            if time.monotonic() >= deadline:
                said = self.core.brokers.report()
                self.close(0.0)
                raise NotConnected(f"no broker took {self.name} in within {timeout_s:g} s: {said}")
            self._turn(time.monotonic())
            self.links.sleep(min(deadline, time.monotonic() + 0.05))
        if self.observer is None:
            self.turns.end(time.monotonic())

    def poll(self, budget_ms: float = 4.0) -> int:
        """Read what came, run handlers (critical first) for about `budget_ms`, flush what should not wait.

        For programs whose loop belongs to an engine: call it every frame. Never blocks. What was sent since the last
        call leaves in this one, if its lane's interval is over or it would not be in time with the next one. Inside of
        a handler it returns at once: what it would do, the turn that has called the handler goes on to do.

        Returns:
            Events handled.

        Raises:
            Closed: the adapter was fenced by a newer process of its name.
            HelloRefused: the broker does not want this peer.
        """
        self.owner.check()
        budget_s = seconds(budget_ms, "budget_ms") / 1e3
        if self._in_turn:
            return 0
        now = time.monotonic()
        self._begin(now)
        try:
            self._raise_failure()
            until = now + budget_s
            handled = 0
            while True:
                handled += self._turn(min(until, now + PORTION_S), next_turn_in_s=self.turns.mean_gap_s)
                now = time.monotonic()
                if now >= until or not self.core.has_work(now):
                    return handled
        finally:
            self.turns.end(time.monotonic())

    def wait(self, timeout_s: float | None = None, *, until: float | None = None) -> int:
        """Handle what comes until the time is over; with no time given, until at least one event was handled.

        Inside of a handler it returns at once, as `poll` does.

        Args:
            timeout_s: seconds from now.
            until: an instant of `time.monotonic()`, for example the next tick.

        Returns:
            Events handled.

        Raises:
            Closed: the adapter was fenced by a newer process of its name.
            HelloRefused: the broker does not want this peer.
        """
        self.owner.check()
        ends = []
        start = time.monotonic()
        if until is not None:
            ends.append(seconds(until, "until"))
        if timeout_s is not None:
            ends.append(start + seconds(timeout_s, "timeout_s"))
        if self._in_turn:
            return 0
        self._begin(start)
        try:
            return self._wait(min(ends, default=None))
        finally:
            self.turns.end(time.monotonic())

    def flush(self) -> None:
        """End of a tick: everything sent so far leaves now, batched."""
        self.owner.check()
        self.core.flush(time.monotonic())
        self.links.act()

    def close(self, timeout_s: float = CLOSE_TIMEOUT_S) -> int:
        """Flush, wait for settlements until the timeout while handling what comes, and say goodbye.

        Driven by a `Loop`, the wait gives the loop's other adapters their turns too; `Loop.close_all` closes many.
        Inside of a handler it returns at once, with what is in flight by then, and all of it happens when the handler
        has returned: the event that is being handled ends as its handler does.

        Returns:
            Events that were not settled in time; they end as ``unknown: closed``.

        Raises:
            TypeError: the timeout is no number.
            ValueError: the timeout is not a number.
        """
        timeout_s = seconds(timeout_s, "timeout_s")
        core = self.core
        if core.state is not State.CLOSED:
            self.owner.check()
        driver = self.observer
        if self._in_turn or (driver is not None and driver.in_turn):
            if driver is None:
                self._close_within_s = timeout_s
            else:
                driver.close_within(self, timeout_s)
            return sum(session.outbox.in_flight for session in core.sessions.values())
        left = 0
        try:
            if core.state not in (State.NEW, State.CLOSED):
                self._settle_all(time.monotonic() + timeout_s)
        finally:
            for session in list(core.sessions.values()):
                for each in session.outbox.abandon(Reason.CLOSED):
                    left += 1
                    core.told.append((session, each))
                session.closed = True
            self._tell()
            core.close("closed")
            self.links.act()
        return left

    def __enter__(self: AdapterT) -> AdapterT:
        self.connect(CONNECT_TIMEOUT_S)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close(CLOSE_TIMEOUT_S)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name} {self.state}, {self.in_flight} in flight>"

    # For drivers of several adapters

    def observe(self, observer: Observer | None) -> None:
        """Let a `Loop` drive this adapter, or no longer."""
        self.owner.check()
        self.observer = observer
        self.turns.stop()

    def open_sockets(self) -> list[Socket]:
        """The sockets that exist now."""
        return [socket for socket in self.links.sockets if socket is not None]

    def turn(self, until: float) -> int:
        """One turn whose next follows as soon as there is something to do; for a `Loop`."""
        return self._turn(until)

    def look(self, now: float) -> None:
        """Something is sent a while after the last turn: what has waited for its lane's hold leaves now."""
        self.turns.look(now)
        if self.core.flush_held(now):
            self.links.act()

    def touch(self) -> None:
        """There is something to do before anybody waits."""
        if self.observer is not None:
            self.observer.touched(self)

    # Inside

    def before_start(self) -> None:
        """What a kind of adapter does before its first hello."""

    def handlers_changed(self) -> None:
        """What a kind of adapter does after `on`."""

    def tell_news(self) -> None:
        """What a kind of adapter tells the program of peers, before and after the events of a turn are handled."""

    def in_turn(self, now: float) -> None:
        """What a kind of adapter does in every turn, once what has come is handled."""

    def check_undirected(self) -> None:
        raise ValueError(
            f"{self.name} must say whom an event is for: to='player:42', 'group:room:7', 'all' …"
        )

    @property
    def unfinished(self) -> bool:
        """Whether an event is not settled, a request not answered, or an arrival not handled."""
        core = self.core
        return (
            any(session.outbox.in_flight for session in core.sessions.values())
            or bool(core.requests)
            or any(core.incoming.arrivals)
        )

    def _begin(self, now: float) -> None:
        if self.turns.begin(now):
            self.core.line.stalled(now)

    def _wait(self, deadline: float | None) -> int:
        handled = 0
        while True:
            self._raise_failure()
            until = time.monotonic() + PORTION_S
            handled += self._turn(until if deadline is None else min(until, deadline))
            if (deadline is None and handled) or self._is_closed_by_handler:
                return handled
            if deadline is not None and time.monotonic() >= deadline:
                return handled
            self.links.sleep(deadline if deadline is not None else time.monotonic() + 1.0)

    def _settle_all(self, deadline: float) -> None:
        core = self.core
        while self.unfinished and core.state is not State.CLOSED and (now := time.monotonic()) < deadline:
            core.flush(now)
            self.links.act()
            if self.observer is not None:
                self.observer.turn(min(deadline - now, 0.05))
            else:
                self._turn(min(deadline, time.monotonic() + PORTION_S))
                self.links.sleep(min(deadline, time.monotonic() + 0.05))

    @property
    def _is_closed_by_handler(self) -> bool:
        return self.core.state is State.CLOSED and self.core.failure is None

    def _raise_failure(self) -> None:
        if self.core.failure is not None:
            raise self.core.failure
        if self.core.state is State.CLOSED:
            raise Closed(f"{self.name} is closed")

    def _turn(self, until: float, *, next_turn_in_s: float | None = None) -> int:
        self._in_turn = True
        try:
            return self._one_turn(until, next_turn_in_s or 0.0)
        finally:
            self._in_turn = False
            within_s, self._close_within_s = self._close_within_s, None
            if within_s is not None:
                self.close(within_s)

    def _one_turn(self, until: float, next_turn_in_s: float) -> int:
        core = self.core
        core.begin_turn(time.monotonic())
        self.links.read()
        self.tell_news()
        handled = (
            dispatch(core, time.monotonic, until, self.handler_times)
            if core.has_work(time.monotonic())
            else 0
        )
        if core.told:
            self._tell()
        if core.requests.failed:
            self._report_failed()
        self.tell_news()
        now = time.monotonic()
        self.in_turn(now)
        core.end_turn(now, now + next_turn_in_s)
        self.links.act()
        return handled

    def _tell(self) -> None:
        told, self.core.told = self.core.told, []
        for session, unsettled in told:
            tell(session.on_unsettled, unsettled, f"on_unsettled of {session.name}")

    def _report_failed(self) -> None:
        failed, self.core.requests.failed = self.core.requests.failed, []
        for what, number, detail in failed:
            refusal = f"{what} was refused: {detail} (error {number})"
            log.error("! %s: %s", self.name, refusal)
            if self.core.state is State.UP:
                self.core.brokers.word = refusal


AdapterT = TypeVar("AdapterT", bound=Adapter)
