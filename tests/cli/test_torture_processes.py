"""Children of a torture: what they say is heard, and those that do not start are told of."""

import signal
import time
from pathlib import Path

import pytest

from lanebus.cli.exits import CliError, Exit
from lanebus.cli.ports import free_ports
from lanebus.cli.torture_processes import Child, Proxy

pytestmark = pytest.mark.system

HOSTS = ["127.0.0.1", "127.0.1.1"]


def route(port: int, target_port: int) -> dict[str, object]:
    return {
        "name": "one",
        "lane": "low",
        "host": HOSTS[1],
        "port": port,
        "target_host": HOSTS[0],
        "target_port": target_port,
    }


def test_a_proxy_obeys_survives_a_stop_and_is_killed(tmp_path: Path) -> None:
    ports = free_ports(HOSTS)
    proxy = Proxy([route(ports[0], ports[1])], tmp_path / "err")
    try:
        assert proxy.order("list") == {"ok": True, "connections": []}
        with pytest.raises(CliError, match="the proxy refuses explode"):
            proxy.order("explode")
        proxy.signal(signal.SIGSTOP)
        proxy.tell({"do": "list"})
        time.sleep(0.05)
        assert proxy.alive()
        assert proxy.heard() == []
        proxy.signal(signal.SIGCONT)
        assert proxy.first_line() == b'{"ok":true,"connections":[]}'
    finally:
        proxy.kill()
    assert not proxy.alive()
    assert proxy.last_words() == "status -9: it said nothing"
    proxy.signal(signal.SIGCONT)
    proxy.tell({"do": "list"})
    proxy.kill()


def test_a_child_ends_with_its_input(tmp_path: Path) -> None:
    ports = free_ports(HOSTS)
    proxy = Proxy([route(ports[0], ports[1])], tmp_path / "err")
    assert proxy.pid > 0
    assert proxy.end() == Exit.OK


def test_a_child_that_does_not_start_is_told_of_with_its_last_words(tmp_path: Path) -> None:
    child = Child("the proxy", "lanebus.cli.fault_proxy", [], tmp_path / "err")
    with pytest.raises(CliError, match=r"the proxy did not start: status 2: usage: fault_proxy") as caught:
        child.first_line()
    assert caught.value.code == Exit.UNAVAILABLE
    child.kill()
