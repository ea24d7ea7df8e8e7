"""The protocol document against the code: its tables are the code's tables, its examples what the code makes."""

import json
import re
from pathlib import Path
from typing import Any

import msgpack
import msgspec
import pytest

from lanebus.broker.alerts import AlertKind
from lanebus.broker.core import BrokerCore
from lanebus.conf.model import Config
from lanebus.wire import (
    alerts,
    batches,
    fields,
    header,
    messages,
    names,
    outboxes,
    pings,
    presence,
    reports,
    services,
)
from lanebus.wire.bodies import encode_body
from lanebus.wire.errors import ErrorNumber
from lanebus.wire.history import HISTORY_BYTES, LZ4, LZ4_LINKED, History
from lanebus.wire.kinds import LEGAL, REQUESTS, Kind, LinkState, Side
from lanebus.wire.lanes import LANES, Lane
from lanebus.wire.outcomes import LEGAL_REASONS, RECEIVER_REASONS, Outcome, Reason
from lanebus.wire.runs import MAX_RUN_NUMBERS

DOCUMENT = (Path(__file__).parents[1] / "docs" / "protocol.md").read_text(encoding="utf-8")

SIDES = {"C": Side.PEER, "S": Side.BROKER}

Row = list[str]


def tables(*columns: str) -> list[list[Row]]:
    """Every table of the document with these columns: the rows, each a list of cells."""
    head = "| " + " | ".join(columns) + " |\n"
    found = []
    for part in DOCUMENT.split(head)[1:]:
        lines = part.split("\n\n")[0].splitlines()[1:]
        found.append([[cell.strip() for cell in line.strip().strip("|").split("|")] for line in lines])
    return found


def table(*columns: str) -> list[Row]:
    """The only table with these columns."""
    (found,) = tables(*columns)
    return found


def words(cell: str) -> set[str]:
    """What a cell lists."""
    return {word.strip("` ") for word in cell.split(",") if word.strip()}


def section(title: str) -> str:
    """The text of a section of the third level."""
    match = re.search(rf"^### {re.escape(title)}.*?\n(.*?)(?=^##)", DOCUMENT, re.DOTALL | re.MULTILINE)
    assert match, f"there is no section {title!r}"
    return match[1]


def test_the_header_is_laid_out_as_the_code_packs_it() -> None:
    rows = table("offset", "bytes", "field", "meaning")
    sizes = {"2s": 2, "B": 1, "H": 2, "I": 4}
    codes = re.findall(r"2s|B|H|I", header.HEADER.format)
    offset = 0
    for (said_offset, said_bytes, _, _), code in zip(rows, codes, strict=True):
        assert (int(said_offset), int(said_bytes)) == (offset, sizes[code])
        offset += sizes[code]
    assert offset == header.HEADER_BYTES
    assert f"header of {header.HEADER_BYTES} bytes" in DOCUMENT
    fields = ["event_count" if field == "count" else field for _, _, field, _ in rows]
    assert fields[:2] == ["magic", "version"]
    # The decoded header has them in the order that suits its readers.
    assert set(fields[2:]) == set(header.Header._fields)
    assert rows[0][3] == f"`{header.MAGIC.hex(' ')}`"
    assert rows[1][3] == str(header.VERSION)


def test_the_flags_are_those_of_the_code() -> None:
    rows = table("flag", "name", "meaning")
    assert {row[1]: int(row[0].strip("`"), 16) for row in rows} == {
        "lz4": header.FLAG_LZ4,
        "targeted": header.FLAG_TARGETED,
        "replay": header.FLAG_REPLAY,
        "linked": header.FLAG_LINKED,
    }


def test_every_kind_has_its_number_and_its_senders() -> None:
    rows = table("number", "kind", "from", "what it says")
    assert [(int(number), kind) for number, kind, _, _ in rows] == [(kind.value, kind.label) for kind in Kind]
    for _, label, senders, meaning in rows:
        kind = Kind[label.upper()]
        may = {
            letter
            for letter, side in SIDES.items()
            if any(kind in LEGAL[side][state][lane] for state in LinkState for lane in LANES)
        }
        assert words(senders) == may
        assert meaning


def test_the_table_of_legal_kinds_is_the_codes() -> None:
    rows = table("from", "link", "critical", "normal", "low")
    assert len(rows) == len(SIDES) * len(LinkState)
    for sender, state, *lanes in rows:
        legal = LEGAL[SIDES[sender]][LinkState(state)]
        for lane, cell in zip(LANES, lanes, strict=True):
            assert words(cell) == {kind.label for kind in legal[lane]}, (sender, state, lane.label)


def test_every_request_is_in_the_table_of_requests() -> None:
    rows = table("request", "role", "refused with")
    assert {row[0] for row in rows} == {kind.label for kind in REQUESTS}
    for row in rows:
        assert words(row[1]) <= {role.value for role in names.Role}
        assert {ErrorNumber(int(number)) for number in words(row[2])} <= set(ErrorNumber)


BODIES: dict[str, type[msgspec.Struct]] = {
    "served": messages.Served,
    "kept": messages.Kept,
    "gone": messages.Gone,
    "hello, on the critical lane": messages.Hello,
    "hello, on the normal and low lanes": messages.LaneHello,
    "welcome, on the critical lane": messages.Welcome,
    "limits, inside welcome": messages.Limits,
    "revoked, inside welcome": messages.Revoked,
    "welcome, on the normal and low lanes": messages.LaneWelcome,
    "batch, from C": batches.UpBatch,
    "event, in a batch from C": batches.UpEvent,
    "batch, from S": batches.DownBatch,
    "source, in a batch from S": batches.Source,
    "event, in a batch from S": batches.DownEvent,
    "ack": messages.Ack,
    "settle": messages.Settle,
    "settlement, in a settle": messages.Settlement,
    "ping": pings.Ping,
    "outbox, in a ping": outboxes.OutboxReport,
    "session report, in a ping": reports.SessionReport,
    "unhandled topic, in a session report": reports.UnhandledTopic,
    "waiting lane, in a session report": reports.WaitingLane,
    "lane times, in a session report": reports.LaneTimes,
    "topic times, in a ping": reports.TopicTimes,
    "pong": pings.Pong,
    "open": messages.Open,
    "close": messages.Close,
    "register": messages.Register,
    "assign": messages.Assign,
    "health": messages.HealthReport,
    "watch": messages.Watch,
    "services": messages.Services,
    "instance, in services": services.Instance,
    "join": messages.Join,
    "leave": messages.Leave,
    "done": messages.Done,
    "pause": messages.Pause,
    "throttle": messages.Throttle,
    "throttled, in a throttle": messages.Throttled,
    "drain": messages.Drain,
    "presence": presence.Presence,
    "entry, in a presence": presence.PresenceEntry,
    "alerts": alerts.AlertNews,
    "alert, in alerts": alerts.AlertEntry,
    "bye": messages.Bye,
    "error": messages.ErrorMessage,
}


@pytest.mark.parametrize(("title", "body"), BODIES.items(), ids=BODIES)
def test_every_body_is_described_field_by_field(title: str, body: type[msgspec.Struct]) -> None:
    form = "array" if body.__struct_config__.array_like else "map"
    text = section(f"{title} ({form})")
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in text.splitlines()
        if line.startswith("|")
    ][2:]
    fields = msgspec.structs.fields(body)
    assert [row[0] for row in rows] == [field.name for field in fields]
    for (_, kind, meaning), field in zip(rows, fields, strict=True):
        assert kind.startswith("optional") is not field.required, field.name
        assert meaning


def test_every_kind_has_a_body_in_the_document() -> None:
    described = {re.split(r"[ ,]", title)[0] for title in BODIES}
    assert {kind.label for kind in Kind} - {"unpause"} <= described
    assert "and unpause" in DOCUMENT


def test_the_error_numbers_are_the_codes() -> None:
    rows = table("number", "label", "comes as", "meaning")
    assert [(int(row[0]), row[1]) for row in rows] == [(number.value, number.label) for number in ErrorNumber]
    for _, _, comes_as, meaning in rows:
        assert words(comes_as) <= {"error", "done", "reserved"}
        assert meaning


def test_every_number_called_an_error_exists() -> None:
    for number in re.findall(r"errors? (\d{3})\b", DOCUMENT):
        assert int(number) in set(ErrorNumber), number


def test_the_kinds_of_alerts_are_the_codes() -> None:
    (rows,) = (found for found in tables("kind", "meaning"))
    assert [row[0].strip("`") for row in rows] == list(AlertKind)
    assert f"at most {alerts.ALERT_ENTRIES} alerts" in DOCUMENT
    assert f"map of at most {alerts.MAX_FIGURES} texts" in DOCUMENT
    assert f"at most {outboxes.MAX_OUTBOXES} outboxes" in DOCUMENT
    assert f"at most {reports.MAX_REPORTS} session reports" in DOCUMENT
    assert f"at most {reports.MAX_UNHANDLED_TOPICS} unhandled topics" in DOCUMENT
    assert f"at most {reports.MAX_TOPIC_TIMES} topic times" in DOCUMENT


def test_the_outcomes_and_their_reasons_are_the_codes() -> None:
    rows = table("number", "outcome", "reasons")
    assert [(int(row[0]), row[1]) for row in rows] == [(o.value, o.label) for o in Outcome]
    for number, _, reasons in rows:
        legal = LEGAL_REASONS[Outcome(int(number))]
        if legal:
            assert {Reason(word) for word in words(reasons) or {""}} == legal
        else:
            assert reasons == "none yet"


def test_the_reasons_and_who_may_give_them_are_the_codes() -> None:
    rows = table("reason", "given by", "meaning")
    assert {Reason(row[0].strip("`")) for row in rows} == set(Reason)
    receivers = {Reason(row[0].strip("`")) for row in rows if "receiver" in words(row[1])}
    assert receivers == RECEIVER_REASONS


def test_the_limits_are_the_codes() -> None:
    rows = {row[0]: row for row in table("what", "limit", "past it")}
    defaults = messages.Limits()
    assert f"{defaults.frame_bytes:,}" in rows["frame"][1]
    assert f"{defaults.raw_bytes:,}" in rows["body before compression"][1]
    assert f"{defaults.event_bytes:,}" in rows["payload"][1]
    assert rows["events in a batch"][1] == str(batches.MAX_BATCH_EVENTS) == str(defaults.batch_events)
    assert str(defaults.destinations) in rows["destinations in a list"][1]
    assert f"{messages.MAX_SETTLEMENTS:,}" in rows["settlements in a settle"][1]
    assert f"at most {services.ENTRIES} instances" in DOCUMENT
    assert services.MAX_INSTANCES == 1 << 20
    assert messages.MAX_SETTLED_NUMBERS == 1 << 22
    assert "2^22" in rows["settlements in a settle"][1]
    assert MAX_RUN_NUMBERS == 1 << 20
    assert rows["numbers in a settlement"][1] == "2^20"
    assert batches.MAX_UNSIGNED == (1 << 53) - 1
    assert "integer from 0 to 2^53 - 1" in DOCUMENT
    assert f"text of at most {fields.MAX_TEXT_CHARACTERS} characters" in DOCUMENT
    assert f"binary of {messages.PROCESS_BYTES} bytes" in DOCUMENT


def test_linked_batches_are_described_as_the_code_makes_them() -> None:
    text = section("15.1 Linked batches")
    assert f"last {HISTORY_BYTES:,} bytes" in text
    assert f"lists `{LZ4}` and `{LZ4_LINKED}`" in text


def test_the_grammar_of_names_has_the_codes_limits() -> None:
    assert f'"player:" 1*{names.MAX_NAME_BYTES}name-char' in DOCUMENT
    assert f"1*{names.MAX_GROUP_BYTES}( name-char" in DOCUMENT
    assert f"at most {names.MAX_TOPIC_BYTES} characters" in DOCUMENT
    for role, prefix in names.PREFIX.items():
        assert re.search(rf'= "{prefix}:".*; role {role.value}', DOCUMENT)


def test_the_grammar_of_the_conversation_uses_every_kind() -> None:
    grammar = DOCUMENT.split("## 7. Grammar")[1].split("## 8.")[0]
    used = set(re.findall(r"[CS]:(?:lane-)?([a-z]+)", grammar))
    assert used == {kind.label for kind in Kind}
    for letter, label in re.findall(r"([CS]):(?:lane-)?([a-z]+)", grammar):
        kind = Kind[label.upper()]
        assert any(kind in LEGAL[SIDES[letter]][state][lane] for state in LinkState for lane in LANES)


def examples() -> dict[str, tuple[bytes, dict[str, Any]]]:
    """By title: the frame, and what it is said to decode to."""
    found = {}
    pattern = r"^### 22\.\d+ (.*?)\n(?:.*?)^```hex\n(.*?)^```\n\n```json\n(.*?)^```"
    for title, dump, said in re.findall(pattern, DOCUMENT, re.DOTALL | re.MULTILINE):
        octets = "".join(line.partition("#")[0] for line in dump.splitlines())
        found[title] = bytes.fromhex(octets), json.loads(said)
    return found


EXAMPLES = examples()


def written(value: Any) -> Any:
    """A decoded value as the document writes it."""
    if isinstance(value, bytes):
        return f"hex:{value.hex()}"
    if isinstance(value, list):
        return [written(each) for each in value]
    if isinstance(value, dict):
        return {key: written(each) for key, each in value.items()}
    return value


def without_defaults(event: batches.UpEvent) -> tuple[Any, ...]:
    """The fields of an event, without those at its end that say nothing."""
    row = msgspec.structs.astuple(event)
    while len(row) > len(batches.UpEvent.__struct_fields__) - 4 and not row[-1]:
        row = row[:-1]
    return row


def test_there_are_examples_of_what_matters() -> None:
    kinds = [(said["header"]["kind"], said["header"]["flags"]) for _, said in EXAMPLES.values()]
    assert kinds == [
        ("hello", 0),
        ("hello", 0),
        ("ping", 0),
        ("batch", 0),
        ("batch", header.FLAG_LZ4),
        ("settle", 0),
        ("error", 0),
        ("batch", 0),
        ("batch", header.FLAG_LZ4 | header.FLAG_LINKED),
    ]


def history_before(found: header.Header) -> History:
    """What the examples say on the link of a batch in front of it."""
    history = History()
    for frame, _ in EXAMPLES.values():
        before = header.decode_header(frame, max_raw_bytes=messages.Limits().raw_bytes)
        is_of_the_link = (before.lane, before.incarnation) == (found.lane, found.incarnation)
        if before.kind is Kind.BATCH and is_of_the_link and before.number < found.number:
            history.open(frame, before)
    return history


@pytest.mark.parametrize(("frame", "said"), EXAMPLES.values(), ids=EXAMPLES)
def test_an_example_decodes_to_what_it_says(frame: bytes, said: dict[str, Any]) -> None:
    found = header.decode_header(frame, max_raw_bytes=messages.Limits().raw_bytes)
    assert said["header"] == {
        "kind": found.kind.label,
        "flags": found.flags,
        "lane": found.lane.label,
        "count": found.event_count,
        "incarnation": found.incarnation,
        "number": found.number,
        "ack": found.ack,
        "raw_bytes": found.raw_bytes,
    }
    assert found.kind in LEGAL[Side.PEER][LinkState.READY][found.lane] | {Kind.HELLO}
    assert written(msgpack.unpackb(history_before(found).open(frame, found))) == said["body"]


@pytest.mark.parametrize("frame", [frame for frame, _ in EXAMPLES.values()], ids=EXAMPLES)
def test_encoding_an_example_again_gives_the_same_bytes(frame: bytes) -> None:
    found = header.decode_header(frame, max_raw_bytes=messages.Limits().raw_bytes)
    raw = history_before(found).open(frame, found)
    if found.kind is Kind.BATCH:
        batch = batches.decode_up(found, raw)
        rows = [without_defaults(event) for event in batch.events]
        again = batches.encode_batch(
            Lane(found.lane),
            (batch.held, batch.after, batch.bases),
            rows,
            incarnation=found.incarnation,
            number=found.number,
            ack=found.ack,
            threshold_bytes=64 if found.flags & header.FLAG_LINKED else 256,
            history=history_before(found),
        ).frame
    else:
        body = encode_body(messages.decode_message(found.kind, found.lane, raw))
        again = (
            header.encode_header(
                found.kind, found.lane, len(body), incarnation=found.incarnation, ack=found.ack
            )
            + body
        )
    assert again == frame


def test_a_broker_welcomes_the_hellos_of_the_examples() -> None:
    (critical, hello), (low, lane_hello) = list(EXAMPLES.values())[:2]
    token = bytes.fromhex(lane_hello["body"]["token"].removeprefix("hex:"))
    core = BrokerCore(Config(), epoch=b"epoch", random=lambda size: token[:size], started=0.0)
    for lane, frame in ((Lane.CRITICAL, critical), (Lane.LOW, low)):
        core.receive(lane, b"route", frame, 1.0)
        ((to, route, answer),) = core.take()
        found = header.decode_header(answer, max_raw_bytes=1 << 20)
        assert (to, route) == (lane, b"route")
        assert (found.kind, found.incarnation) == (Kind.WELCOME, hello["header"]["incarnation"])
