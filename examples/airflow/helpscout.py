"""Many Help Scout accounts into a database, every night: an Airflow DAG with a task per account.

It needs Airflow 3. Each account is a folder in one common folder:

    /srv/helpscout/north/config.json    the tap's settings
    /srv/helpscout/north/target.json    the target's settings, with a schema of the account's own
    /srv/helpscout/north/catalog.json   which streams and fields to read; without it, all
    /srv/helpscout/north/states.jsonl   written here: what the target wrote to its stdout

A new folder is a new task in the next run. With the Celery or Kubernetes executor, the common
folder is a volume that every worker mounts at the same path, that tasks may write to, and whose
file locks hold between machines (NFS 4 does, an object store does not). Nothing else is kept
between two runs, so any worker can take any account. The workers have the tap and the target, each
in an environment of its own. Then:

    airflow variables set helpscout_accounts /srv/helpscout
    airflow variables set helpscout_tap /opt/tap-helpscout/bin/tap-helpscout
    airflow variables set helpscout_target /opt/target-postgres/bin/target-postgres
    airflow pools set helpscout 8 "Help Scout accounts that are read at once"

(or set AIRFLOW_VAR_HELPSCOUT_ACCOUNTS and so on in the environment of the workers). The pool bounds
memory (some 300 MB per account for tap and target) and connections to the database; what an account
may be asked per minute does not depend on the others. Without the pool no account is read.
"""

from __future__ import annotations

import fcntl
import json
import os
import socket
import subprocess
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path
from typing import IO, Any

from airflow.sdk import BaseOperator, Variable, dag, task

# Lines of both programs' logs in the message of a failed task, which notifications show.
SHOWN_LOG_LINES = 20


def common_folder() -> Path:
    return Path(Variable.get("helpscout_accounts"))


@contextmanager
def locked(path: Path) -> Iterator[IO[str]]:
    """Opens a file that no other run holds. Who inherits the file holds the lock as well."""
    with path.open("a+", encoding="utf-8") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            raise RuntimeError(
                f"{path.parent}: another run is still at work ({lock.read().strip()}). "
                "This one is tried again later."
            ) from None
        yield lock


def is_state(line: str) -> bool:
    try:
        document = json.loads(line)
    except ValueError:
        return False
    return isinstance(document, dict) and "bookmarks" in document


def last_state(states: IO[str]) -> str | None:
    """The last whole state; a line that was torn by a full disk or a power cut is passed over."""
    states.seek(0)
    text = states.read()
    if text and not text.endswith("\n"):
        states.write("\n")
        states.flush()
    return next(filter(is_state, reversed(text.split("\n"))), None)


class Pipe:
    """`tap | target`, started; `log` has what both write to stderr and ends when both have."""

    def __init__(self, tap: list[str], target: list[str], states: IO[str], lock: IO[str]) -> None:
        log, stderr = os.pipe()
        self.log = open(log, encoding="utf-8", errors="replace")
        held = [lock.fileno()]
        with open(stderr, "wb") as errors:
            self.tap = subprocess.Popen(tap, stdout=subprocess.PIPE, stderr=errors, pass_fds=held)
            assert self.tap.stdout
            # Closed on this side, for the tap must notice when the target has ended.
            with self.tap.stdout as records:
                # Airflow kills a task with its whole process group. The target is in another one:
                # it stores what it has received, and until then the lock keeps a retry away.
                self.target = subprocess.Popen(
                    target,
                    stdin=records,
                    stdout=states,
                    stderr=errors,
                    pass_fds=held,
                    start_new_session=True,
                )


class ReadAccount(BaseOperator):
    """Reads an account from its last state on into the target."""

    _pipe: Pipe | None = None

    def __init__(self, *, account: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.account = account

    def execute(self, context: Any) -> None:
        folder = common_folder() / self.account
        with (
            locked(folder / "states.jsonl.lock") as lock,
            (folder / "states.jsonl").open("a+", encoding="utf-8", errors="replace") as states,
        ):
            self._pipe = Pipe(
                [Variable.get("helpscout_tap", "tap-helpscout"), *tap_options(folder, states)],
                [
                    Variable.get("helpscout_target", "target-postgres"),
                    "--config",
                    str(folder / "target.json"),
                ],
                states,
                lock,
            )
            self._say_who_holds(lock, self._pipe)
            self._finish(self._pipe)

    def on_kill(self) -> None:
        """Ends the tap after a whole line; the target then stores what it has received and ends."""
        if self._pipe:
            self._pipe.tap.terminate()

    def _say_who_holds(self, lock: IO[str], pipe: Pipe) -> None:
        lock.truncate(0)
        print(
            f"on {socket.gethostname()}, tap {pipe.tap.pid}, target {pipe.target.pid}, "
            f"since {datetime.now(timezone.utc):%Y-%m-%dT%H:%M:%SZ}",
            file=lock,
            flush=True,
        )

    def _finish(self, pipe: Pipe) -> None:
        """Logs what both say until they end. Raises RuntimeError unless both ended well."""
        shown: deque[str] = deque(maxlen=SHOWN_LOG_LINES)
        try:
            for line in pipe.log:
                self.log.info("%s", line.rstrip())
                shown.append(line)
            codes = pipe.tap.wait(), pipe.target.wait()
        except BaseException:  # Airflow's execution_timeout is not an Exception
            self.on_kill()
            raise
        if any(codes):
            raise RuntimeError(
                f"{self.account}: the tap ended with exit code {codes[0]}, the target with "
                f"{codes[1]}. The log ends with:\n{''.join(shown)}"
            )


def tap_options(folder: Path, states: IO[str]) -> list[str]:
    options = ["--config", str(folder / "config.json")]
    state, catalog = last_state(states), folder / "catalog.json"
    if state:
        (folder / "state.json").write_text(state, encoding="utf-8")
        options += ["--state", str(folder / "state.json")]
    if catalog.exists():
        options += ["--catalog", str(catalog)]
    return options


@dag(
    schedule="@daily",
    start_date=datetime(2026, 1, 1, tzinfo=timezone.utc),
    catchup=False,
    # The next run would find the accounts locked that are still being read.
    max_active_runs=1,
    # A retry goes on from the last state, after core.default_task_retry_delay (5 minutes).
    default_args={"retries": 3},
)
def helpscout() -> None:
    @task
    def accounts() -> list[str]:
        """The names of the folders that have a config.json."""
        found = sorted(path.parent.name for path in common_folder().glob("*/config.json"))
        if not found:
            raise RuntimeError(f"{common_folder()} has no folder with a config.json")
        return found

    ReadAccount.partial(
        task_id="read",
        map_index_template="{{ task.account }}",
        pool="helpscout",
    ).expand(account=accounts())


helpscout()
