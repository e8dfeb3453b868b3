"""Discovery: what the catalog says of each stream, from nothing but the package."""

import json
import re
import subprocess

import pytest

from tests.conftest import TAP

# Stream: key, replication key, parent, and which other fields no selection leaves out. TABLE has
# those that are selected by default, MORE the others.
TABLE = {
    "conversations": (["id"], "updated_at", None, set()),
    "conversation_threads": (["id"], None, "conversations", {"conversation_id"}),
    "customers": (["id"], "updated_at", None, set()),
    "mailboxes": (["id"], "updated_at", None, set()),
    "mailbox_fields": (["id"], None, "mailboxes", {"mailbox_id"}),
    "mailbox_folders": (["id"], "updated_at", "mailboxes", {"mailbox_id"}),
    "users": (["id"], "updated_at", None, set()),
    "workflows": (["id"], "modified_at", None, set()),
    "happiness_ratings_report": (
        ["thread_id", "rating_created_at", "conversation_id"],
        None,
        None,
        set(),
    ),
    "teams": (["id"], "updated_at", None, set()),
    "team_members": (["team_id", "user_id"], None, "teams", set()),
}
MORE = {
    "tags": (["id"], None, None, set()),
    "organizations": (["id"], None, None, set()),
    "organization_properties": (["slug"], None, None, set()),
    "customer_properties": (["slug"], None, None, set()),
    "saved_replies": (["id"], None, "mailboxes", {"mailbox_id"}),
    "mailbox_routing": (["mailbox_id"], None, "mailboxes", set()),
    "user_statuses": (["user_id"], None, None, set()),
    "system_users": (["id"], "updated_at", None, set()),
    "webhooks": (["id"], None, None, set()),
    "company_report": (["date"], "date", None, set()),
}
ALL = {**TABLE, **MORE}
PERSON = "id type first last email photo_url"
# Every field that Help Scout documents or is known to send: `a(b c)` for what is in an object.
DOCUMENTED = {
    "conversations": f"""
        id number threads type folder_id status state subject preview mailbox_id updated_at
        assignee({PERSON}) created_by({PERSON}) created_at
        closed_by closed_by_user({PERSON}) closed_at modified_at user_updated_at
        customer_waiting_since(time friendly latest_reply_from) source(type via)
        tags(id color tag) cc bcc primary_customer({PERSON})
        snooze(snoozed_by snoozed_until unsnooze_on_customer_reply)
        next_event(time event_type user_id cancel_on_customer_reply)
        custom_fields(id name value text)""",
    "conversation_threads": f"""
        id conversation_id type status state action(type text associated_entities) body
        source(type via) customer({PERSON}) created_by({PERSON})
        assigned_to({PERSON}) saved_reply_id to cc bcc created_at opened_at
        linked_conversation_id rating(customer_id rating comments)
        scheduled(scheduled_by send_as_id created_at scheduled_for
                   unschedule_on_customer_reply)
        attachments(id filename mime_type width height size state)""",
    "customers": """
        id first_name last_name gender job_title location organization organization_id photo_type
        photo_url background age draft conversation_count created_at updated_at
        emails(id value type) phones(id value type) chats(id value type)
        social_profiles(id value type) websites(id value)
        address(city state postal_code country lines)
        properties(type slug name value text source(name))""",
    "mailboxes": "id name slug email created_at updated_at",
    "mailbox_fields": "id mailbox_id required order type name options(id order label)",
    "mailbox_folders": "id mailbox_id name type user_id total_count active_count updated_at",
    "users": """
        id first_name last_name email role timezone photo_url created_at updated_at type mention
        initials job_title phone alternate_emails company_id last_visit""",
    "workflows": "id mailbox_id type status order name created_at modified_at",
    "happiness_ratings_report": """
        number thread_id thread_created_at conversation_id type rating_id rating_customer_id
        rating_comments rating_created_at rating_customer_name rating_user_id rating_user_name""",
    "teams": "id name timezone photo_url created_at updated_at mention initials",
    "team_members": "team_id user_id",
    "tags": "id name slug color created_at updated_at ticket_count",
    "organizations": """
        id name website description location logo_url note domains phones brand_color
        customer_count conversation_count
        properties(definition_id slug name type value options(id label))""",
    "organization_properties": "slug type name options(id label)",
    "customer_properties": "slug type name options(id label)",
    "saved_replies": "id mailbox_id name preview chat_preview text chat_text",
    "mailbox_routing": """
        mailbox_id state assignment_limit assignment_method user_ids
        rotation(user_id conversations_count eligible reason)""",
    "user_statuses": """
        user_id email(status updated_at performed_by source)
        chat(status mailbox_statuses(mailbox_id status))""",
    "system_users": """
        id type first_name last_name initials email mention timezone role photo_url created_at
        updated_at""",
    "webhooks": "id url state events notification payload_version label mailbox_ids",
    "company_report": """
        date start_date end_date customers_helped closed total_replies total_users total_days
        replies_per_day_per_user replies_per_day resolved_per_day
        users(user name customers_helped replies handle_time happiness_score
              previous_customers_helped previous_replies previous_handle_time
              previous_happiness_score)""",
}
DATES = {"time", "snoozed_until", "scheduled_for", "last_visit", "date", "start_date", "end_date"}


def fields(schema, path=()):
    """Each field below a schema, those in objects and lists of objects too: {path: schema}."""
    found = {}
    for name, inner in schema.get("properties", {}).items():
        found[(*path, name)] = inner
        found.update(fields(inner, (*path, name)))
        found.update(fields(inner.get("items", {}), (*path, name)))
    return found


def paths(text):
    """The field paths that an entry of DOCUMENTED names."""
    found, outer = set(), []
    for name, bracket in re.findall(r"(\w+) *(\(?)|\)", text):
        if name:
            found.add((*outer, name))
        outer = [*outer, name] if bracket else outer if name else outer[:-1]
    return found


def metadata(entry):
    return {tuple(item["breadcrumb"]): item["metadata"] for item in entry["metadata"]}


def described(entry):
    """What an entry says, in the form of TABLE; the entry and its metadata must agree."""
    stream = metadata(entry)[()]
    method = entry["replication_method"]
    assert entry["stream"] == entry["tap_stream_id"]
    assert entry["key_properties"] == stream["table-key-properties"]
    assert method == stream["forced-replication-method"]
    assert method == ("INCREMENTAL" if entry.get("replication_key") else "FULL_TABLE")
    keys = [entry["replication_key"]] if entry.get("replication_key") else []
    assert stream.get("valid-replication-keys", []) == keys
    automatic = {
        path[1] for path, item in metadata(entry).items() if item["inclusion"] == "automatic"
    }
    assert automatic >= {*entry["key_properties"], *keys}
    return (
        entry["key_properties"],
        entry.get("replication_key"),
        stream.get("parent-tap-stream-id"),
        automatic - {*entry["key_properties"], *keys},
    )


def test_the_catalog_has_every_stream_with_its_keys_method_and_parent(tap):
    catalog = tap.discover()
    assert {entry["tap_stream_id"]: described(entry) for entry in catalog["streams"]} == ALL
    assert [entry["tap_stream_id"] for entry in catalog["streams"]] == list(ALL)


def test_a_stream_that_not_every_account_may_read_has_to_be_selected(tap):
    assert {
        entry["tap_stream_id"]: metadata(entry)[()]["selected-by-default"]
        for entry in tap.discover()["streams"]
    } == {name: name in TABLE for name in ALL}


def test_every_field_can_be_chosen_and_is_unless_deselected(tap):
    for entry in tap.discover()["streams"]:
        chosen = metadata(entry)
        assert {path[1] for path in chosen if path} == set(entry["schema"]["properties"])
        for item in (item for path, item in chosen.items() if path):
            assert item["selected-by-default"] is True and item["inclusion"] in (
                "available",
                "automatic",
            )


def test_schemas_hold_what_the_api_documents(tap):
    schemas = {
        entry["tap_stream_id"]: set(fields(entry["schema"])) for entry in tap.discover()["streams"]
    }
    assert {name: paths(text) - schemas[name] for name, text in DOCUMENTED.items()} == {
        name: set() for name in ALL
    }


PEOPLE = "assignee assigned_to closed_by_user created_by customer primary_customer".split()


def test_people_are_people_everywhere(tap):
    for entry in tap.discover()["streams"]:
        for path, schema in fields(entry["schema"]).items():
            if path[-1] in PEOPLE:
                assert set(schema["properties"]) == set(PERSON.split()), path


def test_only_keys_refuse_null_and_dates_are_dates(tap):
    for entry in tap.discover()["streams"]:
        never_null = {(key,) for key in entry["key_properties"]}
        # What the tap itself puts on each record.
        never_null |= {("updated_at",)} if entry["tap_stream_id"] == "conversations" else set()
        never_null |= {
            (path[1],)
            for path, item in metadata(entry).items()
            if item["inclusion"] == "automatic" and path[1].endswith("_id")
        }
        for path, schema in fields(entry["schema"]).items():
            assert ("null" in schema["type"]) == (path not in never_null), path
            is_date = path[-1].endswith("_at") or path[-1] in DATES
            assert (schema.get("format") == "date-time") == is_date, path


def test_discovery_asks_nothing_and_writes_nothing_but_the_catalog(tap, fake):
    before = tap.config_path.read_bytes()
    written = tap.run_raw("--discover", "--config", str(tap.config_path))
    assert json.loads(written) == tap.discover()
    assert fake.requests == [] and tap.config_path.read_bytes() == before


def selected(catalog):
    return {
        entry["tap_stream_id"] for entry in catalog["streams"] if metadata(entry)[()]["selected"]
    }


def test_selecting_by_patterns_writes_a_catalog_that_reads_just_that(tap, fake):
    patterns = ["teams", "users.email", "mailboxes", "!mailboxes.slug", "team_m*"]
    catalog = json.loads(tap.run_raw("--discover", "--select", *patterns))
    assert selected(catalog) == {"teams", "users", "mailboxes", "team_members"}
    assert fake.requests == []
    run = tap.good_run(catalog=catalog)
    assert run.streams == selected(catalog) and "WARNING" not in run.log
    assert {name for row in run.records("users") for name in row} == {"id", "updated_at", "email"}
    names = {name for row in run.records("mailboxes") for name in row}
    assert "slug" not in names and {"id", "name", "email", "updated_at"} < names


def test_patterns_that_leave_out_leave_the_rest_in(tap):
    catalog = json.loads(tap.run_raw("--discover", "--select", "!team*", "!customers.background"))
    assert selected(catalog) == set(TABLE) - {"teams", "team_members"}
    unwanted = [
        (entry["tap_stream_id"], *path)
        for entry in catalog["streams"]
        for path, said in metadata(entry).items()
        if path and said.get("selected") is False
    ]
    assert unwanted == [("customers", "properties", "background")]


def test_a_star_selects_every_stream(tap):
    assert selected(json.loads(tap.run_raw("--discover", "--select", "*"))) == set(ALL)


def test_a_pattern_that_matches_nothing_is_an_error_that_names_the_nearest(tap):
    run = tap.run("--discover", "--select", "users", "conversation", "!customers.backgrond")
    assert run.code == 1 and not run.lines
    assert "conversation matches no stream, did you mean conversations?" in run.log
    assert "did you mean !customers.background?" in run.log


def test_discovery_leaves_a_config_alone(tap):
    assert tap.run_raw("--discover", "--config", "/no/such/file") == tap.run_raw("--discover")


@pytest.mark.parametrize(
    "redirection, words",
    [
        (">&-", "stdout is closed"),
        (">/dev/full", "cannot write to stdout: No space left on device"),
        ("| true", "the program that reads stdout has closed the pipe"),
    ],
)
def test_where_the_catalog_cannot_be_written_nobody_speaks_of_a_target(redirection, words):
    # The catalog is more than fits into a pipe: it cannot be written before `true` ends.
    command = f"{TAP} --discover {redirection}; echo ${{PIPESTATUS[0]}} >&2"
    done = subprocess.run(
        ["bash", "-c", command], capture_output=True, check=False, text=True, timeout=60
    )
    assert done.stderr.splitlines()[-1] == "1"
    assert words in done.stderr and "target" not in done.stderr and "Traceback" not in done.stderr
