"""docs/benchmarks.md: its tables are written anew from the figures on disk, its prose is left as it is."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from benchmarks.lab import plots, results, tables
from benchmarks.lab.machine import PURE

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


def read_all() -> dict[str, dict[str, dict[str, Any]]]:
    """Context and figures of every measure that was taken, by measure and build."""
    found: dict[str, dict[str, dict[str, Any]]] = {}
    for name in tables.TABLES:
        for build, folder in results.FOLDERS.items():
            each = results.read(name, folder)
            if each is not None:
                found.setdefault(name, {})[build] = each
    return found


def blocks_of(found: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> dict[str, str]:
    """What the document says of `read_all`'s findings, by the name of the place where it stands."""
    blocks = {name: tables.TABLES[name](figures) + _taken(found[name]) for name, figures in _only(found)}
    by_build: dict[str, dict[str, Any]] = {}
    for build in results.FOLDERS:
        figures = {name: builds[build]["figures"] for name, builds in found.items() if build in builds}
        if figures or build == PURE:
            by_build[build] = figures
    blocks["goals"] = tables.goals(by_build)
    blocks["machine"] = machine(found)
    return blocks


def write(document: Path = DOCUMENT) -> None:
    """Write tables and plots of everything that was measured."""
    found = read_all()
    text = replace_blocks(document.read_text(encoding="utf-8"), blocks_of(found))
    document.write_text(text, encoding="utf-8")
    why = plots.write(dict(_only(found)), document.parent / "images" / "benchmarks")
    if why:
        print(f"no plots: {why}", file=sys.stderr)


def machine(found: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> str:
    """What it was measured on; every machine and set of versions that there was."""
    lines = []
    for each in {repr(_fixed(context)): _fixed(context) for context in _contexts(found)}.values():
        versions = ", ".join(f"{name} {version}" for name, version in each["versions"].items())
        lines.append(
            f"- {each['processor']}, {each['cores']} cores, {each['memory_mb'] / 1024:.0f} GiB; {each['system']}; "
            f"Python {each['python']}; {versions}"
        )
    return "\n".join(lines)


def _only(
    found: Mapping[str, Mapping[str, Mapping[str, Any]]],
) -> Iterator[tuple[str, dict[str, Mapping[str, Any]]]]:
    """Measures with their figures by build, without contexts."""
    for name, builds in found.items():
        yield name, {build: each["figures"] for build, each in builds.items()}


def _contexts(found: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> list[Mapping[str, Any]]:
    return [each["context"] for builds in found.values() for each in builds.values()]


def _fixed(context: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in context["machine"].items() if name != "commit"}


def _taken(builds: Mapping[str, Mapping[str, Any]]) -> str:
    """When, of what, and how the figures of each build were taken."""
    lines = []
    for build, each in builds.items():
        context = each["context"]
        rounds = "1 round" if context["rounds"] == 1 else f"{context['rounds']} rounds"
        lines.append(
            f"\n\n*{tables.heading(build)}, {context['at']} UTC, commit {context['machine']['commit'] or 'unknown'}: "
            f"{rounds}, {context['run_s']:g} s a run. Others kept {context['others_cores']:g} of "
            f"{context['machine']['cores']} cores busy meanwhile.*"
        )
    return "".join(lines)
