"""Ranges of modification time: how a long list is read from one datetime to another.

The plain list is asked for first; if that is the whole list, nothing else is needed. A longer one
is read in windows where probes have shown that the closed date filter works, else the plain way.
"""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Any

import singer

from tap_helpscout.client import TRIES, Client
from tap_helpscout.reading.completeness import all_pages
from tap_helpscout.reading.embeds import EmbedVerifier
from tap_helpscout.reading.pages import FIRST, Page, PageParams, fetch_if_there, parse_page
from tap_helpscout.reading.plain import read_newest_first
from tap_helpscout.reading.probes import (
    NEWEST_FIRST,
    OLDEST_FIRST,
    PROBE_TRIES,
    Ask,
    AskTogether,
    DateFilterStopped,
    FilterFinding,
    check_dates,
    check_empty_ranges,
    list_has_hidden_rows,
    probe_date_filter,
    range_params,
    since_params,
)
from tap_helpscout.reading.windows import Batch, Window, WindowPlanner, read_windows
from tap_helpscout.streams import Stream
from tap_helpscout.transport import ApiError

LOGGER = singer.get_logger()

# Chosen: a list takes about a request a page. So many times as many, and then some for probes and
# the search for small windows, is more than any list needs that is merely edited while it is read.
REQUESTS_PER_PAGE = 10
MORE_REQUESTS = 300

Params = Mapping[str, str]


class RequestBound:
    """A bound on the requests for one list, so that nothing that the API does goes on for ever."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._sent = itertools.count(1)
        self._pages = 1

    def count(self) -> None:
        """Another request is to be sent. Raises ApiError where there were too many."""
        bound = REQUESTS_PER_PAGE * self._pages + MORE_REQUESTS
        if next(self._sent) > bound:
            raise ApiError(
                f"GET {self._stream.path} was asked {bound} times for a list of {self._pages} "
                "pages, and is still not complete"
            )

    def note(self, page: Page) -> None:
        """Takes note of how long the list is."""
        if page.rows:
            self._pages = max(self._pages, page.page_count, page.number)


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
        self._client, self._stream, self._verifier = client, stream, verifier
        self._params: Params = {**stream.params, **(scope or {})}
        self._settled = settled
        self._filter: FilterFinding | None = None
        self._bound = RequestBound(stream)
        self.counted: int | None = None
        """How many rows the API counted in the range when it was first asked for."""

    def read(self, window: Window) -> Iterator[Batch]:
        """All rows modified within a range, and perhaps later ones.

        Raises ApiError where not every row can be read.
        """
        params = self._params
        first = self.first_page(window)
        hidden = self._client.submit(self.hidden_rows, window, first)
        finding = None if first.is_whole_list else self.date_filter(params, first, window)
        yield from self._read_hidden(window, hidden.result())
        if finding:
            yield from self._read_long(params, window, finding)
        else:
            yield Batch(first.rows, completes=window)

    def first_page(self, window: Window) -> Page:
        """The first page of what was modified since the window's low, oldest first."""
        params = {**self._params, **OLDEST_FIRST, **since_params(window.low)}
        first = self._fetch(params, FIRST)
        self.counted = first.total  # to tell how far a run is, long before the last batch
        return first

    def ask_since(self, low: datetime) -> Ask:
        """Asks for the first page of what was modified since then, with more parameters."""
        return self._ask({**self._params, **OLDEST_FIRST, **since_params(low)})

    def hidden_rows(self, window: Window, first: Page) -> Page | None:
        """The first page of the rows that the list leaves out; None where there are none, or where
        one of them is found in the list, of which `first` is the first page."""
        hidden = self._stream.hidden
        if not hidden:
            return None
        params = {**self._params, **hidden.params, **OLDEST_FIRST}
        rows = self._fetch({**params, **since_params(window.low)}, FIRST)
        if not rows.rows or list_has_hidden_rows(self._ask(self._params), hidden, rows, first):
            return None
        return rows

    def sample_pages(self, window: Window, first: Page, number: int) -> list[Page]:
        """So many pages spread over a list, of which `first` is the first; fewer where it does not
        give them."""
        params = {**self._params, **OLDEST_FIRST, **since_params(window.low)}
        step = max(first.page_count // number, 1)
        pages = [first]
        for page in range(1 + step, first.page_count + 1, step):
            pages.append(fetch_if_there(partial(self._fetch, params), {"page": page}))
            if len(pages) >= number:
                break
        return pages

    def _read_hidden(self, window: Window, rows: Page | None) -> Iterator[Batch]:
        """The rows that the list leaves out, of which `rows` is the first page."""
        hidden = self._stream.hidden
        if not hidden or not rows:
            return
        LOGGER.warning(
            "%s: %s is not in the list with %s: it is read as a list of its own, %s rows",
            self._stream.tap_stream_id,
            hidden.name,
            self._stream.params,
            rows.total,
        )
        if rows.is_whole_list:
            yield Batch(rows.rows)
            return
        params = {**self._params, **hidden.params}
        for batch in self._read_long(params, window, self.date_filter(params, rows, window)):
            yield Batch(batch.rows, missing=batch.missing)

    def read_edited(self, end: datetime) -> Iterator[Batch]:
        """What was modified near the run's start `end` and after it, where windows were read: a row
        that is edited may leave its window before that is read, and is in no other window then.

        Raises ApiError where not every row can be read.
        """
        if not (self._filter and self._filter.holds):
            return
        params = self._params
        hidden = [{**params, **self._stream.hidden.params}] if self._stream.hidden else []
        for each in (params, *hidden):
            for batch in self._read_plain(each, Window(self._settled, end)):
                yield Batch(batch.rows, missing=batch.missing)

    def _read_long(self, params: Params, window: Window, finding: FilterFinding) -> Iterator[Batch]:
        if finding.holds:
            try:
                yield from self._read_in_windows(params, window, finding.page)
                return
            except DateFilterStopped as stopped:
                finding = self._filter = FilterFinding(False, str(stopped))
                yield Batch([], reopens=window)
        LOGGER.warning(
            "%s: the date filter `query` cannot be relied on (%s): the list is read page after "
            "page by `modifiedSince` alone, which is complete and takes longer",
            self._stream.tap_stream_id,
            finding.words,
        )
        yield from self._read_plain(params, window)

    def date_filter(self, params: Params, first: Page, window: Window) -> FilterFinding:
        """Whether windows may be used; asked for once. `first` is the plain list's first page."""
        if self._filter is None:
            self._filter = probe_date_filter(self._ask_together(params), first, window)
            return self._filter
        return FilterFinding(self._filter.holds, self._filter.words)

    def _read_in_windows(
        self, params: Params, window: Window, page: Page | None
    ) -> Iterator[Batch]:
        """Raises DateFilterStopped where the filter turns out not to work."""
        page = page or self._fetch({**params, **OLDEST_FIRST, **range_params(window)}, FIRST)
        planner = WindowPlanner(window, self._settled, page.page_count)
        rows_read = 0
        for batch in read_windows(
            self._client,
            self._stream,
            partial(self._fetch_in_window, params),
            planner,
            partial(check_empty_ranges, self._ask_together(params)),
            first=(window, page) if planner.is_done else None,
        ):
            rows_read += len(batch.rows)
            yield batch
        if rows_read < (page.total or 0):
            self._check_shortfall(params, window, rows_read)

    def _check_shortfall(self, params: Params, window: Window, rows_read: int) -> None:
        """Windows have brought fewer rows than were counted before: rows that were edited or
        deleted meanwhile, if the other filter counts no more than came."""
        ask = self._ask({**params, **OLDEST_FIRST})
        since, later = (ask(since_params(low)).total for low in (window.low, window.high))
        if since is not None and later is not None and since - later > rows_read:
            raise DateFilterStopped(
                f"windows brought {rows_read} rows of {since - later} that modifiedSince counts"
            )

    def _fetch_in_window(self, params: Params, window: Window, page_params: PageParams) -> Page:
        page = self._fetch({**params, **OLDEST_FIRST, **range_params(window)}, page_params)
        check_dates(page, window, self._settled)
        return page

    def _read_plain(self, params: Params, window: Window) -> Iterator[Batch]:
        list_params = {**params, **NEWEST_FIRST, **since_params(window.low)}
        later = {**params, **NEWEST_FIRST, **since_params(window.high)}

        def page(number: int) -> Page:
            if number == 1:
                return self._fetch(list_params, FIRST)
            return fetch_if_there(partial(self._fetch, list_params), {"page": number})

        def later_pages() -> Iterator[Page]:
            fetch = partial(self._fetch, later)
            return all_pages(fetch, [fetch(FIRST)])

        reading = read_newest_first(self._stream, page, later_pages)
        for rows in reading:
            yield Batch(rows)
        yield Batch([], completes=window, missing=reading.missing)

    def _ask(self, params: Params) -> Ask:
        def ask(more: Params) -> Page:
            return self._fetch({**params, **more}, FIRST, PROBE_TRIES)

        return ask

    def _ask_together(self, params: Params) -> AskTogether:
        def ask(each: Sequence[Params]) -> list[Page]:
            pages = [self._client.submit(self._ask(params), more) for more in each]
            return [page.result() for page in pages]

        return ask

    def _fetch(self, params: Params, page_params: PageParams, tries: int = TRIES) -> Page:
        def get(embed: Params, embed_tries: int) -> Any:
            self._bound.count()
            all_params = {**params, **embed, **page_params}
            return self._client.get(self._stream.path, all_params, min(tries, embed_tries))

        body = self._verifier.fetch(get, tries) if self._verifier else get({}, tries)
        page = parse_page(self._stream, body, page_params)
        self._bound.note(page)
        if self._verifier:
            self._verifier.note_page(page.rows)
        return page
