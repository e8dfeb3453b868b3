"""What it means that the children of a parent cannot be read."""

import pytest

from tap_helpscout.errors import ApiError
from tap_helpscout.reading.lists import (
    ALL_GONE,
    FAILURES_IN_A_ROW,
    SOME_GONE,
    ChildOutcomes,
    Meaning,
)

GONE, BROKEN, FORBIDDEN = (ApiError("no", status) for status in (404, 500, 403))


@pytest.fixture(name="outcomes")
def _outcomes():
    return ChildOutcomes()


def test_a_parent_that_is_gone_is_skipped(outcomes):
    outcomes.answered()
    assert outcomes.failed(GONE) is Meaning.PARENT_GONE and outcomes.gone == 1
    assert not outcomes.is_doubtful


def test_where_all_of_the_first_parents_are_gone_the_endpoint_is(outcomes):
    found = [outcomes.failed(GONE) for _ in range(ALL_GONE)]
    assert found[-1] is Meaning.STREAM_FAILED and set(found[:-1]) == {Meaning.PARENT_GONE}


def test_some_gone_and_none_there_is_doubtful_until_one_answers(outcomes):
    for number in range(1, SOME_GONE + 1):
        outcomes.failed(GONE)
        assert outcomes.is_doubtful and outcomes.are_too_many_gone is (number >= SOME_GONE)
    outcomes.answered()
    assert not outcomes.is_doubtful and not outcomes.are_too_many_gone


def test_where_the_parents_are_few_one_that_is_gone_is_enough():
    outcomes = ChildOutcomes(too_many_gone=1)
    assert not outcomes.are_too_many_gone
    assert outcomes.failed(GONE) is Meaning.PARENT_GONE and outcomes.are_too_many_gone
    outcomes.answered()
    assert not outcomes.are_too_many_gone


def test_one_that_fails_is_put_aside_and_many_in_a_row_are_the_endpoint(outcomes):
    for _ in range(3):
        for _ in range(FAILURES_IN_A_ROW - 1):
            assert outcomes.failed(BROKEN) is Meaning.PUT_ASIDE
        outcomes.answered()
    found = [outcomes.failed(BROKEN) for _ in range(FAILURES_IN_A_ROW)]
    assert found[-1] is Meaning.STREAM_FAILED


def test_a_403_before_any_answer_is_the_streams(outcomes):
    assert outcomes.failed(FORBIDDEN) is Meaning.STREAM_FAILED
    outcomes.answered()
    assert outcomes.failed(FORBIDDEN) is Meaning.PUT_ASIDE
