"""From a response's rows to Singer records: names, dates, reshapes. Everything here is pure."""

import functools
import re
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from tap_helpscout.dates import datetime_or_none

Row = dict[str, Any]
Reshape = Callable[[Row], Row]

# Objects whose keys are data (a kind of entity, an id), not names: they are passed on as they came.
MAPS = frozenset({"associatedEntities", "mailboxStatuses"})

# Lists and objects in one another. Our choice: Help Scout's rows have five, and Python's recursion,
# which ends at a thousand, must not be what tells how deep a value may be.
MAX_DEPTH = 100

EPOCH = "1970-01-01T00:00:00Z"


@functools.lru_cache(maxsize=4096)
def snake_case(name: str) -> str:
    """`photoUrl` → `photo_url`, `social-profiles` → `social_profiles`."""
    words = re.sub(r"([A-Z]+)([A-Z][a-z])", r"\1_\2", name)
    return re.sub(r"([a-z0-9])([A-Z])", r"\1_\2", words).replace("-", "_").lower()


@functools.lru_cache(maxsize=4096)
def _names(keys: tuple[str, ...]) -> tuple[str, ...]:
    """The names that the keys of one object get, in their order: rows of a list mostly have the
    same. Two spellings of one name keep both, the odd one as it was spelt."""
    names: list[str] = []
    for key in keys:
        name = snake_case(key)
        is_taken = name in names or (name != key and name in keys)
        names.append(key if is_taken else name)
    return tuple(names)  # which nobody can change: it is shared


def to_snake_case(value: Any, depth: int = 0) -> Any:
    """A copy of any JSON value with names in snake_case, `_links` gone and `_embedded` lifted.

    What an object holds itself wins over what is embedded in it: a conversation's `threads` is
    their number. What is nested deeper than MAX_DEPTH stays as it came.
    """
    if not isinstance(value, (dict, list)) or depth > MAX_DEPTH:
        return value
    if isinstance(value, list):
        return [to_snake_case(item, depth + 1) for item in value]
    result: Row = {}
    embedded = None
    for (key, inner), name in zip(value.items(), _names(tuple(value))):
        if key == "_embedded" and (inner is None or isinstance(inner, dict)):
            embedded = inner
        elif key != "_links":
            if isinstance(inner, (dict, list)) and key not in MAPS:
                inner = to_snake_case(inner, depth + 1)
            result[name] = inner
    if embedded:
        for name, inner in to_snake_case(embedded, depth + 1).items():
            result.setdefault(name, inner)
    return result


class HasReshape(Protocol):
    """What a record needs to know of its stream."""

    @property
    def reshape(self) -> Reshape:
        """From the record with its names in snake_case to the record that is written."""


def to_record(stream: HasReshape, row: Row, parent_keys: Mapping[str, Any]) -> Row:
    """The record of one row of a stream, with the keys of the parents that it was listed under.

    A parent's key that the row has as well is the parent's: children join by it.
    """
    return {**stream.reshape(to_snake_case(row)), **parent_keys}


# Reshapes, for the table of streams: each makes a function from record to record.


def unchanged(record: Row) -> Row:
    """The record as it is."""
    return record


def in_turn(*reshapes: Reshape) -> Reshape:
    """Several reshapes as one, the first of them first."""
    return lambda record: functools.reduce(lambda row, reshape: reshape(row), reshapes, record)


def rename(**names: str) -> Reshape:
    """Gives fields other names: `rename(threadid="thread_id")`."""
    return lambda record: {names.get(name, name): value for name, value in record.items()}


def only(**names: str) -> Reshape:
    """Keeps these fields and no others, under other names: `only(id="user_id")`."""
    return lambda record: {new: record[old] for old, new in names.items() if old in record}


def without(*names: str) -> Reshape:
    """Leaves fields out: `without("secret")`."""
    return lambda record: {name: value for name, value in record.items() if name not in names}


def lift(name: str) -> Reshape:
    """Replaces an object by its fields: `lift("current")`. The record's own fields win."""

    def reshape(record: Row) -> Row:
        rest = {other: value for other, value in record.items() if other != name}
        lifted = record.get(name)
        return {**lifted, **rest} if isinstance(lifted, dict) else rest

    return reshape


def map_to_list(field: str, key: str, value: str) -> Reshape:
    """Makes a list of objects of a map whose keys are data (`a.b`: b in a).

    `map_to_list("chat.mailbox_statuses", "mailbox_id", "status")` makes
    `[{"mailbox_id": "100", "status": "assign"}]` of `{"100": "assign"}`.
    """
    name, _, inner_field = field.partition(".")

    def reshape(record: Row) -> Row:
        held = record.get(name)
        if not isinstance(held, dict):
            return record
        if inner_field:
            return {**record, name: map_to_list(inner_field, key, value)(held)}
        return {**record, name: [{key: each, value: inner} for each, inner in held.items()]}

    return reshape


def latest(name: str, *fields: str) -> Reshape:
    """Adds `name`, the latest of these fields (`a.b`: b in a) as it is spelt there, never null."""
    paths = [field.split(".") for field in fields]

    def inner(value: Any, key: str) -> Any:
        return value.get(key) if isinstance(value, dict) else None

    def reshape(record: Row) -> Row:
        values = [functools.reduce(inner, path, record) for path in paths]
        texts = [value for value in values if isinstance(value, str)]
        dates = [(date, text) for text in texts if (date := datetime_or_none(text))]
        return {**record, name: max(dates, default=(None, EPOCH))[1]}

    return reshape
