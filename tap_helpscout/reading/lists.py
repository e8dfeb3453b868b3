"""Lists that are read whole: small ones, and the children of a parent, embedded in it or listed."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any

from tap_helpscout.client import TRIES, Client
from tap_helpscout.dates import EARLIEST
from tap_helpscout.errors import ApiError
from tap_helpscout.prefetch import Load
from tap_helpscout.reading.batches import Batch, Window
from tap_helpscout.reading.comparison import Comparison
from tap_helpscout.reading.completeness import read_until_complete
from tap_helpscout.reading.embeds import EmbedVerifier, Treatment
from tap_helpscout.reading.pages import (
    FIRST,
    Fetch,
    Page,
    PageParams,
    parse_page,
    prefetched_pages,
    whole_number,
)
from tap_helpscout.streams import STREAMS, Embed, Row, Stream


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
