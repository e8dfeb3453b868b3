"""Odd values in every kind of field: strict targets load all rows, and the log tells of each field
once. What becomes of a value is the table of design §11, row by row."""

import json
import re
from datetime import date, timedelta
from typing import Any, NamedTuple

import pytest

from tap_helpscout.dates import datetime_or_none
from tests.conftest import Tap
from tests.fake import FakeHelpScout, build
from tests.fake.data import stamp
from tests.integration.conftest import Pipe, installed

STREAMS = ("conversations", "conversation_threads", "customers", "company_report")
WARNING = re.compile(
    r"^WARNING (\w+): (\S+) holds an? \w+ that does not fit the schema, in .+: written as (\w+)$",
    re.MULTILINE,
)
TOTAL = re.compile(
    r"^WARNING (\w+): (\d+) values? of (\S+) did not fit the schema and w\w+ written as (\w+)$",
    re.MULTILINE,
)


class Told(NamedTuple):
    """What is written, and told of in the log."""

    written: Any


LOST = Told(None)
BIG = 2**70
DAY, LEAP_DAY = "2024-01-01", "2024-02-29T24:00:00Z"
KINDS = ("string", "integer", "number", "boolean", "date-time", "object", "array")
# What is sent, and what is written of it in a field of each of these kinds.
TABLE = [
    (5, "5", 5, 5, LOST, LOST, LOST, LOST),
    (7.0, "7.0", 7, 7.0, LOST, LOST, LOST, LOST),
    (1.5, "1.5", LOST, 1.5, LOST, LOST, LOST, LOST),
    (BIG, str(BIG), LOST, BIG, LOST, LOST, LOST, LOST),
    (-BIG, str(-BIG), LOST, -BIG, LOST, LOST, LOST, LOST),
    (True, "true", LOST, LOST, True, LOST, LOST, LOST),
    ("7", "7", 7, 7, LOST, LOST, LOST, LOST),
    ("1.5", "1.5", LOST, 1.5, LOST, LOST, LOST, LOST),
    ("seven", "seven", LOST, LOST, LOST, LOST, LOST, LOST),
    ("true", "true", LOST, LOST, True, LOST, LOST, LOST),
    ("", "", LOST, LOST, LOST, None, LOST, LOST),
    ("yesterday", "yesterday", LOST, LOST, LOST, LOST, LOST, LOST),
    ("0000-00-00", "0000-00-00", LOST, LOST, LOST, LOST, LOST, LOST),
    ("2024-02-30T08:00:00Z", "2024-02-30T08:00:00Z", LOST, LOST, LOST, LOST, LOST, LOST),
    (DAY, DAY, LOST, LOST, LOST, f"{DAY}T00:00:00Z", LOST, LOST),
    (f"{DAY} 12:30:00.25+02:00",) * 2 + (LOST,) * 3 + (f"{DAY}T10:30:00.250000Z", LOST, LOST),
    (LEAP_DAY, LEAP_DAY, LOST, LOST, LOST, "2024-03-01T00:00:00Z", LOST, LOST),
    ("a NUL \0 in it", "a NUL  in it", LOST, LOST, LOST, LOST, LOST, LOST),
    ("half \ud83d an emoji", "half \ufffd an emoji", LOST, LOST, LOST, LOST, LOST, LOST),
    ("the other half \udc22", "the other half \ufffd", LOST, LOST, LOST, LOST, LOST, LOST),
    ([], Told("[]"), LOST, LOST, LOST, LOST, None, []),
    (["\0é"], Told('["é"]'), LOST, LOST, LOST, LOST, LOST, ["é"]),
    ([5, None, "x"], Told('[5, null, "x"]'), LOST, LOST, LOST, LOST, LOST, ["5", None, "x"]),
    ({}, Told("{}"), LOST, LOST, LOST, LOST, {}, []),
    ({"id": "7"}, Told('{"id": "7"}'), LOST, LOST, LOST, LOST, {"id": 7}, LOST),
]
SENT = [row[0] for row in TABLE]
WRITTEN = [
    {kind: cell.written if isinstance(cell, Told) else cell for kind, cell in zip(KINDS, row[1:])}
    for row in TABLE
]
TOLD = {
    kind: sum(isinstance(row[position], Told) for row in TABLE)
    for position, kind in enumerate(KINDS, start=1)
}
# In an object of which the schema lists no fields: as it is sent, without what is in no text.
ANY_JSON = [
    written["string"] if isinstance(sent, str) else json.loads(written["string"])
    for sent, written in zip(SENT, WRITTEN)
]


def sent_in_conversation(sent):
    return {
        "subject": sent,
        "folderId": sent,
        "closedAt": sent,
        "assignee": sent,
        "cc": sent,
        "snooze": {
            "snoozedBy": sent,
            "snoozedUntil": sent,
            "unsnoozeOnCustomerReply": sent,
        },
        "tags": [{"id": sent, "tag": sent}, sent],
    }


def written_in_conversation(written):
    return {
        "subject": written["string"],
        "folder_id": written["integer"],
        "closed_at": written["date-time"],
        "assignee": written["object"],
        "cc": written["array"],
        "snooze": {
            "snoozed_by": written["integer"],
            "snoozed_until": written["date-time"],
            "unsnooze_on_customer_reply": written["boolean"],
        },
        "tags": [{"id": written["integer"], "tag": written["string"]}, written["object"]],
    }


# Where they are sent: stream → column → kind.
FIELDS = {
    "conversations": {
        "subject": "string",
        "folder_id": "integer",
        "closed_at": "date-time",
        "assignee": "object",
        "cc": "array",
        "snooze.snoozed_by": "integer",
        "snooze.snoozed_until": "date-time",
        "snooze.unsnooze_on_customer_reply": "boolean",
        "tags.id": "integer",
        "tags.tag": "string",
        "tags": "object",  # of an item
    },
    "customers": {"draft": "boolean", "created_at": "date-time"},
    "company_report": {"replies_per_day": "number"},
}


class OddReports(FakeHelpScout):
    """Its days have odd numbers, from the first that is asked for on."""

    first_day = date.min
    odd_threads: list[int] = []

    def _report_company(self, query):
        response = super()._report_company(query)
        day = date.fromisoformat(query.params["start"][:10])
        place = (day - self.first_day).days
        if place < len(SENT):
            response.body["current"]["repliesPerDay"] = SENT[place]
        return response


@pytest.fixture(name="odd", scope="module")
def _odd(tmp_path_factory):
    """A tap for an account in which each odd value is in a row of its own; all others are usual."""
    with OddReports(build(len(SENT) + 5, customers=len(SENT) + 5), page_size=10) as fake:
        start = fake.now() - timedelta(days=len(SENT) + 2)
        fake.first_day, fake.odd_threads = start.date(), []
        # All has changed since then, a row in an hour.
        for hours, (conversation, customer) in enumerate(
            zip(fake.conversation_ids, fake.customer_ids)
        ):
            changed = fake.now() - timedelta(hours=1 + hours)
            fake.touch(conversation, changed)
            fake.touch_customer(customer, changed)
        for sent, conversation, customer in zip(SENT, fake.conversation_ids, fake.customer_ids):
            changed = fake.modified(conversation)
            fake.touch(conversation, changed, **sent_in_conversation(sent))
            fake.touch_customer(customer, changed, draft=sent, createdAt=sent)
            thread = fake.add_thread(
                conversation, changed, action={"associatedEntities": {"\0key\udc00": sent}}
            )
            fake.odd_threads.append(thread["id"])
        tap = Tap(fake, tmp_path_factory.mktemp("odd"))
        tap.configure(start_date=stamp(start))
        tap.catalog = tap.select(*STREAMS)
        yield tap


def counts(fake):
    """How many rows each stream has."""
    truth = fake.truth_counts()
    days = (fake.now().date() - fake.first_day).days + 1
    return {name: truth.get(name, days) for name in STREAMS}


def assert_told_once(log):
    """One warning where a field's first odd value comes, and the number of them at the end."""
    told = {
        (stream, column, "text" if kind == "string" else "null"): TOLD[kind]
        for stream, columns in FIELDS.items()
        for column, kind in columns.items()
    }
    assert sorted(WARNING.findall(log)) == sorted(told)
    totals = TOTAL.findall(log)
    assert {(stream, column, how): int(number) for stream, number, column, how in totals} == told
    assert log.count("WARNING") == len(told) + len(totals), log
    assert len(totals) == len(told)
    assert "yesterday" not in log and "emoji" not in log  # which may be personal


def in_order(rows, keys, column="id"):
    """The rows with these keys, in the order of the keys."""
    found = {row[column]: row for row in rows}
    assert len(found) == len(rows)
    return [found[key] for key in keys]


def test_target_jsonl_loads_every_row(odd):
    fake, folder = odd.fake, odd.folder / "jsonl"
    folder.mkdir()
    done = Pipe(odd, [installed("target-jsonl") / "target-jsonl"], folder=folder).ended_well()
    assert_told_once(done.tap_log)
    loaded = {}
    for stream in STREAMS:
        (path,) = folder.glob(f"{stream}-*.jsonl")
        loaded[stream] = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    assert {stream: len(rows) for stream, rows in loaded.items()} == counts(fake)
    for row, written in zip(in_order(loaded["conversations"], fake.conversation_ids), WRITTEN):
        fields = written_in_conversation(written)
        assert {name: row[name] for name in fields} == fields
    for row, written in zip(in_order(loaded["customers"], fake.customer_ids), WRITTEN):
        assert (row["draft"], row["created_at"]) == (written["boolean"], written["date-time"])
    for row, any_json in zip(in_order(loaded["conversation_threads"], fake.odd_threads), ANY_JSON):
        assert row["action"]["associated_entities"] == {"key\ufffd": any_json}
    days = sorted(loaded["company_report"], key=lambda row: row["date"])
    assert [row["replies_per_day"] for row in days[: len(SENT)]] == [
        written["number"] for written in WRITTEN
    ]


def test_target_postgres_loads_every_row(odd, postgres):
    fake = odd.fake
    done = Pipe(odd, postgres.target(odd, "odd")).ended_well()
    assert_told_once(done.tap_log)
    loaded = {name: postgres.value(f"SELECT count(*) FROM odd.{name}") for name in STREAMS}
    assert loaded == counts(fake)
    rows = postgres.rows("SELECT * FROM odd.conversations")
    for row, written in zip(in_order(rows, fake.conversation_ids), WRITTEN):
        fields = written_in_conversation(written)
        closed_at, expected = row["closed_at"], fields.pop("closed_at")
        assert datetime_or_none(closed_at) == datetime_or_none(expected)
        assert {name: row[name] for name in fields} == fields
    rows = postgres.rows("SELECT id, draft, created_at FROM odd.customers")
    for row, written in zip(in_order(rows, fake.customer_ids), WRITTEN):
        assert row["draft"] == written["boolean"]
        assert datetime_or_none(row["created_at"]) == datetime_or_none(written["date-time"])
    rows = postgres.rows("SELECT id, action FROM odd.conversation_threads")
    for row, any_json in zip(in_order(rows, fake.odd_threads), ANY_JSON):
        assert row["action"]["associated_entities"] == {"key\ufffd": any_json}
    rows = postgres.rows("SELECT replies_per_day FROM odd.company_report ORDER BY date")
    assert [row["replies_per_day"] for row in rows[: len(SENT)]] == [
        written["number"] for written in WRITTEN
    ]
