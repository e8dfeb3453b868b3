"""The fake over HTTP: tokens, the rate limit, the log of requests, and the script's turn."""

import json
import math
import socket
import struct
import threading
import time
import uuid
from collections import deque
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from email.utils import format_datetime
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, unquote_plus, urlsplit

from tests.fake.api import EVER, Api
from tests.fake.data import World, build
from tests.fake.habits import Habits
from tests.fake.responses import JSON, Refused, Response, not_found, oauth_error
from tests.fake.script import RATE_EXCEEDED, Script, Step

CONTROL = "/_fake/"
Pairs = list[tuple[str, str]]


class Request(NamedTuple):
    """One line of the log; `status` is None until answered, for ever if "reset" or "silent"."""

    method: str
    path: str
    params: dict[str, str]
    headers: dict[str, str]
    status: int | None
    at: float  # seconds since 1970 by the fake's clock
    in_flight: int  # how many requests were being answered then, this one included


class FakeHelpScout(Habits, Api):
    """The server and its account, started by `with`; the options are attributes to set any time."""

    page_sizes = Habits().page_sizes  # for those who want to change one of them

    def __init__(self, world: World | None = None, port: int = 0, **options: Any):
        Habits.__init__(self)
        self.set(**options)
        self.habits = self  # for now(), which comes before there is an account
        Api.__init__(self, world or build(now=self.now()), self)
        self.token_requests: list[dict[str, Any]] = []
        self.sent_times: list[float] = []  # of the requests that the rate limit let through
        self.max_in_flight = 0
        self._script = Script()
        self._access: dict[str, datetime] = {}  # access token → when it ends
        self._refresh: set[str] = set()
        self._log: dict[int, Request] = {}
        self._arrivals, self._in_flight = 0, 0
        self._window: deque[float] = deque()
        self._closing = threading.Event()
        self._server = _Server(("127.0.0.1", port), self)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self):
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_) -> None:
        self._closing.set()
        self._server.shutdown()
        self._server.server_close()

    # -- what a test does to it; edits are the account's ------------------------------------------

    def fault(
        self,
        kind: int | str,
        path: str = "",
        method: str | None = None,
        times: int | None = 1,
        skip: int = 0,
        **details: Any,
    ) -> Step:
        """Answer matching requests wrongly; `path` is a regex searched in the decoded path?query.

        kind: a status (details: headers, body, content_type), "reset", "cut", "html", "empty" or
        "silent" (seconds).
        """
        return self._script.add_fault(kind, details, path, method, times, skip)

    def before(
        self,
        action: Callable[[Any], Any],
        path: str = "",
        method: str | None = None,
        times: int | None = 1,
        skip: int = 0,
    ) -> Step:
        """Run action(fake) right before a matching request is answered."""
        return self._script.add_action(action, path, method, times, skip)

    def new_access_token(self, lifetime: float | None = None) -> str:
        with self._lock:
            token = uuid.uuid4().hex
            seconds = self.token_lifetime if lifetime is None else lifetime
            self._access[token] = self.now() + timedelta(seconds=seconds)
            return token

    def new_refresh_token(self) -> str:
        with self._lock:
            token = uuid.uuid4().hex
            self._refresh.add(token)
            return token

    def revoke_access_tokens(self) -> None:
        with self._lock:
            self._access.clear()

    def use_up(self, requests: int) -> None:
        """Let somebody else of the same account make that many requests now."""
        with self._lock:
            self._window.extend([self.now().timestamp()] * requests)

    @property
    def requests(self) -> list[Request]:
        """Everything asked so far, in order of arrival."""
        with self._lock:
            return list(self._log.values())

    def clear(self) -> None:
        """Forget what was asked, but for the rate limit."""
        with self._lock:
            self._log, self.max_in_flight = {}, self._in_flight
            self.token_requests, self.sent_times = [], []
            self.unknown_parameters = set()

    # -- one request ------------------------------------------------------------------------------

    def respond(
        self, method: str, target: str, headers: Mapping[str, str], body: bytes
    ) -> Response:
        """Log a request, wait, play the script, and respond unless a fault has done so."""
        url = urlsplit(target)
        pairs = parse_qsl(url.query, keep_blank_values=True)
        if url.path.startswith(CONTROL):
            return self._control(url.path.removeprefix(CONTROL), body)
        number = self._begin(method, url.path, pairs, headers)
        response = Response(None)
        try:
            time.sleep(self.latency)
            target = unquote_plus(target)
            for action in self._script.actions(method, target):
                action(self)
            response = self._faulty(method, target) or self._right(
                method, url.path, pairs, headers, body
            )
        finally:
            self._end(number, response.status)
        return response

    def _begin(self, method: str, path: str, pairs: Pairs, headers: Mapping[str, str]) -> int:
        with self._lock:
            self._arrivals += 1
            self._in_flight += 1
            self.max_in_flight = max(self.max_in_flight, self._in_flight)
            at = self.now().timestamp()
            self._log[self._arrivals] = Request(
                method, path, dict(pairs), dict(headers), None, at, self._in_flight
            )
            return self._arrivals

    def _end(self, number: int, status: int | None) -> None:
        with self._lock:
            self._in_flight -= 1
            if number in self._log:
                self._log[number] = self._log[number]._replace(status=status)

    def _faulty(self, method: str, target: str) -> Response | None:
        fault = self._script.fault(method, target)
        if not fault:
            return None
        if fault.kind == "silent":
            self._closing.wait(fault.details.get("seconds", 30))
        return fault.response

    def _right(
        self, method: str, path: str, pairs: Pairs, headers: Mapping[str, str], body: bytes
    ) -> Response:
        if path == "/v2/oauth2/token":
            return self._token(pairs, headers, body)
        return self._resource(method, path, pairs, headers)

    def _token(self, pairs: Pairs, headers: Mapping[str, str], body: bytes) -> Response:
        if headers.get("Content-Type", "").startswith(JSON):
            asked = json.loads(body or b"{}")
        else:
            asked = dict(pairs + parse_qsl(body.decode()))
        with self._lock:
            self.token_requests.append(asked)
            known = {"client_id": self.client_id, "client_secret": self.client_secret}
            if {name: asked.get(name) for name in known} != known:
                return oauth_error(401, "invalid_client", "Client authentication failed")
            if self.inactive_user:
                return oauth_error(401, "invalid_grant", "The user is not active")
            if asked.get("grant_type") not in ("client_credentials", "refresh_token"):
                return oauth_error(400, "unsupported_grant_type", "Unsupported grant type")
            refreshing = asked["grant_type"] == "refresh_token"
            if refreshing and asked.get("refresh_token") not in self._refresh:
                return oauth_error(400, "invalid_grant", "Invalid refresh token")
            tokens = {
                "token_type": "bearer",
                "access_token": self.new_access_token(),
                "expires_in": self.token_lifetime,
            }
            if refreshing and self.rotate:
                self._refresh.remove(asked["refresh_token"])
                tokens["refresh_token"] = self.new_refresh_token()
            return Response(200, tokens, JSON)

    def _resource(
        self, method: str, path: str, pairs: Pairs, headers: Mapping[str, str]
    ) -> Response:
        with self._lock:
            scheme, _, token = headers.get("Authorization", "").partition(" ")
            if scheme.lower() != "bearer" or self._access.get(token, EVER[0]) <= self.now():
                description = "The access token is invalid or has expired"
                return oauth_error(401, "invalid_token", description)
            limits: dict[str, Any] = {}
            try:
                limits = self._count_request()
                response = self._routed(method, path, pairs)
            except Refused as refused:
                response = refused.response
            return response._replace(headers={**limits, **response.headers})

    def _count_request(self) -> dict[str, Any]:
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
        raise Refused(Response(429, RATE_EXCEEDED, JSON, limits))

    def _control(self, path: str, body: bytes) -> Response:
        """For other processes: GET log, truth-counts; POST clear, options (JSON), touch/{id}."""
        with self._lock:
            if path == "log":
                log = [request._asdict() for request in self.requests]
                for line in log:
                    del line["headers"]  # they have the tokens
                return Response(200, log, JSON)
            if path == "truth-counts":
                return Response(200, self.truth_counts(), JSON)
            if path == "clear":
                self.clear()
            elif path == "options":
                self.set(**json.loads(body))
            elif path.startswith("touch/"):
                self.touch(int(path.partition("/")[2]))
            else:
                return not_found().response
            return Response(204)

    def _queries_so_far(self, path: str) -> int:
        return sum(line.path == path and "query" in line.params for line in self.requests)

    def headers_of(self, response: Response) -> dict[str, Any]:
        """The headers that go out whatever the response, and its own."""
        date = self._date()
        return {
            **({} if date is None else {"Date": date}),
            "Content-Type": response.content_type,
            **response.headers,
        }

    def _date(self) -> str | None:
        with self._lock:
            right = format_datetime(self.now(), usegmt=True)
            if self.date_header == "right" or self.dates_wrong_for == 0:
                return right
            if self.dates_wrong_for is not None:
                self.dates_wrong_for -= 1
            if self.date_header == "-0000":
                return right.replace("GMT", "-0000")
            return self.date_header


class _Server(ThreadingHTTPServer):
    """Closes the connections it still holds when closed, so that keep-alive outlives no test."""

    request_queue_size = 128

    def __init__(self, address: tuple[str, int], fake: FakeHelpScout):
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
                pass  # closed by the client

    def handle_error(self, request, client_address):
        """Say nothing when the client went away; bugs of the fake are 500s before they get here."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def parse_request(self):
        """Without the standard library's parser of e-mails, which takes longer than the answer."""
        # pylint: disable=attribute-defined-outside-init  # as the standard library has it
        self.requestline = self.raw_requestline.decode("latin-1").rstrip("\r\n")
        self.command, self.path, self.request_version = self.requestline.split(" ")
        self.headers = {}
        while line := self.rfile.readline().strip():
            name, _, value = line.decode("latin-1").partition(":")
            self.headers[name.title()] = value.strip()
        self.close_connection = self.headers.get("Connection") == "close"
        return True

    def _handle(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        fake = self.server.fake
        try:
            response = fake.respond(self.command, self.path, self.headers, body)
        except Exception as error:  # pylint: disable=broad-exception-caught
            response = Response(500, {"message": f"The fake itself failed: {error!r}"}, JSON)
        if response.broken in ("reset", "silent"):
            self._break_off(response.broken)
            return
        content = response.body
        if isinstance(content, (dict, list)):
            content = json.dumps(content, ensure_ascii=False)
        if isinstance(content, str):
            content = content.encode(errors="backslashreplace")  # half a surrogate pair: \udc00
        headers = {
            "Content-Length": len(content),
            **fake.headers_of(response),
            "Correlation-Id": self.headers.get("Correlation-Id") or str(uuid.uuid4()),
        }
        if response.broken == "cut":
            self.close_connection = True
            content = content[: len(content) // 2]
        head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        head = f"HTTP/1.1 {response.status} {HTTPStatus(response.status).phrase}\r\n{head}\r\n"
        self.wfile.write(head.encode() + content)  # one write, so that nobody waits for an ACK

    def _break_off(self, broken):
        self.close_connection = True
        if broken == "reset":
            at_once = struct.pack("ii", 1, 0)
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, at_once)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _handle

    def log_message(self, *_):  # pylint: disable=arguments-differ
        """Keep quiet: the log is `FakeHelpScout.requests`."""
