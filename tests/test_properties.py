"""What holds for any account: the arithmetic of windows."""

import itertools
import re
from datetime import datetime, timedelta, timezone

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tap_helpscout import reading
<<<<<<< HEAD
from tap_helpscout.dates import parse_datetime
=======
from tap_helpscout.client import SerialExecutor
>>>>>>> core
from tap_helpscout.streams import STREAMS

# A busy machine is no fault.
settings.register_profile(
    "calm", max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("calm")
EPOCH = datetime(2020, 1, 1, tzinfo=timezone.utc)


class Account:
    """A client whose list of customers is {id: second of its modification} by some page size."""

    def __init__(self, rows, size, inclusive, depth, edits):
        self.rows, self.size, self.prefetch_depth = rows, size, depth
        self.since_inclusive, self.until_inclusive = inclusive
        self.edits, self.asked = edits, []

    @staticmethod
    def submit(function, *args):
        """At once, as with a real client where one request at a time is allowed."""
        return SerialExecutor().submit(function, *args)

    def get(self, path, params, tries):
        assert (path, tries) == ("/v2/customers", reading.TRIES)
        for key in self.edits.pop(len(self.asked), ()):
            self.rows.pop(key, None)  # edited: to be found after the run's start from now on
        since = parse_datetime(params["modifiedSince"])
        until = parse_datetime(re.fullmatch(r"\(modifiedAt:\[\* TO (.*)\]\)", params["query"])[1])
        first = (since - EPOCH) // timedelta(seconds=1) + (not self.since_inclusive)
        last = (until - EPOCH) // timedelta(seconds=1) - (not self.until_inclusive)
        found = sorted(
            (second, key) for key, second in self.rows.items() if first <= second <= last
        )
        page = int(params.get("page", 1))
        self.asked.append((since, until, page))
        rows = [{"id": key} for _, key in found[(page - 1) * self.size : page * self.size]]
        return {
            **({"_embedded": {"customers": rows}} if rows else {}),
            "page": {
                "totalElements": len(found),
                "totalPages": -(-len(found) // self.size),
                "number": page,
            },
        }


SPANS = st.sampled_from((2, 10, 600, 86_400, 10_000_000, 300_000_000))


@st.composite
def accounts(draw, with_edits):
    """(account, seconds of the whole range, and how many of the last are not settled)"""
    span = draw(SPANS)
    clusters = draw(
        st.lists(
            st.tuples(
                st.integers(-3, span + 3), st.integers(1, 120), st.sampled_from((1, 2, 30, 5000))
            ),
            max_size=8,
        )
    )
    seconds = [start + i % width for start, number, width in clusters for i in range(number)]
    rows = dict(enumerate(seconds))
    edits = {}
    if with_edits and rows:
        edits = draw(
            st.dictionaries(
                st.integers(0, 60), st.lists(st.sampled_from(sorted(rows)), max_size=9), max_size=20
            )
        )
    account = Account(
        rows,
        draw(st.integers(1, 5)),
        draw(st.tuples(st.booleans(), st.booleans())),
        draw(st.sampled_from((0, 1, 4))),
        edits,
    )
    return account, span, draw(st.sampled_from((0, 1, 600, 10**9)))


def read(account, span, lookback):
    low, high = EPOCH, EPOCH + timedelta(seconds=span)
    reach = reading.Reach(low, high - timedelta(seconds=lookback), high)
    # Copied, for the walk over windows may change what it was given.
    return list(reading.windows(account, STREAMS["customers"], {}, reach)), low, high


@given(accounts(with_edits=False))
def test_windows_cover_the_range_without_a_gap_and_each_row_is_read(case):
    account, span, lookback = case
    rows = dict(account.rows)
    items, low, high = read(account, span, lookback)
    seen, at = set(), low
    for item in items:
        if not isinstance(item, reading.Checkpoint):
            seen.add(item["id"])
            continue
        assert item.low == at < item.high
        at = item.high
        passed = (at - EPOCH) // timedelta(seconds=1) - (not account.until_inclusive)
        assert {key for key, second in rows.items() if 0 <= second <= passed} <= seen
    assert at == high
    assert all(low < until <= high for _, until, _ in account.asked)


@given(accounts(with_edits=True))
def test_each_row_that_stays_is_read_while_others_leave(case):
    account, span, lookback = case
    items, _, high = read(account, span, lookback)
    seen = {item["id"] for item in items if isinstance(item, dict)}
    last = (high - EPOCH) // timedelta(seconds=1) - (not account.until_inclusive)
    assert {key for key, second in account.rows.items() if 0 <= second <= last} <= seen


@given(accounts(with_edits=False))
def test_windows_are_small_and_their_number_too(case):
    account, span, lookback = case
    items, low, _ = read(account, span, lookback)
    settled = max(low, low + timedelta(seconds=span - lookback))
    windows = {
        (since + timedelta(seconds=1), until) for since, until, page in account.asked if page > 1
    }
    for since, until in windows:
        assert not since < settled < until  # not of several pages
        deepest = max(
            page
            for first, last, page in account.asked
            if (first + timedelta(seconds=1), last) == (since, until)
        )
        assert deepest <= reading.WINDOW_PAGES or until - since <= timedelta(seconds=3)
    pages = sum(
        -(-len(list(group)) // account.size)
        for is_row, group in itertools.groupby(items, key=lambda item: isinstance(item, dict))
        if is_row
    )
    assert len(account.asked) <= 3 * pages + 60
