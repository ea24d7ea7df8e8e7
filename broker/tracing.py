"""Tracing: every frame of one peer's links, and what becomes of it, while somebody reads it.

`Tracing.tap` is None while no trace is on: that is all that a frame then costs. Lines wait in a ring for whoever asked.
"""

from __future__ import annotations

import logging
from collections import deque
from itertools import count
from typing import Any, Final, NamedTuple

from lanebus.broker.attachment import Attachment, Link
from lanebus.broker.describe import concerns, describe, describe_down, describe_up, only_session
from lanebus.broker.directory import Directory
from lanebus.broker.leases import state_of
from lanebus.broker.links import Links
from lanebus.broker.outgoing import Frame, Outgoing
from lanebus.broker.registry import Registry
from lanebus.broker.sessions import Receiving, Session
from lanebus.broker.timers import Timers
from lanebus.wire.batches import (
    DownBatch,
    DownEvent,
    TargetedBatch,
    UpBatch,
    UpEvent,
    age_s,
    decode_down,
    decode_up,
)
from lanebus.wire.bodies import open_body
from lanebus.wire.errors import ErrorNumber, ProtocolError
from lanebus.wire.header import FLAG_LINKED, FLAG_LZ4, FLAG_REPLAY, Header, decode_header
from lanebus.wire.kinds import Kind
from lanebus.wire.lanes import LANES, Lane
from lanebus.wire.messages import Close, Done, Hello, LaneHello, Open, decode_message
from lanebus.wire.names import Role, valid_peer

log = logging.getLogger("lanebus.broker")

MAX_TRACES: Final = 4
"""Traces at once."""
TRACE_LINES: Final = 4096
"""Lines of one trace that wait for its reader; past it the oldest are lost, and counted."""
ANSWER_LINES: Final = 256
"""Lines in one answer: more would hold up the lanes."""
UNREAD_S: Final = 10.0
"""A trace that nobody has asked for so long is over."""
PAYLOAD_BYTES: Final = 1024
"""Of one payload; of a larger one the beginning is shown."""
PAYLOADS: Final = 8
"""Of one batch; the others are counted."""

_FLAGS: Final = ((FLAG_LZ4, "lz4"), (FLAG_LINKED, "linked"), (FLAG_REPLAY, "replay"))
_LOOK_S: Final = 1.0
_ROUTES: Final = 16
_REQUESTS: Final = 64
_SENDERS: Final = 1024
_MAX_RAW_BYTES: Final = (1 << 32) - 1

Line = dict[str, Any]
"""``at_s`` since the trace began, ``mark`` (``<`` in, ``>`` out, ``=`` state, ``!`` error), ``what`` and ``text``; of
frames ``lane`` and ``bytes``; of batches ``number``, ``events``, ``age_ms`` of the oldest since its `send`, and perhaps
``payloads`` (topic, bytes, beginning)."""

_NOTHING_WAITS: Final = "no part waits"
_LANES_AT_REST: Final = ((_NOTHING_WAITS, 0, 0, 0),) * len(LANES)


class _State(NamedTuple):
    """How the peer is; a line is written where it has changed."""

    links: str
    degree: str
    origin: int
    lanes: tuple[tuple[str, int, int, int], ...]
    """Of each: what parts wait for; how many were dropped, expired and superseded."""


_NOWHERE: Final = _State("", "", 0, _LANES_AT_REST)


class Trace:
    """One peer's lines, as far as its reader has not had them."""

    __slots__ = (
        "asked",
        "began",
        "lines",
        "lost",
        "payloads",
        "peer",
        "requests",
        "routes",
        "senders",
        "state",
    )

    def __init__(self, peer: str, began: float, *, payloads: bool) -> None:
        self.peer = peer
        self.began = began
        self.payloads = payloads
        self.asked = began
        """When its reader last asked."""
        self.lines: deque[Line] = deque()
        self.lost = 0
        """Lines that the reader was too slow for, since it last asked."""
        self.routes: dict[tuple[Lane, bytes], int] = {}
        """Connections that frames of the peer came by, with its session's index: their last words are shown too."""
        self.requests: dict[int, None] = {}
        """A gateway's latest requests about the peer, for their answers."""
        self.senders: dict[int, str] = {}
        """Names of those whose events it gets, by origin."""
        self.state = _NOWHERE

    def note_link(self, link: Link, index: int) -> None:
        """The peer's session has this index behind a link."""
        self.routes[link.lane, link.route] = index
        if len(self.routes) > _ROUTES:
            del self.routes[next(iter(self.routes))]

    def note_sender(self, origin: int, name: str) -> None:
        """Events of this origin are from this sender."""
        if len(self.senders) >= _SENDERS:
            self.senders.clear()
        self.senders[origin] = name

    def add(self, now: float, mark: str, what: str, text: str, **figures: Any) -> None:
        """Write a line."""
        if len(self.lines) >= TRACE_LINES:
            self.lines.popleft()
            self.lost += 1
        self.lines.append(
            {"at_s": round(now - self.began, 6), "mark": mark, "what": what, "text": text, **figures}
        )


class Tracing:
    """All traces that are on."""

    def __init__(
        self,
        links: Links,
        registry: Registry,
        directory: Directory,
        timers: Timers,
        outgoing: Outgoing,
        started: float,
    ) -> None:
        self._links = links
        self._registry = registry
        self._directory = directory
        self._timers = timers
        self._outgoing = outgoing
        self._started = started
        self._numbers = count(1)
        self._traces: dict[int, Trace] = {}
        self.tap: Tracing | None = None
        """This, while a trace is on: who passes frames on shows them to it."""
        self.now = started
        """The time of the turn."""

    # The reader's calls

    def begin(self, peer: object, now: float, *, payloads: bool = False) -> int:
        """Trace a peer, which need not be there yet; the number to ask for its lines with.

        Raises:
            ValueError: nobody can have that name, or there are as many traces as there may be.
        """
        if not isinstance(peer, str) or not any(valid_peer(peer, role) for role in Role):
            raise ValueError(f"{peer!r} can be nobody's name: give one such as player:42")
        if len(self._traces) >= MAX_TRACES:
            on = ", ".join(trace.peer for trace in self._traces.values())
            raise ValueError(f"{MAX_TRACES} traces are on, the limit ({on}): end one of them first")
        number = next(self._numbers)
        trace = self._traces[number] = Trace(peer, now, payloads=payloads)
        if self.tap is None:
            self.tap = self
            self._outgoing.bodies = {}
            self._timers.at(now + _LOOK_S, self._end_unread)
        self.now = now
        session = self._directory.peers.get(peer)
        attachment = session.attachment if session is not None else self._registry.attachments.get(peer)
        if attachment is not None:
            for link in attachment.live_links():
                trace.note_link(link, 0 if session is None else session.index)
        trace.state = self._state(peer)
        trace.add(now, "=", "trace", self._introduction(trace))
        log.info("= trace of %s%s begins", peer, " with payloads" if payloads else "")
        return number

    def read(self, number: object, now: float) -> dict[str, Any]:
        """The next lines of a trace, how many were lost before them, and how many are left for the next answer.

        Raises:
            ValueError: it is over.
        """
        trace = self._traces.get(number) if isinstance(number, int) else None
        if trace is None:
            raise ValueError(f"no trace {number!r} is on: one that is not read for {UNREAD_S:.0f} s is over")
        trace.asked = now
        lost, trace.lost = trace.lost, 0
        lines = [trace.lines.popleft() for _ in range(min(ANSWER_LINES, len(trace.lines)))]
        return {"lost": lost, "lines": lines, "left": len(trace.lines)}

    def end(self, number: object) -> bool:
        """End a trace; whether it was on."""
        trace = self._traces.pop(number, None) if isinstance(number, int) else None
        if not self._traces:
            self.tap = self._outgoing.bodies = None
        if trace is not None:
            log.info("= trace of %s ends", trace.peer)
        return trace is not None

    def _end_unread(self, now: float) -> None:
        for number, trace in list(self._traces.items()):
            if now - trace.asked > UNREAD_S:
                self.end(number)
        if self._traces:
            self._timers.at(now + _LOOK_S, self._end_unread)

    # What the core shows

    def received(self, link: Link, header: Header, frame: bytes, now: float) -> None:
        """A frame has come by a link, and nothing was done about it yet."""
        self.now = now
        attachment, hello = link.attachment, ""
        content: Any = None
        if attachment is None:
            content = _content(header, frame)
            if isinstance(content, Hello):
                hello = content.name
            elif isinstance(content, LaneHello):
                attachment = self._registry.by_token(content.token)
        if header.kind is Kind.OPEN:
            content = _content(header, frame)
        for trace in self._traces.values():
            index = 0 if hello == trace.peer else self._index(trace, attachment)
            if isinstance(content, Open) and content.name == trace.peer:
                index = content.index
            if index is None:
                continue
            trace.note_link(link, index)
            if content is None:
                content = _content_up(link, header, frame)
            self._show(trace, "<", index, header, content, len(frame))

    def sent(self, frames: list[Frame]) -> None:
        """These frames leave at the end of a turn, whose time `now` is."""
        bodies = self._outgoing.bodies or {}
        for lane, route, frame in frames:
            link = self._links.get(lane, route)
            header: Header | None = None
            content: Any = None
            for trace in self._traces.values():
                # A link that has ended is not known any more; its last words are on their way.
                index = (
                    trace.routes.get((lane, route)) if link is None else self._index(trace, link.attachment)
                )
                if index is None:
                    continue
                if header is None:
                    header = decode_header(frame, max_raw_bytes=_MAX_RAW_BYTES)
                    content = _content(header, frame, bodies.get((lane, route, frame)), down=True)
                self._show(trace, ">", index, header, content, len(frame))
        bodies.clear()
        for trace in self._traces.values():
            self._look(trace)

    def session(self, session: Session, reason: str | None, now: float) -> None:
        """A session has begun (None), or ended for a reason."""
        for trace in self._traces.values():
            if trace.peer == session.name:
                via = f" via {session.attachment.name}" if session.attachment.targeted else ""
                text = f"session begins{via}" if reason is None else f"session is over: {reason}"
                trace.add(now, "=", "session", text)

    # Lines

    def _index(self, trace: Trace, attachment: Attachment | None) -> int | None:
        """The peer's session there: 0 where all of the attachment is the peer's, None where nothing is."""
        if attachment is None:
            return None
        if attachment.name == trace.peer:
            return 0
        if not attachment.targeted:
            return None
        session = self._directory.peers.get(trace.peer)
        return session.index if session is not None and session.attachment is attachment else None

    def _show(
        self, trace: Trace, mark: str, index: int, header: Header, content: Any, frame_bytes: int
    ) -> None:
        what, lane = header.kind.label, header.lane.label
        if isinstance(content, ProtocolError):
            trace.add(self.now, "!", what, f"malformed: {content}", lane=lane, bytes=frame_bytes)
        elif header.kind is Kind.BATCH:
            self._show_batch(trace, mark, index, header, content, frame_bytes)
        elif index == 0 or self._is_about(trace, index, content):
            if index:
                content = only_session(content, index)
            trace.add(self.now, mark, what, describe(content), lane=lane, bytes=frame_bytes)

    def _is_about(self, trace: Trace, index: int, content: Any) -> bool:
        """Whether a gateway's message is about the peer; a request is remembered for its answer."""
        if isinstance(content, Done):
            return content.request in trace.requests
        about = concerns(content, index, trace.peer)
        if about and isinstance(content, Open | Close):
            trace.requests[content.request] = None
            if len(trace.requests) > _REQUESTS:
                del trace.requests[next(iter(trace.requests))]
        return about

    def _show_batch(
        self,
        trace: Trace,
        mark: str,
        index: int,
        header: Header,
        batch: UpBatch | DownBatch | TargetedBatch,
        frame_bytes: int,
    ) -> None:
        events: list[UpEvent] | list[DownEvent]
        if isinstance(batch, UpBatch):
            events = [event for event in batch.events if not index or event.session == index]
            text = describe_up(events)
        else:
            for source in batch.sources:
                if source.name:
                    trace.note_sender(source.origin, source.name)
            if isinstance(batch, TargetedBatch):
                events = [event for targets, event in batch.events if not index or index in targets]
            else:
                events = batch.events
            text = describe_down((event.topic, self._sender(trace, event.origin)) for event in events)
        if not events:
            return
        clock_s = self.now - self._started
        figures: Line = {
            "lane": header.lane.label,
            # Frames of a gateway are shared: of the peer's are its events alone.
            "bytes": sum(len(event.topic) + len(event.payload) for event in events) if index else frame_bytes,
            "number": header.number,
            "events": len(events),
            "age_ms": round(max(0.0, *(age_s(event.stamp, clock_s) for event in events)) * 1e3, 3),
        }
        if trace.payloads:
            figures["payloads"] = [
                [event.topic, len(event.payload), event.payload[:PAYLOAD_BYTES]]
                for event in events[:PAYLOADS]
            ]
        told = [name for flag, name in _FLAGS if header.flags & flag]
        if told:
            text += f" ({', '.join(told)})"
        trace.add(self.now, mark, header.kind.label, text, **figures)

    def _sender(self, trace: Trace, origin: int) -> str:
        """The name of a sender; the link may have been told it before the trace began."""
        name = trace.senders.get(origin)
        if name is None:
            known = self._registry.ended.get(origin) or next(
                (session for session in self._registry.sessions() if session.origin == origin), None
            )
            name = "somebody" if known is None else known.name
            trace.note_sender(origin, name)
        return name

    def _look(self, trace: Trace) -> None:
        """Write what has changed of the peer since the last turn."""
        before, after = trace.state, self._state(trace.peer)
        if before == after:
            return
        trace.state = after
        if after.links != before.links:
            trace.add(self.now, "=", "state", after.links or "gone")
        if after.degree and after.degree != before.degree:
            trace.add(self.now, "=", "quality", self._quality(trace.peer))
        lanes = before.lanes if before.origin == after.origin else _LANES_AT_REST
        for lane, was, now in zip(LANES, lanes, after.lanes, strict=True):
            if now[0] != was[0]:
                trace.add(self.now, "=", "queue", now[0], lane=lane.label)
            ends = zip(("dropped", "expired", "superseded"), was[1:], now[1:], strict=True)
            text = ", ".join(f"{new - old} {end}" for end, old, new in ends if new > old)
            if text:
                trace.add(self.now, "=", "queue", f"parts ended: {text}", lane=lane.label)

    def _state(self, peer: str) -> _State:
        session = self._directory.peers.get(peer)
        if session is None:
            attachment = self._registry.attachments.get(peer)
            return _NOWHERE if attachment is None else _NOWHERE._replace(links=state_of(attachment))
        lanes = tuple(
            (_waits(receiving), receiving.dropped, receiving.expired, receiving.superseded)
            for receiving in session.receiving
        )
        return _State(
            state_of(session.attachment), session.quality.judgement.degree.value, session.origin, lanes
        )

    def _quality(self, peer: str) -> str:
        judgement = self._directory.peers[peer].quality.judgement
        return f"{judgement.degree.value}: {judgement.reason}"

    def _introduction(self, trace: Trace) -> str:
        state = trace.state
        if not state.links:
            return f"{trace.peer} is not attached: waiting for it"
        quality = f", quality {self._quality(trace.peer)}" if state.degree else ""
        session = self._directory.peers.get(trace.peer)
        via = f" via {session.attachment.name}" if session is not None and session.attachment.targeted else ""
        return f"{trace.peer} is {state.links}{via}{quality}"


def _waits(receiving: Receiving) -> str:
    if not receiving.gated:
        return _NOTHING_WAITS
    return "parts wait for its allowance" if receiving.shaped else "parts wait for its credit"


def _content_up(link: Link, header: Header, frame: bytes) -> Any:
    """What a frame says that has come by a link, or the error that it is."""
    raw: bytes | None = None
    # Another than the next one will not be taken, and what it refers to is not here.
    is_next = header.number == link.received + len(link.parked) + 1
    if link.heard is not None and header.flags & FLAG_LINKED and is_next:
        try:
            raw = link.heard.look(frame, header)
        except ProtocolError as error:
            return error
    return _content(header, frame, raw)


def _content(header: Header, frame: bytes, raw: bytes | None = None, *, down: bool = False) -> Any:
    """What a frame says, or the error that it is.

    Args:
        raw: its body before compression, where somebody has it.
    """
    try:
        if raw is None:
            if header.flags & FLAG_LINKED:
                raise ProtocolError(ErrorNumber.BAD_COMPRESSION, "refers to batches that are not known here")
            raw = open_body(frame, header)
        if header.kind is not Kind.BATCH:
            return decode_message(header.kind, header.lane, raw)
        return decode_down(header, raw) if down else decode_up(header, raw)
    except ProtocolError as error:
        return error
