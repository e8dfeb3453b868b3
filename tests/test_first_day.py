"""The first day: what a new user sees, waits for and gets wrong is said in words that help."""

import contextlib
import fcntl
import json
import os
import pty
import re
import subprocess
import sys
import termios
import threading
from pathlib import Path

import pytest

from tests.conftest import TAP, Run, Tap
from tests.fake import FakeHelpScout, build
from tests.test_discovery import TABLE


@pytest.fixture(name="fake")
def _fake(small_fake):
    return small_fake


def lines_with(run, words):
    return [line for line in run.log.splitlines() if words in line]


# -- a terminal ------------------------------------------------------------------------------------


class Screen:
    """What a person sees on a terminal: lines, of which the last may be written anew."""

    def __init__(self):
        self.lines, self.column, self.last_lines = [""], 0, []

    def show(self, text):
        for part in re.findall(r"\x1b\[K|\r|\n|[^\x1b\r\n]+", text):
            line = self.lines[-1]
            if part == "\r":
                self.column = 0
            elif part == "\n":
                self.lines.append("")
            elif part == "\x1b[K":
                self.last_lines.append(line)
                self.lines[-1] = line[: self.column]
            else:
                self.lines[-1] = line[: self.column] + part + line[self.column + len(part) :]
                self.column += len(part)


class Terminal:
    """A run whose stderr, as a person's, is a terminal."""

    def __init__(self, tap, env=None, catalog=None):
        self._master, slave = pty.openpty()
        # pylint: disable-next=consider-using-with,subprocess-popen-preexec-fn
        self.process = subprocess.Popen(
            tap.command(catalog=catalog),
            stdin=slave,
            stdout=subprocess.PIPE,
            stderr=slave,
            env=tap.env(env),
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),  # Ctrl-C reaches it
        )
        os.close(slave)
        self.stdout, self.text = b"", ""
        self._thread = threading.Thread(target=self._read_stdout)
        self._thread.start()

    def _read_stdout(self):
        self.stdout = self.process.stdout.read()

    def read_until(self, words):
        while words not in self.text:
            assert self._read(), self.text
        return self

    def _read(self):
        with contextlib.suppress(OSError):  # nobody has the other end any more
            read = os.read(self._master, 65536)
            self.text += read.decode()
            return read
        return b""

    def press(self, key):
        os.write(self._master, key)

    def end(self):
        """(run, screen): all that it wrote, and how it looked."""
        while self._read():
            pass
        self._thread.join()
        self.process.wait(20)
        self.process.stdout.close()
        os.close(self._master)
        assert "Traceback" not in self.text
        screen = Screen()
        screen.show(self.text)
        run = Run(self.process.returncode, self.stdout.decode(), "\n".join(screen.lines))
        return run, screen


@pytest.fixture(name="slow")
def _slow(tmp_path):
    """A tap for an account that takes its time, so that there is something to be seen."""
    with FakeHelpScout(build(60, customers=40), page_size=5, latency=0.02) as fake:
        yield Tap(fake, tmp_path)


def test_on_a_terminal_one_line_is_rewritten_and_the_log_stands_above_it(slow):
    run, screen = Terminal(slow).end()
    assert run.code == 0
    *log, below = screen.lines
    assert below == ""  # nothing is left of the line that was rewritten
    assert all(line.startswith("INFO ") for line in log)
    assert len(lines_with(run, "METRIC")) == 11
    for line in lines_with(run, "METRIC"):
        assert json.loads(line.partition("METRIC: ")[2])["metric"] == "record_count"
    rewritten = "\n".join(dict.fromkeys(screen.last_lines))
    assert re.search(
        r"^conversations: \d+/60 rows, \d+ %, \d+/s, \d:\d\d:\d\d left, \d+ of \d+ req/min$",
        rewritten,
        re.MULTILINE,
    )
    assert max(map(len, screen.last_lines)) < 80
    assert not lines_with(run, "window ")  # which is what the line is for


def test_a_terminal_that_cannot_rewrite_a_line_gets_the_lines_of_a_file(slow):
    run, screen = Terminal(slow, env={"TERM": "dumb"}).end()
    assert run.code == 0 and not screen.last_lines and lines_with(run, "conversations: window ")


def test_in_a_file_nothing_is_rewritten(slow):
    run = slow.good_run()
    assert "\r" not in run.log and "\x1b" not in run.log
    assert lines_with(run, "conversations: window ")


@pytest.mark.parametrize("has_state", [False, True])
def test_ctrl_c_has_a_line_of_its_own_and_says_what_is_true(tap, fake, has_state):
    silent = "conversations" if has_state else "mailboxes"
    # The inboxes are asked for once before the stream begins.
    fake.fault("silent", f"/v2/{silent}", times=None, skip=not has_state, seconds=60)
    terminal = Terminal(tap).read_until(f"INFO {silent}: reading")
    terminal.press(b"\x03")
    run, _ = terminal.end()
    assert run.code == 130
    last = "CRITICAL ended by SIGINT; the next run begins at the last state that was kept"
    if not has_state:
        last = (
            "CRITICAL ended by SIGINT before there was a new state; the next run begins where "
            "this did"
        )
    assert run.log.splitlines()[-1] == last
    assert bool(run.bookmarks) == has_state


# -- what it is doing ------------------------------------------------------------------------------


def test_every_stream_says_that_it_begins_and_the_small_lists_come_first(tap):
    run = tap.good_run()
    began = re.findall(r"^INFO (\w+): reading\b", run.log, re.MULTILINE)
    parents = {name: parent for name, (_, _, parent, _) in TABLE.items() if parent}
    roots = [name for name in TABLE if name not in parents]
    windowed = ["conversations", "customers"]
    order = [*(name for name in roots if name not in windowed), *windowed]
    assert [name for name in began if name in roots] == order
    assert sorted(began) == sorted(TABLE)  # each once, however many parents there are
    assert all(began.index(parent) < began.index(name) for name, parent in parents.items())


def test_a_stream_that_is_not_selected_does_not_say_that_it_begins(tap):
    run = tap.good_run(catalog=tap.select("mailboxes", "mailbox_folders"))
    assert "mailbox_folders: reading, below each row of mailboxes" in run.log
    assert "mailbox_fields" not in run.log


def test_while_no_row_comes_the_line_on_a_terminal_goes_on(tap, fake):
    fake.set(latency=0.1)
    terminal = Terminal(tap, catalog=tap.select("conversations"))
    terminal.read_until("conversations: 0 rows, 0/s, ").press(b"\x03")
    run, _ = terminal.end()
    assert run.code == 130


LESS_PATIENT = """
import tap_helpscout
from tap_helpscout import progress

progress.LONGEST_SILENCE = 0.2
tap_helpscout.main()
"""


def test_while_no_row_comes_a_file_does_not_stay_silent(tap, fake):
    fake.set(latency=0.1)
    catalog = tap.file("catalog.json", tap.select("conversations"))
    done = subprocess.run(
        [sys.executable, "-c", LESS_PATIENT, "--config", tap.config_path, "--catalog", catalog],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    told = re.search(r"^INFO conversations: 0 rows, 0 rows/s; \d+ of \d+ req", done.stderr, re.M)
    assert told and told.start() < done.stderr.index("window ")


def test_the_time_left_is_what_check_has_said(tmp_path):
    with FakeHelpScout(build(600, customers=0, seed=3), rate_limit=90) as fake:
        tap = Tap(fake, tmp_path)
        catalog = tap.select("conversations", "conversation_threads")
        last = tap.done(tap.command("--check", catalog=catalog)).stdout.decode().splitlines()[-1]
        expected = int(re.search(r"requests, (\d+) seconds at 81 a minute", last)[1])
        terminal = Terminal(tap, catalog=catalog)
        told = terminal.read_until(" left, ").text
        terminal.press(b"\x03")
        terminal.end()
    rows, minutes, seconds = re.search(r": (\d+)/600 rows.* 0:(\d\d):(\d\d) left", told).groups()
    left = 60 * int(minutes) + int(seconds)
    share_left = 1 - int(rows) / 600
    assert share_left > 0.5 and expected > 40
    assert left == pytest.approx(share_left * expected, rel=0.5)


def test_what_the_plan_refuses_is_known_before_the_long_lists_begin(tap, fake):
    fake.plan = "standard"
    run = tap.run()
    told = "ERROR happiness_ratings_report failed (status 403): the last lines of the log will say"
    assert run.code == 1 and 0 < run.log.index(told) < run.log.index("conversations: reading what")


def test_a_failure_has_its_words_once_and_at_the_end(tap, fake):
    fake.fault(400, "/v2/users$", body={"message": "No users today"})
    fake.fault(400, "/mailboxes/.*/folders", times=None, body={"message": "No folders today"})
    run = tap.run()
    assert run.code == 1
    told = [line for line in run.log.splitlines() if line.startswith("CRITICAL")]
    assert told[0].startswith("CRITICAL mailbox_folders is incomplete: ")
    assert told[1].startswith("CRITICAL users is incomplete: GET /v2/users answered 400 (No users")
    assert told[2].endswith("The next run begins where they stopped") and len(told) == 3
    assert run.log.count("No users today") == 1


def test_a_run_that_is_ended_by_refused_credentials_tells_what_failed_before(tap, fake):
    fake.fault(400, "/v2/users$", body={"message": "No users today"})
    fake.fault(401, "/v2/conversations", times=None)
    run = tap.run()
    assert run.code == 1 and "CRITICAL users is incomplete" in run.log
    assert run.log.count("No users today") == 1 and "done in" not in run.log
    assert "answered 401" in run.log.splitlines()[-1]


def test_the_last_line_tells_it_all(tap, fake):
    run = tap.good_run()
    rows, requests = len(run.of_type("RECORD")), len(fake.requests)
    assert re.fullmatch(
        rf"INFO done in 0:00:\d\d: {rows} rows of 11 streams, {requests} requests, complete",
        run.log.splitlines()[-1],
    )
    fake.fault(400, "/v2/users$")
    run = tap.run(catalog=tap.select("users", "teams"))
    assert re.fullmatch(
        r"CRITICAL done in 0:00:\d\d: 3 rows of 2 streams, \d requests, incomplete: users\. "
        "The next run begins where it stopped",
        run.log.splitlines()[-1],
    )


def test_one_row_is_a_row(tap, fake):
    del fake.tables["teams"][1:]
    run = tap.good_run(catalog=tap.select("teams"))
    assert "INFO teams: 1 row, read 1 of the 1 that" in run.log and "1 row of 1 stream" in run.log


def test_requests_that_are_far_apart_are_told_once(tap, fake):
    fake.rate_limit = 40
    with tap.start() as process:
        log = ""
        while "apart" not in log:
            log += process.stderr.readline().decode()
        process.kill()
    assert re.search(
        r"^INFO requests are now \d s apart: \d+ of the 36 requests a minute that this tap may "
        "send are used, and the others are spread over the minute$",
        log,
        re.MULTILINE,
    )


# -- typos -----------------------------------------------------------------------------------------


def refused(run, fake):
    """The one message of a run that ended before any request."""
    assert run.code == 1 and not fake.requests
    (line,) = lines_with(run, "CRITICAL")
    return line


def documents(tap):
    return {
        "config": tap.config,
        "state": {"bookmarks": {"users": "2020-01-01T00:00:00Z"}},
        "catalog": tap.discover(),
    }


@pytest.mark.parametrize("is_due", ["config", "state", "catalog"])
@pytest.mark.parametrize("given", ["config", "state", "catalog"])
def test_a_file_after_the_wrong_option_is_told(tap, fake, is_due, given):
    if is_due == given:
        return
    path = tap.file("other.json", documents(tap)[given])
    line = refused(tap.run(f"--{is_due}", path), fake)
    assert f"the {is_due} file {path} is a {given}: " in line
    assert f"Probably --{given} {path} was meant" in line and fake.client_secret not in line


def test_of_a_file_with_several_states_the_last_line_is_asked_for(tap, fake):
    state = json.dumps({"bookmarks": {"users": "2020-01-01T00:00:00Z"}}) + "\n"
    path = tap.file("the states.jsonl", 3 * state)
    line = refused(tap.run("--state", path), fake)
    (command,) = re.findall(r"only the last line, as in (sed .+)$", line)
    subprocess.run(["sh", "-c", command], check=True)
    tap.good_run("--state", f"{path}.last", catalog=tap.select("users"))


def test_of_a_file_whose_last_state_is_torn_the_last_whole_one_is_asked_for(tap, fake):
    state = json.dumps({"bookmarks": {"users": "2020-01-01T00:00:00Z"}}) + "\n"
    path = tap.file("states.jsonl", 2 * state + state[:20])
    line = refused(tap.run("--state", path), fake)
    assert (
        f"the state file {path} has a state in each of several lines, and line 3, the last" in line
    )
    assert "is torn" in line and "(examples/sync.sh does so by itself)" in line
    (command,) = re.findall(r"as in (sed .+) \(examples", line)
    subprocess.run(["sh", "-c", command], check=True)
    assert Path(f"{path}.last").read_text(encoding="utf-8") == state


@pytest.mark.parametrize("is_due", ["config", "catalog"])
def test_the_file_of_states_after_the_wrong_option_is_told(tap, fake, is_due):
    path = tap.file("states.jsonl", 3 * '{"bookmarks": {}}\n')
    line = refused(tap.run(f"--{is_due}", path), fake)
    assert f"the {is_due} file {path} has a JSON object in each of several lines" in line
    assert "the last line belongs after --state" in line


def test_a_line_of_the_tap_is_no_state(tap, fake):
    state = {"type": "STATE", "value": {"bookmarks": {}}}
    line = refused(tap.run(state=state), fake)
    assert 'a Singer message, of which only what follows "value" is a state' in line


@pytest.mark.parametrize(
    "name, hint",
    [("converstions", "; did you mean conversations?"), ("invoices", ""), ("Users", None)],
)
def test_a_bookmark_of_an_unknown_stream_is_told_and_the_run_goes_on(tap, name, hint):
    hint = "; did you mean users?" if hint is None else hint
    state = {"bookmarks": {name: "2020-01-01T00:00:00Z"}}
    run = tap.good_run(state=state, catalog=tap.select("teams"))
    (line,) = lines_with(run, "WARNING")
    assert line.endswith(f"{name}' has no effect, for there is no stream of that name{hint}")
    assert run.bookmarks[name] == "2020-01-01T00:00:00Z"


def test_where_the_meant_stream_has_a_bookmark_too_that_is_told(tap):
    state = {"bookmarks": {name: "2020-01-01T00:00:00Z" for name in ("user", "users")}}
    run = tap.good_run(state=state, catalog=tap.select("teams"))
    (line,) = lines_with(run, "WARNING")
    assert line.endswith("of that name; did you mean users, which is there too?")


@pytest.mark.parametrize("what", ["config", "state", "catalog"])
def test_a_json_error_shows_its_place(tap, fake, what):
    content = '{\n  "client_id": "a",\n}'
    run = tap.run(f"--{what}", tap.file("broken.json", content))
    assert run.code == 1 and not fake.requests
    shown = ['      "client_id": "*",', "    }", "    ^"]
    if sys.version_info >= (3, 13):  # which says that the comma is wrong
        shown = ['      "client_id": "*",', "                      ^"]
    assert run.log.splitlines()[-len(shown) :] == shown


def test_of_a_json_error_the_line_before_is_shown_only_where_it_ends_in_a_comma(tap, fake):
    content = '{\n  "client_id": "a"\n  "start_date": "2020"\n}'
    run = tap.run("--config", tap.file("broken.json", content))
    assert run.code == 1 and not fake.requests
    assert run.log.splitlines()[1:] == ['      "start_date": "****"', "      ^"]


@pytest.mark.parametrize("has_refresh_token", [False, True])
def test_the_advice_speaks_of_a_refresh_token_only_where_there_is_one(tap, has_refresh_token):
    tap.configure(client_secret="wrong", refresh_token="spent" if has_refresh_token else None)
    run = tap.run()
    assert run.code == 1 and "Check client_id and client_secret" in run.log
    assert ("refresh_token" in run.log) == has_refresh_token


# -- start_date ------------------------------------------------------------------------------------

EARLIER = "start_date is earlier than when"


def test_an_earlier_start_date_beside_a_state_is_told_to_have_no_effect(tap):
    tap.configure(start_date="2020-01-01")
    catalog = tap.select("conversations", "conversation_threads", "users")
    first = tap.good_run(catalog=catalog)
    assert first.state["start_dates"] == dict.fromkeys(
        ("conversations", "conversation_threads"), "2020-01-01T00:00:00Z"
    )
    tap.configure(start_date="2019-12-31")
    run = tap.good_run(state=first.state, catalog=catalog)
    (line,) = lines_with(run, "WARNING")
    assert f"{EARLIER} conversations, conversation_threads began" in line
    assert run.state["start_dates"] == first.state["start_dates"]
    run = tap.good_run(catalog=catalog)
    assert EARLIER not in run.log
    assert run.state["start_dates"]["conversations"] == "2019-12-31T00:00:00Z"


@pytest.mark.parametrize("start", ["2020-01-01", "2020-01-01T00:00:00.5Z", "2021-01-01"])
def test_the_same_start_date_or_a_later_one_is_nothing_to_tell(tap, start):
    tap.configure(start_date=start)
    state = {
        "bookmarks": {"customers": "2024-01-01T00:00:00Z"},
        "start_dates": {"customers": "2020-01-01T00:00:00Z"},
    }
    run = tap.good_run(state=state, catalog=tap.select("customers"))
    assert EARLIER not in run.log and run.state["start_dates"] == state["start_dates"]


def test_only_what_has_a_bookmark_has_a_start_date(tap):
    run = tap.good_run(catalog=tap.select("conversation_threads"))
    assert set(run.state["start_dates"]) == {"conversation_threads"} == set(run.bookmarks)


def test_of_an_older_state_that_has_no_start_date_nothing_is_told(tap):
    state = {"bookmarks": {"customers": "2024-01-01T00:00:00Z"}}
    run = tap.good_run(state=state, catalog=tap.select("customers"))
    assert EARLIER not in run.log and "start_dates" not in run.state


def test_a_stream_that_is_read_anew_begins_with_the_new_start_date(tap):
    state = {
        "bookmarks": {"conversations": "2024-01-01T00:00:00Z"},
        "start_dates": {name: "2020-01-01T00:00:00Z" for name in ("conversations", "customers")},
    }
    tap.configure(start_date="2010-01-01")
    run = tap.good_run(state=state, catalog=tap.select("customers"))
    assert run.state["start_dates"]["customers"] == "2010-01-01T00:00:00Z"


def test_a_start_date_in_the_future_is_an_error(tap, fake):
    tap.configure(start_date="2199-01-01")
    assert "start_date '2199-01-01' lies in the future" in refused(tap.run(), fake)


# -- without a target ------------------------------------------------------------------------------


@pytest.mark.parametrize("option", ["--discover", "--check"])
def test_where_there_is_no_target_no_word_is_said_of_one(tap, option):
    args = () if option == "--discover" else ("--config", str(tap.config_path))
    for redirection in ("| true", ">/dev/full", ">&-"):
        done = subprocess.run(
            ["sh", "-c", f'sleep 0.5; "$@" {redirection}', "sh", TAP, option, *args],
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        (line,) = [line for line in done.stderr.splitlines() if line.startswith("CRITICAL")]
        assert "target" not in line and "stdout" in line


# -- secrets that are kept elsewhere ---------------------------------------------------------------


def piped(tap, *args, **kwargs):
    """A run whose config comes through a pipe."""
    content = tap.config_path.read_bytes()
    command = tap.command("--config", "/dev/stdin", *args, **kwargs)
    done = subprocess.run(
        command, input=content, capture_output=True, check=False, timeout=60, env=tap.env(None)
    )
    assert b"Traceback" not in done.stderr
    return Run(done.returncode, done.stdout.decode(), done.stderr.decode())


def test_a_config_may_come_through_a_pipe(tap, fake):
    before = tap.config
    tokens = []
    for _ in range(2):
        run = piped(tap, catalog=tap.select("users"))
        assert run.code == 0 and len(run.records("users")) == 8
        tokens += fake.token_requests
        fake.clear()
    assert len(tokens) == 2 and tap.config == before  # each run asks for a token of its own


def test_a_refresh_token_in_a_pipe_is_not_spent(tap, fake):
    token = fake.new_refresh_token()
    tap.configure(refresh_token=token)
    assert "/dev/stdin is a pipe" in refused(piped(tap), fake)
    tap.good_run(catalog=tap.select("users"))  # it is still good


# -- an error of the tap's own ---------------------------------------------------------------------


BREAK = """
import sys
import tap_helpscout
from tap_helpscout.streams import STREAMS

def broken(row):
    raise ZeroDivisionError("the lamp's {secret}")

object.__setattr__(STREAMS[{stream!r}], "reshape", broken)
sys.argv = ["tap-helpscout", *sys.argv[1:]]
tap_helpscout.main()
"""


@pytest.mark.parametrize(
    "stream, lost",
    [
        ("users", {"users"}),
        ("team_members", {"team_members"}),
        ("conversation_threads", {"conversation_threads"}),
        ("conversations", {"conversations", "conversation_threads"}),
    ],
)
def test_an_error_of_the_taps_own_fails_one_stream_and_not_the_run(tap, stream, lost):
    code = BREAK.replace("{stream!r}", repr(stream))
    done = subprocess.run(
        [sys.executable, "-c", code, "--config", tap.config_path],
        capture_output=True,
        check=False,
        timeout=60,
    )
    run = Run(done.returncode, done.stdout.decode(), done.stderr.decode())
    assert run.code == 1 and run.streams >= set(TABLE) - lost
    assert f"ERROR {stream}: an error of the tap's own: please report it" in run.log
    assert "ZeroDivisionError" in run.log and "in broken" in run.log  # where it happened
    assert not set(run.bookmarks) & lost
    last = run.log.splitlines()[-1]
    assert last.startswith("CRITICAL done in ") and f"incomplete: {stream}" in last
