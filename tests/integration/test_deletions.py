"""What is gone from Help Scout, in PostgreSQL through meltanolabs-target-postgres: marked with the
time in `_sdc_deleted_at`, or removed with `hard_delete`; and nothing where a row may be missing."""

from types import SimpleNamespace

import pytest

from tap_helpscout.streams import STREAMS
from tests.conftest import Tap
from tests.fake import FakeHelpScout, build
from tests.integration.conftest import BY_DEFAULT, Pipe, installed
from tests.test_versions import NOT_ACTIVATED, Miscounted, full

CONVERSATIONS = ("conversations", "conversation_threads")
TEAM = 802


class Warehouse:
    """A schema of the database, and the state of what it was loaded with."""

    def __init__(self, tap, postgres, schema, hard_delete=False):
        self.tap, self.state, self.log = tap, None, ""
        self._postgres, self._schema = postgres, schema
        self._target = postgres.target(tap, schema, activate_version=True, hard_delete=hard_delete)

    def load(self, catalog, tap_code=0):
        done = Pipe(self.tap, self._target, state=self.state, catalog=catalog)
        assert done.tap_code == tap_code, done.tap_log
        assert done.code == 0, done.log[-5000:]
        self.state, self.log = done.state, done.tap_log

    def table(self, stream):
        """{key: whether it is marked as gone} of all rows that are there."""
        keys = STREAMS[stream].key_properties
        rows = self._postgres.rows(
            f"SELECT {', '.join(keys)}, _sdc_deleted_at IS NOT NULL AS is_marked "
            f"FROM {self._schema}.{stream}"
        )
        found = {tuple(row[key] for key in keys): row["is_marked"] for row in rows}
        assert len(found) == len(rows)
        return found

    def tables(self, streams=tuple(BY_DEFAULT)):
        return {stream: self.table(stream) for stream in streams}

    def values(self, stream, column, where="true"):
        """What is in a column, each value once."""
        rows = self._postgres.rows(
            f"SELECT DISTINCT {column} AS value FROM {self._schema}.{stream} WHERE {where}"
        )
        return [row["value"] for row in rows]


def kept(tables):
    """(stream, key) of the rows that are not marked."""
    return {
        (stream, key)
        for stream, rows in tables.items()
        for key, marked in rows.items()
        if not marked
    }


def marked(tables):
    """(stream, key) of the rows that are marked as gone."""
    return {
        (stream, key) for stream, rows in tables.items() for key, is_gone in rows.items() if is_gone
    }


# -- found, and nothing else ----------------------------------------------------------------------


@pytest.fixture(name="story", scope="module", params=["soft", "hard"])
def _story(request, postgres, tmp_path_factory):
    """What the tables hold after each of these runs, nightly ones and such as are FULL_TABLE."""
    with FakeHelpScout(build(30, customers=12), page_size=5) as fake:
        tap = Tap(fake, tmp_path_factory.mktemp(request.param))
        tap.configure(emit_activate_version_messages=True)
        warehouse = Warehouse(tap, postgres, request.param, request.param == "hard")
        nightly, weekly = tap.discover(), full(tap.discover(), "conversations")
        told = SimpleNamespace(is_hard=request.param == "hard", warehouse=warehouse)

        def load(catalog):
            fake.clock_offset += 3600
            warehouse.load(catalog)
            return warehouse.tables()

        told.first = load(nightly)
        told.member = ("team_members", (TEAM, fake.members[TEAM].pop()))
        told.field = ("mailbox_fields", (fake.children["mailbox_fields"][7001].pop()["id"],))
        key = fake.conversation_ids[4]
        told.conversation = ("conversations", (key,))
        told.threads = {("conversation_threads", (row["id"],)) for row in fake.threads(key)}
        fake.delete(key)
        told.night = load(nightly)
        told.week = load(weekly)
        told.edited = fake.conversation_ids[5]
        fake.touch(told.edited, subject="Edited")
        new = fake.add_conversation(threads=2)
        told.new = {("conversations", (new,))} | {
            ("conversation_threads", (row["id"],)) for row in fake.threads(new)
        }
        told.night_after = load(nightly)
        told.subjects = warehouse.values("conversations", "subject", f"id = {told.edited}")
        told.versions = {
            stream: warehouse.values(stream, "_sdc_table_version", "_sdc_deleted_at IS NULL")
            for stream in CONVERSATIONS
        }
        told.activated = warehouse.state["versions"]
        told.week_after = load(weekly)
        told.truth = fake.truth_counts()
        fake.members[TEAM].append(told.member[1][1])
        told.again = load(nightly)
        yield told


def assert_gone(told, before, after, gone):
    """These rows are marked or removed since, and no others."""
    assert kept(before) - kept(after) == gone
    if told.is_hard:
        assert not marked(after)
    else:
        assert marked(after) - marked(before) == gone


def test_the_first_load_marks_nothing(story):
    assert not marked(story.first)
    assert {story.member, story.field, story.conversation, *story.threads} <= kept(story.first)
    assert story.threads


def test_a_team_member_and_a_mailbox_field_are_found_in_each_run(story):
    assert_gone(story, story.first, story.night, {story.member, story.field})


def test_a_conversation_and_its_threads_are_found_by_a_full_table_run(story):
    assert_gone(story, story.night, story.week, {story.conversation, *story.threads})


def test_an_incremental_run_afterwards_brings_none_back_and_deletes_none(story):
    assert story.subjects == ["Edited"]
    assert kept(story.night_after) == kept(story.week) | story.new
    assert marked(story.night_after) == marked(story.week)


def test_what_an_incremental_run_brings_has_the_version_of_the_others(story):
    assert story.versions == {stream: [story.activated[stream]] for stream in CONVERSATIONS}


def test_what_came_by_an_incremental_run_outlives_the_next_full_table_run(story):
    assert story.week_after == story.night_after
    alive = {stream: 0 for stream in story.truth} | {
        stream: sum(not is_gone for is_gone in rows.values())
        for stream, rows in story.week_after.items()
    }
    assert alive == story.truth


def test_a_row_that_comes_again_is_not_marked_any_more(story):
    assert kept(story.again) == kept(story.week_after) | {story.member}
    assert marked(story.again) == marked(story.week_after) - {story.member}


# -- not where a row may be missing ---------------------------------------------------------------


def fail_half_way(fake):
    return fake.fault(500, r"/v2/teams\?page=2", times=None)


def refuse_an_inbox(fake):
    return fake.fault(403, "/7003/fields", times=None)


def skip_a_parent(fake):
    fake.embed = "no_line_items"  # so that each listing is asked for
    key = fake.conversation_ids[9]
    return fake.fault(404, f"/conversations/{key}/threads", times=None)


def count_too_many(fake):
    fake.miscounted = "fields"


# What goes wrong: (how, the stream whose rows may be missing, its parent, the tap's exit code).
WRONG = {
    "a list fails half-way": (fail_half_way, "teams", None, 1),
    "an inbox answers 403": (refuse_an_inbox, "mailbox_fields", "mailboxes", 1),
    "a parent is skipped": (skip_a_parent, "conversation_threads", "conversations", 0),
    "rows are missing": (count_too_many, "mailbox_fields", "mailboxes", 0),
}


@pytest.mark.parametrize("what", WRONG)
def test_nothing_is_marked_where_a_row_may_be_missing(postgres, tmp_path, what):
    go_wrong, stream, parent, code = WRONG[what]
    streams = [name for name in (parent, stream) if name]
    with Miscounted(build(30, customers=12), page_size=2) as fake:
        tap = Tap(fake, tmp_path)
        tap.configure(retry_seconds=0, emit_activate_version_messages=True)
        catalog = full(tap.select(*streams), *({"teams", "conversations"} & set(streams)))
        warehouse = Warehouse(tap, postgres, f"wrong_{list(WRONG).index(what)}")
        warehouse.load(catalog)
        before = warehouse.table(stream)
        gone = remove_one(fake, stream)
        fault = go_wrong(fake)
        warehouse.load(catalog, tap_code=code)
        assert warehouse.table(stream) == before and not any(before.values())
        assert f"{stream}: {NOT_ACTIVATED}" in warehouse.log
        # The next run reads it whole, and finds it.
        fake.miscounted = ""
        if fault:
            fault.times = fault.hits
        warehouse.load(catalog)
        assert {key for key, is_gone in warehouse.table(stream).items() if is_gone} == gone


def remove_one(fake, stream):
    """Deletes what is on no page that goes wrong; the keys of the rows that are gone by that."""
    if stream == "teams":
        return {(fake.tables["teams"].pop(0)["id"],)}
    if stream == "mailbox_fields":
        return {(fake.children["mailbox_fields"][7001].pop(0)["id"],)}
    key = fake.conversation_ids[2]
    gone = {(row["id"],) for row in fake.threads(key)}
    fake.delete(key)
    return gone


# -- a target that does not understand it ---------------------------------------------------------


def test_target_jsonl_goes_on(small_fake, tmp_path):
    tap = Tap(small_fake, tmp_path)
    tap.configure(emit_activate_version_messages=True)
    done = Pipe(tap, [installed("target-jsonl") / "target-jsonl"], folder=tmp_path).ended_well()
    assert "Unknown message type ACTIVATE_VERSION" in done.log
    counts = small_fake.truth_counts()
    for stream, rows in counts.items():
        (path,) = tmp_path.glob(f"{stream}-*.jsonl")
        assert len(path.read_text("utf-8").splitlines()) == rows
