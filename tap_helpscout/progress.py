"""What the log says of a run: what begins, how far a long stream is, and how it all ended."""

import logging
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol, TextIO

import singer

from tap_helpscout.dates import format_datetime
from tap_helpscout.reading.windows import Window

LOGGER = singer.get_logger()

SECONDS_BETWEEN_LINES = 5  # chosen: a log that is read later stays short
SECONDS_BETWEEN_UPDATES = 0.2  # chosen: a line on a terminal that is easy to follow
# Measured: what a row costs in this process, where nothing else holds the run up.
SECONDS_PER_ROW = 0.00015


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
    network = requests * cost.seconds_per_request / cost.concurrency
    return max(network, rows * SECONDS_PER_ROW, cost.seconds_allowed_for(requests))


def in_words(number: int, what: str) -> str:
    """`1 row`, `2 rows`."""
    return f"{number} {what}{'' if number == 1 else 's'}"


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


class StatusLine(logging.Filter):
    """A line at the bottom of a terminal that is written again and again; log lines go above it."""

    def __init__(self, terminal: TextIO) -> None:
        super().__init__()
        self._terminal = terminal
        self._is_shown = False
        for handler in logging.getLogger().handlers:
            handler.addFilter(self)

    def show(self, text: str) -> None:
        """Replaces what the line says."""
        self._terminal.write(f"\r\x1b[K{text}")
        self._terminal.flush()
        self._is_shown = True

    def clear(self) -> None:
        """Removes the line."""
        if self._is_shown:
            self._terminal.write("\r\x1b[K")
            self._terminal.flush()
            self._is_shown = False

    def filter(self, record: logging.LogRecord) -> bool:
        self.clear()
        return True


class Progress:
    """Tells how far a stream is: on a terminal in one line, else in a line now and then."""

    def __init__(self, cost: RequestCost, clock: Callable[[], float] = time.monotonic) -> None:
        self._cost, self._clock = cost, clock
        is_terminal = sys.stderr is not None and sys.stderr.isatty()  # None: it is closed
        self._status = StatusLine(sys.stderr) if is_terminal else None
        self._run_began = clock()
        self._name = ""
        self._range_began = self._silent_until = self._run_began
        self._requests_before = 0
        self._counted: int | None = None
        self._rows = 0

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
        self._range_began, self._silent_until = self._clock(), 0.0
        self._requests_before = self._cost.requests_sent

    def row(self, counted: int | None) -> None:
        """A row of the stream was read; `counted` is how many there are by the API's count."""
        self._rows += 1
        self._counted = counted
        if self._status and self._clock() >= self._silent_until:
            self._silent_until = self._clock() + SECONDS_BETWEEN_UPDATES
            self._status.show(f"{self._name}: {self._how_far()}")

    def window_read(self, window: Window, is_last: bool, counted: int | None) -> None:
        """Everything modified within a window was read: a line for the first and the last, and
        between them one every few seconds; `counted` is as for `row`."""
        self._counted = counted
        if self._status or (self._clock() < self._silent_until and not is_last):
            return
        self._silent_until = self._clock() + SECONDS_BETWEEN_LINES
        LOGGER.info(
            "%s: window %s to %s read; %s",
            self._name,
            format_datetime(window.low),
            format_datetime(window.high),
            self._how_far(),
        )

    def _how_far(self) -> str:
        taken = max(self._clock() - self._range_began, 0.001)
        per_second = f"{self._rows / taken:.0f} rows/s"
        rate = f"{self._cost.rate} requests a minute"
        if self._counted is None:
            return f"{in_words(self._rows, 'row')}, {per_second}; {rate}"
        share = min(self._rows / self._counted, 1) if self._counted else 1
        return (
            f"{self._rows} of {in_words(self._counted, 'row')} ({100 * share:.0f} %), "
            f"{per_second}, {self._time_left(share, taken)} left; {rate}"
        )

    def _time_left(self, share: float, taken: float) -> str:
        if not share:
            return "unknown time"
        factor = (1 - share) / share
        requests = (self._cost.requests_sent - self._requests_before) * factor
        estimate = estimated_seconds(round(requests), round(self._rows * factor), self._cost)
        return duration(max(estimate, taken * factor if taken > SECONDS_BETWEEN_LINES else 0))

    def end(self, results: Iterable[Result]) -> list[Result]:
        """Says of each stream how it ended, and of the run in one line; those that failed."""
        if self._status:
            self._status.clear()
        results = list(results)
        for result in results:
            LOGGER.info(
                "%s: %s", result.name, ", ".join([in_words(result.rows, "row"), *result.notes])
            )
        failed = [result for result in results if result.error]
        for result in failed:
            LOGGER.critical("%s is incomplete: %s", result.name, result.error)
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


def _verdict(failed: list[Result]) -> str:
    if not failed:
        return "complete"
    names = ", ".join(result.name for result in failed)
    return f"incomplete: {names}. The next run begins where they stopped"
