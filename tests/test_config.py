"""Configuration and command line: what is taken, and what is refused, in words."""

import json
import subprocess
from importlib import metadata

import pytest

from tests.conftest import TAP
from tests.unit.test_config import WRONG


def refused(run, fake):
    """The one message, of one line but for a part of a file that it shows, that a run said before
    it ended with 1, without any request."""
    assert run.code == 1 and not run.messages and not fake.requests
    line, *shown = run.log.splitlines()
    assert all(part.startswith("    ") for part in shown)
    assert line.startswith("CRITICAL") and fake.client_secret not in line
    return line


def test_every_problem_is_in_one_message_before_any_request(tap, fake):
    """Of each setting, tests/unit/test_config.py shows what is wrong."""
    wrong = {setting: values[-1] for setting, values in WRONG.items()}
    tap.configure(**wrong)
    line = refused(tap.run(), fake)
    assert all(f" {setting} " in line for setting in wrong) and str(tap.config_path) in line


@pytest.mark.parametrize(
    "content, words",
    [(b"", "it is empty"), (b'{"a": 1,\n}', '"a": *,'), (b"[]", "something else")],
    ids=repr,
)
def test_a_config_that_is_no_json_object_is_refused(tap, fake, content, words):
    tap.config_path.write_bytes(content)
    run = tap.run()
    line = refused(run, fake)
    assert f"the config file {tap.config_path} is not a JSON object" in line and words in run.log


@pytest.mark.parametrize("content", ["{", "{}", '{"streams": "users"}'])
def test_a_bad_catalog_is_refused(tap, fake, content):
    line = refused(tap.run(catalog=content), fake)
    assert str(tap.folder / "catalog.json") in line


@pytest.mark.parametrize("option", ["--properties", "--state", "--config"])
def test_a_missing_file_is_refused(tap, fake, option):
    line = refused(tap.run(option, str(tap.folder / "none.json")), fake)
    assert "none.json: No such file" in line


@pytest.mark.parametrize("right, too", [(None, ""), (2, ", which is there too")])
def test_a_setting_that_is_misspelt_is_told_and_the_run_goes_on(tap, right, too):
    tap.configure(concurency=1, concurrency=right, disable_collection=True)
    log = tap.good_run(catalog=tap.select("teams")).log
    told = f"concurency is not a setting; did you mean concurrency{too}?"
    assert log.count("is not a setting") == 1
    assert f"WARNING {tap.config_path}: {told}\n" in log


def test_a_state_in_the_place_of_the_config_is_told(tap, fake):
    document = {"bookmarks": {"users": "2020-01-01T00:00:00Z"}}
    line = refused(tap.run("--config", tap.file("other.json", document)), fake)
    assert "other.json is a state" in line and "Probably --state " in line


@pytest.mark.parametrize("nothing", [None, " "])
def test_an_empty_optional_setting_is_as_good_as_none(tap, fake, nothing):
    optional = (
        "refresh_token",
        "user_agent",
        "request_timeout",
        "concurrency",
        "access_token",
        "rate_limit_share",
        "lookback_seconds",
        "access_token_expires_at",
        "access_token_client_id",
        "mailbox_ids",
        "emit_activate_version_messages",
    )
    config = {**tap.config, **dict.fromkeys(optional, nothing)}
    tap.config_path.write_text(json.dumps(config))
    tap.good_run(catalog=tap.select("users"))
    assert {request.headers["User-Agent"] for request in fake.requests} == {
        f"tap-helpscout/{metadata.version('tap-helpscout')}"
    }
    assert [asked["grant_type"] for asked in fake.token_requests] == ["client_credentials"]


def test_the_user_agent_is_the_configs(tap, fake):
    tap.configure(user_agent="lamp shop (it@lamps.example)")
    tap.good_run(catalog=tap.select("users"))
    assert {request.headers["User-Agent"] for request in fake.requests} == {
        "lamp shop (it@lamps.example)"
    }


def test_api_url_may_end_in_a_slash(tap, fake):
    tap.configure(api_url=f" {fake.url}// ")
    assert len(tap.good_run(catalog=tap.select("users")).records("users")) == 8


def test_a_host_that_no_network_can_look_up_ends_the_run_at_once_in_words(tap):
    tap.configure(api_url=f"https://{'a' * 64}.example", retry_seconds=60)
    run = tap.run(timeout=20)
    assert run.code == 1 and not run.messages and "trying again" not in run.log
    assert "failed: " in run.log and "a.example" in run.log


def test_api_url_may_be_unencrypted_on_this_machine_only(tap, fake):
    tap.configure(api_url=fake.url.replace("127.0.0.1", "localhost"))
    tap.good_run(catalog=tap.select("users"))
    tap.configure(api_url=fake.url.replace("127.0.0.1", "127.0.0.1.lamps.example"))
    fake.clear()
    assert "https" in refused(tap.run(), fake)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_unknown_settings_and_their_order_are_kept(tap, encoding):
    config = {"zone": "Größe", **tap.config, "disable_collection": True, "nested": {"a": [1, None]}}
    tap.config_path.write_text(json.dumps(config, ensure_ascii=False), encoding=encoding)
    tap.good_run(catalog=tap.select("users"))
    assert {**tap.config, **config} == tap.config
    assert list(tap.config)[: len(config)] == list(config)
    assert list(tap.config)[len(config) :] == [
        "access_token",
        "access_token_expires_at",
        "access_token_client_id",
    ]


def test_dev_uses_the_access_token_and_writes_nothing(tap, fake):
    tap.configure(
        access_token=fake.new_access_token(),
        refresh_token=fake.new_refresh_token(),
        access_token_expires_at="2020-01-01T00:00:00Z",
    )
    before = tap.config_path.read_bytes()
    tap.good_run("--dev", catalog=tap.select("users"))
    assert not fake.token_requests and tap.config_path.read_bytes() == before


def test_dev_with_a_dead_token_ends_the_run_and_asks_for_none(tap, fake):
    tap.configure(access_token="dead", refresh_token=fake.new_refresh_token())
    run = tap.run("--dev")
    assert run.code == 1 and "401" in run.log and not run.of_type("RECORD")
    assert not fake.token_requests and len(fake.requests) == 1


def test_dev_without_an_access_token_is_refused(tap, fake):
    assert "access_token is missing" in refused(tap.run("--dev"), fake)


def command(*args):
    return subprocess.run([TAP, *args], capture_output=True, check=False, text=True, timeout=60)


def test_version_and_help():
    version, said = command("--version"), command("--help")
    assert version.stdout == f"tap-helpscout {metadata.version('tap-helpscout')}\n"
    assert version.returncode == said.returncode == 0 and not said.stderr
    for option in (
        "--config",
        "--state",
        "--catalog",
        "--properties",
        "--discover",
        "--select",
        "--dev",
        "--version",
    ):
        assert option in said.stdout
    examples = [line for line in said.stdout.splitlines() if line.startswith("  tap-helpscout ")]
    assert len(examples) >= 3
    for words in ("\nexit codes:\n  0  ", "\n  1  ", "\n  130, 143  ", "README.md, in the folder"):
        assert words in said.stdout


@pytest.mark.parametrize(
    "args, words",
    [
        ([], "--config is needed, or --discover"),
        (["--config", "c.json", "--catalgo", "p"], "no option --catalgo, did you mean --catalog?"),
        (["sync"], "unexpected argument sync; --help lists the options"),
        (["config.json"], "did you mean --config config.json?"),
    ],
    ids=str,
)
def test_a_wrong_command_line_says_how_and_ends_with_1(args, words):
    """What else is said, tests/unit/test_command_line.py shows."""
    done = command(*args)
    assert done.returncode == 1 and not done.stdout
    assert done.stderr.startswith("usage: tap-helpscout") and "Traceback" not in done.stderr
    assert done.stderr.endswith(f"{words}\n")
