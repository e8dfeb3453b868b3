"""Completeness: whether every row of a list has been read, although rows move between its pages.

An edit moves a row to another page and pulls the rows behind it one place forward: the first row
of the next page is then never seen. So the list is read in passes, first page to last, until none
can have been missed.
"""

from collections.abc import Generator, Iterable, Iterator
from enum import Enum, auto

import singer

from tap_helpscout.client import Client
from tap_helpscout.errors import ApiError
from tap_helpscout.reading.pages import (
    FIRST,
    Fetch,
    Page,
    fetch_if_there,
    prefetched_pages,
)
from tap_helpscout.reading.trail import NextLinks, PageTrail
from tap_helpscout.streams import Row, RowKey, Stream
from tap_helpscout.words import in_words

LOGGER = singer.get_logger()

# Our choice: a list that changes in each of so many passes is not going to stop.
MAX_PASSES = 100
# Our choice: rows of one date may be listed in another order in each pass, so that a pass can bring
# nothing new and yet have skipped a row. After so many such passes the count is taken to be wrong.
MAX_IDLE_PASSES = 5


class Verdict(Enum):
    """What is known after a pass."""

    COMPLETE = auto()
    READ_AGAIN = auto()
    OVERCOUNTED = auto()
    """The API counts a few rows more than it lists."""
    CUT = auto()
    """A page of rows or more that the API counts, or a page that it links to, does not come."""


class Completeness:
    """Decides after each pass over a list whether every row has been read.

    A list of one page is complete at once: it was answered in one piece. A longer one is complete
    when its total stayed the same during a pass, and as many different rows have come since the
    total took that value. Where there is no total, or more rows came than it says, a pass must
    bring every row of the pass before it: a row that left may have let another slip past unseen.
    Rows that are new in the second pass do no harm.
    """

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._seen: set[RowKey] = set()  # in any pass
        self._seen_at_total: set[RowKey] = set()  # since the total took its present value
        self._last_totals: set[int | None] = set()
        self._last_keys: set[RowKey] | None = None
        self._idle_passes = 0
        # How many rows more the API counted than it gave, after the last pass.
        self.missing = 0
        self.begin_pass()

    def begin_pass(self) -> None:
        """Forgets what was noted of the pass before: the next page is the first."""
        self._keys: list[RowKey] = []
        self._totals: set[int | None] = set()
        self._links = NextLinks()
        self._pages = 0
        self._page_size = 1
        self._seen_before = len(self._seen)
        # How the API refused a page of this pass as not there.
        self.refusal: ApiError | None = None

    def take(self, page: Page) -> list[Row]:
        """Takes note of the pass's next page; its rows that no earlier page or pass has brought."""
        if page.refusal:
            self.refusal = page.refusal
            return []
        self._pages += 1
        self._links.add(page)
        self._totals.add(page.total)
        self._page_size = max(self._page_size, page.size or len(page.rows))
        return [row for row in page.rows if self._note(row)]

    def _note(self, row: Row) -> bool:
        """Takes note of a row; whether it is new."""
        # Where nothing tells a row apart, its place in the list has to.
        key = self._stream.key_of(row) or ("place", len(self._keys))
        self._keys.append(key)
        if key in self._seen:
            return False
        self._seen.add(key)
        return True

    def end_pass(self) -> Verdict:
        """What is known now that the last page of the pass was read."""
        if self._totals != self._last_totals:
            self._seen_at_total = set()
        self._seen_at_total.update(self._keys)
        counted = max((total or 0 for total in self._totals), default=0)
        self.missing = counted - len(self._seen_at_total)
        is_steady = len(self._totals) == 1
        is_idle = len(self._seen) == self._seen_before
        self._idle_passes = self._idle_passes + 1 if is_idle and is_steady else 0
        verdict = self._verdict(counted, is_steady)
        self._last_totals, self._last_keys = self._totals, set(self._keys)
        return verdict

    def _verdict(self, counted: int, is_steady: bool) -> Verdict:
        if self._pages == 1 and not self.refusal and self.missing <= 0:
            return Verdict.COMPLETE
        if None in self._totals or counted < len(set(self._keys)):
            if self._last_keys is None or not self._last_keys <= set(self._keys):
                return Verdict.READ_AGAIN
            is_cut = self.refusal and self._links.another_page_is_due
            return Verdict.CUT if is_cut else Verdict.COMPLETE
        if is_steady and self.missing <= 0:
            return Verdict.COMPLETE
        if self._idle_passes < self._idle_passes_needed():
            return Verdict.READ_AGAIN
        is_cut = self.refusal or self.missing >= self._page_size
        return Verdict.CUT if is_cut else Verdict.OVERCOUNTED

    def _idle_passes_needed(self) -> int:
        # A pass that skips a row reads another twice: where none came twice, none was skipped.
        is_stable = self._totals == self._last_totals and len(self._keys) == len(set(self._keys))
        return 1 if is_stable else MAX_IDLE_PASSES


def is_the_end(stream: Stream, verdict: Verdict, missing: int, refusal: ApiError | None) -> bool:
    """Whether a list is not to be read again, and in the log why or why not.

    Raises ApiError where it does not give what it counts: how it refused a page, if it did.
    """
    if verdict is Verdict.CUT:
        # Without its status: a 404 of a later page does not mean that the list is gone.
        if refusal:
            raise ApiError(refusal.message, said=refusal.said, reference=refusal.reference)
        raise ApiError(f"GET {stream.path} lists {in_words(missing, 'row')} fewer than it counts")
    if verdict is Verdict.READ_AGAIN:
        LOGGER.info("%s: rows moved while they were read, reading again", stream.tap_stream_id)
    if verdict is Verdict.OVERCOUNTED:
        LOGGER.warning(
            "%s: Help Scout counts %s more than it lists",
            stream.tap_stream_id,
            in_words(missing, "row"),
        )
    return verdict is not Verdict.READ_AGAIN


def all_pages(fetch: Fetch, announced: Iterable[Page]) -> Iterator[Page]:
    """The pages that a list announced, and those that follow the last of them."""
    trail = PageTrail()
    for page in announced:
        trail.add(page)
        yield page
        if trail.leads_nowhere or (not page.rows and not page.refusal):
            break  # so do all pages after it, however many were announced
    while params := trail.following():
        page = fetch_if_there(fetch, params)
        trail.add(page)
        yield page


class Reading:
    """The rows of a list, page by page and each row once; they can be taken once."""

    def __init__(self, rows: Generator[list[Row], None, int]) -> None:
        """`rows` returns how many rows more the API counts than it lists."""
        self._rows = rows
        self.missing = 0
        """How many rows may be missing, as soon as all that come were taken."""

    def __iter__(self) -> Iterator[list[Row]]:
        self.missing = yield from self._rows


def read_until_complete(
    client: Client, stream: Stream, fetch: Fetch, announced: Iterable[Page] | None = None
) -> Reading:
    """The rows of a list, read again until none can be missing that the API lists.

    `announced` are the pages of the first pass, where they were requested already.

    Raises ApiError, while the rows are taken, where the list changes in every pass, or does not
    give what it counts.
    """
    return Reading(_passes(client, stream, fetch, announced))


def _passes(
    client: Client, stream: Stream, fetch: Fetch, announced: Iterable[Page] | None
) -> Generator[list[Row], None, int]:
    completeness = Completeness(stream)
    for _ in range(MAX_PASSES):
        completeness.begin_pass()
        for page in all_pages(fetch, announced or prefetched_pages(client, fetch, fetch(FIRST))):
            yield completeness.take(page)
        verdict = completeness.end_pass()
        if is_the_end(stream, verdict, completeness.missing, completeness.refusal):
            return max(completeness.missing, 0)
        announced = None
    raise ApiError(f"GET {stream.path} changed in each of {MAX_PASSES} passes while it was read")
