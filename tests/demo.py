"""The tap at work on a made-up account: `make demo`.

Discovery, a sync into a target, an edit, and a second sync that brings the edit alone.
"""

import argparse
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

from tests.alone import alone
from tests.fake import FakeHelpScout

TAP = Path(sys.executable).with_name("tap-helpscout")
# What is shown of a row: its columns are many.
COLUMNS = {
    "conversations": ("id", "number", "status", "subject", "updated_at"),
    "conversation_threads": ("id", "conversation_id", "type", "created_at", "body"),
}

OUTRO = """
Catalog, state, logs and the .jsonl files are in {folder}

For your own account, put these two lines into config.json, beside a start_date. They are in
Help Scout under your profile, My Apps, where you create an app (README.md, five minutes):

  "client_id": "the App ID",
  "client_secret": "the App Secret",
"""


class Failed(Exception):
    """The demonstration did not show what it should."""


def say(text=""):
    print(text, flush=True)


def rows(folder, stream="*"):
    """{stream: its rows in a target's files}; the files are named STREAM-DATE.jsonl."""
    return {
        path.name.rpartition("-")[0]: [json.loads(line) for line in path.read_bytes().splitlines()]
        for path in sorted(folder.glob(f"{stream}-*.jsonl"))
    }


def counts(folder):
    return {stream: len(found) for stream, found in rows(folder).items()}


def excerpt(stream, row):
    """A row as JSON, cut to a few columns."""
    shown = {name: row[name] for name in COLUMNS[stream]}
    text = json.dumps(shown, ensure_ascii=False)
    return f"{text[:-1]}, … {len(row) - len(shown)} more}}"


class Demo:
    """The steps, in a folder; `target` and `check` are the commands from other environments."""

    def __init__(self, fake, folder, target, check):
        self.fake, self.folder = fake, folder
        self._target, self._check = target, check

    def discover(self):
        say("\n$ tap-helpscout --discover > catalog.json")
        with open(self.folder / "catalog.json", "wb") as catalog:
            subprocess.run([TAP, "--discover"], stdout=catalog, check=True)
        streams = json.loads((self.folder / "catalog.json").read_text())["streams"]
        say(f"  {len(streams)} streams, each with its schema; no request was made")

    def sync(self, name, *more):
        """One run; what came is checked, and its rows are counted in the target's files."""
        folder = self.folder / name
        folder.mkdir()
        (folder / "target.json").write_text(json.dumps({"destination_path": str(folder)}))
        arguments = ["--config", "config.json", "--catalog", "catalog.json", *more]
        say(f"\n$ tap-helpscout {' '.join(arguments)} | target-jsonl >> states.jsonl")
        with (
            open(folder / "target.log", "wb") as target_log,
            open(self.folder / "states.jsonl", "ab") as states,
            subprocess.Popen(
                [TAP, *arguments],
                cwd=self.folder,
                stderr=subprocess.PIPE,
                stdout=subprocess.PIPE,
            ) as tap,
            subprocess.Popen(
                ["tee", folder / "messages"], stdin=tap.stdout, stdout=subprocess.PIPE
            ) as tee,
            subprocess.Popen(
                [self._target, "--config", folder / "target.json"],
                stdin=tee.stdout,
                stdout=states,
                stderr=target_log,
            ) as target,
        ):
            tap.stdout.close()
            tee.stdout.close()
            self._show_log(tap.stderr, folder / "tap.log")
        if tap.returncode or target.returncode:
            raise Failed(
                f"the tap ended with {tap.returncode}, the target with "
                f"{target.returncode}\n{(folder / 'tap.log').read_text()}"
                f"{(folder / 'target.log').read_text()}"
            )
        state = (self.folder / "states.jsonl").read_text().splitlines()[-1]
        (self.folder / "state.json").write_text(state)
        self._show_check(folder)
        return counts(folder)

    @staticmethod
    def _show_log(log, path):
        """Shows a log while it is written, and keeps it in a file."""
        with open(path, "wb") as file:
            for line in log:
                file.write(line)
                if b"METRIC" not in line:  # these are for programs
                    say(f"  {line.decode().rstrip()}")

    def _show_check(self, folder):
        say(f"\n$ singer-check-tap < {folder.name}/messages")
        with open(folder / "messages", "rb") as messages:
            checked = subprocess.run(
                [self._check],
                stdin=messages,
                cwd=folder,
                check=False,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
        if checked.returncode:
            raise Failed(f"singer-check-tap: {checked.stdout}")
        _, heading, summary = checked.stdout.partition("The output is valid.")
        say(f"  {heading}")
        for line in summary.splitlines():
            if line and not re.search(r"\| 0 +\|", line):  # nothing came for this stream
                say(f"  {line}")

    def _show_rows(self, name):
        """One conversation with a thread, as the target has them."""
        folder = self.folder / name
        say(f"\n$ head -n 1 {name}/conversations-*.jsonl")
        conversation = rows(folder, "conversations")["conversations"][0]
        say(f"  {excerpt('conversations', conversation)}")
        wanted = f'"conversation_id": {conversation["id"]}'
        say(f"$ grep '{wanted}' {name}/conversation_threads-*.jsonl")
        threads = rows(folder, "conversation_threads")["conversation_threads"]
        for thread in threads:
            if thread["conversation_id"] == conversation["id"]:
                say(f"  {excerpt('conversation_threads', thread)}")

    def _show_counts(self, name):
        say(f"\n$ wc -l {name}/*.jsonl")
        for stream, count in counts(self.folder / name).items():
            say(f"  {count:6,} {stream}")

    def run(self):
        truth = self.fake.truth_counts()
        say(
            f"A made-up Help Scout at {self.fake.url}: {truth['conversations']} conversations, "
            f"{truth['conversation_threads']:,} threads, {truth['customers']} customers"
        )
        self.discover()
        came = self.sync("first")
        if came != truth:
            raise Failed(f"the target holds {came}, the account {truth}")
        self._show_rows("first")
        self._show_counts("first")
        say("  Every row of the account is in the target's files.")

        edited = self.fake.conversation_ids[0]
        say(f"\nSomebody edits conversation {edited}. The next run begins from the state:")
        self.fake.touch(edited, subject="Edited by the demonstration")
        came = self.sync("second", "--state", "state.json")
        found = rows(self.folder / "second", "conversations")
        arrived = [row["id"] for row in found.get("conversations", ())]
        if arrived != [edited] or "customers" in came:
            raise Failed(f"not the edit alone came: conversations {arrived}, in all {came}")
        say(
            f"  Of {truth['conversations']} conversations only {edited} came, with its threads.\n"
            "  (What shows no date to go by, such as team_members, comes in every run.)"
        )


def main():
    parser = argparse.ArgumentParser(prog="make demo", description=__doc__)
    parser.add_argument("target", type=Path, help="the command target-jsonl")
    parser.add_argument("check", type=Path, help="the command singer-check-tap")
    args = parser.parse_args()
    folder = Path(".demo").resolve()
    with alone(folder / "lock"):
        demonstrate(folder, args.target.resolve(), args.check.resolve())


def demonstrate(folder, target, check):
    """Shows all of it, in the folder, which is emptied first but for its lock."""
    for old in folder.iterdir():
        if old.is_dir():
            shutil.rmtree(old)
        elif old.name != "lock":
            old.unlink()
    with FakeHelpScout() as fake:
        (folder / "config.json").write_text(
            json.dumps(
                {
                    "client_id": fake.client_id,
                    "client_secret": fake.client_secret,
                    "start_date": "2010-01-01T00:00:00Z",
                    "api_url": fake.url,
                },
                indent=2,
            )
        )
        try:
            Demo(fake, folder, target, check).run()
        except Failed as failed:
            sys.exit(f"The demonstration failed: {failed}")
    say(OUTRO.format(folder=folder))


if __name__ == "__main__":
    main()
