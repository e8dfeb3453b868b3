"""A Help Scout that listens on a loopback port, for tests, demonstrations and measurements.

It has the state of the real one: tokens that die, lists that are a search index and lag behind the
edits, pages by number over rows that move, a rate limit, a clock. On top of that a test can script
faults, edit rows between two requests, read the log of what was asked, and ask for the truth that
a complete sync should have brought.

    with FakeHelpScout(build(200), page_size=5) as fake:
        fake.fault(503, path="page=2", times=1)
        fake.before(lambda fake: fake.touch(2_100_000), path="page=3")
        ...  # run something against fake.url
        assert fake.requests[0].path == "/v2/oauth2/token"

A person starts it with `python -m tests.fake_helpscout`; other processes steer it through
`/_fake/...` (see `FakeHelpScout._control`).
"""

import argparse
import json
import math
import re
import signal
import socket
import struct
import threading
import time
import uuid
from bisect import bisect_left, bisect_right, insort
from collections import deque
from datetime import datetime, timedelta, timezone
from email.utils import format_datetime
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import MappingProxyType
from typing import Any, NamedTuple, Optional
from urllib.parse import parse_qsl, unquote_plus, urlencode, urlsplit

from tests.fake_data import Plan, build, counts, stamp

HAL, JSON, PROBLEM = "application/hal+json", "application/json", "application/vnd.error+json"
ABOUT = "https://developer.helpscout.com/mailbox-api/overview/errors"
MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")
RANGE = re.compile(r"(modifiedAt|createdAt):\[(\S+) TO (\S+)\]")
EVER = datetime(1, 1, 1, tzinfo=timezone.utc), datetime(9999, 12, 31, tzinfo=timezone.utc)
RATE_EXCEEDED = {"message": "API rate limit exceeded"}
SECOND = timedelta(seconds=1)
STATUSES = ("active", "all", "closed", "open", "pending", "spam")
RATING_LEVELS = {"great": 1, "ok": 2, "not-good": 3}
CHANGE_DATES = {"workflows": "modifiedAt", "mailbox_fields": None}  # else updatedAt
CONVERSATION_FILTERS = (
    "status",
    "mailbox",
    "modifiedSince",
    "query",
    "sortField",
    "sortOrder",
    "page",
    "embed",
)
CUSTOMER_FILTERS = ("modifiedSince", "query", "sortField", "sortOrder", "page")
ROUTES = tuple(
    (re.compile(pattern), handler, allowed)
    for pattern, handler, allowed in (
        (r"/v2/conversations", "_list_conversations", CONVERSATION_FILTERS),
        (r"/v2/conversations/(\d+)", "_get_conversation", ("embed",)),
        (r"/v2/conversations/(\d+)/threads", "_list_threads", ("page",)),
        (r"/v2/customers", "_list_customers", CUSTOMER_FILTERS),
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


class Request(NamedTuple):
    """One line of the log; `status` is None until answered, for ever if "reset" or "silent"."""

    method: str
    path: str
    params: dict
    headers: dict
    status: int | None
    at: float  # seconds since 1970 by the fake's clock
    in_flight: int  # how many requests were being answered then, this one included


class Answer(NamedTuple):
    """What goes out; `broken` says how the connection ends: "reset", "cut" short or "silent"."""

    status: int | None
    body: Any = b""
    content_type: str = HAL
    headers: dict = MappingProxyType({})
    broken: str | None = None


FAULTS = {
    "html": Answer(200, "<html><body>One moment, please</body></html>", "text/html"),
    "cut": Answer(200, {"_embedded": {}, "page": {"number": 1}}, broken="cut"),
    "empty": Answer(200),
    "reset": Answer(None, broken="reset"),
    "silent": Answer(None, broken="silent"),
}


class Refused(Exception):
    """Carries the answer that a check already knows, past the code that would have made another."""

    def __init__(self, answer):
        super().__init__(answer)
        self.answer = answer


class Version(NamedTuple):
    """A row and its hidden modification date; `row`, `threads` are None while the world's hold."""

    modified: datetime
    row: dict | None = None
    threads: list | None = None


class Step:
    """A line of a script: `times` matching requests (None: all) take it, after `skip` others."""

    def __init__(self, deed, path, method, times, skip):
        self.deed, self.method, self.times, self.skip, self.hits = deed, method, times, skip, 0
        self._path = re.compile(path)

    def takes(self, method, target):
        """Whether this request takes the step, which is counted in `hits`."""
        if self.hits == self.times or self.method not in (None, method):
            return False
        if not self._path.search(target):
            return False
        self.skip -= 1
        self.hits += self.skip < 0
        return self.skip < 0


class Shelf:
    """Rows as they are (`current`) and as the lists show them, perhaps some time later (`seen`)."""

    def __init__(self, dates):
        self.current = {key: Version(modified) for key, modified in dates.items()}
        self.seen = dict(self.current)
        self._order = sorted((modified, key) for key, modified in dates.items())
        self._late = []

    def put(self, key, version, due):
        """Store a version, or None to remove the row; the lists follow when it is `due`."""
        self._replace(self.current, key, version)
        self._late.append((due, key, version))

    def settle(self, now):
        """Let the lists catch up."""
        for _, key, version in (late for late in self._late if late[0] <= now):
            if key in self.seen:
                del self._order[bisect_left(self._order, (self.seen[key].modified, key))]
            if version:
                insort(self._order, (version.modified, key))
            self._replace(self.seen, key, version)
        self._late = [late for late in self._late if late[0] > now]

    def modified_between(self, first, last):
        """Pairs (modified, key), oldest first, both ends included."""
        low = bisect_left(self._order, (first,))
        return self._order[low : bisect_right(self._order, (last, math.inf))]

    @staticmethod
    def _replace(versions, key, version):
        if version:
            versions[key] = version
        else:
            versions.pop(key, None)


class FakeHelpScout:
    """The server and its account, started by `with`; the options are attributes to set any time."""

    # pylint: disable=too-many-public-methods

    client_id = "lamp-shop"
    client_secret = "lamp-shop-secret"
    token_lifetime = 172_800
    rotate = True  # a refresh token dies when used, and the answer carries the next one
    inactive_user = False
    plan = "plus"  # reports need "plus" or "pro"
    rate_limit = 100_000  # requests in any rate_window seconds
    rate_window = 60
    retry_after_header = "X-RateLimit-Retry-After"  # or "Retry-After", or None
    latency = 0  # seconds before each answer
    index_lag = 0  # seconds until the lists show an edit
    since_inclusive = True  # modifiedSince=A finds what was modified at A
    until_inclusive = True  # [* TO B] finds what was modified at B
    embed = "complete"  # or "no_line_items", "cut_at_ten", "error_500"
    cut_chats = True  # an embedded chat has only its newest thread
    clock_offset = 0  # seconds; moving it on ages tokens and index, and empties the rate window
    page_sizes = {"conversations": 25, "threads": 25, "ratings": 100}  # else 50

    def __init__(self, world=None, port=0, **options):
        self.page_sizes = dict(self.page_sizes)
        self.set(**options)
        self.world = world or build(now=self.now())
        self.unknown_parameters = set()
        self.token_requests, self.sent_times, self.max_in_flight = [], [], 0
        self.tables = {name: list(rows) for name, rows in self.world.tables.items()}
        self.children = {
            name: {parent: list(rows) for parent, rows in family.items()}
            for name, family in self.world.children.items()
        }
        self.members = {team: list(users) for team, users in self.world.members.items()}
        self.ratings = list(self.world.ratings)
        self._conversations = Shelf({key: plan.modified for key, plan in self.world.plans.items()})
        self._customers = Shelf(
            {key: times[-1] for key, times in self.world.customer_times.items()}
        )
        self._merged = {}
        self._next_id = 990_000_000
        self._access, self._refresh = {}, set()
        self._faults, self._hooks = [], []
        self._log, self._arrivals, self._in_flight = {}, 0, 0
        self._window = deque()
        self._lock = threading.RLock()
        self._closing = threading.Event()
        self._server = _Server(("127.0.0.1", port), self)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self):
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_):
        self._closing.set()
        self._server.shutdown()
        self._server.server_close()

    def set(self, page_size=None, **options):
        """Set options by name; `page_size` is that of every list."""
        if page_size:
            self.page_sizes = {None: page_size}
        for name, value in options.items():
            if name.startswith("_") or callable(getattr(type(self), name, len)):
                raise TypeError(f"no such option: {name}")
            setattr(self, name, value)

    def now(self):
        return datetime.now(timezone.utc) + timedelta(seconds=self.clock_offset)

    # -- what a test does to it -------------------------------------------------------------------

    def fault(self, kind, path="", method=None, times=1, skip=0, **details):
        """Answer matching requests wrongly; `path` is a regex searched in the decoded path?query.

        kind: a status (details: headers, body, content_type), "reset", "cut", "html", "empty" or
        "silent" (seconds).
        """
        if kind not in FAULTS and not isinstance(kind, int):
            raise TypeError(f"no such fault: {kind}")
        return self._script(self._faults, (kind, details), path, method, times, skip)

    def before(self, action, path="", method=None, times=1, skip=0):
        """Run action(fake) right before a matching request is answered."""
        return self._script(self._hooks, action, path, method, times, skip)

    def _script(self, script, *step):
        with self._lock:
            script.append(Step(*step))
            return script[-1]

    def new_access_token(self, lifetime=None):
        with self._lock:
            token = uuid.uuid4().hex
            seconds = self.token_lifetime if lifetime is None else lifetime
            self._access[token] = self.now() + timedelta(seconds=seconds)
            return token

    def new_refresh_token(self):
        with self._lock:
            token = uuid.uuid4().hex
            self._refresh.add(token)
            return token

    def revoke_access_tokens(self):
        with self._lock:
            self._access.clear()

    def use_up(self, requests):
        """Let somebody else of the same account make that many requests now."""
        with self._lock:
            self._window.extend([self.now().timestamp()] * requests)

    def conversation(self, key):
        """The row as it is now, whatever the lists show."""
        return self._conversation_row(key, self._conversations.current[key])

    def threads(self, key):
        """All threads as they are now, newest first."""
        return self._thread_rows(key, self._conversations.current[key])

    def customer(self, key):
        return self._customer_row(key, self._customers.current[key])

    def modified(self, key):
        """The modification date of a conversation, which no row tells."""
        return self._conversations.current[key].modified

    @property
    def conversation_ids(self):
        return list(self._conversations.current)

    @property
    def customer_ids(self):
        return list(self._customers.current)

    def touch(self, conversation_id, at=None, **changes):
        """Modify a conversation; visible dates move only by `changes`, where `...` drops a key."""
        with self._lock:
            old = self._conversations.current[conversation_id]
            row = _changed(self.conversation(conversation_id), changes) if changes else old.row
            self._put(
                self._conversations,
                conversation_id,
                old._replace(modified=self._second(at), row=row),
            )

    def bulk_touch(self, conversation_ids, at=None):
        """Modify many conversations in one and the same second."""
        with self._lock:
            at = self._second(at)
            for conversation_id in conversation_ids:
                self.touch(conversation_id, at)

    def touch_customer(self, customer_id, at=None, **changes):
        with self._lock:
            at = self._second(at)
            row = _changed(self.customer(customer_id), {"updatedAt": stamp(at), **changes})
            self._put(self._customers, customer_id, Version(at, row))

    def touch_row(self, stream, row_id, **changes):
        """Modify a row of a table or of a mailbox's fields or folders, now; `...` removes a key."""
        date = CHANGE_DATES.get(stream, "updatedAt")
        with self._lock:
            for rows in self.children.get(stream, {None: self.tables.get(stream)}).values():
                for i, row in enumerate(rows):
                    if row["id"] == row_id:
                        dated = {date: stamp(self.now()), **changes} if date else changes
                        rows[i] = _changed(row, dated)
                        return
        raise KeyError(row_id)

    def add_conversation(self, at=None, threads=1, **fields):
        """Begin a conversation with so many threads, the last of them at `at`; gives its id."""
        with self._lock:
            at = self._second(at)
            plan = self._plan(self._new_id(), at, threads, fields)
            row = _changed(self.world.conversation(plan), fields)
            self._put(self._conversations, plan.id, Version(at, row, self.world.threads(plan)))
            return plan.id

    def add_thread(self, conversation_id, at=None, **fields):
        """Add a thread, the customer's unless `type` says else, and so modify its conversation."""
        with self._lock:
            at = self._second(at)
            thread = self.world.threads(self._plan(conversation_id, at, 1, {}))[0]
            if fields.get("type") == "lineitem":
                fields = {**dict.fromkeys(("body", "to", "cc", "bcc", "_embedded"), ...), **fields}
            thread = _changed(thread, {"id": self._new_id(), **fields})
            row = self.conversation(conversation_id)
            row = {**row, "threads": row["threads"] + counts(thread)}
            self._put(
                self._conversations,
                conversation_id,
                Version(at, row, [thread, *self.threads(conversation_id)]),
            )
            return thread

    def delete(self, conversation_id):
        with self._lock:
            self._put(self._conversations, conversation_id, None)

    def merge(self, conversation_id, into):
        """Let one conversation vanish into another, which is thereby modified."""
        with self._lock:
            self._put(self._conversations, conversation_id, None)
            self._merged[conversation_id] = into
            self.touch(into)

    def _put(self, shelf, key, version):
        shelf.put(key, version, self.now() + timedelta(seconds=self.index_lag))

    def _second(self, at):
        return (at or self.now()).replace(microsecond=0)

    def _new_id(self):
        self._next_id += 1
        return self._next_id

    @staticmethod
    def _plan(key, at, length, fields):
        began = at - timedelta(minutes=length - 1)
        return Plan(
            key,
            key,
            fields.get("type", "email"),
            fields.get("status", "active"),
            began,
            at,
            at,
            length,
            False,
            False,
        )

    # -- what a test asks it ----------------------------------------------------------------------

    @property
    def requests(self):
        """Everything asked so far, in order of arrival."""
        with self._lock:
            return list(self._log.values())

    def clear(self):
        """Forget what was asked, but for the rate limit."""
        with self._lock:
            self._log, self.max_in_flight = {}, self._in_flight
            self.token_requests, self.sent_times = [], []
            self.unknown_parameters = set()

    def truth(self):
        """Stream → the API's rows that a complete sync brings; children as (parent id, row)."""
        with self._lock:
            return {
                "conversations": [self.conversation(key) for key in self.conversation_ids],
                "conversation_threads": [
                    (key, row) for key in self.conversation_ids for row in self.threads(key)
                ],
                "customers": [self.customer(key) for key in self.customer_ids],
                **self._small(),
            }

    def _small(self):
        """The part of the truth that an account of any size has little of."""
        users = {user["id"]: user for user in self.tables["users"]}
        return {
            **{
                name: list(self.tables[name])
                for name in ("mailboxes", "users", "workflows", "teams")
            },
            **{
                name: [(parent, row) for parent, rows in family.items() for row in rows]
                for name, family in self.children.items()
            },
            "happiness_ratings_report": list(self.ratings),
            "team_members": [
                (team, users[user]) for team, members in self.members.items() for user in members
            ],
        }

    def truth_counts(self):
        """How many rows `truth` has of each stream, without making them."""
        with self._lock:
            threads = (
                len(version.threads) if version.threads else self.world.plans[key].length
                for key, version in self._conversations.current.items()
            )
            return {
                "conversations": len(self._conversations.current),
                "conversation_threads": sum(threads),
                "customers": len(self._customers.current),
                **{name: len(rows) for name, rows in self._small().items()},
            }

    # -- how it answers ---------------------------------------------------------------------------

    def answer(self, method, target, headers, body):
        """Log a request, wait, play the scripts, and answer unless one of them has done so."""
        url = urlsplit(target)
        pairs = parse_qsl(url.query, keep_blank_values=True)
        if url.path.startswith("/_fake/"):
            return self._control(url.path[len("/_fake/") :], body)
        with self._lock:
            self._arrivals += 1
            number = self._arrivals
            self._in_flight += 1
            self.max_in_flight = max(self.max_in_flight, self._in_flight)
            self._log[number] = Request(
                method,
                url.path,
                dict(pairs),
                dict(headers),
                None,
                self.now().timestamp(),
                self._in_flight,
            )
        answer = Answer(None)
        try:
            time.sleep(self.latency)
            target = unquote_plus(target)
            for action in self._taken(self._hooks, method, target):
                action(self)
            answer = self._faulty(self._taken(self._faults, method, target, most=1))
            if not answer and url.path == "/v2/oauth2/token":
                answer = self._token(pairs, headers, body)
            answer = answer or self._resource(method, url.path, pairs, headers)
        finally:
            with self._lock:
                self._in_flight -= 1
                if number in self._log:
                    self._log[number] = self._log[number]._replace(status=answer.status)
        return answer

    def _taken(self, script, method, target, most=None):
        with self._lock:
            deeds = []
            for step in script:
                if len(deeds) != most and step.takes(method, target):
                    deeds.append(step.deed)
            return deeds

    def _faulty(self, faults):
        if not faults:
            return None
        ((kind, details),) = faults
        if isinstance(kind, int):
            usual = RATE_EXCEEDED if kind == 429 else _problem(kind, HTTPStatus(kind).phrase).body
            return Answer(
                kind,
                details.get("body", usual),
                details.get("content_type", JSON),
                details.get("headers", {}),
            )
        if kind == "silent":
            self._closing.wait(details.get("seconds", 30))
        return FAULTS[kind]

    def _token(self, pairs, headers, body):
        if headers.get("Content-Type", "").startswith(JSON):
            asked = json.loads(body or b"{}")
        else:
            asked = dict(pairs + parse_qsl(body.decode()))
        with self._lock:
            self.token_requests.append(asked)
            known = {"client_id": self.client_id, "client_secret": self.client_secret}
            if {name: asked.get(name) for name in known} != known:
                return _oauth_error(401, "invalid_client", "Client authentication failed")
            if self.inactive_user:
                return _oauth_error(401, "invalid_grant", "The user is not active")
            if asked.get("grant_type") not in ("client_credentials", "refresh_token"):
                return _oauth_error(400, "unsupported_grant_type", "Unsupported grant type")
            refreshing = asked["grant_type"] == "refresh_token"
            if refreshing and asked.get("refresh_token") not in self._refresh:
                return _oauth_error(400, "invalid_grant", "Invalid refresh token")
            answer = {
                "token_type": "bearer",
                "access_token": self.new_access_token(),
                "expires_in": self.token_lifetime,
            }
            if refreshing and self.rotate:
                self._refresh.remove(asked["refresh_token"])
                answer["refresh_token"] = self.new_refresh_token()
            return Answer(200, answer, JSON)

    def _resource(self, method, path, pairs, headers):
        with self._lock:
            scheme, _, token = headers.get("Authorization", "").partition(" ")
            if scheme.lower() != "bearer" or self._access.get(token, EVER[0]) <= self.now():
                return _oauth_error(
                    401, "invalid_token", "The access token is invalid or has expired"
                )
            limits = {}
            try:
                limits = self._count_request()
                answer = self._routed(method, path, pairs)
            except Refused as refused:
                answer = refused.answer
            return answer._replace(headers={**limits, **answer.headers})

    def _count_request(self):
        """Let the request through with the headers that say how many are left, or refuse it."""
        now, window = self.now().timestamp(), self._window
        while window and window[0] <= now - self.rate_window:
            window.popleft()
        limits = {
            "X-RateLimit-Limit-Minute": self.rate_limit,
            "X-RateLimit-Remaining-Minute": max(0, self.rate_limit - len(window) - 1),
        }
        if len(window) < self.rate_limit:
            window.append(now)
            self.sent_times.append(now)
            return limits
        if self.retry_after_header:
            frees = window[len(window) - self.rate_limit] if self.rate_limit else now
            limits[self.retry_after_header] = max(1, math.ceil(frees + self.rate_window - now))
        raise Refused(Answer(429, RATE_EXCEEDED, JSON, limits))

    def _routed(self, method, path, pairs):
        params = dict(pairs)
        if len(params) < len(pairs):
            raise _bad("query", "parameter given twice")
        for pattern, handler, allowed in ROUTES:
            match = pattern.fullmatch(path)
            if match and method != "GET":
                return _problem(405, "Method not allowed")
            if match:
                self.unknown_parameters.update(set(params) - set(allowed))
                parts = [int(part) if part.isdigit() else part for part in match.groups()]
                known = {name: params[name] for name in params if name in allowed}
                return getattr(self, handler)(_Query(path, known), *parts)
        return _problem(404, "Not found")

    def _list_conversations(self, query):
        shelf, embed = self._conversations, query.choice("embed", ("threads",))
        status = query.choice("status", STATUSES, "active")
        mailboxes = {int(one) for one in query.params.get("mailbox", "").split(",") if one}
        if embed and self.embed == "error_500":
            return Answer(
                500,
                {
                    "logRef": str(uuid.uuid4()),
                    "message": "Internal error",
                    "links": [{"rel": "about", "href": ABOUT}],
                },
                JSON,
            )

        def fits(row):
            statuses = {"all": STATUSES, "open": ("active", "pending")}.get(status, (status,))
            return row["status"] in statuses and (row["mailboxId"] in mailboxes or not mailboxes)

        def show(found):
            _, key = found
            row = self._conversation_row(key, shelf.seen[key])
            return (
                {**row, "_embedded": {"threads": self._embedded_threads(key, row)}}
                if embed
                else row
            )

        found = self._search(
            query,
            shelf,
            self._conversation_row,
            "createdAt",
            None if status == "all" and not mailboxes else fits,
        )
        return self._hal(query, "conversations", found, show)

    def _list_customers(self, query):
        shelf = self._customers
        found = self._search(query, shelf, self._customer_row, "modifiedAt")
        return self._hal(
            query, "customers", found, lambda pair: self._customer_row(pair[1], shelf.seen[pair[1]])
        )

    def _search(self, query, shelf, row_of, default_sort, fits=None):
        """Pairs (modified, key) that the lists show; rows are made only if dates are not enough."""
        shelf.settle(self.now())
        bounds = {"modifiedAt": EVER, "createdAt": EVER, **query.ranges(self.until_inclusive)}
        first, last = bounds["modifiedAt"]
        since = query.moment("modifiedSince")
        if since:
            first = max(first, since if self.since_inclusive else since + SECOND)
        found = shelf.modified_between(first, last)
        sort = query.choice("sortField", ("modifiedAt", "createdAt"), default_sort)
        if fits or bounds["createdAt"] != EVER or sort == "createdAt":
            first, last = (stamp(bound) for bound in bounds["createdAt"])
            rows = {pair: row_of(pair[1], shelf.seen[pair[1]]) for pair in found}
            found = [
                pair
                for pair, row in rows.items()
                if (not fits or fits(row)) and first <= row.get("createdAt", first) <= last
            ]
            if sort == "createdAt":
                found.sort(key=lambda pair: (rows[pair].get("createdAt", ""), pair[1]))
        if query.choice("sortOrder", ("asc", "desc"), "desc") == "desc":
            found.reverse()
        return found

    def _conversation_row(self, key, version):
        return version.row or self.world.conversation(self.world.plans[key])

    def _thread_rows(self, key, version):
        if version.threads is None:
            return self.world.threads(self.world.plans[key])
        return version.threads

    def _customer_row(self, key, version):
        return version.row or self.world.customer(key)

    def _embedded_threads(self, key, row):
        threads = self._thread_rows(key, self._conversations.seen[key])
        if row["type"] == "chat" and self.cut_chats:
            return threads[:1]
        if self.embed == "no_line_items":
            return [thread for thread in threads if thread["type"] != "lineitem"]
        return threads[:10] if self.embed == "cut_at_ten" else threads

    def _get_conversation(self, query, key):
        if key in self._merged:
            target = f"{self.url}/v2/conversations/{self._merged[key]}"
            return Answer(301, headers={"Location": target})
        if key not in self._conversations.current:
            return _problem(404, "Not found")
        row = self.conversation(key)
        embed = query.choice("embed", ("threads",))
        return Answer(200, {**row, "_embedded": {"threads": self.threads(key)}} if embed else row)

    def _list_threads(self, query, key):
        if key not in self._conversations.current:
            return _problem(404, "Not found")
        return self._hal(query, "threads", self.threads(key))

    def _list_table(self, query, name):
        return self._hal(query, name, self.tables[name])

    def _list_system_users(self, query, _):
        return self._hal(query, "system_users", self.tables["system_users"])

    def _list_members(self, query, team):
        if team not in self.members:
            return _problem(404, "Not found")
        return self._hal(
            query,
            "users",
            [user for user in self.tables["users"] if user["id"] in self.members[team]],
        )

    def _list_fields(self, query, mailbox):
        return self._hal(query, "fields", self._of_mailbox("mailbox_fields", mailbox))

    def _list_folders(self, query, mailbox):
        rows = self._of_mailbox("mailbox_folders", mailbox)
        return Answer(
            200,
            {
                **({"_embedded": {"folders": rows}} if rows else {}),
                "_links": {"self": {"href": self.url + query.path}},
            },
        )

    def _list_saved_replies(self, query, mailbox):
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
        return Answer(200, replies if with_chat else replies[:1])

    def _get_routing(self, _, mailbox):
        self._of_mailbox("mailbox_fields", mailbox)
        return Answer(
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

    def _get_me(self, _):
        return Answer(200, self.tables["users"][0])

    def _of_mailbox(self, name, mailbox):
        if mailbox not in self.children[name]:
            raise Refused(_problem(404, "Not found"))
        return self.children[name][mailbox]

    def _report_ratings(self, query):
        if self.plan not in ("plus", "pro"):
            return _problem(
                403, "Access denied", path="reports", detail="Reports need a Plus or Pro plan"
            )
        start, end = query.moment("start"), query.moment("end")
        if not start or not end:
            raise _bad("end" if start else "start", "may not be empty")
        level = RATING_LEVELS.get(query.choice("rating", ("all", *RATING_LEVELS), "all"))
        rows = [
            row
            for row in self.ratings
            if stamp(start) <= row["ratingCreatedAt"] <= stamp(end)
            and level in (None, row["ratingId"])
        ]
        size, page = self._page_size("ratings"), query.page()
        return Answer(
            200,
            {
                "facets": {},
                "results": rows[(page - 1) * size : page * size],
                "page": page,
                "pages": math.ceil(len(rows) / size),
                "count": len(rows),
            },
            JSON,
        )

    def _page_size(self, name):
        return self.page_sizes.get(name) or self.page_sizes.get(None, 50)

    def _hal(self, query, name, items, show=lambda row: row):
        size, page = self._page_size(name), query.page()
        pages = math.ceil(len(items) / size)
        links = {"self": page, "first": 1, "last": pages, "next": page + 1, "previous": page - 1}
        if page >= pages:
            del links["next"]
        if page == 1:
            del links["previous"]
        base = self.url + query.path
        rows = [show(item) for item in items[(page - 1) * size : page * size]]
        return Answer(
            200,
            {
                **({"_embedded": {name: rows}} if rows else {}),
                "_links": {
                    **{
                        rel: {"href": f"{base}?{urlencode({**query.params, 'page': number})}"}
                        for rel, number in links.items()
                    },
                    "page": {"href": base + "{?page}", "templated": True},
                },
                "page": {
                    "size": size,
                    "totalElements": len(items),
                    "totalPages": pages,
                    "number": page,
                },
            },
        )

    def _control(self, path, body):
        """For other processes: GET log, truth-counts; POST clear, options (JSON), touch/{id}."""
        with self._lock:
            if path == "log":
                return Answer(
                    200,
                    [
                        {
                            name: value
                            for name, value in request._asdict().items()
                            if name != "headers"
                        }
                        for request in self.requests
                    ],
                    JSON,
                )
            if path == "truth-counts":
                return Answer(200, self.truth_counts(), JSON)
            if path == "clear":
                self.clear()
            elif path == "options":
                self.set(**json.loads(body))
            elif path.startswith("touch/"):
                self.touch(int(path.partition("/")[2]))
            else:
                return _problem(404, "Not found")
            return Answer(204)


class _Query:
    """The known parameters of one request; what makes no sense is refused with a 400."""

    def __init__(self, path, params):
        self.path, self.params = path, params

    def choice(self, name, allowed, default=None):
        value = self.params.get(name, default)
        if value not in (default, *allowed):
            raise _bad(name, f"Expected one of these: {', '.join(allowed)}", value)
        return value

    def page(self):
        page = self.params.get("page", "1")
        if not page.isdigit() or page == "0":
            raise _bad("page", "invalid number", page)
        return int(page)

    def moment(self, name):
        return _moment(name, self.params[name]) if name in self.params else None

    def ranges(self, until_inclusive):
        """Field → (first, last), both included, of `(field:[A TO B] AND ...)`."""
        text, bounds = self.params.get("query"), {}
        if text is None:
            return bounds
        for part in text.replace("(", "").replace(")", "").split(" AND "):
            match = RANGE.fullmatch(part.strip())
            if not match or text.count("(") != text.count(")"):
                raise _bad("query", "cannot be understood", text)
            field, first, last = match.groups()
            low, high = bounds.get(field, EVER)
            if first != "*":
                low = max(low, _moment("query", first))
            if last != "*":
                last = _moment("query", last)
                high = min(high, last if until_inclusive else last - SECOND)
            bounds[field] = low, high
        return bounds


class _Server(ThreadingHTTPServer):
    """Closes the connections it still holds when closed, so that keep-alive outlives no test."""

    request_queue_size = 128

    def __init__(self, address, fake):
        self.fake, self._open = fake, set()
        super().__init__(address, _Handler)

    def get_request(self):
        connection, address = super().get_request()
        self._open.add(connection)
        return connection, address

    def shutdown_request(self, request):
        self._open.discard(request)
        request.close()  # without the polite shutdown, which would turn a reset into an end

    def server_close(self):
        super().server_close()
        for connection in list(self._open):
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass  # gone already

    def handle_error(self, request, client_address):
        """Say nothing when the client went away; bugs of the fake are 500s before they get here."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def _handle(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        fake = self.server.fake
        try:
            answer = fake.answer(self.command, self.path, self.headers, body)
        except Exception as error:  # pylint: disable=broad-exception-caught
            answer = Answer(500, {"message": f"The fake itself failed: {error!r}"}, JSON)
        if answer.broken in ("reset", "silent"):
            self.close_connection = True
            if answer.broken == "reset":
                self.connection.setsockopt(
                    socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
                )
            return
        content = answer.body
        if isinstance(content, (dict, list)):
            content = json.dumps(content, ensure_ascii=False)
        content = content.encode() if isinstance(content, str) else content
        headers = {
            "Date": format_datetime(fake.now(), usegmt=True),
            "Content-Type": answer.content_type,
            "Content-Length": len(content),
            **answer.headers,
            "Correlation-Id": self.headers.get("Correlation-Id") or str(uuid.uuid4()),
        }
        if answer.broken == "cut":
            self.close_connection = True
            content = content[: len(content) // 2]
        head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        head = f"HTTP/1.1 {answer.status} {HTTPStatus(answer.status).phrase}\r\n{head}\r\n"
        self.wfile.write(head.encode() + content)  # one write, so that nobody waits for an ACK

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _handle

    def log_message(self, *_):  # pylint: disable=arguments-differ
        """Keep quiet: the log is `FakeHelpScout.requests`."""


def _changed(row, changes):
    row = {**row, **changes}
    return {key: value for key, value in row.items() if value is not ...}


def _moment(name, text):
    try:
        if not MOMENT.fullmatch(text):
            raise ValueError(text)
        return datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=timezone.utc)
    except ValueError:
        raise _bad(name, "must be a date like 2017-03-31T23:30:01Z", text) from None


def _problem(status, message, path=None, detail=None, rejected=None):
    """The error envelope, with one entry if a path is given."""
    body = {"logRef": str(uuid.uuid4()), "message": message, "_links": {"about": {"href": ABOUT}}}
    if path:
        error = {"path": path, "message": detail, "source": "QUERY", "_links": body["_links"]}
        if rejected is not None:
            error["rejectedValue"] = rejected
        body["_embedded"] = {"errors": [error]}
    return Answer(status, body, PROBLEM)


def _bad(path, detail, rejected=None):
    return Refused(_problem(400, "Bad request", path, detail, rejected))


def _oauth_error(status, error, description):
    return Answer(status, {"error": error, "error_description": description}, JSON)


def main():
    """Serve until SIGTERM or Ctrl-C; the first line on stdout is JSON: the URL and credentials."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.fake_helpscout", description=main.__doc__
    )
    parser.add_argument("--conversations", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--port", type=int, default=0)
    for option, kind in (
        ("latency", float),
        ("rate-limit", int),
        ("page-size", int),
        ("client-id", str),
        ("client-secret", str),
    ):
        parser.add_argument(f"--{option}", type=kind)
    options = vars(parser.parse_args())
    world = build(options.pop("conversations"), seed=options.pop("seed"))
    ends = {signal.SIGTERM, signal.SIGINT}
    signal.pthread_sigmask(signal.SIG_BLOCK, ends)  # before the first thread, which inherits it
    with FakeHelpScout(
        world, **{name: value for name, value in options.items() if value is not None}
    ) as fake:
        print(
            json.dumps(
                {
                    "api_url": fake.url,
                    "client_id": fake.client_id,
                    "client_secret": fake.client_secret,
                }
            ),
            flush=True,
        )
        signal.sigwait(ends)


if __name__ == "__main__":
    main()
