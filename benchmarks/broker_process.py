"""A broker on ports that stay the same when it is started again."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from contextlib import ExitStack


def start_broker(port: int) -> subprocess.Popen[bytes]:
    """A broker on `port` and the three behind it, once it is bound."""
    broker = subprocess.Popen(
        [sys.executable, "-m", "lanebus.cli.main", "broker", "--port", str(port), "--announce"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    assert broker.stdout is not None
    if not broker.stdout.readline():
        raise SystemExit(f"the broker ended with status {broker.wait()}")
    return broker


def free_port() -> int:
    """The first of four ports in a row that nobody listens on."""
    for port in range(20_000 + os.getpid() % 1000 * 20, 60_000, 4):
        with ExitStack() as stack:
            try:
                for each in range(port, port + 4):
                    stack.enter_context(socket.create_server(("127.0.0.1", each)))
            except OSError:
                continue
            return port
    raise SystemExit("no four free ports in a row")
