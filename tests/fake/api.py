"""What each path of the API responds with: the account's rows through its filters and pages."""

import math
import re
from collections.abc import Callable
from datetime import datetime, timezone
from typing import Any
from urllib.parse import urlencode

from tests.fake.account import Account, Row, Shelf, Version
from tests.fake.data import stamp
from tests.fake.responses import (
    JSON,
    SECOND,
    Query,
    Refused,
    Response,
    bad_request,
    internal_error,
    not_found,
    problem,
)

Found = list[tuple[datetime, int]]  # (modified, key) of each row

EVER = datetime(1, 1, 1, tzinfo=timezone.utc), datetime(9999, 12, 31, tzinfo=timezone.utc)
STATUSES = ("active", "all", "closed", "open", "pending", "spam")
MEANINGS = {"all": STATUSES, "open": ("active", "pending")}  # of a status, if not itself
RATING_LEVELS = {"great": 1, "ok": 2, "not-good": 3}
SEARCH = ("modifiedSince", "query", "sortField", "sortOrder", "page")
DEFAULT_SORT = {"conversations": "createdAt", "customers": "modifiedAt"}
ROUTES = tuple(
    (re.compile(pattern), handler, allowed)
    for pattern, handler, allowed in (
        (r"/v2/conversations", "_list_conversations", ("status", "mailbox", "embed", *SEARCH)),
        (r"/v2/conversations/(\d+)", "_get_conversation", ("embed",)),
        (r"/v2/conversations/(\d+)/threads", "_list_threads", ("page",)),
        (r"/v2/customers", "_list_customers", SEARCH),
        (r"/v2/mailboxes/(\d+)/fields", "_list_fields", ("page",)),
        (r"/v2/mailboxes/(\d+)/folders", "_list_folders", ()),
        (r"/v2/mailboxes/(\d+)/saved-replies", "_list_saved_replies", ("includeChatReplies",)),
        (r"/v2/mailboxes/(\d+)/routing", "_get_routing", ()),
        (r"/v2/users/me", "_get_me", ()),
        (r"/v2/teams/(\d+)/members", "_list_members", ("page",)),
        (r"/v2/(mailboxes|users|workflows|teams|tags)", "_list_table", ("page",)),
        (r"/v3/system-(users)", "_list_system_users", ("page",)),
        (
            r"/v2/reports/happiness/ratings",
            "_report_ratings",
            ("start", "end", "rating", "page", "sortField", "sortOrder"),
        ),
    )
)
# What an embedded list of threads shows of the whole one, by Habits.embed.
EMBEDDED: dict[str, Callable[[list[Row]], list[Row]]] = {
    "complete": lambda threads: threads,
    "no_line_items": lambda threads: [row for row in threads if row["type"] != "lineitem"],
    "cut_at_ten": lambda threads: threads[:10],
}


class Api(Account):
    """The account as the API shows it. A new path is a line in ROUTES and a method."""

    def __init__(self, *account: Any):
        super().__init__(*account)
        self.url = ""  # where it is served; links begin with it
        self.unknown_parameters: set[str] = set()

    def _routed(self, method: str, path: str, pairs: list[tuple[str, str]]) -> Response:
        params = dict(pairs)
        if len(params) < len(pairs):
            raise bad_request("query", "parameter given twice")
        for pattern, handler, allowed in ROUTES:
            match = pattern.fullmatch(path)
            if match and method != "GET":
                return problem(405, "Method not allowed")
            if match:
                self.unknown_parameters.update(set(params) - set(allowed))
                parts = [int(part) if part.isdigit() else part for part in match.groups()]
                known = {name: params[name] for name in params if name in allowed}
                return getattr(self, handler)(Query(path, known), *parts)
        raise not_found()

    # -- conversations and customers --------------------------------------------------------------

    def _list_conversations(self, query: Query) -> Response:
        embeds = query.choice("embed", ("threads",)) == "threads"
        if embeds and self.habits.embed == "error_500":
            raise internal_error()
        found = self._search(
            query,
            "conversations",
            self._conversations,
            self._conversation_row,
            self._conversation_filter(query),
        )

        def show(pair: tuple[datetime, int]) -> Row:
            key = pair[1]
            version = self._conversations.seen.versions[key]
            row = self._conversation_row(key, version)
            if embeds:
                row = {**row, "_embedded": {"threads": self._embedded_threads(key, row, version)}}
            return row

        return self._hal(query, "conversations", found, show)

    def _conversation_filter(self, query: Query) -> Callable[[Row], bool] | None:
        """Whether a row fits the status and the mailbox, or None where each one does."""
        status = query.choice("status", STATUSES, "active")
        mailboxes = query.ids("mailbox")
        if status == "all" and not mailboxes:
            return None
        statuses = MEANINGS.get(status, (status,))
        return lambda row: (
            row["status"] in statuses and (not mailboxes or row["mailboxId"] in mailboxes)
        )

    def _embedded_threads(self, key: int, row: Row, version: Version) -> list[Row]:
        threads = self._thread_rows(key, version)
        if row["type"] == "chat" and self.habits.cut_chats:
            return threads[:1]
        return EMBEDDED[self.habits.embed](threads)

    def _list_customers(self, query: Query) -> Response:
        versions = self._customers.seen.versions
        found = self._search(query, "customers", self._customers, self._customer_row)
        return self._hal(
            query, "customers", found, lambda pair: self._customer_row(pair[1], versions[pair[1]])
        )

    def _search(
        self,
        query: Query,
        name: str,
        shelf: Shelf,
        row_of: Callable[[int, Version], Row],
        fits: Callable[[Row], bool] | None = None,
    ) -> Found:
        """What the lists show, in order; rows are made only if dates are not enough."""
        listing = shelf.seen
        listing.catch_up(self.now())
        ranges = self._date_ranges(query)
        found = listing.modified_between(*ranges["modifiedAt"])
        field = query.choice("sortField", ("modifiedAt", "createdAt"), DEFAULT_SORT[name])
        order = query.choice("sortOrder", ("asc", "desc"), "desc")
        if fits or ranges["createdAt"] != EVER or field == "createdAt":
            first, last = map(stamp, ranges["createdAt"])
            rows = {pair: row_of(pair[1], listing.versions[pair[1]]) for pair in found}
            found = [
                pair
                for pair, row in rows.items()
                if (not fits or fits(row)) and first <= row.get("createdAt", first) <= last
            ]
            if field == "createdAt":
                found.sort(key=lambda pair: (rows[pair].get("createdAt", ""), pair[1]))
        if order == "desc":
            found.reverse()
        return found

    def _date_ranges(self, query: Query) -> dict[str, tuple[datetime, datetime]]:
        """The field of a date → the first and last that `modifiedSince` and `query` leave."""
        habits = self.habits
        ranges = {"modifiedAt": EVER, "createdAt": EVER}
        for field, start, end in query.ranges():
            if end and not habits.until_inclusive:
                end -= SECOND
            ranges[field] = narrowed(ranges[field], start, end)
        since = query.date("modifiedSince")
        if since and not habits.since_inclusive:
            since += SECOND
        ranges["modifiedAt"] = narrowed(ranges["modifiedAt"], since, None)
        return ranges

    def _get_conversation(self, query: Query, key: int) -> Response:
        if key in self._merged:
            target = f"{self.url}/v2/conversations/{self._merged[key]}"
            return Response(301, headers={"Location": target})
        if key not in self._conversations.current:
            raise not_found()
        row = self.conversation(key)
        if query.choice("embed", ("threads",)):
            row = {**row, "_embedded": {"threads": self.threads(key)}}
        return Response(200, row)

    def _list_threads(self, query: Query, key: int) -> Response:
        if key not in self._conversations.current:
            raise not_found()
        return self._hal(query, "threads", self.threads(key))

    # -- what an account has little of ------------------------------------------------------------

    def _list_table(self, query: Query, name: str) -> Response:
        return self._hal(query, name, self.tables[name])

    def _list_system_users(self, query: Query, _: str) -> Response:
        return self._hal(query, "system_users", self.tables["system_users"])

    def _list_members(self, query: Query, team: int) -> Response:
        if team not in self.members:
            raise not_found()
        members = [user for user in self.tables["users"] if user["id"] in self.members[team]]
        return self._hal(query, "users", members)

    def _list_fields(self, query: Query, mailbox: int) -> Response:
        return self._hal(query, "fields", self._of_mailbox("mailbox_fields", mailbox))

    def _list_folders(self, query: Query, mailbox: int) -> Response:
        rows = self._of_mailbox("mailbox_folders", mailbox)
        links = {"self": {"href": self.url + query.path}}
        return Response(200, {**self._embedded("folders", rows), "_links": links})

    def _list_saved_replies(self, query: Query, mailbox: int) -> Response:
        self._of_mailbox("mailbox_fields", mailbox)
        replies = [
            {"id": 61, "name": "Thanks", "preview": "Thank you for the picture."},
            {
                "id": 62,
                "name": "Hello",
                "preview": "",
                "chatPreview": "Hello! What can I do for you?",
            },
        ]
        with_chat = query.params.get("includeChatReplies") == "true"
        return Response(200, replies if with_chat else replies[:1])

    def _get_routing(self, _: Query, mailbox: int) -> Response:
        self._of_mailbox("mailbox_fields", mailbox)
        return Response(
            200,
            {
                "state": "enabled",
                "assignmentLimit": 8,
                "assignmentMethod": "balanced",
                "userIds": [501, 502],
                "rotation": [
                    {
                        "userId": 501,
                        "conversationsCount": 8,
                        "eligible": False,
                        "reason": "at_capacity",
                    },
                    {"userId": 502, "conversationsCount": 1, "eligible": True},
                ],
            },
        )

    def _get_me(self, _: Query) -> Response:
        return Response(200, self.tables["users"][0])

    def _of_mailbox(self, name: str, mailbox: int) -> list[Row]:
        if mailbox not in self.children[name]:
            raise not_found()
        return self.children[name][mailbox]

    # -- reports ----------------------------------------------------------------------------------

    def _report_ratings(self, query: Query) -> Response:
        start, end = self._report_range(query)
        level = RATING_LEVELS.get(query.choice("rating", ("all", *RATING_LEVELS), "all"))
        found = [
            row
            for row in self.ratings
            if stamp(start) <= row["ratingCreatedAt"] <= stamp(end)
            and level in (None, row["ratingId"])
        ]
        page, rows = self._page(query, "ratings", found)
        return Response(
            200,
            {
                "facets": {},
                "results": rows,
                "page": page,
                "pages": math.ceil(len(found) / self.habits.page_size("ratings")),
                "count": len(found),
            },
            JSON,
        )

    def _report_range(self, query: Query) -> tuple[datetime, datetime]:
        if self.habits.plan not in ("plus", "pro"):
            detail = "Reports need a Plus or Pro plan"
            raise Refused(problem(403, "Access denied", path="reports", detail=detail))
        start, end = query.date("start"), query.date("end")
        if not start or not end:
            raise bad_request("end" if start else "start", "may not be empty")
        return start, end

    # -- pages and envelopes ----------------------------------------------------------------------

    def _page(self, query: Query, name: str, items: list[Any]) -> tuple[int, list[Any]]:
        """The number of the page that is asked for, and what is on it."""
        size, page = self.habits.page_size(name), query.page()
        return page, items[(page - 1) * size : page * size]

    def _embedded(self, name: str, rows: list[Row]) -> Row:
        """An empty list has no `_embedded`."""
        return {"_embedded": {name: rows}} if rows else {}

    def _hal(
        self,
        query: Query,
        name: str,
        items: list[Any],
        show: Callable[[Any], Row] = lambda row: row,
    ) -> Response:
        """A page of a list; `show` makes the row of an item."""
        page, shown = self._page(query, name, items)
        size = self.habits.page_size(name)
        pages = math.ceil(len(items) / size)
        links = {"self": page, "first": 1, "last": pages, "next": page + 1, "previous": page - 1}
        if page >= pages:
            del links["next"]
        if page == 1:
            del links["previous"]
        return Response(
            200,
            {
                **self._embedded(name, [show(item) for item in shown]),
                "_links": self._links(query, links),
                "page": {
                    "size": size,
                    "totalElements": len(items),
                    "totalPages": pages,
                    "number": page,
                },
            },
        )

    def _links(self, query: Query, pages: dict[str, int]) -> Row:
        base = self.url + query.path
        return {
            **{
                relation: {"href": f"{base}?{urlencode({**query.params, 'page': page})}"}
                for relation, page in pages.items()
            },
            "page": {"href": base + "{?page}", "templated": True},
        }


def narrowed(
    limits: tuple[datetime, datetime], first: datetime | None, last: datetime | None
) -> tuple[datetime, datetime]:
    """The part of `limits` from `first` to `last`, which leave an end as it is where None."""
    return max(limits[0], first or EVER[0]), min(limits[1], last or EVER[1])
