"""How Help Scout is asked: one session, one retry layer, timeouts, pace, ordered concurrency.

get → retried → authorised (a 401 is cured once) → sent (slot, pace, timeout) → Help Scout

HelpScoutError           what is wrong, in words
  ├─ UnauthorizedError   no stream can be read: end the run
  └─ ApiError            this request is refused: go on with another stream
       └─ RetriableError    might pass: tried again, and then raised
"""

import collections
import contextlib
import ctypes
import random
import ssl
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from functools import partial

import backoff
import requests
import singer

from tap_helpscout.auth import Auth

LOGGER = singer.get_logger()

TOKEN_PATH = "/v2/oauth2/token"
CLOCK_PATH = "/v2/users/me"  # small, and anyone may read it
TRIES = 10
LONGEST_PAUSE = 60  # seconds
WAITS = 60  # how often in a row one request may be told to wait
# What is wrong with the URLs of the API or its proxy stays wrong.
LASTING = (requests.exceptions.InvalidURL, requests.exceptions.InvalidSchema)
MINUTE = 60.25  # a little more than the API's own, for what the network adds


ADVICE = {
    401: ". Check client_id and client_secret against My Apps in Help Scout, that the user who "
    "made the app is active and may use the API, and that the refresh_token, where the config "
    "has one, is the latest: it dies when it is used, and then only authorizing the app "
    "again helps",
    403: ". The account's plan or the user's permissions do not include it: change them, or "
    "deselect the stream in the catalog",
}


class HelpScoutError(Exception):
    """What is wrong between the tap and Help Scout, and what to do; `status` is the answer's,
    `wait` how many seconds it says to wait, None where it does not say."""

    def __init__(self, message, status=None, wait=None):
        super().__init__(message)
        self.status, self.wait = status, wait


class UnauthorizedError(HelpScoutError):
    """The credentials are refused: nothing can be read."""


class ApiError(HelpScoutError):
    """One request is refused: another stream may go well."""


class RetriableError(ApiError):
    """No answer, or one that may be better next time."""


class Client:
    """GETs from one account, `concurrency` at once at most."""

    def __init__(self, path, config, dev, unbroken):
        self._config = config
        self._session = requests.Session()
        self._session.headers.update(
            {"User-Agent": config.user_agent, "Accept": "application/hal+json, application/json"}
        )
        adapter = requests.adapters.HTTPAdapter(pool_maxsize=config.concurrency)
        self._session.mount(config.api_url, adapter)
        self._auth = Auth(path, config, dev, self._exchange, unbroken)
        self._slots = threading.BoundedSemaphore(config.concurrency)
        _share_one_heap()
        self._pool = config.concurrency > 1 and ThreadPoolExecutor(config.concurrency)
        self._clock = None
        self.pace = Pace(config.rate_limit_share)
        # How many results to ask for ahead of the one that is being used.
        self.depth = config.concurrency if self._pool else 0

    def now(self):
        """The API's own clock at its last answer; asks for one where there was none."""
        self._retried(TRIES, self._auth.live_token)
        if not self._clock:
            try:
                self.get(CLOCK_PATH)
            except ApiError:
                if not self._clock:
                    raise
        return self._clock

    def submit(self, function, *args):
        """Starts function(*args); what is returned waits for its result when it is called. Where
        one request at a time is allowed, it runs then, in the same thread."""
        return self._pool.submit(function, *args).result if self._pool else partial(function, *args)

    def get(self, path, params=None, tries=TRIES):
        """The JSON that a path answers with, after as many tries as it takes and is allowed."""
        return self._retried(tries, self._authorised, path, params)

    def _retried(self, tries, ask, *args):
        """The one retry layer; nothing below it tries anything again."""

        def before_pause(details):
            error, pause = details["exception"], details["wait"]
            LOGGER.warning("%s; trying again in %.1f s", error, pause)
            if error.status == 429:
                self.pace.hold(pause)

        pauses = partial(_pauses, tries, self._config.retry_seconds)
        return backoff.on_exception(
            pauses, RetriableError, jitter=None, logger=None, on_backoff=before_pause
        )(ask)(*args)

    def _authorised(self, path, params):
        request = self._request("GET", path, params=params, auth=self._auth)
        try:
            return self._send(request)
        except UnauthorizedError:
            if not self._auth.refuse(request.headers["Authorization"]):
                raise
        return self._send(self._request("GET", path, params=params, auth=self._auth))

    def _exchange(self, grant):
        # Without an `auth` of its own a ~/.netrc would give this request one.
        answer = self._send(
            self._request("POST", TOKEN_PATH, data=grant, auth=lambda request: request)
        )
        token = answer.get("access_token") if isinstance(answer, dict) else None
        if not (token and isinstance(token, str) and token.isascii() and token.isprintable()):
            raise RetriableError(f"POST {TOKEN_PATH} answered without an access_token")
        return answer

    def _request(self, method, path, **kwargs):
        # Prepared outside a slot, for the authorisation may need a request of its own.
        return self._session.prepare_request(
            requests.Request(method, self._config.api_url + path, **kwargs)
        )

    def _send(self, request):
        what = f"{request.method} {request.path_url.partition('?')[0]}"
        # Proxies and private CAs come from the environment.
        settings = self._session.merge_environment_settings(request.url, {}, None, None, None)
        with self._slots:
            self.pace.wait()
            try:
                response = self._session.send(
                    request, timeout=self._config.request_timeout, allow_redirects=False, **settings
                )
            # requests' own errors, a CA bundle that cannot be read, a host that cannot be
            except (OSError, ValueError) as error:
                lasts = (
                    not isinstance(error, requests.RequestException)
                    or isinstance(error, LASTING)
                    or isinstance(_root(error), ssl.SSLCertVerificationError)
                )
                raise (ApiError if lasts else RetriableError)(
                    f"{what} failed: {self._redact(_reason(error))} (at {self._config.api_url})"
                ) from None
        self._note(response)
        if response.status_code != 200:
            raise self._error(what, response)
        try:
            return response.json()
        except ValueError:
            raise RetriableError(
                f"{what} answered 200 with something that is not JSON", 200
            ) from None

    def _note(self, response):
        limit = response.headers.get("X-RateLimit-Limit-Minute", "")
        if limit.isdigit() and int(limit):
            self.pace.limit = int(limit)
        moment = ours = datetime.now(timezone.utc)
        with contextlib.suppress(KeyError, TypeError, ValueError):
            moment = parsedate_to_datetime(response.headers["Date"]).astimezone(timezone.utc)
        if response.status_code >= 500:  # a gateway's, whose clock may be another
            moment = min(moment, ours)
        self._clock = moment.replace(microsecond=0)

    def _error(self, what, response):
        status, message = response.status_code, f"{what} answered {response.status_code}"
        message += self._redact(_words(response))
        if status in (408, 429) or status >= 500:
            return RetriableError(message, status, _told_to_wait(response.headers))
        if status == 401 or TOKEN_PATH in what:
            return UnauthorizedError(message + ADVICE[401], status)
        return ApiError(message + ADVICE.get(status, ""), status)

    def _redact(self, text):
        text = str(text)
        for secret in self._auth.secrets.copy():
            text = text.replace(secret, "***")
        return text


class Pace:
    """Keeps to a share of what the account may ask in any minute, and holds when told to."""

    def __init__(self, share):
        self.limit = 200  # requests a minute, until the API says
        self._share, self._sent, self._held_until = share, collections.deque(), 0
        self._lock = threading.Lock()

    def wait(self):
        """Returns when one more request may be sent, and counts it."""
        with self._lock:  # who waits for it would have to wait as long
            while (pause := self._pause()) > 0:
                time.sleep(pause)
            self._sent.append(time.monotonic())

    def hold(self, seconds):
        """Nothing is sent for so long: the account's minute is used up."""
        self._held_until = max(self._held_until, time.monotonic() + seconds)

    def _pause(self):
        now, allowed = time.monotonic(), max(1, int(self.limit * self._share))
        while self._sent and self._sent[0] <= now - MINUTE:
            self._sent.popleft()
        is_full = len(self._sent) >= allowed
        return max(self._held_until, self._sent[-allowed] + MINUTE if is_full else 0) - now

    def __str__(self):
        return f"{len(self._sent)} of {int(self.limit * self._share)}"


def ahead(items, depth, weight=lambda item: 1):
    """The items of an iterator, taken from it so far ahead that `depth` in weight wait in line."""
    line, load = collections.deque(), 0
    for item in items:
        line.append(item)
        load += weight(item)
        while load > depth:
            load -= weight(line[0])
            yield line.popleft()
    yield from line


def _share_one_heap():
    """Else glibc gives each thread a heap of its own, in which large answers leave ever more
    holes: 15 MiB in a long run. Where the C library is another there is nothing to set."""
    with contextlib.suppress(AttributeError, OSError):
        libc = ctypes.CDLL(None)
        libc.mallopt(-8, 1)  # M_ARENA_MAX
        libc.mallopt(-3, 16 * 1024)  # M_MMAP_THRESHOLD: what is larger is given back at once


def _pauses(tries, seconds):
    """For backoff: after each failure the seconds to wait, until there were too many.

    Being told to wait is not a failed try and costs nothing of the time allowed.
    """
    error = yield
    deadline, failures, told = time.monotonic() + seconds, 0, 0
    while True:
        if error.wait is not None and told < WAITS:
            told += 1
            deadline += error.wait
            error = yield error.wait + random.uniform(0.1, 0.5)
            continue
        pause = min(2**failures, LONGEST_PAUSE) * random.uniform(0.5, 1)
        failures += 1
        if failures >= tries or time.monotonic() + pause > deadline:
            return
        error = yield pause


def _told_to_wait(headers):
    for name in ("X-RateLimit-Retry-After", "Retry-After"):
        # A date, which HTTP allows too, is not a number: then the pause is our own.
        with contextlib.suppress(KeyError, ValueError):
            if 0 <= (seconds := float(headers[name])) <= 3600:
                return seconds
    return None


def _words(response):
    """What the API says of an error, and how its support can find it."""
    said, reference = [], response.headers.get("Correlation-Id")
    # In another shape it has nothing to say.
    with contextlib.suppress(AttributeError, KeyError, TypeError, ValueError):
        body = response.json()
        reference = body.get("logRef") or reference
        said.extend(body.get(key) for key in ("message", "error", "error_description"))
        said.extend(
            f"{detail.get('path')} {detail.get('message')}"
            for detail in body["_embedded"]["errors"]
        )
    words = ": ".join(str(part) for part in said if part) or response.reason
    return (f" ({words})" if words else "") + (f" [reference {reference}]" if reference else "")


def _reason(error):
    """The root of a connection error: what requests wraps around it repeats the URL."""
    if isinstance(error, requests.Timeout):
        return "no answer within request_timeout"
    root = _root(error)
    return f"{type(root).__name__} {root}".strip()


def _root(error):
    while error.__cause__ or error.__context__:
        error = error.__cause__ or error.__context__
    return error
