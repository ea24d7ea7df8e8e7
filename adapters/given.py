"""What callers give: it is taken by its value, as a plain text or number, or refused in the call that gave it.

Subclasses of `str` and `int`, members of enumerations above all, travel as what they hold. A text that cannot be
written as UTF-8, a number that is none, a function that would not run when it is called: what could only fail later
fails here.
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable, Iterable
from itertools import islice
from math import inf, isfinite
from numbers import Real
from typing import Any, Final

from lanebus.wire.shown import shown

log = logging.getLogger("lanebus.adapters")

LONGEST_S: Final = 1e9
"""Longer waits are as long: some clocks cannot count further."""
_CALL: Final = "__call__"
_PLAIN: Final = (
    "it is called, not awaited: give a plain function, which may start a task for what has to be awaited"
)


def text(value: object, what: str) -> str:
    """A plain text.

    Raises:
        TypeError: it is no text.
        ValueError: it cannot be written as UTF-8.
    """
    if not isinstance(value, str):
        raise TypeError(f"{what} is {shown(value)}: give a text")
    # By its value: str() of an enumeration's member is the member's name.
    plain = str.__str__(value)
    if not plain.isascii():
        try:
            plain.encode()
        except UnicodeEncodeError:
            raise ValueError(f"{what} is {shown(plain)}, which cannot be written as UTF-8") from None
    return plain


def texts(values: object, what: str, most: int, remedy: str = "") -> list[str]:
    """A list of plain texts.

    Args:
        remedy: what to do instead of giving more than `most`.

    Raises:
        TypeError: it is no list of texts.
        ValueError: it is one text, has more than `most`, or one of them cannot be written as UTF-8.
    """
    if isinstance(values, str):
        raise ValueError(f"{what} is {shown(values)}, one text: give a list of texts")
    if not isinstance(values, Iterable):
        raise TypeError(f"{what} is {shown(values)}: give a list of texts")
    # Who gives an iterator need not have thought of its end.
    found = [text(each, what) for each in islice(values, most + 1)]
    if len(found) > most:
        raise ValueError(f"{what} has more than {most} entries{remedy and ': '}{remedy}")
    return found


def number(value: object, what: str, least: float = -inf, most: float = inf) -> float:
    """A plain number.

    Raises:
        TypeError: it is no number.
        ValueError: it is not a number that can be counted with, or out of its bounds.
    """
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(f"{what} is {shown(value)}: give a number")
    try:
        plain = float(value)
    except OverflowError:
        plain = inf
    if not isfinite(plain) or not least <= plain <= most:
        if (least, most) == (-inf, inf):
            raise ValueError(f"{what} is {shown(value)}: give a number")
        raise ValueError(f"{what} is {shown(value)}: give a number from {least:g} to {most:g}")
    return plain


def whole(value: object, what: str, least: int, most: int) -> int:
    """A plain whole number.

    Raises:
        TypeError: it is no number.
        ValueError: it is not whole, or out of its bounds.
    """
    plain = number(value, what, least, most)
    if plain != int(plain):
        raise ValueError(f"{what} is {shown(value)}: give a whole number from {least} to {most}")
    return int(plain)


def seconds(value: object, what: str) -> float:
    """A time to wait, or an instant to wait for; what is over by now is over, and infinity is long.

    Raises:
        TypeError: it is no number.
        ValueError: it is not a number.
    """
    if value == inf:
        return LONGEST_S
    return max(-LONGEST_S, min(LONGEST_S, number(value, what)))


def function(value: Any, what: str) -> None:
    """Check that something can be called, and runs when it is.

    Raises:
        TypeError: it cannot, or a call would only make something that has still to be run.
    """
    if not callable(value):
        raise TypeError(f"{what} is {shown(value)}: give a function")
    for each in (value, getattr(value, "func", None), getattr(type(value), _CALL, None)):
        if (
            inspect.iscoroutinefunction(each)
            or inspect.isasyncgenfunction(each)
            or inspect.isgeneratorfunction(each)
        ):
            raise TypeError(f"{what} is {shown(value)}, which does not run when it is called: {_PLAIN}")


def ran(result: object, what: str) -> bool:
    """Whether a function that returned this has run; what would have had to be awaited is closed, and logged."""
    if not (inspect.isawaitable(result) or inspect.isgenerator(result) or inspect.isasyncgen(result)):
        return True
    close = getattr(result, "close", None) or getattr(result, "cancel", None)
    if close is not None and not inspect.isasyncgen(result):
        close()
    log.error("! %s returned %s, which was not run: %s", what, shown(result), _PLAIN)
    return False


def tell(functions: Iterable[Callable[[Any], Any]], news: object, what: str) -> None:
    """Call every function with some news; what one raises is logged, and costs the others nothing.

    Args:
        what: who is told, for the log.
    """
    for each in functions:
        try:
            result = each(news)
            if result is not None:
                ran(result, what)
        except Exception:
            log.exception("! %s failed on %s", what, shown(news))
