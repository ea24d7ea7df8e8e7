"""How an error shows a value that it complains of."""

from __future__ import annotations

from typing import Final

SHOWN_CHARACTERS: Final = 80
"""Of what was given, in an error."""


def shown(value: object) -> str:
    """What was given, in a length that an error can hold; whatever it is."""
    try:
        text = ascii(value)
    except Exception:
        text = f"a {type(value).__name__} that cannot show itself"
    return text if len(text) <= SHOWN_CHARACTERS else text[: SHOWN_CHARACTERS - 1] + "…"
