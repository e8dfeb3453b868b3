"""What `--check` finds out of lists that are read whole, and of what hangs on their rows."""

from collections.abc import Iterator, Mapping

from tap_helpscout.check.report import Line, Status, count, counted, failed, or_failed
from tap_helpscout.check.tree_check import COUNTED_MAILBOXES, TreeCheck
from tap_helpscout.errors import ApiError
from tap_helpscout.reading.days import beginning_of_day, fetch_day, first_day, number_of_days
from tap_helpscout.reading.lists import fetch_listed, id_to_ask_for
from tap_helpscout.reading.outcomes import Meaning
from tap_helpscout.reading.pages import Page
from tap_helpscout.reading.probes import Ask
from tap_helpscout.stream_run import Context, StreamRun
from tap_helpscout.streams import Stream
from tap_helpscout.words import in_words

# Our choice: the children of so many parents are counted, so that an account of any size is asked
# some 60 times.
COUNTED_PARENTS = 3


class ListCheck(TreeCheck):
    """Checks lists that are read whole."""

    def lines(self, root: StreamRun) -> Iterator[Line]:
        """What there is of a stream, and of those that hang on it. Raises ApiError."""
        if root.stream.day_column:
            yield self._days(root)
            return

        def ask(params: Mapping[str, str]) -> Page:
            return fetch_listed(self._client, root.stream, self._context, params)

        yield from self._inboxes(root.stream, ask)
        page = self._listed(root.stream, ask)
        self._size.add(self._requests(root, page, self._context), count(page))
        if root.selected:
            yield Line(root.name, Status.OK, counted(page))
        for child in root.children:
            yield from or_failed(child.name, self._children(child, page))

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
            total=round(share * sum(map(count, pages))),
            pages=round(share * sum(page.page_count for page in pages)),
        )

    def _days(self, root: StreamRun) -> Line:
        first = first_day(self._start_date, None)
        days = number_of_days(first, self._end)
        fetch_day(self._client, root.stream, self._context, beginning_of_day(self._end))
        self._size.add(days, days)
        words = f"{in_words(days, 'day')} since {first:%Y-%m-%d}, a request each"
        return Line(root.name, Status.OK, words)

    def _children(self, child: StreamRun, parents: Page) -> Iterator[Line]:
        found_ids = (id_to_ask_for(row) for row in parents.rows)
        ids = [one for one in found_ids if one is not None][:COUNTED_PARENTS]
        found = requests = 0
        for parent_id in ids:
            context = {**self._context, child.stream.parent_keys[-1]: parent_id}
            try:
                page = fetch_listed(self._client, child.stream, context)
            except ApiError as error:
                yield from _child_failed(child, parent_id, error)
                continue
            yield from (_put_aside(child, *refused) for refused in child.outcomes.answered())
            found += count(page)
            requests += self._requests(child, page, context)
        if error_at_end := child.outcomes.failure_at_end():
            raise error_at_end
        number = count(parents)
        share = number / max(len(ids), 1)
        self._size.add(requests * share, found * share)
        of = f"{number}" if len(ids) == number else f"the first {len(ids)} of {number}"
        yield Line(child.name, Status.OK, f"{found} below {of}")

    def _requests(self, run: StreamRun, page: Page, context: Context) -> int:
        """How many requests a list takes, with those for the details of its rows, of which the
        first is tried."""
        if not run.details:
            return page.page_count
        if page.rows:
            run.details.fetch(self._client, page.rows[0], context)
        return page.page_count + count(page)


def _child_failed(child: StreamRun, parent_id: int, error: ApiError) -> Iterator[Line]:
    """What hangs on one parent cannot be read. Raises the error where a run takes it for the whole
    stream's."""
    meaning = child.outcomes.failed(parent_id, error)
    if meaning is Meaning.STREAM_FAILED:
        raise error
    if meaning is Meaning.PUT_ASIDE:
        yield _put_aside(child, parent_id, error)


def _put_aside(child: StreamRun, parent_id: int, error: ApiError) -> Line:
    return failed(child.name, error, child.parent_in_words(parent_id))
