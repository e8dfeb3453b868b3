"""Makes each record valid against its stream's schema, and loadable into PostgreSQL.

A target may refuse the whole load for one odd value, so that a value that does not fit is converted
where its meaning is clear and becomes null where it is not; docs/design.md has the table. A schema
is compiled once into nested functions. Each of them handles the values that it is made for and
passes any other on to the next (`otherwise`); the usual value is handled by the first.

Of JSON Schema, `type`, `format: date-time`, `properties`, `items`, `additionalProperties: false`
and `anyOf` are followed: what our schemas and those of published versions use. What else somebody
may have written into a catalog (`enum`, `maxLength`, `required`) is not.
"""

import json
import re
import sys
from collections.abc import Callable, Mapping
from enum import Enum
from typing import Any, Protocol

from tap_helpscout.dates import datetime_or_none
from tap_helpscout.transform import MAX_DEPTH, Row

Schema = Mapping[str, Any]
FieldPath = tuple[str, ...]
# From any JSON value to one that fits, or to None where none does.
Convert = Callable[[Any], Any]

# What PostgreSQL's bigint holds: https://www.postgresql.org/docs/current/datatype-numeric.html
MIN_INTEGER, MAX_INTEGER = -(2**63), 2**63 - 1
# A double's range. Beyond it Python reads a decimal number as infinite, which JSON cannot say.
MAX_NUMBER = sys.float_info.max

# PostgreSQL's text and jsonb hold neither:
# https://www.postgresql.org/docs/current/datatype-json.html
NUL = "\0"
HALF_SURROGATE_PAIR = re.compile("[\ud800-\udfff]")

JSON_NUMBER = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?")
# A valid date-time in UTC, but that each month is given 31 days.
UTC_DATETIME = re.compile(
    r"(?!0000)[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])"
    r"T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\.[0-9]+)?Z"
)
SHORTEST_MONTH = "28"  # compared as text

ANY_KIND = ("null", "boolean", "object", "array", "number", "string")
KINDS = {*ANY_KIND, "integer"}


class Outcome(Enum):
    """What became of a value that did not fit, in the words of the log."""

    TEXT = "written as text"
    NULL = "written as null"
    LEFT_OUT = "left out"


class Report(Protocol):
    """Is told of values that did not fit; to an empty one (`""`, `[]`) and to null nothing is lost.
    A path is the field's name after those of the objects around it."""

    def unknown(self, path: FieldPath) -> None:
        """A field that neither the schema nor the packaged one lists was left out."""

    def misfit(self, path: FieldPath, kind: str, outcome: Outcome) -> None:
        """A value of this kind ("a string") did not fit."""


def compile_schema(schema: Schema, known: Schema, report: Report) -> Callable[[Row], Row]:
    """Makes the function from a record, as `transform.to_record` makes it, to a new one that fits.

    `schema` is what was selected, `known` the packaged schema: a field that only `known` lists was
    deselected, and is left out without a report.

    Null is written where the schema allows it. Elsewhere, as for keys, the field is left out, so
    that the record is valid: `record.get(key) is None` tells a row whose key is lost, which the
    caller must leave out.
    """
    choices = _choices(schema)
    listed = next((choice for choice in choices if _has(choice, "properties")), choices[0])
    return _object({"properties": {}, **listed}, known, (), report)


# -- compiling -------------------------------------------------------------------------------------


def _value(schema: Schema, known: Schema, path: FieldPath, report: Report) -> Convert:
    """The function for a value that is not null.

    Values that fit as they are come first, then conversions, then text for whatever is left; so a
    field that may be an integer or a string keeps the string "7". Each function calls the one made
    before it where the value is not its own: the last one made is the first to see a value.
    """
    choices = [(kind, choice) for choice in _choices(schema) for kind in _kinds(choice)]
    kinds = {kind for kind, _ in choices}
    lose = _lose(path, report, Outcome.NULL if "null" in kinds else Outcome.LEFT_OUT)
    convert = _to_text(path, report, lose) if "string" in kinds else lose
    for kind, make in _CONVERSIONS.items():
        if kind in kinds:
            convert = make(convert)
    for kind, choice in reversed(choices):
        if kind == "object":
            convert = _if_object(_object(choice, known, path, report), convert)
        elif kind == "array":
            convert = _if_array(_array(choice, known, path, report), convert)
        elif kind != "null":
            convert = _FITTING[kind](convert)
    return convert


def _choices(schema: Any) -> list[Schema]:
    """The alternatives of a schema, each without `anyOf`: mostly the schema itself."""
    if not isinstance(schema, Mapping):
        return [{}]
    alternatives = schema.get("anyOf")
    if not isinstance(alternatives, list):
        return [schema]
    shared = {name: value for name, value in schema.items() if name != "anyOf"}
    merged = [{**shared, **each} for each in alternatives if isinstance(each, Mapping)]
    return [choice for each in merged for choice in _choices(each)] or [shared]


def _kinds(schema: Schema) -> list[str]:
    """The kinds of values that a schema without `anyOf` allows; "date-time" is one of ours."""
    listed = schema.get("type")
    names = listed if isinstance(listed, list) else [listed]
    kinds = [name for name in names if isinstance(name, str) and name in KINDS] or ANY_KIND
    if schema.get("format") == "date-time":
        return ["date-time" if kind == "string" else kind for kind in kinds]
    return list(kinds)


def _allows_null(schema: Schema) -> bool:
    return any("null" in _kinds(choice) for choice in _choices(schema))


def _has(schema: Schema, keyword: str) -> bool:
    """Whether a schema has `properties` or `items`, in the form that is followed."""
    return isinstance(schema.get(keyword), Mapping)


def _object(schema: Schema, known: Schema, path: FieldPath, report: Report) -> Callable[[Row], Row]:
    """The function for an object: the fields that its schema lists, or all if it lists none."""
    if not _has(schema, "properties") and schema.get("additionalProperties") is not False:
        return _any_json(_lose(path, report, Outcome.NULL))
    listed: Schema = schema["properties"] if _has(schema, "properties") else {}
    known = known.get("properties", {})
    fields = {
        name: _value(inner, known.get(name, {}), (*path, name), report)
        for name, inner in listed.items()
    }
    never_null = [name for name, inner in listed.items() if not _allows_null(inner)]

    def convert(value: Row) -> Row:
        result = {}
        for name, inner in value.items():
            if fit := fields.get(name):
                result[name] = None if inner is None else fit(inner)
            elif name not in known:
                report.unknown((*path, name))
        for name in never_null:
            if name in result and result[name] is None:
                del result[name]
        return result

    return convert


def _array(
    schema: Schema, known: Schema, path: FieldPath, report: Report
) -> Callable[[list[Any]], list[Any]]:
    """The function for an array. An item that does not fit is null, or left out without null."""
    if not _has(schema, "items"):
        return _any_json(_lose(path, report, Outcome.NULL))
    item = _value(schema["items"], known.get("items", {}), path, report)
    if _allows_null(schema["items"]):
        return lambda values: [None if value is None else item(value) for value in values]

    def convert(values: list[Any]) -> list[Any]:
        items = (item(value) for value in values if value is not None)
        return [value for value in items if value is not None]

    return convert


# -- values that fit as they are -------------------------------------------------------------------


def _if_string(otherwise: Convert) -> Convert:
    def convert(value: Any) -> Any:
        if isinstance(value, str):
            # Two tests that take no time, for nearly all texts.
            return value if value.isascii() and NUL not in value else _loadable(value)
        return otherwise(value)

    return convert


def _if_datetime(otherwise: Convert) -> Convert:
    def convert(value: Any) -> Any:
        if isinstance(value, str) and UTC_DATETIME.fullmatch(value):
            if value[8:10] <= SHORTEST_MONTH or datetime_or_none(value):
                return value
        return otherwise(value)

    return convert


def _if_integer(otherwise: Convert) -> Convert:
    def convert(value: Any) -> Any:
        if isinstance(value, int) and not isinstance(value, bool):
            if MIN_INTEGER <= value <= MAX_INTEGER:
                return value
        return otherwise(value)

    return convert


def _if_number(otherwise: Convert) -> Convert:
    def convert(value: Any) -> Any:
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            if -MAX_NUMBER <= value <= MAX_NUMBER:
                return value
        return otherwise(value)

    return convert


def _if_boolean(otherwise: Convert) -> Convert:
    return lambda value: value if isinstance(value, bool) else otherwise(value)


def _if_object(convert: Convert, otherwise: Convert) -> Convert:
    return lambda value: convert(value) if isinstance(value, dict) else otherwise(value)


def _if_array(convert: Convert, otherwise: Convert) -> Convert:
    return lambda value: convert(value) if isinstance(value, list) else otherwise(value)


_FITTING: dict[str, Callable[[Convert], Convert]] = {
    "string": _if_string,
    "date-time": _if_datetime,
    "integer": _if_integer,
    "number": _if_number,
    "boolean": _if_boolean,
}


# -- values that fit when they are converted -------------------------------------------------------


def _to_datetime(otherwise: Convert) -> Convert:
    """Any ISO 8601 datetime, in UTC with its microseconds; none for an empty text.

    24:00 is the next day's 00:00. A leap second (:60) is no datetime to Python, nor is one that
    leaves the years 1 to 9999 on its way to UTC.
    """

    def convert(value: Any) -> Any:
        if value == "":
            return None
        parsed = datetime_or_none(value) if isinstance(value, str) else None
        return parsed.replace(tzinfo=None).isoformat() + "Z" if parsed else otherwise(value)

    return convert


def _to_integer(otherwise: Convert) -> Convert:
    """7.0 and "7". A boolean is no number: it has a meaning of its own, which 1 would hide."""

    def convert(value: Any) -> Any:
        number = _number_in(value)
        if isinstance(number, float) and number.is_integer():
            number = int(number)
        if isinstance(number, int) and MIN_INTEGER <= number <= MAX_INTEGER:
            return number
        return otherwise(value)

    return convert


def _to_number(otherwise: Convert) -> Convert:
    def convert(value: Any) -> Any:
        number = _number_in(value)
        if number is not None and -MAX_NUMBER <= number <= MAX_NUMBER:
            return number
        return otherwise(value)

    return convert


def _number_in(value: Any) -> int | float | None:
    """A float, or the number whose JSON text this is: not " 7", "007", "+7" or "1_000"."""
    if isinstance(value, float):
        return value
    if not isinstance(value, str) or not JSON_NUMBER.fullmatch(value):
        return None
    try:
        number: int | float = json.loads(value)
        return number
    except ValueError:  # more digits than Python reads
        return None


def _to_boolean(otherwise: Convert) -> Convert:
    def convert(value: Any) -> Any:
        if isinstance(value, str) and value in ("true", "false"):
            return value == "true"
        return otherwise(value)

    return convert


def _to_object(otherwise: Convert) -> Convert:
    """An empty array is what PHP writes for an object without fields: there is nothing to tell."""
    return lambda value: None if value == [] else otherwise(value)


def _to_array(otherwise: Convert) -> Convert:
    return lambda value: [] if value == {} else otherwise(value)


_CONVERSIONS: dict[str, Callable[[Convert], Convert]] = {
    "array": _to_array,
    "object": _to_object,
    "date-time": _to_datetime,
    "boolean": _to_boolean,
    "number": _to_number,
    "integer": _to_integer,
}


def _to_text(path: FieldPath, report: Report, lose: Convert) -> Convert:
    """The JSON text of anything that is not a string; objects and arrays are reported."""
    clean = _any_json(lose)

    def convert(value: Any) -> Any:
        cleaned = clean(value)
        if cleaned is None:
            return None
        if isinstance(value, (dict, list)):
            report.misfit(path, _kind_of(value), Outcome.TEXT)
        return json.dumps(cleaned, ensure_ascii=False)

    return convert


# -- any JSON value --------------------------------------------------------------------------------


class _TooDeepError(ValueError):
    """A value is nested too deep to be written."""


def _any_json(lose: Convert) -> Convert:
    """The function for a value of which the schema says no more than its kind."""

    def convert(value: Any) -> Any:
        try:
            return _cleaned(value, lose)
        except _TooDeepError:
            return lose(value)

    return convert


def _cleaned(value: Any, lose: Convert, depth: int = 0) -> Any:
    """A copy of any JSON value that PostgreSQL's jsonb holds.

    Numbers stay as they are, however large, unless they are infinite or not a number. Where
    two names become the same, the first one's value stays.
    """
    if isinstance(value, str):
        return _loadable(value)
    if isinstance(value, float):
        return value if -MAX_NUMBER <= value <= MAX_NUMBER else lose(value)
    if not isinstance(value, (dict, list)):
        return value
    if depth == MAX_DEPTH:
        raise _TooDeepError
    if isinstance(value, list):
        return [_cleaned(item, lose, depth + 1) for item in value]
    result: dict[str, Any] = {}
    for name, inner in value.items():
        result.setdefault(_loadable(name), _cleaned(inner, lose, depth + 1))
    return result


def _loadable(text: str) -> str:
    """A text without NUL, and with U+FFFD in place of each half of a surrogate pair."""
    try:
        text.encode()  # ten times as fast as a search
    except UnicodeEncodeError:
        text = HALF_SURROGATE_PAIR.sub("\ufffd", text)
    return text.replace(NUL, "")


# -- values that do not fit ------------------------------------------------------------------------


def _lose(path: FieldPath, report: Report, outcome: Outcome) -> Convert:
    def convert(value: Any) -> None:
        report.misfit(path, _kind_of(value), outcome)

    return convert


def _kind_of(value: Any) -> str:
    """The JSON kind of a value that is not null, as the log says it."""
    if isinstance(value, bool):
        return "a boolean"
    if isinstance(value, (int, float)):
        return "a number"
    if isinstance(value, str):
        return "a string"
    return "an object" if isinstance(value, dict) else "an array"
