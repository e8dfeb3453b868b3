"""What a catalog selects: which streams, which of their fields, how each stream is replicated."""

from dataclasses import dataclass
from typing import Any

from singer.utils import should_sync_field

from tap_helpscout.catalog import CatalogEntry, as_boolean, read_entries
from tap_helpscout.catalog_warnings import catalog_warnings
from tap_helpscout.conform import followed
from tap_helpscout.discover import (
    Breadcrumb,
    ReplicationMethod,
    Schema,
    automatic_fields,
    load_schema,
)
from tap_helpscout.files import ConfigError
from tap_helpscout.streams import STREAMS


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


def select(catalog: Any, source: str | None) -> Selection:
    """Reads a catalog, a document from the file `source`.

    Where it selects a stream (`"selected": true`), only the streams that it selects are read. Else
    those are read that are selected by default and not deselected.

    Raises ConfigError if it is no catalog, names a stream twice, or selects an unknown one.
    """
    entries = read_entries(catalog, source)
    selected = _selected_entries(entries)
    _refuse_unknown_streams(selected, source)
    return Selection(
        {entry.name: _selected_stream(entry) for entry in selected},
        catalog_warnings(entries, source),
    )


def _refuse_unknown_streams(entries: list[CatalogEntry], source: str | None) -> None:
    unknown = sorted(entry.name for entry in entries if entry.name not in STREAMS)
    if unknown:
        raise ConfigError(
            f"{source} selects streams that this tap does not have: {', '.join(unknown)}. "
            "Deselect them, or write a new catalog with --discover"
        )


def _selected_entries(entries: list[CatalogEntry]) -> list[CatalogEntry]:
    any_selected = any(entry.selected is True for entry in entries)
    return [
        entry
        for entry in entries
        if should_sync_field(
            entry.stream_metadata.get("inclusion"),
            entry.selected,
            not any_selected and as_boolean(entry.stream_metadata.get("selected-by-default")),
        )
    ]


def _selected_stream(entry: CatalogEntry) -> SelectedStream:
    return SelectedStream(_selected_schema(entry), entry.replication_method)


def _selected_schema(entry: CatalogEntry) -> Schema:
    packaged = load_schema(entry.name)["properties"]
    schema, _ = followed(entry.full_schema)
    schema = _without_deselected_fields(schema, entry.metadata, ())
    # A record without these could not be loaded, whatever the catalog says.
    automatic = {name: packaged[name] for name in automatic_fields(STREAMS[entry.name])}
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
    by_default = as_boolean(metadata.get("selected-by-default"))
    return bool(
        should_sync_field(
            metadata.get("inclusion"),
            as_boolean(metadata.get("selected")),
            True if by_default is None else by_default,
        )
    )
