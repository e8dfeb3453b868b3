"""The plain way: lists that change between the requests lose nothing."""

import random

import pytest

from tap_helpscout.errors import ApiError
from tap_helpscout.reading.completeness import Verdict
from tap_helpscout.reading.pages import Page
from tap_helpscout.reading.plain import NewestFirst, read_newest_first
from tap_helpscout.streams import STREAMS
from tests.unit.lists import at, ids, page_of, row

CUSTOMERS = STREAMS["customers"]
LISTS = 10_000


class Edited:
    """A list, newest first, that people edit, add to and delete from between two requests."""

    def __init__(self, seed, size=5, totals=True, busy=500):
        self.rng = random.Random(seed)
        self.size, self.totals, self.busy = size, totals, busy
        self.clock = 10_000
        count = self.rng.choice([4, 30, 60])
        self.rows = [self._row(key, count - key) for key in range(count)]
        self.next_id = count
        self.rate = self.rng.choice([0, 0.05, 0.2, 0.6, 1.5])
        self.deletions = self.rng.choice([0, 0.1, 0.4])
        self.edited, self.requests = set(), 0

    def _row(self, key, second):
        return row(key, updatedAt=at(second).isoformat())

    def _somebody_works(self):
        for _ in range(4):
            if self.rng.random() >= self.rate / (1 + self.rate):
                return
            kind = self.rng.random()
            self.clock += 1
            if kind < self.deletions and len(self.rows) > 3:
                self.rows.remove(self.rng.choice(self.rows))
                continue
            if kind < self.deletions + 0.15:
                key, self.next_id = self.next_id, self.next_id + 1
            else:
                old = self.rng.choice(self.rows)
                self.rows.remove(old)
                key = old["id"]
            self.edited.add(key)
            self.rows.insert(0, self._row(key, self.clock))

    def fetch_page(self, number):
        self.requests += 1
        if self.requests < self.busy:  # nobody works for ever
            self._somebody_works()
        return page_of(self.rows, number, self.size, self.totals)

    def later_pages(self):
        rows = [one for one in self.rows if one["id"] in self.edited]
        yield Page(rows, size=self.size, total=len(rows))

    def lost(self):
        """Rows that were there all the time and never came."""
        came = set(ids(read_newest_first(CUSTOMERS, self.fetch_page, self.later_pages)))
        return [one["id"] for one in self.rows if one["id"] not in came]


def test_ten_thousand_lists_that_change_between_the_requests_lose_nothing():
    assert not [seed for seed in range(LISTS) if Edited(seed).lost()]


def test_without_going_back_many_would(monkeypatch):
    """The rule that is tested above is what keeps them whole."""
    follow = NewestFirst.following

    def never_back(self, page):
        number = follow(self, page)
        return page.number + 1 if number and number <= page.number else number

    monkeypatch.setattr(NewestFirst, "following", never_back)
    monkeypatch.setattr(NewestFirst, "end_pass", lambda self: Verdict.COMPLETE)
    assert len([seed for seed in range(500) if Edited(seed).lost()]) > 10


def test_lists_without_totals_lose_nothing_either():
    assert not [seed for seed in range(500) if Edited(seed, totals=False, busy=60).lost()]


def test_a_quiet_list_is_read_once():
    quiet = Edited(1)
    quiet.rate = 0
    assert not quiet.lost() and quiet.requests == len(quiet.rows) // 5 + 1


def passes(*lists, totals=None):
    reading, found = NewestFirst(CUSTOMERS), []
    for n, rows in enumerate(lists):
        reading.begin_pass()
        number = 1
        while number:
            page = page_of(rows, number, 2)
            if totals:
                page = Page(page.rows, page.number, 2, totals[n], page.pages, page.next)
            reading.take(page)
            number = reading.following(page)
        found.append(reading.end_pass())
    return found


def dated(*seconds):
    return [row(second, updatedAt=at(second).isoformat()) for second in seconds]


def test_an_order_that_is_not_newest_first_is_read_until_two_passes_agree():
    assert passes(dated(3, 2, 1)) == [Verdict.COMPLETE]
    assert passes(dated(1, 2, 3), dated(1, 3), dated(1, 3)) == [
        Verdict.READ_AGAIN,  # nothing to agree with
        Verdict.READ_AGAIN,  # a row is not there any more
        Verdict.COMPLETE,
    ]


def test_rows_without_dates_are_read_until_two_passes_agree():
    assert passes(*[[row(i) for i in range(3)]] * 2) == [Verdict.READ_AGAIN, Verdict.COMPLETE]


def test_totals_that_are_lower_than_what_comes_tell_nothing():
    assert passes(*[dated(5, 4, 3, 2)] * 2, totals=[3, 3]) == [Verdict.READ_AGAIN, Verdict.COMPLETE]


@pytest.mark.parametrize("total, verdict", [(4, Verdict.OVERCOUNTED), (5, Verdict.CUT)])
def test_fewer_rows_than_counted_are_read_again_and_then_told(total, verdict):
    assert passes(*[dated(3, 2, 1)] * 2, totals=[total] * 2) == [Verdict.READ_AGAIN, verdict]


def test_a_page_that_does_not_say_how_long_it_can_be_is_followed_by_another():
    rows = dated(9, 8, 7, 6, 5)

    def fetch_page(number):
        return Page(rows[2 * number - 2 : 2 * number], number)

    reading = read_newest_first(CUSTOMERS, fetch_page, lambda: iter(()))
    assert [row for part in reading for row in part] == rows


@pytest.mark.parametrize("totals", [True, False])
def test_a_list_that_is_cut_ends_in_an_error(totals):
    rows = dated(9, 8, 7, 6, 5, 4, 3, 2, 1)

    def fetch_page(number):
        if number > 2:
            return Page([], number, refusal=ApiError("too deep", 400))
        return page_of(rows, number, 2, totals)

    with pytest.raises(ApiError, match="too deep"):
        list(read_newest_first(CUSTOMERS, fetch_page, lambda: iter(())))
