"""The smallest client: `python -m lanebus.examples.hello_client`, with a broker and hello_server running."""

import lanebus

client = lanebus.ClientAdapter("42")
replies: list[str] = []


@client.on("greeter.reply")
def reply(event: lanebus.Event) -> None:
    """Print what the server says; `age_ms` is the time since it was sent."""
    print(f"{event.sender} says {event.payload['text']!r}, {event.age_ms:.1f} ms ago")
    replies.append(event.topic)


if __name__ == "__main__":
    with client:
        client.send("player.hello", {"language": "en"})
        while not replies:
            client.wait()
