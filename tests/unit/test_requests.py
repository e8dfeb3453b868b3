"""The bound on the requests for one list."""

import pytest

from tap_helpscout.errors import ApiError
from tap_helpscout.reading.pages import Page
from tap_helpscout.reading.requests import (
    MORE_REQUESTS,
    MOST_ANNOUNCED,
    REQUESTS_PER_PAGE,
    RequestBound,
)
from tap_helpscout.streams import STREAMS
from tests.unit.lists import row

MANY = 10_000


def count(pages):
    """Counts a request for each page."""
    bound = RequestBound(STREAMS["customers"])
    for page in pages:
        bound.count()
        bound.note(page)


def test_a_list_that_is_as_long_as_it_says_is_within_it():
    count(Page([row(key)], key, 1, total=MANY, pages=MANY) for key in range(MANY))


def test_so_is_one_that_counts_fewer_rows_than_it_lists():
    count(Page([row(key)], key, 1, total=100, pages=100) for key in range(MANY))


def test_a_page_that_comes_again_and_again_is_not():
    for total in (None, 3):
        with pytest.raises(ApiError, match="for a list of 3 pages, and is still not complete"):
            count(Page([row(key % 3)], key, 1, total, total) for key in range(MANY))


def test_neither_are_pages_without_rows():
    count([Page([], 1, 1)] * (REQUESTS_PER_PAGE + MORE_REQUESTS))
    with pytest.raises(ApiError, match="for a list of 1 page,"):
        count([Page([], 1, 1)] * (REQUESTS_PER_PAGE + MORE_REQUESTS + 1))


def test_not_everything_that_is_announced_is_believed():
    bound = REQUESTS_PER_PAGE * MOST_ANNOUNCED + MORE_REQUESTS
    with pytest.raises(ApiError, match=f"for a list of {MOST_ANNOUNCED} pages"):
        count(Page([row(1)], 1, 1, total=10**18, pages=10**18) for _ in range(bound + 1))


def test_a_list_whose_first_pages_come_again_and_again_is_within_it():
    """Rows are deleted all the time, and each time the reader goes back a page."""
    count(Page([row(key // 20)], key, 1, total=2000, pages=2000) for key in range(MANY))
