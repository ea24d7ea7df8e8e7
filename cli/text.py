"""Text for people: characters that could drive a terminal escaped, sizes and times in units they read."""

import unicodedata
from typing import Final

_ESCAPED_CATEGORIES: Final = frozenset({"Cc", "Cf", "Cs", "Co", "Zl", "Zp"})
"""Unicode categories that can move a cursor, reverse a line or end it."""


def escape(text: str) -> str:
    r"""`text` with every character that could drive a terminal written as `\x1b` or `\u202e`."""
    if text.isprintable():
        return text
    return "".join(
        character if unicodedata.category(character) not in _ESCAPED_CATEGORIES else _escaped(character)
        for character in text
    )


def _escaped(character: str) -> str:
    number = ord(character)
    if number < 0x100:
        return f"\\x{number:02x}"
    return f"\\u{number:04x}" if number < 0x10000 else f"\\U{number:08x}"


def human_size(size_bytes: float) -> str:
    """Bytes with a binary unit and three figures: `512 B`, `1.43 MiB`."""
    value = float(size_bytes)
    for unit in ("B", "KiB", "MiB", "GiB"):
        # 999.5 would be printed as 1000, which is wider than any other value of its unit.
        if abs(value) < 999.5:
            return f"{value:.0f} B" if unit == "B" else f"{_three_figures(value)} {unit}"
        value /= 1024
    return f"{_three_figures(value)} TiB"


def _three_figures(value: float) -> str:
    places = 2 if abs(value) < 9.995 else 1 if abs(value) < 99.95 else 0
    return f"{value:.{places}f}"


def human_time(seconds: float) -> str:
    """A span of time in its two largest units: `850 ms`, `12.3 s`, `3h 12m`."""
    if seconds < 0.9995:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole >= 86_400:
        return f"{whole // 86_400}d {whole % 86_400 // 3_600:02d}h"
    if whole >= 3_600:
        return f"{whole // 3_600}h {whole % 3_600 // 60:02d}m"
    return f"{whole // 60}m {whole % 60:02d}s"
