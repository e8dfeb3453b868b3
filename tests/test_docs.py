"""What the documentation says, held to the code."""

import dataclasses
import json
import re
import signal
from importlib import metadata

import pytest

from tap_helpscout.config import Config
from tap_helpscout.discover import load_schema
from tap_helpscout.streams import STREAMS
from tests.readme import FENCE, README, blocks, code, section, table
from tests.stand_ins import ROOT

DOCS = ("docs/comparison.md", "docs/design.md")
DOCUMENTS = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", *DOCS)
BY_DEFAULT, IF_SELECTED = (
    {code(row[0])[0]: row for row in table(heading)}
    for heading in ("Stream", "Stream, if selected")
)
STREAM_TABLE = {**BY_DEFAULT, **IF_SELECTED}


def test_every_stream_is_in_one_of_the_tables():
    assert list(STREAM_TABLE) == list(STREAMS)
    assert set(BY_DEFAULT) == {
        name for name, stream in STREAMS.items() if stream.selected_by_default
    }


@pytest.mark.parametrize("name", STREAMS)
def test_stream_table(name):
    stream = STREAMS[name]
    _, endpoint, key, replication, _ = STREAM_TABLE[name]
    assert code(endpoint) == [stream.path]
    assert code(key) == list(stream.key_properties)
    assert replication.split()[0] == stream.replication_method
    if stream.replication_key:
        assert code(replication) == [stream.replication_key]


# (stream, column, other stream or None)
FOREIGN_KEYS = [
    (name, code(column)[0], other or None)
    for name, row in STREAM_TABLE.items()
    for column, _, others in (part.partition(" → ") for part in row[4].split(", ") if part)
    for other in others.split(" or ")
]


@pytest.mark.parametrize("name, column, other", FOREIGN_KEYS)
def test_foreign_keys_are_columns_and_lead_to_streams(name, column, other):
    schema = load_schema(name)
    for part in column.split("."):
        schema = schema["properties"][part.replace("[]", "")]
        schema = schema["items"] if part.endswith("[]") else schema
    if other is None:
        assert "integer" in schema["type"]
    else:
        (key,) = STREAMS[other].key_properties
        assert load_schema(other)["properties"][key]["type"] in schema["type"]


def values(record, column):
    """The ids that a record has in a column such as `a`, `a.b` or `a[].b`; 0 is nobody."""
    found = [record]
    for part in column.split("."):
        found = [(item or {}).get(part.replace("[]", "")) for item in found]
        if part.endswith("[]"):
            found = [item for items in found for item in items or ()]
    return {value for value in found if value}


def test_foreign_keys_join(every):
    _, run = every
    records = {name: run.records(name) for name in STREAMS}
    here = {
        name: {record[STREAMS[name].key_properties[0]] for record in rows}
        for name, rows in records.items()
    }
    others = {}
    for name, column, other in FOREIGN_KEYS:
        others.setdefault((name, column), set()).update(here.get(other, ()))
    for (name, column), known in others.items():
        used = {value for record in records[name] for value in values(record, column)}
        assert used, f"{name}.{column} is empty everywhere"
        assert used <= known or not known, f"{name}.{column} has ids that join nothing"


def test_the_diagram_shows_the_foreign_keys():
    (diagram,) = blocks(README, "mermaid")
    lines = diagram["text"].splitlines()
    assert lines[0] == "erDiagram"
    edge = re.compile(r'  (\w+) (?:\|\||\|o|}o)--o{ (\w+) : "([^"]+)"')
    shown = [edge.fullmatch(line).groups() for line in lines[1:]]
    assert sorted(shown) == sorted(
        (other, name, column) for name, column, other in FOREIGN_KEYS if other
    )


def test_config_table():
    documented = {code(row[0])[0]: row for row in table("Key")}
    settings = {setting.name: setting for setting in dataclasses.fields(Config)}
    assert list(documented) == list(settings)
    for name, (_, default, meaning) in documented.items():
        setting = settings[name]
        if setting.default is dataclasses.MISSING:
            assert default == "required"
        else:
            version = metadata.version("tap-helpscout")
            is_unset = setting.default in (None, ())
            shown = [] if is_unset else [str(setting.default).replace("False", "false")]
            assert [text.replace("VERSION", version) for text in code(default)] == shown
        try:
            setting.metadata["parse"]("no number")
        except ValueError as error:
            bounds = re.search(r"from (\S+) to (\S+)$", str(error))
            assert not bounds or " to ".join(bounds.groups()) in meaning


def test_option_table(tap):
    option = re.compile(r"(?<![\w-])--?[a-z]+")
    documented = {name for row in table("Option") for name in option.findall(row[0])}
    assert documented == set(option.findall(tap.run_raw("--help").decode()))


def test_sample_config_is_what_a_run_needs_and_no_more(tap):
    sample = json.loads((ROOT / "sample_config.json").read_text(encoding="utf-8"))
    assert list(sample) == [
        setting.name
        for setting in dataclasses.fields(Config)
        if setting.default is dataclasses.MISSING
    ]
    tap.configure(**sample)
    assert "Check client_id and client_secret" in tap.run().log
    tap.configure(start_date=sample["start_date"])
    tap.good_run(catalog=tap.select("teams"))


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_exit_codes_of_an_ended_run_are_in_the_table(fake, tap, signum):
    fake.set(latency=0.1)
    with tap.start() as process:
        process.stdout.readline()
        process.send_signal(signum)
        process.communicate()
    assert str(process.returncode) in [one for row in table("Exit code") for one in code(row[0])]


def test_changelog_begins_with_what_is_to_come_and_the_version():
    headings = re.findall(r"^## (.+)$", (ROOT / "CHANGELOG.md").read_text("utf-8"), re.MULTILINE)
    version = re.search(r'version="(.+?)"', (ROOT / "setup.py").read_text("utf-8"))[1]
    assert headings[0] == "Unreleased"
    assert re.fullmatch(rf"{re.escape(version)} - \d{{4}}-\d\d-\d\d", headings[1])


@pytest.mark.parametrize("document", DOCUMENTS)
def test_links_lead_somewhere(document):
    text = (ROOT / document).read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)\s]+)\)", FENCE.sub("", text)):
        if target.startswith("https://"):
            continue
        name, _, anchor = target.partition("#")
        path = (ROOT / document).parent / name if name else ROOT / document
        assert path.exists(), target
        if anchor:
            headings = re.findall(r"^#+ (.+)$", path.read_text("utf-8"), re.MULTILINE)
            assert anchor in {
                re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings
            }, target


def test_make_targets_that_are_named_exist():
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    for document in DOCUMENTS:
        named = re.findall(r"`make (\w+)", (ROOT / document).read_text(encoding="utf-8"))
        assert set(named) <= targets


def shape(line):
    return re.sub(r"\d[\d:.TZ-]*", "#", line)


def test_the_log_looks_as_shown(whole):
    _, run = whole
    (sample,) = blocks(section("Exit codes and the log"), "text")
    seen = {shape(line) for line in run.log.splitlines()}
    assert [line for line in sample["text"].splitlines() if shape(line) not in seen] == []
