"""What the log says of a run: what begins, how far a long stream is, and how it all ended."""

import logging
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol

import singer

from tap_helpscout.dates import format_datetime
from tap_helpscout.reading.windows import Window
from tap_helpscout.terminal import StatusLine
from tap_helpscout.words import in_words

LOGGER = singer.get_logger()

SECONDS_BETWEEN_LINES = 5  # our choice: a log that is read later stays short
LONGEST_SILENCE = 30  # seconds; our choice: what says nothing for longer looks like a standstill
SECONDS_BETWEEN_UPDATES = 0.2  # our choice: a line on a terminal that is easy to follow
# Measured: what a row costs in this process, where nothing else holds the run up.
SECONDS_PER_ROW = 0.00015
# Measured: how much of the time a connection waits for a response, and not for what is to be asked.
USED_SHARE = 0.75


class RequestCost(Protocol):
    """What is known of the requests of a run; the client has it."""

    concurrency: int

    @property
    def requests_sent(self) -> int:
        """How many requests this run has made."""

    @property
    def seconds_per_request(self) -> float:
        """How long a response took on average, waiting for the rate limit aside."""

    @property
    def rate(self) -> str:
        """How many requests were sent in the last minute, of how many that may be."""

    def seconds_allowed_for(self, requests: int) -> float:
        """How long so many requests take at least, for the rate limit's sake."""


def estimated_seconds(requests: int, rows: int, cost: RequestCost) -> float:
    """How long so many requests and rows will take: what the log and `--check` say."""
    network = requests * cost.seconds_per_request / (cost.concurrency * USED_SHARE)
    return max(network, rows * SECONDS_PER_ROW, cost.seconds_allowed_for(requests))


def duration(seconds: float) -> str:
    """`0:04:12`."""
    return str(timedelta(seconds=round(seconds)))


@dataclass
class Result:
    """How one selected stream ended."""

    name: str
    rows: int
    notes: list[str]
    error: str | None


class Progress:
    """Tells how far a stream is: on a terminal in one line, else in a line now and then."""

    def __init__(
        self,
        cost: RequestCost,
        clock: Callable[[], float] = time.monotonic,
        status: StatusLine | None = None,
    ) -> None:
        self._cost, self._clock, self._status = cost, clock, status
        self._run_began = clock()
        self._name = ""
        self._began = self._said = self._run_began
        self._requests_before = 0
        self._counted: int | None = None
        self._rows = 0
        self._has_read_window = False

    def begin_stream(self, name: str) -> None:
        """A list is about to be read whole."""
        self._begin(name)
        LOGGER.info("%s: reading", name)

    def begin_range(self, name: str, window: Window) -> None:
        """A range of modification time is about to be read."""
        self._begin(name)
        LOGGER.info(
            "%s: reading what changed from %s to %s",
            name,
            format_datetime(window.low),
            format_datetime(window.high),
        )

    def _begin(self, name: str) -> None:
        self._name, self._rows, self._counted = name, 0, None
        self._began, self._said = self._clock(), self._clock()
        self._requests_before = self._cost.requests_sent
        self._has_read_window = False
        if self._status:
            self._status.show(f"{name}: reading")

    def row(self, counted: int | None) -> None:
        """A row of the stream was read; `counted` is how many there are by the API's count."""
        self._rows += 1
        self._counted = counted
        interval = SECONDS_BETWEEN_UPDATES if self._status else LONGEST_SILENCE
        if self._clock() < self._said + interval:
            return
        self._said = self._clock()
        if self._status:
            self._status.show(f"{self._name}: {self._how_far_in_short()}")
        else:
            LOGGER.info("%s: %s", self._name, self._how_far())

    def window_read(self, window: Window, is_last: bool, counted: int | None = None) -> None:
        """Everything modified within a window was read: a line for the first and the last, and
        between them one every few seconds; `counted` is as for `row`."""
        self._counted = self._counted if counted is None else counted
        is_due = self._clock() >= self._said + SECONDS_BETWEEN_LINES
        if self._status or not (is_due or is_last or not self._has_read_window):
            return
        self._said, self._has_read_window = self._clock(), True
        LOGGER.info(
            "%s: window %s to %s read; %s",
            self._name,
            format_datetime(window.low),
            format_datetime(window.high),
            self._how_far(),
        )

    def _how_far(self) -> str:
        per_second = f"{in_words(round(self._rows / self._taken), 'row')}/s"
        rate = f"{self._cost.rate} requests a minute"
        if self._counted is None:
            return f"{in_words(self._rows, 'row')}, {per_second}; {rate}"
        return (
            f"{self._rows} of {in_words(self._counted, 'row')} ({100 * self._share:.0f} %), "
            f"{per_second}, {self._time_left()} left; {rate}"
        )

    def _how_far_in_short(self) -> str:
        """The same, of an account of usual size in 79 characters."""
        per_second = f"{self._rows / self._taken:.0f}/s"
        rate = f"{self._cost.rate} req/min"
        if self._counted is None:
            return f"{in_words(self._rows, 'row')}, {per_second}, {rate}"
        return (
            f"{self._rows}/{in_words(self._counted, 'row')}, {100 * self._share:.0f} %, "
            f"{per_second}, {self._time_left()} left, {rate}"
        )

    @property
    def _taken(self) -> float:
        return max(self._clock() - self._began, 0.001)

    @property
    def _share(self) -> float:
        return min(self._rows / self._counted, 1) if self._counted else 1

    def _time_left(self) -> str:
        if not self._share:
            return "unknown time"
        factor = (1 - self._share) / self._share
        requests = (self._cost.requests_sent - self._requests_before) * factor
        estimate = estimated_seconds(round(requests), round(self._rows * factor), self._cost)
        # At first it is the connection, and what is asked before the first row, that takes time.
        so_far = self._taken * factor if self._taken > SECONDS_BETWEEN_LINES else 0
        return duration(max(estimate, so_far))

    def stream_failed(self, name: str, status: int | None) -> None:
        """Says at once that a stream failed; why, the end of the log says."""
        why = f" (status {status})" if status else ""
        LOGGER.error("%s failed%s: the last lines of the log will say why", name, why)

    def break_off(self, results: Iterable[Result]) -> None:
        """The run ends before its time: says which streams failed before."""
        self._clear()
        _tell_failures(results)

    def end(self, results: Iterable[Result]) -> list[Result]:
        """Says of each stream how it ended, and of the run in one line; those that failed."""
        self._clear()
        results = list(results)
        for result in results:
            LOGGER.info(
                "%s: %s", result.name, ", ".join([in_words(result.rows, "row"), *result.notes])
            )
        failed = _tell_failures(results)
        LOGGER.log(
            logging.CRITICAL if failed else logging.INFO,
            "done in %s: %s of %s, %s, %s",
            duration(self._clock() - self._run_began),
            in_words(sum(result.rows for result in results), "row"),
            in_words(len(results), "stream"),
            in_words(self._cost.requests_sent, "request"),
            _verdict(failed),
        )
        return failed

    def _clear(self) -> None:
        if self._status:
            self._status.show("")


def _tell_failures(results: Iterable[Result]) -> list[Result]:
    failed = [result for result in results if result.error]
    for result in failed:
        LOGGER.critical("%s is incomplete: %s", result.name, result.error)
    return failed


def _verdict(failed: list[Result]) -> str:
    if not failed:
        return "complete"
    names = ", ".join(result.name for result in failed)
    return f"incomplete: {names}. The next run begins where they stopped"
