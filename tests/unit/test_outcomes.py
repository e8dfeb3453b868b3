"""Outcomes: what it means that the children of a parent cannot be read."""

import pytest

from tap_helpscout.client import TRIES
from tap_helpscout.errors import ApiError, RetriableError
from tap_helpscout.reading.outcomes import (
    ALL_GONE,
    FAILURES_IN_A_ROW,
    REFUSALS,
    SOME_GONE,
    ChildOutcomes,
    Meaning,
)

GONE, WRONG, FORBIDDEN = (ApiError("no", status) for status in (404, 422, 403))
BROKEN = RetriableError("no", 500)


@pytest.fixture(name="outcomes")
def _outcomes():
    return ChildOutcomes()


def test_a_parent_that_is_gone_is_skipped(outcomes):
    outcomes.answered()
    assert outcomes.failed(7, GONE) is Meaning.PARENT_GONE and outcomes.gone == 1
    assert not outcomes.is_doubtful


def test_where_all_of_the_first_parents_are_gone_the_endpoint_is(outcomes):
    found = [outcomes.failed(7, GONE) for _ in range(ALL_GONE)]
    assert found[-1] is Meaning.STREAM_FAILED and set(found[:-1]) == {Meaning.PARENT_GONE}


def test_some_gone_and_none_there_is_doubtful_until_one_answers(outcomes):
    for number in range(1, SOME_GONE + 1):
        outcomes.failed(7, GONE)
        assert outcomes.is_doubtful and bool(outcomes.failure_at_end()) is (number >= SOME_GONE)
    outcomes.answered()
    assert not outcomes.is_doubtful and not outcomes.failure_at_end()


def test_where_the_parents_are_few_one_that_is_gone_is_enough():
    outcomes = ChildOutcomes(too_many_gone=1)
    assert not outcomes.failure_at_end()
    assert outcomes.failed(7, GONE) is Meaning.PARENT_GONE
    assert outcomes.failure_at_end().status == 404
    outcomes.answered()
    assert not outcomes.failure_at_end()


def test_one_that_fails_is_put_aside_and_after_many_in_a_row_the_next_are_asked_once(outcomes):
    for _ in range(3):
        for _ in range(FAILURES_IN_A_ROW):
            assert outcomes.patience.tries == TRIES
            assert outcomes.failed(7, BROKEN) is Meaning.PUT_ASIDE
        assert outcomes.patience.tries == 1
        assert outcomes.failed(7, BROKEN) is Meaning.PUT_ASIDE and outcomes.patience.tries == 1
        outcomes.answered()
    for _ in range(2 * FAILURES_IN_A_ROW):
        outcomes.failed(7, GONE)
        assert outcomes.failed(7, WRONG) is Meaning.PUT_ASIDE  # at once: it is not tried again
    assert outcomes.patience.tries == TRIES


@pytest.mark.parametrize("error", [BROKEN, WRONG, FORBIDDEN])
def test_one_that_is_gone_beside_others_that_fail_may_be_there(outcomes, error):
    assert outcomes.failed(7, GONE) is Meaning.PARENT_GONE
    outcomes.failed(8, error)
    assert outcomes.is_doubtful and outcomes.failure_at_end()
    outcomes.answered()
    assert not outcomes.is_doubtful and not outcomes.failure_at_end()


def test_a_403_is_the_parents_if_another_answers_and_else_the_streams(outcomes):
    assert outcomes.failed(7, FORBIDDEN) is outcomes.failed(8, FORBIDDEN) is Meaning.UNDECIDED
    assert outcomes.is_doubtful and outcomes.failure_at_end() is FORBIDDEN
    assert outcomes.answered() == [(7, FORBIDDEN), (8, FORBIDDEN)]
    assert not outcomes.is_doubtful and not outcomes.failure_at_end()
    assert outcomes.failed(9, FORBIDDEN) is Meaning.PUT_ASIDE
    assert outcomes.answered() == []


def test_many_403_are_the_streams_at_once(outcomes):
    found = [outcomes.failed(key, FORBIDDEN) for key in range(REFUSALS)]
    assert found[-1] is Meaning.STREAM_FAILED and set(found[:-1]) == {Meaning.UNDECIDED}
