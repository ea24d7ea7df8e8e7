"""Every bus carries what it is given, to the last event; those that are not installed are passed over."""

import time
from typing import Any

import pytest
from benchmarks.lab.load import Flow
from benchmarks.lab.pair import run_pair
from benchmarks.lab.processes import Child, Failed, Words, cpu_s, rss_bytes
from benchmarks.measures.fanout import BareFanOut
from benchmarks.rivals.all import KINDS
from benchmarks.rivals.base import Address, Rival
from benchmarks.rivals.mqtt import MqttQos0
from benchmarks.rivals.nats_core import NatsCore
from benchmarks.rivals.redis_server import RedisPubSub
from benchmarks.rivals.subscribers import GREETINGS, MARK, drain

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


@pytest.mark.parametrize("kind", [BareFanOut, NatsCore, RedisPubSub, MqttQos0], ids=lambda kind: kind.name)
def test_plain_subscribers_read_what_a_client_would(kind: type[Rival]) -> None:
    rival = present(kind())
    with rival.server() as address:
        host, _, port = address.url.rpartition("/")[2].partition(":")
        with Child("subscribers", drain, host, int(port), GREETINGS[rival.name], 5) as subscribers:
            subscribers.hear(10.0)
            with Child("publisher", publish, rival, address) as publisher:
                publisher.hear(10.0)
            subscribers.tell("end")
            found, _ = subscribers.hear(10.0)
    assert found == 5 * 10


def publish(words: Words, rival: Rival, address: Address) -> None:
    from benchmarks.lab.load import Load

    rival.send(address, Load([Flow("normal", 10, 100.0)], DATA, in_flight=100))


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
