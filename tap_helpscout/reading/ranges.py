"""Ranges of modification time: how a long list is read from one datetime to another.

The plain list is asked for first; if that is the whole list, nothing else is needed. A longer one
is read in windows where probes have shown that the closed date filter works, else the plain way.
"""

from collections.abc import Iterator
from datetime import datetime
from functools import partial

import singer

from tap_helpscout.client import Client
from tap_helpscout.reading.batches import Batch, Window
from tap_helpscout.reading.completeness import all_pages
from tap_helpscout.reading.embeds import EmbedVerifier
from tap_helpscout.reading.pages import Page, PageParams
from tap_helpscout.reading.plain import read_newest_first
from tap_helpscout.reading.probes import (
    NEWEST_FIRST,
    Ask,
    DateFilterStopped,
    FilterFinding,
    check_dates,
    check_empty_ranges,
    list_has_hidden_rows,
    probe_date_filter,
    range_params,
    since_params,
)
from tap_helpscout.reading.requests import ListRequests, Params
from tap_helpscout.reading.windows import WindowPlanner, read_windows
from tap_helpscout.streams import Stream
from tap_helpscout.words import in_words

LOGGER = singer.get_logger()

# Measured: a list in windows takes so many times its pages, with probes and windows that were
# refused.
USUAL_REQUESTS_PER_PAGE = 1.1


class RangeReader:
    """Reads ranges of one list, and finds out first how that may be done on this account.

    `scope` is what the list is asked for with beside the stream's own parameters.
    """

    def __init__(
        self,
        client: Client,
        stream: Stream,
        verifier: EmbedVerifier | None,
        settled: datetime,
        scope: Params | None = None,
    ) -> None:
        self._client, self._stream, self._settled = client, stream, settled
        self._verifier = verifier
        params = {**stream.params, **(scope or {})}
        self._list = ListRequests(client, stream, verifier, params)
        # The rows that the list may leave out, as a list of their own.
        self._hidden_list = self._list.and_params(stream.hidden.params) if stream.hidden else None
        # A filter that holds for one of the two may not hold for the other.
        self._filters: dict[ListRequests, FilterFinding] = {}
        self.counted: int | None = None
        """How many rows the API counted in what is read for the range, before it was read."""
        self._page_size = 1

    # -- what a run and --check find out ---------------------------------------------------------

    def first_page(self, window: Window) -> Page:
        """The first page of what was modified since the window's low, oldest first."""
        first = self._list.page(since_params(window.low))
        self.counted = first.total  # to tell how far a run is, long before the last batch
        self._page_size = first.size or 1
        return first

    def requests_for(self, rows: int) -> float:
        """About how many requests so many further rows will take, with what is embedded in them."""
        children = self._verifier.requests_for(rows) if self._verifier else 0
        return self.page_requests_for(rows) + children

    def page_requests_for(self, rows: int) -> float:
        """The same without what is embedded."""
        return rows / self._page_size * USUAL_REQUESTS_PER_PAGE

    def ask_since(self, low: datetime) -> Ask:
        """Asks for the first page of what was modified since then, with more parameters."""
        return self._list.and_params(since_params(low)).probe

    def date_filter(self, first: Page, window: Window) -> FilterFinding:
        """Whether windows may be used; asked for once. `first` is the plain list's first page."""
        return self._date_filter(self._list, first, window)

    def _date_filter(self, requests: ListRequests, first: Page, window: Window) -> FilterFinding:
        known = self._filters.get(requests)
        if known:
            return FilterFinding(known.holds, known.words)
        found = probe_date_filter(requests.probe_together, first, window)
        self._filters[requests] = found
        return found

    def hidden_rows(self, window: Window, first: Page) -> Page | None:
        """The first page of the rows that the list leaves out; None where there are none, or where
        one of them is found in the list, of which `first` is the first page."""
        hidden = self._stream.hidden
        if not hidden or not self._hidden_list:
            return None
        rows = self._hidden_list.page(since_params(window.low))
        if not rows.rows or list_has_hidden_rows(self._list.probe, hidden, rows, first):
            return None
        return rows

    def sample_pages(self, window: Window, first: Page, number: int) -> list[Page]:
        """So many pages spread over a list, of which `first` is the first; fewer where it does not
        give them."""
        params = since_params(window.low)
        step = max(first.page_count // number, 1)
        numbers = range(1 + step, first.page_count + 1, step)[: number - 1]
        return [first, *(self._list.page_if_there(params, page) for page in numbers)]

    # -- how it is read --------------------------------------------------------------------------

    def read(self, window: Window) -> Iterator[Batch]:
        """All rows modified within a range, and perhaps later ones.

        Raises ApiError where not every row can be read.
        """
        first = self.first_page(window)
        hidden = self._client.submit(self.hidden_rows, window, first)
        finding = None if first.is_whole_list else self.date_filter(first, window)
        yield from self._read_hidden(window, hidden.result())
        if finding:
            yield from self._read_long(self._list, window, finding)
        else:
            yield Batch(first.rows, completes=window)

    def _read_hidden(self, window: Window, rows: Page | None) -> Iterator[Batch]:
        """The rows that the list leaves out, of which `rows` is the first page."""
        hidden, requests = self._stream.hidden, self._hidden_list
        if not hidden or not requests or not rows:
            return
        LOGGER.warning(
            "%s: %s is not in the list with %s: it is read as a list of its own%s",
            self._stream.tap_stream_id,
            hidden.name,
            self._stream.params,
            "" if rows.total is None else f", {in_words(rows.total, 'row')}",
        )
        if rows.is_whole_list:
            yield Batch(rows.rows)
            return
        finding = self._date_filter(requests, rows, window)
        yield from _without_ends(self._read_long(requests, window, finding))

    def read_edited(self, end: datetime) -> Iterator[Batch]:
        """What was modified near the run's start `end` and after it, where windows were read: a row
        that is edited may leave its window before that is read, and is in no other window then.

        Raises ApiError where not every row can be read.
        """
        if not any(finding.holds for finding in self._filters.values()):
            return
        window = Window(self._settled, end)
        yield from _without_ends(self._read_plain(self._list, window))
        if self._hidden_list:
            yield from _without_ends(self._read_plain(self._hidden_list, window))

    def _read_long(
        self, requests: ListRequests, window: Window, finding: FilterFinding
    ) -> Iterator[Batch]:
        if finding.holds:
            try:
                yield from self._read_in_windows(requests, window, finding.page)
                return
            except DateFilterStopped as stopped:
                finding = self._filters[requests] = FilterFinding(False, str(stopped))
                yield Batch([], reopens=window)
        LOGGER.warning(
            "%s: the date filter `query` cannot be relied on (%s): the list is read page after "
            "page by `modifiedSince` alone, which is complete and takes longer",
            self._stream.tap_stream_id,
            finding.words,
        )
        yield from self._read_plain(requests, window)

    def _read_in_windows(
        self, requests: ListRequests, window: Window, page: Page | None
    ) -> Iterator[Batch]:
        """Raises DateFilterStopped where the filter turns out not to work."""
        page = page or requests.page(range_params(window))
        if requests is self._list:
            self.counted = page.total  # without what was modified after the range
        planner = WindowPlanner(window, self._settled, page.page_count)
        rows_read = 0
        for batch in read_windows(
            self._client,
            self._stream,
            partial(self._page_of_window, requests),
            planner,
            partial(check_empty_ranges, requests.probe_together),
            first=(window, page) if planner.is_done else None,
        ):
            rows_read += len(batch.rows)
            yield batch
        if rows_read < (page.total or 0):
            _check_shortfall(requests, window, rows_read)

    def _page_of_window(
        self, requests: ListRequests, window: Window, page_params: PageParams
    ) -> Page:
        page = requests.page(range_params(window), page_params)
        check_dates(page, window, self._settled)
        return page

    def _read_plain(self, requests: ListRequests, window: Window) -> Iterator[Batch]:
        since = {**since_params(window.low), **NEWEST_FIRST}
        later = {**since_params(window.high), **NEWEST_FIRST}
        reading = read_newest_first(
            self._stream,
            partial(requests.page_if_there, since),
            lambda: all_pages(partial(requests.page, later), [requests.page(later)]),
        )
        for rows in reading:
            yield Batch(rows)
        yield Batch([], completes=window, missing=reading.missing)


def _without_ends(batches: Iterator[Batch]) -> Iterator[Batch]:
    """The rows alone: no bookmark moves after them."""
    for batch in batches:
        yield Batch(batch.rows, missing=batch.missing)


def _check_shortfall(requests: ListRequests, window: Window, rows_read: int) -> None:
    """Windows have brought fewer rows than were counted before: rows that were edited or deleted
    meanwhile, if the other filter counts no more than came. Raises DateFilterStopped if it does,
    also where both count a row that no list has: the plain way tells, at the cost of reading the
    range again."""
    since, later = (requests.probe(since_params(low)).total for low in (window.low, window.high))
    if since is not None and later is not None and since - later > rows_read:
        raise DateFilterStopped(
            f"windows brought {in_words(rows_read, 'row')} of {since - later} that modifiedSince "
            "counts"
        )
