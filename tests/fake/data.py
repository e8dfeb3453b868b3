"""A made-up Help Scout account: the same numbers give the same account, to the last comma.

Conversations, threads and customers are made when asked for, each from its own seed, so that an
account of 50,000 conversations is there in a second and costs little memory; those made last are
kept. A `World` never changes: the server that shows it keeps the edits. Dates are aware UTC
datetimes of whole seconds; `stamp` writes them as the API does.
"""

import random
from datetime import datetime, timedelta, timezone
from functools import cached_property, lru_cache
from typing import NamedTuple

API = "https://api.helpscout.net/v2"
YEARS = timedelta(days=4 * 365)
QUIET = timedelta(days=1)  # nothing changes that shortly before the world's `now`
BURST = 60  # conversations that a bulk edit changed in one second
LONGEST = 60  # threads in a conversation
KEPT = 300  # conversations whose rows are kept: all of a small account
SURE = {7: ("email", LONGEST), 13: ("chat", 9)}  # by position: what each seed must have

FIRST = (
    "Ada",
    "Bruno",
    "Chidi",
    "Dagny",
    "Emil",
    "Farah",
    "Goran",
    "Hana",
    "Ines",
    "Joon",
    "Kofi",
    "Lena",
    "Mateo",
    "Nils",
    "Olga",
    "Priya",
    "Rosa",
    "Tariq",
)
LAST = (
    "Abara",
    "Blåbær",
    "Castañeda",
    "Dvořák",
    "Eriksen",
    "Fontaine",
    "Ğüneş",
    "Jensen",
    "Kowalska",
    "Łuczak",
    "Müller",
    "Nakamura",
    "O'Hara",
    "Петрова",
    "山田",
    "Quispe",
)
DOMAINS = ("quillpost.example", "northmill.example", "bakery-lindqvist.example", "fern.example")
SUBJECTS = (
    "Parcel arrived without the lid",
    "Two invoices for March",
    "Kann ich die Größe tauschen?",
    None,
    "Password link expired",
    "Re: your offer for 40 lamps",
    "",
    "Délai de livraison",
    "送料について",
    "Sync stopped after the update \U0001f422",
    "Can't find the receipt",
    "Line one\u2028line two",
)
SENTENCES = (
    "The box came yesterday and one hinge is bent.",
    "We have sent a new one by courier.",
    "Merci d'avance !",
    "Could you check the serial number under the foot?",
    'It says "not found" & then <nothing>.',
    "I tried it on both laptops, same thing.",
    "Das Paket liegt noch im Depot.",
    "Thanks a lot \U0001f389\U0001f64f",
    "Copied from the form:\u2028name, street, town",
    "Der Preis war 12,50 €, nicht 15,00 €.",
    "はい、お願いします。",
    "The refund takes five working days.",
    "I will ask the workshop and write again on Monday.",
    "No hurry at all.",
    "Tab\there, backslash \\ there.",
    "See the attached picture, please.",
)
COLORS = ("#3b7a57", "#b04632", "#4a6fa5", "#c9a227")
SOURCES = tuple(
    {"type": kind, "via": via}
    for kind, via in (
        ("email", "customer"),
        ("web", "user"),
        ("beacon", "customer"),
        ("api", "customer"),
        ("mobile", "user"),
    )
)
ENTITIES = ({}, {"user": 501}, {"oldMailboxId": 7001, "Order_No": "A-17"})
RATINGS = ("great", "okay", "not_good")  # in the report: 1, 2, 3
UNCOUNTED = ("draft", "hidden")
ORGANIZATION_PROPERTIES = [
    {"type": "number", "slug": "annual-revenue", "name": "Annual Revenue"},
    {
        "type": "dropdown",
        "slug": "industry",
        "name": "Industry",
        "options": [{"label": "Hotels"}, {"label": "Offices"}],
    },
    {"type": "date", "slug": "founded-date", "name": "Founded Date"},
]
CUSTOMER_PROPERTIES = [
    {
        "type": "dropdown",
        "slug": "tier",
        "name": "Tier",
        "options": [{"id": "t-1", "label": "Silver"}, {"id": "t-2", "label": "Gold"}],
    },
    {"type": "text", "slug": "lamp", "name": "Favourite lamp"},
    {"type": "url", "slug": "shop", "name": "Shop"},
]
SAVED_REPLIES = {  # by mailbox; one without a text is for chats only
    7001: [
        {"id": 61, "name": "Thanks", "text": "<p>Thank you for the picture.</p>", "chatText": ""},
        {"id": 62, "name": "Hello", "text": "", "chatText": "Hello! What can I do for you?"},
    ],
    7002: [
        {
            "id": 63,
            "name": "Größe",
            "text": "Which size do you have?<br /><br />It is under the foot.",
            "chatText": "Which size do you have? \n\nIt is under the foot.",
        }
    ],
    7003: [],
}


class Plan(NamedTuple):
    """What is settled about a conversation before its row is made; `modified` never shows in it."""

    id: int
    number: int
    type: str
    status: str
    created: datetime
    last: datetime  # of its threads
    modified: datetime
    length: int  # of all its threads, whatever their type and state
    rated: bool
    dateless: bool


def stamp(moment):
    return moment.isoformat()[:19] + "Z"


def counts(thread):
    """Whether the `threads` number of a conversation includes it."""
    return thread["type"] != "lineitem" and thread["state"] == "published"


def build(conversations=200, customers=None, seed=1, now=None, span=YEARS):
    """An account as of `now`; changes lie up to `span` back and grow denser towards it."""
    now = (now or datetime.now(timezone.utc)).replace(microsecond=0)
    customers = max(120, conversations // 2) if customers is None else customers
    rng = random.Random(seed)
    times = sorted(
        (_times(rng, now, span) for _ in range(conversations)), key=lambda times: times[0]
    )
    if conversations >= 200:
        burst = now - timedelta(days=40)
        settled = [i for i, (_, last, _) in enumerate(times) if last < burst]
        for i in rng.sample(settled, min(BURST, len(settled))):
            times[i] = (*times[i][:2], burst)
    rated_share = max(0.05, min(1, 300 / max(conversations, 1)))
    plans = [_plan(rng, i, *times[i], rated_share) for i in range(conversations)]
    return World(
        seed, now, plans, {310_000 + i * 2: _times(rng, now, span) for i in range(customers)}
    )


def _plan(rng, i, created, last, modified, rated_share):
    kind = rng.choices(("email", "chat", "phone"), (92, 5, 3))[0]
    spread = rng.expovariate(0.3) if rng.random() < 0.96 else rng.uniform(15, LONGEST)
    kind, length = SURE.get(i, (kind, min(LONGEST, 1 + int(spread))))
    return Plan(
        id=2_100_000 + i * 3,
        number=1000 + i,
        type=kind,
        status=rng.choices(("closed", "active", "pending", "spam"), (70, 17, 9, 4))[0],
        created=created,
        last=last,
        modified=modified,
        length=length,
        rated=rng.random() < rated_share,
        dateless=i == 11,
    )


def _times(rng, now, span):
    """When something began, was last heard of, and was last modified."""
    modified = now - QUIET - timedelta(seconds=60 + int(span.total_seconds() * rng.random() ** 3))
    last = modified - timedelta(
        seconds=int(rng.expovariate(1 / 90_000)) if rng.random() < 0.5 else 0
    )
    return last - timedelta(seconds=120 + int(rng.expovariate(1 / 500_000))), last, modified


class World:
    """An account that nobody edits: rows in `tables` and `children`, or made from `plans` by id."""

    def __init__(self, seed, now, plans, customer_times):
        self.seed, self.now = seed, now
        self.plans = {plan.id: plan for plan in plans}
        self.customer_times = customer_times
        self._customer_ids = list(customer_times)
        self.tables = {
            "mailboxes": self._mailboxes(),
            "users": self._users(),
            "tags": self._tags(),
            "teams": self._teams(),
            "workflows": self._workflows(),
            "system_users": self._system_users(),
            "organizations": self._organizations(),
            "organization_properties": ORGANIZATION_PROPERTIES,
            "customer_properties": CUSTOMER_PROPERTIES,
            "user_statuses": self._user_statuses(),
            "webhooks": self._webhooks(),
        }
        self.members = {801: [501, 502, 503], 802: [503, 504, 505, 506], 803: []}
        self.children = {
            "mailbox_fields": self._fields(),
            "mailbox_folders": self._folders(),
            "saved_replies": SAVED_REPLIES,
            "mailbox_routing": self._routing(),
        }
        self.conversation = lru_cache(KEPT)(self._conversation)
        self.threads = lru_cache(KEPT)(self._threads)
        self.customer = lru_cache(KEPT)(self._customer)
        self._assignees = [
            {
                "id": user["id"],
                "type": "user",
                "first": user["firstName"],
                "last": user["lastName"],
                "email": user["email"],
            }
            for user in self.tables["users"]
        ]
        self._staff = [
            {**one, "photoUrl": f"https://photos.example/{one['id']}.png"}
            for one in self._assignees
        ]
        self._assignees.append(
            {"id": 801, "type": "team", "first": "First Line", "last": "", "email": ""}
        )

    # -- made when asked for ---------------------------------------------------------------------

    def mailbox_id(self, plan):
        return self.tables["mailboxes"][plan.number % 3]["id"]

    def customer_id(self, plan):
        """That of the primary customer, 0 in an account without any."""
        if not self._customer_ids:
            return 0
        return self._customer_ids[plan.number * 31 % len(self._customer_ids)]

    def _conversation(self, plan):
        key = plan.id
        rng = random.Random(self.seed * 7_919 + key)
        outline = self._outline(plan)[0]
        mailbox = self.mailbox_id(plan)
        customer = self._person(plan)
        by_staff = rng.random() < 0.15
        row = {
            "id": key,
            "number": plan.number,
            "type": plan.type,
            "status": plan.status,
            "state": "published",
            "threads": sum(kind != "lineitem" and state == "published" for kind, state in outline),
            "folderId": rng.choice(self.children["mailbox_folders"][mailbox])["id"],
            "mailboxId": mailbox,
            "subject": rng.choice(SUBJECTS),
            "preview": rng.choice(SENTENCES),
            "createdBy": rng.choice(self._staff) if by_staff else {**customer, "type": "customer"},
            "createdAt": stamp(plan.created),
            "closedBy": 0,
            "userUpdatedAt": stamp(plan.last),
            "customerWaitingSince": {},
            "source": SOURCES[1] if by_staff else rng.choice(SOURCES),
            "tags": [
                {"id": tag["id"], "color": tag["color"], "tag": tag["name"]}
                for tag in rng.sample(self.tables["tags"], rng.choice((0, 0, 1, 3)))
            ],
            "cc": [f"cc{key}@{DOMAINS[0]}"] if rng.random() < 0.2 else [],
            "bcc": [],
            "primaryCustomer": {**customer, "type": "customer"},
            "customFields": [
                self._value(field, rng)
                for field in self.children["mailbox_fields"][mailbox]
                if rng.random() < 0.6
            ],
            "_embedded": {"threads": []},
            "_links": {
                "self": {"href": f"{API}/conversations/{key}"},
                "mailbox": {"href": f"{API}/mailboxes/{mailbox}"},
                "threads": {"href": f"{API}/conversations/{key}/threads"},
                "web": {"href": f"https://secure.helpscout.net/conversation/{key}"},
            },
        }
        if rng.random() < 0.7:
            row["assignee"] = rng.choice(self._assignees)
        if plan.status == "closed":
            closer = rng.choice(self._staff)
            row.update(closedBy=closer["id"], closedByUser=closer, closedAt=stamp(plan.last))
        elif rng.random() < 0.5:
            row["closedByUser"] = {**dict.fromkeys(self._staff[0], ""), "id": 0, "type": "user"}
        if plan.status in ("active", "pending"):
            waiting = row["customerWaitingSince"] = {
                "time": stamp(plan.last),
                "friendly": f"{(self.now - plan.last).days} days ago",
            }
            if rng.random() < 0.4:
                waiting["latestReplyFrom"] = "customer"
            if rng.random() < 0.25:
                later = stamp(self.now + timedelta(days=3))
                row["snooze"] = {
                    "snoozedBy": 502,
                    "snoozedUntil": later,
                    "unsnoozeOnCustomerReply": True,
                }
                row["nextEvent"] = {
                    "time": later,
                    "eventType": "snooze",
                    "userId": 502,
                    "cancelOnCustomerReply": True,
                }
        if plan.dateless:
            for date in ("createdAt", "closedAt", "userUpdatedAt", "customerWaitingSince"):
                row.pop(date, None)
        return row

    def _threads(self, plan):
        """Newest first, as the API lists them."""
        outline, rng = self._outline(plan)
        span = (plan.last - plan.created).total_seconds() / max(plan.length - 1, 1)
        return [
            self._thread(plan, (i, *drawn), plan.created + timedelta(seconds=int(i * span)), rng)
            for i, drawn in enumerate(outline)
        ][::-1]

    def _outline(self, plan):
        """The (type, state) of each thread, oldest first, and the rng to draw all else from."""
        rng = random.Random(self.seed * 104_729 + plan.id)
        first, kinds = {
            "email": (
                "customer",
                ("customer", "message", "message", "note", "lineitem", "lineitem", "forwardchild"),
            ),
            "chat": ("beaconchat", ("chat", "chat", "chat", "beaconchat", "note", "lineitem")),
            "phone": ("phone", ("note", "message", "lineitem")),
        }[plan.type]
        drawn = [(first, "published")]
        for _ in range(plan.length - 1):
            kind, luck = kinds[int(rng.random() * len(kinds))], rng.random()
            uncounted = luck < 0.04 and kind == "message"
            drawn.append((kind, UNCOUNTED[int(luck * 50)] if uncounted else "published"))
        return drawn, rng

    def _thread(self, plan, drawn, moment, rng):
        position, kind, state = drawn
        luck = rng.random()
        customer = {**self._person(plan), "photoUrl": ""}
        by_customer = kind in ("customer", "beaconchat", "phone") or (kind == "chat" and luck < 0.5)
        row = {
            "id": plan.id * 100 + position,
            "type": kind,
            "state": state,
            "status": plan.status if luck < 0.6 else "nochange",
            "action": {"type": "default", "associatedEntities": ENTITIES[int(luck * 3)]},
            "source": SOURCES[0] if by_customer else SOURCES[1],
            "customer": customer,
            "createdBy": (
                {**customer, "type": "customer"}
                if by_customer
                else self._staff[int(luck * len(self._staff))]
            ),
            "savedReplyId": 0,
            "createdAt": stamp(moment),
            "_links": {"customer": {"href": f"{API}/customers/{customer['id']}"}},
        }
        if position % 4:
            row["assignedTo"] = self._assignees[position % len(self._assignees)]
        if kind == "lineitem":
            row["action"] = {
                **row["action"],
                "type": "changed-ticket-assignee",
                "text": "Assignment changed",
            }
            return row
        start = int(luck * len(SENTENCES))
        row["body"] = (
            "<p>" + "<br>\n".join((SENTENCES * 2)[start : start + 1 + plan.id % 5]) + "</p>"
        )
        row.update(
            to=[customer["email"]] if kind == "message" else [],
            cc=[],
            bcc=[],
            _embedded={"attachments": []},
        )
        if luck < 0.1:
            row["_embedded"] = {
                "attachments": [
                    {
                        "id": plan.id * 1000 + position,
                        "filename": f"photo {position} – größer.png",
                        "mimeType": "image/png",
                        "width": 640,
                        "height": 480,
                        "size": 20_000 + position,
                        "state": "valid",
                        "_links": {"data": {"href": f"{API}/conversations/{plan.id}/attachments"}},
                    }
                ]
            }
        if kind == "forwardchild":
            row["linkedConversationId"] = str(plan.id)
        if kind == "message":
            self._dress_message(plan, row, moment, rng)
        return row

    def _dress_message(self, plan, row, moment, rng):
        luck = rng.random()
        row["savedReplyId"] = 61 if luck < 0.2 else 0
        if row["state"] == "draft":
            row["scheduled"] = {
                "scheduledBy": 502,
                "sendAsId": 502,
                "createdAt": row["createdAt"],
                "scheduledFor": stamp(self.now + timedelta(days=2)),
                "unscheduleOnCustomerReply": False,
            }
        elif row["state"] == "published" and luck < 0.7:
            row["openedAt"] = stamp(min(plan.modified, moment + timedelta(minutes=int(luck * 900))))
            if plan.rated:
                row["rating"] = {
                    "customerId": row["customer"]["id"],
                    "rating": RATINGS[int(luck * 10) % 3],
                    "comments": rng.choice((None, "", *SENTENCES)),
                }

    def _customer(self, key):
        created, _, modified = self.customer_times[key]
        rng = random.Random(self.seed * 15_485_863 + key)
        first, last, email = self._name(key)
        href = f"{API}/customers/{key}"
        row = {
            "id": key,
            "firstName": first,
            "lastName": last,
            "gender": rng.choice(("Unknown", "female", "male")),
            "organization": rng.choice(("", "Northmill", "Bäckerei Lindqvist")),
            "photoType": "default",
            "photoUrl": f"https://photos.example/{key}.png",
            "background": rng.choice(("", *SENTENCES)),
            "draft": False,
            "conversationCount": key % 9,
            "createdAt": stamp(created),
            "updatedAt": stamp(modified),
            "_links": {"self": {"href": href}, "address": {"href": href + "/address"}},
        }
        optional = {
            "jobTitle": "Buyer",
            "location": "Århus",
            "age": "41",
            "organizationId": 40 + key % 5,
        }
        row.update((name, value) for name, value in optional.items() if rng.random() < 0.5)
        if rng.random() < 0.1:
            return row
        parts = {
            "emails": [{"id": key * 10, "value": email, "type": "work"}],
            "phones": [
                {"id": key * 10 + 1, "value": "+45 555 0" + str(key % 1000), "type": "mobile"}
            ],
            "chats": [{"id": key * 10 + 2, "value": first.lower(), "type": "other"}],
            "social_profiles": [
                {"id": key * 10 + 3, "value": first.lower() + str(key), "type": "other"}
            ],
            "websites": [{"id": key * 10 + 4, "value": f"https://{email.split('@')[1]}"}],
            "properties": [
                {
                    "type": "dropdown",
                    "slug": "tier",
                    "name": "Tier",
                    "value": "t-2",
                    "text": "Gold",
                    "source": {"name": "import"},
                }
            ],
        }
        row["_embedded"] = {
            name: rows if rng.random() < 0.5 else [] for name, rows in parts.items()
        }
        if rng.random() < 0.4:
            row["_embedded"]["address"] = {
                "city": "Århus",
                "state": "",
                "postalCode": "8000",
                "country": "DK",
                "lines": ["Mejlgade 7", "2. th."],
            }
        if key % 10 == 4:
            row["_embedded"]["social-profiles"] = row["_embedded"].pop("social_profiles")
        return row

    def _name(self, key):
        first, last = FIRST[key // 2 % len(FIRST)], LAST[key // 7 % len(LAST)]
        return first, last, f"{first.lower()}.{key}@{DOMAINS[key // 2 % len(DOMAINS)]}"

    def _person(self, plan):
        """The customer of a conversation, in the few words that other rows say of him."""
        key = self.customer_id(plan)
        if not key:
            return {"id": 0, "first": "", "last": "", "email": ""}
        first, last, email = self._name(key)
        return {"id": key, "first": first, "last": last, "email": email}

    @staticmethod
    def _value(field, rng):
        option = rng.choice(field.get("options", [{"id": "BX-77", "label": "BX-77"}]))
        return {
            "id": field["id"],
            "name": field["name"],
            "value": str(option["id"]),
            "text": option["label"],
        }

    @cached_property
    def ratings(self):
        """The rows of the happiness report, oldest rating first."""
        rows = []
        for plan in (plan for plan in self.plans.values() if plan.rated):
            for thread in (thread for thread in self.threads(plan) if "rating" in thread):
                author, customer, rating = thread["createdBy"], thread["customer"], thread["rating"]
                rows.append(
                    {
                        "number": plan.number,
                        "id": plan.id,
                        "type": plan.type,
                        "threadid": thread["id"],
                        "threadCreatedAt": thread["createdAt"],
                        "ratingId": 1 + RATINGS.index(rating["rating"]),
                        "ratingCustomerId": customer["id"],
                        "ratingComments": rating["comments"],
                        "ratingCreatedAt": thread["openedAt"],
                        "ratingUserId": author["id"],
                        "ratingCustomerName": f"{customer['first']} {customer['last']}",
                        "ratingUserName": f"{author['first']} {author['last']}",
                    }
                )
        return sorted(rows, key=lambda row: (row["ratingCreatedAt"], row["threadid"]))

    def company_report(self, start, end):
        """The numbers of the days from `start` to `end`, which are the same whenever asked for."""
        days, day = [], start.date()
        while day <= max(start, end - timedelta(seconds=1)).date():
            days.append(self._company_day(day))
            day += timedelta(days=1)
        helped, replies, closed = (
            sum(one[name] for users in days for one in users)
            for name in ("customersHelped", "replies", "closed")
        )
        users = self._company_users(days)
        return {
            "filterTags": [],
            "current": {
                "startDate": stamp(start),
                "endDate": stamp(end),
                "customersHelped": helped,
                "closed": closed,
                "totalReplies": replies,
                "totalUsers": len(users),
                "totalDays": len(days),
                "repliesPerDayPerUser": round(replies / len(days) / max(len(users), 1), 2),
                "repliesPerDay": round(replies / len(days), 2),
                "resolvedPerDay": round(closed / len(days), 2),
            },
            "users": users,
        }

    def _company_day(self, day):
        """What each user who worked did on a day; at weekends nobody works."""
        rng = random.Random(f"{self.seed} {day}")
        if day.weekday() > 4:
            return []
        return [
            {
                "user": user["id"],
                "name": f"{user['firstName']} {user['lastName']}",
                "customersHelped": replies - rng.randrange(replies),
                "replies": replies,
                "closed": rng.randrange(replies + 1),
                "handleTime": rng.randrange(100, 9_000) / 4,
                "happinessScore": rng.randrange(-100, 101),
            }
            for user in self.tables["users"][:6]
            if (replies := rng.randrange(12))
        ]

    @staticmethod
    def _company_users(days):
        """Each user once: sums of what can be counted, means of the rest."""
        users = {}
        for one in (one for day in days for one in day):
            users.setdefault(one["user"], []).append(one)
        return [
            {
                "user": key,
                "name": ones[0]["name"],
                **{name: sum(one[name] for one in ones) for name in ("customersHelped", "replies")},
                **{
                    name: round(sum(one[name] for one in ones) / len(ones), 2)
                    for name in ("handleTime", "happinessScore")
                },
            }
            for key, ones in sorted(users.items())
        ]

    # -- whole tables ----------------------------------------------------------------------------

    def _ago(self, days):
        return stamp(self.now - timedelta(days=days, minutes=days % 7))

    def _mailboxes(self):
        return [
            {
                "id": key,
                "name": name,
                "slug": f"{key:x}c0ffee",
                "email": email,
                "createdAt": self._ago(1500 + key % 9),
                "updatedAt": self._ago(days),
                "_links": {"self": {"href": f"{API}/mailboxes/{key}"}},
            }
            for key, name, email, days in (
                (7001, "Hjælp", "help@lamps.example", 3),
                (7002, "Orders", "orders@lamps.example", 700),
                (7003, "Workshop", "workshop@lamps.example", 90),
            )
        ]

    def _fields(self):
        options = [
            {"id": 9101 + i, "order": i + 1, "label": label}
            for i, label in enumerate(("Desk", "Floor", "Wall"))
        ]
        return {
            7001: [
                {
                    "id": 9001,
                    "required": False,
                    "order": 1,
                    "type": "dropdown",
                    "name": "Lamp",
                    "options": options,
                },
                {
                    "id": 9002,
                    "required": True,
                    "order": 2,
                    "type": "singleline",
                    "name": "Order number",
                },
            ],
            7002: [],
            7003: [{"id": 9003, "required": False, "order": 1, "type": "number", "name": "Hours"}],
        }

    def _folders(self):
        """Newest in the first mailbox, years old in the second, and one that says no date."""
        kinds = (
            ("Unassigned", "open"),
            ("Mine", "mine"),
            ("Drafts", "drafts"),
            ("Closed", "closed"),
            ("Spam", "spam"),
        )
        folders = {
            mailbox: [
                {
                    "id": first + i,
                    "name": name,
                    "type": kind,
                    "userId": 501 if kind == "mine" else 0,
                    "totalCount": 40 * i,
                    "activeCount": i,
                    "updatedAt": self._ago(days + i),
                    "_links": {"self": {"href": f"{API}/mailboxes/{mailbox}"}},
                }
                for i, (name, kind) in enumerate(kinds)
            ]
            for mailbox, first, days in ((7001, 880_001, 1), (7002, 11, 1100), (7003, 45_001, 60))
        }
        del folders[7003][2]["updatedAt"]
        return folders

    def _users(self):
        """One invited and yet without a photo, one whose `updatedAt` is null."""
        users = []
        for i, role in enumerate(
            ("owner", "admin", "user", "user", "user", "light user", "user", "user")
        ):
            first, last = FIRST[-1 - i], LAST[i]
            users.append(
                {
                    "id": 501 + i,
                    "firstName": first,
                    "lastName": last,
                    "email": f"{first.lower()}@lamps.example",
                    "role": role,
                    "timezone": "Europe/Copenhagen",
                    "photoUrl": f"https://photos.example/u{i}.png",
                    "type": "user",
                    "createdAt": self._ago(1400 - 50 * i),
                    "updatedAt": self._ago(400 - 50 * i),
                    "mention": first.lower(),
                    "initials": first[0] + last[0],
                    "jobTitle": "",
                    "phone": "",
                    "alternateEmails": [],
                    "_links": {"self": {"href": f"{API}/users/{501 + i}"}},
                }
            )
        users[1].update(
            jobTitle="Lamp doctor", phone="+45 555 0100", alternateEmails=["office@lamps.example"]
        )
        users[6]["updatedAt"] = None
        del users[7]["photoUrl"]
        return users

    def _teams(self):
        return [
            {
                "id": 801 + i,
                "name": name,
                "timezone": "Europe/Copenhagen",
                "mention": name.split()[0].lower(),
                "initials": name[0],
                "createdAt": self._ago(900),
                "updatedAt": self._ago(500 - 200 * i),
                "_links": {"teamMembers": {"href": f"{API}/teams/{801 + i}/members"}},
            }
            for i, name in enumerate(("First Line", "Workshop", "Night \U0001f319"))
        ]

    def _tags(self):
        return [
            {
                "id": 601 + i,
                "name": name,
                "slug": name.split()[0],
                "color": COLORS[i % 4],
                "createdAt": self._ago(1000),
                "updatedAt": None if i == 3 else self._ago(30 * i + 5),
                "ticketCount": 3 * i,
            }
            for i, name in enumerate(
                ("fragile", "refund", "größe", "wholesale", "bug report", "praise")
            )
        ]

    def _workflows(self):
        return [
            {
                "id": 3001 + i,
                "mailboxId": 7001 + i % 3,
                "type": kind,
                "status": status,
                "order": i + 1,
                "name": name,
                "createdAt": self._ago(800),
                "modifiedAt": self._ago(300 - 70 * i),
                "_links": {"self": {"href": f"{API}/workflows/{3001 + i}"}},
            }
            for i, (kind, status, name) in enumerate(
                (
                    ("manual", "active", "Send to workshop"),
                    ("automatic", "active", "Thank the patient"),
                    ("automatic", "invalid", "Remind after a week"),
                    ("manual", "inactive", "Close silently"),
                )
            )
        ]

    def _system_users(self):
        return [
            {
                "id": 155_001,
                "type": "system_user",
                "firstName": "Lamp Agent",
                "lastName": "",
                "initials": "LA",
                "email": None,
                "mention": None,
                "timezone": "UTC",
                "role": "user",
                "photoUrl": None,
                "createdAt": self._ago(80),
                "updatedAt": self._ago(80),
            }
        ]

    def _organizations(self):
        """With counts and properties, which the list leaves out, and a date that nothing shows."""
        return [
            {
                "id": 40 + i,
                "name": f"{LAST[i]} {('Lamps', 'Hotels', 'Bureau')[i % 3]}",
                "website": f"www.{DOMAINS[i % 4]}",
                "description": SENTENCES[i] if i % 3 else "",
                "location": ("DK", "DE", "JP")[i % 3],
                "logoUrl": None if i % 4 == 3 else f"https://logos.example/{40 + i}.png",
                "note": "",
                "domains": [DOMAINS[i % 4], f"{i}.{DOMAINS[0]}"][: i % 3],
                "phones": ["+45 555 0" + str(200 + i)] * (i % 2),
                "brandColor": COLORS[i % 4],
                "customerCount": 7 * i % 5,
                "conversationCount": 11 * i,
                "properties": [
                    {"definitionId": 1001 + j, **definition, "value": value}
                    for j, (definition, value) in enumerate(
                        zip(
                            ORGANIZATION_PROPERTIES,
                            (str(5000 * i), "Hotels", "2020-01-15"),
                            strict=True,
                        )
                    )
                    if (i + j) % 3
                ],
                "lastInteractionAt": self._ago(2 + 7 * i % 11),
                "_links": {"self": {"href": f"{API}/organizations/{40 + i}"}},
            }
            for i in range(12)
        ]

    def _user_statuses(self):
        return [
            {
                "userId": 501 + i,
                "email": {
                    "status": "away" if i % 3 == 1 else "active",
                    "updatedAt": self._ago(3 * i),
                    "performedBy": 501,
                    "source": ("ui", "api")[i % 2],
                },
                "chat": {"status": "unavailable", "mailboxStatuses": {}}
                if i % 3 == 1
                else {
                    "status": "custom",
                    "mailboxStatuses": {"7001": "assign", "7003": "unavailable"},
                },
            }
            for i in range(8)
        ]

    @staticmethod
    def _routing():
        return {
            mailbox: [
                {
                    "state": "enabled",
                    "assignmentLimit": limit,
                    "assignmentMethod": "balanced",
                    "userIds": [501, 502],
                    "rotation": [
                        {
                            "userId": 501,
                            "conversationsCount": limit,
                            "eligible": False,
                            "reason": "at_capacity",
                        },
                        {"userId": 502, "conversationsCount": 1, "eligible": True},
                    ],
                    "_links": {"self": {"href": f"{API}/mailboxes/{mailbox}/routing"}},
                }
            ]
            for mailbox, limit in ((7001, 8), (7002, 3), (7003, 100))
        }

    @staticmethod
    def _webhooks():
        return [
            {
                "id": 10 + i,
                "url": f"https://hooks.{DOMAINS[i]}/in",
                "state": state,
                "events": events,
                "notification": i == 1,
                "payloadVersion": "V2",
                "label": label,
                "mailboxIds": mailboxes,
                "_links": {"self": {"href": f"{API}/webhooks/{10 + i}"}},
            }
            for i, (state, events, label, mailboxes) in enumerate(
                (
                    ("enabled", ["convo.assigned", "convo.deleted"], "Størst", []),
                    ("disabled", ["customer.deleted"], "", [7001, 7003]),
                )
            )
        ]
