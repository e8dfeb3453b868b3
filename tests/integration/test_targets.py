"""Targets and checkers beside PostgreSQL's, and the limits that README.md tells of."""

import csv
import json
import re
import subprocess

import pytest

from tests.conftest import TAP
from tests.integration.conftest import BY_DEFAULT, Pipe, installed, interpreter

# Streams of whose rows each has the same fields.
EVEN = ["mailboxes", "workflows", "happiness_ratings_report", "teams", "team_members"]


def csv_rows(folder, stream):
    """The rows of a stream's CSV file; a null is an empty cell."""
    (path,) = folder.glob(f"{stream}[-.]*csv")
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def keys(rows, stream):
    """The keys of the rows, without dates, which each target writes in its own way."""
    names = [name for name in BY_DEFAULT[stream].key_properties if name.endswith("id")]
    return sorted(tuple(str(row[name]) for name in names) for row in rows)


def misplaced(records, cells):
    """How many records have a text or number that is not in the column of its name."""
    return sum(
        any(
            isinstance(value, (str, int))
            and not isinstance(value, bool)
            and row.get(name) != str(value)
            for name, value in record.items()
        )
        for record, row in zip(records, cells)
    )


class Loads:
    """Syncs of one account into a target whose files go to its working directory."""

    def __init__(self, tap, command):
        self.tap, self.command = tap, command

    def into(self, name, state=None):
        folder = self.tap.folder / name
        folder.mkdir(exist_ok=True)
        return folder, Pipe(self.tap, self.command, state=state, folder=folder).ended_well()


@pytest.fixture(name="records", scope="module")
def _records(account):
    """What the tap writes, by stream."""
    run = account.good_run()
    return {stream: run.records(stream) for stream in BY_DEFAULT}


@pytest.fixture(name="new_csv", scope="module")
def _new_csv(account):
    return Loads(
        account,
        [
            installed("meltanolabs-target-csv") / "target-csv",
            "--config",
            account.file(
                "csv.json",
                {"output_path": ".", "flattening_enabled": True, "flattening_max_depth": 2},
            ),
        ],
    )


@pytest.fixture(name="old_csv", scope="module")
def _old_csv(account):
    # It does not run where `collections` has lost MutableMapping, from Python 3.10 on.
    return Loads(
        account,
        [
            installed("target-csv", python=interpreter("3.9")) / "target-csv",
            "--config",
            account.file("old_csv.json", {"disable_collection": True}),
        ],
    )


def test_meltanolabs_target_csv_gets_each_row_under_its_names(new_csv, records):
    folder, _ = new_csv.into("whole")
    for stream, rows in records.items():
        assert keys(csv_rows(folder, stream), stream) == keys(rows, stream), stream
    cells = {row["id"]: row for row in csv_rows(folder, "conversations")}
    for record in records["conversations"]:
        row = cells[str(record["id"])]
        assert row["subject"] == (record["subject"] or "")
        assert row["primary_customer__email"] == record["primary_customer"]["email"]


def test_meltanolabs_target_csv_keeps_the_last_run_only(new_csv):
    folder, first = new_csv.into("twice")
    edited = new_csv.tap.fake.conversation_ids[3]
    new_csv.tap.fake.touch(edited)
    new_csv.into("twice", state=first.state)
    assert [row["id"] for row in csv_rows(folder, "conversations")] == [str(edited)]
    assert not csv_rows(folder, "mailboxes")


@pytest.fixture(name="old_csv_folder", scope="module")
def _old_csv_folder(old_csv):
    return old_csv.into("old")[0]


@pytest.mark.parametrize("stream", BY_DEFAULT)
def test_target_csv_gets_each_row(old_csv_folder, records, stream):
    assert len(csv_rows(old_csv_folder, stream)) == len(records[stream]) > 0


@pytest.mark.parametrize("stream", EVEN)
def test_target_csv_is_right_where_all_rows_have_the_same_fields(old_csv_folder, records, stream):
    assert keys(csv_rows(old_csv_folder, stream), stream) == keys(records[stream], stream)
    assert misplaced(records[stream], csv_rows(old_csv_folder, stream)) == 0


@pytest.mark.parametrize("stream", ["conversations", "conversation_threads", "customers"])
def test_target_csv_puts_values_into_wrong_columns_elsewhere(old_csv_folder, records, stream):
    assert misplaced(records[stream], csv_rows(old_csv_folder, stream)) > 0


def test_target_stitch_finds_every_batch_valid(account, records):
    done = Pipe(account, [installed("target-stitch") / "target-stitch", "--dry-run"]).ended_well()
    valid = dict.fromkeys(BY_DEFAULT, 0)
    for stream, rows in re.findall(r"(\w+) \((\d+)\): Batch is valid", done.log):
        valid[stream] += int(rows)
    assert valid == {stream: len(rows) for stream, rows in records.items()}
    assert set(done.state["bookmarks"]) == {
        stream for stream in BY_DEFAULT if BY_DEFAULT[stream].has_bookmark
    }


def table(said):
    """The last table of singer-check-tap: stream → rows."""
    rows = re.findall(
        r"^\| (\w+) +\| (\d+) +\| 1 +\|$", said.rpartition("Details by stream")[2], re.MULTILINE
    )
    return {stream: int(count) for stream, count in rows}


def test_singer_check_tap_approves_what_it_reads(account, records):
    done = Pipe(account, [installed("singer-tools") / "singer-check-tap"], folder=account.folder)
    assert done.code == 0, done.output + done.log
    assert table(done.output) == {stream: len(rows) for stream, rows in records.items()}


def test_singer_check_tap_runs_the_tap_twice(account, records):
    # It fails when a tap ends before all that it wrote is checked: this one ends late.
    late = account.file(
        "late-tap", f'#!/bin/sh\n"{TAP}" "$@"\ncode=$?\nexec >&-\nsleep 3\nexit $code\n'
    )
    subprocess.run(["chmod", "+x", late], check=True)
    done = subprocess.run(
        [
            installed("singer-tools") / "singer-check-tap",
            "--tap",
            late,
            "--config",
            account.config_path,
        ],
        cwd=account.folder,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    first, _, second = done.stdout.partition("re-running tap with state")
    assert table(first) == {stream: len(rows) for stream, rows in records.items()}
    assert table(second)["customers"] == 0
    assert table(second)["team_members"] == len(records["team_members"])
    state = json.loads((account.folder / "singer-check-tap-data" / "state.json").read_text())
    assert state["bookmarks"]
