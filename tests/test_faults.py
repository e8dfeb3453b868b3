"""A bad network and an API that errs: what passes is survived, what stays is told and bounded."""

import time
from datetime import datetime, timedelta, timezone
from email.utils import format_datetime

import pytest

from tests.conftest import Tap
from tests.fake import FakeHelpScout, build
from tests.target import Target

LIST, CHILD, TOKEN = r"/v2/conversations\?.*page=2", r"/threads", "oauth2/token"
WORDS = {"message": "The lamps are out", "logRef": "ref-4711"}
IN_AN_HOUR = format_datetime(datetime.now(timezone.utc) + timedelta(hours=1), usegmt=True)
PASSING = {
    "408": (408, {}),
    "429": (429, {}),
    "429, X-RateLimit-Retry-After": (429, {"headers": {"X-RateLimit-Retry-After": "1"}}),
    "429, Retry-After": (429, {"headers": {"Retry-After": "1"}}),
    "429, Retry-After far too long": (429, {"headers": {"Retry-After": "99999999999"}}),
    "429, Retry-After a date": (429, {"headers": {"Retry-After": IN_AN_HOUR}}),
    "429, Retry-After no number": (429, {"headers": {"Retry-After": "nan"}}),
    "500": (500, {}),
    "502 with HTML": (502, {"body": "<html>Bad gateway</html>", "content_type": "text/html"}),
    "503": (503, {}),
    "504 with nothing": (504, {"body": ""}),
    "reset": ("reset", {}),
    "cut": ("cut", {}),
    "200 with HTML": ("html", {}),
    "200 with nothing": ("empty", {}),
    "200 with an error": (200, {"body": {"message": "Something else", "logRef": "x"}}),
    "200 with another error": (200, {"body": {"message": "Something else", "error": "x"}}),
    "silent": ("silent", {"seconds": 60}),
}
STAYING = {
    name: PASSING[name]
    for name in ("429", "502 with HTML", "reset", "cut", "silent", "200 with an error")
}
STAYING["500"] = (500, {"body": WORDS})
# A 200, or not an error that may pass: trying again would not help.
ODD = {
    "an array": (200, {"body": [{"id": 1}]}),
    "an empty object": (200, {"body": {}}),
    "null": (200, {"body": "null"}),
    "a string": (200, {"body": '"conversations"'}),
    "rows that are null": (
        200,
        {
            "body": {
                "_embedded": {"conversations": [None]},
                "page": {"totalElements": 1, "totalPages": 1},
            }
        },
    ),
    "no rows where some are counted": (
        200,
        {"body": {"page": {"totalElements": 7, "totalPages": 2, "number": 1}}},
    ),
    "other rows": (200, {"body": {"_embedded": {"lamps": [{"id": 1}]}, "page": {}}}),
    "301": (301, {"headers": {"Location": "/v2/users"}}),
    "302": (302, {"headers": {"Location": "https://lamps.example/login"}}),
    "400": (400, {"body": WORDS}),
    "403": (403, {"body": WORDS}),
    "404": (404, {}),
    "418": (418, {"body": "I'm a teapot"}),
}


def each(faults):
    return pytest.mark.parametrize("kind, details", faults.values(), ids=faults)


@pytest.fixture(name="fake")
def _fake(small_fake):
    return small_fake


@pytest.fixture(name="tap")
def _tap(fake, tmp_path):
    tap = Tap(fake, tmp_path)
    tap.configure(request_timeout=0.7, retry_seconds=2)
    return tap


@pytest.fixture(name="target")
def _target():
    return Target()


@pytest.mark.parametrize("path", [LIST, CHILD, TOKEN], ids=["list", "child", "token"])
@each(PASSING)
def test_what_passes_is_survived(tap, fake, target, kind, details, path):
    step = fake.fault(kind, path=path, **details)
    target.load(tap.good_run(timeout=50))
    assert step.hits == 1
    assert not target.lacks(fake)


def test_many_that_pass_in_one_run(tap, fake, target):
    tap.configure(request_timeout=0.7)
    for skip, (kind, details) in enumerate(STAYING.values()):
        fake.fault(kind, path="/v2/(?!oauth2)", skip=3 + 2 * skip, **details)
    target.load(tap.good_run())
    assert not target.lacks(fake)


@pytest.mark.parametrize(
    "path, header",
    [(LIST, "X-RateLimit-Retry-After"), (CHILD, "Retry-After"), (TOKEN, "Retry-After")],
)
def test_eight_429s_in_a_row_are_waited_out_as_told(tap, fake, target, path, header):
    # Being told to wait costs nothing of retry_seconds; one at a time, so that none waits beside.
    tap.configure(retry_seconds=0, concurrency=1)
    step = fake.fault(429, path=path, times=8, headers={header: "0.2"})
    target.load(tap.good_run())
    assert step.hits == 8 and not target.lacks(fake)
    told = [request.at for request in fake.requests if request.status == 429]
    assert all(later - earlier >= 0.2 for earlier, later in zip(told, told[1:]))


def test_a_429_holds_every_worker_back(tap, fake):
    fake.embed, fake.latency = "no_line_items", 0.5  # so that many listings are on their way
    fake.fault(429, path=CHILD, skip=12, headers={"Retry-After": "3"})
    tap.good_run(catalog=tap.select("conversations", "conversation_threads"))
    (refused,) = (request.at + 0.5 for request in fake.requests if request.status == 429)
    asked = [request.at - refused for request in fake.requests]
    assert [at for at in asked if at > 3]
    assert not [at for at in asked if 0.3 < at < 3]


def finished(tap, **kwargs):
    """(a run that fails, seconds that it took)"""
    began = time.monotonic()
    run = tap.run(**kwargs)
    assert run.code == 1, run.log
    return run, time.monotonic() - began


@each(STAYING)
def test_what_stays_on_a_list_fails_its_streams_and_no_other(tap, fake, target, kind, details):
    tap.configure(request_timeout=0.7, retry_seconds=1, concurrency=(1, 4)[kind == 500])
    before = tap.good_run(state={"bookmarks": {}})
    for key in fake.conversation_ids:
        fake.touch(key, subject="Edited")
    fake.clock_offset += 3600
    # Where the page is asked for with the embed and without, each is tried.
    step = fake.fault(kind, path=LIST, times=None, **details)
    run, seconds = finished(tap, state=before.state)
    assert step.hits <= 2 * 10 and seconds < 20
    for stream in ("conversations", "conversation_threads"):
        assert f"{stream} is incomplete: GET /v2/conversations " in run.log
        assert run.bookmarks[stream] == before.bookmarks[stream]
    assert "2 of 11 streams failed" in run.log
    if "body" in details and details["body"] == WORDS:
        assert "answered 500 (The lamps are out) [reference ref-4711]" in run.log
    target.load(before)
    target.load(run)
    assert set(target.lacks(fake)) <= {"conversations", "conversation_threads"}
    step.times = step.hits
    target.load(tap.good_run(state=target.state))
    assert not target.lacks(fake)


@each(STAYING)
def test_what_stays_on_a_child_fails_the_child_and_not_its_parents(
    tap, fake, target, kind, details
):
    tap.configure(request_timeout=0.7, retry_seconds=1)
    fake.embed = "no_line_items"  # so that each listing is asked for
    key = fake.conversation_ids[7]
    step = fake.fault(kind, path=f"/{key}/threads", times=None, **details)
    target.load(finished(tap)[0])
    assert step.hits <= 10
    assert set(target.lacks(fake)) == {"conversation_threads"}
    assert "conversation_threads" not in target.state["bookmarks"]
    step.times = step.hits
    target.load(tap.good_run(state=target.state))
    assert not target.lacks(fake)


@pytest.mark.parametrize(
    "path, lacking",
    [
        (r"/mailboxes/7003/folders", "mailbox_folders"),
        (r"/mailboxes/7002/fields", "mailbox_fields"),
        (r"/teams/802/members", "team_members"),
        (r"/v2/users", "users"),
        (r"/v2/workflows", "workflows"),
        ("/reports/", "happiness_ratings_report"),
    ],
)
def test_what_stays_on_any_other_stream_fails_that_one(tap, fake, target, path, lacking):
    tap.configure(retry_seconds=0)
    before = tap.good_run().state
    step = fake.fault(500, path=path, times=None, body=WORDS)
    run, _ = finished(tap)
    assert f"{lacking} is incomplete: GET /v2/" in run.log
    assert "(The lamps are out)" in run.log and "1 of 11 streams failed" in run.log
    assert lacking not in run.bookmarks
    assert set(run.bookmarks) | {lacking} == set(before["bookmarks"]) | {lacking}
    target.load(run)
    assert set(target.lacks(fake)) == {lacking}
    step.times = step.hits
    target.load(tap.good_run(state=target.state))
    assert not target.lacks(fake)


@each(STAYING)
def test_what_stays_on_the_token_request_ends_the_run(tap, fake, kind, details):
    tap.configure(request_timeout=0.7, retry_seconds=1)
    fake.fault(kind, path=TOKEN, times=None, **details)
    run, seconds = finished(tap)
    assert "POST /v2/oauth2/token" in run.log and seconds < 20
    assert {request.path for request in fake.requests} == {"/v2/oauth2/token"}
    assert len(fake.requests) <= 10 and not run.of_type("RECORD")


def test_nobody_listens_at_all(tap, fake):
    tap.configure(api_url="http://127.0.0.1:9", retry_seconds=1)
    run, seconds = finished(tap)
    assert "refused" in run.log and seconds < 10 and not fake.requests


def test_a_plan_without_reports(tap, fake, target):
    fake.plan = "standard"
    run, _ = finished(tap)
    assert "CRITICAL happiness_ratings_report is incomplete" in run.log
    assert "deselect the stream in the catalog" in run.log
    assert "Reports need a Plus or Pro plan" in run.log
    target.load(run)
    assert set(target.lacks(fake)) == {"happiness_ratings_report"}


@pytest.mark.parametrize("concurrency", [1, 4])
def test_a_401_that_no_new_token_cures_ends_the_run_at_once(tap, fake, concurrency):
    tap.configure(concurrency=concurrency)
    fake.fault(401, path=r"/v2/conversations\?", times=None, body=WORDS)
    run, _ = finished(tap)
    assert "answered 401 (The lamps are out)" in run.log
    paths = [request.path for request in fake.requests]
    assert paths.count("/v2/oauth2/token") == 2  # the first, and the one that might have cured it
    assert set(paths) <= {"/v2/oauth2/token", "/v2/users/me", "/v2/conversations"}
    assert not run.of_type("RECORD")


@each(ODD)
def test_an_odd_answer_for_a_list_fails_its_streams_and_no_other(tap, fake, target, kind, details):
    step = fake.fault(kind, path=r"/v2/conversations\?", times=None, **details)
    run, _ = finished(tap)
    assert step.hits <= 4  # with the embed and without
    assert "conversations is incomplete: GET /v2/conversations answered " in run.log
    assert "an error of the tap's own" not in run.log
    assert "conversations" not in run.bookmarks and not run.records("conversations")
    target.load(run)
    assert set(target.lacks(fake)) == {"conversations", "conversation_threads"}
    step.times = step.hits
    target.load(tap.good_run(state=target.state))
    assert not target.lacks(fake)


@each({name: fault for name, fault in ODD.items() if name != "404"})
def test_an_odd_answer_for_one_parents_children_fails_the_child(tap, fake, target, kind, details):
    fake.embed = "no_line_items"  # so that each listing is asked for
    step = fake.fault(kind, path=f"/{fake.conversation_ids[4]}/threads", times=None, **details)
    target.load(finished(tap)[0])
    assert set(target.lacks(fake)) == {"conversation_threads"}
    step.times = step.hits
    target.load(tap.good_run(state=target.state))
    assert not target.lacks(fake)


@pytest.mark.parametrize(
    "embedded",
    [[None], ["text"], [[]], {}, "text", 7, None, [{"id": None, "type": None, "state": None}]],
)
def test_odd_embedded_children_are_listed_instead(tap, fake, target, embedded):
    page = {
        "page": {"totalElements": 20, "totalPages": 1, "number": 1},
        "_embedded": {
            "conversations": [
                {**fake.conversation(key), "_embedded": {"threads": embedded}}
                for key in fake.conversation_ids
            ]
        },
    }
    fake.fault(200, path=r"/v2/conversations\?", times=None, body=page)
    target.load(tap.good_run(catalog=tap.select("conversations", "conversation_threads")))
    assert not target.lacks(fake, "conversations", "conversation_threads")


def test_a_redirect_is_not_followed_and_takes_no_token_elsewhere(tap, fake):
    with FakeHelpScout(build(1, customers=1)) as other:
        fake.fault(
            302, path="/v2/customers", times=None, headers={"Location": other.url + "/v2/customers"}
        )
        run, _ = finished(tap)
        assert "GET /v2/customers answered 302" in run.log
        assert not other.requests


def test_every_child_redirected_is_not_every_parent_gone(tap, fake, target):
    """A moved host answers so; a merged conversation's redirect leads to another conversation."""
    fake.embed = "no_line_items"  # so that each listing is asked for
    step = fake.fault(
        301,
        path="/threads",
        times=None,
        headers={"Location": "https://elsewhere.example/v2/conversations"},
    )
    target.load(finished(tap)[0])
    step.times = step.hits
    target.load(tap.good_run(state=target.state))
    assert not target.lacks(fake)
