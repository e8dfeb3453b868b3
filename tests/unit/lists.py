"""Lists that change while they are read, without a network."""

import math
from concurrent.futures import Future
from datetime import datetime, timedelta, timezone

from tap_helpscout.prefetch import completed
from tap_helpscout.reading.pages import Page

EPOCH = datetime(2020, 1, 1, tzinfo=timezone.utc)


def at(second):
    """A datetime so many seconds after the first."""
    return EPOCH + timedelta(seconds=second)


def second_of(date):
    """The reverse."""
    return (date - EPOCH) // timedelta(seconds=1)


class LazyFuture(Future):
    """Runs its function when its result is asked for: the latest moment that a pool may do so."""

    def __init__(self, function, args):
        super().__init__()
        self._function, self._args = function, args

    def result(self, timeout=None):
        if not self.done():
            self.set_result(self._function(*self._args))
        return super().result(timeout)


class InProcessClient:
    """Requests are sent when they are submitted, or as late as possible."""

    def __init__(self, depth=0, is_lazy=False):
        self.prefetch_depth, self._is_lazy = depth, is_lazy

    def submit(self, function, *args):
        return LazyFuture(function, args) if self._is_lazy else completed(function(*args))


def page_of(rows, number=1, size=5, totals=True, link=None):
    """A page of a list, as it would come if the list held these rows."""
    part = rows[(number - 1) * size : number * size]
    pages = math.ceil(len(rows) / size)
    following = {"page": str(number + 1)} if number < pages else None
    return Page(
        part,
        number=number,
        size=size,
        total=len(rows) if totals else None,
        pages=pages if totals else None,
        next=following if link is None else link,
    )


def ids(batches):
    """The ids of rows that came in lists of rows."""
    return [row["id"] for rows in batches for row in rows]


def row(key, **fields):
    return {"id": key, **fields}
