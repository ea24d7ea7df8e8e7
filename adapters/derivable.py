"""Classes that programs derive from, in the compiled build too."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

__all__ = ["mypyc_attr"]

if TYPE_CHECKING:
    from mypy_extensions import mypyc_attr
else:
    ClassT = TypeVar("ClassT", bound=type)

    def mypyc_attr(**attributes: object) -> Callable[[ClassT], ClassT]:
        """Tell mypyc how to compile a class; the class itself stays what it is.

        With ``allow_interpreted_subclasses=True`` ordinary classes can derive from it, and replace its methods. The
        real one, which mypyc knows by its name, does no more when it is called, and is not worth a dependency.

        Such a class' calls of its own methods may not leave out an argument whose default is a float: it would be 0.0,
        since mypyc (2.4) loses the default on the way to a derived class.
        """
        return lambda kind: kind
