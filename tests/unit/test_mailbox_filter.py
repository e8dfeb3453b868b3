"""Whether a list can be kept to inboxes, and the parts of one list."""

import pytest

from tap_helpscout.errors import ApiError
from tap_helpscout.reading.batches import Batch, Window
from tap_helpscout.reading.pages import Page
from tap_helpscout.reading.probes import NO_MAILBOX, probe_mailbox_filter
from tap_helpscout.scope import in_turn
from tests.unit.lists import at


def asks(totals, refuses=None):
    """A list with so many rows for each value of the parameter; None: without it."""

    def ask(params):
        mailbox = params.get("mailbox")
        if mailbox == NO_MAILBOX and refuses:
            raise ApiError("refused", refuses)
        return Page([], total=totals[mailbox])

    return ask


@pytest.mark.parametrize(
    "totals, holds",
    [
        ({NO_MAILBOX: 0}, True),
        ({NO_MAILBOX: 9, None: 9, "1": 9, "2": 9}, False),
        ({NO_MAILBOX: 9, None: 9, "1": 9, "2": 4}, True),  # heeded where the inbox exists
        ({NO_MAILBOX: 9, None: 9, "1": 0, "2": 9}, True),
    ],
)
def test_a_filter_holds_where_it_changes_what_is_found(totals, holds):
    assert probe_mailbox_filter(asks(totals), "mailbox", [1, 2]).holds is holds


def test_without_totals_the_rows_are_counted():
    def ask(_):
        return Page([{"id": 1}])

    assert not probe_mailbox_filter(ask, "mailbox", [1]).holds


@pytest.mark.parametrize("status", [400, 403, 404])
def test_an_inbox_that_is_refused_was_looked_for(status):
    assert probe_mailbox_filter(asks({}, refuses=status), "mailbox", [1]).holds


def test_another_failure_says_nothing():
    with pytest.raises(ApiError):
        probe_mailbox_filter(asks({}, refuses=500), "mailbox", [1])


def test_only_the_last_part_completes_a_list():
    window = Window(at(0), at(9))
    parts = [iter([Batch([{"id": n}]), Batch([], completes=window)]) for n in (1, 2)]
    assert [(batch.is_partial, batch.completes) for batch in in_turn(parts)] == [
        (True, None),
        (True, window),
        (False, None),
        (False, window),
    ]
