"""Completeness: lists whose rows move while they are read."""

import itertools
import random
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tap_helpscout.errors import ApiError
from tap_helpscout.reading.completeness import Completeness, Verdict, read_until_complete
from tap_helpscout.reading.pages import Page
from tap_helpscout.streams import STREAMS
from tests.examples import examples
from tests.unit.lists import InProcessClient, ids, page_of, row

USERS = STREAMS["users"]


def verdicts(*passes):
    """What is known after each pass over lists of pages."""
    completeness, found = Completeness(USERS), []
    for one in passes:
        completeness.begin_pass()
        for page in one:
            completeness.take(page)
        found.append(completeness.end_pass())
    return found


def pages_of(*keys, total, size=2):
    """The pages of a pass: each is the keys of its rows."""
    return [
        Page([row(key) for key in part], n, size, total if isinstance(total, int) else total[n - 1])
        for n, part in enumerate(keys, 1)
    ]


def test_one_page_is_complete_at_once():
    assert verdicts(pages_of("ab", total=2)) == [Verdict.COMPLETE]
    assert verdicts([Page([row(1)])]) == [Verdict.COMPLETE]


def test_a_total_that_stays_and_comes_is_complete():
    assert verdicts(pages_of("ab", "c", total=3)) == [Verdict.COMPLETE]


def test_a_total_that_changes_during_a_pass_is_read_again():
    found = verdicts(pages_of("ab", "d", total=(4, 3)), pages_of("bc", "d", total=3))
    assert found == [Verdict.READ_AGAIN, Verdict.COMPLETE]


def test_rows_in_an_order_that_changes_are_read_until_as_many_came_as_are_counted():
    found = verdicts(
        pages_of("ab", "ac", total=4), pages_of("ab", "ab", total=4), pages_of("ab", "cd", total=4)
    )
    assert found == [Verdict.READ_AGAIN, Verdict.READ_AGAIN, Verdict.COMPLETE]


def test_rows_of_before_the_total_changed_do_not_count():
    """Rows that left are no substitute for rows that slipped."""
    found = verdicts(pages_of("ab", "d", total=(4, 3)), pages_of("bd", "b", total=3))
    assert found == [Verdict.READ_AGAIN, Verdict.READ_AGAIN]


def test_without_totals_two_passes_must_agree():
    found = verdicts(
        pages_of("ab", "d", total=(None, None)),
        pages_of("bc", "d", total=(None, None)),
        pages_of("bc", "d", total=(None, None)),
    )
    assert found == [Verdict.READ_AGAIN, Verdict.READ_AGAIN, Verdict.COMPLETE]


def test_a_total_that_is_lower_than_what_comes_is_no_total():
    found = verdicts(*[pages_of("ab", "cd", total=2)] * 2)
    assert found == [Verdict.READ_AGAIN, Verdict.COMPLETE]


def test_a_count_of_one_too_many_is_given_up_after_a_pass_that_brings_nothing():
    found = verdicts(*[pages_of("ab", "c", total=4)] * 2)
    assert found == [Verdict.READ_AGAIN, Verdict.OVERCOUNTED]


def test_a_list_that_lacks_a_whole_page_is_cut():
    assert verdicts(*[pages_of("ab", "c", total=5)] * 2)[-1] is Verdict.CUT


def test_a_page_that_is_refused_each_time_is_cut_even_where_little_is_missing():
    refused = [*pages_of("ab", total=3), Page([], 2, refusal=ApiError("no", 404))]
    assert verdicts(*[refused] * 2)[-1] is Verdict.CUT


def test_a_page_that_was_refused_once_because_the_list_shrank_is_read_again():
    refused = [*pages_of("ab", total=3), Page([], 2, refusal=ApiError("no", 404))]
    assert verdicts(refused, pages_of("ac", total=2)) == [Verdict.READ_AGAIN, Verdict.COMPLETE]


@pytest.mark.parametrize(
    "has_next, verdict",
    [
        ((True, True), Verdict.CUT),
        ((True, False), Verdict.COMPLETE),
        ((False, False), Verdict.CUT),  # they do not tell the end
    ],
)
def test_without_totals_the_next_links_tell_a_refused_page_from_the_end(has_next, verdict):
    linked = [
        Page([row(key) for key in keys], n, 2, next={"page": n + 1} if has_next[n - 1] else None)
        for n, keys in enumerate(("ab", "cd"), 1)
    ]
    refused = Page([], 3, refusal=ApiError("no", 400))
    assert verdicts(*[[*linked, refused]] * 2) == [Verdict.READ_AGAIN, verdict]


class Moving:
    """A list of which rows leave while it is read: never more than one of them can be skipped
    without the total telling."""

    def __init__(self, rng, count, size, totals=True):
        self.rows, self.rng, self.size, self.totals = (
            [row(i) for i in range(count)],
            rng,
            size,
            totals,
        )
        self.requests, self.edits = 0, rng.randint(0, 12)

    def fetch(self, params):
        self.requests += 1
        if self.edits and self.rows and self.rng.random() < 0.4:
            self.edits -= 1
            self.rows.pop(self.rng.randrange(len(self.rows)))
        return page_of(self.rows, int(params.get("page", 1)), self.size, self.totals)


@pytest.mark.parametrize("totals", [True, False])
@pytest.mark.parametrize("depth, is_lazy", [(0, False), (4, False), (4, True)])
@examples(50)
@given(seed=st.integers(0, 10**9))
def test_each_row_that_stays_is_read_whatever_leaves(depth, is_lazy, totals, seed):
    rng = random.Random(seed)
    moving = Moving(rng, rng.choice((3, 10, 60)), rng.randint(1, 7), totals)
    client = InProcessClient(depth, is_lazy)
    came = ids(read_until_complete(client, USERS, moving.fetch))
    assert len(came) == len(set(came))
    assert {one["id"] for one in moving.rows} <= set(came)


@pytest.mark.parametrize("rows", [[], [row(1)], None])
def test_links_that_lead_on_for_ever_end(rows):
    """With no rows, with the same one, or with two pages in turn."""
    requests = itertools.count(1)

    def fetch(params):
        number, _ = int(params.get("page", 1)), next(requests)
        page = Page([row(number % 2)] if rows is None else rows, number, 1)
        return replace(page, next={"page": number + 1})

    try:
        came = ids(read_until_complete(InProcessClient(4), USERS, fetch))
        assert set(came) == ({0, 1} if rows is None else {one["id"] for one in rows})
    except ApiError:
        pass  # it is told
    assert next(requests) < 100


def test_a_list_that_never_stops_changing_ends_in_an_error():
    passes = itertools.count()

    def fetch(params):
        page = int(params.get("page", 1))
        if page == 1:
            next(passes)
        return page_of([row(i) for i in range(12 - page % 2)], page)

    with pytest.raises(ApiError, match="changed in each of 100 passes"):
        list(read_until_complete(InProcessClient(), USERS, fetch))
    assert next(passes) == 100


@pytest.mark.parametrize("past_the_end", ["404", "empty", "last_page"])
@pytest.mark.parametrize("total", [6, 10**18, None])
def test_however_many_pages_are_announced_those_that_there_are_come_and_it_ends(
    total, past_the_end
):
    rows, requests = [row(i) for i in range(6)], itertools.count(1)

    def fetch(params):
        next(requests)
        number = int(params.get("page", 1))
        if number > 3 and past_the_end == "404":
            raise ApiError("no such page", 404)
        page = page_of(rows, min(number, 3) if past_the_end == "last_page" else number, size=2)
        return replace(page, number=number, total=total, pages=10**18, next=None)

    try:
        came = ids(read_until_complete(InProcessClient(4), USERS, fetch))
    except ApiError:  # then it is told, and no bookmark moves
        assert total == 10**18 or past_the_end == "404"
    else:
        assert sorted(came) == [*range(6)]
    assert next(requests) < 200
