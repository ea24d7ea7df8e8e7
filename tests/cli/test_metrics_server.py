"""The server of metrics: what it keeps, what it answers, how many it serves."""

import socket
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from tests.broker.bench import Bench
from tests.cli.test_metrics_text import ask as answer_of
from tests.cli.test_metrics_text import parsed

from lanebus.cli import metrics_server
from lanebus.cli.exits import CliError, Exit
from lanebus.cli.metrics_server import MetricsServer, Readings, address_of, written
from lanebus.cli.metrics_text import CONTENT_TYPE


class Endpoint:
    """What is asked: counts how often."""

    def __init__(self, bench: Bench | None = None) -> None:
        self.asked = 0
        self.gone = False
        self.answer = answer_of(bench or Bench())

    def __call__(self) -> dict[str, Any]:
        self.asked += 1
        if self.gone:
            raise CliError("the broker is not there", Exit.UNAVAILABLE)
        return self.answer


# Readings


def test_an_answer_is_given_for_a_second_and_so_is_the_lack_of_one() -> None:
    endpoint, now = Endpoint(), 50.0
    readings = Readings(endpoint, clock=lambda: now)
    first = readings.get()
    assert first.health == "ok"
    assert "lanebus_up 1\n" in first.metrics
    now = 50.99
    assert readings.get() is first
    assert endpoint.asked == 1
    now = 51.0
    endpoint.gone = True
    gone = readings.get()
    assert (gone.metrics.splitlines()[-1], gone.health) == ("lanebus_up 0", "the broker is not there")
    assert readings.get() is gone
    assert endpoint.asked == 2


@pytest.mark.parametrize(
    ("held_bytes", "health", "serves"),
    [
        (0, "degraded: it is draining", True),
        (
            1000,
            "failing: its budget is used up and nothing is accepted: 100% of 1,000 bytes; it is draining",
            False,
        ),
    ],
)
def test_a_broker_that_is_not_well_says_how_badly_and_why(held_bytes: int, health: str, serves: bool) -> None:
    bench = Bench()
    bench.core.budget.limit_bytes, bench.core.budget.held_bytes = 1000, held_bytes
    bench.core.draining.begin(0.0, 5.0)
    bench.advance(1.1)
    reading = Readings(Endpoint(bench)).get()
    assert (reading.health, reading.serves) == (health, serves)


def test_threads_share_one_question() -> None:
    endpoint = Endpoint()
    readings = Readings(endpoint, clock=lambda: 0.0)
    threads = [threading.Thread(target=readings.get) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert endpoint.asked == 1


# Serving


@contextmanager
def serving(endpoint: Endpoint) -> Iterator[MetricsServer]:
    with MetricsServer(("127.0.0.1", 0), Readings(endpoint)) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join(10)


def get(url: str, method: str = "GET") -> tuple[int, str, str]:
    """Status, content type and text of an answer."""
    request = urllib.request.Request(url, method=method)
    try:
        with urllib.request.urlopen(request, timeout=10) as response:
            return response.status, response.headers["Content-Type"], response.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.headers["Content-Type"], error.read().decode()


@pytest.mark.system
def test_metrics_and_health_are_served() -> None:
    endpoint = Endpoint()
    with serving(endpoint) as server:
        status, content_type, text = get(f"{server.url}/metrics?x=1")
        assert (status, content_type) == (200, CONTENT_TYPE)
        assert parsed(text)["lanebus_up"].samples[0].value == 1
        assert get(f"{server.url}/healthz") == (200, "text/plain; charset=utf-8", "ok\n")
        assert get(f"{server.url}/metrics", "HEAD") == (200, CONTENT_TYPE, "")
        assert get(f"{server.url}/") == (
            404,
            "text/plain; charset=utf-8",
            "there are /metrics and /healthz\n",
        )
        assert endpoint.asked == 1


@pytest.mark.system
def test_health_is_a_status_too() -> None:
    endpoint = Endpoint()
    endpoint.answer["status"] |= {"health": "degraded", "reasons": ["it is draining", "its loop is late"]}
    with serving(endpoint) as server:
        assert get(f"{server.url}/healthz")[::2] == (200, "degraded: it is draining; its loop is late\n")
    endpoint.answer["status"]["health"] = "failing"
    with serving(endpoint) as server:
        assert get(f"{server.url}/healthz")[::2] == (503, "failing: it is draining; its loop is late\n")


@pytest.mark.system
def test_without_a_broker_health_says_so() -> None:
    endpoint = Endpoint()
    endpoint.gone = True
    with serving(endpoint) as server:
        assert get(f"{server.url}/healthz")[::2] == (503, "the broker is not there\n")
        assert get(f"{server.url}/metrics")[0] == 200


@pytest.mark.system
def test_there_are_at_most_so_many_connections(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics_server, "MAX_CONNECTIONS", 2)
    with serving(Endpoint()) as server:
        host, port = server.server_address[:2]
        address = (str(host), int(port))
        silent = [socket.create_connection(address, 10) for _ in range(2)]
        with socket.create_connection(address, 10) as third:
            assert third.recv(1) == b"", "it should have been hung up on"
        for each in silent:
            each.close()
        deadline = threading.Event()
        for _ in range(200):
            try:
                assert get(f"{server.url}/healthz")[0] == 200
                break
            except (urllib.error.URLError, ConnectionError):
                deadline.wait(0.05)
        else:
            pytest.fail("no place became free")


@pytest.mark.system
def test_an_address_that_is_taken_is_named() -> None:
    with serving(Endpoint()) as server:
        host, port = server.server_address[:2]
        with pytest.raises(
            CliError, match=f"cannot listen on 127.0.0.1:{port}: address already in use"
        ) as error:
            MetricsServer((str(host), int(port)), Readings(Endpoint()))
    assert error.value.code == Exit.PORT_BUSY


# Addresses


@pytest.mark.parametrize(
    ("text", "address"),
    [("127.0.0.1:9464", ("127.0.0.1", 9464)), ("localhost:0", ("localhost", 0)), ("[::1]:80", ("::1", 80))],
)
def test_addresses(text: str, address: tuple[str, int]) -> None:
    assert address_of(text) == address
    assert written(address) == text


@pytest.mark.parametrize(
    "text", ["", "9464", ":9464", "host", "host:port", "host:99999", "http://h:1", "h:1/x", "[::1:2"]
)
def test_what_is_no_address(text: str) -> None:
    with pytest.raises(CliError, match="HOST:PORT") as error:
        address_of(text)
    assert error.value.code == Exit.USAGE
