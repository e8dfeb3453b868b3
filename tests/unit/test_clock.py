"""The API's time, as its responses tell it."""

import logging
from datetime import datetime, timedelta, timezone
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tap_helpscout.clock import ApiClock

OURS = datetime(2026, 6, 11, 13, 37, 55, 123456, tzinfo=timezone.utc)
SECOND = timedelta(seconds=1)


def clock():
    return ApiClock(lambda: OURS)


def observed(date_header, status=200):
    made = clock()
    made.observe(date_header, status)
    return made.latest


def header(**difference):
    return format_datetime(OURS + timedelta(**difference), usegmt=True)


def whole(moment):
    return moment.replace(microsecond=0)


def test_before_any_response_there_is_no_time():
    assert clock().latest is None


@pytest.mark.parametrize("hours", [-20, -1, 0, 1, 20])
def test_the_time_is_that_of_the_date_header(hours):
    assert observed(header(hours=hours)) == whole(OURS + timedelta(hours=hours))


@pytest.mark.parametrize(
    "text",
    [None, "", "yesterday", "Fri", "Fri, 32 Jan 2026 00:00:00 GMT", "0"],
)
def test_without_a_readable_date_it_is_ours(text):
    assert observed(text) == whole(OURS)


@given(st.text(max_size=60))
def test_no_header_is_too_odd(text):
    assert observed(text) <= OURS + timedelta(days=1)


@pytest.mark.parametrize("zone", ["GMT", "-0000", "+0000", "", "UTC"])
def test_without_a_zone_it_is_utc(zone):
    assert observed(f"Thu, 11 Jun 2026 13:37:50 {zone}".strip()) == whole(OURS) - 5 * SECOND


def test_a_zone_is_heeded():
    assert observed("Thu, 11 Jun 2026 15:37:50 +0200") == whole(OURS) - 5 * SECOND


def test_of_an_error_of_the_server_no_later_time_than_ours_is_believed():
    assert observed(header(hours=3), 502) == whole(OURS)
    assert observed(header(hours=-3), 502) == whole(OURS - timedelta(hours=3))
    assert observed(header(hours=3), 404) == whole(OURS + timedelta(hours=3))


def said(caplog):
    return [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]


@pytest.mark.parametrize("days, believed", [(2, OURS), (-2, OURS - timedelta(days=2))])
def test_more_than_a_day_apart_the_earlier_is_believed_with_one_warning(caplog, days, believed):
    made = clock()
    for _ in range(3):
        made.observe(header(days=days), 200)
        assert made.latest == whole(believed)
    (line,) = said(caplog)
    assert "the earlier is believed" in line and "2026-06-11T13:37:55Z" in line


def test_within_a_day_nothing_is_said(caplog):
    observed(header(hours=23, minutes=59))
    assert not said(caplog)


def test_a_clock_that_went_back_takes_bookmarks_back_with_one_warning(caplog):
    made = clock()
    made.observe(header(), 200)
    start = made.latest
    assert made.not_later_than(start) == start and not said(caplog)
    made.observe(header(seconds=30), 200)
    assert made.not_later_than(start) == start
    assert made.not_later_than(start - SECOND) == start - SECOND
    made.observe(header(seconds=-40), 200)
    assert made.not_later_than(start) == made.not_later_than(start) == start - 40 * SECOND
    assert len(said(caplog)) == 1 and "2026-06-11T13:37:15Z" in said(caplog)[0]
    assert made.not_later_than(start - 50 * SECOND) == start - 50 * SECOND


def test_with_no_response_a_bookmark_stays():
    assert clock().not_later_than(OURS) == OURS
