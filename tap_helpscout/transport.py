"""One HTTP request: how it is sent, what its response tells, and what each failure is called."""

import http.client
import json
import re
import ssl
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import unquote

import requests
import urllib3
from requests.utils import select_proxy

from tap_helpscout.adapter import DeadlineAdapter, ResponseTooSlow
from tap_helpscout.clock import ApiClock
from tap_helpscout.config import Config
from tap_helpscout.errors import (
    ADVICE,
    ApiError,
    HelpScoutError,
    RetriableError,
    UnauthorizedError,
    credentials_advice,
)
from tap_helpscout.files import ConfigError
from tap_helpscout.redaction import Redactor
from tap_helpscout.responses import (
    body_or_none,
    error_details,
    is_error,
    parse_json,
    parse_limit,
    told_wait,
)
from tap_helpscout.throttle import RateLimiter

# What is wrong with the URL of the API or of a proxy stays wrong.
LASTING = (requests.exceptions.InvalidURL, requests.exceptions.InvalidSchema)

# documented: 429 (https://developer.helpscout.com/mailbox-api/overview/rate-limiting);
# by HTTP: the server waited too long for the request, which was not lost by being slow
RETRIABLE_STATUSES = (408, 429)

# Our choice: enough for the longest message with its details, and not for a page of HTML
LONGEST_WORDS = 1000

# What a failed request may be raised from.
NETWORK_ERRORS = (OSError, http.client.HTTPException, urllib3.exceptions.HTTPError)

# Our choice: a shorter one is part of many words, and to hide it in these would show it
SHORTEST_PASSWORD = 4


class Transport:
    """Sends requests to one account, at most `concurrency` of them at once, none oftener than the
    rate limiter allows, and none twice."""

    def __init__(self, config: Config) -> None:
        self.limiter = RateLimiter(config.rate_limit_share)
        self.clock = ApiClock()
        self.redactor = Redactor()
        self.redactor.add(config.client_secret, config.refresh_token, config.access_token)
        self._config = config
        self.requests_left: int | None = None  # in this minute, of the whole account
        self._seconds = 0.0  # that all requests together took
        self._slots = threading.BoundedSemaphore(config.concurrency)
        self._session = requests.Session()
        self._session.headers.update(
            {"User-Agent": config.user_agent, "Accept": "application/hal+json, application/json"}
        )
        self._session.mount(config.api_url, DeadlineAdapter(pool_maxsize=config.concurrency))
        # Proxies and private CAs come from the environment, which does not change meanwhile.
        self._environment: dict[str, Any] = dict(
            self._session.merge_environment_settings(config.api_url, {}, None, None, None)
        )
        self._check_proxy()

    @property
    def requests_sent(self) -> int:
        """How many requests this run has made."""
        return self.limiter.total

    @property
    def seconds_per_request(self) -> float:
        """How long it took on average until a response was there."""
        return self._seconds / max(self.requests_sent, 1)

    def send(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, Any] | None = None,
        data: Mapping[str, str] | None = None,
        token: str | None = None,
        parse: Callable[[bytes], Any] | None = None,
    ) -> Any:
        """Sends one request; the JSON of its response, as `parse` reads it.

        Raises UnauthorizedError where the token is refused, else ApiError or RetriableError.
        """
        what = f"{method} {path}"
        response = self._exchange(
            what,
            self._session.prepare_request(
                requests.Request(
                    method, self._config.api_url + path, params=params, data=data, auth=_Auth(token)
                )
            ),
        )
        self._note(response)
        if response.status_code != 200:
            raise self._refusal(what, response)
        return self._body(what, response, parse or parse_json)

    def _exchange(self, what: str, request: requests.PreparedRequest) -> requests.Response:
        """The whole response to a request that is sent as soon as it may be."""
        with self._slots:
            self.limiter.wait()
            began = time.monotonic()
            try:
                return self._session.send(
                    request,
                    timeout=self._config.request_timeout,
                    allow_redirects=False,
                    **self._environment,
                )
            # requests' own errors are OSErrors, as is a CA bundle that cannot be read; a host that
            # cannot be looked up is a ValueError
            except (OSError, ValueError) as error:
                raise self._failure(what, error) from None
            finally:
                self._seconds += time.monotonic() - began

    def _failure(self, what: str, error: Exception) -> ApiError:
        """What is raised where there is no whole response."""
        is_lasting = (
            not isinstance(error, requests.RequestException)
            or isinstance(error, LASTING)
            or isinstance(_root(error), ssl.SSLCertVerificationError)
        )
        reason = self.redactor.clean(_reason(error))
        kind = ApiError if is_lasting else RetriableError
        return kind(f"{what} failed: {reason} (at {self._config.api_url})")

    def _note(self, response: requests.Response) -> None:
        """What every response tells beside its content."""
        self.clock.observe(response.headers.get("Date"), response.status_code)
        # https://developer.helpscout.com/mailbox-api/overview/rate-limiting
        limit = parse_limit(response.headers.get("X-RateLimit-Limit-Minute"))
        if limit:
            self.limiter.limit = limit
        left = response.headers.get("X-RateLimit-Remaining-Minute", "")
        self.requests_left = int(left) if re.fullmatch("[0-9]{1,9}", left) else None

    def _refusal(self, what: str, response: requests.Response) -> HelpScoutError:
        """What is raised for a response that is not 200.

        https://developer.helpscout.com/mailbox-api/overview/errors
        """
        status = response.status_code
        body = body_or_none(response)
        said = self._said(body) or self.redactor.clean(response.reason or "")[:LONGEST_WORDS]
        kind: type[HelpScoutError] = ApiError
        wait, advice = None, ADVICE.get(status, "")
        if status in RETRIABLE_STATUSES or status >= 500:
            kind, wait = RetriableError, told_wait(response)
        elif status == 401:
            kind = UnauthorizedError
            advice = credentials_advice(self._config.refresh_token is not None)
        reference = self._reference(response, body)
        return kind(f"{what} answered {status}", status, wait, advice, said, reference)

    def _body(self, what: str, response: requests.Response, parse: Callable[[bytes], Any]) -> Any:
        try:
            body = parse(response.content)
        except (json.JSONDecodeError, UnicodeDecodeError):
            raise RetriableError(
                f"{what} answered 200 with something that is not JSON", 200
            ) from None
        except RecursionError:
            raise ApiError(
                f"{what} answered 200 with JSON that is nested too deeply", 200
            ) from None
        except ValueError as error:
            reason = self.redactor.clean(error)
            raise ApiError(f"{what} answered 200 with unusable JSON: {reason}", 200) from None
        if is_error(body):
            raise RetriableError(
                f"{what} answered 200 with an error",
                200,
                said=self._said(body),
                reference=self._reference(response, body),
            )
        return body

    def _said(self, body: Any) -> str:
        """What the API says of an error.

        https://developer.helpscout.com/mailbox-api/overview/errors
        """
        if not isinstance(body, dict):
            return ""
        parts = [body.get(key) for key in ("message", "error", "error_description")]
        words = ": ".join(str(part) for part in parts + error_details(body) if part)
        return self.redactor.clean(words)[:LONGEST_WORDS]

    def _reference(self, response: requests.Response, body: Any) -> str:
        """By what Help Scout's support can find an error."""
        reference = response.headers.get("Correlation-Id")
        if isinstance(body, dict):
            reference = body.get("logRef") or reference
        return self.redactor.clean(reference or "")[:LONGEST_WORDS]

    def _check_proxy(self) -> None:
        """Raises ConfigError for a proxy's URL that cannot be used, for what then fails repeats
        parts of it, with the password in them."""
        proxy = select_proxy(self._config.api_url, self._environment["proxies"])
        if not proxy:
            return
        user_info = proxy.rpartition("@")[0].rpartition("//")[2]
        password = user_info.partition(":")[2]
        self.redactor.add(user_info, unquote(user_info))
        if len(password) >= SHORTEST_PASSWORD:
            self.redactor.add(password, unquote(password))
        try:
            url = proxy if "//" in proxy else f"http://{proxy}"
            is_usable = bool(urllib3.util.parse_url(url).host) and not re.search(r"\s", url)
        except (TypeError, ValueError, urllib3.exceptions.HTTPError):
            is_usable = False
        if not is_usable:
            raise ConfigError(
                "the proxy URL in the environment (HTTPS_PROXY or ALL_PROXY) cannot be used: it "
                "must look like http://host:port or http://user:password@host:port, with special "
                "characters of the password percent-encoded"
            )


class _Auth(requests.auth.AuthBase):
    """Puts a token on a request; without one keeps a ~/.netrc from adding its own credentials."""

    def __init__(self, token: str | None) -> None:
        self._token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        if self._token:
            request.headers["Authorization"] = f"Bearer {self._token}"
        return request


def _reason(error: BaseException) -> str:
    """The root of a connection error: what requests wraps around it repeats the URL."""
    root = _root(error)
    if isinstance(root, ResponseTooSlow):
        return str(root)
    if isinstance(error, requests.Timeout):
        return "no answer within request_timeout"
    return f"{type(root).__name__} {root}".strip()


def _root(error: BaseException) -> BaseException:
    """What a network error was raised from in the end. An error that was merely being handled when
    it was raised is no cause of it."""
    cause = error.__cause__ or error.__context__
    while isinstance(cause, NETWORK_ERRORS):
        error, cause = cause, cause.__cause__ or cause.__context__
    return error
