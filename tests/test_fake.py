"""The fake Help Scout itself, asked over HTTP."""

# pylint: disable=redefined-outer-name
import json
import re
import subprocess
import sys
from datetime import datetime, timedelta, timezone
from email.utils import parsedate_to_datetime

import pytest
import requests

from tests.fake import FakeHelpScout, build, counts, stamp

NOW = datetime.now(timezone.utc).replace(microsecond=0)
WORLD = build(now=NOW)  # it never changes: every fake keeps its own edits
ALL = {"status": "all", "sortField": "modifiedAt", "sortOrder": "asc"}
CONVERSATIONS, REPORT = "/v2/conversations", "/v2/reports/happiness/ratings"
WHOLE_REPORT = {"start": "2000-01-01T00:00:00Z", "end": "2100-01-01T00:00:00Z"}


@pytest.fixture
def fake():
    with FakeHelpScout(WORLD) as fake:
        yield fake


def get(fake, path, **params):
    headers = {"Authorization": "Bearer " + fake.new_access_token()}
    return requests.get(
        fake.url + path, params=params, headers=headers, timeout=20, allow_redirects=False
    )


def rows(fake, path, key, **params):
    """The rows of all pages, found by following `_links.next`."""
    answer, found = get(fake, path, **params).json(), []
    while True:
        found += answer.get("_embedded", {}).get(key, [])
        if "next" not in answer["_links"]:
            assert answer["page"]["totalElements"] == len(found)
            return found
        answer = get(fake, answer["_links"]["next"]["href"][len(fake.url) :]).json()


def ids(fake, **params):
    return [row["id"] for row in rows(fake, CONVERSATIONS, "conversations", **{**ALL, **params})]


def ask_token(fake, **fields):
    asked = {"client_id": fake.client_id, "client_secret": fake.client_secret, **fields}
    return requests.post(fake.url + "/v2/oauth2/token", data=asked, timeout=20)


def test_all_pages_together_are_the_truth(fake):
    truth = fake.truth()
    by_date = sorted(truth["conversations"], key=lambda row: (fake.modified(row["id"]), row["id"]))
    assert rows(fake, CONVERSATIONS, "conversations", **ALL) == by_date
    customers = rows(fake, "/v2/customers", "customers", sortField="modifiedAt", sortOrder="asc")
    assert customers == sorted(truth["customers"], key=lambda row: (row["updatedAt"], row["id"]))
    for name in ("mailboxes", "users", "workflows", "teams"):
        assert rows(fake, f"/v2/{name}", name) == truth[name]
    longest = max(truth["conversations"], key=lambda row: row["threads"])["id"]
    assert rows(fake, f"/v2/conversations/{longest}/threads", "threads") == fake.threads(longest)
    first = get(fake, REPORT, **WHOLE_REPORT).json()
    assert first["pages"] > 1 and first["count"] == len(truth["happiness_ratings_report"])
    assert {name: len(rows) for name, rows in truth.items()} == fake.truth_counts()


def test_only_active_conversations_unless_asked(fake):
    found = rows(fake, CONVERSATIONS, "conversations")
    assert {row["status"] for row in found} == {"active"}
    assert [row["createdAt"] for row in found] == sorted(row["createdAt"] for row in found)[::-1]
    assert {len(ids(fake, status=status)) for status in ("all", "closed")} == {
        200,
        sum(plan.status == "closed" for plan in WORLD.plans.values()),
    }


@pytest.mark.parametrize("since_inclusive", [True, False])
@pytest.mark.parametrize("until_inclusive", [True, False])
def test_closed_windows(fake, since_inclusive, until_inclusive):
    fake.set(since_inclusive=since_inclusive, until_inclusive=until_inclusive)
    first, last = (sorted(map(fake.modified, fake.conversation_ids))[i] for i in (20, 120))
    expected = {
        key
        for key in fake.conversation_ids
        if first < fake.modified(key) < last
        or since_inclusive
        and fake.modified(key) == first
        or until_inclusive
        and fake.modified(key) == last
    }
    query = f"(modifiedAt:[* TO {stamp(last)}])"
    assert set(ids(fake, modifiedSince=stamp(first), query=query)) == expected
    assert set(ids(fake, query=f"(modifiedAt:[{stamp(first)} TO *]) AND {query}")) >= expected


def test_an_empty_list_has_no_embedded(fake):
    answer = get(fake, CONVERSATIONS, modifiedSince=stamp(NOW)).json()
    assert "_embedded" not in answer and answer["page"]["totalElements"] == 0
    assert "_embedded" not in get(fake, "/v2/mailboxes/7002/fields").json()
    assert "page" not in get(fake, "/v2/mailboxes/7002/folders").json()


@pytest.mark.parametrize(
    "mode, shown",
    [
        ("complete", lambda threads: threads),
        ("cut_at_ten", lambda threads: threads[:10]),
        ("no_line_items", lambda threads: [row for row in threads if row["type"] != "lineitem"]),
    ],
)
def test_embedded_threads(fake, mode, shown):
    fake.embed = mode
    for row in rows(fake, CONVERSATIONS, "conversations", embed="threads", **ALL):
        threads = fake.threads(row["id"])
        expected = threads[:1] if row["type"] == "chat" else shown(threads)
        assert row["_embedded"]["threads"] == expected


def test_chats_may_be_embedded_whole(fake):
    fake.cut_chats = False
    for row in rows(fake, CONVERSATIONS, "conversations", embed="threads", **ALL):
        assert row["_embedded"]["threads"] == fake.threads(row["id"])


def test_embedding_can_fail_where_listing_does_not(fake):
    fake.embed = "error_500"
    assert get(fake, CONVERSATIONS, embed="threads").status_code == 500
    assert get(fake, CONVERSATIONS).status_code == 200


def test_tokens_die(fake):
    def status(token):
        return requests.get(
            fake.url + "/v2/users/me", timeout=20, headers={"Authorization": f"Bearer {token}"}
        ).status_code

    token = ask_token(fake, grant_type="client_credentials").json()["access_token"]
    assert status(token) == 200 and status("") == 401 and status("guessed") == 401
    fake.clock_offset += fake.token_lifetime + 1
    assert status(token) == 401
    token = fake.new_access_token(lifetime=100)
    assert status(token) == 200
    fake.revoke_access_tokens()
    assert status(token) == 401


def test_a_refresh_token_is_spent_when_used_if_they_rotate(fake):
    first = fake.new_refresh_token()
    answer = ask_token(fake, grant_type="refresh_token", refresh_token=first).json()
    second, refused = (
        answer["refresh_token"],
        ask_token(fake, grant_type="refresh_token", refresh_token=first),
    )
    assert (refused.status_code, refused.json()["error"]) == (400, "invalid_grant")
    fake.rotate = False
    for _ in range(2):
        answer = ask_token(fake, grant_type="refresh_token", refresh_token=second).json()
        assert answer["access_token"] and "refresh_token" not in answer
    assert ask_token(fake, client_secret="wrong").json()["error"] == "invalid_client"
    fake.inactive_user = True
    assert ask_token(fake, grant_type="client_credentials").status_code == 401
    assert len(fake.token_requests) == 6


def test_rate_limit(fake):
    fake.rate_limit = 5
    fake.use_up(3)
    left = [get(fake, "/v2/tags").headers["X-RateLimit-Remaining-Minute"] for _ in range(2)]
    refused = get(fake, "/v2/tags")
    assert left == ["1", "0"] and refused.status_code == 429 and len(fake.sent_times) == 2
    assert 0 < int(refused.headers["X-RateLimit-Retry-After"]) <= 60
    fake.retry_after_header = None
    assert not {"Retry-After", "X-RateLimit-Retry-After"} & set(get(fake, "/v2/tags").headers)
    fake.clock_offset += 61
    assert get(fake, "/v2/tags").status_code == 200


@pytest.mark.parametrize(
    "kind, error",
    [
        ("reset", requests.ConnectionError),
        ("silent", requests.ConnectionError),
        ("cut", (requests.ConnectionError, requests.exceptions.ChunkedEncodingError)),
    ],
)
def test_broken_connections(fake, kind, error):
    fake.fault(kind, path="tags", seconds=0)
    with pytest.raises(error):
        get(fake, "/v2/tags")
    assert get(fake, "/v2/tags").status_code == 200


def test_wrong_answers_come_when_and_as_often_as_told(fake):
    step = fake.fault(503, path="page=2", times=2, skip=1, headers={"Retry-After": "7"})
    statuses = [get(fake, "/v2/tags", page=page).status_code for page in (1, 2, 2, 2, 2)]
    assert statuses == [200, 200, 503, 503, 200] and step.hits == 2
    assert [request.status for request in fake.requests] == statuses
    fake.fault("html")
    assert get(fake, "/v2/tags").headers["Content-Type"] == "text/html"
    fake.fault("empty", times=None)
    assert [get(fake, "/v2/tags").content for _ in range(3)] == [b""] * 3


def test_an_edit_between_two_pages_hides_a_row(fake):
    """The trap that the closed windows of the tap are made for."""
    victim = ids(fake)[25]
    fake.before(lambda fake: fake.touch(ids(fake)[0]), path="page=2")
    found = ids(fake)
    assert victim not in found and len(set(found)) == 199


def test_lists_lag_behind_edits(fake):
    fake.index_lag, before = 300, get(fake, CONVERSATIONS, embed="threads", **ALL).json()
    key = before["_embedded"]["conversations"][0]["id"]
    new = fake.add_conversation(threads=3, subject="New")
    fake.add_thread(key, type="lineitem")
    fake.touch(key, subject="Edited", preview=...)
    fake.delete(fake.conversation_ids[5])
    assert get(fake, CONVERSATIONS, embed="threads", **ALL).json() == before
    assert fake.conversation(key)["subject"] == "Edited" and "preview" not in fake.conversation(key)
    assert (
        get(fake, f"/v2/conversations/{key}/threads").json()["page"]["totalElements"]
        == WORLD.plans[key].length + 1
    )
    fake.clock_offset += 301
    assert set(ids(fake)[-2:]) == {key, new} and len(ids(fake)) == 200


def test_edits_move_the_right_dates(fake):
    key, customer = fake.conversation_ids[0], fake.customer_ids[0]
    at = NOW - timedelta(hours=1)
    fake.bulk_touch([key], at)
    fake.touch_customer(customer, at, age="42")
    fake.touch_row("mailbox_folders", 45_003, name="Renamed")
    fake.touch_row("workflows", 3001)
    assert fake.conversation(key) == WORLD.conversation(WORLD.plans[key])
    assert fake.modified(key) == at and ids(fake)[-1] == key
    assert get(fake, "/v2/customers").json()["_embedded"]["customers"][0]["updatedAt"] == stamp(at)
    folder = get(fake, "/v2/mailboxes/7003/folders").json()["_embedded"]["folders"][2]
    assert (folder["name"], folder["updatedAt"] >= stamp(NOW)) == ("Renamed", True)
    workflow = get(fake, "/v2/workflows").json()["_embedded"]["workflows"][0]
    assert workflow["modifiedAt"] >= stamp(NOW)


def test_merged_and_deleted(fake):
    merged, into, deleted = fake.conversation_ids[:3]
    fake.merge(merged, into)
    fake.delete(deleted)
    moved = get(fake, f"/v2/conversations/{merged}")
    assert moved.status_code == 301 and moved.headers["Location"].endswith(f"/{into}")
    for path in (f"{deleted}", f"{deleted}/threads", f"{merged}/threads"):
        assert get(fake, f"/v2/conversations/{path}").status_code == 404
    assert not {merged, deleted} & set(ids(fake))


@pytest.mark.parametrize(
    "path, status",
    [
        ("/v2/conversations?modifiedSince=2024-01-01T00:00:00.000Z", 400),
        ("/v2/conversations?modifiedSince=2024-13-01T00:00:00Z", 400),
        ("/v2/conversations?modifiedSince=2024-1-1T00:00:00Z", 400),
        ("/v2/conversations?query=(modifiedAt:[* TO 2024-01-01])", 400),
        ("/v2/conversations?page=1&page=1", 400),
        ("/v2/tags?page=0", 400),
        ("/v2/tags?size=3", 200),
        ("/v2/nothing", 404),
        (REPORT, 400),
    ],
)
def test_parameters(fake, path, status):
    answer = get(fake, path)
    assert answer.status_code == status and ("logRef" in answer.json()) == (status != 200)
    assert fake.unknown_parameters == ({"size"} if "size" in path else set())


def test_reports_need_a_plan_and_windows(fake):
    row = WORLD.ratings[3]
    only = get(fake, REPORT, start=row["ratingCreatedAt"], end=row["ratingCreatedAt"]).json()
    assert row in only["results"] and only["pages"] == 1
    fake.plan = "standard"
    assert get(fake, REPORT, **WHOLE_REPORT).status_code == 403


def test_the_date_is_the_fakes_own():
    with FakeHelpScout(WORLD, clock_offset=-7200) as fake:
        date = parsedate_to_datetime(get(fake, "/v2/tags").headers["Date"])
        assert timedelta(hours=1) < datetime.now(timezone.utc) - date < timedelta(hours=3)


def test_team_members(fake):
    assert get(fake, "/v2/teams/801/members").json()["_embedded"]["users"][2]["id"] == 503


# -- streams that are not selected by default -----------------------------------------------------


@pytest.mark.parametrize(
    "stream, path, key",
    [
        ("tags", "/v2/tags", "tags"),
        ("organization_properties", "/v2/organizations/properties", "organization-properties"),
        ("customer_properties", "/v2/customer-properties", "customer-properties"),
        ("user_statuses", "/v2/users/status", "userStatuses"),
        ("system_users", "/v3/system-users", "system_users"),
        ("webhooks", "/v2/webhooks", "webhooks"),
    ],
)
def test_plain_lists(fake, stream, path, key):
    truth = fake.truth_more()[stream]
    fake.set(page_size=2)
    assert truth and rows(fake, path, key) == truth


def test_organizations(fake):
    path = "/v2/organizations"
    assert page_of(fake, path)["size"] == 50
    fake.set(page_size=5)
    truth = {row["id"]: row for row in fake.truth_more()["organizations"]}
    listed = rows(fake, path, "organizations", sort="name,asc")
    assert [row["name"] for row in listed] == sorted(row["name"] for row in truth.values())
    more = {"customerCount", "conversationCount", "properties"}
    for row in listed:
        whole = truth[row["id"]]
        assert set(whole) - set(row) == more and row.items() <= whole.items()
        assert get(fake, f"{path}/{row['id']}").json() == row
        both = {"includeCounts": "true", "includeProperties": "true"}
        assert get(fake, f"{path}/{row['id']}", **both).json() == whole
        counted = get(fake, f"{path}/{row['id']}", includeCounts="true").json()
        assert set(counted) - set(row) == more - {"properties"}
    assert get(fake, path, sort="name,up").status_code == 400
    assert get(fake, f"{path}/1").status_code == 404
    assert any(row["properties"] for row in truth.values())


def test_the_default_order_of_organizations_moves(fake):
    def order():
        return [row["id"] for row in rows(fake, "/v2/organizations", "organizations")]

    before = order()
    fake.touch_row("organizations", before[7])
    assert order() == [before[7], *before[:7], *before[8:]]
    by_name = rows(fake, "/v2/organizations", "organizations", sort="name,asc")
    assert "lastInteractionAt" not in by_name[0]


def test_saved_replies(fake):
    truth, keys = fake.truth_more()["saved_replies"], []
    for mailbox in (7001, 7002, 7003):
        path = f"/v2/mailboxes/{mailbox}/saved-replies"
        listed = get(fake, path, includeChatReplies="true").json()
        keys += [(mailbox, row["id"]) for row in listed]
        for row in listed:
            assert (mailbox, get(fake, f"{path}/{row['id']}").json()) in truth
    assert keys == [(mailbox, row["id"]) for mailbox, row in truth] and len(keys) == 3
    (first,) = get(fake, "/v2/mailboxes/7001/saved-replies").json()
    assert first == {"id": 61, "name": "Thanks", "preview": "Thank you for the picture."}
    assert get(fake, "/v2/mailboxes/7002/saved-replies").json()[0]["chatPreview"]
    assert get(fake, "/v2/mailboxes/7002/saved-replies/61").status_code == 404


def test_routing(fake):
    for mailbox, row in fake.truth_more()["mailbox_routing"]:
        assert get(fake, f"/v2/mailboxes/{mailbox}/routing").json() == row
    assert get(fake, "/v2/mailboxes/7009/routing").status_code == 404


def test_the_company_report(fake):
    def report(first, last):
        params = {"start": f"2026-03-{first:02}T00:00:00Z", "end": f"2026-03-{last:02}T23:59:59Z"}
        answer = get(fake, "/v2/reports/company", **params)
        assert answer.headers["Content-Type"] == "application/json"
        return answer.json()

    days = [report(day, day) for day in range(2, 9)]  # Monday to Sunday
    whole = report(2, 8)
    assert whole == report(2, 8) and whole["current"]["totalDays"] == 7
    for name in ("customersHelped", "closed", "totalReplies"):
        assert whole["current"][name] == sum(day["current"][name] for day in days) > 0
    assert days[0]["users"] and not days[6]["users"]
    assert sum(user["replies"] for user in whole["users"]) == whole["current"]["totalReplies"]
    assert {user["user"] for user in whole["users"]} <= {
        user["id"] for user in WORLD.tables["users"]
    }
    by_midnight = {"start": "2026-03-02T00:00:00Z", "end": "2026-03-03T00:00:00Z"}
    current = get(fake, "/v2/reports/company", **by_midnight).json()["current"]
    assert current["totalDays"] == 1
    fake.set(plan="standard")
    assert get(fake, "/v2/reports/company", **by_midnight).status_code == 403


# -- mailboxes ------------------------------------------------------------------------------------


def test_what_is_asked_of_one_mailbox(fake):
    for mailbox in (7001, 7002, 7003):
        keys = set(ids(fake, mailbox=mailbox))
        assert keys == {
            row["id"] for row in fake.truth()["conversations"] if row["mailboxId"] == mailbox
        }
        flows = rows(fake, "/v2/workflows", "workflows", mailboxId=mailbox)
        assert flows == [row for row in fake.tables["workflows"] if row["mailboxId"] == mailbox]
        ratings = get(fake, REPORT, **WHOLE_REPORT, mailboxes=mailbox).json()
        assert ratings["count"] == sum(row["id"] in keys for row in WORLD.ratings) > 0
    assert set(ids(fake, mailbox="7001,7003")) == set(ids(fake)) - set(ids(fake, mailbox=7002))
    assert len(rows(fake, "/v2/workflows", "workflows", mailbox=7001)) == 4
    assert fake.unknown_parameters == {"mailbox"}


def test_customers_of_one_mailbox(fake):
    quiet = fake.customer_ids[0]
    for row in fake.truth()["conversations"]:
        if row["primaryCustomer"]["id"] == quiet:
            fake.delete(row["id"])
    truth = fake.truth()["conversations"]
    shown = {mailbox: found(fake, "customers", mailbox=mailbox) for mailbox in (7001, 7002, 7003)}
    for mailbox, keys in shown.items():
        assert keys >= {
            row["primaryCustomer"]["id"] for row in truth if row["mailboxId"] == mailbox
        }
        assert 0 < len(keys) < 120
    assert sum(quiet in keys for keys in shown.values()) == 1
    assert set.union(*shown.values()) == set(fake.customer_ids)
    assert found(fake, "customers", mailbox=7009) == set()
    fake.set(customers_mailbox_ignored=True)
    assert len(found(fake, "customers", mailbox=7009)) == 120
    assert not fake.unknown_parameters


def test_mailboxes_that_the_user_does_not_see(fake):
    whole, more = fake.truth(), fake.truth_more()
    fake.set(visible_mailboxes={7001, 7003})
    truth = fake.truth()
    assert {name: len(rows) for name, rows in truth.items()} == fake.truth_counts()
    fewer = {name for name in whole if truth[name] != whole[name]}
    assert fewer == {
        "conversations",
        "conversation_threads",
        "happiness_ratings_report",
        "mailboxes",
        "mailbox_fields",
        "mailbox_folders",
        "workflows",
    } - {"mailbox_fields"}  # the second has none
    assert set(ids(fake)) == {row["id"] for row in truth["conversations"]}
    assert ids(fake, mailbox=7002) == [] and found(fake, "customers", mailbox=7002) == set()
    for name in ("mailboxes", "workflows"):
        assert rows(fake, f"/v2/{name}", name) == truth[name]
    count = get(fake, REPORT, **WHOLE_REPORT).json()["count"]
    assert count == len(truth["happiness_ratings_report"])
    hidden = next(row["id"] for row in whole["conversations"] if row["mailboxId"] == 7002)
    for path in (
        f"conversations/{hidden}",
        f"conversations/{hidden}/threads",
        *(f"mailboxes/7002/{name}" for name in ("fields", "folders", "routing", "saved-replies")),
    ):
        assert get(fake, f"/v2/{path}").status_code == 404
    assert len(fake.truth_more()["mailbox_routing"]) == len(more["mailbox_routing"]) - 1
    new = fake.add_conversation(mailboxId=7002)
    assert new not in ids(fake) and new in fake.conversation_ids
    fake.touch(new, mailboxId=7003)
    assert new in ids(fake)


# -- habits ---------------------------------------------------------------------------------------

SINCE, FIRST, LAST = (stamp(NOW - timedelta(days=days)) for days in (500, 300, 100))
RANGE = f"(modifiedAt:[{FIRST} TO {LAST}])"
NOBODY_EARLIER, NOBODY_LATER = "2000-01-01T00:00:00Z", "2100-01-01T00:00:00Z"
LISTS = ("conversations", "customers")


def modified(fake, name, key):
    return stamp(fake.modified(key)) if name == "conversations" else fake.customer(key)["updatedAt"]


def between(fake, name, first=NOBODY_EARLIER, last=NOBODY_LATER):
    """The ids of those modified then, both ends included."""
    keys = fake.conversation_ids if name == "conversations" else fake.customer_ids
    return {key for key in keys if first <= modified(fake, name, key) <= last}


def found(fake, name, **params):
    """The ids of the rows of all pages."""
    params = {**params, "status": "all"} if name == "conversations" else params
    return {row["id"] for row in rows(fake, f"/v2/{name}", name, **params)}


def page_of(fake, path=CONVERSATIONS, **params):
    return get(fake, path, **{**ALL, **params}).json()["page"]


def next_of(fake, **params):
    """The number of the page that `next` leads to."""
    links = get(fake, CONVERSATIONS, **{**ALL, **params}).json()["_links"]
    return int(re.search(r"page=(\d+)", links["next"]["href"])[1]) if "next" in links else None


def test_only_what_there_is_can_be_set(fake):
    for option in ("latncy", "tables", "_log", "set"):
        with pytest.raises(TypeError):
            fake.set(**{option: 1})
    with pytest.raises(ValueError):
        fake.set(embed="no_line_itmes")


@pytest.mark.parametrize("name", LISTS)
@pytest.mark.parametrize(
    "habit, filters, expected",
    [
        ({}, "query", (FIRST, LAST)),
        ({}, "since", (SINCE,)),
        ({}, "both", (FIRST, LAST)),
        ({"query_finds": "nothing"}, "query", (NOBODY_LATER,)),
        ({"query_finds": "nothing"}, "since", (SINCE,)),
        ({"query_finds": "everything"}, "query", ()),
        ({"query_finds": "everything"}, "both", (SINCE,)),
        ({"query_ignored_beside_since": True}, "query", (FIRST, LAST)),
        ({"query_ignored_beside_since": True}, "both", (SINCE,)),
        ({"since_ignored_beside_query": True}, "since", (SINCE,)),
        ({"since_ignored_beside_query": True}, "early", (FIRST, LAST)),
        ({"since_ignored": True}, "since", ()),
        ({"since_ignored": True}, "both", (FIRST, LAST)),
        ({"query_start_ignored": True}, "query", (NOBODY_EARLIER, LAST)),
        ({"query_end_ignored": True}, "query", (FIRST,)),
    ],
)
def test_filters(fake, name, habit, filters, expected):
    asked = {
        "query": {"query": RANGE},
        "since": {"modifiedSince": SINCE},
        "both": {"query": RANGE, "modifiedSince": SINCE},
        "early": {"query": RANGE, "modifiedSince": LAST},
    }[filters]
    other = LISTS[name == LISTS[0]]
    fake.set(**habit, habit_lists=[name])
    assert found(fake, name, **asked) == between(fake, name, *expected)
    fake.habit_lists = [other]
    usual = {"since": (SINCE,), "early": (NOBODY_LATER,)}.get(filters, (FIRST, LAST))
    assert found(fake, name, **asked) == between(fake, name, *usual)


@pytest.mark.parametrize("finds, status", [("error", 500), ("refused", 400)])
def test_a_query_that_fails(fake, finds, status):
    fake.set(query_finds=finds)
    for name in LISTS:
        assert get(fake, f"/v2/{name}", query=RANGE).status_code == status
        assert get(fake, f"/v2/{name}", modifiedSince=SINCE).status_code == 200


@pytest.mark.parametrize("name", LISTS)
def test_the_start_of_a_range_may_be_exclusive(fake, name):
    first = min(modified(fake, name, key) for key in between(fake, name, FIRST))
    query = f"(modifiedAt:[{first} TO *])"
    assert found(fake, name, query=query) == between(fake, name, first)
    fake.from_inclusive = False
    assert len(found(fake, name, query=query)) == len(between(fake, name, first)) - 1


@pytest.mark.parametrize("name", LISTS)
def test_a_filter_stops_working(fake, name):
    def total(**params):
        return page_of(fake, f"/v2/{name}", **params)["totalElements"]

    fake.query_works_until = 2
    get(fake, f"/v2/{LISTS[name == LISTS[0]]}", query=RANGE)
    some, everything = len(between(fake, name, FIRST, LAST)), len(between(fake, name))
    assert some < total(modifiedSince=SINCE) < everything
    assert [total(query=RANGE) for _ in range(4)] == [some, some, everything, everything]
    fake.clear()
    assert [total(query=RANGE) for _ in range(3)] == [some, some, everything]


def test_totals_that_are_capped(fake):
    fake.set(total_cap=60)
    assert page_of(fake) == {"size": 25, "totalElements": 60, "totalPages": 3, "number": 1}
    assert [next_of(fake, page=page) for page in (1, 2, 3, 4)] == [2, 3, None, None]
    assert len(get(fake, CONVERSATIONS, page=8, **ALL).json()["_embedded"]["conversations"]) == 25
    assert page_of(fake, "/v2/users")["totalElements"] == 8
    fake.set(habit_lists=["users"], total_cap=3)
    assert page_of(fake, "/v2/users")["totalElements"] == 3
    assert page_of(fake)["totalElements"] == 200


def test_no_totals(fake):
    fake.set(totals="none")
    assert page_of(fake, page=8) == {"size": 25, "number": 8}
    assert [next_of(fake, page=page) for page in (1, 7, 8)] == [2, 8, None]
    fake.set(totals="no_page")
    answer = get(fake, CONVERSATIONS, **ALL).json()
    assert "page" not in answer and "last" not in answer["_links"] and next_of(fake) == 2


@pytest.mark.parametrize("name, count", [("conversations", 200), ("customers", 120)])
def test_totals_of_a_minute_ago(fake, name, count):
    fake.set(totals="stale")
    since = stamp(NOW - timedelta(hours=1))
    touch = fake.touch if name == "conversations" else fake.touch_customer
    touch(min(between(fake, name)))
    fake.delete(fake.conversation_ids[1])
    for is_old, changes in ((False, 0), (True, 1)):
        fake.clock_offset += 61 * is_old
        answer = get(fake, f"/v2/{name}", modifiedSince=since, status="all").json()
        assert answer["page"]["totalElements"] == changes
        assert [row["id"] for row in answer["_embedded"][name]] == [min(between(fake, name))]
        total = count - (is_old and name == "conversations")
        assert page_of(fake, f"/v2/{name}")["totalElements"] == total


def test_stale_totals_of_threads(fake):
    fake.set(totals="stale", habit_lists=["threads"])
    key = fake.conversation_ids[7]
    path, count = f"/v2/conversations/{key}/threads", len(fake.threads(key))
    fake.add_thread(key)
    assert page_of(fake, path)["totalElements"] == count
    fake.clock_offset += 61
    assert page_of(fake, path)["totalElements"] == count + 1


def test_one_page_is_said_beside_a_next_link(fake):
    fake.set(total_pages_is_one=True)
    page = page_of(fake)
    assert (page["totalPages"], page["totalElements"], next_of(fake)) == (1, 200, 2)


@pytest.mark.parametrize("totals", ["exact", "none"])
def test_next_loops(fake, totals):
    fake.set(next_loops=True, totals=totals)
    assert [next_of(fake, page=page) for page in (1, 2, 3)] == [2, 1, 4]
    assert "next" not in get(fake, "/v2/tags", page=2).json()["_links"]


def test_spam_is_not_in_all(fake):
    spam = set(ids(fake, status="spam"))
    assert spam and spam < set(ids(fake))
    fake.status_all_has_spam = False
    assert set(ids(fake)) == set(fake.conversation_ids) - spam
    assert set(ids(fake, status="spam")) == spam


def embedded(fake):
    """(listed, embedded) threads of each conversation that is no chat."""
    for row in rows(fake, CONVERSATIONS, "conversations", embed="threads", **ALL):
        if row["type"] != "chat":
            yield fake.threads(row["id"]), row["_embedded"]["threads"]


@pytest.mark.parametrize("embed, state", [("no_drafts", "draft"), ("no_hidden", "hidden")])
def test_embedded_lists_without_some_states(fake, embed, state):
    fake.set(embed=embed)
    missing = 0
    for listed, shown in embedded(fake):
        assert shown == [thread for thread in listed if thread["state"] != state]
        missing += len(listed) - len(shown)
    assert missing


def test_embedded_threads_in_part(fake):
    fake.set(embed="cut_bodies")
    for listed, shown in embedded(fake):
        assert [row.get("body") for row in shown] == [
            row["body"][:40] if "body" in row else None for row in listed
        ]
    fake.set(embed="no_attachments")
    for listed, shown in embedded(fake):
        for whole, part in zip(listed, shown, strict=True):
            assert "attachments" not in part.get("_embedded", {})
            assert {**part, "_embedded": None} == {**whole, "_embedded": None}


def test_chat_threads_are_cut_in_e_mails_too(fake):
    fake.set(chat_threads_cut_anywhere=True)
    key = fake.conversation_ids[7]
    chat = fake.add_thread(key, type="beaconchat")
    assert fake.conversation(key)["type"] == "email" and len(chat["body"]) > 20
    (shown,) = (shown for listed, shown in embedded(fake) if chat in listed)
    assert shown == [{**chat, "body": chat["body"][:20]}, *fake.threads(key)[1:]]
    assert rows(fake, f"/v2/conversations/{key}/threads", "threads")[0] == chat


@pytest.mark.parametrize(
    "habit, status, number, count",
    [("empty", 200, 9, 0), ("404", 404, 0, 0), ("400", 400, 0, 0), ("last_page", 200, 8, 25)],
)
def test_past_the_end(fake, habit, status, number, count):
    fake.set(past_the_end=habit)
    answer = get(fake, CONVERSATIONS, page=9, **ALL)
    assert answer.status_code == status
    if status == 200:
        assert answer.json()["page"]["number"] == number
        assert len(answer.json().get("_embedded", {}).get("conversations", ())) == count
    assert get(fake, CONVERSATIONS, page=8, **ALL).status_code == 200
    assert get(fake, "/v2/mailboxes/7002/fields").status_code == 200


def test_threads_deleted_between_two_pages(fake):
    fake.set(past_the_end="404")
    key = fake.conversation_ids[7]
    path, before = f"/v2/conversations/{key}/threads", fake.conversation(key)["threads"]
    assert "next" in get(fake, path).json()["_links"]

    def delete_all_but(kept):
        def action(fake):
            for thread in fake.threads(key)[kept:]:
                fake.delete_thread(key, thread["id"])

        return action

    fake.before(delete_all_but(5), path="threads.*page=2")
    assert get(fake, path, page=2).status_code == 404
    assert rows(fake, path, "threads") == fake.threads(key) and len(fake.threads(key)) == 5
    assert fake.conversation(key)["threads"] == sum(map(counts, fake.threads(key))) < before
    assert fake.modified(key) > NOW - timedelta(minutes=1)
    delete_all_but(0)(fake)
    assert fake.truth_counts()["conversation_threads"] == len(fake.truth()["conversation_threads"])
    with pytest.raises(KeyError):
        fake.delete_thread(key, 1)


@pytest.mark.parametrize("habit, shown", [("object", {}), ("array", [])])
def test_what_an_empty_list_embeds(fake, habit, shown):
    fake.set(empty_embedded=habit)
    assert get(fake, CONVERSATIONS, modifiedSince=stamp(NOW)).json()["_embedded"] == shown
    assert get(fake, "/v2/mailboxes/7002/fields").json()["_embedded"] == shown


def test_the_order_is_ignored(fake):
    fake.set(sort_ignored=True)
    dates = [row.get("createdAt", "") for row in rows(fake, CONVERSATIONS, LISTS[0], **ALL)]
    assert dates == sorted(dates, reverse=True)
    order = {"sortField": "modifiedAt", "sortOrder": "asc"}
    keys = [row["id"] for row in rows(fake, "/v2/customers", "customers", **order)]
    assert keys == sorted(keys, reverse=True)


def test_depth(fake):
    fake.set(depth_limit=3)
    statuses = [get(fake, CONVERSATIONS, page=page, **ALL).status_code for page in (3, 4)]
    assert statuses == [200, 400] and page_of(fake)["totalPages"] == 8


@pytest.mark.parametrize("header", ["Tue, 01 Dec 2099 10:00:00 GMT", None, "yesterday"])
def test_the_date_header(fake, header):
    fake.set(date_header=header, dates_wrong_for=2)
    dates = [get(fake, "/v2/tags").headers.get("Date") for _ in range(3)]
    assert dates[:2] == [header] * 2 and parsedate_to_datetime(dates[2])
    fake.set(dates_wrong_for=None)
    assert [get(fake, "/v2/tags").headers.get("Date") for _ in range(3)] == [header] * 3


def test_the_date_header_in_no_zone(fake):
    fake.set(date_header="-0000")
    date = get(fake, "/v2/tags").headers["Date"]
    assert date.endswith(" -0000")
    assert abs(parsedate_to_datetime(date) - fake.now().replace(tzinfo=None)) < timedelta(minutes=1)


def test_conversations_show_their_modification(fake):
    key = fake.conversation_ids[3]
    assert "modifiedAt" not in fake.conversation(key)
    fake.set(shows_modified_at=True)
    fake.touch(key, subject="Edited")
    fake.add_thread(key)
    shown = {row["id"]: row for row in rows(fake, CONVERSATIONS, "conversations", **ALL)}
    assert {row["modifiedAt"] for row in shown.values()} == {
        modified(fake, "conversations", other) for other in shown
    }
    assert shown[key] == get(fake, f"{CONVERSATIONS}/{key}").json() == fake.conversation(key)
    fake.set(shows_modified_at=False)
    assert "modifiedAt" not in fake.conversation(key)


def test_no_list_of_threads_is_found(fake):
    key = fake.conversation_ids[0]
    fake.set(threads_404=True)
    assert get(fake, f"{CONVERSATIONS}/{key}/threads").status_code == 404
    assert get(fake, f"{CONVERSATIONS}/{key}").status_code == 200


# -- the account ----------------------------------------------------------------------------------


def test_the_same_numbers_make_the_same_world():
    def dump(world):
        with FakeHelpScout(world) as fake:
            return json.dumps(fake.truth())

    assert dump(build(30, now=NOW)) == dump(build(30, now=NOW))
    assert dump(build(30, now=NOW)) != dump(build(30, seed=2, now=NOW))
    assert dump(build(0, customers=0, now=NOW))


@pytest.mark.parametrize("seed", [1, 2])
def test_rows_join_and_dates_are_in_order(seed):
    world = build(seed=seed, now=NOW)
    users = {user["id"] for user in world.tables["users"]}
    assert max(plan.modified for plan in world.plans.values()) < NOW - timedelta(days=1)
    assert sum(plan.modified == NOW - timedelta(days=40) for plan in world.plans.values()) == 60
    threads = {}
    for key, plan in world.plans.items():
        row = world.conversation(plan)
        listed = world.threads(plan)
        threads.update((thread["id"], key) for thread in listed)
        assert len(listed) == plan.length and row["threads"] == sum(map(counts, listed))
        assert all(thread["createdAt"] <= stamp(plan.modified) for thread in listed)
        assert listed == sorted(listed, key=lambda thread: thread["createdAt"], reverse=True)
        assert row["primaryCustomer"]["id"] in world.customer_times
        assert row["closedBy"] in users | {0}
        mailbox = row["mailboxId"]
        for name, used in (
            ("folders", {row["folderId"]}),
            ("fields", {field["id"] for field in row["customFields"]}),
        ):
            assert used <= {one["id"] for one in world.children[f"mailbox_{name}"][mailbox]}
    assert len(threads) == sum(plan.length for plan in world.plans.values())
    for rating in world.ratings:
        assert threads[rating["threadid"]] == rating["id"] and rating["ratingUserId"] in users
        assert rating["ratingCustomerId"] in world.customer_times
    assert {flow["mailboxId"] for flow in world.tables["workflows"]} == set(
        world.children["mailbox_folders"]
    )


def test_started_by_a_person_and_steered_from_outside():
    command = [
        sys.executable,
        "-m",
        "tests.fake",
        "--conversations",
        "9",
        "--page-size",
        "4",
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        url = json.loads(process.stdout.readline())["api_url"]
        requests.get(url + "/v2/tags", timeout=20)
        assert [row["path"] for row in requests.get(url + "/_fake/log", timeout=20).json()] == [
            "/v2/tags"
        ]
        assert requests.get(url + "/_fake/truth-counts", timeout=20).json()["conversations"] == 9
        for path, body in (("touch/2100000", None), ("options", {"latency": 0}), ("clear", None)):
            assert requests.post(f"{url}/_fake/{path}", json=body, timeout=20).status_code == 204
        assert requests.get(url + "/_fake/log", timeout=20).json() == []
        process.terminate()
    assert process.returncode == 0
