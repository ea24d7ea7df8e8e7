"""Handlers: which function gets which topic, with which schema, and what becomes of an event that none wants."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, Final

import msgspec

from lanebus.adapters.event import Event
from lanebus.adapters.given import function as check_function
from lanebus.adapters.given import ran
from lanebus.wire.alerts import ALERT_TOPIC
from lanebus.wire.names import PatternTable
from lanebus.wire.outcomes import Outcome, Reason
from lanebus.wire.shown import shown

log = logging.getLogger("lanebus.adapters")

HandlerFunction = Callable[[Event], Any]
Result = tuple[Outcome, Reason]

_DONE: Final[Result] = (Outcome.DELIVERED, Reason.NONE)
_ERROR: Final[Result] = (Outcome.REFUSED, Reason.HANDLER_ERROR)
_BAD: Final[Result] = (Outcome.REFUSED, Reason.BAD_PAYLOAD)


def decoder_of(schema: Any) -> Callable[[bytes], Any]:
    """What decodes payloads as a type, and checks them.

    Raises:
        TypeError: it is no type that payloads can be decoded as.
    """
    try:
        decode = msgspec.msgpack.Decoder(schema).decode
        other = _unknown_class(msgspec.inspect.type_info(schema), set())
    except Exception as error:  # annotations are looked at, whatever they raise
        raise TypeError(
            f"schema={shown(schema)} is no type to decode payloads as: {str(error)[:200]}"
        ) from error
    if other is not None:
        raise TypeError(
            f"schema={shown(schema)}: payloads cannot be decoded as {other.__name__}: give a msgspec.Struct, a "
            "dataclass, a typed dict or builtins, or none, and make it in the handler of event.payload"
        )
    return decode


def _unknown_class(info: Any, seen: set[int]) -> type | None:
    """The first class within a type that msgspec would only check to be one already; nothing decoded ever is."""
    if id(info) in seen:
        return None
    seen.add(id(info))
    if isinstance(info, msgspec.inspect.CustomType):
        found: type = info.cls
        return found
    if isinstance(info, tuple):
        parts = list(info)
    else:
        parts = [getattr(info, name) for name in getattr(info, "__struct_fields__", ())]
    for part in parts:
        if isinstance(part, tuple | msgspec.inspect.Type | msgspec.inspect.Field):
            inner = _unknown_class(part, seen)
            if inner is not None:
                return inner
    return None


class Handler:
    """A function, and the decoder of the payloads it gets."""

    __slots__ = ("decode", "function", "pattern")

    def __init__(self, pattern: str, function: HandlerFunction, schema: Any) -> None:
        self.pattern = pattern
        self.function = function
        self.decode: Callable[[bytes], Any] | None = None if schema is None else decoder_of(schema)


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
            TypeError: `schema` is nothing that payloads can be decoded as, or the function does not run when it is
                called.
        """
        check_function(function, f"the handler of {pattern}")
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
            except Exception as error:
                # What does not fit is the sender's, whatever the schema's own code raises on it.
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
                answer = handler.function(event)
                if answer is not None and not ran(answer, f"the handler of {handler.pattern}"):
                    self.errors += 1
                    result = _ERROR
            except Exception:
                self.errors += 1
                if self._strict:
                    raise
                log.exception("! the handler of %s failed on %r", handler.pattern, event)
                result = _ERROR
        return result
