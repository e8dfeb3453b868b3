"""How a catalog is read: what is selected, replicated how, and what is warned of."""

import copy
import dataclasses
import json
from typing import Any

import pytest

from tap_helpscout.config import ConfigError
from tap_helpscout.discover import Catalog, discover, load_schema
from tap_helpscout.selection import select
from tap_helpscout.streams import STREAMS

USUAL = {name for name, stream in STREAMS.items() if stream.selected_by_default}
OTHERS = USUAL - {"users"}


def entry_of(catalog: Catalog, name: str) -> dict[str, Any]:
    entries: dict[str, dict[str, Any]] = {
        entry["tap_stream_id"]: entry for entry in catalog["streams"]
    }
    return entries[name]


def item_of(catalog: Catalog, breadcrumb: list[str]) -> dict[str, Any]:
    """What a catalog's metadata has for the stream users, or for a field of it."""
    items: list[dict[str, Any]] = entry_of(catalog, "users")["metadata"]
    return next(item for item in items if item["breadcrumb"] == breadcrumb)


def catalog_saying(stream: str, **words: Any) -> Catalog:
    """A catalog with these words in a stream's own metadata; `_` stands for `-`."""
    catalog = discover()
    metadata = entry_of(catalog, stream)["metadata"][0]["metadata"]
    metadata.update({key.replace("_", "-"): value for key, value in words.items()})
    return catalog


def streams(catalog: Catalog) -> set[str]:
    return set(select(catalog, "catalog.json").streams)


def warnings(catalog: Catalog) -> list[str]:
    return select(catalog, "catalog.json").warnings


def refused(catalog: Any) -> str:
    with pytest.raises(ConfigError) as error:
        select(catalog, "catalog.json")
    return str(error.value)


def old_entry(**schema: Any) -> Catalog:
    """A catalog of one stream from before there was metadata."""
    return {"streams": [{"stream": "teams", "schema": schema}]}


@pytest.mark.parametrize(
    "words, expected",
    [
        ({}, USUAL),
        ({"selected": None}, USUAL),
        ({"selected": False}, OTHERS),
        ({"selected_by_default": False}, OTHERS),
        ({"inclusion": "unsupported"}, OTHERS),
        ({"selected": "false"}, OTHERS),
        ({"selected": " FALSE "}, OTHERS),
        ({"selected_by_default": "false"}, OTHERS),
        ({"selected": True}, {"users"}),
        ({"selected": "true"}, {"users"}),
        ({"selected": "True"}, {"users"}),
        ({"selected": True, "selected_by_default": False}, {"users"}),
        ({"selected": "yes"}, USUAL),
        ({"selected": 0}, USUAL),
        ({"selected": 1}, USUAL),
        ({"selected": True, "inclusion": "unsupported"}, set()),
        ({"selected": False, "inclusion": "automatic"}, USUAL),
    ],
    ids=lambda value: str(value) if isinstance(value, dict) else None,
)
def test_one_selected_stream_makes_the_others_wait_for_their_own_word(
    words: dict[str, Any], expected: set[str]
) -> None:
    assert streams(catalog_saying("users", **words)) == expected


def test_a_selected_field_selects_no_stream() -> None:
    catalog = discover()
    for item in entry_of(catalog, "users")["metadata"][1:]:
        item["metadata"]["selected"] = True
    assert streams(catalog) == USUAL


def test_a_stream_may_be_deselected_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    reserved = dataclasses.replace(STREAMS["users"], selected_by_default=False)
    monkeypatch.setitem(STREAMS, "users", reserved)
    assert streams(discover()) == OTHERS
    assert streams(catalog_saying("users", selected=True)) == {"users"}


@pytest.mark.parametrize(
    "schema",
    [None, {}, {"type": "object"}, {"properties": {}}, {"type": "object", "properties": None}],
    ids=str,
)
def test_without_fields_in_the_catalog_those_of_the_package_are_read(schema: Any) -> None:
    catalog = catalog_saying("users", selected=True)
    entry_of(catalog, "users")["schema"] = schema
    assert select(catalog, "").streams["users"].schema == load_schema("users")
    del entry_of(catalog, "users")["schema"]
    assert select(catalog, "").streams["users"].schema == load_schema("users")
    assert not warnings(catalog)


def test_without_fields_in_the_catalog_deselected_ones_are_left_out_all_the_same() -> None:
    catalog = catalog_saying("users", selected=True)
    entry = entry_of(catalog, "users")
    del entry["schema"]
    email = next(
        item for item in entry["metadata"] if item["breadcrumb"] == ["properties", "email"]
    )
    email["metadata"]["selected"] = False
    assert set(select(catalog, "").streams["users"].schema["properties"]) == set(
        load_schema("users")["properties"]
    ) - {"email"}


def test_old_catalogs_say_it_in_the_schema() -> None:
    name = {"name": {"type": "string"}}
    assert streams(old_entry(selected=True, properties=name)) == {"teams"}
    assert not streams(old_entry(selected=False, properties=name))
    assert not streams(old_entry(properties=name))
    fields = select(old_entry(selected=True, properties=name), "").streams["teams"].schema
    assert set(fields["properties"]) == {"id", "updated_at", "name"}


def test_a_field_inside_any_of_can_be_deselected() -> None:
    def listing(**properties: Any) -> dict[str, Any]:
        items = {"type": "object", "properties": properties}
        return {"anyOf": [{"type": "array", "items": items}, {"type": "null"}]}

    text = {"type": ["null", "string"]}
    catalog = catalog_saying("conversations", selected=True)
    entry = entry_of(catalog, "conversations")
    entry["schema"] = {"properties": {"tags": listing(tag=text, color=text)}}
    color = ["properties", "tags", "items", "properties", "color"]
    entry["metadata"] = [
        entry["metadata"][0],
        {"breadcrumb": color, "metadata": {"selected": False}},
    ]
    selection = select(catalog, "")
    assert selection.streams["conversations"].schema["properties"]["tags"] == listing(tag=text)
    assert not selection.warnings


@pytest.mark.parametrize(
    "stream, by_entry, by_metadata, expected, warned",
    [
        ("users", "INCREMENTAL", None, "INCREMENTAL", False),
        ("users", None, None, "INCREMENTAL", False),
        ("users", "FULL_TABLE", None, "FULL_TABLE", False),
        ("users", "INCREMENTAL", "FULL_TABLE", "FULL_TABLE", False),
        ("users", "FULL_TABLE", "INCREMENTAL", "INCREMENTAL", False),
        ("users", "FULL_TABLE", "LOG_BASED", "INCREMENTAL", True),
        ("users", "full", None, "INCREMENTAL", True),
        ("users", 5, None, "INCREMENTAL", True),
        ("team_members", None, None, "FULL_TABLE", False),
        ("team_members", "FULL_TABLE", "INCREMENTAL", "FULL_TABLE", True),
    ],
)
def test_replication_method(
    stream: str, by_entry: Any, by_metadata: Any, expected: str, warned: bool
) -> None:
    catalog = catalog_saying(stream, replication_method=by_metadata)
    entry_of(catalog, stream)["replication_method"] = by_entry
    assert select(catalog, "").streams[stream].replication_method == expected
    assert len(warnings(catalog)) == warned
    if warned:
        assert (
            f"catalog.json, {stream}: " in warnings(catalog)[0] and expected in warnings(catalog)[0]
        )


def test_an_unedited_catalog_has_nothing_to_warn_of() -> None:
    assert not warnings(discover())


@pytest.mark.parametrize(
    "words, text",
    [
        ({"selected": "false"}, '"selected" is "false"; it is taken as false'),
        ({"selected": "true"}, '"selected" is "true"; it is taken as true'),
        ({"selected": "no"}, '"selected" is "no"; only true and false'),
        ({"selected": 1}, '"selected" is 1; only true and false'),
        ({"selected_by_default": "false"}, '"selected-by-default" is "false"; it is taken'),
    ],
    ids=str,
)
def test_what_is_no_boolean_is_warned_of(words: dict[str, Any], text: str) -> None:
    (warning,) = warnings(catalog_saying("users", **words))
    assert warning.startswith("catalog.json, users: breadcrumb []: ") and text in warning


def test_a_string_of_a_field_is_taken_as_it_is_meant() -> None:
    catalog = discover()
    item_of(catalog, ["properties", "email"])["metadata"]["selected"] = "false"
    (warning,) = warnings(catalog)
    assert 'breadcrumb ["properties", "email"]: "selected" is "false"' in warning
    assert "email" not in select(catalog, "").streams["users"].schema["properties"]


def test_selected_beside_the_metadata_is_warned_of_and_has_no_effect() -> None:
    catalog = discover()
    entry_of(catalog, "users")["selected"] = False
    (warning,) = warnings(catalog)
    assert "users" in warning and "beside the metadata has no effect" in warning
    assert "users" in streams(catalog)


@pytest.mark.parametrize("breadcrumb", [[], ["properties", "email"]], ids=str)
def test_selected_beside_the_breadcrumb_is_warned_of_and_has_no_effect(
    breadcrumb: list[str],
) -> None:
    catalog = discover()
    item_of(catalog, breadcrumb)["selected"] = False
    (warning,) = warnings(catalog)
    where = f"users: breadcrumb {json.dumps(breadcrumb)}: "
    assert where in warning and 'beside "metadata" has no effect' in warning
    assert "email" in select(catalog, "").streams["users"].schema["properties"]


def test_selected_in_the_schema_of_a_field_is_warned_of_and_has_no_effect() -> None:
    catalog = copy.deepcopy(discover())
    entry_of(catalog, "users")["schema"]["properties"]["email"]["selected"] = False
    (warning,) = warnings(catalog)
    assert 'the schema of the field "email" has no effect' in warning
    assert 'belongs into the metadata with the breadcrumb ["properties", "email"]' in warning
    assert "email" in select(catalog, "").streams["users"].schema["properties"]


def test_of_two_metadata_of_one_breadcrumb_the_last_has_an_effect_and_that_is_said() -> None:
    catalog = discover()
    entry_of(catalog, "users")["metadata"].append(
        {"breadcrumb": [], "metadata": {"selected": False}}
    )
    (warning,) = warnings(catalog)
    assert "users: breadcrumb [] is there 2 times: only the last has an effect" in warning
    assert streams(catalog) == OTHERS


@pytest.mark.parametrize(
    "breadcrumb",
    [["properties", "nme"], ["email"], ["properties", "email", "properties", "x"], ["properties"]],
    ids=str,
)
def test_a_breadcrumb_that_leads_nowhere_is_warned_of(breadcrumb: list[str]) -> None:
    catalog = discover()
    entry_of(catalog, "users")["metadata"].append(
        {"breadcrumb": breadcrumb, "metadata": {"selected": False}}
    )
    (warning,) = warnings(catalog)
    assert "no such field" in warning and "users" in warning and breadcrumb[-1] in warning


def test_keys_that_a_catalog_lost_are_no_breadcrumb_to_warn_of() -> None:
    catalog = discover()
    entry = entry_of(catalog, "users")
    entry["schema"] = {"properties": {"email": {"type": "string"}}}
    entry["metadata"] = [
        item
        for item in entry["metadata"]
        if item["breadcrumb"][1:] in ([], ["id"], ["updated_at"], ["email"])
    ]
    assert not warnings(catalog)


@pytest.mark.parametrize("stream", ["users", "invoices"])
def test_a_stream_twice_is_refused(stream: str) -> None:
    catalog = discover()
    extra = {"tap_stream_id": stream, "metadata": []}
    catalog["streams"] += [extra, extra]
    assert f"catalog.json has more than one entry of {stream}." in refused(catalog)


def test_what_the_schema_says_and_is_not_followed_is_left_out_and_said() -> None:
    catalog = old_entry(
        properties={"name": {"type": "string", "maxLength": 5, "enum": ["a"]}}, selected=True
    )
    catalog["streams"][0]["metadata"] = [{"breadcrumb": [], "metadata": {"selected": True}}]
    selection = select(catalog, "catalog.json")
    assert selection.streams["teams"].schema["properties"]["name"] == {"type": "string"}
    assert selection.warnings == [
        "catalog.json, teams: enum, maxLength in the schema has no effect, and is left out of it"
    ]


def test_an_unknown_stream_is_refused_where_it_is_selected() -> None:
    catalog = catalog_saying("users", selected=True)
    catalog["streams"].append({"tap_stream_id": "invoices", "metadata": []})
    assert streams(catalog) == {"users"}
    assert warnings(catalog) == [
        "catalog.json: the entry of 'invoices' has no effect, for there is no stream of that name"
    ]
    catalog["streams"][-1]["metadata"] = [{"breadcrumb": [], "metadata": {"selected": True}}]
    assert "does not have: invoices" in refused(catalog)


def test_what_an_unknown_stream_probably_meant_is_said() -> None:
    catalog = discover()
    for name, misspelt in (("users", "user"), ("teams", "team\n")):
        entry_of(catalog, name).update(tap_stream_id=misspelt, selected=True, metadata=[])
    catalog["streams"].append({"tap_stream_id": "xyz"})
    unknown = "has no effect, for there is no stream of that name"
    assert warnings(catalog) == [
        f"catalog.json: the entry of 'team\\n' {unknown}; did you mean teams?",
        f"catalog.json: the entry of 'user' {unknown}; did you mean users?",
        f"catalog.json: the entry of 'xyz' {unknown}",
    ]


@pytest.mark.parametrize(
    "catalog",
    [
        {},
        {"streams": None},
        {"streams": ["users"]},
        {"streams": [{}]},
        {"streams": [{"tap_stream_id": 5}]},
        {"streams": [{"tap_stream_id": "users", "metadata": 5}]},
        {"streams": [{"tap_stream_id": "users", "metadata": [{}]}]},
        {"streams": [{"tap_stream_id": "users", "metadata": [{"breadcrumb": [], "metadata": 5}]}]},
        {"streams": [{"tap_stream_id": "users", "metadata": [{"breadcrumb": 5, "metadata": {}}]}]},
        {
            "streams": [
                {"tap_stream_id": "users", "metadata": [{"breadcrumb": [[]], "metadata": {}}]}
            ]
        },
        {"streams": [{"tap_stream_id": "users", "schema": 5}]},
        {"streams": [{"tap_stream_id": "users", "schema": {"properties": []}}]},
        {"streams": [{"tap_stream_id": "users", "schema": {"properties": {"a": None}}}]},
        {"streams": [{"tap_stream_id": "users", "schema": {"properties": {"a": {"anyOf": 5}}}}]},
    ],
    ids=str,
)
def test_what_is_no_catalog_is_refused(catalog: Any) -> None:
    assert "catalog.json is not a Singer catalog" in refused(catalog)
