"""examples/sync.sh, the script for every night: power cuts, failed runs, two runs at once.

Most tests put small shell scripts in the place of the tap and the target; the last ones run the
real tap against the fake Help Scout.
"""

import contextlib
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests import stand_ins
from tests.conftest import TAP, Run, Tap
from tests.fake import FakeHelpScout
from tests.readme import blocks, section
from tests.stand_ins import ROOT
from tests.target import Target

pytestmark = pytest.mark.skipif(not shutil.which("flock"), reason="flock is missing")

DATE = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ"
TIMER = ROOT / "examples" / "systemd" / "tap-helpscout.timer"
SERVICE = TIMER.with_suffix(".service")

# Keeps what it is given in the files `arguments` and `given`, and writes one state.
STUB_TAP = """
echo "$*" > arguments
rm -f given
while [ $# != 0 ]; do [ "$1" != --state ] || cp "$2" given; shift; done
echo '{"bookmarks": {"users": "new"}}'
"""
# Runs until the file `go` is there, or it is told to end.
WAITING_TAP = STUB_TAP + "touch started; until [ -e go ]; do sleep 0.02; done\n"
# Writes down each line before the state in it, as a target that is killed at any time should.
# KILL_AT=3 kills it, the tap and the script when half of the third state is written.
LOADER = """
import json, os, signal, sys, time

states, kill_at = 0, int(os.environ.get("KILL_AT", "0"))
with open(f"loaded-{time.time_ns()}.jsonl", "w", encoding="utf-8") as file:
    for line in sys.stdin:
        file.write(line)
        file.flush()
        if (message := json.loads(line))["type"] == "STATE":
            states += 1
            state = json.dumps(message["value"])
            if states == kill_at:
                print(end=state[: len(state) // 2], flush=True)
                os.killpg(0, signal.SIGKILL)
            print(state, flush=True)
"""
NEW = b'{"bookmarks": {"users": "new"}}\n'


def state(number: int) -> bytes:
    return b'{"bookmarks": {"users": %d}}\n' % number


def wait_until(happened: Callable[[], object]) -> None:
    deadline = time.monotonic() + 60
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.02)


class Night:
    """The script in a folder that is laid out as in the README, with stubs as tap and target."""

    def __init__(self, folder: Path):
        self.folder = folder
        for name in ("tap", "target"):
            (folder / name / "bin").mkdir(parents=True)
        (folder / "tap" / "bin" / "python").symlink_to(sys.executable)
        shutil.copy(ROOT / "examples" / "sync.sh", folder)
        self.program("tap/bin/tap-helpscout", STUB_TAP)
        self.program("target/bin/target-jsonl", "cat")

    def program(self, name: str, text: str, interpreter: str = "/bin/bash") -> None:
        path = self.folder / name
        path.unlink(missing_ok=True)
        path.write_text(f"#!{interpreter}\n{text}\n", encoding="utf-8")
        path.chmod(0o755)

    def start(self, **settings: str) -> "subprocess.Popen[str]":
        """The running script, in a process group of its own, with as little as cron gives it."""
        return subprocess.Popen(
            [str(self.folder / "sync.sh")],
            cwd="/",
            env={"PATH": "/usr/bin:/bin", "NO_PROXY": "127.0.0.1", **settings},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def run(self, stdin: str = "", **settings: str) -> "subprocess.CompletedProcess[str]":
        with self.start(**settings) as process:
            stdout, stderr = process.communicate(stdin, timeout=120)
        assert stdout == ""
        return subprocess.CompletedProcess([], process.returncode, stdout, stderr)

    def good_run(self, stdin: str = "", **settings: str) -> None:
        done = self.run(stdin, **settings)
        assert (done.returncode, done.stderr) == (0, ""), done.stderr

    @contextlib.contextmanager
    def started(self, **settings: str) -> "Iterator[subprocess.Popen[str]]":
        """A run whose tap waits for the file `go`, or a signal."""
        self.program("tap/bin/tap-helpscout", WAITING_TAP)
        with self.start(**settings) as process:
            try:
                wait_until((self.folder / "started").exists)
                yield process
            finally:
                self.path("go").touch()

    def assert_killed(self, code: int) -> None:
        """The script was killed, and so was what it had started: nothing holds the lock."""
        assert code == -signal.SIGKILL
        lock = ["flock", "--nonblock", str(self.path("states.jsonl.lock")), "true"]
        wait_until(lambda: subprocess.run(lock, check=False).returncode == 0)

    def path(self, name: str) -> Path:
        return self.folder / name

    def read(self, name: str) -> str:
        return self.path(name).read_text(encoding="utf-8")

    @property
    def states(self) -> bytes:
        return self.path("states.jsonl").read_bytes()

    @states.setter
    def states(self, content: bytes) -> None:
        self.path("states.jsonl").write_bytes(content)

    @property
    def given(self) -> bytes | None:
        """The state that the stub tap was given."""
        path = self.path("given")
        return path.read_bytes() if path.exists() else None


@pytest.fixture(name="night")
def _night(tmp_path: Path) -> Night:
    return Night(tmp_path / "help scout")


def test_a_good_run_is_silent_and_goes_on_from_the_last_state(night: Night) -> None:
    night.good_run()
    assert night.given is None and night.states == NEW
    night.states = state(1) + state(2)
    night.good_run()
    assert night.given == state(2) and night.states == state(1) + state(2) + NEW
    assert night.read("arguments") == "--config config.json --state states.jsonl.last\n"
    assert "reading on from the last state in states.jsonl\n" in night.read("tap.log")


def test_nothing_is_left_behind_but_what_the_readme_names(night: Night) -> None:
    night.path("json.py").write_text("raise SystemExit(1)")  # a file of the user's
    before = {path.name for path in night.folder.iterdir()}
    night.good_run()
    night.states = state(1) + b"torn"
    night.good_run()
    made = {path.name for path in night.folder.iterdir()} - before
    ours = {"tap.log", "states.jsonl", "states.jsonl.last", "states.jsonl.lock"}
    assert made == ours | {"arguments", "given"}
    assert all(f"`{name}`" in section("Every day") for name in ours)


def test_the_log_of_a_run_begins_with_its_date_and_ends_with_its_exit_code(night: Night) -> None:
    night.program("tap/bin/tap-helpscout", "echo INFO all is well >&2")
    night.good_run()
    night.good_run()
    lines = night.read("tap.log").splitlines()
    assert len(lines) == 8
    for begin, _, log, end in (lines[:4], lines[4:]):
        assert re.fullmatch(DATE + " sync.sh begins: config.json to target/bin/target-jsonl", begin)
        assert log == "INFO all is well"
        assert re.fullmatch(
            DATE + r" sync.sh ends with exit code 0 after 0:\d\d:\d\d \(tap 0, target 0\)", end
        )


@pytest.mark.parametrize("tap, target, code", [(3, 0, 3), (0, 5, 5), (3, 5, 3)])
def test_the_exit_code_is_the_taps_if_it_failed_else_the_targets(
    night: Night, tap: int, target: int, code: int
) -> None:
    night.good_run()
    night.program("tap/bin/tap-helpscout", f"{STUB_TAP}\necho CRITICAL no >&2; exit {tap}")
    night.program("target/bin/target-jsonl", f"cat; exit {target}")
    done = night.run()
    assert done.returncode == code
    first, *end = done.stderr.splitlines()
    assert first == f"sync.sh: failed with exit code {code}. {night.path('tap.log')} ends with:"
    assert end == night.read("tap.log").splitlines()[3:], "all of this run and nothing else"
    assert "CRITICAL no" in end and end[-1].endswith(f"(tap {tap}, target {target})")


def test_what_is_shown_of_a_long_log_is_its_end(night: Night) -> None:
    night.program("tap/bin/tap-helpscout", "seq 1000 >&2; exit 1")
    shown = night.run().stderr.splitlines()
    assert shown[1:-1] == [str(number) for number in range(982, 1001)]


@pytest.mark.parametrize("name", ["tap/bin/tap-helpscout", "target/bin/target-jsonl"])
def test_a_program_that_is_missing_is_named(night: Night, name: str) -> None:
    night.path(name).unlink()
    done = night.run()
    assert done.returncode != 0 and f"{name}: No such file" in done.stderr


def test_a_second_run_is_held_off_and_names_the_first(night: Night) -> None:
    with night.started() as first:
        wait_until(lambda: night.states == NEW)
        log = night.read("tap.log")
        second = night.run()
        assert second.returncode == 75
        assert f"another run with {night.path('states.jsonl')} is under way" in second.stderr
        assert re.search(rf"process {first.pid} or what it started, since {DATE}$", second.stderr)
        assert (night.read("tap.log"), night.states) == (log, NEW)
        night.path("go").touch()
    assert first.returncode == 0
    night.good_run()


def test_other_states_are_no_reason_to_wait(night: Night) -> None:
    with night.started():
        night.path("go").touch()
        night.good_run(SYNC_STATES="other-states.jsonl")


def test_a_run_whose_script_was_killed_is_under_way_until_its_tap_ends(night: Night) -> None:
    with night.started() as first:
        first.kill()
        first.wait()
        assert night.run().returncode == 75
        night.path("go").touch()
    wait_until(lambda: night.run().returncode == 0)


@pytest.mark.parametrize(
    "torn",
    [
        b'{"bookmarks": {"us',
        b"\0" * 40,
        b'"bookmarks"',
        b'["bookmarks"]\n',
        b"null\n",
        b'{"level": "info"}\n',
        b'{"bookmarks": "\xff"}\n',
        b"\n\n",
    ],
)
def test_a_line_that_is_no_whole_state_is_passed_over(night: Night, torn: bytes) -> None:
    night.states = state(1) + state(2) + torn
    night.good_run()
    assert night.given == state(2)
    assert night.states == state(1) + state(2) + NEW, "the next state has a line of its own"
    assert ("1 of 3 lines passed over" in night.read("tap.log")) == bool(torn.strip())


def test_a_whole_state_whose_line_end_is_missing_is_used(night: Night) -> None:
    night.states = state(1) + state(2).rstrip()
    night.good_run()
    assert night.given == state(2) and night.states == state(1) + state(2) + NEW


@pytest.mark.parametrize("content", [b"", b"\n"])
def test_without_any_state_everything_is_read(night: Night, content: bytes) -> None:
    night.states = state(1)
    night.good_run()
    night.states = content  # as a run that failed leaves it, or somebody who wants all again
    night.good_run()
    assert night.given is None
    assert "states.jsonl has no state: reading everything since start_date" in night.read("tap.log")
    assert not night.path("states.jsonl.unreadable").exists()


def test_a_file_without_any_whole_state_is_put_aside(night: Night) -> None:
    night.states = b'{\n  "bookmarks": {}\n}\n'  # an editor's doing
    night.good_run()
    assert night.given is None and night.states == NEW
    assert night.path("states.jsonl.unreadable").read_bytes() == b'{\n  "bookmarks": {}\n}\n'
    assert "states.jsonl is now states.jsonl.unreadable" in night.read("tap.log")


def test_the_last_states_are_kept(night: Night) -> None:
    night.states = b"".join(state(number) for number in range(250))
    night.path("states.jsonl").chmod(0o640)
    night.good_run()
    assert night.states == b"".join(state(number) for number in range(150, 250)) + NEW
    assert night.path("states.jsonl").stat().st_mode & 0o777 == 0o640
    night.good_run(SYNC_KEEP_STATES="1")
    assert night.states == NEW + NEW
    assert not night.path("states.jsonl.new").exists()


# In the place of Python: kills the script and itself where it would do what is named.
KILLER = """
import os, signal, sys

def kill(*_):
    os.killpg(0, signal.SIGKILL)

setattr(os, {name!r}, kill)
sys.argv = sys.argv[2:]
exec(sys.stdin.read())
"""


@pytest.mark.parametrize("name", ["remove", "fsync", "replace"])
def test_killed_while_the_states_are_replaced(night: Night, name: str) -> None:
    night.good_run()
    night.states = before = state(1) + state(2) + b'{"torn'
    night.program("killer", KILLER.format(name=name), sys.executable)
    night.assert_killed(night.run(SYNC_PYTHON="./killer").returncode)
    assert night.states == before
    night.good_run()
    assert night.given == state(2) and night.states == state(1) + state(2) + NEW


def test_states_that_cannot_be_replaced_end_the_run_before_it_begins(night: Night) -> None:
    night.states = before = state(1) + b'{"torn'
    night.path("states.jsonl.new").mkdir()
    done = night.run()
    assert done.returncode == 1
    assert "cannot read and replace states.jsonl: " in done.stderr
    assert night.states == before and not night.path("arguments").exists()


def test_without_python_no_state_is_thrown_away(night: Night) -> None:
    night.states = state(1)
    night.path("tap/bin/python").unlink()
    done = night.run()
    assert done.returncode == 1 and "tap/bin/python: No such file" in done.stderr
    assert not night.path("arguments").exists()


def test_old_logs_are_kept_within_bounds(night: Night) -> None:
    settings = {"SYNC_LOG_BYTES": "500", "SYNC_KEEP_LOGS": "3"}
    night.program("tap/bin/tap-helpscout", 'echo "run $(cat run)" >&2; printf %0500d 0 >&2')
    for number in range(6):
        night.path("run").write_text(str(number))
        night.good_run(**settings)
    logs = [night.read(name) for name in ("tap.log", "tap.log.1", "tap.log.2", "tap.log.3")]
    assert [re.findall("run (.)", log) for log in logs] == [["5"], ["4"], ["3"], ["2"]]
    assert not night.path("tap.log.4").exists()


def test_another_target_needs_no_edit(night: Night) -> None:
    night.states = state(1)
    night.program("postgres", 'echo "$*" > target-arguments; cat')
    night.good_run(
        SYNC_TARGET="./postgres --config postgres.json", SYNC_STATES="postgres-states.jsonl"
    )
    assert night.read("target-arguments") == "--config postgres.json\n"
    assert night.path("postgres-states.jsonl").read_bytes() == NEW and night.states == state(1)
    assert night.path("postgres-tap.log").exists() and not night.path("tap.log").exists()


@pytest.mark.parametrize("setting", ["SYNC_TARGET", "SYNC_CONFIG"])
def test_the_states_of_one_account_and_target_are_not_taken_for_anothers(
    night: Night, setting: str
) -> None:
    done = night.run(**{setting: "other"})
    assert done.returncode == 64 and "set SYNC_STATES too" in done.stderr
    assert not night.path("arguments").exists()


@pytest.mark.parametrize("setting", ["SYNC_KEEP_STATES", "SYNC_LOG_BYTES", "SYNC_KEEP_LOGS"])
@pytest.mark.parametrize("value", ["0", "many", "-1", "1.5"])
def test_a_bound_that_is_no_number_is_refused(night: Night, setting: str, value: str) -> None:
    done = night.run(**{setting: value})
    assert done.returncode == 64 and setting in done.stderr and f"'{value}'" in done.stderr


def test_the_catalog_is_used_where_there_is_one(night: Night) -> None:
    night.path("catalog.json").touch()
    night.good_run()
    assert night.read("arguments") == "--config config.json --catalog catalog.json\n"
    night.good_run(SYNC_CATALOG="missing.json", SYNC_KEEP_STATES="1")
    assert night.read("arguments").endswith(" --catalog missing.json\n"), "the tap says it"


def test_a_config_can_come_by_stdin(night: Night) -> None:
    night.program("tap/bin/tap-helpscout", 'cat "$2" > config')
    night.good_run("a secret", SYNC_CONFIG="/dev/stdin", SYNC_STATES="states.jsonl")
    assert night.read("config") == "a secret"


@pytest.mark.parametrize("setting", ["SYNC_LOG", "SYNC_STATES"])
def test_files_that_cannot_be_written_are_named(night: Night, setting: str) -> None:
    done = night.run(**{setting: "missing/file"})
    assert done.returncode == 1 and "missing/file" in done.stderr
    assert not night.path("arguments").exists()


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT", "SIGHUP"])
def test_a_signal_ends_the_tap_and_lets_the_target_store_what_it_has(
    night: Night, name: str
) -> None:
    night.program("target/bin/target-jsonl", "touch target-started; tac")  # at its end
    with night.started() as process:
        wait_until(night.path("target-started").exists)
        process.send_signal(getattr(signal, name))
        _, shown = process.communicate(timeout=60)
    assert process.returncode == 143 and night.states == NEW
    assert f"{name}: ending" in shown and "exit code 143" in shown.splitlines()[-1]
    night.program("tap/bin/tap-helpscout", STUB_TAP)
    night.good_run()


def test_a_signal_before_the_tap_is_started_ends_the_run_too(night: Night) -> None:
    night.program("tap/bin/tap-helpscout", WAITING_TAP)
    night.program("python", f'kill -TERM $PPID; exec {sys.executable} "$@"')
    assert night.run(SYNC_PYTHON="./python").returncode == 143
    assert "exit code 143" in night.read("tap.log")


def test_a_second_signal_ends_the_target_too(night: Night) -> None:
    night.program("target/bin/target-jsonl", "echo $$ > target-pid; exec sleep 1000")
    with night.started() as process:
        wait_until(lambda: night.path("target-pid").exists() and night.read("target-pid"))
        process.terminate()
        wait_until(lambda: "ending" in night.read("tap.log"))
        process.terminate()
        # bash says 255 of a child where a signal comes as its `wait` returns.
        assert process.wait(timeout=60) in (143, 255)
    assert re.search(r"\(tap (143|255), target 143\)", night.read("tap.log"))


# With the real tap.


@pytest.fixture(name="fake")
def _fake(small_fake: FakeHelpScout) -> FakeHelpScout:
    small_fake.page_sizes[None] = 1  # several windows all the same
    return small_fake


@pytest.fixture(name="real")
def _real(night: Night, fake: FakeHelpScout) -> Night:
    """The real tap, reading the fake; a target that stores each line as it comes."""
    Tap(fake, night.folder)
    night.path("tap/bin/tap-helpscout").unlink()
    night.path("tap/bin/tap-helpscout").symlink_to(TAP)
    night.program("target/bin/target-jsonl", LOADER, sys.executable)
    return night


def whole_states(night: Night) -> list[bytes]:
    path = night.path("states.jsonl")
    lines = path.read_bytes().splitlines(True) if path.exists() else []
    return [line for line in lines if line.endswith(b"}\n")]


def loaded(night: Night) -> Target:
    """What the target has stored in all runs, without the lines that a kill has cut."""
    target = Target()
    for path in sorted(night.folder.glob("loaded-*.jsonl")):
        lines = path.read_text(encoding="utf-8").splitlines(True)
        target.load(Run(None, "".join(line for line in lines if line.endswith("\n")), ""))
    return target


def test_after_power_cuts_the_next_run_goes_on_from_the_last_whole_state(
    real: Night, fake: FakeHelpScout
) -> None:
    began_with = []
    for state_number in (4, 6, 8, 10):
        real.assert_killed(real.run(KILL_AT=str(state_number)).returncode)
        assert not real.states.endswith(b"\n")
        began_with.append(whole_states(real)[-1])
        real.run(SYNC_TAP="false")
        assert real.path("states.jsonl.last").read_bytes() == began_with[-1]
    assert len(set(began_with)) == 4, "no run got further than the one before"
    real.good_run()
    assert real.path("states.jsonl.last").read_bytes() == began_with[-1]
    assert not loaded(real).lacks(fake)


def test_killed_at_any_request_the_next_runs_bring_every_row(
    real: Night, fake: FakeHelpScout
) -> None:
    for _ in range(4):
        requests = random.randrange(2, 40)
        print(f"killed after {requests} requests")
        with real.start() as process:
            fake.before(lambda _, pid=process.pid: os.killpg(pid, signal.SIGKILL), skip=requests)
            process.communicate(timeout=120)
        real.assert_killed(process.returncode)
    real.good_run()
    assert not loaded(real).lacks(fake)


def test_a_stream_that_failed_shows_its_error_and_the_next_night_brings_it(
    real: Night, fake: FakeHelpScout
) -> None:
    fake.fault(400, "/v2/teams$")
    done = real.run()
    assert done.returncode == 1 and "teams is incomplete" in done.stderr
    assert "(tap 1, target 0)" in done.stderr
    real.good_run()
    assert not loaded(real).lacks(fake)


def test_what_the_tap_says_about_the_state_names_the_file_of_the_states(real: Night) -> None:
    real.states = b'{"bookmarks": {"users": "yesterday"}}\n'
    done = real.run()
    assert done.returncode == 1 and "the state file states.jsonl must look like" in done.stderr
    assert "states.jsonl.last" not in done.stderr


def test_target_jsonl_by_the_script(real: Night, fake: FakeHelpScout) -> None:
    real.path("target/bin/target-jsonl").unlink()
    stand_ins.put("target-jsonl", real.path("target/bin"))
    real.good_run()
    real.good_run()
    bookmarks = json.loads(whole_states(real)[-1])["bookmarks"]
    assert real.path("states.jsonl.last").read_bytes() == whole_states(real)[-2]
    assert bookmarks.keys() >= {"conversations", "customers"} and fake.requests


# As the README says to start it.


def test_the_crontab_line_and_the_service_start_the_script_that_was_copied(tmp_path: Path) -> None:
    (copy,) = (
        block["text"]
        for block in blocks(section("Every day"), "bash")
        if block["text"].startswith("cp examples/sync.sh")
    )
    (crontab,) = (
        block["text"] for block in blocks(section("Every day"), "text") if "* * *" in block["text"]
    )
    assert copy == "cp examples/sync.sh ~/helpscout/\n~/helpscout/sync.sh\n"
    assert re.fullmatch(r"\d+ \d+ \* \* \* \$HOME/helpscout/sync.sh\n", crontab)
    assert "\nExecStart=%h/helpscout/sync.sh\n" in SERVICE.read_text(encoding="utf-8")
    if not shutil.which("systemd-analyze"):
        pytest.skip("systemd-analyze is missing")
    night = Night(tmp_path / "helpscout")
    done = subprocess.run(
        ["systemd-analyze", "verify", "--user", str(SERVICE), str(TIMER)],
        env={**os.environ, "HOME": str(night.folder.parent), "XDG_RUNTIME_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
