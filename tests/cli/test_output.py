"""Tables and JSON: raw figures for programs, humanised ones on a terminal only, nothing that drives it."""

import io
import json
import re

import pytest
from rich.text import Text

from lanebus.cli.output import Out, add_rows, new_table, styled


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_json_is_one_document_with_raw_figures() -> None:
    stream = io.StringIO()
    out = Out("json", stream)
    assert out.is_json
    out.json({"queued_bytes": 1_468_006, "oldest_age_s": 0.25, "peer": "player:\x1b[2J"})
    assert json.loads(stream.getvalue()) == {
        "queued_bytes": 1_468_006,
        "oldest_age_s": 0.25,
        "peer": "player:\x1b[2J",
    }
    assert "\x1b" not in stream.getvalue()


def test_figures_are_humanised_on_a_terminal_only() -> None:
    plain, human = Out("table", io.StringIO()), Out("table", Terminal())
    assert (plain.human, human.human) == (False, True)
    assert (plain.size(1_468_006), human.size(1_468_006)) == ("1468006", "1.40 MiB")
    assert (plain.size(7, unit=True), human.size(7, unit=True)) == ("7 bytes", "7 B")
    assert (plain.count(1234567), human.count(1234567)) == ("1234567", "1,234,567")
    assert (plain.time(3725.5), human.time(3725.5)) == ("3725.500", "1h 02m")
    assert (plain.time(0.25, unit=True), human.time(0.25, unit=True)) == ("0.250 s", "250 ms")
    assert (plain.share(0.12345), human.share(0.12345)) == ("0.1235", "12.3%")
    assert plain.ms(1.234) == human.ms(1.234) == "1.23"


def test_json_on_a_terminal_stays_raw() -> None:
    assert Out("json", Terminal()).size(1_468_006) == "1468006"


@pytest.mark.parametrize("out", [Out("table", io.StringIO()), Out("table", Terminal())])
def test_what_is_unknown_is_a_dash(out: Out) -> None:
    assert [out.size(None), out.count(None), out.time(None), out.share(None), out.ms(None)] == ["-"] * 5


def test_nouns() -> None:
    out = Out("table", io.StringIO())
    assert out.things(1, "match", "matches") == "1 match"
    assert out.things(2, "match", "matches") == "2 matches"
    assert out.things(0, "peer") == "0 peers"


def written(stream: io.StringIO) -> str:
    table = new_table(["PEER", "EVENTS"], footer=True)
    table.columns[0].footer = "total"
    add_rows(
        table,
        [["player:[red]1[/red]", "7"], ["evil\x1b[31m\u202e", "12"], [styled("bad\n", "red"), Text("3")]],
    )
    Out("table", stream).table(table)
    return stream.getvalue()


def test_a_table_in_a_pipe_is_plain_lines() -> None:
    lines = [line.rstrip() for line in written(io.StringIO()).splitlines()]
    assert lines == [
        "PEER                 EVENTS",
        "player:[red]1[/red]       7",
        r"evil\x1b[31m\u202e       12",
        r"bad\x0a                   3",
        "total                     -",
    ]


def test_a_table_on_a_terminal_holds_no_foreign_sequences(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    text = written(Terminal())
    assert r"evil\x1b[31m\u202e" in text
    assert "\u202e" not in text
    assert "player:[red]1[/red]" in text


def test_a_table_too_wide_for_its_terminal_shortens_texts_and_no_figures(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("NO_COLOR", "1")
    terminal = Terminal()
    table = new_table(["PEER", "LANE", "EVENTS", "BYTES"], text_columns=2)
    add_rows(table, [["player:" + "x" * 60, styled("critical", "red"), "1,234,567", "7,654,321"]])
    Out("table", terminal).table(table)
    *_, row = terminal.getvalue().rstrip().splitlines()
    assert row.split()[1:] == ["critical", "1,234,567", "7,654,321"]
    assert re.fullmatch(r"play\S*…x+", row.split()[0]), "both its ends are there"


def test_lines_are_escaped_and_never_folded() -> None:
    stream = io.StringIO()
    Out("table", stream).line("x" * 300 + "\x07")
    assert stream.getvalue() == "x" * 300 + "\\x07\n"
    terminal = Terminal()
    Out("table", terminal).line("y" * 300)
    assert terminal.getvalue() == "y" * 300 + "\n"


def test_a_line_of_json_leaves_at_once() -> None:
    class Counting(io.StringIO):
        flushed = 0

        def flush(self) -> None:
            self.flushed += 1

    stream = Counting()
    Out("json", stream).json_line({"a": [1, 2]})
    assert stream.getvalue() == '{"a": [1, 2]}\n'
    assert stream.flushed == 1


def test_rates_have_a_place_below_ten() -> None:
    out = Out("table", Terminal())
    assert [out.rate(value) for value in (0.0, 2.04, 9.94, 9.95, 12_345.6)] == [
        "0.0",
        "2.0",
        "9.9",
        "10",
        "12,346",
    ]


def test_a_row_is_cut_on_a_terminal_only() -> None:
    plain, human = io.StringIO(), Terminal()
    for stream in (plain, human):
        Out("table", stream).row(styled("x" * 500, ""))
    assert plain.getvalue() == "x" * 500 + "\n"
    assert human.getvalue().count("x") < 500
    assert human.getvalue().count("\n") == 1


@pytest.mark.parametrize(
    ("width", "kept", "left_out"),
    [
        (100, ["PEER", "QUEUED", "DROPPED", "BYTES", "OLDEST", "EXPIRED"], None),
        (43, ["PEER", "QUEUED", "BYTES", "OLDEST"], "2 columns left out: widen the terminal, or use -o json"),
        (30, ["PEER", "QUEUED", "BYTES"], "3 columns left out: widen the terminal, or use -o json"),
    ],
)
def test_figures_that_do_not_fit_are_left_out_those_that_say_nothing_first(
    width: int, kept: list[str], left_out: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    terminal = Terminal()
    table = new_table(["PEER", "QUEUED", "DROPPED", "BYTES", "OLDEST", "EXPIRED"])
    add_rows(table, [["player:42", "631", "0", "1.80 MiB", "4.8 s", "-"]])
    Out("table", terminal).table(table)
    lines = re.sub(r"\x1b\[[0-9;]*m", "", terminal.getvalue()).splitlines()
    assert lines[1].split() == kept
    below = " ".join(lines[4:])
    assert below == (left_out or "")
