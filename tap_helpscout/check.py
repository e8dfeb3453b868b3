"""`--check`: what works on an account, whether it will be complete, how long a first sync takes.

It asks what a run asks before it trusts something, and at most some 60 requests on an account of
any size. No name, address or token is in its lines: they may go into a bug report.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from functools import partial
from typing import Any

import singer

from tap_helpscout.client import Client
from tap_helpscout.config import Config
from tap_helpscout.dates import EARLIEST, format_datetime, seconds_before
from tap_helpscout.progress import estimated_seconds, in_words
from tap_helpscout.reading.completeness import read_until_complete
from tap_helpscout.reading.days import beginning_of_day, days_between, fetch_day, first_day
from tap_helpscout.reading.embeds import Comparison, EmbedState, EmbedVerifier
from tap_helpscout.reading.lists import fetch_listed
from tap_helpscout.reading.pages import Page
from tap_helpscout.reading.probes import Ask
from tap_helpscout.reading.ranges import RangeReader
from tap_helpscout.reading.windows import Window
from tap_helpscout.scope import Scope
from tap_helpscout.stream_run import Context, StreamRun, plan_run
from tap_helpscout.streams import MAILBOX_LIST, Row, Stream, children_of
from tap_helpscout.transport import ApiError, HelpScoutError

LOGGER = singer.get_logger()

# Our choice, to stay below some 60 requests: how many pages of a long list are looked at for what
# its rows are like, how many listings are compared, of how many parents the children are counted.
SAMPLE_PAGES = 8
COMPARED_PARENTS = 3
COUNTED_PARENTS = 3
# Our choice, for the same reason: of how many inboxes rows are counted where each is read by
# itself.
COUNTED_MAILBOXES = 3
# Measured: a list in windows takes so many times its pages, with probes and windows that were
# refused; and a parent whose children are listed takes so many requests.
REQUESTS_PER_PAGE = 1.1
REQUESTS_PER_LISTING = 1.2


class Status(Enum):
    """How a finding is to be taken."""

    OK = "ok"
    WARNING = "warning"
    """Complete, but slower or otherwise than usual."""
    FAILED = "failed"
    """Cannot be read; the words say what to do."""


@dataclass(frozen=True)
class Line:
    """One finding."""

    name: str
    status: Status
    words: str

    def __str__(self) -> str:
        return f"{self.name:<27}  {self.status.value:<7}  {self.words}"


@dataclass
class Size:
    """What a first sync will take, as far as it is known."""

    requests: float = 0
    rows: float = 0

    def add(self, requests: float, rows: float) -> None:
        """Something more is to be read."""
        self.requests += requests
        self.rows += rows


class Check:
    """Asks an account what a run will find."""

    def __init__(self, client: Client, config: Config, selected: Mapping[str, Any]) -> None:
        self._client, self._config = client, config
        planned = [plan_run(stream, selected) for stream in children_of(None)]
        self._roots = [run for run in planned if run]
        self._scope = Scope(client, config.mailbox_ids)
        self._size = Size()
        self._end = EARLIEST

    def lines(self) -> Iterator[Line]:
        """The findings, each as soon as it is made."""
        try:
            self._end = self._client.run_start()
            yield from self._account()
            for root in sorted(self._roots, key=lambda root: not root.stream.is_windowed):
                LOGGER.info("checking %s", root.name)
                check = self._range if root.stream.is_windowed else self._list
                yield from _or_failed(root.name, check(root))
        except HelpScoutError as error:
            yield Line("credentials", Status.FAILED, str(error))
            return
        yield self._first_sync()

    # -- the account -----------------------------------------------------------------------------

    def _account(self) -> Iterator[Line]:
        yield Line("credentials", Status.OK, self._client.credentials())
        yield from _or_failed("user", self._user())
        allowed, left = self._client.limiter.allowed, self._client.requests_left
        words = f"{self._client.limiter.limit} requests a minute, "
        words += f"{left} left; " if left is not None else ""
        yield Line("rate limit", Status.OK, f"{words}the tap uses up to {allowed}")

    def _user(self) -> Iterator[Line]:
        # https://developer.helpscout.com/mailbox-api/endpoints/users/get-resource-owner
        user = self._client.get("/v2/users/me")
        user = user if isinstance(user, dict) else {}
        number = _count(fetch_listed(self._client, MAILBOX_LIST, {}))
        sees = f"sees {in_words(number, 'inbox', 'inboxes')}"
        yield Line("user", Status.OK, f"user {user.get('id')}, {user.get('role')}; {sees}")
        if self._scope.is_limited:
            self._scope.find(self._end)
            ids = ", ".join(map(str, self._config.mailbox_ids))
            yield Line("inboxes", Status.OK, f"those of mailbox_ids alone: {ids}")

    def _mailbox_filter(self, stream: Stream, ask: Ask) -> Iterator[Line]:
        """Whether a list can be kept to the inboxes of mailbox_ids, where that is not certain."""
        if words := self._scope.check_filter(stream, ask):
            yield Line(f"{stream.tap_stream_id}: inboxes", Status.WARNING, words)

    # -- lists that are read whole ---------------------------------------------------------------

    def _context(self) -> Context:
        return {
            "start": format_datetime(self._config.start_date),
            "end": format_datetime(self._end),
        }

    def _list(self, root: StreamRun) -> Iterator[Line]:
        if root.stream.day_column:
            yield self._days(root)
            return
        context = self._context()

        def ask(params: Mapping[str, str]) -> Page:
            return fetch_listed(self._client, root.stream, context, params)

        yield from self._mailbox_filter(root.stream, ask)
        page = self._listed(root.stream, ask)
        self._size.add(self._requests(root, page, context), _count(page))
        if root.selected:
            yield Line(root.name, Status.OK, _counted(page))
        for child in root.children:
            yield from _or_failed(child.name, self._children(child, page))

    def _listed(self, stream: Stream, ask: Ask) -> Page:
        """The first page of a list with the count of all its rows; of a list that is read inbox by
        inbox, some first pages with the count that they lead to expect."""
        known = self._scope.listed(stream)
        if known is not None:
            rows = [row for batch in self._scope.kept(stream, iter(known)) for row in batch.rows]
            return Page(rows, total=len(rows))
        params = self._scope.params(stream)
        pages = [ask(one) for one in params[:COUNTED_MAILBOXES]]
        if len(params) == 1:
            return pages[0]
        share = len(params) / len(pages)
        return Page(
            [row for page in pages for row in page.rows],
            total=round(share * sum(map(_count, pages))),
            pages=round(share * sum(page.page_count for page in pages)),
        )

    def _days(self, root: StreamRun) -> Line:
        first = first_day(self._config.start_date, None)
        days = sum(1 for _ in days_between(first, self._end))
        fetch_day(self._client, root.stream, self._context(), beginning_of_day(self._end))
        self._size.add(days, days)
        words = f"{in_words(days, 'day')} since {first:%Y-%m-%d}, a request each"
        return Line(root.name, Status.OK, words)

    def _children(self, child: StreamRun, parents: Page) -> Iterator[Line]:
        rows = [row for row in parents.rows if row.get("id") is not None][:COUNTED_PARENTS]
        found = requests = 0
        for row in rows:
            context = {**self._context(), child.stream.parent_keys[-1]: row["id"]}
            page = fetch_listed(self._client, child.stream, context)
            found += _count(page)
            requests += self._requests(child, page, context)
        number = _count(parents)
        share = number / max(len(rows), 1)
        self._size.add(requests * share, found * share)
        words = (
            f"{found} below {number}"
            if len(rows) == number
            else (f"{found} below the first {len(rows)} of {number}")
        )
        yield Line(child.name, Status.OK, words)

    def _requests(self, run: StreamRun, page: Page, context: Context) -> int:
        """How many requests a list takes, with those for the details of its rows, of which the
        first is tried."""
        if not run.details:
            return page.page_count
        if page.rows:
            run.details.fetch(self._client, page.rows[0], context)
        return page.page_count + _count(page)

    # -- lists that are read in windows ----------------------------------------------------------

    def _range(self, root: StreamRun) -> Iterator[Line]:
        child = root.embedded_child
        verifier = child.verifier if child else None
        settled = seconds_before(self._end, self._config.lookback_seconds)
        reader = partial(RangeReader, self._client, root.stream, verifier, settled)
        yield from self._mailbox_filter(root.stream, reader().ask_since(self._config.start_date))
        params = self._scope.params(root.stream)
        window = Window(self._config.start_date, self._end)
        readers = [reader(one) for one in params[:COUNTED_MAILBOXES]]
        firsts = [reader.first_page(window) for reader in readers]
        number = round(sum(map(_count, firsts)) * len(params) / len(firsts))
        if root.selected:
            counted = _counted(firsts[0]) if len(params) == 1 else f"about {number}"
            yield Line(root.name, Status.OK, f"{counted} since {self._config.start_date:%Y-%m-%d}")
        first = firsts[0]
        self._size.add(number / max(first.size or 1, 1) * REQUESTS_PER_PAGE, number)
        # What is found out of one inbox holds for the others.
        yield from self._date_filter(root, readers[0], first, window)
        if child and verifier:
            samples = readers[0].sample_pages(window, first, SAMPLE_PAGES)
            rows = [row for page in samples for row in page.rows]
            yield from _or_failed(child.name, self._embedded(child, verifier, rows, number))
        yield from self._hidden(root, readers[0], first, window)

    def _date_filter(
        self, root: StreamRun, reader: RangeReader, first: Page, window: Window
    ) -> Iterator[Line]:
        name = f"{root.name}: date filter"
        if first.is_whole_list:
            yield Line(name, Status.OK, "not needed: the list has one page")
            return
        finding = reader.date_filter(first, window)
        if finding.holds:
            yield Line(name, Status.OK, finding.words)
        else:
            words = f"{finding.words}: the list is read from page to page, which takes longer"
            yield Line(name, Status.WARNING, words)

    def _hidden(
        self, root: StreamRun, reader: RangeReader, first: Page, window: Window
    ) -> Iterator[Line]:
        hidden = root.stream.hidden
        if not hidden:
            return
        rows = reader.hidden_rows(window, first)
        if rows:
            self._size.add(rows.page_count, _count(rows))
            params = " ".join(f"{name}={value}" for name, value in root.stream.params.items())
            words = f"{_counted(rows)}, not in {params}: read as a list of its own"
            yield Line(hidden.name, Status.WARNING, words)
        else:
            yield Line(hidden.name, Status.OK, "none, or in the list with all others")

    def _embedded(
        self, child: StreamRun, verifier: EmbedVerifier, parents: list[Row], number: int
    ) -> Iterator[Line]:
        """Compares some listings with what was embedded, as a run does before it uses it."""
        name, embed = f"embedded {verifier.name}", child.stream.embed
        telling = [
            row
            for row in parents
            if verifier.is_comparable(row) and verifier.count_telling(verifier.embedded(row))
        ]
        telling.sort(key=lambda row: len(verifier.embedded(row)))  # short lists take one request
        compared = [
            self._compare(child.stream, verifier, row) for row in telling[:COMPARED_PARENTS]
        ]
        listed = [row for row in parents if not verifier.is_comparable(row)]
        share = len(listed) / max(len(parents), 1)
        children = sum(len(verifier.embedded(row)) for row in parents) / max(len(parents), 1)
        if verifier.state is EmbedState.DISABLED:
            share = 1
            words = f"{verifier.why_disabled}: listed below each parent, a request each"
            yield Line(name, Status.WARNING, words)
        elif compared:
            yield Line(name, Status.OK, compared[-1])
        elif embed and parents:
            words = f"none with a {embed.telling_kind} in the sample: compared during the sync"
            yield Line(name, Status.OK, words)
        compared_later = min(verifier.listings_to_expect, number)
        requests = number * share * REQUESTS_PER_LISTING + compared_later
        self._size.add(requests, number * max(children, 1))
        if child.selected:
            words = f"about {round(number * children)}, {round(100 * share)} % of parents by a list"
            yield Line(child.name, Status.OK, words)

    def _compare(self, stream: Stream, verifier: EmbedVerifier, parent: Row) -> str:
        context = {**self._context(), stream.parent_keys[-1]: parent["id"]}

        def fetch(params: Mapping[str, Any]) -> Page:
            return fetch_listed(self._client, stream, context, params)

        comparison, listed = Comparison(verifier, parent), []
        for rows in read_until_complete(self._client, stream, fetch):
            listed += rows
        for row in listed:
            comparison.add(row)
        comparison.finish()
        telling = in_words(verifier.count_telling(listed), verifier.telling_kind)
        return f"match the listing of {parent['id']} ({len(listed)} {verifier.name}, {telling})"

    # -- how long --------------------------------------------------------------------------------

    def _first_sync(self) -> Line:
        requests, rows = math.ceil(self._size.requests) + 2, round(self._size.rows)
        seconds = estimated_seconds(requests, rows, self._client)
        allowed = self._client.limiter.allowed
        words = f"about {requests} requests, {_in_time(seconds)} at {allowed} a minute"
        return Line("first sync", Status.OK, words)


def _or_failed(name: str, lines: Iterator[Line]) -> Iterator[Line]:
    """The lines, and one that says what failed if one of them could not be made."""
    try:
        yield from lines
    except ApiError as error:
        yield Line(name, Status.FAILED, str(error))


def _count(page: Page) -> int:
    return len(page.rows) if page.total is None else page.total


def _counted(page: Page) -> str:
    if page.total is None and not page.is_whole_list:
        return "an unknown number"
    return str(_count(page))


def _in_time(seconds: float) -> str:
    if seconds < 120:
        return in_words(max(1, round(seconds)), "second")
    if seconds < 7200:
        return in_words(round(seconds / 60), "minute")
    return f"{seconds / 3600:.1f} hours"
