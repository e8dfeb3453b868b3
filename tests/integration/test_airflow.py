"""Airflow, with the DAG that a user copies: examples/airflow/helpscout.py."""

import contextlib
import fcntl
import json
import os
import re
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.conftest import TAP
from tests.fake import FakeHelpScout, build
from tests.integration.conftest import (
    BY_DEFAULT,
    ROOT,
    Outage,
    asked_since,
    free_port,
    installed,
    shortly_before,
)

DAG = ROOT / "examples" / "airflow" / "helpscout.py"
START_DATE = "2010-01-01T00:00:00Z"
MINUTES = 60
ACCOUNTS = {"north": 90, "south": 200, "west": 60}  # conversations
POOL_SLOTS = 2
PROGRAM = "import helpscout; helpscout.ReadAccount(task_id='read', account='north').execute({})"
# Stores nothing; waits for a file `go` before it writes the last state, as a database may be slow.
SLOW_TARGET = f"""#!{sys.executable}
import json, pathlib, sys, time
lines = [line for line in sys.stdin if line.endswith("\\n")]
states = [json.loads(line)["value"] for line in lines if '"STATE"' in line]
for _ in range(2400):  # no test that fails leaves it behind
    if pathlib.Path(sys.argv[2]).with_name("go").exists():
        print(json.dumps(states[-1]))
        break
    time.sleep(0.05)
"""


class Airflow:
    """An Airflow with a home of its own, and a folder per account that the DAG reads."""

    def __init__(self, home):
        self.home, self.accounts = home, home / "accounts"
        shutil.rmtree(home, ignore_errors=True)
        self.accounts.mkdir(parents=True)
        self.bin = installed("apache-airflow")
        self.env = {
            **os.environ,
            "AIRFLOW_HOME": str(home),
            "AIRFLOW__CORE__DAGS_FOLDER": str(DAG.parent),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__CORE__DEFAULT_TASK_RETRY_DELAY": "1",
            "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
            "AIRFLOW_VAR_HELPSCOUT_ACCOUNTS": str(self.accounts),
            "AIRFLOW_VAR_HELPSCOUT_TAP": TAP,
            "NO_PROXY": "127.0.0.1,localhost",
        }

    def account(self, name, fake, target):
        """Makes the folder of an account."""
        folder = self.accounts / name
        folder.mkdir()
        config = {
            "client_id": fake.client_id,
            "client_secret": fake.client_secret,
            "start_date": START_DATE,
            "api_url": fake.url,
            "retry_seconds": 0,
        }
        (folder / "config.json").write_text(json.dumps(config))
        (folder / "target.json").write_text(json.dumps(target))

    def states(self, name):
        text = (self.accounts / name / "states.jsonl").read_text()
        return [json.loads(line) for line in text.splitlines()]

    def run(self, *args, code=0):
        """What a command of Airflow's said."""
        done = subprocess.run(
            [self.bin / "airflow", *args],
            env=self.env,
            cwd=self.home,
            capture_output=True,
            text=True,
            timeout=10 * MINUTES,
            check=False,
        )
        said = done.stdout + done.stderr
        assert done.returncode == code, said[-20000:]
        return said

    def start(self):
        """The task of account north alone, in a process group of its own."""
        return subprocess.Popen(
            [self.bin / "python", "-c", PROGRAM],
            env={**self.env, "PYTHONPATH": str(DAG.parent)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def read(self, code=0):
        """What the task of account north said, run alone."""
        with self.start() as process:
            said, _ = process.communicate(timeout=5 * MINUTES)
        assert process.returncode == code, said
        return said

    def target(self, script):
        path = self.home / "target"
        path.write_text(script)
        path.chmod(0o755)
        self.env["AIRFLOW_VAR_HELPSCOUT_TARGET"] = str(path)


class Warehouse:
    """The accounts and where they are loaded to: a schema each."""

    def __init__(self, airflow, postgres):
        self.airflow, self._postgres = airflow, postgres
        target = installed("meltanolabs-target-postgres") / "target-postgres"
        airflow.env["AIRFLOW_VAR_HELPSCOUT_TARGET"] = str(target)

    def schema(self, account):
        return f"{self.airflow.home.name}_{account}".replace("-", "_")

    def add(self, account, fake):
        settings = {
            "host": "127.0.0.1",
            "port": self._postgres.port,
            "user": "helpscout",
            "password": "unused",
            "database": "postgres",
            "default_target_schema": self.schema(account),
        }
        self.airflow.account(account, fake, settings)

    def counts(self, account):
        return {
            stream: self._postgres.value(f"SELECT count(*) FROM {self.schema(account)}.{stream}")
            for stream in BY_DEFAULT
        }

    def conversations(self, account):
        rows = self._postgres.rows(f"SELECT id FROM {self.schema(account)}.conversations")
        return {row["id"] for row in rows}


@pytest.fixture(name="fakes", scope="module")
def _fakes():
    """Three accounts whose rows differ."""
    with contextlib.ExitStack() as stack:
        yield {
            name: stack.enter_context(
                FakeHelpScout(build(conversations, seed=seed), page_size=5, latency=0.01)
            )
            for seed, (name, conversations) in enumerate(ACCOUNTS.items())
        }


@pytest.fixture(name="nights", scope="module")
def _nights(fakes, postgres):
    """Two nights by `airflow dags test`: in the first, Help Scout fails account south."""
    warehouse = Warehouse(Airflow(ROOT / ".integration" / "airflow-nights"), postgres)
    airflow = warehouse.airflow
    for name, fake in fakes.items():
        warehouse.add(name, fake)
    airflow.run("db", "migrate")
    outage = Outage(fakes["south"], after=20)
    first = SimpleNamespace(log=airflow.run("dags", "test", "helpscout", code=1))
    first.rows = {name: warehouse.counts(name) for name in ("north", "west")}
    first.conversations = warehouse.conversations("south")
    first.states = {name: airflow.states(name)[-1] for name in fakes}
    outage.end()
    for fake in fakes.values():
        fake.clear()
    airflow.run("dags", "test", "helpscout")
    return SimpleNamespace(
        first=first,
        rows={name: warehouse.counts(name) for name in fakes},
        conversations={name: warehouse.conversations(name) for name in fakes},
        requests={name: fake.requests for name, fake in fakes.items()},
    )


def test_a_failed_account_leaves_the_others_alone(nights, fakes):
    assert nights.first.rows == {name: fakes[name].truth_counts() for name in ("north", "west")}


def test_a_failed_account_has_stored_what_it_had_read(nights, fakes):
    assert 0 < len(nights.first.conversations) < len(fakes["south"].conversation_ids)


def test_the_failure_is_explained_with_the_end_of_the_log(nights):
    assert "south: the tap ended with exit code 1, the target with 0" in nights.first.log
    explained = nights.first.log.partition("south: the tap ended with exit code 1")[2]
    assert "answered 503" in explained


def test_the_next_night_goes_on_from_the_last_state(nights):
    bookmark = nights.first.states["south"]["bookmarks"]["conversations"]
    assert bookmark > START_DATE
    assert asked_since(nights.requests["south"]) >= shortly_before(bookmark)


@pytest.mark.parametrize("account", ["north", "west"])
def test_the_next_night_reads_only_what_changed_in_the_others(nights, account):
    bookmark = nights.first.states[account]["bookmarks"]["conversations"]
    assert asked_since(nights.requests[account]) >= shortly_before(bookmark)


@pytest.mark.parametrize("account", ACCOUNTS)
def test_then_each_schema_has_its_account(nights, fakes, account):
    assert nights.rows[account] == fakes[account].truth_counts()
    assert nights.conversations[account] == set(fakes[account].conversation_ids)


class Services:
    """Airflow's scheduler with the LocalExecutor, and what it needs beside it."""

    def __init__(self, airflow):
        self._airflow, self._processes = airflow, []
        self._port = port = free_port()
        airflow.env.update(
            AIRFLOW__CORE__EXECUTOR="LocalExecutor",
            AIRFLOW__CORE__PARALLELISM="8",
            AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION="False",
            AIRFLOW__CORE__EXECUTION_API_SERVER_URL=f"http://127.0.0.1:{port}/execution/",
            AIRFLOW__API__HOST="127.0.0.1",
            AIRFLOW__API__PORT=str(port),
            AIRFLOW__API__BASE_URL=f"http://127.0.0.1:{port}",
            AIRFLOW__API_AUTH__JWT_SECRET="a secret for the tests " * 4,
            AIRFLOW__LOGGING__WORKER_LOG_SERVER_PORT=str(free_port()),
        )

    def __enter__(self):
        return self

    def start(self):
        self._start("api-server")
        self._wait_for_port()  # a task that cannot reach it fails
        self._start("scheduler")
        self._start("dag-processor")

    def __exit__(self, *_):
        for process in self._processes:
            process.terminate()
        for process in self._processes:
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait(30)

    def _start(self, service):
        with (self._airflow.home / f"{service}.log").open("w") as log:
            self._processes.append(
                subprocess.Popen(  # pylint: disable=consider-using-with
                    [self._airflow.bin / "airflow", service],
                    env=self._airflow.env,
                    cwd=self._airflow.home,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
            )

    def _wait_for_port(self):
        end = time.monotonic() + 5 * MINUTES
        while time.monotonic() < end:
            with contextlib.suppress(ConnectionRefusedError):
                with socket.create_connection(("127.0.0.1", self._port)):
                    return
            time.sleep(0.1)
        self._fail("no API server")

    def _fail(self, what):
        logs = [f"{path}:\n{path.read_text()[-5000:]}" for path in self._airflow.home.glob("*.log")]
        pytest.fail("\n".join([what, *logs]), pytrace=False)

    def wait(self):
        """Waits for the scheduled run; gives the states of the tasks over time, and its own."""
        end, seen = time.monotonic() + 5 * MINUTES, []
        with contextlib.closing(sqlite3.connect(self._airflow.home / "airflow.db")) as database:
            while time.monotonic() < end:
                time.sleep(0.1)
                tasks = database.execute(
                    "SELECT rendered_map_index, state, try_number FROM task_instance "
                    "WHERE task_id = 'read' AND map_index >= 0"
                ).fetchall()
                if tasks and tasks != seen[-1:]:
                    seen.append(tasks)
                for (state,) in database.execute("SELECT state FROM dag_run").fetchall():
                    if state in ("success", "failed"):
                        return seen, state
        return self._fail(f"no end of the run: {seen[-1:]}")


def set_up(airflow):
    """Runs the commands that the DAG shows, with the paths and the pool of the test."""
    commands = re.findall(r"^    (airflow (\w+) set (\w+) .+)$", DAG.read_text(), re.MULTILINE)
    assert [words for _, *words in commands] == [
        ["variables", "helpscout_accounts"],
        ["variables", "helpscout_tap"],
        ["variables", "helpscout_target"],
        ["pools", "helpscout"],
    ]
    script = "\n".join(command for command, *_ in commands).replace(
        "set helpscout 8", f"set helpscout {POOL_SLOTS}"
    )
    for variable, path in (
        ("ACCOUNTS", "/srv/helpscout"),
        ("TAP", "/opt/tap-helpscout/bin/tap-helpscout"),
        ("TARGET", "/opt/target-postgres/bin/target-postgres"),
    ):
        assert script.count(path) == 1
        script = script.replace(path, airflow.env.pop(f"AIRFLOW_VAR_HELPSCOUT_{variable}"))
    done = subprocess.run(
        ["bash", "-euc", script],
        env={**airflow.env, "PATH": f"{airflow.bin}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def is_running(pid):
    """Whether a process is neither gone nor waits only for its parent to notice that it is."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
    except FileNotFoundError:
        return False
    return status.rpartition(")")[2].split()[0] != "Z"


@pytest.fixture(name="scheduled", scope="module")
def _scheduled(nights, fakes, postgres):
    """A run by the scheduler, in which a task and its processes are ended by a signal."""
    assert nights
    warehouse = Warehouse(Airflow(ROOT / ".integration" / "airflow-scheduled"), postgres)
    airflow = warehouse.airflow
    for name, fake in fakes.items():
        warehouse.add(name, fake)
        fake.clear()
    airflow.run("db", "migrate")
    set_up(airflow)
    before = []

    def kill(fake):
        """As Airflow's supervisor does where a task has been marked as failed."""
        text = (airflow.accounts / "south" / "states.jsonl.lock").read_text()
        tap = int(re.search(r"tap (\d+)", text)[1])
        os.killpg(os.getpgid(tap), signal.SIGTERM)
        while is_running(tap):
            time.sleep(0.05)
        before.extend(fake.requests)

    fakes["south"].before(kill, path=r"/v2/conversations\?", skip=20)
    with Services(airflow) as services:
        services.start()
        seen, state = services.wait()
    return SimpleNamespace(
        seen=seen,
        state=state,
        before=before,
        after=fakes["south"].requests[len(before) :],
        first_state=airflow.states("south")[0],
        counts={name: warehouse.counts(name) for name in fakes},
    )


def test_the_scheduler_runs_a_task_per_account_and_tries_again(scheduled):
    assert scheduled.state == "success"
    assert {name: tries for name, _, tries in scheduled.seen[-1]} == {
        "north": 1,
        "south": 2,
        "west": 1,
    }


def test_the_pool_bounds_how_many_run_at_once(scheduled):
    busy = [
        sum(state in ("queued", "running") for _, state, _ in tasks) for tasks in scheduled.seen
    ]
    assert max(busy) == POOL_SLOTS < len(ACCOUNTS)


def test_a_retry_goes_on_from_the_last_state(scheduled):
    bookmark = scheduled.first_state["bookmarks"]["conversations"]
    assert asked_since(scheduled.before) < shortly_before(bookmark)
    assert asked_since(scheduled.after) >= shortly_before(bookmark)


@pytest.mark.parametrize("account", ACCOUNTS)
def test_the_scheduled_run_has_loaded_each_account(scheduled, fakes, account):
    assert scheduled.counts[account] == fakes[account].truth_counts()


@pytest.fixture(name="north")
def _north(small_fake):
    """(airflow, fake): account north alone, without a database of Airflow's."""
    airflow = Airflow(ROOT / ".integration" / "airflow-task")
    airflow.account("north", small_fake, {})
    return airflow, small_fake


def test_the_target_keeps_the_lock_when_the_task_is_killed(north):
    airflow, fake = north
    airflow.target(SLOW_TARGET)
    fake.before(lambda _: os.killpg(task.pid, signal.SIGKILL), path="/v2/customers", times=1)
    with airflow.start() as task:
        task.communicate(timeout=5 * MINUTES)
    assert task.returncode == -signal.SIGKILL
    assert re.search(
        r"another run is still at work \(on \S+, tap \d+, target \d+, since \S+Z\)",
        airflow.read(code=1),
    )
    (airflow.accounts / "north" / "go").touch()
    with (airflow.accounts / "north" / "states.jsonl.lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # waits for the target
    (state,) = airflow.states("north")
    fake.clear()
    airflow.read()
    bookmark = state["bookmarks"]["conversations"]
    assert asked_since(fake.requests) >= shortly_before(bookmark)


def test_a_line_that_was_torn_is_passed_over(north):
    airflow, fake = north
    airflow.target(SLOW_TARGET)
    folder = airflow.accounts / "north"
    (folder / "go").touch()
    bookmark = fake.truth()["conversations"][-1]["createdAt"]
    state = {"bookmarks": dict.fromkeys(["conversations", "conversation_threads"], bookmark)}
    (folder / "states.jsonl").write_text(json.dumps(state) + '\n{"bookmarks": {"conv')
    airflow.read()
    assert asked_since(fake.requests) >= shortly_before(bookmark)
    lines = (folder / "states.jsonl").read_text().splitlines()
    assert [json.loads(lines[0]), lines[1]] == [state, '{"bookmarks": {"conv']
    assert json.loads(lines[2])["bookmarks"]["users"]


def test_a_target_that_fails_fails_the_task(north):
    airflow, _ = north
    airflow.target("#!/bin/sh\ncat > /dev/null\necho 'no space left' >&2\nexit 3\n")
    said = airflow.read(code=1)
    assert "north: the tap ended with exit code 0, the target with 3" in said
    assert said.rstrip().endswith("no space left")


def test_a_target_that_ends_early_ends_the_tap(north):
    airflow, _ = north
    airflow.target("#!/bin/sh\nread line\necho 'no such table' >&2\nexit 3\n")
    said = airflow.read(code=1)
    assert "north: the tap ended with exit code 1, the target with 3" in said
    assert "no such table" in said


def test_the_catalog_of_the_account_is_heeded(north):
    airflow, fake = north
    airflow.target(SLOW_TARGET)
    folder = airflow.accounts / "north"
    (folder / "go").touch()
    (folder / "catalog.json").write_text('{"streams": []}')
    airflow.read(code=1)
    assert not fake.requests
