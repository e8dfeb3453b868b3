"""Memory: what earlier runs have read, where dates alone do not tell.

An inbox that the app's user is given access to later has rows of long ago, from before the
bookmarks. So have the small lists that the API does not filter by date: a user, a folder or a
workflow can appear in them with an old date.
"""

from collections.abc import Iterable, Mapping, Sequence

# Our choice: an account has some hundreds of users or folders; a state is written after each
# window, and so many ids have 16 kB.
MAX_SEEN_ROWS = 2000

EVERY_MAILBOX = None
"""Stands for all inboxes where a list is read without asking for any."""


class MailboxMemory:
    """The inboxes that each stream was read of: what was modified in them up to the stream's
    bookmark is written.

    A stream without an entry was read of all inboxes, or by a version that had no memory.
    """

    def __init__(self, mailboxes: Mapping[str, Iterable[int]]) -> None:
        self._known = {name: list(ids) for name, ids in mailboxes.items()}
        self._at_begin: dict[str, list[int] | None] = {}

    def known(self, name: str) -> list[int] | None:
        """The inboxes that a stream was read of; None: there is no entry."""
        known = self._known.get(name)
        return None if known is None else list(known)

    def begin(
        self, name: str, mailboxes: Sequence[int] | None, has_bookmark: bool
    ) -> list[int | None]:
        """Which inboxes of a stream have to be read from the beginning, now that a run reads
        `mailboxes`, or EVERY_MAILBOX.

        An inbox that is not among them any more is forgotten: should it come back, what was
        modified in it meanwhile is before the bookmark.
        """
        known = self._known.get(name)
        new: list[int | None] = []
        if has_bookmark and known is not None:
            wanted = [EVERY_MAILBOX] if mailboxes is None else mailboxes
            new = [one for one in wanted if one not in known]
        if mailboxes is not None:
            self._known[name] = [one for one in mailboxes if one not in new]
        elif not new:
            self._known.pop(name, None)
        self._at_begin[name] = self.known(name)
        return new

    def begin_unknown(self, name: str, has_bookmark: bool) -> None:
        """A stream is read of inboxes that are not known. Those that a first run reads so count as
        not read: which they were cannot be told later."""
        if not has_bookmark:
            self._known[name] = []
        self._at_begin[name] = self.known(name)

    def add(self, name: str, mailbox: int | None) -> None:
        """A stream was read of an inbox up to its bookmark."""
        if mailbox is EVERY_MAILBOX:
            self._known.pop(name, None)
        else:
            self._known.setdefault(name, []).append(mailbox)

    def reset(self, name: str) -> None:
        """What this run has read of new inboxes may lack something: it is read again."""
        at_begin = self._at_begin.get(name)
        if at_begin is not None:
            self._known[name] = list(at_begin)

    def document(self) -> dict[str, list[int]]:
        """What the state holds."""
        return {name: sorted(ids) for name, ids in self._known.items()}


class RowMemory:
    """The ids of the rows that a list had when it was read last.

    A list of more than MAX_SEEN_ROWS is not remembered: each run writes it whole.
    """

    def __init__(self, seen: Mapping[str, Iterable[int]]) -> None:
        self._before = {name: frozenset(ids) for name, ids in seen.items()}
        self._now: dict[str, set[int]] = {}
        self._complete: set[str] = set()

    def taken_for_seen(self, name: str) -> list[int] | None:
        """The rows of a list of which there was no memory yet; None where there was one."""
        return None if name in self._before else sorted(self._now.get(name, ()))

    def is_new(self, name: str, row_id: int) -> bool:
        """Whether no earlier run has seen this row. Where there is no memory of the list yet, all
        its rows are taken for seen."""
        before = self._before.get(name)
        return before is not None and row_id not in before

    def add(self, name: str, row_id: int) -> None:
        """The list has this row, and it is written if it had to be."""
        self._now.setdefault(name, set()).add(row_id)

    def complete(self, name: str) -> None:
        """The list was read to its end: rows that it has no more are forgotten."""
        self._now.setdefault(name, set())
        self._complete.add(name)

    def document(self) -> dict[str, list[int]]:
        """What the state holds."""
        document = {name: set(ids) for name, ids in self._before.items()}
        for name, ids in self._now.items():
            document[name] = ids if name in self._complete else document.get(name, set()) | ids
        return {
            name: sorted(ids) if len(ids) <= MAX_SEEN_ROWS else [] for name, ids in document.items()
        }
