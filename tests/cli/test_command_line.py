"""What every word of a command line has to be: the rules hold for each option and argument of each command."""

import json
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from tests.cli.commands import NOBODY

from lanebus.cli.command_line import suggestion, wants_json
from lanebus.cli.exits import Exit
from lanebus.cli.main import COMMANDS, cli, run
from lanebus.cli.text import escape
from lanebus.conf.policy import Policy

NOT_UTF8 = b"player:\xff".decode("utf-8", "surrogateescape")
NUMBERS = [
    "nan",
    "NaN",
    "-nan",
    "inf",
    "-inf",
    "Infinity",
    "1e999",
    "-1e999",
    "9" * 400,
    "9" * 5000,
    "0x10",
    "",
]
"""What is no number that anything may be."""


def params() -> Iterator[tuple[str, click.Command, click.Parameter]]:
    for name in COMMANDS:
        command = cli.get_command(click.Context(cli), name)
        assert command is not None
        for param in command.params:
            yield name, command, param


def takes_numbers(param: click.Parameter) -> bool:
    return isinstance(param.type, click.types._NumberParamTypeBase) or param.metavar in (
        "SECONDS",
        "TIME",
        "NUMBER",
        "N",
        "N|max",
    )


NUMERIC = [(name, param) for name, _, param in params() if takes_numbers(param)]
TEXTS = [
    (name, param)
    for name, _, param in params()
    if not isinstance(param.type, click.Path | click.types.BoolParamType) and not takes_numbers(param)
]


def words(name: str, param: click.Parameter, value: str) -> list[str]:
    """A command line that is right but for one value."""
    command = cli.get_command(click.Context(cli), name)
    assert command is not None
    needed = [
        "some.jsonl.gz" if isinstance(each.type, click.Path) else "player:x"
        for each in command.params
        if isinstance(each, click.Argument) and each.required and each is not param
    ]
    server = ["--server", NOBODY] if any(each.name == "server" for each in command.params) else []
    if isinstance(param, click.Argument):
        return [name, *server, "--", value]
    return [name, *(server if param.name != "server" else []), f"{max(param.opts, key=len)}={value}", *needed]


def identity(case: object) -> str:
    return case if isinstance(case, str) else str(getattr(case, "name", case))


def test_there_are_numbers_and_texts_to_try() -> None:
    assert len(NUMERIC) > 30
    assert len(TEXTS) > 40


@pytest.mark.parametrize(("name", "param"), NUMERIC, ids=identity)
def test_what_is_no_number_is_told_as_usage_by_every_option_that_takes_one(
    name: str, param: click.Parameter, capsys: pytest.CaptureFixture[str]
) -> None:
    for value in NUMBERS:
        assert run(words(name, param, value)) == Exit.USAGE, value
        captured = capsys.readouterr()
        assert captured.out == ""
        assert f"lanebus {name}" in captured.err
        assert max(param.opts, key=len) in captured.err, "it says which option"


@pytest.mark.parametrize(("name", "param"), TEXTS, ids=identity)
def test_what_is_not_utf8_is_told_as_usage_by_everything_that_takes_a_text(
    name: str, param: click.Parameter, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(words(name, param, NOT_UTF8)) == Exit.USAGE
    assert "udcff" in capsys.readouterr().err


@pytest.mark.parametrize("setting", Policy.__struct_fields__)
@pytest.mark.parametrize("value", ["nan", "inf", "-1", "1e999", "9" * 400, "1e308", "", "x"])
def test_a_limit_that_no_policy_may_have_is_told_as_usage(
    setting: str, value: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["limits", "bot", "--set", f"{setting}={value}", "--server", NOBODY]) == Exit.USAGE
    assert setting in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "meant"),
    [
        (["stauts"], "status"),
        (["queue"], "queues"),
        (["status", "--sever", "x"], "--server"),
        (["status", "-o", "jsn"], "json"),
        (["log", "wraning"], "warning"),
        (["limits", "bot", "--set", "event_per_s=3"], "events_per_s"),
        (["torture", "--faults", "kil_broker"], "kill_broker"),
    ],
)
def test_a_mistyped_word_gets_a_suggestion(
    arguments: list[str], meant: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(arguments) == Exit.USAGE
    asked = capsys.readouterr().err.rpartition("id you mean ")[2]
    assert f"'{meant}'" in asked


def test_a_word_that_looks_like_none_gets_no_suggestion() -> None:
    assert suggestion("xyzzy", COMMANDS) == ""


@pytest.mark.parametrize(
    ("arguments", "wanted"),
    [
        ("status", False),
        ("status -o json", True),
        ("status -ojson", True),
        ("status --output json", True),
        ("status --output=json", True),
        ("status -o table", False),
        ("status -o json -o table", False),
        ("why -- -o json", False),
        ("status -o", False),
    ],
)
def test_json_is_asked_for_in_every_way_of_writing_it(arguments: str, wanted: bool) -> None:
    assert wants_json(arguments.split()) is wanted


@pytest.mark.parametrize("name", list(COMMANDS))
def test_failures_of_every_command_are_json_where_json_was_asked_for(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run([name, "-o", "json", "--no-such-option"]) == Exit.USAGE
    captured = capsys.readouterr()
    assert captured.out == ""
    error = json.loads(captured.err)["error"]
    assert (error["code"], error["name"]) == (Exit.USAGE, "usage")
    assert "--no-such-option" in error["message"] or "-o" in error["message"]


ASKING = [
    name
    for name, _, param in params()
    if param.name == "server" and name not in ("metrics",)  # it has one format of its own
]


@pytest.mark.parametrize("name", ASKING)
def test_the_lack_of_a_broker_is_json_where_json_was_asked_for(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    needed = ["player:x"] if name in ("why", "quality", "trace") else []
    assert run([name, *needed, "-o", "json", "--server", NOBODY]) == Exit.UNAVAILABLE
    captured = capsys.readouterr()
    lines = captured.err.splitlines()
    error = json.loads(lines[-1])["error"]
    assert (error["code"], error["name"]) == (Exit.UNAVAILABLE, "unavailable")
    assert NOBODY in error["message"]
    assert captured.out == ""
    assert len(lines) == 1


@pytest.mark.parametrize(
    "command", [["replay"], ["torture", "--duration", "3", "--trace"]], ids=lambda each: each[0]
)
def test_a_file_that_is_none_is_told_with_its_name(
    command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    no_gzip = tmp_path / "plain.txt"
    no_gzip.write_text("{}\n")
    not_utf8 = tmp_path / b"caf\xe9.gz".decode("utf-8", "surrogateescape")
    for path, code in (
        (tmp_path, Exit.NO_INPUT),
        (tmp_path / "nowhere" / "x.gz", Exit.NO_INPUT),
        (no_gzip / "x.gz", Exit.NO_INPUT),
        (tmp_path / ("n" * 300), Exit.BAD_DATA),
        (not_utf8, Exit.BAD_DATA),
        (no_gzip, Exit.BAD_DATA),
    ):
        assert run([*command, str(path)]) == code
        assert escape(str(path)) in capsys.readouterr().err


def test_settings_that_are_no_file_are_a_bad_configuration(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for path in (tmp_path, tmp_path / "nowhere", tmp_path / ("n" * 300), Path("/proc/self/mem")):
        assert run(["broker", "--config", str(path)]) == Exit.CONFIG
        assert str(path) in capsys.readouterr().err


def test_a_folder_that_cannot_be_made_is_told_with_its_name(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "file"
    file.write_text("")
    assert run(["torture", "--duration", "3", "--keep", str(file / "x")]) == Exit.CANNOT_WRITE
    assert str(file) in capsys.readouterr().err
