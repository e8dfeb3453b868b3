"""Lists that are read whole: small ones, and the children of a parent, embedded in it or listed."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import Enum, auto
from functools import partial
from typing import Any

from tap_helpscout.client import TRIES, Client
from tap_helpscout.dates import EARLIEST
from tap_helpscout.errors import MISSING_ADVICE, ApiError, RetriableError
from tap_helpscout.prefetch import Load
from tap_helpscout.reading.completeness import read_until_complete
from tap_helpscout.reading.embeds import Comparison, EmbedVerifier, Treatment
from tap_helpscout.reading.pages import (
    FIRST,
    Fetch,
    Page,
    PageParams,
    parse_page,
    prefetched_pages,
    whole_number,
)
from tap_helpscout.reading.windows import Batch, Window
from tap_helpscout.streams import STREAMS, Embed, Row, Stream

# A merged conversation answers 404 for its threads, as a deleted one does:
# https://developer.helpscout.com/mailbox-api/endpoints/conversations/threads/list
GONE = (404, 410)
ALL_GONE = 20  # our choice: where so many parents are gone and none is there, the endpoint is
SOME_GONE = 5  # our choice: the same at the end of a long list
# Our choice: where so many parents failed in a row, the endpoint may be down. The next ones are
# asked for once each, so that an outage does not cost `retry_seconds` for each of them.
FAILURES_IN_A_ROW = 5
REFUSALS = 5  # our choice: where so many are answered 403 and none is there, the stream is refused


@dataclass(frozen=True)
class ChildRows:
    """The children of one parent; their first request is on its way."""

    batches: Iterator[Batch]
    load: Load
    is_listed: bool = True


def fetch_listed(
    client: Client,
    stream: Stream,
    context: Mapping[str, str],
    page_params: PageParams = FIRST,
    tries: int = TRIES,
) -> Page:
    """A page of a list that is read whole; `context` fills the templates of the stream."""
    params: dict[str, Any] = {
        name: value.format(**context) for name, value in stream.params.items()
    }
    path = stream.path.format(**context)
    body = client.get(path, {**params, **page_params}, tries)
    return parse_page(stream, body, page_params, path)


def id_to_ask_for(parent: Row) -> int | None:
    """The id of a row, by which its children are asked for; None where it is none."""
    return whole_number(parent.get("id"))


def read_children(
    client: Client,
    stream: Stream,
    context: Mapping[str, str],
    parent: Row,
    verifier: EmbedVerifier | None,
    tries: int = TRIES,
) -> ChildRows:
    """Requests the children of a parent, if they are not embedded in it and may be used so."""
    treatment = verifier.treatment(parent) if verifier else Treatment.LIST
    if verifier and treatment is Treatment.USE:
        children = verifier.embedded(parent)
        load = Load(requests=0, rows=len(children))
        return ChildRows(iter([Batch(children)]), load, is_listed=False)
    fetch = partial(fetch_listed, client, stream, context, tries=tries)
    first = client.submit(fetch)

    def batches() -> Iterator[Batch]:
        announced = prefetched_pages(client, fetch, first.result())
        comparison = None
        if verifier and treatment is Treatment.LIST_AND_COMPARE:
            comparison = Comparison(verifier, parent)
        reading = read_until_complete(client, stream, fetch, announced)
        for rows in reading:
            if comparison:
                for row in rows:
                    comparison.add(row)
            yield Batch(rows)
        if verifier and comparison:
            if comparison.shows_a_difference:
                comparison = _compared_again(client, stream, fetch, parent, verifier) or comparison
            comparison.finish()
        yield Batch([], missing=reading.missing)

    is_compared = treatment is Treatment.LIST_AND_COMPARE
    blocks = verifier is not None and is_compared and verifier.waits_for(parent)
    return ChildRows(batches(), Load(requests=1, rows=0, blocks=blocks))


def _compared_again(
    client: Client, stream: Stream, fetch: Fetch, parent: Row, verifier: EmbedVerifier
) -> Comparison | None:
    """Compares with what is embedded in a parent now: what was edited after its page was requested
    (opened, hidden, published) differs only once. None where it is not found in its list."""
    parent_now = _with_embed(client, stream, parent, verifier.embed)
    if not parent_now:
        return None
    comparison = Comparison(verifier, parent_now)
    for rows in read_until_complete(client, stream, fetch):
        for row in rows:
            comparison.add(row)
    return comparison


def _with_embed(client: Client, stream: Stream, parent: Row, embed: Embed) -> Row | None:
    """A parent as its own list shows it now, None where it is not found there."""
    parents = STREAMS[str(stream.parent)]
    name = embed.find_parent_by
    params = {**parents.params, name: str(parent.get(name)), "embed": embed.name}
    try:
        page = parse_page(parents, client.get(parents.path, params), FIRST)
    except ApiError:
        return None
    return next((row for row in page.rows if row.get("id") == parent.get("id")), None)


def read_listed(
    client: Client,
    stream: Stream,
    context: Mapping[str, str],
    high: datetime,
    scope: Mapping[str, str] | None = None,
) -> Iterator[Batch]:
    """The rows of a list that is read whole, up to the run's start `high`; `scope` is what it is
    asked for with beside the stream's own parameters."""

    def fetch(page_params: PageParams) -> Page:
        return fetch_listed(client, stream, context, {**(scope or {}), **page_params})

    first = fetch(FIRST)
    reading = read_until_complete(client, stream, fetch, prefetched_pages(client, fetch, first))
    counted = first.total  # said once, for what batches count is added up
    for rows in reading:
        yield Batch(rows, counted=counted)
        counted = None
    whole = Window(EARLIEST, high)
    yield Batch([], completes=whole, counted=counted, missing=reading.missing)


class Meaning(Enum):
    """What it means that the children of a parent cannot be read."""

    PARENT_GONE = auto()
    """The parent was deleted or merged meanwhile: its children go with it."""
    PUT_ASIDE = auto()
    """This parent's children are asked for again in the next run."""
    UNDECIDED = auto()
    """403, and no parent has answered yet: it may be this parent, or the whole stream."""
    STREAM_FAILED = auto()
    """No parent's children can be read."""


class Patience:
    """How often the children of the next parent are asked for."""

    def __init__(self) -> None:
        self._failed_in_a_row = 0

    @property
    def tries(self) -> int:
        """How often at most."""
        return TRIES if self._failed_in_a_row < FAILURES_IN_A_ROW else 1

    def failed(self, error: ApiError) -> None:
        """Those of one parent could not be read. What is not tried again costs no time."""
        self._failed_in_a_row += isinstance(error, RetriableError)

    def answered(self) -> None:
        """Those of one parent were listed."""
        self._failed_in_a_row = 0


class ChildOutcomes:
    """Judges each failure to read a parent's children by those before it.

    `too_many_gone` is how many parents may not be gone at the end of a list where none is there.
    """

    def __init__(self, too_many_gone: int = SOME_GONE) -> None:
        self._too_many_gone = too_many_gone
        self._answered = self._failures = 0
        self._refused: list[tuple[int, ApiError]] = []
        self.patience = Patience()
        self.gone = 0
        """How many parents were gone."""

    def answered(self) -> list[tuple[int, ApiError]]:
        """The children of a parent were listed. Those parents that were refused before are to be
        put aside: it was not the whole stream."""
        self._answered += 1
        self.patience.answered()
        refused, self._refused = self._refused, []
        return refused

    def failed(self, parent_id: int, error: ApiError) -> Meaning:
        """What this failure means."""
        if error.status in GONE:
            self.gone += 1
            is_endpoint = not self._answered and self.gone >= ALL_GONE
            return Meaning.STREAM_FAILED if is_endpoint else Meaning.PARENT_GONE
        self._failures += 1
        self.patience.failed(error)
        if error.status == 403 and not self._answered:
            self._refused.append((parent_id, error))
            is_streams = len(self._refused) >= REFUSALS
            return Meaning.STREAM_FAILED if is_streams else Meaning.UNDECIDED
        return Meaning.PUT_ASIDE

    @property
    def is_doubtful(self) -> bool:
        """Whether every parent so far was gone or refused, so that the endpoint may be."""
        return not self._answered and bool(self.gone or self._refused)

    def failure_at_end(self) -> ApiError | None:
        """Why the stream has failed, now that the list has ended: no parent has answered."""
        if self._answered:
            return None
        if self._refused:
            return self._refused[-1][1]
        # What fails otherwise is no sign that the endpoint is there.
        if self.gone and (self._failures or self.gone >= self._too_many_gone):
            others = ", or with another error" if self._failures else ""
            what = f"Help Scout answers 404 for what hangs on each parent{others}"
            return ApiError(what, 404, advice=MISSING_ADVICE)
        return None
