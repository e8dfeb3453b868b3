"""How a list is read: page by page or window by window, and a child's rows, embedded or listed.

Readers yield rows, and after each stretch of a list that is complete a Checkpoint.
"""

import collections
import itertools
from datetime import datetime, timedelta
from functools import partial
from operator import itemgetter
from typing import NamedTuple
from urllib.parse import parse_qsl, urlsplit

import singer

from tap_helpscout.client import TRIES
from tap_helpscout.dates import format_datetime as format_moment
from tap_helpscout.dates import seconds_before
from tap_helpscout.transport import ApiError

LOGGER = singer.get_logger()

WINDOW_PAGES = 20  # at most, so that a checkpoint comes often and no page is deep
AIM = 0.8  # of a window: a guess that is a little off is then not refused
MOST = 0.55  # of what cannot fit, or that would be asked for again and again
NARROWEST = 3  # seconds: any one second with its neighbours, whatever is in it
ALONE = 1000  # the weight of a listing that all others wait for
ROUNDS = 100  # how often a list that will not hold still is read
IDLE_ROUNDS = 5  # of these, how many in a row may bring nothing new


class Page(NamedTuple):
    """The rows of one answer; how many rows and pages the list has, None if it does not say."""

    rows: list
    pages: int | None
    total: int | None
    next: dict | None


class Checkpoint(NamedTuple):
    """All rows from `low` up to `high` have been yielded; `expected` is the number of rows that
    the whole range held when it was first asked for. None where a list has no windows."""

    low: datetime | None
    high: datetime
    expected: int | None = None


def listed(client, stream, context, end):
    """The rows of a list that is read whole, and a Checkpoint."""
    yield from _rows_of(client, stream, partial(_fetch, client, stream, context))
    yield Checkpoint(None, end)


def ahead(items, depth, weight=lambda item: 1):
    """The items of an iterator, taken from it so far ahead that `depth` in weight wait in line."""
    line, load = collections.deque(), 0
    for item in items:
        line.append(item)
        load += weight(item)
        while load > depth:
            load -= weight(line[0])
            yield line.popleft()
    yield from line


class Reach:
    """What to read of a list in windows, from `low` to `high`; it learns from each answer.

    In a closed window rows can only leave, being edited again. Only since `settled`, as late as
    the search index may lag, can they still come: a window of several pages that began before
    would not show that one came while another left, so none does.
    """

    def __init__(self, low, settled, high):
        self.low, self._settled, self.high = low, settled, high
        self._known = []  # [end, pages from low to end] of what was too large, the nearest end last
        self._seconds_per_page = None  # in what was asked for last

    def takes(self, window, pages):
        """Whether a window is to be read, going by the number of its pages; if so, the next
        begins where it ends."""
        low, high = window
        seconds = (high - low).total_seconds()
        self._seconds_per_page = seconds / pages
        if pages > WINDOW_PAGES and seconds > NARROWEST or pages > 1 and low < self._settled < high:
            self._known.append([high, pages])
            return False
        # A last page is half full, as a rule.
        self._known = [[end, left - pages + 0.5] for end, left in self._known if end > high]
        self.low = high
        return True

    def window(self):
        """The next one, in whole seconds: all that is left before the nearest known end if that
        fits, else as much as would, if rows came as they did last."""
        end, left = self._known[-1]
        seconds = (end - self.low).total_seconds()
        if left > WINDOW_PAGES and seconds > NARROWEST:
            likely = max(AIM * WINDOW_PAGES * self._seconds_per_page, NARROWEST)
            seconds = min(likely, MOST * seconds)
        end = self.low + timedelta(seconds=int(seconds))
        return self.low, self._settled if self.low < self._settled < end else end


def windows(client, stream, context, reach, embedding=None):
    """The rows changed within a Reach, each window's followed by its Checkpoint."""

    def fetch(window, extra=None):
        since, until = seconds_before(window[0], 1), window[1]
        bounds = {"since": format_moment(since), "until": format_moment(until)}
        return _fetch(client, stream, {**context, **bounds}, extra, embedding)

    # One less in line than are on their way, for the first of these is awaited.
    pages = ahead(_window_pages(client, fetch, reach), max(client.prefetch_depth - 1, 0))
    for (window, expected), group in itertools.groupby(pages, key=itemgetter(0)):
        yield from _rows_of(client, stream, partial(fetch, window), (page() for _, page in group))
        yield Checkpoint(*window, expected)


def _window_pages(client, fetch, reach):
    """((window, rows expected in all), page to call for) for each page of each window.

    A window's first page tells whether it is too large; if not, the next window's is asked for
    before this one's other pages, which it need not await.
    """
    expected, window = None, (reach.low, reach.high)
    probe = client.submit(fetch, window).result
    while window:
        page, asked = probe(), window
        expected = page.total if expected is None else expected
        is_taken = reach.takes(asked, page.pages or 1)
        window = reach.window() if reach.low < reach.high else None
        if window:
            probe = client.submit(fetch, window).result
        if is_taken:
            for coming in _pages_coming(client, partial(fetch, asked), page):
                yield (asked, expected), coming


def children(client, stream, context, parent, embedding):
    """(rows, weight): the children of a parent's row, on their way already, and how much of the
    client they keep busy: 1 is a request, more than any depth means to wait for it."""
    rows = embedding.rows(parent)
    if embedding.trusts(rows):
        return rows, 0.05 * len(rows)  # little work, but memory all the same
    fetch = partial(_fetch, client, stream, context)
    return (
        _listed_below(client, stream, fetch, client.submit(fetch).result, embedding, parent),
        ALONE if embedding.may_prove(rows) else 1,
    )


def _listed_below(client, stream, fetch, first, embedding, parent):
    page, embedded, ids = first(), embedding.rows(parent), set()
    if embedding.is_proven and 0 < len(embedded) == page.total:
        yield from embedded  # all of them, then: nothing was cut off
        return
    for row in _rows_of(client, stream, fetch, _pages(client, fetch, _done(page))):
        ids.add(row.get("id"))
        yield row
    embedding.learn(parent, ids)


class Embedding:
    """Whether the children that come inside their parents' list are believed, in one run.

    They are when one listing that could have told has matched them, id for id. Even then a list
    as long as the longest seen may have been cut at that length: such a one is compared again.
    """

    def __init__(self, embed):
        self.name, self._embed = embed and embed.name, embed
        self.is_proven, self._is_off, self._has_worked = False, not embed, False
        self._failures, self._longest = 0, 0

    def fetch(self, get):
        """The answer of get(params, tries) with the embed, or without where it fails with it."""
        if self._is_off:
            return get({}, TRIES)
        try:
            body = get({"embed": self.name}, TRIES if self._has_worked else 3)
            self._has_worked = True
        except ApiError as error:
            body = get({}, TRIES)  # raises if the embed is not what is wrong
            self._failures += 1
            if not self._has_worked or self._failures >= 3:
                self._turn_off(f"the API fails with it: {error}")
        return body

    def see(self, parents):
        """Takes note of what is embedded in the rows of a page, before any of it is used."""
        self._longest = max([self._longest, *(len(self._sent(parent)) for parent in parents)])

    def rows(self, parent):
        """What was embedded, none if it cannot be all."""
        rows = self._sent(parent)
        return rows if not self._is_off and self._embed.is_whole(parent, rows) else []

    def trusts(self, rows):
        """Whether embedded rows are used without a listing."""
        return self.is_proven and 0 < len(rows) < self._longest

    def may_prove(self, rows):
        """Whether their listing would decide, for all that follow, if the embed is believed."""
        return not self.is_proven and bool(rows) and self._embed.is_telling(rows)

    def learn(self, parent, listed_ids):
        """Compares what a parent's listing brought with what was embedded."""
        rows = self.rows(parent)
        embedded_ids = {row.get("id") for row in rows}
        if rows and embedded_ids != listed_ids:
            self._turn_off(
                f"{len(embedded_ids)} came with parent {parent['id']}, {len(listed_ids)} are listed"
            )
        elif self.may_prove(rows):
            self.is_proven = True
            LOGGER.info("embedded %s match a listing: from here on they are used", self.name)

    def _sent(self, parent):
        embedded = parent.get("_embedded")
        rows = embedded.get(self.name) if isinstance(embedded, dict) else None
        is_list = isinstance(rows, list) and all(isinstance(row, dict) for row in rows)
        return rows if is_list else []

    def _turn_off(self, why):
        if not self._is_off:
            self._is_off = True
            LOGGER.warning(
                "embedded %s are not used in this run (%s): each parent's are listed, "
                "which takes a request each",
                self.name,
                why,
            )


def _rows_of(client, stream, fetch, pages=None):
    """The rows of one list, none twice; its `pages` may be on their way. It is read again while a
    row may have slipped from one page to another: the number of rows changed meanwhile, or fewer
    came than there are, for rows of one date may be listed in another order each time."""
    pages = pages or _pages(client, fetch)
    seen, here, idle, last = set(), set(), 0, None
    for _ in range(ROUNDS):
        totals, keys, before = set(), [], len(seen)
        for page in pages:
            totals.add(page.total)
            for row in page.rows:
                key = tuple(row.get(name) for name in stream.identity)
                # Where nothing tells a row apart its place has to.
                keys.append(len(keys) if None in key else key)
                if keys[-1] not in seen:
                    seen.add(keys[-1])
                    yield row
        if totals != last:
            here = set()  # what has come while this was the total
        here.update(keys)
        missing = max(total or 0 for total in totals) - len(here)
        if len(totals) == 1 and missing <= 0:
            return
        idle = idle + 1 if len(totals) == 1 and len(seen) == before else 0
        # Where none came twice, the API may count rows that it does not list.
        if idle >= (1 if totals == last and len(keys) == len(set(keys)) else IDLE_ROUNDS):
            LOGGER.warning(
                "%s: the API counts %d more rows than it lists", stream.tap_stream_id, missing
            )
            return
        LOGGER.info("%s: rows moved while they were read, reading again", stream.tap_stream_id)
        pages, last = _pages(client, fetch), totals
    raise ApiError(f"the list {stream.path} changed {ROUNDS} times in a row while it was read")


def _pages(client, fetch, first=None):
    for page in ahead(_pages_coming(client, fetch, (first or fetch)()), client.prefetch_depth):
        yield page()


def _pages_coming(client, fetch, page):
    """What to call for each of a list's pages, asked for already: by number where the first says
    how many there are, else link by link."""
    yield _done(page)
    if page.pages:
        for number in range(2, page.pages + 1):
            yield client.submit(fetch, {"page": number}).result
        return
    asked = None
    while page.rows and page.next and page.next != asked:
        asked = page.next
        page = fetch(asked)
        yield _done(page)


def _done(page):
    return lambda: page


def _fetch(client, stream, context, extra=None, embedding=None):
    path = stream.path.format(**context)
    params = {name: value.format(**context) for name, value in stream.params.items()}

    def get(embed, tries):
        return client.get(path, {**params, **embed, **(extra or {})}, tries)

    body = embedding.fetch(get) if embedding else get({}, TRIES)
    page = _page(stream, body, (extra or {}).get("page"))
    if embedding:
        embedding.see(page.rows)
    return page


def _page(stream, body, number=None):
    """Any of the API's shapes: HAL, a report, a bare array, a single object; `number` is that of a
    page which was asked for because the list's first page announced it."""
    if stream.rows is None:
        rows = body if isinstance(body, list) else [body]
        return Page(rows, 1, len(rows), None)
    body = body if isinstance(body, dict) else {}
    meta = body.get("page")
    if not isinstance(meta, dict):  # reports say it in the answer itself
        meta = {"totalPages": body.get("pages"), "totalElements": body.get("count")}
    embedded = body.get("_embedded")
    rows = (embedded if isinstance(embedded, dict) else body).get(stream.rows)
    # An empty list has no `_embedded`, nor has a page that is past the end by now.
    is_empty = not meta.get("totalElements") or (
        isinstance(number, int) and number > (meta.get("totalPages") or 0)
    )
    if rows is None and not embedded and is_empty and body.keys() & {"page", "_links"}:
        rows = []
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise ApiError(f"GET {stream.path} answered without a list of {stream.rows!r}")
    following = (body.get("_links") or {}).get("next") or {}
    return Page(
        rows,
        meta.get("totalPages"),
        meta.get("totalElements"),
        dict(parse_qsl(urlsplit(following.get("href", "")).query)) or None,
    )
