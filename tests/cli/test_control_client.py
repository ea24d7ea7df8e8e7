"""Questions to a control endpoint: answers, refusals, silence, and what is no broker at all."""

import socket
from collections.abc import Callable, Iterator
from threading import Thread
from typing import Any

import msgspec
import pytest
import zmq

from lanebus.cli.control_client import ControlClient, host_and_port
from lanebus.cli.exits import CliError, Exit

Reply = Callable[[dict[str, Any]], bytes | None]
Serve = Callable[[Reply], str]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Answer every question with what a function says, None for silence; gives the endpoint."""
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    threads: list[Thread] = []
    stop = "inproc://stop"
    stopper = context.socket(zmq.PUB)
    stopper.bind(stop)

    def started(reply: Reply) -> str:
        router = context.socket(zmq.ROUTER)
        port = router.bind_to_random_port("tcp://127.0.0.1")
        listener = context.socket(zmq.SUB)
        listener.connect(stop)
        listener.subscribe(b"")

        def answer() -> None:
            poller = zmq.Poller()
            poller.register(router, zmq.POLLIN)
            poller.register(listener, zmq.POLLIN)
            while True:
                ready = dict(poller.poll())
                if listener in ready:
                    break
                route, question = router.recv_multipart()
                said = reply(msgspec.msgpack.decode(question))
                if said is not None:
                    router.send_multipart([route, said])
            router.close(linger=0)
            listener.close(linger=0)

        thread = Thread(target=answer)
        thread.start()
        threads.append(thread)
        return f"tcp://127.0.0.1:{port}"

    yield started
    stopper.send(b"")
    for thread in threads:
        thread.join(10)
    stopper.close(linger=0)
    context.term()


def answer_of(value: object) -> bytes:
    return msgspec.msgpack.encode(value)


def test_an_answer(serve: Serve) -> None:
    endpoint = serve(lambda question: answer_of({"ok": True, "result": {"asked": question}}))
    with ControlClient(endpoint) as client:
        assert client.request("status") == {"asked": {"command": "status"}}
        assert client.request("audit") == {"asked": {"command": "audit"}}


def test_an_answer_of_nothing_is_an_answer(serve: Serve) -> None:
    with ControlClient(serve(lambda _: answer_of({"ok": True, "result": None}))) as client:
        assert client.request("queues") is None


def test_asking_without_waiting(serve: Serve) -> None:
    with ControlClient(serve(lambda _: answer_of({"ok": True, "result": 7}))) as client:
        assert client.answer() is None
        client.ask("status")
        assert client.answer(5000) == (7,)
        assert client.answer() is None


def test_a_refusal(serve: Serve) -> None:
    with ControlClient(serve(lambda _: answer_of({"ok": False, "error": "no command 'x'"}))) as client:
        with pytest.raises(CliError, match="refused: no command 'x'") as caught:
            client.request("x")
        assert caught.value.code == Exit.FAILED


@pytest.mark.parametrize(
    "nonsense", [b"hello", b"", answer_of([1]), answer_of({"result": 1}), answer_of(None)]
)
def test_what_is_no_broker(serve: Serve, nonsense: bytes) -> None:
    with ControlClient(serve(lambda _: nonsense)) as client:
        with pytest.raises(CliError, match="is no lanebus control endpoint") as caught:
            client.request("status")
        assert caught.value.code == Exit.BAD_DATA


def test_silence_and_a_late_answer(serve: Serve) -> None:
    questions: list[str] = []

    def reply(question: dict[str, Any]) -> bytes | None:
        questions.append(question["command"])
        return None if len(questions) == 1 else answer_of({"ok": True, "result": question["command"]})

    with ControlClient(serve(reply), timeout_s=0.2) as client:
        with pytest.raises(CliError, match=r"did not answer 'one' within 0\.2 s") as caught:
            client.request("one")
        assert caught.value.code == Exit.TIMEOUT
    with ControlClient(client.endpoint, timeout_s=10) as client:
        assert client.request("two") == "two"


def test_nobody() -> None:
    with ControlClient("tcp://127.0.0.1:9") as client:
        for _ in range(2):
            with pytest.raises(CliError, match="is not there: connection refused") as caught:
                client.request("status")
            assert caught.value.code == Exit.UNAVAILABLE


def test_a_host_that_does_not_exist() -> None:
    with ControlClient("tcp://no-such-host.invalid:5573") as client:
        with pytest.raises(CliError, match="cannot be found") as caught:
            client.request("status")
        assert caught.value.code == Exit.UNAVAILABLE


def test_closing_twice_is_no_error() -> None:
    client = ControlClient("tcp://127.0.0.1:9")
    client.close()
    client.close()


@pytest.mark.parametrize(
    ("endpoint", "host", "port"),
    [
        ("tcp://127.0.0.1:5573", "127.0.0.1", 5573),
        ("tcp://[::1]:80", "::1", 80),
        ("tcp://bus.local:1", "bus.local", 1),
    ],
)
def test_endpoints(endpoint: str, host: str, port: int) -> None:
    assert host_and_port(endpoint) == (host, port)


@pytest.mark.parametrize(
    "endpoint", ["", "5573", "tcp://a", "tcp://a:0", "tcp://a:99999", "ipc:///x", "tcp://a:1/x"]
)
def test_no_endpoints(endpoint: str) -> None:
    with pytest.raises(CliError, match="tcp://HOST:PORT") as caught:
        host_and_port(endpoint)
    assert caught.value.code == Exit.USAGE


@pytest.mark.parametrize(
    ("greeting", "code", "words"),
    [
        (b"SSH-2.0-OpenSSH_9.6\r\n", Exit.BAD_DATA, "is no lanebus control endpoint"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", Exit.BAD_DATA, "is no lanebus control endpoint"),
        (b"", Exit.UNAVAILABLE, "hangs up at once"),
    ],
)
def test_something_else_behind_the_port_is_named_at_once(greeting: bytes, code: Exit, words: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            connection, _ = server.accept()
            connection.sendall(greeting)
            connection.close()

        thread = Thread(target=answer)
        thread.start()
        with (
            ControlClient(f"tcp://127.0.0.1:{server.getsockname()[1]}", timeout_s=30.0) as client,
            pytest.raises(CliError, match=words) as caught,
        ):
            client.request("status")
        thread.join()
    assert caught.value.code == code


@pytest.mark.parametrize("host", ["a..b", f"{'x' * 64}.example", "\u2024.example"])
def test_what_is_no_name_of_a_host_cannot_be_found(host: str) -> None:
    with ControlClient(f"tcp://{host}:5573") as client, pytest.raises(CliError, match="found") as caught:
        client.request("status")
    assert caught.value.code == Exit.UNAVAILABLE


@pytest.mark.parametrize(
    "endpoint", ["tcp://me@h:1", "tcp://h:1#x", "tcp://h:1/", "tcp://h:99999", "tcp://h:0"]
)
def test_an_endpoint_is_a_host_and_a_port_alone(endpoint: str) -> None:
    with pytest.raises(CliError) as caught:
        ControlClient(endpoint)
    assert caught.value.code == Exit.USAGE


@pytest.mark.parametrize("endpoint", ["tcp://LOCALHOST:1", "tcp://[::1]:1"])
def test_hosts_are_written_as_elsewhere(endpoint: str) -> None:
    ControlClient(endpoint).close()
