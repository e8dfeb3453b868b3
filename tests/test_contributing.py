"""CONTRIBUTING.md, followed to the letter in a copy of the project."""

import ast
import dataclasses
import json
import os
import re
import shutil
import subprocess
import sys

import pytest

from tap_helpscout.streams import STREAMS, Stream
from tests.conftest import TAP
from tests.readme import FENCE
from tests.stand_ins import ROOT

GUIDE = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
BLOCKS = [(match["language"], match["text"]) for match in FENCE.finditer(GUIDE)]
PYTHON = [text for language, text in BLOCKS if language == "python"]
(ROW,) = [text for text in PYTHON if text.startswith("Stream(")]
(TABLE,) = [text for text in PYTHON if text.startswith('"/v2/')]
(TEST,) = [text for text in PYTHON if "def test" in text]
(SCHEMA,) = [text for language, text in BLOCKS if language == "json"]
(LAYOUT,) = [text for language, text in BLOCKS if language == "text"]
NAME = "busy_times"


@pytest.fixture(name="copy", scope="module")
def _copy(tmp_path_factory):
    """The project with what the guide adds."""
    copy = tmp_path_factory.mktemp("copy")
    for folder in ("tap_helpscout", "tests"):
        shutil.copytree(ROOT / folder, copy / folder, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", copy)
    _insert(copy / "tap_helpscout" / "streams.py", "\n    )\n}", f"\n{ROW.rstrip()},")
    _insert(copy / "tests" / "fake" / "api.py", "\n}\nROUTES", f"\n{TABLE.rstrip()}")
    (copy / "tap_helpscout" / "schemas" / f"{NAME}.json").write_text(SCHEMA, "utf-8")
    (copy / "tests" / f"test_{NAME}.py").write_text(TEST, "utf-8")
    return copy


def _insert(file, before, text):
    head, mark, tail = file.read_text("utf-8").rpartition(before)
    assert mark, file
    file.write_text(head + text + mark + tail, "utf-8")


def test_the_stream_of_the_guide_is_discovered(copy):
    done = subprocess.run(
        [TAP, "--discover"],
        capture_output=True,
        env={**os.environ, "PYTHONPATH": str(copy)},
        check=True,
    )
    entries = {entry["tap_stream_id"]: entry for entry in json.loads(done.stdout)["streams"]}
    assert set(entries) == {*STREAMS, NAME}
    assert entries[NAME]["schema"] == json.loads(SCHEMA)
    assert entries[NAME]["key_properties"] == ["day", "hour"]
    assert entries[NAME]["replication_method"] == "FULL_TABLE"


def test_the_test_of_the_guide_passes(copy):
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", f"tests/test_{NAME}.py"],
        cwd=copy,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(copy)},
        timeout=300,
    )
    assert "1 passed" in done.stdout, done.stdout + done.stderr


def test_the_guide_names_a_stream_for_all_that_a_row_can_have():
    _, _, guide = GUIDE.partition("## Adding a stream")
    shown = {"tap_stream_id", "path", "rows_key", *re.findall(r"(\w+)=", ROW)}
    for words, names in re.findall(r"^\| (\w.+) \| (`.+`) \|$", guide, re.MULTILINE):
        streams = [STREAMS[name] for name in re.findall(r"`(\w+)`", names)]
        for field in re.findall(r"`(\w+)`", words):
            shown.add(field)
            assert any(getattr(stream, field) not in (None, False) for stream in streams), field
    assert shown == {field.name for field in dataclasses.fields(Stream)}


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
    assert set(modules()) == files - {"reading/__init__.py", "check/__init__.py"}
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
