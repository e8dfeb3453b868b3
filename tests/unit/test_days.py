"""Reports that are asked for a UTC day at a time."""

from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tap_helpscout.reading.days import (
    DAYS_PER_BOOKMARK,
    DAYS_READ_AGAIN,
    beginning_of_day,
    days_between,
    first_day,
    read_days,
)
from tap_helpscout.streams import STREAMS
from tests.unit.lists import InProcessClient

REPORT = STREAMS["company_report"]
DAY = timedelta(days=1)
NOON = datetime(2026, 3, 29, 12, 30, 15, 250_000, timezone.utc)
MOMENTS = st.datetimes(datetime(1970, 1, 1), datetime(2100, 1, 1), timezones=st.just(timezone.utc))


class Reports(InProcessClient):
    """A client that gives each day's report its own start and end."""

    def __init__(self, **options):
        super().__init__(**options)
        self.asked = []

    def get(self, path, params, tries):
        assert path == "/v2/reports/company" and tries
        self.asked.append((params["start"], params["end"]))
        return {"current": {"startDate": params["start"]}}


def read(client, first, high):
    """(dates of the rows, ends of the completed windows)"""
    batches = list(read_days(client, REPORT, {"start": "x", "end": "y"}, first, high))
    dates = [row["date"] for batch in batches for row in batch.rows]
    windows = [batch.completes for batch in batches if batch.completes]
    assert all(window.low == first for window in windows)
    return dates, [window.high for window in windows]


def test_a_day_is_asked_for_from_its_first_second_to_its_last():
    client = Reports()
    dates, _ = read(client, beginning_of_day(NOON - DAY), NOON)
    assert dates == ["2026-03-28T00:00:00Z", "2026-03-29T00:00:00Z"]
    assert client.asked == [
        ("2026-03-28T00:00:00Z", "2026-03-28T23:59:59Z"),
        ("2026-03-29T00:00:00Z", "2026-03-29T23:59:59Z"),
    ]


@pytest.mark.parametrize("days", [0, 1, DAYS_PER_BOOKMARK - 1, DAYS_PER_BOOKMARK, 100])
def test_a_bookmark_comes_every_few_days_and_at_the_end(days):
    first = beginning_of_day(NOON) - days * DAY
    dates, highs = read(Reports(), first, NOON)
    assert len(dates) == days + 1
    assert highs[-1] == NOON and highs == sorted(highs)
    assert highs[:-1] == [
        min(first + number * DAY, NOON)
        for number in range(DAYS_PER_BOOKMARK, days + 2, DAYS_PER_BOOKMARK)
    ]


@pytest.mark.parametrize("depth", [0, 4])
def test_as_many_days_are_on_their_way_as_may_be(depth):
    client = Reports(depth=depth)
    batches = read_days(client, REPORT, {}, beginning_of_day(NOON) - 50 * DAY, NOON)
    next(batches)
    assert len(client.asked) == depth + 1


def test_where_the_first_day_is_still_to_come_nothing_is_asked():
    client = Reports()
    assert read(client, beginning_of_day(NOON) + DAY, NOON) == ([], [NOON]) and not client.asked


@given(MOMENTS, st.none() | MOMENTS)
def test_the_first_day_leaves_none_out_and_reads_the_last_again(start_date, since):
    first = first_day(start_date, since)
    assert first == beginning_of_day(first)
    if since is None:
        assert first <= start_date < first + DAY
        return
    assert first <= since, "a day between two runs is left out"
    if start_date <= since - DAYS_READ_AGAIN * DAY:
        assert first == beginning_of_day(since) - DAYS_READ_AGAIN * DAY
    elif start_date <= since:
        assert first == beginning_of_day(start_date)


@given(MOMENTS, st.integers(0, 400))
def test_no_day_is_left_out(moment, days):
    first = beginning_of_day(moment)
    found = list(days_between(first, moment + days * DAY))
    assert found == [first + number * DAY for number in range(days + 1)]
