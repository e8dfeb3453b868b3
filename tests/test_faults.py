"""A bad network and an API that errs: what passes is survived, what stays is told and bounded."""

import itertools
from datetime import datetime, timedelta, timezone
from email.utils import format_datetime

import pytest

from tests.conftest import Tap
from tests.fake import FakeHelpScout, build
from tests.target import Target

LIST, CHILD, TOKEN = r"/v2/conversations\?.*page=2", r"/threads", "oauth2/token"
CUSTOMERS = r"/v2/customers\?"
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
# A 200, or not an error that may pass: trying again would not help. Rows are those of CUSTOMERS.
ODD = {
    "an array": (200, {"body": [{"id": 1}]}),
    "an empty object": (200, {"body": {}}),
    "null": (200, {"body": "null"}),
    "a string": (200, {"body": '"customers"'}),
    "rows that are null": (
        200,
        {
            "body": {
                "_embedded": {"customers": [None]},
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


@each(PASSING)
def test_what_passes_is_survived(tap, fake, target, kind, details):
    steps = [fake.fault(kind, path=path, **details) for path in (LIST, CHILD, TOKEN)]
    target.load(tap.good_run(timeout=50))
    assert [step.hits for step in steps] == [1, 1, 1]
    assert not target.lacks(fake)


def test_many_that_pass_in_one_run(tap, fake, target):
    tap.configure(request_timeout=0.7)
    for skip, (kind, details) in enumerate(STAYING.values()):
        fake.fault(kind, path="/v2/(?!oauth2)", skip=3 + 2 * skip, **details)
    target.load(tap.good_run())
    assert not target.lacks(fake)


def test_429s_in_a_row_are_waited_out_as_told(tap, fake, target):
    # Being told to wait costs nothing of retry_seconds; one at a time, so that none waits beside.
    tap.configure(retry_seconds=0, concurrency=1)
    for path, header in (
        (LIST, "X-RateLimit-Retry-After"),
        (CHILD, "Retry-After"),
        (TOKEN, "Retry-After"),
    ):
        fake.fault(429, path=path, times=3, headers={header: "0.2"})
    target.load(tap.good_run())
    assert not target.lacks(fake)
    told = [request.at for request in fake.requests if request.status == 429]
    assert len(told) == 9
    assert all(later - earlier >= 0.2 for earlier, later in zip(told, told[1:]))


def test_a_429_holds_every_worker_back(tap, fake):
    fake.embed, fake.latency = "no_line_items", 0.5  # so that many listings are on their way
    fake.fault(429, path=CHILD, skip=12, headers={"Retry-After": "3"})
    tap.good_run(catalog=tap.select("conversations", "conversation_threads"))
    (refused,) = (request.at + 0.5 for request in fake.requests if request.status == 429)
    asked = [request.at - refused for request in fake.requests]
    assert [at for at in asked if at > 3]
    assert not [at for at in asked if 1 < at < 3]  # a request may take its time to come in


def failed(tap, **kwargs):
    """A run that must fail."""
    run = tap.run(**kwargs)
    assert run.code == 1, run.log
    return run


def test_what_stays_on_a_list_leaves_its_bookmarks_and_no_other(tap, fake, target):
    tap.configure(retry_seconds=1)
    before = target.load(tap.good_run())
    for key in fake.conversation_ids:
        fake.touch(key, subject="Edited")
    fake.clock_offset += 3600
    # Where the page is asked for with the embed and without, each is tried.
    step = fake.fault(500, path=LIST, times=None, body=WORDS)
    run = failed(tap, state=before.state)
    assert step.hits <= 2 * 10
    for stream in ("conversations", "conversation_threads"):
        assert f"{stream} is incomplete: " in run.log
        assert run.bookmarks.pop(stream) == before.bookmarks.pop(stream)
    assert "conversations is incomplete: GET /v2/conversations answered 500 (The lamps" in run.log
    assert "(The lamps are out) [reference ref-4711]" in run.log
    assert run.log.splitlines()[-1].endswith(
        "incomplete: conversations, conversation_threads. The next run begins where they stopped"
    )
    assert all(run.bookmarks[stream] > date for stream, date in before.bookmarks.items())
    target.load(run)
    assert set(target.lacks(fake)) <= {"conversations", "conversation_threads"}
    step.times = step.hits
    target.load(tap.good_run(state=target.state))
    assert not target.lacks(fake)


@each(STAYING)
def test_what_stays_fails_a_list_and_puts_a_parent_aside(tap, fake, target, kind, details):
    tap.configure(request_timeout=0.7, retry_seconds=1)
    fake.embed = "no_line_items"  # so that each listing is asked for
    key = fake.conversation_ids[7]
    steps = [
        fake.fault(kind, path=path, times=None, **details)
        for path in (CUSTOMERS, f"/{key}/threads")
    ]
    run = target.load(failed(tap))
    assert all(0 < step.hits <= 10 for step in steps)
    assert "customers is incomplete: GET /v2/customers " in run.log
    assert "customers" not in run.bookmarks
    # The other conversations' threads are read, and this one's are asked for again.
    assert run.state["pending"] == {"conversation_threads": [key]}
    assert run.bookmarks["conversation_threads"] == run.bookmarks["conversations"]
    assert set(target.lacks(fake)) == {"customers", "conversation_threads"}
    for step in steps:
        step.times = step.hits
    run = target.load(tap.good_run(state=target.state))
    assert "pending" not in run.state
    assert not target.lacks(fake)


def test_what_stays_on_any_other_stream_fails_that_one(tap, fake, target):
    tap.configure(retry_seconds=0)
    paths = {
        "users": r"/v2/users\?|/v2/users$",
        "workflows": "/v2/workflows",
        "happiness_ratings_report": "/reports/",
        "mailbox_folders": "/mailboxes/7003/folders",
        "mailbox_fields": "/mailboxes/7003/fields",
        "team_members": "/teams/802/members",
    }
    steps = [fake.fault(500, path=path, times=None, body=WORDS) for path in paths.values()]
    run = target.load(failed(tap))
    for stream in paths:
        assert f"CRITICAL {stream} is incomplete: " in run.log
    assert run.log.count("(The lamps are out)") >= len(paths)
    assert not {"users", "workflows"} & set(run.bookmarks)
    assert run.state["pending"] == {
        "mailbox_folders": [7003],
        "mailbox_fields": [7003],
        "team_members": [802],
    }
    assert set(target.lacks(fake)) == set(paths)
    for step in steps:
        step.times = step.hits
    target.load(tap.good_run(state=target.state))
    assert not target.lacks(fake)


@each({name: STAYING[name] for name in ("429", "cut", "silent")})
def test_what_stays_on_the_token_request_ends_the_run(tap, fake, kind, details):
    tap.configure(request_timeout=0.7, retry_seconds=1)
    fake.fault(kind, path=TOKEN, times=None, **details)
    run = failed(tap)
    assert "POST /v2/oauth2/token" in run.log
    assert {request.path for request in fake.requests} == {"/v2/oauth2/token"}
    assert len(fake.requests) <= 10 and not run.of_type("RECORD")


def test_nobody_listens_at_all(tap, fake):
    tap.configure(api_url="http://127.0.0.1:9", retry_seconds=1)
    assert "refused" in failed(tap).log and not fake.requests


def test_a_plan_without_reports(tap, fake, target):
    fake.plan = "standard"
    run = target.load(failed(tap))
    assert "CRITICAL happiness_ratings_report is incomplete" in run.log
    assert "deselect the stream in the catalog" in run.log
    assert "Reports need a Plus or Pro plan" in run.log
    assert set(target.lacks(fake)) == {"happiness_ratings_report"}


def test_a_401_that_no_new_token_cures_ends_the_run_at_once(tap, fake):
    fake.fault(401, path=r"/v2/mailboxes", times=None, body=WORDS)
    run = failed(tap)
    assert "answered 401 (The lamps are out)" in run.log
    paths = [request.path for request in fake.requests]
    assert paths.count("/v2/oauth2/token") == 2  # the first, and the one that might have cured it
    assert set(paths) <= {"/v2/oauth2/token", "/v2/users/me", "/v2/mailboxes"}
    assert not run.of_type("RECORD")


@each(ODD)
def test_an_odd_answer_fails_a_list_and_puts_a_parent_aside(tap, fake, target, kind, details):
    fake.embed = "no_line_items"  # so that each listing is asked for
    key = fake.conversation_ids[4]
    step = fake.fault(kind, path=CUSTOMERS, times=None, **details)
    fake.fault(kind, path=f"/{key}/threads", times=None, **details)
    run = target.load(
        failed(tap, catalog=tap.select("conversations", "conversation_threads", "customers"))
    )
    assert step.hits <= 4
    assert "customers is incomplete: GET /v2/customers answered " in run.log
    assert "an error of the tap's own" not in run.log
    assert "customers" not in run.bookmarks and not run.records("customers")
    # A conversation that is not found has been deleted.
    pending = {} if kind == 404 else {"conversation_threads": [key]}
    assert run.state.get("pending", {}) == pending
    assert set(target.lacks(fake, "conversations", "conversation_threads")) == {
        "conversation_threads"
    }


def test_odd_embedded_children_are_listed_instead(tap, fake, target):
    odd = itertools.cycle(
        [[None], ["text"], [[]], {}, "text", 7, None, [{"id": None, "type": None, "state": None}]]
    )
    page = {
        "page": {"totalElements": 20, "totalPages": 1, "number": 1},
        "_embedded": {
            "conversations": [
                {**fake.conversation(key), "_embedded": {"threads": next(odd)}}
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
        run = failed(tap)
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
    target.load(failed(tap))
    step.times = step.hits
    target.load(tap.good_run(state=target.state))
    assert not target.lacks(fake)
