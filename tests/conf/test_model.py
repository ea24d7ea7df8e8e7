"""The model: its defaults are those of the default file, and its bounds hold."""

import inspect
import tomllib
from typing import Any

import msgspec
import pytest

from lanebus.conf import model
from lanebus.conf.load import default_text
from lanebus.conf.model import Config, LaneConfig, LanesConfig

SECTIONS = [
    item for item in vars(model).values() if inspect.isclass(item) and issubclass(item, msgspec.Struct)
]


def test_the_default_file_and_the_model_say_the_same() -> None:
    assert tomllib.loads(default_text()) == msgspec.to_builtins(Config())


def test_the_default_file_explains_every_setting() -> None:
    explained = False
    for line in default_text().splitlines():
        if line.startswith(("#", "[lanes.")):
            explained = True
        elif not line:
            explained = False
        elif "=" in line:
            assert explained, f"no comment above {line!r}"


@pytest.mark.parametrize("section", SECTIONS, ids=lambda section: section.__name__)
def test_every_field_is_documented_by_the_string_under_it(section: type[msgspec.Struct]) -> None:
    lines = [line.strip() for line in inspect.getsource(section).splitlines()]
    for field in section.__struct_fields__:
        at = next(i for i, line in enumerate(lines) if line.startswith(f"{field}:"))
        assert lines[at + 1].startswith('"""'), f"{section.__name__}.{field} is not documented"


@pytest.mark.parametrize("section", SECTIONS, ids=lambda section: section.__name__)
def test_sections_are_frozen_and_strict(section: type[msgspec.Struct]) -> None:
    config = section.__struct_config__
    assert config.frozen
    assert config.forbid_unknown_fields


@pytest.mark.parametrize("pattern", ["", "two words", "room:?", "x" * 129, "room\n"])
def test_a_pattern_that_no_group_can_match_is_refused(pattern: str) -> None:
    with pytest.raises(msgspec.ValidationError, match="client_may_join"):
        msgspec.convert({"groups": {"client_may_join": [pattern]}}, Config)


def test_lanes_are_as_the_protocol_promises() -> None:
    lanes = Config().lanes
    assert [
        (lane.port, lane.interval_ms, lane.hold_ms) for lane in (lanes.critical, lanes.normal, lanes.low)
    ] == [
        (5570, 16.0, 12.0),
        (5571, 50.0, 45.0),
        (5572, 200.0, 190.0),
    ]


@pytest.mark.parametrize(
    "value",
    [
        {"lanes": {"low": {"port": 65_536, "interval_ms": 1, "hold_ms": 1}}},
        {"lanes": {"low": {"port": -1, "interval_ms": 1, "hold_ms": 1}}},
        {"lanes": {"low": {"port": 1, "interval_ms": 0, "hold_ms": 0}}},
        {"lanes": {"low": {"port": 1, "interval_ms": 1, "hold_ms": -1}}},
        {"sessions": {"grace_s": float("inf")}},
        {"sessions": {"grace_s": float("nan")}},
        {"sessions": {"grace_s": True}},
        {"limits": {"destinations": 0}},
        {"log": {"level": "loud"}},
        {"broker": {"name": ""}},
        {"unknown": {}},
    ],
    ids=str,
)
def test_bounds(value: dict[str, Any]) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(value, Config)


def test_on_free_ports_changes_only_ports() -> None:
    config = Config(lanes=LanesConfig(low=LaneConfig(port=7, interval_ms=70.0, hold_ms=60.0)))
    free = config.on_free_ports()
    assert [
        free.lanes.critical.port,
        free.lanes.normal.port,
        free.lanes.low.port,
        free.control.port,
    ] == [0, 0, 0, 0]
    assert (free.lanes.low.interval_ms, free.lanes.low.hold_ms) == (70.0, 60.0)
    assert msgspec.structs.replace(free, lanes=config.lanes, control=config.control) == config
