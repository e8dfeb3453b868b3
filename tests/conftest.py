"""What every test comes in through: the command line, against a fake Help Scout."""

import functools
import json
import os
import re
import signal
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest

from tap_helpscout.discover import discover
from tests import examples  # pylint: disable=unused-import  # loads a profile
from tests.fake import FakeHelpScout, build
from tests.fork_server import ForkServer

TAP = str(Path(sys.executable).with_name("tap-helpscout"))
YEAR = timedelta(days=365)
MADE_ONCE = {"whole", "every", "runs", "built", "authority", "followed"}  # fixtures
WARNINGS = "error"  # a warning ends the tap
# "1 rows": of one there is no plural, in any line of any run.
PLURAL_OF_ONE = re.compile(
    r"(?<![\d.,])(?<!of )1 (?:rows|requests|streams|parents|pages|values|threads|line items|days"
    r"|lines|seconds|minutes|inboxes|conversations)\b"
)
ENVIRONMENT = dict(os.environ)  # before a test changes it
# Short pages, so that lists have several and windows too. Of threads and ratings there are many for
# each conversation, and the longest has 60.
PAGE_SIZES = {None: 4, "threads": 20, "ratings": 20}
for _signum in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT):
    # Ignored, as below nohup, in the background of a shell and in some CI, they would be so in the
    # processes that the tests start.
    if signal.getsignal(_signum) is signal.SIG_IGN:
        signal.signal(_signum, lambda *_: None)
USES_FORK_SERVER = os.environ.get("FORK_SERVER") != "0"  # else every run is a real process


@functools.cache
def fork_server():
    """One for all tests of this process."""
    return ForkServer({**ENVIRONMENT, "PYTHONWARNINGS": WARNINGS})


@functools.cache
def world(conversations, customers):
    """An account that begins alike in all tests of this process: each row is made once."""
    return build(conversations, customers, seed=3)  # which has threads of all types and states


def only(catalog, streams):
    """The catalog with these streams selected and no others."""
    for entry in catalog["streams"]:
        for item in entry["metadata"]:
            if item["breadcrumb"] == []:
                item["metadata"]["selected"] = entry["tap_stream_id"] in streams
    return catalog


class Run:
    """What a finished run of the tap wrote."""

    def __init__(self, code, stdout, log):
        self.code, self.log, self.lines = code, log, stdout.splitlines()
        self.messages = [json.loads(line) for line in self.lines]

    def of_type(self, kind, stream=None):
        return [
            message
            for message in self.messages
            if message["type"] == kind and (stream is None or message["stream"] == stream)
        ]

    def records(self, stream):
        return [message["record"] for message in self.of_type("RECORD", stream)]

    def ids(self, stream):
        """The ids of a stream's records, each as often as it came."""
        return [record["id"] for record in self.records(stream)]

    @property
    def streams(self):
        """The streams that records came for."""
        return {message["stream"] for message in self.of_type("RECORD")}

    @property
    def state(self):
        """The last state, as a runner would keep it."""
        return self.of_type("STATE")[-1]["value"]

    @property
    def bookmarks(self):
        return self.state["bookmarks"]


class Tap:
    """The command, with a config for the fake in a folder of its own."""

    wrapper = ()  # a command that runs the command
    catalog = None  # what runs read that are given no catalog

    def __init__(self, fake, folder):
        self.fake, self.folder = fake, folder
        self.config_path = folder / "config.json"
        self.configure()

    def configure(self, **settings):
        """Writes config.json; a setting of None is left out."""
        config = {
            "client_id": self.fake.client_id,
            "client_secret": self.fake.client_secret,
            "start_date": "2010-01-01T00:00:00Z",
            "api_url": self.fake.url,
            "retry_seconds": 30,
            **settings,
        }
        self.config_path.write_text(
            json.dumps({key: value for key, value in config.items() if value is not None})
        )

    @property
    def config(self):
        return json.loads(self.config_path.read_text())

    def file(self, name, document):
        """The path of a JSON file with this document in it."""
        path = self.folder / name
        path.write_text(document if isinstance(document, str) else json.dumps(document))
        return str(path)

    def command(self, *args, state=None, catalog=None):
        command = [*self.wrapper, TAP, *args]
        if "--config" not in args and "--discover" not in args:
            command += ["--config", str(self.config_path)]
        if state is not None:
            command += ["--state", self.file("state.json", state)]
        if catalog is None and not {"--discover", "--catalog", "--properties"}.intersection(args):
            catalog = self.catalog
        if catalog is not None:
            command += ["--catalog", self.file("catalog.json", catalog)]
        return command

    def done(self, command, env=None, timeout=120, **popen):
        """What subprocess.run gives of a command, whatever its exit code."""
        env = self.env(env)
        if not USES_FORK_SERVER or self.wrapper or popen or not fork_server().fits(env):
            return subprocess.run(
                command, capture_output=True, timeout=timeout, env=env, check=False, **popen
            )
        return fork_server().run(command, env, timeout)

    def run(self, *args, state=None, catalog=None, **kwargs):
        done = self.done(self.command(*args, state=state, catalog=catalog), **kwargs)
        log = done.stderr.decode()
        assert "Traceback" not in log and not PLURAL_OF_ONE.search(log), log
        return Run(done.returncode, done.stdout.decode(), log)

    def good_run(self, *args, **kwargs):
        """A run that must succeed."""
        run = self.run(*args, **kwargs)
        assert run.code == 0, run.log
        return run

    def start(self, *args, state=None, catalog=None, env=None, **popen):
        """The running process, for tests that interrupt it."""
        return subprocess.Popen(
            self.command(*args, state=state, catalog=catalog),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=self.env(env),
            **popen,
        )

    @staticmethod
    def env(changes):
        return {**os.environ, "PYTHONWARNINGS": WARNINGS, **(changes or {})}

    def discover(self):
        return json.loads(self.run_raw("--discover"))

    def run_raw(self, *args):
        done = self.done([TAP, *args])
        assert done.returncode == 0, done.stderr
        return done.stdout

    @staticmethod
    def select(*streams):
        """A catalog that selects these streams and no others; as `--discover` writes it."""
        return only(json.loads(json.dumps(discover())), streams)


@pytest.hookimpl(tryfirst=True)  # before pytest-xdist looks for the marks
def pytest_collection_modifyitems(items):
    """What is made once for many tests is made by one worker alone."""
    for item in items:
        for name in MADE_ONCE.intersection(item.fixturenames):
            item.add_marker(pytest.mark.xdist_group(name))


@pytest.fixture(name="fake")
def _fake():
    """A small account, yet of more conversations and more customers than one window holds: 80."""
    with FakeHelpScout(world(100, 90), page_sizes=dict(PAGE_SIZES)) as fake:
        yield fake


@pytest.fixture(name="small_fake")
def _small_fake():
    """An account small enough to be read many times."""
    with FakeHelpScout(world(20, 12), page_sizes=dict(PAGE_SIZES)) as fake:
        yield fake


@pytest.fixture(name="whole", scope="session")
def _whole(tmp_path_factory):
    """(fake, run): a complete sync of an account that no test may change."""
    with FakeHelpScout(page_sizes={**PAGE_SIZES, None: 5}) as fake:
        yield fake, Tap(fake, tmp_path_factory.mktemp("whole")).good_run()


@pytest.fixture(name="every", scope="session")
def _every(tmp_path_factory):
    """(fake, run): the same of all streams, those too that have to be selected, of one year; in
    short pages."""
    account = build(60, customers=40, span=YEAR / 2)
    with FakeHelpScout(account, page_size=2) as fake:
        tap = Tap(fake, tmp_path_factory.mktemp("every"))
        tap.configure(start_date=(account.now - YEAR).isoformat())
        names = [entry["tap_stream_id"] for entry in tap.discover()["streams"]]
        yield fake, tap.good_run(catalog=tap.select(*names))


@pytest.fixture(name="tap")
def _tap(fake, tmp_path):
    return Tap(fake, tmp_path)


@pytest.fixture(autouse=True)
def _default_sigpipe():
    # A test process whose parent ignores SIGINT would hand that on to the tap.
    signal.signal(signal.SIGINT, signal.default_int_handler)
