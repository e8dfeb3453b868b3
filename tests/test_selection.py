"""Selection: what a catalog says to read, and what it does not."""

import pytest

from tests.test_discovery import TABLE, fields, metadata
from tests.test_records import assert_complete


def say(catalog, stream, *path, **words):
    """Has the catalog say these words of a stream or, with a path, of a field."""
    (entry,) = [entry for entry in catalog["streams"] if entry["tap_stream_id"] == stream]
    breadcrumb = [
        part for name in path for part in (["items"] if name == "items" else ["properties", name])
    ]
    if breadcrumb and tuple(breadcrumb) not in metadata(entry):
        entry["metadata"].append({"breadcrumb": breadcrumb, "metadata": {}})
    metadata(entry)[tuple(breadcrumb)].update(words)


def flat(value, path=()):
    """The path of each field in a value, whatever lists lie between."""
    if isinstance(value, list):
        return set().union(*(flat(item, path) for item in value))
    if isinstance(value, dict):
        return set().union(
            *({(*path, name)} | flat(inner, (*path, name)) for name, inner in value.items())
        )
    return set()


PARENTS = {child: parent for child, (_, _, parent, _) in TABLE.items() if parent}


def test_children_come_whole_without_their_parents(tap, fake):
    run = tap.good_run(catalog=tap.select(*PARENTS))
    assert_complete(run, fake, *PARENTS)
    assert run.streams == set(PARENTS) == {message["stream"] for message in run.of_type("SCHEMA")}
    assert set(run.bookmarks) <= set(PARENTS)


def test_parents_come_without_their_children(tap, fake):
    parents = set(PARENTS.values())
    run = tap.good_run(catalog=tap.select(*parents))
    assert_complete(run, fake, *parents)
    assert run.streams == parents
    assert {request.path for request in fake.requests} - {"/v2/oauth2/token", "/v2/users/me"} == {
        f"/v2/{parent}" for parent in parents
    }
    assert not any("embed" in request.params for request in fake.requests)


@pytest.mark.parametrize("option", ["--catalog", "-p"])
def test_an_unedited_catalog_reads_everything_as_does_none(tap, fake, whole, option):
    run = tap.good_run(option, tap.file("chosen.json", tap.discover()))
    _, other = whole
    assert run.streams == set(TABLE)
    assert_complete(run, fake, *TABLE)
    for stream in TABLE:
        assert run.of_type("SCHEMA", stream) == other.of_type("SCHEMA", stream)


def test_a_stream_that_the_catalog_lacks_is_not_read(tap, fake):
    catalog = tap.discover()
    catalog["streams"] = [
        entry
        for entry in catalog["streams"]
        if entry["tap_stream_id"] not in ("users", "conversations", "teams")
    ]
    run = tap.good_run(catalog=catalog)
    assert run.streams == set(TABLE) - {"users", "conversations", "teams"}
    assert_complete(run, fake, *run.streams)


def test_only_automatic_fields_are_left_when_all_others_are_off(tap):
    catalog = tap.discover()
    for entry in catalog["streams"]:
        for item in entry["metadata"]:
            if item["breadcrumb"]:
                item["metadata"]["selected"] = False
    run = tap.good_run(catalog=catalog)
    for stream, (keys, replication_key, _, more) in TABLE.items():
        names = {*keys, *more} | ({replication_key} if replication_key else set())
        (schema,) = run.of_type("SCHEMA", stream)
        assert set(schema["schema"]["properties"]) == names
        assert {name for record in run.records(stream) for name in record} == names
    assert "WARNING" not in run.log


def test_single_fields_can_be_left_out_at_any_depth(tap, whole):
    catalog = tap.select("conversations")
    unwanted = {
        ("subject",): {"selected": False},
        ("tags",): {"inclusion": "unsupported"},
        ("preview",): {"selected-by-default": False},
        ("created_by",): {"selected": False},
        ("customer_waiting_since", "friendly"): {"selected": False},
        ("custom_fields", "items", "text"): {"selected": False},
    }
    for path, words in unwanted.items():
        say(catalog, "conversations", *path, **words)
    runs = tap.good_run(catalog=catalog), whole[1]
    paths = [tuple(name for name in path if name != "items") for path in unwanted]
    for lacking, having in (
        [flat(run.records("conversations")) for run in runs],
        [set(fields(run.of_type("SCHEMA", "conversations")[0]["schema"])) for run in runs],
    ):
        assert set(paths) <= having
        assert lacking == {
            name for name in having if not any(name[: len(path)] == path for path in paths)
        }


def test_one_selected_stream_is_all_that_is_read(tap, fake):
    catalog = tap.discover()
    say(catalog, "users", selected=True)
    run = tap.good_run(catalog=catalog)
    assert run.streams == {"users"}
    assert_complete(run, fake, "users")


def test_where_none_is_selected_the_default_less_what_is_deselected_is_read(tap):
    catalog = tap.discover()
    for stream in set(TABLE) - {"teams", "team_members"}:
        say(catalog, stream, selected=False)
    assert tap.good_run(catalog=catalog).streams == {"teams", "team_members"}


def test_a_string_is_taken_as_it_is_meant_with_a_warning(tap):
    """What else a catalog may say of a stream, tests/unit/test_selection.py shows."""
    catalog = tap.discover()
    for stream in set(TABLE) - {"teams", "users"}:
        say(catalog, stream, selected=False)
    say(catalog, "teams", selected="True")
    run = tap.good_run(catalog=catalog)
    assert run.streams == {"teams"}
    assert f'WARNING {tap.folder / "catalog.json"}, teams: breadcrumb []: "selected" is' in run.log


def test_what_has_no_effect_in_a_catalog_is_said(tap):
    catalog = tap.select("teams")
    (entry,) = [entry for entry in catalog["streams"] if entry["tap_stream_id"] == "teams"]
    entry["selected"] = False
    say(catalog, "teams", "nmae", selected=False)
    run = tap.good_run(catalog=catalog)
    warnings = [line for line in run.log.splitlines() if line.startswith("WARNING")]
    assert run.streams == {"teams"} and len(warnings) == 2
    assert '"selected" beside the metadata' in warnings[0] and "nmae" in warnings[1]


def test_a_stream_twice_is_an_error_that_names_it(tap, fake):
    catalog = tap.select("users")
    catalog["streams"].append(catalog["streams"][0])
    run = tap.run(catalog=catalog)
    assert run.code == 1 and not run.messages and not fake.requests
    name = catalog["streams"][0]["tap_stream_id"]
    assert f"more than one entry of {name}." in run.log


def test_without_a_schema_all_fields_come(tap, whole):
    catalog = tap.select("teams")
    for entry in catalog["streams"]:
        entry["schema"] = None
    run, (_, other) = tap.good_run(catalog=catalog), whole
    assert run.of_type("SCHEMA", "teams") == other.of_type("SCHEMA", "teams")
    assert "name" in run.records("teams")[0]


def test_a_catalog_from_before_there_was_metadata_is_understood(tap):
    catalog = {
        "streams": [
            {
                "tap_stream_id": "teams",
                "stream": "teams",
                "key_properties": ["id"],
                "schema": {"selected": True, "properties": {"name": {"type": ["null", "string"]}}},
            },
            {
                "tap_stream_id": "users",
                "stream": "users",
                "key_properties": ["id"],
                "schema": {"selected": False, "properties": {}},
            },
        ]
    }
    run = tap.good_run("--properties", tap.file("old.json", catalog))
    assert run.streams == {"teams"}
    assert {name for record in run.records("teams") for name in record} == {
        "id",
        "name",
        "updated_at",
    }


def test_a_catalog_that_lost_its_keys_still_has_them_in_records(tap, fake):
    catalog = tap.select("team_members", "mailbox_folders")
    for entry in catalog["streams"]:
        entry["schema"] = {"properties": {"name": {"type": "string"}}}
        entry["metadata"] = entry["metadata"][:1]
    run = tap.good_run(catalog=catalog)
    assert_complete(run, fake, "team_members")
    assert {name for record in run.records("mailbox_folders") for name in record} == {
        "name",
        "id",
        "mailbox_id",
        "updated_at",
    }


def test_nothing_selected_is_a_warning_and_no_request(tap, fake):
    run = tap.good_run(catalog=tap.select())
    assert "WARNING nothing is selected" in run.log and not run.messages and not fake.requests


def test_streams_that_the_tap_does_not_have_are_refused_only_if_selected(tap, fake):
    catalog = tap.select("users")
    catalog["streams"].append(
        {
            "tap_stream_id": "parrots",
            "stream": "parrots",
            "schema": {},
            "metadata": [{"breadcrumb": [], "metadata": {"selected": False}}],
        }
    )
    run = tap.good_run(catalog=catalog)
    (warning,) = [line for line in run.log.splitlines() if line.startswith("WARNING")]
    assert run.streams == {"users"} and "'parrots' has no effect" in warning
    fake.clear()
    catalog["streams"][-1]["metadata"][0]["metadata"]["selected"] = True
    run = tap.run(catalog=catalog)
    assert run.code == 1 and "parrots" in run.log and not fake.requests
