"""What programs may do with adapters in every build."""

from typing import Any

import pytest

from lanebus import ClientAdapter, GatewayAdapter, ServerAdapter
from lanebus.adapters.derivable import mypyc_attr


class Kind:
    """Any class."""


def test_a_class_stays_what_it_is() -> None:
    assert mypyc_attr(allow_interpreted_subclasses=True)(Kind) is Kind


@pytest.mark.parametrize("kind", [ServerAdapter, ClientAdapter, GatewayAdapter])
def test_programs_derive_from_adapters_and_put_attributes_on_them(kind: Any) -> None:
    class Arena(kind):  # type: ignore[misc]
        def touch(self) -> None:
            self.touched = True
            super().touch()

    arena = Arena("a")
    arena.world = "forest"
    arena.open("42") if kind is GatewayAdapter else arena.send("t", to="server:b")
    assert (arena.world, arena.touched) == ("forest", True)
