"""Deletions: what was read whole ends with ACTIVATE_VERSION, and no row that is there goes."""

import random
import re
import time
from datetime import datetime, timedelta, timezone
from functools import partial

import pytest

from tests.conftest import Run, Tap, only
from tests.examples import EXAMPLES
from tests.fake import FakeHelpScout, build
from tests.readme import section
from tests.target import Target
from tests.test_discovery import TABLE
from tests.test_docs import STREAM_TABLE
from tests.test_interruption import killed
from tests.test_records import assert_complete
from tests.test_selection import say

FULL_TABLE = {"mailbox_fields", "team_members", "happiness_ratings_report"}
INCREMENTAL = set(TABLE) - FULL_TABLE - {"conversation_threads"}
# The streams that a stream read FULL_TABLE takes with it.
WITH_CHILDREN = {
    "conversations": {"conversations", "conversation_threads"},
    "mailboxes": {"mailboxes", "mailbox_folders"},
}
NOT_ACTIVATED = "no ACTIVATE_VERSION, so that what is gone is not found in this run"
FIRST = 1_700_000_000_000  # a version of some years ago


@pytest.fixture(name="tap")
def _tap(small_fake, tmp_path):
    tap = Tap(small_fake, tmp_path)
    tap.configure(emit_activate_version_messages=True)
    return tap


@pytest.fixture(name="fake")
def _fake(small_fake):
    return small_fake


def full(catalog, *streams):
    """The catalog with the replication method FULL_TABLE for these streams."""
    for stream in streams:
        say(catalog, stream, **{"replication-method": "FULL_TABLE"})
    return catalog


def activated(run):
    """{stream: the version that was activated}; each once, after all records of the stream."""
    found = {}
    for i, message in enumerate(run.messages):
        if message["type"] == "ACTIVATE_VERSION":
            stream = message["stream"]
            assert stream not in found
            assert all(later.get("stream") != stream for later in run.messages[i + 1 :])
            found[stream] = message["version"]
    return found


def versions(run, stream):
    """The versions of a stream's records; None where they have none."""
    return {message.get("version") for message in run.of_type("RECORD", stream)}


def without_versions(run):
    return not activated(run) and all(versions(run, name) == {None} for name in run.streams)


def before_all(*bookmarked):
    """A state whose bookmarks are those of a run that ended just now."""
    now = datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {"bookmarks": dict.fromkeys(bookmarked, now)}


def test_without_the_setting_there_are_no_versions(tap):
    tap.configure()
    run = tap.good_run()
    assert without_versions(run)
    assert not any(key.startswith("versions") for key in run.state)


@pytest.mark.parametrize("stream", sorted(INCREMENTAL))
def test_without_the_setting_full_table_reads_everything(tap, fake, stream):
    tap.configure()
    catalog = tap.select(*WITH_CHILDREN.get(stream, {stream}))
    state = before_all(*WITH_CHILDREN.get(stream, {stream}))
    assert len(tap.good_run(catalog=catalog, state=state).records(stream)) < len(
        fake.truth()[stream]
    )
    run = tap.good_run(catalog=full(catalog, stream), state=state)
    assert_complete(run, fake, *WITH_CHILDREN.get(stream, {stream}))
    assert without_versions(run)
    assert not any(key.startswith("versions") for key in run.state)
    assert run.bookmarks.keys() == state["bookmarks"].keys()
    assert all(run.bookmarks[name] >= date for name, date in state["bookmarks"].items())


def test_full_table_streams_have_a_version_and_end_with_it(tap):
    began = time.time()
    run = tap.good_run()
    versions_of = activated(run)
    assert set(versions_of) == FULL_TABLE
    for stream in TABLE:
        assert versions(run, stream) == {versions_of.get(stream)}
    (version,) = set(versions_of.values())
    assert abs(version - 1000 * began) < 60_000
    assert run.messages[-1]["type"] == "STATE" and run.state["versions"] == versions_of


def test_each_run_finds_what_is_gone_in_the_streams_that_the_readme_says(tap, fake):
    whole = {name for name, row in STREAM_TABLE.items() if row[3].startswith("FULL_TABLE")}
    part = re.split("^#+ ", section("Every day").partition("### Finding deletions")[2], flags=re.M)[
        0
    ]
    (but,) = re.findall(r"FULL_TABLE, if it\s+is selected; all but `(\w+)`", part)
    assert FULL_TABLE < whole - {but}
    tap.configure(
        start_date=(fake.now() - timedelta(days=5)).isoformat(),
        emit_activate_version_messages=True,
    )
    run = tap.good_run(catalog=tap.select(*STREAM_TABLE))
    assert set(activated(run)) == whole - {but}


def test_a_later_run_has_a_larger_version_whatever_the_clock_says(tap):
    largest = 9_000_000_000_000
    state = {"bookmarks": {}, "versions": {"users": largest}}
    first = tap.good_run(state=state)
    assert set(activated(first).values()) == {largest + 1}
    second = tap.good_run(state=first.state)
    assert set(activated(second).values()) == {largest + 2}
    assert second.state["versions"]["users"] == largest


@pytest.mark.parametrize("stream", sorted(INCREMENTAL))
def test_an_incremental_stream_read_full_table(tap, fake, stream):
    family = WITH_CHILDREN.get(stream, {stream})
    catalog = full(tap.select(*family), stream)
    run = tap.good_run(catalog=catalog, state=before_all(*family))
    assert_complete(run, fake, *family)
    assert set(activated(run)) == family == set(run.state["versions"])
    for name in family:
        assert versions(run, name) == {activated(run)[name]}
    assert "versions_in_progress" not in run.state
    # The next runs read what is new, under the same version.
    later = tap.good_run(catalog=tap.select(*family), state=run.state)
    assert not activated(later) and later.state["versions"] == run.state["versions"]
    assert len(later.records(stream)) < len(run.records(stream))
    fake.clock_offset = 3600
    edit(fake, stream)
    later = tap.good_run(catalog=tap.select(*family), state=run.state)
    for name in {stream, *({"conversation_threads"} & family)}:
        assert later.records(name) and versions(later, name) == {activated(run)[name]}
    assert not activated(later)


def edit(fake, stream):
    """Modifies a row of a stream, and what hangs on it."""
    first = fake.truth()[stream][0]
    key = (first[1] if isinstance(first, tuple) else first)["id"]
    if stream == "conversations":
        fake.add_thread(key)
    elif stream == "customers":
        fake.touch_customer(key)
    else:
        fake.touch_row(stream, key)


@pytest.mark.parametrize("selected", [["conversation_threads"], ["conversation_threads", "users"]])
def test_threads_are_whole_only_below_conversations_read_full_table(tap, selected):
    run = tap.good_run(catalog=full(tap.select(*selected), "conversation_threads"))
    assert versions(run, "conversation_threads") == {None}
    assert not activated(run)
    both = tap.select("conversations", "conversation_threads")
    assert not activated(tap.good_run(catalog=both))


def test_a_start_date_to_come_takes_nothing_away(tap):
    tomorrow = datetime.now(timezone.utc) + timedelta(hours=20)
    tap.configure(start_date=tomorrow.isoformat(), emit_activate_version_messages=True)
    run = tap.good_run(catalog=full(tap.discover(), *INCREMENTAL))
    assert not activated(run)


# What goes wrong: (what is done to the fake, the streams selected, those of them that are whole).
CONVERSATIONS = ["conversations", "conversation_threads"]


def lose_the_id(table):
    def lose(fake):
        fake.tables[table][1] = {**fake.tables[table][1], "id": None}

    return lose


def delete_at_its_threads(fake):
    fake.embed = "no_line_items"  # so that each listing is asked for
    key = fake.conversation_ids[4]
    fake.before(lambda fake: fake.delete(key), path=f"/conversations/{key}/threads")


WRONG = {
    "a list fails half-way": (
        lambda fake: fake.fault(500, r"/v2/users\?page=2", times=None),
        ["users", "teams"],
        {"teams"},
    ),
    "a windowed list fails half-way": (
        lambda fake: fake.fault(500, "/v2/conversations[?]", times=None, skip=9),
        CONVERSATIONS,
        set(),
    ),
    "the parents' list fails": (
        lambda fake: fake.fault(500, "/v2/teams$", times=None),
        ["teams", "team_members"],
        set(),
    ),
    "an inbox answers 403": (
        lambda fake: fake.fault(403, f"/{fake.tables['mailboxes'][1]['id']}/fields", times=None),
        ["mailboxes", "mailbox_fields", "mailbox_folders"],
        {"mailboxes", "mailbox_folders"},
    ),
    "a conversation is gone before its threads": (
        delete_at_its_threads,
        CONVERSATIONS,
        {"conversations"},
    ),
    "a conversation's threads fail": (
        lambda fake: (
            setattr(fake, "embed", "error_500"),
            fake.fault(500, f"/{fake.conversation_ids[4]}/threads", times=None),
        ),
        CONVERSATIONS,
        {"conversations"},
    ),
    "an endpoint answers 403": (
        lambda fake: fake.fault(403, "/fields", times=None),
        ["mailboxes", "mailbox_fields"],
        {"mailboxes"},
    ),
    "a rating has no key": (
        lambda fake: fake.ratings.append({**fake.ratings[0], "threadid": None}),
        ["happiness_ratings_report", "users"],
        {"users"},
    ),
    "an organization is gone before its details": (
        lambda fake: fake.fault(404, f"/organizations/{fake.tables['organizations'][0]['id']}"),
        ["organizations", "tags"],
        {"tags"},
    ),
    "a row has no key": (lose_the_id("users"), ["users", "workflows"], {"workflows"}),
    "a parent has no key": (lose_the_id("teams"), ["team_members"], set()),
}


@pytest.mark.parametrize("what", WRONG)
def test_what_was_not_read_whole_is_not_activated(tap, fake, what):
    go_wrong, selected, whole = WRONG[what]
    tap.configure(retry_seconds=0, emit_activate_version_messages=True)
    go_wrong(fake)
    catalog = full(tap.select(*selected), *(INCREMENTAL & set(selected)))
    run = tap.run(catalog=catalog, state={"bookmarks": {}, "versions": {selected[0]: FIRST}})
    assert set(activated(run)) == whole, run.log
    for stream in set(selected) - whole:
        assert f"{stream}: {NOT_ACTIVATED}" in run.log
    kept = run.state.get("versions", {})
    assert {name for name, version in kept.items() if version > FIRST} == whole
    assert not set(run.state.get("versions_in_progress", {})) & whole


class Miscounted(FakeHelpScout):
    """Counts one row more than it lists."""

    miscounted = ""  # a key of `_embedded`, or a status

    def _hal(self, query, name, *args, **kwargs):
        answer = super()._hal(query, name, *args, **kwargs)
        if "page" in answer.body and self.miscounted in (name, query.params.get("status")):
            answer.body["page"]["totalElements"] += answer.body["page"]["totalElements"] > 0
        return answer


@pytest.mark.parametrize(
    "miscounted, selected, whole",
    [
        ("users", ["users", "workflows"], {"workflows"}),
        ("teams", ["teams", "team_members"], set()),
        ("fields", ["mailboxes", "mailbox_fields"], {"mailboxes"}),
        ("customers", ["customers"], set()),
        ("conversations", CONVERSATIONS, set()),
    ],
)
def test_a_list_that_counts_more_than_it_lists_is_not_activated(
    tmp_path, miscounted, selected, whole
):
    with Miscounted(build(20, customers=12), page_size=5) as fake:
        tap, fake.miscounted = Tap(fake, tmp_path), miscounted
        tap.configure(emit_activate_version_messages=True)
        catalog = full(tap.select(*selected), *(INCREMENTAL & set(selected)))
        run = tap.run(catalog=catalog)
        assert set(activated(run)) == whole, run.log
        if miscounted == "customers":  # read the plain way
            fake.query_finds = "error"
            assert not activated(tap.run(catalog=catalog))


def make_spam(fake):
    """Every second conversation; `status=all` does not hold them."""
    fake.status_all_has_spam = False
    spam = fake.conversation_ids[::2]
    for key in spam:
        fake.touch(key, at=fake.modified(key), status="spam")
    return spam


def test_spam_that_is_counted_and_not_listed_is_not_whole(tmp_path):
    with Miscounted(build(20, customers=2), page_size=3) as fake:
        make_spam(fake)
        fake.miscounted = "spam"
        tap = Tap(fake, tmp_path)
        tap.configure(emit_activate_version_messages=True)
        run = tap.good_run(catalog=full(tap.select(*CONVERSATIONS), "conversations"))
    assert "Help Scout counts 1 row more than it lists" in run.log
    assert not activated(run)


def test_spam_that_is_not_in_the_list_is_not_taken_for_gone(tmp_path):
    with FakeHelpScout(build(20, customers=2), page_size=2) as fake:
        make_spam(fake)
        tap, target = Tap(fake, tmp_path), Target()
        tap.configure(retry_seconds=0, emit_activate_version_messages=True)
        catalog = full(tap.select(*CONVERSATIONS), "conversations")
        fake.status_all_has_spam = True
        target.load(tap.good_run(catalog=catalog))
        fake.status_all_has_spam = False
        run = target.load(tap.good_run(catalog=catalog, state=target.state))
        assert "spam is not in the list" in run.log and set(activated(run)) == set(CONVERSATIONS)
        # Nor where it cannot be read any more, in the middle of it.
        fault = fake.fault(500, "status=spam.*page=3", times=None)
        run = target.load(tap.run(catalog=catalog, state=target.state))
        assert fault.hits and run.code == 1 and not activated(run)
        assert not target.removed and not target.lacks(fake, *CONVERSATIONS)


def test_embedded_threads_that_become_doubtful_are_not_whole(tmp_path):
    with FakeHelpScout(page_size=3) as fake:
        tap, target = Tap(fake, tmp_path), Target()
        tap.configure(concurrency=1, emit_activate_version_messages=True)
        catalog = full(tap.select(*CONVERSATIONS), "conversations")
        target.load(tap.good_run(catalog=catalog))
        # Threads vanish from the embedded ones that are used, before a listing tells.
        fake.before(lambda fake: fake.set(embed="no_line_items"), path="embed=threads", skip=20)
        run = target.load(tap.run(catalog=catalog, state=target.state))
        assert run.code == 1 and run.state["doubtful_embeds"] == ["conversation_threads"]
        assert set(activated(run)) == {"conversations"}
        assert f"conversation_threads: {NOT_ACTIVATED}: embedded rows were used" in run.log
        assert "conversation_threads" not in run.state.get("versions_in_progress", {})
        assert not target.removed
        run = target.load(tap.good_run(catalog=catalog, state=target.state))
        assert set(activated(run)) == set(CONVERSATIONS)
        assert not target.removed and not target.lacks(fake, *CONVERSATIONS)


def test_spam_that_is_edited_before_it_is_read_comes_before_the_activation(tmp_path):
    with FakeHelpScout(build(60, customers=2), page_size=3) as fake:
        spam = make_spam(fake)

        def edit_all(fake):
            fake.clock_offset += 5
            fake.bulk_touch(spam)

        edited = fake.before(edit_all, path="status=spam.*query.*page=2")
        tap = Tap(fake, tmp_path)
        tap.configure(concurrency=1, emit_activate_version_messages=True)
        run = tap.good_run(catalog=full(tap.select("conversations"), "conversations"))
        assert edited.hits and set(activated(run)) == {"conversations"}
        assert set(fake.conversation_ids) <= set(run.ids("conversations"))


def test_a_start_date_after_the_bookmark_leaves_nothing_out_between_them(tap, fake):
    tap.configure(start_date="2026-01-01T00:00:00Z", emit_activate_version_messages=True)
    catalog = full(tap.select(*CONVERSATIONS), "conversations")
    bookmarks = dict.fromkeys(CONVERSATIONS, "2010-01-01T00:00:00Z")
    assert_complete(tap.good_run(catalog=catalog, state={"bookmarks": bookmarks}), fake, *bookmarks)


def test_what_an_earlier_run_put_aside_is_not_whole_until_it_is_read(tap, fake):
    fault = fake.fault(403, f"/{fake.tables['mailboxes'][1]['id']}/fields", times=None)
    first = tap.run()
    assert "mailbox_fields" not in activated(first) and first.state["pending"]
    fault.times = fault.hits
    second = tap.good_run(state=first.state)
    assert "mailbox_fields" in activated(second)
    assert activated(second)["mailbox_fields"] > max(activated(first).values())


@pytest.mark.parametrize(
    "stream, query_finds, seconds",
    [
        ("conversations", "range", 5),
        ("conversations", "error", 0),
        ("customers", "range", 0),
        ("customers", "error", 5),
    ],
)
def test_a_row_that_is_edited_before_it_is_read_comes_before_the_activation(
    tmp_path, stream, query_finds, seconds
):
    """It is in no window any more: the last one ends where the run began."""
    with FakeHelpScout(build(60, customers=60), page_size=3, query_finds=query_finds) as fake:
        keys = {"conversations": fake.conversation_ids, "customers": fake.customer_ids}[stream]
        touch = {"conversations": fake.touch, "customers": fake.touch_customer}[stream]

        def edit_some(fake, first):
            fake.clock_offset += seconds
            for key in keys[first::12]:
                touch(key)

        edits = [
            fake.before(partial(edit_some, first=skip), path=rf"/v2/{stream}\?", skip=skip)
            for skip in (6, 9, 12)
        ]
        tap = Tap(fake, tmp_path)
        tap.configure(emit_activate_version_messages=True)
        run = tap.good_run(catalog=full(tap.select(stream), stream))
    assert all(one.hits for one in edits) and set(activated(run)) == {stream}
    assert set(keys) <= set(run.ids(stream))


def test_a_row_that_the_list_shows_late_in_a_window_that_was_read_comes_all_the_same(tap, fake):
    """It was edited before the run began, and leaves for the last window, which has been read."""
    tap.configure(concurrency=1, emit_activate_version_messages=True)
    latest = max(fake.conversation_ids, key=fake.modified)
    assert fake.now() - fake.modified(latest) > timedelta(minutes=10)
    two_minutes_ago = fake.now() - timedelta(minutes=2)
    # So that as many rows come as were counted; after the count, and three requests that prove it.
    fake.before(
        lambda fake: fake.add_conversation(two_minutes_ago),
        path="/v2/conversations.*query",
        skip=3,
    )
    moved = fake.before(
        lambda fake: fake.touch(latest, two_minutes_ago), path="/v2/conversations.*query.*page=2"
    )
    run = tap.good_run(catalog=full(tap.select("conversations"), "conversations"))
    assert moved.hits and set(activated(run)) == {"conversations"}
    assert latest in run.ids("conversations")


# -- some inboxes, and the report of days -------------------------------------------------------


OF_TWO_INBOXES = [7001, 7003]


def test_full_table_keeps_to_the_inboxes_of_mailbox_ids(tap, fake):
    tap.configure(mailbox_ids=OF_TWO_INBOXES, emit_activate_version_messages=True)
    catalog, target = full(tap.discover(), *INCREMENTAL), Target()
    first = target.load(tap.good_run(catalog=catalog))
    assert set(activated(first)) == set(TABLE)
    in_scope = [row for row in fake.truth()["conversations"] if row["mailboxId"] in OF_TWO_INBOXES]
    assert len(first.ids("conversations")) == len(in_scope) < len(fake.conversation_ids)
    gone = in_scope[0]["id"]
    threads = {("conversation_threads", (row["id"],)) for row in fake.threads(gone)}
    workflow = next(row for row in fake.tables["workflows"] if row["mailboxId"] in OF_TWO_INBOXES)
    fake.tables["workflows"].remove(workflow)
    fake.delete(gone)
    target.load(tap.good_run(catalog=catalog, state=target.state))
    removed = {(name, key) for name, key in target.removed if name != "customers"}
    assert removed == {("conversations", (gone,)), ("workflows", (workflow["id"],)), *threads}
    # Customers who have written to these inboxes are still there.
    writers = {(row["primaryCustomer"]["id"],) for row in in_scope[1:]}
    assert writers <= set(target.rows["customers"])


def test_what_the_user_may_not_see_any_more_counts_as_gone_until_it_is_given_back(tap, fake):
    streams = (*CONVERSATIONS, "mailbox_fields")
    nightly, target = tap.select(*streams), Target()
    weekly = full(tap.select(*streams), "conversations")
    target.load(tap.good_run(catalog=weekly))
    fake.set(visible_mailboxes=[7001, 7002])
    fake.clock_offset += 3600
    target.load(tap.good_run(catalog=nightly, state=target.state))
    assert {name for name, _ in target.removed} == {"mailbox_fields"}
    target.load(tap.good_run(catalog=weekly, state=target.state))
    assert not target.surplus(fake, *streams) and not target.lacks(fake, *streams)
    fake.set(visible_mailboxes=None)
    fake.clock_offset += 3600
    target.load(tap.good_run(catalog=nightly, state=target.state))
    assert not target.removed and not target.lacks(fake, *streams)


def test_what_mailbox_ids_leaves_out_counts_as_gone(tap, fake):
    catalog, target = full(tap.select(*CONVERSATIONS), "conversations"), Target()
    target.load(tap.good_run(catalog=catalog))
    tap.configure(mailbox_ids=OF_TWO_INBOXES, emit_activate_version_messages=True)
    target.load(tap.good_run(catalog=catalog, state=target.state))
    fake.set(visible_mailboxes=OF_TWO_INBOXES)
    assert target.removed
    assert not target.lacks(fake, *CONVERSATIONS) and not target.surplus(fake, *CONVERSATIONS)


@pytest.mark.parametrize("stream", ["customers", "workflows"])
def test_where_the_list_of_one_inbox_fails_nothing_is_activated(tap, fake, stream):
    tap.configure(mailbox_ids=OF_TWO_INBOXES, retry_seconds=0, emit_activate_version_messages=True)
    fault = fake.fault(500, f"/v2/{stream}.*(mailbox|mailboxId)=7003", times=None)
    run = tap.run(catalog=full(tap.select(stream, "users"), stream, "users"))
    assert fault.hits and set(activated(run)) == {"users"}


def test_an_inbox_that_is_added_while_a_version_is_gone_on_with(begun_with_inbox):
    fake, tap, catalog, target = begun_with_inbox
    tap.configure(mailbox_ids=OF_TWO_INBOXES, emit_activate_version_messages=True)
    run = target.load(tap.good_run(catalog=catalog, state=target.state))
    assert "going on where an interrupted FULL_TABLE run ended" in run.log
    assert set(activated(run)) == set(CONVERSATIONS)
    fake.set(visible_mailboxes=OF_TWO_INBOXES)
    assert not target.removed and not target.lacks(fake, *CONVERSATIONS)


@pytest.fixture(name="begun_with_inbox")
def _begun_with_inbox(tmp_path):
    """(fake, tap, catalog, target): two inboxes were loaded, then a FULL_TABLE run of one of them
    was killed in the middle."""
    with FakeHelpScout(build(40, customers=2), page_size=2) as fake:
        tap, target = Tap(fake, tmp_path), Target()
        catalog = full(tap.select(*CONVERSATIONS), "conversations")
        tap.configure(mailbox_ids=OF_TWO_INBOXES, emit_activate_version_messages=True)
        target.load(tap.good_run(catalog=catalog))
        tap.configure(mailbox_ids=OF_TWO_INBOXES[:1], emit_activate_version_messages=True)
        fake.clock_offset += 3600
        target.load(interrupted(tap, catalog, checkpoints=2, state=target.state))
        yield fake, tap, catalog, target


@pytest.mark.parametrize("mailbox_ids", [None, OF_TWO_INBOXES], ids=str)
def test_the_report_of_days_read_full_table(tap, fake, mailbox_ids):
    """It has no inbox, so that it comes whole."""

    def configure(days):
        start = (fake.now() - timedelta(days=days)).isoformat()
        tap.configure(
            start_date=start,
            mailbox_ids=mailbox_ids,
            retry_seconds=0,
            emit_activate_version_messages=True,
        )

    catalog, target = tap.select("company_report"), Target()
    weekly = full(tap.select("company_report"), "company_report")
    configure(days=20)
    first = target.load(tap.good_run(catalog=weekly))
    days = [record["date"] for record in first.records("company_report")]
    assert len(days) == 21 and set(activated(first)) == {"company_report"}
    # A nightly run reads the last days again, under the same version.
    nightly = target.load(tap.good_run(catalog=catalog, state=target.state))
    assert not activated(nightly) and 0 < len(nightly.records("company_report")) < len(days)
    assert versions(nightly, "company_report") == {activated(first)["company_report"]}
    # One that fails after some days takes none away.
    fault = fake.fault(500, f"reports/company.*start={days[9]}", times=None)
    broken = target.load(tap.run(catalog=weekly, state=target.state))
    assert fault.hits and broken.code == 1
    assert not activated(broken) and f"company_report: {NOT_ACTIVATED}" in broken.log
    fault.times = fault.hits
    again = target.load(tap.good_run(catalog=weekly, state=target.state))
    assert set(activated(again)) == {"company_report"} and not target.removed
    # Days before a later start_date are gone.
    configure(days=5)
    target.load(tap.good_run(catalog=weekly, state=target.state))
    assert {key for _, key in target.removed} == {(day,) for day in days[:-6]}


# -- interrupted --------------------------------------------------------------------------------


def interrupted(tap, catalog, checkpoints, state=None):
    """A run that is killed after so many states that say how far a version is."""
    with tap.start(catalog=catalog, state=state or {"bookmarks": {}}) as process:
        lines = []
        for line in process.stdout:
            lines.append(line)
            checkpoints -= b"versions_in_progress" in line
            if not checkpoints:
                process.kill()
                break
    return Run(None, b"".join(lines).decode(), "")


@pytest.fixture(name="begun")
def _begun(tmp_path):
    """(fake, tap, catalog, run): a FULL_TABLE run that was killed in the middle."""
    with FakeHelpScout(build(30, customers=2), page_size=2) as fake:
        tap = Tap(fake, tmp_path)
        tap.configure(emit_activate_version_messages=True)
        catalog = full(tap.select(*CONVERSATIONS), "conversations")
        yield fake, tap, catalog, interrupted(tap, catalog, checkpoints=2)


def test_the_next_full_table_run_goes_on_with_the_version(begun):
    fake, tap, catalog, first = begun
    progress = first.state["versions_in_progress"]
    assert set(progress) == set(CONVERSATIONS) and not activated(first)
    target = Target()
    target.load(first)
    run = target.load(tap.good_run(catalog=catalog, state=first.state))
    assert "going on where an interrupted FULL_TABLE run ended" in run.log
    assert activated(run) == {name: progress[name]["version"] for name in CONVERSATIONS}
    assert len(run.records("conversations")) < len(fake.conversation_ids)
    assert "versions_in_progress" not in run.state and run.state["versions"] == activated(run)
    assert not target.lacks(fake, *CONVERSATIONS) and not target.removed


@pytest.mark.parametrize("between", ["incremental", "without the setting", "deselected"])
def test_a_run_of_another_kind_in_between(begun, between):
    fake, tap, catalog, first = begun
    target = Target()
    target.load(first)
    other = only(tap.discover(), CONVERSATIONS)
    if between == "without the setting":
        tap.configure()
    if between == "deselected":
        other = tap.select("users")
    fake.clock_offset += 3600
    second = target.load(tap.good_run(catalog=other, state=first.state))
    goes_on = between == "deselected"
    assert ("versions_in_progress" in second.state) is goes_on
    tap.configure(emit_activate_version_messages=True)
    run = target.load(tap.good_run(catalog=catalog, state=second.state))
    progress = first.state["versions_in_progress"]
    assert (activated(run)["conversations"] == progress["conversations"]["version"]) is goes_on
    assert not target.lacks(fake, *CONVERSATIONS) and not target.removed


def test_an_earlier_start_date_begins_anew(begun):
    fake, tap, catalog, first = begun
    tap.configure(start_date="2009-01-01T00:00:00Z", emit_activate_version_messages=True)
    run = tap.good_run(catalog=catalog, state=first.state)
    assert "going on" not in run.log
    assert_complete(run, fake, *CONVERSATIONS)
    assert activated(run)["conversations"] > max(
        one["version"] for one in first.state["versions_in_progress"].values()
    )


@pytest.mark.parametrize("seed", range(EXAMPLES))
def test_no_row_that_exists_is_ever_taken_away(tmp_path, seed):
    """Edits and deletions at any request, runs of both kinds, some of them killed."""
    rng = random.Random(seed)

    def change(fake):
        keys = fake.conversation_ids
        for key in rng.sample(keys, 2):
            fake.touch(key)
        fake.delete(rng.choice(keys[:-3]))
        fake.add_thread(rng.choice(fake.conversation_ids))
        fake.touch_customer(rng.choice(fake.customer_ids))
        fake.members[802] = fake.members[802][:-1] or [501]
        fake.clock_offset += 1

    with FakeHelpScout(build(30, customers=20, seed=seed), page_size=2) as fake:
        tap, target = Tap(fake, tmp_path), Target()
        tap.configure(concurrency=rng.choice((1, 4)), emit_activate_version_messages=True)
        nightly = tap.discover()
        weekly = full(tap.discover(), "conversations", "customers", "users")
        for _ in range(4):
            fake.clock_offset += 3600
            for _ in range(3):
                fake.before(change, path="/v2/c", skip=rng.randint(0, 50))
            catalog = rng.choice((nightly, weekly, weekly))
            if rng.random() < 0.5:
                tap_run = killed(tap, target.state, rng.randint(30, 350), catalog)
                target.load(tap_run, keeps_all=rng.random() < 0.5)
            else:
                target.load(tap.run(state=target.state, catalog=catalog))
            here = target.removed & {(name, key) for name in TABLE for key in existing(fake, name)}
            assert not here
        target.load(tap.good_run(state=target.state, catalog=weekly))
        target.load(tap.good_run(state=target.state, catalog=weekly))
        assert not target.lacks(fake) and not target.surplus(fake)


def existing(fake, stream):
    """The keys of the rows that the account has, of streams whose rows have an id."""
    rows = [row for row in fake.truth()[stream] if stream != "happiness_ratings_report"]
    if stream == "team_members":
        return {(team, user["id"]) for team, user in rows}
    return {((row[1] if isinstance(row, tuple) else row)["id"],) for row in rows}
