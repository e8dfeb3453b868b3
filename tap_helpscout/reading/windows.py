"""Windows: closed ranges of modification time, in which a long list is read.

An open list is paged by number while its rows move. In a closed window rows can only leave, by
being edited again, and the total of the window tells. So a list is cut into windows that are small
enough for a bookmark after each.
"""

import itertools
from collections.abc import Callable, Container, Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from operator import itemgetter

from tap_helpscout.client import Client
from tap_helpscout.prefetch import Load, prefetch
from tap_helpscout.reading.batches import Batch, Window
from tap_helpscout.reading.completeness import read_until_complete
from tap_helpscout.reading.pages import FIRST, Page, PageParams, announced_pages
from tap_helpscout.streams import RowKey, Stream

# Our choice: at most 500 conversations, so that a bookmark comes often and no page is deep. Whether
# Help Scout limits how deep a list may be paged is not documented.
WINDOW_PAGES = 20
# Measured over ten distributions of rows: a window that is meant to be a fifth smaller than allowed
# is seldom refused, though rows are not spread evenly.
TARGET_PAGES = 0.8 * WINDOW_PAGES
# Measured on the same: how much of a range that is too large is tried next, at most.
LARGEST_SHARE = 0.55
# Our choice: a window no longer than this is taken as it is, for one second can hold any number of
# rows (a bulk edit), and cutting it further would change nothing.
NARROWEST_SECONDS = 3
# Our choice: how many windows in a row may have as many pages as the window that they were cut from
# before it is checked whether the API still heeds the range: rows of one second look like that too.
UNCHANGED_CUTS = 6


@dataclass
class _Ahead:
    """About how many pages there are from the present low up to `high`: an answer that was too
    large for a window, less the windows that were read since."""

    high: datetime
    pages: float


class WindowPlanner:
    """Cuts a range into windows of some pages each, going by the pages that each answer counts.

    `settled` is as late as the search index may lag behind the edits: from then on rows may still
    come into a closed window. If one came while another left, the total would not show it. What is
    modified after `settled` the next run reads again; so that nothing older is skipped, a window
    with `settled` inside has one page.
    """

    def __init__(self, whole: Window, settled: datetime, pages: int) -> None:
        self._low, self._settled = whole.low, settled
        self._ahead: list[_Ahead] = []  # the nearest high last
        self._seconds_per_page = 0.0  # in the window that was asked for last
        self._pages_refused_last = 0
        self._unchanged_cuts = 0
        self.judge(whole, pages)

    @property
    def low(self) -> datetime:
        """Up to here windows have been taken."""
        return self._low

    @property
    def is_done(self) -> bool:
        """Whether the whole range has been taken."""
        return not self._ahead

    @property
    def is_suspicious(self) -> bool:
        """Whether windows were cut so often without becoming smaller that the API may ignore the
        range."""
        return self._unchanged_cuts >= UNCHANGED_CUTS

    def trust_again(self) -> None:
        """The API was asked again, and heeds the range."""
        self._unchanged_cuts = 0

    def next_window(self) -> Window:
        """The window to ask for now: all that is left before the nearest known high if that fits,
        else as much as would fit if rows came as they did last."""
        nearest = self._ahead[-1]
        seconds, high = (nearest.high - self._low).total_seconds(), nearest.high
        if nearest.pages > WINDOW_PAGES and seconds > NARROWEST_SECONDS:
            likely = max(TARGET_PAGES * self._seconds_per_page, NARROWEST_SECONDS)
            high = self._low + timedelta(seconds=int(min(likely, LARGEST_SHARE * seconds)))
        return Window(self._low, self._settled if self._low < self._settled < high else high)

    def judge(self, window: Window, pages: int) -> bool:
        """Takes a window of so many pages, or refuses it as too large. Where it is taken, the next
        one begins at its end."""
        self._seconds_per_page = window.seconds / pages
        if self._is_too_large(window, pages):
            self._unchanged_cuts = (
                self._unchanged_cuts + 1 if pages == self._pages_refused_last else 0
            )
            self._pages_refused_last = pages
            self._ahead.append(_Ahead(window.high, pages))
            return False
        if pages <= WINDOW_PAGES:
            self._unchanged_cuts = 0
        # A window's last page is half full, as a rule.
        self._ahead = [
            _Ahead(one.high, one.pages - pages + 0.5)
            for one in self._ahead
            if one.high > window.high
        ]
        self._low = window.high
        return True

    def _is_too_large(self, window: Window, pages: int) -> bool:
        if pages > WINDOW_PAGES and window.seconds > NARROWEST_SECONDS:
            return True
        return pages > 1 and window.low < self._settled < window.high


FetchWindow = Callable[[Window, PageParams], Page]


def read_windows(
    client: Client,
    stream: Stream,
    fetch: FetchWindow,
    planner: WindowPlanner,
    check_filter: Callable[[], None],
    first: tuple[Window, Page] | None = None,
) -> Iterator[Batch]:
    """Reads what a planner has left, window by window; the pages of the next are requested while
    those of one are used.

    `first` is a window that the planner has taken already, with its first page. `check_filter` is
    called where a window may not be what was asked for, and raises if so.
    """
    ended: set[Window] = set()
    requested = _requested_pages(client, fetch, planner, check_filter, first, ended)
    # The page that is waited for is one of those that may be on their way at once.
    requested = prefetch(requested, Load(requests=max(client.prefetch_depth - 1, 0)))
    # Neighbours share a few seconds: what both have is written once. A row that was edited between
    # the two has a date after `settled` now, and the next run reads it.
    shared: set[RowKey | None] = set()
    for window, group in itertools.groupby(requested, key=itemgetter(0)):
        reading = read_until_complete(
            client, stream, partial(fetch, window), (future.result() for _, future in group)
        )
        keys: set[RowKey | None] = set()
        for rows in reading:
            keyed = [(stream.key_of(row), row) for row in rows]
            keys.update(key for key, _ in keyed)
            yield Batch([row for key, row in keyed if key is None or key not in shared])
        ended.add(window)  # groupby is about to take what is left of its pages
        yield Batch([], completes=window, missing=reading.missing)
        shared = keys


def _requested_pages(
    client: Client,
    fetch: FetchWindow,
    planner: WindowPlanner,
    check_filter: Callable[[], None],
    first: tuple[Window, Page] | None,
    ended: Container[Window],
) -> Iterator[tuple[Window, Future[Page]]]:
    """Each page of each window, requested, up to where the window turns out to have `ended`. Its
    first page tells whether it is small enough; the next window's is requested before this one's
    other pages."""
    accepted = first
    window = None if planner.is_done else planner.next_window()
    while accepted or window:
        probe = client.submit(fetch, window, FIRST) if window else None
        if accepted:
            fetch_page = partial(fetch, accepted[0])
            for future in announced_pages(client, fetch_page, accepted[1]):
                yield accepted[0], future
                if accepted[0] in ended:
                    break
            accepted = None
        if not window or not probe:
            return
        page = probe.result()
        if planner.judge(window, page.page_count):
            accepted = (window, page)
        if planner.is_suspicious or (accepted and page.page_count > WINDOW_PAGES):
            check_filter()
            planner.trust_again()
        window = None if planner.is_done else planner.next_window()
