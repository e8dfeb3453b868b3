"""The catalog, written from the table of streams and their schemas."""

import functools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from tap_helpscout.streams import STREAMS, Stream

Schema = dict[str, Any]
Catalog = dict[str, Any]
# The names from a top-level field to one inside it: ("tags", "color").
FieldPath = tuple[str, ...]
# The same as a catalog's metadata has it: ("properties", "tags", "items", "properties", "color").
Breadcrumb = tuple[str, ...]
ReplicationMethod = Literal["INCREMENTAL", "FULL_TABLE"]


@functools.cache
def load_schema(tap_stream_id: str) -> Schema:
    """A stream's JSON schema, as the package ships it. It is shared: do not change it."""
    path = Path(__file__).parent / "schemas" / f"{tap_stream_id}.json"
    schema: Schema = json.loads(path.read_text(encoding="utf-8"))
    return schema


def automatic_fields(stream: Stream) -> set[str]:
    """The fields that are always selected: the key, the replication key, the parents' ids."""
    replication_keys = (stream.replication_key,) if stream.replication_key else ()
    return {*stream.key_properties, *replication_keys, *stream.parent_keys}


def schema_nodes(
    schema: Schema, path: FieldPath = (), breadcrumb: Breadcrumb = ()
) -> Iterator[tuple[FieldPath, Breadcrumb]]:
    """The schema itself and everything inside it, outer before inner. A list and its items have
    the same path, the branches of an `anyOf` the same path and breadcrumb.

    Raises AttributeError or TypeError at what is no schema.
    """
    yield path, breadcrumb
    properties = schema.get("properties")
    for name, inner in ({} if properties is None else properties).items():
        yield from schema_nodes(inner, (*path, name), (*breadcrumb, "properties", name))
    if isinstance(schema.get("items"), dict):
        yield from schema_nodes(schema["items"], path, (*breadcrumb, "items"))
    for branch in schema.get("anyOf", ()):
        yield from schema_nodes(branch, path, breadcrumb)


def discover() -> Catalog:
    """The catalog of all streams. No request is made."""
    return {"streams": [_catalog_entry(stream) for stream in STREAMS.values()]}


def _catalog_entry(stream: Stream) -> dict[str, Any]:
    schema = load_schema(stream.tap_stream_id)
    metadata = {(): _stream_metadata(stream), **_fields_metadata(stream, schema)}
    return {
        "tap_stream_id": stream.tap_stream_id,
        "stream": stream.tap_stream_id,
        "key_properties": list(stream.key_properties),
        "replication_key": stream.replication_key,
        "replication_method": stream.replication_method,
        "schema": schema,
        "metadata": [
            {"breadcrumb": list(breadcrumb), "metadata": values}
            for breadcrumb, values in metadata.items()
        ],
    }


def _stream_metadata(stream: Stream) -> dict[str, Any]:
    values: dict[str, Any] = {
        "inclusion": "available",
        "selected-by-default": stream.selected_by_default,
        "table-key-properties": list(stream.key_properties),
        "forced-replication-method": stream.replication_method,
    }
    if stream.replication_key:
        values["valid-replication-keys"] = [stream.replication_key]
    if stream.parent:
        values["parent-tap-stream-id"] = stream.parent
    return values


def _fields_metadata(stream: Stream, schema: Schema) -> dict[Breadcrumb, dict[str, Any]]:
    automatic = automatic_fields(stream)
    return {
        ("properties", name): {
            "inclusion": "automatic" if name in automatic else "available",
            "selected-by-default": True,
        }
        for name in schema["properties"]
    }
