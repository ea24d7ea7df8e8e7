"""Sending and handling for one session: what adapters and gateways' sessions have in common."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from threading import get_ident
from typing import TYPE_CHECKING, Any, Final, TypeVar

import msgspec

from lanebus.adapters.actions import State
from lanebus.adapters.derivable import mypyc_attr
from lanebus.adapters.dispatch import requeue
from lanebus.adapters.errors import Closed, TooLarge
from lanebus.adapters.event import Event, Gap, Receipt, Unsettled
from lanebus.adapters.given import function as check_function
from lanebus.adapters.given import text, texts
from lanebus.adapters.session import SessionCore
from lanebus.adapters.terms import terms_of
from lanebus.wire.alerts import ALERT_TOPIC
from lanebus.wire.batches import MAX_EXCLUDED
from lanebus.wire.errors import ProtocolError
from lanebus.wire.lanes import Lane, lane_of
from lanebus.wire.modes import Mode
from lanebus.wire.names import Destination, DestinationKind, check_pattern, parse_destination, valid_topic
from lanebus.wire.outcomes import Book
from lanebus.wire.shown import shown

if TYPE_CHECKING:
    from lanebus.adapters.base import Adapter

HandlerT = TypeVar("HandlerT", bound=Callable[[Event], Any])
GapT = TypeVar("GapT", bound=Callable[[Gap], Any])
UnsettledT = TypeVar("UnsettledT", bound=Callable[[Unsettled], Any])
Destinations = str | Sequence[str] | None

_encode = msgspec.msgpack.Encoder().encode
# Members of enumerations are looked up by name, each time.
_CLOSED: Final = State.CLOSED
_TOPICS: dict[str, str] = {}
_DESTINATIONS: dict[str, str] = {}
"""Topics and single destinations found valid, at most `_REMEMBERED` each; as plain texts, whatever class of text they
were given as."""
_REMEMBERED: Final = 8192


@mypyc_attr(allow_interpreted_subclasses=True)
class Speaker:
    """One name that sends and handles."""

    def __init__(self, adapter: Adapter, session: SessionCore) -> None:
        self._adapter = adapter
        self._session = session

    @property
    def name(self) -> str:
        """The full name, for example ``player:42``."""
        return self._session.name

    @property
    def in_flight(self) -> int:
        """Events accepted and not settled, all lanes."""
        return self._session.outbox.in_flight

    def book(self, lane: str | Lane) -> Book:
        """A copy of the book of one lane: what `send` accepted, and how it ended."""
        return Book.from_list(self._session.outbox.books[lane_of(lane)].as_list())

    def on(self, pattern: str, schema: Any = None) -> Callable[[HandlerT], HandlerT]:
        """Decorate the handler of the topics that match `pattern`; it gets one `Event`.

        Args:
            pattern: a topic, in which ``*`` stands for one word and a last ``**`` for one or more.
            schema: a type that payloads are decoded as and checked against (msgspec structs, dataclasses, typed
                dicts, builtins); a payload that does not fit ends as ``refused: bad_payload``.

        Raises:
            ValueError: it is not a topic pattern.
            TypeError: what is decorated is no function that runs when it is called, or `schema` is nothing that
                payloads can be decoded as.
        """
        plain = text(pattern, "pattern")
        check_pattern(plain)

        def register(function: HandlerT) -> HandlerT:
            self._adapter.owner.check()
            session = self._session
            session.handlers.add(plain, function, schema)
            waiting = session.unhandled.take(session.handlers.match)
            if waiting:
                requeue(self._adapter.core, waiting)
                self._adapter.touch()
            self._adapter.handlers_changed()
            return function

        return register

    def on_unsettled(self, function: UnsettledT) -> UnsettledT:
        """Decorate a function that is told of every event that ended other than delivered."""
        self._adapter.owner.check()
        check_function(function, "on_unsettled")
        self._session.on_unsettled.append(function)
        return function

    def on_gap(self, function: GapT) -> GapT:
        """Decorate a function that is told that events of a sender were dropped, before any later one is handled.

        It happens to events for groups, lists and `all` when this receiver falls behind by more than its queue in the
        broker holds. The program can ask the sender for its present state.
        """
        self._adapter.owner.check()
        check_function(function, "on_gap")
        self._session.on_gap.append(function)
        return function

    def send(
        self,
        topic: str,
        payload: Any = None,
        *,
        to: Destinations = None,
        lane: str | Lane = Lane.NORMAL,
        exclude: Sequence[str] = (),
        flush: bool = False,
        receipt: bool = False,
        mode: Mode = "reliable",
        key: str | int | None = None,
        ttl_ms: float | None = None,
        present_process: bool = False,
    ) -> int | Receipt:
        """Accept an event for delivery; never blocks. It is settled once its receivers' handlers have run.

        It leaves in the next turn, batched with what else was sent: in `poll` or `wait`, in a `Loop`, at a `flush`. A
        program that does none of these for longer than the lane's hold (12, 45, 190 ms unless the broker says
        otherwise) lets the event wait; the next `send` outside of a handler takes along what has waited for so long.

        Args:
            topic: dotted words, for example ``player.attack``.
            payload: anything that encodes as MessagePack; `Raw` passes encoded bytes through.
            to: ``player:42``, ``server:arena-1``, ``service:combat``, ``group:room:7``, ``all``, or a list of them.
                A client may leave it out: the event goes to the servers that handle its topic.
            lane: ``critical``, ``normal`` or ``low``.
            exclude: full names of peers left out of a group or list.
            flush: let it leave now, with everything queued before it.
            receipt: return a `Receipt` that follows the event.
            mode: ``reliable``; ``latest``: a newer value of the same key, topic and destination takes the place of one
                that still waits, which ends as ``superseded: newer_value``; ``volatile``: sent once, never again, and
                ``dropped`` where there is no room for it, in the outbox too.
            key: what this is the latest value of, for example a unit's id; with ``latest`` alone.
            ttl_ms: milliseconds from now after which no handler gets it: it ends as ``expired: too_late``.
            present_process: whether it is for the process that each receiver has when the broker accepts it, and for no
                later one of its name: that gets nothing of it, and it ends with the reason ``process_ended``.

        Returns:
            The event's number on its lane, or its receipt.

        Raises:
            OutboxFull: no room; nothing was accepted. A volatile event is accepted, and dropped.
            TooLarge: the payload is past the broker's limit.
            Closed: the adapter or session is closed.
            WrongThread: another thread has started the adapter.
            WrongProcess: the adapter was made before this process was forked.
            ValueError: the topic, the lane, a destination or the mode, key or time to live is malformed.
            TypeError: one of them is of another kind, or the payload does not encode.
        """
        adapter = self._adapter
        if get_ident() != adapter.owner.thread:
            adapter.owner.check()
        session = self._session
        core = adapter.core
        if session.closed or core.state is _CLOSED:
            raise core.failure or Closed(f"{session.name} is closed")
        topic = _TOPICS.get(topic) or _remember_topic(topic)
        if not isinstance(lane, Lane):
            lane = lane_of(lane)
        destination: str | list[str] | None
        if to is None:
            adapter.check_undirected()
            destination = None
        elif isinstance(to, str):
            destination = _DESTINATIONS.get(to) or _remember_destination(to)
        else:
            destination = texts(to, "to", core.limits.destinations, "use a group")
            _check_destinations(destination)
        left_out: list[str] = []
        if exclude:
            left_out = texts(exclude, "exclude", MAX_EXCLUDED, "use another group")
            _check_excluded(left_out)
        try:
            encoded = _encode(payload)
        except Exception as error:
            raise TypeError(f"the payload of {topic} does not encode as MessagePack: {error}") from error
        if len(encoded) > core.limits.event_bytes:
            raise TooLarge(topic, len(encoded), core.limits.event_bytes)
        # Whatever asks a value for its truth does so before anything is accepted.
        if flush is not False or receipt is not False:
            flush, receipt = bool(flush), bool(receipt)
        now = time.monotonic()
        terms = (
            None
            if mode == "reliable" and ttl_ms is None and key is None and not present_process
            else terms_of(
                mode,
                key,
                ttl_ms,
                now,
                lane,
                topic,
                destination,
                left_out,
                present_process=present_process,
            )
        )
        event = session.outbox.accept(
            session.index,
            lane,
            topic,
            destination,
            left_out,
            encoded,
            now,
            core.requests.last,
            receipt,
            terms,
        )
        core.outgoing.put(event)
        if flush:
            adapter.flush()
        else:
            adapter.touch()
            if now > adapter.turns.look_at:
                adapter.look(now)
        return event.number if event.receipt is None else event.receipt


def _remember_topic(topic: str) -> str:
    plain = text(topic, "topic")
    if not valid_topic(plain):
        raise ValueError(
            f"{shown(plain)} is no topic: dotted words of letters, digits, '_' and '-', at most 128 bytes"
        )
    if plain == ALERT_TOPIC:
        raise ValueError(
            f"{plain!r} is the bus's own: its handlers get no events of peers; choose another topic"
        )
    if len(_TOPICS) >= _REMEMBERED:
        _TOPICS.clear()
    _TOPICS[topic] = plain
    return plain


def _remember_destination(destination: str) -> str:
    plain = text(destination, "to")
    _check_destination(plain)
    if len(_DESTINATIONS) >= _REMEMBERED:
        _DESTINATIONS.clear()
    _DESTINATIONS[destination] = plain
    return plain


def _check_destination(plain: str) -> Destination:
    try:
        return parse_destination(plain)
    except ProtocolError as error:
        raise ValueError(error.detail) from None


def _check_destinations(destinations: list[str]) -> None:
    if not destinations:
        raise ValueError("an empty list of destinations: the event would be for nobody")
    for each in destinations:
        _check_destination(each)


def _check_excluded(names: list[str]) -> None:
    for each in names:
        if _check_destination(each).kind not in (DestinationKind.PLAYER, DestinationKind.SERVER):
            raise ValueError(f"{each!r} cannot be left out: only a player or a server can")
