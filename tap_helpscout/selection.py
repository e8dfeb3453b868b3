"""What a catalog selects: which streams, which of their fields, how each stream is replicated."""

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from singer.utils import should_sync_field

from tap_helpscout.conform import followed
from tap_helpscout.discover import (
    Breadcrumb,
    ReplicationMethod,
    Schema,
    automatic_fields,
    load_schema,
    schema_nodes,
)
from tap_helpscout.files import ConfigError
from tap_helpscout.streams import STREAMS, Stream
from tap_helpscout.words import did_you_mean


@dataclass(frozen=True)
class SelectedStream:
    """A stream that is to be read. Its schema has the selected fields only."""

    schema: Schema
    replication_method: ReplicationMethod


@dataclass(frozen=True)
class Selection:
    """The selected streams by their tap_stream_id, in the catalog's order; and what in the catalog
    has no effect or another one than its author may expect, a sentence each."""

    streams: dict[str, SelectedStream]
    warnings: list[str]


@dataclass(frozen=True)
class _Entry:
    """A stream of the catalog, of which nothing but the structure has been checked."""

    name: str
    schema: Schema
    metadata: dict[Breadcrumb, dict[str, Any]]
    document: dict[str, Any]

    @property
    def stream_metadata(self) -> dict[str, Any]:
        return self.metadata.get((), {})

    @property
    def selected(self) -> bool | None:
        """Whether somebody selected (True) or deselected (False) the stream; None if neither."""
        selected = _boolean(self.stream_metadata.get("selected"))
        # Catalogs had it in the schema before there was metadata.
        return _boolean(self.schema.get("selected")) if selected is None else selected


def select(catalog: Any, source: str | None) -> Selection:
    """Reads a catalog, a document from the file `source`.

    Where it selects a stream (`"selected": true`), only the streams that it selects are read. Else
    those are read that are selected by default and not deselected.

    Raises ConfigError if it is no catalog, names a stream twice, or selects an unknown one.
    """
    try:
        entries = [_entry(document) for document in catalog["streams"]]
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ConfigError(
            f"{source} is not a Singer catalog: it needs a list of streams with "
            "their metadata. Write a new one with --discover"
        ) from error
    _refuse_duplicates(entries, source)
    selected = _selected_entries(entries)
    _refuse_unknown_streams(selected, source)
    return Selection(
        {entry.name: _selected_stream(entry) for entry in selected},
        [
            *_unknown_streams(entries, source),
            *(
                f"{source}, {entry.name}: {warning}"
                for entry in entries
                if entry.name in STREAMS
                for warning in _warnings(entry)
            ),
        ],
    )


def _entry(document: dict[str, Any]) -> _Entry:
    name = document.get("tap_stream_id", document.get("stream"))
    if not isinstance(name, str):
        raise TypeError("a stream must have a name")
    schema = document.get("schema") or {}
    metadata = {
        tuple(item["breadcrumb"]): dict(item["metadata"]) for item in document.get("metadata") or []
    }
    for _ in schema_nodes(schema):
        pass  # to the end: what is no schema is found here
    return _Entry(name, dict(schema), metadata, document)


def _refuse_duplicates(entries: list[_Entry], source: str | None) -> None:
    counts = Counter(entry.name for entry in entries)
    duplicates = [name for name, count in counts.items() if count > 1]
    if duplicates:
        raise ConfigError(
            f"{source} has more than one entry of {', '.join(duplicates)}. Keep one, or write a "
            "new catalog with --discover"
        )


def _refuse_unknown_streams(entries: list[_Entry], source: str | None) -> None:
    unknown = sorted(entry.name for entry in entries if entry.name not in STREAMS)
    if unknown:
        raise ConfigError(
            f"{source} selects streams that this tap does not have: {', '.join(unknown)}. "
            "Deselect them, or write a new catalog with --discover"
        )


def _unknown_streams(entries: list[_Entry], source: str | None) -> Iterator[str]:
    for name in sorted({entry.name for entry in entries} - STREAMS.keys()):
        yield (
            f"{source}: the entry of {name!r} has no effect, for there is no stream of that "
            f"name{did_you_mean(name, STREAMS)}"
        )


def _selected_entries(entries: list[_Entry]) -> list[_Entry]:
    any_selected = any(entry.selected is True for entry in entries)
    return [
        entry
        for entry in entries
        if should_sync_field(
            entry.stream_metadata.get("inclusion"),
            entry.selected,
            not any_selected and _boolean(entry.stream_metadata.get("selected-by-default")),
        )
    ]


def _boolean(value: Any) -> bool | None:
    """A catalog's true or false, which may be a string; None for anything else."""
    if isinstance(value, str):
        return {"true": True, "false": False}.get(value.strip().lower())
    return value if isinstance(value, bool) else None


def _selected_stream(entry: _Entry) -> SelectedStream:
    stream = STREAMS[entry.name]
    return SelectedStream(_selected_schema(stream, entry), _replication_method(stream, entry))


def _full_schema(entry: _Entry) -> Schema:
    """The catalog's schema of a stream; the packaged one where the catalog's has no fields."""
    return entry.schema if entry.schema.get("properties") else load_schema(entry.name)


def _selected_schema(stream: Stream, entry: _Entry) -> Schema:
    packaged = load_schema(entry.name)["properties"]
    schema, _ = followed(_full_schema(entry))
    schema = _without_deselected_fields(schema, entry.metadata, ())
    # A record without these could not be loaded, whatever the catalog says.
    automatic = {name: packaged[name] for name in automatic_fields(stream)}
    return {"type": "object", **schema, "properties": {**automatic, **schema["properties"]}}


def _without_deselected_fields(
    schema: Schema, metadata: dict[Breadcrumb, dict[str, Any]], breadcrumb: Breadcrumb
) -> Schema:
    schema = dict(schema)
    if schema.get("properties"):
        schema["properties"] = {
            name: _without_deselected_fields(inner, metadata, (*breadcrumb, "properties", name))
            for name, inner in schema["properties"].items()
            if _is_field_selected(metadata.get((*breadcrumb, "properties", name), {}))
        }
    if isinstance(schema.get("items"), dict):
        schema["items"] = _without_deselected_fields(
            schema["items"], metadata, (*breadcrumb, "items")
        )
    if "anyOf" in schema:
        schema["anyOf"] = [
            _without_deselected_fields(branch, metadata, breadcrumb) for branch in schema["anyOf"]
        ]
    return schema


def _is_field_selected(metadata: dict[str, Any]) -> bool:
    by_default = _boolean(metadata.get("selected-by-default"))
    return bool(
        should_sync_field(
            metadata.get("inclusion"),
            _boolean(metadata.get("selected")),
            True if by_default is None else by_default,
        )
    )


def _requested_method(entry: _Entry) -> Any:
    """What the catalog has for a replication method, possible or not; None if nothing."""
    by_metadata = entry.stream_metadata.get("replication-method")
    return by_metadata or entry.document.get("replication_method") or None


def _replication_method(stream: Stream, entry: _Entry) -> ReplicationMethod:
    if _requested_method(entry) == "FULL_TABLE" or not stream.replication_key:
        return "FULL_TABLE"
    return "INCREMENTAL"


def _warnings(entry: _Entry) -> Iterator[str]:
    stream = STREAMS[entry.name]
    if "selected" in entry.document:
        yield (
            '"selected" beside the metadata has no effect; '
            "it belongs into the metadata with the breadcrumb []"
        )
    requested, method = _requested_method(entry), _replication_method(stream, entry)
    if requested not in (None, method):
        yield f"the replication method {json.dumps(requested)} is not possible; {method} is used"
    _, dropped = followed(_full_schema(entry))
    if dropped:
        yield f"{', '.join(sorted(dropped))} in the schema has no effect, and is left out of it"
    known = _breadcrumbs(stream, entry)
    for breadcrumb, metadata in entry.metadata.items():
        where = f"breadcrumb {json.dumps(breadcrumb)}"
        if breadcrumb not in known:
            yield f"{where}: the stream has no such field, so its metadata has no effect"
        for key in ("selected", "selected-by-default"):
            value = metadata.get(key)
            if value is not None and not isinstance(value, bool):
                yield f'{where}: "{key}" is {json.dumps(value)}; {_effect(_boolean(value))}'


def _breadcrumbs(stream: Stream, entry: _Entry) -> set[Breadcrumb]:
    automatic = {("properties", name) for name in automatic_fields(stream)}
    return automatic | {breadcrumb for _, breadcrumb in schema_nodes(_full_schema(entry))}


def _effect(meaning: bool | None) -> str:
    if meaning is None:
        return "only true and false, without quotes, have an effect"
    return f"it is taken as {json.dumps(meaning)}, which is written without quotes"
