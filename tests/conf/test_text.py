"""Settings files as editors on all systems write them: read, or refused with the line and the remedy."""

import codecs
from pathlib import Path

import pytest

from lanebus.conf.load import ConfigError, load
from lanebus.conf.model import Config
from lanebus.conf.text import MAX_FILE_BYTES, TextError, decode, lookalike

TEXT = '[broker]\nname = "caf\u00e9"\n\n[limits]\n\tdestinations\t=\t3\n'

READABLE = {
    "plain": TEXT.encode(),
    "utf-8 with its mark": codecs.BOM_UTF8 + TEXT.encode(),
    "lines of Windows": TEXT.replace("\n", "\r\n").encode(),
    "lines of an old Mac": TEXT.replace("\n", "\r").encode(),
    "utf-16 of a redirection on Windows": codecs.BOM_UTF16_LE
    + TEXT.replace("\n", "\r\n").encode("utf-16-le"),
    "utf-16 the other way": codecs.BOM_UTF16_BE + TEXT.encode("utf-16-be"),
    "zeros at its end": TEXT.encode() + b"\0" * 512,
    "the end of file of DOS": TEXT.replace("\n", "\r\n").encode() + b"\x1a",
    "no end of line at its end": TEXT.rstrip().encode(),
}

UNREADABLE = {
    "latin-1": (TEXT.encode("latin-1"), r"is not UTF-8 in line 2 \(byte 0xe9\); save it as UTF-8"),
    "windows-1252": (
        '# one\n# two \u2013\nx = "\u20ac"'.encode("cp1252"),
        r"in line 2 \(byte 0x96\); save it as UTF-8",
    ),
    "utf-16 without its mark": (TEXT.encode("utf-16-le"), r"zero byte in line 1|is not UTF-8 in line 2"),
    "utf-16 cut off": (
        codecs.BOM_UTF16_LE + TEXT.encode("utf-16-le")[:-1],
        "UTF-16 that is damaged or cut off; save",
    ),
    "utf-32": (codecs.BOM_UTF32_LE + TEXT.encode("utf-32-le"), "is UTF-32; save it as UTF-8"),
    "zeros in the middle": (b"[broker]\n\0\0\0\n", "zero byte in line 2: .*; save it as UTF-8"),
    "zeros alone": (b"\0" * 4096, "zeros alone: it was lost, .*; put it back"),
    "too long": (b"#" * (MAX_FILE_BYTES + 1), "is larger than 1048576 bytes: .*; name the right file"),
}


@pytest.mark.parametrize("data", READABLE.values(), ids=READABLE)
def test_what_editors_write_is_read(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "lanebus.toml"
    path.write_bytes(data)
    config = load(path)
    assert config.broker.name == "caf\u00e9"
    assert config.limits.destinations == 3


@pytest.mark.parametrize(("data", "message"), UNREADABLE.values(), ids=UNREADABLE)
def test_what_is_no_text_is_refused_with_the_remedy(data: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "lanebus.toml"
    path.write_bytes(data)
    with pytest.raises(ConfigError, match=message) as caught:
        load(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


def test_an_empty_file_is_the_defaults_whatever_mark_it_has(tmp_path: Path) -> None:
    path = tmp_path / "lanebus.toml"
    for data in (b"", codecs.BOM_UTF8, codecs.BOM_UTF16_LE, b"\r\n"):
        path.write_bytes(data)
        assert load(path) == Config()


def test_what_never_ends_is_not_read_to_its_end() -> None:
    with pytest.raises(ConfigError, match="is larger than"):
        load(Path("/dev/zero"))


@pytest.mark.parametrize(
    "text", ["[window]\nbatches = " + "9" * 5000, "x = " + "[" * 3000, "x = " + "{a=" * 3000]
)
def test_numbers_and_lists_without_measure_are_no_settings(text: str, tmp_path: Path) -> None:
    path = tmp_path / "lanebus.toml"
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("line", "hint"),
    [
        ("name = \u201cbus\u201d", '; line 2 has U+201C, which is to be "'),
        ("name\u00a0= 'bus'", "; line 2 has U+00A0, which is to be a blank"),
        ("name \uff1d 'bus'", "; line 2 has U+FF1D, which is to be ="),
    ],
)
def test_characters_that_look_like_those_of_toml_are_named(line: str, hint: str, tmp_path: Path) -> None:
    path = tmp_path / "lanebus.toml"
    path.write_text(f"[broker]\n{line}\n", encoding="utf-8")
    with pytest.raises(ConfigError, match="is not TOML") as caught:
        load(path)
    assert str(caught.value).endswith(hint)


def test_a_comment_may_have_any_characters() -> None:
    assert lookalike("# \u201cquoted\u201d\n") == ""


def test_bytes_that_are_no_text_raise_one_error() -> None:
    with pytest.raises(TextError):
        decode(b"\xff")
