"""Every setting at its extremes: refused by the loader with the remedy, or a broker starts with it and serves."""

import typing
from collections.abc import Callable, Iterator
from functools import partial
from typing import Annotated, Any

import msgspec
import pytest
from msgspec import Meta
from tests.broker.bench import Bench
from tests.broker.peer import Peer

from lanebus.broker.driver import Broker
from lanebus.cli.broker_process import toml_text
from lanebus.conf.load import ConfigError, loads
from lanebus.conf.model import Config
from lanebus.conf.policy import PeerPolicy, TopicPolicy
from lanebus.wire.lanes import Lane


def settings(
    struct: type[msgspec.Struct], path: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], Any]]:
    """The dotted name and the type of every setting."""
    for name, kind in typing.get_type_hints(struct, include_extras=True).items():
        if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
            yield from settings(kind, (*path, name))
        else:
            yield (*path, name), kind


def bounds(kind: Any) -> tuple[Any, Meta] | None:
    """A number's type and its bounds; None for what is no number."""
    if typing.get_origin(kind) is Annotated:
        base, meta = typing.get_args(kind)
        if base in (int, float):
            return base, meta
    return None


def nested(path: tuple[str, ...], value: object) -> dict[str, Any]:
    return {path[0]: value if len(path) == 1 else nested(path[1:], value)}


def extremes(base: Any, meta: Meta) -> list[Any]:
    least = meta.ge if meta.ge is not None else meta.gt
    assert least is not None, "every number has a least value"
    assert meta.le is not None, "every number has a largest value"
    lowest = base(least) if meta.ge is not None else 1e-9
    # The least that is not zero, where zero means something else.
    more = [base(1) if base is int else 5e-324] if lowest == 0 else []
    return [lowest, *more, base(meta.le)]


LIMITING = ("limits.attachments", "limits.hellos_burst", "topics.burst")
"""What keeps out, at its least, the second of two peers, or the second event on a topic, as it should."""


def serves(config: Config, *, lets_in: bool = True) -> None:
    """A broker's core lets two peers in, carries events both ways on each lane, and keeps its books."""
    bench = Bench(config)
    server = Peer(bench, "server:a").attach()
    player = Peer(bench, "player:1").attach()
    for lane in Lane:
        server.send("t", "player:1", lane=lane)
        player.send("t", "server:a", lane=lane)
    turns = 0
    longest_s = (
        max(each.interval_ms for each in (config.lanes.critical, config.lanes.normal, config.lanes.low)) / 1e3
    )
    end = bench.now + 0.5 + longest_s
    bench.turn()
    while (timer := bench.core.next_timer()) is not None and timer <= end:
        bench.now = max(bench.now, timer)
        bench.turn()
        turns += 1
        assert turns < 100_000, "it plans its next timer where it stands, and does not get on"
    assert bench.problems() == []
    if lets_in:
        assert len(server.got) == len(player.got) == len(Lane)


def of_a_section(path: tuple[str, ...], value: object) -> str:
    """Settings with one of a section."""
    return toml_text(nested(path, value))


def of_a_policy(where: str, name: str, value: object) -> str:
    """Settings with one of a peer's or a topic's policy."""
    rest = "events_per_s = 1\n" if where == "topics" and name != "events_per_s" else ""
    match = "player:1" if where == "peers" else "t"
    return f'[[policy.{where}]]\nmatch = "{match}"\n{rest}{toml_text({name: value})}'


def texts() -> Iterator[tuple[str, Any, Meta, Callable[[object], str]]]:
    """Every number that can be set: its name, its type, its bounds, and the settings that give it a value."""
    for path, kind in settings(Config):
        if (found := bounds(kind)) is not None:
            yield ".".join(path), *found, partial(of_a_section, path)
    for where, struct in (("peers", PeerPolicy), ("topics", TopicPolicy)):
        for name, kind in typing.get_type_hints(struct, include_extras=True).items():
            of = next((each for each in (kind, *typing.get_args(kind)) if bounds(each) is not None), None)
            if of is not None:
                found = bounds(of)
                assert found is not None
                yield f"{where}.{name}", *found, partial(of_a_policy, where, name)


NUMBERS = list(texts())
every_number = pytest.mark.parametrize(
    ("name", "base", "meta", "text"), NUMBERS, ids=[each[0] for each in NUMBERS]
)


def test_every_number_is_looked_at() -> None:
    assert len(NUMBERS) > 100


def read(name: str, text: str) -> Config | None:
    """The settings; None where they are refused, which has to name the setting and the remedy."""
    try:
        return loads(text, "x")
    except ConfigError as error:
        said = str(error)
    assert name.rpartition(".")[2] in said
    assert ";" in said
    return None


@every_number
def test_a_number_at_its_extremes_is_refused_or_serves(
    name: str, base: Any, meta: Meta, text: Callable[[object], str]
) -> None:
    for value in extremes(base, meta):
        config = read(name, text(value))
        if config is not None:
            serves(config, lets_in=not (name in LIMITING and value == 1))


@every_number
def test_what_is_beyond_is_refused(name: str, base: Any, meta: Meta, text: Callable[[object], str]) -> None:
    assert meta.le is not None
    odd = (-1, meta.le + 1, float("nan"), float("inf"), float("-inf"), 1e308, -1e308, 10**400, True, "1")
    for value in odd:
        assert read(name, text(value).replace("NaN", "nan").replace("Infinity", "inf")) is None, value


@pytest.mark.system
@every_number
def test_a_broker_is_bound_with_a_number_at_its_extremes(
    name: str, base: Any, meta: Meta, text: Callable[[object], str]
) -> None:
    for value in extremes(base, meta):
        config = read(name, text(value))
        if config is not None:
            binds(config)


def binds(config: Config) -> None:
    broker = Broker(config.on_free_ports())
    try:
        broker.bind()
    finally:
        broker.close()


TOGETHER = {
    "largest sizes": """
        [limits]
        frame_bytes = 1_073_741_824
        raw_bytes = 1_073_741_824
        event_bytes = 1_072_000_000
        [window]
        batches = 4096
        bytes = 1_099_511_627_776
        [egress]
        batch_bytes = 1_024
        credit_bytes = 1_099_511_627_776
        queue_bytes = 1_099_511_627_776
        budget_bytes = 1_099_511_627_776
    """,
    "smallest sizes": """
        [limits]
        frame_bytes = 3_072
        raw_bytes = 3_072
        event_bytes = 1_024
        [window]
        batches = 2
        bytes = 3_072
        [egress]
        batch_bytes = 1_024
        credit_bytes = 1_024
        queue_bytes = 1_024
        budget_bytes = 65_536
    """,
    "shortest times": """
        [sessions]
        ping_interval_s = 0.01
        lease_s = 0.01
        grace_s = 0.01
        [window]
        control_interval_ms = 0.1
        [policy.client]
        control_messages_per_s = 0
        control_bytes_per_s = 0
        raw_bytes_per_s = 0
        [lanes]
        critical = { interval_ms = 0.1, hold_ms = 0 }
        normal = { interval_ms = 0.1, hold_ms = 0 }
        low = { interval_ms = 0.1, hold_ms = 0 }
    """,
    "longest times": """
        [sessions]
        ping_interval_s = 50.0
        lease_s = 86400.0
        grace_s = 86400.0
        [quality]
        window_s = 200.0
        min_samples = 1
        [lanes]
        critical = { interval_ms = 60000, hold_ms = 60000 }
        normal = { interval_ms = 60000, hold_ms = 60000 }
        low = { interval_ms = 60000, hold_ms = 60000 }
    """,
}


@pytest.mark.system
@pytest.mark.parametrize("text", TOGETHER.values(), ids=TOGETHER)
def test_extremes_that_go_together_serve(text: str) -> None:
    config = loads(text, "x")
    serves(config, lets_in="lease_s = 0.01" not in text)
    binds(config)
