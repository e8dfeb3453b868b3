"""What holds for any input: transform, dates, and the arithmetic of windows."""

import copy
import itertools
import json
import re
from datetime import datetime, timedelta, timezone

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tap_helpscout import reading
from tap_helpscout.client import SerialExecutor
from tap_helpscout.streams import STREAMS
from tap_helpscout.transform import (
    MAPS,
    format_moment,
    latest,
    moment_or_none,
    parse_moment,
    project,
    snake_case,
    to_snake_case,
)

NAMES = st.one_of(
    st.text(max_size=6),
    st.sampled_from(
        (
            "id",
            "photoUrl",
            "photo_url",
            "photo-url",
            "URLOf",
            "aB",
            "a_b",
            "a-b",
            "A",
            "a",
            "İd",
            "_embedded",
            "_links",
            "associatedEntities",
            "threads",
            "x1Y",
            "",
        )
    ),
)
LEAVES = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.text())
JSON = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES, inner, max_size=6),
    max_leaves=30,
)
# A busy machine is no fault.
settings.register_profile(
    "calm", max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("calm")
EPOCH = datetime(2020, 1, 1, tzinfo=timezone.utc)
ZONES = st.timedeltas(timedelta(hours=-14), timedelta(hours=14)).map(
    lambda offset: timezone(timedelta(minutes=offset // timedelta(minutes=1)))
)
MOMENTS = st.datetimes(timezones=ZONES)


# -- transform -------------------------------------------------------------------------------------


def numbered(value, numbers=None):
    """The same with a number of its own in place of each leaf, to follow it by."""
    numbers = numbers or itertools.count()
    if isinstance(value, dict):
        return {key: numbered(inner, numbers) for key, inner in value.items()}
    if isinstance(value, list):
        return [numbered(inner, numbers) for inner in value]
    return next(numbers)


def leaves(value, skip=()):
    if isinstance(value, (dict, list)):
        pairs = value.items() if isinstance(value, dict) else enumerate(value)
        return [leaf for key, inner in pairs if key not in skip for leaf in leaves(inner, skip)]
    return [value]


def names(value):
    if isinstance(value, dict):
        return set(value).union(
            *(
                names(inner)
                for key, inner in value.items()
                if key not in {snake_case(name) for name in MAPS}
            )
        )
    return set().union(*map(names, value)) if isinstance(value, list) else set()


@given(JSON)
@example({"photoUrl": 1, "photo_url": 2})
@example({"a-b": 1, "aB": 2, "a_b": 3})
def test_no_key_is_lost_and_nothing_mutated(value):
    value = numbered(value)
    before = copy.deepcopy(value)
    kept = leaves(to_snake_case(value))
    assert value == before
    assert len(kept) == len(set(kept))
    # `_links` go, and what is embedded gives way to what an object has itself.
    assert set(leaves(value, skip=("_links", "_embedded"))) <= set(kept)
    assert set(kept) <= set(leaves(value))


@given(st.dictionaries(NAMES, st.integers()), st.dictionaries(NAMES, st.integers()))
def test_what_is_embedded_is_lifted_unless_the_object_has_it_itself(own, embedded):
    own, embedded = (
        {key: number for key, number in side.items() if not snake_case(key).startswith("_")}
        for side in (own, embedded)
    )
    lifted = to_snake_case({"_links": {"self": 1}, **own, "_embedded": embedded, "z": 1})
    alone = to_snake_case({**own, "z": 1})
    assert lifted == {**to_snake_case(embedded), **alone}


@given(JSON)
def test_names_are_snake_case_and_stay_so(value):
    once = to_snake_case(value)
    for name in names(once):
        assert snake_case(snake_case(name)) == snake_case(name)
    assert to_snake_case(to_snake_case(once)) == to_snake_case(once)
    json.dumps(once)


@given(JSON)
def test_maps_keep_their_keys_as_they_came(value):
    for name in MAPS:
        assert to_snake_case({name: value}) == {snake_case(name): value}


def schemas_of(value):
    """Schemas that list some of the names in a value, at any depth."""
    if isinstance(value, dict):
        return st.fixed_dictionaries(
            {}, optional={name: schemas_of(inner) for name, inner in value.items()}
        ).map(lambda properties: {"type": "object", "properties": properties})
    if isinstance(value, list) and value:
        return schemas_of(value[0]).map(lambda items: {"type": "array", "items": items})
    return st.just({})


@given(
    st.dictionaries(NAMES, JSON, max_size=5).flatmap(
        lambda value: st.tuples(st.just(value), schemas_of(value))
    )
)
def test_a_record_keeps_what_its_schema_lists_and_tells_of_all_else(pair):
    value, schema = pair
    before, told, deselected = copy.deepcopy(pair), [], []
    result = project(value, schema, {}, told.append)
    assert result == project(
        value, schema, {"properties": dict.fromkeys(value, {})}, deselected.append
    )
    assert all(len(path) > 1 for path in deselected)
    assert (value, schema) == before
    assert list(result) == [name for name in value if name in schema["properties"]]
    assert [path[0] for path in told if len(path) == 1] == [
        name for name in value if name not in schema["properties"]
    ]
    for name, inner in result.items():
        assert isinstance(value[name], (dict, list)) or inner == value[name]


# -- dates -----------------------------------------------------------------------------------------


def to_utc(moment):
    try:
        return moment.astimezone(timezone.utc)
    except OverflowError:
        return None  # before the year 1 or after 9999


@given(MOMENTS)
@example(datetime.min.replace(tzinfo=timezone(timedelta(hours=5))))
@example(datetime.max.replace(tzinfo=timezone(timedelta(hours=-5))))
def test_dates_of_any_zone_and_precision_become_utc(moment):
    for text in (moment.isoformat(), moment.isoformat().replace("T", " ")):
        assert moment_or_none(text) == to_utc(moment)


@given(MOMENTS.map(to_utc).filter(bool))
def test_dates_go_to_the_api_in_its_one_form_and_back(moment):
    text = format_moment(moment)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", text)
    assert parse_moment(text) == moment.replace(microsecond=0)


@given(st.one_of(st.text(), st.from_regex(r"\d{4}-?\d\d-?\d\d[T ]?\d\d:?\d\d.{0,8}"), JSON))
def test_what_is_no_date_is_none(value):
    assert isinstance(moment_or_none(value), (datetime, type(None)))


@given(
    st.dictionaries(
        st.sampled_from(("a", "b", "c")), st.one_of(MOMENTS.map(datetime.isoformat), JSON)
    ),
    st.one_of(JSON, st.fixed_dictionaries({"time": MOMENTS.map(datetime.isoformat)})),
)
def test_the_latest_date_is_found_whatever_else_is_there(record, holder):
    record["d"] = holder
    found = latest("at", "a", "b", "c", "d.time")(record)["at"]
    holders = [record.get(name) for name in "abc"] + [
        holder.get("time") if isinstance(holder, dict) else None
    ]
    moments = [moment for moment in map(moment_or_none, holders) if moment]
    assert parse_moment(found) == max(moments, default=datetime(1970, 1, 1, tzinfo=timezone.utc))


# -- windows ---------------------------------------------------------------------------------------


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
        since = parse_moment(params["modifiedSince"])
        until = parse_moment(re.fullmatch(r"\(modifiedAt:\[\* TO (.*)\]\)", params["query"])[1])
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
