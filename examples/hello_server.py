"""The smallest server: `python -m lanebus.examples.hello_server`, with a broker running."""

from contextlib import suppress

import lanebus

server = lanebus.ServerAdapter("greeter-1", service="greeter")


@server.on("player.hello")
def hello(event: lanebus.Event) -> None:
    """Answer whoever greets."""
    server.send("greeter.reply", {"text": f"welcome, {event.sender}"}, to=event.sender, lane="critical")


if __name__ == "__main__":
    with server, suppress(KeyboardInterrupt):
        while True:
            server.wait()
