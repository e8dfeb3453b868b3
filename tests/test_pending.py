"""A parent whose children cannot be read waits alone: the others go on, the next run asks again."""

import re
from collections import Counter

import pytest

from tests.target import Target

STREAMS = ("conversations", "conversation_threads")
# None of these is in the account, and a request for their threads fails.
FOREIGN = range(900_001, 901_000)


@pytest.fixture(name="fake")
def _fake(small_fake):
    small_fake.embed = "no_line_items"  # so that each conversation's threads are asked for
    return small_fake


@pytest.fixture(name="catalog")
def _catalog(tap):
    tap.configure(retry_seconds=0)
    return tap.select(*STREAMS)


def fails(fake, *keys, status=500):
    """From now on the threads of these conversations cannot be read."""
    pattern = "|".join(map(str, keys))
    return fake.fault(status, f"/({pattern})/threads", times=None, body={"message": "No lamp"})


def paths(fake):
    """What was asked for, but for the token and the time."""
    return [
        request.path
        for request in fake.requests
        if request.path not in ("/v2/oauth2/token", "/v2/users/me")
    ]


def threads_of(run):
    return {record["conversation_id"] for record in run.records("conversation_threads")}


def test_the_others_go_on_and_the_next_run_asks_for_it_first(tap, fake, catalog):
    key = fake.conversation_ids[7]
    step = fails(fake, key)
    target = Target()
    first = target.load(tap.run(catalog=catalog))
    assert first.code == 1
    assert threads_of(first) == set(fake.conversation_ids) - {key}
    assert len(set(first.bookmarks.values())) == 1 and set(first.bookmarks) == set(STREAMS)
    assert first.state["pending"] == {"conversation_threads": [key]}
    told = f"ERROR conversation_threads: conversation_id {key} is put aside for the next run: GET"
    assert told in first.log and first.log.count("(No lamp)") == 1
    assert (
        f"CRITICAL conversation_threads is incomplete: what hangs on conversation_id {key} could "
        "not be read, and is asked for first in the next run" in first.log
    )
    assert re.search(r"INFO conversation_threads: \d+ rows, .*incomplete$", first.log, re.M)
    assert re.search("incomplete: conversation_threads. The next run", first.log.splitlines()[-1])

    fake.clear()
    second = target.load(tap.run(state=target.state, catalog=catalog))
    assert second.code == 1 and paths(fake)[1] == f"/v2/conversations/{key}/threads"
    assert second.state["pending"] == first.state["pending"] and not threads_of(second)
    assert f"conversation_id {key} still cannot be read, and stays put aside" in second.log
    assert f"what hangs on conversation_id {key} could not be read" in second.log
    assert second.bookmarks["conversations"] >= first.bookmarks["conversations"]

    step.times = step.hits
    third = target.load(tap.good_run(state=target.state, catalog=catalog))
    assert threads_of(third) == {key} and "pending" not in third.state
    assert not target.lacks(fake, *STREAMS)


@pytest.mark.parametrize("status", [404, 410])
def test_one_that_is_gone_leaves_the_list(tap, fake, catalog, status):
    key = fake.conversation_ids[7]
    state = {"bookmarks": {}, "pending": {"conversation_threads": [key, FOREIGN[0]]}}
    step = fails(fake, key, status=status)
    run = tap.run(state=state, catalog=catalog)
    assert run.code == 0 and step.hits
    assert f"WARNING conversation_threads: conversation_id {key} was deleted or merged" in run.log
    assert "pending" not in run.state


def test_an_id_that_came_as_text_is_put_aside_as_a_number(tap, fake, catalog):
    key = fake.conversation_ids[7]
    fake.touch(key, id=str(key))
    fails(fake, key)
    first = tap.run(catalog=catalog)
    assert first.state["pending"] == {"conversation_threads": [key]}
    assert tap.run(catalog=catalog, state=first.state).code == 1


def test_a_404_of_a_later_page_does_not_mean_that_the_parent_is_gone(tap, fake, catalog):
    key = max(fake.conversation_ids, key=lambda one: len(fake.threads(one)))
    fault = fake.fault(404, f"/{key}/threads.page=2", times=None)
    run = tap.run(catalog=catalog)
    assert fault.hits and run.code == 1 and run.state["pending"] == {"conversation_threads": [key]}
    assert f"conversation_id {key} is put aside for the next run: GET" in run.log


def test_its_rows_come_whatever_the_bookmark(tap, fake):
    """A folder is older than the bookmark, which has moved past it meanwhile."""
    tap.configure(retry_seconds=0)
    catalog = tap.select("mailboxes", "mailbox_folders")
    step = fake.fault(500, "/mailboxes/7003/folders", times=None)
    target = Target()
    first = target.load(tap.run(catalog=catalog))
    assert first.code == 1 and first.state["pending"] == {"mailbox_folders": [7003]}
    assert "mailbox_folders" in first.bookmarks
    step.times = step.hits
    fake.clock_offset += 86400
    second = target.load(tap.good_run(state=target.state, catalog=catalog))
    brought = {record["mailbox_id"] for record in second.records("mailbox_folders")}
    assert 7003 in brought and not target.lacks(fake, "mailbox_folders")


@pytest.mark.parametrize("pending, fits", [(99, True), (100, False)])
def test_more_than_a_hundred_fail_their_stream(tap, fake, catalog, pending, fits):
    key = fake.conversation_ids[7]
    fails(fake, key, *FOREIGN)
    state = {"bookmarks": {}, "pending": {"conversation_threads": [*FOREIGN][:pending]}}
    run = tap.run(state=state, catalog=catalog)
    assert run.code == 1 and len(run.state["pending"]["conversation_threads"]) == 100
    assert (key in run.state["pending"]["conversation_threads"]) == fits
    assert ("conversation_threads" in run.bookmarks) == fits and "conversations" in run.bookmarks
    assert (f"is incomplete: GET /v2/conversations/{key}/threads answered 500" in run.log) != fits


def test_neighbours_that_fail_stop_nothing_and_are_asked_for_once_each(tap, fake, catalog):
    """Each try of the first ones costs pauses, that of the others none."""
    tap.configure(retry_seconds=1, concurrency=1)
    keys = fake.conversation_ids[:12]
    step = fails(fake, *keys)
    target = Target()
    run = target.load(tap.run(catalog=catalog))
    assert run.code == 1 and threads_of(run) == set(fake.conversation_ids) - set(keys)
    assert sorted(run.state["pending"]["conversation_threads"]) == keys
    tries = Counter(request.path for request in fake.requests if request.status == 500)
    assert sorted(tries.values())[:7] == [1] * 7 and min(sorted(tries.values())[7:]) > 1
    step.times = step.hits
    target.load(tap.good_run(state=target.state, catalog=catalog))
    assert not target.lacks(fake, *STREAMS)


def test_some_gone_and_all_others_failing_are_the_endpoint(tap, fake, catalog):
    first, others = fake.conversation_ids[:4], fake.conversation_ids[4:]
    steps = [fails(fake, *first, status=404), fails(fake, *others)]
    target = Target()
    run = target.load(tap.run(catalog=catalog))
    assert run.code == 1 and "conversation_threads" not in run.bookmarks
    for step in steps:
        step.times = step.hits
    target.load(tap.good_run(state=target.state, catalog=catalog))
    assert not target.lacks(fake, *STREAMS)


def test_what_stays_put_aside_costs_the_others_no_try(tap, fake, catalog):
    tap.configure(retry_seconds=1)
    state = {"bookmarks": {}, "pending": {"conversation_threads": [*FOREIGN][:7]}}
    fails(fake, *FOREIGN[:7])
    blip = fake.fault(503, f"/{fake.conversation_ids[0]}/threads")
    run = tap.run(state=state, catalog=catalog)
    assert blip.hits and run.state["pending"] == state["pending"]
    assert threads_of(run) == set(fake.conversation_ids)


def test_an_outage_loses_nothing(tap, fake, catalog):
    step = fake.fault(500, "/threads$", times=None)
    target = Target()
    run = target.load(tap.run(catalog=catalog))
    assert run.code == 1 and not threads_of(run)
    step.times = step.hits
    target.load(tap.good_run(state=target.state, catalog=catalog))
    assert not target.lacks(fake, *STREAMS)


@pytest.mark.parametrize("path", [r"/v2/conversations\?", "/threads$"])
def test_refused_credentials_put_nothing_aside(tap, fake, catalog, path):
    fake.fault(401, path, times=None)
    run = tap.run(catalog=catalog)
    assert run.code == 1 and "pending" not in run.state and "put aside" not in run.log


def test_a_stream_wide_403_puts_nothing_aside(tap, fake, catalog):
    fake.fault(403, "/threads$", times=None)
    run = tap.run(catalog=catalog)
    assert run.code == 1 and "pending" not in run.state
    assert "conversation_threads" not in run.bookmarks and "conversations" in run.bookmarks


def test_a_state_without_pending_is_read_as_before(tap, fake, catalog):
    state = {"bookmarks": dict.fromkeys(STREAMS, "2010-01-01T00:00:00Z")}
    run = tap.good_run(state=state, catalog=catalog)
    assert threads_of(run) == set(fake.conversation_ids) and "pending" not in run.state


def test_what_is_pending_of_a_stream_that_is_not_read_now_stays(tap):
    state = {"bookmarks": {}, "pending": {"conversation_threads": [FOREIGN[0]]}}
    run = tap.good_run(state=state, catalog=tap.select("teams"))
    assert "conversation_threads is not selected: what hangs on 1 parent stays" in run.log
    assert run.state["pending"] == state["pending"]


@pytest.mark.parametrize(
    "pending", [["x"], {"conversation_threads": ["7"]}, {"a": 5}, {"a": [True]}]
)
def test_a_list_of_other_things_is_refused(tap, fake, pending):
    run = tap.run(state={"bookmarks": {}, "pending": pending})
    assert run.code == 1 and not fake.requests
    assert "the state file" in run.log and "Traceback" not in run.log
