"""What `--select` makes of its patterns."""

import pytest

from tap_helpscout.config import ConfigError
from tap_helpscout.discover import Catalog, discover, load_schema, schema_nodes
from tap_helpscout.patterns import parse_pattern, select_by_patterns
from tap_helpscout.selection import select
from tap_helpscout.streams import STREAMS

ALL = {name: set(load_schema(name)["properties"]) for name in STREAMS}
USUAL = {name for name, stream in STREAMS.items() if stream.selected_by_default}
KEYS = {"id", "updated_at"}


def chosen(*patterns: str) -> Catalog:
    """The catalog that the patterns make."""
    catalog = discover()
    select_by_patterns(catalog, patterns)
    return catalog


def read(*patterns: str) -> dict[str, set[str]]:
    """The top-level fields of each stream that a run with these patterns reads."""
    selection = select(chosen(*patterns), "catalog.json")
    assert not selection.warnings
    return {name: set(one.schema["properties"]) for name, one in selection.streams.items()}


def paths(stream: str, *patterns: str) -> set[str]:
    """The fields of a stream at any depth, dotted."""
    schema = select(chosen(*patterns), "catalog.json").streams[stream].schema
    return {".".join(path) for path, _ in schema_nodes(schema) if path}


def refused(*patterns: str) -> str:
    with pytest.raises(ConfigError) as error:
        chosen(*patterns)
    return str(error.value)


@pytest.mark.parametrize(
    "patterns, streams",
    [
        (["users"], {"users"}),
        (["users.*"], {"users"}),
        (["users", "teams"], {"users", "teams"}),
        (["team*"], {"teams", "team_members"}),
        (["mailbox_f?????s"], {"mailbox_folders"}),
        (["*"], set(ALL)),
        (["*.*"], set(ALL)),
        (["*", "!team*"], set(ALL) - {"teams", "team_members"}),
        (["!teams", "*"], set(ALL) - {"teams"}),
        (["teams", "users", "!users"], {"teams"}),
        (["teams", "users", "!users.*"], {"teams"}),
        (["!happiness_ratings_report"], USUAL - {"happiness_ratings_report"}),
        (["!happiness_ratings_report.*"], USUAL - {"happiness_ratings_report"}),
        (["[tu]*s"], {"tags", "teams", "team_members", "users", "user_statuses"}),
        (["tags", "!teams"], {"tags"}),
        (["!tags"], USUAL),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_streams(patterns: list[str], streams: set[str]) -> None:
    assert read(*patterns) == {name: ALL[name] for name in streams}


@pytest.mark.parametrize(
    "patterns, fields",
    [
        (["customers.first_name"], KEYS | {"first_name"}),
        (["customers.*_name", "customers.age"], KEYS | {"first_name", "last_name", "age"}),
        (["customers", "!customers.background"], ALL["customers"] - {"background"}),
        (["*.*", "!*.background"], ALL["customers"] - {"background"}),
        (["!customers.background"], ALL["customers"] - {"background"}),
        (["!customers.photo_*"], ALL["customers"] - {"photo_type", "photo_url"}),
        (["customers.first_name", "customers"], ALL["customers"]),
        (["customers.first_name", "!customers.first_name"], KEYS),
        (["customers.id"], KEYS),
        (["customers.*_at"], KEYS | {"created_at"}),
        (["!customers.*_at"], ALL["customers"] - {"created_at"}),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_fields(patterns: list[str], fields: set[str]) -> None:
    assert read(*patterns)["customers"] == fields


def test_a_pattern_that_leaves_out_a_field_selects_no_further_stream() -> None:
    assert read("users", "!customers.background") == {"users": ALL["users"]}
    assert set(read("!customers.background")) == USUAL


def test_a_field_pattern_selects_the_streams_that_have_such_a_field() -> None:
    assert read("*.initials") == {
        "users": KEYS | {"initials"},
        "teams": KEYS | {"initials"},
        "system_users": KEYS | {"initials"},
    }


def test_fields_inside_fields() -> None:
    whole = paths("customers", "customers")
    assert {"emails.value", "address.city"} < whole
    assert paths("customers", "!customers.emails.value") == whole - {"emails.value"}
    assert paths("customers", "customers.emails.value") == KEYS | {"emails", "emails.value"}
    assert paths("customers", "customers", "!customers.*.value") == whole - {
        path for path in whole if path.endswith(".value")
    }


def test_without_a_field_pattern_nothing_is_said_of_fields() -> None:
    for entry in chosen("users", "!teams.*")["streams"]:
        for item in entry["metadata"]:
            assert ("selected" in item["metadata"]) == (item["breadcrumb"] == [])


def test_what_is_said_of_fields_agrees_with_what_is_read() -> None:
    (users,) = (
        entry for entry in chosen("users.email")["streams"] if entry["tap_stream_id"] == "users"
    )
    said = {item["breadcrumb"][1]: item["metadata"] for item in users["metadata"][1:]}
    assert {name for name, metadata in said.items() if metadata["selected"]} == KEYS | {"email"}
    assert {name for name, one in said.items() if one["inclusion"] == "automatic"} == KEYS


def test_the_packaged_catalog_is_not_changed() -> None:
    before = discover()
    chosen("users.email", "!customers.emails.value")
    assert discover() == before


@pytest.mark.parametrize(
    "pattern, words",
    [
        ("conversation", "conversation matches no stream, did you mean conversations?"),
        ("!custmers", "!custmers matches no stream, did you mean !customers?"),
        ("custmers.*", "did you mean customers.*?"),
        ("custmers.background", "did you mean customers.background?"),
        ("*.backgrund", "did you mean *.background?"),
        ("customers.backgrund", "customers.backgrund matches no field, did you mean customers.bac"),
        ("!customers.email", "did you mean !customers.emails?"),
        ("customers.emails.vlue", "did you mean customers.emails.value?"),
        ("users.zzzzzzzzzzzzzz", "matches no field, the fields of users are id, first_name"),
        ("*.zzzzzzzzzzzzzz", "matches no field, the catalog that --discover writes has all"),
        ("users,teams", "users,teams matches no stream, between patterns there is a space"),
        ("customers.id.x", "matches no field"),
        ("invoices", "the streams are conversations, "),
        ("Users", "did you mean users?"),
        ("users.", "matches no field"),
        ("", "matches no stream"),
        ("!", "matches no stream"),
        ("!users.id", "!users.id has no effect"),
        ("!users", None),
    ],
)
def test_a_pattern_without_effect_is_refused(pattern: str, words: str | None) -> None:
    if words is None:
        chosen(pattern)
    else:
        assert words in refused("teams", pattern)


def test_all_that_is_wrong_is_said_at_once() -> None:
    assert "usr matches" in refused("usr", "tems") and "tems matches" in refused("usr", "tems")


@pytest.mark.parametrize("patterns", [["!*"], ["users", "!users"], ["!*.*"]], ids=" ".join)
def test_patterns_that_select_nothing_are_refused(patterns: list[str]) -> None:
    assert "select no stream" in refused(*patterns)


def test_a_pattern_is_taken_apart() -> None:
    pattern = parse_pattern("!customers.emails.value")
    assert (pattern.excludes, pattern.stream, pattern.field) == (
        True,
        "customers",
        ("emails", "value"),
    )
    assert parse_pattern("*").is_whole_stream and not parse_pattern("*.a").is_whole_stream
