"""Which groups players may join and leave by themselves."""

from __future__ import annotations

import re
from collections.abc import Sequence


class GroupRules:
    """Patterns of group names.

    Args:
        client_may_join: names in which ``*`` stands for any characters, or for none.
    """

    def __init__(self, client_may_join: Sequence[str]) -> None:
        alternatives = ("".join(map(_expression, pattern)) for pattern in client_may_join)
        # Of no pattern: an expression that nothing matches.
        self._may_join = re.compile("|".join(alternatives) if client_may_join else r"(?!)")

    def allow(self, group: str) -> bool:
        """Whether a player may join and leave this group."""
        return self._may_join.fullmatch(group) is not None


def _expression(character: str) -> str:
    return ".*" if character == "*" else re.escape(character)
