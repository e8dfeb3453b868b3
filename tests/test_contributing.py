"""CONTRIBUTING.md, followed to the letter in a copy of the project."""

import ast
import json
import os
import re
import shutil
import subprocess
import sys

import pytest

from tests.conftest import Tap, only, world
from tests.fake import FakeHelpScout
from tests.readme import FENCE
from tests.stand_ins import ROOT

GUIDE = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
BLOCKS = [(match["language"], match["text"]) for match in FENCE.finditer(GUIDE)]
ROWS = [text for language, text in BLOCKS if language == "python" and "Stream(" in text]
(TEST,) = [text for language, text in BLOCKS if language == "python" and "def test" in text]
(SCHEMA,) = [text for language, text in BLOCKS if language == "json"]
(LAYOUT,) = [text for language, text in BLOCKS if language == "text"]

TEXT, NUMBER = {"type": ["null", "string"]}, {"type": ["null", "integer"]}
DATE = {**TEXT, "format": "date-time"}
PROPERTIES = {  # of the streams that the guide shows the row of, and not the schema
    "saved_replies": {
        "mailbox_id": {"type": "integer"},
        "id": {"type": "integer"},
        "name": TEXT,
        "preview": TEXT,
        "chat_preview": TEXT,
    },
    "mailbox_routing": {
        "mailbox_id": {"type": "integer"},
        "state": TEXT,
        "assignment_limit": NUMBER,
        "assignment_method": TEXT,
        "user_ids": {"type": "array", "items": NUMBER},
        "rotation": {"type": "array"},
    },
    "system_users": {"id": {"type": "integer"}, "first_name": TEXT, "updated_at": DATE},
}
SHAPES = {"tags", *PROPERTIES}


@pytest.fixture(name="copy", scope="module")
def _copy(tmp_path_factory):
    """The project with what the guide adds."""
    copy = tmp_path_factory.mktemp("copy")
    for folder in ("tap_helpscout", "tests"):
        shutil.copytree(ROOT / folder, copy / folder, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", copy)
    streams = copy / "tap_helpscout" / "streams.py"
    table, end, rest = streams.read_text("utf-8").rpartition("\n    )\n}")
    # Of two rows of the same name, the later one is the stream.
    streams.write_text(f"{table}\n{','.join(ROWS)},{end}{rest}", "utf-8")
    for name, properties in PROPERTIES.items():
        _write_schema(copy, name, json.dumps({"type": "object", "properties": properties}))
    _write_schema(copy, "tags", SCHEMA)
    (copy / "tests" / "test_tags.py").write_text(TEST, "utf-8")
    return copy


def _write_schema(copy, name, text):
    (copy / "tap_helpscout" / "schemas" / f"{name}.json").write_text(text, "utf-8")


@pytest.fixture(name="tap")
def _tap(tap, copy, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(copy))
    return tap


@pytest.fixture(name="followed", scope="module")
def _followed(copy, tmp_path_factory):
    """(fake, run): a run of the streams that the guide adds."""
    with FakeHelpScout(world(20, 12)) as fake, pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(copy))
        tap = Tap(fake, tmp_path_factory.mktemp("followed"))
        yield fake, tap.good_run(catalog=only(tap.discover(), SHAPES))


def test_the_guide_shows_the_row_of_each_shape():
    assert {re.search(r'Stream\(\s*"(\w+)"', row)[1] for row in ROWS} == SHAPES


def test_new_streams_are_discovered(tap):
    entries = {entry["tap_stream_id"]: entry for entry in tap.discover()["streams"]}
    assert SHAPES < set(entries)
    assert entries["tags"]["schema"] == json.loads(SCHEMA)
    assert {
        name: (entries[name]["replication_method"], entries[name]["key_properties"])
        for name in SHAPES
    } == {
        "tags": ("INCREMENTAL", ["id"]),
        "saved_replies": ("FULL_TABLE", ["id"]),
        "mailbox_routing": ("FULL_TABLE", ["mailbox_id"]),
        "system_users": ("INCREMENTAL", ["id"]),
    }


def test_only_the_new_streams_are_synced(followed):
    _, run = followed
    assert run.streams == SHAPES
    assert "tags: the API sends" not in run.log, "the guide's schema lacks a field"


def test_a_list(followed):
    fake, run = followed
    assert [row["id"] for row in run.records("tags")] == [row["id"] for row in fake.tables["tags"]]
    assert "tags" in run.bookmarks


def test_a_bare_array_under_a_parent(followed):
    fake, run = followed
    assert [(row["mailbox_id"], row["id"]) for row in run.records("saved_replies")] == [
        (mailbox, reply["id"])
        for mailbox, replies in fake.children["saved_replies"].items()
        for reply in replies
    ]
    assert "chat_preview" in run.records("saved_replies")[1]


def test_a_single_object(followed):
    fake, run = followed
    rows = run.records("mailbox_routing")
    assert [row["mailbox_id"] for row in rows] == [row["id"] for row in fake.tables["mailboxes"]]
    assert all(row["assignment_method"] == "balanced" and row["user_ids"] for row in rows)


def test_a_path_of_another_version(followed):
    fake, run = followed
    assert [row["first_name"] for row in run.records("system_users")] == [
        row["firstName"] for row in fake.tables["system_users"]
    ]


def test_the_test_of_the_guide_passes(copy):
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "tests/test_tags.py"],
        cwd=copy,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(copy)},
        timeout=300,
    )
    assert "1 passed" in done.stdout, done.stdout + done.stderr


def modules():
    """The modules of the package, as files and by the names that they are imported by, in the order
    of the layout."""
    order, folder = [], ""
    for indent, name in re.findall(r"^  (  )?(\w+(?:\.py|/))", LAYOUT, re.MULTILINE):
        if name.endswith("/"):
            folder = name
        else:
            order.append((folder if indent else "") + name)
    return {file: f"tap_helpscout.{file[:-3].replace('/', '.')}" for file in order}


def test_the_layout_lists_every_module():
    package = ROOT / "tap_helpscout"
    files = {str(path.relative_to(package)) for path in package.rglob("*.py")}
    assert set(modules()) == files - {"reading/__init__.py"}
    folders = {path.name for path in package.iterdir() if path.is_dir()} - {"__pycache__"}
    assert set(re.findall(r"^  (\w+)/", LAYOUT, re.MULTILINE)) == folders


def imported(file):
    """The modules of the package that one imports."""
    for node in ast.walk(ast.parse((ROOT / "tap_helpscout" / file).read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            assert not [alias for alias in node.names if alias.name.startswith("tap_helpscout")]
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, "relative imports are not followed here"
            if node.module == "tap_helpscout":
                yield from (f"{node.module}.{alias.name}" for alias in node.names)
            elif node.module.startswith("tap_helpscout."):
                yield node.module


def test_modules_import_only_what_stands_above_them():
    above = set()
    for file, name in modules().items():
        assert set(imported(file)) <= above, file
        above.add(name)
