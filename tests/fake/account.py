"""The account as it is now, its edits, and what a complete sync of it brings."""

import math
import threading
from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterable
from datetime import datetime, timedelta, timezone
from typing import Any, NamedTuple

from tests.fake.data import Plan, World, counts, stamp
from tests.fake.habits import Habits

Row = dict[str, Any]

CHANGE_DATES = {  # of a stream, if not updatedAt
    "workflows": "modifiedAt",
    "organizations": "lastInteractionAt",
    "mailbox_fields": None,
    "saved_replies": None,
    "webhooks": None,
}
HIDDEN = ("lastInteractionAt",)  # columns of a table that no response shows
MINUTE = timedelta(seconds=60)
NOT_IN_LINE_ITEMS = ("body", "to", "cc", "bcc", "_embedded")


class Version(NamedTuple):
    """A row and its hidden modification date; `row`, `threads` are None while the world's hold."""

    modified: datetime
    row: Row | None = None
    threads: list[Row] | None = None


class Listing:
    """The versions that a list shows, and their keys in the order of modification."""

    def __init__(self, versions: dict[int, Version]):
        self.versions = dict(versions)
        self._order = sorted((version.modified, key) for key, version in versions.items())
        self._late: list[tuple[datetime, int, Version | None]] = []

    def put(self, key: int, version: Version | None, due: datetime) -> None:
        """Show a version, or None of a removed row, from `due` on."""
        self._late.append((due, key, version))

    def catch_up(self, now: datetime) -> None:
        for _, key, version in (late for late in self._late if late[0] <= now):
            if key in self.versions:
                del self._order[bisect_left(self._order, (self.versions[key].modified, key))]
            if version:
                insort(self._order, (version.modified, key))
            replace_version(self.versions, key, version)
        self._late = [late for late in self._late if late[0] > now]

    def modified_between(self, first: datetime, last: datetime) -> list[tuple[datetime, int]]:
        """Pairs (modified, key), oldest first, both ends included."""
        low = bisect_left(self._order, (first,))
        return self._order[low : bisect_right(self._order, (last, math.inf))]


class Shelf:
    """Rows as they are (`current`), and as the lists show them, perhaps some time later (`seen`).

    `stale` is what they showed a minute ago.
    """

    def __init__(self, dates: dict[int, datetime]):
        self.current = {key: Version(modified) for key, modified in dates.items()}
        self.seen, self.stale = Listing(self.current), Listing(self.current)

    def put(self, key: int, version: Version | None, due: datetime) -> None:
        """Store a version, or None to remove the row; the lists follow when it is `due`."""
        replace_version(self.current, key, version)
        self.seen.put(key, version, due)
        self.stale.put(key, version, due + MINUTE)


class Account:
    """The state of an account that began as `world`; its rows are those of the API."""

    # pylint: disable=too-many-public-methods

    def __init__(self, world: World, habits: Habits):
        self.world, self.habits = world, habits
        self.tables = {name: list(rows) for name, rows in world.tables.items()}
        self.children = {
            name: {parent: list(rows) for parent, rows in family.items()}
            for name, family in world.children.items()
        }
        self.members = {team: list(users) for team, users in world.members.items()}
        self.ratings = list(world.ratings)
        self._conversations = Shelf({key: plan.modified for key, plan in world.plans.items()})
        self._customers = Shelf({key: times[-1] for key, times in world.customer_times.items()})
        self._merged: dict[int, int] = {}
        self._next_id = 990_000_000
        self._lock = threading.RLock()

    def now(self) -> datetime:
        return datetime.now(timezone.utc) + timedelta(seconds=self.habits.clock_offset)

    # -- rows as they are now ---------------------------------------------------------------------

    def conversation(self, key: int) -> Row:
        """The row as it is now, whatever the lists show."""
        return self._conversation_row(key, self._conversations.current[key])

    def threads(self, key: int) -> list[Row]:
        """All threads as they are now, newest first."""
        return self._thread_rows(key, self._conversations.current[key])

    def customer(self, key: int) -> Row:
        return self._customer_row(key, self._customers.current[key])

    def modified(self, key: int) -> datetime:
        """The modification date of a conversation, which its row has only by a habit."""
        return self._conversations.current[key].modified

    @property
    def conversation_ids(self) -> list[int]:
        return list(self._conversations.current)

    @property
    def customer_ids(self) -> list[int]:
        return list(self._customers.current)

    # -- edits ------------------------------------------------------------------------------------

    def touch(self, conversation_id: int, at: datetime | None = None, **changes: Any) -> None:
        """Modify a conversation; visible dates move only by `changes`, where `...` drops a key."""
        with self._lock:
            old = self._conversations.current[conversation_id]
            row = changed(self._stored_row(conversation_id, old), changes) if changes else old.row
            new = old._replace(modified=self._second(at), row=row)
            self._put(self._conversations, conversation_id, new)

    def bulk_touch(self, conversation_ids: Iterable[int], at: datetime | None = None) -> None:
        """Modify many conversations in one and the same second."""
        with self._lock:
            at = self._second(at)
            for conversation_id in conversation_ids:
                self.touch(conversation_id, at)

    def touch_customer(self, customer_id: int, at: datetime | None = None, **changes: Any) -> None:
        with self._lock:
            at = self._second(at)
            row = changed(self.customer(customer_id), {"updatedAt": stamp(at), **changes})
            self._put(self._customers, customer_id, Version(at, row))

    def touch_row(self, stream: str, row_id: int, **changes: Any) -> None:
        """Modify a row of a table, or one that belongs to a mailbox, now; `...` removes a key."""
        date = CHANGE_DATES.get(stream, "updatedAt")
        with self._lock:
            for rows in self.children.get(stream, {0: self.tables.get(stream, [])}).values():
                for i, row in enumerate(rows):
                    if row["id"] == row_id:
                        dated = {date: stamp(self.now()), **changes} if date else changes
                        rows[i] = changed(row, dated)
                        return
        raise KeyError(row_id)

    def add_conversation(self, at: datetime | None = None, threads: int = 1, **fields: Any) -> int:
        """Begin a conversation with so many threads, the last of them at `at`; gives its id."""
        with self._lock:
            at = self._second(at)
            plan = self._plan(self._new_id(), at, threads, fields)
            row = changed(self.world.conversation(plan), fields)
            self._put(self._conversations, plan.id, Version(at, row, self.world.threads(plan)))
            return plan.id

    def add_thread(self, conversation_id: int, at: datetime | None = None, **fields: Any) -> Row:
        """Add a thread, the customer's unless `type` says else, and so modify its conversation."""
        with self._lock:
            at = self._second(at)
            thread = self.world.threads(self._plan(conversation_id, at, 1, {}))[0]
            if fields.get("type") == "lineitem":
                fields = {**dict.fromkeys(NOT_IN_LINE_ITEMS, ...), **fields}
            thread = changed(thread, {"id": self._new_id(), **fields})
            self._put_threads(conversation_id, at, [thread, *self.threads(conversation_id)])
            return thread

    def edit_thread(self, conversation_id: int, thread_id: int, **changes: Any) -> None:
        """Change a thread as opening it does: the conversation is not modified."""
        with self._lock:
            old = self._conversations.current[conversation_id]
            threads = [
                changed(thread, changes) if thread["id"] == thread_id else thread
                for thread in self.threads(conversation_id)
            ]
            self._put_threads(conversation_id, old.modified, threads)

    def delete_thread(
        self, conversation_id: int, thread_id: int, at: datetime | None = None
    ) -> None:
        """Remove a thread, and so modify its conversation."""
        with self._lock:
            threads = self.threads(conversation_id)
            kept = [thread for thread in threads if thread["id"] != thread_id]
            if len(kept) == len(threads):
                raise KeyError(thread_id)
            self._put_threads(conversation_id, self._second(at), kept)

    def delete(self, conversation_id: int) -> None:
        with self._lock:
            self._put(self._conversations, conversation_id, None)

    def merge(self, conversation_id: int, into: int) -> None:
        """Let one conversation vanish into another, which is thereby modified."""
        with self._lock:
            self._put(self._conversations, conversation_id, None)
            self._merged[conversation_id] = into
            self.touch(into)

    def _put_threads(self, conversation_id: int, at: datetime, threads: list[Row]) -> None:
        """Give a conversation these threads; its count moves by as many as were added or left."""
        old = self._conversations.current[conversation_id]
        row = self._stored_row(conversation_id, old)
        added = sum(map(counts, threads)) - sum(map(counts, self.threads(conversation_id)))
        row = {**row, "threads": row["threads"] + added}
        self._put(self._conversations, conversation_id, Version(at, row, threads))

    def _put(self, shelf: Shelf, key: int, version: Version | None) -> None:
        shelf.put(key, version, self.now() + timedelta(seconds=self.habits.index_lag))

    def _second(self, at: datetime | None) -> datetime:
        return (at or self.now()).replace(microsecond=0)

    def _new_id(self) -> int:
        self._next_id += 1
        return self._next_id

    @staticmethod
    def _plan(key: int, at: datetime, length: int, fields: Row) -> Plan:
        return Plan(
            id=key,
            number=key,
            type=fields.get("type", "email"),
            status=fields.get("status", "active"),
            created=at - timedelta(minutes=length - 1),
            last=at,
            modified=at,
            length=length,
            rated=False,
            dateless=False,
        )

    # -- rows of a version ------------------------------------------------------------------------

    def _stored_row(self, key: int, version: Version) -> Row:
        return version.row or self.world.conversation(self.world.plans[key])

    def _conversation_row(self, key: int, version: Version) -> Row:
        row = self._stored_row(key, version)
        if self.habits.shows_modified_at:
            return {**row, "modifiedAt": stamp(version.modified)}
        return row

    def _thread_rows(self, key: int, version: Version) -> list[Row]:
        if version.threads is None:
            return self.world.threads(self.world.plans[key])
        return version.threads

    def _customer_row(self, key: int, version: Version) -> Row:
        return version.row or self.world.customer(key)

    # -- what the app's user sees -----------------------------------------------------------------

    def _sees(self, mailbox_id: int | None) -> bool:
        visible = self.habits.visible_mailboxes
        return visible is None or mailbox_id in visible

    def _sees_conversation(self, key: int | None) -> bool:
        if self.habits.visible_mailboxes is None:
            return True
        return self._sees(self._mailbox_of_conversation(key))

    def _mailbox_of_conversation(self, key: int | None) -> int | None:
        """The mailbox of a conversation, also of one that was deleted, without making its row."""
        version = self._conversations.current.get(key)
        if version and version.row:
            return version.row.get("mailboxId")
        plan = self.world.plans.get(key)
        return self.world.mailbox_id(plan) if plan else None

    def _mailboxes_of_customers(self) -> dict[int, set[int | None]]:
        """Those of their conversations, or one that the id chooses."""
        found: dict[int, set[int | None]] = {}
        for key, version in self._conversations.current.items():
            if version.row:
                customer = (version.row.get("primaryCustomer") or {}).get("id")
            else:
                customer = self.world.customer_id(self.world.plans[key])
            found.setdefault(customer, set()).add(self._mailbox_of_conversation(key))
        mailboxes = [mailbox.get("id") for mailbox in self.tables["mailboxes"]]
        for key in self.customer_ids:
            if key not in found and mailboxes:
                found[key] = {mailboxes[key // 2 % len(mailboxes)]}
        return found

    def _visible_rows(self, table: str) -> list[Row]:
        mailbox = {"mailboxes": "id", "workflows": "mailboxId"}.get(table)
        return [row for row in self.tables[table] if not mailbox or self._sees(row.get(mailbox))]

    def _visible_children(self, name: str) -> list[tuple[int, Row]]:
        """Pairs (mailbox id, row)."""
        return [
            (mailbox, row)
            for mailbox, rows in self.children[name].items()
            if self._sees(mailbox)
            for row in rows
        ]

    def _visible_ratings(self) -> list[Row]:
        return [row for row in self.ratings if self._sees_conversation(row.get("id"))]

    # -- the truth --------------------------------------------------------------------------------

    def truth(self) -> dict[str, list[Any]]:
        """Stream → the API's rows that a complete sync brings; children as (parent id, row)."""
        with self._lock:
            visible = [key for key in self.conversation_ids if self._sees_conversation(key)]
            return {
                "conversations": [self.conversation(key) for key in visible],
                "conversation_threads": [
                    (key, row) for key in visible for row in self.threads(key)
                ],
                "customers": [self.customer(key) for key in self.customer_ids],
                **self._small_truth(),
            }

    def truth_counts(self) -> dict[str, int]:
        """How many rows `truth` has of each stream, without making them."""
        with self._lock:
            visible = [key for key in self.conversation_ids if self._sees_conversation(key)]
            return {
                "conversations": len(visible),
                "conversation_threads": sum(map(self._thread_count, visible)),
                "customers": len(self.customer_ids),
                **{name: len(rows) for name, rows in self._small_truth().items()},
            }

    def truth_more(self) -> dict[str, list[Any]]:
        """As `truth`, of the streams that are not selected by default; company_report left out.

        Organizations and saved replies are as the requests by id show them.
        """
        tables = (
            "tags",
            "organization_properties",
            "customer_properties",
            "user_statuses",
            "system_users",
            "webhooks",
        )
        with self._lock:
            return {
                **{name: list(self.tables[name]) for name in tables},
                "organizations": [
                    changed(row, dict.fromkeys(HIDDEN, ...)) for row in self.tables["organizations"]
                ],
                **{
                    name: self._visible_children(name)
                    for name in ("saved_replies", "mailbox_routing")
                },
            }

    def _thread_count(self, key: int) -> int:
        threads = self._conversations.current[key].threads
        return self.world.plans[key].length if threads is None else len(threads)

    def _small_truth(self) -> dict[str, list[Any]]:
        """The part of the truth that an account of any size has little of."""
        users = {user["id"]: user for user in self.tables["users"]}
        tables = ("mailboxes", "users", "workflows", "teams")
        return {
            **{name: self._visible_rows(name) for name in tables},
            **{
                name: self._visible_children(name) for name in ("mailbox_fields", "mailbox_folders")
            },
            "happiness_ratings_report": self._visible_ratings(),
            "team_members": [
                (team, users[user]) for team, members in self.members.items() for user in members
            ],
        }


def changed(row: Row, changes: Row) -> Row:
    """The row with these changes; `...` drops a key."""
    return {key: value for key, value in {**row, **changes}.items() if value is not ...}


def replace_version(versions: dict[int, Version], key: int, version: Version | None) -> None:
    if version:
        versions[key] = version
    else:
        versions.pop(key, None)
