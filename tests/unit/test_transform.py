"""From rows to records: names, parents' keys and reshapes, for any JSON value."""

import copy
import itertools
import json
from datetime import datetime, timezone

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tap_helpscout.dates import datetime_or_none, parse_datetime
from tap_helpscout.streams import STREAMS
from tap_helpscout.transform import (
    MAPS,
    MAX_DEPTH,
    in_turn,
    latest,
    lift,
    map_to_list,
    only,
    rename,
    snake_case,
    to_record,
    to_snake_case,
    unchanged,
    without,
)
from tests.unit.json_values import DATETIMES, JSON, NAMES


def numbered(value, numbers=None):
    """The same with a number of its own in place of each leaf, to follow it by."""
    numbers = numbers or itertools.count()
    if isinstance(value, dict):
        return {key: numbered(inner, numbers) for key, inner in value.items()}
    if isinstance(value, list):
        return [numbered(inner, numbers) for inner in value]
    return next(numbers)


def leaves(value, skip=()):
    if isinstance(value, (dict, list)):
        pairs = value.items() if isinstance(value, dict) else enumerate(value)
        return [leaf for key, inner in pairs if key not in skip for leaf in leaves(inner, skip)]
    return [value]


def names(value):
    if isinstance(value, dict):
        return set(value).union(
            *(
                names(inner)
                for key, inner in value.items()
                if key not in {snake_case(name) for name in MAPS}
            )
        )
    return set().union(*map(names, value)) if isinstance(value, list) else set()


@given(JSON)
@example({"photoUrl": 1, "photo_url": 2})
@example({"a-b": 1, "aB": 2, "a_b": 3})
def test_no_key_is_lost_and_nothing_mutated(value):
    value = numbered(value)
    before = copy.deepcopy(value)
    kept = leaves(to_snake_case(value))
    assert value == before
    assert len(kept) == len(set(kept))
    # `_links` go, and what is embedded gives way to what an object has itself.
    assert set(leaves(value, skip=("_links", "_embedded"))) <= set(kept)
    assert set(kept) <= set(leaves(value))


@given(st.dictionaries(NAMES, st.integers()), st.dictionaries(NAMES, st.integers()))
def test_what_is_embedded_is_lifted_unless_the_object_has_it_itself(own, embedded):
    own, embedded = (
        {key: number for key, number in side.items() if not snake_case(key).startswith("_")}
        for side in (own, embedded)
    )
    lifted = to_snake_case({"_links": {"self": 1}, **own, "_embedded": embedded, "z": 1})
    alone = to_snake_case({**own, "z": 1})
    assert lifted == {**to_snake_case(embedded), **alone}


@given(JSON)
def test_names_are_snake_case_and_stay_so(value):
    once = to_snake_case(value)
    for name in names(once):
        assert snake_case(snake_case(name)) == snake_case(name)
    assert to_snake_case(to_snake_case(once)) == to_snake_case(once)
    json.dumps(once)


@given(JSON)
def test_maps_keep_their_keys_as_they_came(value):
    for name in MAPS:
        assert to_snake_case({name: value}) == {snake_case(name): value}


@given(
    st.dictionaries(
        st.sampled_from(("a", "b", "c")), st.one_of(DATETIMES.map(datetime.isoformat), JSON)
    ),
    st.one_of(JSON, st.fixed_dictionaries({"time": DATETIMES.map(datetime.isoformat)})),
)
def test_the_latest_date_is_found_whatever_else_is_there(record, holder):
    record["d"] = holder
    latest_date = latest("at", "a", "b", "c", "d.time")(record)["at"]
    values = [record.get(name) for name in "abc"] + [
        holder.get("time") if isinstance(holder, dict) else None
    ]
    dates = [date for date in map(datetime_or_none, values) if date]
    epoch = datetime(1970, 1, 1, tzinfo=timezone.utc)
    assert parse_datetime(latest_date) == max(dates, default=epoch)


def test_a_conversation_that_shows_its_modification_date_is_updated_then():
    reshape = latest("updated_at", "created_at", "user_updated_at", "modified_at")
    dates = {"created_at": "2024-01-01T00:00:00Z", "user_updated_at": "2024-01-03T00:00:00Z"}
    assert reshape(dates)["updated_at"] == "2024-01-03T00:00:00Z"
    shown = {**dates, "modified_at": "2024-01-04T00:00:00Z"}
    assert reshape(shown)["updated_at"] == "2024-01-04T00:00:00Z"


def test_what_is_nested_too_deep_stays_as_it_came():
    value = innermost = {"oddName": 1}
    for _ in range(10_000):
        value = {"oddName": [value]}
    result = to_snake_case(value)
    for _ in range(MAX_DEPTH // 2):
        (result,) = result["odd_name"]
        (value,) = value["oddName"]
    assert result["odd_name"] is value["oddName"]
    assert innermost == {"oddName": 1}
    assert latest("at", "a")({"a": value}) == {"a": value, "at": "1970-01-01T00:00:00Z"}


class WithoutReshape:
    reshape = staticmethod(unchanged)


def test_a_parents_key_is_not_overridden_by_the_row():
    row = {"id": 5, "conversationId": 7, "body": "hello"}
    record = to_record(WithoutReshape, row, {"conversation_id": 3})
    assert record == {"id": 5, "conversation_id": 3, "body": "hello"}


def test_each_streams_reshape_changes_no_row():
    row = {"id": 5, "threadid": 6, "createdAt": "2024-01-01T00:00:00Z", "_embedded": {"a": [1]}}
    for stream in STREAMS.values():
        before = copy.deepcopy(row)
        to_record(stream, row, {})
        assert row == before


@pytest.mark.parametrize(
    ("reshape", "record", "expected"),
    [
        (rename(a="b"), {"a": 1, "c": 2}, {"b": 1, "c": 2}),
        (only(a="b"), {"a": 1, "c": 2}, {"b": 1}),
        (only(a="b"), {}, {}),
        (without("a", "b"), {"a": 1, "c": 2}, {"c": 2}),
        (lift("a"), {"a": {"b": 1, "c": 2}, "c": 3}, {"b": 1, "c": 3}),
        (lift("a"), {"a": None, "c": 3}, {"c": 3}),
        (lift("a"), {"c": 3}, {"c": 3}),
        (in_turn(lift("a"), without("b")), {"a": {"b": 1, "c": 2}}, {"c": 2}),
        (in_turn(), {"a": 1}, {"a": 1}),
    ],
)
def test_reshapes(reshape, record, expected):
    before = copy.deepcopy(record)
    assert reshape(record) == expected
    assert record == before


@pytest.mark.parametrize(
    ("chat", "expected"),
    [
        (
            {"status": "custom", "mailbox_statuses": {"100": "assign", "101": None}},
            {
                "status": "custom",
                "mailbox_statuses": [
                    {"mailbox_id": "100", "status": "assign"},
                    {"mailbox_id": "101", "status": None},
                ],
            },
        ),
        ({"mailbox_statuses": {}}, {"mailbox_statuses": []}),
        ({"mailbox_statuses": []}, {"mailbox_statuses": []}),
        ({"mailbox_statuses": None}, {"mailbox_statuses": None}),
        ({"status": "custom"}, {"status": "custom"}),
        (None, None),
        ("custom", "custom"),
    ],
)
def test_a_map_becomes_a_list_wherever_it_is(chat, expected):
    reshape = map_to_list("chat.mailbox_statuses", "mailbox_id", "status")
    record = {"user_id": 4, "chat": chat}
    before = copy.deepcopy(record)
    assert reshape(record) == {"user_id": 4, "chat": expected}
    assert record == before


def test_a_map_at_the_top_becomes_a_list():
    assert map_to_list("a", "key", "value")({"a": {"x": 1}}) == {"a": [{"key": "x", "value": 1}]}
    assert map_to_list("a", "key", "value")({}) == {}
