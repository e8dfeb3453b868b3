"""Lists that have a row for each UTC day and are asked for a day at a time: reports."""

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta

from tap_helpscout.client import Client
from tap_helpscout.dates import format_datetime, seconds_before
from tap_helpscout.prefetch import Load, prefetch
from tap_helpscout.reading.batches import Batch, Window
from tap_helpscout.reading.lists import fetch_listed
from tap_helpscout.streams import Row, Stream

DAY = timedelta(days=1)
SECOND = timedelta(seconds=1)
# Our choice: the numbers of a day change after it, such as those of today and of ratings that are
# given later. How long they do is not documented.
DAYS_READ_AGAIN = 7
# Our choice: so many requests at most are made again after an interruption.
DAYS_PER_BOOKMARK = 30


def first_day(start_date: datetime, since: datetime | None) -> datetime:
    """The start of the first day to ask for; `since` is when the last run was, None if there was
    none."""
    if since is None:
        return beginning_of_day(start_date)
    # Days before the start_date are not wanted, but a start_date later than the last run skips
    # nothing.
    earliest = min(start_date, since)
    return beginning_of_day(max(earliest, seconds_before(since, DAYS_READ_AGAIN * 86400)))


def beginning_of_day(value: datetime) -> datetime:
    """The first second of its UTC day."""
    return value.replace(hour=0, minute=0, second=0, microsecond=0)


def fetch_day(
    client: Client, stream: Stream, context: Mapping[str, str], day: datetime
) -> list[Row]:
    """The rows of one UTC day, usually one, with the day in the stream's `day_column`. The day is
    asked for from its first second to its last, so that no other day is touched.

    Raises ApiError.
    """
    start, end = format_datetime(day), format_datetime(day + (DAY - SECOND))
    page = fetch_listed(client, stream, {**context, "day_start": start, "day_end": end})
    return [{**row, str(stream.day_column): start} for row in page.rows]


def read_days(
    client: Client, stream: Stream, context: Mapping[str, str], first: datetime, high: datetime
) -> Iterator[Batch]:
    """The rows of each day, from the first to that of the run's start `high`. Every few days, and
    at the end, a batch completes all before it."""
    requested = (
        (day, client.submit(fetch_day, client, stream, context, day))
        for day in days_between(first, high)
    )
    for day, rows in prefetch(requested, Load(requests=client.prefetch_depth)):
        yield Batch(rows.result())
        if (day - first).days % DAYS_PER_BOOKMARK == DAYS_PER_BOOKMARK - 1:
            yield Batch([], completes=Window(first, min(day + DAY, high)))
    yield Batch([], completes=Window(first, high))


def days_between(first: datetime, last: datetime) -> Iterator[datetime]:
    """The first second of each day from `first` on, up to that of `last`."""
    for number in range(number_of_days(first, last)):
        yield first + number * DAY


def number_of_days(first: datetime, last: datetime) -> int:
    """How many days `days_between` gives."""
    return (last - first).days + 1
