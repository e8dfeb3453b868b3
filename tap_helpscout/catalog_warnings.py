"""What in a catalog has no effect, or another one than its author may expect: a sentence each."""

import json
from collections import Counter
from collections.abc import Iterator
from typing import Any

from tap_helpscout.catalog import CatalogEntry, as_boolean
from tap_helpscout.conform import followed
from tap_helpscout.discover import Breadcrumb, automatic_fields, schema_nodes
from tap_helpscout.streams import STREAMS
from tap_helpscout.words import did_you_mean


def catalog_warnings(entries: list[CatalogEntry], source: str | None) -> list[str]:
    """The sentences on a catalog, a document from the file `source`."""
    unknown = sorted({entry.name for entry in entries} - STREAMS.keys())
    return [
        *(
            f"{source}: the entry of {name!r} has no effect, for there is no stream of that "
            f"name{did_you_mean(name, STREAMS)}"
            for name in unknown
        ),
        *(
            f"{source}, {entry.name}: {warning}"
            for entry in entries
            if entry.name in STREAMS
            for warns in (_of_entry, _of_misplaced, _of_metadata)
            for warning in warns(entry)
        ),
    ]


def _of_entry(entry: CatalogEntry) -> Iterator[str]:
    requested, method = entry.requested_method, entry.replication_method
    if requested not in (None, method):
        yield f"the replication method {json.dumps(requested)} is not possible; {method} is used"
    _, dropped = followed(entry.full_schema)
    if dropped:
        yield f"{', '.join(sorted(dropped))} in the schema has no effect, and is left out of it"


def _of_misplaced(entry: CatalogEntry) -> Iterator[str]:
    """On each `selected` that stands beside its place."""
    if "selected" in entry.document:
        yield (
            '"selected" beside the metadata has no effect; '
            "it belongs into the metadata with the breadcrumb []"
        )
    for item in entry.document.get("metadata") or []:
        if "selected" in item:
            yield (
                f'{_where(item["breadcrumb"])}: "selected" beside "metadata" has no effect; it '
                "belongs inside"
            )
    for name, field in (entry.schema.get("properties") or {}).items():
        if as_boolean(field.get("selected")) is not None:
            yield (
                f'"selected" in the schema of the field {json.dumps(name)} has no effect; it '
                f"belongs into the metadata with the {_where(('properties', name))}"
            )


def _of_metadata(entry: CatalogEntry) -> Iterator[str]:
    """On what is said of the stream and its fields."""
    items = entry.document.get("metadata") or []
    for breadcrumb, count in Counter(tuple(item["breadcrumb"]) for item in items).items():
        if count > 1:
            yield f"{_where(breadcrumb)} is there {count} times: only the last has an effect"
    automatic = {("properties", name) for name in automatic_fields(STREAMS[entry.name])}
    known = automatic | {breadcrumb for _, breadcrumb in schema_nodes(entry.full_schema)}
    for breadcrumb, metadata in entry.metadata.items():
        if breadcrumb not in known:
            yield (
                f"{_where(breadcrumb)}: the stream has no such field, so its metadata has no effect"
            )
        for key in ("selected", "selected-by-default"):
            value = metadata.get(key)
            if value is not None and not isinstance(value, bool):
                effect = _effect(as_boolean(value))
                yield f'{_where(breadcrumb)}: "{key}" is {json.dumps(value)}; {effect}'


def _where(breadcrumb: Breadcrumb) -> str:
    return f"breadcrumb {json.dumps(breadcrumb)}"


def _effect(meaning: Any) -> str:
    if meaning is None:
        return "only true and false, without quotes, have an effect"
    return f"it is taken as {json.dumps(meaning)}, which is written without quotes"
