"""State: where a run begins, and what it leaves for the next."""

import itertools
import re
from datetime import datetime, timedelta, timezone

import pytest

from tests.fake import stamp
from tests.test_discovery import TABLE
from tests.test_records import assert_complete

BOOKMARKED = {name for name, (_, key, *_) in TABLE.items() if key} | {"conversation_threads"}
WINDOWED = ["conversations", "customers"]
# In the order in which they are read: small lists first.
ROOTS = [name for name, (_, _, parent, _) in TABLE.items() if not parent and name not in WINDOWED]
ROOTS += WINDOWED
LISTS = ["mailboxes", "mailbox_folders", "users", "teams", "workflows"]  # read whole, then filtered
ODD_USER, ODD_FOLDER = 507, 45_003  # these say null, or nothing, for the date of their change


# What the state of a run that was ended, or that could not read all, has beside.
UNFINISHED = {"currently_syncing", "pending", "doubtful_embeds", "versions_in_progress"}


def moment(text):
    return datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=timezone.utc)


def quiet(fake, share):
    """A moment that nothing was modified near to, after about that share of conversations."""
    dates = sorted(fake.modified(key) for key in fake.conversation_ids)
    later = range(int(share * len(dates)), len(dates))
    return next(
        dates[i - 1] + timedelta(minutes=5)
        for i in later
        if dates[i] - dates[i - 1] > timedelta(minutes=10)
    )


def modified_since(fake, date):
    return {key for key in fake.conversation_ids if fake.modified(key) >= date}


def open_starts(fake, stream):
    """From when on a list was asked for without an end, in order."""
    return [
        request.params["modifiedSince"]
        for request in fake.requests
        if request.path == f"/v2/{stream}" and "modifiedSince" in request.params
    ]


def with_threads(run):
    return {record["conversation_id"] for record in run.records("conversation_threads")}


def test_the_state_is_flat_and_has_whole_seconds(whole):
    _, run = whole
    assert not UNFINISHED & set(run.state) and set(run.bookmarks) == BOOKMARKED
    for date in run.bookmarks.values():
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", date)
    assert len(set(run.bookmarks.values())) == 1  # when the run began


def test_a_second_run_brings_what_changed_and_nothing_else(tap, fake):
    first = tap.good_run()
    fake.clock_offset = 3600
    conversation, customer = fake.conversation_ids[9], fake.customer_ids[9]
    visible = fake.conversation(conversation)
    fake.touch(conversation)  # an edit that moves no date of the row
    fake.touch_customer(customer, firstName="Ludmila")
    for stream, row in (
        ("mailboxes", 7003),
        ("mailbox_folders", 12),
        ("users", 503),
        ("teams", 802),
        ("workflows", 3002),
    ):
        fake.touch_row(stream, row, name="new")
    run = tap.good_run(state=first.state)
    assert fake.conversation(conversation) == visible
    assert run.ids("conversations") == [conversation]
    assert with_threads(run) == {conversation}
    assert len(run.records("conversation_threads")) == len(fake.threads(conversation))
    assert [record["first_name"] for record in run.records("customers")] == ["Ludmila"]
    assert {stream: set(run.ids(stream)) for stream in LISTS} == {
        "mailboxes": {7003},
        "mailbox_folders": {12, ODD_FOLDER},
        "users": {503, ODD_USER},
        "teams": {802},
        "workflows": {3002},
    }
    # Those without a date come whole, those of parents that did not change too.
    assert_complete(run, fake, "mailbox_fields", "team_members", "happiness_ratings_report")
    assert all(run.bookmarks[name] > first.bookmarks[name] for name in BOOKMARKED)


def test_a_new_conversation_and_a_new_thread_come_in_the_next_run(tap, fake):
    catalog = tap.select("conversations", "conversation_threads")
    first = tap.good_run(catalog=catalog)
    fake.clock_offset = 3600
    new, old = fake.add_conversation(threads=7), fake.conversation_ids[3]
    thread = fake.add_thread(old, type="note")
    run = tap.good_run(state=first.state, catalog=catalog)
    assert sorted(run.ids("conversations")) == sorted([new, old])
    assert thread["id"] in run.ids("conversation_threads") and with_threads(run) == {new, old}


def test_start_date_bounds_conversations_and_customers_only(tap, fake):
    start = quiet(fake, 0.9)
    tap.configure(start_date=stamp(start))
    run = tap.good_run()
    assert set(run.ids("conversations")) == modified_since(fake, start)
    assert with_threads(run) == modified_since(fake, start)
    assert_complete(run, fake, *LISTS)
    assert set(run.ids("customers")) == {
        row["id"] for row in fake.truth()["customers"] if row["updatedAt"] >= stamp(start)
    }
    assert {record["rating_created_at"] for record in run.records("happiness_ratings_report")} == {
        row["ratingCreatedAt"] for row in fake.ratings if row["ratingCreatedAt"] >= stamp(start)
    }


def test_state_follows_each_window_and_each_stream(whole):
    _, run = whole
    end, since, counted = run.bookmarks["users"], [], 0
    for before, message in zip([None, *run.messages], run.messages):
        if message["type"] == "STATE":
            since.append(
                (message["value"].get("currently_syncing"), counted, message["value"]["bookmarks"])
            )
            counted = 0
        elif message["type"] == "RECORD" and message["stream"] in ROOTS:
            counted += 1
            assert before["type"] != "SCHEMA"
            # The stream before it has its final bookmark by now.
            earlier = ROOTS[: ROOTS.index(message["stream"])]
            assert {since[-1][2].get(name) for name in BOOKMARKED & set(earlier)} <= {end}
            assert since[-1][0] == message["stream"]
    windows = [rows for name, rows, _ in since if name == "conversations"]
    assert sum(windows) >= 200 and max(windows) <= 100  # twenty pages of five
    dates = [state["conversations"] for _, _, state in since if "conversations" in state]
    assert dates == sorted(dates) and len(set(dates)) > 3


@pytest.mark.parametrize("first", ["teams", "mailbox_fields", "conversation_threads"])
def test_the_stream_that_was_interrupted_comes_first_and_all_others_after(tap, first):
    run = tap.good_run(state={"currently_syncing": first, "bookmarks": {}})
    root = TABLE[first][2] or first
    order = list(
        dict.fromkeys(
            message["stream"] for message in run.of_type("RECORD") if message["stream"] in ROOTS
        )
    )
    assert order == [root, *(name for name in ROOTS if name != root)]
    assert run.streams == set(TABLE) and not UNFINISHED & set(run.state)


@pytest.mark.parametrize("name", ["parrots", "users", 7])
def test_an_interrupted_stream_that_is_not_read_now_is_ignored(tap, name):
    run = tap.good_run(state={"currently_syncing": name}, catalog=tap.select("mailboxes", "teams"))
    assert [message["stream"] for message in run.of_type("SCHEMA")] == ["mailboxes", "teams"]
    assert run.messages[3]["stream"] == "mailboxes" and not UNFINISHED & set(run.state)


@pytest.mark.parametrize(
    "spelling",
    ["2021-03-04T05:06:07.000000Z", "2021-03-04T05:06:07.987654Z", "2021-03-04 05:06:07"],
)
def test_bookmarks_of_old_state_files_are_read(tap, fake, spelling):
    tap.configure(lookback_seconds=0)
    tap.good_run(state={"bookmarks": {"customers": spelling}}, catalog=tap.select("customers"))
    # An exclusive filter would lose that second.
    assert open_starts(fake, "customers")[0] == "2021-03-04T05:06:06Z"


def test_what_the_tap_does_not_know_in_a_state_is_kept(tap):
    state = {
        "version": 3,
        "bookmarks": {"parrots": {"page": 4}, "customers": "2020-01-01T00:00:00Z", "users": None},
    }
    run = tap.good_run(state=state, catalog=tap.select("users"))
    end = run.bookmarks["users"]
    theirs = {**state, "bookmarks": {**state["bookmarks"], "users": end}}
    assert {key: run.state[key] for key in theirs} == theirs
    assert len(run.records("users")) == 8


def test_no_bookmark_in_any_spelling_reads_all(tap, fake):
    nothing = itertools.cycle([None, ""])
    run = tap.good_run(state={"bookmarks": dict(zip(TABLE, nothing))})
    assert_complete(run, fake, *TABLE)


@pytest.mark.parametrize("stream, date", [("mailboxes", "updatedAt"), ("workflows", "modifiedAt")])
def test_a_row_as_old_as_the_bookmark_comes_a_second_older_does_not(tap, fake, stream, date):
    tap.configure(lookback_seconds=0)
    row = fake.tables[stream][0]
    at = moment(row[date])
    for bookmark, comes in ((at, True), (at + timedelta(seconds=1), False)):
        run = tap.good_run(
            state={"bookmarks": {stream: stamp(bookmark)}}, catalog=tap.select(stream)
        )
        assert (row["id"] in run.ids(stream)) == comes


def test_bookmarks_never_go_backwards(tap, fake):
    fake.clock_offset = 7200
    first = tap.good_run()
    fake.clock_offset = 0
    run = tap.good_run(state=first.state)
    assert run.bookmarks == first.bookmarks
    assert all(state["value"]["bookmarks"] == first.bookmarks for state in run.of_type("STATE"))


@pytest.mark.parametrize("offset", [-7200, 7200])
def test_bookmarks_never_pass_the_start_of_the_run_by_the_apis_clock(tap, fake, offset):
    fake.clock_offset = offset
    before = stamp(fake.now())
    run = tap.good_run()
    # The first answer's date is the start; the second request came after it.
    began = datetime.fromtimestamp(fake.requests[1].at, timezone.utc)
    for state in run.of_type("STATE"):
        assert all(date <= stamp(began) for date in state["value"]["bookmarks"].values())
    assert min(run.bookmarks.values()) >= before


@pytest.mark.parametrize("parent, child", [(0.9, None), (0.9, 0.3), (0.3, 0.9), (0.5, 0.5)])
def test_parent_and_child_are_each_read_from_their_own_bookmark(tap, fake, parent, child):
    tap.configure(lookback_seconds=0)
    since = {
        stream: share and quiet(fake, share)
        for stream, share in (("conversations", parent), ("conversation_threads", child))
    }
    run = tap.good_run(
        state={"bookmarks": {stream: date and stamp(date) for stream, date in since.items()}},
        catalog=tap.select(*since),
    )
    old = moment("2010-01-01T00:00:00Z")
    assert set(run.ids("conversations")) == modified_since(fake, since["conversations"] or old)
    assert with_threads(run) == modified_since(fake, since["conversation_threads"] or old)
    for stream in since:
        dates = [
            state["value"]["bookmarks"][stream]
            for state in run.of_type("STATE")
            if state["value"]["bookmarks"].get(stream)
        ]
        assert dates == sorted(dates)
    assert len(set(run.bookmarks.values())) == 1


def test_folders_catch_up_when_selected_later_than_mailboxes(tap, fake):
    first = tap.good_run(catalog=tap.select("mailboxes"))
    fake.clock_offset = 3600
    run = tap.good_run(state=first.state, catalog=tap.select("mailboxes", "mailbox_folders"))
    assert_complete(run, fake, "mailbox_folders")
    assert not run.records("mailboxes")


@pytest.mark.parametrize(
    "state, words",
    [
        ('{"bookmarks": {"users": "yesterday"}}', "bookmarks"),
        ('{"client_id": "a"}', "no bookmarks"),
        ("", "empty"),
        ("{", "line 1"),
    ],
)
def test_a_bad_state_is_refused_in_words_before_any_request(tap, fake, state, words):
    """What else is refused, tests/unit/test_state_document.py shows."""
    run = tap.run(state=state)
    assert run.code == 1 and not fake.requests and not run.messages
    line, *_ = run.log.splitlines()
    assert line.startswith("CRITICAL the state file") and "state.json" in line and words in line
