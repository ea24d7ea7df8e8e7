"""The metrics of a broker, in one table: names, kinds, labels, and where each figure is in the broker's answer."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, Literal, NamedTuple

from lanebus.wire.lanes import LANE_NAMES

Answer = Mapping[str, Any]
"""What the control endpoint answers to `metrics`."""
Sample = tuple[tuple[str, ...], Any]
"""Values of the labels, and the figure; of a histogram its list."""
Samples = Callable[[Answer], Iterable[Sample]]

WAYS: Final = ("in", "out")
_LANES: Final = ("status", "lanes")


class Family(NamedTuple):
    """One metric."""

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    labels: tuple[str, ...]
    help: str
    samples: Samples


def _at(answer: Answer, path: Sequence[str]) -> Any:
    value: Any = answer
    for key in path:
        value = value[key]
    return value


def _one(*path: str) -> Samples:
    """The figure at a place in the answer."""
    return lambda answer: [((), _at(answer, path))]


def _known(*path: str) -> Samples:
    """The figure at a place in the answer, if there is one."""
    return lambda answer: [] if _at(answer, path) is None else [((), _at(answer, path))]


def _table(*path: str) -> Samples:
    """All figures of a table of one label."""
    return lambda answer: [((key,), number) for key, number in _at(answer, path).items()]


def _tables(name: str) -> Samples:
    """All figures of a table of tables."""
    return lambda answer: [
        ((outer, inner), number) for outer, table in answer[name].items() for inner, number in table.items()
    ]


def _by_lane(above: Sequence[str], *below: str) -> Samples:
    """The figure of each lane: `above` leads to the lanes, `below` from there to the figure."""
    return lambda answer: [((lane,), _at(answer, (*above, lane, *below))) for lane in LANE_NAMES]


def _by_lane_and_way(name: str) -> Samples:
    return lambda answer: [
        ((lane, way), answer["status"]["lanes"][lane][way][name]) for lane in LANE_NAMES for way in WAYS
    ]


def _by_role(name: str) -> Samples:
    return lambda answer: [
        ((role, lane), lanes[lane][name]) for role, lanes in answer["traffic"].items() for lane in LANE_NAMES
    ]


def _control(name: str) -> Samples:
    return lambda answer: [((way,), answer["status"]["control"][way][name]) for way in WAYS]


def _build(answer: Answer) -> list[Sample]:
    status = answer["status"]
    return [((status["name"], status["version"], answer["python"], answer["libzmq"]), 1)]


def _sessions_ended(answer: Answer) -> list[Sample]:
    there = sum(number for table in answer["sessions"].values() for number in table.values())
    return [((), answer["sessions_begun"] - there)]


def _events_ended(answer: Answer) -> list[Sample]:
    return [
        ((lane, outcome, reason or "none"), number)
        for lane in LANE_NAMES
        for outcome, reason, number in answer["ended"][lane]
    ]


def _parts_ended(answer: Answer) -> list[Sample]:
    parts = answer["status"]["books"]["parts"]
    return [
        ((lane, outcome), number)
        for lane in LANE_NAMES
        for outcome, number in parts[lane].items()
        if outcome not in ("accepted", "in_flight")
    ]


def _ping(answer: Answer) -> list[Sample]:
    mean_ms = answer["status"]["ping_mean_ms"]
    return [] if mean_ms is None else [((), mean_ms / 1e3)]


def _instances(answer: Answer) -> list[Sample]:
    return [((service, state), number) for service, state, number in answer["instances"]]


FAMILIES: Final = (
    Family(
        "lanebus_build_info",
        "gauge",
        ("name", "version", "python", "libzmq"),
        "Always 1; what runs is in the labels.",
        _build,
    ),
    Family(
        "lanebus_start_time_seconds",
        "gauge",
        (),
        "When the broker started, seconds since 1970.",
        _one("started_at_s"),
    ),
    Family(
        "lanebus_draining",
        "gauge",
        (),
        "1 while the broker drains, else 0.",
        lambda answer: [((), int(answer["status"]["state"] == "draining"))],
    ),
    Family(
        "lanebus_cpu_seconds_total",
        "counter",
        (),
        "Processor time of the broker's process.",
        _one("status", "cpu_s"),
    ),
    Family(
        "lanebus_resident_memory_bytes",
        "gauge",
        (),
        "Resident memory of the broker's process.",
        _one("status", "rss_bytes"),
    ),
    Family(
        "lanebus_open_files",
        "gauge",
        (),
        "Open files of the broker's process, connections included.",
        _known("status", "open_files"),
    ),
    Family(
        "lanebus_open_files_limit",
        "gauge",
        (),
        "How many it may have.",
        _known("status", "open_files_limit"),
    ),
    Family(
        "lanebus_strangers",
        "gauge",
        (),
        "Connections by which no hello has come.",
        _known("status", "strangers"),
    ),
    Family(
        "lanebus_hung_up_total",
        "counter",
        ("why",),
        "Connections that the broker has ended.",
        _table("status", "hung_up"),
    ),
    Family(
        "lanebus_attachments",
        "gauge",
        (),
        "Processes attached or expected back.",
        _one("status", "attachments"),
    ),
    Family(
        "lanebus_attachments_limit",
        "gauge",
        (),
        "How many there may be, by the settings and the limit of open files.",
        _one("limits", "attachments"),
    ),
    Family(
        "lanebus_sessions",
        "gauge",
        ("role", "quality"),
        "Sessions, by how good their connections are.",
        _tables("sessions"),
    ),
    Family(
        "lanebus_sessions_begun_total", "counter", (), "Sessions that ever began.", _one("sessions_begun")
    ),
    Family("lanebus_sessions_ended_total", "counter", (), "Sessions that ever ended.", _sessions_ended),
    Family("lanebus_groups", "gauge", (), "Groups.", _one("status", "groups")),
    Family(
        "lanebus_service_instances",
        "gauge",
        ("service", "state"),
        "Instances of services, by state.",
        _instances,
    ),
    Family(
        "lanebus_ping_mean_seconds",
        "gauge",
        (),
        "Mean round trip of all players with links; not there without any.",
        _ping,
    ),
    Family(
        "lanebus_events_received_total",
        "counter",
        ("role", "lane"),
        "Events accepted from peers, each once.",
        _by_role("events_in"),
    ),
    Family(
        "lanebus_events_received_bytes_total",
        "counter",
        ("role", "lane"),
        "Payloads and topics of those events.",
        _by_role("bytes_in"),
    ),
    Family(
        "lanebus_events_throttled_total",
        "counter",
        ("role", "lane"),
        "Of events that came, those not accepted because their sender was over a limit; they come again.",
        _by_role("throttled"),
    ),
    Family(
        "lanebus_parts_sent_total",
        "counter",
        ("role", "lane"),
        "Parts sent to peers: an event to ten receivers is ten; each sending counts.",
        _by_role("events_out"),
    ),
    Family(
        "lanebus_parts_sent_bytes_total",
        "counter",
        ("role", "lane"),
        "Those parts as they are encoded, before compression.",
        _by_role("bytes_out"),
    ),
    Family(
        "lanebus_parts_resent_total",
        "counter",
        ("role", "lane"),
        "Of the parts sent, those that an earlier link may have delivered.",
        _by_role("resent"),
    ),
    Family(
        "lanebus_batches_total",
        "counter",
        ("lane", "direction"),
        "Batches; in is from peers, out is to them.",
        _by_lane_and_way("batches"),
    ),
    Family(
        "lanebus_batch_events_total",
        "counter",
        ("lane", "direction"),
        "Events in those batches; one copy for a gateway counts once.",
        _by_lane_and_way("events"),
    ),
    Family(
        "lanebus_batch_bytes_total",
        "counter",
        ("lane", "direction"),
        "Whole frames of batches, as they travel.",
        _by_lane_and_way("bytes"),
    ),
    Family(
        "lanebus_unbatched_bytes_total",
        "counter",
        ("lane",),
        "What the events sent would take in one uncompressed frame each.",
        _by_lane(_LANES, "out", "unbatched_bytes"),
    ),
    Family(
        "lanebus_control_messages_total",
        "counter",
        ("direction",),
        "Messages other than batches.",
        _control("messages"),
    ),
    Family(
        "lanebus_control_bytes_total",
        "counter",
        ("direction",),
        "Whole frames of those messages.",
        _control("bytes"),
    ),
    Family(
        "lanebus_events_ended_total",
        "counter",
        ("lane", "outcome", "reason"),
        "Events that came to the broker, by how they ended; delivered ones have the reason none.",
        _events_ended,
    ),
    Family(
        "lanebus_events_withheld_total",
        "counter",
        ("lane", "outcome"),
        "Events that ended at their senders, who say so, before they were ever sent.",
        _tables("withheld"),
    ),
    Family(
        "lanebus_parts_ended_total",
        "counter",
        ("lane", "outcome"),
        "Parts, by how they ended.",
        _parts_ended,
    ),
    Family(
        "lanebus_events_in_flight",
        "gauge",
        ("lane",),
        "Events accepted and not ended.",
        _by_lane(["status", "books", "events"], "in_flight"),
    ),
    Family(
        "lanebus_queued_events",
        "gauge",
        ("lane",),
        "Parts that wait in the broker to be sent.",
        _by_lane(_LANES, "queued_events"),
    ),
    Family(
        "lanebus_queued_bytes", "gauge", ("lane",), "Bytes of those parts.", _by_lane(_LANES, "queued_bytes")
    ),
    Family(
        "lanebus_unsettled_events",
        "gauge",
        ("lane",),
        "Parts sent and not settled.",
        _by_lane(_LANES, "unsettled_events"),
    ),
    Family(
        "lanebus_waiting_sessions",
        "gauge",
        ("lane",),
        "Sessions for whom parts wait: for credit, for their allowance, or for a link that takes nothing.",
        _by_lane(["queues"], "waiting_sessions"),
    ),
    Family(
        "lanebus_shaped_sessions",
        "gauge",
        ("lane",),
        "Those of them whose parts wait for their allowance.",
        _by_lane(["queues"], "shaped_sessions"),
    ),
    Family(
        "lanebus_shaped_wait_seconds",
        "histogram",
        ("lane",),
        "How long parts have waited for an allowance.",
        _by_lane(["shaped"]),
    ),
    Family(
        "lanebus_fullest_queue_bytes",
        "gauge",
        ("lane",),
        "What waits for the session with most.",
        _by_lane(["queues"], "fullest_bytes"),
    ),
    Family(
        "lanebus_at_sender_events",
        "gauge",
        ("lane",),
        "Events that a limit, a pause or a full window holds at their senders, as those say.",
        _by_lane(["queues"], "at_sender_events"),
    ),
    Family(
        "lanebus_at_sender_bytes",
        "gauge",
        ("lane",),
        "Bytes of those events.",
        _by_lane(["queues"], "at_sender_bytes"),
    ),
    Family(
        "lanebus_queue_limit_bytes",
        "gauge",
        (),
        "How much may wait for one session on one lane.",
        _one("limits", "queue_bytes"),
    ),
    Family(
        "lanebus_oldest_queued_age_seconds",
        "gauge",
        ("lane",),
        "Age of the oldest part that waits for a session.",
        _by_lane(["queues"], "oldest_age_s"),
    ),
    Family(
        "lanebus_held_bytes",
        "gauge",
        (),
        "Bytes of all events under way, each counted once.",
        _one("status", "held_bytes"),
    ),
    Family(
        "lanebus_held_limit_bytes",
        "gauge",
        (),
        "The broker's budget for them.",
        _one("status", "budget_bytes"),
    ),
    Family(
        "lanebus_batch_held_seconds",
        "histogram",
        ("lane",),
        "How long the oldest event of each batch had been held, on both hops, when it left.",
        _by_lane(["held"]),
    ),
    Family(
        "lanebus_turn_duration_seconds",
        "histogram",
        (),
        "How long turns of the broker's loop took.",
        _one("turns", "busy"),
    ),
    Family(
        "lanebus_turn_lateness_seconds",
        "histogram",
        (),
        "By how much turns began later than a timer had wanted.",
        _one("turns", "late"),
    ),
    Family(
        "lanebus_errors_total",
        "counter",
        ("error",),
        "Errors that peers were told.",
        _table("status", "errors"),
    ),
    Family(
        "lanebus_duplicates_total",
        "counter",
        (),
        "Events that came again, and were not accepted twice.",
        _one("status", "duplicates"),
    ),
    Family(
        "lanebus_ignored_settlements_total",
        "counter",
        (),
        "Settlements of parts that were settled, or never sent to that session.",
        _one("status", "ignored_settlements"),
    ),
    Family("lanebus_alerts", "gauge", ("kind",), "Alerts that last.", _table("alerts")),
    Family(
        "lanebus_alerts_begun_total",
        "counter",
        ("kind",),
        "Alerts that ever began, those that were held back too.",
        _table("alerts_begun"),
    ),
)
"""All metrics, in the order in which they are printed."""
