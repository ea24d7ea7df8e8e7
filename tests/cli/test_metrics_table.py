"""The table of metrics: names that keep the rules of Prometheus, and the document that repeats it."""

import re
from pathlib import Path

import pytest

from lanebus.cli.metrics_table import FAMILIES, Family

DOCUMENT = Path(__file__).parents[2] / "docs" / "metrics.md"
ROW = re.compile(r"^\| `(lanebus_\w+)` \| (\w+) \| (.*?) \| (.*?) \|$", re.MULTILINE)
UNITS = ("_seconds", "_bytes")


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_names_keep_the_rules(family: Family) -> None:
    assert re.fullmatch(r"lanebus_[a-z][a-z_]*[a-z]", family.name)
    assert family.name.endswith("_total") == (family.kind == "counter")
    assert family.kind != "histogram" or family.name.endswith(UNITS)
    assert not re.search(r"_(ms|us|milliseconds|count|sum|bucket|kib|percent)(_|$)", family.name)
    assert not {"peer", "player", "name", "session", "group", "topic"} & set(family.labels) or (
        family.name == "lanebus_build_info"
    )
    assert family.help.endswith(".")
    assert "\n" not in family.help
    assert "|" not in family.help


def test_no_name_is_used_twice() -> None:
    assert len({family.name for family in FAMILIES}) == len(FAMILIES)


def test_the_document_lists_them_all() -> None:
    told = [
        (name, kind, tuple(re.findall(r"`(\w+)`", labels)), help_text)
        for name, kind, labels, help_text in ROW.findall(DOCUMENT.read_text(encoding="utf-8"))
        if name != "lanebus_up"
    ]
    assert told == [family[:4] for family in FAMILIES]
