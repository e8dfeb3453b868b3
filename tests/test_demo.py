"""`make demo`, but for the environments that it makes."""

import json
import os
import subprocess
import sys

import pytest

from tests import stand_ins


@pytest.fixture(name="demo")
def _demo(tmp_path):
    programs = {
        name: stand_ins.put(name, tmp_path) for name in ("target-jsonl", "singer-check-tap")
    }

    def run(**changes):
        commands = {**programs, **changes}
        return subprocess.run(
            [sys.executable, "-m", "tests.demo", *commands.values()],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
            env={**os.environ, "PYTHONPATH": str(stand_ins.ROOT)},
        )

    return run


def test_shows_the_whole_account_and_then_one_edit(demo, tmp_path):
    done = demo()
    assert done.returncode == 0, done.stderr
    assert "11 streams" in done.stdout and done.stdout.count("The output is valid") == 2
    first, second = done.stdout.split("Somebody edits")
    assert "Every row of the account is in the target's files" in first
    assert "conversations " in second and "customers " not in second
    assert done.stdout.endswith(
        '"client_id": "the App ID",\n  "client_secret": "the App Secret",\n\n'
    )
    folder = tmp_path / ".demo"
    assert str(folder) in done.stdout
    assert json.loads((folder / "state.json").read_text())["bookmarks"]
    assert len(json.loads((folder / "catalog.json").read_text())["streams"]) == 11
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
