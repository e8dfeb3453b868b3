"""The one retry layer: what may pass is tried again, within limits."""

import random
import time
from collections.abc import Callable, Generator
from functools import partial
from typing import Any, TypeVar

import backoff
from backoff.types import Details

from tap_helpscout.errors import RetriableError

Result = TypeVar("Result")

# our choice: after some tries it is the outage that lasts, and asking more often is of no help
LONGEST_PAUSE = 60  # seconds

# our choice: longer than any window of a rate limit, and not longer than a night has time for
LONGEST_WAITS = 3600  # seconds that one request waits in all because responses say so

# our choice: a response may say to wait for 0 seconds, over and over
MOST_WAITS = 60


class RetryBudget:
    """How often, and for how long, one request may be tried again.

    A request has `tries` tries within `seconds` from its first failure. Where the response says how
    long to wait, that is done, costs no try and none of the time, up to LONGEST_WAITS in all; after
    that, or where it says nothing, pauses are exponential with jitter.
    """

    def __init__(
        self, tries: int, seconds: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._tries, self._seconds, self._clock = tries, seconds, clock
        self._failures = self._told_waits = 0
        self._told_seconds = 0.0
        self._deadline: float | None = None  # known from the first failure on

    def pause_after(self, error: RetriableError) -> float | None:
        """The seconds to wait before the next try; None where there is to be none."""
        if self._deadline is None:
            self._deadline = self._clock() + self._seconds
        if error.wait is not None and self._may_wait(error.wait):
            self._told_waits += 1
            self._told_seconds += error.wait
            # A little later than told, and not all workers in the same moment.
            pause = error.wait + random.uniform(0.1, 0.5)
            self._deadline += pause
            return pause
        pause = min(2.0**self._failures, LONGEST_PAUSE) * random.uniform(0.5, 1)
        self._failures += 1
        if self._failures >= self._tries or self._clock() + pause > self._deadline:
            return None
        return pause

    def _may_wait(self, seconds: float) -> bool:
        return self._told_waits < MOST_WAITS and self._told_seconds + seconds <= LONGEST_WAITS


def retry(
    function: Callable[..., Result],
    *args: Any,
    budget: RetryBudget,
    before_pause: Callable[[RetriableError, float], None],
) -> Result:
    """Calls function(*args) until it raises no RetriableError, as often as the budget allows;
    before_pause(error, seconds) is called before each pause. Raises what was raised last."""

    def on_backoff(details: Details) -> None:
        before_pause(details["exception"], details["wait"])  # type: ignore[typeddict-item]

    retried = backoff.on_exception(
        partial(_pauses, budget), RetriableError, jitter=None, logger=None, on_backoff=on_backoff
    )(function)
    result: Result = retried(*args)
    return result


def _pauses(budget: RetryBudget) -> Generator[float, Any, None]:
    """In the form in which backoff asks for it: it sends each error, and gets the pause."""
    error = yield 0.0  # nobody looks at the first, which only starts the generator
    while (pause := budget.pause_after(error)) is not None:
        error = yield pause
