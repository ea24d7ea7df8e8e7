"""Traces: what is seen of one peer, what is not, and that they end."""

import logging
from collections.abc import Callable
from random import Random
from typing import Any

import pytest
from tests.broker.bench import Bench, small_config
from tests.broker.peer import Peer
from tests.broker.samples import say

from lanebus.broker import tracing
from lanebus.broker.tracing import MAX_TRACES, TRACE_LINES, UNREAD_S
from lanebus.conf.policy import Policy, PolicyConfig
from lanebus.wire.batches import ticks
from lanebus.wire.header import FLAG_LZ4, HEADER_BYTES, encode_header
from lanebus.wire.kinds import Kind
from lanebus.wire.lanes import LANES, Lane
from lanebus.wire.outcomes import Outcome, Reason

Line = dict[str, Any]


def begin(bench: Bench, peer: str, **options: bool) -> Callable[[], list[Line]]:
    """Begin a trace; what is given reads what it has to tell."""
    number = bench.core.tracing.begin(peer, bench.now, **options)

    def read() -> list[Line]:
        lines: list[Line] = []
        while True:
            answer = bench.core.tracing.read(number, bench.now)
            lines += answer["lines"]
            if not answer["left"]:
                return lines

    return read


def told(lines: list[Line]) -> list[str]:
    """Mark, kind and text of lines."""
    return [f"{line['mark']} {line['what']} {line['text']}".rstrip() for line in lines]


def kinds(lines: list[Line], mark: str) -> list[str]:
    return [line["what"] for line in lines if line["mark"] == mark]


# One peer


def is_on(bench: Bench) -> bool:
    return bench.core.tracing.tap is not None


def test_frames_are_looked_at_while_a_trace_is_on(bench: Bench) -> None:
    assert not is_on(bench)
    first, second = (bench.core.tracing.begin("player:1", bench.now) for _ in range(2))
    assert is_on(bench)
    assert bench.core.tracing.end(first)
    assert is_on(bench)
    assert bench.core.tracing.end(second)
    assert not is_on(bench)


def test_a_peer_that_is_not_there_is_waited_for_and_its_hello_is_the_first_that_is_seen(bench: Bench) -> None:
    read = begin(bench, "player:1")
    Peer(bench, "server:a").attach()
    assert told(read()) == ["= trace player:1 is not attached: waiting for it"]
    bench.now = 2.0
    Peer(bench, "player:1").attach()
    lines = read()
    assert told(lines) == [
        "< hello client player:1, anew",
        "= session session begins",
        "> welcome anew, generation 1",
        "= state joining",
        "= quality estimating: 0 of 5 samples",
        "< hello",
        "< hello",
        "> welcome lane normal",
        "> welcome lane low",
        "= state up",
    ]
    assert {line["at_s"] for line in lines} == {2.0}
    assert [line["lane"] for line in lines if line["what"] == "hello"] == ["critical", "normal", "low"]


def test_batches_are_shown_with_their_figures_and_without_payloads(bench: Bench) -> None:
    server, player = Peer(bench, "server:a").attach(), Peer(bench, "player:1").attach()
    read, servers = begin(bench, "player:1"), begin(bench, "server:a")
    bench.now = 1.0
    events = [server.event("unit.state", "player:1", Lane.NORMAL, b"secret") for _ in range(3)]
    bench.now = 1.04
    server.send_batch(events, Lane.NORMAL)
    bench.turn()
    (sent,) = [line for line in read() if line["mark"] == ">"]
    assert sent["text"] == "3 x unit.state from server:a"
    assert (sent["what"], sent["lane"], sent["number"], sent["events"]) == ("batch", "normal", 1, 3)
    assert sent["age_ms"] == pytest.approx(40.0, abs=0.2)
    assert sent["bytes"] > HEADER_BYTES
    (came,) = [line for line in servers() if line["mark"] == "<"]
    assert came["text"] == "3 x unit.state to player:1"
    assert came["age_ms"] == sent["age_ms"]
    assert "secret" not in repr((sent, came))
    assert player.topics() == ["unit.state"] * 3


def test_payloads_are_shown_to_who_asks_for_them_and_only_their_beginning(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tracing, "PAYLOAD_BYTES", 4)
    server = Peer(bench, "server:a").attach()
    Peer(bench, "player:1").attach()
    read = begin(bench, "player:1", payloads=True)
    for payload in (b"abc", b"abcdef"):
        server.send("t", "player:1", payload=payload)
    bench.advance(0.1)
    (line,) = [line for line in read() if line["mark"] == ">"]
    assert line["payloads"] == [["t", 3, b"abc"], ["t", 6, b"abcd"]]


def test_requests_settlements_and_answers_are_shown(bench: Bench) -> None:
    server = Peer(bench, "server:a").attach()
    player = Peer(bench, "player:1").attach()
    read, players = begin(bench, "server:a"), begin(bench, "player:1")
    server.ask(Kind.JOIN, group="room", member="player:1")
    server.ask(Kind.JOIN, group="room", member="player:9")
    server.send("t", "group:room")
    bench.advance(0.1)
    player.settle_all(Outcome.REFUSED, Reason.HANDLER_ERROR)
    server.ping()
    bench.advance(0.3)
    assert told(read())[1:] == [
        "< join request 1, group room, member player:1",
        "> done request 1",
        "< join request 2, group room, member player:9",
        "> done request 2 refused, error 501 unknown_peer: no session of player:9",
        "< batch t to group:room",
        "< ping no round trip yet",
        "> pong clock_us 100000, clock 1000",
        "> settle 1 critical refused (handler_error)",
    ]
    assert "< settle 1 critical refused (handler_error)" in told(players())


def test_states_are_shown_as_they_change(bench: Bench) -> None:
    player = Peer(bench, "player:1").attach()
    read = begin(bench, "player:1")
    bench.core.lost(Lane.LOW, player.routes[Lane.LOW] or b"", bench.now)
    bench.turn()
    assert told(read()) == [
        "= trace player:1 is up, quality estimating: 0 of 5 samples",
        "= state away",
        "= quality lost: no link",
    ]
    player.attach()
    assert "= state up" in told(read())
    player.bye()
    bench.turn()
    assert told(read()) == [
        "< bye reason done",
        "= session session is over: said goodbye: done",
        "= state gone",
    ]


def test_what_waits_for_credit_and_what_is_dropped_is_shown(bench: Bench) -> None:
    server, player = Peer(bench, "server:a").attach(), Peer(bench, "player:1").attach()
    server.ask(Kind.JOIN, group="room", member="player:1")
    read = begin(bench, "player:1")
    for _ in range(8):
        server.burst(3, "group:room")
        bench.advance(0.05)
        server.ack()
        player.ack()
    queue = [(line["lane"], line["text"]) for line in read() if line["what"] == "queue"]
    assert queue[0] == ("critical", "parts wait for its credit")
    assert ("critical", "parts ended: 3 dropped") in queue[1:]
    while player.unsettled:
        player.settle_all()
        bench.advance(0.1)
    assert ("critical", "no part waits") in [
        (line["lane"], line["text"]) for line in read() if line["what"] == "queue"
    ]


def test_what_waits_for_an_allowance_is_shown_and_who_is_throttled() -> None:
    limited = Policy(events_per_s=1.0, events_burst=8, down_bytes_per_s=200.0, bytes_burst_s=1.0)
    bench = Bench(small_config(policy=PolicyConfig(client=limited)))
    server, player = Peer(bench, "server:a").attach(), Peer(bench, "player:1").attach()
    read = begin(bench, "player:1")
    server.burst(3, "player:1", Lane.LOW, 200)
    player.send_batch([player.event("t", "server:a") for _ in range(20)])
    bench.advance(0.3)
    lines = read()
    assert ("low", "parts wait for its allowance") in [
        (line["lane"], line["text"]) for line in lines if line["what"] == "queue"
    ]
    (throttle,) = [line["text"] for line in lines if line["what"] == "throttle"]
    assert throttle.startswith("critical from event ")
    assert ", over events_per_s, again in " in throttle


def test_the_last_words_to_a_link_that_has_ended_are_shown(bench: Bench) -> None:
    player = Peer(bench, "player:1").attach()
    read = begin(bench, "player:1")
    player.say(Kind.JOIN, {"request": 1})
    bench.turn()
    lines = told(read())
    assert lines[1].startswith("! join malformed: bad_body")
    assert [line for line in lines if line.startswith("> error 107 bad_body")]
    assert lines[-2:] == ["= state away", "= quality lost: no link"]


def test_a_fenced_process_and_its_successor_are_both_shown(bench: Bench) -> None:
    Peer(bench, "player:1").attach()
    read = begin(bench, "player:1")
    Peer(bench, "player:1").attach()
    lines = told(read())
    assert "> error 303 fenced: a newer process of player:1 has taken over" in lines
    assert "= session session is over: fenced: a newer process has taken its name" in lines
    assert lines[-1] == "= state up"


def test_the_name_of_a_sender_that_the_link_was_told_before(bench: Bench) -> None:
    server = Peer(bench, "server:a").attach()
    Peer(bench, "player:1").attach()
    server.send("t", "player:1")
    bench.advance(0.1)
    read = begin(bench, "player:1")
    server.send("t", "player:1")
    bench.advance(0.1)
    assert "> batch t from server:a" in told(read())


# Behind a gateway


def test_a_gateway_itself_is_traced_whole(bench: Bench) -> None:
    gateway = Peer(bench, "gateway:g").attach()
    read = begin(bench, "gateway:g")
    gateway.open(1, "player:1")
    gateway.ping()
    bench.turn()
    assert told(read()) == [
        "= trace gateway:g is up",
        "< open request 1, index 1, name player:1",
        "> done request 1",
        "< ping no round trip yet",
        "> pong clock_us 0, clock 0",
    ]


def test_of_a_gateways_links_a_player_has_what_is_its_own(bench: Bench) -> None:
    server, gateway = Peer(bench, "server:a").attach(), Peer(bench, "gateway:g").attach()
    gateway.open(1, "player:1")
    read = begin(bench, "player:2")
    gateway.open(2, "player:2")
    bench.advance(0.01)
    assert told(read())[1:] == [
        "< open request 2, index 2, name player:2",
        "= session session begins via gateway:g",
        "> done request 2",
        "= state up",
        "= quality estimating: 0 of 5 samples",
    ]
    mine = gateway.event("mine", "server:a", payload=b"12345", session=2)
    gateway.send_batch([gateway.event("others", "server:a", session=1), mine])
    gateway.send("others", "server:a", session=1)
    gateway.ping()
    server.send("theirs", "player:1")
    server.send("mine", ["player:1", "player:2"])
    bench.advance(0.1)
    gateway.settle_all()
    server.settle_all()
    bench.advance(0.3)
    lines = read()
    assert told(lines) == [
        "< batch mine to server:a",
        "> batch mine from server:a",
        "< settle 1 critical delivered",
        "> settle 1 critical delivered",
    ]
    assert (lines[0]["events"], lines[0]["bytes"]) == (1, len("mine") + 5)
    introduced = told(begin(bench, "player:2")())
    assert introduced == ["= trace player:2 is up via gateway:g, quality estimating: 0 of 5 samples"]


# What peers may send


@pytest.mark.parametrize("lane", LANES)
@pytest.mark.parametrize("kind", Kind)
def test_whatever_a_traced_peer_sends_is_shown_and_ends_nothing_else(
    bench: Bench, kind: Kind, lane: Lane
) -> None:
    peer = Peer(bench, "server:a").attach()
    read = begin(bench, "server:a")
    say(peer, kind, lane)
    bench.turn()
    lines = read()
    assert kind.label in kinds(lines, "<") + kinds(lines, "!")


@pytest.mark.parametrize("behind", [b"", b"\xc1", b"\x91" * 3000, b"\x93\x00", bytes(100)])
@pytest.mark.parametrize("kind", Kind)
def test_what_is_malformed_is_shown_as_that(bench: Bench, kind: Kind, behind: bytes) -> None:
    peer = Peer(bench, "server:a").attach()
    read = begin(bench, "server:a")
    for lane in LANES:
        peer.attach()
        peer.put(encode_header(kind, lane, len(behind), incarnation=peer.incarnation) + behind, lane)
        peer.put(encode_header(kind, lane, 9000, incarnation=peer.incarnation, flags=FLAG_LZ4) + behind, lane)
    bench.turn()
    errors = [line for line in read() if line["mark"] == "!"]
    assert errors
    assert all(line["what"] == kind.label and line["text"].startswith("malformed: ") for line in errors)


def payloads_of(lines: list[Line], mark: str) -> list[bytes]:
    return [payload for line in lines if line["mark"] == mark for _, _, payload in line.get("payloads", ())]


def test_linked_batches_are_read_also_where_the_trace_begins_behind_what_they_refer_to(bench: Bench) -> None:
    server, player = Peer(bench, "server:a").attach(), Peer(bench, "player:1").attach()
    noise = Random(1).randbytes(400)

    def talk() -> None:
        for _ in range(2):
            player.send("t", "server:a", payload=noise)
            server.send("t", "player:1", payload=noise)
            bench.advance(0.5)
            player.settle_all()
            server.settle_all()
            bench.advance(0.5)

    talk()
    read = begin(bench, "player:1", payloads=True)
    talk()
    lines = read()
    assert [line["text"] for line in lines if line["what"] == "batch" and line["mark"] == "<"] == [
        "t to server:a (lz4, linked)"
    ] * 2
    assert payloads_of(lines, "<") == [noise] * 2 == payloads_of(lines, ">")
    assert not kinds(lines, "!")
    assert bench.core.outgoing.bodies == {}
    bench.core.tracing.end(1)
    assert bench.core.outgoing.bodies is None


def test_a_linked_batch_that_is_not_the_next_is_shown_as_malformed(bench: Bench) -> None:
    Peer(bench, "server:a").attach()
    player = Peer(bench, "player:1").attach()
    noise = Random(1).randbytes(400)
    player.send("t", "server:a", payload=noise)
    read = begin(bench, "player:1")
    player.send_batch([player.event("t", "server:a", payload=noise)], number=9)
    bench.turn()
    errors = [line["text"] for line in read() if line["mark"] == "!"]
    assert len(errors) == 1
    assert "refers to batches that are not known here" in errors[0]


# Bounds


@pytest.mark.parametrize("name", ["player", "plyer:1", "player:", 7, None, "player:" + "x" * 100])
def test_nobodys_name_is_refused(bench: Bench, name: object) -> None:
    with pytest.raises(ValueError, match="can be nobody's name"):
        bench.core.tracing.begin(name, bench.now)
    assert bench.core.tracing.tap is None


def test_there_are_at_most_so_many_traces(bench: Bench) -> None:
    numbers = [bench.core.tracing.begin(f"player:{number}", bench.now) for number in range(MAX_TRACES)]
    with pytest.raises(ValueError, match=r"4 traces are on, the limit \(player:0, player:1, .*end one"):
        bench.core.tracing.begin("player:9", bench.now)
    bench.core.tracing.end(numbers[0])
    bench.core.tracing.begin("player:9", bench.now)


def test_a_reader_that_is_too_slow_loses_the_oldest_lines_and_is_told(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tracing, "TRACE_LINES", 10)
    monkeypatch.setattr(tracing, "ANSWER_LINES", 4)
    player = Peer(bench, "player:1").attach()
    number = bench.core.tracing.begin("player:1", bench.now)
    for _ in range(8):
        player.ping()
    bench.turn()
    answer = bench.core.tracing.read(number, bench.now)
    assert (answer["lost"], len(answer["lines"]), answer["left"]) == (17 - 10, 4, 6)
    answer = bench.core.tracing.read(number, bench.now)
    assert (answer["lost"], len(answer["lines"]), answer["left"]) == (0, 4, 2)
    assert TRACE_LINES == 4096


def test_a_trace_that_nobody_reads_ends(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "lanebus.broker")
    tracer = bench.core.tracing
    forgotten, read = tracer.begin("player:1", bench.now), tracer.begin("player:2", bench.now)
    bench.advance(UNREAD_S / 2)
    tracer.read(read, bench.now)
    bench.advance(UNREAD_S / 2 + 2.0)
    with pytest.raises(
        ValueError, match=f"no trace {forgotten} is on: one that is not read for 10 s is over"
    ):
        tracer.read(forgotten, bench.now)
    tracer.read(read, bench.now)
    assert tracer.end(read)
    assert not tracer.end(read)
    assert tracer.tap is None
    assert [record.getMessage() for record in caplog.records] == [
        "= trace of player:1 begins",
        "= trace of player:2 begins",
        "= trace of player:1 ends",
        "= trace of player:2 ends",
    ]
    bench.advance(3.0)
    # One that begins later is looked after as well.
    tracer.begin("player:3", bench.now)
    bench.advance(UNREAD_S + 2.0)
    assert tracer.tap is None


@pytest.mark.parametrize("number", [99, "1", None])
def test_no_trace_of_that_number(bench: Bench, number: object) -> None:
    with pytest.raises(ValueError, match="no trace"):
        bench.core.tracing.read(number, bench.now)
    assert not bench.core.tracing.end(number)


def test_what_a_trace_remembers_of_links_requests_and_senders_is_bounded(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("_ROUTES", "_REQUESTS", "_SENDERS"):
        monkeypatch.setattr(tracing, name, 2)
    gateway, player = Peer(bench, "gateway:g").attach(), Peer(bench, "player:1")
    begin(bench, "player:1")
    begin(bench, "player:7")
    (first, second) = bench.core.tracing._traces.values()
    for _ in range(3):
        player.attach()
    for index in range(1, 5):
        gateway.open(index, "player:7")
        gateway.close(index)
    for number in range(3):
        server = Peer(bench, f"server:{number}").attach()
        server.send("t", "player:1")
        bench.advance(0.1)
    assert len(first.routes) == 2
    assert len(second.requests) == 2
    assert len(first.senders) <= 2


def test_an_event_from_the_future_is_of_no_age(bench: Bench) -> None:
    server = Peer(bench, "server:a").attach()
    Peer(bench, "player:1").attach()
    bench.now = 1.0
    event = server.event("t", "player:1")
    bench.now = 0.5
    read = begin(bench, "player:1")
    server.send_batch([event])
    bench.advance(0.1)
    assert [line["age_ms"] for line in read() if line["mark"] == ">"] == [0.0]
    assert ticks(1.0) == event.stamp
