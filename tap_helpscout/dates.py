"""Datetimes as they come from the API, from files and from users, and as the API takes them."""

from datetime import datetime, timedelta, timezone

import ciso8601

EARLIEST = datetime.min.replace(tzinfo=timezone.utc)


def parse_datetime(text: object) -> datetime:
    """An ISO 8601 datetime as an aware one in UTC; without an offset it is UTC already.

    Raises ValueError.
    """
    if not isinstance(text, str):
        raise ValueError("it is not text, as a date like 2020-01-31T00:00:00Z is")
    if not text.isascii():  # older versions of ciso8601 crash at half a surrogate pair
        raise ValueError(f"{text!r} is not a date like 2020-01-31T00:00:00Z")
    try:
        parsed = ciso8601.parse_datetime(text)
        if parsed.tzinfo:
            return parsed.astimezone(timezone.utc)
        return parsed.replace(tzinfo=timezone.utc)
    except (OverflowError, ValueError) as error:
        raise ValueError(f"{text!r} is not a date like 2020-01-31T00:00:00Z") from error


def datetime_or_none(value: object) -> datetime | None:
    """The datetime that a record's field holds, None where it holds none."""
    try:
        return parse_datetime(value)
    except ValueError:
        return None


def format_datetime(value: datetime) -> str:
    """UTC in whole seconds, rounded down: the only form that the API takes.

    https://developer.helpscout.com/mailbox-api/overview/errors
    """
    return value.replace(tzinfo=None).isoformat(timespec="seconds") + "Z"


def seconds_before(value: datetime, seconds: float) -> datetime:
    """So many seconds earlier, but not before the first datetime that Python knows."""
    try:
        return value - timedelta(seconds=seconds)
    except OverflowError:
        return EARLIEST
