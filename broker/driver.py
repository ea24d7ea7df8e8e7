"""The broker's driver: its sockets, its clock and its loop. One thread, one poller, the critical lane first."""

from __future__ import annotations

import logging
import os
import time
from collections import deque

import zmq

from lanebus.broker import tcpinfo
from lanebus.broker.core import BrokerCore
from lanebus.broker.descriptors import room_for
from lanebus.broker.hangup import hang_up
from lanebus.broker.hangups import HangUp
from lanebus.broker.health import condition_of
from lanebus.broker.inspect import Inspector
from lanebus.broker.monitors import Monitors
from lanebus.broker.notify import Notifier
from lanebus.broker.portions import Answers
from lanebus.broker.resident import memory_bytes, resident_bytes
from lanebus.broker.sockets import BindError, bind, make_router, port_of
from lanebus.broker.webhook import Webhook
from lanebus.conf.model import Config
from lanebus.wire.header import KIND_AT
from lanebus.wire.kinds import Kind
from lanebus.wire.lanes import LANES, TIMER_SLACK_S, Lane

__all__ = ["BindError", "Broker"]

log = logging.getLogger("lanebus.broker")

PORTION_S = 0.0002
"""How long normal and low work may go on before the critical lane is looked at again (promise 6)."""
SHARE_S = 0.002
"""What normal and low work may each take of a turn; then the other lanes and the control endpoint have theirs."""
PORTION_FRAMES = 256
"""Critical frames taken in one go, before what they caused is sent."""
LIGHT_S = 0.0005
"""A turn that took less than this had little to do, and cost more than what it did."""
SPACING_S = 0.002
"""While traffic is dense, the least time from the beginning of a light turn to the next one: what comes meanwhile
shares its cost."""
DENSE_TURNS = 8
"""Traffic is dense after as many turns in a row, none of which began later than twice `SPACING_S` after the one before:
a question and its answer, and theirs, do not wait."""
ANSWER_S = 0.001
"""What answers of the control endpoint may take of a turn."""
STUCK_RETRY_S = 0.005
"""How soon a frame that found its connection full is tried again."""
STUCK_FRAMES = 4096
"""Frames kept for one full connection; past it the connection is given up, and its peer resumes."""
STATUS_S = 5.0
DRAINING_STATUS_S = 0.5
"""The same, while the broker drains."""

FAREWELL_S = 0.3
"""How long peers may take to read the goodbye; slow ones learn from the next broker what they missed."""
FAREWELL_LOOK_S = 0.01
CONTROL_FRAME_BYTES = 65_536
"""The largest request of the command line."""
MOST_DRAINERS = 16
"""Those who are told at the end how a drain went."""

# Plain integers: building pyzmq's flag enums costs more than the call they go into.
_NOBLOCK = 1
_SNDMORE_NOBLOCK = 3
_EVENTS = 15
_POLLIN = 1
_HELLO = bytes([Kind.HELLO])


class Broker:
    """A broker on real sockets."""

    def __init__(self, config: Config, notifier: Notifier | None = None) -> None:
        """
        Raises:
            OpenFilesError: the process may have too few open files.
        """
        self._config = config
        self._notifier = notifier or Notifier(None)
        # First of all: libzmq ends the process where it finds no descriptor for itself.
        room = room_for(config.limits.attachments)
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._context.set(zmq.MAX_SOCKETS, 64)
        self._sockets: list[zmq.Socket[bytes]] = []
        self._control: zmq.Socket[bytes] | None = None
        self._stopping = False
        self._drainers: list[bytes] = []
        """Who waits on the control socket for the end of the drain."""
        self._answers = Answers()
        self._stuck: dict[tuple[Lane, bytes], deque[bytes]] = {}
        self._wake_read, self._wake_write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self.addresses: dict[str, str] = {}
        """Real addresses after `bind`: critical, normal, low and control."""
        self.core = BrokerCore(config, epoch=os.urandom(16), random=os.urandom, started=time.monotonic())
        self.core.registry.room = room
        self._monitors = Monitors(self._context, self.core)
        self._unread = [False, False, False, False]
        """Whether there may be frames that were not read in this turn, on each lane and the control endpoint."""
        alerts = config.alerts
        self._webhook = (
            Webhook(alerts.webhook_url, config.broker.name, timeout_s=alerts.webhook_timeout_s)
            if alerts.webhook_url
            else None
        )
        if self._webhook is not None:
            self.core.alerts.listeners.append(self._webhook.offer)

    def bind(self) -> None:
        """Create and bind all sockets.

        Raises:
            BindError: an address could not be bound; nothing stays bound.
        """
        config = self._config
        lanes = (config.lanes.critical, config.lanes.normal, config.lanes.low)
        try:
            for lane, settings in zip(LANES, lanes, strict=True):
                socket = make_router(
                    self._context,
                    high_water_mark=4 * config.window.batches,
                    frame_bytes=config.limits.frame_bytes,
                )
                self._sockets.append(socket)
                self._monitors.watch(socket, lane, config.limits.frame_bytes)
                self.addresses[lane.label] = bind(socket, config.broker.host, settings.port, lane.label)
            self._control = make_router(self._context, high_water_mark=64, frame_bytes=CONTROL_FRAME_BYTES)
            self._monitors.watch(self._control, None, CONTROL_FRAME_BYTES)
            self.addresses["control"] = bind(
                self._control, config.control.host, config.control.port, "control"
            )
        except BindError:
            self.close()
            raise
        self.core.ports = [port_of(self.addresses[lane.label]) for lane in LANES]

    def stop(self) -> None:
        """Make `run` drain, say goodbye and return. May be called from a signal handler."""
        self._stopping = True
        try:
            os.write(self._wake_write, b"x")
        except (BlockingIOError, OSError):
            return

    def run(self) -> None:
        """Serve until `stop`, or a drain that was asked for on the control endpoint, is over."""
        core, sockets, control = self.core, self._sockets, self._control
        if control is None:
            raise RuntimeError("bind() comes before run()")
        inspector = Inspector(core, self.addresses)
        draining = core.draining
        counters = core.counters
        monitors = self._monitors
        poller = zmq.Poller()
        for socket in sockets:
            poller.register(socket, zmq.POLLIN)
        poller.register(control, zmq.POLLIN)
        poller.register(self._wake_read, zmq.POLLIN)
        clock = time.monotonic
        if self._webhook is not None:
            self._webhook.start()
        notifier = self._notifier
        may_take_bytes = memory_bytes()
        core.bus.memory = resident_bytes(), may_take_bytes
        notifier.ready(self._status())
        monitors.begin(clock())
        next_status = clock() + STATUS_S
        watchdog_s = notifier.watchdog_interval_s
        next_watchdog = clock() if watchdog_s else float("inf")
        critical = sockets[Lane.CRITICAL]
        woken = clock()
        dense_turns = 0
        log.info(
            "= serving on %s", ", ".join(f"{name} {address}" for name, address in self.addresses.items())
        )
        while not draining.over:
            now = clock()
            until = min(next_status, next_watchdog, monitors.due, core.next_timer() or next_status)
            if self._stuck:
                until = min(until, now + STUCK_RETRY_S)
            if self._answers:
                until = now
            if dense_turns >= DENSE_TURNS and now - woken < LIGHT_S:
                time.sleep(woken + SPACING_S - now)
                now = clock()
            # Whole milliseconds, rounded down: the core takes what is due within the next one as due.
            ready = dict(poller.poll(max(0, int((until - now) * 1000))))
            # Frames have waited while the last turn lasted, and while the process did not run.
            waited_s = max(now - woken, clock() - until)
            before, woken = woken, clock()
            dense_turns = dense_turns + 1 if woken - before < 2 * SPACING_S else 0
            core.throttling.broker_was_late(waited_s, woken)
            if not ready or woken > until:
                # When there is always something to read, timers show how late it is read.
                counters.late.record(int((woken - until) * 1e6))
            self._unread = [socket in ready for socket in (*sockets, control)]
            if critical in ready:
                self._drain(Lane.CRITICAL, clock() + SHARE_S, PORTION_FRAMES)
                self._send(clock())
            for lane in (Lane.NORMAL, Lane.LOW):
                if sockets[lane] in ready:
                    self._read_bulk(lane, clock() + SHARE_S)
            was_draining = draining.active
            if control in ready:
                self._hear(control, inspector)
            if self._answers:
                self._answer(control)
            if self._wake_read in ready:
                os.read(self._wake_read, 64)
            if self._stopping:
                self._stopping = False
                draining.begin(clock(), self._config.broker.drain_s)
            now = clock()
            # What is due within the slack is due: nothing would be waited for until then.
            soon = now + TIMER_SLACK_S
            if soon >= monitors.due:
                monitors.look(now, self._unread)
            if draining.active and not was_draining:
                notifier.stopping(self._status())
                next_status = now + DRAINING_STATUS_S
            self._send(now)
            counters.busy.record(int((clock() - woken) * 1e6))
            if soon >= next_watchdog and watchdog_s:
                notifier.watchdog()
                next_watchdog = now + watchdog_s
            if soon >= next_status:
                core.bus.memory = resident_bytes(), may_take_bytes
                notifier.status(self._status())
                next_status = now + (DRAINING_STATUS_S if draining.active else STATUS_S)
        self._send(clock())
        self._see_off(clock() + FAREWELL_S)
        for route in self._drainers:
            self._reply(control, route, inspector.drained())

    def _see_off(self, until: float) -> None:
        """Wait until everybody has read the goodbye and hung up."""
        # A peer's libzmq throws away what was not read when it notices that the connection has ended: the settlements
        # and the goodbye that came last. To say it again is how a ROUTER finds out who is still there.
        left = self.core.draining.byes
        while left and time.monotonic() < until:
            time.sleep(FAREWELL_LOOK_S)
            left = [bye for bye in left if self._is_there(*bye)]

    def _is_there(self, lane: Lane, route: bytes, frame: bytes) -> bool:
        try:
            self._sockets[lane].send(route, _SNDMORE_NOBLOCK)
            self._sockets[lane].send(frame, _NOBLOCK)
        except zmq.Again:
            return True
        except zmq.ZMQError as error:
            if error.errno != zmq.EHOSTUNREACH:
                raise
            return False
        return True

    def close(self) -> None:
        """Close every socket; what was sent has half a second to leave, and the webhook a second to be told."""
        if self._webhook is not None:
            self._webhook.close()
        self._monitors.close()
        for socket in [*self._sockets, *([self._control] if self._control is not None else [])]:
            socket.close()
        self._sockets = []
        self._control = None
        self._context.term()
        for descriptor in (self._wake_read, self._wake_write):
            if descriptor >= 0:
                os.close(descriptor)
        self._wake_read = self._wake_write = -1

    def _read_bulk(self, lane: Lane, until: float) -> None:
        """Read a lane in portions, with a look at the critical one between them."""
        critical = self._sockets[Lane.CRITICAL]
        now = time.monotonic()
        while now < until and self._drain(lane, now + PORTION_S, PORTION_FRAMES):
            now = time.monotonic()
            if critical.getsockopt(_EVENTS) & _POLLIN:  # type: ignore[operator]
                self._drain(Lane.CRITICAL, now + SHARE_S, PORTION_FRAMES)
                now = time.monotonic()
            self._send(now)

    def _drain(self, lane: Lane, until: float, most: int) -> bool:
        """Hand frames of one lane to the core, until there is none, or the portion is used up: then True."""
        socket = self._sockets[lane]
        receive = self.core.receive
        lines = self.core.lines
        strangers = self.core.links.strangers
        clock = time.monotonic
        self._unread[lane] = True
        try:
            while most:
                most -= 1
                route = socket.recv(_NOBLOCK)
                frame = socket.recv(_NOBLOCK, copy=False)
                more = frame.more
                while more and socket.getsockopt(zmq.RCVMORE):
                    socket.recv(_NOBLOCK)
                now = clock()
                data = frame.bytes
                if data[KIND_AT : KIND_AT + 1] == _HELLO:
                    receive(lane, route, data, now, more=more, address=_address(frame))
                    self._monitors.said_hello(lane, route, int(frame.get(zmq.SRCFD)), now)
                else:
                    receive(lane, route, data, now, more=more)
                if strangers.unwanted:
                    strangers.unwanted = False
                    if hang_up(int(frame.get(zmq.SRCFD)), _address(frame)):
                        self.core.hang_ups.note(HangUp.GARBAGE, _address(frame), now)
                if lines.wanted is not None:
                    # The frame is fresh: later its descriptor may be another connection's.
                    lines.network(tcpinfo.look(int(frame.get(zmq.SRCFD))))
                if now >= until:
                    return True
        except zmq.Again:
            self._unread[lane] = False
            return False
        return True

    def _send(self, now: float) -> None:
        """Let the core end its turn, and put its frames on the sockets."""
        core, sockets = self.core, self._sockets
        core.end_turn(now)
        if self._stuck:
            self._retry_stuck(now)
        for lane, route, frame in core.take():
            if self._stuck and (lane, route) in self._stuck:
                self._keep(lane, route, frame, now)
                continue
            socket = sockets[lane]
            try:
                socket.send(route, _SNDMORE_NOBLOCK)
                socket.send(frame, _NOBLOCK)
            except zmq.Again:
                self._keep(lane, route, frame, now)
            except zmq.ZMQError as error:
                if error.errno != zmq.EHOSTUNREACH:
                    raise
                core.lost(lane, route, now)

    def _keep(self, lane: Lane, route: bytes, frame: bytes, now: float) -> None:
        queue = self._stuck.setdefault((lane, route), deque())
        queue.append(frame)
        if len(queue) > STUCK_FRAMES:
            del self._stuck[lane, route]
            self.core.lost(lane, route, now)

    def _retry_stuck(self, now: float) -> None:
        for (lane, route), queue in list(self._stuck.items()):
            socket = self._sockets[lane]
            try:
                while queue:
                    socket.send(route, _SNDMORE_NOBLOCK)
                    socket.send(queue[0], _NOBLOCK)
                    queue.popleft()
            except zmq.Again:
                continue
            except zmq.ZMQError as error:
                if error.errno != zmq.EHOSTUNREACH:
                    raise
                self.core.lost(lane, route, now)
            del self._stuck[lane, route]

    def _hear(self, control: zmq.Socket[bytes], inspector: Inspector) -> None:
        """Take the questions that have come, as many as can be answered at once."""
        try:
            while not self._answers.is_full:
                first, *others = control.recv_multipart(zmq.NOBLOCK, copy=False)
                self._monitors.asked(int(first.get(zmq.SRCFD)))
                work = inspector.work([frame.bytes for frame in others], time.monotonic())
                self._answers.begin(first.bytes, work)
        except zmq.Again:
            self._unread[-1] = False

    def _answer(self, control: zmq.Socket[bytes]) -> None:
        """Go on with the answers for a while."""
        for route, reply in self._answers.step(time.monotonic, time.monotonic() + ANSWER_S):
            if reply is not None:
                self._reply(control, route, reply)
            elif len(self._drainers) < MOST_DRAINERS:
                self._drainers.append(route)

    def _reply(self, control: zmq.Socket[bytes], route: bytes, reply: bytes) -> None:
        try:
            control.send_multipart([route, reply], zmq.NOBLOCK)
        except zmq.ZMQError as error:
            # Whoever asked has gone, or does not read: there is nobody to tell.
            if error.errno not in (zmq.EHOSTUNREACH, zmq.EAGAIN):
                raise

    def _status(self) -> str:
        registry = self.core.registry
        sessions = sum(len(attachment.sessions) for attachment in registry.attachments.values())
        draining = self.core.draining
        if draining.active:
            events, _ = draining.left()
            return f"draining: {sum(events.values())} events under way, {sessions} sessions"
        symptoms = self.core.bus.symptoms
        reasons = "".join(f"; {symptom}" for symptom in symptoms)
        return f"{condition_of(symptoms).value}: {len(registry.attachments)} attachments, {sessions} sessions{reasons}"


def _address(frame: zmq.Frame) -> str:
    """The address of the host that a frame came from; empty where the transport has none."""
    try:
        return str(frame.get("Peer-Address"))
    except zmq.ZMQError:
        return ""
