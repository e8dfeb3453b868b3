"""As fast as the account allows: what can be counted, however busy the machine is."""

import json
import math
import re
import signal
import sys
import threading
import time
from collections import Counter
from datetime import timedelta
from pathlib import Path

import pytest

from tests.conftest import PAGE_SIZES, Tap
from tests.fake import FakeHelpScout, build, stamp
from tests.test_records import assert_complete

PAIR = ("conversations", "conversation_threads")
BOTH = (*PAIR, "customers")
LIST, CHILD, TOKEN = r"/v2/conversations\?", r"/v2/conversations/\d+/threads", r"/oauth2/token"
USED = "embedded threads match the listed ones: they are used"
NOT_USED = "embedded threads are not used in this run"
# Runs the command that is its arguments and says the KiB that it held at most.
PEAK = (
    sys.executable,
    "-c",
    """
import resource, subprocess, sys
code = subprocess.call(sys.argv[1:])
print("PEAK", resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss, file=sys.stderr)
sys.exit(code)""",
)


def account(tmp_path, conversations, customers=40, **options):
    """(a fake with pages as large as the API's, a tap for it), to be closed by the test."""
    fake = FakeHelpScout(build(conversations, customers), **options)
    return fake, Tap(fake, tmp_path)


def listed(fake):
    """How often each conversation's threads were asked for."""
    return Counter(
        int(request.path.split("/")[3])
        for request in fake.requests
        if re.fullmatch(CHILD, request.path)
    )


def chats(fake):
    return {key for key in fake.conversation_ids if fake.conversation(key)["type"] == "chat"}


# -- requests ----------------------------------------------------------------------------------


def test_threads_take_few_requests_more_than_their_conversations(tmp_path):
    fake, tap = account(tmp_path, 600)
    with fake:
        tap.good_run(catalog=tap.select(*PAIR))
        asked, theirs = listed(fake), chats(fake)
        least = math.ceil(600 / 25) + sum(math.ceil(len(fake.threads(key)) / 25) for key in theirs)
        assert set(asked) >= theirs and len(set(asked) - theirs) <= 12
        assert least <= len(fake.requests) <= 1.2 * least + 12


def test_an_idle_run_asks_each_list_once_and_for_spam_and_one_to_start(tmp_path):
    fake, tap = account(tmp_path, 300, page_sizes={**FakeHelpScout.page_sizes, "ratings": 1000})
    with fake:
        state = tap.good_run().state
        fake.clear()
        tap.good_run(state=state)
        lists = {
            f"/v2/{name}"
            for name in (
                "conversations",
                "customers",
                "mailboxes",
                "users",
                "workflows",
                "teams",
                "reports/happiness/ratings",
            )
        }
        lists |= {
            f"/v2/mailboxes/{mailbox['id']}/{child}"
            for mailbox in fake.tables["mailboxes"]
            for child in ("fields", "folders")
        }
        lists |= {f"/v2/teams/{team['id']}/members" for team in fake.tables["teams"]}
        assert Counter(request.path for request in fake.requests) == Counter(
            [*lists, "/v2/conversations", "/v2/users/me"]
        )
        statuses = [request.params.get("status") for request in fake.requests]
        assert statuses.count("all") == statuses.count("spam") == 1


# -- whatever embed does -----------------------------------------------------------------------


@pytest.mark.parametrize(
    "options, said, unsaid",
    [
        ({}, USED, NOT_USED),
        ({"cut_chats": False}, USED, NOT_USED),
        ({"embed": "cut_at_ten"}, USED, None),
        ({"embed": "error_500"}, NOT_USED, USED),
    ],
    ids=str,
)
def test_threads_are_right_whatever_embed_does(tap, fake, options, said, unsaid):
    """What else an embed may lack, tests/test_habits.py tries."""
    fake.set(**options)
    for key in fake.conversation_ids:
        if len(fake.threads(key)) > 10:  # those that a cut shows come when the embed is in use
            fake.touch(key, at=fake.world.now)
    run = tap.good_run(catalog=tap.select(*PAIR))
    assert_complete(run, fake, *PAIR)
    assert len(run.ids("conversation_threads")) == len(set(run.ids("conversation_threads")))
    assert said in run.log and (unsaid is None or unsaid not in run.log)


@pytest.mark.parametrize("embed", ["complete", "cut_at_ten"])
def test_a_count_that_is_too_low_hides_no_thread(tap, fake, embed):
    """Chats are listed all the same, and so is what is as long as a cut could be."""
    fake.embed = embed
    for key in fake.conversation_ids:
        fake.touch(key, at=fake.modified(key), threads=1)
    run = tap.run(catalog=tap.select(*PAIR))
    assert_complete(run, fake, *PAIR)
    # Some that were cut may have been used before one was found out: that is said.
    assert run.code == 0 or "some that came embedded differ from the listed ones" in run.log


def test_a_listing_that_counts_nothing_is_read_all_the_same(tap, fake):
    """Nothing was embedded that could be used, as with a chat: that is no match."""
    chat = max(chats(fake), key=fake.modified)
    fake.fault(
        200,
        path=f"/{chat}/threads",
        times=None,
        body={
            "_embedded": {"threads": fake.threads(chat)},
            "page": {"size": 25, "totalElements": 0, "totalPages": 1, "number": 1},
        },
    )
    run = tap.good_run(catalog=tap.select(*PAIR))
    assert USED in run.log
    assert_complete(run, fake, *PAIR)


def test_an_embed_that_is_cut_only_later_is_found_out_by_the_count(tap, fake):
    fake.before(lambda fake: fake.set(embed="cut_at_ten"), path=LIST, skip=20)
    run = tap.good_run(catalog=tap.select(*PAIR))
    assert USED in run.log
    assert_complete(run, fake, *PAIR)


def test_one_failure_of_an_embed_does_not_end_its_use(tap, fake):
    """A page that fails with it is read without, and the next with it again."""
    fake.fault(500, path="embed=threads.*page=3", times=4)
    tap.configure(retry_seconds=2)
    run = tap.good_run(catalog=tap.select(*PAIR))
    assert_complete(run, fake, *PAIR)
    assert USED in run.log and NOT_USED not in run.log


# -- order -------------------------------------------------------------------------------------


@pytest.fixture(name="runs", scope="module")
def _runs(tmp_path_factory):
    """(fake, {concurrency: run}) over one account in small windows; a run has its seconds."""
    pages = {**PAGE_SIZES, None: 1}
    with FakeHelpScout(build(120, customers=60), page_sizes=pages, latency=0.003) as fake:
        tap, runs = Tap(fake, tmp_path_factory.mktemp("runs")), {}
        catalog = tap.select(*BOTH)
        for concurrency in (1, 8):
            tap.configure(concurrency=concurrency)
            began = time.monotonic()
            runs[concurrency] = tap.good_run(catalog=catalog)
            runs[concurrency].seconds = time.monotonic() - began
        yield fake, runs


def test_concurrency_changes_nothing_but_the_time(runs):
    fake, runs = runs
    rows = {
        n: {json.dumps(message["record"], sort_keys=True) for message in run.of_type("RECORD")}
        for n, run in runs.items()
    }
    assert rows[1] == rows[8]
    for run in runs.values():
        assert_complete(run, fake, *BOTH)
        assert set(run.bookmarks) == set(BOTH)
        assert len(set(run.bookmarks.values())) == 1  # the run's start


@pytest.mark.parametrize("concurrency", [1, 8])
def test_windows_come_in_order_and_a_bookmark_after_all_that_it_promises(runs, concurrency):
    fake, runs = runs
    modified = {key: stamp(fake.modified(key)) for key in fake.conversation_ids}
    # Neighbouring windows share a second or two.
    shared = {key: stamp(fake.modified(key) + timedelta(seconds=2)) for key in modified}
    bookmarks, out, threads = [""], set(), Counter()
    for message in runs[concurrency].messages:
        if message["type"] == "STATE" and "conversations" in message["value"]["bookmarks"]:
            bookmarks.append(message["value"]["bookmarks"]["conversations"])
            assert message["value"]["bookmarks"]["conversation_threads"] == bookmarks[-1]
            promised = {key for key, date in modified.items() if date < bookmarks[-1]}
            assert out >= promised
            assert all(threads[key] >= len(fake.threads(key)) for key in promised)
        elif message["type"] == "RECORD" and message["stream"] == "conversations":
            out.add(message["record"]["id"])
            assert shared[message["record"]["id"]] >= bookmarks[-1]
        elif message["type"] == "RECORD" and message["stream"] == "conversation_threads":
            assert message["record"]["conversation_id"] in out  # before its threads
            threads[message["record"]["conversation_id"]] += 1
    assert bookmarks == sorted(bookmarks) and len(set(bookmarks)) > 120 / 20


# -- how many at once --------------------------------------------------------------------------


@pytest.mark.parametrize("concurrency", [1, 3])
def test_never_more_requests_at_once_than_allowed(tmp_path, concurrency):
    """Token requests, what is asked anew and what is retried count too."""
    fake, tap = account(tmp_path, 60, page_size=5, latency=0.01, embed="error_500")
    tap.configure(concurrency=concurrency)
    wrong = {503: {}, "reset": {}, 429: {"headers": {"Retry-After": "0.2"}}}
    with fake:
        for i, (kind, details) in enumerate(wrong.items()):
            fake.fault(kind, path=CHILD, skip=5 + 25 * i, **details)
        for skip in (30, 90):
            fake.before(lambda fake: fake.revoke_access_tokens(), path=CHILD, skip=skip)
        assert_complete(tap.good_run(catalog=tap.select(*BOTH)), fake, *BOTH)
    statuses = Counter(request.status for request in fake.requests)
    assert statuses[503] and statuses[429] and statuses[401] and statuses[None]
    assert len(fake.token_requests) == 3
    assert fake.max_in_flight == concurrency


@pytest.mark.parametrize("concurrency, is_alone", [(1, True), (2, False)])
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="threads are counted in /proc")
def test_with_concurrency_1_no_thread_is_started(tap, fake, concurrency, is_alone):
    running, threads = {}, Counter()
    has_begun = threading.Event()

    def count(_):
        assert has_begun.wait(20)
        status = Path(f"/proc/{running['pid']}/status").read_text(encoding="utf-8")
        threads[int(re.search(r"Threads:\s+(\d+)", status)[1])] += 1

    fake.before(count, times=None)  # while the tap waits for the answer
    tap.configure(concurrency=concurrency)
    with tap.start(catalog=tap.select(*BOTH)) as process:
        running["pid"] = process.pid
        has_begun.set()
        process.communicate(timeout=60)
    assert process.returncode == 0 and sum(threads.values()) == len(fake.requests) > 50
    assert (set(threads) == {1}) == is_alone


# -- the account's minute ----------------------------------------------------------------------


def test_when_somebody_else_uses_up_the_minute_the_tap_waits_as_told(tap, fake):
    fake.set(rate_limit=5000, rate_window=3)
    fake.before(lambda fake: fake.use_up(5000), path=LIST, skip=3)
    run = tap.good_run(catalog=tap.select(*BOTH))
    assert_complete(run, fake, *BOTH)
    refused = [request.at for request in fake.requests if request.status == 429]
    assert 1 <= len(refused) <= 4  # those that were on their way
    since = [request.at - refused[0] for request in fake.requests]
    assert not [at for at in since if 1 < at < 2.9] and max(since) >= 2.9
    assert "answered 429" in run.log and "trying again in 3." in run.log


@pytest.mark.parametrize("limit, share, at_once", [(20, 0.5, 5), (30, "0.2", 3)])
def test_half_of_its_share_is_sent_at_once_and_the_rest_later(tap, fake, limit, share, at_once):
    """How many in a minute, and how far apart, tests/unit/test_throttle.py shows."""
    fake.rate_limit = limit
    tap.configure(rate_limit_share=share)
    with tap.start(catalog=tap.select("conversations")) as process:
        deadline = time.monotonic() + 30
        while len(fake.requests) < at_once and time.monotonic() < deadline:
            time.sleep(0.05)
        time.sleep(1.5)  # enough for hundreds more
        asked = fake.requests
        process.send_signal(signal.SIGTERM)
        _, log = process.communicate(timeout=20)
    assert len(asked) >= at_once and {request.status for request in asked} == {200}
    apart = 60 / (at_once + 1)
    assert sum(request.at < asked[0].at + apart - 1 for request in asked) == at_once
    said = (
        rf"INFO waiting \d+ s: {at_once} of the {2 * at_once} requests a minute that this tap may"
    )
    assert re.search(said, log.decode())


# -- memory ------------------------------------------------------------------------------------


def peak(tap, *streams):
    """(the ids of the threads that a run brought, the MiB that it held at most)"""
    tap.wrapper = PEAK
    run = tap.good_run(catalog=tap.select(*streams))
    return run.ids("conversation_threads"), int(re.search(r"PEAK (\d+)", run.log)[1]) / 1024


@pytest.mark.parametrize(
    "kind, conversations, threads, most",
    [
        ("chat", 4, 2500, 70),  # listed page by page, and never held together
        ("email", 1, 4000, 140),
    ],
)  # embedded: one answer that must be held whole
def test_thousands_of_threads_in_one_conversation_are_not_piled_up(
    tmp_path, kind, conversations, threads, most
):
    fake, tap = account(tmp_path, 20, page_sizes={"conversations": 25, "threads": 100})
    with fake:
        for _ in range(conversations):
            fake.add_conversation(threads=threads, type=kind)
        ids, mib = peak(tap, *PAIR)
        assert len(ids) == fake.truth_counts()["conversation_threads"]
        assert mib < most


# -- progress ----------------------------------------------------------------------------------


def test_progress_is_told_every_few_seconds_however_many_windows(runs):
    fake, runs = runs
    for concurrency, run in runs.items():
        lines = re.findall(
            r"conversations: window .* read; (\d+) of 120 rows \((\d+) %\), (\d+) "
            r"rows?/s, (?:(\d+):(\d\d):(\d\d)|unknown time) left; (\d+) of (\d+) "
            r"requests a minute",
            run.log,
        )
        windows = len(
            {message["value"]["bookmarks"].get("conversations") for message in run.of_type("STATE")}
            - {None}
        )
        assert windows > 6 and 2 <= len(lines) <= 3 + run.seconds / 5
        done = [int(line[0]) for line in lines]
        assert done == sorted(done) and done[-1] >= 120
        assert all(abs(int(share) - min(int(rows) / 1.2, 100)) <= 0.5 for rows, share, *_ in lines)
        assert all(int(line[7]) == int(0.9 * fake.rate_limit) for line in lines[1:])
        used = [int(line[6]) for line in lines]
        assert used == sorted(used) and used[-1] > 200, concurrency
