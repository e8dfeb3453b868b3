"""A Help Scout that behaves otherwise than we assume: every row arrives, or the run says that not.

Each habit is tried by a whole sync and a second run after some edits, for conversations and for
customers alone. What the tap may ask is bound by what the plain list needs.
"""

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
CONVERSATIONS, CUSTOMERS, PAGE_SIZE, THREADS = 70, 70, 3, 25
PAGE_SIZES = {None: PAGE_SIZE, "threads": THREADS}
STREAMS = ("conversations", "conversation_threads", "customers")
# How many times what the plain list needs, and how many requests more, a sync may ask at most.
FACTOR, MORE = 3, 40
PLAIN = "cannot be relied on"

# Habit: (its options, words that the log must have). Without words nothing is to be noticed.
FILTERS = {
    "query finds nothing": ({"query_finds": "nothing"}, PLAIN),
    "query is ignored": ({"query_finds": "everything"}, PLAIN),
    "query answers 500": ({"query_finds": "error"}, PLAIN),
    "query is refused": ({"query_finds": "refused"}, PLAIN),
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
    "totals are capped": ({"total_cap": 60}, None),
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
    return build(CONVERSATIONS, CUSTOMERS, seed=8)


def least_requests(fake):
    """What the plain way needs: each page of the lists, and of each conversation's threads."""
    lists = math.ceil(CONVERSATIONS / PAGE_SIZE) + math.ceil(CUSTOMERS / PAGE_SIZE)
    threads = (len(fake.threads(key)) for key in fake.conversation_ids)
    return lists + sum(max(1, math.ceil(number / THREADS)) for number in threads)


def modified(fake, stream, record):
    """When the API says that a row was modified, or its conversation."""
    if stream == "customers":
        return record["updated_at"]
    return stamp(fake.modified(record.get("conversation_id", record["id"])))


def sync(tap, target):
    """One run; what it asked is bound, and no bookmark is past what is missing."""
    tap.fake.clear()
    run = target.load(tap.run(state=target.state, catalog=tap.select(*STREAMS), timeout=60))
    assert len(tap.fake.requests) <= FACTOR * least_requests(tap.fake) + MORE
    lacking = target.lacks(tap.fake, *STREAMS)
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


def two_runs(tap):
    """A whole sync, edits, and a run that brings what changed; the log of both."""
    fake, target = tap.fake, Target()
    tap.configure(retry_seconds=3)
    first = sync(tap, target)
    fake.clock_offset += 1200
    keys = fake.conversation_ids
    fake.touch(keys[3], subject="Edited")
    fake.add_thread(keys[4], body="New " * 100)
    fake.touch(keys[5], status="spam")
    fake.touch_customer(fake.customer_ids[3], age="55")
    fake.clock_offset += 1200
    second = sync(tap, target)
    return first.log + second.log


BOTH = ("conversations", "customers")
# What one list has shown says nothing of the other.
ALONE = [
    (*FILTERS[name], (stream,))
    for name, stream in (
        ("query is ignored", "customers"),
        ("query finds nothing", "customers"),
        ("no totals", "conversations"),
    )
]


@pytest.mark.parametrize(
    "options, words, lists",
    [*[(*habit, BOTH) for habit in FILTERS.values()], *ALONE],
    ids=[
        *FILTERS,
        "query is ignored by customers",
        "query finds no customers",
        "no totals of conversations",
    ],
)
def test_filters_and_totals(account, tmp_path, options, words, lists):
    with FakeHelpScout(account, page_sizes=PAGE_SIZES, habit_lists=lists, **options) as fake:
        log = two_runs(Tap(fake, tmp_path))
        for stream in lists:
            assert words is None or f"{stream}: the date filter `query` {words}" in log, log
        assert len(lists) == 2 or log.count(PLAIN) <= 2  # of one stream, in both runs


@pytest.mark.parametrize(
    "options, words", [*PAGES.values(), *OTHERS.values()], ids=[*PAGES, *OTHERS]
)
def test_pages_embeds_and_dates(account, tmp_path, options, words):
    with FakeHelpScout(account, page_sizes=PAGE_SIZES, **options) as fake:
        log = two_runs(Tap(fake, tmp_path))
        assert words is None or words in log, log


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
        two_runs(Tap(fake, tmp_path_factory.mktemp("two")))
