"""Inboxes: a run keeps to those of `mailbox_ids`, and those that appear are read from the start."""

import itertools
import json

import pytest

from tests.conftest import Run, Tap
from tests.fake import FakeHelpScout, stamp
from tests.fake.responses import Query
from tests.target import Target
from tests.test_records import assert_complete

MAILBOXES = [7001, 7002, 7003]
BOTH = ("conversations", "conversation_threads")
OF_MAILBOXES = (
    *BOTH,
    "mailboxes",
    "mailbox_fields",
    "mailbox_folders",
    "workflows",
    "happiness_ratings_report",
)
BELOW_MAILBOXES = ("saved_replies", "mailbox_routing")
NEW = "was not read before"


@pytest.fixture(name="fake")
def _fake(small_fake):
    return small_fake


def customers_of(fake, *mailboxes):
    """Those with a conversation in these inboxes."""
    rows = fake.truth()["conversations"]
    return {row["primaryCustomer"]["id"] for row in rows if row["mailboxId"] in mailboxes}


def asked(fake, path, name):
    """What a parameter was in the requests of a list."""
    return {request.params.get(name) for request in fake.requests if request.path == f"/v2/{path}"}


def now(fake):
    return stamp(fake.now())


def listings(fake):
    """How often the list of inboxes was asked for."""
    return sum(request.path == "/v2/mailboxes" for request in fake.requests)


# -- mailbox_ids ---------------------------------------------------------------------------------


@pytest.mark.parametrize("mailbox_ids", [[7001, 7003], "7003, 7001"], ids=str)
def test_all_that_hangs_on_inboxes_is_kept_to_these(tap, fake, mailbox_ids):
    tap.configure(mailbox_ids=mailbox_ids)
    run = tap.good_run(catalog=tap.select(*OF_MAILBOXES, *BELOW_MAILBOXES, "users", "customers"))
    fake.set(visible_mailboxes={7001, 7003})  # and nothing of the third
    assert_complete(run, fake, *OF_MAILBOXES, "users")
    for stream, pairs in fake.truth_more().items():
        if stream in BELOW_MAILBOXES:
            mailboxes = [record["mailbox_id"] for record in run.records(stream)]
            assert sorted(mailboxes) == sorted(mailbox for mailbox, _ in pairs)
    assert asked(fake, "conversations", "mailbox") <= {"7001,7003", "7003,7001"}
    assert asked(fake, "reports/happiness/ratings", "mailboxes") <= {
        "7001,7003",
        "7003,7001",
        "2147483647",
    }
    assert asked(fake, "workflows", "mailboxId") == {"7001", "7003"}
    assert not [request.path for request in fake.requests if "7002" in request.path]
    assert not fake.unknown_parameters and listings(fake) == 1


def test_customers_come_inbox_by_inbox(tap, fake):
    tap.configure(mailbox_ids=[7001, 7003])
    run = tap.good_run(catalog=tap.select("customers"))
    ids = set(run.ids("customers"))
    assert ids >= customers_of(fake, 7001, 7003)
    only_elsewhere = customers_of(fake, 7002) - customers_of(fake, 7001, 7003)
    assert only_elsewhere and not ids & only_elsewhere
    # The first asks for an inbox that there is not.
    assert asked(fake, "customers", "mailbox") == {"2147483647", "7001", "7003"}
    assert "come whole" not in run.log


def test_customers_come_whole_and_once_where_the_filter_is_ignored(tap, fake):
    fake.set(customers_mailbox_ignored=True)
    tap.configure(mailbox_ids=[7001, 7003])
    run = tap.good_run(catalog=tap.select("customers"))
    assert sorted(run.ids("customers")) == sorted(fake.customer_ids)
    (line,) = [line for line in run.log.splitlines() if "come whole" in line]
    assert line.startswith("WARNING customers come whole, not of the inboxes of mailbox_ids alone")


def test_customers_that_come_by_inbox_are_complete_when_the_run_is_killed_between(tap, fake):
    """No bookmark moves before the last of the inboxes was read."""
    tap.configure(mailbox_ids=[7001, 7003], concurrency=1)
    catalog, target = tap.select("customers"), Target()
    first = next(iter(customers_of(fake, 7001)))
    with tap.start(catalog=catalog) as process:
        lines = until_record(process, lambda record: record["id"] == first)
        process.kill()
    target.load(Run(None, lines, ""))
    assert "bookmarks" not in (target.state or {}) or not target.state["bookmarks"]
    target.load(tap.good_run(state=target.state, catalog=catalog))
    assert {key for (key,) in target.rows["customers"]} >= customers_of(fake, 7001, 7003)


def test_rows_of_other_inboxes_are_dropped_where_the_filter_is_ignored(tap, fake, monkeypatch):
    heeded = Query.ids
    monkeypatch.setattr(
        Query, "ids", lambda self, name: set() if "ailbox" in name else heeded(self, name)
    )
    tap.configure(mailbox_ids=[7002])
    run = tap.good_run(catalog=tap.select(*BOTH, "workflows", "happiness_ratings_report"))
    ratings = run.records("happiness_ratings_report")
    assert len(ratings) == len(fake.truth()["happiness_ratings_report"])
    assert "happiness_ratings_report come whole" in run.log
    fake.set(visible_mailboxes={7002})
    assert_complete(run, fake, *BOTH, "workflows")


@pytest.mark.parametrize("stream", ["conversations", "users"])
def test_an_inbox_that_the_user_does_not_see_is_an_error_before_anything_is_written(
    tap, fake, stream
):
    fake.set(visible_mailboxes={7001, 7002})
    tap.configure(mailbox_ids=[7001, 7003, 7009])
    run = tap.run(catalog=tap.select(stream))
    assert run.code == 1 and not run.messages
    assert (
        "CRITICAL mailbox_ids in the config names 7003, 7009, and the app's user sees no such "
        "inbox. Those that it sees: 7001, 7002\n" in run.log
    )
    assert not [name for name in ("Orders", "Workshop") if name in run.log]


def test_nothing_is_read_where_mailbox_ids_cannot_be_checked(tap, fake):
    fake.fault(403, "/v2/mailboxes", times=None)
    tap.configure(mailbox_ids=[7001])
    run = tap.run(catalog=tap.select("conversations"))
    assert run.code == 1 and not run.messages
    assert "CRITICAL mailbox_ids cannot be checked, and nothing is read: GET /v2/mail" in run.log


def test_what_was_put_aside_of_another_inbox_is_not_read(tap, fake):
    keys = {row["mailboxId"]: row["id"] for row in fake.truth()["conversations"]}
    pending = {
        "conversation_threads": [keys[7001], keys[7002]],
        "mailbox_folders": [7001, 7002],
    }
    tap.configure(mailbox_ids=[7001])
    bookmarks = dict.fromkeys((*BOTH, "mailboxes", "mailbox_folders"), now(fake))
    run = tap.good_run(
        state={"bookmarks": bookmarks, "pending": pending},
        catalog=tap.select("conversation_threads", "mailbox_folders"),
    )
    threads = {record["conversation_id"] for record in run.records("conversation_threads")}
    assert threads == {keys[7001]}
    assert {record["mailbox_id"] for record in run.records("mailbox_folders")} == {7001}
    assert "pending" not in run.state


# -- inboxes that appear -------------------------------------------------------------------------


def until_record(process, is_it):
    """What was written up to the record of which `is_it` is true."""
    lines = []
    for line in process.stdout:
        lines.append(line.decode())
        message = json.loads(line)
        if message["type"] == "RECORD" and is_it(message["record"]):
            break
    return "".join(lines)


def first_run(tap, target, *streams, mailboxes=(7001, 7002)):
    """A run by a user who sees some inboxes; from then on all."""
    tap.fake.set(visible_mailboxes=set(mailboxes))
    run = target.load(tap.good_run(catalog=tap.select(*streams)))
    tap.fake.set(visible_mailboxes=None)
    tap.fake.clock_offset += 3600
    tap.fake.clear()
    return run


@pytest.mark.parametrize("streams", [OF_MAILBOXES, BOTH, BOTH[1:], BOTH[:1]], ids=len)
def test_an_inbox_that_appears_is_read_whole(tap, fake, streams):
    target, catalog = Target(), tap.select(*streams)
    first = first_run(tap, target, *streams)
    second = target.load(tap.good_run(state=target.state, catalog=catalog))
    assert not target.lacks(fake, *streams)
    assert (
        f"INFO {', '.join(one for one in BOTH if one in streams)}: inbox 7003 {NEW}" in second.log
    )
    assert asked(fake, "conversations", "mailbox") == {None, "7003"}
    assert len(second.records("conversations")) < len(fake.conversation_ids)
    for name in set(streams) & set(BOTH):
        assert first.state["inboxes"][name] == [7001, 7002]
        assert second.state["inboxes"][name] == MAILBOXES
        assert second.bookmarks[name] > first.bookmarks[name]
    fake.clock_offset += 3600
    third = tap.good_run(state=target.state, catalog=catalog)
    assert NEW not in third.log and not {*BOTH, "mailboxes"} & third.streams
    assert listings(fake) == 2


def test_killed_while_a_new_inbox_is_read_the_next_run_does_it_again(tap, fake):
    tap.configure(concurrency=1)
    target, catalog = Target(), tap.select(*BOTH)
    first = first_run(tap, target, *BOTH)
    ids = [row["id"] for row in fake.truth()["conversations"] if row["mailboxId"] == 7003]
    seen = itertools.count(1)
    with tap.start(state=target.state, catalog=catalog) as process:
        lines = until_record(
            process, lambda record: "mailbox_id" in record and next(seen) == len(ids)
        )
        process.kill()
    target.load(Run(None, lines, ""))
    assert target.state["bookmarks"] == first.bookmarks
    assert target.state["inboxes"] == first.state["inboxes"]
    assert set(target.lacks(fake, *BOTH)) == set(BOTH)
    last = target.load(tap.good_run(state=target.state, catalog=catalog))
    assert NEW in last.log and not target.lacks(fake, *BOTH)


def test_an_inbox_that_cannot_be_read_leaves_the_bookmarks_and_is_asked_for_again(tap, fake):
    target, catalog = Target(), tap.select(*BOTH)
    first = first_run(tap, target, *BOTH)
    step = fake.fault(400, "mailbox=7003", times=None)
    second = target.load(tap.run(state=target.state, catalog=catalog))
    assert second.code == 1 and "conversations is incomplete" in second.log
    assert second.bookmarks == first.bookmarks and second.state["inboxes"] == first.state["inboxes"]
    step.times = step.hits
    target.load(tap.good_run(state=target.state, catalog=catalog))
    assert not target.lacks(fake, *BOTH)


def test_no_bookmark_moves_by_what_is_read_of_a_new_inbox(tap, fake):
    """Not that of threads either, up to which less was read than of conversations."""
    target, catalog = Target(), tap.select(*BOTH)
    first_run(tap, target, *BOTH)
    target.state["bookmarks"]["conversation_threads"] = "2012-01-01T00:00:00Z"
    before = dict(target.state["bookmarks"])
    step = fake.fault(400, r"/v2/conversations\?(?!.*mailbox)", times=None)
    second = target.load(tap.run(state=target.state, catalog=catalog))
    assert second.code == 1 and second.bookmarks == before
    assert second.state["inboxes"] == dict.fromkeys(BOTH, MAILBOXES)
    step.times = step.hits
    target.load(tap.good_run(state=target.state, catalog=catalog))
    assert not target.lacks(fake, *BOTH)


def test_threads_that_fail_leave_the_inbox_new_for_them_alone(tap, fake):
    fake.embed = "no_line_items"  # so that each listing is asked for
    target, catalog = Target(), tap.select(*BOTH)
    first_run(tap, target, *BOTH)
    step = fake.fault(403, "/threads", times=None)
    second = target.load(tap.run(state=target.state, catalog=catalog))
    assert second.code == 1 and "conversation_threads is incomplete" in second.log
    assert second.state["inboxes"] == {
        "conversations": MAILBOXES,
        "conversation_threads": [7001, 7002],
    }
    step.times = step.hits
    target.load(tap.good_run(state=target.state, catalog=catalog))
    assert not target.lacks(fake, *BOTH)


def test_embedded_threads_that_become_doubtful_leave_the_inbox_new(tmp_path):
    with FakeHelpScout(page_size=3) as fake:
        tap, target = Tap(fake, tmp_path), Target()
        tap.configure(concurrency=1)
        first_run(tap, target, *BOTH)
        catalog = tap.select(*BOTH)
        fake.before(lambda fake: fake.set(embed="cut_bodies"), path="mailbox=7003", skip=16)
        second = target.load(tap.run(state=target.state, catalog=catalog))
        assert second.code == 1 and second.state["doubtful_embeds"] == ["conversation_threads"]
        assert second.state["inboxes"] == {
            "conversations": MAILBOXES,
            "conversation_threads": [7001, 7002],
        }
        third = target.load(tap.good_run(state=target.state, catalog=catalog))
        assert f"INFO conversation_threads: inbox 7003 {NEW}" in third.log
        assert not target.lacks(fake, *BOTH)


def test_each_stream_has_a_memory_of_its_own(tap, fake):
    """The threads of an inbox that appeared while they were not selected."""
    target = Target()
    first_run(tap, target, *BOTH)
    second = target.load(tap.good_run(state=target.state, catalog=tap.select("conversations")))
    assert second.state["inboxes"] == {
        "conversations": MAILBOXES,
        "conversation_threads": [7001, 7002],
    }
    third = target.load(tap.good_run(state=target.state, catalog=tap.select(*BOTH)))
    assert f"INFO conversation_threads: inbox 7003 {NEW}" in third.log
    assert not third.records("conversations") and not target.lacks(fake, *BOTH)


def test_an_inbox_that_was_away_is_read_again_when_it_is_back(tap, fake):
    target, catalog = Target(), tap.select(*BOTH)
    first_run(tap, target, *BOTH, mailboxes=MAILBOXES)
    key = next(row["id"] for row in fake.truth()["conversations"] if row["mailboxId"] == 7002)
    fake.set(visible_mailboxes={7001, 7003})
    fake.touch(key, subject="While nobody looked")
    fake.clock_offset += 3600
    second = target.load(tap.good_run(state=target.state, catalog=catalog))
    assert second.state["inboxes"] == dict.fromkeys(BOTH, [7001, 7003])
    fake.set(visible_mailboxes=None)
    fake.clock_offset += 3600
    target.load(tap.good_run(state=target.state, catalog=catalog))
    assert not target.lacks(fake, *BOTH)


def test_an_inbox_that_is_added_to_mailbox_ids_and_then_all(tap, fake):
    streams = (*OF_MAILBOXES, "customers")
    target, catalog = Target(), tap.select(*streams)
    for mailbox_ids in ([7001], [7001, 7002], None):
        tap.configure(mailbox_ids=mailbox_ids)
        run = target.load(tap.good_run(state=target.state, catalog=catalog))
        fake.set(visible_mailboxes=mailbox_ids)
        assert not target.lacks(fake, *OF_MAILBOXES)
        known = mailbox_ids or MAILBOXES
        assert {key for (key,) in target.rows["customers"]} >= customers_of(fake, *known)
        assert run.state["inboxes"]["conversations"] == known
        assert run.state["inboxes"].get("customers") == mailbox_ids
        fake.set(visible_mailboxes=None)
        fake.clock_offset += 3600
    assert not target.lacks(fake, *streams)


def test_a_state_from_before_this_memory_takes_the_inboxes_for_read(tap, fake):
    state = {"bookmarks": dict.fromkeys([*BOTH, "mailboxes", "users"], now(fake))}
    fake.clock_offset += 3600
    run = tap.good_run(state=state, catalog=tap.select(*BOTH, "mailboxes", "users"))
    assert (
        "INFO conversations: the state does not say which inboxes were read: 7001, 7002, 7003 are "
        "taken for read" in run.log
    )
    assert (
        "INFO mailboxes: the state does not say which rows were read: 7001, 7002, 7003" in run.log
    )
    assert run.state["inboxes"] == dict.fromkeys(BOTH, MAILBOXES)
    assert run.state["seen"]["mailboxes"] == MAILBOXES
    assert not {*BOTH, "mailboxes"} & run.streams


def test_without_the_list_of_inboxes_the_others_are_read(tap, fake):
    target, catalog = Target(), tap.select(*BOTH)
    first = first_run(tap, target, *BOTH)
    fake.fault(403, "/v2/mailboxes")
    second = target.load(tap.good_run(state=target.state, catalog=catalog))
    assert "WARNING inboxes that are new cannot be found in this run: GET /v2/mail" in second.log
    assert second.state["inboxes"] == first.state["inboxes"]
    target.load(tap.good_run(state=target.state, catalog=catalog))
    assert not target.lacks(fake, *BOTH)


@pytest.mark.parametrize("status", [403, 500])
def test_where_a_first_run_cannot_list_the_inboxes_none_counts_as_read(tap, fake, status):
    tap.configure(retry_seconds=0)
    target, catalog = Target(), tap.select(*BOTH)
    fake.set(visible_mailboxes=[7001, 7002])
    fault = fake.fault(status, "/v2/mailboxes", times=None)
    for _ in range(2):
        run = target.load(tap.good_run(state=target.state, catalog=catalog))
        assert run.state["inboxes"] == dict.fromkeys(BOTH, [])
        fake.clock_offset += 3600
    fault.times = fault.hits
    fake.set(visible_mailboxes=None)
    target.load(tap.good_run(state=target.state, catalog=catalog))
    assert not target.lacks(fake, *BOTH)


def test_a_list_that_was_read_whole_needs_no_memory_of_inboxes(tap):
    first = tap.good_run(catalog=tap.select("customers"))
    tap.configure(mailbox_ids=[7001])
    second = tap.good_run(state=first.state, catalog=tap.select("customers"))
    assert "does not say which" not in second.log


def test_an_inbox_that_appears_in_a_run_that_finds_deletions_loses_nothing(tap, fake):
    tap.configure(emit_activate_version_messages=True)
    target, catalog = Target(), tap.select(*BOTH, "mailboxes")
    first_run(tap, target, *BOTH, "mailboxes")
    target.load(tap.good_run(state=target.state, catalog=full_table(catalog)))
    assert not target.lacks(fake, *BOTH, "mailboxes") and not target.removed
    fake.set(visible_mailboxes={7001})
    fake.clock_offset += 3600
    target.load(tap.good_run(state=target.state, catalog=full_table(catalog)))
    assert not target.surplus(fake, *BOTH, "mailboxes")


def full_table(catalog):
    for entry in catalog["streams"]:
        for item in entry["metadata"]:
            if item["breadcrumb"] == []:
                item["metadata"]["replication-method"] = "FULL_TABLE"
    return catalog


# -- small lists ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "stream, rows_of",
    [
        ("users", lambda fake: fake.tables["users"]),
        ("teams", lambda fake: fake.tables["teams"]),
        ("workflows", lambda fake: fake.tables["workflows"]),
        ("mailbox_folders", lambda fake: fake.children["mailbox_folders"][7001]),
    ],
    ids=["users", "teams", "workflows", "mailbox_folders"],
)
def test_a_row_that_appears_with_an_old_date_is_written_once(tap, fake, stream, rows_of):
    catalog, rows = tap.select(stream), rows_of(fake)
    dates = {"updatedAt": "2015-01-01T00:00:00Z", "modifiedAt": "2015-01-01T00:00:00Z"}
    new = {**rows[0], **{name: date for name, date in dates.items() if name in rows[0]}, "id": 77}
    state = tap.good_run(catalog=catalog).state
    came = []
    for change in (lambda: None, lambda: rows.append(new), lambda: None):
        fake.clock_offset += 7200
        change()
        run = tap.good_run(state=state, catalog=catalog)
        state = run.state
        came.append(77 in run.ids(stream))
    assert came == [False, True, False] and 77 in state["seen"][stream]
    rows.remove(new)
    fake.clock_offset += 7200
    assert 77 not in tap.good_run(state=state, catalog=catalog).state["seen"][stream]


# -- what it costs -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "streams, expected",
    [
        (("users",), 0),
        (("customers",), 0),
        (("workflows", "happiness_ratings_report"), 0),
        (("conversations",), 1),
        (("conversation_threads", "mailbox_folders"), 1),
        (("mailboxes",), 1),
    ],
    ids=str,
)
def test_the_list_of_inboxes_is_asked_for_once_at_most(tap, fake, streams, expected):
    tap.good_run(catalog=tap.select(*streams))
    assert listings(fake) == expected
