"""Figures on disk: one JSON file for each measure, with what it was measured on and when.

Those of the pure build are in benchmarks/results, those of the compiled one in benchmarks/results/compiled.
"""

from __future__ import annotations

import json
import re
import time
from pathlib import Path
from typing import Any, Final

from benchmarks.lab.machine import COMPILED, PURE

_NUMBERS: Final = re.compile(r"\[[^\[\]{}\"]*\]")
FOLDER: Final = Path(__file__).parents[1] / "results"
FOLDERS: Final = {PURE: FOLDER, COMPILED: FOLDER / COMPILED}
"""By build, in the order in which builds are shown."""


def save(name: str, figures: dict[str, Any], context: dict[str, Any], folder: Path = FOLDER) -> Path:
    """Write a measure's figures, and `context`: machine, settings, the time that it took."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.json"
    stamped = {"measure": name, "at": time.strftime("%Y-%m-%d %H:%M", time.gmtime()), **context}
    text = json.dumps({"context": stamped, "figures": _short(figures)}, indent=1)
    # A list of numbers is one line: a changed figure is one changed line too.
    text = _NUMBERS.sub(lambda found: re.sub(r"\s+", " ", found[0]), text)
    path.write_text(text + "\n", encoding="utf-8")
    return path


def read(name: str, folder: Path = FOLDER) -> dict[str, Any] | None:
    """What `save` wrote: `context` and `figures`; None if it was not measured."""
    try:
        found: dict[str, Any] = json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    return found


def _short(value: Any) -> Any:
    """The same with five digits: more would be noise."""
    if isinstance(value, float):
        return float(f"{value:.5g}")
    if isinstance(value, dict):
        return {name: _short(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_short(each) for each in value]
    return value
