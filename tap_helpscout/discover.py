"""The catalog: written from the table of streams and their schemas, read back as a selection."""

import copy
import json
from pathlib import Path

from singer import metadata
from singer.catalog import Catalog, CatalogEntry
from singer.schema import Schema
from singer.utils import should_sync_field

from tap_helpscout.config import ConfigError
from tap_helpscout.streams import STREAMS


def load_schema(tap_stream_id):
    """A stream's JSON schema, as the package ships it."""
    path = Path(__file__).parent / "schemas" / f"{tap_stream_id}.json"
    return json.loads(path.read_text(encoding="utf-8"))


def automatic_fields(stream):
    """The fields that no selection leaves out: the key, the replication key, the parents' ids."""
    replication_keys = (stream.replication_key,) if stream.replication_key else ()
    return {*stream.key_properties, *replication_keys, *stream.parent_keys}


def discover():
    """The catalog of every stream; nothing is asked of the API."""
    return Catalog([_entry(stream) for stream in STREAMS.values()])


def _entry(stream):
    schema = load_schema(stream.tap_stream_id)
    mdata = metadata.to_map(metadata.get_standard_metadata(
        schema=schema,
        key_properties=list(stream.key_properties),
        valid_replication_keys=[stream.replication_key] if stream.replication_key else None,
        replication_method=stream.replication_method))
    for breadcrumb in mdata:
        metadata.write(mdata, breadcrumb, "selected-by-default", True)
    for name in automatic_fields(stream):
        metadata.write(mdata, ("properties", name), "inclusion", "automatic")
    if stream.parent:
        metadata.write(mdata, (), "parent-tap-stream-id", stream.parent)
    return CatalogEntry(
        tap_stream_id=stream.tap_stream_id,
        stream=stream.tap_stream_id,
        key_properties=list(stream.key_properties),
        schema=Schema.from_dict(schema),
        replication_key=stream.replication_key,
        replication_method=stream.replication_method,
        metadata=metadata.to_list(mdata))


def select(catalog, source):
    """What a catalog (a dict as read from the file `source`) selects: {tap_stream_id: schema},
    each schema cut down to the selected fields."""
    try:
        entries = {entry.get("tap_stream_id", entry.get("stream")): (
                       entry.get("schema") or {}, metadata.to_map(entry.get("metadata") or []))
                   for entry in catalog["streams"]}
        selected = {tap_stream_id for tap_stream_id, (schema, mdata) in entries.items()
                    if _is_selected(mdata.get((), {}), False, schema.get("selected"))}
        schemas = {tap_stream_id: _selected_schema(STREAMS[tap_stream_id], *entries[tap_stream_id])
                   for tap_stream_id in STREAMS if tap_stream_id in selected}
    except (KeyError, TypeError, AttributeError) as error:
        raise ConfigError(f"{source} is not a Singer catalog: it needs a list of streams with "
                          "their metadata. Write a new one with --discover") from error
    unknown = sorted(map(str, selected - set(STREAMS)))
    if unknown:
        raise ConfigError(f"{source} selects streams that this tap does not have: "
                          f"{', '.join(unknown)}. Deselect them, or write a new catalog with "
                          "--discover")
    return schemas


def _is_selected(mdata, default, legacy=None):
    # `selected` in the schema is how catalogs said it before there was metadata.
    return should_sync_field(mdata.get("inclusion"), mdata.get("selected", legacy),
                             mdata.get("selected-by-default", default))


def _selected_schema(stream, schema, mdata):
    packaged = load_schema(stream.tap_stream_id)["properties"]
    automatic = {name: packaged[name] for name in automatic_fields(stream)}
    schema = _selected_fields(copy.deepcopy(schema), mdata, ())
    # Whatever a catalog says of these, a record without them could not be loaded.
    schema["properties"] = {**automatic, **schema.get("properties", {})}
    return {"type": "object", **schema}


def _selected_fields(schema, mdata, breadcrumb):
    if "properties" in schema:
        schema["properties"] = {
            name: _selected_fields(inner, mdata, breadcrumb + ("properties", name))
            for name, inner in schema["properties"].items()
            if _is_selected(mdata.get(breadcrumb + ("properties", name), {}), True)}
    if isinstance(schema.get("items"), dict):
        schema["items"] = _selected_fields(schema["items"], mdata, breadcrumb + ("items",))
    return schema
