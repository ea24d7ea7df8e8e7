"""What callers give is taken by its value, or refused in the call that gave it."""

import functools
import logging
from collections.abc import AsyncIterator, Iterator
from enum import Enum, IntEnum, StrEnum
from itertools import repeat
from math import inf, nan
from typing import Any

import pytest

from lanebus.adapters.given import (
    LONGEST_S,
    function,
    number,
    ran,
    seconds,
    tell,
    text,
    texts,
    whole,
)


class Plain(StrEnum):
    A = "a.b"


class Mixed(str, Enum):  # noqa: UP042 - programs have such, and their str() is their name
    A = "a.b"


class Count(IntEnum):
    TWO = 2


class Shy:
    def __repr__(self) -> str:
        raise RuntimeError("not today")


class Sub(str):
    __slots__ = ()

    def __str__(self) -> str:
        return "something else"


@pytest.mark.parametrize("value", [Plain.A, Mixed.A, Sub("a.b"), "a.b"])
def test_a_text_travels_as_what_it_holds(value: str) -> None:
    found = text(value, "topic")
    assert found == "a.b"
    assert type(found) is str


@pytest.mark.parametrize("value", ["\ud800", "a\udfff", Sub("\ud800")])
def test_a_text_that_is_no_unicode_is_refused(value: str) -> None:
    with pytest.raises(ValueError, match=r"key is .* cannot be written as UTF-8"):
        text(value, "key")


@pytest.mark.parametrize("value", [None, 1, b"a", ["a"], object(), Shy()])
def test_what_is_no_text_is_named(value: object) -> None:
    with pytest.raises(TypeError, match=r"name is .*: give a text"):
        text(value, "name")


def test_a_list_of_texts_is_no_single_text() -> None:
    assert texts((Mixed.A, "c"), "tags", 2) == ["a.b", "c"]
    with pytest.raises(ValueError, match="tags is 'ab', one text: give a list of texts"):
        texts("ab", "tags", 2)
    with pytest.raises(TypeError, match="tags is 7: give a list of texts"):
        texts(7, "tags", 2)


@pytest.mark.parametrize("value", [nan, inf, -inf, 10**400])
def test_what_cannot_be_counted_with_is_no_number(value: float) -> None:
    with pytest.raises(ValueError, match="rtt_ms is"):
        number(value, "rtt_ms")


@pytest.mark.parametrize("value", ["1", None, True, 1j, [1]])
def test_what_is_no_number_is_named(value: object) -> None:
    with pytest.raises(TypeError, match=r"rtt_ms is .*: give a number"):
        number(value, "rtt_ms")


def test_numbers_have_bounds_and_whole_ones_are_whole() -> None:
    assert whole(Count.TWO, "weight", 1, 3) == 2
    assert whole(2.0, "weight", 1, 3) == 2
    for value in (0, 4, 1.5):
        with pytest.raises(ValueError, match=f"weight is {value}"):
            whole(value, "weight", 1, 3)


def test_what_is_over_is_over_and_infinity_is_long() -> None:
    assert seconds(-1e300, "until") == -LONGEST_S
    assert seconds(inf, "until") == LONGEST_S
    assert seconds(0.5, "until") == 0.5
    with pytest.raises(ValueError, match="until is nan"):
        seconds(nan, "until")


async def a_coroutine(news: object) -> None:
    """Never runs."""


async def an_async_generator(news: object) -> AsyncIterator[int]:
    yield 1


def a_generator(news: object) -> Iterator[int]:
    yield 1


class AsyncCall:
    async def __call__(self, news: object) -> None:
        """Never runs."""


class Owner:
    async def method(self, news: object) -> None:
        """Never runs."""


@pytest.mark.parametrize(
    "value",
    [
        a_coroutine,
        an_async_generator,
        a_generator,
        AsyncCall(),
        Owner().method,
        functools.partial(a_coroutine),
        functools.partial(functools.partial(Owner().method)),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_function_that_does_not_run_when_it_is_called_is_refused_with_the_remedy(value: object) -> None:
    with pytest.raises(TypeError, match=r"does not run when it is called: .* give a plain function"):
        function(value, "on_gap")


@pytest.mark.parametrize("value", [None, 1, "print"])
def test_what_cannot_be_called_is_refused(value: object) -> None:
    with pytest.raises(TypeError, match=r"on_gap is .*: give a function"):
        function(value, "on_gap")


def test_whatever_runs_when_it_is_called_is_taken() -> None:
    values: list[object] = [print, lambda news: None, str.upper, functools.partial(print), dict]
    for value in values:
        function(value, "on_gap")


@pytest.mark.filterwarnings("error")
def test_what_was_only_made_and_not_run_is_closed_and_logged(caplog: pytest.LogCaptureFixture) -> None:
    made: list[Any] = [a_coroutine(1), a_generator(1), an_async_generator(1)]
    with caplog.at_level(logging.ERROR):
        assert [ran(each, "the handler of t") for each in made] == [False] * 3
    assert caplog.text.count("the handler of t returned") == 3
    assert all(ran(each, "the handler of t") for each in (1, "x", [1]))


def test_one_who_fails_does_not_keep_others_from_hearing(caplog: pytest.LogCaptureFixture) -> None:
    heard: list[object] = []

    def fail(news: object) -> None:
        raise RuntimeError("no")

    tell([fail, a_coroutine, heard.append], "news", "on_gap of server:a")
    assert heard == ["news"]
    assert "on_gap of server:a failed on 'news'" in caplog.text
    assert "on_gap of server:a returned" in caplog.text


def test_a_list_without_end_is_refused() -> None:
    with pytest.raises(ValueError, match="to has more than 5 entries: use a group"):
        texts(repeat("player:1"), "to", 5, "use a group")
