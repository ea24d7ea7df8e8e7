"""Which build of lanebus this is: the pure one, or the one whose hot modules are compiled (see setup.py)."""

from importlib.machinery import ExtensionFileLoader

from lanebus.wire import runs


def is_compiled() -> bool:
    """Whether the modules on the hot path are compiled; they all are or none is, and one stands for all here."""
    return isinstance(runs.__spec__.loader, ExtensionFileLoader)


def with_build(version: str, *, compiled: bool) -> str:
    """A version as people read it: ``0.1.0``, or ``0.1.0 (compiled)``."""
    return f"{version} (compiled)" if compiled else version
