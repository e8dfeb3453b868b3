"""Datetimes of any spelling, in and out."""

import re
from datetime import datetime, timedelta, timezone

from hypothesis import example, given
from hypothesis import strategies as st

from tap_helpscout.dates import datetime_or_none, format_datetime, parse_datetime
from tests.unit.json_values import DATETIMES, JSON


def to_utc(value):
    try:
        return value.astimezone(timezone.utc)
    except OverflowError:
        return None  # before the year 1 or after 9999


@given(DATETIMES)
@example(datetime.min.replace(tzinfo=timezone(timedelta(hours=5))))
@example(datetime.max.replace(tzinfo=timezone(timedelta(hours=-5))))
def test_dates_of_any_zone_and_precision_become_utc(value):
    for text in (value.isoformat(), value.isoformat().replace("T", " ")):
        assert datetime_or_none(text) == to_utc(value)


@given(DATETIMES.map(to_utc).filter(bool))
def test_dates_go_to_the_api_in_its_one_form_and_back(value):
    text = format_datetime(value)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", text)
    assert parse_datetime(text) == value.replace(microsecond=0)


@given(st.one_of(st.text(), st.from_regex(r"\d{4}-?\d\d-?\d\d[T ]?\d\d:?\d\d.{0,8}"), JSON))
def test_what_is_no_date_is_none(value):
    assert isinstance(datetime_or_none(value), (datetime, type(None)))
