"""The streams that are read where they are selected: their records, second runs and refusals."""

import re
from datetime import datetime, timedelta

import jsonschema
import pytest

from tap_helpscout.streams import STREAMS
from tests.conftest import YEAR, Tap
from tests.fake.api import listed_reply
from tests.fake.data import stamp
from tests.test_discovery import ALL, MORE
from tests.test_records import assert_complete, expected, plain, texts

DAY = timedelta(days=1)
DAYS = 40  # from the start_date of these tests to today
PATHS = {  # of a stream, for faults
    "tags": "/v2/tags",
    "organizations": "/v2/organizations[?]",
    "organization_properties": "/v2/organizations/properties",
    "customer_properties": "/v2/customer-properties",
    "saved_replies": "/saved-replies[?]",
    "mailbox_routing": "/routing",
    "user_statuses": "/v2/users/status",
    "system_users": "/v3/system-users",
    "webhooks": "/v2/webhooks",
    "company_report": "/v2/reports/company",
}


def days_before(fake, days):
    """The first second of the UTC day so many days ago."""
    return fake.now().replace(hour=0, minute=0, second=0, microsecond=0) - days * DAY


@pytest.fixture(name="tap")
def _tap(small_fake, tmp_path):
    # It is noon, so that no test runs into the next day.
    noon = small_fake.now().replace(hour=12, minute=0)
    small_fake.clock_offset = (noon - small_fake.now()).total_seconds()
    tap = Tap(small_fake, tmp_path)
    tap.configure(start_date=stamp(days_before(small_fake, DAYS) + timedelta(hours=13)))
    return tap


@pytest.fixture(name="fake")
def _fake(small_fake):
    return small_fake


def source(fake, name):
    """The records of a stream, made from the rows that the account has."""
    rows = fake.truth_more()[name]
    if name == "saved_replies":
        return [
            {**plain(listed_reply(row)), **plain(row), "mailbox_id": parent} for parent, row in rows
        ]
    if name == "mailbox_routing":
        return [{**plain(row), "mailbox_id": parent} for parent, row in rows]
    records = [plain(row) for row in rows]
    if name == "user_statuses":
        for record in records:
            statuses = record["chat"]["mailbox_statuses"]
            record["chat"]["mailbox_statuses"] = [
                {"mailbox_id": int(mailbox), "status": status}
                for mailbox, status in statuses.items()
            ]
    return records


def report_of(fake, date):
    """The record of one day."""
    day = datetime.fromisoformat(date.replace("Z", "+00:00"))
    report = plain(fake.world.company_report(day, day + DAY - timedelta(seconds=1)))
    return {"date": date, **report["current"], "users": report["users"]}


def critical(run, name):
    """What is said at the end of a stream that failed."""
    (line,) = [
        line for line in run.log.splitlines() if line.startswith(f"CRITICAL {name} is incomplete")
    ]
    return line


@pytest.mark.parametrize("name", [name for name in MORE if name != "company_report"])
def test_records_equal_their_source_field_by_field(every, name):
    fake, run = every
    assert run.streams == set(ALL) and "WARNING" not in run.log
    records = run.records(name)
    assert records and texts(records) == texts(source(fake, name))
    assert len(records) == len(source(fake, name))


def test_each_day_has_a_row_that_equals_its_report(every):
    fake, run = every
    records = run.records("company_report")
    first = (fake.world.now - YEAR).date()
    days = (datetime.fromisoformat(run.bookmarks["company_report"][:10]).date() - first).days + 1
    assert [record["date"] for record in records] == [
        f"{first + number * DAY}T00:00:00Z" for number in range(days)
    ]
    for record in records[:: len(records) // 50]:
        assert record == report_of(fake, record["date"])
    assert any(record["users"] for record in records)


def test_each_days_request_ends_with_the_days_last_second(fake, tap):
    tap.good_run(catalog=tap.select("company_report"))
    asked = [
        (request.params["start"], request.params["end"])
        for request in fake.requests
        if request.path == "/v2/reports/company"
    ]
    day = days_before(fake, DAYS)
    assert sorted(asked) == [
        (stamp(day + number * DAY), stamp(day + number * DAY)[:10] + "T23:59:59Z")
        for number in range(DAYS + 1)
    ]
    assert not fake.unknown_parameters


@pytest.mark.parametrize("name", MORE)
def test_records_fit_the_schema_that_was_written_before_them(every, name):
    _, run = every
    (schema,) = run.of_type("SCHEMA", name)
    key, replication_key, *_ = MORE[name]
    assert schema["key_properties"] == key
    assert schema.get("bookmark_properties") == (replication_key and [replication_key])
    validator = jsonschema.Draft4Validator(schema["schema"])
    for record in run.records(name):
        validator.validate(record)


def test_the_usual_streams_are_complete_beside_them(every):
    fake, run = every
    for name, rows in fake.truth().items():
        assert texts(run.records(name)) == texts(expected(name, row) for row in rows), name


def test_nothing_is_asked_for_that_nobody_selected(whole):
    fake, _ = whole
    assert not [
        request.path
        for request in fake.requests
        if any(re.search(path.rstrip("[?]"), request.path) for path in PATHS.values())
    ]


def test_organizations_are_listed_in_an_order_that_stays(fake, tap):
    moved = fake.tables["organizations"][-1]["id"]
    fake.before(lambda fake: fake.touch_row("organizations", moved), "/v2/organizations.*page=2")
    run = tap.good_run(catalog=tap.select("organizations"))
    assert sorted(run.ids("organizations")) == list(range(40, 52))
    for request in fake.requests:
        if request.path == "/v2/organizations":
            assert request.params["sort"] == "name,asc"
        elif request.path.startswith("/v2/organizations/"):
            assert request.params == {"includeCounts": "true", "includeProperties": "true"}


def test_a_second_run_reads_the_last_days_again_and_what_has_no_date_whole(fake, tap):
    first = tap.good_run(catalog=tap.select(*MORE))
    assert set(first.bookmarks) == {"company_report", "system_users"}
    second = tap.good_run(catalog=tap.select(*MORE), state=first.state)
    assert [record["date"] for record in second.records("company_report")] == [
        stamp(days_before(fake, days)) for days in range(7, -1, -1)
    ]
    assert not second.records("system_users")
    for name in set(MORE) - {"company_report", "system_users"}:
        assert second.records(name) == first.records(name)


def test_a_run_after_some_days_reads_these_as_well(fake, tap):
    state = {"bookmarks": {"company_report": stamp(fake.now() - 3 * DAY)}}
    run = tap.good_run(catalog=tap.select("company_report"), state=state)
    assert [record["date"] for record in run.records("company_report")] == [
        stamp(days_before(fake, days)) for days in range(10, -1, -1)
    ]
    assert run.bookmarks["company_report"] > stamp(days_before(fake, 0))


def test_days_before_the_start_date_are_not_read_in_the_second_run(fake, tap):
    tap.configure(start_date=stamp(days_before(fake, 2)))
    first = tap.good_run(catalog=tap.select("company_report"))
    second = tap.good_run(catalog=tap.select("company_report"), state=first.state)
    assert len(first.records("company_report")) == len(second.records("company_report")) == 3


def test_a_start_date_after_the_bookmark_skips_no_day(fake, tap):
    state = {"bookmarks": {"company_report": stamp(days_before(fake, 20))}}
    tap.configure(start_date=stamp(days_before(fake, 1)))
    run = tap.good_run(catalog=tap.select("company_report"), state=state)
    assert run.records("company_report")[0]["date"] <= stamp(days_before(fake, 20))


def test_a_report_that_breaks_off_goes_on_where_it_was(fake, tap):
    tap.configure(concurrency=1, start_date=stamp(days_before(fake, DAYS)))
    broken = stamp(days_before(fake, 3))
    fault = fake.fault(400, path=f"company.*{broken[:10]}", times=None)
    first = tap.run(catalog=tap.select("company_report", "tags"))
    assert first.code == 1 and len(first.records("tags")) == 6
    assert len(first.records("company_report")) == DAYS - 3
    assert "answered 400" in critical(first, "company_report")
    bookmark = first.bookmarks["company_report"]
    assert stamp(days_before(fake, DAYS)) < bookmark <= broken
    fault.times = fault.hits
    second = tap.good_run(catalog=tap.select("company_report"), state=first.state)
    dates = {record["date"] for run in (first, second) for record in run.records("company_report")}
    assert len(dates) == DAYS + 1
    assert len(second.records("company_report")) < DAYS


@pytest.mark.parametrize("status", [403, 404])
@pytest.mark.parametrize("name", MORE)
def test_a_refusal_names_the_stream_and_leaves_the_rest_complete(fake, tap, name, status):
    tap.configure(start_date=stamp(days_before(fake, 3)))
    fake.fault(status, path=PATHS[name], times=None)
    run = tap.run(catalog=tap.select(*MORE, "mailboxes", "mailbox_fields"))
    assert run.code == 1
    assert str(status) in critical(run, name)
    assert "deselect the stream in the catalog" in critical(run, name)
    assert run.streams == {*MORE, "mailboxes", "mailbox_fields"} - {name}
    assert name not in run.bookmarks
    for other in set(MORE) - {name, "company_report"}:
        assert texts(run.records(other)) == texts(source(fake, other)), other
    assert_complete(run, fake, "mailboxes", "mailbox_fields")


def test_a_plan_without_reports(fake, tap):
    fake.plan = "standard"
    run = tap.run(catalog=tap.select("company_report", "webhooks"))
    assert run.code == 1 and len(run.records("webhooks")) == 2
    line = critical(run, "company_report")
    assert "Reports need a Plus or Pro plan" in line and "deselect the stream" in line


@pytest.mark.parametrize(
    "name, path, gone",
    [("organizations", "/organizations/43", 43), ("saved_replies", "/saved-replies/62", 62)],
)
def test_a_row_that_was_deleted_after_it_was_listed_is_left_out(fake, tap, name, path, gone):
    fake.fault(404, path=path, times=None)
    run = tap.good_run(catalog=tap.select(name))
    assert texts(run.records(name)) == texts(
        record for record in source(fake, name) if record["id"] != gone
    )
    assert f"WARNING {name}: id {gone} was deleted or merged meanwhile, skipped" in run.log
    assert "1 row gone meanwhile" in run.log


@pytest.mark.parametrize("name, path", [("organizations", "/organizations/[0-9]")])
def test_where_every_row_is_gone_it_is_the_detail_that_is_not_there(fake, tap, name, path):
    fake.fault(404, path=path, times=None)
    run = tap.run(catalog=tap.select(name, "tags"))
    assert run.code == 1 and run.streams == {"tags"}
    assert "deselect the stream in the catalog" in critical(run, name)


def test_where_every_saved_reply_is_gone_the_next_run_asks_again(fake, tap):
    fault = fake.fault(404, path="/saved-replies/[0-9]", times=None)
    first = tap.run(catalog=tap.select("saved_replies", "mailbox_routing"))
    assert first.code == 1 and len(first.records("mailbox_routing")) == 3
    assert "mailbox_id 7001, 7002" in critical(first, "saved_replies")
    fault.times = fault.hits
    second = tap.good_run(catalog=tap.select("saved_replies"), state=first.state)
    assert texts(second.records("saved_replies")) == texts(source(fake, "saved_replies"))
    assert "pending" not in second.state


def test_one_detail_that_cannot_be_read_fails_its_stream(fake, tap):
    fake.fault(400, path="/organizations/43", times=None)
    run = tap.run(catalog=tap.select("organizations", "tags"))
    assert run.code == 1 and len(run.records("tags")) == 6
    assert "GET /v2/organizations/43 answered 400" in critical(run, "organizations")


def test_what_a_detail_says_wins_over_the_list(fake, tap):
    fake.fault(200, path="/organizations/43", body={"id": 43, "name": "Newer", "note": None})
    run = tap.good_run(catalog=tap.select("organizations"))
    (record,) = [record for record in run.records("organizations") if record["id"] == 43]
    (row,) = [row for row in fake.tables["organizations"] if row["id"] == 43]
    assert (record["name"], record["note"], record["website"]) == ("Newer", None, row["website"])


def test_a_detail_that_is_no_object_fails_in_words(fake, tap):
    fake.fault(200, path="/organizations/43", body=[], times=None)
    run = tap.run(catalog=tap.select("organizations"))
    assert "/v2/organizations/43 answered without an object" in critical(run, "organizations")


def test_an_inbox_without_routing_is_skipped(fake, tap):
    fake.fault(404, path="/mailboxes/7002/routing", times=None)
    run = tap.good_run(catalog=tap.select("mailbox_routing"))
    assert [record["mailbox_id"] for record in run.records("mailbox_routing")] == [7001, 7003]
    assert "WARNING mailbox_routing: mailbox_id 7002 was deleted" in run.log


@pytest.mark.parametrize("name", ["mailbox_routing", "saved_replies", "mailbox_fields"])
@pytest.mark.parametrize("place", [0, 1])
def test_one_inbox_that_is_refused_leaves_the_others_complete(fake, tap, name, place):
    inboxes = [row["id"] for row in fake.tables["mailboxes"]]
    path = STREAMS[name].path.format(mailbox_id=inboxes[place])
    catalog = tap.select(name, "tags")
    whole = {record["mailbox_id"] for record in tap.good_run(catalog=catalog).records(name)}
    fake.fault(403, f"{path}([?]|$)", times=None)
    run = tap.run(catalog=catalog)
    assert run.code == 1 and run.state["pending"] == {name: [inboxes[place]]}
    assert {record["mailbox_id"] for record in run.records(name)} == whole - {inboxes[place]}
    assert run.log.count("is put aside for the next run") == 1
    done = tap.done(tap.command("--check", catalog=catalog))
    said = re.findall(rf"^{name} +(ok|failed) +(.*)$", done.stdout.decode(), re.MULTILINE)
    assert done.returncode == 1 and [status for status, _ in said] == ["failed", "ok"]
    assert said[0][1].startswith(f"mailbox_id {inboxes[place]}: GET {path} answered 403")


def test_an_object_without_fields_is_a_row_and_takes_nothing_away(fake, tap):
    tap.configure(start_date=tap.config["start_date"], emit_activate_version_messages=True)
    inbox = fake.tables["mailboxes"][0]["id"]
    fake.fault(200, f"/{inbox}/routing", times=None, body=[])
    run = tap.good_run(catalog=tap.select("mailbox_routing"))
    assert {"mailbox_id": inbox} in run.records("mailbox_routing")
    assert len(run.records("mailbox_routing")) == len(fake.tables["mailboxes"])


def test_a_webhooks_secret_is_neither_written_nor_told(fake, tap):
    fake.touch_row("webhooks", 10, secret="hush-hush")
    run = tap.good_run(catalog=tap.select("webhooks"))
    assert run.ids("webhooks") == [10, 11]
    assert "WARNING" not in run.log
    written = run.log + "".join(run.lines)
    assert "hush-hush" not in written and "secret" not in written


def test_what_a_report_compares_with_is_left_out_in_silence(fake, tap):
    tap.configure(start_date=stamp(days_before(fake, 0)))
    body = {
        "filterTags": [{"id": 1, "name": "vip"}],
        "current": {"customersHelped": 4, "closed": None},
        "previous": {"customersHelped": 3},
        "deltas": {"customersHelped": 33.3},
        "users": [{"user": 501, "name": "Ada", "previousReplies": 2}],
    }
    fake.fault(200, path="/reports/company", body=body)
    run = tap.good_run(catalog=tap.select("company_report"))
    assert run.records("company_report") == [
        {
            "date": stamp(days_before(fake, 0)),
            "customers_helped": 4,
            "closed": None,
            "users": [{"user": 501, "name": "Ada", "previous_replies": 2}],
        }
    ]
    assert "WARNING" not in run.log


def test_an_account_with_none_of_it(fake, tap):
    for name in MORE:
        fake.tables.get(name, []).clear()
        for rows in fake.children.get(name, {}).values():
            if name != "mailbox_routing":
                rows.clear()
    run = tap.good_run(catalog=tap.select(*MORE))
    assert run.streams == {"mailbox_routing", "company_report"}
    assert {message["stream"] for message in run.of_type("SCHEMA")} == set(MORE)


def test_each_ends_with_its_version_where_it_was_read_whole(tap):
    tap.configure(start_date=stamp(days_before(tap.fake, 20)), emit_activate_version_messages=True)
    catalog = tap.select(*MORE)
    for entry in catalog["streams"]:
        entry["metadata"][0]["metadata"]["replication-method"] = "FULL_TABLE"
    first = tap.good_run(catalog=catalog)
    second = tap.good_run(catalog=catalog, state=first.state)
    for run in (first, second):
        assert {message["stream"] for message in run.of_type("ACTIVATE_VERSION")} == set(MORE)
    assert second.records("company_report") == first.records("company_report")


def test_an_earlier_start_date_is_warned_of(fake, tap):
    first = tap.good_run(catalog=tap.select("company_report"))
    tap.configure(start_date=stamp(days_before(fake, DAYS + 1)))
    second = tap.good_run(catalog=tap.select("company_report"), state=first.state)
    assert "start_date is earlier than when company_report began" in second.log


def test_the_inboxes_of_the_config_alone(fake, tap):
    tap.configure(mailbox_ids=[7001])
    run = tap.good_run(catalog=tap.select("saved_replies", "mailbox_routing"))
    assert {record["mailbox_id"] for record in run.records("mailbox_routing")} == {7001}
    assert run.ids("saved_replies") == [61, 62]
    assert not [request.path for request in fake.requests if "/7002" in request.path]


def test_the_check_covers_them(fake, tap):
    fake.plan = "standard"
    done = tap.done(tap.command("--check", catalog=tap.select(*MORE)))
    assert done.returncode == 1
    found = dict(re.findall(r"^(\w+) +(ok|failed) ", done.stdout.decode(), re.MULTILINE))
    assert {name: found[name] for name in MORE} == {
        name: "failed" if name == "company_report" else "ok" for name in MORE
    }


@pytest.mark.parametrize(
    "path, name", [("/organizations/[0-9]", "organizations"), ("replies/[0-9]", "saved_replies")]
)
def test_the_check_tries_a_detail(fake, tap, path, name):
    fake.fault(403, path=path, times=None)
    done = tap.done(tap.command("--check", catalog=tap.select(*MORE)))
    assert done.returncode == 1
    assert re.search(rf"^{name} +failed .*deselect the stream", done.stdout.decode(), re.MULTILINE)
    assert f"{DAYS + 1} days since" in done.stdout.decode()
