"""The catalog: written from the table of streams and their schemas, read back as a selection."""

import functools
import json
from pathlib import Path

from singer import metadata
from singer.utils import should_sync_field

from tap_helpscout.files import ConfigError
from tap_helpscout.streams import STREAMS


@functools.cache
def load_schema(tap_stream_id):
    """A stream's JSON schema, as the package ships it; all share it, and nobody changes it."""
    path = Path(__file__).parent / "schemas" / f"{tap_stream_id}.json"
    return json.loads(path.read_text(encoding="utf-8"))


def automatic_fields(stream):
    """The fields that no selection leaves out: the key, the replication key, the parents' ids."""
    replication_keys = (stream.replication_key,) if stream.replication_key else ()
    return {*stream.key_properties, *replication_keys, *stream.parent_keys}


def discover():
    """The catalog of every stream, as it is written; nothing is asked of the API."""
    return {"streams": [_entry(stream) for stream in STREAMS.values()]}


def _entry(stream):
    schema, keys = load_schema(stream.tap_stream_id), list(stream.key_properties)
    automatic = automatic_fields(stream)
    mdata = {
        (): {
            "inclusion": "available",
            "selected-by-default": True,
            "table-key-properties": keys,
            "forced-replication-method": stream.replication_method,
        }
    }
    if stream.replication_key:
        mdata[()]["valid-replication-keys"] = [stream.replication_key]
    if stream.parent:
        mdata[()]["parent-tap-stream-id"] = stream.parent
    for name in schema["properties"]:
        mdata["properties", name] = {
            "inclusion": "automatic" if name in automatic else "available",
            "selected-by-default": True,
        }
    return {
        "tap_stream_id": stream.tap_stream_id,
        "stream": stream.tap_stream_id,
        "key_properties": keys,
        "replication_key": stream.replication_key,
        "replication_method": stream.replication_method,
        "schema": schema,
        "metadata": metadata.to_list(mdata),
    }


def select(catalog, source):
    """What a catalog (a dict as read from the file `source`) selects: {tap_stream_id: schema},
    each schema cut down to the selected fields."""
    schemas = {}
    try:
        for entry in catalog["streams"]:
            name = entry.get("tap_stream_id", entry.get("stream"))
            schema, mdata = entry.get("schema") or {}, metadata.to_map(entry.get("metadata") or [])
            if _is_selected(mdata.get((), {}), False, schema.get("selected")):
                schemas[name] = name in STREAMS and _selected_schema(STREAMS[name], schema, mdata)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ConfigError(
            f"{source} is not a Singer catalog: it needs a list of streams with "
            "their metadata. Write a new one with --discover"
        ) from error
    unknown = sorted(map(str, schemas.keys() - STREAMS.keys()))
    if unknown:
        raise ConfigError(
            f"{source} selects streams that this tap does not have: "
            f"{', '.join(unknown)}. Deselect them, or write a new catalog with "
            "--discover"
        )
    return schemas


def _is_selected(mdata, default, legacy=None):
    # `selected` in the schema is how catalogs said it before there was metadata.
    return should_sync_field(
        mdata.get("inclusion"),
        mdata.get("selected", legacy),
        mdata.get("selected-by-default", default),
    )


def _selected_schema(stream, schema, mdata):
    packaged = load_schema(stream.tap_stream_id)["properties"]
    automatic = {name: packaged[name] for name in automatic_fields(stream)}
    schema = _selected_fields(schema, mdata, ())
    # Whatever a catalog says of these, a record without them could not be loaded.
    return {"type": "object", **schema, "properties": {**automatic, **schema.get("properties", {})}}


def _selected_fields(schema, mdata, breadcrumb):
    schema = dict(schema)
    if "properties" in schema:
        schema["properties"] = {
            name: _selected_fields(inner, mdata, breadcrumb + ("properties", name))
            for name, inner in schema["properties"].items()
            if _is_selected(mdata.get(breadcrumb + ("properties", name), {}), True)
        }
    if isinstance(schema.get("items"), dict):
        schema["items"] = _selected_fields(schema["items"], mdata, breadcrumb + ("items",))
    return schema
