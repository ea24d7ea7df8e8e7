"""Handlers: which function gets which topic, with which schema, and what becomes of an event that none wants."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, Final

import msgspec

from lanebus.adapters.event import Event
from lanebus.wire.alerts import ALERT_TOPIC
from lanebus.wire.names import PatternTable
from lanebus.wire.outcomes import Outcome, Reason

log = logging.getLogger("lanebus.adapters")

HandlerFunction = Callable[[Event], Any]
Result = tuple[Outcome, Reason]

_DONE: Final[Result] = (Outcome.DELIVERED, Reason.NONE)
_ERROR: Final[Result] = (Outcome.REFUSED, Reason.HANDLER_ERROR)
_BAD: Final[Result] = (Outcome.REFUSED, Reason.BAD_PAYLOAD)


class Handler:
    """A function, and the decoder of the payloads it gets."""

    __slots__ = ("decode", "function", "pattern")

    def __init__(self, pattern: str, function: HandlerFunction, schema: Any) -> None:
        self.pattern = pattern
        self.function = function
        self.decode: Callable[[bytes], Any] | None = (
            None if schema is None else msgspec.msgpack.Decoder(schema).decode
        )


class Handlers:
    """Functions by topic pattern; all that match a topic get its events, in the order they were added.

    Args:
        strict: raise what a handler raises, instead of logging and counting it.
    """

    def __init__(self, *, strict: bool = False) -> None:
        self._table: PatternTable[Handler] = PatternTable()
        self.match: Final = self._table.match
        """The handlers for a topic."""
        self.of_alerts: tuple[Handler, ...] = ()
        """Those of `bus.alert`, which get what the broker tells, and no event of a peer."""
        self._strict = strict
        self.errors = 0
        """Handlers that raised, and payloads that did not fit."""

    def add(self, pattern: str, function: HandlerFunction, schema: Any = None) -> None:
        """File a function under a pattern.

        Raises:
            ValueError: it is not a topic pattern.
            TypeError: `schema` is nothing that payloads can be decoded as.
        """
        handler = Handler(pattern, function, schema)
        if pattern == ALERT_TOPIC:
            self.of_alerts += (handler,)
        else:
            self._table.add(pattern, handler)

    @property
    def patterns(self) -> list[str]:
        """Every pattern of peers' events that has a handler, each once, in the order they were added."""
        return list(dict.fromkeys(self._table.patterns()))

    def run(self, handlers: tuple[Handler, ...], event: Event) -> Result:
        """Run every handler of an event, and say how the event ends: as its worst handler does."""
        result = _DONE
        for handler in handlers:
            try:
                if handler.decode is not None:
                    event.payload = handler.decode(event.raw)
            except (msgspec.MsgspecError, ValueError, RecursionError) as error:
                self.errors += 1
                log.warning(
                    "! payload of %s from %s does not fit the handler of %s: %s",
                    event.topic,
                    event.sender,
                    handler.pattern,
                    error,
                )
                result = _BAD
                continue
            try:
                handler.function(event)
            except Exception:
                self.errors += 1
                if self._strict:
                    raise
                log.exception("! the handler of %s failed on %r", handler.pattern, event)
                result = _ERROR
        return result
