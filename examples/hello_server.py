"""The smallest server: `python -m lanebus.examples.hello_server`, with a broker running."""

import sys
from contextlib import suppress

import lanebus

server = lanebus.ServerAdapter("greeter-1", service="greeter")


@server.on("player.hello")
def hello(event: lanebus.Event) -> None:
    """Answer whoever greets."""
    server.send("greeter.reply", {"text": f"welcome, {event.sender}"}, to=event.sender, lane="critical")


def main() -> None:
    """Serve until Ctrl-C."""
    with suppress(KeyboardInterrupt), server:
        while True:
            server.wait(timeout_s=1.0)


if __name__ == "__main__":
    try:
        main()
    except lanebus.NotConnected as error:
        sys.exit(f"{error}; start one with: lanebus broker")
