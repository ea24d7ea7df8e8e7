"""The document on reliability against the code: its tests exist, its faults and breaches are the laboratory's."""

import ast
import re
from collections import Counter
from functools import cache
from pathlib import Path

import pytest

from lanebus.cli.torture_check import Findings
from lanebus.cli.torture_plan import FAULT_KINDS, make_plan
from lanebus.cli.torture_report import build
from lanebus.cli.torture_run import Outcome

TESTS = Path(__file__).parent
DOCUMENT = (TESTS.parent / "docs" / "reliability.md").read_text(encoding="utf-8")
NAMED = re.findall(r"`(test_\w+)`", DOCUMENT)


@cache
def existing() -> dict[str, Path]:
    """Every test of the suite, and its file."""
    return {
        node.name: path
        for path in TESTS.rglob("test_*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    }


def section(title: str) -> str:
    """The text below a heading of the second level."""
    return DOCUMENT.split(f"## {title}\n")[1].split("\n## ")[0]


def rows(text: str) -> list[list[str]]:
    """The cells of every row of the tables in a text, headings left out."""
    found = []
    for table in re.findall(r"(?:^\|.*\n)+", text + "\n", re.MULTILINE):
        found += [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()[2:]]
    return found


@pytest.mark.parametrize("name", sorted(set(NAMED)))
def test_every_test_that_is_named_exists(name: str) -> None:
    assert name in existing()


@pytest.mark.parametrize(
    "title",
    [
        "Survived, with nothing lost and the books balanced",
        "Not survived, and said",
        "Not survived yet",
        "Traces that break a careless bus",
    ],
)
def test_every_line_of_what_is_survived_names_a_test(title: str) -> None:
    found = rows(section(title))
    assert len(found) > 3
    for row in found:
        assert re.search(r"`test_\w+`", row[-1]), row[0]


def test_every_rule_of_the_ledger_names_a_test() -> None:
    rules = re.split(r"^\d+\. ", section("The rules of the ledger"), flags=re.MULTILINE)[1:]
    assert len(rules) > 5
    for rule in rules:
        assert re.search(r"`test_\w+`", rule), rule


def test_what_does_not_hold_yet_is_what_is_expected_to_fail() -> None:
    said = {
        name for row in rows(section("Not survived yet")) for name in re.findall(r"`(test_\w+)`", row[-1])
    }
    marked = {name for name, path in existing().items() if path == TESTS / "link" / "test_limits.py"}
    assert said == marked


def test_the_faults_are_those_of_the_laboratory() -> None:
    torture = section("Torture")
    table = torture.split("| fault | what is done |")[1].split("\n\n")[0]
    said = [
        name for line in table.splitlines()[2:] for name in re.findall(r"`([a-z_]+)`", line.split("|")[1])
    ]
    assert Counter(said) == Counter(FAULT_KINDS)


def test_the_breaches_are_those_of_the_report() -> None:
    table = section("Torture").split("| breach | meaning |")[1].split("\n\n")[0]
    names = re.findall(r"^\| `([a-z_]+)` \|", table, re.MULTILINE)
    found = Findings(unexpanded=1, crashed=["player:1 life 1"])
    for counted in ("duplicated", "misordered", "unexpected", "corrupted", "unsettled", "misbooked"):
        setattr(found, counted, 1)
    found.lost["middle"] = 1
    report = build(make_plan(1, 10.0, [], 2), Outcome(), found, strict=True)
    assert names == report["breaches"]
