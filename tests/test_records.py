"""Records: each equals its source, field by field, whatever is in it."""

import functools
import json
import re

import jsonschema
import pytest

from tests.test_discovery import TABLE

EPOCH = "1970-01-01T00:00:00Z"
DATE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$")


@functools.cache
def snake_case(name):
    return re.sub("[A-Z]", lambda letter: "_" + letter[0], name).lower().replace("-", "_")


def plain(value):
    """Any value of the API as records have it: snake_case, `_embedded` lifted, no `_links`."""
    if isinstance(value, list):
        return [plain(item) for item in value]
    if not isinstance(value, dict):
        return value
    lifted = {**(value.get("_embedded") or {}), **value}
    return {
        snake_case(name): inner if name == "associatedEntities" else plain(inner)
        for name, inner in lifted.items()
        if name not in ("_embedded", "_links")
    }


def expected(stream, row):
    """The record of a row of `FakeHelpScout.truth`; a child's row is (parent id, row)."""
    parent, row = row if isinstance(row, tuple) else (None, row)
    record = plain(row)
    if stream == "conversations":
        dates = [
            record.get("modified_at"),
            record.get("created_at"),
            record.get("closed_at"),
            record.get("user_updated_at"),
            (record.get("customer_waiting_since") or {}).get("time"),
        ]
        record["updated_at"] = max(filter(DATE.match, map(str, dates)), default=EPOCH)
    elif stream == "conversation_threads":
        record["conversation_id"] = parent
    elif stream in ("mailbox_fields", "mailbox_folders"):
        record["mailbox_id"] = parent
    elif stream == "team_members":
        record = {"team_id": parent, "user_id": row["id"]}
    elif stream == "happiness_ratings_report":
        record["thread_id"] = record.pop("threadid")
        record["conversation_id"] = record.pop("id")
    return record


def texts(records):
    """Records in any order, each once; all that is in them counts, the order of fields does not."""
    return {json.dumps(record, sort_keys=True) for record in records}


def assert_complete(run, fake, *streams):
    truth = fake.truth()
    for stream in streams:
        rows = (expected(stream, row) for row in truth[stream])
        assert texts(run.records(stream)) == texts(rows), stream


@pytest.mark.parametrize("stream", TABLE)
def test_records_equal_their_source_field_by_field(whole, stream):
    fake, run = whole
    assert run.streams == set(TABLE) and "WARNING" not in run.log
    assert_complete(run, fake, stream)


@pytest.mark.parametrize("stream", TABLE)
def test_records_fit_the_schema_that_was_written_before_them(whole, stream):
    _, run = whole
    (schema,) = run.of_type("SCHEMA", stream)
    first = next(message for message in run.messages if message.get("stream") == stream)
    assert first is schema and schema["key_properties"] == TABLE[stream][0]
    assert schema.get("bookmark_properties") == (TABLE[stream][1] and [TABLE[stream][1]])
    validator = jsonschema.Draft4Validator(schema["schema"])
    for record in run.records(stream):
        validator.validate(record)
        assert all(record[key] is not None for key in TABLE[stream][0])


def test_a_parents_row_comes_before_its_childrens(whole):
    _, run = whole
    for parent, child, key in (
        ("conversations", "conversation_threads", "conversation_id"),
        ("mailboxes", "mailbox_folders", "mailbox_id"),
    ):
        seen = set()
        for message in run.of_type("RECORD"):
            if message["stream"] == parent:
                seen.add(message["record"]["id"])
            elif message["stream"] == child:
                assert message["record"][key] in seen


def test_records_are_the_same_one_request_at_a_time(tap, fake):
    tap.configure(concurrency=1)
    assert_complete(tap.good_run(), fake, *TABLE)


GONE = {
    name: ...
    for name in (
        "number type folderId subject preview mailboxId createdBy createdAt closedBy closedAt "
        "userUpdatedAt customerWaitingSince source tags cc bcc primaryCustomer customFields "
        "assignee threads _embedded _links"
    ).split()
}
LATE = "2024-02-29T23:59:59Z"
ODD = {
    **{
        f"{name} last": {
            "createdAt": "2024-01-01T00:00:00Z",
            "closedAt": "2024-01-01T00:00:00Z",
            "userUpdatedAt": "2024-01-01T00:00:00Z",
            "customerWaitingSince": {},
            name: {"time": LATE} if name == "customerWaitingSince" else LATE,
        }
        for name in ("createdAt", "closedAt", "userUpdatedAt", "customerWaitingSince")
    },
    "null": {**dict.fromkeys(GONE, None), "type": "email"},
    "missing": {**GONE, "type": "email"},
    "empty objects": {
        name: {}
        for name in (
            "assignee",
            "createdBy",
            "closedByUser",
            "customerWaitingSince",
            "source",
            "snooze",
            "nextEvent",
            "primaryCustomer",
            "_embedded",
            "_links",
        )
    },
    "empty lists": {"tags": [], "cc": [], "bcc": [], "customFields": []},
    "null within": {
        "tags": [None, {"id": None, "tag": ""}],
        "cc": [None, ""],
        "customFields": [{"id": 9, "value": None}],
        "assignee": {"id": None},
        "customerWaitingSince": {"time": None, "friendly": ""},
    },
    "unicode": {
        "subject": "a\u2028b\u2029c\x85d\x1c\x1d\x0b\x0ce \U0001f422 \ufeff \u202e",
        "preview": '\\u2028 \\ " </script> \r\n\t 山田 \x7f',
        "cc": ["größe@ünïcode.example"],
    },
    "no date": {"createdAt": None, "closedAt": None, "userUpdatedAt": ..., "tags": None},
}


ODD_CUSTOMERS = [
    {"_embedded": ...},
    {"_embedded": None},
    {"_embedded": {}},
    {"_embedded": []},
    {"_embedded": {"emails": None, "address": {}, "properties": [], "websites": [None, {}]}},
    {"_embedded": {"social-profiles": [{"id": 1, "value": "lamp"}], "address": None}},
    {"_embedded": {"emails": [{"_links": {}, "id": 1, "_embedded": {"value": "a@b.example"}}]}},
    {"firstName": None, "lastName": ..., "organizationId": 0, "draft": None, "age": ""},
]
ODD_THREADS = [
    {"action": {"type": "default", "associatedEntities": {"oldMailboxId": 1, "A_b": {"cD": None}}}},
    {
        "action": {},
        "customer": None,
        "createdBy": {},
        "assignedTo": ...,
        "to": None,
        "body": None,
    },
    {"_embedded": None},
    {"_embedded": ...},
    {"_embedded": {"attachments": [{"mimeType": None}]}},
    {"rating": {}, "scheduled": None, "openedAt": None, "linkedConversationId": 12},
]


def test_odd_rows_of_long_lists_arrive_as_they_are(tap, fake):
    for key, changes in zip(fake.conversation_ids, ODD.values()):
        fake.touch(key, **changes)
    for key, changes in zip(fake.customer_ids, ODD_CUSTOMERS):
        fake.touch_customer(key, **changes)
    for key, fields in zip(fake.conversation_ids[20:], ODD_THREADS):
        fake.add_thread(key, **fields)
    streams = ("conversations", "conversation_threads", "customers")
    assert_complete(tap.good_run(catalog=tap.select(*streams)), fake, *streams)


def test_values_that_do_not_fit_are_written_as_their_schema_has_them(tap, fake):
    """How each kind of value is converted, tests/unit/test_conform.py shows."""
    key = fake.conversation_ids[3]
    fake.touch(key, subject=5, number="7", tags={}, userUpdatedAt="soon", createdAt="2020-01-31")
    run = tap.good_run(catalog=tap.select("conversations"))
    (record,) = [row for row in run.records("conversations") if row["id"] == key]
    assert (record["subject"], record["number"], record["tags"]) == ("5", 7, [])
    assert (record["user_updated_at"], record["created_at"]) == (None, "2020-01-31T00:00:00Z")
    warnings = [line for line in run.log.splitlines() if line.startswith("WARNING")]
    assert any("user_updated_at" in line and str(key) in line for line in warnings)
    assert len(warnings) == 2 and not [line for line in warnings if "soon" in line]


def test_odd_rows_of_other_lists_arrive_as_they_are(tap, fake):
    fake.touch_row("users", 502, firstName=None, role=..., alternateEmails=None, _links=None)
    fake.touch_row("mailbox_fields", 9001, options=[None, {}], required=None)
    fake.touch_row("mailbox_folders", 11, userId=None, totalCount=...)
    fake.touch_row("teams", 802, name="Lamp \u2028 \x85 \U0001f319", photoUrl=None)
    fake.ratings[0] = {**fake.ratings[0], "ratingComments": "\u2028", "ratingUserName": None}
    assert_complete(tap.good_run(), fake, *TABLE)


def test_half_a_surrogate_pair_is_marked(tap, fake):
    body = r'{"_embedded": {"teams": [{"id": 1, "name": "half \ud83d a lamp"}]}}'
    fake.fault(200, path="/v2/teams", body=body)
    run = tap.good_run(catalog=tap.select("teams"))
    assert run.records("teams") == [{"id": 1, "name": "half \ufffd a lamp"}]


def test_a_conversation_without_any_date_has_an_updated_at(whole):
    fake, run = whole
    (dateless,) = [row["id"] for row in fake.truth()["conversations"] if "createdAt" not in row]
    assert [
        record["updated_at"] for record in run.records("conversations") if record["id"] == dateless
    ] == [EPOCH]


def test_unknown_fields_are_left_out_with_one_warning_each(tap, fake):
    for key in fake.conversation_ids[:2]:
        fake.touch(
            key,
            shoeSize=43,
            createdBy={"id": 1, "hat": {"rim": "wide"}},
            tags=[{"id": 601, "mood": "dim"}, {"id": 602, "mood": "bright"}],
        )
    catalog = tap.select("conversations", "mailboxes")
    conversations = catalog["streams"][0]
    for item in conversations["metadata"]:
        if item["breadcrumb"] == ["properties", "subject"]:
            item["metadata"]["selected"] = False
    run = tap.good_run(catalog=catalog)
    warnings = [line for line in run.log.splitlines() if line.startswith("WARNING")]
    assert len(warnings) == 3
    for path in ("shoe_size", "created_by.hat", "tags.mood"):
        assert sum(f"conversations: the API sends {path}," in line for line in warnings) == 1
    assert not {"shoe_size", "subject"} & {
        key for record in run.records("conversations") for key in record
    }
    assert {"id": 1} in [record.get("created_by") for record in run.records("conversations")]


@pytest.mark.parametrize("missing", [None, ...])
def test_a_row_without_its_key_is_left_out_with_a_warning(tap, fake, missing):
    fake.touch_row("mailboxes", 7002, id=missing)
    run = tap.run(catalog=tap.select("mailboxes", "mailbox_folders"))
    assert run.code == 1 and run.ids("mailboxes") == [7001, 7003]
    assert {record["mailbox_id"] for record in run.records("mailbox_folders")} == {7001, 7003}
    assert "WARNING mailboxes: a row without its key id is left out" in run.log
    assert "mailboxes is incomplete: 1 row without a key could not be written" in run.log
    assert not [request for request in fake.requests if "None" in request.path]


def test_a_member_without_an_id_is_left_out_with_a_warning(tap, fake):
    fake.fault(
        200,
        path="/v2/teams/801/members",
        body={
            "_embedded": {"users": [{"firstName": "Ada"}, {"id": 502}]},
            "page": {"size": 50, "totalElements": 2, "totalPages": 1, "number": 1},
        },
    )
    run = tap.run(catalog=tap.select("team_members"))
    assert run.code == 1
    assert [
        record["user_id"] for record in run.records("team_members") if record["team_id"] == 801
    ] == [502]
    assert "WARNING team_members: a row without its key team_id, user_id is left out" in run.log


def test_an_empty_account_writes_schemas_and_state(tap, fake):
    for name in ("mailboxes", "users", "workflows", "teams"):
        fake.tables[name] = []
    for key in fake.conversation_ids:
        fake.delete(key)
    fake.ratings.clear()
    run = tap.good_run()
    assert run.streams == {"customers"}
    assert {message["stream"] for message in run.of_type("SCHEMA")} == set(TABLE)
    assert set(run.bookmarks) == {"conversation_threads"} | {
        name for name, (_, replication_key, *_) in TABLE.items() if replication_key
    }
