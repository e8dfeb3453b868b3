"""The views of examples/postgres/reports.sql, against figures computed from the account itself."""

import os
import re
import subprocess
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta, timezone, tzinfo
from decimal import ROUND_HALF_UP, Decimal
from functools import cached_property
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from tests.fake import FakeHelpScout, stamp
from tests.integration.conftest import ROOT, Pipe, Postgres, installed, run
from tests.readme import blocks, code, section, table

Row = dict[str, Any]
REPORTS = str(ROOT / "examples" / "postgres" / "reports.sql")
SQL = Path(REPORTS).read_text(encoding="utf-8")
QUESTIONS = section("Questions it answers")
UTC = timezone.utc
ELSEWHERE = "America/New_York"
INBOX_TAKEN_AWAY = 7003
LEVELS = ("great", "okay", "not_good")
# The columns that the views read of each table.
NEEDED = {
    "conversations": "id, mailbox_id, status, state, created_at, closed_at, updated_at",
    "conversation_threads": (
        "id, conversation_id, type, status, state, created_at, created_by, action, source, rating"
    ),
    "mailboxes": "id, name",
}
VIEWS = (
    "SELECT viewname FROM pg_views WHERE schemaname = '{}' "
    "AND viewname NOT IN ('conversations', 'conversation_threads', 'mailboxes')"
)


# -- The account: what the demonstration has, and what happened in it between the syncs ------------


class Desk:
    """What users and customers do in the fake account, at so many days and minutes before now."""

    def __init__(self, fake: FakeHelpScout) -> None:
        self.fake = fake
        self.users = [
            {"id": user["id"], "type": "user", "first": user["firstName"], "last": user["lastName"]}
            for user in fake.tables["users"]
        ]

    def ago(self, days: int, minutes: int = 0) -> datetime:
        now: datetime = self.fake.world.now
        return now - timedelta(days=days) + timedelta(minutes=minutes)

    def night(self, days: int) -> datetime:
        """A time that falls on the day before west of Greenwich."""
        return self.ago(days).replace(hour=2)

    def begin(self, days: int, **fields: Any) -> int:
        """A conversation that its customer begins."""
        at = self.ago(days)
        return self.fake.add_conversation(
            at, createdAt=stamp(at), userUpdatedAt=stamp(at), **fields
        )

    def write(self, key: int, days: int, minutes: int = 0, **fields: Any) -> None:
        """A thread, the customer's unless `type` says else."""
        if fields.get("type", "customer") != "customer":
            fields.setdefault("createdBy", self.users[key % len(self.users)])
        fields.setdefault("status", "nochange")
        self.fake.add_thread(key, createdAt=stamp(self.ago(days, minutes)), **fields)

    def reply(self, key: int, days: int, minutes: int = 0, **fields: Any) -> None:
        self.write(key, days, minutes, type="message", **fields)

    def call(self, key: int, days: int, **fields: Any) -> None:
        """A call that a user writes down."""
        self.write(key, days, type="phone", **fields)

    def mark(self, key: int, days: int, status: str) -> None:
        """A line item that says that a user changed the status."""
        action = {"type": "changed-ticket-status", "text": f"You marked as {status}"}
        self.write(key, days, type="lineitem", status=status, action=action)


def reopen(desk: Desk) -> None:
    fake = desk.fake
    again = desk.begin(30, status="closed", closedAt=stamp(desk.ago(18)))
    desk.reply(again, 29)
    desk.mark(again, 29, "closed")
    desk.write(again, 20)
    desk.reply(again, 19)
    desk.mark(again, 18, "closed")

    by_customer = desk.begin(40, status="active", closedAt=stamp(desk.ago(39)))
    desk.mark(by_customer, 39, "closed")
    desk.write(by_customer, 35)

    by_user = desk.begin(50, status="active", closedAt=stamp(desk.ago(45)))
    fake.touch(by_user, userUpdatedAt=stamp(desk.ago(43)))

    closed_by_reply = desk.begin(28, status="closed", closedAt=stamp(desk.ago(10)))
    desk.reply(closed_by_reply, 24, status="closed")
    desk.write(closed_by_reply, 17)
    desk.reply(closed_by_reply, 9)

    closed_by_note = desk.begin(27, status="pending", closedAt=...)
    desk.write(closed_by_note, 25, type="note", status="closed")
    desk.mark(closed_by_note, 23, "pending")
    desk.mark(closed_by_note, 22, "spam")
    desk.mark(closed_by_note, 21, "active")

    undated = desk.begin(26, status="closed", closedAt=...)
    desk.reply(undated, 25)
    desk.mark(undated, 24, "closed")
    desk.write(undated, 24, type="note")
    desk.write(undated, 22, status="closed")
    unknown = desk.begin(33, status="closed", closedAt=...)
    fake.touch(unknown, userUpdatedAt=stamp(desk.ago(31)))

    thanked = desk.begin(36, status="closed", closedAt=stamp(desk.ago(34)))
    desk.mark(thanked, 34, "closed")
    desk.write(thanked, 32)
    desk.mark(thanked, 30, "active")
    fake.touch(thanked, userUpdatedAt=stamp(desk.ago(28)))

    closed_before_it_began = desk.begin(34, status="closed", closedAt=stamp(desk.ago(35)))
    desk.mark(closed_before_it_began, 33, "closed")
    fake.touch(closed_before_it_began, userUpdatedAt=stamp(desk.ago(31)))

    never_begun = desk.begin(29, status="closed", closedAt=stamp(desk.ago(27)))
    fake.touch(never_begun, createdAt=...)

    in_no_inbox = desk.begin(25, status="active")
    fake.touch(in_no_inbox, mailboxId=...)


def log_calls(desk: Desk) -> None:
    """Calls that were written down with a status, and one without."""
    key = desk.begin(48, status="closed", closedAt=stamp(desk.ago(40)))
    desk.mark(key, 47, "closed")
    desk.call(key, 46)
    desk.call(key, 45, status="closed")
    desk.call(key, 43, status="active")
    desk.call(key, 42, status="closed")
    desk.write(key, 41)
    desk.mark(key, 40, "closed")

    solved = desk.begin(37, type="phone", status="closed", closedAt=...)
    (thread,) = desk.fake.threads(solved)
    desk.fake.edit_thread(solved, thread["id"], status="closed", createdBy=desk.users[1])
    desk.fake.touch(solved, userUpdatedAt=stamp(desk.ago(35)))


def answer(desk: Desk) -> None:
    """Threads that are no replies, and then one that is."""
    key = desk.begin(14, status="active")
    desk.write(key, 14, 1, type="note")
    desk.reply(key, 14, 2, state="draft")
    desk.reply(key, 14, 3, state="hidden")
    desk.reply(key, 14, 4, createdBy={"id": 0, "type": "user", "first": "", "last": ""})
    desk.reply(key, 14, 5, createdBy={"id": 155_001, "type": "system_user", "first": "Lamp Agent"})
    desk.reply(key, 14, 6, action={"type": "automatic-workflow", "associatedEntities": {}})
    desk.reply(key, 14, 7, source={"type": "workflows", "via": "user"})
    desk.write(key, 14, 8, type="forwardchild")
    desk.reply(key, 14, 9, action={"type": "manual-workflow", "associatedEntities": {}})

    bare = desk.begin(14, status="active")
    desk.reply(bare, 13, action=..., source=...)

    begun_by_user = desk.begin(15, status="active", createdBy=desk.users[2])
    desk.fake.touch(begun_by_user, createdAt=stamp(desk.ago(16)))
    desk.reply(begun_by_user, 16)
    desk.reply(begun_by_user, 15, 30)

    same_second = desk.begin(13, status="active")
    desk.reply(same_second, 13, id=1, createdBy=desk.users[0])
    desk.reply(same_second, 13, id=2, createdBy=desk.users[1])

    chat = desk.begin(12, type="chat", status="closed", closedAt=stamp(desk.ago(12, 30)))
    customer = desk.fake.conversation(chat)["primaryCustomer"]
    desk.write(chat, 12, 1, type="chat", createdBy={**customer, "type": "customer"})
    desk.write(chat, 12, 2, type="chat")
    desk.write(chat, 12, 3, type="beaconchat")

    phone = desk.begin(11, type="phone", status="active")
    desk.call(phone, 9)
    desk.reply(phone, 8)


def begin_two(desk: Desk) -> tuple[int, int]:
    """Two conversations, the older one first, that will be merged after the next sync."""
    older, newer = desk.begin(21, status="active"), desk.begin(19, status="active")
    desk.mark(older, 20, "closed")
    desk.reply(newer, 18)
    return older, newer


def merge(desk: Desk, older: int, newer: int) -> None:
    """The older one into the newer one, with its threads."""
    moved = desk.fake.threads(older)
    desk.fake.merge(older, into=newer)
    for thread in moved:
        desk.fake.add_thread(newer, **thread)
    desk.write(newer, 17, type="lineitem", action={"type": "merged", "text": "Merged"})


def take_away(desk: Desk, key: int) -> dict[str, int]:
    """A conversation's reply, a rating and an inbox; gives the key of each table's row."""
    reply = next(thread for thread in desk.fake.threads(key) if thread["type"] == "message")
    desk.fake.delete_thread(key, reply["id"])
    rating = desk.fake.ratings.pop(5)
    return {
        "conversation_threads": reply["id"],
        "happiness_ratings_report": rating["threadid"],
        "mailboxes": INBOX_TAKEN_AWAY,
    }


def begin_inboxes(desk: Desk) -> None:
    """What is oldest in one inbox is a thread, older than its conversation; in another one it is a
    conversation without a published thread."""
    oldest = desk.night(1600)
    key = desk.begin(20, status="active", mailboxId=7002)
    desk.fake.add_thread(key, createdAt=stamp(oldest))
    key = desk.begin(1500, status="closed", closedAt=stamp(desk.ago(1499)), mailboxId=7003)
    (thread,) = desk.fake.threads(key)
    desk.fake.edit_thread(key, thread["id"], state="hidden")
    desk.fake.touch(key, createdAt=stamp(oldest))


def happen_last(desk: Desk) -> int:
    """The last that happens is a thread; gives its conversation. Without that one, it is a user's
    update, on a day after all else."""
    desk.fake.touch(desk.fake.conversation_ids[24], userUpdatedAt=stamp(desk.night(-1)))
    key = desk.begin(10, status="active")
    desk.fake.add_thread(key, type="lineitem", status="nochange", createdAt=stamp(desk.night(-2)))
    return key


def hide(desk: Desk) -> None:
    """Conversations that are not counted, and one that is in another inbox now."""
    fake = desk.fake
    spam, deleted, draft, moved = fake.conversation_ids[20:24]
    fake.touch(spam, status="spam")
    fake.touch(deleted, state="deleted")
    fake.touch(draft, state="draft")
    fake.touch(moved, mailboxId=7002)


def rate(desk: Desk, merged: int) -> None:
    """A message again, by its customer and by others; messages of conversations that are gone."""
    ratings = desk.fake.ratings
    first = next(row for row in ratings if row["ratingId"] == 1)

    def add(ago: datetime, **fields: Any) -> None:
        ratings.append({**first, "ratingCreatedAt": stamp(ago), **fields})

    add(desk.ago(0, -60), ratingId=3, ratingUserName="New")
    add(desk.ago(100), ratingId=0, ratingUserId=599, ratingCustomerId=1)
    add(desk.ago(90), ratingId=2, ratingUserId=598, ratingUserName="Colleague", ratingCustomerId=2)
    add(desk.ago(80), threadid=1, id=1)
    add(desk.ago(70), threadid=2, id=merged)

    first_of_the_month = stamp(desk.night(0).replace(day=1))
    rating = {"customerId": 1, "rating": "okay", "comments": None}
    desk.fake.add_thread(
        desk.begin(40, status="active"),
        type="message",
        status="nochange",
        createdAt=first_of_the_month,
        createdBy=desk.users[0],
        rating=rating,
    )


# -- The same figures, computed from the account --------------------------------------------------


def parsed(text: str) -> datetime:
    return datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)


def shown(when: datetime | None) -> str | None:
    """A datetime as PostgreSQL writes it in JSON."""
    return when.isoformat()[:19] if when else None


def seconds(begin: datetime | None, end: datetime | None) -> int | None:
    return int((end - begin).total_seconds()) if begin and end else None


@dataclass
class Thread:
    """A published thread of a conversation that is counted."""

    row: Row

    def __post_init__(self) -> None:
        self.at = parsed(self.row["createdAt"])
        self.author = self.row["createdBy"]
        self.status = None if self.row["status"] == "nochange" else self.row["status"]

    @property
    def is_customers(self) -> bool:
        kind = self.row["type"]
        return kind == "customer" or ("chat" in kind and self.author["type"] == "customer")

    @property
    def is_call(self) -> bool:
        return bool(self.row["type"] == "phone")

    @property
    def is_reply(self) -> bool:
        if self.row["type"] not in ("message", "chat", "beaconchat") or not self.author["id"]:
            return False
        automatic = (
            self.row.get("action", {}).get("type") == "automatic-workflow"
            or self.row.get("source", {}).get("type") == "workflows"
        )
        return self.author["type"] == "user" and not automatic

    @property
    def author_name(self) -> str:
        return f"{self.author['first']} {self.author['last']}"


class Conversation:
    """A conversation that is counted, with its published threads, oldest first."""

    def __init__(self, row: Row, threads: list[Row]) -> None:
        self.id, self.mailbox, self.status = row["id"], row.get("mailboxId"), row["status"]
        self.created, closed, *others = (
            parsed(text) if text else None
            for text in (
                row.get("createdAt"),
                row.get("closedAt"),
                row.get("userUpdatedAt"),
                (row.get("customerWaitingSince") or {}).get("time"),
            )
        )
        self.closed = None if self.created and closed and closed < self.created else closed
        known = [when for when in (self.created, closed, *others) if when]
        self.updated = max(known, default=datetime.min.replace(tzinfo=UTC))
        published = [Thread(thread) for thread in threads if thread["state"] == "published"]
        self.threads = sorted(published, key=lambda thread: (thread.at, thread.row["id"]))

    @property
    def replies(self) -> list[Thread]:
        return [thread for thread in self.threads if thread.is_reply]

    @property
    def customers(self) -> list[Thread]:
        return [thread for thread in self.threads if thread.is_customers or thread.is_call]

    @cached_property
    def history(self) -> list[tuple[datetime, bool]]:
        """(when, whether it is open from then on), oldest first; empty if it has no date."""
        if not self.created:
            return []
        history = [(self.created, 0, 0, True)]
        closed_since = self.closed if self.status == "closed" else None
        for thread in self.threads:
            if thread.at < self.created or (closed_since and thread.at > closed_since):
                continue
            if thread.is_customers:
                history.append((thread.at, 1, 0, True))
            elif thread.status:
                is_open = thread.status in ("active", "pending")
                history.append((thread.at, 2, thread.row["id"], is_open))
        if self.closed:
            history.append((self.closed, 3, 0, False))
        history.sort()
        last = max(self.updated, history[-1][0])
        return [(event[0], event[3]) for event in history] + [(last, self.status != "closed")]

    def closings(self) -> list[datetime]:
        """When it was open and was closed."""
        history = self.history
        return [
            when
            for (_, was_open), (when, is_open) in zip(history, history[1:], strict=False)
            if was_open and not is_open
        ]

    def is_open_at(self, when: datetime) -> bool:
        states = [is_open for at, is_open in self.history if at < when]
        return bool(states) and states[-1]


class Account:
    """The figures of every view, as lists of rows; days and hours are those of a time zone."""

    def __init__(self, truth: dict[str, Any], zone: tzinfo, has_report: bool) -> None:
        self._truth, self._zone, self._has_report = truth, zone, has_report
        threads: dict[int, list[Row]] = {}
        for key, thread in truth["conversation_threads"]:
            threads.setdefault(key, []).append(thread)
        self.conversations = [
            Conversation(row, threads[row["id"]])
            for row in truth["conversations"]
            if row["state"] == "published" and row["status"] != "spam"
        ]
        self._names = {row["id"]: row["name"] for row in truth["mailboxes"]}

    def _day(self, when: datetime) -> date:
        return when.astimezone(self._zone).date()

    def _inbox(self, mailbox: int | None) -> Row:
        return {"mailbox_id": mailbox, "mailbox": self._names.get(mailbox)}

    def first_reply_times(self) -> Iterator[Row]:
        for conversation in self.conversations:
            asked = min((thread.at for thread in conversation.customers), default=None)
            replies = [thread for thread in conversation.replies if asked and thread.at >= asked]
            first = replies[0] if replies else None
            yield {
                "conversation_id": conversation.id,
                **self._inbox(conversation.mailbox),
                "created_at": shown(conversation.created),
                "first_customer_at": shown(asked),
                "first_reply_at": first and shown(first.at),
                "seconds": seconds(asked, first and first.at),
                "replied_by_id": first and first.author["id"],
                "replied_by": first and first.author_name,
            }

    def resolution_times(self) -> Iterator[Row]:
        for conversation in self.conversations:
            if conversation.status != "closed":
                continue
            marked = [
                thread.at
                for thread in conversation.threads
                if thread.status == "closed" and not thread.is_customers
            ]
            closed = conversation.closed or max(marked, default=None)
            replies = conversation.replies
            yield {
                "conversation_id": conversation.id,
                **self._inbox(conversation.mailbox),
                "created_at": shown(conversation.created),
                "last_closed_at": shown(closed),
                "seconds": seconds(conversation.created, closed),
                "replies": len([reply for reply in replies if closed and reply.at <= closed]),
            }

    def _days(self) -> Iterator[tuple[date, int]]:
        """Each day of each inbox, from its first row to the last of all."""
        first: dict[int | None, datetime] = {}
        last = datetime.min.replace(tzinfo=UTC)
        for conversation in self.conversations:
            seen = [thread.at for thread in conversation.threads]
            seen += [conversation.created] if conversation.created else []
            inbox = conversation.mailbox
            first[inbox] = min(seen + [first[inbox]] if inbox in first else seen)
            last = max([last, conversation.updated, *seen])
        for mailbox, begin in first.items():
            if mailbox is None:
                continue
            for offset in range((self._day(last) - self._day(begin)).days + 1):
                yield self._day(begin) + timedelta(days=offset), mailbox

    def daily_volume(self) -> Iterator[Row]:
        new: Counter[tuple[date, int]] = Counter()
        replied: Counter[tuple[date, int]] = Counter()
        closed: Counter[tuple[date, int]] = Counter()
        for conversation in self.conversations:
            for counter, times in (
                (new, [conversation.created] if conversation.created else []),
                (replied, [reply.at for reply in conversation.replies]),
                (closed, conversation.closings()),
            ):
                counter.update((day, conversation.mailbox) for day in set(map(self._day, times)))
        for day, mailbox in self._days():
            yield {
                "day": day.isoformat(),
                **self._inbox(mailbox),
                "new_conversations": new[day, mailbox],
                "replied_conversations": replied[day, mailbox],
                "closed_conversations": closed[day, mailbox],
            }

    def backlog(self) -> Iterator[Row]:
        for day, mailbox in self._days():
            midnight = datetime.combine(day + timedelta(days=1), datetime.min.time(), self._zone)
            yield {
                "day": day.isoformat(),
                **self._inbox(mailbox),
                "open_conversations": sum(
                    conversation.is_open_at(midnight)
                    for conversation in self.conversations
                    if conversation.mailbox == mailbox
                ),
            }

    def _ratings(self) -> Iterator[tuple[datetime, int, int, str, int]]:
        """(when, conversation, user, user's name, level 1 to 3) of each rating that counts."""
        if self._has_report:
            last = {}
            for row in sorted(
                self._truth["happiness_ratings_report"], key=lambda row: row["ratingCreatedAt"]
            ):
                last[row["threadid"], row["ratingCustomerId"]] = row
            for row in last.values():
                when = parsed(row["ratingCreatedAt"])
                yield when, row["id"], row["ratingUserId"], row["ratingUserName"], row["ratingId"]
            return
        for key, row in self._truth["conversation_threads"]:
            if "rating" in row:
                thread = Thread(row)
                level = 1 + LEVELS.index(row["rating"]["rating"])
                yield thread.at, key, thread.author["id"], thread.author_name, level

    def happiness(self) -> Iterator[Row]:
        mailboxes = {row["id"]: row.get("mailboxId") for row in self._truth["conversations"]}
        counts: dict[tuple[date, int, int | None], Counter[int]] = {}
        names = {}
        for when, conversation, user, name, level in sorted(self._ratings()):
            names[user] = name
            if level in (1, 2, 3):
                group = self._day(when).replace(day=1), user, mailboxes.get(conversation)
                counts.setdefault(group, Counter())[level] += 1
        for (month, user, mailbox), levels in counts.items():
            score = Decimal(100 * (levels[1] - levels[3])) / levels.total()
            yield {
                "month": month.isoformat(),
                "user_id": user,
                "user_name": names[user],
                **self._inbox(mailbox),
                **{name: levels[level] for level, name in enumerate(LEVELS, 1)},
                "score": float(score.quantize(Decimal("0.01"), ROUND_HALF_UP)),
            }

    def busy_hours(self) -> Iterator[Row]:
        counts = Counter(
            (local.isoweekday(), local.hour)
            for conversation in self.conversations
            for local in (thread.at.astimezone(self._zone) for thread in conversation.customers)
        )
        for weekday in range(1, 8):
            for hour in range(24):
                yield {"weekday": weekday, "hour": hour, "customer_threads": counts[weekday, hour]}


# -- The database ---------------------------------------------------------------------------------


class Warehouse:
    """A PostgreSQL with the account in the schema `reports`."""

    sample = ""  # what the README's query brought before the edits
    stale: list[Row] = []  # of the conversation that was merged, before it was marked
    late = 0  # the conversation with the last thread
    truth: dict[str, Any] = {}

    def __init__(self, postgres: Postgres) -> None:
        self.rows = postgres.rows
        self.environ = {
            **os.environ,
            "PGHOST": "127.0.0.1",
            "PGPORT": str(postgres.port),
            "PGUSER": "helpscout",
            "PGDATABASE": "postgres",
            "PGCLIENTENCODING": "UTF8",
        }

    def psql(self, *arguments: str) -> str:
        return run("psql", "-X", *arguments, env=self.environ).stdout

    def install_as_the_readme_says(self) -> None:
        (install,) = blocks(QUESTIONS, "bash")
        command = install["text"].replace("schema=helpscout", "schema=reports")
        command = command.replace("YOUR_DATABASE", "postgres")
        run("bash", "-ec", command, cwd=ROOT, env=self.environ)

    def ask_as_the_readme_does(self) -> None:
        (query,) = blocks(QUESTIONS, "sql")
        self.sample = self.psql("-c", query["text"].replace("helpscout.", "reports."))

    def mark_as_deleted(self, merged: int, gone: dict[str, int]) -> None:
        """Does what the target does with rows that a full sync did not bring."""
        self.stale = self.rows(
            f"SELECT * FROM reports.first_reply_times WHERE conversation_id = {merged}"
        )
        for name, key in {"conversations": merged, **gone}.items():
            column = "thread_id" if name == "happiness_ratings_report" else "id"
            marked = f"UPDATE reports.{name} SET _sdc_deleted_at = now() WHERE {column} = {key}"
            self.psql("-qc", marked)

    def without_report(self) -> None:
        """The tables in another schema, but for the report."""
        self._show("without_report", dict.fromkeys(NEEDED, "*"))

    def abroad(self) -> None:
        """The tables in another schema, with no more than the views need: neither the report nor
        the target's marks, nor what is marked; and without the conversation with the last thread.
        """
        self._show("abroad", NEEDED, f"WHERE _sdc_deleted_at IS NULL AND id <> {self.late}")

    def _show(self, schema: str, columns: dict[str, str], where: str = "") -> None:
        self.psql("-qc", f"DROP SCHEMA IF EXISTS {schema} CASCADE; CREATE SCHEMA {schema}")
        for name, needed in columns.items():
            rows = f"SELECT {needed} FROM reports.{name} {where}"
            self.psql("-qc", f"CREATE VIEW {schema}.{name} AS {rows}")

    def truth_abroad(self) -> dict[str, Any]:
        left_out = {"conversations": self.late, "mailboxes": INBOX_TAKEN_AWAY}
        left = {
            name: [row for row in self.truth[name] if row["id"] != key]
            for name, key in left_out.items()
        }
        return {**self.truth, **left}


@pytest.fixture(name="target", scope="module")
def _target(account, postgres):
    """The target's command."""
    config = {
        "host": "127.0.0.1",
        "port": postgres.port,
        "user": "helpscout",
        "password": "unused",
        "database": "postgres",
        "default_target_schema": "reports",
    }
    program = installed("meltanolabs-target-postgres") / "target-postgres"
    return [program, "--config", account.file("target.json", config)]


@pytest.fixture(name="loaded", scope="module")
def _loaded(account, postgres, target):
    """The demonstration's account, its views as README.md installs them and what the README's
    query brings; then edits with two more syncs, and the views installed again."""
    warehouse, desk = Warehouse(postgres), Desk(account.fake)
    first = Pipe(account, target).ended_well()
    warehouse.install_as_the_readme_says()
    warehouse.ask_as_the_readme_does()

    reopen(desk)
    log_calls(desk)
    answer(desk)
    begin_inboxes(desk)
    hide(desk)
    older, newer = begin_two(desk)
    rate(desk, older)
    replied = desk.begin(8, status="active")
    desk.reply(replied, 7, rating={"customerId": 1, "rating": "great", "comments": None})
    warehouse.late = happen_last(desk)
    second = Pipe(account, target, state=first.state).ended_well()
    merged = account.fake.conversation(older)
    merge(desk, older, newer)
    gone = take_away(desk, replied)
    Pipe(account, target, state=second.state).ended_well()

    warehouse.truth = account.fake.truth()
    warehouse.truth["conversations"].append({**merged, "state": "deleted"})
    warehouse.psql("-v", "schema=reports", "-f", REPORTS)
    warehouse.mark_as_deleted(older, gone)
    return warehouse


@pytest.fixture(name="figures", scope="module", params=["reports", "without_report", "abroad"])
def _figures(loaded, request):
    """(schema, Account)."""
    if request.param == "reports":
        return "reports", Account(loaded.truth, UTC, has_report=True)
    if request.param == "abroad":
        loaded.abroad()
        truth = loaded.truth_abroad()
    else:
        loaded.without_report()
        truth = loaded.truth
    settings = ["-v", f"schema={request.param}", "-v", f"timezone={ELSEWHERE}"]
    loaded.psql(*settings, "-f", REPORTS)
    return request.param, Account(truth, ZoneInfo(ELSEWHERE), has_report=False)


def in_order(rows: list[Row]) -> list[Row]:
    return sorted(rows, key=lambda row: [str(value) for value in row.values()])


@pytest.mark.parametrize(
    "view",
    [
        "first_reply_times",
        "resolution_times",
        "daily_volume",
        "backlog",
        "happiness",
        "busy_hours",
    ],
)
def test_a_view_says_what_the_account_says(loaded, figures, view):
    schema, account = figures
    expected = in_order(list(getattr(account, view)()))
    found = in_order(loaded.rows(f"SELECT * FROM {schema}.{view}"))
    assert [(a, b) for a, b in zip(found, expected, strict=False) if a != b][:5] == []
    assert len(found) == len(expected) > 0


def test_the_readme_shows_what_its_query_brings_on_the_demonstrations_account(loaded):
    (shown_there,) = blocks(QUESTIONS, "text")
    lines = [line.rstrip() for line in loaded.sample.strip("\n").splitlines()]
    assert lines == shown_there["text"].splitlines()


def test_the_readme_lists_the_views(loaded):
    listed = [code(row[0])[0] for row in table("View")]
    made = loaded.rows(
        "SELECT table_name FROM information_schema.views WHERE table_schema = 'reports' "
        "AND table_name NOT LIKE 'reported%'"
    )
    assert sorted(listed) == sorted(row["table_name"] for row in made)


def test_a_conversation_that_was_merged_is_counted_until_it_is_marked(loaded):
    assert [row["first_customer_at"] for row in loaded.stale] == [None], "its threads have moved"
    (gone,) = (row["conversation_id"] for row in loaded.stale)
    left = f"SELECT * FROM reports.first_reply_times WHERE conversation_id = {gone}"
    assert loaded.rows(left) == []


def test_an_inbox_that_was_marked_keeps_its_name(loaded):
    names = f"SELECT DISTINCT mailbox FROM reports.backlog WHERE mailbox_id = {INBOX_TAKEN_AWAY}"
    assert loaded.rows(names) == [{"mailbox": "Workshop"}]


@pytest.mark.parametrize("schema, why", [("empty", "conversations"), ("abroad", "no/zone")])
def test_what_cannot_be_installed_leaves_everything_as_it_was(loaded, schema, why):
    loaded.abroad()
    settings = [f"schema={schema}", f"timezone={'UTC' if why == 'conversations' else why}"]
    arguments = [part for setting in settings for part in ("-v", setting)]
    done = subprocess.run(
        ["psql", "-X", *arguments, "-f", REPORTS],
        env=loaded.environ,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode and why in done.stderr
    assert loaded.rows(VIEWS.format(schema)) == []


def test_the_views_can_be_removed_as_the_file_says(loaded):
    loaded.abroad()
    loaded.psql("-v", "schema=abroad", "-f", REPORTS)
    (remove,) = re.findall(r"^--     (DROP VIEW .+?;)$", SQL, re.DOTALL | re.MULTILINE)
    loaded.psql("-c", "SET search_path TO abroad", "-c", remove.replace("\n--", "\n"))
    assert loaded.rows(VIEWS.format("abroad")) == []
