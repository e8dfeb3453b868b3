"""Makes each record valid against its stream's schema, and loadable into PostgreSQL.

A target may refuse the whole load for one odd value, so that a value that does not fit is converted
where its meaning is clear and becomes null where it is not; docs/design.md has the table. A schema
is compiled once into nested functions. Each of them handles the values that it is made for and
passes any other on to the next (`otherwise`); the usual value is handled by the first.

Of JSON Schema, `type`, `format: date-time`, `properties`, `items`, `additionalProperties: false`
and `anyOf` are followed: what our schemas and those of published versions use. What else somebody
may have written into a catalog (`enum`, `maxLength`, `required`) is taken out of it (`followed`).
"""

from collections.abc import Callable, Mapping
from typing import Any

from tap_helpscout.conversions import (
    CONVERSIONS,
    FITTING,
    Convert,
    FieldPath,
    Outcome,
    Report,
    any_json,
    if_array,
    if_object,
    report_lost,
    to_text,
)
from tap_helpscout.transform import Row

Schema = Mapping[str, Any]

ANY_KIND = ("null", "boolean", "object", "array", "number", "string")
KINDS = {*ANY_KIND, "integer"}

# The keywords of draft 7 that say what a value must be like, without those that are followed:
# https://json-schema.org/draft-07/draft-handrews-json-schema-validation-01
CONSTRAINTS = frozenset(
    "enum const multipleOf maximum exclusiveMaximum minimum exclusiveMinimum maxLength minLength "
    "pattern additionalItems maxItems minItems uniqueItems contains maxProperties minProperties "
    "required patternProperties dependencies propertyNames if then else allOf oneOf not "
    "$ref contentEncoding contentMediaType".split()
)


def followed(schema: Schema) -> tuple[dict[str, Any], set[str]]:
    """A schema without the keywords that are not followed, at any depth, and which they were: a
    record that does not heed them could not be loaded."""
    dropped = {name for name, value in schema.items() if not _is_followed(name, value)}
    kept = {name: value for name, value in schema.items() if name not in dropped}

    def inside(inner: Any) -> Any:
        if not isinstance(inner, Mapping):
            return inner
        result, more = followed(inner)
        dropped.update(more)
        return result

    if _has(kept, "properties"):
        kept["properties"] = {name: inside(one) for name, one in kept["properties"].items()}
    if "items" in kept:
        kept["items"] = inside(kept["items"])
    if "anyOf" in kept:
        kept["anyOf"] = [inside(one) for one in kept["anyOf"]]
    return kept, dropped


def _is_followed(keyword: str, value: Any) -> bool:
    if keyword == "format":
        return bool(value == "date-time")
    if keyword == "items":
        return isinstance(value, Mapping)
    if keyword == "anyOf":
        return bool(value)
    if keyword == "additionalProperties":
        return isinstance(value, bool)
    return keyword not in CONSTRAINTS


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


def _value(schema: Schema, known: Schema, path: FieldPath, report: Report) -> Convert:
    """The function for a value that is not null.

    Values that fit as they are come first, then conversions, then text for whatever is left; so a
    field that may be an integer or a string keeps the string "7". Each function calls the one made
    before it where the value is not its own: the last one made is the first to see a value.
    """
    choices = [(kind, choice) for choice in _choices(schema) for kind in _kinds(choice)]
    kinds = {kind for kind, _ in choices}
    lose = report_lost(path, report, Outcome.NULL if "null" in kinds else Outcome.LEFT_OUT)
    convert = to_text(path, report, lose) if "string" in kinds else lose
    for kind, make in CONVERSIONS.items():
        if kind in kinds:
            convert = make(convert)
    for kind, choice in reversed(choices):
        if kind == "object":
            convert = if_object(_object(choice, known, path, report), convert)
        elif kind == "array":
            convert = if_array(_array(choice, known, path, report), convert)
        elif kind != "null":
            convert = FITTING[kind](convert)
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
        return any_json(report_lost(path, report, Outcome.NULL))
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
        return any_json(report_lost(path, report, Outcome.NULL))
    item = _value(schema["items"], known.get("items", {}), path, report)
    if _allows_null(schema["items"]):
        return lambda values: [None if value is None else item(value) for value in values]

    def convert(values: list[Any]) -> list[Any]:
        items = (item(value) for value in values if value is not None)
        return [value for value in items if value is not None]

    return convert
