"""MQTT through Mosquitto and paho-mqtt, QoS 0 and 1."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, ClassVar, Final

from benchmarks.lab.load import LANES, Inbox, Load
from benchmarks.rivals.base import HOST, Address, ServedRival, decode, encode

_MOST_IN_FLIGHT: Final = 20_000
"""Below MQTT's own limit of 65,535 packet numbers."""
_TOPIC: Final = "bench/"


class MqttQos0(ServedRival):
    """Fire and forget."""

    name: ClassVar[str] = "mqtt0"
    title: ClassVar[str] = "MQTT QoS 0"
    promise: ClassVar[str] = "at most once: nobody confirms anything"
    settings: ClassVar[str] = (
        "Mosquitto with `max_queued_messages 0`, `set_tcp_nodelay true`, no persistence; paho-mqtt, its network loop "
        "driven between publishes"
    )
    command: ClassVar[str] = "mosquitto"
    install: ClassVar[str] = "apt-get install mosquitto"
    packages: ClassVar[tuple[str, ...]] = ("paho",)
    qos: ClassVar[int] = 0

    def options(self, port: int, folder: Path) -> list[str]:
        (folder / "conf").write_text(
            f"listener {port} {HOST}\nallow_anonymous true\nset_tcp_nodelay true\npersistence false\n"
            f"max_queued_messages 0\nmax_inflight_messages {_MOST_IN_FLIGHT}\nlog_type error\n"
            # As root it would become a user that cannot read its configuration.
            "user root\n"
        )
        return ["-c", str(folder / "conf")]

    def receive(self, address: Address, inbox: Inbox) -> None:
        client = self._client(address, "receiver")
        granted: list[int] = []
        client.on_message = lambda client, data, message: inbox.handle(decode(message.payload))
        client.on_subscribe = lambda client, data, number, codes, properties: granted.append(number)
        client.subscribe([(_TOPIC + lane, self.qos) for lane in LANES])
        while not granted:
            client.loop(0.1)
        inbox.ready()
        while not inbox.over():
            client.loop(0.02)
        client.disconnect()

    def send(self, address: Address, load: Load) -> None:
        client = self._client(address, load.name)
        confirmed = 0

        def count(*_: Any) -> None:
            nonlocal confirmed
            confirmed += 1

        client.on_publish = count
        most = min(load.in_flight, _MOST_IN_FLIGHT)
        load.begin()
        while (events := load.take()) is not None:
            if not events:
                client.loop(load.rest())
                continue
            for flow, payload in events:
                client.publish(_TOPIC + flow.lane, encode(payload), qos=self.qos)
            client.loop(0.0)
            while load.sent() - confirmed > most:
                client.loop(0.01)
        deadline = time.monotonic() + 30.0
        while confirmed < load.sent() and time.monotonic() < deadline:
            client.loop(0.01)
        client.disconnect()

    def _client(self, address: Address, name: str) -> Any:
        from paho.mqtt.client import Client
        from paho.mqtt.enums import CallbackAPIVersion

        client = Client(CallbackAPIVersion.VERSION2, client_id=name)
        client.max_inflight_messages_set(_MOST_IN_FLIGHT)
        client.max_queued_messages_set(0)
        connected: list[Any] = []
        client.on_connect = lambda client, data, flags, code, properties: connected.append(code)
        host, _, port = address.url.partition(":")
        client.connect(host, int(port))
        while not connected:
            client.loop(0.1)
        return client


class MqttQos1(MqttQos0):
    """At least once on each hop."""

    name: ClassVar[str] = "mqtt1"
    title: ClassVar[str] = "MQTT QoS 1"
    promise: ClassVar[str] = (
        "at least once: the sender knows that the server has it, the server that the client has it"
    )
    settings: ClassVar[str] = f"{MqttQos0.settings}; up to {_MOST_IN_FLIGHT:,} under way"
    confirms: ClassVar[bool] = True
    qos: ClassVar[int] = 1
