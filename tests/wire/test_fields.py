"""Types of fields: how long a name and a text may be, and how many figures a book has."""

import msgspec
import pytest

from lanebus.wire.fields import MAX_TEXT_CHARACTERS, BookFigures, Name, SessionBooks, Text
from lanebus.wire.outcomes import BOOK_FIGURES, WITHHELD


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (Name, "n" * 160),
        (Text, ""),
        (Text, "t" * MAX_TEXT_CHARACTERS),
        (BookFigures, [1] * BOOK_FIGURES),
        (BookFigures, [1] * (BOOK_FIGURES + len(WITHHELD))),
        (SessionBooks, (3, [[0] * BOOK_FIGURES] * 3)),
    ],
)
def test_what_fits_is_taken(kind: object, value: object) -> None:
    assert msgspec.convert(value, kind) == value


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (Name, ""),
        (Name, "n" * 161),
        (Text, "t" * (MAX_TEXT_CHARACTERS + 1)),
        (BookFigures, [1] * (BOOK_FIGURES - 1)),
        (BookFigures, [1] * (BOOK_FIGURES + len(WITHHELD) + 1)),
        (BookFigures, [-1] * BOOK_FIGURES),
        (SessionBooks, [3, [[0] * BOOK_FIGURES] * 2]),
    ],
)
def test_what_does_not_fit_is_refused(kind: object, value: object) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(value, kind)
