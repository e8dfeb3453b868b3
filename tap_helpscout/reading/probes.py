"""Probes: whether an account honours what a fast and complete reading rests on.

What Help Scout's date filters do is documented in part, and not the same for each list: a filter
may be ignored, refused, or count otherwise than it lists. So a run asks before it trusts one, and
`--check` asks the same. https://developer.helpscout.com/mailbox-api/endpoints/conversations/list
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any

import singer

from tap_helpscout.dates import datetime_or_none, format_datetime, seconds_before
from tap_helpscout.errors import ApiError
from tap_helpscout.reading.batches import Window
from tap_helpscout.reading.pages import Page
from tap_helpscout.streams import HiddenRows, Row
from tap_helpscout.words import in_words

LOGGER = singer.get_logger()

PROBE_TRIES = 3  # our choice: a filter that fails so often is not to be used
# These say nothing of what was asked: credentials, the rate limit.
NOT_AN_ANSWER = (401, 429)
# Seconds. Whether `modifiedSince` and the ends of a range are inclusive is not documented: so much
# more on either side costs a few rows that come twice.
SINCE_MARGIN = 1
RANGE_MARGIN = 2
# They can hold nothing: Help Scout was founded in 2011.
EMPTY_RANGES = tuple(
    Window(datetime(year, 1, 1, tzinfo=timezone.utc), datetime(year, 1, 2, tzinfo=timezone.utc))
    for year in (2000, 2100)
)
# Our choice: the id of no inbox, as high as ids can be that everybody can store.
NO_MAILBOX = "2147483647"
# How a parameter is refused that names an inbox which is not there, or not for this user.
NO_SUCH_MAILBOX = (400, 403, 404, 410, 422)
# Our choice, so that --check asks little: of how many inboxes one must have fewer rows than the
# whole list, to show that a filter holds.
PROBED_MAILBOXES = 3
OLDEST_FIRST = {"sortField": "modifiedAt", "sortOrder": "asc"}
NEWEST_FIRST = {"sortField": "modifiedAt", "sortOrder": "desc"}

Ask = Callable[[Mapping[str, str]], Page]
"""Asks for the first page of a list with these parameters beside its own, in a few tries."""
AskTogether = Callable[[Sequence[Mapping[str, str]]], list[Page]]
"""The same with several parameters at once, in their order."""


def since_params(low: datetime) -> dict[str, str]:
    """The open filter: what was modified at `low` or later, oldest first."""
    return {**OLDEST_FIRST, "modifiedSince": format_datetime(seconds_before(low, SINCE_MARGIN))}


def range_params(window: Window) -> dict[str, str]:
    """The closed filter: what was modified within a window, oldest first."""
    low = format_datetime(seconds_before(window.low, RANGE_MARGIN))
    return {**OLDEST_FIRST, "query": f"(modifiedAt:[{low} TO {format_datetime(window.high)}])"}


class DateFilterStopped(Exception):
    """The closed date filter does not work, or not any more; the message says how that showed."""


@dataclass(frozen=True)
class Finding:
    """Whether something may be relied on, and in words why or why not."""

    holds: bool
    words: str


@dataclass(frozen=True)
class FilterFinding(Finding):
    """The same of the closed date filter; `page` is the first of the range that was tried."""

    page: Page | None = None


def probe_date_filter(ask: AskTogether, plain: Page, window: Window) -> FilterFinding:
    """Whether the closed date filter finds what the open one found, and nothing else.

    `plain` is the first page of the list since the window's low by the open filter.
    """
    try:
        whole, later, *empty = ask(
            [
                range_params(window),
                since_params(window.high),
                *map(range_params, EMPTY_RANGES),
            ]
        )
    except ApiError as error:
        if error.status in NOT_AN_ANSWER:
            raise
        LOGGER.info("%s", error.in_full)
        return FilterFinding(False, error.outline)
    if plain.total is None or whole.total is None or later.total is None:
        return FilterFinding(False, "Help Scout does not say how many rows the list has")
    if later.total >= plain.total:
        return FilterFinding(
            False, f"modifiedSince finds {later.total} of {plain.total} rows after the last of them"
        )
    if whole.total + later.total < plain.total:
        return FilterFinding(
            False,
            f"query finds {whole.total} of the {in_words(plain.total - later.total, 'row')} that "
            "modifiedSince finds",
        )
    for page, one in zip(empty, EMPTY_RANGES):
        if rows := page.total or len(page.rows):
            return FilterFinding(False, _finds_on_empty_day(rows, one))
    return FilterFinding(
        True,
        f"windows add up: {whole.total} of {plain.total - later.total}; an empty window is empty",
        whole,
    )


def check_empty_ranges(ask: AskTogether) -> None:
    """Raises DateFilterStopped where a range that can hold nothing holds something."""
    for one, page in zip(EMPTY_RANGES, ask([range_params(one) for one in EMPTY_RANGES])):
        if rows := page.total or len(page.rows):
            raise DateFilterStopped(_finds_on_empty_day(rows, one))


def _finds_on_empty_day(rows: int, day: Window) -> str:
    return f"query finds {in_words(rows, 'row')} on a day of {day.low.year}, which has none"


def check_dates(page: Page, window: Window, settled: datetime) -> None:
    """Raises DateFilterStopped where a row shows that it was not modified within the window.

    Conversations are not documented to have `modifiedAt`, some accounts may show it. A date after
    the window proves something only where the search index must know it, before `settled`.
    """
    low = seconds_before(window.low, RANGE_MARGIN)
    high = window.high + timedelta(seconds=RANGE_MARGIN)
    for row in page.rows:
        modified = datetime_or_none(row.get("modifiedAt"))
        if modified and (modified < low or high < modified < settled):
            raise DateFilterStopped(
                f"query finds a row of {format_datetime(modified)} from {format_datetime(low)} "
                f"to {format_datetime(high)}"
            )


def list_has_hidden_rows(ask: Ask, hidden: HiddenRows, rows: Page, first: Page) -> bool:
    """Whether a list brings the rows that could be hidden from it; `first` is its first page.

    Where the list is longer than that, one row is looked for with the parameter that finds it. A
    row that was hidden, or shown, between the two requests is in both answers, and proves nothing:
    it must look hidden in both.
    """

    def look(row: Row) -> tuple[Any, ...]:
        return (row.get("id"), *(row.get(name) for name in hidden.params))

    looks = [look(row) for row in rows.rows]
    if any(look(row) in looks for row in first.rows):
        return True
    if first.is_whole_list:
        return False
    row = rows.rows[0]
    try:
        found = ask({hidden.find_by: str(row.get(hidden.find_by))})
    except ApiError as error:
        if error.status in NOT_AN_ANSWER:
            raise
        return False
    return any(look(one) == look(row) for one in found.rows)


def probe_mailbox_filter(ask: Ask, param: str, mailboxes: Sequence[int]) -> Finding:
    """Whether a list whose rows do not show their inbox is kept to inboxes by a parameter.

    An inbox that does not exist must have no rows. Where it has, the filter may still hold for
    those that do: then one of them has fewer rows than the whole list.
    """
    try:
        stray = _count(ask({param: NO_MAILBOX}))
    except ApiError as error:
        if error.status not in NO_SUCH_MAILBOX:
            raise
        return Finding(True, error.outline)
    if not stray:
        return Finding(True, "an inbox that does not exist has no rows")
    whole = _count(ask({}))
    if any(_count(ask({param: str(mailbox)})) < whole for mailbox in mailboxes[:PROBED_MAILBOXES]):
        return Finding(True, f"an inbox has fewer rows than all {whole}")
    return Finding(
        False,
        f"an inbox that does not exist has {in_words(stray, 'row')}, and each that does all "
        f"{whole}",
    )


def _count(page: Page) -> int:
    return len(page.rows) if page.total is None else page.total
