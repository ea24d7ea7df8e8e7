"""The webhook against a real HTTP server: one that is well, slow, down, or does not want what it gets."""

import logging
import socket
import time
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from tests.broker.hook import Hook, wait_until

from lanebus.broker import webhook as module
from lanebus.broker.alerts import Alert, AlertKind, Alerts
from lanebus.broker.webhook import ATTEMPTS, Webhook
from lanebus.wire.lanes import Lane

pytestmark = pytest.mark.system


def alert(number: int = 1) -> Alert:
    made = Alert(AlertKind.SLOW_RECEIVER, f"player:{number}", Lane.LOW, 10.0)
    made.update({"held_bytes": 900})
    return made


@pytest.fixture
def hook() -> Iterator[Hook]:
    with Hook() as running:
        yield running


def a_webhook(url: str, timeout_s: float = 5.0) -> Webhook:
    webhook = Webhook(url, "bus-1", timeout_s=timeout_s, first_wait_s=0.01)
    webhook.start()
    return webhook


@pytest.fixture
def webhook(hook: Hook) -> Iterator[Webhook]:
    webhook = a_webhook(hook.url)
    yield webhook
    webhook.close()


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def test_the_beginning_and_the_end_of_an_alert_are_posted(hook: Hook, webhook: Webhook) -> None:
    alerts = Alerts(60.0)
    alerts.listeners.append(webhook.offer)
    episode = alerts.begin(AlertKind.SLOW_RECEIVER, "player:1", 10.0, {"held_bytes": 900}, lane=Lane.LOW)
    alerts.end(episode, 12.5)
    wait_until(lambda: webhook.posted == 2, "both")
    first, last = hook.got
    at = datetime.fromisoformat(first.pop("at"))
    assert abs((datetime.now(UTC) - at).total_seconds()) < 60.0
    assert first == {
        "broker": "bus-1",
        "kind": "slow_receiver",
        "peer": "player:1",
        "lane": "low",
        "is_over": False,
        "lasted_s": 0.0,
        "held_back": 0,
        "held_bytes": 900,
        "peak_held_bytes": 900,
        "lost": 0,
    }
    assert (last["is_over"], last["lasted_s"]) == (True, 2.5)
    assert hook.targets == ["/alerts?token=secret"] * 2
    assert hook.kinds == {"application/json"}


def test_what_an_unwell_server_does_not_take_is_posted_again(hook: Hook, webhook: Webhook) -> None:
    hook.status = 500
    webhook.offer(alert(), 10.0)
    wait_until(lambda: len(hook.got) >= 2, "the second attempt")
    hook.status = 204
    wait_until(lambda: webhook.posted, "a later attempt")
    assert (webhook.posted, webhook.lost) == (1, 0)


def test_a_failure_is_logged_once_and_what_was_lost_is_told(
    hook: Hook, webhook: Webhook, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "lanebus.broker")
    hook.status = 500
    for number in (1, 2):
        webhook.offer(alert(number), 10.0)
    wait_until(lambda: webhook.lost == 2, "the end of all attempts")
    assert len(hook.got) == 2 * ATTEMPTS
    hook.status = 200
    for number in (3, 4):
        webhook.offer(alert(number), 10.0)
    wait_until(lambda: webhook.posted == 2, "the next ones")
    assert [(got["peer"], got["lost"]) for got in hook.got[-2:]] == [("player:3", 2), ("player:4", 0)]
    where = f"http://127.0.0.1:{hook.port}"
    assert [record.getMessage() for record in caplog.records] == [
        f"! alerts do not reach {where}: status 500 Internal Server Error",
        f"= alerts reach {where} again, 2 were lost",
    ]
    assert "secret" not in caplog.text


@pytest.mark.parametrize("status", [302, 400, 404])
def test_what_will_never_be_taken_is_not_posted_again(hook: Hook, webhook: Webhook, status: int) -> None:
    hook.status = status
    webhook.offer(alert(), 10.0)
    wait_until(lambda: webhook.lost == 1, "the end of it")
    assert hook.targets == ["/alerts?token=secret"]


def test_a_server_that_asks_to_wait_is_asked_again(hook: Hook, webhook: Webhook) -> None:
    hook.status = 429
    webhook.offer(alert(), 10.0)
    wait_until(lambda: webhook.lost == 1, "the end of all attempts")
    assert len(hook.got) == ATTEMPTS


def test_a_server_that_is_down_gets_what_comes_when_it_is_up(caplog: pytest.LogCaptureFixture) -> None:
    port = free_port()
    webhook = a_webhook(f"http://127.0.0.1:{port}/")
    webhook.offer(alert(1), 10.0)
    wait_until(lambda: webhook.lost == 1, "the end of all attempts")
    assert "! alerts do not reach" in caplog.text
    with Hook(port) as hook:
        webhook.offer(alert(2), 10.0)
        wait_until(lambda: webhook.posted == 1, "the next one")
        assert [(got["peer"], got["lost"]) for got in hook.got] == [("player:2", 1)]
    webhook.close()


def test_a_server_that_does_not_answer_is_given_up_after_the_timeout(hook: Hook) -> None:
    webhook = a_webhook(hook.url, timeout_s=0.05)
    hook.silent.set()
    webhook.offer(alert(), 10.0)
    wait_until(lambda: webhook.lost == 1, "the timeouts")
    assert len(hook.got) == ATTEMPTS
    webhook.close()


def test_a_slow_server_costs_the_loop_nothing_and_the_oldest_of_those_that_wait(
    hook: Hook, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "QUEUED_ALERTS", 3)
    webhook = a_webhook(hook.url)
    hook.silent.set()
    webhook.offer(alert(0), 10.0)
    wait_until(lambda: len(hook.got) == 1, "the first request")
    began = time.monotonic()
    for number in range(1, 101):
        webhook.offer(alert(number), 10.0)
    assert time.monotonic() - began < 1.0
    assert (webhook.lost, [row["peer"] for row in webhook._queue]) == (
        97,
        ["player:98", "player:99", "player:100"],
    )
    webhook.close(0.1)


def test_something_that_does_not_speak_http_is_a_failure(caplog: pytest.LogCaptureFixture) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        webhook = a_webhook(f"http://127.0.0.1:{listener.getsockname()[1]}/")
        webhook.offer(alert(), 10.0)
        for _ in range(ATTEMPTS):
            connection, _ = listener.accept()
            with connection:
                connection.sendall(b"220 mail ready\r\n")
                # What was sent has to be read: closing before that would be a reset.
                while connection.recv(4096).find(b"}") < 0:
                    pass
        wait_until(lambda: webhook.lost == 1, "the end of all attempts")
        webhook.close()
    assert "! alerts do not reach" in caplog.text


def test_tls_to_a_server_without_it_is_a_failure(hook: Hook, caplog: pytest.LogCaptureFixture) -> None:
    webhook = a_webhook(hook.url.replace("http://", "https://"))
    webhook.offer(alert(), 10.0)
    wait_until(lambda: webhook.lost == 1, "the end of all attempts")
    assert "SSL" in caplog.text
    webhook.close()


# The end


def test_what_waits_is_posted_before_the_end(hook: Hook, webhook: Webhook) -> None:
    for number in range(20):
        webhook.offer(alert(number), 10.0)
    webhook.close(10.0)
    assert [got["peer"] for got in hook.got] == [f"player:{number}" for number in range(20)]
    webhook.close()


def test_the_end_waits_for_no_second_attempt(hook: Hook, caplog: pytest.LogCaptureFixture) -> None:
    webhook = Webhook(hook.url, "bus-1", timeout_s=5.0, first_wait_s=60.0)
    webhook.start()
    hook.status = 500
    webhook.offer(alert(), 10.0)
    wait_until(lambda: hook.got, "the first attempt")
    began = time.monotonic()
    webhook.close(5.0)
    assert time.monotonic() - began < 4.0
    assert webhook.lost == 1


def test_a_server_that_does_not_answer_holds_the_end_up_for_a_moment_alone(
    hook: Hook, caplog: pytest.LogCaptureFixture
) -> None:
    webhook = a_webhook(hook.url, timeout_s=60.0)
    hook.silent.set()
    for number in (1, 2):
        webhook.offer(alert(number), 10.0)
    wait_until(lambda: hook.got, "the first request")
    began = time.monotonic()
    webhook.close(0.2)
    assert time.monotonic() - began < 2.0
    assert "! 2 alerts did not reach" in caplog.text
    wait_until(lambda: not webhook._thread.is_alive(), "the end of the thread")
    assert len(hook.got) == 1


def test_one_that_was_never_started_ends_at_once() -> None:
    webhook = Webhook("http://127.0.0.1:9/", "bus-1", timeout_s=5.0)
    webhook.offer(alert(), 10.0)
    webhook.close()
