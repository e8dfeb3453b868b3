"""The plain way to read a long list: newest first, one page after another, by the open filter.

It is taken where the closed date filter is not proved. An edited or new row moves to the front and
pushes the others back: rows repeat, and none is skipped. Only rows that disappear pull others
forward: where the total has fallen by three between two pages, up to three rows may have been
skipped, and the reader goes back by three, in whole pages.
"""

import math
from collections.abc import Callable, Generator, Iterator
from datetime import datetime

from tap_helpscout.dates import datetime_or_none
from tap_helpscout.errors import ApiError
from tap_helpscout.reading.completeness import Reading, Verdict, is_the_end
from tap_helpscout.reading.pages import Page
from tap_helpscout.reading.trail import NextLinks
from tap_helpscout.streams import Row, RowKey, Stream

# Our choice: more than one is needed only where totals or the order are wrong. Fewer than elsewhere
# (completeness.py), for these lists are long.
MAX_PASSES = 20


class NewestFirst:
    """Decides which page is read next, and after each pass whether a row may have been skipped."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._seen: set[RowKey] = set()
        self._rows_in_last_pass: set[RowKey] | None = None
        self.missing = 0
        """How many rows more than came the API counted, after the last pass."""
        self.begin_pass()

    def begin_pass(self) -> None:
        """Forgets what was noted of the pass before: the next page is the first."""
        self._last: Page | None = None
        self._links = NextLinks()
        # How the API refused a page of this pass as not there.
        self.refusal: ApiError | None = None
        self._first_total: int | None = None
        self._fallen = 0
        self._page_size = 1
        self._rows_in_pass: set[RowKey] = set()
        self._later_rows: set[RowKey] = set()
        self._largest_total = 0
        self._seen_before = len(self._seen)
        self._dates: list[datetime] = []  # of the first row and of the last

    def take(self, page: Page) -> list[Row]:
        """Takes note of a page; its rows that came for the first time."""
        new = []
        for key, row in self._keyed(page):
            if key not in self._seen:
                self._seen.add(key)
                new.append(row)
        return new

    def take_later(self, page: Page) -> list[Row]:
        """The same of a page of what was modified since the run began."""
        self._later_rows.update(key for key, _ in self._keyed(page))
        return self.take(page)

    def _keyed(self, page: Page) -> Iterator[tuple[RowKey, Row]]:
        for position, row in enumerate(page.rows):
            # Where nothing tells a row apart, its place in the list has to.
            yield self._stream.key_of(row) or ("place", page.number, position), row

    def following(self, page: Page) -> int | None:
        """The number of the page to ask for after this one, None where the list has ended."""
        last, self._last = self._last, page
        self._note_dates(page)
        self._rows_in_pass.update(key for key, _ in self._keyed(page))
        self._largest_total = max(self._largest_total, page.total or 0)
        self._page_size = max(self._page_size, page.size or len(page.rows))
        if self._first_total is None:
            self._first_total = page.total
        if last and last.total is not None and page.total is not None and page.total < last.total:
            fallen = last.total - page.total
            self._fallen += fallen
            return max(1, page.number - math.ceil(fallen / self._page_size))
        repeats_last = last is not None and page.rows == last.rows
        is_past_end = page.next is None if page.pages is None else page.number > page.pages
        if page.refusal:
            self.refusal = page.refusal
            return None
        self._links.add(page)
        if not page.rows or (repeats_last and is_past_end):
            return None
        # Where a page does not say how long it can be, the longest so far is full.
        is_full = len(page.rows) >= self._page_size if page.size is None else page.is_full
        return page.number + 1 if is_full or page.next else None

    def _note_dates(self, page: Page) -> None:
        for row in (page.rows[:1] if not self._dates else []) + page.rows[-1:]:
            shown = row.get("modifiedAt") or row.get("updatedAt") or row.get("createdAt")
            if date := datetime_or_none(shown):
                self._dates = [self._dates[0] if self._dates else date, date]

    def end_pass(self) -> Verdict:
        """What is known now that the last page of a pass was read."""
        is_idle = len(self._seen) == self._seen_before
        counted = None if self._first_total is None else self._first_total - self._fallen
        self.missing = max((counted or 0) - len(self._seen), 0)
        is_uncounted = counted is None or self._largest_total < len(self._rows_in_pass)
        # A row that was deleted after it was read may have made another slip.
        last = self._rows_in_last_pass
        agrees = last is not None and last <= self._rows_in_pass | self._later_rows
        self._rows_in_last_pass = self._rows_in_pass
        if (is_uncounted or not self._is_newest_first()) and not agrees:
            return Verdict.READ_AGAIN  # nothing tells what should come: two passes must agree
        if is_uncounted and self.refusal and self._links.another_page_is_due:
            return Verdict.CUT
        if not self.missing:
            return Verdict.COMPLETE
        if not is_idle:
            return Verdict.READ_AGAIN
        return Verdict.CUT if self.missing >= self._page_size else Verdict.OVERCOUNTED

    def _is_newest_first(self) -> bool:
        return bool(self._dates) and self._dates[0] >= self._dates[-1]


def read_newest_first(
    stream: Stream,
    fetch_page: Callable[[int], Page],
    later_pages: Callable[[], Iterator[Page]],
) -> Reading:
    """The rows of a list, each once, until none can be missing that the API lists.

    `later_pages` are those of what was modified since the run began: a row that is edited before
    it was reached moves to the front, behind the reader.

    Raises ApiError, while the rows are taken, where the list does not give what it counts.
    """
    return Reading(_passes(stream, fetch_page, later_pages))


def _passes(
    stream: Stream,
    fetch_page: Callable[[int], Page],
    later_pages: Callable[[], Iterator[Page]],
) -> Generator[list[Row], None, int]:
    reading = NewestFirst(stream)
    for _ in range(MAX_PASSES):
        reading.begin_pass()
        number: int | None = 1
        while number:
            page = fetch_page(number)
            yield reading.take(page)
            number = reading.following(page)
        for page in later_pages():
            yield reading.take_later(page)
        if is_the_end(stream, reading.end_pass(), reading.missing, reading.refusal):
            return reading.missing
    raise ApiError(f"GET {stream.path} changed in each of {MAX_PASSES} passes while it was read")
