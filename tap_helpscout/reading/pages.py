"""Pages: what one response of a list holds, and pages that are requested by their numbers.

https://developer.helpscout.com/mailbox-api/overview/errors (envelopes, empty lists)
"""

import math
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from tap_helpscout.client import Client
from tap_helpscout.errors import ApiError
from tap_helpscout.prefetch import Load, completed, prefetch
from tap_helpscout.streams import Row, Stream

PageParams = Mapping[str, str | int]
"""What is asked for beside the list's own parameters: nothing for its first page."""
Fetch = Callable[[PageParams], "Page"]
FIRST: PageParams = MappingProxyType({})
# How a page is refused that is not there, past the end of its list or of one that has shrunk.
NO_SUCH_PAGE = (400, 404, 410, 416, 422)
MOST = 2**63 - 1  # our choice: a count or an id that is larger is none that anybody stores


@dataclass(frozen=True)
class Page:
    """What one response of a list holds; None stands for what it does not say."""

    rows: list[Row]
    number: int = 1
    size: int | None = None
    """How many rows a full page has."""
    total: int | None = None
    """How many rows the list has, by the API's count."""
    pages: int | None = None
    next: PageParams | None = None
    """The parameters of the link to the next page."""
    refusal: ApiError | None = None
    """How the API said that there is no such page; it has no rows then."""

    @property
    def is_full(self) -> bool:
        """Whether it has as many rows as a page can have, so that more may follow."""
        return self.size is not None and len(self.rows) >= self.size > 0

    @property
    def is_whole_list(self) -> bool:
        """Whether this first page is all there is."""
        announced = self.pages is not None and self.pages > 1
        return not (self.is_full or self.next or announced)

    @property
    def page_count(self) -> int:
        """How many pages the list has, going by whatever the response says of it; at least 1."""
        size = self.size or len(self.rows)
        by_total = math.ceil(self.total / size) if self.total and size else 0
        return max(self.pages or 0, by_total, 1)


def parse_page(stream: Stream, body: Any, params: PageParams, path: str = "") -> Page:
    """The page that a response holds, in any of the API's shapes: HAL, a report, a bare array, a
    single object. `path` is what was asked for, where it is not the stream's own.

    Raises ApiError where it holds none, naming the path and the field.
    """
    path = path or stream.path
    if stream.rows_key is None:
        rows = body if isinstance(body, list) else [body]
        if stream.has_one_row and not body:
            rows = [{}]  # an object without fields is an empty array in PHP
        return Page(_checked(stream, path, rows, "its rows"), total=len(rows))
    body = body if isinstance(body, dict) else {}
    counts = _counts(body)
    asked = whole_number(params.get("page")) or 1
    return Page(
        _checked(
            stream, path, _rows(stream, body, counts, asked), f"a list of {stream.rows_key!r}"
        ),
        number=asked,
        size=whole_number(counts.get("size")),
        total=whole_number(counts.get("totalElements")),
        pages=whole_number(counts.get("totalPages")),
        next=_next_link(path, body),
    )


def _counts(body: dict[str, Any]) -> dict[str, Any]:
    counts = body.get("page")
    if isinstance(counts, dict):
        return counts
    # Reports have no page object: https://developer.helpscout.com/mailbox-api/endpoints/reports/
    return {"totalPages": body.get("pages"), "totalElements": body.get("count")}


def _rows(stream: Stream, body: dict[str, Any], counts: dict[str, Any], asked: int) -> Any:
    """What stands where the rows of a page should."""
    embedded = body.get("_embedded")
    rows = (embedded if isinstance(embedded, dict) else body).get(stream.rows_key or "")
    if rows is None and not embedded and body.keys() & {"page", "_links"}:
        # `_embedded` is left out, or empty, where a list has no rows, or this page of it.
        total, pages = (whole_number(counts.get(key)) for key in ("totalElements", "totalPages"))
        if not total or asked > max(pages or 1, 1):
            return []
    return rows


def _checked(stream: Stream, path: str, rows: Any, what: str) -> list[Row]:
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise ApiError(f"GET {path} answered without {what}")
    for row in rows:
        for name in stream.identity:
            if isinstance(row.get(name), (list, dict)):
                raise ApiError(f"GET {path} answered a row whose {name} is no single value")
    return rows


def whole_number(value: Any) -> int | None:
    """A count or an id, also where it came as text or as a float; None where it is none."""
    if isinstance(value, bool):
        return None
    try:
        number = int(value)
    except (TypeError, ValueError, OverflowError):
        return None
    is_whole = not isinstance(value, float) or number == value
    return number if is_whole and 0 <= number <= MOST else None


def _next_link(path: str, body: dict[str, Any]) -> PageParams | None:
    links = body.get("_links")
    link = links.get("next") if isinstance(links, dict) else None
    if link is None:
        return None
    href = link.get("href") if isinstance(link, dict) else None
    try:
        # The link carries the list's own parameters too; sent twice they are an error:
        # https://github.com/n8n-io/n8n/issues/38104
        # A half of a surrogate pair could not be sent: it raises here.
        text = href.encode().decode() if isinstance(href, str) else ""
        query = dict(parse_qsl(urlsplit(text).query))
    except ValueError:
        query = {}
    if not query:
        raise ApiError(f"GET {path} answered a _links.next that is no link")
    return query


def fetch_if_there(fetch: Fetch, params: PageParams) -> Page:
    """A page after the first: one that the API refuses as not there is empty, not an error."""
    try:
        return fetch(params)
    except ApiError as error:
        if error.status not in NO_SUCH_PAGE:
            raise
        return Page([], number=whole_number(params.get("page")) or 1, refusal=error)


def prefetched_pages(client: Client, fetch: Fetch, first: Page) -> Iterator[Page]:
    """The pages that a list's first page announces, requested before they are needed."""
    limit = Load(requests=client.prefetch_depth)
    for future in prefetch(announced_pages(client, fetch, first), limit):
        yield future.result()


def announced_pages(client: Client, fetch: Fetch, first: Page) -> Iterator[Future[Page]]:
    """The pages that a list's first page announces, itself included, each requested when it is
    asked for. Where the pages are not numbered, the first alone: the others hang on links."""
    yield completed(first)
    if first.pages:
        for number in range(2, first.pages + 1):
            yield client.submit(fetch_if_there, fetch, {"page": number})
