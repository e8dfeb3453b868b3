"""Meltano, with the project that a user copies: examples/meltano/."""

import contextlib
import dataclasses
import json
import os
import re
import shutil
import subprocess
from types import SimpleNamespace

import pytest

from tap_helpscout.config import Config
from tests.fake import FakeHelpScout, build
from tests.integration.conftest import (
    BY_DEFAULT,
    ROOT,
    Outage,
    asked_since,
    installed,
    shortly_before,
)

EXAMPLE = ROOT / "examples" / "meltano" / "meltano.yml"
STATE_ID = "dev:tap-helpscout-to-target-jsonl"
# What the tap itself writes, or cannot keep, under Meltano.
TOKENS = {"refresh_token", "access_token", "access_token_expires_at", "access_token_client_id"}


class Project:
    """The example, two folders below the checkout as it was, run against fakes."""

    def __init__(self, name, secrets, env):
        self.folder = ROOT / ".integration" / name
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        shutil.copy(EXAMPLE, self.folder)
        self._meltano = installed("meltano") / "meltano"
        self._secrets, self._env = secrets, {**os.environ, **env}

    def meltano(self, *args, code=0, **env):
        """What a command said; the log is checked for secrets. An `env` of None is left out."""
        env = {name: value for name, value in {**self._env, **env}.items() if value is not None}
        done = subprocess.run(
            [self._meltano, *args],
            cwd=self.folder,
            env=env,
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )
        said = done.stdout + done.stderr
        assert done.returncode == code, said
        assert not any(secret in said for secret in self._secrets)
        return said

    def state(self, state_id):
        said = self.meltano("state", "get", state_id)
        return json.loads(re.search(r"^\{.*\}$", said, re.MULTILINE)[0])["singer_state"]


class OneAccount(Project):
    """The example as its first lines say how to run it."""

    def __init__(self, fake):
        self.fake = fake
        super().__init__("meltano", [fake.client_secret], credentials("TAP_HELPSCOUT", fake))

    def sync(self, *args, **env):
        """The rows that one run wrote, by stream."""
        self.fake.clear()
        log = self.meltano("run", *args, "tap-helpscout", "target-jsonl", **env)
        rows = dict.fromkeys(BY_DEFAULT, ())
        for path in self.folder.glob("*.jsonl"):
            stream = path.name.partition("-")[0]
            rows[stream] = [json.loads(line) for line in path.read_text().split("\n") if line]
            path.unlink()
        return rows, log


def credentials(plugin, fake):
    return {
        f"{plugin}_CLIENT_ID": fake.client_id,
        f"{plugin}_CLIENT_SECRET": fake.client_secret,
        f"{plugin}_API_URL": fake.url,
    }


@pytest.fixture(name="project", scope="module")
def _project(account):
    project = OneAccount(account.fake)
    project.meltano("install")
    return project


@pytest.fixture(name="runs", scope="module")
def _runs(project):
    """Two runs with an edit in between: what each brought, and the state after the first."""
    first, _ = project.sync()
    source, state = project.fake.truth_counts(), project.state(STATE_ID)
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
        "state after": project.state(STATE_ID),
    }


def counts(rows):
    return {stream: len(rows[stream]) for stream in rows}


def test_the_example_names_every_setting_and_keeps_the_secrets():
    settings = re.findall(
        r"- name: (\w+)(\n +sensitive: true)?",
        EXAMPLE.read_text().partition("settings:")[2].partition("settings_group_validation:")[0],
    )
    assert [name for name, _ in settings] == [
        field.name for field in dataclasses.fields(Config) if field.name not in TOKENS
    ]
    assert {name for name, sensitive in settings if sensitive} == {"client_id", "client_secret"}


def test_the_first_run_brings_everything(runs):
    assert counts(runs["first"]) == runs["source"]


def test_meltano_keeps_the_state(runs):
    assert set(runs["state"]["bookmarks"]) == {
        name for name, stream in BY_DEFAULT.items() if stream.has_bookmark
    }
    assert "currently_syncing" not in runs["state"]
    assert runs["state after"]["bookmarks"]["users"] > runs["state"]["bookmarks"]["users"]


def test_the_second_run_brings_what_changed(runs):
    rows, expected = runs["second"], {}
    for name, stream in BY_DEFAULT.items():
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


def test_check_is_a_command_of_the_example(project):
    command = "invoke tap-helpscout --check"
    assert f"meltano {command} " in EXAMPLE.read_text()
    said = project.meltano(*command.split())
    assert "conversations: date filter   ok" in said and "first sync " in said


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


@pytest.fixture(name="fakes", scope="module")
def _fakes():
    """Two accounts with credentials and rows of their own."""
    with contextlib.ExitStack() as stack:
        yield {
            name: stack.enter_context(
                FakeHelpScout(
                    build(conversations, seed=conversations),
                    page_size=5,
                    client_id=f"{name}-id",
                    client_secret=f"the secret of {name}",
                )
            )
            for name, conversations in (("north", 90), ("south", 200))
        }


@pytest.fixture(name="accounts", scope="module")
def _accounts(fakes, postgres):
    """The project with both accounts, installed."""
    env = {
        **credentials("TAP_HELPSCOUT_NORTH", fakes["north"]),
        **credentials("TAP_HELPSCOUT_SOUTH", fakes["south"]),
        "TAP_HELPSCOUT_RETRY_SECONDS": "0",
        "TARGET_POSTGRES_HOST": "127.0.0.1",
        "TARGET_POSTGRES_PORT": str(postgres.port),
        "TARGET_POSTGRES_USER": "helpscout",
        "TARGET_POSTGRES_PASSWORD": "unused",
        "TARGET_POSTGRES_DATABASE": "postgres",
    }
    project = Project("meltano-accounts", [fake.client_secret for fake in fakes.values()], env)
    project.meltano("install")
    return project


@pytest.fixture(name="nights", scope="module")
def _nights(accounts, fakes, postgres):
    """Two nights: in the first, Help Scout fails account south in the middle."""

    def night(south):
        for fake in fakes.values():
            fake.clear()
        accounts.meltano("run", "north")
        accounts.meltano("run", "south", code=south)
        return SimpleNamespace(
            requests={name: fake.requests for name, fake in fakes.items()},
            states={
                name: accounts.state(f"dev:tap-helpscout-{name}-to-target-postgres")
                for name in fakes
            },
            conversations={
                name: {
                    row["id"]
                    for row in postgres.rows(f"SELECT id FROM helpscout_{name}.conversations")
                }
                for name in fakes
            },
        )

    outage = Outage(fakes["south"], after=20)
    first = night(south=1)
    outage.end()
    return first, night(south=0)


def test_accounts_have_schemas_of_their_own(nights, fakes):
    _, second = nights
    # The example has south begin later.
    assert second.conversations == {
        "north": set(fakes["north"].conversation_ids),
        "south": {
            key
            for key in fakes["south"].conversation_ids
            if fakes["south"].modified(key).year >= 2024
        },
    }


def test_an_account_that_fails_leaves_the_other_alone(nights, fakes):
    first, _ = nights
    assert first.conversations["north"] == set(fakes["north"].conversation_ids)
    assert 0 < len(first.conversations["south"]) < len(nights[1].conversations["south"])


@pytest.mark.parametrize("account", ["north", "south"])
def test_accounts_go_on_from_states_of_their_own(nights, account):
    first, second = nights
    bookmark = first.states[account]["bookmarks"]["conversations"]
    assert asked_since(first.requests[account]) < shortly_before(bookmark)
    assert asked_since(second.requests[account]) >= shortly_before(bookmark)


def test_the_states_of_the_accounts_differ(nights):
    first, _ = nights
    assert first.states["north"] != first.states["south"]


def test_an_account_without_credentials_does_not_take_those_of_another(accounts, fakes):
    for fake in fakes.values():
        fake.clear()
    log = accounts.meltano("run", "south", code=1, TAP_HELPSCOUT_SOUTH_CLIENT_ID=None)
    assert "client_id" in log
    assert not any(fake.requests for fake in fakes.values())


def test_an_account_without_credentials_takes_those_of_the_plugin_above(accounts, fakes):
    # As the example warns.
    fakes["south"].clear()
    accounts.meltano(
        "run",
        "south",
        TAP_HELPSCOUT_SOUTH_CLIENT_ID=None,
        TAP_HELPSCOUT_CLIENT_ID=fakes["south"].client_id,
    )
    assert fakes["south"].requests
