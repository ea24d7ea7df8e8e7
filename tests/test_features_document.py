"""The document on features against the code: its tests, commands, settings and attributes exist."""

import re
import shlex
from importlib.util import find_spec
from pathlib import Path

import click
import pytest
from tests.documents import EXPECTED_TO_FAIL, REPOSITORY, Document, existing_tests, named_tests, rows

from lanebus import ClientAdapter, GatewayAdapter, ServerAdapter
from lanebus.cli.main import cli
from lanebus.conf.model import Config

DOCUMENT = Document("features.md")
ROWS = [row for title in DOCUMENT.titles for row in rows(DOCUMENT.section(title))]
QUOTED = re.findall(r"`([^`]+)`", DOCUMENT.text)
COMMAND = re.compile(r"(lanebus|make|python -m|systemctl) ")
COMMANDS = sorted({text for text in QUOTED if COMMAND.match(text)})
SETTINGS = sorted({text for text in QUOTED if text.split(".")[0] in Config.__struct_fields__ and "." in text})
ADAPTERS = {
    "adapter": ClientAdapter,
    "client": ClientAdapter,
    "gateway": GatewayAdapter,
    "server": ServerAdapter,
}
ATTRIBUTES = sorted(set(re.findall(r"`@?((?:adapter|client|gateway|server)\.\w+)", DOCUMENT.text)))


def test_there_are_as_many_rows_as_it_says() -> None:
    said = re.search(r"^(\d+) rows: ", DOCUMENT.text, re.MULTILINE)
    assert said
    assert len(ROWS) == int(said[1])
    assert len({row[0] for row in ROWS}) == len(ROWS)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
def test_a_row_says_what_is_there_how_to_see_it_and_what_holds_it(row: list[str]) -> None:
    asked, there, see, tests = row
    assert asked
    assert there.endswith(".")
    assert any(COMMAND.match(text) for text in re.findall(r"`([^`]+)`", see))
    assert tests == ", ".join(f"`{name}`" for name in named_tests(tests))
    assert len(set(named_tests(tests))) == len(named_tests(tests)) > 0


@pytest.mark.parametrize("name", sorted(set(named_tests(DOCUMENT.text))))
def test_a_test_that_is_named_is_one_and_is_expected_to_pass(name: str) -> None:
    paths = existing_tests().get(name, [])
    assert len(paths) == 1, f"{name} is in {paths}"
    assert paths != [EXPECTED_TO_FAIL]


def check_own(arguments: list[str]) -> None:
    """A command of ours takes these arguments."""
    name, *rest = arguments
    context = click.Context(cli)
    command = cli.get_command(context, name)
    assert command is not None, f"there is no lanebus {name}"
    taken, left, _ = command.make_parser(click.Context(command, info_name=name)).parse_args(rest)
    assert not left
    for parameter in command.params:
        value = taken.get(parameter.name or "")
        # NAME and TRACE stand for something that is not here.
        if isinstance(value, str) and not value.isupper():
            parameter.type.convert(value, parameter, context)


def check_target(arguments: list[str]) -> None:
    """The Makefile has this target, and uses the variables that it is given."""
    target, *variables = arguments
    makefile = (REPOSITORY / "Makefile").read_text(encoding="utf-8")
    assert re.search(rf"^{target}:", makefile, re.MULTILINE), f"there is no make {target}"
    for variable in variables:
        assert f"$({variable.split('=')[0]})" in makefile, variable


def check_module(arguments: list[str]) -> None:
    """A program of this name can be run, and knows its options."""
    module, *rest = arguments
    spec = find_spec(module)
    assert spec is not None, f"there is no {module}"
    assert spec.origin is not None
    source = Path(spec.origin).read_text(encoding="utf-8")
    assert '"__main__"' in source
    for option in rest:
        assert not option.startswith("-") or f'"{option}"' in source, option


def check_unit(arguments: list[str]) -> None:
    """The unit is ours."""
    assert (REPOSITORY / "systemd" / arguments[-1]).is_file()


@pytest.mark.parametrize("text", COMMANDS)
def test_a_command_that_is_named_exists_with_these_options(text: str) -> None:
    program, *arguments = shlex.split(text)
    if program == "python":
        check_module(arguments[1:])
    else:
        {"lanebus": check_own, "make": check_target, "systemctl": check_unit}[program](arguments)


@pytest.mark.parametrize("name", SETTINGS)
def test_a_setting_that_is_named_exists(name: str) -> None:
    value: object = Config()
    for part in name.split("."):
        value = getattr(value, part)


@pytest.mark.parametrize("name", ATTRIBUTES)
def test_an_attribute_that_is_named_exists(name: str) -> None:
    adapter, attribute = name.split(".")
    assert hasattr(ADAPTERS[adapter], attribute)


def test_it_names_some_of_everything() -> None:
    assert len(COMMANDS) > 25
    assert len(SETTINGS) > 8
    assert len(ATTRIBUTES) > 8


def test_the_readme_leads_to_it() -> None:
    assert "docs/features.md" in (REPOSITORY / "README.md").read_text(encoding="utf-8")
