"""Windows: how conversations and customers are asked for, so that no row falls between two."""

import math
import re
from datetime import datetime, timedelta, timezone

import pytest

from tests.fake import stamp
from tests.test_records import assert_complete
from tests.test_state import modified_since, moment, open_starts, quiet

LISTS = ("conversations", "customers")
PAGES = 20  # of a window, at most
EMPTY = ("1999-12-31T23:59:58Z", "2099-12-31T23:59:58Z")
DATE = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ"


def asked(fake, stream):
    """((low, high), page) of each request for a page of a window of a stream's list, in order;
    without those that only show that an empty window is empty."""
    found = []
    for request in fake.requests:
        if request.path == f"/v2/{stream}" and "query" in request.params:
            query = request.params["query"]
            window = re.fullmatch(rf"\(modifiedAt:\[({DATE}) TO ({DATE})\]\)", query).groups()
            assert "modifiedSince" not in request.params
            if window[0] not in EMPTY:
                found.append((window, int(request.params.get("page", 1))))
    return found


def asked_in_window(request):
    return "query" in request.params and not any(low in request.params["query"] for low in EMPTY)


def pages(fake, stream):
    """The numbers of the pages that were asked for of each window: [1] only, if it was refused."""
    found = {}
    for window, page in asked(fake, stream):
        found.setdefault(window, []).append(page)
    return found


def dates(fake, stream):
    if stream == "conversations":
        return [stamp(fake.modified(key)) for key in fake.conversation_ids]
    return [fake.customer(key)["updatedAt"] for key in fake.customer_ids]


def crowd(fake, seconds):
    """Has the rows of both lists modified in turn, in so many seconds one after the other."""
    start = fake.world.now - timedelta(days=2)
    for touch, ids in (
        (fake.touch, fake.conversation_ids),
        (fake.touch_customer, fake.customer_ids),
    ):
        for i, key in enumerate(ids):
            touch(key, at=start + timedelta(seconds=i * seconds // len(ids)))


def test_what_a_request_asks(whole):
    fake, run = whole
    end = run.bookmarks["users"]
    assert end <= stamp(datetime.fromtimestamp(fake.requests[1].at, timezone.utc))
    for stream, more in (
        ("conversations", {"status": "all", "embed": "threads"}),
        ("customers", {}),
    ):
        for request in fake.requests:
            if request.path == f"/v2/{stream}" and asked_in_window(request):
                params = {
                    name: value
                    for name, value in request.params.items()
                    if name not in ("page", "query")
                }
                assert params == {"sortField": "modifiedAt", "sortOrder": "asc", **more}
        windows = [window for window, _ in asked(fake, stream)]
        assert all(low < high <= end for low, high in windows)
        assert min(windows)[0] == "2009-12-31T23:59:58Z" and max(windows)[1] == end
        assert open_starts(fake, stream)[0] == "2009-12-31T23:59:59Z"
    assert not fake.unknown_parameters


def test_windows_are_small_and_a_guess_that_is_too_large_costs_one_request(whole):
    fake, _ = whole
    for stream in LISTS:
        windows, refused = pages(fake, stream), 0
        for (since, until), numbers in windows.items():
            needed = math.ceil(sum(since <= date <= until for date in dates(fake, stream)) / 5)
            if numbers == [1] and needed > 1:
                refused += 1
                assert needed > PAGES
            else:
                # A full last page is followed by one more request.
                assert sorted(numbers)[:needed] == list(range(1, max(1, needed) + 1))[:needed]
                assert len(numbers) <= needed + 1 and needed <= PAGES
        # A guess goes by the last window: for 200 rows a few are too large, and none too small.
        assert refused <= 20 and len(windows) - refused <= 25


def test_what_the_list_may_still_be_filling_is_read_apart(tap, fake):
    """There, a row that comes while another leaves would not show in their number."""
    tap.configure(start_date=stamp(quiet(fake, 0.5)))
    run = tap.good_run(catalog=tap.select("conversations"))
    settled = stamp(moment(run.bookmarks["conversations"]) - timedelta(seconds=600))
    windows = pages(fake, "conversations")
    assert any(len(numbers) > 5 for numbers in windows.values())
    for (since, until), numbers in windows.items():
        assert len(numbers) == 1 or not since < settled < until


@pytest.mark.parametrize("since_inclusive", [True, False])
@pytest.mark.parametrize("until_inclusive", [True, False])
def test_no_row_falls_between_windows_whether_ends_are_inclusive_or_not(
    tap, fake, since_inclusive, until_inclusive
):
    crowd(fake, seconds=50)  # every second has rows, so every end of a window meets some
    fake.page_sizes[None] = 2
    fake.set(since_inclusive=since_inclusive, until_inclusive=until_inclusive)
    run = tap.good_run(catalog=tap.select(*LISTS, "conversation_threads"))
    assert_complete(run, fake, *LISTS, "conversation_threads")
    assert "cannot be relied on" not in run.log  # what a gap would lead to: all is read again
    assert len({window for window, _ in asked(fake, "conversations")}) > 3
    for stream in LISTS:
        # Only those in the seconds that windows share come twice.
        assert len(run.ids(stream)) < 2 * len(set(run.ids(stream)))
        for (since, until), numbers in pages(fake, stream).items():
            assert len(numbers) <= PAGES + 1 or moment(until) - moment(since) < timedelta(seconds=6)


@pytest.mark.parametrize("since_inclusive, until_inclusive", [(True, True), (False, False)])
def test_neighbouring_runs_share_their_second_too(tap, fake, since_inclusive, until_inclusive):
    tap.configure(lookback_seconds=0)
    fake.set(since_inclusive=since_inclusive, until_inclusive=until_inclusive)
    catalog = tap.select(*LISTS)
    first = tap.good_run(catalog=catalog)
    at = moment(first.bookmarks["conversations"])
    fake.bulk_touch(fake.conversation_ids[:3], at)
    fake.touch_customer(fake.customer_ids[0], at)
    fake.clock_offset = 60
    run = tap.good_run(state=first.state, catalog=catalog)
    assert set(run.ids("conversations")) == set(fake.conversation_ids[:3])
    assert set(run.ids("customers")) == {fake.customer_ids[0]}


def test_a_second_with_more_rows_than_a_window_holds_is_read_whole(tap, fake):
    page_size = 2
    at = fake.world.now - timedelta(days=3)
    fake.bulk_touch(fake.conversation_ids[:60], at)
    for key in fake.customer_ids[:60]:
        fake.touch_customer(key, at)
    fake.set(page_size=page_size)
    run = tap.good_run(catalog=tap.select(*LISTS))
    assert_complete(run, fake, *LISTS)
    states = [
        state["value"]["bookmarks"].get("conversations", "") for state in run.of_type("STATE")
    ]
    assert len(set(states)) >= 100 / (PAGES * page_size)


@pytest.mark.parametrize(
    "spelling, since",
    [
        ("2022-06-01T10:20:30.987654+02:00", "2022-06-01T08:20:29Z"),
        ("2022-06-01", "2022-05-31T23:59:59Z"),
    ],
)
def test_start_date_is_asked_for_in_utc_and_whole_seconds(tap, fake, spelling, since):
    tap.configure(start_date=spelling)
    run = tap.good_run(catalog=tap.select(*LISTS))
    for stream in LISTS:
        assert open_starts(fake, stream)[0] == since
    start = moment(since) + timedelta(seconds=1)
    assert set(run.ids("conversations")) == modified_since(fake, start)


def test_a_start_date_to_come_is_refused(tap, fake):
    tap.configure(start_date="2099-01-01")
    run = tap.run(catalog=tap.select(*LISTS))
    assert run.code == 1 and not fake.requests and "start_date" in run.log


def test_a_start_date_to_come_asks_for_nothing(tap, fake):
    tap.configure(start_date=stamp(fake.now() + timedelta(hours=20)))
    run = tap.good_run(catalog=tap.select(*LISTS))
    assert not asked(fake, "conversations") and not run.of_type("RECORD")
    assert "conversations" not in run.bookmarks


@pytest.mark.parametrize("seconds", [0, "86400"])
def test_a_run_begins_lookback_seconds_before_the_bookmark(tap, fake, seconds):
    tap.configure(lookback_seconds=seconds)
    bookmark = fake.world.now - timedelta(days=30)
    tap.good_run(
        state={"bookmarks": dict.fromkeys(LISTS, stamp(bookmark))}, catalog=tap.select(*LISTS)
    )
    for stream in LISTS:
        assert open_starts(fake, stream)[0] == stamp(bookmark - timedelta(seconds=int(seconds) + 1))


def test_an_edit_that_the_list_shows_minutes_later_arrives(tap, fake):
    catalog = tap.select(*LISTS)
    first = tap.good_run(catalog=catalog)
    fake.index_lag = 500
    fake.touch(fake.conversation_ids[0])
    fake.clock_offset = 100
    second = tap.good_run(state=first.state, catalog=catalog)
    assert not second.ids("conversations")
    fake.clock_offset = 560
    assert tap.good_run(state=second.state, catalog=catalog).ids("conversations") == [
        fake.conversation_ids[0]
    ]


@pytest.mark.parametrize("hours", [-5, 5])
def test_a_clock_hours_from_ours_loses_nothing_and_rereads_little(tap, fake, hours):
    fake.clock_offset = hours * 3600
    catalog, one, other = tap.select(*LISTS), fake.conversation_ids[0], fake.customer_ids[0]
    first = tap.good_run(catalog=catalog)
    at = moment(first.bookmarks["customers"]) + timedelta(seconds=1)
    fake.touch(one, at)
    fake.touch_customer(other, at)
    fake.clock_offset += 60
    second = tap.good_run(state=first.state, catalog=catalog)
    assert second.ids("conversations") == [one] and second.ids("customers") == [other]
    fake.clock_offset += 3600
    third = tap.good_run(state=second.state, catalog=catalog)
    fake.clear()
    last = tap.good_run(state=third.state, catalog=catalog)
    assert not last.of_type("RECORD")
    assert [request.path for request in fake.requests if "users" not in request.path] == [
        f"/v2/{stream}" for stream in ("mailboxes", "conversations", *LISTS)
    ]
