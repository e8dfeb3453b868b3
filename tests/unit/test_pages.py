"""Pages: what a response holds, and which page is asked for next."""

import pytest

from tap_helpscout.errors import ApiError
from tap_helpscout.reading.pages import (
    FIRST,
    Page,
    fetch_if_there,
    parse_page,
    whole_number,
)
from tap_helpscout.reading.trail import PageTrail
from tap_helpscout.streams import STREAMS
from tests.unit.lists import page_of, row

USERS = STREAMS["users"]
RATINGS = STREAMS["happiness_ratings_report"]
TWO = ({"id": 1}, {"id": 2})


def body(rows=tuple(TWO), counts=(2, 1), link=None):
    total, pages = counts
    return {
        "_embedded": {"users": list(rows)},
        "_links": {"next": {"href": link}} if link else {},
        "page": {"size": 50, "totalElements": total, "totalPages": pages, "number": 1},
    }


def test_a_hal_list():
    page = parse_page(USERS, body(link="https://api.example/v2/users?status=all&page=2"), FIRST)
    assert page == Page(list(TWO), 1, 50, 2, 1, {"status": "all", "page": "2"})


def test_a_report():
    rows = [{"id": 1, "threadid": 2, "ratingCreatedAt": "x"}]
    assert parse_page(RATINGS, {"results": rows, "page": 1, "pages": 3, "count": 7}, FIRST) == Page(
        rows, 1, None, 7, 3
    )


@pytest.mark.parametrize("count", [2, "2", 2.0])
def test_counts_may_be_text_or_floats(count):
    page = parse_page(USERS, body(counts=(count, count)), FIRST)
    assert (page.total, page.pages) == (2, 2)


@pytest.mark.parametrize(
    "count",
    [None, "two", "2.0", -1, 2.5, True, [], {}, 1e400, 10**400, 2**63],
    ids=lambda count: str(count)[:20],
)
def test_a_count_that_is_none_is_not_known(count):
    page = parse_page(USERS, body(counts=(count, count)), FIRST)
    assert (page.total, page.pages) == (None, None)


@pytest.mark.parametrize("number", [2**53 + 1, 2**63 - 1])
def test_a_whole_number_is_not_taken_through_a_float(number):
    assert whole_number(number) == whole_number(str(number)) == number


@pytest.mark.parametrize("embedded", [..., {}, []])
def test_an_empty_list(embedded):
    answer = {"_embedded": embedded, "_links": {}, "page": {"totalElements": 0, "totalPages": 0}}
    if embedded is ...:
        del answer["_embedded"]
    assert not parse_page(USERS, answer, FIRST).rows


@pytest.mark.parametrize(
    "answer", [None, [], "users", {}, {"page": {"totalElements": 7}}, body([None]), body("x")]
)
def test_no_rows_are_an_error(answer):
    with pytest.raises(ApiError, match="GET /v2/users answered without a list of 'users'"):
        parse_page(USERS, answer, FIRST)


@pytest.mark.parametrize(
    "links",
    [
        {"next": 5},
        {"next": {}},
        {"next": {"href": 5}},
        {"next": {"href": "http://[x"}},
        {"next": {"href": "https://x/?page=\ud83d"}},  # which cannot be sent
    ],
)
def test_a_next_that_is_no_link_is_an_error(links):
    with pytest.raises(ApiError, match="_links.next"):
        parse_page(USERS, {**body(), "_links": links}, FIRST)


@pytest.mark.parametrize("links", [None, [], "x", {}, {"next": None}])
def test_no_links_are_no_link(links):
    assert parse_page(USERS, {**body(), "_links": links}, FIRST).next is None


def test_an_id_that_is_a_list_is_an_error():
    with pytest.raises(ApiError, match="a row whose id is no single value"):
        parse_page(USERS, body([{"id": [1]}]), FIRST)


def trail(*pages):
    result = PageTrail()
    for page in pages:
        result.add(page)
    return result.following()


def test_a_short_page_without_a_link_is_the_last():
    assert trail(page_of([row(1)])) is None


def test_a_full_page_is_followed_though_nothing_announces_more():
    full = Page([row(i) for i in range(5)], size=5, total=5, pages=1)
    assert trail(full) == {"page": 2}
    assert trail(full, Page([], number=2, size=5, total=5, pages=1)) is None


def test_a_short_page_is_followed_by_its_link():
    assert trail(Page([row(1)], size=5, pages=1, next={"cursor": "b"})) == {"cursor": "b"}


def test_a_page_is_never_asked_for_twice():
    first = Page([row(1)], size=5, next={"page": "2"})
    assert trail(first, Page([row(2)], number=2, size=5, next={"page": "1"})) is None


def test_links_that_loop_give_way_to_numbers_where_pages_are_full():
    first = Page([row(1)], size=1, next={"page": "2"})
    assert trail(first, Page([row(2)], number=2, size=1, next={"page": "1"})) == {"page": 3}


def test_past_the_end_a_page_that_repeats_the_last_one_ends_the_list():
    last = Page([row(1)], number=2, size=1, pages=2, next=None)
    again = Page([row(1)], number=3, size=1, pages=2, next={"page": "4"})
    assert trail(last) == {"page": 3} and trail(last, again) is None


def test_a_reports_last_page_is_followed_where_it_is_as_long_as_the_first():
    first, second = (Page([row(n), row(-n)], number=n, pages=2, total=4) for n in (1, 2))
    assert trail(first) is None  # a single page of a report may have any length
    assert trail(first, second) == {"page": 3}


@pytest.mark.parametrize("status", [400, 404, 410])
def test_a_page_that_is_refused_as_not_there_is_no_error(status):
    def fetch(_):
        raise ApiError("no such page", status)

    page = fetch_if_there(fetch, {"page": 4})
    assert page.rows == [] and page.refusal.status == status and page.number == 4


def test_any_other_refusal_is_one():
    def fetch(_):
        raise ApiError("broken", 500)

    with pytest.raises(ApiError):
        fetch_if_there(fetch, {"page": 4})
