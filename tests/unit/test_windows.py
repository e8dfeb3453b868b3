"""Windows: how a range is cut, and that no row falls between two of them."""

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tap_helpscout.reading.batches import Window
from tap_helpscout.reading.pages import Page
from tap_helpscout.reading.probes import DateFilterStopped, check_dates
from tap_helpscout.reading.windows import (
    NARROWEST_SECONDS,
    UNCHANGED_CUTS,
    WINDOW_PAGES,
    WindowPlanner,
    read_windows,
)
from tap_helpscout.streams import STREAMS
from tests.examples import examples
from tests.unit.lists import InProcessClient, at, page_of, row, second_of

CUSTOMERS = STREAMS["customers"]


def planner(seconds, pages, settled=None):
    return WindowPlanner(
        Window(at(0), at(seconds)), at(seconds if settled is None else settled), pages
    )


def test_a_range_that_fits_is_one_window():
    assert planner(1000, WINDOW_PAGES).is_done


def test_a_range_that_is_too_large_is_cut_by_its_pages_per_second():
    one = planner(1000, 2 * WINDOW_PAGES)
    assert not one.is_done and one.next_window() == Window(at(0), at(400))  # 0.8 of 20 pages


def test_a_cut_is_never_more_than_some_of_what_did_not_fit():
    one = planner(1000, WINDOW_PAGES + 1)
    assert one.next_window() == Window(at(0), at(550))


def test_a_window_that_is_refused_leads_to_a_narrower_one_from_the_same_low():
    one = planner(1000, 100)
    window = one.next_window()
    assert not one.judge(window, WINDOW_PAGES + 1)
    assert one.next_window().low == at(0) and one.next_window().high < window.high


def test_what_is_left_is_taken_at_once_where_it_fits():
    one = planner(1000, 30)
    first = one.next_window()
    assert one.judge(first, 20) and one.next_window() == Window(first.high, at(1000))


def test_a_range_that_ends_within_a_second_ends_all_the_same():
    high = at(1000) + timedelta(seconds=0.5)
    one = WindowPlanner(Window(at(0), high), at(2000), 2 * WINDOW_PAGES)
    for _ in range(20):
        if not one.is_done:
            one.judge(one.next_window(), 5)
    assert one.is_done and one.low == high


def test_a_second_is_not_cut_whatever_it_holds():
    assert planner(NARROWEST_SECONDS, 1000).is_done


@pytest.mark.parametrize("pages, is_done", [(1, True), (2, False)])
def test_a_window_over_the_time_when_rows_may_still_come_has_one_page(pages, is_done):
    one = planner(1000, pages, settled=900)
    assert one.is_done is is_done
    if not is_done:
        assert one.next_window() == Window(at(0), at(900))


def test_cuts_that_change_nothing_make_suspicious():
    one = planner(10**8, 50)
    for _ in range(UNCHANGED_CUTS - 1):
        one.judge(one.next_window(), 50)
        assert not one.is_suspicious
    one.judge(one.next_window(), 50)
    assert one.is_suspicious
    one.trust_again()
    assert not one.is_suspicious


@pytest.mark.parametrize(
    "modified, is_proof",
    [
        (500, False),
        (None, False),
        ("x", False),
        (98, False),
        (97, True),
        (1002, False),
        (1003, True),
        (5000, False),  # the search index may not know it yet
    ],
)
def test_a_date_outside_of_its_window_proves_that_the_filter_does_not_work(modified, is_proof):
    shown = at(modified).isoformat() if isinstance(modified, int) else modified
    page = Page([row(1, modifiedAt=shown)])
    window = Window(at(100), at(1000))
    if is_proof:
        with pytest.raises(DateFilterStopped):
            check_dates(page, window, settled=at(5000))
    else:
        check_dates(page, window, settled=at(5000))


class Customers:
    """{id: second of its modification}, read in windows by some page size while rows leave."""

    def __init__(self, seconds, size, inclusive, edits):
        self.rows, self.size, self.inclusive = dict(enumerate(seconds)), size, inclusive
        self.edits, self.asked = edits, []

    def fetch(self, window, params):
        for key in self.edits.pop(len(self.asked), ()):
            self.rows.pop(key, None)  # edited: found after the run's start from now on
        from_inclusive, until_inclusive = self.inclusive
        first = second_of(window.low) - 2 + (not from_inclusive)
        last = second_of(window.high) - (not until_inclusive)
        found = sorted(
            (second, key) for key, second in self.rows.items() if first <= second <= last
        )
        page = int(params.get("page", 1))
        if (page - 1) * self.size < len(found) or page == 1:  # a full page is followed by one more
            self.asked.append((window, page))
        return page_of([row(key) for _, key in found], page, self.size)

    def last_second(self, high):
        return second_of(high) - (not self.inclusive[1])


SPANS = st.sampled_from((2, 10, 600, 86_400, 10_000_000, 300_000_000))


@st.composite
def accounts(draw, with_edits):
    """(customers, seconds of the whole range, of these the last that are not settled)"""
    span = draw(SPANS)
    clusters = draw(
        st.lists(
            st.tuples(
                st.integers(-3, span + 3), st.integers(1, 120), st.sampled_from((1, 2, 30, 5000))
            ),
            max_size=8,
        )
    )
    seconds = [start + i % width for start, number, width in clusters for i in range(number)]
    edits = {}
    if with_edits and seconds:
        edits = draw(
            st.dictionaries(
                st.integers(0, 60),
                st.lists(st.integers(0, len(seconds) - 1), max_size=9),
                max_size=20,
            )
        )
    account = Customers(
        seconds, draw(st.integers(1, 5)), draw(st.tuples(st.booleans(), st.booleans())), edits
    )
    return account, span, draw(st.sampled_from((0, 1, 600, 10**9)))


def read(account, span, lookback, client):
    whole = Window(at(0), at(span))
    first = account.fetch(whole, {})
    plan = WindowPlanner(whole, at(span - min(lookback, 10**8)), first.page_count)
    return list(
        read_windows(
            client,
            CUSTOMERS,
            account.fetch,
            plan,
            lambda: None,
            (whole, first) if plan.is_done else None,
        )
    )


CLIENTS = pytest.mark.parametrize("depth, is_lazy", [(0, False), (1, False), (4, False), (4, True)])


@CLIENTS
@examples(12)
@given(case=accounts(with_edits=False))
def test_windows_cover_the_range_without_a_gap_and_each_row_is_read_once(depth, is_lazy, case):
    account, span, lookback = case
    rows, seen, low = dict(account.rows), [], at(0)
    for batch in read(account, span, lookback, InProcessClient(depth, is_lazy)):
        seen += [one["id"] for one in batch.rows]
        if batch.completes:
            assert batch.completes.low == low < batch.completes.high
            low = batch.completes.high
            passed = account.last_second(low)
            assert {key for key, second in rows.items() if 0 <= second <= passed} <= set(seen)
    assert low == at(span) and len(seen) == len(set(seen))
    assert all(at(0) < window.high <= at(span) for window, _ in account.asked)


@CLIENTS
@examples(12)
@given(case=accounts(with_edits=True))
def test_each_row_that_stays_is_read_while_others_leave(depth, is_lazy, case):
    account, span, lookback = case
    batches = read(account, span, lookback, InProcessClient(depth, is_lazy))
    seen = {one["id"] for batch in batches for one in batch.rows}
    last = account.last_second(at(span))
    assert {key for key, second in account.rows.items() if 0 <= second <= last} <= seen


@examples(12)
@given(case=accounts(with_edits=False))
def test_windows_are_small_and_their_number_too(case):
    account, span, lookback = case
    batches = read(account, span, lookback, InProcessClient())
    settled = at(span - min(lookback, 10**8))
    for window, page in account.asked:
        if page > 1:
            assert not window.low < settled < window.high
            assert page <= WINDOW_PAGES + 1 or window.seconds <= NARROWEST_SECONDS
    pages = sum(len(batch.rows) for batch in batches) / account.size
    windows = sum(batch.completes is not None for batch in batches)
    assert len(account.asked) <= 3 * (pages + windows) + 60


def test_a_filter_that_is_checked_and_does_not_work_ends_the_reading():
    everything = [row(i) for i in range(500)]

    def check():
        raise DateFilterStopped("it does not")

    whole = Window(at(0), at(10**8))
    with pytest.raises(DateFilterStopped):
        list(
            read_windows(
                InProcessClient(),
                CUSTOMERS,
                lambda window, params: page_of(everything, int(params.get("page", 1))),
                WindowPlanner(whole, at(10**8), 100),
                check,
            )
        )


@pytest.mark.parametrize("depth, is_lazy", [(0, False), (4, True)])
def test_a_window_that_announces_any_number_of_pages_ends_with_its_rows(depth, is_lazy):
    """An API whose totalPages is wrong, and whose totalElements is right."""
    account, asked = Customers(range(0, 600, 10), 5, (True, True), {}), []

    def fetch(window, params):
        asked.append(params)
        assert len(asked) < 5000
        return replace(account.fetch(window, params), pages=10**9)

    whole = Window(at(0), at(600))
    plan = WindowPlanner(whole, at(600), 10**9)
    batches = read_windows(InProcessClient(depth, is_lazy), CUSTOMERS, fetch, plan, lambda: None)
    seen = [one["id"] for batch in batches for one in batch.rows]
    assert set(seen) == set(account.rows)
