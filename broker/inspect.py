"""The control endpoint's answers: everything is read from the broker's state when asked, nothing is kept beside it.

What is said of every session is made in portions: each row is of one instant, and the rows are of one after the other.
Only the audit looks at everything at one instant, since it compares what one session sent with what others hold.
"""

from __future__ import annotations

import os
import platform
import resource
import time
from collections.abc import Callable, Generator, Mapping
from importlib.metadata import PackageNotFoundError, version
from itertools import islice, product
from typing import Any

import msgspec
import zmq

from lanebus.broker.alerts import AlertKind
from lanebus.broker.attachment import Attachment
from lanebus.broker.audit import audit
from lanebus.broker.core import BrokerCore
from lanebus.broker.events import Event
from lanebus.broker.handling import rows as handler_rows
from lanebus.broker.health import shown
from lanebus.broker.inspect_limits import change_limits, limits, limits_of
from lanebus.broker.inspect_services import groups, members, service_health, services
from lanebus.broker.leases import state_of
from lanebus.broker.lineview import history, line_figures
from lanebus.broker.loglevel import level, set_level
from lanebus.broker.peer_reports import at_sender, handled_p99_ms, unhandled
from lanebus.broker.portions import Rows, Work, complete, rows
from lanebus.broker.resident import resident_bytes
from lanebus.broker.retries import retries
from lanebus.broker.sessions import Session
from lanebus.broker.slow_receivers import handlerless, held
from lanebus.broker.statistics import queued_events, statistics
from lanebus.broker.sums import sums
from lanebus.broker.survey import LaneSurvey, Survey, survey
from lanebus.broker.tcpinfo import signs
from lanebus.broker.throttling import throttled
from lanebus.broker.unknown import Unknown, session_of
from lanebus.broker.why import MOST_REFUSED, why
from lanebus.wire.build import is_compiled
from lanebus.wire.lanes import LANES, Lane
from lanebus.wire.names import Role
from lanebus.wire.outcomes import Book

MAX_DEADLINE_S = 3600.0
"""Longest deadline of a drain that may be asked for."""

_RESULT = msgspec.msgpack.encode({"ok": True, "result": None})[:-1]
"""An answer up to its result."""

_decoder = msgspec.msgpack.Decoder(dict[str, Any])


class Inspector:
    """Answers requests of the command line."""

    def __init__(self, core: BrokerCore, addresses: Mapping[str, str]) -> None:
        self._core = core
        self._addresses = addresses
        # Looked up once: it reads folders, and what it leaves behind is kept.
        self._version = _version()
        self._started_at_s = time.time()
        core.bus.say_version(self._version)
        self._commands: dict[str, Callable[[float], Any]] = {
            "status": self.status,
            "queues": self.queues,
            "peers": self.peers,
            "audit": self.audit,
            "dead": self.dead,
            "alerts": self.alerts,
            "stats": self.stats,
            "services": lambda now: services(core, now),
            "groups": lambda now: groups(core, now),
            "metrics": self.metrics,
        }
        self._questions: dict[str, Callable[[dict[str, Any], float], Any]] = {
            "members": lambda request, now: members(core, request.get("group"), now),
            "quality": lambda request, now: self.quality(request.get("peer"), now),
            "limits": self._limits,
            "why": lambda request, now: why(core, request.get("peer"), signs, now),
            "log": self._log,
            "trace": self._trace,
            "trace_read": lambda request, now: core.tracing.read(request.get("trace"), now),
            "trace_end": lambda request, now: {"ended": core.tracing.end(request.get("trace"))},
        }

    def answer(self, frames: list[bytes], now: float) -> bytes | None:
        """The reply to one request, made at one instant; see `work`."""
        return complete(self.work(frames, now), now)

    def work(self, frames: list[bytes], now: float) -> Work[bytes | None]:
        """The reply to one request: ``{"ok": true, "result": ...}`` or ``{"ok": false, "error": text}``,
        with ``"unknown": true`` where it is about somebody of whom nothing is known.

        None for ``drain``, whose reply is what `drained` gives in the end.
        """
        try:
            if len(frames) != 1:
                raise ValueError(f"{len(frames)} frames; a request is one")
            request = _decoder.decode(frames[0])
            command = request.get("command")
            if command == "drain":
                self._core.draining.begin(now, self._deadline_s(request))
                return None
            question = self._questions.get(command) if isinstance(command, str) else None
            action = self._commands.get(command) if isinstance(command, str) else None
            if question is not None:
                result = question(request, now)
            elif action is not None:
                result = action(now)
            else:
                known = ", ".join([*self._commands, *self._questions])
                raise ValueError(f"no command {command!r}; there are {known}, drain")
            if isinstance(result, Generator):
                result = yield from result
            if isinstance(result, Rows):
                return b"".join((_RESULT, *result))
            return msgspec.msgpack.encode({"ok": True, "result": result})
        except Unknown as error:
            return msgspec.msgpack.encode({"ok": False, "error": str(error), "unknown": True})
        # Figures that peers report are theirs to choose: a sum of them can be more than MessagePack holds.
        except (msgspec.MsgspecError, ValueError, RecursionError, OverflowError) as error:
            return msgspec.msgpack.encode({"ok": False, "error": str(error)})

    def drained(self) -> bytes:
        """The reply to ``drain``: how long it took, and what is left."""
        return msgspec.msgpack.encode({"ok": True, "result": self._core.draining.report})

    def _deadline_s(self, request: dict[str, Any]) -> float:
        deadline_s = request.get("deadline_s")
        if deadline_s is None:
            return self._core.config.broker.drain_s
        if not isinstance(deadline_s, int | float) or not 0 <= deadline_s <= MAX_DEADLINE_S:
            raise ValueError(f"deadline_s is {deadline_s!r}; give seconds from 0 to {MAX_DEADLINE_S:g}")
        return float(deadline_s)

    def _limits(self, request: dict[str, Any], now: float) -> Any:
        if len(request) == 1:
            return limits(self._core)
        if "match" in request:
            return change_limits(self._core, request["match"], request.get("settings"), now)
        return limits_of(self._core, request.get("peer"), now)

    def _log(self, request: dict[str, Any], now: float) -> dict[str, str]:
        wanted = request.get("level")
        if wanted is None:
            return {"level": level(), "before": level()}
        before = set_level(wanted)
        return {"level": level(), "before": before}

    def _trace(self, request: dict[str, Any], now: float) -> dict[str, int]:
        payloads = request.get("payloads") is True
        return {"trace": self._core.tracing.begin(request.get("peer"), now, payloads=payloads)}

    def metrics(self, now: float) -> Work[dict[str, Any]]:
        """What `lanebus metrics` is made of: ``status``, and sums that do not fall when sessions end."""
        found = yield from survey(self._core.registry, now)
        return {
            "status": self._status(found, now),
            "started_at_s": self._started_at_s,
            "python": platform.python_version(),
            "libzmq": zmq.zmq_version(),
            **sums(self._core, found, now),
        }

    def status(self, now: float) -> Work[dict[str, Any]]:
        """The broker at a glance."""
        found = yield from survey(self._core.registry, now)
        return self._status(found, now)

    def _status(self, found: Survey, now: float) -> dict[str, Any]:
        core = self._core
        rss_bytes = resident_bytes()
        # The system brings this figure up to date now and then only.
        rss_peak_bytes = max(rss_bytes, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
        return {
            "name": core.config.broker.name,
            "version": self._version,
            "compiled": is_compiled(),
            "epoch": core.epoch.hex(),
            "pid": os.getpid(),
            "uptime_s": now - core.started,
            **shown(core.bus.symptoms),
            "state": "draining" if core.draining.active else "serving",
            "addresses": dict(self._addresses),
            "attachments": len(core.registry.attachments),
            "sessions": {role.value: found.roles[role] for role in Role},
            "services": {
                name: sorted(service.instances) for name, service in sorted(core.directory.services.items())
            },
            "service_health": service_health(core),
            "groups": len(core.directory.groups),
            "held_bytes": core.budget.held_bytes,
            "budget_bytes": core.budget.limit_bytes,
            "cpu_s": time.process_time(),
            "rss_bytes": rss_bytes,
            "rss_peak_bytes": rss_peak_bytes,
            **_open_files(core),
            "ping_mean_ms": found.ping_mean_ms,
            "lanes": {lane.label: self._lane(lane, found.lanes[lane]) for lane in LANES},
            "control": {
                "in": core.counters.control_in.as_dict(),
                "out": core.counters.control_out.as_dict(),
            },
            "loop": {
                "turns": core.counters.busy.count,
                "busy_ms": core.counters.busy.in_ms(),
                "late_ms": core.counters.late.in_ms(),
                "late_lately_ms": core.bus.late_lately().in_ms(),
            },
            "errors": dict(sorted(core.counters.errors.items())),
            "violations": {kind.value: count for kind, count in sorted(core.violations.totals.items())},
            "cooling_down_s": core.violations.cooling(now),
            "hellos_refused": core.hellos.refused,
            "hung_up": {why.value: count for why, count in core.hang_ups.totals.items()},
            "refused": [each.as_dict(now) for each in core.settling.refusals.lately(MOST_REFUSED, now)],
            "unhandled": found.unhandled,
            "duplicates": core.counters.duplicates,
            "ignored_settlements": core.counters.ignored_settlements,
            "books": {
                "events": _by_lane(found.totals.events),
                "parts": _by_lane(found.totals.parts),
            },
        }

    def _lane(self, lane: Lane, found: LaneSurvey) -> dict[str, Any]:
        counters = self._core.counters
        return {
            "in": counters.lanes_in[lane].as_dict(),
            "out": counters.lanes_out[lane].as_dict(),
            "queued_events": found.queued_events,
            "queued_bytes": found.queued_bytes,
            "unsettled_events": found.unsettled_events,
            "held_ms": counters.held[lane].in_ms(),
            "throttled_events": counters.throttled[lane],
            "shaped_parts": self._core.egress.shaping.waited[lane].count,
            "shaped_ms": self._core.egress.shaping.waited[lane].in_ms(),
        }

    def queues(self, now: float) -> Work[Rows]:
        """Every session's egress queue on every lane."""
        egress = self._core.config.egress

        def row(place: tuple[Session, Lane], now: float) -> dict[str, Any] | None:
            session, lane = place
            if session.ended:
                return None
            return {
                "peer": session.name,
                "lane": lane.label,
                **self._queue(session.attachment, session, lane, now),
                "limit_bytes": (session.limits.queue_bytes if session.limits else 0) or egress.queue_bytes,
                "credit_bytes": egress.credit_bytes,
            }

        sessions = list(self._core.registry.sessions())
        return rows(product(sessions, LANES), row, now)

    def _queue(self, attachment: Attachment, session: Session, lane: Lane, now: float) -> dict[str, Any]:
        receiving = session.receiving[lane]
        waiting = receiving.waiting
        queued: list[Event] = [
            event for event, sessions in attachment.outbound[lane].queue if session in sessions
        ]
        queued.extend(receiving.suspects)
        # In the order of arrival: the first is the oldest, and the others need not be looked at.
        arrived = [event.arrived for event in queued] + [event.arrived for event in islice(waiting, 1)]
        at_sender_events, at_sender_bytes = at_sender(session, lane)
        unsettled = [event for numbers in receiving.unsettled.values() for event in numbers.values()]
        return {
            "queued_events": len(queued) + len(waiting),
            "queued_bytes": sum(event.size for event in queued) + receiving.waiting_bytes,
            "oldest_age_s": now - min(arrived, default=now),
            "unsettled_events": len(unsettled),
            "unsettled_bytes": sum(event.size for event in unsettled),
            "dropped": receiving.dropped,
            "expired": receiving.expired,
            "superseded": receiving.superseded,
            "paused_senders": len(receiving.paused),
            "at_sender_events": at_sender_events,
            "at_sender_bytes": at_sender_bytes,
            "retry": retries(session, lane, now),
        }

    def peers(self, now: float) -> Work[Rows]:
        """Every session, with the quality of its line."""
        return rows(list(self._core.registry.sessions()), self._peer, now)

    def _peer(self, session: Session, now: float) -> dict[str, Any] | None:
        if session.ended:
            return None
        attachment = session.attachment
        without = handlerless(session)
        holding = [held(receiving, now, without=without) for receiving in session.receiving]
        refusals = self._core.settling.refusals
        at_sender_events, at_sender_bytes = at_sender(session)
        return {
            "name": session.name,
            "role": session.role.value,
            "via": attachment.name if attachment.targeted else None,
            "state": state_of(attachment),
            "connected_s": now - session.since,
            "idle_s": now - attachment.last_seen,
            **line_figures(session, now),
            "events_in": sum(traffic.events_in for traffic in session.traffic),
            "events_out": sum(traffic.events_out for traffic in session.traffic),
            "bytes_in": sum(traffic.bytes_in for traffic in session.traffic),
            "bytes_out": sum(traffic.bytes_out for traffic in session.traffic),
            "in_flight": sum(sending.book.in_flight for sending in session.sending),
            "queued_events": sum(queued_events(session, lane) for lane in LANES),
            "unsettled_events": sum(
                len(numbers) for receiving in session.receiving for numbers in receiving.unsettled.values()
            ),
            "held_bytes": sum(each["held_bytes"] for each in holding),
            "oldest_age_s": max(each["oldest_age_s"] for each in holding),
            "dropped": sum(each["dropped"] for each in holding),
            "at_sender_events": at_sender_events,
            "at_sender_bytes": at_sender_bytes,
            "handled_p99_ms": handled_p99_ms(session),
            "paused_senders": sum(each["paused_senders"] for each in holding),
            "slow": [
                {"lane": lane.label, "for_s": now - alert.began, **alert.figures}
                for lane in LANES
                if (alert := self._core.alerts.lasting(AlertKind.SLOW_RECEIVER, session.name, lane))
                is not None
            ],
            "links": sum(link is not None for link in attachment.links),
            "throttled": [
                {"lane": lane.label, "limit": over.limit, "wait_s": over.wait_s}
                for lane in LANES
                if (over := throttled(session, lane, now)) is not None
            ],
            "shaped": [lane.label for lane in LANES if session.receiving[lane].shaped],
            "refused": [each.as_dict(now) for each in refusals.of_sender(session.name)],
            "refuses": [each.as_dict(now) for each in refusals.by_receiver(session.name)],
            "unhandled": unhandled(session),
            "violations": self._core.violations.counts(session.name),
            "violations_lately": self._core.violations.lately(session.name, now),
            "error_budget_used": self._core.violations.used_share(session.name, now),
        }

    def stats(self, now: float) -> Work[Rows]:
        """What every session sends and receives, by lane."""
        return rows(list(self._core.registry.sessions()), self._stats, now)

    def _stats(self, session: Session, now: float) -> dict[str, Any] | None:
        return (
            None
            if session.ended
            else {
                "name": session.name,
                "role": session.role.value,
                "violations": self._core.violations.counts(session.name),
                "refused": [
                    each.as_dict(now) for each in self._core.settling.refusals.of_sender(session.name)
                ],
                "refuses": [
                    each.as_dict(now) for each in self._core.settling.refusals.by_receiver(session.name)
                ],
                "unhandled": unhandled(session),
                "handlers": handler_rows(session.attachment.topics),
                "lanes": statistics(session, now),
            }
        )

    def quality(self, peer: object, now: float) -> dict[str, Any]:
        """One peer's line, with its history.

        Raises:
            Unknown: there is no session of that name.
        """
        return history(session_of(self._core, peer), now)

    def audit(self, now: float) -> dict[str, Any]:
        """The books of both sides, and whether they balance."""
        checked = audit(self._core)
        return {
            "balanced": not checked.problems,
            "at_rest": checked.at_rest,
            "sessions": checked.sessions,
            "problems": checked.problems,
            "books": {
                "events": _by_lane(checked.books.events),
                "parts": _by_lane(checked.books.parts),
                "reported": _by_lane(checked.books.reported),
            },
        }

    def dead(self, now: float) -> list[dict[str, Any]]:
        """Parts that were refused as poison, the latest last; the oldest of them are forgotten."""
        return [
            {
                "age_s": now - part.at,
                "sender": part.sender,
                "receiver": part.receiver,
                "lane": part.lane.label,
                "number": part.number,
                "topic": part.topic,
                "payload_bytes": part.payload_bytes,
                "deliveries": part.deliveries,
            }
            for part in self._core.departures.dead
        ]

    def alerts(self, now: float) -> list[dict[str, Any]]:
        """The latest alerts, those that last at the end; the oldest of them are forgotten."""
        return [{**alert.as_dict(now), "age_s": now - alert.began} for alert in self._core.alerts]


def _open_files(core: BrokerCore) -> dict[str, int | None]:
    found = core.bus.open_files
    return {
        "open_files": found.used if found is not None else None,
        "open_files_limit": found.limit if found is not None else None,
        "strangers": found.strangers if found is not None else None,
    }


def _by_lane(books: list[Book]) -> dict[str, dict[str, int]]:
    return {lane.label: books[lane].as_dict() for lane in LANES}


def _version() -> str:
    try:
        return version("lanebus")
    except PackageNotFoundError:  # run from a source tree that was not installed
        return "unknown"
