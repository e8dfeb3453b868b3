"""Meltano, with the project that a user copies: examples/meltano/."""

import dataclasses
import json
import os
import re
import shutil
import subprocess

import pytest

from tap_helpscout.config import Config
from tap_helpscout.streams import STREAMS
from tests.integration.conftest import ROOT, installed, shortly_before

EXAMPLE = ROOT / "examples" / "meltano" / "meltano.yml"
STATE_ID = "dev:tap-helpscout-to-target-jsonl"
# What the tap itself writes, or cannot keep, under Meltano.
TOKENS = {"refresh_token", "access_token", "access_token_expires_at", "access_token_client_id"}


class Project:
    """The example, two folders below the checkout as it was, run against a fake."""

    def __init__(self, fake):
        self.fake = fake
        self.folder = ROOT / ".integration" / "meltano"
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        shutil.copy(EXAMPLE, self.folder)
        self._meltano = installed("meltano") / "meltano"
        self._env = {
            **os.environ,
            "TAP_HELPSCOUT_CLIENT_ID": fake.client_id,
            "TAP_HELPSCOUT_CLIENT_SECRET": fake.client_secret,
            "TAP_HELPSCOUT_API_URL": fake.url,
        }

    def meltano(self, *args, code=0, **env):
        """What a command said; the log is checked for secrets."""
        done = subprocess.run(
            [self._meltano, *args],
            cwd=self.folder,
            env={**self._env, **env},
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )
        assert done.returncode == code, done.stdout + done.stderr
        assert self.fake.client_secret not in done.stdout + done.stderr
        return done.stdout + done.stderr

    def sync(self, *args, **env):
        """The rows that one run wrote, by stream."""
        self.fake.clear()
        log = self.meltano("run", *args, "tap-helpscout", "target-jsonl", **env)
        rows = dict.fromkeys(STREAMS, ())
        for path in self.folder.glob("*.jsonl"):
            stream = path.name.partition("-")[0]
            rows[stream] = [json.loads(line) for line in path.read_text().split("\n") if line]
            path.unlink()
        return rows, log

    def state(self):
        said = self.meltano("state", "get", STATE_ID)
        return json.loads(re.search(r"^\{.*\}$", said, re.MULTILINE)[0])["singer_state"]


@pytest.fixture(name="project", scope="module")
def _project(account):
    project = Project(account.fake)
    project.meltano("install")
    return project


@pytest.fixture(name="runs", scope="module")
def _runs(project):
    """Two runs with an edit in between: what each brought, and the state after the first."""
    first, _ = project.sync()
    source, state = project.fake.truth_counts(), project.state()
    edited = project.fake.conversation_ids[7]
    project.fake.touch(edited)
    second, _ = project.sync()
    return {
        "first": first,
        "source": source,
        "state": state,
        "edited": edited,
        "second": second,
        "requests": project.fake.requests,
        "state after": project.state(),
    }


def counts(rows):
    return {stream: len(rows[stream]) for stream in rows}


def test_the_example_names_every_setting_and_keeps_the_secrets():
    settings = re.findall(
        r"- name: (\w+)(\n +sensitive: true)?",
        EXAMPLE.read_text().partition("settings:")[2].partition("loaders:")[0],
    )
    assert [name for name, _ in settings] == [
        field.name for field in dataclasses.fields(Config) if field.name not in TOKENS
    ]
    assert {name for name, sensitive in settings if sensitive} == {"client_id", "client_secret"}


def test_the_first_run_brings_everything(runs):
    assert counts(runs["first"]) == runs["source"]


def test_meltano_keeps_the_state(runs):
    assert set(runs["state"]["bookmarks"]) == {
        name for name, stream in STREAMS.items() if stream.has_bookmark
    }
    assert "currently_syncing" not in runs["state"]
    assert runs["state after"]["bookmarks"]["users"] > runs["state"]["bookmarks"]["users"]


def test_the_second_run_brings_what_changed(runs):
    rows, expected = runs["second"], {}
    for name, stream in STREAMS.items():
        expected[name] = 0 if stream.has_bookmark else runs["source"][name]
    expected["conversations"] = 1
    expected["conversation_threads"] = sum(
        row["conversation_id"] == runs["edited"] for row in runs["first"]["conversation_threads"]
    )
    dateless = [
        row
        for stream in ("users", "mailbox_folders")
        for row in runs["first"][stream]
        if not row.get("updated_at")
    ]
    assert [row["id"] for row in rows["conversations"]] == [runs["edited"]]
    assert counts({**rows, "users": (), "mailbox_folders": ()}) == {
        **expected,
        "users": 0,
        "mailbox_folders": 0,
    }
    # What has no date is brought by every run.
    assert rows["users"] + rows["mailbox_folders"] == dateless != []


def test_the_second_run_asks_for_what_changed(runs):
    asked = [
        request.params["modifiedSince"]
        for request in runs["requests"]
        if "modifiedSince" in request.params
    ]
    assert asked
    assert min(asked) >= shortly_before(min(runs["state"]["bookmarks"].values()))


def test_client_credentials_are_all_it_needs(runs, project):
    assert runs["second"]
    assert {request["grant_type"] for request in project.fake.token_requests} == {
        "client_credentials"
    }


def test_select_rules_leave_out_a_stream_and_a_field(project):
    project.meltano("select", "tap-helpscout", "--exclude", "customers", "*")
    project.meltano("select", "tap-helpscout", "--exclude", "conversations", "preview")
    project.meltano("select", "tap-helpscout", "--exclude", "conversations", "updated_at")
    rows, _ = project.sync("--full-refresh")
    assert not any(request.path == "/v2/customers" for request in project.fake.requests)
    assert counts(rows) == {**project.fake.truth_counts(), "customers": 0}
    assert not any("preview" in row for row in rows["conversations"])
    # The key and the replication key stay, whatever the rules say.
    assert all(row["id"] and row["updated_at"] for row in rows["conversations"])


def test_a_refused_secret_is_explained(project):
    log = project.meltano(
        "run", "tap-helpscout", "target-jsonl", code=1, TAP_HELPSCOUT_CLIENT_SECRET="wrong"
    )
    assert "Check client_id and client_secret" in log


def test_meltano_does_not_show_the_secret(project):
    said = project.meltano("config", "list", "tap-helpscout")
    assert "client_secret" in said
