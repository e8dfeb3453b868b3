"""One HTTP request: how it is sent, and what its response tells beside its content."""

import re
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

import requests

from tap_helpscout.adapter import DeadlineAdapter
from tap_helpscout.clock import ApiClock
from tap_helpscout.config import Config
from tap_helpscout.failures import Failures
from tap_helpscout.proxy import check_proxy
from tap_helpscout.redaction import Redactor
from tap_helpscout.responses import parse_json, parse_limit
from tap_helpscout.throttle import RateLimiter


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
        check_proxy(config.api_url, self._environment["proxies"], self.redactor)
        self._failures = Failures(self.redactor, config.api_url, config.refresh_token is not None)

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
            raise self._failures.refusal(what, response)
        return self._failures.body(what, response, parse or parse_json)

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
                raise self._failures.no_response(what, error) from None
            finally:
                self._seconds += time.monotonic() - began

    def _note(self, response: requests.Response) -> None:
        """What every response tells beside its content."""
        self.clock.observe(response.headers.get("Date"), response.status_code)
        # https://developer.helpscout.com/mailbox-api/overview/rate-limiting
        limit = parse_limit(response.headers.get("X-RateLimit-Limit-Minute"))
        if limit:
            self.limiter.limit = limit
        left = response.headers.get("X-RateLimit-Remaining-Minute", "")
        self.requests_left = int(left) if re.fullmatch("[0-9]{1,9}", left) else None


class _Auth(requests.auth.AuthBase):
    """Puts a token on a request; without one keeps a ~/.netrc from adding its own credentials."""

    def __init__(self, token: str | None) -> None:
        self._token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        if self._token:
            request.headers["Authorization"] = f"Bearer {self._token}"
        return request
