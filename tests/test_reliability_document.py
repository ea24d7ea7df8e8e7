"""The document on reliability against the code: its tests exist, its faults and breaches are the laboratory's."""

import re
from collections import Counter

import pytest
from tests.documents import EXPECTED_TO_FAIL, Document, existing_tests, named_tests, rows

from lanebus.cli.torture_check import Findings
from lanebus.cli.torture_plan import FAULT_KINDS, make_plan
from lanebus.cli.torture_report import build
from lanebus.cli.torture_run import Outcome

DOCUMENT = Document("reliability.md")


@pytest.mark.parametrize("name", sorted(set(named_tests(DOCUMENT.text))))
def test_every_test_that_is_named_exists(name: str) -> None:
    assert name in existing_tests()


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
    found = rows(DOCUMENT.section(title))
    assert len(found) > 3
    for row in found:
        assert named_tests(row[-1]), row[0]


def test_every_rule_of_the_ledger_names_a_test() -> None:
    rules = re.split(r"^\d+\. ", DOCUMENT.section("The rules of the ledger"), flags=re.MULTILINE)[1:]
    assert len(rules) > 5
    for rule in rules:
        assert named_tests(rule), rule


def test_what_does_not_hold_yet_is_what_is_expected_to_fail() -> None:
    said = {name for row in rows(DOCUMENT.section("Not survived yet")) for name in named_tests(row[-1])}
    marked = {name for name, paths in existing_tests().items() if EXPECTED_TO_FAIL in paths}
    assert said == marked


def test_the_faults_are_those_of_the_laboratory() -> None:
    torture = DOCUMENT.section("Torture")
    table = torture.split("| fault | what is done |")[1].split("\n\n")[0]
    said = [
        name for line in table.splitlines()[2:] for name in re.findall(r"`([a-z_]+)`", line.split("|")[1])
    ]
    assert Counter(said) == Counter(FAULT_KINDS)


def test_the_breaches_are_those_of_the_report() -> None:
    table = DOCUMENT.section("Torture").split("| breach | meaning |")[1].split("\n\n")[0]
    names = re.findall(r"^\| `([a-z_]+)` \|", table, re.MULTILINE)
    found = Findings(unexpanded=1, crashed=["player:1 life 1"])
    for counted in ("duplicated", "misordered", "unexpected", "corrupted", "unsettled", "misbooked"):
        setattr(found, counted, 1)
    found.lost["middle"] = 1
    report = build(make_plan(1, 10.0, [], 2), Outcome(), found, strict=True)
    assert names == report["breaches"]
