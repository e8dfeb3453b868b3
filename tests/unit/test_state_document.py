"""The state's document: what is read of it, what is refused, what is written."""

from datetime import datetime, timezone

import pytest

from tap_helpscout.files import ConfigError
from tap_helpscout.state import MAX_PENDING, State

EARLY, LATE = (datetime(2024, month, 1, tzinfo=timezone.utc) for month in (1, 2))


def written(state):
    return state.message().value


@pytest.mark.parametrize(
    "spelling",
    [
        "2021-03-04T05:06:07Z",
        "2021-03-04T05:06:07.000000Z",
        "2021-03-04T05:06:07.999Z",
        "2021-03-04T05:06:07",
        "2021-03-04T06:06:07+01:00",
        "2021-03-04 05:06:07",
    ],
)
def test_bookmarks_are_read_in_any_spelling(spelling):
    bookmark = State({"bookmarks": {"customers": spelling}}, None).bookmark("customers")
    assert bookmark == datetime(2021, 3, 4, 5, 6, 7, tzinfo=timezone.utc)


def test_a_start_date_that_is_none_is_an_error_though_its_stream_has_no_bookmark():
    with pytest.raises(ConfigError, match="the state file s.json must look like"):
        State({"bookmarks": {}, "start_dates": {"users": "soon"}}, "s.json")


@pytest.mark.parametrize("nothing", [None, ""])
def test_no_bookmark_in_any_spelling(nothing):
    assert State({"bookmarks": {"users": nothing}}, None).bookmark("users") is None
    assert State({}, None).bookmark("users") is None


@pytest.mark.parametrize(
    "document, words",
    [
        ({"bookmarks": ["users"]}, "bookmarks"),
        ({"bookmarks": "2020"}, "bookmarks"),
        ({"bookmarks": {"users": "yesterday"}}, "bookmarks"),
        ({"bookmarks": {"users": 1577836800}}, "bookmarks"),
        ({"bookmarks": {"users": {"updated_at": "2020-01-01T00:00:00Z"}}}, "bookmarks"),
        ({"bookmarks": {"users": "0001-01-01T00:00:00+10:00"}}, "bookmarks"),
        ({"bookmark": {}}, "no bookmarks"),
        ({"client_id": "a"}, "no bookmarks"),
        ({"type": "STATE", "value": {"bookmarks": {}}}, "no bookmarks"),
        ({"bookmarks": {}, "pending": ["conversation_threads"]}, "bookmarks"),
        ({"bookmarks": {}, "pending": {"conversation_threads": ["7"]}}, "pending must hold ids"),
        ({"bookmarks": {}, "pending": {"conversation_threads": [True]}}, "pending must hold ids"),
        ({"bookmarks": {}, "inboxes": {"conversations": [None]}}, "inboxes must hold ids"),
        ({"bookmarks": {}, "seen": {"users": ["7"]}}, "seen must hold ids"),
    ],
    ids=str,
)
def test_what_is_no_state_is_refused_with_the_files_name(document, words):
    with pytest.raises(ConfigError, match="state.json") as refused:
        State(document, "state.json")
    assert words in str(refused.value)


def test_bookmarks_go_forward_only_unless_reset():
    state = State({}, None)
    state.advance("users", LATE)
    state.advance("users", EARLY)
    assert written(state) == {"bookmarks": {"users": "2024-02-01T00:00:00Z"}}
    state.reset("users", EARLY)
    assert written(state) == {"bookmarks": {"users": "2024-01-01T00:00:00Z"}}
    state.reset("users", None)
    assert written(state) == {"bookmarks": {}}


def test_what_the_tap_does_not_know_is_kept():
    document = {"version": 3, "bookmarks": {"parrots": {"page": 4}, "users": None}}
    assert written(State(document, None)) == document


def test_parents_are_put_aside_once_and_settled():
    state = State({"bookmarks": {}, "pending": {"conversation_threads": [7]}}, None)
    assert state.put_aside("conversation_threads", 7) and state.put_aside("team_members", 8)
    assert written(state)["pending"] == {"conversation_threads": [7], "team_members": [8]}
    for name, parent in (("conversation_threads", 7), ("team_members", 8), ("users", 9)):
        state.settle(name, parent)
    assert "pending" not in written(state)


def test_too_many_parents_cannot_be_put_aside():
    state = State({}, None)
    assert all(state.put_aside("conversation_threads", key) for key in range(MAX_PENDING))
    assert not state.put_aside("conversation_threads", MAX_PENDING)
