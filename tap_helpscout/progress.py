"""What the log says while a run goes on: what begins, how far a long stream is, that it ends."""

import logging
import threading
import time
from collections.abc import Callable, Iterable

import singer

from tap_helpscout.dates import format_datetime
from tap_helpscout.estimate import RequestCost, RequestsFor, duration, estimated_seconds
from tap_helpscout.reading.batches import Window
from tap_helpscout.results import Result, tell_failures, verdict
from tap_helpscout.terminal import StatusLine
from tap_helpscout.words import in_words

LOGGER = singer.get_logger()

SECONDS_BETWEEN_LINES = 5  # our choice: a log that is read later stays short
LONGEST_SILENCE = 30  # seconds; our choice: what says nothing for longer looks like a standstill
SECONDS_BETWEEN_UPDATES = 0.2  # our choice: a line on a terminal that is easy to follow


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
        self._requests_for: RequestsFor | None = None
        self._counted: int | None = None
        self._counted_before = 0
        self._rows = 0
        self._has_read_window = False
        self._children_begun: set[str] = set()
        self._lock = threading.Lock()

    def begin_tree(self, name: str) -> None:
        """A stream and what hangs on it are about to be read."""
        self._begin(name)

    def begin_stream(self, name: str, days: int | None = None) -> None:
        """A list is about to be read whole; `days`: of so many days, with a request and, as a rule,
        a row each."""
        self._begin(name, float if days else None)
        self._counted = days
        LOGGER.info("%s: reading%s", name, f" {in_words(days, 'day')}" if days else "")

    def begin_child(self, name: str, parent: str) -> None:
        """What hangs on a row is about to be read: said once of each stream."""
        if name not in self._children_begun:
            self._children_begun.add(name)
            LOGGER.info("%s: reading, below each row of %s", name, parent)

    def begin_range(
        self, name: str, window: Window, requests_for: RequestsFor, counted: int | None = None
    ) -> None:
        """A range of modification time is about to be read; `counted` is how many rows the API has
        counted in the stream's ranges before."""
        self._begin(name, requests_for, counted or 0)
        LOGGER.info(
            "%s: reading what changed from %s to %s",
            name,
            format_datetime(window.low),
            format_datetime(window.high),
        )

    def _begin(
        self, name: str, requests_for: RequestsFor | None = None, counted_before: int = 0
    ) -> None:
        with self._lock:
            self._name, self._rows, self._counted = name, 0, None
            self._counted_before = counted_before
            self._began, self._said = self._clock(), self._clock()
            self._requests_before = self._cost.requests_sent
            self._requests_for = requests_for
            self._has_read_window = False
        if self._status:
            self._status.show(f"{name}: reading")

    def row(self, counted: int | None) -> None:
        """A row of the stream was read; `counted` is how many there are by the API's count, in all
        ranges so far."""
        self._rows += 1
        if counted is not None:
            self._counted = counted - self._counted_before
        self.say_if_due()

    def say_if_due(self) -> None:
        """Says how far the stream is if nothing was said of it for long. It is called for each row
        and each request, from any thread: rows may be long in coming, as after probes, or where
        the rate limit puts the requests far apart."""
        if not self._is_due():
            return
        with self._lock:
            if not self._name or not self._is_due():
                return
            self._said = self._clock()
            if self._status:
                self._status.show(f"{self._name}: {self._how_far_in_short()}")
            else:
                LOGGER.info("%s: %s", self._name, self._how_far())

    def _is_due(self) -> bool:
        interval = SECONDS_BETWEEN_UPDATES if self._status else LONGEST_SILENCE
        return self._clock() >= self._said + interval

    def window_read(self, window: Window, is_last: bool, counted: int | None = None) -> None:
        """Everything modified within a window was read: a line for the first and the last, and
        between them one every few seconds; `counted` is as for `row`."""
        if counted is not None:
            self._counted = counted - self._counted_before
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
        rows, counted = self._rows, self._counted  # of one moment: they may change meanwhile
        per_second = f"{in_words(round(rows / self._taken), 'row')}/s"
        rate = f"{self._cost.rate} requests a minute"
        if counted is None:
            return f"{in_words(rows, 'row')}, {per_second}; {rate}"
        return (
            f"{rows} of {in_words(counted, 'row')} ({_percent(rows, counted)}), "
            f"{per_second}, {self._time_left(rows, counted)} left; {rate}"
        )

    def _how_far_in_short(self) -> str:
        """The same, of an account of usual size in 79 characters."""
        rows, counted = self._rows, self._counted
        per_second = f"{rows / self._taken:.0f}/s"
        rate = f"{self._cost.rate} req/min"
        if counted is None:
            return f"{in_words(rows, 'row')}, {per_second}, {rate}"
        return (
            f"{rows}/{in_words(counted, 'row')}, {_percent(rows, counted)}, "
            f"{per_second}, {self._time_left(rows, counted)} left, {rate}"
        )

    @property
    def _taken(self) -> float:
        return max(self._clock() - self._began, 0.001)

    def _time_left(self, rows: int, counted: int) -> str:
        """By the requests that are left. What was asked for so far is more than these rows took:
        there were probes, and requests for later rows are on their way. So it tells how many more
        there will be only where nothing else does, and else how long each of them takes."""
        left = max(counted - rows, 0)
        sent = self._cost.requests_sent - self._requests_before
        requests = self._requests_for(left) if self._requests_for else sent * left / max(rows, 1)
        seconds = estimated_seconds(round(requests), left, self._cost)
        # At first it is the connection that takes time.
        if sent and self._taken > SECONDS_BETWEEN_LINES:
            seconds = max(seconds, self._taken / sent * requests)
        return duration(seconds)

    def stream_failed(self, name: str, status: int | None) -> None:
        """Says at once that a stream failed; why, the end of the log says."""
        why = f" (status {status})" if status else ""
        LOGGER.error("%s failed%s: the last lines of the log will say why", name, why)

    def break_off(self, results: Iterable[Result]) -> None:
        """The run ends before its time: says which streams failed before."""
        self._end_tree()
        tell_failures(results)

    def end(self, results: Iterable[Result]) -> list[Result]:
        """Says of each stream how it ended, and of the run in one line; those that failed."""
        self._end_tree()
        results = list(results)
        for result in results:
            LOGGER.info(
                "%s: %s", result.name, ", ".join([in_words(result.rows, "row"), *result.notes])
            )
        failed = tell_failures(results)
        LOGGER.log(
            logging.CRITICAL if failed else logging.INFO,
            "done in %s: %s of %s, %s, %s",
            duration(self._clock() - self._run_began),
            in_words(sum(result.rows for result in results), "row"),
            in_words(len(results), "stream"),
            in_words(self._cost.requests_sent, "request"),
            verdict(failed),
        )
        return failed

    def _end_tree(self) -> None:
        """From now on nothing is said of a stream: requests may still be on their way."""
        with self._lock:
            self._name = ""
        if self._status:
            self._status.show("")


def _percent(rows: int, counted: int) -> str:
    return f"{min(100 * rows / counted, 100) if counted else 100:.0f} %"
