"""Odd surroundings: each is survived, or ends in words and an exit code; no traceback, no hang."""

import json
import os
import signal
import socket
import subprocess
import threading
import time

import pytest

from tests.conftest import TAP

TOKEN = "oauth2/token"
NO_PROXY = {"NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"}


@pytest.fixture(name="fake")
def _fake(small_fake):
    return small_fake


def ended(run, *words):
    """The log of a run that ended with 1 and these words."""
    assert run.code == 1 and "error of the tap's own" not in run.log, run.log
    for word in words:
        assert word in run.log
    return run.log


# -- stdout ----------------------------------------------------------------------------------------


def run_with_stdout(tap, redirection, *args):
    """(exit code, log) of the command with its stdout as a shell's redirection has it."""
    command = [TAP, *(args or ("--config", str(tap.config_path)))]
    done = subprocess.run(
        ["sh", "-c", f'exec "$@" {redirection}', "sh", *command],
        capture_output=True,
        check=False,
        text=True,
        timeout=60,
        env=tap.env(None),
    )
    assert "Traceback" not in done.stderr and "tap's own" not in done.stderr, done.stderr
    return done.returncode, done.stderr


@pytest.mark.parametrize("args", [(), ("--discover",)], ids=["sync", "discover"])
@pytest.mark.parametrize(
    "redirection, words",
    [
        (">/dev/full", "cannot write to stdout: No space left on device"),
        (">&-", "stdout is closed"),
        ("1</dev/null", "cannot write to stdout: Bad file descriptor"),
    ],
)
def test_a_stdout_that_takes_nothing_is_told(tap, redirection, words, args):
    code, log = run_with_stdout(tap, redirection, *args)
    assert code == 1
    (line,) = [line for line in log.splitlines() if line.startswith("CRITICAL")]
    assert words in line


@pytest.mark.skipif(not os.path.exists("/proc/self/fd"), reason="files are looked up in /proc")
def test_what_is_meant_for_a_closed_stderr_goes_nowhere_else(tap, fake):
    """Without a file of its own it would go to what is opened next: a socket, or the config."""
    numbered = []
    fake.before(
        lambda _: numbered.append(os.readlink(f"/proc/{process.pid}/fd/2")), path="/v2/teams"
    )
    with tap.start(catalog=tap.select("teams"), preexec_fn=lambda: os.close(2)) as process:
        _, log = process.communicate(timeout=60)
    assert (process.returncode, log, numbered) == (0, b"", ["/dev/null"])


# -- the lock --------------------------------------------------------------------------------------


def test_a_run_within_a_lock_of_its_folder_does_not_wait_for_itself_for_ever(tap, fake):
    tap.configure(refresh_token=fake.new_refresh_token(), request_timeout=1)
    before = tap.config
    tap.wrapper = ("flock", str(tap.folder))
    log = ended(tap.run(timeout=60), f"held the lock on the folder {tap.folder} for 5 s")
    assert not fake.requests and tap.config == before and "flock" in log


# -- the network -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url",
    [
        "http://user:hunter2@",
        "http://user:hun/ter2@proxy.example:8080",
        "http://user:hunt er2@proxy example",
    ],
)
def test_a_proxy_whose_url_cannot_be_used_is_told_without_its_password(tap, url):
    tap.configure(api_url="https://api.helpscout.example")
    run = tap.run(env={"HTTPS_PROXY": url, "https_proxy": url, "NO_PROXY": "", "no_proxy": ""})
    log = ended(run, "the proxy URL in the environment")
    assert not [part for part in ("hun", "ter2", "er2") if part in log.replace("other", "")]


def test_a_proxy_that_refuses_is_told_without_its_password(tap):
    tap.configure(api_url="https://api.helpscout.example", retry_seconds=0)
    url = "http://user:hunter2@127.0.0.1:9"
    run = tap.run(env={"HTTPS_PROXY": url, "https_proxy": url, "NO_PROXY": "", "no_proxy": ""})
    assert "hunter2" not in ended(run, "refused")


class Dripping:
    """A server whose response comes a byte at a time, each well within the timeout of a read."""

    def __init__(self, head, interval):
        self.head, self.interval, self.connections = head, interval, 0
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        self._over = threading.Event()

    def __enter__(self):
        threading.Thread(target=self._serve, daemon=True).start()
        return self

    def __exit__(self, *_):
        self._over.set()
        self._socket.close()

    def _serve(self):
        while not self._over.is_set():
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self._drip, args=(connection,), daemon=True).start()

    def _drip(self, connection):
        with connection:
            connection.recv(65536)
            try:
                connection.sendall(self.head)
                while not self._over.wait(self.interval):
                    connection.sendall(b" ")
            except OSError:
                return


@pytest.mark.parametrize(
    "head",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX-Long: ",
    ],
    ids=["body", "body without a length", "headers"],
)
def test_a_response_that_drips_a_byte_at_a_time_ends(tap, head):
    with Dripping(head, interval=0.03) as server:
        tap.configure(api_url=server.url, request_timeout=0.4, retry_seconds=0, access_token="x")
        run = tap.run(env=NO_PROXY, timeout=60)
        assert server.connections == 1
    ended(run, "GET /v2/users/me failed: the response is not whole after 4 s")


# -- what responses hold ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "body, words",
    [
        (
            '{"_embedded": {"teams": [{"id": 1e400}]}, "page": {}}',
            "unusable JSON: the number 1e400",
        ),
        ("[" * 100_000, "nested too deeply"),
    ],
    ids=["1e400", "depth"],
)
def test_json_that_no_target_could_load_fails_its_stream_at_once(tap, fake, body, words):
    step = fake.fault(200, path="/v2/teams$", times=None, body=body)
    run = tap.run(catalog=tap.select("teams", "team_members", "users"))
    ended(run, "teams is incomplete: GET /v2/teams answered 200 with", words)
    assert step.hits == 1 and run.records("users") and "users" in run.bookmarks


@pytest.mark.parametrize("body", ["[" * 100_000, '{"message": ' + "9" * 5000 + "}"])
def test_an_error_with_an_odd_body_is_an_error_like_others(tap, fake, body):
    fake.fault(400, path="/v2/teams$", times=None, body=body)
    ended(tap.run(catalog=tap.select("teams")), "teams is incomplete: GET /v2/teams answered 400")


def test_what_the_api_says_forges_no_line_of_the_log(tap, fake):
    forged = "No teams\nCRITICAL all is lost\r\x1b[2K"
    fake.fault(400, path="/v2/teams$", times=None, body={"message": forged, "logRef": "a\nb"})
    log = ended(tap.run(catalog=tap.select("teams")), r"(No teams\nCRITICAL all is lost\r\x1b[2K)")
    assert r"[reference a\nb]" in log
    assert not [line for line in log.splitlines() if line.startswith(("CRITICAL all", "b]"))]


@pytest.mark.parametrize("status", [403, 404])
def test_names_of_the_account_forge_no_line_of_the_log(tap, fake, status):
    forged = "5\nCRITICAL forged"
    rows = fake.tables["organizations"]
    rows[0] = {**rows[0], "id": forged}
    fake.fault(status, "/v2/organizations/5", times=None)
    rows = fake.tables["customer_properties"]
    rows[0] = {**rows[0], "slug": forged, "type": {"odd": 1}}
    run = tap.run(catalog=tap.select("organizations", "customer_properties"))
    assert run.log.count("forged") == 2
    assert not [line for line in run.log.splitlines() if line.startswith("CRITICAL forged")]


def test_odd_headers_are_as_good_as_none(tap, fake):
    """How each is read, tests/unit/test_transport.py and test_clock.py show."""
    body = {"_embedded": {"teams": fake.tables["teams"]}, "page": {"totalElements": 2}}
    fake.fault(503, path="/v2/teams$", headers={"Retry-After": "nan"})
    fake.fault(200, path="/v2/teams$", body=body, headers={"X-RateLimit-Limit-Minute": "²"})
    fake.fault(
        200, path=TOKEN, body={"access_token": fake.new_access_token()}, headers={"Date": "-0000"}
    )
    run = tap.good_run(catalog=tap.select("teams", "team_members"))
    assert run.bookmarks["teams"] >= "2026"


# -- tokens ----------------------------------------------------------------------------------------


@pytest.fixture(name="refreshing")
def _refreshing(tap, fake):
    tap.configure(refresh_token=fake.new_refresh_token())
    return tap


@pytest.mark.parametrize("signum, concurrency", [(signal.SIGHUP, 1), (signal.SIGQUIT, 4)])
def test_a_closed_terminal_does_not_lose_the_successor_that_is_on_its_way(
    tap, fake, signum, concurrency
):
    tap.configure(concurrency=concurrency, refresh_token=fake.new_refresh_token())

    def interrupt(_):
        process.send_signal(signum)
        time.sleep(0.7)

    fake.before(interrupt, path=TOKEN)
    with tap.start() as process:
        _, log = process.communicate(timeout=20)
    assert process.returncode == 128 + signum and b"Traceback" not in log
    assert f"ended by {signum.name}".encode() in log
    tap.good_run()
    assert len(fake.token_requests) == 1


def test_a_refresh_token_that_is_no_text_is_told_when_the_rest_is_kept(refreshing, fake):
    """What else is no text, tests/unit/test_auth.py shows."""
    before, token = refreshing.config, fake.new_access_token()
    fake.fault(200, path=TOKEN, body={"access_token": token, "refresh_token": 5})
    ended(refreshing.run(), "a refresh_token that is no text", "The access token has been kept")
    assert refreshing.config["access_token"] == token
    assert refreshing.config["refresh_token"] == before["refresh_token"]
    fake.clear()
    refreshing.good_run()
    assert not fake.token_requests


def test_an_access_token_that_is_no_text_is_not_said_to_be_kept(refreshing, fake):
    fake.fault(200, path=TOKEN, body={"access_token": [], "refresh_token": 5})
    run = refreshing.run()
    ended(run, "a refresh_token that is no text")
    assert "has been kept" not in run.log


def test_a_response_without_an_access_token_loses_no_refresh_token(refreshing, fake):
    successor = fake.new_refresh_token()
    fake.fault(200, path=TOKEN, body={"access_token": None, "refresh_token": successor})
    refreshing.good_run()
    assert [asked["refresh_token"] for asked in fake.token_requests] == [successor]


def test_a_token_of_unknown_life_is_used_until_it_is_refused(refreshing, fake):
    tokens = json.dumps({"access_token": fake.new_access_token(), "refresh_token": "next"})
    fake.fault(200, path=TOKEN, body=f'{tokens[:-1]}, "expires_in": NaN}}')
    refreshing.good_run()
    assert not fake.token_requests and refreshing.config["refresh_token"] == "next"
    asked = [request.path for request in fake.requests if TOKEN in request.path]
    assert len(asked) == 1 and len(fake.requests) > 20
    refreshing.good_run()
    assert len([request for request in fake.requests if TOKEN in request.path]) == 1


def test_what_stands_at_the_old_temporary_name_is_left_alone(refreshing):
    theirs = refreshing.folder / "theirs"
    theirs.write_text("theirs")
    os.symlink(theirs, refreshing.folder / "config.json.tmp")
    refreshing.good_run()
    assert theirs.read_text() == "theirs"
    assert sorted(os.listdir(refreshing.folder)) == ["config.json", "config.json.tmp", "theirs"]


def test_a_secret_is_hidden_in_its_url_encoded_form_too(tap, fake):
    fake.client_secret = "lamp/shop+secret=%"
    tap.configure()
    encoded = "lamp%2Fshop%2Bsecret%3D%25"
    fake.fault(400, path=TOKEN, body={"error": f"Bad form: client_secret={encoded}"})
    assert encoded not in ended(tap.run(), "Bad form: client_secret=***")


# -- dates -----------------------------------------------------------------------------------------


def test_the_first_year_of_all_is_a_start_date_and_a_bookmark(tap, fake):
    tap.configure(start_date="0001-01-01T00:00:00Z")
    catalog = tap.select("conversations", "customers", "users")
    run = tap.good_run(catalog=catalog)
    assert len(run.ids("conversations")) == len(fake.conversation_ids)
    streams = ("conversations", "customers", "users")
    again = tap.good_run(
        catalog=catalog, state={"bookmarks": dict.fromkeys(streams, "0001-01-01T00:00:00Z")}
    )
    assert len(again.ids("conversations")) == len(fake.conversation_ids)
