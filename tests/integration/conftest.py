"""What the tap's users run beside it: environments with targets and runners, a PostgreSQL server.

What cannot be installed fails the tests that need it, with the installer's own words.
"""

import contextlib
import functools
import glob
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from tap_helpscout.streams import STREAMS
from tests.conftest import Tap
from tests.fake import FakeHelpScout

ROOT = Path(__file__).parents[2]
# What an unedited catalog reads.
BY_DEFAULT = {name: stream for name, stream in STREAMS.items() if stream.selected_by_default}


def run(*command, **kwargs):
    """A command's whole output; what it wrote is in the message if it fails."""
    done = subprocess.run(command, capture_output=True, text=True, check=False, **kwargs)
    if done.returncode:
        pytest.fail(
            f"{' '.join(command)} ended with {done.returncode}\n{done.stdout[-5000:]}\n"
            f"{done.stderr[-5000:]}",
            pytrace=False,
        )
    return done


def shortly_before(bookmark):
    """The earliest that a run from this bookmark may ask for: less the lookback, and a little."""
    moment = datetime.strptime(bookmark, "%Y-%m-%dT%H:%M:%SZ") - timedelta(minutes=11)
    return f"{moment.isoformat()}Z"


def asked_since(requests):
    """The earliest moment that conversations were asked from."""
    return min(
        request.params["modifiedSince"]
        for request in requests
        if "modifiedSince" in request.params and request.path == "/v2/conversations"
    )


class Outage:
    """Nothing is answered any more, from a request for conversations on, until it is over."""

    def __init__(self, fake, after):
        self._fault = None
        fake.before(self._begin, path=r"/v2/conversations\?", skip=after)

    def _begin(self, fake):
        self._fault = fake.fault(503, times=None)

    def end(self):
        self._fault.times = self._fault.hits


@functools.cache
def interpreter(version):
    """The Python of a version ("3.9"), on PATH or among pyenv's; skips where there is none."""
    pyenv = os.environ.get("PYENV_ROOT") or os.path.expanduser("~/.pyenv")
    for python in [f"python{version}", *glob.glob(f"{pyenv}/versions/{version}.*/bin/python3")]:
        with contextlib.suppress(OSError):
            done = subprocess.run(
                [python, "-c", "import sys; print(sys.version_info[:2])"],
                capture_output=True,
                text=True,
                check=False,
            )
            if done.stdout.strip() == str(tuple(map(int, version.split(".")))):
                return python
    return pytest.skip(f"this machine has no Python {version}")


@functools.cache
def environment(name, python=sys.executable):
    """The bin folder of .venv-NAME, as the Makefile makes it; made once, however it ends."""
    done = subprocess.run(
        ["make", "-s", f".venv-{name}/ready", f"PYTHON={python}"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    return ROOT / f".venv-{name}" / "bin", done


def installed(name, **kwargs):
    """The bin folder of an environment; fails where it could not be made."""
    folder, done = environment(name, **kwargs)
    if done.returncode:
        pytest.fail(f"could not install {name}:\n{done.stdout}{done.stderr}"[:5000], pytrace=False)
    return folder


class Pipe:
    """`tap | target`: how they ended and what they wrote."""

    def __init__(self, tap, target, state=None, catalog=None, folder=None):
        errors = tap.folder / "tap.log"
        with (
            errors.open("w") as log,
            subprocess.Popen(
                tap.command(state=state, catalog=catalog),
                stdout=subprocess.PIPE,
                stderr=log,
                env=tap.env(None),
            ) as process,
        ):
            done = subprocess.run(
                target,
                stdin=process.stdout,
                capture_output=True,
                text=True,
                timeout=300,
                check=False,
                cwd=folder,
            )
        self.tap_code, self.tap_log = process.returncode, errors.read_text()
        self.code, self.output, self.log = done.returncode, done.stdout, done.stderr

    @property
    def state(self):
        """The last state that the target wrote: all before it is loaded."""
        return json.loads(self.output.splitlines()[-1])

    def ended_well(self):
        assert self.tap_code == 0, self.tap_log
        assert self.code == 0, self.log[-5000:]
        return self


@pytest.fixture(name="account", scope="module")
def _account(tmp_path_factory):
    """A fake and a tap for all tests of a module, which read what one sync has brought."""
    with FakeHelpScout(page_size=10) as fake:
        yield Tap(fake, tmp_path_factory.mktemp("account"))


class Postgres:
    """A server of our own, asked through psql."""

    def __init__(self, binaries, folder, user):
        self.port = free_port()
        self._binaries, self._folder = binaries, folder
        run(
            str(binaries / "initdb"),
            "-D",
            f"{folder}/data",
            "-A",
            "trust",
            "-U",
            "helpscout",
            "-E",
            "UTF8",
            "--no-sync",
            **user,
        )
        self._log = open(folder / "log", "wb")  # pylint: disable=consider-using-with
        self._server = subprocess.Popen(  # pylint: disable=consider-using-with
            [
                binaries / "postgres",
                "-D",
                f"{folder}/data",
                "-p",
                str(self.port),
                "-k",
                folder,
                "-c",
                "listen_addresses=127.0.0.1",
                "-c",
                "fsync=off",
            ],
            stdout=self._log,
            stderr=self._log,
            **user,
        )
        for _ in range(300):
            ready = subprocess.run(
                [binaries / "pg_isready", "-h", "127.0.0.1", "-p", str(self.port)],
                capture_output=True,
                check=False,
            )
            if ready.returncode == 0:
                return
            time.sleep(0.1)
        self.stop()
        pytest.fail(f"PostgreSQL did not start:\n{(folder / 'log').read_text()}", pytrace=False)

    def stop(self):
        self._server.send_signal(2)  # a fast shutdown
        self._server.wait(60)
        self._log.close()

    def target(self, tap, schema, **settings):
        """The command that loads into a schema of this database."""
        config = {
            "host": "127.0.0.1",
            "port": self.port,
            "user": "helpscout",
            "password": "unused",
            "database": "postgres",
            "default_target_schema": schema,
            **settings,
        }
        command = installed("meltanolabs-target-postgres") / "target-postgres"
        return [command, "--config", tap.file(f"target-{schema}.json", config)]

    def rows(self, sql):
        """What a SELECT brings, as a list of dicts."""
        return json.loads(
            run(
                str(self._binaries / "psql"),
                "-X",
                "-A",
                "-t",
                "-h",
                "127.0.0.1",
                "-p",
                str(self.port),
                "-U",
                "helpscout",
                "-c",
                f"SELECT coalesce(json_agg(row_to_json(found)), '[]') FROM ({sql}) found",
                "postgres",
            ).stdout
        )

    def value(self, sql):
        """The one value that a SELECT brings."""
        (row,) = self.rows(sql)
        (value,) = row.values()
        return value


@pytest.fixture(name="postgres", scope="session")
def _postgres():
    binaries = _postgres_binaries()
    # The server refuses to run as root, and its owner must reach its folder.
    user = {"user": "postgres", "group": "postgres", "extra_groups": []} if not os.getuid() else {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if user:
            shutil.chown(folder, "postgres", "postgres")
        server = Postgres(binaries, folder, {**user, "cwd": folder})
        yield server
        server.stop()


def _postgres_binaries():
    def found():
        return sorted(glob.glob("/usr/lib/postgresql/*/bin/initdb"))

    if not found():
        apt_get = [*(["sudo", "-n"] if os.getuid() else []), "apt-get", "-qq"]
        environ = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        for command in (["update"], ["install", "-y", "postgresql"]):
            done = subprocess.run(
                [*apt_get, *command], env=environ, capture_output=True, text=True, check=False
            )
        if not found():
            pytest.fail(
                "could not install PostgreSQL (Debian's package postgresql):\n"
                f"{done.stdout[-2000:]}{done.stderr[-2000:]}",
                pytrace=False,
            )
    return Path(found()[-1]).parent


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
