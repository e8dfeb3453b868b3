"""State: where each stream's next run begins, and what is left over from this one."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import singer

from tap_helpscout.dates import format_datetime, parse_datetime
from tap_helpscout.files import ConfigError
from tap_helpscout.memory import MailboxMemory, RowMemory
from tap_helpscout.streams import STREAMS
from tap_helpscout.words import did_you_mean

# Our choice: where more parents than this cannot be read, it is not the parents.
MAX_PENDING = 100
# They are in a state only where they say something.
OPTIONAL_KEYS = (
    "currently_syncing",
    "start_dates",
    "pending",
    "inboxes",
    "seen",
    "doubtful_embeds",
    "versions",
    "versions_in_progress",
)


@dataclass(frozen=True)
class VersionProgress:
    """How far a version was written that is not activated yet: all that was modified from `begun`
    up to `read_to`."""

    version: int
    begun: datetime
    read_to: datetime


class State:
    """What the next run needs to know; flat, as published versions wrote it:

        {"currently_syncing": "users",
         "bookmarks": {"users": "2019-06-11T13:37:55Z"},
         "start_dates": {"conversations": "2019-01-01T00:00:00Z"},
         "pending": {"conversation_threads": [2100123]},
         "inboxes": {"conversations": [7001, 7002]},
         "seen": {"users": [501, 502]},
         "doubtful_embeds": ["conversation_threads"],
         "versions": {"conversations": 1700000000000},
         "versions_in_progress": {"customers": {"version": 1700600000000,
             "begun": "2010-01-01T00:00:00Z", "read_to": "2019-06-11T13:37:55Z"}}}

    `start_dates` holds the start_date that a bookmark was begun with, where it made a difference.
    `pending` holds, for each child stream, the ids of parents whose children could not be read.
    `inboxes` holds the inboxes that a stream was read of up to its bookmark, `seen` the ids of
    the rows of lists that the API does not filter by date: memory.py says what for.
    `doubtful_embeds` are child streams whose embedded rows were used, and then found to differ from
    the listed ones: the next run lists them all.

    `versions` are those that were activated last. A FULL_TABLE run of a list with dates writes down
    under `versions_in_progress` how far its new version is. What an interrupted run has written has
    the new version already. If the next run began at the bookmark with yet another version,
    activating that would take these rows away. So the next FULL_TABLE run goes on with the same
    version from `read_to`. A run that writes the stream otherwise in between forgets it, and so
    does one that reads from an earlier datetime on: the FULL_TABLE run after that begins anew.
    """

    def __init__(self, document: dict[str, Any], source: str | None) -> None:
        """`source` is the file that the document was read from. Raises ConfigError."""
        self.currently_syncing: Any = document.get("currently_syncing")
        self._source = source
        try:
            if document.keys() - {"currently_syncing"} and "bookmarks" not in document:
                raise ValueError(f"it has no bookmarks{_of_a_message(document)}")
            self._document = document
            self._bookmarks: dict[str, Any] = dict(document.get("bookmarks") or {})
            self._start_dates: dict[str, Any] = dict(document.get("start_dates") or {})
            self._pending = _ids_by_stream(document, "pending")
            self.mailboxes = MailboxMemory(_ids_by_stream(document, "inboxes"))
            self.rows = RowMemory(_ids_by_stream(document, "seen"))
            self._doubtful_embeds = {str(name) for name in document.get("doubtful_embeds") or ()}
            versions = dict(document.get("versions") or {})
            self._versions = {name: _checked_version(one) for name, one in versions.items()}
            self._in_progress: dict[str, VersionProgress] = {
                name: _version_progress(one)
                for name, one in dict(document.get("versions_in_progress") or {}).items()
            }
            for name in STREAMS:
                self.bookmark(name)
                self.start_date(name)
        except (AttributeError, TypeError, ValueError) as error:
            raise ConfigError(
                f"the state file {source} must look like "
                '{"bookmarks": {"users": "2019-06-11T13:37:55Z"}}, a date for each stream: '
                f"{error}"
            ) from error

    def unknown_bookmarks(self) -> list[str]:
        """A line for each bookmark of a stream that this tap does not have."""
        return [
            f"{self._source}: the bookmark of {name!r} has no effect, for there is no stream of "
            f"that name{did_you_mean(name, STREAMS, self._bookmarks)}"
            for name in sorted(self._bookmarks.keys() - STREAMS.keys())
        ]

    def start_date(self, name: str) -> datetime | None:
        """The start_date that a stream's bookmark was begun with, None where that is not known."""
        date = self._start_dates.get(name)
        return parse_datetime(date) if date else None

    def begin(self, name: str, start_date: datetime) -> None:
        """A stream without a bookmark is read from this date on."""
        self._start_dates[name] = format_datetime(start_date)

    def bookmark(self, name: str) -> datetime | None:
        """A stream's bookmark in whole seconds, as ranges are asked for; None where it has none
        yet."""
        date = self._bookmarks.get(name)
        return parse_datetime(date).replace(microsecond=0) if date else None

    def advance(self, name: str, to: datetime) -> None:
        """Moves a bookmark, never backwards."""
        before = self.bookmark(name)
        if not before or to > before:
            self._bookmarks[name] = format_datetime(to)

    def reset(self, name: str, to: datetime | None) -> None:
        """Puts a bookmark back to where it was when the run began; a version is begun anew."""
        self.drop_version_progress(name)
        self._bookmarks.pop(name, None)
        if to:
            self._bookmarks[name] = format_datetime(to)

    def pending(self, name: str) -> list[int]:
        """The parents whose children of this stream could not be read so far."""
        return list(self._pending.get(name, ()))

    def streams_with_pending(self) -> list[str]:
        """The streams of which something could not be read so far."""
        return sorted(name for name, ids in self._pending.items() if ids)

    def put_aside(self, name: str, parent_id: int) -> bool:
        """Keeps a parent for the next run; False where there are too many."""
        ids = self._pending.setdefault(name, [])
        if parent_id not in ids:
            if len(ids) >= MAX_PENDING:
                return False
            ids.append(parent_id)
        return True

    def settle(self, name: str, parent_id: int) -> None:
        """The children of this parent have been read, or there are none any more."""
        ids = self._pending.get(name, [])
        if parent_id in ids:
            ids.remove(parent_id)

    def has_doubtful_embeds(self, name: str) -> bool:
        """Whether a run before has used embedded rows of this stream that may be incomplete."""
        return name in self._doubtful_embeds

    def set_doubtful_embeds(self, name: str, are_doubtful: bool) -> None:
        """Keeps for the next run whether embedded rows of this stream were used and then found
        doubtful."""
        (self._doubtful_embeds.add if are_doubtful else self._doubtful_embeds.discard)(name)

    def version(self, name: str) -> int | None:
        """The version of a stream that was activated last."""
        return self._versions.get(name)

    @property
    def last_version(self) -> int:
        """The largest version that any stream has had; 0 if none."""
        in_progress = (progress.version for progress in self._in_progress.values())
        return max([*self._versions.values(), *in_progress], default=0)

    def activate_version(self, name: str, version: int) -> None:
        """A version of a stream is written whole."""
        self._versions[name] = version
        self.drop_version_progress(name)

    def version_progress(self, name: str) -> VersionProgress | None:
        """How far an interrupted run has written a new version, None where there was none."""
        return self._in_progress.get(name)

    def keep_version_progress(self, name: str, progress: VersionProgress) -> None:
        """Takes note of how far a new version is written."""
        self._in_progress[name] = progress

    def drop_version_progress(self, name: str) -> None:
        """No run may go on with a version that was begun."""
        self._in_progress.pop(name, None)

    def message(self) -> singer.StateMessage:
        """The state as a Singer message."""
        value = {**self._document, "bookmarks": self._bookmarks}
        value["pending"] = {name: ids for name, ids in self._pending.items() if ids}
        value["inboxes"] = self.mailboxes.document()
        value["seen"] = self.rows.document()
        value["doubtful_embeds"] = sorted(self._doubtful_embeds)
        value["start_dates"] = {
            name: date for name, date in self._start_dates.items() if self._bookmarks.get(name)
        }
        value["versions"] = dict(self._versions)
        value["versions_in_progress"] = {
            name: {
                "version": one.version,
                "begun": format_datetime(one.begun),
                "read_to": format_datetime(one.read_to),
            }
            for name, one in self._in_progress.items()
        }
        value["currently_syncing"] = self.currently_syncing
        for key in OPTIONAL_KEYS:
            if not value[key]:
                del value[key]
        return singer.StateMessage(value)


def _of_a_message(document: dict[str, Any]) -> str:
    """What to say of a line of a tap's output, where a line of a target's is due."""
    if document.keys() != {"type", "value"}:
        return ""
    return ': it is a Singer message, of which only what follows "value" is a state'


def _ids_by_stream(document: dict[str, Any], key: str) -> dict[str, list[int]]:
    """Raises ValueError, TypeError or AttributeError where it holds something else."""
    by_stream = dict(document.get(key) or {})
    return {name: [_checked_id(one, key) for one in ids] for name, ids in by_stream.items()}


def _checked_id(value: Any, key: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError(f"{key} must hold ids")
    return value


def _checked_version(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError("versions must be integers")
    return value


def _version_progress(value: Any) -> VersionProgress:
    try:
        begun, read_to = (parse_datetime(value[key]) for key in ("begun", "read_to"))
        return VersionProgress(_checked_version(value["version"]), begun, read_to)
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f"versions_in_progress must hold version, begun and read_to: {error}"
        ) from error
