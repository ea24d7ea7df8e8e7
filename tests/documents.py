"""What tests of documents share: a document with its sections and tables, and the tests that there are."""

import ast
import re
from collections import defaultdict
from collections.abc import Mapping
from functools import cache
from pathlib import Path

TESTS = Path(__file__).parent
REPOSITORY = TESTS.parent

EXPECTED_TO_FAIL = TESTS / "link" / "test_limits.py"
"""The tests of what does not hold yet."""


class Document:
    """A document of the project, by its name in `docs`."""

    def __init__(self, name: str) -> None:
        self.text = (REPOSITORY / "docs" / name).read_text(encoding="utf-8")

    @property
    def titles(self) -> list[str]:
        """The headings of the second level."""
        return re.findall(r"^## (.+)$", self.text, re.MULTILINE)

    def section(self, title: str) -> str:
        """The text below a heading of the second level."""
        return self.text.split(f"## {title}\n")[1].split("\n## ")[0]


def rows(text: str) -> list[list[str]]:
    """The cells of every row of the tables in a text, headings left out."""
    found = []
    for table in re.findall(r"(?:^\|.*\n)+", text + "\n", re.MULTILINE):
        found += [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()[2:]]
    return found


def named_tests(text: str) -> list[str]:
    """The tests that a text names."""
    return re.findall(r"`(test_\w+)`", text)


@cache
def existing_tests() -> Mapping[str, list[Path]]:
    """Every test of the suite, and the files that have one of that name."""
    found: dict[str, list[Path]] = defaultdict(list)
    for path in sorted(TESTS.rglob("test_*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                found[node.name].append(path)
    return dict(found)
