"""The retry budget, and the layer that spends it; nothing here waits."""

import pytest

from tap_helpscout import retry as module
from tap_helpscout.errors import ApiError, RetriableError
from tap_helpscout.retry import LONGEST_WAITS, MOST_WAITS, RetryBudget, retry


class Clock:
    """Time that passes as long as each pause."""

    def __init__(self):
        self.now = 50.0

    def __call__(self):
        return self.now


def pauses(errors, tries=10, seconds=300):
    """The pauses after these errors, until there is none."""
    clock = Clock()
    budget, found = RetryBudget(tries, seconds, clock), []
    for error in errors:
        pause = budget.pause_after(error)
        if pause is None:
            return found
        clock.now += pause
        found.append(pause)
    return found


def failures(number):
    return [RetriableError("The lamps are out", 503)] * number


def told(number, seconds):
    return [RetriableError("Wait", 429, seconds)] * number


def test_pauses_double_with_jitter_up_to_a_minute():
    found = pauses(failures(100), tries=12, seconds=10_000)
    assert len(found) == 11
    for power, pause in enumerate(found):
        assert min(2**power, 60) / 2 <= pause <= min(2**power, 60)


@pytest.mark.parametrize("tries", [1, 3, 10])
def test_there_are_as_many_tries_as_allowed(tries):
    assert len(pauses(failures(100), tries, seconds=10_000)) == tries - 1


def test_no_pause_ends_later_than_is_allowed():
    assert not pauses(failures(5), seconds=0)
    assert 2 <= len(pauses(failures(100), seconds=6)) <= 4
    assert sum(pauses(failures(100), tries=100, seconds=200)) <= 200


def test_being_told_to_wait_costs_neither_a_try_nor_time():
    found = pauses(told(20, 30) + failures(3), tries=3, seconds=4)
    assert len(found) == 22
    assert all(30.1 <= pause <= 30.5 for pause in found[:20])


def test_told_to_wait_for_an_hour_on_every_response_that_is_done_once():
    found = pauses(told(100, 3600), tries=4)
    assert len(found) == 1 + 3 and found[0] >= 3600 and max(found[1:]) <= 60


@pytest.mark.parametrize("seconds", [60, 61, 700, 1801])
def test_all_waits_of_one_request_together_take_an_hour_at_most(seconds):
    found = pauses(told(1000, seconds), tries=1)
    assert len(found) == min(LONGEST_WAITS // seconds, MOST_WAITS)


def test_told_to_wait_for_no_time_it_ends_all_the_same():
    assert len(pauses(told(1000, 0), tries=1)) == MOST_WAITS


@pytest.fixture(name="slept")
def _slept(monkeypatch):
    slept = []
    monkeypatch.setattr("backoff._sync.time.sleep", slept.append)
    return slept


class Flaky:
    """Fails so many times, and counts."""

    def __init__(self, errors):
        self.errors, self.calls = list(errors), []

    def __call__(self, *args):
        self.calls.append(args)
        if self.errors:
            raise self.errors.pop(0)
        return "rows"


def test_what_passes_is_tried_until_it_has_passed(slept):
    said = []
    flaky = Flaky(failures(2) + told(1, 7))
    budget = RetryBudget(10, 300)

    def before_pause(error, seconds):
        said.append((str(error), seconds))

    assert retry(flaky, "path", 5, budget=budget, before_pause=before_pause) == "rows"
    assert flaky.calls == [("path", 5)] * 4
    assert [words for words, _ in said] == ["The lamps are out"] * 2 + ["Wait"]
    assert [seconds for _, seconds in said] == slept and slept[2] > 7


def test_what_stays_is_raised_as_it_was_last(slept):
    flaky = Flaky(failures(9) + [RetriableError("Still dark", 500)])
    with pytest.raises(RetriableError, match="Still dark"):
        retry(flaky, budget=RetryBudget(10, 10_000), before_pause=lambda *_: None)
    assert len(slept) == 9


def test_what_will_not_pass_is_not_tried_again(slept):
    flaky = Flaky([ApiError("Not for you", 403)])
    with pytest.raises(ApiError, match="Not for you"):
        retry(flaky, budget=RetryBudget(10, 300), before_pause=lambda *_: None)
    assert len(flaky.calls) == 1 and not slept


def test_every_pause_is_in_one_layer():
    """`pause_after` is asked once for each failure, with the failure."""
    asked = []

    class Spy(module.RetryBudget):
        def pause_after(self, error):
            asked.append(error)

    with pytest.raises(RetriableError):
        retry(Flaky(failures(3)), budget=Spy(10, 300), before_pause=lambda *_: None)
    assert len(asked) == 1
