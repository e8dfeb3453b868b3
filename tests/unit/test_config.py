"""The settings, one by one; what a user meets of them is in tests/test_config.py."""

import json
from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tap_helpscout.config import misspelt, parse_config
from tap_helpscout.files import ConfigError

LEAST = {"client_id": "a", "client_secret": "b", "start_date": "2020-01-01"}


def setting(name, value):
    return getattr(parse_config({**LEAST, name: value}, "config.json"), name)


def problem(**settings):
    with pytest.raises(ConfigError) as caught:
        parse_config({**LEAST, **settings}, "config.json")
    return str(caught.value)


@pytest.mark.parametrize(
    "value, ids",
    [
        ([85, 86], (85, 86)),
        (["85", 86], (85, 86)),
        ("85, 86", (85, 86)),
        (" 85 ", (85,)),
        (85, (85,)),
        ([86, 85, 86], (86, 85)),
        ([], ()),
        ("", ()),
        (None, ()),
    ],
)
def test_mailbox_ids(value, ids):
    assert setting("mailbox_ids", value) == ids


@pytest.mark.parametrize(
    "value",
    ["85,", "a", [0], [-1], [1.5], [True], [[1]], {"id": 1}, [None], "85;86", [2**63], True],
)
def test_what_is_no_mailbox_id_is_refused(value):
    assert "mailbox_ids must be a list of ids, such as [85, 86]" in problem(mailbox_ids=value)


@pytest.mark.parametrize(
    "value, is_on",
    [(True, True), (False, False), ("true", True), ("False", False), (" true ", True), ("", False)],
)
def test_emit_activate_version_messages(value, is_on):
    assert setting("emit_activate_version_messages", value) is is_on


@pytest.mark.parametrize("value", ["yes", 1, 0, [], "truth"])
def test_what_is_neither_true_nor_false_is_refused(value):
    said = problem(emit_activate_version_messages=value)
    assert "emit_activate_version_messages must be true or false" in said


def test_a_start_date_may_be_of_any_year_but_not_of_the_future():
    now = datetime.now(timezone.utc)
    first = datetime(1, 1, 1, tzinfo=timezone.utc)
    assert setting("start_date", "0001-01-01T00:00:00Z") == first
    assert setting("start_date", (now + timedelta(hours=23)).isoformat())
    assert "lies in the future" in problem(start_date=(now + timedelta(hours=25)).isoformat())
    assert "lies in the future" in problem(start_date="9999-12-31")


def test_every_problem_is_named():
    said = problem(client_id=None, concurrency=9, mailbox_ids="x", request_timeout="soon")
    for name in ("client_id is missing", "concurrency must", "mailbox_ids must", "request_timeout"):
        assert name in said


@pytest.mark.parametrize("name", ["bookmarks", "streams"])
def test_a_runners_key_of_such_a_name_makes_no_state_of_a_config(name):
    assert parse_config({**LEAST, name: []}, "config.json").client_id == "a"


@pytest.mark.parametrize(
    "key, meant",
    [
        ("concurency", "concurrency"),
        ("Concurrency", "concurrency"),
        ("rate_limit_shares", "rate_limit_share"),
        ("mailbox_id", "mailbox_ids"),
        ("user-agent", "user_agent"),
        ("requestTimeout", "request_timeout"),
    ],
)
def test_a_key_close_to_a_setting_is_told(key, meant):
    (line,) = misspelt({**LEAST, key: 1}, "config.json")
    assert line == f"config.json: {key} is not a setting; did you mean {meant}?"


def test_keys_of_other_programs_are_left_alone():
    theirs = (
        "disable_collection",
        "größe",
        "end_date",
        "frequency",
        "api_key",
        "flattening_enabled",
    )
    assert misspelt({**LEAST, **dict.fromkeys(theirs, 1)}, "config.json") == []


def test_a_setting_that_is_set_is_not_the_one_that_was_meant():
    assert misspelt({**LEAST, "client_ids": "c", "start_dates": 1}, "config.json") == []


@given(st.dictionaries(st.text(), st.none(), max_size=5))
def test_a_line_for_any_key_is_one_line(document):
    assert all(line.isprintable() for line in misspelt(document, "config.json"))


@given(
    st.sampled_from(
        [
            "client_id",
            "start_date",
            "mailbox_ids",
            "concurrency",
            "request_timeout",
            "api_url",
            "emit_activate_version_messages",
            "access_token_expires_at",
        ]
    ),
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    ),
)
def test_no_value_is_too_odd(name, value):
    try:
        parse_config({**LEAST, name: value}, "config.json")
    except ConfigError as error:
        assert name in str(error)


def test_a_config_of_a_file_may_hold_any_number():
    document = json.loads('{"concurrency": 99999999999999999999999, "retry_seconds": 1e308}')
    assert "concurrency must" in problem(**document) and "retry_seconds must" in problem(**document)
