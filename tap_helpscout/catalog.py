"""A catalog as it comes from a file: its entries, of which only the structure has been checked."""

from collections import Counter
from dataclasses import dataclass
from typing import Any

from tap_helpscout.discover import (
    Breadcrumb,
    ReplicationMethod,
    Schema,
    load_schema,
    schema_nodes,
)
from tap_helpscout.files import ConfigError
from tap_helpscout.streams import STREAMS


@dataclass(frozen=True)
class CatalogEntry:
    """One stream of a catalog; `document` is the whole entry."""

    name: str
    schema: Schema
    metadata: dict[Breadcrumb, dict[str, Any]]
    document: dict[str, Any]

    @property
    def stream_metadata(self) -> dict[str, Any]:
        """What is said of the stream itself, not of a field."""
        return self.metadata.get((), {})

    @property
    def selected(self) -> bool | None:
        """Whether somebody selected (True) or deselected (False) the stream; None if neither."""
        selected = as_boolean(self.stream_metadata.get("selected"))
        # Catalogs had it in the schema before there was metadata.
        return as_boolean(self.schema.get("selected")) if selected is None else selected

    @property
    def full_schema(self) -> Schema:
        """The schema with all fields; the packaged one where the catalog's has none."""
        return self.schema if self.schema.get("properties") else load_schema(self.name)

    @property
    def requested_method(self) -> Any:
        """What is asked for as the replication method, possible or not; None if nothing."""
        by_metadata = self.stream_metadata.get("replication-method")
        return by_metadata or self.document.get("replication_method") or None

    @property
    def replication_method(self) -> ReplicationMethod:
        """The one that is used."""
        if self.requested_method == "FULL_TABLE" or not STREAMS[self.name].replication_key:
            return "FULL_TABLE"
        return "INCREMENTAL"


def read_entries(catalog: Any, source: str | None) -> list[CatalogEntry]:
    """The entries of a catalog, a document from the file `source`.

    Raises ConfigError if it is no catalog, or names a stream twice.
    """
    try:
        entries = [_entry(document) for document in catalog["streams"]]
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ConfigError(
            f"{source} is not a Singer catalog: it needs a list of streams with "
            "their metadata. Write a new one with --discover"
        ) from error
    counts = Counter(entry.name for entry in entries)
    duplicates = [name for name, count in counts.items() if count > 1]
    if duplicates:
        raise ConfigError(
            f"{source} has more than one entry of {', '.join(duplicates)}. Keep one, or write a "
            "new catalog with --discover"
        )
    return entries


def _entry(document: dict[str, Any]) -> CatalogEntry:
    name = document.get("tap_stream_id", document.get("stream"))
    if not isinstance(name, str):
        raise TypeError("a stream must have a name")
    schema = document.get("schema") or {}
    metadata = {
        tuple(item["breadcrumb"]): dict(item["metadata"]) for item in document.get("metadata") or []
    }
    for _ in schema_nodes(schema):
        pass  # to the end: what is no schema is found here
    return CatalogEntry(name, dict(schema), metadata, document)


def as_boolean(value: Any) -> bool | None:
    """A catalog's true or false, which may be a string; None for anything else."""
    if isinstance(value, str):
        return {"true": True, "false": False}.get(value.strip().lower())
    return value if isinstance(value, bool) else None
