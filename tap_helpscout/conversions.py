"""What becomes of one value: kept where it fits, converted where its meaning is clear, else lost.

Each function makes another, which handles the values that it is made for and passes any other on to
the next (`otherwise`). docs/design.md has the table.
"""

import json
import re
import sys
from collections.abc import Callable
from enum import Enum
from typing import Any, Protocol

from tap_helpscout.dates import datetime_or_none
from tap_helpscout.transform import MAX_DEPTH

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


def if_object(convert: Convert, otherwise: Convert) -> Convert:
    return lambda value: convert(value) if isinstance(value, dict) else otherwise(value)


def if_array(convert: Convert, otherwise: Convert) -> Convert:
    return lambda value: convert(value) if isinstance(value, list) else otherwise(value)


FITTING: dict[str, Callable[[Convert], Convert]] = {
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


CONVERSIONS: dict[str, Callable[[Convert], Convert]] = {
    "array": _to_array,
    "object": _to_object,
    "date-time": _to_datetime,
    "boolean": _to_boolean,
    "number": _to_number,
    "integer": _to_integer,
}


def to_text(path: FieldPath, report: Report, lose: Convert) -> Convert:
    """The JSON text of anything that is not a string; objects and arrays are reported."""
    clean = any_json(lose)

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


def any_json(lose: Convert) -> Convert:
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


def report_lost(path: FieldPath, report: Report, outcome: Outcome) -> Convert:
    """For a value that nothing can be made of."""

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
