"""A census: everything that is kept, counted by the way to it. What grows there for ever is forgotten by nobody."""

from __future__ import annotations

import gc
import sys
from collections import Counter, deque
from collections.abc import Iterable, Iterator
from functools import partial
from types import FunctionType, MethodType, ModuleType
from typing import Any

OURS = "lanebus"
_ATOMS = (int, float, complex, str, type, type(None), ModuleType)
_BYTES = (bytes, bytearray, memoryview)
_BYTES_OF = " (bytes)"
_GROWING = (dict, list, set, deque)
_HOLDING = (*_GROWING, tuple, frozenset)


def census(**roots: object) -> Counter[str]:
    """How many elements are in all containers that are reached in the same way, and how many bytes in all strings of
    bytes: ``broker.registry.attachments[].sessions`` stands for the sessions of all attachments together.

    Args:
        roots: where to begin, by the names that the ways begin with.
    """
    counted: Counter[str] = Counter()
    todo: deque[tuple[str, object]] = deque(roots.items())
    todo.extend(_caches())
    seen = set(map(id, roots.values()))
    kept = list(roots.values())
    while todo:
        way, thing = todo.popleft()
        if isinstance(thing, _GROWING):
            counted[way] += len(thing)
        elif isinstance(thing, _BYTES):
            counted[way + _BYTES_OF] += len(thing)
            continue
        for step, child in _children(thing):
            if not isinstance(child, _ATOMS) and id(child) not in seen:
                seen.add(id(child))
                kept.append(child)  # or another object might get its address
                todo.append((way + step, child))
    return counted


def grown(
    before: Counter[str], after: Counter[str], elements: int, size_bytes: int
) -> dict[str, tuple[int, int]]:
    """Where there is more than before: by more than so many elements, or bytes."""
    return {
        way: (before[way], count)
        for way, count in after.items()
        if count > before[way] + (size_bytes if way.endswith(_BYTES_OF) else elements)
    }


def objects() -> int:
    """How many objects there are that can hold others, in the whole process; caches of functions are empty then."""
    for module in _modules():
        for value in vars(module).values():
            if hasattr(value, "cache_clear"):
                value.cache_clear()
    gc.collect()
    return len(gc.get_objects())


def _caches() -> Iterator[tuple[str, object]]:
    """What modules keep."""
    for module in _modules():
        for key, value in sorted(vars(module).items()):
            if isinstance(value, _GROWING) and not key.startswith("__"):
                yield f"{module.__name__}.{key}", value


def _modules() -> list[ModuleType]:
    return [module for name, module in sorted(sys.modules.items()) if name.partition(".")[0] == OURS]


def _children(thing: object) -> Iterable[tuple[str, Any]]:
    if isinstance(thing, dict):
        yield from (("[]", value) for value in thing.values())
        yield from (("[key]", key) for key in thing)
    elif isinstance(thing, _HOLDING):
        yield from (("[]", value) for value in thing)
    elif isinstance(thing, MethodType):
        yield "", thing.__self__
    elif isinstance(thing, FunctionType):
        for name, cell in zip(thing.__code__.co_freevars, thing.__closure__ or (), strict=True):
            try:
                yield f"({name})", cell.cell_contents
            except ValueError:
                continue  # not bound yet
    elif isinstance(thing, partial):
        yield from (("()", each) for each in (thing.func, *thing.args, *thing.keywords.values()))
    if type(thing).__module__.partition(".")[0] == OURS:
        yield from _attributes(thing)


def _attributes(thing: object) -> Iterator[tuple[str, Any]]:
    for kind in type(thing).__mro__:
        slots = vars(kind).get("__slots__", ())
        for name in (slots,) if isinstance(slots, str) else slots:
            if hasattr(thing, name):
                yield f".{name}", getattr(thing, name)
    for name, value in getattr(thing, "__dict__", {}).items():
        yield f".{name}", value
