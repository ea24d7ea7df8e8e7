"""What every word of a command line has to be, whichever command it is for, and what a mistyped one may have meant."""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable, Sequence
from typing import Any, Final

import click

MOST_WHOLE: Final = 2**63 - 1
"""The largest whole number that is taken where an option says nothing else."""


def suggestion(word: str, known: Iterable[str]) -> str:
    """``; did you mean 'status'?`` for a word that looks like known ones, at most two, else nothing."""
    close = difflib.get_close_matches(word, list(known), n=2)
    return f"; did you mean {' or '.join(map(repr, close))}?" if close else ""


class FiniteRange(click.FloatRange):
    """A number within bounds. NaN is within any for `click`, since it compares with nothing; here it is in none."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The number.

        Raises:
            click.BadParameter: it is none, or not within the bounds.
        """
        number = super().convert(value, param, ctx)
        if not math.isfinite(number):
            self.fail(f"{value!r} is no finite number", param, ctx)
        return number


class Text(click.types.StringParamType):
    """Any text that can be sent: what is not UTF-8 can be nobody's name, and no broker's."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The text.

        Raises:
            click.BadParameter: it is no UTF-8.
        """
        text = str(value)
        try:
            text.encode()
        except UnicodeEncodeError:
            self.fail(f"{text!a} is not UTF-8", param, ctx)
        return text


class Choice(click.Choice[str]):
    """One of some words; a mistyped one gets a suggestion."""

    def get_invalid_choice_message(self, value: Any, ctx: click.Context | None) -> str:
        """What is said of a word that is none of them."""
        return super().get_invalid_choice_message(value, ctx).rstrip(".") + suggestion(
            str(value), map(str, self.choices)
        )


def guard(command: click.Command) -> click.Command:
    """Hold every option and argument of a command to what each of its kind has to be: finite, bounded, UTF-8.

    It is done here, for all commands at once, so that none can forget it.
    """
    for param in command.params:
        kind = param.type
        if isinstance(kind, FiniteRange | Text | Choice):
            continue
        if isinstance(kind, click.IntRange):
            if kind.max is None:
                param.type = click.IntRange(kind.min, MOST_WHOLE, kind.min_open)
        elif isinstance(kind, click.FloatRange):
            param.type = FiniteRange(kind.min, kind.max, kind.min_open, kind.max_open)
        elif kind is click.INT:
            param.type = click.IntRange(-MOST_WHOLE, MOST_WHOLE)
        elif kind is click.FLOAT:
            param.type = FiniteRange()
        elif kind is click.STRING:
            param.type = Text()
        elif isinstance(kind, click.Choice):
            param.type = Choice(kind.choices)
    return command


def wants_json(arguments: Sequence[str]) -> bool:
    """Whether a command line asks for JSON; also one that is wrong elsewhere."""
    words = list(arguments)
    if "--" in words:
        words = words[: words.index("--")]
    wants = False
    for place, word in enumerate(words):
        following = words[place + 1] if place + 1 < len(words) else ""
        if word in ("-o", "--output"):
            wants = following == "json"
        elif word.startswith("--output="):
            wants = word == "--output=json"
        elif word.startswith("-o") and not word.startswith("--"):
            wants = word.removeprefix("-o") == "json"
    return wants
