"""The requests for one list that is filtered by date: its parameters, what is embedded in its rows,
and how many requests it may take."""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

from tap_helpscout.client import TRIES, Client
from tap_helpscout.errors import ApiError
from tap_helpscout.reading.embeds import EmbedVerifier
from tap_helpscout.reading.pages import FIRST, Page, PageParams, fetch_if_there, parse_page
from tap_helpscout.reading.probes import PROBE_TRIES
from tap_helpscout.streams import Stream
from tap_helpscout.words import in_words

# Our choice: a list takes about a request a page. So many times as many, and then some for probes
# and the search for small windows, is more than any list needs that is merely edited while it is
# read.
REQUESTS_PER_PAGE = 10
MORE_REQUESTS = 300
# Our choice: so many pages of a list are believed before they have come. Rows that are deleted make
# its first pages come again and again; and what is announced may be anything.
MOST_ANNOUNCED = 2000

Params = Mapping[str, str]


class RequestBound:
    """A bound on the requests for one list, so that nothing that the API does goes on for ever."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._sent = itertools.count(1)
        self._announced = 1
        # What is announced may be capped, so that the pages that came are counted too. A page is
        # known by its first row: one that comes again does not make the list longer.
        self._first_rows: set[int] = set()

    @property
    def _pages(self) -> int:
        return max(min(self._announced, MOST_ANNOUNCED), len(self._first_rows))

    def count(self) -> None:
        """Another request is to be sent. Raises ApiError where there were too many."""
        bound = REQUESTS_PER_PAGE * self._pages + MORE_REQUESTS
        if next(self._sent) > bound:
            raise ApiError(
                f"GET {self._stream.path} was asked {bound} times for a list of "
                f"{in_words(self._pages, 'page')}, and is still not complete"
            )

    def note(self, page: Page) -> None:
        """Takes note of how long the list is."""
        if page.rows:
            self._announced = max(self._announced, page.page_count)
            self._first_rows.add(hash(self._stream.key_of(page.rows[0])))


class ListRequests:
    """Asks for pages of one list with these parameters and what is given beside them.

    Every method raises ApiError.
    """

    def __init__(
        self,
        client: Client,
        stream: Stream,
        verifier: EmbedVerifier | None,
        params: Params,
        bound: RequestBound | None = None,
    ) -> None:
        self._client, self._stream, self._verifier = client, stream, verifier
        self._params = params
        self._bound = bound or RequestBound(stream)

    def and_params(self, params: Params) -> "ListRequests":
        """Asks for the same list with these parameters too, under the same bound."""
        all_params = {**self._params, **params}
        return ListRequests(self._client, self._stream, self._verifier, all_params, self._bound)

    def page(self, params: Params, page_params: PageParams = FIRST, tries: int = TRIES) -> Page:
        """A page; the first, unless said otherwise."""

        def get(embed: Params, embed_tries: int) -> Any:
            self._bound.count()
            all_params = {**self._params, **params, **embed, **page_params}
            return self._client.get(self._stream.path, all_params, min(tries, embed_tries))

        body = self._verifier.fetch(get, tries) if self._verifier else get({}, tries)
        page = parse_page(self._stream, body, page_params)
        self._bound.note(page)
        if self._verifier:
            self._verifier.note_page(page.rows)
        return page

    def page_if_there(self, params: Params, number: int) -> Page:
        """A page by its number; an empty one where the API refuses it as not there."""
        if number == 1:
            return self.page(params)
        return fetch_if_there(lambda page_params: self.page(params, page_params), {"page": number})

    def probe(self, params: Params) -> Page:
        """The first page, asked for in a few tries: it is to tell what works."""
        return self.page(params, tries=PROBE_TRIES)

    def probe_together(self, each: Sequence[Params]) -> list[Page]:
        """The same with several parameters at once, in their order."""
        pages = [self._client.submit(self.probe, params) for params in each]
        return [page.result() for page in pages]
