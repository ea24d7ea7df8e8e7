"""Text for people: escapes, sizes, times."""

import pytest

from lanebus.cli.text import escape, human_size, human_time


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("player:42", "player:42"),
        ("größe ✓ 名", "größe ✓ 名"),
        ("\x1b[31mred", r"\x1b[31mred"),
        ("a\nb\tc\rd", r"a\x0ab\x09c\x0dd"),
        ("\x9b2J", r"\x9b2J"),
        ("abc\u202ecba", r"abc\u202ecba"),
        ("a\u2028b", r"a\u2028b"),
        ("\U000f0000", r"\U000f0000"),
        ("\ud800", r"\ud800"),
        ("no-break\xa0space", "no-break\xa0space"),
    ],
)
def test_what_could_drive_a_terminal_is_escaped(text: str, shown: str) -> None:
    assert escape(text) == shown


@pytest.mark.parametrize(
    ("size_bytes", "shown"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "0.98 KiB"),
        (1024, "1.00 KiB"),
        (1536, "1.50 KiB"),
        (50 * 1024, "50.0 KiB"),
        (999 * 1024, "999 KiB"),
        (1_500_000, "1.43 MiB"),
        (3 << 30, "3.00 GiB"),
        (5 << 40, "5.00 TiB"),
    ],
)
def test_sizes_have_three_figures(size_bytes: int, shown: str) -> None:
    assert human_size(size_bytes) == shown


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (0, "0 ms"),
        (0.0123, "12 ms"),
        (0.9994, "999 ms"),
        (0.9996, "1.0 s"),
        (12.34, "12.3 s"),
        (59.94, "59.9 s"),
        (59.96, "1m 00s"),
        (61, "1m 01s"),
        (3599.6, "1h 00m"),
        (11_520, "3h 12m"),
        (90_000, "1d 01h"),
    ],
)
def test_times_have_two_units(seconds: float, shown: str) -> None:
    assert human_time(seconds) == shown
