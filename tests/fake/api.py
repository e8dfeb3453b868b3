"""What each path of the API responds with: the account's rows through its filters and pages."""

import math
import re
from collections.abc import Callable
from datetime import datetime, timezone
from typing import Any
from urllib.parse import urlencode

from tests.fake.account import HIDDEN, Account, Listing, Row, Version, changed
from tests.fake.data import stamp
from tests.fake.habits import Habits
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


def without_attachments(thread: Row) -> Row:
    return {**thread, "_embedded": {}} if "_embedded" in thread else thread


def with_cut_body(thread: Row, length: int) -> Row:
    return {**thread, "body": thread["body"][:length]} if "body" in thread else thread


def listed_reply(reply: Row) -> Row:
    """A saved reply as the list shows it: the beginnings of its texts."""
    preview = re.sub(r"<[^>]*>", " ", reply["text"]).strip()[:150]
    row = {"id": reply["id"], "name": reply["name"], "preview": preview}
    return {**row, "chatPreview": reply["chatText"][:150]} if reply.get("chatText") else row


Found = list[tuple[datetime, int]]  # (modified, key) of each row

EVER = datetime(1, 1, 1, tzinfo=timezone.utc), datetime(9999, 12, 31, tzinfo=timezone.utc)
STATUSES = ("active", "all", "closed", "open", "pending", "spam")
MEANINGS = {"all": STATUSES, "open": ("active", "pending")}  # of a status, if not itself
RATING_LEVELS = {"great": 1, "ok": 2, "not-good": 3}
SEARCH = ("modifiedSince", "query", "sortField", "sortOrder", "page")
DEFAULT_SORT = {"conversations": "createdAt", "customers": "modifiedAt"}
SORT_IF_IGNORED = {"conversations": "createdAt", "customers": "id"}
CHATS = ("chat", "beaconchat")
ORGANIZATION_SORTS = ("name", "customerCount", "conversationCount", "lastInteractionAt")
NOT_LISTED = ("customerCount", "conversationCount", "properties", "lastInteractionAt")
# The path of a plain list → the account's table, and the key in `_embedded`; None: a bare array.
TABLES: dict[str, tuple[str, str | None]] = {
    "/v2/mailboxes": ("mailboxes", "mailboxes"),
    "/v2/users": ("users", "users"),
    "/v2/teams": ("teams", "teams"),
    "/v2/tags": ("tags", "tags"),
    "/v2/organizations/properties": ("organization_properties", "organization-properties"),
    "/v2/customer-properties": ("customer_properties", "customer-properties"),
    "/v2/users/status": ("user_statuses", "userStatuses"),
    "/v3/system-users": ("system_users", "system_users"),
    "/v2/webhooks": ("webhooks", "webhooks"),
}
ROUTES = tuple(  # (path, its method, the parameters that it knows)
    (re.compile(pattern), handler, allowed)
    for pattern, handler, allowed in (
        (
            r"/v2/conversations",
            "_list_conversations",
            ("status", "mailbox", "number", "embed", *SEARCH),
        ),
        (r"/v2/conversations/(\d+)", "_get_conversation", ("embed",)),
        (r"/v2/conversations/(\d+)/threads", "_list_threads", ("page",)),
        (r"/v2/customers", "_list_customers", ("mailbox", *SEARCH)),
        (r"/v2/mailboxes/(\d+)/fields", "_list_fields", ("page",)),
        (r"/v2/mailboxes/(\d+)/folders", "_list_folders", ()),
        (r"/v2/mailboxes/(\d+)/saved-replies", "_list_saved_replies", ("includeChatReplies",)),
        (r"/v2/mailboxes/(\d+)/saved-replies/(\d+)", "_get_saved_reply", ()),
        (r"/v2/mailboxes/(\d+)/routing", "_get_routing", ()),
        (r"/v2/users/me", "_get_me", ()),
        (r"/v2/teams/(\d+)/members", "_list_members", ("page",)),
        (r"/v2/workflows", "_list_workflows", ("mailboxId", "page")),
        (r"/v2/organizations", "_list_organizations", ("sort", "page")),
        (
            r"/v2/organizations/(\d+)",
            "_get_organization",
            ("includeCounts", "includeProperties"),
        ),
        ("|".join(TABLES), "_list_table", ("page",)),
        (
            r"/v2/reports/happiness/ratings",
            "_report_ratings",
            ("start", "end", "mailboxes", "rating", "page", "sortField", "sortOrder"),
        ),
        (r"/v2/reports/company", "_report_company", ("start", "end")),
    )
)
# What an embedded list of threads shows of the whole one, by Habits.embed.
EMBEDDED: dict[str, Callable[[list[Row]], list[Row]]] = {
    "complete": lambda threads: threads,
    "no_line_items": lambda threads: [row for row in threads if row["type"] != "lineitem"],
    "no_drafts": lambda threads: [row for row in threads if row["state"] != "draft"],
    "no_hidden": lambda threads: [row for row in threads if row["state"] != "hidden"],
    "no_attachments": lambda threads: [without_attachments(row) for row in threads],
    "cut_bodies": lambda threads: [with_cut_body(row, 40) for row in threads],
    "cut_at_ten": lambda threads: threads[:10],
}


class Api(Account):
    """The account as the API shows it.

    A new path is a line in TABLES, or one in ROUTES and a method.
    """

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
        embeds = query.choice("embed", ("threads",), "") == "threads"
        if embeds and self.habits.embed == "error_500":
            raise internal_error()
        fits = self._conversation_filter(query)
        search = query, "conversations", self._conversation_row, fits
        shelf = self._conversations

        def show(pair: tuple[datetime, int]) -> Row:
            key = pair[1]
            version = shelf.seen.versions[key]
            row = self._conversation_row(key, version)
            if embeds:
                row = {**row, "_embedded": {"threads": self._embedded_threads(key, row, version)}}
            return row

        found = self._search(shelf.seen, *search)
        return self._hal(
            query, "conversations", found, show, lambda: len(self._search(shelf.stale, *search))
        )

    def _conversation_filter(self, query: Query) -> Callable[[Row], bool] | None:
        """Whether a row fits the status and the mailbox, or None where each one does."""
        status = query.choice("status", STATUSES, "active")
        mailboxes, numbers = query.ids("mailbox"), query.ids("number")
        statuses = MEANINGS.get(status, (status,))
        if status == "all" and not self.habits.of_list("conversations").status_all_has_spam:
            statuses = tuple(one for one in STATUSES if one != "spam")
        is_all_visible = self.habits.visible_mailboxes is None
        if statuses == STATUSES and not mailboxes and not numbers and is_all_visible:
            return None
        return lambda row: (
            row.get("status") in statuses
            and self._sees(row.get("mailboxId"))
            and (not mailboxes or row.get("mailboxId") in mailboxes)
            and (not numbers or row.get("number") in numbers)
        )

    def _embedded_threads(self, key: int, row: Row, version: Version) -> list[Row]:
        threads = self._thread_rows(key, version)
        if row["type"] == "chat" and self.habits.cut_chats:
            return threads[:1]
        if self.habits.chat_threads_cut_anywhere:
            threads = [
                with_cut_body(thread, 20) if thread["type"] in CHATS else thread
                for thread in threads
            ]
        return EMBEDDED[self.habits.embed](threads)

    def _list_customers(self, query: Query) -> Response:
        search = query, "customers", self._customer_row, self._customer_filter(query)
        shelf = self._customers
        found = self._search(shelf.seen, *search)
        return self._hal(
            query,
            "customers",
            found,
            lambda pair: self._customer_row(pair[1], shelf.seen.versions[pair[1]]),
            lambda: len(self._search(shelf.stale, *search)),
        )

    def _customer_filter(self, query: Query) -> Callable[[Row], bool] | None:
        asked = query.ids("mailbox")
        if not asked or self.habits.customers_mailbox_ignored:
            return None
        mailboxes = {mailbox for mailbox in asked if self._sees(mailbox)}
        known = self._mailboxes_of_customers()
        return lambda row: not mailboxes.isdisjoint(known.get(row.get("id"), ()))

    def _search(
        self,
        listing: Listing,
        query: Query,
        name: str,
        row_of: Callable[[int, Version], Row],
        fits: Callable[[Row], bool] | None = None,
    ) -> Found:
        """What a list shows, in order; rows are made only if dates are not enough."""
        listing.catch_up(self.now())
        ranges = self._date_ranges(query, name)
        found = listing.modified_between(*ranges["modifiedAt"])
        field, order = self._sort(query, name)
        if fits or ranges["createdAt"] != EVER or field == "createdAt":
            first, last = map(stamp, ranges["createdAt"])
            rows = {pair: row_of(pair[1], listing.versions[pair[1]]) for pair in found}
            found = [
                pair
                for pair, row in rows.items()
                if (not fits or fits(row)) and first <= (row.get("createdAt") or first) <= last
            ]
            if field == "createdAt":
                found.sort(key=lambda pair: (rows[pair].get("createdAt") or "", pair[1]))
        if field == "id":
            found.sort(key=lambda pair: pair[1])
        if order == "desc":
            found.reverse()
        return found

    def _sort(self, query: Query, name: str) -> tuple[str, str]:
        """The field and the order in which the rows come."""
        field = query.choice("sortField", ("modifiedAt", "createdAt"), DEFAULT_SORT[name])
        order = query.choice("sortOrder", ("asc", "desc"), "desc")
        if self.habits.of_list(name).sort_ignored:
            return SORT_IF_IGNORED[name], "desc"
        return field, order

    def _date_ranges(self, query: Query, name: str) -> dict[str, tuple[datetime, datetime]]:
        """The field of a date → the first and last that `modifiedSince` and `query` leave."""
        habits = self.habits.of_list(name)
        since, parts = query.date("modifiedSince"), query.ranges()
        ranges = {"modifiedAt": EVER, "createdAt": EVER}
        finds = self._query_finds(query, habits)
        if parts and finds != "everything":
            if finds == "error":
                raise internal_error()
            if finds == "forbidden":
                raise Refused(problem(403, "Access denied"))
            if finds == "refused":
                raise bad_request("query", "cannot be understood", query.params["query"])
            if finds == "nothing":
                return {**ranges, "modifiedAt": EVER[::-1]}
            for field, start, end in parts:
                start = None if habits.query_start_ignored else later(start, habits.from_inclusive)
                end = None if habits.query_end_ignored else earlier(end, habits.until_inclusive)
                ranges[field] = narrowed(ranges[field], start, end)
        if not (habits.since_ignored or parts and habits.since_ignored_beside_query):
            since = later(since, habits.since_inclusive)
            ranges["modifiedAt"] = narrowed(ranges["modifiedAt"], since, None)
        return ranges

    def _query_finds(self, query: Query, habits: Habits) -> str:
        """What becomes of the query of this request, as in `query_finds`."""
        if habits.query_ignored_beside_since and "modifiedSince" in query.params:
            return "everything"
        works_until = habits.query_works_until
        if works_until is not None and self._queries_so_far(query.path) > works_until:
            return "everything"
        if query.params.get("status") == "spam" and habits.spam_query_finds:
            return habits.spam_query_finds
        return habits.query_finds

    def _queries_so_far(self, path: str) -> int:
        """How many requests of this path had a query; the server has the log."""
        raise NotImplementedError

    def _get_conversation(self, query: Query, key: int) -> Response:
        if key in self._merged:
            target = f"{self.url}/v2/conversations/{self._merged[key]}"
            return Response(301, headers={"Location": target})
        if key not in self._conversations.current or not self._sees_conversation(key):
            raise not_found()
        row = self.conversation(key)
        if query.choice("embed", ("threads",), ""):
            row = {**row, "_embedded": {"threads": self.threads(key)}}
        return Response(200, row)

    def _list_threads(self, query: Query, key: int) -> Response:
        is_there = key in self._conversations.current and self._sees_conversation(key)
        if self.habits.threads_404 or not is_there:
            raise not_found()

        def stale_total() -> int:
            listing = self._conversations.stale
            listing.catch_up(self.now())
            version = listing.versions.get(key)
            return len(self._thread_rows(key, version)) if version else 0

        return self._hal(query, "threads", self.threads(key), stale_total=stale_total)

    # -- what an account has little of ------------------------------------------------------------

    def _list_table(self, query: Query) -> Response:
        table, name = TABLES[query.path]
        rows = self._visible_rows(table)
        return self._hal(query, name, rows) if name else Response(200, rows, JSON)

    def _list_workflows(self, query: Query) -> Response:
        mailboxes = query.ids("mailboxId")
        rows = self._visible_rows("workflows")
        found = [row for row in rows if not mailboxes or row.get("mailboxId") in mailboxes]
        return self._hal(query, "workflows", found)

    def _list_organizations(self, query: Query) -> Response:
        field, _, order = query.params.get("sort", "lastInteractionAt,desc").partition(",")
        if field not in ORGANIZATION_SORTS or order not in ("", "asc", "desc"):
            raise bad_request("sort", "unsupported value", query.params["sort"])
        found = sorted(
            self.tables["organizations"],
            key=lambda row: (row.get(field) is not None, row.get(field), row["id"]),
            reverse=order == "desc",
        )
        return self._hal(
            query, "organizations", found, lambda row: changed(row, dict.fromkeys(NOT_LISTED, ...))
        )

    def _get_organization(self, query: Query, key: int) -> Response:
        row = self._by_id(self.tables["organizations"], key)
        hidden = set(HIDDEN)
        if query.params.get("includeCounts") != "true":
            hidden |= {"customerCount", "conversationCount"}
        if query.params.get("includeProperties") != "true":
            hidden.add("properties")
        return Response(200, changed(row, dict.fromkeys(hidden, ...)))

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
        replies = self._of_mailbox("saved_replies", mailbox)
        if query.params.get("includeChatReplies") != "true":
            replies = [reply for reply in replies if reply["text"]]
        return Response(200, [listed_reply(reply) for reply in replies])

    def _get_saved_reply(self, _: Query, mailbox: int, key: int) -> Response:
        return Response(200, self._by_id(self._of_mailbox("saved_replies", mailbox), key))

    def _get_routing(self, _: Query, mailbox: int) -> Response:
        return Response(200, self._of_mailbox("mailbox_routing", mailbox)[0])

    def _get_me(self, _: Query) -> Response:
        return Response(200, self.tables["users"][0])

    def _of_mailbox(self, name: str, mailbox: int) -> list[Row]:
        if mailbox not in self.children[name] or not self._sees(mailbox):
            raise not_found()
        return self.children[name][mailbox]

    @staticmethod
    def _by_id(rows: list[Row], key: int) -> Row:
        for row in rows:
            if row["id"] == key:
                return row
        raise not_found()

    # -- reports ----------------------------------------------------------------------------------

    def _report_ratings(self, query: Query) -> Response:
        start, end = self._report_range(query)
        level = RATING_LEVELS.get(query.choice("rating", ("all", *RATING_LEVELS), "all"))
        mailboxes = query.ids("mailboxes")
        found = [
            row
            for row in self._visible_ratings()
            if stamp(start) <= row["ratingCreatedAt"] <= stamp(end)
            and level in (None, row["ratingId"])
            and (not mailboxes or self._mailbox_of_conversation(row.get("id")) in mailboxes)
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

    def _report_company(self, query: Query) -> Response:
        return Response(200, self.world.company_report(*self._report_range(query)), JSON)

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
        """The number of the page that is shown, and what is on it."""
        habits, page = self.habits, query.page()
        size = habits.page_size(name)
        last = max(1, math.ceil(len(items) / size))
        if habits.depth_limit is not None and page > habits.depth_limit:
            raise bad_request("page", f"may not be over {habits.depth_limit}", str(page))
        if page > last and habits.past_the_end == "404":
            raise not_found()
        if page > last and habits.past_the_end == "400":
            raise bad_request("page", "there is no such page", str(page))
        if page > last and habits.past_the_end == "last_page":
            page = last
        return page, items[(page - 1) * size : page * size]

    def _embedded(self, name: str, rows: list[Row]) -> Row:
        if rows:
            return {"_embedded": {name: rows}}
        empty: dict[str, Row] = {
            "absent": {},
            "object": {"_embedded": {}},
            "array": {"_embedded": []},
        }
        return empty[self.habits.empty_embedded]

    def _hal(
        self,
        query: Query,
        name: str,
        items: list[Any],
        show: Callable[[Any], Row] = lambda row: row,
        stale_total: Callable[[], int] | None = None,
    ) -> Response:
        """A page of a list: `show` makes the row of an item, `stale_total` counts a minute ago."""
        page, shown = self._page(query, name, items)
        total = len(items)
        if stale_total and self.habits.of_list(name).totals == "stale":
            total = stale_total()
        return Response(
            200,
            {
                **self._embedded(name, [show(item) for item in shown]),
                "_links": self._links(query, self._linked_pages(name, page, len(items))),
                **self._page_object(name, page, total),
            },
        )

    def _page_object(self, name: str, page: int, total: int) -> Row:
        """What a list says of its pages, under `page`."""
        habits, size = self.habits.of_list(name), self.habits.page_size(name)
        if habits.totals == "no_page":
            return {}
        if habits.totals == "none":
            return {"page": {"size": size, "number": page}}
        total = capped(total, habits.total_cap)
        pages = math.ceil(total / size)
        if habits.total_pages_is_one:
            pages = min(pages, 1)
        return {"page": {"size": size, "totalElements": total, "totalPages": pages, "number": page}}

    def _linked_pages(self, name: str, page: int, total: int) -> dict[str, int]:
        """Relation → page."""
        habits = self.habits.of_list(name)
        last = math.ceil(capped(total, habits.total_cap) / self.habits.page_size(name))
        links = {"self": page, "first": 1}
        if habits.totals not in ("none", "no_page"):
            links["last"] = last
        if page < last:
            links["next"] = page + 1
        if self.habits.next_loops and page == 2 <= last:
            links["next"] = 1
        if page > 1:
            links["previous"] = page - 1
        return links

    def _links(self, query: Query, pages: dict[str, int]) -> Row:
        base = self.url + query.path
        params = {name: value for name, value in query.params.items() if name != "page"}
        asked = f"{urlencode(params)}&" if params else ""
        return {
            **{
                relation: {"href": f"{base}?{asked}page={page}"} for relation, page in pages.items()
            },
            "page": {"href": base + "{?page}", "templated": True},
        }


def narrowed(
    limits: tuple[datetime, datetime], first: datetime | None, last: datetime | None
) -> tuple[datetime, datetime]:
    """The part of `limits` from `first` to `last`, which leave an end as it is where None."""
    return max(limits[0], first or EVER[0]), min(limits[1], last or EVER[1])


def later(start: datetime | None, is_inclusive: bool) -> datetime | None:
    """The first second that is found."""
    return start + SECOND if start and not is_inclusive else start


def earlier(end: datetime | None, is_inclusive: bool) -> datetime | None:
    """The last second that is found."""
    return end - SECOND if end and not is_inclusive else end


def capped(total: int, cap: int | None) -> int:
    return total if cap is None else min(total, cap)
