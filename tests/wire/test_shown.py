"""What an error shows of a value is short, whatever the value is."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lanebus.wire.shown import SHOWN_CHARACTERS, shown


class Rude:
    """Raises where it is looked at."""

    def __repr__(self) -> str:
        raise RuntimeError("no")


@given(st.one_of(st.text(st.characters(codec=None)), st.integers(), st.lists(st.binary()), st.floats()))
def test_what_is_shown_is_short_and_encodes(value: object) -> None:
    assert 0 < len(shown(value)) <= SHOWN_CHARACTERS
    shown(value).encode()


@pytest.mark.parametrize(
    ("value", "text"), [("room", "'room'"), (7, "7"), (None, "None"), ("\udce9", "'\\udce9'")]
)
def test_it_is_shown_as_it_would_be_written(value: object, text: str) -> None:
    assert shown(value) == text


def test_what_cannot_be_shown_is_named_by_its_class() -> None:
    assert shown(Rude()) == "a Rude that cannot show itself"
    assert shown(10**5000) == "a int that cannot show itself"


def test_what_is_long_is_cut() -> None:
    assert len(shown("x" * 1_000_000)) == SHOWN_CHARACTERS
