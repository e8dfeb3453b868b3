"""What goes out: responses, the error envelopes, and how the parameters of a request are read."""

import re
import uuid
from collections.abc import Mapping
from datetime import datetime, timedelta, timezone
from types import MappingProxyType
from typing import Any, NamedTuple

HAL, JSON, PROBLEM = "application/hal+json", "application/json", "application/vnd.error+json"
ABOUT = "https://developer.helpscout.com/mailbox-api/overview/errors"
DATE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")
RANGE = re.compile(r"(modifiedAt|createdAt):\[(\S+) TO (\S+)\]")
SECOND = timedelta(seconds=1)


class Response(NamedTuple):
    """What goes out; `broken` says how the connection ends: "reset", "cut" short or "silent"."""

    status: int | None
    body: Any = b""
    content_type: str = HAL
    headers: Mapping[str, Any] = MappingProxyType({})
    broken: str | None = None


class Refused(Exception):
    """Carries a response past the code that would have made another."""

    def __init__(self, response: Response):
        super().__init__(response)
        self.response = response


def problem(
    status: int,
    message: str,
    path: str | None = None,
    detail: str | None = None,
    rejected: str | None = None,
) -> Response:
    """The error envelope, with one entry if a path is given."""
    links = {"about": {"href": ABOUT}}
    body: dict[str, Any] = {"logRef": str(uuid.uuid4()), "message": message, "_links": links}
    if path:
        error: dict[str, Any] = {
            "path": path,
            "message": detail,
            "source": "QUERY",
            "_links": links,
        }
        if rejected is not None:
            error["rejectedValue"] = rejected
        body["_embedded"] = {"errors": [error]}
    return Response(status, body, PROBLEM)


def not_found() -> Refused:
    return Refused(problem(404, "Not found"))


def bad_request(path: str, detail: str, rejected: str | None = None) -> Refused:
    return Refused(problem(400, "Bad request", path, detail, rejected))


def internal_error() -> Refused:
    """The older envelope, with its links in an array."""
    body = {
        "logRef": str(uuid.uuid4()),
        "message": "Internal error",
        "links": [{"rel": "about", "href": ABOUT}],
    }
    return Refused(Response(500, body, JSON))


def oauth_error(status: int, error: str, description: str) -> Response:
    return Response(status, {"error": error, "error_description": description}, JSON)


class Query:
    """The known parameters of one request; what makes no sense is refused with a 400."""

    def __init__(self, path: str, params: dict[str, str]):
        self.path, self.params = path, params

    def choice(self, name: str, allowed: tuple[str, ...], default: str) -> str:
        value = self.params.get(name, default)
        if value not in (default, *allowed):
            raise bad_request(name, f"Expected one of these: {', '.join(allowed)}", value)
        return value

    def page(self) -> int:
        page = self.params.get("page", "1")
        if not page.isdigit() or page == "0":
            raise bad_request("page", "invalid number", page)
        return int(page)

    def ids(self, name: str) -> set[int]:
        """The ids of a parameter with commas; none if it is absent."""
        ids = [one for one in self.params.get(name, "").split(",") if one]
        if not all(one.isdigit() for one in ids):
            raise bad_request(name, "invalid identifier", self.params[name])
        return {int(one) for one in ids}

    def date(self, name: str) -> datetime | None:
        return parse_date(name, self.params[name]) if name in self.params else None

    def ranges(self) -> list[tuple[str, datetime | None, datetime | None]]:
        """The (field, start, end) of each part of `(field:[A TO B] AND ...)`; `*` is None."""
        ranges: list[tuple[str, datetime | None, datetime | None]] = []
        text = self.params.get("query")
        if text is None:
            return ranges
        for part in text.replace("(", "").replace(")", "").split(" AND "):
            match = RANGE.fullmatch(part.strip())
            if not match or text.count("(") != text.count(")"):
                raise bad_request("query", "cannot be understood", text)
            field, *ends = match.groups()
            start, end = (None if end == "*" else parse_date("query", end) for end in ends)
            ranges.append((field, start, end))
        return ranges


def parse_date(name: str, text: str) -> datetime:
    """A date parameter, whose only form is documented: 2017-03-31T23:30:01Z."""
    try:
        if not DATE.fullmatch(text):
            raise ValueError(text)
        return datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=timezone.utc)
    except ValueError:
        raise bad_request(name, "must be a date like 2017-03-31T23:30:01Z", text) from None
