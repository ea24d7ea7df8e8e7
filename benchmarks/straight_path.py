"""How many events a second one sender gets to one receiver through a broker, beside bare pyzmq over the same hops.

    python benchmarks/straight_path.py [--events 200000] [--rounds 5]

Three processes: a broker (or a bare ROUTER that forwards), a receiver, and this one, which sends. Each event is one
`send` call and one handler call. lanebus acknowledges every event end to end; bare pyzmq does nothing but carry one
message an event. The rounds alternate, and the figures are medians, since machines are noisy; compare the ratio.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import statistics
import time
from multiprocessing.synchronize import Event as Flag

import msgspec
import zmq

from lanebus import OutboxFull, ServerAdapter
from lanebus.cli.broker_process import BrokerProcess

PAYLOAD = {"unit": 1234, "x": 81.5, "y": 191.25, "health": 87, "state": "moving"}


def lanebus_receiver(broker: str, ready: Flag, stop: Flag) -> None:
    """Handle everything until told to stop."""
    # A server: what players are sent is limited to what a player is to have.
    receiver = ServerAdapter("receiver", broker=broker)
    receiver.on("**")(lambda event: event.payload)
    with receiver:
        ready.set()
        while not stop.is_set():
            receiver.wait(0.05)


def lanebus_round(events: int) -> float:
    """Seconds to send, handle and settle `events`."""
    ready, stop = multiprocessing.Event(), multiprocessing.Event()
    with BrokerProcess() as broker:
        address = broker.addresses["critical"]
        receiver = multiprocessing.Process(target=lanebus_receiver, args=(address, ready, stop))
        receiver.start()
        ready.wait(10)
        with ServerAdapter("sender", broker=address) as server:
            begun = time.perf_counter()
            for number in range(events):
                while True:
                    try:
                        server.send("unit.state", PAYLOAD, to="server:receiver")
                        break
                    except OutboxFull:
                        server.wait(0.001)
                if not number % 256:
                    server.poll(0.0)
            while server.in_flight:
                server.wait(0.001)
            took_s = time.perf_counter() - begun
            if server.book("normal").as_dict()["delivered"] != events:
                raise SystemExit(f"not everything was delivered: {server.book('normal')!r}")
        stop.set()
        receiver.join()
    return took_s


def bare_forwarder(ports: multiprocessing.Queue[int]) -> None:
    """A ROUTER that sends on what it gets to the peer that said it is the receiver."""
    router = zmq.Context().socket(zmq.ROUTER)
    router.setsockopt(zmq.SNDHWM, 0)
    ports.put(router.bind_to_random_port("tcp://127.0.0.1"))
    target = router.recv_multipart()[0]
    while True:
        frame = router.recv_multipart()[1]
        router.send_multipart([target, frame])
        if frame == b"end":
            return


def bare_receiver(port: int, counted: multiprocessing.Queue[int]) -> None:
    """Decode everything until the end."""
    dealer = zmq.Context().socket(zmq.DEALER)
    dealer.connect(f"tcp://127.0.0.1:{port}")
    dealer.send(b"receiver")
    counted.put(0)
    count = 0
    while (frame := dealer.recv()) != b"end":
        msgspec.msgpack.decode(frame)
        count += 1
    counted.put(count)


def bare_round(events: int) -> float:
    """Seconds to carry `events`, one message each."""
    ports: multiprocessing.Queue[int] = multiprocessing.Queue()
    counted: multiprocessing.Queue[int] = multiprocessing.Queue()
    forwarder = multiprocessing.Process(target=bare_forwarder, args=(ports,))
    forwarder.start()
    port = ports.get()
    receiver = multiprocessing.Process(target=bare_receiver, args=(port, counted))
    receiver.start()
    counted.get()
    dealer = zmq.Context().socket(zmq.DEALER)
    dealer.setsockopt(zmq.SNDHWM, 0)
    dealer.connect(f"tcp://127.0.0.1:{port}")
    time.sleep(0.3)  # both peers are connected by then; a bare ROUTER says nothing of it
    encode = msgspec.msgpack.Encoder().encode
    begun = time.perf_counter()
    for _ in range(events):
        dealer.send(encode(PAYLOAD))
    dealer.send(b"end")
    count = counted.get()
    took_s = time.perf_counter() - begun
    receiver.join()
    forwarder.join()
    if count != events:
        raise SystemExit(f"bare pyzmq lost {events - count} events")
    return took_s


def main() -> None:
    """Run the rounds and print the figures as JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--events", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    ours: list[float] = []
    bare: list[float] = []
    for _ in range(options.rounds):
        ours.append(options.events / lanebus_round(options.events))
        bare.append(options.events / bare_round(options.events))
    ratios = [a / b for a, b in zip(ours, bare, strict=True)]
    print(
        json.dumps(
            {
                "events": options.events,
                "rounds": options.rounds,
                "lanebus_events_per_s": round(statistics.median(ours)),
                "bare_pyzmq_events_per_s": round(statistics.median(bare)),
                "ratio": round(statistics.median(ratios), 2),
                "ratio_min": round(min(ratios), 2),
                "ratio_max": round(max(ratios), 2),
            },
            indent=2,
        )
    )


if __name__ == "__main__":
    main()
