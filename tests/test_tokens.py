"""The life of the tokens: none is asked for in vain, none is spent whose successor would be lost,
and none is ever shown."""

import fcntl
import json
import os
import random
import signal
import stat
import subprocess
import sys
import threading
import time
from contextlib import contextmanager

import pytest

from tests.conftest import Tap
from tests.target import Target

TOKEN = "/v2/oauth2/token"
PAST, FUTURE = "2020-01-01T00:00:00Z", "2100-01-01T00:00:00Z"
# Runs a command as somebody whom file modes and limits bind, as they do not bind root.
UNPRIVILEGED = """
import ctypes, os, resource, sys
if os.getuid() == 0:
    for capability in (0, 1, 2, 3):  # to give away, write, read and replace what is not theirs
        assert ctypes.CDLL(None).prctl(24, capability, 0, 0, 0) == 0
if sys.argv[1] != "unlimited":
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]),) * 2)
os.execv(sys.argv[2], sys.argv[2:])
"""


@pytest.fixture(name="fake")
def _fake(small_fake):
    return small_fake


@pytest.fixture(name="tap")
def _tap(fake, tmp_path):
    folder = tmp_path / "settings"  # of its own, for tests that take rights away or mount on it
    folder.mkdir()
    tap = Tap(fake, folder)
    tap.catalog = tap.select("users", "teams")  # enough to need a token
    return tap


@pytest.fixture(name="refreshing")
def _refreshing(tap, fake):
    """The tap with a refresh token and, on disk, a dead access token."""
    tap.configure(
        refresh_token=fake.new_refresh_token(),
        access_token="dead-token",
        access_token_expires_at=PAST,
    )
    return tap


def grants(fake):
    return [request["grant_type"] for request in fake.token_requests]


# -- one that lives is used ------------------------------------------------------------------------


@pytest.mark.parametrize("expires_at, is_refreshing", [(FUTURE, True), (None, False)])
def test_a_live_access_token_is_used_before_any_other_is_asked_for(
    tap, fake, expires_at, is_refreshing
):
    tap.configure(
        access_token=fake.new_access_token(),
        access_token_expires_at=expires_at,
        refresh_token=is_refreshing and fake.new_refresh_token() or None,
    )
    before = tap.config_path.read_bytes()
    tap.good_run()
    assert not fake.token_requests and tap.config_path.read_bytes() == before


@pytest.mark.parametrize("is_refreshing", [True, False])
def test_a_live_access_token_needs_no_lock_and_no_second_look_at_the_config(
    tap, fake, is_refreshing
):
    """The config may come from a pipe, and another run may be stuck in its renewal."""
    tap.configure(
        access_token=fake.new_access_token(),
        access_token_expires_at=FUTURE,
        refresh_token=is_refreshing and fake.new_refresh_token() or None,
    )
    pipe = tap.folder / "pipe"
    os.mkfifo(pipe)
    folder = os.open(tap.folder, os.O_RDONLY)
    fcntl.flock(folder, fcntl.LOCK_EX)
    with subprocess.Popen(f"cat {tap.config_path} > {pipe}", shell=True):
        tap.good_run("--config", str(pipe), timeout=10)
    os.close(folder)
    assert not fake.token_requests


def test_a_config_from_a_pipe_is_not_opened_twice(tap, fake):
    """Nobody would write to it again."""
    pipe = tap.folder / "pipe"
    os.mkfifo(pipe)
    with subprocess.Popen(f"cat {tap.config_path} > {pipe}", shell=True):
        tap.good_run("--config", str(pipe), catalog=tap.select("users"), timeout=10)
    assert grants(fake) == ["client_credentials"]


@pytest.mark.parametrize(
    "dead, is_refreshing",
    [
        ({}, True),
        ({"access_token": "dead-token", "access_token_expires_at": PAST}, False),
        ({"access_token": "dead-token", "access_token_expires_at": FUTURE}, True),
        ({"access_token": "dead-token"}, False),
    ],
)
def test_a_dead_one_is_replaced_once_and_the_next_run_needs_none(tap, fake, dead, is_refreshing):
    tap.configure(refresh_token=is_refreshing and fake.new_refresh_token() or None, **dead)
    tap.good_run()
    assert grants(fake) == ["refresh_token" if is_refreshing else "client_credentials"]
    assert tap.config["access_token"] and tap.config["access_token_expires_at"] > "2026"
    tap.good_run()
    assert len(fake.token_requests) == 1


def test_discovery_asks_for_none(refreshing, fake):
    before = refreshing.config_path.read_bytes()
    refreshing.run_raw("--discover", "--config", str(refreshing.config_path))
    assert not fake.requests and refreshing.config_path.read_bytes() == before


def test_without_a_successor_in_the_answer_the_old_refresh_token_stays(refreshing, fake):
    fake.rotate = False
    before = refreshing.config
    refreshing.good_run()
    assert refreshing.config["refresh_token"] == before["refresh_token"]
    assert refreshing.config["access_token"] != before["access_token"]


def test_an_answer_without_a_usable_token_is_asked_for_again(refreshing, fake):
    """What else is unusable, and what odd lives tokens may have, tests/unit/test_auth.py shows."""
    fake.fault(200, path=TOKEN, body={"access_token": "two\nlines"})
    assert "error of the tap's own" not in refreshing.good_run().log


def test_white_space_around_a_pasted_refresh_token_is_not_sent(tap, fake):
    tap.configure(refresh_token=f" {fake.new_refresh_token()}\n")
    tap.good_run()


def test_a_blank_refresh_token_is_none(tap, fake):
    """As runners send what their user left empty; it is no secret, either."""
    tap.configure(refresh_token=" ", retry_seconds=0)
    fake.fault(500, path="/v2/users$", times=None, body={"message": "The lamps are out"})
    run = tap.run()
    assert grants(fake) == ["client_credentials"]
    assert "GET /v2/users answered 500 (The lamps are out)" in run.log


# -- spent only when its successor can be kept -----------------------------------------------------


def mounted(*command):
    if subprocess.run(["mount", *command], capture_output=True, check=False).returncode:
        pytest.skip("mounting is not permitted here")


@contextmanager
def read_only_folder(tap):
    tap.folder.chmod(0o555)
    yield "unlimited"
    tap.folder.chmod(0o755)


@contextmanager
def read_only_file(tap):
    tap.config_path.chmod(0o444)
    yield "unlimited"
    tap.config_path.chmod(0o644)


@contextmanager
def folder_of_somebody_else(tap):
    """As /tmp: anyone may make files, nobody may replace those of others."""
    if os.getuid():
        pytest.skip("only root can give a file away")
    tap.folder.chmod(0o1777)
    os.chown(tap.folder, 65534, 65534)
    os.chown(tap.config_path, 65534, 65534)
    tap.config_path.chmod(0o666)
    yield "unlimited"
    os.chown(tap.folder, 0, 0)


@contextmanager
def no_room_for_longer_tokens(tap):
    yield str(tap.config_path.stat().st_size + 200)


@contextmanager
def full_disk(tap):
    content = tap.config_path.read_bytes()
    mounted("-t", "tmpfs", "-o", "size=8k", "tmpfs", str(tap.folder))
    try:
        tap.config_path.write_bytes(content)
        yield "unlimited"
        content = tap.config_path.read_bytes()
    finally:
        subprocess.run(["umount", str(tap.folder)], check=True)
        tap.config_path.write_bytes(content)


@contextmanager
def bind_mount(tap):
    """As `docker run -v config.json:/config.json`: it can be written to and not be replaced."""
    source = tap.folder / "of-the-host.json"
    source.write_bytes(tap.config_path.read_bytes())
    mounted("--bind", str(source), str(tap.config_path))
    try:
        yield "unlimited"
    finally:
        subprocess.run(["umount", str(tap.config_path)], check=True)


OBSTACLES = pytest.mark.parametrize(
    "obstacle",
    [
        read_only_folder,
        read_only_file,
        folder_of_somebody_else,
        no_room_for_longer_tokens,
        full_disk,
        bind_mount,
    ],
)


@contextmanager
def hindered(tap, obstacle):
    with obstacle(tap) as limit:
        tap.wrapper = (sys.executable, "-c", UNPRIVILEGED, limit)
        yield
        tap.wrapper = ()


@OBSTACLES
def test_a_refresh_token_whose_successor_cannot_be_kept_is_not_spent(refreshing, fake, obstacle):
    refreshing.catalog = None  # it would need room on the full disk
    before = refreshing.config_path.read_bytes()
    with hindered(refreshing, obstacle):
        run = refreshing.run()
        assert run.code == 1 and not fake.requests
        assert f"cannot replace the config file {refreshing.config_path}" in run.log
        assert "The refresh token was not used" in run.log
        assert refreshing.config_path.read_bytes() == before
        assert not list(refreshing.folder.glob("*.tmp"))
    refreshing.good_run()  # the old token still works


def test_client_credentials_need_no_writable_config(tap, fake):
    before = tap.config
    with hindered(tap, read_only_folder):
        tap.good_run()
        assert before.items() <= tap.config.items()
    assert grants(fake) == ["client_credentials"]


def test_a_live_access_token_needs_no_writable_config(refreshing, fake):
    refreshing.configure(
        refresh_token="spent", access_token=fake.new_access_token(), access_token_expires_at=FUTURE
    )
    with hindered(refreshing, read_only_folder):
        refreshing.good_run()


def test_the_mode_of_the_config_is_kept(refreshing):
    refreshing.config_path.chmod(0o664)
    refreshing.good_run()
    assert stat.S_IMODE(refreshing.config_path.stat().st_mode) == 0o664
    assert {path.name for path in refreshing.folder.iterdir()} == {"catalog.json", "config.json"}


@pytest.mark.skipif(os.getuid(), reason="only root can give a file away")
def test_the_owner_of_the_config_is_kept_where_that_is_possible(refreshing):
    os.chown(refreshing.config_path, 65534, 65533)
    refreshing.good_run()
    status = refreshing.config_path.stat()
    assert (status.st_uid, status.st_gid) == (65534, 65533)


def test_what_else_is_in_the_config_is_kept_in_its_order(refreshing, fake):
    written = {"zebra": {"b": [1, None, 2.5], "a": "gr\u00f8n"}, **refreshing.config, "": 10**20}
    refreshing.config_path.write_text(json.dumps(written))
    refreshing.good_run()
    kept = refreshing.config
    assert list(kept) == [*written, "access_token_client_id"]
    written["access_token_client_id"] = fake.client_id
    changed = {"access_token", "access_token_expires_at", "refresh_token"}
    assert {key for key in kept if kept[key] != written[key]} == changed


def test_a_config_that_is_a_link_stays_one(refreshing):
    elsewhere = refreshing.folder.parent / "elsewhere.json"
    refreshing.config_path.rename(elsewhere)
    refreshing.config_path.symlink_to(elsewhere)
    before = json.loads(elsewhere.read_text())
    refreshing.good_run()
    assert refreshing.config_path.is_symlink()
    assert json.loads(elsewhere.read_text())["refresh_token"] != before["refresh_token"]


def test_an_edit_of_the_config_during_the_run_is_kept(refreshing, fake):
    def edit(_):
        config = refreshing.config
        refreshing.config_path.write_text(json.dumps({**config, "note": "made meanwhile"}))
        fake.revoke_access_tokens()

    fake.before(edit, path="/v2/users$")
    refreshing.good_run()
    assert refreshing.config["note"] == "made meanwhile"
    refreshing.good_run()
    assert len(fake.token_requests) == 2


# -- ended around the save -------------------------------------------------------------------------


def test_killed_around_the_save_config_json_is_whole(refreshing, fake):
    fake.rotate = False  # one that is spent and not yet written is lost to any kill -9
    fake.token_lifetime = 0  # so that each request asks for a token, and saves it
    refreshing.catalog = None  # many requests
    before = refreshing.config
    seed = random.randrange(10**9)
    print(f"seed {seed}")
    rng, saved = random.Random(seed), 0
    for _ in range(int(os.environ.get("CHAOS", "6"))):
        fake.clear()
        with refreshing.start() as process:
            while len(fake.token_requests) < 3 and process.poll() is None:
                time.sleep(0.001)
            time.sleep(rng.uniform(0, 0.05))
            process.kill()
        config = refreshing.config
        assert list(config) == [*before, "access_token_client_id"]
        assert config["refresh_token"] == before["refresh_token"]
        saved += config["access_token"] != before["access_token"]
    assert saved
    fake.token_lifetime = 7200
    refreshing.good_run()


@pytest.mark.parametrize(
    "which, signum, concurrency",
    [("first", signal.SIGTERM, 1), ("later", signal.SIGINT, 4), ("later", signal.SIGTERM, 1)],
)
def test_a_signal_does_not_lose_the_successor_that_is_on_its_way(
    refreshing, fake, signum, concurrency, which
):
    refreshing.configure(concurrency=concurrency, refresh_token=fake.new_refresh_token())
    if which == "later":
        refreshing.configure(
            concurrency=concurrency,
            refresh_token=fake.new_refresh_token(),
            access_token=fake.new_access_token(),
        )
        refreshing.catalog = refreshing.select("conversations", "conversation_threads")
        fake.before(lambda fake: fake.revoke_access_tokens(), path="/v2/conversations")

    def interrupt(_):
        process.send_signal(signum)
        time.sleep(0.7)

    fake.before(interrupt, path=TOKEN)
    with refreshing.start() as process:
        _, log = process.communicate(timeout=20)
    assert process.returncode == 128 + signum and b"Traceback" not in log
    assert len(fake.token_requests) == 1
    refreshing.good_run()


def test_a_target_that_dies_does_not_lose_it_either(refreshing, fake):
    refreshing.configure(
        refresh_token=fake.new_refresh_token(), access_token=fake.new_access_token()
    )

    def close(_):
        process.stdout.close()
        time.sleep(0.7)

    refreshing.catalog = None
    fake.before(close, path=TOKEN)
    fake.before(lambda fake: fake.revoke_access_tokens(), path="/v2/conversations.*page=3")
    with refreshing.start() as process:
        assert process.wait(timeout=20) == 1
    assert len(fake.token_requests) == 1
    refreshing.good_run()


# -- several at once -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "when, is_refreshing", [("at the start", True), ("in mid-run", True), ("in mid-run", False)]
)
def test_two_runs_on_one_config_ask_for_one_token(tap, fake, is_refreshing, when):
    tap.configure(
        refresh_token=is_refreshing and fake.new_refresh_token() or None,
        access_token=when == "in mid-run" and fake.new_access_token() or None,
    )
    if when == "in mid-run":
        tap.catalog = tap.select("mailboxes", "mailbox_folders", "users")
        fake.before(lambda fake: fake.revoke_access_tokens(), path="/folders")
    fake.before(lambda _: time.sleep(1), path=TOKEN, times=None)
    fake.latency = 0.02
    with tap.start() as one, tap.start() as other:
        logs = [process.communicate(timeout=60)[1].decode() for process in (one, other)]
    assert (one.returncode, other.returncode) == (0, 0), logs
    assert len(fake.token_requests) == 1
    tap.good_run()
    assert len(fake.token_requests) == 1  # a live one is on disk


def test_the_token_of_another_app_is_not_used(tap, fake):
    """A config that was copied for another account, with the token that a run had left in it."""
    tap.good_run(catalog=tap.select("users"))
    left = tap.config
    tap.config_path.write_text(json.dumps({**left, "client_id": "another"}))
    run = tap.run(catalog=tap.select("users"))
    assert run.code == 1 and "Check client_id" in run.log and not run.records("users")
    fake.client_id = "another"
    tap.good_run(catalog=tap.select("users"))
    assert tap.config["access_token"] != left["access_token"]


def test_a_target_that_is_slow_to_read_holds_no_other_run_off(tap, fake):
    """The tap stands in a line that has no room in the pipe while its token dies."""
    tap.configure(refresh_token=fake.new_refresh_token(), access_token=fake.new_access_token())
    catalog = tap.catalog
    tap.catalog = tap.select("conversations", "conversation_threads")
    first = min(fake.conversation_ids, key=fake.modified)
    fake.touch(first, at=fake.modified(first), preview="Lamp " * 100_000)
    fake.before(
        lambda fake: (time.sleep(1), fake.revoke_access_tokens()), path="conversations.*page=3"
    )
    with tap.start() as process:
        time.sleep(3)  # nobody reads
        tap.config_path.write_text(json.dumps({**tap.config, "note": "edited meanwhile"}))
        tap.good_run(catalog=catalog, timeout=20)
        process.communicate(timeout=60)
    assert process.returncode == 0 and tap.config["note"] == "edited meanwhile"


@pytest.mark.parametrize("cause, is_refreshing", [("expired", True), ("revoked", False)])
def test_a_token_that_dies_with_several_requests_in_flight_is_replaced_once(
    tap, fake, is_refreshing, cause
):
    target = Target()
    tap.configure(
        concurrency=8,
        refresh_token=is_refreshing and fake.new_refresh_token() or None,
        access_token=fake.new_access_token(lifetime=3600),
    )
    dead = threading.Event()

    def die(fake):
        while fake.requests[-1].in_flight < 4:
            time.sleep(0.01)
        if cause == "expired":
            fake.clock_offset += 3600
        else:
            fake.revoke_access_tokens()
        dead.set()

    tap.catalog = None
    fake.before(die, path="/7001/fields")
    fake.before(lambda _: dead.wait(10), path="/(fields|folders)", times=None)
    target.load(tap.good_run())
    assert sum(request.status == 401 for request in fake.requests) >= 4
    assert len(fake.token_requests) == 1
    assert not target.lacks(fake)


# -- refused ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "what, words, is_refreshing",
    [
        ("invalid_client", "answered 401 (invalid_client: Client authentication failed)", True),
        ("inactive", "answered 401 (invalid_grant: The user is not active)", False),
    ],
)
def test_refused_credentials_end_the_run_in_words(tap, fake, what, words, is_refreshing):
    tap.configure(
        refresh_token=is_refreshing and fake.new_refresh_token() or None,
        client_secret="wrong" if what == "invalid_client" else fake.client_secret,
    )
    fake.inactive_user = what == "inactive"
    assert_refused(tap, fake, words, is_refreshing)


def test_a_spent_refresh_token_ends_the_run_in_words(tap, fake):
    tap.configure(refresh_token="spent-long-ago")
    assert_refused(tap, fake, "answered 400 (invalid_grant: Invalid refresh token)", True)


def assert_refused(tap, fake, words, is_refreshing):
    run = tap.run()
    assert run.code == 1 and not run.of_type("RECORD")
    assert f"POST {TOKEN} {words}" in run.log
    assert "Check client_id and client_secret" in run.log
    assert ("authorizing the app again" in run.log) == is_refreshing
    assert {request.path for request in fake.requests} == {TOKEN}
    assert len(fake.token_requests) == 1


def test_a_netrc_file_does_not_replace_the_credentials(refreshing, fake, tmp_path):
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login somebody password else\n")
    (tmp_path / ".netrc").chmod(0o600)
    refreshing.good_run(env={"HOME": str(tmp_path)})
    for request in fake.requests:
        is_token = request.path == TOKEN
        assert request.headers.get("Authorization", "").startswith("" if is_token else "Bearer ")
        assert "Basic" not in request.headers.get("Authorization", "")


# -- never shown -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path, status", [("/v2/users$", 400), ("/v2/users$", 401), ("/threads", 500), (TOKEN, 400)]
)
def test_an_error_that_repeats_the_secrets_is_told_without_them(refreshing, fake, path, status):
    refreshing.catalog = refreshing.select("users", "conversations", "conversation_threads")
    fake.embed = "no_line_items"
    refreshing.configure(
        refresh_token=fake.new_refresh_token(),
        retry_seconds=0,
        access_token="" if path == TOKEN else fake.new_access_token(),
    )
    before = refreshing.config
    said = " | ".join(
        before.get(name) or "-" for name in ("client_secret", "refresh_token", "access_token")
    )
    fake.fault(
        status,
        path=path,
        times=None,
        body={"error": "lamps", "message": f"Said: {said}"},
        headers={"Correlation-Id": before["refresh_token"]},
    )
    run = refreshing.run()
    assert run.code == 1 and "Said: *** | " in run.log
    assert_hidden(run, before, refreshing.config)


@pytest.mark.parametrize("kind", ["reset", 403])
def test_what_a_run_asks_for_and_gets_is_hidden_too(refreshing, fake, kind):
    def repeat(fake):
        token = fake.requests[-1].headers["Authorization"]
        if isinstance(kind, int):
            fake.fault(kind, path="/v2/users$", times=None, body={"message": f"Said: {token}"})
        else:
            fake.fault(kind, path="/v2/users$", times=None)

    refreshing.configure(refresh_token=fake.new_refresh_token(), retry_seconds=0)
    before = refreshing.config
    fake.before(repeat, path="/v2/users$")
    run = refreshing.run()
    assert run.code == 1 and "users is incomplete" in run.log
    assert_hidden(run, before, refreshing.config)


def test_a_good_run_shows_no_secret(refreshing):
    before = refreshing.config
    refreshing.catalog = None
    assert_hidden(refreshing.good_run(), before, refreshing.config)


def assert_hidden(run, *configs):
    shown = run.log + "\n".join(run.lines)
    for config in configs:
        for name in ("client_secret", "refresh_token", "access_token"):
            assert not config.get(name) or config[name] not in shown, name
    assert "Bearer" not in shown or "Bearer ***" in shown


def test_a_config_that_is_spoilt_in_mid_run_is_told_and_ends_the_run(refreshing, fake):
    def spoil(own):
        own.revoke_access_tokens()
        refreshing.config_path.write_text("{")

    fake.embed = "no_line_items"  # so that each conversation's threads are asked for
    fake.before(spoil, path="/threads", skip=3)
    catalog = refreshing.select("conversations", "conversation_threads")
    run = refreshing.run(catalog=catalog)
    assert run.code == 1 and "tap's own" not in run.log
    assert "CRITICAL the config file" in run.log and "put aside" not in run.log
    assert "conversation_threads" not in run.bookmarks
