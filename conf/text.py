"""The text of a settings file, as editors on all systems write one."""

from __future__ import annotations

import codecs
from pathlib import Path
from typing import Final

MAX_FILE_BYTES: Final = 1 << 20
"""The largest file that is read: no settings are as long, and a device never ends."""

_UTF16: Final = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_UTF32: Final = (codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)
_PADDING: Final = "\0\x1a"
"""What some systems leave at a file's end: zeros, and the mark that ended files of CP/M and DOS."""
_LOOKALIKES: Final = {
    "\u00a0": "a blank",
    "\u2007": "a blank",
    "\u202f": "a blank",
    "\u200b": "nothing",
    "\ufeff": "nothing",
    "\u2018": "'",
    "\u2019": "'",
    "\u201c": '"',
    "\u201d": '"',
    "\u201e": '"',
    "\u2013": "-",
    "\u2212": "-",
    "\uff1d": "=",
}
"""Characters that look like one of TOML's own, and what was meant."""


class TextError(ValueError):
    """A file that holds no text; says what it is, where, and what to do."""


def read_text(path: Path) -> str:
    """The text of a file.

    Raises:
        OSError: it cannot be read.
        TextError: it holds no text, or too much.
    """
    with path.open("rb") as file:
        data = file.read(MAX_FILE_BYTES + 1)
    if len(data) > MAX_FILE_BYTES:
        raise TextError(f"is larger than {MAX_FILE_BYTES} bytes: no settings are; name the right file")
    return decode(data)


def decode(data: bytes) -> str:
    """The text in a file's bytes: UTF-8, or UTF-16 that says so, with the line ends of any system.

    Raises:
        TextError: it holds no text.
    """
    if data.startswith(_UTF32):
        raise TextError("is UTF-32; save it as UTF-8")
    encoding = "utf-16" if data.startswith(_UTF16) else "utf-8-sig"
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        if encoding == "utf-16":
            raise TextError("is UTF-16 that is damaged or cut off; save it as UTF-8") from None
        line = data.count(b"\n", 0, error.start) + 1
        raise TextError(
            f"is not UTF-8 in line {line} (byte 0x{data[error.start]:02x}); save it as UTF-8"
        ) from None
    stripped = text.rstrip(_PADDING)
    if text and not stripped:
        raise TextError("holds zeros alone: it was lost, as after a power failure; put it back")
    if "\0" in stripped:
        line = stripped.count("\n", 0, stripped.index("\0")) + 1
        raise TextError(f"has a zero byte in line {line}: it is UTF-16 or damaged; save it as UTF-8")
    return stripped.replace("\r\n", "\n").replace("\r", "\n")


def lookalike(text: str) -> str:
    """A hint where a text that is no TOML has characters that only look like TOML's: ``; line 2 has ...``."""
    for number, line in enumerate(text.split("\n"), 1):
        for character in line.partition("#")[0]:
            if character in _LOOKALIKES:
                return f"; line {number} has U+{ord(character):04X}, which is to be {_LOOKALIKES[character]}"
    return ""
