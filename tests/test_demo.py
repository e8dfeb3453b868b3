"""`make demo`, but for the environments that it makes; and what else the Makefile says."""

import fcntl
import json
import os
import re
import shutil
import subprocess
import sys
import time

import pytest

from tap_helpscout.streams import STREAMS
from tests import stand_ins


@pytest.fixture(name="start")
def _start(tmp_path):
    programs = {
        name: stand_ins.put(name, tmp_path) for name in ("target-jsonl", "singer-check-tap")
    }

    def start(**changes):
        commands = {**programs, **changes}
        return subprocess.Popen(
            [sys.executable, "-m", "tests.demo", *commands.values()],
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(stand_ins.ROOT)},
        )

    return start


@pytest.fixture(name="demo")
def _demo(start):
    def run(**changes):
        with start(**changes) as process:
            out, err = process.communicate(timeout=300)
        return subprocess.CompletedProcess(process.args, process.returncode, out, err)

    return run


def test_shows_the_whole_account_and_then_one_edit(demo, tmp_path):
    done = demo()
    assert done.returncode == 0, done.stderr
    assert "11 streams" in done.stdout and done.stdout.count("The output is valid") == 2
    first, second = done.stdout.split("Somebody edits")
    assert "\n$ singer-check-tap < first/messages\n  The output is valid" in first
    assert "\n  INFO conversations: " in first and "METRIC" not in done.stdout
    assert re.search(r"\n +996 conversation_threads\n", first)
    conversation = re.search(r'\n  {"id": (\d+), "number": .+ more}\n', first)
    thread = re.search(r'\n  {"id": \d+, "conversation_id": (\d+), .*"body": .+ more}\n', first)
    assert conversation[1] == thread[1]
    assert "Every row of the account is in the target's files" in first
    assert "| conversations " in second and "| customers " not in second
    assert done.stdout.endswith(
        '"client_id": "the App ID",\n  "client_secret": "the App Secret",\n\n'
    )
    folder = tmp_path / ".demo"
    assert str(folder) in done.stdout
    assert json.loads((folder / "state.json").read_text())["bookmarks"]
    assert len(json.loads((folder / "catalog.json").read_text())["streams"]) == len(STREAMS)
    assert demo().returncode == 0, "it cannot be run again"


@pytest.mark.parametrize(
    "what, said",
    [
        ('RECORD.*"conversation_threads"', "the target holds"),
        ("Edited by the demonstration", "not the edit alone came"),
    ],
)
def test_fails_when_the_target_loses_something(demo, tmp_path, what, said):
    lossy = tmp_path / "lossy"
    lossy.write_text(f"#!/bin/sh\ngrep -v '{what}' | {tmp_path}/target-jsonl \"$@\"\n")
    lossy.chmod(0o755)
    done = demo(**{"target-jsonl": lossy})
    assert done.returncode == 1 and said in done.stderr, done.stdout + done.stderr
    assert "client_id" not in done.stdout


def test_fails_with_the_words_of_what_failed(demo):
    done = demo(**{"singer-check-tap": "/bin/false"})
    assert done.returncode == 1 and "singer-check-tap" in done.stderr


def test_two_at_once_come_one_after_the_other(start, tmp_path):
    lock = tmp_path / ".demo" / "lock"
    lock.parent.mkdir()
    with open(lock, "wb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        process = start()
        assert process.stdout.readline().startswith("Another one runs in this folder")
    with pytest.raises(BlockingIOError), open(lock, "wb") as held:
        while True:  # until it has the lock
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            fcntl.flock(held, fcntl.LOCK_UN)
            time.sleep(0.01)
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    assert out.endswith('"the App Secret",\n\n')


def make(folder, *args):
    shutil.copy(stand_ins.ROOT / "Makefile", folder)
    # What a `make` above it has set would change what it prints.
    env = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    return subprocess.run(
        ["make", *args],
        cwd=folder,
        env=env,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


needs_make = pytest.mark.skipif(not shutil.which("make"), reason="make is missing")


@needs_make
def test_make_says_what_it_can_do(tmp_path):
    done = make(tmp_path)
    assert done.returncode == 0 and not done.stderr
    listed = re.findall(r"^make (\S+) +[A-Z]", done.stdout, re.MULTILINE)
    (phony,) = re.findall(r"^\.PHONY: (.+)$", (tmp_path / "Makefile").read_text(), re.MULTILINE)
    assert sorted(listed) == sorted(set(phony.split()) - {"demo-environments"})


@needs_make
def test_make_demo_says_what_it_installs_before_it_does(tmp_path):
    words = "It installs three environments, about 230 MB in all: .venv .venv-target-jsonl"
    environments = [".venv", ".venv-target-jsonl", ".venv-singer-tools"]
    for environment in environments[:2]:
        (tmp_path / environment).mkdir()
        (tmp_path / environment / "ready").touch()
    assert make(tmp_path, "demo", "PYTHON=false").stdout.startswith(words)
    (tmp_path / environments[2]).mkdir()
    (tmp_path / environments[2] / "ready").touch()
    assert "installs" not in make(tmp_path, "demo", "PYTHON=false").stdout
