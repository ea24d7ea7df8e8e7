"""The text of metrics, read back by the parser of Prometheus' own client."""

from collections.abc import Iterable
from typing import Any

from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families
from tests.broker.bench import Bench
from tests.broker.peer import Peer
from tests.broker.test_inspect import answer

from lanebus.broker.inspect import Inspector
from lanebus.broker.open_files import OpenFiles
from lanebus.cli.metrics_table import FAMILIES
from lanebus.cli.metrics_text import EXPONENTS, exposition, up
from lanebus.wire.kinds import Kind
from lanebus.wire.lanes import Lane

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def parsed(text: str) -> dict[str, Metric]:
    """The families in a text, by name."""
    return {family.name: family for family in text_string_to_metric_families(text)}


def samples_of(families: Iterable[Metric]) -> Samples:
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in families
        for sample in family.samples
    }


def ask(bench: Bench) -> dict[str, Any]:
    result: dict[str, Any] = answer(Inspector(bench.core, {}), {"command": "metrics"}, bench.now)["result"]
    return result


def test_every_metric_is_there_with_its_kind_and_labels() -> None:
    bench = Bench()
    server, player = Peer(bench, "server:a").attach(), Peer(bench, "player:1").attach()
    server.ask(Kind.REGISTER, service="combat", topics=["t"])
    server.send("t", "player:1", Lane.LOW)
    player.put(b"x")
    bench.core.bus.open_files = OpenFiles(20_000, 30)
    bench.advance(3.0)
    families = parsed(exposition(ask(bench)))
    for family in FAMILIES:
        found = families.pop(family.name.removesuffix("_total"))
        assert found.type == family.kind
        assert found.documentation == family.help
        if family.name != "lanebus_ping_mean_seconds":
            assert found.samples, family.name
        for sample in found.samples:
            assert set(sample.labels) - {"le"} == set(family.labels), family.name
    assert families == {}


def test_values_are_those_of_the_broker() -> None:
    bench = Bench()
    server, gateway = Peer(bench, "server:a").attach(), Peer(bench, "gateway:g").attach()
    gateway.open(1, "player:1", rtt_ms=30.0)
    server.send("topic", "player:1", Lane.NORMAL, b"12345")
    server.send("topic", "player:nobody", Lane.NORMAL)
    gateway.put(b"x")
    bench.advance(0.1)
    gateway.attach()
    gateway.settle_all()
    found = samples_of(parsed(exposition(ask(bench))).values())

    def value(name: str, **labels: str) -> float:
        return found[name, frozenset(labels.items())]

    assert value("lanebus_events_received_total", role="server", lane="normal") == 2
    assert value("lanebus_events_received_bytes_total", role="server", lane="normal") == 15
    assert value("lanebus_parts_sent_total", role="client", lane="normal") == 1
    assert value("lanebus_events_ended_total", lane="normal", outcome="delivered", reason="none") == 1
    assert (
        value("lanebus_events_ended_total", lane="normal", outcome="refused", reason="unknown_destination")
        == 1
    )
    assert value("lanebus_parts_ended_total", lane="normal", outcome="refused") == 1
    assert value("lanebus_sessions", role="client", quality="estimating") == 1
    assert value("lanebus_sessions_begun_total") == 2
    assert value("lanebus_sessions_ended_total") == 0
    assert value("lanebus_errors_total", error="short_frame") == 1
    assert value("lanebus_ping_mean_seconds") == 0.03
    assert value("lanebus_queue_limit_bytes") == bench.core.config.egress.queue_bytes
    assert value("lanebus_draining") == 0


def test_counters_do_not_fall_when_sessions_end() -> None:
    bench = Bench()
    counted: Samples = {}

    def look() -> None:
        nonlocal counted
        families = parsed(exposition(ask(bench))).values()
        now = samples_of(family for family in families if family.type in ("counter", "histogram"))
        assert {name: value for name, value in counted.items() if now[name] < value} == {}
        counted = now

    server = Peer(bench, "server:a").attach()
    for number in range(3):
        player = Peer(bench, f"player:{number}").attach()
        server.send("t", f"player:{number}", payload=b"123")
        player.send("t", "server:a")
        bench.advance(0.3)
        look()
        player.settle_all()
        if number == 2:
            server.settle_all()
        player.bye()
        look()
        bench.advance(1.5)
        look()
    server.bye()
    bench.advance(2.0)
    look()
    key = frozenset({("role", "client"), ("lane", "critical")})
    assert counted["lanebus_parts_sent_total", key] == counted["lanebus_events_received_total", key] == 3


def test_a_histogram_knows_its_bounds_exactly() -> None:
    bench = Bench()
    for value_us in (63, 64, 16_383, 16_384, 10_000_000):
        bench.core.counters.busy.record(value_us)
    found = samples_of([parsed(exposition(ask(bench)))["lanebus_turn_duration_seconds"]])
    name = "lanebus_turn_duration_seconds"
    buckets = {
        dict(labels)["le"]: value for (each, labels), value in found.items() if each == f"{name}_bucket"
    }
    assert len(buckets) == len(EXPONENTS) + 1
    assert [buckets[bound] for bound in ("6.4e-05", "0.000128", "0.016384", "0.032768", "+Inf")] == [
        1,
        2,
        3,
        4,
        5,
    ]
    assert found[f"{name}_count", frozenset()] == 5
    assert found[f"{name}_sum", frozenset()] == 10.032894


def test_labels_are_escaped() -> None:
    bench = Bench()
    found = ask(bench)
    found["status"]["name"] = 'a "quoted"\\ name\n'
    (sample,) = parsed(exposition(found))["lanebus_build_info"].samples
    assert sample.labels["name"] == 'a "quoted"\\ name\n'


def test_a_servers_own_metric() -> None:
    (sample,) = parsed(up(0))["lanebus_up"].samples
    assert sample.value == 0
