"""A real broker in a thread, and waiting for states of real adapters with a deadline."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from types import TracebackType

import msgspec

from lanebus.adapters.base import Adapter
from lanebus.broker.driver import Broker
from lanebus.cli.ports import free_ports
from lanebus.conf.model import Config, LanesConfig, SessionsConfig
from lanebus.wire.lanes import LANES

DEADLINE_S = 20.0


def _on_ports(config: Config, ports: list[int]) -> Config:
    replace = msgspec.structs.replace
    lanes = {
        lane.label: replace(getattr(config.lanes, lane.label), port=port)
        for lane, port in zip(LANES, ports, strict=False)
    }
    control = replace(config.control, port=ports[len(LANES)])
    return replace(config, lanes=LanesConfig(**lanes), control=control)


class RunningBroker:
    """A broker on free ports of this machine, which can stop and come back on the same ones."""

    def __init__(self, config: Config | None = None) -> None:
        # None of those that the system gives to outgoing connections: one could take it while the broker is away.
        self._config = _on_ports(
            config or Config(sessions=SessionsConfig(recovery_s=0.0)), free_ports(["127.0.0.1"])
        )
        self._thread: threading.Thread | None = None
        self.broker = Broker(self._config)

    @property
    def address(self) -> str:
        """Of the critical lane."""
        return self.broker.addresses["critical"]

    def start(self) -> None:
        """Bind and serve."""
        self.broker.bind()
        self._thread = threading.Thread(target=self.broker.run, name="broker")
        self._thread.start()

    def stop(self) -> None:
        """Say goodbye to everybody, and end."""
        if self._thread is not None:
            self.broker.stop()
            self._thread.join(DEADLINE_S)
            assert not self._thread.is_alive(), "the broker did not stop"
            self._thread = None
        self.broker.close()

    def come_back(self) -> None:
        """A new broker on the same ports."""
        self.broker = Broker(self._config)
        self.start()

    def __enter__(self) -> RunningBroker:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def quick_sessions(*, grace_s: float = 30.0) -> Config:
    """A configuration whose leases are short."""
    return Config(sessions=SessionsConfig(grace_s=grace_s, recovery_s=0.0, ping_interval_s=0.1, lease_s=0.5))


def until(reached: Callable[[], bool], *adapters: Adapter, what: str, seconds: float = DEADLINE_S) -> None:
    """Poll adapters until a state is reached.

    Raises:
        AssertionError: it was not in time.
    """
    deadline = time.monotonic() + seconds
    while not reached():
        assert time.monotonic() < deadline, f"not reached within {seconds:g} s: {what}"
        for adapter in adapters:
            adapter.wait(0.002)
        if not adapters:
            time.sleep(0.002)
