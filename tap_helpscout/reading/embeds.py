"""Embedded children: whether what comes inside the rows of a list is all there is.

A page of conversations with `embed=threads` saves a request for each. The documentation says that
threads of chats come cut, and nothing of others:
https://developer.helpscout.com/mailbox-api/endpoints/conversations/list
So embedded children are compared with listed ones before any is used, and later now and then.
"""

import threading
from collections.abc import Callable, Iterator
from datetime import datetime
from enum import Enum, auto
from typing import Any, TypeVar

import singer

from tap_helpscout.client import TRIES
from tap_helpscout.errors import ApiError
from tap_helpscout.streams import Embed, Row

LOGGER = singer.get_logger()

T = TypeVar("T")

# Our choice: a kind of child that neither an embed nor so many listings have shown is so rare that
# it is left to the samples.
ENOUGH_MATCHES = 100
# Our choice: so many pages are read before the first is used, if some kind has not been seen yet.
# They are needed anyway, and a kind that they show takes no listings to find.
PAGES_AHEAD = 10
# Our choice: the 25th use of embedded children is checked by a listing, then the 75th, 225th, ...
FIRST_SAMPLE = 25
SAMPLE_FACTOR = 3
FEW_LISTINGS = 20  # measured: until the first listing that tells has come, and as samples
# Measured: the children of a parent take so many requests where they are listed.
REQUESTS_PER_LISTING = 1.2
FIRST_TRIES = 3  # our choice: an embed that has not worked yet is given up sooner
MAX_FAILURES = 3  # our choice: so many pages that fail with the embed, and it is asked for no more


class EmbedState(Enum):
    """What is known of the embedded children in this run."""

    UNVERIFIED = auto()
    VERIFIED = auto()
    DISABLED = auto()


class Treatment(Enum):
    """How the children of one parent are read."""

    USE = auto()
    """As they are embedded."""
    LIST = auto()
    """By a request of their own."""
    LIST_AND_COMPARE = auto()
    """By a request of their own, which tells whether the embedded ones could have been used."""


class CutDetector:
    """Tells which sizes may be the length at which something is cut off.

    What is as large as the largest that was embedded may have been cut there, unless a listing has
    shown one of that size to be whole.
    """

    def __init__(self) -> None:
        self._largest_embedded = 0
        self._largest_confirmed = 0

    def note(self, size: int) -> None:
        """Something of this size was embedded."""
        self._largest_embedded = max(self._largest_embedded, size)

    def confirm(self, size: int) -> None:
        """A listing shows that what was embedded with this size was whole."""
        self._largest_confirmed = max(self._largest_confirmed, size)

    def may_be_cut(self, size: int) -> bool:
        """Whether something of this size could be the beginning of something larger."""
        return self._largest_confirmed < size and size >= self._largest_embedded


class EmbedVerifier:
    """Decides how the children of each parent are read.

    UNVERIFIED becomes VERIFIED by a listing that matches row for row and has a child of the telling
    kind (the kind that an embed most likely leaves out: line items), once every kind has come
    embedded, or many listings have matched. Either becomes DISABLED by a listing that differs.
    """

    def __init__(self, embed: Embed) -> None:
        self.embed, self.name, self.telling_kind = embed, embed.name, embed.telling_kind
        self.why_disabled = ""
        # By the API's clock; a thread that was written since then may have come after its page.
        self.run_start: datetime | None = None
        self.state = EmbedState.UNVERIFIED
        self._lock = threading.Lock()  # for what changes the state, from any thread
        self._has_worked = False
        self._failures = 0
        self._numbers, self._sizes = CutDetector(), CutDetector()
        self._unshown_kinds = set(embed.kinds)
        self._has_matched_telling = False
        self._noted = self._noted_to_list = 0  # parents
        self._matches = 0
        self._uses = 0
        self._next_sample = FIRST_SAMPLE
        self._differed = False

    @property
    def used_doubtful(self) -> bool:
        """Whether embedded children were used that a listing has made doubtful since."""
        return self._differed and self._uses > 0

    def fetch(self, get: Callable[[dict[str, str], int], Any], tries: int = TRIES) -> Any:
        """The body of get(parameters, tries) with the embed, or without where it fails with it."""
        if self.state is EmbedState.DISABLED:
            return get({}, tries)
        try:
            body = get({"embed": self.embed.name}, tries if self._has_worked else FIRST_TRIES)
            self._has_worked = True
        except ApiError as error:
            body = get({}, tries)  # if this fails too, it is not the embed's fault
            self._failures += 1
            if not self._has_worked or self._failures >= MAX_FAILURES:
                LOGGER.info("%s", error.in_full)
                self._disable(f"Help Scout fails with them: {error.outline}")
        return body

    def note_page(self, parents: list[Row]) -> None:
        """Takes note of all that is embedded in a page, before any of it is used."""
        for parent in parents:
            children = self.embedded(parent)
            self._numbers.note(len(children))
            self._sizes.note(self._largest_size(children))
            for child in children:
                self._unshown_kinds -= self.embed.kinds_of(child)
        self._noted += len(parents)
        self._noted_to_list += self._count_to_list(parents)
        self._verify_if_enough()

    def look_ahead(self, batches: Iterator[T]) -> Iterator[T]:
        """The same batches, the first of them once every kind has been seen, or so many were read.

        Raises ApiError where one cannot be read, after those before it.
        """
        held: list[T] = []
        failure = None
        try:
            for batch in batches:
                held.append(batch)
                if not self._misses_kinds or len(held) >= PAGES_AHEAD:
                    break
        except ApiError as error:
            failure = error
        yield from held
        if failure:
            raise failure
        yield from batches

    @property
    def _misses_kinds(self) -> bool:
        return self.state is EmbedState.UNVERIFIED and bool(self._unshown_kinds)

    def embedded(self, parent: Row) -> list[Row]:
        """The children that came inside a parent; none where that is no list of rows."""
        inner = parent.get("_embedded")
        rows = inner.get(self.embed.name) if isinstance(inner, dict) else None
        is_list = isinstance(rows, list) and all(
            isinstance(row, dict) and not isinstance(row.get("id"), (dict, list)) for row in rows
        )
        return rows if is_list and rows else []

    def treatment(self, parent: Row) -> Treatment:
        """How the children of a parent are to be read."""
        if self.state is EmbedState.DISABLED or not self.is_comparable(parent):
            return Treatment.LIST
        children = self.embedded(parent)
        is_unverified = self.state is EmbedState.UNVERIFIED
        if is_unverified or self._may_be_cut(children) or self._is_next_sample():
            return Treatment.LIST_AND_COMPARE
        self._uses += 1
        return Treatment.USE

    def _is_next_sample(self) -> bool:
        if self._uses + 1 < self._next_sample:
            return False
        self._next_sample *= SAMPLE_FACTOR
        return True

    def is_comparable(self, parent: Row) -> bool:
        """Whether the embedded children may be all there are, and whole."""
        children = self.embedded(parent)
        return bool(children) and self.embed.may_be_whole(parent, children)

    def waits_for(self, parent: Row) -> bool:
        """Whether the listing of this parent, which is compared, is waited for, since it may decide
        how all that follow are read."""
        return not self._has_matched_telling and self.count_telling(self.embedded(parent)) > 0

    def requests_for(self, parents: int, sample: list[Row] | None = None) -> float:
        """About how many requests the children of so many further parents will take: for those that
        are listed in any case, as many as in the sample or the pages so far, and for those that
        are listed to compare."""
        listed = parents * self.share_to_list(sample) * REQUESTS_PER_LISTING
        if self.state is not EmbedState.UNVERIFIED:
            return listed
        due = ENOUGH_MATCHES if self._unshown_kinds else FEW_LISTINGS
        return listed + min(max(due - self._matches, 0), parents)

    def share_to_list(self, sample: list[Row] | None = None) -> float:
        """Which share of the parents is listed in any case, by the sample or the pages so far."""
        if self.state is EmbedState.DISABLED:
            return 1
        if sample is None:
            return self._noted_to_list / max(self._noted, 1)
        return self._count_to_list(sample) / max(len(sample), 1)

    def _count_to_list(self, parents: list[Row]) -> int:
        return sum(not self.is_comparable(parent) for parent in parents)

    def matched(self, children: list[Row]) -> None:
        """A listing has brought just these embedded children."""
        self._matches += 1
        self._numbers.confirm(len(children))
        self._sizes.confirm(self._largest_size(children))
        self._has_matched_telling |= self.count_telling(children) > 0
        self._verify_if_enough()

    def differed(self, parent: Row, how: str) -> None:
        """A listing has brought other children than were embedded."""
        self._differed = True
        self._disable(f"those of {parent.get('id')} are not as they are listed: {how}")

    def distrust(self) -> None:
        """A run before has used children that a listing made doubtful."""
        self._disable("in the run before, some that were used differed from the listed ones")

    def _verify_if_enough(self) -> None:
        is_shown = not self._unshown_kinds or self._matches >= ENOUGH_MATCHES
        with self._lock:
            if self.state is EmbedState.UNVERIFIED and self._has_matched_telling and is_shown:
                self.state = EmbedState.VERIFIED
                LOGGER.info("embedded %s match the listed ones: they are used", self.embed.name)

    def _disable(self, why: str) -> None:
        with self._lock:
            if self.state is EmbedState.DISABLED:
                return
            self.state = EmbedState.DISABLED
            self.why_disabled = why
            LOGGER.warning(
                "embedded %s are not used in this run (%s): they are listed for each parent, which "
                "takes a request each",
                self.embed.name,
                why,
            )

    def count_telling(self, children: list[Row]) -> int:
        """How many of these children are of the telling kind."""
        return sum(self.telling_kind in self.embed.kinds_of(child) for child in children)

    def _largest_size(self, children: list[Row]) -> int:
        return max(map(self.embed.size_of, children), default=0)

    def _may_be_cut(self, children: list[Row]) -> bool:
        return self._numbers.may_be_cut(len(children)) or self._sizes.may_be_cut(
            self._largest_size(children)
        )
