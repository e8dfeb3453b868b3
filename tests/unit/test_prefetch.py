"""Prefetching: how far items are taken before they are used."""

import pytest

from tap_helpscout.prefetch import Load, completed, one_request, prefetch


def taken(loads, limit):
    """[items taken so far] at each item that comes out."""
    count = 0

    def items():
        nonlocal count
        for load in loads:
            count += 1
            yield load

    return [count for _ in prefetch(items(), limit, lambda load: load)]


@pytest.mark.parametrize("depth, expected", [(0, [1, 2, 3, 4]), (2, [3, 4, 4, 4])])
def test_as_many_requests_wait_as_are_allowed(depth, expected):
    assert taken([Load(rows=0)] * 4, Load(requests=depth, rows=0)) == expected


def test_rows_count_too():
    assert taken([Load(0, 5), Load(0, 5), Load(0, 1)], Load(9, 8)) == [2, 3, 3]


def test_nothing_is_taken_after_an_item_that_decides_what_follows():
    assert taken([Load(), Load(blocks=True), Load()], Load(9, 9)) == [2, 2, 3]


def test_the_order_stays_and_all_come():
    assert list(prefetch(range(9), Load(requests=3), one_request)) == list(range(9))


def test_a_completed_future_has_its_result():
    assert completed(5).result() == 5
