"""Odd values in every kind of field: strict targets load all rows, each oddity is told once."""

import json

import pytest

from tests.conftest import Tap
from tests.fake import FakeHelpScout
from tests.integration.conftest import Pipe, installed

# What fits after all, or is nothing: without a word.
QUIET = {
    "subject": 5,
    "preview": "half an emoji \ud83d and a \x00",
    "closedAt": "",
    "primaryCustomer": [],
}
# What is written as null, with a warning.
TOLD = {"userUpdatedAt": "yesterday", "folderId": 2**70, "assignee": "nobody"}
TOLD_COLUMNS = ("user_updated_at", "folder_id", "assignee")


@pytest.fixture(name="odd", scope="module")
def _odd(tmp_path_factory):
    """A tap for an account of which two rows of a stream have each odd value."""
    with FakeHelpScout(page_size=10) as fake:
        for key in fake.conversation_ids[3:5]:
            fake.touch(key, **QUIET, **TOLD)
        for key in fake.customer_ids[3:5]:
            fake.touch_customer(key, firstName=5, createdAt="yesterday", jobTitle="\x00\udc00")
        yield Tap(fake, tmp_path_factory.mktemp("odd"))


def assert_told_once(log):
    """One warning where a field's first odd value comes, and the number of them at the end."""
    fields = [("conversations", column) for column in TOLD_COLUMNS]
    for stream, column in [*fields, ("customers", "created_at")]:
        assert log.count(f"WARNING {stream}: {column} holds ") == 1, log
        assert f"{stream}: 2 values of {column} did not fit the schema" in log
    assert log.count("that does not fit the schema") == len(fields) + 1
    assert "yesterday" not in log and "nobody" not in log  # which may be personal


def test_target_jsonl_loads_every_row(odd):
    folder = odd.folder / "jsonl"
    folder.mkdir()
    done = Pipe(odd, [installed("target-jsonl") / "target-jsonl"], folder=folder).ended_well()
    assert_told_once(done.tap_log)
    loaded = {}
    for stream in odd.fake.truth_counts():
        (path,) = folder.glob(f"{stream}-*.jsonl")
        loaded[stream] = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    assert {name: len(rows) for name, rows in loaded.items()} == odd.fake.truth_counts()
    rows = [row for row in loaded["conversations"] if row["id"] in odd.fake.conversation_ids[3:5]]
    for row in rows:
        assert row["subject"] == "5" and row["preview"] == "half an emoji \ufffd and a "
        assert not [row[name] for name in (*TOLD_COLUMNS, "closed_at", "primary_customer")]
    assert len(rows) == 2


def test_target_postgres_loads_every_row(odd, postgres):
    settings = {
        "host": "127.0.0.1",
        "port": postgres.port,
        "user": "helpscout",
        "password": "unused",
        "database": "postgres",
        "default_target_schema": "odd",
    }
    target = installed("meltanolabs-target-postgres") / "target-postgres"
    done = Pipe(odd, [target, "--config", odd.file("target.json", settings)]).ended_well()
    assert_told_once(done.tap_log)
    counts = odd.fake.truth_counts()
    loaded = {name: postgres.value(f"SELECT count(*) FROM odd.{name}") for name in counts}
    assert loaded == counts
    keys = ", ".join(map(str, odd.fake.conversation_ids[3:5]))
    rows = postgres.rows(
        f"SELECT subject, preview, {', '.join(TOLD_COLUMNS)} FROM odd.conversations "
        f"WHERE id IN ({keys})"
    )
    odd_row = dict.fromkeys(TOLD_COLUMNS) | {
        "subject": "5",
        "preview": "half an emoji \ufffd and a ",
    }
    assert rows == 2 * [odd_row]
