"""Spans of time on the command line: `30`, `30s`, `500ms`, `2m`, `1h`."""

import re
from collections.abc import Callable
from typing import Final

import click

_UNITS_S: Final = {"": 1.0, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_SPAN: Final = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|)\Z")


def seconds_of(text: str) -> float:
    """The span of time that `text` names, in seconds.

    Raises:
        ValueError: it is none.
    """
    found = _SPAN.match(text)
    if found is None:
        raise ValueError(f"{text!r} is no time: write 30, 30s, 500ms, 2m or 1h")
    return float(found[1]) * _UNITS_S[found[2]]


def between(
    least_s: float, most_s: float
) -> Callable[[click.Context, click.Parameter, str | None], float | None]:
    """A callback for an option whose value is a span of time: it becomes seconds, if it is not too short or long."""

    def convert(ctx: click.Context, param: click.Parameter, value: str | None) -> float | None:
        if value is None:
            return None
        try:
            seconds = seconds_of(value)
        except ValueError as error:
            raise click.BadParameter(str(error)) from None
        if not least_s <= seconds <= most_s:
            raise click.BadParameter(f"{value} is not between {least_s:g} s and {most_s:g} s")
        return seconds

    return convert
