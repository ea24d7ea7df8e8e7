"""Types of fields that several messages have."""

from __future__ import annotations

from typing import Annotated, Final

from msgspec import Meta

from lanebus.wire.batches import Unsigned
from lanebus.wire.outcomes import BOOK_FIGURES, WITHHELD

MAX_TEXT_CHARACTERS: Final = 512
"""Longest text for a person in any message."""

Name = Annotated[str, Meta(min_length=1, max_length=160)]
Text = Annotated[str, Meta(max_length=MAX_TEXT_CHARACTERS)]
BookFigures = Annotated[
    list[Unsigned], Meta(min_length=BOOK_FIGURES, max_length=BOOK_FIGURES + len(WITHHELD))
]
SessionBooks = tuple[Unsigned, Annotated[list[BookFigures], Meta(min_length=3, max_length=3)]]
"""A session's index, and of each lane its book as `Book.as_list` writes it, with what its sender withheld."""
