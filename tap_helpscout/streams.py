"""All that differs between streams, as data: to add one is a row here, a schema and a fixture."""

import string
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field


from tap_helpscout.transform import latest, only, rename, unchanged


@dataclass(frozen=True, eq=False)
class Embed:
    """Children that come inside the windows of their parents' list (`embed=name`), and when to
    believe them."""

    name: str
    # (parent row, embedded rows): are all there that the parent counts?
    is_whole: Callable[[dict, list], bool]
    # (listed rows): does this listing hold the kind of row that an embed might leave out?
    is_telling: Callable[[list], bool]


@dataclass(frozen=True, eq=False)
class Stream:
    """One stream. `path` and `params` are templates: a parent's id, {start} and {end} of the run,
    {since} and {until} of a window. The ids in `path` become columns of each record."""

    tap_stream_id: str
    path: str
    # The key of the rows in the answer, in `_embedded` or beside it; None: the answer itself is
    # the rows (a bare array) or the row (a single object).
    rows: str | None
    key_properties: tuple[str, ...] = ("id",)
    replication_key: str | None = None
    params: Mapping[str, str] = field(default_factory=dict)
    parent: str | None = None
    embed: Embed | None = None
    reshape: Callable[[dict], dict] = unchanged
    # What tells the rows of one list apart, in the API's names.
    identity: tuple[str, ...] = ("id",)
    # Whether it is read where no catalog says anything about it.
    selected_by_default: bool = True

    @property
    def replication_method(self):
        """INCREMENTAL where there is a date to go by."""
        return "INCREMENTAL" if self.replication_key else "FULL_TABLE"

    @property
    def parent_keys(self):
        """The columns that the parents fill, outermost first; the last is the parent's own id."""
        return tuple(name for _, name, _, _ in string.Formatter().parse(self.path) if name)

    @property
    def is_windowed(self):
        """Whether the list is read in closed windows of modification time."""
        return any("{until}" in value for value in self.params.values())

    @property
    def has_bookmark(self):
        """A child of a windowed list has one though it has no date: where its parents were read."""
        return bool(self.replication_key or self.parent and STREAMS[self.parent].is_windowed)


def _threads_are_whole(conversation, threads):
    """Chats come cut, and `threads` counts what is published, line items aside."""
    published = sum(
        thread.get("state") == "published" and thread.get("type") != "lineitem"
        for thread in threads
    )
    count = conversation.get("threads")
    return (
        conversation.get("type") != "chat"
        and bool(threads)
        and isinstance(count, int)
        and published >= count
    )


def _has_line_item(threads):
    return any(thread.get("type") == "lineitem" for thread in threads)


_WINDOW = {
    "modifiedSince": "{since}",
    "query": "(modifiedAt:[* TO {until}])",
    "sortField": "modifiedAt",
    "sortOrder": "asc",
}

STREAMS = {
    stream.tap_stream_id: stream
    for stream in (
        Stream(
            "conversations",
            "/v2/conversations",
            "conversations",
            replication_key="updated_at",
            # Without a status the API leaves closed conversations out.
            params={"status": "all", **_WINDOW},
            # The API filters by a modification date that it does not show.
            reshape=latest(
                "updated_at",
                "created_at",
                "closed_at",
                "user_updated_at",
                "customer_waiting_since.time",
            ),
        ),
        Stream(
            "conversation_threads",
            "/v2/conversations/{conversation_id}/threads",
            "threads",
            parent="conversations",
            embed=Embed("threads", _threads_are_whole, _has_line_item),
        ),
        Stream(
            "customers", "/v2/customers", "customers", replication_key="updated_at", params=_WINDOW
        ),
        Stream("mailboxes", "/v2/mailboxes", "mailboxes", replication_key="updated_at"),
        Stream("mailbox_fields", "/v2/mailboxes/{mailbox_id}/fields", "fields", parent="mailboxes"),
        Stream(
            "mailbox_folders",
            "/v2/mailboxes/{mailbox_id}/folders",
            "folders",
            parent="mailboxes",
            replication_key="updated_at",
        ),
        Stream("users", "/v2/users", "users", replication_key="updated_at"),
        Stream("workflows", "/v2/workflows", "workflows", replication_key="modified_at"),
        Stream(
            "happiness_ratings_report",
            "/v2/reports/happiness/ratings",
            "results",
            key_properties=("thread_id", "rating_created_at", "conversation_id"),
            params={"start": "{start}", "end": "{end}", "rating": "all"},
            reshape=rename(threadid="thread_id", id="conversation_id"),
            identity=("threadid", "ratingCreatedAt", "id"),
        ),
        Stream("teams", "/v2/teams", "teams", replication_key="updated_at"),
        Stream(
            "team_members",
            "/v2/teams/{team_id}/members",
            "users",
            parent="teams",
            key_properties=("team_id", "user_id"),
            reshape=only(id="user_id"),
        ),
    )
}
