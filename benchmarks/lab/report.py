"""docs/benchmarks.md: its tables are written anew from the figures on disk, its prose is left as it is."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from benchmarks.lab import plots, results, tables

DOCUMENT: Final = results.FOLDER.parents[1] / "docs" / "benchmarks.md"


def replace_blocks(text: str, blocks: Mapping[str, str]) -> str:
    """`text` with what stands between `<!-- figures: NAME -->` and `<!-- end -->` replaced, for each name in `blocks`.

    Raises:
        ValueError: a block is not in the text.
    """
    for name, block in blocks.items():
        before, mark, rest = text.partition(f"<!-- figures: {name} -->\n")
        _, end, after = rest.partition("<!-- end -->")
        if not mark or not end:
            raise ValueError(f"the document has no place for the figures of {name}")
        text = f"{before}{mark}{block}\n{end}{after}"
    return text


def read_all() -> dict[str, dict[str, Any]]:
    """Context and figures of every measure that was taken."""
    found = {name: results.read(name) for name in tables.TABLES}
    return {name: each for name, each in found.items() if each is not None}


def write(document: Path = DOCUMENT) -> None:
    """Write tables and plots of everything that was measured."""
    found = read_all()
    figures = {name: each["figures"] for name, each in found.items()}
    blocks = {
        name: tables.TABLES[name](each) + _taken(found[name]["context"]) for name, each in figures.items()
    }
    blocks["goals"] = tables.goals(figures)
    blocks["machine"] = machine(found)
    text = replace_blocks(document.read_text(encoding="utf-8"), blocks)
    document.write_text(text, encoding="utf-8")
    why = plots.write(figures, document.parent / "images" / "benchmarks")
    if why:
        print(f"no plots: {why}", file=sys.stderr)


def machine(found: Mapping[str, Mapping[str, Any]]) -> str:
    """What it was measured on; every machine and set of versions that there was."""
    lines = []
    for each in {repr(_fixed(context)): _fixed(context) for context in _contexts(found)}.values():
        versions = ", ".join(f"{name} {version}" for name, version in each["versions"].items())
        lines.append(
            f"- {each['processor']}, {each['cores']} cores, {each['memory_mb'] / 1024:.0f} GiB; {each['system']}; "
            f"Python {each['python']}; {versions}"
        )
    return "\n".join(lines)


def _contexts(found: Mapping[str, Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    return [each["context"] for each in found.values()]


def _fixed(context: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in context["machine"].items() if name != "commit"}


def _taken(context: Mapping[str, Any]) -> str:
    return (
        f"\n\n*{context['at']} UTC, commit {context['machine']['commit'] or 'unknown'}: {context['rounds']} rounds, "
        f"{context['run_s']:g} s a run. Others kept {context['others_cores']:g} of {context['machine']['cores']} cores "
        "busy meanwhile.*"
    )
