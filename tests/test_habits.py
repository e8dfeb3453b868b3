"""A Help Scout that behaves otherwise than we assume: every row arrives, or the run says that not.

Each habit is tried by a whole sync, a quiet run and one after some edits, for conversations and
for customers alone. What the tap may ask is bound by what the plain list needs.
"""

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.conftest import Tap
from tests.examples import examples
from tests.fake import FakeHelpScout, build, stamp
from tests.fake.habits import Habits
from tests.target import Target

# Few enough to be read often; pages small enough for several windows of several pages.
CONVERSATIONS, CUSTOMERS, PAGE_SIZE, THREADS = 46, 46, 2, 25
PAGE_SIZES = {None: PAGE_SIZE, "threads": THREADS}
STREAMS = ("conversations", "conversation_threads", "customers")
# How many times what the plain list needs, and how many requests more, a sync may ask at most.
FACTOR, MORE = 4, 40
PLAIN = "cannot be relied on"

# Habit: (its options, words that the log must have). Without words nothing is to be noticed.
FILTERS = {
    "query finds nothing": ({"query_finds": "nothing"}, PLAIN),
    "query is ignored": ({"query_finds": "everything"}, PLAIN),
    "query answers 500": ({"query_finds": "error"}, PLAIN),
    "query is refused": ({"query_finds": "refused"}, PLAIN),
    "query is forbidden": ({"query_finds": "forbidden"}, PLAIN),
    "query is ignored beside modifiedSince": ({"query_ignored_beside_since": True}, None),
    "modifiedSince is ignored beside query": ({"since_ignored_beside_query": True}, None),
    "the end of a range is ignored": ({"query_end_ignored": True}, PLAIN),
    "the start of a range is ignored": ({"query_start_ignored": True}, PLAIN),
    "modifiedSince is ignored": ({"since_ignored": True}, PLAIN),
    "modifiedSince is exclusive": ({"since_inclusive": False}, None),
    "ranges are exclusive": ({"from_inclusive": False, "until_inclusive": False}, None),
    "query stops working": ({"query_works_until": 14}, None),
    "sort is ignored": ({"sort_ignored": True}, None),
    "sort and query are ignored": ({"sort_ignored": True, "query_finds": "everything"}, PLAIN),
    "totals are capped": ({"total_cap": 40}, None),
    "totals are capped low": ({"total_cap": 7}, None),
    "no totals": ({"totals": "none"}, PLAIN),
    "no page object": ({"totals": "no_page"}, PLAIN),
    "totals of a minute ago": ({"totals": "stale"}, None),
    "one page, and a next": ({"total_pages_is_one": True}, None),
}
PAGES = {
    "404 past the end": ({"past_the_end": "404"}, None),
    "400 past the end": ({"past_the_end": "400"}, None),
    "the last page again": ({"past_the_end": "last_page"}, None),
    "next loops": ({"next_loops": True}, None),
    "the last page again, no totals": ({"past_the_end": "last_page", "totals": "none"}, PLAIN),
    "next loops, no totals": ({"next_loops": True, "totals": "none"}, PLAIN),
    "_embedded is {} when empty": ({"empty_embedded": "object"}, None),
    "_embedded is [] when empty": ({"empty_embedded": "array"}, None),
    "no deep pages": ({"depth_limit": 22}, None),
    "no deep pages, no query": ({"depth_limit": 22, "query_finds": "nothing"}, "answered 400"),
}
OTHERS = {
    "spam is not in status=all": ({"status_all_has_spam": False}, "spam is not in the list"),
    "chat threads cut anywhere": ({"chat_threads_cut_anywhere": True}, None),
    "cut bodies": ({"embed": "cut_bodies"}, "embedded threads are not used"),
    "no attachments": ({"embed": "no_attachments"}, "embedded threads are not used"),
    "no drafts": ({"embed": "no_drafts"}, "embedded threads are not used"),
    "no hidden": ({"embed": "no_hidden"}, "embedded threads are not used"),
    "no line items": ({"embed": "no_line_items"}, "embedded threads are not used"),
    "no Date": ({"date_header": None}, None),
    "a Date of another zone's name": ({"date_header": "-0000"}, None),
    "a Date of 2099": ({"date_header": "Thu, 01 Jan 2099 00:00:00 GMT"}, "the earlier is believed"),
    "one Date of 2099": (
        {"date_header": "Thu, 01 Jan 2099 00:00:00 GMT", "dates_wrong_for": 1},
        "the earlier is believed",
    ),
    "conversations show modifiedAt": ({"shows_modified_at": True}, None),
    "threads answer 404": ({"threads_404": True}, "conversation_threads is incomplete"),
}


@pytest.fixture(name="account", scope="module")
def _account():
    # Of this seed drafts and hidden threads are rare.
    return build(CONVERSATIONS, CUSTOMERS, seed=21)


def least_requests(fake, streams):
    """What the plain way needs: each page of the lists, and of each conversation's threads."""
    rows = {"conversations": CONVERSATIONS, "customers": CUSTOMERS}
    lists = sum(math.ceil(rows[stream] / PAGE_SIZE) for stream in streams if stream in rows)
    if "conversation_threads" not in streams:
        return lists
    threads = (len(fake.threads(key)) for key in fake.conversation_ids)
    return lists + sum(max(1, math.ceil(number / THREADS)) for number in threads)


def modified(fake, stream, record):
    """When the API says that a row was modified, or its conversation."""
    if stream == "customers":
        return record["updated_at"]
    return stamp(fake.modified(record.get("conversation_id", record["id"])))


def sync(tap, target, streams):
    """One run; what it asked is bound, and no bookmark is past what is missing."""
    tap.fake.clear()
    run = target.load(tap.run(state=target.state, catalog=tap.select(*streams), timeout=60))
    assert len(tap.fake.requests) <= FACTOR * least_requests(tap.fake, streams) + MORE
    lacking = target.lacks(tap.fake, *streams)
    # What is dated later than the time that the tap knows comes in the next run.
    tells_the_time = tap.fake.date_header == Habits().date_header
    for stream, records in lacking.items():
        is_told = run.code == 1 and f"{stream} is incomplete" in run.log
        assert is_told or not tells_the_time, (stream, run.log)
        bookmark = run.bookmarks.get(stream, "")
        assert all(bookmark < modified(tap.fake, stream, record) for record in records)
    # What was used before an embed was disproved may be right by chance.
    assert run.code == 0 or lacking or "differ from the listed ones" in run.log, run.log
    return run


def runs(tap, streams=STREAMS):
    """A whole sync, a quiet run, edits, and a run that brings what changed; the logs of all."""
    fake, target = tap.fake, Target()
    tap.configure(retry_seconds=3)
    first = sync(tap, target, streams)
    fake.clock_offset += 1200
    quiet = sync(tap, target, streams)
    fake.clock_offset += 1200
    keys = fake.conversation_ids
    fake.touch(keys[3], subject="Edited")
    fake.add_thread(keys[4], body="New " * 100)
    fake.touch(keys[5], status="spam")
    fake.touch_customer(fake.customer_ids[3], age="55")
    fake.clock_offset += 1200
    edited = sync(tap, target, streams)
    return first.log + quiet.log + edited.log


@pytest.mark.parametrize("options, words", FILTERS.values(), ids=FILTERS)
@pytest.mark.parametrize("stream", ["conversations", "customers"])
def test_filters_and_totals(account, tmp_path, stream, options, words):
    with FakeHelpScout(account, page_sizes=PAGE_SIZES, habit_lists=(stream,), **options) as fake:
        log = runs(Tap(fake, tmp_path), [stream])
        assert words is None or f"{stream}: the date filter `query` {words}" in log, log
        assert "deselect" not in log  # nothing is missing


@pytest.mark.parametrize("name", ["query is ignored", "query finds nothing", "no totals"])
@pytest.mark.parametrize("stream", ["conversations", "customers"])
def test_what_one_list_has_shown_says_nothing_of_the_other(account, tmp_path, stream, name):
    options, _ = FILTERS[name]
    with FakeHelpScout(account, page_sizes=PAGE_SIZES, habit_lists=(stream,), **options) as fake:
        log = runs(Tap(fake, tmp_path))
        assert f"{stream}: the date filter `query` {PLAIN}" in log, log
        assert log.count(PLAIN) == log.count(f"{stream}: the date filter `query` {PLAIN}")


@pytest.mark.parametrize(
    "options, words", [*PAGES.values(), *OTHERS.values()], ids=[*PAGES, *OTHERS]
)
def test_pages_embeds_and_dates(account, tmp_path, options, words):
    with FakeHelpScout(account, page_sizes=PAGE_SIZES, **options) as fake:
        log = runs(Tap(fake, tmp_path))
        assert words is None or words in log, log


@pytest.mark.parametrize("finds", ["nothing", "everything"])
def test_the_filter_of_spam_is_proved_by_itself(account, tmp_path, finds):
    options = {"status_all_has_spam": False, "spam_query_finds": finds}
    with FakeHelpScout(account, page_sizes=PAGE_SIZES, **options) as fake:
        for key in fake.conversation_ids[::4]:
            fake.touch(key, at=fake.modified(key), status="spam")
        log = runs(Tap(fake, tmp_path))
        told = f"conversations: the date filter `query` {PLAIN}"
        assert told in log and log.count(PLAIN) == log.count(told), log


@pytest.mark.parametrize("has_spam", [True, False])
@pytest.mark.parametrize("path, moved", [("status=spam", "spam"), ("number=", "active")])
def test_what_becomes_spam_or_none_in_between_says_nothing_of_the_list(
    account, tmp_path, path, moved, has_spam
):
    """The list's first page is asked for, then that of spam, then the list for one of spam."""
    options = {"page_sizes": {**PAGE_SIZES, None: 20}, "status_all_has_spam": has_spam}
    with FakeHelpScout(account, **options) as fake:
        for key in fake.conversation_ids:  # the oldest are none of spam, but for one
            is_spam = key in fake.conversation_ids[30:38]
            fake.touch(key, at=fake.modified(key), status="spam" if is_spam else "active")

        def move(own):
            rows = sorted(own.conversation_ids, key=own.modified)
            status = {"spam": "active", "active": "spam"}[moved]
            key = next(key for key in rows if own.conversation(key)["status"] == status)
            own.touch(key, at=own.modified(key), status=moved)

        step = fake.before(move, path=path)
        tap, target = Tap(fake, tmp_path), Target()
        target.load(tap.good_run(catalog=tap.select(*STREAMS[:2])))
        assert step.hits or has_spam
        step.times = step.hits
        fake.clock_offset += 1200
        target.load(tap.good_run(catalog=tap.select(*STREAMS[:2]), state=target.state))
        assert not target.lacks(fake, *STREAMS[:2])


@pytest.mark.parametrize("past", ["404", "empty"])
def test_threads_that_are_deleted_while_they_are_listed(account, tmp_path, past):
    page_sizes = {**PAGE_SIZES, "threads": 3}
    with FakeHelpScout(account, page_sizes=page_sizes, past_the_end=past) as fake:
        fake.embed = "cut_bodies"  # so that all threads are listed
        long = [key for key in fake.conversation_ids if len(fake.threads(key)) > 6][:8]
        for key in long:

            def delete(own, key=key):
                for thread in own.threads(key)[:3]:  # of the first page, which has been read
                    own.delete_thread(key, thread["id"])

            fake.before(delete, path=f"/{key}/threads.*page=3")
        target, tap = Target(), Tap(fake, tmp_path)
        tap.configure(retry_seconds=3)
        for _ in range(2):
            target.load(tap.run(state=target.state, catalog=tap.select(*STREAMS[:2])))
            fake.clock_offset += 1200
        assert len(long) == 8 and not target.lacks(fake, *STREAMS[:2])


@pytest.mark.parametrize(
    "habits", [{"totals": "none"}, {"totals": "none", "sort_ignored": True}, {"totals": "stale"}]
)
def test_rows_that_are_edited_and_deleted_while_totals_say_little(account, tmp_path, habits):
    with FakeHelpScout(account, page_sizes=PAGE_SIZES, **habits) as fake:
        # The others are not edited: no later run would bring one that is lost.
        keys = itertools.cycle(fake.conversation_ids[:5])
        people = itertools.cycle(fake.customer_ids[:5])

        def edit(own):
            if len(own.conversation_ids) > CONVERSATIONS - 6:
                own.delete(max(own.conversation_ids))  # on a page that has been read
            own.touch(next(keys), subject="Edited")
            own.touch_customer(next(people), age="55")

        step = fake.before(edit, path=r"/v2/(conversations|customers)\?.*page=", times=40)
        target, tap = Target(), Tap(fake, tmp_path)
        tap.configure(retry_seconds=3)
        for _ in range(2):
            target.load(tap.run(state=target.state, catalog=tap.select(*STREAMS)))
            fake.clock_offset += 1200
            step.times = step.hits  # the second run is quiet
        assert step.hits > 5 and not target.lacks(fake, *STREAMS)


@examples(3)
@given(
    names=st.lists(
        st.sampled_from(sorted({**FILTERS, **PAGES, **OTHERS})), min_size=2, max_size=2, unique=True
    )
)
def test_two_habits_at_once(account, tmp_path_factory, names):
    options = {}
    for name in names:
        options.update({**FILTERS, **PAGES, **OTHERS}[name][0])
    with FakeHelpScout(account, page_sizes=PAGE_SIZES, **options) as fake:
        runs(Tap(fake, tmp_path_factory.mktemp("two")))
