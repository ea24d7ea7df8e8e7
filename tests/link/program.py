"""Programs for a world: lists of steps with plain numbers, which mean something in every state of it."""

from collections.abc import Callable, Sequence
from random import Random
from typing import Final, NamedTuple

from tests.link.link import Reaches
from tests.link.world import FAILS, FINE, REPLIES, Terms, World

from lanebus.wire.modes import Mode

MOST: Final = 48
"""Arguments of steps are below this."""

TIMES_S: Final = (0.001, 0.005, 0.02, 0.05, 0.1, 0.3, 1.0)
SIZES: Final = (1, 30, 300, 900)
TIMES_TO_LIVE_MS: Final = (None, None, 30.0, 800.0)
LEARNS_S: Final = (0.0, 0.0, 0.01, 0.2, 1.0, None)
"""When one side learns of a cut: at once, later, or not before a heartbeat is missed."""


class Step(NamedTuple):
    """Something that happens, and four numbers that say to whom, and how."""

    name: str
    a: int
    b: int
    c: int
    d: int


Action = Callable[[World, int, int, int, int], None]


def _send(world: World, a: int, b: int, c: int, d: int) -> None:
    what = FAILS if d % 10 == 0 else REPLIES if d % 10 == 1 else FINE
    world.send(a, b, c % 3, SIZES[c // 3 % 4], what)


def _send_on_terms(world: World, a: int, b: int, c: int, d: int) -> None:
    mode: Mode = ("latest", "latest", "volatile", "reliable")[d % 4]
    terms = Terms(mode, d // 4 % 3 if mode == "latest" else None, TIMES_TO_LIVE_MS[d // 12])
    if mode == "reliable" and terms.ttl_ms is None:
        terms = terms._replace(ttl_ms=5_000.0)
    world.send(a, b, c % 3, SIZES[c // 3 % 4], FAILS if c // 12 == 0 and d % 5 == 0 else FINE, terms)


def _refresh(world: World, a: int, b: int, c: int, d: int) -> None:
    for _ in range(d % 8):
        world.send(a, b, c % 3, 100, FINE, Terms("latest", c // 3 % 4))


def _burst(world: World, a: int, b: int, c: int, d: int) -> None:
    for _ in range(d % 20):
        world.send(a, b, c % 3, 100, FINE)


def _cut(world: World, a: int, b: int, c: int, d: int) -> None:
    world.cut(a, b % 6, LEARNS_S[c % 6], LEARNS_S[d % 6])


def _isolate(world: World, a: int, b: int, c: int, d: int) -> None:
    world.isolate(a, (Reaches.REFUSAL, Reaches.NOTHING)[b % 2], (0.1, 1.0, 6.0)[c % 3])


def _network(world: World, a: int, b: int, c: int, d: int) -> None:
    world.net.jitter_s = (0.0, 0.0, 0.01, 0.2)[a % 4]


_ANYWHERE: Final[dict[str, tuple[int, Action]]] = {
    "send": (80, _send),
    "send_on_terms": (30, _send_on_terms),
    "refresh": (10, _refresh),
    "burst": (10, _burst),
    "run": (60, lambda world, a, b, c, d: world.run(TIMES_S[a % 7])),
    "cut": (10, _cut),
    "isolate": (4, _isolate),
    "stall": (4, lambda world, a, b, c, d: world.stall(a)),
    "go_on": (6, lambda world, a, b, c, d: world.go_on(a)),
    "join": (4, lambda world, a, b, c, d: world.join(a)),
    "leave": (4, lambda world, a, b, c, d: world.leave(a)),
    "open": (4, lambda world, a, b, c, d: world.open()),
    "close": (4, lambda world, a, b, c, d: world.close(a)),
    "read": (4, lambda world, a, b, c, d: world.read(a, b % 2 == 0)),
    "slow_down": (2, lambda world, a, b, c, d: world.slow_down(a, (None, None, 0, 1, 3)[b % 5])),
    "network": (1, _network),
}
"""What happens in any world: how often, and how."""

_DEADLY: Final[dict[str, tuple[int, Action]]] = {
    "kill_broker": (1, lambda world, a, b, c, d: world.kill_broker((0.01, 0.5, 5.0)[a % 3])),
    "die": (1, lambda world, a, b, c, d: world.die(a)),
    "take_over": (1, lambda world, a, b, c, d: world.take_over(a)),
    "run_long": (1, lambda world, a, b, c, d: world.run(6.0)),
}

_ALL: Final = {**_ANYWHERE, **_DEADLY}


def names(*, within_grace: bool) -> list[str]:
    """The names of the steps of a kind of world, each as often as it is to happen."""
    table = _ANYWHERE if within_grace else _ALL
    return [name for name, (weight, _) in table.items() for _ in range(weight)]


def random_program(random: Random, length: int, *, within_grace: bool) -> list[Step]:
    """A program of `length` steps."""
    choice = names(within_grace=within_grace)
    below = random.randrange
    return [
        Step(random.choice(choice), below(MOST), below(MOST), below(MOST), below(MOST)) for _ in range(length)
    ]


def carry_out(world: World, program: Sequence[Step]) -> None:
    """Let it all happen, heal, and check."""
    for name, a, b, c, d in program:
        _ALL[name][1](world, a, b, c, d)
    world.finish()
