"""PostgreSQL, through meltanolabs-target-postgres: two syncs with edits in between."""

import re
from types import SimpleNamespace

import pytest

from tests.integration.conftest import BY_DEFAULT, ROOT, Pipe, shortly_before


def documented():
    """(stream, path, streams it points to) of each foreign key in README.md's table that is
    between streams of an unedited catalog."""
    for row in re.findall(r"^\| `(\w+)` \| `/v2.*\| (.*) \|$", README, re.MULTILINE):
        for path, targets in re.findall(r"`([\w.\[\]]+)` → (\w+(?: or \w+)*)", row[1]):
            if {row[0], *targets.split(" or ")} <= BY_DEFAULT.keys():
                yield row[0], path, targets.split(" or ")


README = (ROOT / "README.md").read_text(encoding="utf-8")
FOREIGN_KEYS = list(documented())


@pytest.fixture(name="loaded", scope="module")
def _loaded(account, postgres):
    """The account as it was loaded first, then edited and loaded again from the target's state."""
    fake = account.fake
    target = postgres.target(account, "helpscout")

    def counts():
        return {
            name: postgres.value(f"SELECT count(*) FROM helpscout.{name}") for name in BY_DEFAULT
        }

    before = SimpleNamespace(source=fake.truth_counts())
    first = Pipe(account, target).ended_well()
    before.target = counts()
    conversation, customer = fake.conversation_ids[5], fake.customer_ids[5]
    folder = fake.truth()["mailbox_folders"][0][1]["id"]
    fake.touch(conversation, subject="Edited \u2028 \U0001f422")
    thread = fake.add_thread(conversation)
    fake.touch_customer(customer, jobTitle="Edited")
    fake.touch_row("mailbox_folders", folder, name="Edited")
    fake.clear()
    Pipe(account, target, state=first.state).ended_well()
    after = SimpleNamespace(source=fake.truth_counts(), target=counts())
    return SimpleNamespace(
        fake=fake,
        postgres=postgres,
        before=before,
        after=after,
        thread=thread,
        state=first.state,
        edited={"conversations": conversation, "customers": customer, "mailbox_folders": folder},
    )


@pytest.mark.parametrize("when", ["before", "after"])
def test_every_table_has_as_many_rows_as_the_source(loaded, when):
    found = getattr(loaded, when)
    assert found.target == found.source
    assert all(found.source.values())


@pytest.mark.parametrize(
    "table, path, targets", FOREIGN_KEYS, ids=[f"{table}.{path}" for table, path, _ in FOREIGN_KEYS]
)
def test_foreign_key_joins(loaded, table, path, targets):
    column, *inner = path.split(".")
    rows, key = f"helpscout.{table}", column
    if column.endswith("[]"):
        rows, key = f"helpscout.{table}, unnest({column[:-2]}) item", "item"
    for name in inner:
        key = f"{key}->>'{name}'"
    targets = " UNION ALL ".join(f"SELECT id FROM helpscout.{name}" for name in targets)
    (found,) = loaded.postgres.rows(
        f"SELECT count(*) AS used, count(target.id) AS joined FROM "
        f"(SELECT ({key})::bigint AS key FROM {rows}) source "
        f"LEFT JOIN ({targets}) target ON target.id = source.key WHERE source.key > 0"
    )
    assert found["used"] > 0
    assert found["joined"] == found["used"]


def test_all_foreign_keys_are_looked_at():
    # `customers.organization_id` points to no stream of this tap.
    rows = re.findall(r"^\| `\w+` \| `/v2.*", README, re.MULTILINE)
    assert 10 < len(FOREIGN_KEYS) <= sum(row.count("→") for row in rows)


@pytest.mark.parametrize(
    "table, column",
    [("conversations", "subject"), ("customers", "job_title"), ("mailbox_folders", "name")],
)
def test_an_edit_is_an_update(loaded, table, column):
    (row,) = loaded.postgres.rows(
        f"SELECT {column} FROM helpscout.{table} WHERE id = {loaded.edited[table]}"
    )
    assert row[column].startswith("Edited")


def test_a_new_thread_is_beside_the_old_ones(loaded):
    conversation = loaded.edited["conversations"]
    rows = loaded.postgres.rows(
        f"SELECT id FROM helpscout.conversation_threads WHERE conversation_id = {conversation}"
    )
    assert loaded.thread["id"] in [row["id"] for row in rows]
    assert len(rows) == len(loaded.fake.threads(conversation))


def test_texts_arrive_to_the_letter(loaded):
    rows = loaded.postgres.rows("SELECT id, subject FROM helpscout.conversations")
    assert {row["id"]: row["subject"] for row in rows} == {
        row["id"]: row["subject"] for row in loaded.fake.truth()["conversations"]
    }


def test_moments_are_moments_and_objects_are_json(loaded):
    types = {
        f"{row['table_name']}.{row['column_name']}": row["data_type"]
        for row in loaded.postgres.rows(
            "SELECT table_name, column_name, data_type FROM information_schema.columns "
            "WHERE table_schema = 'helpscout'"
        )
    }
    assert types["conversations.created_at"].startswith("timestamp")
    assert types["conversations.primary_customer"] == "jsonb"
    assert types["conversations.id"] == "bigint"


def test_the_second_sync_starts_from_the_state_that_the_target_confirmed(loaded):
    asked = {
        request.params["modifiedSince"]
        for request in loaded.fake.requests
        if request.path == "/v2/conversations"
    }
    assert asked
    assert min(asked) >= shortly_before(loaded.state["bookmarks"]["conversations"])
