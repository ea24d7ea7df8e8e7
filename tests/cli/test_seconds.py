"""Spans of time as people write them."""

import click
import pytest

from lanebus.cli.seconds import between, seconds_of


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("30", 30.0),
        ("30s", 30.0),
        ("500ms", 0.5),
        ("2m", 120.0),
        ("1h", 3600.0),
        ("0.5", 0.5),
        ("1.5m", 90.0),
    ],
)
def test_spans(text: str, seconds: float) -> None:
    assert seconds_of(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "s", "-1", "1d", "1 s", "nan", "inf", "1e3", ".5", "1.", "30s\n"])
def test_what_is_no_span(text: str) -> None:
    with pytest.raises(ValueError, match="is no time: write 30, 30s, 500ms, 2m or 1h"):
        seconds_of(text)


def convert(value: str | None) -> float | None:
    context = click.Context(click.Command("x"))
    return between(0.1, 60.0)(context, click.Option(["--for"]), value)


def test_an_option_takes_spans_that_are_not_too_short_or_long() -> None:
    assert convert("1m") == 60.0
    assert convert(None) is None
    for wrong in ("99ms", "61s"):
        with pytest.raises(click.BadParameter, match=f"{wrong} is not between 0.1 s and 60 s"):
            convert(wrong)
    with pytest.raises(click.BadParameter, match="is no time"):
        convert("soon")
