"""From an answer's rows to Singer records: names, dates, reshapes. Everything here is pure."""

import functools
import re
from datetime import timezone

import ciso8601

# Objects whose keys are data (a kind of entity, an id), not names: they are passed on as they came.
MAPS = frozenset({"associatedEntities", "mailboxStatuses"})

EPOCH = "1970-01-01T00:00:00Z"


def parse_moment(text):
    """Any ISO 8601 moment as an aware UTC datetime; one without an offset is UTC already."""
    try:
        moment = ciso8601.parse_datetime(text)
        return (
            moment.astimezone(timezone.utc)
            if moment.tzinfo
            else moment.replace(tzinfo=timezone.utc)
        )
    except (OverflowError, TypeError, ValueError) as error:
        raise ValueError(f"{text!r} is not a date like 2020-01-31T00:00:00Z") from error


def format_moment(moment):
    """The only form that the API takes: UTC, whole seconds, rounded down."""
    return moment.replace(tzinfo=None).isoformat(timespec="seconds") + "Z"


def moment_or_none(value):
    """The moment that a record's field holds, None where it holds no date."""
    try:
        return parse_moment(value)
    except ValueError:
        return None


@functools.lru_cache(maxsize=4096)
def snake_case(name):
    """`photoUrl` → `photo_url`, `social-profiles` → `social_profiles`."""
    words = re.sub(r"([A-Z]+)([A-Z][a-z])", r"\1_\2", name)
    return re.sub(r"([a-z0-9])([A-Z])", r"\1_\2", words).replace("-", "_").lower()


def to_snake_case(value):
    """A copy of any JSON value with names in snake_case, `_links` gone and `_embedded` lifted.

    What an object holds itself wins over what is embedded in it: a conversation's `threads` is
    their number. Two spellings of one name in one object keep both, the odd one as it was spelt.
    """
    if isinstance(value, list):
        return [to_snake_case(item) for item in value]
    if not isinstance(value, dict):
        return value
    result, embedded = {}, None
    for key, inner in value.items():
        if key == "_embedded" and (inner is None or isinstance(inner, dict)):
            embedded = inner
        elif key != "_links":
            name = snake_case(key)
            taken = name in result or name != key and name in value
            result[key if taken else name] = inner if key in MAPS else to_snake_case(inner)
    if embedded:
        for name, inner in to_snake_case(embedded).items():
            result.setdefault(name, inner)
    return result


def to_record(stream, row, parent_keys):
    """The record of one row of a stream, with the keys of the parents that it was listed under."""
    return {**parent_keys, **stream.reshape(to_snake_case(row))}


def project(value, schema, known, unknown, path=()):
    """What of a record its schema lists; calls `unknown` with the path of each other field, unless
    the schema `known`, from which this one was selected, has it."""
    if "anyOf" in schema:  # how the catalogs of published versions say that a list may be null
        kind = "items" if isinstance(value, list) else "properties"
        schema = next((choice for choice in schema["anyOf"] if kind in choice), schema)
    if isinstance(value, dict) and "properties" in schema:
        properties, known, result = schema["properties"], known.get("properties", {}), {}
        for name, inner in value.items():
            if name in properties:
                result[name] = (
                    inner
                    if not isinstance(inner, (dict, list))
                    else project(
                        inner, properties[name], known.get(name, {}), unknown, path + (name,)
                    )
                )
            elif name not in known:
                unknown(path + (name,))
        return result
    if isinstance(value, list) and "items" in schema:
        known = known.get("items", {})
        return [project(item, schema["items"], known, unknown, path) for item in value]
    return value


# Reshapes, for the table of streams: each makes a function from record to record.


def unchanged(record):
    """The record as it is."""
    return record


def rename(**names):
    """Gives fields other names: `rename(threadid="thread_id")`."""
    return lambda record: {names.get(name, name): value for name, value in record.items()}


def only(**names):
    """Keeps these fields and no others, under other names: `only(id="user_id")`."""
    return lambda record: {new: record[old] for old, new in names.items() if old in record}


def latest(name, *fields):
    """Adds `name`, the latest of these fields (`a.b`: b in a) as it is spelt there, never null."""
    paths = [field.split(".") for field in fields]

    def inner(value, key):
        return value.get(key) if isinstance(value, dict) else None

    def reshape(record):
        values = (functools.reduce(inner, path, record) for path in paths)
        dates = [(moment, value) for value in values if (moment := moment_or_none(value))]
        return {**record, name: max(dates, default=(None, EPOCH))[1]}

    return reshape
