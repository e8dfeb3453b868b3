"""Versions: which version a stream's records have in a run, and when it is activated."""

import logging
from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tap_helpscout.config import parse_config
from tap_helpscout.discover import load_schema
from tap_helpscout.errors import ApiError
from tap_helpscout.selection import SelectedStream
from tap_helpscout.state import State
from tap_helpscout.stream_run import plan_run
from tap_helpscout.streams import STREAMS
from tap_helpscout.versions import Versions

NOW = datetime(2026, 3, 1, 12, 0, 0, 500_000, tzinfo=timezone.utc)
NEW = int(NOW.timestamp() * 1000)
START = datetime(2020, 1, 1, tzinfo=timezone.utc)
READ_TO = datetime(2023, 1, 1, tzinfo=timezone.utc)
LOOKBACK = timedelta(seconds=600)
OLD = 1_700_000_000_000
PROGRESS = {
    "conversations": {
        "version": OLD + 5,
        "begun": "2020-01-01T00:00:00Z",
        "read_to": "2023-01-01T00:00:00Z",
    }
}
FULL, INCREMENTAL = "FULL_TABLE", "INCREMENTAL"


def versions(state, now=NOW, **settings):
    document = {
        "client_id": "lamp-shop",
        "client_secret": "secret",
        "start_date": "2020-01-01T00:00:00Z",
        "emit_activate_version_messages": True,
        **settings,
    }
    return Versions(state, parse_config(document, "config.json"), now)


def state_of(**document):
    return State({"bookmarks": {}, **document}, None)


def written(state, key):
    return state.message().value.get(key)


def tree(root, *names, method=FULL):
    """{stream: its run} of a root and the streams selected below it."""
    selected = {name: SelectedStream(load_schema(name), method) for name in names or (root,)}
    return {run.name: run for run in plan_run(STREAMS[root], selected).tree()}


def begun(state, *streams, method=FULL, **settings):
    """(the versions, {stream: its run}) of a run that has read all of the tree to its end."""
    own, runs = versions(state, **settings), tree(*streams, method=method)
    for run in runs.values():
        is_dated = run.stream.is_windowed or run.stream.is_below_windows
        own.begin(run, START if is_dated else None)
        run.is_read_to_end = True
    return own, runs


# -- which version the records have ---------------------------------------------------------------


def test_without_the_setting_there_is_none():
    state = state_of(versions={"users": OLD}, versions_in_progress=PROGRESS)
    own = versions(state, emit_activate_version_messages=False)
    for name, start in (("users", None), ("conversations", START)):
        run = tree(name)[name]
        assert own.begin(run, start) == start
        run.is_read_to_end = True
        assert run.version is None and own.activate(run) is None
    assert written(state, "versions") == {"users": OLD}
    assert written(state, "versions_in_progress") is None


def test_a_list_that_is_read_whole_has_a_new_one():
    state = state_of(versions={"users": OLD, "teams": OLD})
    own, runs = begun(state, "users")
    assert runs["users"].version == NEW
    message = own.activate(runs["users"])
    assert (message.stream, message.version) == ("users", NEW)
    assert written(state, "versions") == {"users": NEW, "teams": OLD}


def test_all_that_are_new_in_a_run_are_the_same():
    own = versions(state_of())
    runs = [*tree("users").values(), *tree("mailboxes", "mailboxes", "mailbox_fields").values()]
    assert [own.begin(run, None) for run in runs] == [None] * 3
    assert {run.version for run in runs} == {NEW}


@pytest.mark.parametrize("document", [{"versions": {"users": OLD}}, {}], ids=["activated", "none"])
def test_an_incremental_stream_has_the_one_that_was_activated(document):
    state = state_of(**document)
    own, runs = begun(state, "users", method=INCREMENTAL)
    assert runs["users"].version == document.get("versions", {}).get("users")
    assert own.activate(runs["users"]) is None
    assert written(state, "versions") == document.get("versions")


@pytest.mark.parametrize(
    "document",
    [
        {"versions": {"users": NEW + 7}},
        {"versions_in_progress": {"customers": {**PROGRESS["conversations"], "version": NEW + 7}}},
    ],
    ids=["activated", "in progress"],
)
def test_a_new_one_is_larger_than_any_whatever_the_clock_says(document):
    _, runs = begun(state_of(**document), "teams")
    assert runs["teams"].version == NEW + 8


# -- interruptions --------------------------------------------------------------------------------


def test_how_far_a_new_one_is_can_be_told_until_it_is_activated():
    state = state_of(versions={"conversations": OLD})
    own, runs = begun(state, "conversations")
    assert written(state, "versions_in_progress") is None
    own.read_to(runs["conversations"], READ_TO)
    assert written(state, "versions_in_progress") == {
        "conversations": {**PROGRESS["conversations"], "version": NEW}
    }
    assert written(state, "versions") == {"conversations": OLD}
    assert own.activate(runs["conversations"]).version == NEW
    assert written(state, "versions_in_progress") is None
    assert written(state, "versions") == {"conversations": NEW}


def test_a_list_that_is_asked_for_whole_has_no_progress():
    state = state_of()
    own, runs = begun(state, "mailboxes", "mailboxes", "mailbox_folders")
    for run in runs.values():
        own.read_to(run, READ_TO)
    assert written(state, "versions_in_progress") is None


def test_an_interrupted_one_is_gone_on_with():
    state = state_of(versions={"conversations": OLD}, versions_in_progress=PROGRESS)
    own, (run,) = versions(state), tree("conversations").values()
    assert own.begin(run, START) == READ_TO - LOOKBACK
    assert run.version == OLD + 5
    assert written(state, "versions_in_progress") == PROGRESS
    # Where it began is not forgotten: a third run may go on.
    own.read_to(run, READ_TO + LOOKBACK)
    assert written(state, "versions_in_progress") == {
        "conversations": {**PROGRESS["conversations"], "read_to": "2023-01-01T00:10:00Z"}
    }
    run.is_read_to_end = True
    assert own.activate(run).version == OLD + 5


def test_it_is_gone_on_with_from_the_lookback_before():
    own = versions(state_of(versions_in_progress=PROGRESS), lookback_seconds=7)
    (run,) = tree("conversations").values()
    assert own.begin(run, START) == READ_TO - timedelta(seconds=7)


def test_it_is_gone_on_with_where_less_is_asked_for():
    state = state_of(versions_in_progress=PROGRESS)
    own, (run,) = versions(state), tree("conversations").values()
    own.begin(run, START + timedelta(days=1))
    assert run.version == OLD + 5
    # It holds what it held: a run from START on may go on with it.
    own.read_to(run, READ_TO)
    assert written(state, "versions_in_progress") == PROGRESS


def test_where_more_is_asked_for_it_begins_anew():
    state = state_of(versions_in_progress=PROGRESS)
    own, (run,) = versions(state), tree("conversations").values()
    earlier = START - timedelta(seconds=1)
    assert own.begin(run, earlier) == earlier
    assert run.version == NEW and written(state, "versions_in_progress") is None
    own.read_to(run, READ_TO)
    assert written(state, "versions_in_progress")["conversations"] == {
        "version": NEW,
        "begun": "2019-12-31T23:59:59Z",
        "read_to": "2023-01-01T00:00:00Z",
    }


@pytest.mark.parametrize(
    "method, settings",
    [(INCREMENTAL, {}), (FULL, {"emit_activate_version_messages": False})],
    ids=["incremental", "without the setting"],
)
def test_a_run_of_another_kind_drops_it(method, settings):
    state = state_of(versions={"conversations": OLD}, versions_in_progress=PROGRESS)
    begun(state, "conversations", method=method, **settings)
    assert written(state, "versions_in_progress") is None
    assert written(state, "versions") == {"conversations": OLD}


def test_an_incremental_run_writes_down_no_progress():
    state = state_of(versions={"conversations": OLD})
    own, runs = begun(state, "conversations", method=INCREMENTAL)
    own.read_to(runs["conversations"], READ_TO)
    assert written(state, "versions_in_progress") is None


def test_of_a_stream_that_is_not_in_the_run_it_is_kept():
    state = state_of(versions_in_progress=PROGRESS)
    begun(state, "users")
    assert written(state, "versions_in_progress") == PROGRESS


RUNS = st.lists(
    st.tuples(
        st.sampled_from([FULL, INCREMENTAL, None]),  # None: without the setting
        st.integers(-100_000, 100_000),  # how far the clock has moved, in seconds
        st.sampled_from(["whole", "interrupted", "at once"]),
    ),
    max_size=12,
)


@given(RUNS)
def test_versions_of_a_stream_always_grow(runs):
    """Over what was activated, whatever the clock does. Of one that was dropped the state says
    nothing: it is outgrown where the clock does not go back."""
    document, now, latest, activated, in_target = {"bookmarks": {}}, NOW, NOW, 0, 0
    for method, moved, end in runs:
        now += timedelta(seconds=moved)
        latest = max(latest, now)
        state = State(document, None)
        own = versions(state, now, emit_activate_version_messages=method is not None)
        (run,) = tree("conversations", method=method or FULL).values()
        own.begin(run, START)
        if method == FULL:
            assert run.version > activated
            if now >= latest:
                assert run.version >= in_target
            in_target = run.version
        else:
            assert run.version == (activated or None if method else None)
        if end != "at once":
            own.read_to(run, READ_TO)
        run.is_read_to_end = end == "whole"
        message = own.activate(run)
        assert bool(message) == (method == FULL and end == "whole")
        activated = message.version if message else activated
        document = state.message().value
        assert document.get("versions", {}).get("conversations", 0) == activated


# -- doubts ---------------------------------------------------------------------------------------


def be_incomplete(run, _):
    run.fail("the list answered 500")


def miss_rows(run, _):
    run.rows_missing = 2


def lose_a_row(run, _):
    run.rows_lost = 1


def get_a_parent_without_id(run, _):
    run.rows_without_id = 1


def find_a_parent_gone(run, _):
    run.outcomes.failed(1, ApiError("GET /v2/mailboxes/1/fields answered 404", 404))


def put_a_parent_aside(run, state):
    state.put_aside(run.name, 7001)


DOUBTS = {
    be_incomplete: "it failed",
    miss_rows: "Help Scout counts 2 rows more than it lists",
    lose_a_row: "a row came without its key",
    get_a_parent_without_id: "a row came without its key",
    find_a_parent_gone: "there were parents whose rows could not be read",
    put_a_parent_aside: "there were parents whose rows could not be read",
}


def assert_not_activated(caplog, own, run, why, state):
    before = written(state, "versions")
    caplog.clear()
    with caplog.at_level(logging.WARNING):
        assert own.activate(run) is None
    assert caplog.messages == [
        f"{run.name}: no ACTIVATE_VERSION, so that what is gone is not found in this run: {why}"
    ]
    assert written(state, "versions") == before


@pytest.mark.parametrize("doubt", DOUBTS, ids=lambda doubt: doubt.__name__)
@pytest.mark.parametrize("name", ["conversations", "users"])
def test_a_doubt_withholds_the_activation(caplog, name, doubt):
    state = state_of(versions={"teams": OLD})
    own, runs = begun(state, name)
    doubt(runs[name], state)
    assert_not_activated(caplog, own, runs[name], DOUBTS[doubt], state)


@pytest.mark.parametrize("doubt", DOUBTS, ids=lambda doubt: doubt.__name__)
def test_a_doubt_of_a_parent_is_one_of_its_children(caplog, doubt):
    state = state_of()
    own, runs = begun(state, "mailboxes", "mailbox_fields")
    doubt(runs["mailboxes"], state)
    why = "it failed" if doubt is be_incomplete else f"mailboxes: {DOUBTS[doubt]}"
    assert_not_activated(caplog, own, runs["mailbox_fields"], why, state)


@pytest.mark.parametrize("doubt", DOUBTS, ids=lambda doubt: doubt.__name__)
def test_a_doubt_of_a_child_is_none_of_its_parent(doubt):
    state = state_of()
    own, runs = begun(state, "mailboxes", "mailboxes", "mailbox_fields")
    doubt(runs["mailbox_fields"], state)
    assert own.activate(runs["mailboxes"]).version == NEW


@pytest.mark.parametrize("doubt", DOUBTS, ids=lambda doubt: doubt.__name__)
def test_no_later_run_goes_on_with_what_is_in_doubt(doubt):
    state = state_of()
    own, runs = begun(state, "conversations")
    own.read_to(runs["conversations"], READ_TO)
    assert written(state, "versions_in_progress")
    doubt(runs["conversations"], state)
    own.read_to(runs["conversations"], READ_TO + LOOKBACK)
    assert written(state, "versions_in_progress") is None


def test_embedded_rows_that_may_not_be_all_withhold_it(caplog):
    state = state_of()
    streams = ("conversations", "conversation_threads")
    own, runs = begun(state, "conversations", *streams)
    verifier = runs["conversation_threads"].verifier
    verifier.differed({"id": 7}, "1 more are listed")
    assert not verifier.used_doubtful  # none was used
    verifier._uses = 1  # pylint: disable=protected-access
    assert_not_activated(
        caplog,
        own,
        runs["conversation_threads"],
        "embedded rows were used that may not be all",
        state,
    )
    assert own.activate(runs["conversations"]).version == NEW


def test_a_row_that_was_listed_and_not_there_by_itself_withholds_it(caplog):
    state = state_of()
    own, runs = begun(state, "organizations")
    runs["organizations"].details.gone = 1
    why = "rows were listed and were not there by themselves"
    assert_not_activated(caplog, own, runs["organizations"], why, state)


def test_a_list_that_was_not_read_to_its_end_is_not_activated(caplog):
    state = state_of()
    own, runs = begun(state, "conversations")
    runs["conversations"].is_read_to_end = False
    # As far as it was read, there is no doubt.
    own.read_to(runs["conversations"], READ_TO)
    assert written(state, "versions_in_progress")
    why = "it was not read to its end"
    assert_not_activated(caplog, own, runs["conversations"], why, state)
    assert written(state, "versions_in_progress")


@pytest.mark.parametrize("seconds, is_activated", [(-1, True), (0, False), (3600, False)])
def test_a_start_date_to_come_withholds_it(caplog, seconds, is_activated):
    state = state_of()
    start_date = (NOW + timedelta(seconds=seconds)).isoformat()
    # The clock of this machine decides whether a setting is refused; the API's, what is to come.
    own = versions(state, start_date=start_date)
    (run,) = tree("users").values()
    own.begin(run, None)
    run.is_read_to_end = True
    if is_activated:
        assert own.activate(run).version == NEW
    else:
        why = "start_date is not before the run's start"
        assert_not_activated(caplog, own, run, why, state)


def test_what_is_read_for_its_children_alone_is_not_activated():
    state = state_of()
    own, runs = begun(state, "teams", "team_members")
    assert not runs["teams"].selected
    assert own.activate(runs["teams"]) is None
    assert own.activate(runs["team_members"]).version == NEW
    assert written(state, "versions") == {"team_members": NEW}
