"""The document: blocks of figures in prose, and the figures on disk."""

from pathlib import Path

import pytest
from benchmarks.lab import report, results
from benchmarks.lab.machine import COMPILED, PURE
from benchmarks.lab.statistics import spread
from benchmarks.lab.tables import TABLES, markdown
from benchmarks.lab.tables import spread as shown
from benchmarks.measures.all import MEASURES

TEXT = "before\n<!-- figures: a -->\nold\n<!-- end -->\nbetween\n<!-- figures: b -->\n<!-- end -->\nafter\n"


def test_blocks_are_replaced_and_prose_stays() -> None:
    found = report.replace_blocks(TEXT, {"a": r"new \1 table"})
    assert found == TEXT.replace("old", r"new \1 table")
    # Once more, with as much to replace as the first time.
    assert report.replace_blocks(found, {"a": "old"}) == TEXT


def test_figures_without_a_place_are_an_error() -> None:
    with pytest.raises(ValueError, match="no place for the figures of c"):
        report.replace_blocks(TEXT, {"c": "x"})


def test_the_document_has_a_place_for_every_measure() -> None:
    text = report.DOCUMENT.read_text(encoding="utf-8")
    assert set(TABLES) == set(MEASURES)
    for name in (*TABLES, "goals", "machine"):
        assert text.count(f"<!-- figures: {name} -->\n") == 1, name


def test_the_document_shows_the_figures_on_disk() -> None:
    text = report.DOCUMENT.read_text(encoding="utf-8")
    for name, block in report.blocks_of(report.read_all()).items():
        assert block in text, f"run  python -m benchmarks --report  ({name})"


def test_figures_survive_the_disk_with_five_digits(tmp_path: Path) -> None:
    figures = {"per_s": spread([123456.789, 2.0]), "exact": True, "rows": [1, (2.00000049,)]}
    results.save("some", figures, {"rounds": 2}, tmp_path)
    found = results.read("some", tmp_path)
    assert found is not None
    assert found["context"]["rounds"] == 2
    assert found["figures"]["per_s"]["max"] == 123460.0
    assert found["figures"]["exact"] is True
    assert found["figures"]["rows"] == [1, [2.0]]
    assert results.read("other", tmp_path) is None


def test_each_build_has_figures_of_its_own() -> None:
    assert results.FOLDERS == {PURE: results.FOLDER, COMPILED: results.FOLDER / "compiled"}


def test_tables_are_markdown() -> None:
    assert markdown(["a", "b"], [["x", "1"]]) == "| a | b |\n| --- | ---: |\n| x | 1 |"
    assert shown(spread([1.0, 2.0, 3.0]), "{:.1f}") == "2.0 (1.5-2.5)"
