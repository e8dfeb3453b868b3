"""How a list is read: page by page or window by window, and a child's rows, embedded or listed.

Readers yield rows, and after each stretch of a list that is complete a Checkpoint.
"""

import itertools
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from operator import itemgetter
from types import SimpleNamespace
from typing import Optional
from urllib.parse import parse_qsl, urlsplit

import singer

from tap_helpscout.client import (
    TRIES, ApiError, UnauthorizedError, ahead)
from tap_helpscout.transform import format_moment

LOGGER = singer.get_logger()

WINDOW_PAGES = 16  # at most, so that a checkpoint comes often and no page is deep
AIM = 0.8  # of a window: a guess that is a little off is then not refused
NARROWEST = timedelta(seconds=3)  # holds any one second with its neighbours, whatever is in it
ROUNDS = 100  # how often a list that will not hold still is read


@dataclass(frozen=True)
class Page:
    """The rows of one answer; how many rows and pages the list has, None if it does not say."""
    rows: list
    pages: Optional[int]
    total: Optional[int]
    next: Optional[dict]


@dataclass(frozen=True)
class Checkpoint:
    """All rows from `low` up to `high` have been yielded; `expected` is the number of rows that
    the whole range held when it was first asked for. None where a list has no windows."""
    low: Optional[datetime]
    high: datetime
    expected: Optional[int] = None


def listed(client, stream, context, end):
    """The rows of a list that is read whole, and a Checkpoint."""
    yield from _rows_of(client, stream, partial(_fetch, client, stream, context))
    yield Checkpoint(None, end)


@dataclass(frozen=True)
class Reach:
    """What to read of a list in windows: from `low` to `high`.

    In a closed window rows can only leave, being edited again. Only since `settled`, as late as
    the search index may lag, can they still come: a window of several pages that began before
    would not show that one came while another left, so none does.
    """
    low: datetime
    settled: datetime
    high: datetime

    def window(self, low, width):
        """(low, end): so wide at most, in whole seconds, not across `settled`."""
        end = min(low + timedelta(seconds=int(width.total_seconds())), self.high)
        return low, self.settled if low < self.settled < end else end


def windows(client, stream, context, reach, embedding=None):
    """The rows changed within a Reach, each window's followed by its Checkpoint."""
    def fetch(window, extra=None):
        since, until = window[0] - timedelta(seconds=1), window[1]
        bounds = {"since": format_moment(since), "until": format_moment(until)}
        return _fetch(client, stream, {**context, **bounds}, extra, embedding)

    pages = ahead(_window_pages(client, fetch, reach), client.depth)
    for (window, expected), group in itertools.groupby(pages, key=itemgetter(0)):
        first_round = (future.result() for _, future in group)
        yield from _rows_once(stream, first_round, embedding,
                              lambda window=window: _pages(client, partial(fetch, window)))
        yield Checkpoint(*window, expected)


def _window_pages(client, fetch, reach):
    """((window, rows expected in all), future of a page) for each page of each window.

    A window's first page tells whether it is too large; if not, the next window's is asked for
    before this one's other pages, which it need not await.
    """
    expected, window = None, (reach.low, reach.high)
    probe = client.submit(fetch, window)
    while window:
        page, done, (low, high) = probe.result(), window, window
        pages, width = page.pages or 1, high - low
        expected = page.total if expected is None else expected
        ideal = max(width * min(AIM * WINDOW_PAGES / pages, 4), NARROWEST)
        if pages > WINDOW_PAGES and width > NARROWEST:
            window, done = reach.window(low, ideal), None
        elif pages > 1 and low < reach.settled < high:
            window, done = (low, reach.settled), None
        else:
            window = reach.window(high, ideal) if high < reach.high else None
        if window:
            probe = client.submit(fetch, window)
        if done:
            for future in _page_futures(client, partial(fetch, done), page):
                yield (done, expected), future


def children(client, stream, context, parent, embedding):
    """(rows, weight): one parent's rows of a child stream, already on their way, and how much of
    the client they keep busy: 1 is a request, more than any depth means to wait for it."""
    if embedding:
        embedded = embedding.trusted(parent)
        if embedded is not None:
            return embedded, 0.1
    fetch = partial(_fetch, client, stream, context)
    rows = _rows_of(client, stream, fetch, client.submit(fetch))
    if embedding and embedding.is_in_doubt(parent):
        return embedding.checked(parent, rows, context["end"]), 1 if embedding.proven else 1000
    return rows, 1


class Embedding:
    """Whether the children that come inside their parents' list are believed, in one run.

    They are when one listing that could have told has matched them, id for id. Even then a list
    as long as the longest seen may have been cut at that length, and is compared; a shorter one
    was not cut.
    """

    def __init__(self, embed):
        self.name, self._embed = embed.name, embed
        self.proven, self._off, self._worked, self._failures, self._longest = (
            False, False, False, 0, 0)

    def fetch(self, get):
        """The answer of get(params, tries) with the embed, or without where it fails with it."""
        if not self._off:
            try:
                body = get({"embed": self.name}, TRIES if self._worked else 3)
                self._worked = True
                return body
            except UnauthorizedError:
                raise
            except ApiError as error:
                body = get({}, TRIES)  # raises if the embed is not what is wrong
                self._failures += 1
                if not self._worked or self._failures >= 3:
                    self._turn_off(f"the API fails with it: {error}")
                return body
        return get({}, TRIES)

    def see(self, parents):
        """Takes note of how long embedded lists are; called before any of these is trusted."""
        self._longest = max([self._longest, *(len(self._rows(parent)) for parent in parents)])

    def trusted(self, parent):
        """The embedded rows, None if they must be listed."""
        rows = self._rows(parent)
        if not self._off and self.proven and len(rows) < self._longest and (
                self._embed.is_whole(parent, rows)):
            return rows
        return None

    def is_in_doubt(self, parent):
        """Whether to compare this parent's listing with what was embedded."""
        return not self._off and self._embed.is_whole(parent, self._rows(parent))

    def checked(self, parent, rows, run_start):
        """The listed rows as they come, compared at the end with the embedded ones."""
        def ids(rows):
            # What came after the run began is no fault of the embed.
            return {row.get("id") for row in rows if str(row.get("createdAt")) < run_start}

        seen = []
        for row in rows:
            seen.append(row)
            yield row
        if ids(seen) != ids(self._rows(parent)):
            self._turn_off(f"{len(self._rows(parent))} came with parent {parent.get('id')}, "
                           f"{len(seen)} are listed")
        elif self._embed.is_telling(seen) and not self.proven and not self._off:
            self.proven = True
            LOGGER.info("embedded %s match a listing: from here on they are used", self.name)

    def _rows(self, parent):
        return (parent.get("_embedded") or {}).get(self.name) or []

    def _turn_off(self, why):
        if not self._off:
            self._off = True
            LOGGER.warning("embedded %s are not used in this run (%s): each parent's are listed, "
                           "which takes a request each", self.name, why)


def _rows_of(client, stream, fetch, first=None):
    """The rows of one list, the future of whose first page may be on its way."""
    return _rows_once(stream, _pages(client, fetch, first), None, lambda: _pages(client, fetch))


def _rows_once(stream, pages, embedding, again):
    """The rows of all pages, none twice; while their number changes between two pages, a row may
    have slipped from one to the other, so the list is read again."""
    seen = set()
    for _ in range(ROUNDS):
        totals = set()
        for page in pages:
            totals.add(page.total)
            if embedding:
                embedding.see(page.rows)
            for row in page.rows:
                key = tuple(row.get(name) for name in stream.identity)
                if None in key:
                    yield row
                elif key not in seen:
                    seen.add(key)
                    yield row
        if len(totals) <= 1:
            return
        LOGGER.info("%s: rows moved while they were read, reading again", stream.tap_stream_id)
        pages = again()
    raise ApiError(f"the list {stream.path} changed {ROUNDS} times in a row while it was read")


def _pages(client, fetch, first=None):
    page = first.result() if first else fetch()
    for future in ahead(_page_futures(client, fetch, page), client.depth):
        yield future.result()


def _page_futures(client, fetch, page):
    """Futures of a list's pages: by number where the first says how many, else link by link."""
    yield _done(page)
    if page.pages:
        for number in range(2, page.pages + 1):
            yield client.submit(fetch, {"page": number})
        return
    asked = None
    while page.rows and page.next and page.next != asked:
        asked = page.next
        page = fetch(asked)
        yield _done(page)


def _done(page):
    return SimpleNamespace(result=lambda: page)


def _fetch(client, stream, context, extra=None, embedding=None):
    path = stream.path.format(**context)
    params = {name: value.format(**context) for name, value in stream.params.items()}

    def get(embed, tries):
        return client.get(path, {**params, **embed, **(extra or {})}, tries)

    return _page(stream, embedding.fetch(get) if embedding else get({}, TRIES))


def _page(stream, body):
    """Any of the API's shapes: HAL, a report, a bare array, a single object."""
    if stream.rows is None:
        rows = body if isinstance(body, list) else [body]
        return Page(rows, 1, len(rows), None)
    if not isinstance(body, dict):
        raise ApiError(f"GET {stream.path} answered with something that is not a list")
    meta = body.get("page")
    if not isinstance(meta, dict):  # reports say it in the answer itself
        meta = {"totalPages": body.get("pages"), "totalElements": body.get("count")}
    embedded = body.get("_embedded")
    rows = (embedded if isinstance(embedded, dict) else body).get(stream.rows)
    if rows is None and not embedded and not meta.get("totalElements") and (
            "page" in body or "_links" in body):
        rows = []  # an empty list has no `_embedded`
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise ApiError(f"GET {stream.path} answered without a list of {stream.rows!r}")
    following = (body.get("_links") or {}).get("next") or {}
    return Page(rows, meta.get("totalPages"), meta.get("totalElements"),
                dict(parse_qsl(urlsplit(following.get("href", "")).query)) or None)
