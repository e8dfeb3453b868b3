"""The package: what is in it, what it asks for, and where streams are named."""

import ast
import dataclasses
import importlib.util
import json
import re
import shutil
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

from tap_helpscout.config import Config
from tap_helpscout.streams import STREAMS

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "tap_helpscout"
MODULES = sorted(PACKAGE.rglob("*.py"))


def parsed(module):
    return ast.parse(module.read_text(encoding="utf-8"))


def imports(module):
    """The dotted names of the modules that one imports."""
    for node in ast.walk(parsed(module)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@pytest.fixture(name="built", scope="module")
def _built(tmp_path_factory):
    """The folder that the package is installed to, by way of the archives that are published where
    this environment can build them; from a copy, so that the checkout stays as it is."""
    folder = tmp_path_factory.mktemp("package")
    source, target = folder / "source", folder / "target"
    shutil.copytree(ROOT, source, ignore=shutil.ignore_patterns(".*", "build", "dist", "*.egg-*"))

    def python(*args):
        subprocess.run(
            [sys.executable, "-m", *args], check=True, cwd=source, timeout=300, capture_output=True
        )

    what = "."
    setuptools = importlib.util.find_spec("setuptools")
    if setuptools and importlib.util.find_spec("setuptools.command.bdist_wheel"):
        python("build", "--no-isolation")
        (what,) = map(str, (source / "dist").glob("*.whl"))
    python(
        "pip",
        "--disable-pip-version-check",
        "install",
        "--quiet",
        "--no-deps",
        "--target",
        str(target),
        what,
    )
    return target


@pytest.fixture(name="said", scope="module")
def _said(built):
    """What the installed package says of itself."""
    (path,) = built.glob("*.dist-info")
    return metadata.Distribution.at(path)


def test_every_dependency_has_a_range_and_every_import_is_a_dependency(said):
    for line in said.requires:
        assert ">=" in line and re.search(r"(?<![<=])<\d", line), line
    declared = {re.match(r"[\w-]+", line)[0] for line in said.requires if "extra ==" not in line}
    used = {name.split(".")[0] for module in MODULES for name in imports(module)}
    foreign = {
        name for name in used if "site-packages" in (importlib.util.find_spec(name).origin or "")
    }
    assert {{"singer": "singer-python"}.get(name, name) for name in foreign} == declared
    assert said.metadata["Requires-Python"] == ">=3.10"


def test_version_licence_and_changelog_agree(said):
    changes = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert re.findall(r"^## (\d\S+) - \d{4}-\d\d-\d\d$", changes, re.M)[0] == said.version
    assert said.metadata["License"] == "MIT"
    assert (ROOT / "LICENSE").read_text(encoding="utf-8").startswith("MIT License")


def test_streams_are_named_in_their_table_and_nowhere_else():
    for module in MODULES:
        named = {
            node.value
            for node in ast.walk(parsed(module))
            if isinstance(node, ast.Constant) and node.value in STREAMS
        }
        if module.stem == "state":
            named -= {"mailboxes"}  # a key of its document
        assert named == (set(STREAMS) if module.stem == "streams" else set()), module.name


def test_each_stream_has_a_schema_and_each_schema_a_stream():
    assert {path.stem for path in (PACKAGE / "schemas").iterdir()} == set(STREAMS)


def test_the_sample_config_is_what_a_config_must_hold_and_works(tap, fake):
    sample = json.loads((ROOT / "sample_config.json").read_text(encoding="utf-8"))
    assert set(sample) == {
        setting.name
        for setting in dataclasses.fields(Config)
        if setting.default is dataclasses.MISSING
    }
    tap.config_path.write_text(
        json.dumps(
            {
                **sample,
                "api_url": fake.url,
                "client_id": fake.client_id,
                "client_secret": fake.client_secret,
            }
        )
    )
    assert tap.good_run(catalog=tap.select("users")).ids("users")


def test_an_installed_package_holds_its_modules_and_schemas_and_no_tests(built):
    files = {
        str(path.relative_to(built))
        for path in built.rglob("*")
        if path.suffix in (".py", ".json") and ".dist-info" not in str(path)
    }
    assert files == {str(module.relative_to(ROOT)) for module in MODULES} | {
        f"tap_helpscout/schemas/{path.name}" for path in (PACKAGE / "schemas").iterdir()
    }


def test_an_installed_package_discovers(built):
    done = subprocess.run(
        [sys.executable, str(built / "bin" / "tap-helpscout"), "--discover"],
        env={"PYTHONPATH": str(built)},
        capture_output=True,
        check=True,
        timeout=60,
        cwd=built,
    )
    assert len(json.loads(done.stdout)["streams"]) == len(STREAMS)
