"""The time by Help Scout's own clock, for bookmarks may not pass what it has not reached."""

from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from email.utils import parsedate_to_datetime

import singer

from tap_helpscout.dates import format_datetime

LOGGER = singer.get_logger()

# our choice: a clock that is set wrongly by hand or by its time zone is off by less
MOST_DIFFERENCE = timedelta(days=1)


def _our_time() -> datetime:
    return datetime.now(timezone.utc)


class ApiClock:
    """Learns the API's time from the `Date` header of each response."""

    def __init__(self, our_time: Callable[[], datetime] = _our_time) -> None:
        self.latest: datetime | None = None  # in whole seconds, as the last response had it
        self._our_time = our_time
        self._has_warned_of_difference = self._has_warned_of_step = False

    def observe(self, date_header: str | None, status: int) -> None:
        """Takes the time from a response; ours where it has no date that can be read."""
        ours = self._our_time()
        theirs = _parse(date_header) or ours
        if abs(theirs - ours) > MOST_DIFFERENCE:
            self._warn_of_difference(theirs, ours)
            theirs = min(theirs, ours)
        if status >= 500:  # a gateway's, whose clock may be another
            theirs = min(theirs, ours)
        self.latest = theirs.replace(microsecond=0)

    def not_later_than(self, value: datetime) -> datetime:
        """The earlier of a datetime and the API's time now: its clock may have been set back since
        the value was taken from it, and what is edited from then on has earlier dates."""
        if self.latest is None or value <= self.latest:
            return value
        if not self._has_warned_of_step:
            self._has_warned_of_step = True
            LOGGER.warning(
                "the API's clock went back to %s in this run: no bookmark goes beyond that",
                format_datetime(self.latest),
            )
        return self.latest

    def _warn_of_difference(self, theirs: datetime, ours: datetime) -> None:
        if not self._has_warned_of_difference:
            self._has_warned_of_difference = True
            LOGGER.warning(
                "the API's clock says %s and ours %s: the earlier is believed. Check the clock of "
                "this machine, or of the proxy between",
                format_datetime(theirs),
                format_datetime(ours),
            )


def _parse(header: str | None) -> datetime | None:
    """A date of HTTP as an aware one in UTC, None where there is none."""
    if header is None:
        return None
    try:
        parsed = parsedate_to_datetime(header)
        # "-0000" says that it is UTC, of a place that is not told.
        aware = parsed if parsed.tzinfo else parsed.replace(tzinfo=timezone.utc)
        return aware.astimezone(timezone.utc)
    except (IndexError, OverflowError, TypeError, ValueError):
        return None
