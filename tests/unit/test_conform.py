"""Whatever the API sends, the record is valid against its schema and PostgreSQL can hold it."""

import copy
import functools
import itertools
import json
import math
import re
from datetime import date
from pathlib import Path

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tap_helpscout
from tap_helpscout.conform import compile_schema, followed
from tap_helpscout.conversions import Outcome
from tap_helpscout.findings import Findings
from tap_helpscout.streams import STREAMS
from tap_helpscout.transform import MAX_DEPTH, in_turn, lift, map_to_list, to_record, without
from tests.examples import examples
from tests.fake import FakeHelpScout, build
from tests.unit.json_values import JSON, LEAVES, NAMES

SCHEMAS = {
    path.stem: json.loads(path.read_text(encoding="utf-8"))
    for path in (Path(tap_helpscout.__file__).parent / "schemas").glob("*.json")
}
TEXT, NULL, LEFT_OUT = Outcome.TEXT, Outcome.NULL, Outcome.LEFT_OUT


class Reported:
    """A report that keeps everything."""

    def __init__(self):
        self.unknown_fields, self.misfits = [], []

    def unknown(self, path):
        self.unknown_fields.append(path)

    def misfit(self, path, kind, outcome):
        self.misfits.append((path, kind, outcome))


def conformed(record, schema, known=None):
    """(the record that is written, what was reported of it); nothing that is handed in changes."""
    reported = Reported()
    before = copy.deepcopy(schema)
    result = compile_schema(schema, schema if known is None else known, reported)(record)
    assert schema == before
    return result, reported


# -- what valid is: an independent opinion ---------------------------------------------------------

FORMATS = jsonschema.FormatChecker(formats=())
RFC_3339 = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)(\.\d+)?(Z|[+-]\d\d:\d\d)", re.ASCII
)


@FORMATS.checks("date-time")
def is_datetime(value):
    if not isinstance(value, str):
        return True
    match = RFC_3339.fullmatch(value)
    if not match:
        return False
    year, month, day, hour, minute, second = map(int, match.groups()[:6])
    try:
        date(year, month, day)
    except ValueError:
        return False
    return hour < 24 and minute < 60 and second < 60


def bounded(schema):
    """The same schema, where integers have 64 bits."""
    if isinstance(schema, list):
        return [bounded(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    result = {name: bounded(inner) for name, inner in schema.items()}
    if schema.get("type") == "integer" or schema.get("type") == ["null", "integer"]:
        result.update(minimum=-(2**63), maximum=2**63 - 1)
    return result


def strings_and_numbers(value):
    if isinstance(value, dict):
        yield from value
        value = list(value.values())
    if isinstance(value, list):
        for item in value:
            yield from strings_and_numbers(item)
    elif isinstance(value, (str, float)):
        yield value


def assert_valid(record, schema):
    jsonschema.Draft4Validator(bounded(schema), format_checker=FORMATS).validate(record)
    for value in strings_and_numbers(record):
        if isinstance(value, str):
            assert not re.search("[\0\ud800-\udfff]", value)
        else:
            assert math.isfinite(value)


@pytest.mark.parametrize("text", ["2024-02-30T00:00:00Z", "2024-01-01", "2024-01-01T24:00:00Z"])
def test_the_opinion_itself_refuses_what_is_not_valid(text):
    schema = {"properties": {"at": {"type": "string", "format": "date-time"}}}
    assert_valid({"at": "2024-01-01T00:00:00Z"}, schema)
    with pytest.raises(jsonschema.ValidationError):
        assert_valid({"at": text}, schema)
    with pytest.raises(AssertionError):
        assert_valid({"a\ud83d": 1}, schema)


# -- every stream's rows ---------------------------------------------------------------------------

ODD_LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(min_value=2**62) | st.integers(max_value=-(2**62)),
    st.floats(),
    st.text(),
    # Hypothesis makes no half pairs by itself.
    st.text(st.characters(categories=["Cs", "Cc", "L"]), max_size=5),
    st.from_regex(r"-?[0-9]{1,20}(\.[0-9]{1,3})?([eE][+-]?[0-9]{1,3})?", fullmatch=True),
    st.from_regex(
        r"[0-9]{4}-[01][0-9]-[0-3][0-9]([ Tt][0-2][0-9]:[0-6][0-9](:[0-6][0-9])?"
        r"([.,][0-9]{1,9})?([Zz]|[+-][0-2][0-9]:?[0-6][0-9])?)?",
        fullmatch=True,
    ),
    st.sampled_from(["", "true", "false", "0000-00-00", 10**400, -0.0, 2.0**63]),
)
ODD_NAMES = NAMES | st.text(st.characters(categories=["Cs", "Cc", "L"]), max_size=3)
ODD_JSON = st.recursive(
    ODD_LEAVES,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(ODD_NAMES, inner, max_size=5),
    max_leaves=12,
)
LOADABLE = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8)
DATES = st.datetimes().map(lambda value: value.isoformat() + "Z")


def valid_values(schema):
    """Values that fit one of our own schemas."""
    kind, *others = [name for name in [schema["type"]] if isinstance(name, str)] or [
        name for name in schema["type"] if name != "null"
    ]
    if schema.get("format") == "date-time":
        values = DATES
    elif kind == "object" and "properties" in schema:
        values = st.fixed_dictionaries(
            {}, optional={name: valid_values(inner) for name, inner in schema["properties"].items()}
        )
    elif kind == "array":
        values = st.lists(valid_values(schema["items"]), max_size=3)
    else:
        values = {
            "string": LOADABLE,
            "integer": st.integers(-(2**63), 2**63 - 1),
            "number": st.floats(allow_nan=False, allow_infinity=False) | st.integers(-9, 2**70),
            "boolean": st.booleans(),
            "object": st.dictionaries(LOADABLE, LOADABLE | st.integers() | st.none(), max_size=3),
        }[kind]
    for other in others:
        values |= valid_values({"type": other})
    return st.none() | values if "null" in schema["type"] else values


def example_of(schema):
    """A value with every field of a schema, and two items in every array."""
    kind = [name for name in [schema["type"]] if isinstance(name, str)] or [
        name for name in schema["type"] if name != "null"
    ]
    if schema.get("format") == "date-time":
        return "2024-02-29T23:59:59Z"
    if kind[0] == "object":
        properties = schema.get("properties")
        if properties is None:
            return {"any": {"thing": [1, "x", None]}}
        return {name: example_of(inner) for name, inner in properties.items()}
    if kind[0] == "array":
        return [example_of(schema["items"]) for _ in range(2)]
    return {"string": "text", "integer": 7, "number": 1.5, "boolean": True}[kind[0]]


def places(value, path=()):
    """The path of each value in a record: names and positions."""
    pairs = value.items() if isinstance(value, dict) else enumerate(value)
    for name, inner in pairs:
        yield (*path, name)
        if isinstance(inner, (dict, list)):
            yield from places(inner, (*path, name))


def with_value(record, path, value):
    """A copy of a record with another value at a path."""
    result = copy.deepcopy(record)
    holder = result
    for name in path[:-1]:
        holder = holder[name]
    holder[path[-1]] = value
    return result


def field_of(path):
    """The part of a path that the schema names, down to an array or an object of any fields."""
    return tuple(itertools.takewhile(lambda step: step != "any" and step not in (0, 1), path))


def without_field(record, path):
    """A record without the field that holds what is at a path, to compare the rest."""
    result = holder = copy.deepcopy(record)
    *outer, name = field_of(path)
    for step in outer:
        holder = holder[step]
    holder.pop(name, None)
    return result


# There are many streams.
brief = examples(8)


@pytest.mark.parametrize("name", SCHEMAS)
@brief
@given(data=st.data())
def test_a_valid_row_is_the_same_record(name, data):
    schema = SCHEMAS[name]
    row = data.draw(valid_values(schema))
    assert_valid(row, schema)
    record, reported = conformed(row, schema)
    assert record == row
    assert json.dumps(record) == json.dumps(row)  # 1 is 1.0 and True to Python
    assert not reported.unknown_fields and not reported.misfits


@pytest.mark.parametrize("name", SCHEMAS)
@brief
@given(data=st.data())
def test_any_value_at_any_place_gives_a_valid_record_and_leaves_the_rest_alone(name, data):
    schema, row = SCHEMAS[name], example_of(SCHEMAS[name])
    path, value = data.draw(st.sampled_from(list(places(row)))), data.draw(ODD_JSON)
    odd = with_value(row, path, value)
    before = repr(odd)
    record, reported = conformed(odd, schema)
    assert repr(odd) == before  # NaN is not equal to itself
    assert_valid(record, schema)
    assert without_field(record, path) == without_field(row, path)
    # What became null was null, empty, or is reported.
    if len(path) == 1 and value not in (None, "", []):
        assert record.get(path[0]) is not None or reported.misfits


@functools.cache
def api_rows():
    """{stream: the fullest of its rows, as the API sends it}"""
    with FakeHelpScout(build(40, 20)) as fake:
        truth = {**fake.truth(), **fake.truth_more()}
    only_rows = {
        name: [row[1] if isinstance(row, tuple) else row for row in rows]
        for name, rows in truth.items()
    }
    return {name: max(rows, key=lambda row: len(str(row))) for name, rows in only_rows.items()}


@examples(200)
@given(data=st.data())
def test_any_value_at_any_place_of_what_the_api_sends_gives_a_valid_record(data):
    name = data.draw(st.sampled_from(sorted(api_rows())))
    row, stream = api_rows()[name], STREAMS[name]
    odd = with_value(row, data.draw(st.sampled_from(list(places(row)))), data.draw(ODD_JSON))
    parents = dict.fromkeys(stream.parent_keys, 7)
    record, _ = conformed(to_record(stream, odd, parents), SCHEMAS[name])
    assert_valid(record, SCHEMAS[name])
    assert all(record[key] == 7 for key in parents)


@given(st.sampled_from(sorted(SCHEMAS)), st.dictionaries(ODD_NAMES, ODD_JSON))
def test_any_row_gives_a_valid_record_and_only_unknown_fields_are_reported(name, row):
    record, reported = conformed(row, SCHEMAS[name])
    assert_valid(record, SCHEMAS[name])
    assert {path for path in reported.unknown_fields if len(path) == 1} == {
        (field,) for field in row if field not in SCHEMAS[name]["properties"]
    }


@pytest.mark.parametrize("name", SCHEMAS)
@pytest.mark.parametrize("wrap", [lambda value: [value], lambda value: {"a": value}])
def test_deep_nesting_is_null_with_a_report_at_any_place(name, wrap):
    schema, row = SCHEMAS[name], example_of(SCHEMAS[name])
    deep = 1
    for _ in range(10_000):
        deep = wrap(deep)
    for path in places(row):
        odd = copy.deepcopy(row)
        holder = odd
        for step in path[:-1]:
            holder = holder[step]
        holder[path[-1]] = deep
        reported = Reported()
        record = compile_schema(schema, schema, reported)(odd)
        assert_valid(record, schema)
        assert without_field(record, path) == without_field(row, path)
        assert reported.misfits or reported.unknown_fields


def test_what_is_nested_less_deep_is_kept():
    value = 1
    for _ in range(MAX_DEPTH):
        value = [value]
    schema = {"properties": {"a": {}}}
    assert conformed({"a": value}, schema)[0] == {"a": value}
    record, reported = conformed({"a": [value]}, schema)
    assert (record, reported.misfits) == ({"a": None}, [(("a",), "an array", NULL)])


# -- the table of the design, value for value ------------------------------------------------------

KEPT = None  # not reported


@pytest.mark.parametrize(
    ("kind", "sent", "written", "outcome"),
    [
        ("string", 5, "5", KEPT),
        ("string", 1.5, "1.5", KEPT),
        ("string", -0.0, "-0.0", KEPT),
        ("string", True, "true", KEPT),
        ("string", 10**30, "1" + 30 * "0", KEPT),
        ("string", "", "", KEPT),
        ("string", " Größe \U0001f422 ", " Größe \U0001f422 ", KEPT),
        ("string", "a\0b", "ab", KEPT),
        ("string", "é\0", "é", KEPT),
        ("string", "half \ud83d", "half \ufffd", KEPT),
        ("string", "\udc22\ud83d", "\ufffd\ufffd", KEPT),
        ("string", "\ud83d\0\udc22", "\ufffd\ufffd", KEPT),
        ("string", {"a": ["é\0\ud83d"]}, '{"a": ["é\ufffd"]}', TEXT),
        ("string", [], "[]", TEXT),
        ("string", math.inf, None, NULL),
        ("integer", 7, 7, KEPT),
        ("integer", "7", 7, KEPT),
        ("integer", "-7", -7, KEPT),
        ("integer", "7.0", 7, KEPT),
        ("integer", "7e2", 700, KEPT),
        ("integer", 7.0, 7, KEPT),
        ("integer", -0.0, 0, KEPT),
        ("integer", 2**63 - 1, 2**63 - 1, KEPT),
        ("integer", -(2**63), -(2**63), KEPT),
        ("integer", str(2**63 - 1), 2**63 - 1, KEPT),
        ("integer", 2**63, None, NULL),
        ("integer", 2.0**63, None, NULL),
        ("integer", -(2**63) - 1, None, NULL),
        ("integer", str(2**63), None, NULL),
        ("integer", "9" * 5000, None, NULL),
        ("integer", 1.5, None, NULL),
        ("integer", "1.5", None, NULL),
        ("integer", "seven", None, NULL),
        ("integer", "", None, NULL),
        ("integer", " 7", None, NULL),
        ("integer", "7\n", None, NULL),
        ("integer", "007", None, NULL),
        ("integer", "+7", None, NULL),
        ("integer", "1_000", None, NULL),
        ("integer", "\u0667", None, NULL),  # a seven to int()
        ("integer", True, None, NULL),
        ("integer", "true", None, NULL),
        ("integer", math.nan, None, NULL),
        ("integer", math.inf, None, NULL),
        ("integer", [7], None, NULL),
        ("number", 1.5, 1.5, KEPT),
        ("number", 7, 7, KEPT),
        ("number", "1.5", 1.5, KEPT),
        ("number", "7", 7, KEPT),
        ("number", 2**70, 2**70, KEPT),
        ("number", 5e-324, 5e-324, KEPT),
        ("number", math.inf, None, NULL),
        ("number", math.nan, None, NULL),
        ("number", "1e400", None, NULL),
        ("number", "NaN", None, NULL),
        ("number", 10**400, None, NULL),
        ("number", False, None, NULL),
        ("number", {}, None, NULL),
        ("boolean", True, True, KEPT),
        ("boolean", "true", True, KEPT),
        ("boolean", "false", False, KEPT),
        ("boolean", "True", None, NULL),
        ("boolean", 1, None, NULL),
        ("boolean", "", None, NULL),
        ("date-time", "2024-01-01T00:00:00Z", "2024-01-01T00:00:00Z", KEPT),
        ("date-time", "2024-01-31T00:00:00.5Z", "2024-01-31T00:00:00.5Z", KEPT),
        ("date-time", "2024-01-01T00:00:00.123456789Z", "2024-01-01T00:00:00.123456789Z", KEPT),
        ("date-time", "2024-01-01", "2024-01-01T00:00:00Z", KEPT),
        ("date-time", "2024-01-01 10:11", "2024-01-01T10:11:00Z", KEPT),
        ("date-time", "2024-01-01t10:11:12z", "2024-01-01T10:11:12Z", KEPT),
        ("date-time", "2024-01-01T01:00:00+02:00", "2023-12-31T23:00:00Z", KEPT),
        ("date-time", "2024-01-01 01:00:00.25-0130", "2024-01-01T02:30:00.250000Z", KEPT),
        ("date-time", "2017-12-12T12:12:13", "2017-12-12T12:12:13Z", KEPT),
        ("date-time", "20240101T101112Z", "2024-01-01T10:11:12Z", KEPT),
        ("date-time", "2024-01-01T24:00:00Z", "2024-01-02T00:00:00Z", KEPT),
        ("date-time", "0001-01-01T00:00:00Z", "0001-01-01T00:00:00Z", KEPT),
        ("date-time", "0001-01-01", "0001-01-01T00:00:00Z", KEPT),
        ("date-time", "2024-02-29T00:00:00Z", "2024-02-29T00:00:00Z", KEPT),
        ("date-time", "", None, KEPT),
        ("date-time", "yesterday", None, NULL),
        ("date-time", "0000-00-00", None, NULL),
        ("date-time", "0000-01-01T00:00:00Z", None, NULL),
        ("date-time", "2023-02-29T00:00:00Z", None, NULL),
        ("date-time", "2023-02-30T00:00:00.5Z", None, NULL),
        ("date-time", "2024-01-01T00:00:60Z", None, NULL),
        ("date-time", "2024-01-01T00:00:00Z\n", None, NULL),
        ("date-time", "\uff12024-01-01T00:00:00Z", None, NULL),
        ("date-time", "0001-01-01T00:00:00+01:00", None, NULL),
        ("date-time", "9999-12-31T23:59:59-01:00", None, NULL),
        ("date-time", "9999-12-31T24:00:00Z", None, NULL),
        ("date-time", "\ud83d", None, NULL),
        ("date-time", 1704067200, None, NULL),
        ("date-time", {}, None, NULL),
        ("object", {"a": 1}, {"a": 1}, KEPT),
        ("object", [], None, KEPT),
        ("object", [{"a": 1}], None, NULL),
        ("object", "", None, NULL),
        ("object", {"a\0": "b\0", "\ud83d": 2**90}, {"a": "b", "\ufffd": 2**90}, KEPT),
        ("object", {"a": math.nan, "b": [1]}, {"a": None, "b": [1]}, NULL),
        ("object", {"a": 1, "a\0": 2}, {"a": 1}, KEPT),
        ("array", [1, "a\0"], [1, "a"], KEPT),
        ("array", {}, [], KEPT),
        ("array", {"a": 1}, None, NULL),
        ("array", "a,b", None, NULL),
        ("array", 0, None, NULL),
    ],
)
def test_odd_values(kind, sent, written, outcome):
    name, form = ("string", {"format": "date-time"}) if kind == "date-time" else (kind, {})
    for types in (["null", name], [name, "null"]):
        record, reported = conformed({"a": sent}, {"properties": {"a": {"type": types, **form}}})
        assert json.dumps(record) == json.dumps({"a": written})
        assert [each for *_, each in reported.misfits] == ([outcome] if outcome else [])
    # Where null may not be, the field is left out: a key's row is lost.
    record, reported = conformed({"a": sent}, {"properties": {"a": {"type": name, **form}}})
    assert json.dumps(record) == json.dumps({} if written is None else {"a": written})
    if outcome and kind != "object":
        assert [each for *_, each in reported.misfits] == [LEFT_OUT if outcome is NULL else TEXT]


def test_items_that_do_not_fit_leave_the_array():
    numbers = {"type": "array", "items": {"type": ["null", "integer"]}}
    schema = {"properties": {"a": numbers, "b": {**numbers, "items": {"type": "integer"}}}}
    sent = [1, "2", None, "x", [], 3.0]
    record, reported = conformed({"a": sent, "b": sent}, schema)
    assert record == {"a": [1, 2, None, None, None, 3], "b": [1, 2, 3]}
    assert reported.misfits == [
        (("a",), "a string", NULL),
        (("a",), "an array", NULL),
        (("b",), "a string", LEFT_OUT),
        (("b",), "an array", LEFT_OUT),
    ]


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (True, "a boolean"),
        (1.5, "a number"),
        (2**70, "a number"),
        ("x", "a string"),
        ([1], "an array"),
        ({"b": 1}, "an object"),
    ],
)
def test_a_report_has_the_kind_of_the_value_and_where_it_was(value, kind):
    items = {"type": "object", "properties": {"b": {"type": ["null", "integer"]}}}
    schema = {"properties": {"a": {"type": "array", "items": items}}}
    _, reported = conformed({"a": [{"b": 1}, {"b": value}]}, schema)
    assert reported.misfits == [(("a", "b"), kind, NULL)]


# -- schemas from catalogs that were edited, or are old --------------------------------------------

DATE = {"type": "string", "format": "date-time"}


@pytest.mark.parametrize(
    ("schema", "sent", "written"),
    [
        ({}, {"a": [1, "x\0"]}, {"a": [1, "x"]}),
        ({}, 2**70, 2**70),
        ({}, math.inf, None),
        ({"format": "date-time"}, "2024-01-01", "2024-01-01T00:00:00Z"),
        ({"format": "date-time"}, 5, 5),
        ({"properties": {"b": {"type": "integer"}}}, {"b": "1", "c": 2}, {"b": 1}),
        ({"properties": {"b": {"type": "integer"}}}, "x", "x"),
        ({"items": {"type": "integer"}}, ["1"], [1]),
        ({"type": ["string"]}, 5, "5"),
        ({"type": "string"}, "2024-01-01", "2024-01-01"),
        ({"type": ["null", "integer", "string"]}, "7", "7"),
        ({"type": ["string", "integer", "null"]}, 7, 7),
        ({"type": ["null", "integer", "string"]}, 2**63, str(2**63)),
        ({"type": ["null", "integer", "boolean"]}, "true", True),
        ({"type": ["null", "integer", "boolean"]}, True, True),
        ({"type": ["integer", "number"]}, 1.5, 1.5),
        ({"type": ["null", "object", "array"]}, [], []),
        ({"type": ["null", "array", "object"]}, {}, {}),
        ({"type": ["null", "string"], "format": "date-time"}, "x", None),
        ({"type": ["null", "integer", "string"], "format": "date-time"}, 5, 5),
        ({"type": "null"}, 5, None),
        ({"type": ["null", "object"], "additionalProperties": False}, {"b": 1}, {}),
        ({"anyOf": [{"type": "array", "items": {"type": "string"}}, {"type": "null"}]}, [5], ["5"]),
        ({"anyOf": [{"type": "null"}, {"type": "array", "items": {"type": "string"}}]}, {}, []),
        ({"anyOf": [{"type": "null"}, {"type": "array"}]}, None, None),
        ({"anyOf": [{"type": "null"}, {"type": "array"}]}, 5, None),
        ({"anyOf": [DATE, {"type": ["null", "string"]}]}, "yesterday", "yesterday"),
        ({"anyOf": [DATE, {"type": "null"}]}, "yesterday", None),
        (
            {
                "anyOf": [
                    {"type": "object", "properties": {"b": {}}},
                    {"type": "object", "properties": {"c": {}}},
                ]
            },
            {"b": 1, "c": 2},
            {"b": 1},
        ),
        ({"anyOf": [{"anyOf": [{"type": "integer"}]}, {"type": "null"}]}, "7", 7),
        ({"type": "any"}, [5], [5]),
    ],
)
def test_schemas_as_catalogs_have_them(schema, sent, written):
    edited = {"properties": {"id": {"type": "integer"}, "a": schema}}
    record, _ = conformed({"id": 1, "a": sent}, edited)
    assert json.dumps(record) == json.dumps({"id": 1, "a": written})


def edited_schemas():
    names = NAMES.filter(lambda name: "\0" not in name)  # a target makes columns of them
    kinds = st.sampled_from("null boolean object array number string integer".split())
    return st.recursive(
        st.fixed_dictionaries(
            {},
            optional={
                "type": kinds | st.lists(kinds, min_size=1, max_size=4, unique=True),
                "format": st.sampled_from(["date-time", "email", "date"]),
                "enum": st.just(["a", 1]),
                "maxLength": st.just(1),
                "minimum": st.just(2.5),
            },
        ),
        lambda inner: (
            st.fixed_dictionaries(
                {},
                optional={
                    "type": kinds | st.lists(kinds, min_size=1, max_size=4, unique=True),
                    "properties": st.dictionaries(names, inner, max_size=3),
                    "items": inner | st.lists(inner, max_size=2),
                    "additionalProperties": st.booleans() | inner,
                    "required": st.just(["z"]),
                    "minItems": st.just(3),
                    "oneOf": st.lists(inner, min_size=1, max_size=2),
                },
            )
            | st.fixed_dictionaries({"anyOf": st.lists(inner, min_size=1, max_size=3)})
        ),
        max_leaves=8,
    )


def values_near(schema):
    """Values of the shape that a schema names, with anything in them."""
    for choice in schema.get("anyOf", []):
        schema = {**choice, **schema}
    values = ODD_JSON
    if "properties" in schema:
        values |= st.fixed_dictionaries(
            {}, optional={name: values_near(each) for name, each in schema["properties"].items()}
        )
    if isinstance(schema.get("items"), dict):
        values |= st.lists(values_near(schema["items"]), max_size=3)
    return values


def test_what_a_schema_says_and_is_not_followed_is_left_out():
    text = {"type": "string", "maxLength": 5, "description": "Its name"}
    schema = {
        "required": ["a"],
        "properties": {
            "enum": text,  # a field may have any name
            "a": {"type": "array", "items": {**text, "format": "email"}},
            "b": {"anyOf": [{"type": "string", "format": "date-time"}, {"const": 5}]},
            "c": {"items": [text], "additionalProperties": text},
        },
    }
    kept = {"type": "string", "description": "Its name"}
    assert followed(schema) == (
        {
            "properties": {
                "enum": kept,
                "a": {"type": "array", "items": kept},
                "b": {"anyOf": [{"type": "string", "format": "date-time"}, {}]},
                "c": {},
            }
        },
        {"required", "maxLength", "format", "const", "items", "additionalProperties"},
    )


@pytest.mark.parametrize("name", SCHEMAS)
def test_all_that_the_schemas_of_the_package_say_is_followed(name):
    assert followed(SCHEMAS[name]) == (SCHEMAS[name], set())


@given(
    edited_schemas().flatmap(lambda schema: st.tuples(st.just(schema), values_near(schema))),
    edited_schemas(),
)
def test_edited_schemas_give_records_that_are_valid_against_them(pair, other):
    field, value = pair
    schema, _ = followed({"type": "object", "properties": {"a": field, "b": other}})
    record, _ = conformed({"a": value, "b": value, "id": 1}, schema, SCHEMAS["teams"])
    assert_valid(record, schema)


@given(
    st.recursive(
        LEAVES,
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from("type format properties items anyOf a b".split()), inner, max_size=4
            )
        ),
        max_leaves=12,
    ),
    ODD_JSON,
)
def test_what_is_no_schema_stops_nothing(field, value):
    for schema in (field, {"properties": field}, {"properties": {"a": field}}):
        if isinstance(schema, dict):
            conformed({"a": value, "b": value}, schema, {})


# -- fields that are not written -------------------------------------------------------------------


def schemas_of(value):
    """Schemas that list some of the names in a value, at any depth."""
    if isinstance(value, dict):
        return st.fixed_dictionaries(
            {}, optional={name: schemas_of(inner) for name, inner in value.items()}
        ).map(lambda properties: {"type": ["null", "object"], "properties": properties})
    if isinstance(value, list) and value:
        return schemas_of(value[0]).map(lambda items: {"type": ["null", "array"], "items": items})
    return st.just({})


@given(
    st.dictionaries(NAMES, JSON, max_size=5).flatmap(
        lambda value: st.tuples(st.just(value), schemas_of(value))
    )
)
def test_a_record_has_what_its_schema_lists_and_everything_else_is_reported(pair):
    value, schema = pair
    before = copy.deepcopy(pair)
    result, reported = conformed(value, schema, {})
    deselected = conformed(value, schema, {"properties": dict.fromkeys(value, {})})
    assert deselected[0] == result
    assert all(len(path) > 1 for path in deselected[1].unknown_fields)
    assert (value, schema) == before
    assert list(result) == [name for name in value if name in schema["properties"]]
    assert [path[0] for path in reported.unknown_fields if len(path) == 1] == [
        name for name in value if name not in schema["properties"]
    ]


def test_fields_within_objects_and_arrays_are_reported_by_their_path():
    known = SCHEMAS["conversations"]
    schema = copy.deepcopy(known)
    del schema["properties"]["subject"]
    del schema["properties"]["tags"]["items"]["properties"]["color"]
    row = {
        "id": 1,
        "subject": "deselected",
        "shoe_size": 43,
        "created_by": {"id": 1, "hat": {"rim": "wide"}},
        "tags": [{"id": 601, "mood": "dim", "color": "red"}, {"id": 602, "mood": "bright"}],
    }
    record, reported = conformed(row, schema, known)
    assert record == {"id": 1, "created_by": {"id": 1}, "tags": [{"id": 601}, {"id": 602}]}
    assert reported.unknown_fields == [
        ("shoe_size",),
        ("created_by", "hat"),
        ("tags", "mood"),
        ("tags", "mood"),
    ]


# -- rows that are reshaped before ---------------------------------------------------------------


class Reshaped:
    def __init__(self, reshape):
        self.reshape = reshape


@pytest.mark.parametrize(
    ("name", "reshape", "row", "parent_keys", "expected"),
    [
        (
            "user_statuses",
            map_to_list("chat.mailbox_statuses", "mailbox_id", "status"),
            {
                "userId": 501,
                "email": {"status": "away", "updatedAt": "2026-02-03T08:00:00Z", "performedBy": 1},
                "chat": {"status": "custom", "mailboxStatuses": {"7001": "assign", "7002": "off"}},
            },
            {},
            {
                "user_id": 501,
                "email": {
                    "status": "away",
                    "updated_at": "2026-02-03T08:00:00Z",
                    "performed_by": 1,
                },
                "chat": {
                    "status": "custom",
                    "mailbox_statuses": [
                        {"mailbox_id": 7001, "status": "assign"},
                        {"mailbox_id": 7002, "status": "off"},
                    ],
                },
            },
        ),
        (
            "webhooks",
            without("secret"),
            {"id": 3, "secret": "hush", "events": ["convo.deleted"], "mailboxIds": []},
            {},
            {"id": 3, "events": ["convo.deleted"], "mailbox_ids": []},
        ),
        (
            "company_report",
            in_turn(without("filter_tags", "previous", "deltas"), lift("current")),
            {
                "filterTags": [],
                "current": {"startDate": "2026-02-03T00:00:00Z", "closed": 4, "repliesPerDay": 1.5},
                "previous": {"closed": 3},
                "deltas": {"closed": 33.3},
                "users": [{"user": 501, "name": "Lena", "handleTime": 12}],
            },
            {"date": "2026-02-03"},
            {
                "date": "2026-02-03T00:00:00Z",
                "start_date": "2026-02-03T00:00:00Z",
                "closed": 4,
                "replies_per_day": 1.5,
                "users": [{"user": 501, "name": "Lena", "handle_time": 12}],
            },
        ),
    ],
)
def test_a_reshaped_row_fits_its_schema(name, reshape, row, parent_keys, expected):
    record, reported = conformed(to_record(Reshaped(reshape), row, parent_keys), SCHEMAS[name])
    assert record == expected
    assert not reported.unknown_fields and not reported.misfits


# -- what the log says -----------------------------------------------------------------------------


def test_each_field_is_warned_of_once_and_counted():
    findings = Findings("conversations", ("id",))
    schema = SCHEMAS["conversations"]
    conform = compile_schema(schema, schema, findings)
    record = conform({"id": 17, "subject": {"a": "secret"}, "closed_at": "secret", "hat": 1})
    assert findings.warnings(record) == [
        "conversations: the API sends hat, which the schema lacks: it is left out",
        "conversations: subject holds an object that does not fit the schema, in id 17: "
        "written as text",
        "conversations: closed_at holds a string that does not fit the schema, in id 17: "
        "written as null",
    ]
    assert findings.warnings(record) == []
    record = conform({"id": 18, "closed_at": 5, "created_by": {"hat": 1}, "hat": 2})
    assert findings.warnings(record) == [
        "conversations: the API sends created_by.hat, which the schema lacks: it is left out"
    ]
    assert findings.totals() == [
        "conversations: 1 value of subject did not fit the schema and was written as text",
        "conversations: 2 values of closed_at did not fit the schema and were written as null",
    ]


def test_a_warning_names_the_row_by_its_whole_key():
    findings = Findings("team_members", ("team_id", "user_id"))
    conform = compile_schema(
        {"properties": {name: {"type": "integer"} for name in ("team_id", "user_id")}}, {}, findings
    )
    record = conform({"team_id": 8, "user_id": "x"})
    assert record == {"team_id": 8}
    assert findings.warnings(record) == [
        "team_members: user_id holds a string that does not fit the schema, in team_id 8: left out"
    ]
    record = conform({"team_id": [], "user_id": {}})
    assert findings.warnings(record) == [
        "team_members: team_id holds an array that does not fit the schema, "
        "in a row without its key: left out"
    ]
    assert findings.totals() == [
        "team_members: 2 values of user_id did not fit the schema and were left out",
        "team_members: 1 value of team_id did not fit the schema and was left out",
    ]


def test_a_fields_name_forges_no_line():
    findings = Findings("tags", ("id",))
    compile_schema({}, {}, findings)({"a\nERROR b\ud83d": 1})
    assert findings.warnings({}) == [
        r"tags: the API sends a\nERROR b\ud83d, which the schema lacks: it is left out"
    ]
