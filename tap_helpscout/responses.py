"""What a response says: its JSON, an error in it, how long to wait, how much is allowed."""

import contextlib
import json
import math
import re
from typing import Any, NoReturn

import requests

# Our choice: what says to wait longer is not believed, and the pauses are the tap's own
LONGEST_TOLD_WAIT = 3600

# An exceeded rate limit answers with a message alone, errors of parameters have details embedded:
# https://developer.helpscout.com/mailbox-api/overview/errors
BARE_ERROR_KEYS = frozenset({"message", "_embedded", "_links", "links"})

# Our choice: any limit of an account is below, and what is above is no limit
HIGHEST_LIMIT = 1_000_000


def parse_json(content: bytes) -> Any:
    """Raises ValueError, also for numbers that no target could load, or RecursionError."""
    return json.loads(content, parse_constant=_refuse_number, parse_float=_finite)


def _finite(text: str) -> float:
    number = float(text)
    return number if math.isfinite(number) else _refuse_number(text)


def _refuse_number(text: str) -> NoReturn:
    raise ValueError(f"the number {text[:20]} is out of range")


def body_or_none(response: requests.Response) -> Any:
    """The JSON of an error, None where it is none: then it has nothing to say."""
    try:
        return json.loads(response.content)
    except (RecursionError, ValueError):
        return None


def is_error(body: Any) -> bool:
    """Whether a body is an error's, though the status says 200: a message with a reference or a
    code, or with nothing but links, and no rows.

    https://developer.helpscout.com/mailbox-api/overview/errors
    """
    if not isinstance(body, dict) or "message" not in body or body.keys() & {"page", "results"}:
        return False
    embedded = body.get("_embedded", {"errors": []})
    if not isinstance(embedded, dict) or "errors" not in embedded:
        return False
    return bool(body.keys() & {"logRef", "error"}) or body.keys() <= BARE_ERROR_KEYS


def error_details(body: dict[str, Any]) -> list[str]:
    """Which parameter an error is about, and what is wrong with it; in another shape, nothing."""
    with contextlib.suppress(AttributeError, KeyError, TypeError):
        return [
            f"{detail.get('path')} {detail.get('message')}"
            for detail in body["_embedded"]["errors"]
        ]
    return []


def parse_limit(header: str | None) -> int | None:
    """The requests that the account may make in a minute; None where the header says no number."""
    if header is None or not re.fullmatch(r"\s*[0-9]{1,9}\s*", header):
        return None
    limit = int(header)
    return limit if 0 < limit <= HIGHEST_LIMIT else None


def told_wait(response: requests.Response) -> float | None:
    """How many seconds a response says to wait, None where it does not say.

    https://developer.helpscout.com/mailbox-api/overview/rate-limiting
    """
    for name in ("X-RateLimit-Retry-After", "Retry-After"):
        # A date, which HTTP allows too, is not a number: then the pause is our own.
        with contextlib.suppress(KeyError, ValueError):
            seconds = float(response.headers[name])
            if 0 <= seconds <= LONGEST_TOLD_WAIT:
                return seconds
    return None
