"""Every bus carries what it is given, to the last event; those that are not installed are passed over."""

import time
from typing import Any

import pytest
from benchmarks.lab.load import Flow
from benchmarks.lab.pair import run_pair
from benchmarks.lab.processes import Child, Failed, Words, cpu_s, rss_bytes
from benchmarks.measures.fanout import KINDS as FANOUT_KINDS
from benchmarks.rivals.all import KINDS
from benchmarks.rivals.base import Address, Rival
from benchmarks.rivals.subscribers import (
    MARK,
    drain,
    jetstream_answer,
    mqtt1_answer,
    no_answer,
    streams_answer,
)

pytestmark = pytest.mark.system

DATA = [{"unit": 7, "x": 81.5, "mark": MARK.decode()}]


def present(rival: Rival) -> Rival:
    why = rival.missing()
    if why:
        pytest.skip(why)
    return rival


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_everything_that_is_sent_is_handled(kind: type[Rival]) -> None:
    rival = present(kind())
    with rival.server() as address:
        flows = [Flow("critical", 20, 200.0), Flow("low", 500)]
        outcome = run_pair(rival, address, flows, DATA, timeout_s=30.0)
    assert (outcome.sent, outcome.handled) == (520, 520)
    assert len(outcome.latencies_s["critical"]) == 20
    assert all(0.0 < late_s < 10.0 for late_s in outcome.latencies_s["critical"])
    assert outcome.took_s > 0.09
    assert outcome.broker_cpu_s > 0.0
    assert outcome.broker_rss_bytes > 1_000_000


def test_what_is_sent_beside_is_no_part_of_the_measure() -> None:
    rival = KINDS[0]()
    with rival.server() as address:
        flows = [Flow("critical", 20, 100.0)]
        outcome = run_pair(rival, address, flows, DATA, beside=[Flow("low", None, 500.0)], timeout_s=30.0)
    assert outcome.sent == 20
    assert len(outcome.latencies_s["critical"]) == 20
    assert outcome.notes["beside_per_s"] == pytest.approx(500.0, rel=0.5)


@pytest.mark.parametrize("kind", FANOUT_KINDS, ids=lambda kind: kind.name)
def test_plain_subscribers_read_what_a_client_would(kind: type[Rival]) -> None:
    rival = present(kind())
    with rival.server() as address:
        host, _, port = address.url.rpartition("/")[2].partition(":")
        with Child("subscribers", drain, host, int(port), rival.name, 5) as subscribers:
            subscribers.hear(10.0)
            with Child("publisher", publish, rival, address) as publisher:
                publisher.hear(10.0)
            subscribers.tell("end")
            found, _ = subscribers.hear(10.0)
    assert found == 5 * 10


def publish(words: Words, rival: Rival, address: Address) -> None:
    from benchmarks.lab.load import Load

    rival.send(address, Load([Flow("normal", 10, 100.0)], DATA, in_flight=100))


PUBLISH = b"\x32\x8c\x01\x00\x02ab\x01\x02" + bytes(134)
ENTRIES = b"*1\r\n*2\r\n$6\r\nbench.\r\n*2\r\n"
ENTRIES += b"".join(b"*2\r\n$3\r\n%d-0\r\n*2\r\n$1\r\nd\r\n$4\r\n\r\nxx\r\n" % number for number in (7, 8))
MESSAGE = b"MSG bench.normal 2 $JS.ACK.%d 4\r\n\r\nxx\r\n"


def test_every_whole_mqtt_message_is_acknowledged_by_its_number() -> None:
    connack = b"\x20\x02\x00\x00"
    assert mqtt1_answer(connack + PUBLISH + PUBLISH[:50]) == (
        b"\x40\x02\x01\x02",
        len(connack + PUBLISH),
    )
    for cut in range(len(PUBLISH)):
        assert mqtt1_answer(PUBLISH[:cut]) == (b"", 0)


def test_a_stream_is_read_on_from_its_last_entry() -> None:
    said, end = streams_answer(ENTRIES)
    assert said.endswith(b"STREAMS bench. 8-0\r\n")
    assert end == len(ENTRIES)
    for cut in range(len(ENTRIES)):
        assert streams_answer(ENTRIES[:cut]) == (b"", 0)


def test_the_last_whole_message_is_acknowledged_for_all() -> None:
    info = b"INFO {}\r\nMSG _made.0 1 2\r\n{}\r\n"
    both = info + MESSAGE % 1 + MESSAGE % 2
    assert jetstream_answer(both + (MESSAGE % 3)[:-1]) == (b"PUB $JS.ACK.2 4\r\n+ACK\r\n", len(both))
    assert jetstream_answer(info) == (b"", len(info))


def test_a_mark_that_comes_in_two_pieces_is_found() -> None:
    whole = b"xxxx" + MARK + b"yy"
    for cut in range(len(whole)):
        _, first = no_answer(whole[:cut])
        rest = whole[first:]
        _, end = no_answer(rest)
        assert whole.count(MARK, 0, first) + rest.count(MARK, 0, end) == 1


def test_a_child_that_fails_says_why(capfd: pytest.CaptureFixture[str]) -> None:
    def fail(words: Words) -> Any:
        raise ValueError("no such thing")

    with (
        pytest.raises(Failed, match="the failing one: ValueError: no such thing"),
        Child("the failing one", fail) as child,
    ):
        child.hear(5.0)
    assert "no such thing" in capfd.readouterr().err


def test_a_child_costs_what_it_does() -> None:
    def work(words: Words) -> float:
        until_s = time.process_time() + 0.05
        while time.process_time() < until_s:
            pass
        words.say(time.process_time())
        words.heard(5.0)
        return 0.0

    with Child("the busy one", work) as child:
        spent_s = child.hear(5.0)
        assert cpu_s([child.pid]) == pytest.approx(spent_s, abs=0.03)
        assert rss_bytes([child.pid]) > 1_000_000
        child.tell("end")
        child.hear(5.0)
        pid = child.pid
    assert (cpu_s([pid]), rss_bytes([pid])) == (0.0, 0)
