"""What the log says of a run, on a clock that only the tests move."""

import io
import logging
import re
from datetime import datetime, timezone

import pytest

from tap_helpscout.estimate import USED_SHARE, duration, estimated_seconds
from tap_helpscout.progress import Progress
from tap_helpscout.reading.batches import Window
from tap_helpscout.results import Result
from tap_helpscout.terminal import ERASE_LINE, StatusLine
from tap_helpscout.words import in_words, is_or_are

WINDOW = Window(
    datetime(2026, 1, 1, tzinfo=timezone.utc), datetime(2026, 1, 19, 4, 11, 9, tzinfo=timezone.utc)
)
READ = "conversations: window 2026-01-01T00:00:00Z to 2026-01-19T04:11:09Z read; "


class Cost:
    """A run's requests, as a client tells of them."""

    def __init__(self, allowed=360, seconds_per_request=0.0, concurrency=4):
        self.allowed, self.concurrency = allowed, concurrency
        self.requests_sent, self.seconds_per_request = 0, seconds_per_request

    @property
    def rate(self):
        return f"{self.requests_sent} of {self.allowed}"

    def seconds_allowed_for(self, requests):
        at_once = max(0, self.allowed // 2 - self.requests_sent)
        return 60 * requests / self.allowed if requests > at_once else 0


def requests_for(number):
    """Of a list with ten rows a page."""
    return number / 10


class Clock:
    """Time that passes when a test says so."""

    now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture(name="clock")
def _clock():
    return Clock()


@pytest.fixture(name="cost")
def _cost():
    return Cost()


@pytest.fixture(name="progress")
def _progress(cost, clock, caplog):
    caplog.set_level(logging.INFO)
    return Progress(cost, clock)


@pytest.fixture(name="terminal")
def _terminal():
    return io.StringIO()


@pytest.fixture(name="watched")
def _watched(cost, clock, terminal):
    """A progress that is shown on a terminal."""
    return Progress(cost, clock, StatusLine(terminal))


def said(caplog):
    """The lines since the last time."""
    lines = [f"{record.levelname} {record.getMessage()}" for record in caplog.records]
    caplog.clear()
    return lines


def rows(progress, clock, number, seconds=0.0, counted=None):
    """So many rows are read, each in so many seconds."""
    for _ in range(number):
        clock.now += seconds
        progress.row(counted)


# -- how long it takes -------------------------------------------------------------------------


def test_the_network_bounds_an_estimate():
    for concurrency, seconds in ((4, 10), (1, 40)):
        cost = Cost(10_000, seconds_per_request=0.4, concurrency=concurrency)
        assert estimated_seconds(100, 0, cost) == pytest.approx(seconds / USED_SHARE)


def test_the_rate_limit_bounds_an_estimate():
    """The 60 silent seconds that were said to be two."""
    assert 55 < estimated_seconds(60, 0, Cost(60, seconds_per_request=0.1)) < 65
    assert 590 < estimated_seconds(600, 0, Cost(60, seconds_per_request=0.1)) < 610


def test_the_rows_bound_an_estimate():
    assert estimated_seconds(0, 100_000, Cost()) == pytest.approx(15)


def time_left(line):
    """The seconds that a line says are left."""
    hours, minutes, seconds = re.search(r"(\d+):(\d\d):(\d\d) left", line).groups()
    return 3600 * int(hours) + 60 * int(minutes) + int(seconds)


def test_the_time_left_knows_the_limit(progress, clock, cost, caplog):
    cost.allowed = 60
    progress.begin_range("conversations", WINDOW, requests_for)
    cost.requests_sent = 10
    rows(progress, clock, 100, 0.001, counted=1000)
    progress.window_read(WINDOW, is_last=False, counted=1000)
    *_, line = said(caplog)
    assert "100 of 1000 rows (10 %)" in line and "10 of 60 requests a minute" in line
    assert 80 < time_left(line) < 100  # 90 more requests


def test_of_a_report_of_days_the_days_are_what_is_to_come(progress, clock, cost, caplog):
    cost.allowed = 60
    progress.begin_stream("company_report", days=400)
    cost.requests_sent = 101
    rows(progress, clock, 100, 1)
    begun, line, *_ = said(caplog)
    assert begun == "INFO company_report: reading 400 days"
    assert "company_report: 30 of 400 rows (8 %), 1 row/s, " in line
    assert time_left(line) == pytest.approx(370, rel=0.1)


@pytest.mark.parametrize("allowed, seconds", [(60, 100), (360, 6)])
def test_the_first_row_tells_the_time_left_whatever_was_asked_before_it(
    progress, clock, cost, caplog, allowed, seconds
):
    """Twenty requests before the first row are not twenty a row."""
    cost.allowed, cost.seconds_per_request = allowed, 0.2
    progress.begin_range("conversations", WINDOW, requests_for)
    cost.requests_sent = 20
    rows(progress, clock, 1, 2, counted=1000)
    progress.window_read(WINDOW, is_last=False, counted=1000)
    assert time_left(said(caplog)[-1]) == pytest.approx(seconds, rel=0.3)


def test_without_another_way_the_requests_so_far_tell(progress, clock, cost, caplog):
    cost.allowed = 60
    progress.begin_stream("organizations")
    cost.requests_sent = 51
    rows(progress, clock, 50, counted=None)
    rows(progress, clock, 1, 30, counted=200)
    assert 140 < time_left(said(caplog)[-1]) < 155  # a request a row


def test_what_took_long_so_far_goes_on_so(progress, clock, cost, caplog):
    progress.begin_range("conversations", WINDOW, requests_for)
    cost.requests_sent = 10
    rows(progress, clock, 100, 1, counted=200)
    said(caplog)
    progress.window_read(WINDOW, is_last=True, counted=200)
    assert "0:01:40 left" in said(caplog)[-1]


def test_without_a_row_or_a_count_no_time_is_said(progress, clock, caplog):
    progress.begin_range("conversations", WINDOW, requests_for)
    clock.now += 2
    progress.window_read(WINDOW, is_last=True, counted=None)
    rows(progress, clock, 3, counted=None)
    progress.window_read(WINDOW, is_last=True, counted=None)
    assert said(caplog)[1:] == [
        f"INFO {READ}0 rows, 0 rows/s; 0 of 360 requests a minute",
        f"INFO {READ}3 rows, 2 rows/s; 0 of 360 requests a minute",
    ]


def test_what_was_counted_in_an_earlier_range_is_not_of_this_one(progress, clock, caplog):
    progress.begin_range("conversations", WINDOW, requests_for, counted=100)
    rows(progress, clock, 1, 30, counted=300)
    assert "1 of 200 rows (0 %)" in said(caplog)[-1]
    progress.window_read(WINDOW, is_last=True, counted=300)
    assert "1 of 200 rows (0 %)" in said(caplog)[-1]


def test_more_rows_than_were_counted_are_all_of_them(progress, clock, caplog):
    progress.begin_range("conversations", WINDOW, requests_for)
    rows(progress, clock, 12, 1, counted=10)
    progress.window_read(WINDOW, is_last=True, counted=10)
    assert "12 of 10 rows (100 %), 1 row/s, 0:00:00 left" in said(caplog)[-1]


# -- in a file ---------------------------------------------------------------------------------


def test_every_stream_says_that_it_begins(progress, caplog):
    progress.begin_stream("users")
    progress.begin_range("conversations", WINDOW, requests_for)
    for _ in range(3):
        progress.begin_child("conversation_threads", "conversations")
    assert said(caplog) == [
        "INFO users: reading",
        "INFO conversations: reading what changed from 2026-01-01T00:00:00Z "
        "to 2026-01-19T04:11:09Z",
        "INFO conversation_threads: reading, below each row of conversations",
    ]


def test_the_first_and_the_last_window_are_told_and_between_them_one_every_few_seconds(
    progress, clock, caplog
):
    progress.begin_range("conversations", WINDOW, requests_for)
    told = []
    for second in range(14):
        clock.now = second
        said(caplog)
        progress.window_read(WINDOW, is_last=second == 13, counted=None)
        told += [second] if said(caplog) else []
    assert told == [0, 5, 10, 13]


def test_no_stream_is_silent_for_long(progress, clock, caplog):
    progress.begin_stream("teams")
    said(caplog)
    rows(progress, clock, 29, 1)
    assert said(caplog) == []
    rows(progress, clock, 1, 1)
    assert said(caplog) == ["INFO teams: 30 rows, 1 row/s; 0 of 360 requests a minute"]
    rows(progress, clock, 29, 1)
    assert said(caplog) == []


def test_where_no_row_comes_nothing_is_silent_for_long_either(progress, clock, cost, caplog):
    progress.say_if_due()
    progress.begin_tree("teams")
    told = []
    for second in range(100):
        clock.now, cost.requests_sent = second, second // 3
        progress.say_if_due()
        told += [(second, line) for line in said(caplog)]
    assert told == [
        (30, "INFO teams: 0 rows, 0 rows/s; 10 of 360 requests a minute"),
        (60, "INFO teams: 0 rows, 0 rows/s; 20 of 360 requests a minute"),
        (90, "INFO teams: 0 rows, 0 rows/s; 30 of 360 requests a minute"),
    ]


@pytest.mark.parametrize("end", ["end", "break_off"])
def test_before_and_after_all_streams_there_is_nothing_to_say(watched, clock, terminal, end):
    clock.now = 100
    watched.say_if_due()
    assert not shown(terminal)
    watched.begin_tree("teams")
    getattr(watched, end)([])
    clock.now = 200
    watched.say_if_due()
    assert shown(terminal) == ["teams: reading", ""]


def test_one_row_is_one_row():
    assert [in_words(number, "row") for number in (0, 1, 2)] == ["0 rows", "1 row", "2 rows"]
    assert in_words(2, "inbox", "inboxes") == "2 inboxes"
    assert [is_or_are(number) for number in (0, 1, 2)] == ["are", "is", "are"]


@pytest.mark.parametrize("seconds, words", [(0.4, "0:00:00"), (252, "0:04:12"), (9000, "2:30:00")])
def test_durations(seconds, words):
    assert duration(seconds) == words


# -- at the end --------------------------------------------------------------------------------


def test_one_line_tells_it_all(progress, clock, cost, caplog):
    clock.now, cost.requests_sent = 252, 2311
    failed = progress.end(
        [Result("conversations", 57213, ["read 3 of the 3"], None), Result("users", 1, [], None)]
    )
    assert not failed
    assert said(caplog) == [
        "INFO conversations: 57213 rows, read 3 of the 3",
        "INFO users: 1 row",
        "INFO done in 0:04:12: 57214 rows of 2 streams, 2311 requests, complete",
    ]


def test_what_failed_is_told_once_with_its_words_and_then_named(progress, cost, caplog):
    cost.requests_sent = 1
    bad = Result("users", 0, ["incomplete"], "GET /v2/users answered 400")
    assert progress.end([bad, Result("teams", 3, [], None)]) == [bad]
    assert said(caplog) == [
        "INFO users: 0 rows, incomplete",
        "INFO teams: 3 rows",
        "CRITICAL users is incomplete: GET /v2/users answered 400",
        "CRITICAL done in 0:00:00: 3 rows of 2 streams, 1 request, incomplete: users. "
        "The next run begins where it stopped",
    ]


def test_a_run_that_breaks_off_tells_what_failed_before(progress, caplog):
    progress.break_off([Result("users", 0, [], "it failed"), Result("teams", 3, [], None)])
    assert said(caplog) == ["CRITICAL users is incomplete: it failed"]


@pytest.mark.parametrize("status, words", [(403, "failed (status 403):"), (None, "failed:")])
def test_that_a_stream_failed_is_said_at_once(progress, caplog, status, words):
    progress.stream_failed("users", status)
    assert said(caplog) == [f"ERROR users {words} the last lines of the log will say why"]


# -- on a terminal -----------------------------------------------------------------------------


def shown(terminal):
    """What the status line said, one after the other."""
    return terminal.getvalue().split(ERASE_LINE)[1:]


def test_one_line_is_written_again_and_again(watched, clock, cost, terminal, caplog):
    caplog.set_level(logging.INFO)
    watched.begin_range("conversations", WINDOW, requests_for)
    cost.requests_sent = 38
    rows(watched, clock, 1, 0.3, counted=600)
    rows(watched, clock, 9, 0.01, counted=600)  # too soon to be shown
    rows(watched, clock, 1, 0.5, counted=600)
    watched.window_read(WINDOW, is_last=True, counted=600)
    lines = shown(terminal)
    assert lines[0] == "conversations: reading" and len(lines) == 3
    assert lines[1].startswith("conversations: 1/600 rows, 0 %, 3/s, ")
    assert lines[2].startswith("conversations: 11/600 rows, 2 %, 12/s, ")
    assert lines[2].endswith(" left, 38 of 360 req/min")
    assert "\n" not in terminal.getvalue() and len(said(caplog)) == 1
    watched.end([])
    assert shown(terminal)[-1] == ""


def test_without_a_count_there_is_no_share(watched, clock, terminal):
    watched.begin_stream("users")
    rows(watched, clock, 1, 0.5)
    assert shown(terminal)[-1] == "users: 1 row, 2/s, 0 of 360 req/min"


def test_a_large_account_fits_into_a_narrow_terminal(watched, clock, cost, terminal):
    cost.requests_sent = 338
    watched.begin_range("conversations", WINDOW, requests_for)
    clock.now = 60
    for _ in range(41212):
        watched.row(57214)
    clock.now = 120
    watched.row(57214)
    assert len(shown(terminal)[-1]) <= 79
    assert shown(terminal)[-1].endswith("338 of 360 req/min")


class Gone(io.StringIO):
    """A terminal that takes nothing any more."""

    def flush(self):
        raise OSError(5, "Input/output error")


def test_a_line_is_cut_at_the_width():
    terminal = io.StringIO()
    StatusLine(terminal).show("x" * 200)
    assert shown(terminal) == ["x" * 79]


def test_a_terminal_that_is_gone_ends_no_run():
    line = StatusLine(Gone())
    line.show("users: reading")
    line.show("")


def test_the_log_goes_above_the_line(terminal):
    line = StatusLine(terminal)
    line.write("INFO a\n")
    line.show("users: 1 row")
    line.write("INFO b\n")
    line.show("")
    line.write("INFO c\n")
    assert terminal.getvalue() == (
        f"INFO a\n{ERASE_LINE}users: 1 row{ERASE_LINE}INFO b\nusers: 1 row{ERASE_LINE}INFO c\n"
    )
    assert line.isatty() is False  # whatever else is asked of stderr, the terminal has it
