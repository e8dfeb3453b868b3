"""What the streams ask Help Scout through: GETs that are authorised, retried and kept in bounds.

get → retry (the one retry layer) → authorise (a 401 is cured once) → transport → Help Scout
"""

from collections.abc import Callable, Mapping
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import AbstractContextManager
from datetime import datetime
from typing import Any, TypeVar

import singer

from tap_helpscout.auth import Tokens
from tap_helpscout.config import Config
from tap_helpscout.errors import ApiError, RetriableError, UnauthorizedError
from tap_helpscout.heap import share_one_heap
from tap_helpscout.retry import RetryBudget, retry
from tap_helpscout.transport import Transport

LOGGER = singer.get_logger()

# The user whose credentials these are: a small response that every user may read.
CLOCK_PATH = "/v2/users/me"

# our choice: with exponential pauses more than the default retry_seconds has time for
TRIES = 10
# our choice: --check says what fails now, in few requests
CHECK_TRIES = 2

Result = TypeVar("Result")


class SerialExecutor(Executor):
    """Runs each call at once, in the thread that submits it: for one request at a time."""

    def submit(self, fn: Callable[..., Result], /, *args: Any, **kwargs: Any) -> Future[Result]:
        future: Future[Result] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:  # pylint: disable=broad-exception-caught  # as in any executor
            future.set_exception(error)
        return future


class Client:
    """GETs from one account.

    `prefetch_depth` is how many requests to have on their way beside the one whose response is
    used now: 0 where only one at a time is allowed. `tries` is how often a request is sent at most.
    """

    def __init__(
        self, config: Config, transport: Transport, tokens: Tokens, tries: int = TRIES
    ) -> None:
        self.limiter, self.clock = transport.limiter, transport.clock
        self.prefetch_depth = config.concurrency if config.concurrency > 1 else 0
        self.concurrency = config.concurrency
        self._transport, self._tokens, self._tries = transport, tokens, tries
        self._retry_seconds = config.retry_seconds
        self._executor: Executor = (
            ThreadPoolExecutor(config.concurrency) if self.prefetch_depth else SerialExecutor()
        )

    @property
    def requests_sent(self) -> int:
        """How many requests this run has made."""
        return self._transport.requests_sent

    @property
    def requests_left(self) -> int | None:
        """How many requests the account may still make in this minute, None where it is unknown."""
        return self._transport.requests_left

    def credentials(self) -> str:
        """Which grant is used, and until when its token lives, in words."""
        return self._tokens.in_words()

    @property
    def seconds_per_request(self) -> float:
        """How long a response took on average, waiting for the rate limit aside."""
        return self._transport.seconds_per_request

    @property
    def rate(self) -> str:
        """How many requests were sent in the last minute, of how many: "38 of 360"."""
        return self.limiter.progress()

    def seconds_allowed_for(self, requests: int) -> float:
        """How long so many requests take at least, for the rate limit's sake."""
        return self.limiter.seconds_for(requests)

    def get(self, path: str, params: Mapping[str, Any] | None = None, tries: int = TRIES) -> Any:
        """The JSON at a path, after as many tries as it takes, `tries` at most.

        Raises UnauthorizedError, ApiError.
        """
        return self._retried(min(tries, self._tries), self._get_authorised, path, params)

    def submit(self, function: Callable[..., Result], *args: Any) -> Future[Result]:
        """Starts function(*args) in another thread; in this one where only one is allowed."""
        return self._executor.submit(function, *args)

    def run_start(self) -> datetime:
        """The API's own time as the run begins; a small request where no response has told it.

        Raises UnauthorizedError, ApiError.
        """
        self._retried(self._tries, self._tokens.live_token)
        if self.clock.latest is None:
            try:
                self.get(CLOCK_PATH)
            except ApiError:
                # Its response told the time all the same, if there was one.
                if self.clock.latest is None:
                    raise
        assert self.clock.latest is not None
        return self.clock.latest

    def _retried(self, tries: int, function: Callable[..., Result], *args: Any) -> Result:
        budget = RetryBudget(tries, self._retry_seconds)
        return retry(function, *args, budget=budget, before_pause=self._before_pause)

    def _before_pause(self, error: RetriableError, seconds: float) -> None:
        LOGGER.warning("%s; trying again in %.1f s", error, seconds)
        if error.status == 429:  # the account's requests are used up: no other has a chance
            self.limiter.hold(seconds)

    def _get_authorised(self, path: str, params: Mapping[str, Any] | None) -> Any:
        token = self._tokens.live_token()
        try:
            return self._transport.send("GET", path, params=params, token=token)
        except UnauthorizedError:
            if not self._tokens.refuse(token):
                raise
        return self._transport.send("GET", path, params=params, token=self._tokens.live_token())


def open_client(
    config_path: str,
    config: Config,
    dev: bool,
    unbroken: AbstractContextManager[Any],
    tries: int = TRIES,
) -> Client:
    """A client for the account of a config, which sends each request so often at most; what runs
    within `unbroken` no signal ends half-way.

    Raises ConfigError.
    """
    share_one_heap()
    transport = Transport(config)
    return Client(config, transport, Tokens(config_path, config, dev, transport, unbroken), tries)
