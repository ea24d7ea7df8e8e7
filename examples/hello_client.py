"""The smallest client: `python -m lanebus.examples.hello_client`, with a broker and hello_server running."""

import sys

import lanebus

client = lanebus.ClientAdapter("42")
replies: list[str] = []


@client.on("greeter.reply")
def reply(event: lanebus.Event) -> None:
    """Print what the server says; `age_ms` is the time since it was sent."""
    print(f"{event.sender} says {event.payload['text']!r}, {event.age_ms:.1f} ms ago")
    replies.append(event.topic)


def main() -> None:
    """Say hello to the service that handles the topic, and wait up to five seconds for the answer."""
    with client:
        client.send("player.hello", {"language": "en"})
        for _ in range(50):
            client.wait(timeout_s=0.1)
            if replies:
                return
    sys.exit(
        "nobody has answered player.hello in 5 s; start who does with: python -m lanebus.examples.hello_server"
    )


if __name__ == "__main__":
    try:
        main()
    except lanebus.NotConnected as error:
        sys.exit(f"{error}; start one with: lanebus broker")
