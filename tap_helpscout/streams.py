"""All that differs between streams, as data: to add one is a row here, a schema and a fixture."""

import string
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from tap_helpscout.transform import (
    in_turn,
    latest,
    lift,
    map_to_list,
    only,
    rename,
    unchanged,
    without,
)

Row = dict[str, Any]
"""A row as the API sends it, and a record as it is written."""
RowKey = tuple[Hashable, ...]


@dataclass(frozen=True, eq=False)
class Embed:
    """Children that can come inside the rows of their parents' list, by `embed=name`."""

    name: str
    kinds: frozenset[str]
    """Kinds of children that an embed might leave out or cut."""
    telling_kind: str
    """The kind that a listing must hold before the embed is believed."""
    kinds_of: Callable[[Row], frozenset[str]]
    """Of which of these kinds a child is."""
    size_of: Callable[[Row], int]
    """The length of what might be cut in a child."""
    may_be_whole: Callable[[Row, list[Row]], bool]
    """(parent, embedded children): False where the parent shows that some are missing or cut."""
    find_parent_by: str
    """The field, and the parameter, by which one parent is found in its list."""


@dataclass(frozen=True, eq=False)
class HiddenRows:
    """Rows that a stream's own parameters may leave out on some accounts."""

    name: str
    params: Mapping[str, str]
    """What to ask for them with, in place of the stream's own parameters."""
    find_by: str
    """The field, and the parameter, by which one row is found in the stream's own list."""


@dataclass(frozen=True, eq=False)
class Detail:
    """A request for each row of a list, whose response has more of the row. `path` is a template:
    the ids of the parents, and what tells the row apart, such as {id}."""

    path: str
    params: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class MailboxFilter:
    """The parameter by which the API keeps a list to inboxes."""

    param: str
    takes_several: bool = False
    """Whether it is documented to take ids with commas between them; else each inbox is asked for
    by itself."""


@dataclass(frozen=True, eq=False)
class Stream:
    """One stream. `path` and `params` are templates: the ids of parents, {start} and {end} of the
    run, {day_start} and {day_end}. The ids in `path` become columns of each record."""

    tap_stream_id: str
    path: str
    rows_key: str | None
    """The key of the rows in the response, in `_embedded` or beside it; None: the response itself
    is the rows (a bare array) or the row (a single object)."""
    key_properties: tuple[str, ...] = ("id",)
    replication_key: str | None = None
    params: Mapping[str, str] = field(default_factory=dict)
    is_windowed: bool = False
    """Whether the API filters the list by modification time, so that it is read in windows."""
    hidden: HiddenRows | None = None
    detail: Detail | None = None
    day_column: str | None = None
    """Where each request brings the row of one UTC day: the column with that day."""
    mailbox_filter: MailboxFilter | None = None
    mailbox_field: str | None = None
    """The field of a row, in the API's name, that holds the id of its inbox."""
    selected_by_default: bool = True
    """Whether it is read where nobody has said what to read."""
    parent: str | None = None
    embed: Embed | None = None
    reshape: Callable[[Row], Row] = unchanged
    identity: tuple[str, ...] = ("id",)
    """What tells the rows of one list apart, in the API's names."""

    @property
    def replication_method(self) -> str:
        """INCREMENTAL where there is a date to go by."""
        return "INCREMENTAL" if self.replication_key else "FULL_TABLE"

    @cached_property
    def parent_keys(self) -> tuple[str, ...]:
        """The columns that the parents fill, outermost first; the last is the parent's own id."""
        return tuple(name for _, name, _, _ in string.Formatter().parse(self.path) if name)

    @property
    def is_below_windows(self) -> bool:
        """Whether its parents are read in windows."""
        return self.parent is not None and STREAMS[self.parent].is_windowed

    @property
    def has_one_row(self) -> bool:
        """Whether each response holds one row, whose key is that of the parent, or the day."""
        return set(self.key_properties) <= {*self.parent_keys, self.day_column}

    @property
    def is_remembered(self) -> bool:
        """Whether the state holds the ids of its rows: where the API does not filter a list by
        date, one may appear in it whose date is before the bookmark."""
        return (
            bool(self.replication_key) and not self.is_windowed and self.key_properties == ("id",)
        )

    @property
    def has_bookmark(self) -> bool:
        """A child of a windowed list has one though it has no date: where its parents were read."""
        return bool(self.replication_key) or self.is_below_windows

    def key_of(self, row: Row) -> RowKey | None:
        """What tells a row of the list apart from the others, None where nothing does."""
        key = tuple(row.get(name) for name in self.identity)
        return None if None in key else key


def children_of(tap_stream_id: str | None) -> list[Stream]:
    """The streams whose rows hang on those of another; None: those whose rows hang on nothing."""
    return [stream for stream in STREAMS.values() if stream.parent == tap_stream_id]


# https://developer.helpscout.com/mailbox-api/endpoints/conversations/threads/list
_CHAT_THREADS = ("chat", "beaconchat")
_UNPUBLISHED = ("draft", "hidden")
_THREAD_KINDS = frozenset({"line item", "attachments", *_UNPUBLISHED})


def _kinds_of_thread(thread: Row) -> frozenset[str]:
    kinds = set()
    if thread.get("type") == "lineitem":
        kinds.add("line item")
    if thread.get("state") in _UNPUBLISHED:
        kinds.add(thread["state"])
    embedded = thread.get("_embedded")
    if isinstance(embedded, dict) and embedded.get("attachments"):
        kinds.add("attachments")
    return frozenset(kinds)


def _length_of_body(thread: Row) -> int:
    body = thread.get("body")
    return len(body) if isinstance(body, str) else 0


def _threads_may_be_whole(conversation: Row, threads: list[Row]) -> bool:
    """Threads of chats come cut, and `threads` counts what is published, line items aside."""
    # https://developer.helpscout.com/mailbox-api/endpoints/conversations/list
    if any(thread.get("type") in _CHAT_THREADS for thread in threads):
        return False
    published = sum(
        thread.get("state") == "published" and thread.get("type") != "lineitem"
        for thread in threads
    )
    count = conversation.get("threads")
    return conversation.get("type") != "chat" and isinstance(count, int) and published >= count


STREAMS = {
    stream.tap_stream_id: stream
    for stream in (
        # https://developer.helpscout.com/mailbox-api/endpoints/conversations/list
        Stream(
            "conversations",
            "/v2/conversations",
            "conversations",
            replication_key="updated_at",
            # Without a status the API leaves closed conversations out. Whether `all` holds spam is
            # documented nowhere.
            params={"status": "all"},
            hidden=HiddenRows("spam", {"status": "spam"}, find_by="number"),
            is_windowed=True,
            mailbox_filter=MailboxFilter("mailbox", takes_several=True),
            mailbox_field="mailboxId",
            # The API filters by a modification date that it does not show, as a rule.
            reshape=latest(
                "updated_at",
                "modified_at",
                "created_at",
                "closed_at",
                "user_updated_at",
                "customer_waiting_since.time",
            ),
        ),
        # https://developer.helpscout.com/mailbox-api/endpoints/conversations/threads/list
        Stream(
            "conversation_threads",
            "/v2/conversations/{conversation_id}/threads",
            "threads",
            parent="conversations",
            embed=Embed(
                "threads",
                kinds=_THREAD_KINDS,
                telling_kind="line item",
                kinds_of=_kinds_of_thread,
                size_of=_length_of_body,
                may_be_whole=_threads_may_be_whole,
                find_parent_by="number",
            ),
        ),
        # https://developer.helpscout.com/mailbox-api/endpoints/customers/list
        Stream(
            "customers",
            "/v2/customers",
            "customers",
            replication_key="updated_at",
            is_windowed=True,
            mailbox_filter=MailboxFilter("mailbox"),
        ),
        # https://developer.helpscout.com/mailbox-api/endpoints/inboxes/list
        Stream(
            "mailboxes",
            "/v2/mailboxes",
            "mailboxes",
            replication_key="updated_at",
            mailbox_field="id",
        ),
        # https://developer.helpscout.com/mailbox-api/endpoints/inboxes/mailbox-fields
        Stream("mailbox_fields", "/v2/mailboxes/{mailbox_id}/fields", "fields", parent="mailboxes"),
        # https://developer.helpscout.com/mailbox-api/endpoints/inboxes/mailbox-folders
        Stream(
            "mailbox_folders",
            "/v2/mailboxes/{mailbox_id}/folders",
            "folders",
            parent="mailboxes",
            replication_key="updated_at",
        ),
        # https://developer.helpscout.com/mailbox-api/endpoints/users/list
        Stream("users", "/v2/users", "users", replication_key="updated_at"),
        # https://developer.helpscout.com/mailbox-api/endpoints/workflows/list
        Stream(
            "workflows",
            "/v2/workflows",
            "workflows",
            replication_key="modified_at",
            mailbox_filter=MailboxFilter("mailboxId"),
            mailbox_field="mailboxId",
        ),
        # https://developer.helpscout.com/mailbox-api/endpoints/reports/happiness/reports-happiness-ratings
        Stream(
            "happiness_ratings_report",
            "/v2/reports/happiness/ratings",
            "results",
            key_properties=("thread_id", "rating_created_at", "conversation_id"),
            params={"start": "{start}", "end": "{end}", "rating": "all"},
            mailbox_filter=MailboxFilter("mailboxes", takes_several=True),
            reshape=rename(threadid="thread_id", id="conversation_id"),
            identity=("threadid", "ratingCreatedAt", "id"),
        ),
        # https://developer.helpscout.com/mailbox-api/endpoints/teams/list
        Stream("teams", "/v2/teams", "teams", replication_key="updated_at"),
        # https://developer.helpscout.com/mailbox-api/endpoints/teams/team-members
        Stream(
            "team_members",
            "/v2/teams/{team_id}/members",
            "users",
            parent="teams",
            key_properties=("team_id", "user_id"),
            reshape=only(id="user_id"),
        ),
        # The others are read where they are selected: the plan and the user's role decide whether
        # an account may read them.
        # https://developer.helpscout.com/mailbox-api/endpoints/tags/list
        Stream("tags", "/v2/tags", "tags", selected_by_default=False),
        # https://developer.helpscout.com/mailbox-api/endpoints/organizations/list
        Stream(
            "organizations",
            "/v2/organizations",
            "organizations",
            # The default order, by the last interaction, changes while the list is read.
            params={"sort": "name,asc"},
            # https://developer.helpscout.com/mailbox-api/endpoints/organizations/get
            detail=Detail(
                "/v2/organizations/{id}", {"includeCounts": "true", "includeProperties": "true"}
            ),
            selected_by_default=False,
        ),
        # https://developer.helpscout.com/mailbox-api/endpoints/organizations/properties/list
        Stream(
            "organization_properties",
            "/v2/organizations/properties",
            "organization-properties",
            key_properties=("slug",),
            identity=("slug",),
            selected_by_default=False,
        ),
        # https://developer.helpscout.com/mailbox-api/endpoints/properties/list
        Stream(
            "customer_properties",
            "/v2/customer-properties",
            "customer-properties",
            key_properties=("slug",),
            identity=("slug",),
            selected_by_default=False,
        ),
        # https://developer.helpscout.com/mailbox-api/endpoints/inboxes/saved-replies/list
        Stream(
            "saved_replies",
            "/v2/mailboxes/{mailbox_id}/saved-replies",
            None,
            parent="mailboxes",
            # Without it those for chats alone are left out.
            params={"includeChatReplies": "true"},
            # https://developer.helpscout.com/mailbox-api/endpoints/inboxes/saved-replies/get
            detail=Detail("/v2/mailboxes/{mailbox_id}/saved-replies/{id}"),
            selected_by_default=False,
        ),
        # https://developer.helpscout.com/mailbox-api/endpoints/inboxes/routing/get
        Stream(
            "mailbox_routing",
            "/v2/mailboxes/{mailbox_id}/routing",
            None,
            key_properties=("mailbox_id",),
            parent="mailboxes",
            selected_by_default=False,
        ),
        # https://developer.helpscout.com/mailbox-api/endpoints/users/status/list
        Stream(
            "user_statuses",
            "/v2/users/status",
            "userStatuses",
            key_properties=("user_id",),
            identity=("userId",),
            reshape=map_to_list("chat.mailbox_statuses", "mailbox_id", "status"),
            selected_by_default=False,
        ),
        # https://developer.helpscout.com/mailbox-api/endpoints/system-users/list
        Stream(
            "system_users",
            "/v3/system-users",
            "system_users",
            replication_key="updated_at",
            selected_by_default=False,
        ),
        # https://developer.helpscout.com/mailbox-api/endpoints/webhooks/list
        Stream(
            "webhooks",
            "/v2/webhooks",
            "webhooks",
            # The API does not show it any more; should it come, it is nobody's business.
            reshape=without("secret"),
            selected_by_default=False,
        ),
        # https://developer.helpscout.com/mailbox-api/endpoints/reports/company/reports-company-overall
        Stream(
            "company_report",
            "/v2/reports/company",
            None,
            key_properties=("date",),
            replication_key="date",
            params={"start": "{day_start}", "end": "{day_end}"},
            day_column="date",
            # What is left out repeats what was asked for, or compares with another day.
            reshape=in_turn(lift("current"), without("filter_tags", "previous", "deltas")),
            selected_by_default=False,
        ),
    )
}

# The list that says which inboxes the app's user sees.
MAILBOX_LIST = STREAMS["mailboxes"]
