"""Rows that move while they are read: nothing is missing after that run and the next."""

import random
from datetime import datetime, timedelta, timezone

import pytest

from tests.conftest import Tap
from tests.fake import FakeHelpScout, build
from tests.target import Target

CONVERSATIONS, CUSTOMERS = r"/v2/conversations\?", r"/v2/customers\?"
LIST = r"/v2/(conversations|customers)\?"
# A thread that came between a page and a listing looks like one that the embed lacks.
DOUBTED = "conversation_threads is incomplete: some that came embedded differ from the listed ones"
BOTH = ("conversations", "conversation_threads", "customers")


@pytest.fixture(name="target")
def _target():
    return Target()


@pytest.fixture(name="small")
def _small(tmp_path):
    """(tap, fake) with few enough conversations for one window of six pages."""
    with FakeHelpScout(build(30, customers=20), page_size=5) as fake:
        yield Tap(fake, tmp_path), fake


@pytest.fixture(name="medium")
def _medium(tmp_path):
    """The same with two windows or more of each list."""
    with FakeHelpScout(build(110, customers=105), page_size=5) as fake:
        yield Tap(fake, tmp_path), fake


def by_date(fake):
    """The conversations in the order in which the tap reads them."""
    return sorted(fake.conversation_ids, key=lambda key: (fake.modified(key), key))


def run(tap, target):
    """A run that must succeed, unless an edit made it doubt what was embedded."""
    done = target.load(tap.run(state=target.state))
    assert done.code == 0 or DOUBTED in done.log, done.log
    return done


class Editor:
    """Somebody at work: each time a list is asked for, edits some rows of the account."""

    def __init__(self, rng, edits):
        self.rng, self.left, self.made = rng, edits, 0

    def __call__(self, fake):
        for _ in range(min(self.left, self.rng.randint(1, 4))):
            self.left, self.made = self.left - 1, self.made + 1
            key = self.rng.choice(fake.conversation_ids)
            self.rng.choice(
                (
                    lambda key=key: fake.touch(key),
                    lambda key=key: fake.touch(key, subject=f"Edit {self.made}"),
                    lambda key=key: fake.add_thread(key, body=f"Edit {self.made}"),
                    lambda: fake.add_conversation(threads=2),
                    lambda: fake.touch_customer(
                        self.rng.choice(fake.customer_ids), age=str(self.made)
                    ),
                )
            )()


@pytest.mark.parametrize("concurrency, embed", [(1, "error_500"), (4, "complete")])
def test_edits_between_any_two_pages(medium, target, concurrency, embed):
    tap, fake = medium
    tap.configure(concurrency=concurrency)
    seed = random.randrange(10**9)
    print(f"seed {seed}")
    editor = Editor(random.Random(seed), edits=40)
    fake.embed = embed
    fake.before(editor, path=LIST, times=None)
    run(tap, target)
    assert editor.made == 40
    run(tap, target)
    assert not target.lacks(fake)


@pytest.mark.parametrize("page, place", [(2, 0), (4, 12), (6, -1)])
def test_one_row_that_leaves_hides_no_other(small, target, page, place):
    tap, fake = small
    fake.before(
        lambda fake: fake.touch(by_date(fake)[place]), path=CONVERSATIONS + f".*page={page}"
    )
    run(tap, target)
    run(tap, target)
    assert not target.lacks(fake)


@pytest.mark.parametrize("number, concurrency", [(4, 4), (11, 1), (30, 4)])
def test_a_list_that_shrinks_below_the_page_that_is_asked_for(small, target, number, concurrency):
    tap, fake = small
    tap.configure(concurrency=concurrency)
    fake.before(
        lambda fake: [fake.touch(key, subject="Late") for key in by_date(fake)[:number]],
        path=CONVERSATIONS + ".*page=6",
    )
    fake.before(
        lambda fake: [fake.touch_customer(key) for key in fake.customer_ids[:number]],
        path=CUSTOMERS + ".*page=4",
    )
    run(tap, target)
    run(tap, target)
    assert not target.lacks(fake)


def test_a_row_deleted_between_two_pages_of_any_list(tap, fake, target):
    fake.members = dict.fromkeys(fake.members, ())
    for name in ("users", "workflows"):
        fake.page_sizes[name] = 3
        fake.before(lambda fake, name=name: fake.tables[name].pop(0), path=f"/v2/{name}.*page=2")
    fake.before(lambda fake: fake.delete(by_date(fake)[0]), path=CONVERSATIONS + ".*page=2")
    run(tap, target)
    assert not target.lacks(fake)


@pytest.mark.parametrize("seconds", [1, 3])
def test_more_rows_in_one_second_than_a_window_holds(tap, fake, target, seconds):
    """A window is 20 pages of 4 rows; a bulk edit may take some seconds, too."""
    at = fake.now() - timedelta(days=2)
    for i in range(seconds):
        fake.bulk_touch(fake.conversation_ids[i::seconds], at + timedelta(seconds=i))
        for key in fake.customer_ids[i::seconds]:
            fake.touch_customer(key, at + timedelta(seconds=i))
    edit = fake.before(lambda fake: fake.touch(by_date(fake)[3]), CONVERSATIONS + ".*page=15")
    run(tap, target)
    assert edit.hits
    assert not target.lacks(fake)


@pytest.mark.parametrize("size", [2, 12])
def test_pages_that_change_their_size_in_mid_run(tap, fake, target, size):
    fake.before(lambda fake: fake.set(page_size=size), path=CONVERSATIONS, skip=2)
    run(tap, target)
    assert not target.lacks(fake)


def test_a_bulk_edit_while_the_tap_runs(medium, target):
    tap, fake = medium
    edits = fake.before(
        lambda fake: fake.bulk_touch(fake.conversation_ids[::2]),
        path=CONVERSATIONS + ".*page=",
        times=2,
        skip=5,
    )
    run(tap, target)
    assert edits.hits == 2
    run(tap, target)
    assert not target.lacks(fake)


class Jumbled(FakeHelpScout):
    """Where many rows have one date, the order in which they are listed changes each time."""

    rng = random.Random(5)

    def _search(self, *args, **kwargs):
        found = super()._search(*args, **kwargs)
        return sorted(found, key=lambda pair: (pair[0], self.rng.random()))


def test_rows_of_one_second_in_an_order_that_changes_between_pages(tmp_path, target):
    with Jumbled(build(60, customers=40), page_size=5) as fake:
        at = fake.now() - timedelta(days=2)
        fake.bulk_touch(fake.conversation_ids, at)
        for key in fake.customer_ids:
            fake.touch_customer(key, at)
        run(Tap(fake, tmp_path), target)
        assert not target.lacks(fake)


class Miscounted(FakeHelpScout):
    """Counts a user more than it lists."""

    def _hal(self, query, name, *args, **kwargs):
        answer = super()._hal(query, name, *args, **kwargs)
        answer.body["page"]["totalElements"] += name == "users"
        return answer


@pytest.mark.parametrize("is_moving, most", [(False, 2), (True, 10)])
def test_a_list_that_never_brings_what_it_counts_is_not_read_for_ever(tmp_path, is_moving, most):
    def move(fake):
        users = fake.tables["users"]
        users[:] = users[:-1] if users[-1]["id"] == 599 else [*users, {**users[0], "id": 599}]

    with Miscounted(build(5, customers=2)) as fake:
        tap = Tap(fake, tmp_path)
        if is_moving:
            fake.before(move, path="/v2/users$", times=None)
        done = tap.good_run(catalog=tap.select("users"))
        assert "WARNING users: Help Scout counts 1 row more than it lists" in done.log
        assert {user["id"] for user in fake.tables["users"]} <= set(done.ids("users"))
        assert sum(request.path == "/v2/users" for request in fake.requests) <= most


def test_a_page_that_does_not_say_how_many_rows_there_are(tap, fake, target):
    fake.fault(200, path="/v2/users.*page=2", body={"_links": {}})
    run(tap, target)
    assert not target.lacks(fake)


@pytest.mark.parametrize("lag", [2, 500])
def test_an_edit_that_the_lists_show_only_later(medium, target, lag):
    tap, fake = medium
    fake.index_lag = lag
    fake.touch(fake.conversation_ids[40], subject="Just before the run")
    editor = Editor(random.Random(lag), edits=40)
    fake.before(editor, path=LIST, times=None)
    run(tap, target)
    fake.touch(fake.conversation_ids[50], subject="Just after the run")
    assert target.lacks(fake)
    fake.clock_offset += lag + 1
    run(tap, target)
    assert not target.lacks(fake)


def test_a_row_that_comes_late_while_another_leaves(small, target):
    """The number of rows stays the same, and the first row of the next page slips away."""
    tap, fake = small
    tap.configure(concurrency=1)

    def swap(fake):
        fake.index_lag = 0
        fake.clock_offset += 301  # the lists now show what was late
        fake.touch(by_date(fake)[0])

    fake.index_lag = 300
    fake.add_conversation(at=fake.now() - timedelta(seconds=20), threads=2)
    fake.before(swap, path=CONVERSATIONS + ".*page=2")
    run(tap, target)
    run(tap, target)
    assert not target.lacks(fake)


def test_the_same_among_rows_of_the_last_minutes(small, target):
    tap, fake = small
    tap.configure(concurrency=1)
    now, keys = fake.now(), fake.conversation_ids
    for i, key in enumerate(keys):
        fake.touch(key, now - timedelta(seconds=400 - 10 * i))

    def swap(fake):
        fake.index_lag = 0
        fake.clock_offset += 91
        fake.touch(by_date(fake)[0])

    fake.index_lag = 90
    fake.add_conversation(at=now - timedelta(seconds=20), threads=2)
    fake.before(swap, path=CONVERSATIONS + ".*page=2")
    run(tap, target)
    run(tap, target)
    assert not target.lacks(fake)


@pytest.mark.parametrize("hours", [-26, 20])
def test_a_server_clock_hours_from_ours(tmp_path, target, hours):
    now = datetime.now(timezone.utc) + timedelta(hours=hours)
    with FakeHelpScout(
        build(30, customers=20, now=now), page_size=5, clock_offset=hours * 3600
    ) as fake:
        tap, edited = Tap(fake, tmp_path), fake.conversation_ids[2:8:2]
        tap.configure(access_token=fake.new_access_token())
        fake.before(lambda fake: fake.touch(edited[0], subject="As the run began"), path=LIST)
        run(tap, target)
        fake.touch(edited[1], subject="Right after the run")
        for seconds in (1, 30, 4000):
            assert target.state["bookmarks"]["conversations"] <= f"{fake.now():%Y-%m-%dT%H:%M:%SZ}"
            fake.clock_offset += seconds
            fake.touch(edited[2], subject=f"{seconds} seconds later")
            again = run(tap, target)
            assert not target.lacks(fake)
            assert set(again.ids("conversations")) <= set(edited)
            assert not again.ids("customers")
        for _ in range(2):
            fake.clock_offset += 700
            quiet = run(tap, target)
        assert not quiet.ids("conversations") and not quiet.ids("conversation_threads")


@pytest.mark.parametrize("first", ["token", "list"])
def test_another_clock_on_the_way_does_not_move_the_bookmark(small, target, first):
    """A proxy or gateway whose error comes first, with a date of its own."""
    tap, fake = small
    if first == "list":
        tap.configure(access_token=fake.new_access_token())
    fake.fault(502, headers={"Date": "Fri, 01 Jan 2100 00:00:00 GMT"})
    run(tap, target)
    fake.touch(fake.conversation_ids[3], subject="After the run")
    run(tap, target)
    assert not target.lacks(fake)


def test_the_date_of_a_gateway_that_never_lets_through_counts_no_further_than_ours(small, target):
    tap, fake = small
    tap.configure(access_token=fake.new_access_token(), retry_seconds=0)
    fake.fault(502, path="/users/me", times=None, headers={"Date": "Fri, 01 Jan 2100 00:00:00 GMT"})
    run(tap, target)
    fake.touch(fake.conversation_ids[3], subject="After the run")
    run(tap, target)
    assert not target.lacks(fake)


@pytest.mark.parametrize(
    "vanish, concurrency",
    [
        (lambda fake, key: fake.delete(key), 1),
        (lambda fake, key: fake.merge(key, into=by_date(fake)[3]), 4),
    ],
    ids=["deleted", "merged"],
)
def test_a_conversation_that_is_gone_when_its_threads_are_asked_for(
    small, target, vanish, concurrency
):
    tap, fake = small
    tap.configure(concurrency=concurrency)
    fake.embed = "no_line_items"  # so that each listing is asked for
    keys = by_date(fake)[10:12]
    for key in keys:
        fake.before(lambda fake, key=key: vanish(fake, key), path=f"/conversations/{key}/threads")
    log = run(tap, target).log
    for key in keys:
        assert f"conversation_id {key} was deleted or merged meanwhile, skipped" in log
    assert ", 2 parents gone meanwhile" in log
    run(tap, target)
    assert not target.lacks(fake)


@pytest.mark.parametrize(
    "embed, page",
    [("complete", "threads$"), ("no_line_items", "threads$"), ("no_line_items", "threads.*page=2")],
)
def test_a_conversation_that_leaves_the_window_while_its_threads_are_listed(
    tap, fake, target, embed, page
):
    fake.embed = embed
    longest = max(fake.conversation_ids, key=lambda key: len(fake.threads(key)))
    changed = fake.before(lambda fake: fake.add_thread(longest), path=f"/{longest}/{page}")
    run(tap, target)
    assert changed.hits
    run(tap, target)
    assert not target.lacks(fake)


def test_a_message_that_is_opened_while_it_is_compared_says_nothing_of_the_embed(medium, target):
    tap, fake = medium
    tap.configure(concurrency=1)
    opened = set()

    def open_message(fake):
        key = int(fake.requests[-1].path.split("/")[-2])
        message = next((row for row in fake.threads(key) if row["type"] == "message"), None)
        if message and key not in opened:
            opened.add(key)
            fake.edit_thread(key, message["id"], openedAt="2026-01-05T08:00:00Z")

    fake.before(open_message, path=r"/threads$", times=None)
    first = target.load(tap.good_run(catalog=tap.select("conversations", "conversation_threads")))
    assert "embedded threads match" in first.log and "not used" not in first.log
    assert len(opened) > 1
    target.load(tap.good_run(state=target.state))
    assert not target.lacks(fake, "conversations")
