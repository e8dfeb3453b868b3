"""What `--check` finds out of lists that are read in ranges of time, and of what is embedded."""

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

from tap_helpscout.check.report import Line, Status, count, counted, or_failed
from tap_helpscout.check.tree_check import COUNTED_MAILBOXES, TreeCheck
from tap_helpscout.dates import seconds_before
from tap_helpscout.reading.batches import Window
from tap_helpscout.reading.comparison import Comparison
from tap_helpscout.reading.completeness import read_until_complete
from tap_helpscout.reading.embeds import EmbedState, EmbedVerifier
from tap_helpscout.reading.lists import fetch_listed
from tap_helpscout.reading.pages import Page
from tap_helpscout.reading.ranges import RangeReader
from tap_helpscout.stream_run import StreamRun
from tap_helpscout.streams import Row, Stream
from tap_helpscout.words import in_words

# Our choice, so that an account of any size is asked some 60 times: how many pages of a long list
# are looked at for what its rows are like, and how many listings are compared: the first, and more
# as long as all of them have no more than so many children.
SAMPLE_PAGES = 4
COMPARED_PARENTS, COMPARED_CHILDREN = 3, 100


class RangeCheck(TreeCheck):
    """Checks lists that are read in ranges of time."""

    def lines(self, root: StreamRun) -> Iterator[Line]:
        """What there is of a stream, and of those that hang on it. Raises ApiError."""
        child = root.embedded_child
        verifier = child.verifier if child else None
        settled = seconds_before(self._end, self._lookback_seconds)
        make_reader = partial(RangeReader, self._client, root.stream, verifier, settled)
        yield from self._inboxes(root.stream, make_reader().ask_since(self._start_date))
        params = self._scope.params(root.stream)
        window = Window(self._start_date, self._end)
        readers = [make_reader(one) for one in params[:COUNTED_MAILBOXES]]
        firsts = [reader.first_page(window) for reader in readers]
        number = round(sum(map(count, firsts)) * len(params) / len(firsts))
        if root.selected:
            words = counted(firsts[0]) if len(params) == 1 else f"about {number}"
            yield Line(root.name, Status.OK, f"{words} since {self._start_date:%Y-%m-%d}")
        first = firsts[0]
        self._size.add(readers[0].page_requests_for(number), number)
        # What is found out of one inbox holds for the others.
        yield from self._date_filter(root, readers[0], first, window)
        if child and verifier:
            samples = readers[0].sample_pages(window, first, SAMPLE_PAGES)
            rows = [row for page in samples for row in page.rows]
            yield from or_failed(child.name, self._embedded(child, verifier, rows, number))
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
            self._size.add(rows.page_count, count(rows))
            params = " ".join(f"{name}={value}" for name, value in root.stream.params.items())
            words = f"{counted(rows)}, not in {params}: read as a list of its own"
            yield Line(hidden.name, Status.WARNING, words)
        else:
            yield Line(hidden.name, Status.OK, "none, or in the list with all others")

    def _embedded(
        self, child: StreamRun, verifier: EmbedVerifier, parents: list[Row], number: int
    ) -> Iterator[Line]:
        """Compares some listings with what was embedded, as a run does before it uses it."""
        name, embed = f"embedded {verifier.name}", child.stream.embed
        requests = verifier.requests_for(number, parents)  # a run has compared nothing yet
        compared = self._compare_some(child.stream, verifier, parents)
        children = sum(len(verifier.embedded(row)) for row in parents) / max(len(parents), 1)
        if verifier.state is EmbedState.DISABLED:
            requests = verifier.requests_for(number, parents)
            words = f"{verifier.why_disabled}: listed below each parent, a request each"
            yield Line(name, Status.WARNING, words)
        elif compared:
            yield Line(name, Status.OK, compared[-1])
        elif embed and parents:
            words = f"none with a {embed.telling_kind} in the sample: compared during the sync"
            yield Line(name, Status.OK, words)
        self._size.add(requests, number * max(children, 1))
        if child.selected:
            share = round(100 * verifier.share_to_list(parents))
            words = f"about {round(number * children)}, {share} % of parents by a list"
            yield Line(child.name, Status.OK, words)

    def _compare_some(
        self, stream: Stream, verifier: EmbedVerifier, parents: list[Row]
    ) -> list[str]:
        """What was found of some parents, those with the shortest lists."""
        telling = [
            row
            for row in parents
            if verifier.is_comparable(row) and verifier.count_telling(verifier.embedded(row))
        ]
        telling.sort(key=lambda row: len(verifier.embedded(row)))
        compared: list[str] = []
        left = COMPARED_CHILDREN
        for row in telling[:COMPARED_PARENTS]:
            if compared and left < len(verifier.embedded(row)):
                break
            compared.append(self._compare(stream, verifier, row))
            left -= len(verifier.embedded(row))
        return compared

    def _compare(self, stream: Stream, verifier: EmbedVerifier, parent: Row) -> str:
        context = {**self._context, stream.parent_keys[-1]: parent["id"]}

        def fetch(params: Mapping[str, Any]) -> Page:
            return fetch_listed(self._client, stream, context, params)

        comparison, listed = Comparison(verifier, parent), []
        for rows in read_until_complete(self._client, stream, fetch):
            listed += rows
        for row in listed:
            comparison.add(row)
        comparison.finish()
        telling = in_words(verifier.count_telling(listed), verifier.telling_kind)
        children = in_words(len(listed), verifier.name.removesuffix("s"))
        return f"match the listing of {parent['id']} ({children}, {telling})"
