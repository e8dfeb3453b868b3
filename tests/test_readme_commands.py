"""The README's commands, run as a reader would run them, but against the fake."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from urllib.parse import parse_qs, parse_qsl, urlencode, urlsplit

import pytest

from tap_helpscout.streams import STREAMS
from tests import stand_ins
from tests.conftest import world
from tests.fake import FakeHelpScout
from tests.readme import FENCE, README, SECTIONS, blocks, section
from tests.test_state import open_starts

START, DAILY = "Five minutes to first data", "Every day"
OAUTH = "Accounts of others: OAuth"
CODE = "a-code-from-the-browser"
# Blocks that are marked `<!-- not run: why -->` in the README: section, and the block's first word.
NOT_RUN = [("Questions it answers", "psql"), (DAILY, "mkdir")]
# Blocks that begin so are run in the folder of the repository, as the text before them says.
IN_REPOSITORY = "cp examples/"
PROGRAMS = {
    ".": "tap-helpscout",
    "target-jsonl": "target-jsonl",
    "meltanolabs-target-postgres": "target-postgres",
    "meltanolabs-target-csv": "target-csv",
}
# Both fail on anything else that they are asked.
PYTHON = """#!/bin/sh -e
if [ "$1 $2 $#" = "-m venv 3" ]; then mkdir "$3" "$3/bin"; cp {pip} "$3/bin"; ln -s {python} "$3/bin/python"
else exec {python} "$@"; fi
"""
PIP = """#!/bin/sh -e
[ "$1 $#" = "install 2" ]
[ "$2" != . ] || [ -f setup.py ]
case "$2" in
{packages}
*) exit 1;;
esac
ln -s {programs}/$program "$(dirname "$0")"
"""


class Authorizing(FakeHelpScout):
    """Takes the code, too, that the owner's browser brings."""

    exchange = None

    def _token(self, pairs, headers, body):
        asked = dict(parse_qsl(body.decode()))
        if asked.get("grant_type") == "authorization_code":
            self.exchange = {**asked}
            asked.update(grant_type="refresh_token", refresh_token=self.new_refresh_token())
        return super()._token(pairs, headers, urlencode(asked).encode())


def commands(heading):
    """The shell blocks of a section that are run."""
    return [block["text"] for block in blocks(section(heading), "bash") if not block["why"]]


def in_its_folder(text):
    """A block that is run where the README says so, whatever the folder of the one before."""
    if text.startswith(IN_REPOSITORY):
        return f"pushd {shlex.quote(str(stand_ins.ROOT))} >/dev/null\n{text}popd >/dev/null\n"
    return text


@pytest.fixture(name="session")
def _session(tmp_path):
    """(fake, home, run): run(blocks) runs them in one shell, in a home directory of its own, where
    `python3 -m venv` and `pip install` only put the programs in place that are here already."""
    programs = tmp_path / "programs"
    programs.mkdir()
    for name in PROGRAMS.values():
        stand_ins.put(name, programs)
    python, pip = tmp_path / "bin" / "python3", tmp_path / "pip"
    python.parent.mkdir()
    packages = "\n".join(f"{package}) program={program};;" for package, program in PROGRAMS.items())
    pip.write_text(PIP.format(packages=packages, programs=programs))
    python.write_text(PYTHON.format(pip=pip, python=sys.executable))
    for script in (pip, python):
        script.chmod(0o755)
    home = tmp_path / "home"
    home.mkdir()

    with Authorizing(world(24, 16)) as fake:

        def run(*texts):
            script = "".join(
                f"echo '### block {i}' >&2\n{in_its_folder(text)}" for i, text in enumerate(texts)
            )
            for old, new in {
                "YOUR_APP_ID": fake.client_id,
                "YOUR_APP_SECRET": fake.client_secret,
                '  "start_date"': f'  "api_url": "{fake.url}",\n  "start_date"',
                "https://api.helpscout.net": fake.url,
                "THE_CODE": CODE,
                "THE_REFRESH_TOKEN": fake.new_refresh_token(),
            }.items():
                script = script.replace(old, new)
            assert "helpscout.net" not in script
            done = subprocess.run(
                ["bash", "-euo", "pipefail", "-c", script],
                cwd=stand_ins.ROOT,
                capture_output=True,
                text=True,
                timeout=300,
                check=False,
                env={
                    "HOME": str(home),
                    "PATH": f"{python.parent}:{os.environ['PATH']}",
                    "NO_PROXY": "127.0.0.1",
                },
            )
            assert done.returncode == 0, done.stdout + done.stderr
            return done.stdout

        yield fake, home / "helpscout", run


def arrived(folder, stream):
    """The rows in the files of target-jsonl, oldest first."""
    return [
        json.loads(line)
        for path in sorted(folder.glob(f"{stream}-*.jsonl"))
        for line in path.read_bytes().splitlines()
    ]


def test_every_block_is_run_or_says_why_not():
    found = [(heading, block) for heading in SECTIONS for block in FENCE.finditer(section(heading))]
    assert {block["language"] for _, block in found} <= {"bash", "json", "sql", "text", "mermaid"}
    assert [(heading, block["text"].split()[0]) for heading, block in found if block["why"]] == (
        NOT_RUN
    )
    assert len(found) == len(list(FENCE.finditer(README)))
    # Each of which a test below runs.
    assert {heading for heading in SECTIONS if commands(heading)} == {START, DAILY, OAUTH}
    assert len(found) * 2 == len(re.findall(r"^```", README, re.MULTILINE))


def test_json_blocks_are_json():
    for block in blocks(README, "json"):
        assert json.loads(block["text"])["bookmarks"].keys() <= STREAMS.keys()


def test_five_minutes(session):
    fake, folder, run = session
    run(*commands(START))
    since = "2026-01-01T00:00:00Z"
    changed = {row["id"] for row in fake.truth()["customers"] if row["updatedAt"] >= since}
    assert {row["id"] for row in arrived(folder, "customers")} == changed
    asked = open_starts(fake, "customers")
    assert since > asked[0] and asked[-1] > "2026-01-02"
    assert (folder / "config.json").stat().st_mode & 0o777 == 0o600


def test_the_catalog_that_is_selected_as_shown_leaves_the_report_out(session):
    fake, folder, run = session
    selection = commands(DAILY)[1]
    run(*commands(START))
    before = arrived(folder, "customers")
    assert any("background" in customer for customer in before)
    fake.touch_customer(before[0]["id"], background="VIP")
    fake.clear()
    run("cd ~/helpscout\n", selection)
    asked = {request.path for request in fake.requests}
    assert "/v2/teams" in asked and STREAMS["happiness_ratings_report"].path not in asked
    members = len(fake.truth()["team_members"])
    assert len(arrived(folder, "team_members")) == 3 * members, "one of three runs brought less"
    after = arrived(folder, "customers")[len(before) :]
    assert after and not any("background" in customer for customer in after)


def test_the_weekly_catalog_finds_deletions(session):
    _, folder, run = session
    run(*commands(START), *commands("Every day"))
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    config["emit_activate_version_messages"] = True
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    first, weekly = (
        json.loads((folder / name).read_text(encoding="utf-8"))
        for name in ("catalog.json", "weekly.json")
    )
    changed = {
        after["stream"]
        for before, after in zip(first["streams"], weekly["streams"], strict=True)
        if before != after
    }
    assert changed == {"conversations", "customers", "mailboxes", "users"}
    run("cd ~/helpscout\nSYNC_CATALOG=weekly.json ./sync.sh\n")
    last = json.loads((folder / "states.jsonl").read_text(encoding="utf-8").splitlines()[-1])
    always = {"mailbox_fields", "team_members"}  # and the report is not in this catalog
    assert set(last["versions"]) == changed | always | {"conversation_threads", "mailbox_folders"}


def test_the_script_goes_on_from_the_last_state_and_keeps_the_exit_code(session):
    fake, folder, run = session
    run(*commands(START), *commands(DAILY))
    before, edited = arrived(folder, "conversations"), fake.conversation_ids[-1]
    fake.touch(edited)
    fake.fault(400, "/v2/teams$")
    assert run("cd ~/helpscout\n./sync.sh || echo failed with $?\n") == "failed with 1\n"
    assert "teams is incomplete" in (folder / "tap.log").read_text(encoding="utf-8")
    assert [row["id"] for row in arrived(folder, "conversations")[len(before) :]] == [edited]


@pytest.mark.skipif(not shutil.which("curl"), reason="curl, which the README uses here, is missing")
def test_oauth(session):
    fake, folder, run = session
    answer = run(*commands(START), *commands(OAUTH))
    assert json.loads(answer[answer.index("{") :])["refresh_token"]
    assert fake.exchange == {
        "grant_type": "authorization_code",
        "code": CODE,
        "client_id": fake.client_id,
        "client_secret": fake.client_secret,
    }
    assert fake.token_requests[-1]["grant_type"] == "refresh_token"
    config = json.loads((folder / "their-config.json").read_text(encoding="utf-8"))
    assert config["refresh_token"] != fake.token_requests[-1]["refresh_token"]


def test_the_url_for_the_browser_has_no_secret():
    (block,) = blocks(section(OAUTH), "text")
    url = urlsplit(block["text"].strip())
    assert (url.scheme, url.hostname, url.path) == (
        "https",
        "secure.helpscout.net",
        "/authentication/authorizeClientApplication",
    )
    assert parse_qs(url.query) == {"client_id": ["YOUR_APP_ID"], "state": ["YOUR_RANDOM_STRING"]}
