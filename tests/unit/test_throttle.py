"""The rate limiter, on a clock that only the tests move."""

import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tap_helpscout.throttle import WINDOW_SECONDS, RateLimiter
from tests.examples import examples


class Clock:
    """Time that passes only while somebody sleeps."""

    def __init__(self, overhead=0.0):
        self.now, self.slept, self.overhead = 1000.0, [], overhead

    def __call__(self):
        return self.now

    def sleep(self, seconds):
        self.slept.append(seconds)
        self.now += seconds + self.overhead


def limiter(clock, limit=200, share=0.9):
    made = RateLimiter(share, clock, clock.sleep)
    made.limit = limit
    return made


def sent(rates, clock, requests):
    """The times at which so many requests are sent, without a pause of the tap's own."""
    times = []
    for _ in range(requests):
        rates.wait()
        times.append(clock.now)
    return times


def most_in_a_window(times, seconds=60.0):
    return max(sum(start <= time < start + seconds for time in times) for start in times)


def test_the_first_half_of_the_share_is_sent_at_once_and_the_rest_over_the_minute():
    clock = Clock()
    times = sent(limiter(clock), clock, 180)
    assert len([time for time in times if time == times[0]]) == 90
    gaps = [later - earlier for earlier, later in zip(times[89:], times[90:])]
    assert max(gaps) < 1 and min(gaps) > 0.5
    assert 55 < times[-1] - times[0] < WINDOW_SECONDS


def test_without_a_pause_requests_are_in_the_end_evenly_apart():
    clock = Clock()
    times = sent(limiter(clock), clock, 900)
    gaps = [later - earlier for earlier, later in zip(times[540:], times[541:])]
    even = WINDOW_SECONDS / 180
    assert max(gaps) < 2 * even
    assert sum(gap == pytest.approx(even, rel=0.05) for gap in gaps) > 0.9 * len(gaps)


@pytest.mark.parametrize("overhead", [0.0, 0.0005, 0.01])
@pytest.mark.parametrize("limit, share", [(200, 0.9), (400, 0.5), (60, 1), (5000, 0.9), (20, 0.3)])
def test_steady_use_reaches_nearly_all_of_the_share(limit, share, overhead):
    clock = Clock(overhead)
    rates = limiter(clock, limit, share)
    times = sent(rates, clock, 6 * rates.allowed)
    minutes = (times[-1] - times[0]) / 60
    assert 0.95 * rates.allowed <= len(times) / minutes <= 1.2 * rates.allowed
    last = [time for time in times if time > times[-1] - 60]
    assert len(last) >= 0.95 * rates.allowed - 1


@examples(15)
@given(
    limit=st.integers(1, 60),
    share=st.floats(0.01, 1),
    steps=st.lists(
        st.tuples(st.sampled_from([0, 0, 0, 0, 0.01, 1, 7, 50, 100]), st.integers(1, 20)),
        max_size=20,
    ),
)
def test_no_minute_ever_holds_more_than_is_allowed(limit, share, steps):
    clock, times = Clock(), []
    rates = limiter(clock, limit, share)
    for pause, requests in steps:
        clock.now += pause
        times += sent(rates, clock, requests)
    assert not times or most_in_a_window(times) <= rates.allowed
    assert rates.total == len(times)


def test_a_lower_limit_counts_what_was_sent_before():
    clock = Clock()
    rates = limiter(clock, 200, 1)
    sent(rates, clock, 100)
    rates.limit = 50
    assert rates.seconds_until_next() == pytest.approx(WINDOW_SECONDS)
    rates.limit = 400
    assert rates.seconds_until_next() <= 0


def test_held_nothing_is_sent_and_a_shorter_hold_does_not_shorten_it():
    clock = Clock()
    rates = limiter(clock)
    rates.hold(30)
    rates.hold(2)
    assert rates.seconds_until_next() == 30
    assert sent(rates, clock, 2) == [1030, 1030]


@pytest.mark.parametrize("limit", [0, 1])
def test_a_share_of_less_than_one_request_is_one_a_minute(limit):
    clock = Clock()
    times = sent(limiter(clock, limit, 0.01), clock, 3)
    gaps = [later - earlier for earlier, later in zip(times, times[1:])]
    assert gaps == [WINDOW_SECONDS, WINDOW_SECONDS]


def test_after_a_break_no_more_than_half_comes_at_once():
    clock = Clock()
    rates = limiter(clock, 100, 1)
    sent(rates, clock, 80)
    clock.now += 10
    times = sent(rates, clock, 20)
    assert sum(time == times[0] for time in times) <= 2  # 80 of these 100 are of the last minute


def test_each_request_is_told():
    clock, told = Clock(), []
    rates = limiter(clock, 8, 1)
    rates.on_request = lambda: told.append((clock.now, rates.used))
    times = sent(rates, clock, 6)
    assert told == list(zip(times, range(1, 7)))  # when it may be sent, and is counted


def said(caplog):
    return [record.getMessage() for record in caplog.records]


def test_a_long_wait_is_said_once_with_its_reason(caplog):
    caplog.set_level(logging.INFO)
    clock = Clock()
    rates = limiter(clock, 200, 0.9)
    for _ in range(180):
        rates.record()
    rates.wait()
    assert said(caplog) == [
        "waiting 60 s: 180 of the account's 200 requests a minute are used, "
        "which is this tap's share"
    ]
    caplog.clear()
    rates.hold(12)
    sent(rates, clock, 3)
    assert said(caplog) == [
        "waiting 12 s: Help Scout says that the account's requests of this minute are used up"
    ]


def test_of_one_request_there_is_no_plural(caplog):
    caplog.set_level(logging.INFO)
    clock = Clock()
    sent(limiter(clock, 1, 1), clock, 2)
    assert said(caplog) == [
        "waiting 60 s: 1 of the account's 1 request a minute is used, which is this tap's share"
    ]


def test_a_spread_wait_is_said_only_where_it_is_long(caplog):
    caplog.set_level(logging.INFO)
    clock = Clock()
    sent(limiter(clock), clock, 180)
    assert said(caplog) == []
    sent(limiter(clock, 8, 1), clock, 5)
    assert said(caplog) == [
        "waiting 12 s: 4 of the 8 requests a minute that this tap may send are used, "
        "and the others are spread over the minute"
    ]


def test_that_requests_are_far_apart_is_said_once(caplog):
    caplog.set_level(logging.INFO)
    clock = Clock()
    sent(limiter(clock, 40, 1), clock, 100)
    assert said(caplog) == [
        "requests are now 3 s apart: 20 of the 40 requests a minute that this tap may send "
        "are used, and the others are spread over the minute"
    ]


def test_progress_counts_the_last_minute():
    clock = Clock()
    rates = limiter(clock, 400, 0.9)
    sent(rates, clock, 38)
    assert rates.progress() == "38 of 360"
    clock.now += WINDOW_SECONDS
    assert rates.progress() == "0 of 360"


@pytest.mark.parametrize("allowed", [1, 2, 7, 54, 180])
@pytest.mark.parametrize("used", [0, 1, 100])
@pytest.mark.parametrize("pause", [0, 20, 2 * WINDOW_SECONDS])
def test_the_estimate_is_what_the_limiter_takes(allowed, used, pause):
    clock = Clock()
    rates = limiter(clock, allowed, 1)
    sent(rates, clock, used)
    for requests in (0, 1, allowed // 2, allowed, 3 * allowed + 1):
        estimate, more = rates.seconds_for(requests), rates.seconds_for(requests + 1)
        began = clock.now
        sent(rates, clock, requests)
        rel = 0.01 if requests <= allowed else 0.1
        assert estimate == pytest.approx(clock.now - began, rel=rel)
        assert more >= estimate
        clock.now += pause


def test_the_estimate_of_a_first_sync():
    rates = limiter(Clock(), 400, 0.9)
    assert rates.seconds_for(100) == 0
    assert rates.seconds_for(2300) == pytest.approx(385, abs=1)
    sent(rates, Clock(), 360)
    assert rates.seconds_for(0) == 0


def test_the_estimate_heeds_a_hold():
    rates = limiter(Clock())
    rates.hold(30)
    assert rates.seconds_for(1) == 30
