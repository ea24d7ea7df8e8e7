"""A real HTTP server that alerts are posted to, and that answers as a test wants."""

import json
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any

DEADLINE_S = 10.0


class Hook:
    """Listens on a free port, or on one that it had before."""

    def __init__(self, port: int = 0) -> None:
        self.status = 200
        self.silent = threading.Event()
        """Set: requests are read and get no answer."""
        self.got: list[dict[str, Any]] = []
        """What was posted, in the order in which it came; refused ones too."""
        self.targets: list[str] = []
        self.kinds: set[str] = set()
        """Content types."""
        self._end = threading.Event()
        hook = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                hook.targets.append(self.path)
                hook.kinds.add(self.headers["Content-Type"])
                hook.got.append(json.loads(body))
                if hook.silent.is_set():
                    hook._end.wait(DEADLINE_S)
                    return
                self.send_response(hook.status)
                self.send_header("Content-Length", "0")
                if hook.status == 302:
                    self.send_header("Location", "/elsewhere")
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:
                """Nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/alerts?token=secret"

    def __enter__(self) -> "Hook":
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


def wait_until(condition: Callable[[], object], what: str) -> None:
    """Wait for another thread, with a deadline."""
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline, f"waited {DEADLINE_S:g} s for {what}"
        time.sleep(0.005)
