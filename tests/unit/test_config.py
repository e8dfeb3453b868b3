"""The settings, one by one; what a user meets of them is in tests/test_config.py."""

import json
from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tap_helpscout.config import misspelt, parse_config
from tap_helpscout.files import ConfigError

LEAST = {"client_id": "a", "client_secret": "b", "start_date": "2020-01-01"}


WRONG = {
    "client_id": (None, "", "  ", 7, ["id"], "two\nlines", "größe"),
    "client_secret": (None, "", {}),
    "start_date": (
        None,
        "",
        "0001-01-01T00:00+10:00",
        "2020-13-01",
        1577836800,
        True,
        "2099-01-01",
        "yesterday",
    ),
    "mailbox_ids": ("all", [0], {"id": 5}),
    "emit_activate_version_messages": ("yes", 1),
    "refresh_token": (5, "two\nlines"),
    "user_agent": (5, "löwe"),
    "request_timeout": ("soon", 0, -1, True, [], "nan", "inf", 1e9),
    "concurrency": (0, 9, 2.5, "2.5", "many", "1e1"),
    "rate_limit_share": (0, 1.1, "90 %", "nan"),
    "lookback_seconds": (-1, 0.5, "ten"),
    "retry_seconds": (-1, "long"),
    "api_url": (
        "http://api.helpscout.example",
        "https://",
        "ftp://127.0.0.1",
        "api.example",
        5,
        "http://localhost.example",
        "https://a b.example",
        "https://api.example:lamp",
        "http://[::1",
        "https://api.example:70000",
        "https://.example",
        "https://api..example",
    ),
    "access_token": (5,),
}


def setting(name, value):
    return getattr(parse_config({**LEAST, name: value}, "config.json"), name)


def problem(**settings):
    return problem_of({**LEAST, **settings})


def problem_of(document):
    with pytest.raises(ConfigError) as caught:
        parse_config(document, "config.json")
    return str(caught.value)


@pytest.mark.parametrize(
    "name, value",
    [(name, value) for name, values in WRONG.items() for value in values],
    ids=repr,
)
def test_a_wrong_setting_is_named_and_no_other(name, value):
    document = {key: value for key, value in {**LEAST, name: value}.items() if value is not None}
    said = problem_of(document)
    assert f" {name} " in said and "config.json" in said
    assert sum(f" {other} " in said for other in WRONG) == 1


@pytest.mark.parametrize(
    "url", ["https://api.example/", " https://api.example ", "https://api.example//"]
)
def test_a_url_may_end_in_a_slash(url):
    assert setting("api_url", url) == "https://api.example"


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


@pytest.mark.parametrize(
    "settings, meant",
    [
        ({"client_ids": "c"}, "client_id, which is there too"),
        ({"concurrency": 2, "concurency": 3}, "concurrency, which is there too"),
        ({"concurrency": " ", "concurency": 3}, "concurrency"),
        ({"access_token": "a", "access_tokens": "b"}, "access_token, which is there too"),
    ],
    ids=str,
)
def test_a_key_close_to_a_setting_that_is_set_is_told_as_well(settings, meant):
    (line,) = misspelt({**LEAST, **settings}, "config.json")
    assert line.endswith(f" is not a setting; did you mean {meant}?")


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
