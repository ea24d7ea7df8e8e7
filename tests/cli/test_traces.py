"""Reading trace files: what is kept, slices, and an error with file and line for everything that can be wrong."""

import gzip
import json
import os
from pathlib import Path

import msgspec
import pytest
from tests.cli.trace_files import duel, event, header, write_duel, write_lines, write_trace

from lanebus.cli.exits import CliError, Exit
from lanebus.cli.traces import read_trace
from lanebus.wire.lanes import Lane


def test_every_field_is_kept(tmp_path: Path) -> None:
    data = {"unit": 7, "at": [1.5, -2], "name": "Zealot"}
    path = write_trace(
        tmp_path / "sc2-duel.jsonl.gz",
        [
            event(0, "server", "all", "unit.born", "normal", data),
            event(1.25, "player:2", "server", "cmd.stop", "critical", {}),
            event(1.25, "player:3", "server", "camera", "low", None),
            event(2.5, "server", "player:9", "dialog", "normal", "hello"),
        ],
        observers=["player:3"],
        bots=["player:9"],
    )
    trace = read_trace(path)
    assert trace.name == "sc2-duel"
    assert (trace.players, trace.observers, trace.bots) == (
        ("player:1", "player:2"),
        ("player:3",),
        ("player:9",),
    )
    assert trace.duration_s == 10.0
    assert list(trace.times_s) == [0, 1.25, 1.25, 2.5]
    assert trace.senders == ["server", "player:2", "player:3", "server"]
    assert trace.receivers == ["all", "server", "server", "player:9"]
    assert trace.topics == ["unit.born", "cmd.stop", "camera", "dialog"]
    assert list(trace.lanes) == [Lane.NORMAL, Lane.CRITICAL, Lane.LOW, Lane.NORMAL]
    assert [msgspec.msgpack.decode(payload) for payload in trace.payloads] == [data, {}, None, "hello"]


def test_a_slice_keeps_its_beginning_and_not_its_end(tmp_path: Path) -> None:
    path = write_trace(tmp_path / "duel.jsonl.gz", [event(t, "player:1", "server") for t in range(10)])
    assert list(read_trace(path, from_s=3, until_s=6).times_s) == [3, 4, 5]
    assert list(read_trace(path, from_s=8).times_s) == [8, 9]
    assert list(read_trace(path, until_s=1).times_s) == [0]


def test_equal_payloads_and_names_are_kept_once(tmp_path: Path) -> None:
    path = write_trace(
        tmp_path / "duel.jsonl.gz", [event(t, "player:1", "server", data={"n": 1}) for t in range(3)]
    )
    trace = read_trace(path)
    assert len({id(payload) for payload in trace.payloads}) == 1
    assert len({id(topic) for topic in trace.topics}) == 1
    assert len({id(sender) for sender in trace.senders}) == 1


def complaint(path: Path) -> CliError:
    with pytest.raises(CliError) as caught:
        read_trace(path)
    assert str(path) in caught.value.message
    assert "\n" not in caught.value.message
    return caught.value


def test_a_missing_file(tmp_path: Path) -> None:
    error = complaint(tmp_path / "nowhere.jsonl.gz")
    assert error.code == Exit.NO_INPUT
    assert "no such file" in error.message


def test_a_folder(tmp_path: Path) -> None:
    assert complaint(tmp_path).code in (Exit.NO_INPUT, Exit.BAD_DATA)
    folder = tmp_path / "duel.jsonl.gz"
    folder.mkdir()
    error = complaint(folder)
    assert error.code == Exit.NO_INPUT
    assert "is a directory" in error.message


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_forbidden_file(tmp_path: Path) -> None:
    path = write_duel(tmp_path / "duel.jsonl.gz")
    path.chmod(0)
    assert complaint(path).code == Exit.NO_INPUT


def test_not_gzip(tmp_path: Path) -> None:
    path = tmp_path / "duel.jsonl.gz"
    path.write_text(json.dumps(header(0)))
    error = complaint(path)
    assert error.code == Exit.BAD_DATA
    assert "is not gzip" in error.message


@pytest.mark.parametrize("content", [b"", gzip.compress(b"", mtime=0)])
def test_an_empty_file(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "duel.jsonl.gz"
    path.write_bytes(content)
    error = complaint(path)
    assert error.code == Exit.BAD_DATA
    assert "is empty" in error.message


def test_a_file_that_was_cut_off(tmp_path: Path) -> None:
    path = write_trace(
        tmp_path / "duel.jsonl.gz",
        [event(t, "player:1", "server", data=os.urandom(99).hex()) for t in range(500)],
    )
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    error = complaint(path)
    assert error.code == Exit.BAD_DATA
    assert "line" in error.message
    assert "cut off" in error.message


def test_damaged_compression(tmp_path: Path) -> None:
    path = write_trace(
        tmp_path / "duel.jsonl.gz",
        [event(t, "player:1", "server", data=os.urandom(99).hex()) for t in range(500)],
    )
    damaged = bytearray(path.read_bytes())
    damaged[len(damaged) // 2 : len(damaged) // 2 + 64] = bytes(64)
    path.write_bytes(damaged)
    error = complaint(path)
    assert error.code == Exit.BAD_DATA
    assert "line" in error.message


def test_fewer_events_than_promised(tmp_path: Path) -> None:
    lines = [json.dumps(header(3)), json.dumps(event(0, "player:1", "server"))]
    error = complaint(write_lines(tmp_path / "duel.jsonl.gz", lines))
    assert error.code == Exit.BAD_DATA
    assert "ends after 1 events" in error.message
    assert "promises 3" in error.message


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("{not json", "is not JSON"),
        ("", "is not JSON"),
        ("[1, 2]", "array"),
        ('{"t": 1}', "required field"),
        (json.dumps(event(-1, "player:1", "server")), ">= 0"),
        (json.dumps(event(0, "player:1", "server") | {"t": "soon"}), "$.t"),
        (json.dumps(event(0, "player:1", "server", lane="urgent")), "urgent"),
        (json.dumps(event(0, "player:1", "server", topic="a..b")), "is no topic"),
        (json.dumps(event(0, "player:7", "server")), "from = 'player:7'"),
        (json.dumps(event(0, "server", "player:7")), "to = 'player:7'"),
        (json.dumps(event(0, "server", "server")), "to itself"),
        (json.dumps(event(0, "player:1", "server")).replace("null", "1e999"), ""),
        (json.dumps(event(0, "player:1", "server", data=2**64)), ""),
    ],
)
def test_a_bad_line_is_named(tmp_path: Path, line: str, words: str) -> None:
    lines = [json.dumps(header(2)), json.dumps(event(0, "player:1", "server")), line]
    path = write_lines(tmp_path / "duel.jsonl.gz", lines)
    error = complaint(path)
    assert error.code == Exit.BAD_DATA
    assert "line 3" in error.message
    assert words in error.message


def test_time_must_not_fall(tmp_path: Path) -> None:
    error = complaint(
        write_trace(
            tmp_path / "duel.jsonl.gz", [event(2, "player:1", "server"), event(1, "player:1", "server")]
        )
    )
    assert "line 3: t = 1 is before the 2" in error.message


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"format": "game-trace/2"}, "game-trace/2"),
        ({"players": ["player:1", "player:1"]}, "listed twice"),
        ({"players": ["bob"]}, "cannot name a player"),
        ({"players": 3}, "$.players"),
        ({"events": -1}, "$.events"),
        ({"duration_s": None}, "$.duration_s"),
    ],
)
def test_a_bad_header_is_named(tmp_path: Path, change: dict[str, object], words: str) -> None:
    error = complaint(write_lines(tmp_path / "duel.jsonl.gz", [json.dumps(header(0) | change)]))
    assert error.code == Exit.BAD_DATA
    assert "line 1" in error.message
    assert words in error.message


def test_a_name_that_cannot_be_a_match(tmp_path: Path) -> None:
    error = complaint(write_duel(tmp_path / "my match.jsonl.gz"))
    assert error.code == Exit.BAD_DATA
    assert "rename it" in error.message


def test_the_synthetic_duel_is_a_trace(tmp_path: Path) -> None:
    assert len(read_trace(write_duel(tmp_path / "duel.jsonl.gz")).topics) == len(duel())
